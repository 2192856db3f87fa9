"""Traces tr(P V_a P V_b) of a small model (V⁻¹ for P under ML), from sums over levels and the tail.

Ψ = ZᵀPZ has the blocks Ψ_jl = δ_jl W_j − F_j U F_lᵀ within the first factor, F_j R between it and the tail, and S̃R
within the tail, where R = I − U S̃ (first t rows, random columns). With M_a = Σ_j F_jᵀE_aF_j:
first with first Σ_j tr(E_a W E_b (W − 2FUFᵀ)) + tr(U M_a U M_b); first with tail tr(M_a R Ē_b Rᵀ), Ē_b = I ⊗ E_b;
tail with tail Σ_jl tr(E_a Ψ_jl E_b Ψ_lj).
"""

from __future__ import annotations

import numpy as np

from .._types import Array, IntArray
from ._compile import kernel, plain

__all__ = ["product", "traces_small"]


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
    """Return tr(P V_a P V_b), shape (n_theta, n_theta); `image` (q, t) is S̃U, the rest as in `small` and `levels`."""
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
