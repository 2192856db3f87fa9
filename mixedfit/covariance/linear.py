"""Derivatives of λλᵀ for structures with λ linear in θ."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mixedfit.core.arrays import Array

__all__ = ["linear_curvature", "linear_directions"]


class _Linear(Protocol):
    def factor(self, theta: Array) -> Array: ...
    def derivative(self, theta: Array) -> Array: ...


def linear_directions(structure: _Linear, theta: Array) -> Array:
    """Return ∂(λλᵀ)/∂θ_a = M_a λᵀ + λ M_aᵀ, shape (n_theta, k, k), of λ = Σ θ_a M_a."""
    one = structure.derivative(theta) @ structure.factor(theta).T
    return np.asarray(one + one.transpose(0, 2, 1))


def linear_curvature(structure: _Linear, theta: Array, slope: Array) -> Array:
    """Return 2 ⟨M_a, S M_b⟩, shape (n_theta, n_theta), S = `slope` symmetric."""
    own = structure.derivative(theta)
    return np.asarray(2.0 * np.einsum("aij,bij->ab", own, slope @ own))
