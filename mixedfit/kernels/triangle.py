"""Small symmetric systems: Cholesky factor, triangular solves and inverse, without a call to LAPACK."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array

from ._compile import kernel, plain

__all__ = ["cholesky", "solve_lower", "solve_upper", "symmetric_inverse"]


@kernel
def cholesky(matrix: Array) -> bool:
    """Replace the lower triangle by L with L Lᵀ = `matrix`; return whether that was possible."""
    for i in range(matrix.shape[0]):
        row = matrix[i]
        for h in range(i):
            other = matrix[h]
            total = row[h]
            for c in range(h):
                total -= row[c] * other[c]
            row[h] = total / other[h]
        pivot = row[i]
        for c in range(i):
            pivot -= row[c] * row[c]
        if not (pivot > 0.0 and pivot < np.inf):
            return False
        row[i] = np.sqrt(pivot)
    return True


@plain
def solve_lower(chol: Array, vector: Array, size: int) -> None:
    """Replace the first `size` elements of `vector` by L⁻¹ of them."""
    for i in range(size):
        total = vector[i]
        for c in range(i):
            total -= chol[i, c] * vector[c]
        vector[i] = total / chol[i, i]


@plain
def solve_upper(chol: Array, vector: Array, size: int) -> None:
    """Replace the first `size` elements of `vector` by L⁻ᵀ of them."""
    for i in range(size - 1, -1, -1):
        vector[i] /= chol[i, i]
        for c in range(i):
            vector[c] -= chol[i, c] * vector[i]


@kernel
def symmetric_inverse(chol: Array, start: int, stop: int) -> Array:
    """Return (L Lᵀ)⁻¹ for the rows and columns `start` to `stop` of L."""
    size = stop - start
    lower, out = np.zeros((size, size)), np.zeros((size, size))
    for i in range(size):
        row = lower[i]
        row[i] = 1.0
        for c in range(i):
            factor, other = chol[start + i, start + c], lower[c]
            for h in range(c + 1):
                row[h] -= factor * other[h]
        over = 1.0 / chol[start + i, start + i]
        for h in range(i + 1):
            row[h] *= over
    for r in range(size):
        row = lower[r]
        for i in range(r + 1):
            factor = row[i]
            for h in range(i + 1):
                out[i, h] += factor * row[h]
    for i in range(size):
        for h in range(i):
            out[h, i] = out[i, h]
    return out
