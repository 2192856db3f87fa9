"""Elimination of the first factor's levels, and draws of their effects; notation and layouts as in `sweep`.

Levels are taken in chunks, in arrays that have the levels last, so that loops over them use vector instructions.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import kernel, plain
from mixedfit.kernels.triangle import cholesky, solve_lower

__all__ = ["draw_first", "eliminate"]

CHUNK = 64
"""Levels that are taken together."""


@plain
def _first_root(lams: Array, sigma: float, k: int) -> Array:
    """Return λ̃/σ of the first factor, shape (k, k)."""
    out = np.empty((k, k))
    for a in range(k):
        for b in range(k):
            out[a, b] = lams[0, a, b] / sigma
    return out


@kernel
def _eliminate_chunk(
    n: int, scaled: Array, gram: Array, border: Array, half: Array, chol: Array, system: Array
) -> bool:
    """Eliminate `n` levels, which come last in the arrays, for vector instructions; `half` becomes L⁻¹λ̃ᵀ[Z'X Z'y]/σ."""
    k, width = border.shape[0], border.shape[1]
    for a in range(k):
        for c in range(k):  # row a of λ̃ᵀZ'Z/σ
            for t in range(n):
                half[c, t] = 0.0
            for d in range(k):
                for t in range(n):
                    half[c, t] += scaled[d, a] * gram[d, c, t]
        for b in range(a + 1):
            for t in range(n):
                chol[a, b, t] = 1.0 if a == b else 0.0
            for c in range(k):
                for t in range(n):
                    chol[a, b, t] += half[c, t] * scaled[c, b]
    for i in range(k):
        for h in range(i + 1):
            for c in range(h):
                for t in range(n):
                    chol[i, h, t] -= chol[i, c, t] * chol[h, c, t]
            for t in range(n):
                chol[i, h, t] = np.sqrt(chol[i, i, t]) if h == i else chol[i, h, t] / chol[h, h, t]
    for s in range(width):
        for a in range(k):
            at = s * k + a
            for t in range(n):
                half[at, t] = 0.0
            for c in range(k):
                for t in range(n):
                    half[at, t] += scaled[c, a] * border[c, s, t]
            for c in range(a):
                for t in range(n):
                    half[at, t] -= chol[a, c, t] * half[s * k + c, t]
            for t in range(n):
                half[at, t] /= chol[a, a, t]
        for r in range(s + 1):
            total = 0.0
            for a in range(k):
                for t in range(n):
                    total += half[s * k + a, t] * half[r * k + a, t]
            system[s, r] -= total
    smallest = 1.0
    for a in range(k):
        for t in range(n):
            smallest = min(smallest, chol[a, a, t])
    return bool(smallest > 0.0 and np.isfinite(system[width - 1, width - 1]))


@plain
def _eliminate_alone(scaled: Array, gram: Array, border: Array, chols: Array, system: Array) -> bool:
    """Eliminate a factor that has no cells with others."""
    levels, k, width = border.shape
    squares, products = np.empty((k, k, CHUNK)), np.empty((k, width, CHUNK))
    half, chol = np.empty((k * max(width, k), CHUNK)), np.empty((k, k, CHUNK))
    for low in range(0, levels, CHUNK):
        n = min(CHUNK, levels - low)
        for a in range(k):
            for t in range(n):
                for c in range(k):
                    squares[a, c, t] = gram[low + t, a, c]
                for s in range(width):
                    products[a, s, t] = border[low + t, a, s]
        if not _eliminate_chunk(n, scaled, squares, products, half, chol, system):
            return False
        for a in range(k):
            for c in range(a + 1):
                for t in range(n):
                    chols[low + t, a, c] = chol[a, c, t]
    return True


@plain
def eliminate(
    lams: Array,
    sigma: float,
    first: tuple[Array, IntArray, IntArray, Array, Array],
    chols: Array,
    system: Array,
) -> bool:
    """Eliminate the first factor from the lower triangle of the system; fill `chols` with the levels' factors."""
    gram, indptr, indices, values, border = first
    levels, k, width = border.shape
    q = system.shape[0] - width
    scaled = _first_root(lams, sigma, k)
    if indices.size == 0:
        return _eliminate_alone(scaled, gram, border, chols, system[q:, q:])
    cell, half = np.zeros((1, k)), np.zeros((1, k))
    column = np.zeros(1, np.int64)
    for j in range(levels):
        count = indptr[j + 1] - indptr[j] + width
        if count > half.shape[0]:
            cell, half = np.zeros((count, k)), np.zeros((count, k))
            column = np.zeros(count, np.int64)
        chol = chols[j]
        for a in range(k):
            for b in range(a + 1):
                total = 1.0 if a == b else 0.0
                for c in range(k):
                    for d in range(k):
                        total += scaled[c, a] * gram[j, c, d] * scaled[d, b]
                chol[a, b] = total
        if not cholesky(chol):
            return False
        for e in range(count):
            at = indptr[j] + e
            if at < indptr[j + 1]:
                column[e] = indices[at]
                for a in range(k):
                    cell[e, a] = values[at, a]
            else:
                s = at - indptr[j + 1]
                column[e] = q + s
                for a in range(k):
                    cell[e, a] = border[j, a, s]
            for a in range(k):
                total = 0.0
                for c in range(k):
                    total += scaled[c, a] * cell[e, c]
                half[e, a] = total
            solve_lower(chol, half[e], k)
            for g in range(e + 1):
                total = 0.0
                for a in range(k):
                    total += half[e, a] * half[g, a]
                system[column[e], column[g]] -= total
    return True


