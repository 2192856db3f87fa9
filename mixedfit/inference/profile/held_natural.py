"""Variance parameters held in models with covariance structures such as ``ar1``, whose θ ↦ λ is not linear.

Each natural parameter is a function of one element θ_a of the search's parameters. A correlation, range, decay or
smoothness fixes θ_a; a standard deviation fixes it given σ: θ_a = c e^{−s/2} or θ_a = c − s/2 with s = log σ².
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import inverse
from mixedfit.covariance import CovarianceStructure, ScaledCorrelation
from mixedfit.covariance.scaled_correlation import LEAST_LOG_SD
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.optimize import Optimum
from mixedfit.estimation.parameters import Parameter
from mixedfit.likelihood.criterion import Criterion, Evaluation

from .held_point import HeldPoint
from .held_state import State, canonical_theta, minimum_of, state_of, structures_of

__all__ = ["HeldNatural", "natural_value", "place_of"]

FAINT_NOISE = 0.01
"""Residual standard deviation, as a share of the fit's, below which it is taken as on its way to 0."""

NEAR_LIMIT = 1e-4
"""Newton decrement at which a search that starts on this way stops."""


def place_of(fit: Fit, parameter: Parameter) -> tuple[CovarianceStructure, slice, int, float] | None:
    """Return how θ̃ has a variance parameter, or None if not in one element.

    Returns
    -------
    structure : CovarianceStructure
        Of the parameter's term.
    here : slice
        The term's elements of θ̃.
    position : int
        The parameter's position in them.
    unit : float
        Element of R by which a standard deviation is multiplied in the basis of the cross-products.
    """
    start, basis = fit.design.theta_slices[parameter.block].start, fit.cross.basis[parameter.block]
    for part, t, e in structures_of(fit)[parameter.block].slices():
        here = slice(start + t.start, start + t.stop)
        if isinstance(part, ScaledCorrelation) and t.start <= parameter.place < t.stop:
            at = parameter.place - t.start
            if part.name in ("toep", "homtoep") and at > part.n_sd:
                return None
            return part, here, at, float(basis[e.start + min(at, part.k - 1), e.start + min(at, part.k - 1)])
        if parameter.place < 0 and e.start <= parameter.first < e.stop:
            if parameter.kind != "sd" or (part.k > 1 and part.invariance == "linear"):
                return None
            return part, here, parameter.first - e.start, float(basis[parameter.first, parameter.first])
    return None


def natural_value(fit: Fit, parameter: Parameter, state: State) -> float:
    """Return a natural parameter of a structure at a state."""
    assert state.theta is not None
    block = fit.design.blocks[parameter.block]
    start, basis = fit.design.theta_slices[parameter.block].start, fit.cross.basis[parameter.block]
    for part, t, e in block.structure.slices():
        if isinstance(part, ScaledCorrelation) and t.start <= parameter.place < t.stop:
            own = part.change_units(state.theta[start + t.start : start + t.stop], inverse(basis[e, e]))
            value = float(part.natural(own)[0][parameter.place - t.start])
            return state.sigma * value if parameter.kind == "sd" else value
    raise AssertionError("a natural parameter belongs to a structure")


