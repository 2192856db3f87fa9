"""A parameter held in a model with a residual structure.

The residual parameters x are searched outside, all others inside: at each x the rows are whitened, and what remains is
the held problem of a model with independent residuals. By the envelope theorem the derivative of its minimum in x is
the partial one (`row_roots`). A held residual parameter leaves a surface of x (`HeldSurface`) and nothing held inside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.covariance.residual.parts import Natural
from mixedfit.estimation.bfgs import minimise_bfgs
from mixedfit.estimation.effects import modes_of
from mixedfit.estimation.estimate import Control
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.optimize import Optimum
from mixedfit.estimation.parameters import Parameter
from mixedfit.estimation.whitening import Whitened, WhitenedSearch, whitened_rows
from mixedfit.likelihood.criterion import Criterion
from mixedfit.likelihood.row_roots import row_roots

from .held import AllFree, ordinary_problem
from .held_point import HeldPoint
from .held_state import Held, OrdinaryHeld, State, in_basis, state_of_fit, structures_of, theta_of
from .held_surface import HeldSurface
from .held_variance import HeldCorrelation

__all__ = ["HeldWhitened", "held_problem", "natural_residual"]

INNER = 1e-12
"""Newton decrement of the inner search, so that its error does not disturb the outer gradient."""

OUTER = 1e-8
"""Decrement at which the outer search stops."""

MOST_EVALUATIONS = 120
"""Evaluations of the outer search."""

REMEMBERED = 4
"""Number of whitened sets of rows that are kept."""


def held_problem(fit: Fit, parameter: Parameter) -> Held:
    """Return the problem of one parameter of a maximum-likelihood fit."""
    return ordinary_problem(fit, parameter) if fit.residual is None else HeldWhitened(fit, parameter)


def natural_residual(fit: Fit, parameter: Parameter) -> Natural:
    """Return a parameter of the residual structure at the fit, with its limits."""
    assert fit.residual is not None
    return fit.residual.model.natural(fit.residual.x)[parameter.first]


class HeldWhitened:
    """One parameter held at a value; the argument of the search is that of the inner problem, followed by x.

    Parameters
    ----------
    fit : Fit
        With a residual structure.
    parameter : Parameter
    """

    def __init__(self, fit: Fit, parameter: Parameter) -> None:
        assert fit.residual is not None
        self.fit, self.parameter, self.model = fit, parameter, fit.residual.model
        self.search = WhitenedSearch(fit.design, self.model, False, fit.held_sigma, Control())
        self.of_residual = parameter.kind == "residual"
        inner = self.problem_at(fit)
        self.low, self.high = inner.low, inner.high
        if self.of_residual:
            own = natural_residual(fit, parameter)
            self.low, self.high = own.lower, own.upper
        self.is_correlation = isinstance(inner, HeldCorrelation)
        self._inverse: Array | None = None
        self._fits: dict[bytes, Fit] = {}

    def problem_at(self, fit: Fit) -> OrdinaryHeld:
        """Return the inner problem on whitened rows."""
        return AllFree(fit) if self.of_residual else ordinary_problem(fit, self.parameter)

    @lazy
    def _middle(self) -> State:
        return state_of_fit(self.fit)

    def fit_at(self, x: Array) -> Fit:
        """Return a fit with the rows whitened at x, and θ of the estimates."""
        key = x.tobytes()
        if key not in self._fits:
            while len(self._fits) >= REMEMBERED:
                self._fits.pop(next(iter(self._fits)))
            design, cross = whitened_rows(self.search.raw, self.model.root(x), self.search.log_weights)
            if not np.array_equal(cross.fixed.kept, self.fit.cross.fixed.kept):
                raise FloatingPointError(
                    "a column of X is lost in rounding, beside rows with a small variance"
                )
            theta = theta_of(self.fit, self._middle)
            evaluation = Criterion(cross, structures_of(self.fit), False, self.fit.held_sigma)(theta)
            whitened = Whitened(x, self.model, design)
            self._fits[key] = replace(
                self.fit, cross=cross, theta=theta, evaluation=evaluation, residual=whitened
            )
        return self._fits[key]

    def split(self, x: Array) -> tuple[Array, Array]:
        """Return the argument of the inner problem, and the residual parameters."""
        at = x.size - self.model.n_parameters
        return x[:at], x[at:]

    def start(self, state: State, value: float) -> Array:
        """Return the x nearest to a state."""
        assert state.residual is not None
        fit = self.fit_at(state.residual)
        inner = self.problem_at(fit).start(in_basis(self.fit, state, fit), value)
        return np.concatenate([inner, state.residual])

    def lifted(self, value: float, x: Array) -> Array:
        """Return x with diagonals of λ moved off 0."""
        inner, own = self.split(x)
        try:
            return np.concatenate([self.problem_at(self.fit_at(own)).lifted(value, inner), own])
        except (FloatingPointError, np.linalg.LinAlgError):  # extrapolated out of the domain
            return x

    def slope(self, value: float, x: Array) -> float:
        """Return ∂d/∂ψ at a minimum x."""
        inner, own = self.split(x)
        fit = self.fit_at(own)
        problem = self.problem_at(fit)
        if not self.of_residual:
            return problem.slope(value, inner)
        surface = HeldSurface(self.model, self.parameter.first, value, own)
        return surface.slope(own, self.gradient(fit, problem, value, inner))

    def state(self, value: float, x: Array) -> State:
        """Return the values of all parameters at a minimum x."""
        inner, own = self.split(x)
        fit = self.fit_at(own)
        return replace(
            in_basis(fit, self.problem_at(fit).state(value, inner), self.fit), residual=np.array(own)
        )

    def is_reversed(self, value: float, x: Array) -> bool:
        """Return whether the standard deviations of a held correlation have opposite signs."""
        inner, own = self.split(x)
        problem = self.problem_at(self.fit_at(own))
        return isinstance(problem, HeldCorrelation) and problem.is_reversed(value, inner)

    def gradient(self, fit: Fit, problem: OrdinaryHeld, value: float, inner: Array) -> Array:
        """Return ∂d/∂x with all else held, shape (parameters,)."""
        assert fit.residual is not None
        raw, point = self.search.raw, problem.criterion(value)(inner)
        evaluation = point.evaluation if isinstance(point, HeldPoint) else point
        cross = evaluation.criterion.cross
        rest = raw.y - raw.X[:, cross.fixed.kept] @ problem.state(value, inner).beta
        for block, own in zip(raw.blocks, modes_of(raw, cross, evaluation), strict=True):
            rest = rest - np.einsum("ik,ik->i", block.z, own[block.codes])
        return fit.residual.root.slope(row_roots(raw, cross, evaluation, rest))

    def minimum(self, value: float, start: Array, tolerance: float) -> Optimum:
        """Return the minimum over the other parameters.

        Raises
        ------
        FloatingPointError
            If the criterion is not finite at the start.
        """
        search = _Search(self, value, start)
        several = search.surface is not None and np.count_nonzero(search.surface.normal) > 1
        found = minimise_bfgs(
            search,
            search.start,
            scale=2.0 / self.search.raw.n,
            inverse=None if several else self._inverse,
            tolerance=min(tolerance, OUTER),
            max_evaluations=MOST_EVALUATIONS,
            beyond=lambda z: self.search.runs_away(search.place(z)),
        )
        point = found.point
        if found.reached and found.inverse is not None and np.all(np.linalg.eigvalsh(found.inverse) > 0.0):
            self._inverse = found.inverse
        x = np.concatenate([point.optimum.x, point.x])
        decrement = found.decrement + point.optimum.decrement
        return Optimum(x, point, decrement, found.evaluations, found.reached)


class _Search:
    """The lowest criterion at residual parameters that z places, each time from the best state so far.

    Parameters
    ----------
    held : HeldWhitened
    value : float
    start : ndarray
        Argument of the inner problem, and x.
    """

    def __init__(self, held: HeldWhitened, value: float, start: Array) -> None:
        inner, x = held.split(start)
        self.held, self.value, self.lowest = held, value, float("inf")
        self.best = held.fit_at(x)
        self.state = held.problem_at(self.best).state(value, inner)
        self.surface = HeldSurface(held.model, held.parameter.first, value, x) if held.of_residual else None
        self.start = x if self.surface is None else np.zeros(x.size - 1)

    def place(self, z: Array) -> Array:
        """Return the residual parameters."""
        return z if self.surface is None else self.surface.at(z)

    def __call__(self, z: Array) -> _Point:
        """Return the point at z."""
        point = _Point(self, z)
        if point.value < self.lowest:
            self.lowest, self.best = point.value, point.fit
            self.state = point.problem.state(self.value, point.optimum.x)
        return point


class _Point:
    """The criterion at one x, minimised over the parameters of the inner problem.

    Attributes
    ----------
    value : float
        Infinite outside of the domain.
    """

    x: Array
    fit: Fit
    problem: OrdinaryHeld
    optimum: Optimum

    def __init__(self, search: _Search, z: Array) -> None:
        held, self.search, self.value = search.held, search, float("inf")
        try:
            self.x = search.place(z)
            self.fit = held.fit_at(self.x)
            self.problem = held.problem_at(self.fit)
            start = self.problem.start(in_basis(search.best, search.state, self.fit), search.value)
            self.optimum = self.problem.minimum(search.value, start, INNER)
        except (FloatingPointError, ModelError, np.linalg.LinAlgError):
            return
        if self.optimum.reached:
            self.value = float(self.optimum.point.value)

    @lazy
    def gradient(self) -> Array:
        """∂d/∂z."""
        search = self.search
        slopes = search.held.gradient(self.fit, self.problem, search.value, self.optimum.x)
        return slopes if search.surface is None else search.surface.gradient(self.x, slopes)
