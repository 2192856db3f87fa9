"""Products with Λ, working variates t_a = Z c_a (c_aj = E_a w_j) and traces; notation as in `small_criterion`."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel, plain
from .triangle import solve_lower

__all__ = [
    "directions_of",
    "first_products",
    "product",
    "quadratic_forms",
    "tail_variates",
    "times_both",
    "times_lam",
    "traces_small",
]


@plain
def times_lam(layout: IntArray, lams: Array, vector: Array, transposed: bool) -> None:
    """Multiply `vector` (at least all random columns) by Λ, or Λᵀ, in place."""
    room = np.empty(lams.shape[1])
    for f in range(1, layout.shape[0]):
        k, levels, offset = layout[f, 0], layout[f, 1], layout[f, 2]
        for j in range(levels):
            at = offset + j * k
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += (lams[f, b, a] if transposed else lams[f, a, b]) * vector[at + b]
                room[a] = total
            for a in range(k):
                vector[at + a] = room[a]


@plain
def times_both(layout: IntArray, lams: Array, matrix: Array, transposed: bool) -> None:
    """Replace the symmetric `matrix` by ΛᵀMΛ (`transposed`) or ΛMΛᵀ."""
    n = matrix.shape[0]
    for _ in range(2):
        for i in range(n):
            times_lam(layout, lams, matrix[i], transposed)
        for i in range(n):
            for h in range(i):
                matrix[i, h], matrix[h, i] = matrix[h, i], matrix[i, h]


@plain
def directions_of(layout: IntArray, lams: Array, slopes: Array) -> Array:
    """Return E_a of all θ, shape (n_theta, k, k)."""
    out = np.zeros(slopes.shape)
    for f in range(layout.shape[0]):
        k = layout[f, 0]
        for d in range(layout[f, 3], layout[f, 3] + layout[f, 4]):
            for a in range(k):
                for b in range(k):
                    total = 0.0
                    for c in range(k):
                        total += slopes[d, a, c] * lams[f, b, c] + lams[f, a, c] * slopes[d, b, c]
                    out[d, a, b] = total
    return out


@plain
def first_products(
    layout: IntArray, directions: Array, pairs: Array, sides: Array, products: Array, crossed: Array
) -> None:
    """Fill in products of the first factor's working variates with each other and with [tail X]."""
    k, count = layout[0, 0], layout[0, 4]
    room = np.empty((k, k))
    for d in range(count):
        for a in range(k):
            for b in range(k):
                room[a, b] = 0.0
        for a in range(k):
            for b in range(k):
                at = directions[d, a, b]
                for i in range(crossed.shape[1]):
                    crossed[d, i] += at * sides[a, b, i]
                for c in range(k):
                    for e in range(k):
                        room[c, e] += at * pairs[a, c, b, e]
        for e in range(count):
            total = 0.0
            for a in range(k):
                for b in range(k):
                    total += directions[e, b, a] * room[a, b]
            products[d, e] = total


@plain
def tail_variates(
    layout: IntArray, directions: Array, scores: Array, tail: Array, products: Array, crossed: Array
) -> None:
    """Add the products of the tail factors' working variates, which have coefficients E_a w_l on the tail's columns."""
    count, q, size = directions.shape[0], scores.size, crossed.shape[1]
    coefficients = np.zeros((count, q))
    for f in range(1, layout.shape[0]):
        k, levels, offset = layout[f, 0], layout[f, 1], layout[f, 2]
        for d in range(layout[f, 3], layout[f, 3] + layout[f, 4]):
            for j in range(levels):
                for a in range(k):
                    total = 0.0
                    for b in range(k):
                        total += directions[d, a, b] * scores[offset + j * k + b]
                    coefficients[d, offset + j * k + a] = total
    first = layout[0, 4]
    for d in range(first, count):
        for e in range(first):
            total = 0.0
            for i in range(q):
                total += crossed[e, i] * coefficients[d, i]
            products[d, e] = products[e, d] = total
    for d in range(first, count):
        for h in range(q):
            at = coefficients[d, h]
            for i in range(size):
                crossed[d, i] += at * tail[h, i]
        for e in range(first, count):
            total = 0.0
            for i in range(q):
                total += crossed[d, i] * coefficients[e, i]
            products[d, e] = total


