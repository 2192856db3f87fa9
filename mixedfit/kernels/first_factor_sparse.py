"""Elimination of the first factor into a block-sparse tail; notation as in `first_factor` and `block_sparse`.

A level's tail columns are stored node by node. Each pair of its nodes (a, b) updates one block, whose rows belong
to the later node in the elimination order.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel
from .first_factor import factor_level, half_level

__all__ = ["conditional_blocks_sparse", "derive_first_sparse", "eliminate_first_sparse"]


@kernel
def eliminate_first_sparse(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    cell_ptr: IntArray,
    cells: IntArray,
    slot_ptr: IntArray,
    slots: IntArray,
    size: IntArray,
    start: IntArray,
    blocks: Array,
    sides: Array,
    corner: Array,
) -> float:
    """Subtract CᵀλNC from the tail's `blocks`, its products with [X y] `sides` (q, p + 1) and `corner`."""
    levels, k, columns = border.shape
    work, chol, half = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    widest = 0
    for j in range(levels):
        widest = max(widest, indptr[j + 1] - indptr[j])
    image = np.empty((widest + columns, k))
    logdet = 0.0
    for j in range(levels):
        det = half_level(lam, gram[j], work, chol, half)
        logdet += np.log(det) if det > 0.0 else np.nan
        first, own = indptr[j], indptr[j + 1] - indptr[j]
        for i in range(own + columns):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += half[a, b] * (values[first + i, b] if i < own else border[j, b, i - own])
                image[i, a] = total
        for s in range(columns):
            for i in range(own):
                total = 0.0
                for a in range(k):
                    total += image[own + s, a] * image[i, a]
                sides[indices[first + i], s] -= total
            for r in range(columns):
                total = 0.0
                for a in range(k):
                    total += image[own + s, a] * image[own + r, a]
                corner[s, r] -= total
        slot = slot_ptr[j]
        at_a = 0
        for a in range(cell_ptr[j], cell_ptr[j + 1]):
            at_b = 0
            for b in range(cell_ptr[j], a + 1):
                swap = cells[b] > cells[a]
                row_at, column_at = (at_b, at_a) if swap else (at_a, at_b)
                rows, width = (size[cells[b]], size[cells[a]]) if swap else (size[cells[a]], size[cells[b]])
                target = start[slots[slot]]
                for r in range(rows):
                    for c in range(width):
                        total = 0.0
                        for d in range(k):
                            total += image[row_at + r, d] * image[column_at + c, d]
                        blocks[target + r * width + c] -= total
                slot += 1
                at_b += size[cells[b]]
            at_a += size[cells[a]]
    return logdet


@kernel
def _block_forms(
    part: Array,
    j: int,
    nodes: int,
    cell_ptr: IntArray,
    cells: IntArray,
    slot_ptr: IntArray,
    slots: IntArray,
    size: IntArray,
    start: IntArray,
    inverse: Array,
    out: Array,
) -> None:
    """out += F U Fᵀ over the level's nodes before `nodes`; `inverse` holds U in blocks."""
    k = part.shape[1]
    slot = slot_ptr[j]
    at_a = 0
    for a in range(cell_ptr[j], cell_ptr[j + 1]):
        at_b = 0
        for b in range(cell_ptr[j], a + 1):
            swap = cells[b] > cells[a]
            row_at, column_at = (at_b, at_a) if swap else (at_a, at_b)
            rows, width = (size[cells[b]], size[cells[a]]) if swap else (size[cells[a]], size[cells[b]])
            if cells[a] < nodes and cells[b] < nodes:
                target = start[slots[slot]]
                for r in range(rows):
                    for c in range(width):
                        value = inverse[target + r * width + c]
                        if a == b:
                            value *= 0.5
                        for d in range(k):
                            for e in range(k):
                                product = part[row_at + r, d] * part[column_at + c, e]
                                out[d, e] += value * product
                                out[e, d] += value * product
            slot += 1
            at_b += size[cells[b]]
        at_a += size[cells[a]]


