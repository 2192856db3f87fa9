"""Cross-products of rows, summed by the levels of grouping factors.

Notation: row i has level `codes[i]` of the first factor with effects z_i (k,), levels `tail_codes[i, f]`
of the tail's factors with effects `tail_z[i, …]`, and dense border columns c_i = [x_i, y_i].
A_j = Σ z zᵀ; cross_j = Σ z [tail, c]ᵀ over the rows of level j. Tail columns are numbered
offset[f] + level · k[f] + effect.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel

__all__ = [
    "accumulate_blocks",
    "accumulate_border",
    "accumulate_first",
    "accumulate_tail",
    "add_effects",
    "merge_cells",
    "pair_cells",
    "sum_levels",
]


@kernel
def accumulate_first(codes: IntArray, z: Array, border: Array, gram: Array, cross: Array) -> None:
    """Add z zᵀ to `gram` (levels, k, k) and z cᵀ to `cross` (levels, k, columns)."""
    n, k = z.shape
    columns = border.shape[1]
    for i in range(n):
        j = codes[i]
        for a in range(k):
            za = z[i, a]
            for b in range(a):
                product = za * z[i, b]
                gram[j, a, b] += product
                gram[j, b, a] += product
            gram[j, a, a] += za * za
            for s in range(columns):
                cross[j, a, s] += za * border[i, s]


@kernel
def pair_cells(codes: IntArray, levels: int, other: IntArray, other_levels: int) -> tuple[IntArray, IntArray]:
    """Return the distinct levels of a second factor within each level of the first, as (indptr, indices)."""
    n = codes.size
    start = np.zeros(levels + 1, np.int64)
    for i in range(n):
        start[codes[i] + 1] += 1
    for j in range(levels):
        start[j + 1] += start[j]
    place = start[:-1].copy()
    sorted_other = np.empty(n, np.int64)
    for i in range(n):
        j = codes[i]
        sorted_other[place[j]] = other[i]
        place[j] += 1
    seen = np.full(other_levels, -1, np.int64)
    indptr = np.zeros(levels + 1, np.int64)
    count = 0
    for j in range(levels):
        first = count
        for position in range(start[j], start[j + 1]):
            c = sorted_other[position]
            if seen[c] != j:
                seen[c] = j
                sorted_other[count] = c
                count += 1
        sorted_other[first:count].sort()
        indptr[j + 1] = count
    return indptr, sorted_other[:count].copy()


@kernel
def merge_cells(
    indptr: IntArray, indices: IntArray, more_indptr: IntArray, more_levels: IntArray, offset: int, k: int
) -> tuple[IntArray, IntArray]:
    """Append the columns of one more tail factor to each level's list of tail columns."""
    levels = indptr.size - 1
    out_indptr = np.zeros(levels + 1, np.int64)
    out = np.empty(indices.size + k * more_levels.size, np.int64)
    count = 0
    for j in range(levels):
        for position in range(indptr[j], indptr[j + 1]):
            out[count] = indices[position]
            count += 1
        for position in range(more_indptr[j], more_indptr[j + 1]):
            for b in range(k):
                out[count] = offset + more_levels[position] * k + b
                count += 1
        out_indptr[j + 1] = count
    return out_indptr, out


@kernel
def accumulate_border(
    codes: IntArray,
    z: Array,
    tail_codes: IntArray,
    tail_z: Array,
    sizes: IntArray,
    offsets: IntArray,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
) -> None:
    """Add z times each tail effect to `values` (cells, k), located by bisection in the level's columns."""
    n, k = z.shape
    for i in range(n):
        j = codes[i]
        at = 0
        for f in range(sizes.size):
            wanted = offsets[f] + tail_codes[i, f] * sizes[f]
            low, high = indptr[j], indptr[j + 1] - 1
            while low < high:
                middle = (low + high) >> 1
                if indices[middle] < wanted:
                    low = middle + 1
                else:
                    high = middle
            if low < indptr[j + 1]:
                for b in range(sizes[f]):
                    for a in range(k):
                        values[low + b, a] += z[i, a] * tail_z[i, at + b]
            at += sizes[f]


@kernel
def accumulate_tail(
    tail_codes: IntArray, tail_z: Array, sizes: IntArray, offsets: IntArray, border: Array, gram: Array
) -> None:
    """Add the tail's own products to the lower triangle of `gram`, its border rows included."""
    n = tail_codes.shape[0]
    width = tail_z.shape[1]
    columns = border.shape[1]
    first_border = gram.shape[0] - columns
    place = np.empty(width, np.int64)
    for i in range(n):
        at = 0
        for f in range(sizes.size):
            for b in range(sizes[f]):
                place[at] = offsets[f] + tail_codes[i, f] * sizes[f] + b
                at += 1
        for a in range(width):
            value = tail_z[i, a]
            for b in range(a + 1):
                gram[place[a], place[b]] += value * tail_z[i, b]
            for s in range(columns):
                gram[first_border + s, place[a]] += value * border[i, s]


@kernel
def accumulate_blocks(
    tail_codes: IntArray,
    tail_z: Array,
    sizes: IntArray,
    offsets: IntArray,
    first_node: IntArray,
    node_place: IntArray,
    ptr: IntArray,
    rows: IntArray,
    start: IntArray,
    border: Array,
    blocks: Array,
    sides: Array,
) -> None:
    """Add the tail's own products to a block-sparse lower triangle, and its products with the border."""
    n, factors = tail_codes.shape
    columns = border.shape[1]
    for i in range(n):
        at_f = 0
        for f in range(factors):
            place = node_place[first_node[f] + tail_codes[i, f]]
            for a in range(sizes[f]):
                value = tail_z[i, at_f + a]
                column = offsets[f] + tail_codes[i, f] * sizes[f] + a
                for s in range(columns):
                    sides[column, s] += value * border[i, s]
            at_g = 0
            for g in range(f + 1):
                other = node_place[first_node[g] + tail_codes[i, g]]
                low, high = ptr[min(place, other)], ptr[min(place, other) + 1] - 1
                wanted = max(place, other)
                while low < high:
                    middle = (low + high) >> 1
                    if rows[middle] < wanted:
                        low = middle + 1
                    else:
                        high = middle
                if rows[low] == wanted:
                    for a in range(sizes[f]):
                        for b in range(sizes[g]):
                            product = tail_z[i, at_f + a] * tail_z[i, at_g + b]
                            if other > place:
                                blocks[start[low] + b * sizes[f] + a] += product
                            else:
                                blocks[start[low] + a * sizes[g] + b] += product
                at_g += sizes[g]
            at_f += sizes[f]


@kernel
def add_effects(codes: IntArray, z: Array, effects: Array, responses: Array) -> None:
    """Add z_iᵀb_rj, `effects` (replicates, levels, k), to `responses` (replicates, rows)."""
    replicates, n = responses.shape
    k = z.shape[1]
    for r in range(replicates):
        for i in range(n):
            total = 0.0
            for a in range(k):
                total += z[i, a] * effects[r, codes[i], a]
            responses[r, i] += total


@kernel
def sum_levels(codes: IntArray, z: Array, responses: Array, sums: Array) -> None:
    """Add Z_jᵀy_r to `sums` (replicates, levels, k); rows of code −1 are left out."""
    replicates, n = responses.shape
    k = z.shape[1]
    for r in range(replicates):
        for i in range(n):
            j = codes[i]
            if j < 0:
                continue
            for a in range(k):
                sums[r, j, a] += z[i, a] * responses[r, i]
