"""Prediction error variances of new rows: quadratic forms in the inverse of Henderson's equations.

Notation: row i has first-factor level j with effects z_i (k,), a column of every tail factor, and x_i (p,), in the
basis of the cross-products. With K_j = λ(λᵀZ_jᵀZ_jλ + I)⁻¹λᵀ and G_j = Z_jᵀ[tail X] block elimination gives
    ℓᵀC⁻¹ℓ = z_iᵀK_j z_i + wᵀ (Λ S⁻¹ Λᵀ) w,    w = t_i − G_jᵀK_j z_i,
t_i the row's tail and X columns. w has as many elements as tail columns occur with level j, whatever the tail's size.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import plain

__all__ = ["quadratic_dense", "quadratic_sparse"]


@plain
def _remainder(
    code: int,
    z: Array,
    conditional: Array,
    first: tuple[IntArray, IntArray, Array, Array],
    columns: IntArray,
    effects: Array,
    x: Array,
    w: Array,
    marked: IntArray,
    touched: IntArray,
) -> tuple[int, float]:
    """Fill `w` for one row and `touched` with its non-zero tail columns; return their number and zᵀKz."""
    indptr, indices, values, border = first
    k, p = z.size, x.size
    q = w.size - p
    count = 0
    for a in range(columns.size):
        if columns[a] >= 0:
            w[columns[a]] += effects[a]
            if marked[columns[a]] == 0:
                marked[columns[a]] = 1
                touched[count] = columns[a]
                count += 1
    for s in range(p):
        w[q + s] = x[s]
    own = 0.0
    if code >= 0:
        for a in range(k):
            gain = 0.0
            for b in range(k):
                gain += conditional[code, a, b] * z[b]
            own += gain * z[a]
            for s in range(p):
                w[q + s] -= border[code, a, s] * gain
            for i in range(indptr[code], indptr[code + 1]):
                w[indices[i]] -= values[i, a] * gain
        for i in range(indptr[code], indptr[code + 1]):
            if marked[indices[i]] == 0:
                marked[indices[i]] = 1
                touched[count] = indices[i]
                count += 1
    for i in range(count):
        marked[touched[i]] = 0
    return count, own


@plain
def quadratic_dense(
    codes: IntArray,
    z: Array,
    conditional: Array,
    first: tuple[IntArray, IntArray, Array, Array],
    columns: IntArray,
    effects: Array,
    x: Array,
    inverse: Array,
    out: Array,
) -> None:
    """Fill `out` (n,) with ℓᵀC⁻¹ℓ, given ΛS⁻¹Λᵀ over [tail X] in the lower triangle of `inverse`.

    `columns`, `effects` (n, …): the tail columns of each row, −1 for none, and their values. `first`: pointers,
    columns and values of Z_jᵀ tail, and Z_jᵀ[X y].
    """
    p = x.shape[1]
    q = inverse.shape[0] - p
    w, marked, touched = np.zeros(q + p), np.zeros(q, np.int64), np.empty(q + p, np.int64)
    for i in range(codes.size):
        count, total = _remainder(
            codes[i], z[i], conditional, first, columns[i], effects[i], x[i], w, marked, touched
        )
        for s in range(p):
            touched[count] = q + s
            count += 1
        for a in range(count):
            here = touched[a]
            part = 0.5 * inverse[here, here] * w[here]
            for b in range(a):
                there = touched[b]
                part += w[there] * (inverse[here, there] if here > there else inverse[there, here])
            total += 2.0 * w[here] * part
        for a in range(count):
            w[touched[a]] = 0.0
        out[i] = total


@plain
def quadratic_sparse(
    codes: IntArray,
    z: Array,
    conditional: Array,
    first: tuple[IntArray, IntArray, Array, Array],
    columns: IntArray,
    effects: Array,
    x: Array,
    pattern: tuple[IntArray, IntArray, IntArray, IntArray, IntArray],
    layout: tuple[IntArray, IntArray, IntArray],
    lams: Array,
    factor: tuple[Array, Array, Array],
    out: Array,
) -> None:
    """Fill `out` (n,) with ℓᵀC⁻¹ℓ = zᵀKz + |L⁻¹Λᵀw|², solving only for nodes that w reaches in the elimination tree.

    `pattern`: ptr, rows, start, size, factor of `block_sparse`; `layout`: position of every tail column in
    elimination order, node of every position, first position of every node; `factor`: L, L⁻¹ΛᵀS̃[:, X], root of X.
    Davis (2006), section 4.1.
    """
    ptr, rows, start, size, family = pattern
    position, node_of, offset = layout
    chol, half, root = factor
    p, q = x.shape[1], position.size
    w, marked, touched = np.zeros(q + p), np.zeros(q, np.int64), np.empty(q, np.int64)
    work, image = np.zeros(q), np.empty(max(lams.shape[1], 1))
    seen, reach, rest = np.full(ptr.size, -1, np.int64), np.empty(ptr.size, np.int64), np.empty(p)
    for i in range(codes.size):
        count, total = _remainder(
            codes[i], z[i], conditional, first, columns[i], effects[i], x[i], w, marked, touched
        )
        rest[:] = w[q:]
        reached = 0
        for a in range(count):
            here = position[touched[a]]
            work[here] = w[touched[a]]
            w[touched[a]] = 0.0
            node = node_of[here]
            while node >= 0 and seen[node] != i:
                seen[node] = i
                reach[reached] = node
                reached += 1
                node = rows[ptr[node] + 1] if ptr[node + 1] > ptr[node] + 1 else -1
        nodes = np.sort(reach[:reached])
        for j in nodes:
            k, at, lam = size[j], offset[j], lams[family[j]]
            for c in range(k):
                image[c] = 0.0
                for e in range(k):
                    image[c] += lam[e, c] * work[at + e]
            for c in range(k):
                work[at + c] = image[c]
        for j in nodes:
            k, at, d = size[j], offset[j], start[ptr[j]]
            for c in range(k):
                value = work[at + c]
                for e in range(c):
                    value -= chol[d + c * k + e] * work[at + e]
                value /= chol[d + c * k + c]
                work[at + c] = value
                total += value * value
                for s in range(p):
                    rest[s] -= half[at + c, s] * value
            for b in range(ptr[j] + 1, ptr[j + 1]):
                below = offset[rows[b]]
                for r in range(size[rows[b]]):
                    for c in range(k):
                        work[below + r] -= chol[start[b] + r * k + c] * work[at + c]
            for c in range(k):
                work[at + c] = 0.0
        for s in range(p):
            value = rest[s]
            for e in range(s):
                value -= root[s, e] * rest[e]
            rest[s] = value / root[s, s]
            total += rest[s] * rest[s]
        out[i] = total