@kernel
def derive_first_sparse(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    cell_ptr: IntArray,
    cells: IntArray,
    slot_ptr: IntArray,
    slots: IntArray,
    size: IntArray,
    start: IntArray,
    nodes: int,
    inverse: Array,
    slopes: Array,
    covariance: Array,
    solution: Array,
    directions: Array,
    scores: Array,
    sums: Array,
    products: Array,
    crossed: Array,
) -> None:
    """Add the same sums as `first_factor.derive_first`, without traces and spreads.

    `inverse`: Λ Z Λᵀ in blocks, Z the inverse over the first `nodes` nodes. REML adds the fixed columns through
    H = F_x − F_z `slopes` (q, p) and their `covariance` (p, p); under ML it is empty.
    """
    levels, k, columns = border.shape
    p, count = columns - 1, directions.shape[0]
    q = solution.size - p
    restricted = covariance.shape[0] > 0
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    widest = 0
    for j in range(levels):
        widest = max(widest, indptr[j + 1] - indptr[j])
    part, fixed = np.empty((widest, k)), np.empty((p, k))
    variate, image = np.empty((count, k)), np.empty(k)
    for j in range(levels):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for a in range(k):
            for b in range(k):
                one, two = 0.0, 0.0
                for c in range(k):
                    one += gram[j, a, c] * gain[b, c]
                    two += shrink[a, c] * gram[j, c, b]
                sums[0, a, b] += one
                work[a, b] = two
                sums[2, a, b] += two
        first, own = indptr[j], indptr[j + 1] - indptr[j]
        for a in range(k):
            total = 0.0
            for b in range(k):
                total += shrink[a, b] * border[j, b, p]
            scores[j, a] = total
        for i in range(own):
            at = solution[indices[first + i]]
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += shrink[a, b] * values[first + i, b]
                part[i, a] = total
                scores[j, a] -= total * at
        for s in range(p):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += shrink[a, b] * border[j, b, s]
                fixed[s, a] = total
                scores[j, a] -= total * solution[q + s]
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += directions[d, a, b] * scores[j, b]
                variate[d, a] = total
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += work[a, b] * variate[d, b]
                image[a] = total
            for e in range(count):
                total = 0.0
                for a in range(k):
                    total += variate[e, a] * image[a]
                products[d, e] += total
            for i in range(own):
                total = 0.0
                for a in range(k):
                    total += variate[d, a] * part[i, a]
                crossed[d, indices[first + i]] += total
            for s in range(p):
                total = 0.0
                for a in range(k):
                    total += variate[d, a] * fixed[s, a]
                crossed[d, q + s] += total
        for a in range(k):
            for b in range(k):
                sums[3, a, b] += scores[j, a] * scores[j, b]
        _block_forms(part, j, nodes, cell_ptr, cells, slot_ptr, slots, size, start, inverse, sums[1])
        if restricted:
            for i in range(own):
                for s in range(p):
                    for a in range(k):
                        fixed[s, a] -= part[i, a] * slopes[indices[first + i], s]
            for s in range(p):
                for r in range(p):
                    for a in range(k):
                        for b in range(k):
                            sums[1, a, b] += fixed[s, a] * covariance[s, r] * fixed[r, b]


@kernel
def conditional_blocks_sparse(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    values: Array,
    cell_ptr: IntArray,
    cells: IntArray,
    slot_ptr: IntArray,
    slots: IntArray,
    size: IntArray,
    start: IntArray,
    nodes: int,
    inverse: Array,
    out: Array,
) -> None:
    """Fill `out` (levels, k, k) with λN + (λNC) U (λNC)ᵀ of every level."""
    levels, k = gram.shape[0], lam.shape[0]
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    widest = 0
    for j in range(levels):
        widest = max(widest, indptr[j + 1] - indptr[j])
    part = np.empty((widest, k))
    for j in range(levels):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for a in range(k):
            for b in range(k):
                total = 0.0
                for c in range(k):
                    total += lam[a, c] * gain[c, b]
                out[j, a, b] = total
                work[a, b] = total
        for i in range(indptr[j + 1] - indptr[j]):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += work[a, b] * values[indptr[j] + i, b]
                part[i, a] = total
        _block_forms(part, j, nodes, cell_ptr, cells, slot_ptr, slots, size, start, inverse, out[j])