@plain
def quadratic_forms(
    layout: IntArray, lams: Array, chol: Array, variance: float, quadratic: Array, crossed: Array, out: Array
) -> None:
    """Fill `out` with t_aᵀ P t_b / σ² of the working variates."""
    count, size = crossed.shape
    for d in range(count):
        times_lam(layout, lams, crossed[d], True)
        solve_lower(chol, crossed[d], size)
    for d in range(count):
        for e in range(count):
            total = quadratic[d, e]
            for i in range(size):
                total -= crossed[d, i] * crossed[e, i]
            out[d, e] = total / variance


@plain
def _spread_of(direction: Array, k: int, spreads: Array, out: Array) -> None:
    """Fill `out` (t, t) with M_a."""
    t = spreads.shape[0]
    for i in range(t):
        for h in range(i + 1):
            total = 0.0
            for a in range(k):
                for b in range(k):
                    total += direction[a, b] * spreads[i, h, a, b]
            out[i, h] = out[h, i] = total


@kernel
def product(left: Array, right: Array, out: Array) -> None:
    """out = left right, of the sizes of `out` and `right`; `left` may be larger."""
    for i in range(out.shape[0]):
        for h in range(out.shape[1]):
            out[i, h] = 0.0
        for c in range(right.shape[0]):
            at = left[i, c]
            for h in range(out.shape[1]):
                out[i, h] += at * right[c, h]


@plain
def _within_levels(one: Array, other: Array, k: int, traces: Array) -> float:
    """Return Σ_j tr(E_a W E_b (W − 2FUFᵀ))."""
    total = 0.0
    for a in range(k):
        for b in range(k):
            for c in range(k):
                for f in range(k):
                    total += one[f, a] * traces[a, b, c, f] * other[b, c]
    return total


@plain
def _apply(direction: Array, row: IntArray, source: Array, out: Array) -> None:
    """out = Ē source on one tail factor's rows, with that factor's `row` of the layout."""
    k, levels, offset = row[0], row[1], row[2]
    for j in range(levels):
        at = offset + j * k
        for a in range(k):
            for h in range(source.shape[1]):
                total = 0.0
                for b in range(k):
                    total += direction[a, b] * source[at + b, h]
                out[at + a, h] = total


@plain
def _inner(left: Array, right: Array) -> float:
    """Return tr(left right) of square matrices."""
    total = 0.0
    for i in range(left.shape[0]):
        for h in range(left.shape[0]):
            total += left[i, h] * right[h, i]
    return total


@plain
def traces_small(
    layout: IntArray,
    directions: Array,
    products: Array,
    image: Array,
    scaled: Array,
    traces: Array,
    spreads: Array,
) -> Array:
    """Return tr(P V_a P V_b), shape (n_theta, n_theta); `image` (q, t) is S̃U, the rest as in `small_levels`."""
    count, first, k, t, q = directions.shape[0], layout[0, 4], layout[0, 0], scaled.shape[0], image.shape[0]
    out = np.zeros((count, count))
    spread, turned = np.empty((first, t, t)), np.empty((first, t, t))
    for d in range(first):
        _spread_of(directions[d], k, spreads, spread[d])
        product(scaled, spread[d], turned[d])
    for d in range(first):
        for e in range(first):
            out[d, e] = _within_levels(directions[d], directions[e], k, traces) + _inner(turned[d], turned[e])
    rest, across, psi = np.empty((q, t)), np.empty((t, q)), np.empty((q, q))
    for i in range(q):
        for h in range(t):
            rest[i, h] = across[h, i] = (1.0 if i == h else 0.0) - image[i, h]
    product(products, across, psi)
    mixed, square = np.zeros((q, t)), np.empty((t, t))
    images = np.zeros((count - first, q, q))
    for f in range(1, layout.shape[0]):
        for d in range(layout[f, 3], layout[f, 3] + layout[f, 4]):
            _apply(directions[d], layout[f], psi, images[d - first])
            for i in range(q):
                for h in range(t):
                    mixed[i, h] = 0.0
            _apply(directions[d], layout[f], rest, mixed)
            product(across, mixed, square)
            for e in range(first):
                out[d, e] = out[e, d] = _inner(spread[e], square)
    for d in range(first, count):
        for e in range(first, count):
            out[d, e] = _inner(images[d - first], images[e - first])
    return out
