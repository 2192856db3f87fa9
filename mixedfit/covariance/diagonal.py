"""Diagonal covariance: one variance for each effect, no correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mixedfit.core.arrays import Array

from .linear import linear_curvature, linear_directions

__all__ = ["Diagonal"]


@dataclass(frozen=True)
class Diagonal:
    """λ = diag(θ): the relative standard deviations of independent effects.

    Parameters
    ----------
    k : int
        Effects per level.

    Examples
    --------
    >>> Diagonal(2).factor([1.0, 2.0])
    array([[1., 0.],
           [0., 2.]])
    """

    k: int
    invariance: Literal["linear", "diagonal"] = "diagonal"

    name = "diag"
    linear = True

    @property
    def n_theta(self) -> int:
        """Number of variances, k."""
        return self.k

    @property
    def start(self) -> Array:
        """θ at λ = I, shape (k,)."""
        return np.ones(self.k)

    @property
    def diagonal(self) -> tuple[int, ...]:
        """Positions in θ of λ's diagonal."""
        return tuple(range(self.k))

    def factor(self, theta: Array) -> Array:
        """Return λ, shape (k, k)."""
        return np.diag(np.asarray(theta, dtype=float))

    def derivative(self, theta: Array) -> Array:
        """Return ∂λ/∂θ, shape (k, k, k)."""
        out = np.zeros((self.k, self.k, self.k))
        where = np.arange(self.k)
        out[where, where, where] = 1.0
        return out

    def theta_from(self, cov: Array) -> Array:
        """Return θ of a diagonal covariance matrix, shape (k, k)."""
        return np.asarray(np.sqrt(np.maximum(np.diag(cov), 0.0)))

    def theta_from_root(self, root: Array) -> Array:
        """Return θ of the diagonal covariance `root` `root`ᵀ; `root` has shape (k, any)."""
        return np.asarray(np.sqrt(np.sum(np.asarray(root, dtype=float) ** 2, axis=1)))

    def directions(self, theta: Array) -> Array:
        """Return ∂(λλᵀ)/∂θ, shape (n_theta, k, k)."""
        return linear_directions(self, theta)

    def curvature(self, theta: Array, slope: Array) -> Array:
        """Return Σ_ij slope_ij ∂²(λλᵀ)_ij/∂θ∂θ, shape (n_theta, n_theta)."""
        return linear_curvature(self, theta, slope)

    def change_units(self, theta: Array, basis: Array) -> Array:
        """Return θ of T λλᵀ Tᵀ, T = `basis`."""
        return self.theta_from_root(basis @ self.factor(theta))

    def names(self, effects: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the effects."""
        return tuple(effects)
