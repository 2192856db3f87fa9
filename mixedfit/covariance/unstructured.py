"""Unstructured covariance, parametrised by its Cholesky factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import triangle

from .linear import linear_curvature, linear_directions

__all__ = ["Unstructured", "lower_factor"]


@dataclass(frozen=True)
class Unstructured:
    """λ with a free lower triangle; θ lists its elements column by column, as in lme4.

    Bates, Mächler, Bolker & Walker (2015), J. Stat. Softw. 67(1), section 2.2.

    Parameters
    ----------
    k : int
        Effects per level.

    Examples
    --------
    >>> Unstructured(2).factor([1.0, 0.5, 2.0])
    array([[1. , 0. ],
           [0.5, 2. ]])
    """

    k: int
    invariance: Literal["linear", "diagonal"] = "linear"

    name = "us"
    linear = True

    @property
    def n_theta(self) -> int:
        """Number of free elements, k (k + 1) / 2."""
        return self.k * (self.k + 1) // 2

    @property
    def start(self) -> Array:
        """θ at λ = I, shape (n_theta,)."""
        rows, columns = _lower(self.k)
        return np.asarray(rows == columns, dtype=float)

    @lazy
    def diagonal(self) -> tuple[int, ...]:
        """Positions in θ of λ's diagonal."""
        rows, columns = _lower(self.k)
        return tuple(int(i) for i in np.flatnonzero(rows == columns))

    def factor(self, theta: Array) -> Array:
        """Return λ, shape (k, k)."""
        lam = np.zeros((self.k, self.k))
        lam[_lower(self.k)] = theta
        return lam

    def derivative(self, theta: Array) -> Array:
        """Return ∂λ/∂θ, shape (n_theta, k, k), which does not depend on θ."""
        return _basis(self.k)

    def theta_from(self, cov: Array) -> Array:
        """Return θ of a covariance matrix, shape (k, k)."""
        values, vectors = np.linalg.eigh(np.asarray(cov, dtype=float))
        return self.theta_from_root(vectors * np.sqrt(np.maximum(values, 0.0)))

    def theta_from_root(self, root: Array) -> Array:
        """Return θ of the covariance `root` `root`ᵀ; `root` has shape (k, any)."""
        return np.asarray(lower_factor(root)[_lower(self.k)])

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
        """Return names such as ``(Intercept)``, ``Days.(Intercept)``, ``Days``."""
        rows, columns = _lower(self.k)
        return tuple(
            effects[i] if i == j else f"{effects[i]}.{effects[j]}" for i, j in zip(rows, columns, strict=True)
        )


@lru_cache(maxsize=64)
def _lower(k: int) -> tuple[IntArray, IntArray]:
    """Return the rows and columns of the elements of the lower triangle, column by column."""
    columns, rows = np.triu_indices(k)
    return rows, columns


@lru_cache(maxsize=64)
def _basis(k: int) -> Array:
    rows, columns = _lower(k)
    basis = np.zeros((rows.size, k, k))
    basis[np.arange(rows.size), rows, columns] = 1.0
    basis.flags.writeable = False
    return basis


def lower_factor(root: Array) -> Array:
    """Return the lower-triangular L with L Lᵀ = `root` `root`ᵀ and a diagonal ≥ 0, shape (k, k).

    A diagonal element is set to 0 if it is a rounding error relative to the norm of its row, so that a singular
    covariance remains exactly singular after a change of basis.
    """
    root = np.asarray(root, dtype=float)
    k = root.shape[0]
    if k == 1:
        return np.array([[np.sqrt(np.sum(root * root))]])
    upper = triangle(root.T)
    lam = np.zeros((k, k))
    lam[:, : upper.shape[0]] = upper.T
    rows = np.sqrt(np.sum(lam * lam, axis=1))
    tiny = np.abs(np.diag(lam)) <= 1e-13 * k * np.where(rows > 0, rows, 1.0)
    lam[:, np.flatnonzero(np.diag(lam) < 0)] *= -1.0
    lam[np.flatnonzero(tiny), np.flatnonzero(tiny)] = 0.0
    return lam
