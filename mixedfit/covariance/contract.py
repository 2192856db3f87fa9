"""The protocol of covariance structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from mixedfit.core.arrays import Array

__all__ = ["CovarianceStructure"]


class CovarianceStructure(Protocol):
    """Maps θ to λ, the lower-triangular factor of the relative covariance λλᵀ of one level's effects.

    Laws, checked for every structure by one test: λ is lower triangular; λλᵀ equals the textbook
    matrix; `derivative` equals a finite difference; `theta_from_root` inverts `factor`.

    Attributes
    ----------
    k : int
        Effects per level.
    n_theta : int
        Number of parameters.
    start : ndarray, shape (n_theta,)
        θ at λ = I.
    invariance : {"linear", "diagonal"}
        Changes of the effects' basis that the structure absorbs: any linear one, or scalings only.
    diagonal : ndarray, shape (k,)
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
        """Return θ with λλᵀ = `cov`, shape (k, k), positive semi-definite."""
        ...

    def theta_from_root(self, root: Array) -> Array:
        """Return θ with λλᵀ = `root` `root`ᵀ; keeps the digits that forming the product would lose."""
        ...

    def names(self, effects: Sequence[str]) -> tuple[str, ...]:
        """Return θ's names as lme4 builds them from the effects' names."""
        ...
