"""One parameter held: the state of a model at a point of its profile, and the contract of a held parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse
from mixedfit.covariance import BlockDiagonal
from mixedfit.estimation.fit import Fit
from mixedfit.likelihood.criterion import Criterion, Evaluation

__all__ = [
    "OFF_BOUNDARY",
    "Held",
    "State",
    "beta_at",
    "canonical_diagonal",
    "canonical_theta",
    "off_zero",
    "relative_of",
    "structures_of",
]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Values of all parameters at one point of a profile.

    Attributes
    ----------
    relative : tuple of ndarray, shape (k, k)
        λλᵀ of every block, in the formula's own basis.
    sigma : float
        In units of y.
    beta : ndarray, shape (p,)
        Estimated columns of X.
    """

    relative: tuple[Array, ...]
    sigma: float
    beta: Array


class Held(Protocol):
    """A parameter that can be held.

    Attributes
    ----------
    low, high : float
        The ends of its range, both of them points of the range.
    """

    low: float
    high: float

    def criterion(self, value: float) -> Callable[[Array], Any]:
        """Return the function to minimise: an array of parameters → a point with value, gradient and curvature."""
        ...

    def start(self, state: State, value: float) -> Array:
        """Return the parameters of that function nearest to a state."""
        ...

    def lifted(self, value: float, x: Array) -> Array:
        """Return parameters with diagonals off 0, where a search would see no gradient."""
        ...

    def slope(self, value: float, x: Array) -> float:
        """Return ∂d/∂ψ at a minimum."""
        ...

    def state(self, value: float, x: Array) -> State:
        """Return the values of all parameters at a minimum."""
        ...


OFF_BOUNDARY = 0.02
"""Least start of a diagonal of λ̃, in units where effects have unit root mean square: at 0 the gradient vanishes."""


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
    """Return parameters whose diagonals are at least `least` in size."""
    out = np.array(x)
    small = np.abs(out[diagonal]) < least
    out[diagonal] = np.where(small, least, out[diagonal])
    return out


def canonical_theta(fit: Fit, state: State) -> Array:
    """Return θ̃ of a state, diagonals kept off 0 so that a search can leave it."""
    parts = [
        structure.theta_from(basis @ relative @ basis.T)
        for structure, relative, basis in zip(
            structures_of(fit), state.relative, fit.cross.basis, strict=True
        )
    ]
    return off_zero(np.concatenate(parts), canonical_diagonal(fit)) if parts else np.zeros(0)


def relative_of(fit: Fit, lams: Sequence[Array]) -> tuple[Array, ...]:
    """Return λλᵀ in the formula's basis from λ̃."""
    roots = [inverse(basis) @ lam for basis, lam in zip(fit.cross.basis, lams, strict=True)]
    return tuple(root @ root.T for root in roots)
