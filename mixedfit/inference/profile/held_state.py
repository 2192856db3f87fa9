"""The contract of a parameter held at a value, and the state of all parameters at a point of a profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse
from mixedfit.covariance import BlockDiagonal
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.optimize import Optimum, minimise
from mixedfit.estimation.search import minimise_criterion
from mixedfit.estimation.structures import has_structures
from mixedfit.likelihood.criterion import Criterion, Evaluation

__all__ = [
    "OFF_BOUNDARY",
    "Held",
    "OrdinaryHeld",
    "State",
    "beta_at",
    "canonical_diagonal",
    "canonical_theta",
    "in_basis",
    "minimum_of",
    "off_zero",
    "roots_of",
    "state_of",
    "state_of_fit",
    "structures_of",
    "theta_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Values of all parameters at one point of a profile.

    Attributes
    ----------
    lams : tuple of ndarray, shape (k, any)
        λ̃ of every block: a root of its relative covariance, in the basis of the cross-products.
    sigma : float
        Residual standard deviation, in units of y.
    beta : ndarray, shape (p,)
        Coefficients of the estimated columns of X.
    theta : ndarray or None
        θ̃ of all blocks, in models with covariance structures that are not linear.
    residual : ndarray or None
        Parameters x of the residual structure.
    """

    lams: tuple[Array, ...]
    sigma: float
    beta: Array
    theta: Array | None = None
    residual: Array | None = None


class Held(Protocol):
    """The likelihood with one parameter held, as a function of the others.

    Attributes
    ----------
    low, high : float
        Smallest and largest value of the parameter.
    """

    low: float
    high: float

    def minimum(self, value: float, start: Array, tolerance: float) -> Optimum:
        """Return the minimum over the other parameters from a start.

        Raises FloatingPointError if the criterion is not finite there.
        """
        ...

    def start(self, state: State, value: float) -> Array:
        """Return the x nearest to a state."""
        ...

    def lifted(self, value: float, x: Array) -> Array:
        """Return x with diagonals of λ moved off 0, where the gradient vanishes."""
        ...

    def slope(self, value: float, x: Array) -> float:
        """Return ∂d/∂ψ at a minimum x."""
        ...

    def state(self, value: float, x: Array) -> State:
        """Return the values of all parameters at a minimum x."""
        ...


class OrdinaryHeld(Held, Protocol):
    """A held problem of a fit whose residual parameters, if there are any, are known."""

    def criterion(self, value: float) -> Callable[[Array], Any]:
        """Return the function to minimise: other parameters x → a point with value, gradient and curvature."""
        ...


def minimum_of(function: Callable[[Array], Any], start: Array, tolerance: float) -> Optimum:
    """Return the minimum of a criterion or of another function with derivatives; see `Held.minimum`."""
    search: Callable[..., Optimum] = minimise_criterion if isinstance(function, Criterion) else minimise
    return search(function, start, tolerance=tolerance, negligible=tolerance, max_evaluations=80, report=None)


OFF_BOUNDARY = 0.02
"""Smallest start of a diagonal of λ̃, where effects have unit root mean square: the gradient vanishes at 0."""


def structures_of(fit: Fit) -> tuple[BlockDiagonal, ...]:
    """Return the covariance structure of every block."""
    return tuple(block.structure for block in fit.design.blocks)


def beta_at(fit: Fit, evaluation: Evaluation) -> Array:
    """Return the estimated coefficients at an evaluation, in units of y and x, shape (p,)."""
    cross = fit.cross
    return np.asarray(
        cross.fixed.centre + cross.fixed.scale * (cross.fixed.transform @ evaluation.solution[cross.q_tail :])
    )


def canonical_diagonal(fit: Fit) -> IntArray:
    """Return the positions in θ of the diagonals of all λ."""
    return Criterion(fit.cross, structures_of(fit), False).diagonal


def off_zero(x: Array, diagonal: IntArray, least: Array | float = OFF_BOUNDARY) -> Array:
    """Return x with diagonals of absolute value at least `least`."""
    out = np.array(x)
    small = np.abs(out[diagonal]) < least
    out[diagonal] = np.where(small, least, out[diagonal])
    return out


def canonical_theta(fit: Fit, state: State) -> Array:
    """Return θ̃ of a state, with diagonals moved off 0."""
    if state.theta is not None:
        return state.theta
    parts = [
        structure.theta_from_root(lam) for structure, lam in zip(structures_of(fit), state.lams, strict=True)
    ]
    return off_zero(np.concatenate(parts), canonical_diagonal(fit)) if parts else np.zeros(0)


def state_of(fit: Fit, evaluation: Evaluation) -> State:
    """Return the state at an evaluation on the cross-products of the fit."""
    theta = evaluation.theta if has_structures(fit.design) else None
    return State(roots_of(evaluation), evaluation.sigma, beta_at(fit, evaluation), theta)


def state_of_fit(fit: Fit) -> State:
    """Return the state at a fit."""
    theta = None
    if has_structures(fit.design):
        theta = np.concatenate(
            [
                block.structure.change_units(fit.theta[here], basis)
                for block, here, basis in zip(
                    fit.design.blocks, fit.design.theta_slices, fit.cross.basis, strict=True
                )
            ]
        )
    residual = None if fit.residual is None else fit.residual.x
    return State(fit.chart.lams, fit.sigma, fit.beta[fit.cross.fixed.kept], theta, residual)


def theta_of(fit: Fit, state: State) -> Array:
    """Return θ in the formula's basis of a state of the fit, shape (n_theta,)."""
    blocks = zip(fit.design.blocks, fit.cross.basis, strict=True)
    if state.theta is not None:
        parts = [
            block.structure.change_units(state.theta[here], inverse(basis))
            for (block, basis), here in zip(blocks, fit.design.theta_slices, strict=True)
        ]
    else:
        parts = [
            block.structure.theta_from_root(inverse(basis) @ lam)
            for (block, basis), lam in zip(blocks, state.lams, strict=True)
        ]
    return np.concatenate(parts) if parts else np.zeros(0)


def in_basis(fit: Fit, state: State, other: Fit) -> State:
    """Return a state of one fit in the basis of another of the same model with other cross-products."""
    turns = [new @ inverse(old) for old, new in zip(fit.cross.basis, other.cross.basis, strict=True)]
    lams = tuple(turn @ lam for turn, lam in zip(turns, state.lams, strict=True))
    theta = state.theta
    if theta is not None:
        blocks = zip(fit.design.blocks, fit.design.theta_slices, turns, strict=True)
        theta = np.concatenate([b.structure.change_units(theta[here], turn) for b, here, turn in blocks])
    return replace(state, lams=lams, theta=theta)


def roots_of(evaluation: Evaluation) -> tuple[Array, ...]:
    """Return λ̃ of every block at an evaluation."""
    return tuple(np.array(lam) for lam in evaluation.tail.lams)
