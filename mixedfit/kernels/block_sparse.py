"""Symmetric block-sparse matrices: symbolic and numeric Cholesky factor, solves, selected inverse.

Notation: nodes 0 … N−1 (a level of a tail factor each) in elimination order, node i with `size[i]` columns.
Column j of the lower triangle holds blocks rows[ptr[j]:ptr[j + 1]], ascending, the first of them j itself; block
b stands at values[start[b]:start[b + 1]], row by row, shape (size of its row node, size of its column node).
The pattern is that of the factor. Davis (2006), Direct Methods for Sparse Linear Systems, chapter 4; selected
inverse: Takahashi, Fagan & Chen (1973); Erisman & Tinney (1975), Commun. ACM 18:177.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel

__all__ = [
    "block_cholesky",
    "fill_pattern",
    "locate_pairs",
    "scale_blocks",
    "selected_inverse",
    "solve_blocks",
]


@kernel
def fill_pattern(ptr: IntArray, rows: IntArray, limit: int) -> tuple[IntArray, IntArray]:
    """Return the factor's pattern for a lower pattern (ascending rows below the diagonal; diagonal left out).

    Empty arrays where it would hold more than `limit` blocks.
    """
    n = ptr.size - 1
    head = np.full(n, -1, np.int64)
    sibling = np.full(n, -1, np.int64)
    mark = np.full(n, -1, np.int64)
    out_ptr = np.zeros(n + 1, np.int64)
    out = np.empty(max(2 * rows.size + n, 16), np.int64)
    count = 0
    for j in range(n):
        first = count
        mark[j] = j
        need = ptr[j + 1] - ptr[j] + 1
        child = head[j]
        while child >= 0:
            need += out_ptr[child + 1] - out_ptr[child]
            child = sibling[child]
        while count + need > out.size:
            bigger = np.empty(2 * out.size, np.int64)
            bigger[:count] = out[:count]
            out = bigger
        out[count] = j
        count += 1
        for position in range(ptr[j], ptr[j + 1]):
            i = rows[position]
            if mark[i] != j:
                mark[i] = j
                out[count] = i
                count += 1
        child = head[j]
        while child >= 0:
            for position in range(out_ptr[child] + 1, out_ptr[child + 1]):
                i = out[position]
                if mark[i] != j:
                    mark[i] = j
                    out[count] = i
                    count += 1
            child = sibling[child]
        out[first:count].sort()
        out_ptr[j + 1] = count
        if count > limit:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        if count > first + 1:
            parent = out[first + 1]
            sibling[j] = head[parent]
            head[parent] = j
    return out_ptr, out[:count].copy()


@kernel
def locate_pairs(
    cell_ptr: IntArray, cells: IntArray, ptr: IntArray, rows: IntArray, slot_ptr: IntArray, slots: IntArray
) -> None:
    """Fill `slots` with the block of every pair of nodes (cells a ≥ b in the list's order) of each level."""
    for level in range(cell_ptr.size - 1):
        at = slot_ptr[level]
        for a in range(cell_ptr[level], cell_ptr[level + 1]):
            for b in range(cell_ptr[level], a + 1):
                column, row = min(cells[a], cells[b]), max(cells[a], cells[b])
                low, high = ptr[column], ptr[column + 1] - 1
                while low < high:
                    middle = (low + high) >> 1
                    if rows[middle] < row:
                        low = middle + 1
                    else:
                        high = middle
                slots[at] = low
                at += 1


@kernel
def scale_blocks(
    ptr: IntArray,
    rows: IntArray,
    start: IntArray,
    size: IntArray,
    factor: IntArray,
    lams: Array,
    transposed: bool,
    values: Array,
    out: Array,
) -> None:
    """out = Λᵀ values Λ (`transposed`) or Λ values Λᵀ; lams[factor[i]] is λ of node i, its first size[i] rows."""
    widest = lams.shape[1]
    half = np.empty((widest, widest))
    for j in range(ptr.size - 1):
        kj = size[j]
        right = lams[factor[j]]
        for b in range(ptr[j], ptr[j + 1]):
            ki = size[rows[b]]
            left = lams[factor[rows[b]]]
            if ki == 1 and kj == 1:
                out[start[b]] = left[0, 0] * values[start[b]] * right[0, 0]
                continue
            for r in range(ki):
                for c in range(kj):
                    total = 0.0
                    for d in range(kj):
                        total += values[start[b] + r * kj + d] * (right[d, c] if transposed else right[c, d])
                    half[r, c] = total
            for r in range(ki):
                for c in range(kj):
                    total = 0.0
                    for d in range(ki):
                        total += (left[d, r] if transposed else left[r, d]) * half[d, c]
                    out[start[b] + r * kj + c] = total


@kernel
def block_cholesky(ptr: IntArray, rows: IntArray, start: IntArray, size: IntArray, values: Array) -> bool:
    """Overwrite the lower triangle with its factor L; return False where it is not positive definite."""
    n = ptr.size - 1
    where = np.zeros(n, np.int64)
    for j in range(n):
        k = size[j]
        d = start[ptr[j]]
        for r in range(k):
            for c in range(r + 1):
                total = values[d + r * k + c]
                for e in range(c):
                    total -= values[d + r * k + e] * values[d + c * k + e]
                if r == c:
                    if not total > 0.0:
                        return False
                    values[d + r * k + r] = np.sqrt(total)
                else:
                    values[d + r * k + c] = total / values[d + c * k + c]
        for b in range(ptr[j] + 1, ptr[j + 1]):
            at = start[b]
            for r in range(size[rows[b]]):
                for c in range(k):
                    total = values[at + r * k + c]
                    for e in range(c):
                        total -= values[at + r * k + e] * values[d + c * k + e]
                    values[at + r * k + c] = total / values[d + c * k + c]
        for a in range(ptr[j] + 1, ptr[j + 1]):
            column = rows[a]
            for b in range(ptr[column], ptr[column + 1]):
                where[rows[b]] = b
            ka = size[column]
            for b in range(a, ptr[j + 1]):
                kb = size[rows[b]]
                target = start[where[rows[b]]]
                for r in range(kb):
                    for c in range(ka):
                        total = 0.0
                        for e in range(k):
                            total += values[start[b] + r * k + e] * values[start[a] + c * k + e]
                        values[target + r * ka + c] -= total
    return True


@kernel
def solve_blocks(
    ptr: IntArray,
    rows: IntArray,
    start: IntArray,
    size: IntArray,
    offset: IntArray,
    values: Array,
    transposed: bool,
    right: Array,
) -> None:
    """Overwrite `right` (columns of the matrix, any) with L⁻¹ right, or L⁻ᵀ right."""
    n, count = ptr.size - 1, right.shape[1]
    for step in range(n):
        j = n - 1 - step if transposed else step
        k, at = size[j], offset[j]
        d = start[ptr[j]]
        if transposed:
            for b in range(ptr[j] + 1, ptr[j + 1]):
                below = offset[rows[b]]
                for r in range(size[rows[b]]):
                    for c in range(k):
                        value = values[start[b] + r * k + c]
                        for s in range(count):
                            right[at + c, s] -= value * right[below + r, s]
            for c in range(k - 1, -1, -1):
                for s in range(count):
                    total = right[at + c, s]
                    for e in range(c + 1, k):
                        total -= values[d + e * k + c] * right[at + e, s]
                    right[at + c, s] = total / values[d + c * k + c]
        else:
            for c in range(k):
                for s in range(count):
                    total = right[at + c, s]
                    for e in range(c):
                        total -= values[d + c * k + e] * right[at + e, s]
                    right[at + c, s] = total / values[d + c * k + c]
            for b in range(ptr[j] + 1, ptr[j + 1]):
                below = offset[rows[b]]
                for r in range(size[rows[b]]):
                    for c in range(k):
                        value = values[start[b] + r * k + c]
                        for s in range(count):
                            right[below + r, s] -= value * right[at + c, s]


@kernel
def selected_inverse(
    ptr: IntArray, rows: IntArray, start: IntArray, size: IntArray, chol: Array, nodes: int, out: Array
) -> None:
    """Fill `out` with the inverse of the leading `nodes` nodes' matrix on the factor's pattern, given L."""
    widest = size.max() if size.size else 1
    where = np.full(ptr.size, -1, np.int64)
    root = np.zeros((widest, widest))
    longest = 0
    for j in range(nodes):
        longest = max(longest, ptr[j + 1] - ptr[j])
    ratio = np.zeros((longest, widest, widest))
    total = np.zeros((longest, widest, widest))
    for step in range(nodes):
        j = nodes - 1 - step
        k = size[j]
        d = start[ptr[j]]
        for c in range(k):  # root = L_jj⁻¹
            for r in range(k):
                value = 1.0 if r == c else 0.0
                for e in range(c, r):
                    value -= chol[d + r * k + e] * root[e, c]
                root[r, c] = value / chol[d + r * k + r] if r >= c else 0.0
        first, last = ptr[j] + 1, ptr[j + 1]
        while last > first and rows[last - 1] >= nodes:
            last -= 1
        for b in range(first, last):  # ratio = L_kj L_jj⁻¹
            for r in range(size[rows[b]]):
                for c in range(k):
                    value = 0.0
                    for e in range(c, k):
                        value += chol[start[b] + r * k + e] * root[e, c]
                    ratio[b - first, r, c] = value
                    total[b - first, r, c] = 0.0
        for a in range(first, last):
            column = rows[a]
            for b in range(ptr[column], ptr[column + 1]):
                where[rows[b]] = b
            ka = size[column]
            for b in range(a, last):
                kb = size[rows[b]]
                at = start[where[rows[b]]]
                for r in range(kb):
                    for c in range(ka):
                        value = out[at + r * ka + c]
                        for e in range(k):
                            total[b - first, r, e] += value * ratio[a - first, c, e]
                            if b != a:
                                total[a - first, c, e] += value * ratio[b - first, r, e]
        for r in range(k):
            for c in range(k):
                value = 0.0
                for e in range(k):
                    value += root[e, r] * root[e, c]
                for b in range(first, last):
                    for e in range(size[rows[b]]):
                        value += ratio[b - first, e, r] * total[b - first, e, c]
                out[d + r * k + c] = value
        for b in range(first, last):
            for r in range(size[rows[b]]):
                for c in range(k):
                    out[start[b] + r * k + c] = -total[b - first, r, c]
