"""The protocol of covariance structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from mixedfit.core.arrays import Array

__all__ = ["CovarianceStructure"]


class CovarianceStructure(Protocol):
    """Maps θ to λ, the lower-triangular factor of the relative covariance λλᵀ of one level's effects.

    ``tests/covariance/test_structures.py`` checks for every structure that λ is lower triangular, λλᵀ equals the
    textbook's matrix, `derivative` equals a finite difference, and `theta_from_root` inverts `factor`.

    Attributes
    ----------
    k : int
        Effects per level.
    n_theta : int
        Number of parameters.
    start : ndarray, shape (n_theta,)
        θ at λ = I.
    invariance : {"linear", "diagonal"}
        Changes of the basis of the effects under which the family of covariances is closed: all linear ones, or
        scalings only.
    diagonal : tuple of int, length k
        Position in θ of each diagonal element of λ.
    """

    @property
    def k(self) -> int: ...
    @property
    def n_theta(self) -> int: ...
    @property
    def start(self) -> Array: ...
    @property
    def invariance(self) -> Literal["linear", "diagonal"]: ...
    @property
    def diagonal(self) -> tuple[int, ...]: ...

    def factor(self, theta: Array) -> Array:
        """Return λ, shape (k, k)."""
        ...

    def derivative(self, theta: Array) -> Array:
        """Return ∂λ/∂θ, shape (n_theta, k, k)."""
        ...

    def theta_from(self, cov: Array) -> Array:
        """Return θ with λλᵀ = `cov`, a positive semi-definite matrix of shape (k, k)."""
        ...

    def theta_from_root(self, root: Array) -> Array:
        """Return θ with λλᵀ = `root` `root`ᵀ, without forming the product, which would lose digits."""
        ...

    def names(self, effects: Sequence[str]) -> tuple[str, ...]:
        """Return lme4's names of θ, from the names of the effects."""
        ...
