"""Criterion of a small model with gradient, average-information curvature and exact curvature.

Notation as in `small_levels` and `dense_tail`: S̃ are the products of [tail, X, y] left by the first factor,
S = ΛᵀS̃Λ + D = L Lᵀ, T = S⁻¹ over its first t columns (the random ones; under REML the fixed ones too), U = Λ T Λᵀ,
E_a = ∂(λλᵀ)/∂θ_a.

`data`: gram, indptr, indices, values, border of the first factor, and the lower triangle of the tail's products.
`layout` (blocks, 5): effects, levels, first tail column, first θ and number of θ of each block, the first factor's
row first. `lams` (blocks, k, k) and `slopes` (n_theta, k, k), ∂λ/∂θ, hold each block's numbers in their leading
parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import plain
from .small_derivatives import (
    directions_of,
    first_products,
    product,
    quadratic_forms,
    tail_variates,
    times_both,
    times_lam,
    traces_small,
)
from .small_levels import eliminate_levels, sum_levels
from .triangle import cholesky, solve_upper, symmetric_inverse

__all__ = ["derive_small", "evaluate_small", "solve_small"]


@plain
def evaluate_small(
    static: Any, data: Any, layout: IntArray, lams: Array, products: Array, chol: Array, pieces: Array
) -> bool:
    """Fill `products` with S̃, `chol` with L, `pieces` with log-determinants (random, fixed) and PRSS.

    Returns whether all matrices were positive definite.
    """
    gram, indptr, indices, values, border, tail = data
    m = tail.shape[0]
    for i in range(m):
        for h in range(i + 1):
            products[i, h] = tail[i, h]
    logdet = eliminate_levels(
        static, lams[0], gram, indptr, indices, values, border, products, 0 * m, gram.shape[0]
    )
    for i in range(m):
        for h in range(i + 1):
            products[h, i] = products[i, h]
            chol[i, h] = chol[h, i] = products[i, h]
    q = 0
    if layout.shape[0] > 1:
        last = layout.shape[0] - 1
        q = layout[last, 2] + layout[last, 0] * layout[last, 1]
        times_both(layout, lams, chol, True)
        for i in range(q):
            chol[i, i] += 1.0
    if not cholesky(chol):
        return False
    fixed = 0.0
    for i in range(q):
        logdet += 2.0 * np.log(chol[i, i])
    for i in range(q, m - 1):
        fixed += 2.0 * np.log(chol[i, i])
    pieces[0], pieces[1], pieces[2] = logdet, fixed, chol[m - 1, m - 1] ** 2
    return bool(np.isfinite(logdet))


@plain
def solve_small(layout: IntArray, lams: Array, chol: Array, solution: Array) -> None:
    """Fill `solution` (m − 1,) with the coefficients of all tail columns but y."""
    size = solution.size
    for i in range(size):
        solution[i] = chol[size, i]
    solve_upper(chol, solution, size)
    times_lam(layout, lams, solution, False)


@plain
def _quotient(layout: IntArray, f: int, lams: Array, products: Array, inner: Array, out: Array) -> None:
    """Fill `out` (k, k) with Q = Σ_j [S̃ΛT]_jj of tail factor f."""
    k, levels, offset = layout[f, 0], layout[f, 1], layout[f, 2]
    t = inner.shape[0]
    room = np.empty(t)
    for a in range(k):
        for b in range(k):
            out[a, b] = 0.0
    for j in range(levels):
        at = offset + j * k
        for a in range(k):
            for i in range(t):
                room[i] = products[at + a, i]
            times_lam(layout, lams, room, True)
            for b in range(k):
                total = 0.0
                for i in range(t):
                    total += room[i] * inner[at + b, i]
                out[a, b] += total


@plain
def _reduced(layout: IntArray, f: int, products: Array, image: Array, out: Array) -> None:
    """Fill `out` (k, k) with Σ_j [S̃ − S̃US̃]_jj of tail factor f; `image` (q, t) holds S̃U."""
    k, levels, offset = layout[f, 0], layout[f, 1], layout[f, 2]
    for a in range(k):
        for b in range(k):
            total = 0.0
            for j in range(levels):
                at = offset + j * k
                total += products[at + a, at + b]
                for i in range(image.shape[1]):
                    total -= image[at + a, i] * products[at + b, i]
            out[a, b] = total


@plain
def _prepare(layout: IntArray, lams: Array, chol: Array, t: int) -> Any:
    """Return T and U."""
    inner = symmetric_inverse(chol, 0, t)
    scaled = np.empty((t, t))
    for i in range(t):
        for h in range(t):
            scaled[i, h] = inner[i, h]
    times_both(layout, lams, scaled, False)
    return inner, scaled


@plain
def _tail_scores(products: Array, scaled: Array, solution: Array, scores: Array) -> Array:
    """Fill the tail's scores; return the rows of S̃U of its random columns."""
    q, size = scores.size, solution.size
    for i in range(q):
        total = products[i, size]
        for h in range(size):
            total -= products[i, h] * solution[h]
        scores[i] = total
    image = np.empty((q, scaled.shape[0]))
    product(products, scaled, image)
    return image


@plain
def _moments(layout: IntArray, f: int, scores: Array, out: Array) -> None:
    """Fill `out` with Σ_j w_j w_jᵀ of tail factor f."""
    k = layout[f, 0]
    for a in range(k):
        for b in range(k):
            out[a, b] = 0.0
    for j in range(layout[f, 1]):
        at = layout[f, 2] + j * k
        for a in range(k):
            for b in range(k):
                out[a, b] += scores[at + a] * scores[at + b]


