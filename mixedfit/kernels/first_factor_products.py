"""Modes of the first factor, and products of Z c with V⁻¹; notation as in `first_factor`."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel
from .first_factor import factor_level

__all__ = ["project_first", "solve_first", "variates_first"]


@kernel
def project_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    slopes: Array,
    out: Array,
) -> None:
    """Fill `out` (levels, k, columns) with Z_jᵀV⁻¹ of the border's columns, given their `slopes` on the tail."""
    levels, k, columns = border.shape
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    column = np.empty(k)
    for j in range(levels):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for s in range(columns):
            for a in range(k):
                column[a] = border[j, a, s]
            for i in range(indptr[j], indptr[j + 1]):
                at = slopes[indices[i], s]
                for a in range(k):
                    column[a] -= values[i, a] * at
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += shrink[a, b] * column[b]
                out[j, a, s] = total


@kernel
def variates_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    coefficients: Array,
    products: Array,
    crossed: Array,
) -> None:
    """Add t_aᵀV₀⁻¹t_b and t_aᵀV₀⁻¹[tail X] of the variates t_a = Z c_a, `coefficients` (levels, k, count)."""
    levels, k, columns = border.shape
    count = coefficients.shape[2]
    q = crossed.shape[1] + 1 - columns
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    shrunk, image = np.empty((k, count)), np.empty((k, count))
    for j in range(levels):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += shrink[b, a] * coefficients[j, b, d]
                shrunk[a, d] = total
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += gram[j, a, b] * coefficients[j, b, d]
                image[a, d] = total
        for d in range(count):
            for e in range(count):
                total = 0.0
                for a in range(k):
                    total += shrunk[a, d] * image[a, e]
                products[d, e] += total
            for i in range(indptr[j], indptr[j + 1]):
                total = 0.0
                for a in range(k):
                    total += shrunk[a, d] * values[i, a]
                crossed[d, indices[i]] += total
            for s in range(columns - 1):
                total = 0.0
                for a in range(k):
                    total += shrunk[a, d] * border[j, a, s]
                crossed[d, q + s] += total


@kernel
def solve_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    solution: Array,
    effects: Array,
) -> None:
    """Fill `effects` (levels, k) with the modes b_j = λ u_j, given the tail's coefficients."""
    levels, k, columns = border.shape
    q = solution.size + 1 - columns
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    column, half = np.empty(k), np.empty(k)
    for j in range(levels):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for a in range(k):
            total = border[j, a, columns - 1]
            for s in range(columns - 1):
                total -= border[j, a, s] * solution[q + s]
            for i in range(indptr[j], indptr[j + 1]):
                total -= values[i, a] * solution[indices[i]]
            column[a] = total
        for a in range(k):
            total = 0.0
            for b in range(k):
                total += gain[a, b] * column[b]
            half[a] = total
        for a in range(k):
            total = 0.0
            for b in range(k):
                total += lam[a, b] * half[b]
            effects[j, a] = total
