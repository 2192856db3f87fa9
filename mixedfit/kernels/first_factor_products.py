"""Modes of the first factor, and products of Z c with V⁻¹; notation as in `first_factor`.

F = KC is as small as 1/Ω in the range of λ, where K = I − AλN has only the digits of I. There λᵀF = P⁻¹λᵀC, which the
Cholesky factor gives to its own digits; `inverse` (k, k) is the pseudoinverse of λᵀ.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel
from .first_factor import factor_level, half_level

__all__ = ["project_first", "solve_first", "variates_first"]


@kernel
def _shrunk(
    lam: Array, inverse: Array, work: Array, chol: Array, half: Array, column: Array, room: Array, out: Array
) -> None:
    """Fill `out` (k,) with K times `column`, given Aλ, L and H of the level; `room` (k,) is work space."""
    k = lam.shape[0]
    for a in range(k):
        total = 0.0
        for b in range(k):
            total += half[a, b] * column[b]
        room[a] = total
    for a in range(k - 1, -1, -1):
        total = room[a]
        for c in range(a + 1, k):
            total -= chol[c, a] * room[c]
        room[a] = total / chol[a, a]
    for a in range(k):
        total = column[a]
        for b in range(k):
            total -= work[a, b] * room[b]
        out[a] = total
    for b in range(k):
        for a in range(k):
            room[b] -= lam[a, b] * out[a]
    for a in range(k):
        for b in range(k):
            out[a] += inverse[a, b] * room[b]


@kernel
def project_first(
    lam: Array,
    inverse: Array,
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
    work, chol, half = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    column, room = np.empty(k), np.empty(k)
    for j in range(levels):
        half_level(lam, gram[j], work, chol, half)
        for s in range(columns):
            for a in range(k):
                column[a] = border[j, a, s]
            for i in range(indptr[j], indptr[j + 1]):
                at = slopes[indices[i], s]
                for a in range(k):
                    column[a] -= values[i, a] * at
            _shrunk(lam, inverse, work, chol, half, column, room, out[j, :, s])


@kernel
def variates_first(
    lam: Array,
    inverse: Array,
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
    work, chol, half = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    column, room, shrunk = np.empty(k), np.empty(k), np.empty(k)
    for j in range(levels):
        half_level(lam, gram[j], work, chol, half)
        for e in range(count):
            for a in range(k):
                column[a] = 0.0
                for b in range(k):
                    column[a] += gram[j, a, b] * coefficients[j, b, e]
            _shrunk(lam, inverse, work, chol, half, column, room, shrunk)
            for d in range(count):
                for a in range(k):
                    products[d, e] += coefficients[j, a, d] * shrunk[a]
        for i in range(indptr[j], indptr[j + 1]):
            _shrunk(lam, inverse, work, chol, half, values[i], room, shrunk)
            for d in range(count):
                for a in range(k):
                    crossed[d, indices[i]] += coefficients[j, a, d] * shrunk[a]
        for s in range(columns - 1):
            for a in range(k):
                column[a] = border[j, a, s]
            _shrunk(lam, inverse, work, chol, half, column, room, shrunk)
            for d in range(count):
                for a in range(k):
                    crossed[d, q + s] += coefficients[j, a, d] * shrunk[a]


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