@plain
def _slopes(
    layout: IntArray,
    variance: float,
    matrices: Any,
    sums: Array,
    scores: Array,
    directions: Array,
    gradient: Array,
    along: Array,
    rest: Array,
) -> None:
    """Fill the gradient, −∂PRSS/∂θ, and the contribution of the second derivative of λλᵀ to the curvature.

    `matrices`: λ and ∂λ/∂θ of all blocks, S̃, T and S̃U.
    """
    lams, slopes, products, inner, image = matrices
    widest = slopes.shape[1]
    moments, quotient = np.zeros((widest, widest)), np.zeros((widest, widest))
    slope = np.zeros((widest, widest))
    for f in range(layout.shape[0]):
        k, here, stop = layout[f, 0], layout[f, 3], layout[f, 3] + layout[f, 4]
        if f == 0:
            for a in range(k):
                for b in range(k):
                    moments[a, b] = sums[2, a, b]
                    slope[a, b] = sums[0, a, b] - sums[1, a, b]
                    quotient[a, b] = 0.0
                    for c in range(k):
                        quotient[a, b] += (sums[0, a, c] - sums[1, a, c]) * lams[0, c, b]
        else:
            _moments(layout, f, scores, moments)
            _quotient(layout, f, lams, products, inner, quotient)
            _reduced(layout, f, products, image, slope)
        for a in range(k):
            for b in range(k):
                total = 0.0
                for c in range(k):
                    total += moments[a, c] * lams[f, c, b]
                quotient[a, b] -= total / variance
                slope[a, b] -= moments[a, b] / variance
        for d in range(here, stop):
            total, moment = 0.0, 0.0
            for a in range(k):
                for b in range(k):
                    total += slopes[d, a, b] * quotient[a, b]
                    moment += directions[d, a, b] * moments[a, b]
            gradient[d] = 2.0 * total
            along[d] = moment
            for e in range(here, stop):
                total = 0.0
                for a in range(k):
                    for b in range(k):
                        bend = 0.0
                        for c in range(k):
                            bend += slope[a, c] * slopes[e, c, b]
                        total += slopes[d, a, b] * bend
                rest[d, e] = 2.0 * total


@plain
def _complete(rest: Array, along: Array, profiled: float, second: Array, curvatures: Array) -> None:
    """Assemble both curvatures; `profiled` is 1/(σ² PRSS), or 0 where σ is held; `second` may be empty."""
    count = along.size
    for d in range(count):
        for e in range(count):
            rest[d, e] -= along[d] * along[e] * profiled
    for d in range(count):
        for e in range(count):
            bend = 0.5 * (rest[d, e] + rest[e, d])
            if second.size > 0:
                both = 0.5 * (second[d, e] + second[e, d])
                curvatures[1, d, e] = 2.0 * curvatures[0, d, e] - both + bend
            curvatures[0, d, e] += bend


@plain
def derive_small(
    static: Any,
    data: Any,
    layout: IntArray,
    options: Any,
    lams: Array,
    slopes: Array,
    products: Array,
    chol: Array,
    solution: Array,
    scores: Any,
    gradient: Array,
    curvatures: Array,
) -> None:
    """Fill the solution, the scores of the first factor (levels, k) and the tail (q,), gradient and curvatures.

    `options`: whether REML, whether exact, σ² in units of the cross-products, whether it is profiled. `curvatures`
    (2, n_theta, n_theta): the average information's and, if requested, the exact one. Each step is a kernel of its own:
    a single fit calls the steps from Python (`derive_small.py_func`), which saves compiling this function.
    """
    reml, exact, variance, profiled = options
    gram, indptr, indices, values, border, _ = data
    first_scores, tail_scores = scores
    size, q, count, k = solution.size, tail_scores.size, gradient.size, gram.shape[1]
    t = size if reml else q
    solve_small(layout, lams, chol, solution)
    inner, scaled = _prepare(layout, lams, chol, t)
    sums, pairs = np.zeros((3, k, k)), np.zeros((k, k, k, k))
    sides, traces = np.zeros((k, k, size)), np.zeros((k, k, k, k))
    width = t if exact else 0
    spreads = np.zeros((width, width, k, k))
    sum_levels(
        static, lams[0], gram, indptr, indices, values, border, scaled, solution, exact,
        first_scores, sums, pairs, sides, traces, spreads, 0 * count, gram.shape[0],
    )  # fmt: skip
    image = _tail_scores(products, scaled, solution, tail_scores)
    directions = directions_of(layout, lams, slopes)
    along, rest = np.zeros(count), np.zeros((count, count))
    matrices = (lams, slopes, products, inner, image)
    _slopes(layout, variance, matrices, sums, tail_scores, directions, gradient, along, rest)
    quadratic, crossed = np.zeros((count, count)), np.zeros((count, size))
    first_products(layout, directions, pairs, sides, quadratic, crossed)
    if q > 0:
        tail_variates(layout, directions, tail_scores, products, quadratic, crossed)
    quadratic_forms(layout, lams, chol, variance, quadratic, crossed, curvatures[0])
    second = np.zeros((0, 0))
    if exact:
        second = traces_small(layout, directions, products, image, scaled, traces, spreads)
    inverse = 1.0 / (variance * chol[size, size] ** 2) if profiled else 0.0
    _complete(rest, along, inverse, second, curvatures)
