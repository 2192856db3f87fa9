"""The protocol of covariance structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from mixedfit.core.arrays import Array

__all__ = ["CovarianceStructure", "Invariance"]

Invariance = Literal["linear", "diagonal", "scales", "scale"]
"""Changes of the basis of the effects under which a family of covariances is closed."""


class CovarianceStructure(Protocol):
    """Maps θ to λ, the lower-triangular factor of the relative covariance λλᵀ of one level's effects.

    ``tests/covariance/test_structures.py`` checks for every structure that λλᵀ equals the textbook's matrix and that
    the derivatives equal finite differences; for linear ones also that λ is lower triangular and `theta_from_root`
    inverts `factor`.

    A structure is linear if θ ↦ λ is, as for an unstructured and a diagonal covariance; small models of these are
    fitted by compiled code. All others derive from `ScaledCorrelation`; the search uses their derivatives of λλᵀ.

    Attributes
    ----------
    name : str
        In formulas: ``us``, ``diag``, ``ar1``, ….
    linear : bool
        Whether θ ↦ λ is linear.
    k : int
        Effects per level.
    n_theta : int
        Number of parameters.
    start : ndarray, shape (n_theta,)
        θ at λ = I.
    invariance : {"linear", "diagonal", "scales", "scale"}
        "linear": every covariance matrix is of this form. "diagonal": every diagonal one. Structures that are not
        linear: "scales" if each effect may have its own unit, "scale" if all have the same.
    diagonal : tuple of int
        Position in θ of each diagonal element of λ; of the standard deviations of a structure that is not linear.
    """

    @property
    def name(self) -> str: ...
    @property
    def linear(self) -> bool: ...

    @property
    def k(self) -> int: ...
    @property
    def n_theta(self) -> int: ...
    @property
    def start(self) -> Array: ...
    @property
    def invariance(self) -> Invariance: ...
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

    def directions(self, theta: Array) -> Array:
        """Return ∂(λλᵀ)/∂θ, shape (n_theta, k, k)."""
        ...

    def curvature(self, theta: Array, slope: Array) -> Array:
        """Return Σ_ij slope_ij ∂²(λλᵀ)_ij/∂θ∂θ, shape (n_theta, n_theta), for a symmetric `slope`, shape (k, k)."""
        ...

    def change_units(self, theta: Array, basis: Array) -> Array:
        """Return θ of T λλᵀ Tᵀ, T = `basis` one of the changes of basis that `invariance` allows."""
        ...

    def names(self, effects: Sequence[str]) -> tuple[str, ...]:
        """Return lme4's names of θ, from the names of the effects."""
        ...
