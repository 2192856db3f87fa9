"""Elimination of the first factor into a large dense tail, and its traces, one tail column at a time.

Notation as in `first_factor`. The cells (level j, column i) of the first factor are stored level by level. Here they
are taken column by column: all products with column i belong to one row of the tail's matrix, which stays in the
nearest cache, while the cells of the levels that have the column are read in order. Level by level each cell of a
large matrix would be fetched from memory anew.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import AnyArray, Array, IntArray

from ._compile import kernel
from .first_factor import factor_level, half_level

__all__ = ["eliminate_columns", "quadratic_columns"]


@kernel
def _levels_by_column(indptr: IntArray, indices: IntArray, q: int) -> tuple[IntArray, AnyArray]:
    """Return where each tail column starts in the levels that have it, and these levels, in order."""
    starts = np.zeros(q + 1, np.int64)
    for i in range(indices.size):
        starts[indices[i] + 1] += 1
    for i in range(q):
        starts[i + 1] += starts[i]
    at = starts[:-1].copy()
    level = np.empty(indices.size, np.int32)
    for j in range(indptr.size - 1):
        for c in range(indptr[j], indptr[j + 1]):
            level[at[indices[c]]] = j
            at[indices[c]] += 1
    return starts, level


@kernel
def _scaled(left: Array, values: Array, out: Array, start: int, stop: int) -> None:
    """Rows `start` to `stop` of `out` := the rows of `values` times the transpose of `left`."""
    k = left.shape[0]
    for i in range(start, stop):
        for a in range(k):
            total = 0.0
            for b in range(k):
                total += left[a, b] * values[i, b]
            out[i, a] = total


@kernel
def eliminate_columns(
    lam: Array, gram: Array, indptr: IntArray, indices: IntArray, values: Array, border: Array, tail: Array
) -> float:
    """Subtract CᵀλNC of all levels from the lower triangle of `tail`; return Σ log det P."""
    levels, k, columns = border.shape
    q = tail.shape[0] - columns
    work, chol, half = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    cells = values if k == 1 else np.empty_like(values)
    scales, sides = np.ones(levels), np.empty((columns, k))
    logdet = 0.0
    for j in range(levels):
        det = half_level(lam, gram[j], work, chol, half)
        logdet += np.log(det) if det > 0.0 else np.nan
        if k == 1:
            scales[j] = half[0, 0]
        else:
            _scaled(half, values, cells, indptr[j], indptr[j + 1])
        for s in range(columns):
            for a in range(k):
                sides[s, a] = 0.0
                for b in range(k):
                    sides[s, a] += half[a, b] * border[j, b, s]
        own, places = cells[indptr[j] : indptr[j + 1]], indices[indptr[j] : indptr[j + 1]]
        for s in range(columns):
            row = tail[q + s]
            for a in range(k):
                at = sides[s, a]
                scaled = at * scales[j]
                for h in range(places.size):
                    row[places[h]] -= scaled * own[h, a]
                for r in range(s + 1):
                    row[q + r] -= at * sides[r, a]
    _subtract_squares(indptr, indices, cells, scales, tail)
    return logdet


@kernel
def _subtract_squares(indptr: IntArray, indices: IntArray, cells: Array, scales: Array, tail: Array) -> None:
    """Subtract the products of the cells of each level, times its scale, from the lower triangle of `tail`."""
    k, q = cells.shape[1], tail.shape[0]
    starts, level = _levels_by_column(indptr, indices, q)
    narrow, following = indices.astype(np.uint32), indptr.copy()
    for i in range(q):
        row = tail[i]
        for s in range(starts[i], starts[i + 1]):
            j = level[s]
            last = following[j] - indptr[j]
            following[j] += 1
            own = cells[indptr[j] : indptr[j] + last + 1]
            places = narrow[indptr[j] : indptr[j] + last + 1]
            if k == 1:
                at = scales[j] * scales[j] * own[last, 0]
                for h in range(places.size):
                    row[places[h]] -= at * own[h, 0]
                continue
            for h in range(places.size):
                total = 0.0
                for a in range(k):
                    total += own[last, a] * own[h, a]
                row[places[h]] -= total


@kernel
def quadratic_columns(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    q: int,
    inverse: Array,
) -> Array:
    """Return Σ_j F U Fᵀ over the first t tail columns and columns of X, shape (k, k).

    `inverse` (t, any) holds U in its lower triangle; `q` is the number of tail columns.
    """
    levels, k = gram.shape[0], lam.shape[0]
    fixed = max(inverse.shape[0] - q, 0)
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    cells = values if k == 1 else np.empty_like(values)
    scales, sides, image = np.ones(levels), np.empty((fixed, k)), np.empty(k)
    out = np.zeros((k, k))
    for j in range(levels):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        if k == 1:
            scales[j] = shrink[0, 0]
        else:
            _scaled(shrink, values, cells, indptr[j], indptr[j + 1])
        own, places = cells[indptr[j] : indptr[j + 1]], indices[indptr[j] : indptr[j + 1]]
        for s in range(fixed):
            row = inverse[q + s]
            for a in range(k):
                sides[s, a] = 0.0
                for b in range(k):
                    sides[s, a] += shrink[a, b] * border[j, b, s]
            for a in range(k):
                image[a] = 0.0
                for h in range(places.size):
                    image[a] += row[places[h]] * own[h, a]
                image[a] = scales[j] * image[a] + 0.5 * row[q + s] * sides[s, a]
                for r in range(s):
                    image[a] += row[q + r] * sides[r, a]
            _add_symmetric(sides[s], image, out)
    _add_quadratic_forms(indptr, indices, cells, scales, q, inverse, out)
    return out


@kernel
def _add_symmetric(one: Array, other: Array, out: Array) -> None:
    """out += one otherᵀ + other oneᵀ."""
    for a in range(one.size):
        for b in range(one.size):
            out[a, b] += one[a] * other[b] + other[a] * one[b]


@kernel
def _add_quadratic_forms(
    indptr: IntArray, indices: IntArray, cells: Array, scales: Array, q: int, inverse: Array, out: Array
) -> None:
    """out += Σ_j F U Fᵀ over the cells of each level, times its scale."""
    k = cells.shape[1]
    starts, level = _levels_by_column(indptr, indices, q)
    narrow, following = indices.astype(np.uint32), indptr.copy()
    image = np.empty(k)
    for i in range(min(q, inverse.shape[0])):
        row = inverse[i]
        for s in range(starts[i], starts[i + 1]):
            j = level[s]
            last = following[j] - indptr[j]
            following[j] += 1
            own = cells[indptr[j] : indptr[j] + last + 1]
            places = narrow[indptr[j] : indptr[j] + last + 1]
            if k == 1:
                only = -0.5 * row[i] * own[last, 0]
                for h in range(places.size):
                    only += row[places[h]] * own[h, 0]
                out[0, 0] += 2.0 * scales[j] * scales[j] * only * own[last, 0]
                continue
            for a in range(k):
                image[a] = -0.5 * row[i] * own[last, a]
            for h in range(places.size):
                at = row[places[h]]
                for a in range(k):
                    image[a] += at * own[h, a]
            _add_symmetric(own[last], image, out)
