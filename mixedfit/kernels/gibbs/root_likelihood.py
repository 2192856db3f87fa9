"""Normal likelihood of the root Λ of one term given u = Λ⁻¹b, with β integrated out.

For a change D of Λ it is exp(gᵀd − ½ dᵀHd) with d = vec(D) row by row. Notation and layouts as in `sweep`; v is the
unit's row in `units`.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import kernel, plain
from mixedfit.kernels.triangle import cholesky, solve_lower

from .coefficients import fixed_partial

__all__ = ["cross_product", "integrate", "regression"]

CHUNK = 64
"""Levels whose products are summed together."""


@plain
def cross_product(
    f: int, j: int, a: int, s: int, factors: IntArray, border: Array, gram: Array, p: int
) -> float:
    """Return the product of column a of level j's Z and column s of X."""
    if factors[f, 1] < 0:
        return float(border[j, a, s])
    return float(gram[factors[f, 1] + j * factors[f, 3] + a, gram.shape[0] - 1 - p + s])


@kernel
def _chunk_sums(
    n: int,
    root: Array,
    some: Array,
    left: Array,
    cross: Array,
    squares: Array,
    outer: Array,
    sums: Array,
    slope: Array,
    half: Array,
) -> None:
    """Replace b of `n` levels by u, and add their products to the sums; levels are last, for vector instructions."""
    size, p, g = root.shape[0], half.shape[1], 0
    for c in range(size):
        for d in range(c):
            for t in range(n):
                some[c, t] -= root[c, d] * some[d, t]
        inverse = 1.0 / root[c, c]
        for t in range(n):
            some[c, t] *= inverse
        for d in range(c + 1):
            for t in range(n):
                outer[g, t] = some[c, t] * some[d, t]
            g += 1
    for e in range(squares.shape[0]):
        for g in range(squares.shape[0]):
            total = 0.0
            for t in range(n):
                total += squares[e, t] * outer[g, t]
            sums[e, g] += total
    for a in range(size):
        for c in range(size):
            total = 0.0
            for t in range(n):
                total += left[a, t] * some[c, t]
            slope[a * size + c] += total
            for s in range(p):
                total = 0.0
                for t in range(n):
                    total += cross[a, s, t] * some[c, t]
                half[a * size + c, s] += total


@plain
def regression(
    v: int,
    layout: tuple[IntArray, IntArray, Array, Array],
    root: Array,
    products: tuple[tuple[Array, IntArray, IntArray, Array, Array], Array, Array, tuple[Array, Array, float]],
    partial: Array,
    effects: Array,
    u: Array,
    curvature: Array,
    slope: Array,
    half: Array,
) -> None:
    """Fill u = Λ⁻¹b, and add σ² times H and g without β, and the products with X, to the zeros of the others."""
    units, factors = layout[0], layout[1]
    border, gram, blocks, p = products[0][4], products[1], products[2], products[3][1].size
    f, start, size = units[v, 0], units[v, 1], units[v, 2]
    at, levels, k = factors[f, 0], factors[f, 2], factors[f, 3]
    count, last = size * (size + 1) // 2, gram.shape[0] - 1 - p
    sums = np.zeros((count, count))
    some, left, cross = np.empty((size, CHUNK)), np.empty((size, CHUNK)), np.empty((size, p, CHUNK))
    squares, outer = np.empty((count, CHUNK)), np.empty((count, CHUNK))
    tail = factors[f, 1]
    for low in range(0, levels, CHUNK):
        n, e = min(CHUNK, levels - low), 0
        for a in range(size):
            for t in range(n):
                j = low + t
                some[a, t] = effects[at + j, start + a]
                rest = partial[at + j, start + a]
                for c in range(k):
                    rest -= blocks[at + j, start + a, c] * effects[at + j, c]
                left[a, t] = rest
                for s in range(p):
                    if tail < 0:
                        cross[a, s, t] = border[j, start + a, s]
                    else:
                        cross[a, s, t] = gram[tail + j * k + start + a, last + s]
            for b in range(a + 1):
                for t in range(n):
                    squares[e, t] = blocks[at + low + t, start + a, start + b]
                e += 1
        _chunk_sums(n, root, some, left, cross, squares, outer, sums, slope, half)
        for a in range(size):
            for t in range(n):
                u[low + t, a] = some[a, t]
    for a in range(size):
        for b in range(size):
            e = max(a, b) * (max(a, b) + 1) // 2 + min(a, b)
            for c in range(size):
                for d in range(size):
                    g = max(c, d) * (max(c, d) + 1) // 2 + min(c, d)
                    curvature[a * size + c, b * size + d] = sums[e, g]


@plain
def integrate(
    variance: float,
    products: tuple[tuple[Array, IntArray, IntArray, Array, Array], Array, Array, tuple[Array, Array, float]],
    state: tuple[Array, Array, Array, Array],
    curvature: Array,
    slope: Array,
    half: Array,
    chol: Array,
    rest: Array,
) -> bool:
    """Integrate β out of H and g; fill what a draw of β given D takes.

    With LLᵀ the precision of β given b: `chol` becomes L, `half` the products times L⁻ᵀ/σ², and `rest` L⁻¹ times the
    slope of log p(y, β) in β.
    """
    first, gram, _, fixed = products
    p, n = fixed[1].size, slope.size
    q = gram.shape[0] - 1 - p
    fixed_partial(first, gram, state[2], state[3], rest)
    for s in range(p):
        rest[s] = rest[s] / variance + fixed[1][s]
        for t in range(p):
            rest[s] -= fixed[0][s, t] * state[3][q + t]
            chol[s, t] = gram[q + s, q + t] / variance + fixed[0][s, t]
    if not cholesky(chol):
        return False
    solve_lower(chol, rest, p)
    for e in range(n):
        slope[e] /= variance
        for s in range(p):
            half[e, s] /= variance
        solve_lower(chol, half[e], p)
        for s in range(p):
            slope[e] -= half[e, s] * rest[s]
    for e in range(n):
        for g in range(n):
            curvature[e, g] /= variance
            for s in range(p):
                curvature[e, g] -= half[e, s] * half[g, s]
    return True