@kernel
def _draw_chunk(n: int, scaled: Array, gram: Array, chol: Array, rest: Array, u: Array, b: Array) -> float:
    """Fill b of `n` levels, which come last in the arrays, and return their part of the residual sum of squares.

    `rest` is Z_jᵀ(y − Xβ − Z_tail b_tail), and u the noise, which becomes L⁻ᵀ(noise + L⁻¹λ̃ᵀ rest/σ).
    """
    k, added, half = scaled.shape[0], 0.0, np.empty((scaled.shape[0], n))
    for a in range(k):
        for t in range(n):
            half[a, t] = 0.0
        for c in range(k):
            for t in range(n):
                half[a, t] += scaled[c, a] * rest[c, t]
        for c in range(a):
            for t in range(n):
                half[a, t] -= chol[a, c, t] * half[c, t]
        for t in range(n):
            half[a, t] /= chol[a, a, t]
    for a in range(k - 1, -1, -1):
        for t in range(n):
            u[a, t] += half[a, t]
        for c in range(a + 1, k):
            for t in range(n):
                u[a, t] -= chol[c, a, t] * u[c, t]
        for t in range(n):
            u[a, t] /= chol[a, a, t]
    for a in range(k):
        for t in range(n):
            b[a, t] = 0.0
        for c in range(k):
            for t in range(n):
                b[a, t] += scaled[a, c] * u[c, t]
    for a in range(k):
        for t in range(n):
            added -= 2.0 * b[a, t] * rest[a, t]
        for c in range(k):
            for t in range(n):
                added += b[a, t] * gram[a, c, t] * b[c, t]
    return added


@plain
def draw_first(
    rng: np.random.Generator,
    lams: Array,
    sigma: float,
    first: tuple[Array, IntArray, IntArray, Array, Array],
    chols: Array,
    coefficients: Array,
    partial: Array,
    effects: Array,
) -> float:
    """Draw b_j of each level of the first factor; return their contribution to the residual sum of squares.

    `partial` becomes Z_jᵀ(y − Xβ − Z_tail b_tail).
    """
    gram, indptr, indices, values, border = first
    levels, k, width = border.shape
    q = coefficients.size + 1 - width
    scaled = _first_root(lams, sigma, k)
    squares, chol = np.empty((k, k, CHUNK)), np.empty((k, k, CHUNK))
    rest, u, b, added = np.empty((k, CHUNK)), np.empty((k, CHUNK)), np.empty((k, CHUNK)), 0.0
    for low in range(0, levels, CHUNK):
        n = min(CHUNK, levels - low)
        for t in range(n):
            j = low + t
            for a in range(k):
                total = border[j, a, width - 1]
                for s in range(width - 1):
                    total -= border[j, a, s] * coefficients[q + s]
                for i in range(indptr[j], indptr[j + 1]):
                    total -= values[i, a] * coefficients[indices[i]]
                partial[j, a] = rest[a, t] = total
                u[a, t] = sigma * rng.standard_normal()
                for c in range(k):
                    squares[a, c, t] = gram[j, a, c]
                    chol[a, c, t] = chols[j, a, c]
        added += _draw_chunk(n, scaled, squares, chol, rest, u, b)
        for t in range(n):
            for a in range(k):
                effects[low + t, a] = b[a, t]
    return added
