"""The likelihood with σ or a fixed effect held, and the choice of the held problem of an ordinary fit."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy, memo
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.held_coefficient import HeldCoefficient, held_coefficient
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.optimize import Optimum
from mixedfit.estimation.parameters import Parameter
from mixedfit.estimation.structures import has_structures
from mixedfit.likelihood.criterion import Criterion

from .held_natural import HeldNatural
from .held_state import (
    OrdinaryHeld,
    State,
    beta_at,
    canonical_diagonal,
    canonical_theta,
    minimum_of,
    off_zero,
    roots_of,
    state_of,
    structures_of,
)
from .held_variance import HeldCorrelation, HeldDeviation

__all__ = ["AllFree", "ordinary_problem"]


def ordinary_problem(fit: Fit, parameter: Parameter) -> OrdinaryHeld:
    """Return the problem of one parameter of a maximum-likelihood fit, with residual parameters as they are."""
    if parameter.kind == "fixed":
        return _HeldFixed(fit, int(np.flatnonzero(fit.cross.fixed.kept == parameter.first)[0]))
    if parameter.kind == "sigma":
        return _HeldSigma(fit)
    if has_structures(fit.design):
        return HeldNatural(fit, parameter)
    if parameter.kind == "correlation":
        return HeldCorrelation(fit, parameter)
    return HeldDeviation(fit, parameter)


class _CanonicalSearch:
    """Search over θ̃ of all blocks, shared by σ and fixed effects.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit

    def _criterion(self, cross: CrossProducts, sigma: float | None) -> Criterion:
        return Criterion(cross, structures_of(self.fit), False, sigma, canonical=True)

    def criterion(self, value: float) -> Criterion:
        raise NotImplementedError

    def minimum(self, value: float, start: Array, tolerance: float) -> Optimum:
        return minimum_of(self.criterion(value), start, tolerance)

    def start(self, state: State, value: float) -> Array:
        return canonical_theta(self.fit, state)

    def lifted(self, value: float, x: Array) -> Array:
        return x if has_structures(self.fit.design) else off_zero(x, canonical_diagonal(self.fit))


class AllFree(_CanonicalSearch):
    """No parameter held: the likelihood at known residual parameters."""

    low, high = -np.inf, np.inf

    def criterion(self, value: float) -> Criterion:
        """Return the criterion of θ̃."""
        return self._criterion(self.fit.cross, self.fit.held_sigma)

    def slope(self, value: float, x: Array) -> float:
        """Return 0."""
        return 0.0

    def state(self, value: float, x: Array) -> State:
        """Return the values of all parameters at x."""
        return state_of(self.fit, self.criterion(value)(x))


class _HeldSigma(_CanonicalSearch):
    """σ held at a value, in units of y."""

    low, high = 0.0, np.inf

    @memo
    def criterion(self, value: float) -> Criterion:
        return self._criterion(self.fit.cross, value)

    def slope(self, value: float, x: Array) -> float:
        evaluation = self.criterion(value)(x)
        return float(2.0 / value * (self.fit.cross.n - evaluation.tail.prss / evaluation.sigma_squared))

    def state(self, value: float, x: Array) -> State:
        return state_of(self.fit, self.criterion(value)(x))


class _HeldFixed(_CanonicalSearch):
    """A fixed effect held at a value, in units of y per unit of x.

    Parameters
    ----------
    fit : Fit
    position : int
        Position among the estimated columns of X.
    """

    low, high = -np.inf, np.inf

    def __init__(self, fit: Fit, position: int) -> None:
        super().__init__(fit)
        self.position = position

    @lazy
    def _free(self) -> Criterion:
        """The criterion with the coefficient free."""
        return self._criterion(self.fit.cross, self.fit.held_sigma)

    @memo
    def _held(self, value: float) -> HeldCoefficient:
        return held_coefficient(self.fit.cross, self.position, value)

    @memo
    def criterion(self, value: float) -> Criterion:
        return self._criterion(self._held(value).cross, self.fit.held_sigma)

    def slope(self, value: float, x: Array) -> float:
        """At fixed θ the residual sum of squares is a parabola in β_j around its free estimate."""
        free, fixed = self._free(x), self.fit.cross.fixed
        many = self.fit.cross.q_tail - self.fit.cross.q_random
        v = fixed.transform[self.position]
        variance = float(v @ free.tail.fixed_covariance()[many:, many:] @ v)
        gap = (value - float(beta_at(self.fit, free)[self.position])) / fixed.scale
        scale = free.sigma_squared
        if self.fit.held_sigma is None:
            scale = (free.tail.prss + gap * gap / variance) / self.fit.cross.n
        return float(2.0 * gap / (variance * scale * fixed.scale))

    def state(self, value: float, x: Array) -> State:
        held = self._held(value)
        evaluation = self.criterion(value)(x)
        fixed = self.fit.cross.fixed
        gamma = held.base + held.free @ evaluation.solution[self.fit.cross.q_tail :]
        beta = fixed.centre + fixed.scale * (fixed.transform @ gamma)
        theta = evaluation.theta if has_structures(self.fit.design) else None
        return State(roots_of(evaluation), evaluation.sigma, beta, theta)