class HeldNatural:
    """A standard deviation, correlation, range, decay or smoothness held at a value.

    Parameters
    ----------
    fit : Fit
    parameter : Parameter
    """

    def __init__(self, fit: Fit, parameter: Parameter) -> None:
        found = place_of(fit, parameter)
        assert found is not None, "checked before"
        self.fit, self.parameter = fit, parameter
        self.part, self.here, self.position, self.unit = found
        self.at = self.here.start + self.position
        self.deviation = parameter.kind == "sd"
        self.moves = self.deviation and fit.held_sigma is None
        self.low, self.high = (0.0, np.inf) if parameter.place < 0 else (parameter.lower, parameter.upper)

    @lazy
    def _logarithmic(self) -> bool:
        """Whether θ_a is the logarithm of a standard deviation."""
        return self.deviation and isinstance(self.part, ScaledCorrelation) and not self.part.homogeneous

    @lazy
    def _base(self) -> Criterion:
        sigma = 1.0 if self.moves else self.fit.held_sigma
        return Criterion(self.fit.cross, structures_of(self.fit), False, sigma, canonical=True)

    def held(self, value: float, s: float) -> tuple[float, float, float]:
        """Return θ_a and its first and second derivative in s."""
        if not self.deviation:
            assert isinstance(self.part, ScaledCorrelation)
            shown = self.part.natural(self.fit.chart.eta[self.here])[0][self.part.n_sd :]
            shown[self.position - self.part.n_sd] = value
            if self.part.name in ("toep", "homtoep"):
                return float(np.arcsin(value)), 0.0, 0.0
            return self.part.parameters(*shown.tolist())[self.position - self.part.n_sd], 0.0, 0.0
        sigma = np.exp(0.5 * s) * self.fit.cross.fixed.scale
        if self._logarithmic:
            return (
                (float(np.log(value / sigma * self.unit)), -0.5, 0.0)
                if value > 0
                else (LEAST_LOG_SD, 0.0, 0.0)
            )
        t = float(value / sigma * self.unit)
        return t, -0.5 * t, 0.25 * t

    def log_variance(self, x: Array) -> float:
        """Return s."""
        if self.moves:
            return float(x[-1])
        sigma = self.fit.held_sigma
        return 0.0 if sigma is None else 2.0 * float(np.log(sigma / self.fit.cross.fixed.scale))

    def evaluate(self, value: float, x: Array) -> Evaluation:
        """Return the evaluation at a value of the parameter and the others."""
        own, s = (x[:-1] if self.moves else x), self.log_variance(x)
        theta = np.insert(own, self.at, self.held(value, s)[0])
        base = self._base.at_sigma(np.exp(0.5 * s) * self.fit.cross.fixed.scale) if self.moves else self._base
        return base(theta)

    def criterion(self, value: float) -> Callable[[Array], Any]:
        """Return the function to minimise."""

        def at(x: Array) -> HeldPoint:
            slopes = self.held(value, self.log_variance(x))[1:]
            return HeldPoint(self.evaluate(value, x), self.at, self.moves, slopes)

        return lambda x: at(np.asarray(x, dtype=float))

    def minimum(self, value: float, start: Array, tolerance: float) -> Optimum:
        """Return the minimum over the other parameters.

        Where it is at σ = 0, relative standard deviations grow without end. Then a point near enough is the minimum:
        the criterion lies above its limit by a multiple of σ².
        """
        function = self.criterion(value)
        if self._without_noise(function(start)):
            tolerance = max(tolerance, NEAR_LIMIT)
        optimum = minimum_of(function, start, tolerance)
        if not optimum.reached and self._without_noise(optimum.point):
            return replace(optimum, decrement=0.0, reached=True)
        return optimum

    def _without_noise(self, point: HeldPoint) -> bool:
        return self.fit.held_sigma is None and point.evaluation.sigma < FAINT_NOISE * self.fit.sigma

    def start(self, state: State, value: float) -> Array:
        """Return the x nearest to a state."""
        theta = np.delete(canonical_theta(self.fit, state), self.at)
        return (
            np.append(theta, 2.0 * np.log(state.sigma / self.fit.cross.fixed.scale)) if self.moves else theta
        )

    def lifted(self, value: float, x: Array) -> Array:
        """Return x."""
        return x

    def slope(self, value: float, x: Array) -> float:
        """Return ∂d/∂ψ at a minimum x."""
        s, step = self.log_variance(x), 1e-6 * max(abs(value), 1e-3)
        low, high = max(value - step, self.low), min(value + step, self.high)
        if value in (self.low, self.high):
            return float("nan")
        along = (self.held(high, s)[0] - self.held(low, s)[0]) / (high - low)
        return float(self.evaluate(value, x).gradient[self.at] * along)

    def state(self, value: float, x: Array) -> State:
        """Return the values of all parameters at a minimum x."""
        return state_of(self.fit, self.evaluate(value, x))
