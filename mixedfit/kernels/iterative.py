"""Products with the tail's matrix that do not form it; notation as in `first_factor`.

Elimination of the first factor leaves S̃ = G − Σ_j (H_jC_j)ᵀH_jC_j of the tail, with G its own products. The scaled
cells H_jC_j, shape (cells, k), have the sparsity of the cells C_j.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel
from .first_factor import factor_level, half_level

__all__ = [
    "add_block_squares",
    "half_levels",
    "probe_sums",
    "reduce_border",
    "scale_cells",
    "subtract_products",
]


@kernel
def half_levels(lam: Array, gram: Array, halves: Array, start: int, stop: int) -> float:
    """Fill `halves` (levels, k, k) with H of levels `start` to `stop`; return Σ log det P."""
    k = lam.shape[0]
    work, chol = np.zeros((k, k)), np.zeros((k, k))
    logdet = 0.0
    for j in range(start, stop):
        det = half_level(lam, gram[j], work, chol, halves[j])
        logdet += np.log(det) if det > 0.0 else np.nan
    return logdet


@kernel
def scale_cells(halves: Array, indptr: IntArray, values: Array, out: Array, start: int, stop: int) -> None:
    """Fill `out` (cells, k) with HC of levels `start` to `stop`."""
    k = halves.shape[1]
    for j in range(start, stop):
        half = halves[j]
        for i in range(indptr[j], indptr[j + 1]):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += half[a, b] * values[i, b]
                out[i, a] = total


@kernel
def subtract_products(
    indptr: IntArray, indices: IntArray, cells: Array, vectors: Array, out: Array, start: int, stop: int
) -> None:
    """Subtract Σ_j (HC)ᵀHC times `vectors` (q, t) from `out` (q, t), over levels `start` to `stop`."""
    k, t = cells.shape[1], vectors.shape[1]
    room = np.empty((k, t))
    for j in range(start, stop):
        for a in range(k):
            for s in range(t):
                room[a, s] = 0.0
        for i in range(indptr[j], indptr[j + 1]):
            vector = vectors[indices[i]]
            for a in range(k):
                at, into = cells[i, a], room[a]
                for s in range(t):
                    into[s] += at * vector[s]
        for i in range(indptr[j], indptr[j + 1]):
            into = out[indices[i]]
            for a in range(k):
                at, row = cells[i, a], room[a]
                for s in range(t):
                    into[s] -= at * row[s]


@kernel
def reduce_border(
    halves: Array,
    indptr: IntArray,
    indices: IntArray,
    cells: Array,
    border: Array,
    sides: Array,
    corner: Array,
) -> None:
    """Subtract the first factor's part from the products of the tail with [X y] and of [X y] with itself."""
    levels, k, columns = border.shape
    part = np.empty((k, columns))
    for j in range(levels):
        for a in range(k):
            for s in range(columns):
                total = 0.0
                for b in range(k):
                    total += halves[j, a, b] * border[j, b, s]
                part[a, s] = total
        for a in range(k):
            for s in range(columns):
                for r in range(columns):
                    corner[s, r] -= part[a, s] * part[a, r]
        for i in range(indptr[j], indptr[j + 1]):
            row = sides[indices[i]]
            for a in range(k):
                at = cells[i, a]
                for s in range(columns):
                    row[s] -= at * part[a, s]


@kernel
def add_block_squares(
    indptr: IntArray, indices: IntArray, cells: Array, within: IntArray, blocks: Array
) -> None:
    """Subtract the first factor's part from the diagonal blocks of S̃.

    `within` (q,) is the position of each column in its block; `blocks` (q, widest) has a row for each column, with
    the products with the columns of its block up to itself. All columns of a block occur with a level, or none.
    """
    k = cells.shape[1]
    for j in range(indptr.size - 1):
        for i in range(indptr[j], indptr[j + 1]):
            place = within[indices[i]]
            row = blocks[indices[i]]
            for b in range(place + 1):
                total = 0.0
                for a in range(k):
                    total += cells[i, a] * cells[i - place + b, a]
                row[b] -= total


@kernel
def probe_sums(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    left: Array,
    right: Array,
    exact: Array,
    probes: Array,
    start: int,
    stop: int,
) -> None:
    """Add sums over levels `start` to `stop` of the first factor.

    `left`, `right` (q, t): Λx and Λy of the probes. `exact` (2, k, k): Σ AλP⁻¹ and Σ W. `probes` (t, k, k):
    Σ_j (F_jΛx)(F_jΛy)ᵀ of each probe.
    """
    k, t = lam.shape[0], left.shape[1]
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    one, two = np.empty((k, t)), np.empty((k, t))
    for j in range(start, stop):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for a in range(k):
            for b in range(k):
                for c in range(k):
                    exact[0, a, b] += gram[j, a, c] * gain[b, c]
                    exact[1, a, b] += shrink[a, c] * gram[j, c, b]
            for s in range(t):
                one[a, s], two[a, s] = 0.0, 0.0
        for i in range(indptr[j], indptr[j + 1]):
            x, y = left[indices[i]], right[indices[i]]
            for a in range(k):
                at = 0.0
                for b in range(k):
                    at += shrink[a, b] * values[i, b]
                for s in range(t):
                    one[a, s] += at * x[s]
                    two[a, s] += at * y[s]
        for s in range(t):
            for a in range(k):
                for b in range(k):
                    probes[s, a, b] += one[a, s] * two[b, s]
