"""Quadratic forms of single rows in the inverse of the mixed-model equations.

Notation as in `first_factor`: row i has level j of the first factor with effects z (k,), and tail effects t at tail
columns. With U = ΛTΛᵀ over the tail, D = λN and C = Z_jᵀ[tail], the variance of z'b_j + t'c over σ² is
z'Dz + (t − C'Dz)' U (t − C'Dz).
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import plain
from .first_factor import factor_level

__all__ = ["row_forms", "sequential_residuals"]


@plain
def _gather(
    places: IntArray, count: int, dense: Array, ptr: IntArray, columns: IntArray, data: Array, out: Array
) -> None:
    """Fill `out` with U at some ascending columns, from a lower triangle or, if that is empty, sparse rows."""
    for s in range(count):
        if dense.shape[0] > 0:
            for t in range(s + 1):
                out[s, t] = dense[places[s], places[t]]
                out[t, s] = out[s, t]
            continue
        at = ptr[places[s]]
        for t in range(count):
            while columns[at] < places[t]:
                at += 1
            out[s, t] = data[at]


@plain
def _bisect(indices: IntArray, low: int, high: int, wanted: int) -> int:
    while low < high:
        middle = (low + high) >> 1
        if indices[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@plain
def row_forms(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    order: IntArray,
    start: IntArray,
    z: Array,
    columns: IntArray,
    tail_z: Array,
    random: int,
    dense: Array,
    ptr: IntArray,
    places: IntArray,
    data: Array,
    out: Array,
) -> None:
    """Fill `out` (n, 3) with each row's quadratic form, and the contribution of tail columns from `random` on.

    The second number has only those columns on one side of U, the third on both. `order` and `start` give the rows
    of each level; `columns` and `tail_z` (n, effects) the tail columns of a row and its effects there. U is `dense`,
    or sparse rows `ptr`, `places`, `data`.
    """
    k, width = lam.shape[0], columns.shape[1]
    widest = 0
    for j in range(gram.shape[0]):
        widest = max(widest, indptr[j + 1] - indptr[j])
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    own, block, place = np.empty((k, k)), np.empty((k, k)), np.empty(width, np.int64)
    inner, part, spread = np.empty((widest, widest)), np.empty((widest, k)), np.empty((widest, k))
    for j in range(gram.shape[0]):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        first, count = indptr[j], indptr[j + 1] - indptr[j]
        _gather(indices[first : first + count], count, dense, ptr, places, data, inner)
        for a in range(k):
            for b in range(k):
                own[a, b] = 0.0
                for c in range(k):
                    own[a, b] += lam[a, c] * gain[c, b]
                block[a, b] = own[a, b]
        for s in range(count):
            for a in range(k):
                part[s, a] = 0.0
                for b in range(k):
                    part[s, a] += own[a, b] * values[first + s, b]
        for s in range(count):
            for a in range(k):
                spread[s, a] = 0.0
                for t in range(count):
                    spread[s, a] += inner[s, t] * part[t, a]
            for a in range(k):
                for b in range(k):
                    block[a, b] += part[s, a] * spread[s, b]
        for r in range(start[j], start[j + 1]):
            i = order[r]
            whole, one, both = 0.0, 0.0, 0.0
            for a in range(k):
                for b in range(k):
                    whole += z[i, a] * block[a, b] * z[i, b]
            for s in range(width):
                if tail_z[i, s] != 0.0:
                    place[s] = _bisect(indices, first, first + count - 1, columns[i, s]) - first
            for s in range(width):
                if tail_z[i, s] == 0.0:
                    continue
                side = 0.0
                for a in range(k):
                    side -= z[i, a] * spread[place[s], a]
                whole += 2.0 * side * tail_z[i, s]
                if columns[i, s] >= random:
                    one += side * tail_z[i, s]
                for t in range(width):
                    if tail_z[i, t] != 0.0:
                        term = tail_z[i, s] * inner[place[s], place[t]] * tail_z[i, t]
                        whole += term
                        if columns[i, s] >= random:
                            one += term
                            if columns[i, t] >= random:
                                both += term
            out[i, 0], out[i, 1], out[i, 2] = whole, one, both


@plain
def sequential_residuals(
    lam: Array, order: IntArray, start: IntArray, z: Array, weights: Array, residuals: Array, out: Array
) -> None:
    """Fill `out` (n,) with L⁻¹r, LLᵀ = V within each level, rows in the order given, by updating one row at a time.

    Row i given those before it has mean z'm and variance 1/w + z'Pz, with m, P the mean and covariance of the level's
    effects given those rows. Rows of weight 0 are skipped.
    """
    k = lam.shape[0]
    mean, spread, image = np.empty(k), np.empty((k, k)), np.empty(k)
    for j in range(start.size - 1):
        for a in range(k):
            mean[a] = 0.0
            for b in range(k):
                spread[a, b] = 0.0
                for c in range(k):
                    spread[a, b] += lam[a, c] * lam[b, c]
        for r in range(start[j], start[j + 1]):
            i = order[r]
            if not weights[i] > 0.0:
                continue
            innovation, variance = residuals[i], 1.0 / weights[i]
            for a in range(k):
                innovation -= z[i, a] * mean[a]
                image[a] = 0.0
                for b in range(k):
                    image[a] += spread[a, b] * z[i, b]
            for a in range(k):
                variance += z[i, a] * image[a]
            out[i] = innovation / np.sqrt(variance)
            for a in range(k):
                mean[a] += image[a] * innovation / variance
                for b in range(k):
                    spread[a, b] -= image[a] * image[b] / variance
