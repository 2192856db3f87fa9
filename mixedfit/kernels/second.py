"""Traces tr(P V_a P V_b) of a small model (V⁻¹ for P under ML), from sums over levels and the tail.

Ψ = ZᵀPZ has the blocks Ψ_jl = δ_jl W_j − F_j U F_lᵀ within the first factor, F_j R between it and the tail, and S̃R
within the tail, where R = I − U S̃ (first t rows, random columns). With M_a = Σ_j F_jᵀE_aF_j:
first with first Σ_j tr(E_a W E_b (W − 2FUFᵀ)) + tr(U M_a U M_b); first with tail tr(M_a R Ē_b Rᵀ), Ē_b = I ⊗ E_b;
tail with tail Σ_jl tr(E_a Ψ_jl E_b Ψ_lj).
"""

from __future__ import annotations

import numpy as np

from .._types import Array, IntArray
from ._compile import kernel

__all__ = ["traces_small"]


@kernel
def _spread_of(direction: Array, k: int, spreads: Array) -> Array:
    """Return M_a, shape (t, t)."""
    t = spreads.shape[0]
    out = np.empty((t, t))
    for i in range(t):
        for h in range(i + 1):
            total = 0.0
            for a in range(k):
                for b in range(k):
                    total += direction[a, b] * spreads[i, h, a, b]
            out[i, h] = out[h, i] = total
    return out


@kernel
def _product(left: Array, right: Array, out: Array) -> None:
    for i in range(left.shape[0]):
        row = out[i]
        row[:] = 0.0
        for c in range(left.shape[1]):
            at, other = left[i, c], right[c]
            for h in range(right.shape[1]):
                row[h] += at * other[h]


@kernel
def _within_first(
    layout: IntArray, directions: Array, scaled: Array, traces: Array, images: Array, out: Array
) -> None:
    """Traces of the first factor with itself; `images` (d, t, t) holds U M_a."""
    k, count, t = layout[0, 0], layout[0, 4], scaled.shape[0]
    for d in range(count):
        for e in range(count):
            total = 0.0
            for a in range(k):
                for b in range(k):
                    for c in range(k):
                        for f in range(k):
                            total += directions[d, f, a] * traces[a, b, c, f] * directions[e, b, c]
            for i in range(t):
                for h in range(t):
                    total += images[d, i, h] * images[e, h, i]
            out[d, e] = total


@kernel
def _apply(direction: Array, k: int, levels: int, offset: int, source: Array, out: Array) -> None:
    """out = Ē source for one tail factor's rows of `source` (rows, columns)."""
    for j in range(levels):
        at = offset + j * k
        for a in range(k):
            row = out[j * k + a]
            row[:] = 0.0
            for b in range(k):
                factor = direction[a, b]
                other = source[at + b]
                for h in range(other.size):
                    row[h] += factor * other[h]


@kernel
def traces_small(
    layout: IntArray, directions: Array, products: Array, scaled: Array, traces: Array, spreads: Array
) -> Array:
    """Return tr(P V_a P V_b), shape (n_theta, n_theta); arguments as in `small` and `levels.sum_levels`."""
    count, first, k, t = directions.shape[0], layout[0, 4], layout[0, 0], scaled.shape[0]
    last = layout.shape[0] - 1
    q = layout[last, 2] + layout[last, 0] * layout[last, 1] if last > 0 else 0
    out = np.zeros((count, count))
    spread, images = np.empty((first, t, t)), np.empty((first, t, t))
    for d in range(first):
        spread[d] = _spread_of(directions[d], k, spreads)
        _product(scaled, spread[d], images[d])
    _within_first(layout, directions, scaled, traces, images, out)
    if q == 0:
        return out
    rest, across = np.empty((q, t)), np.empty((t, q))
    _product(products[:q, :t], scaled, rest)  # Rᵀ = I − S̃U, one row a random column
    for i in range(q):
        for h in range(t):
            rest[i, h] = -rest[i, h]
        rest[i, i] += 1.0
    for i in range(q):
        for h in range(t):
            across[h, i] = rest[i, h]
    psi = np.empty((q, q))
    _product(products[:q, :t], across, psi)
    images_tail = np.empty((count - first, q, q))
    for f in range(1, last + 1):
        k_f, levels, offset = layout[f, 0], layout[f, 1], layout[f, 2]
        width = k_f * levels
        turned, image = np.empty((width, t)), np.empty((t, t))
        for d in range(layout[f, 3], layout[f, 3] + layout[f, 4]):
            images_tail[d - first] = 0.0
            _apply(directions[d], k_f, levels, offset, psi, images_tail[d - first, offset : offset + width])
            _apply(directions[d], k_f, levels, offset, rest, turned)
            _product(across[:, offset : offset + width], turned, image)
            for e in range(first):
                total = 0.0
                for i in range(t):
                    for h in range(t):
                        total += spread[e, i, h] * image[i, h]
                out[d, e] = out[e, d] = total
    for d in range(first, count):
        for e in range(first, d + 1):
            total = 0.0
            for i in range(q):
                for h in range(q):
                    total += images_tail[d - first, i, h] * images_tail[e - first, h, i]
            out[d, e] = out[e, d] = total
    return out
