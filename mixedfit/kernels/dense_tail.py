"""Products with Λ and traces for a dense tail, whose two triangles hold different matrices.

The strict upper triangle holds S̃, the lower one with the diagonal holds what is computed from it. Λ is block
diagonal: factor f has levels of `width[f]` effects in columns `start[f]` to `stop[f]`, and `lams[f]` (padded to
one shape) is its λ; columns after the last factor are multiplied by the identity.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel

__all__ = ["mirror", "pair_sums", "scale_lower"]

_BLOCK = 32


@kernel
def mirror(matrix: Array, from_upper: bool) -> None:
    """Copy the lower triangle to the upper one (or the upper to the lower), block by block."""
    n = matrix.shape[0]
    for top in range(0, n, _BLOCK):
        for left in range(0, top + 1, _BLOCK):
            for i in range(top, min(top + _BLOCK, n)):
                for j in range(left, min(left + _BLOCK, i)):
                    if from_upper:
                        matrix[i, j] = matrix[j, i]
                    else:
                        matrix[j, i] = matrix[i, j]


@kernel
def scale_lower(
    matrix: Array, start: IntArray, stop: IntArray, width: IntArray, lams: Array, transposed: bool
) -> None:
    """Lower triangle := ΛᵀMΛ, or ΛMΛᵀ if `transposed`."""
    n, widest = matrix.shape[0], lams.shape[1]
    held, own = np.empty(widest), np.empty((widest, widest))
    for f in range(start.size):
        k = width[f]
        for top in range(start[f], stop[f], k):
            for a in range(k):
                _scale_row(matrix[top + a], top, start, stop, width, lams, transposed, held)
            _scale_rows(matrix, top, k, lams[f], transposed, held)
            _scale_own(matrix, top, k, lams[f], transposed, own)
    random = stop[start.size - 1] if start.size else n
    for i in range(random, n):
        _scale_row(matrix[i], random, start, stop, width, lams, transposed, held)


@kernel
def _scale_row(
    row: Array,
    end: int,
    start: IntArray,
    stop: IntArray,
    width: IntArray,
    lams: Array,
    transposed: bool,
    held: Array,
) -> None:
    """Multiply the columns before `end` of one row by Λ (Λᵀ) from the right."""
    for g in range(start.size):
        k, last = width[g], min(stop[g], end)
        if k == 1:
            only = lams[g, 0, 0]
            for c in range(start[g], last):
                row[c] *= only
            continue
        for c in range(start[g], last, k):
            for b in range(k):
                held[b] = row[c + b]
            for b in range(k):
                total = 0.0
                for d in range(k):
                    total += held[d] * (lams[g, b, d] if transposed else lams[g, d, b])
                row[c + b] = total


@kernel
def _scale_rows(matrix: Array, top: int, k: int, lam: Array, transposed: bool, held: Array) -> None:
    """Multiply the columns before `top` of one level's rows by λᵀ (λ) from the left."""
    if k == 1:
        only = lam[0, 0]
        for c in range(top):
            matrix[top, c] *= only
        return
    for c in range(top):
        for a in range(k):
            held[a] = matrix[top + a, c]
        for a in range(k):
            total = 0.0
            for d in range(k):
                total += held[d] * (lam[a, d] if transposed else lam[d, a])
            matrix[top + a, c] = total


@kernel
def _scale_own(matrix: Array, top: int, k: int, lam: Array, transposed: bool, own: Array) -> None:
    """The lower triangle of one level's diagonal block := λᵀBλ (λBλᵀ)."""
    for a in range(k):
        for b in range(a + 1):
            own[a, b] = matrix[top + a, top + b]
            own[b, a] = own[a, b]
    for a in range(k):
        for b in range(a + 1):
            total = 0.0
            for c in range(k):
                left = lam[a, c] if transposed else lam[c, a]
                for d in range(k):
                    total += left * own[c, d] * (lam[b, d] if transposed else lam[d, b])
            matrix[top + a, top + b] = total


@kernel
def pair_sums(
    matrix: Array,
    diagonal: Array,
    start: IntArray,
    stop: IntArray,
    width: IntArray,
    lams: Array,
    out: Array,
) -> None:
    """out[f] += Σ_j [S̃ΛT]_jj with S̃ in the strict upper triangle and `diagonal`, T in the lower triangle."""
    for f in range(start.size):
        for g in range(f + 1):
            if width[f] == 1 and width[g] == 1:
                total = _single_pairs(matrix, start[f], stop[f], start[g], stop[g])
                out[f, 0, 0] += lams[g, 0, 0] * total
                out[g, 0, 0] += lams[f, 0, 0] * total
            else:
                _block_pairs(matrix, f, g, start, stop, width, lams, out)
        k = width[f]
        for top in range(start[f], stop[f], k):
            for a in range(k):
                for b in range(k):
                    total = 0.0
                    for d in range(k):
                        low, high = min(a, d), max(a, d)
                        value = diagonal[top + a] if a == d else matrix[top + low, top + high]
                        for e in range(k):
                            total += value * lams[f, d, e] * matrix[top + max(b, e), top + min(b, e)]
                    out[f, a, b] += total


@kernel
def _single_pairs(matrix: Array, top: int, bottom: int, left: int, right: int) -> float:
    """Return Σ M_ij M_ji over the rows i and columns j < i of a range, tile by tile."""
    total = 0.0
    for i0 in range(top, bottom, _BLOCK):
        for j0 in range(left, right, _BLOCK):
            for i in range(i0, min(i0 + _BLOCK, bottom)):
                for j in range(j0, min(j0 + _BLOCK, right, i)):
                    total += matrix[i, j] * matrix[j, i]
    return total


@kernel
def _block_pairs(
    matrix: Array,
    f: int,
    g: int,
    start: IntArray,
    stop: IntArray,
    width: IntArray,
    lams: Array,
    out: Array,
) -> None:
    """Add the pairs of different levels of two factors to the sums of both."""
    k, m = width[f], width[g]
    rows, columns = _BLOCK * k, _BLOCK * m
    for i0 in range(start[f], stop[f], rows):
        for j0 in range(start[g], stop[g], columns):
            for i in range(i0, min(i0 + rows, stop[f]), k):
                for j in range(j0, min(j0 + columns, stop[g], i), m):
                    for a in range(k):
                        for d in range(m):
                            value = matrix[j + d, i + a]
                            for b in range(k):
                                for e in range(m):
                                    pair = value * matrix[i + b, j + e]
                                    out[f, a, b] += lams[g, d, e] * pair
                                    out[g, d, e] += lams[f, a, b] * pair
