"""Draws of β and b given the variances, and their residual sum of squares; notation and layouts as in `sweep`."""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky, solve_upper

__all__ = [
    "draw_tail",
    "fill_roots",
    "fixed_partial",
    "scale_tail",
    "tail_partial",
    "tail_squares",
    "to_coefficients",
]


@plain
def fill_roots(omega: Array, basis: Array, factors: IntArray, units: IntArray, lams: Array) -> bool:
    """Fill λ̃ = R chol(Ω), shape (factors, K, K); return whether every Ω is positive definite."""
    for f in range(lams.shape[0]):
        for i in range(lams.shape[1]):
            for j in range(lams.shape[1]):
                lams[f, i, j] = 0.0
    for v in range(units.shape[0]):
        f, start, size = units[v, 0], units[v, 1], units[v, 2]
        chol = np.empty((size, size))
        for i in range(size):
            for j in range(size):
                chol[i, j] = omega[f, start + i, start + j]
        if not cholesky(chol):
            return False
        for i in range(size):
            for j in range(size):
                for h in range(j, size):
                    lams[f, start + i, start + j] += basis[f, start + i, start + h] * chol[h, j]
    return True


@plain
def scale_tail(lams: Array, sigma: float, factors: IntArray, system: Array) -> None:
    """System := ΛᵀSΛ + I on the tail's columns; only the lower triangle is read and defined afterwards."""
    m = system.shape[0]
    for i in range(m):
        for j in range(i):
            system[j, i] = system[i, j]
    held = np.empty(lams.shape[1])
    for f in range(factors.shape[0]):
        offset, levels, k = factors[f, 1], factors[f, 2], factors[f, 3]
        if offset < 0:
            continue
        for top in range(offset, offset + levels * k, k):
            for other in range(m):
                for a in range(k):
                    held[a] = 0.0
                    for c in range(k):
                        held[a] += lams[f, c, a] / sigma * system[top + c, other]
                for a in range(k):
                    system[top + a, other] = held[a]
    for f in range(factors.shape[0]):
        offset, levels, k = factors[f, 1], factors[f, 2], factors[f, 3]
        if offset < 0:
            continue
        for other in range(m):
            for top in range(offset, offset + levels * k, k):
                for a in range(k):
                    held[a] = 0.0
                    for c in range(k):
                        held[a] += lams[f, c, a] / sigma * system[other, top + c]
                for a in range(k):
                    system[other, top + a] = held[a]
        for i in range(offset, offset + levels * k):
            system[i, i] += 1.0


@plain
def draw_tail(
    rng: np.random.Generator,
    lams: Array,
    sigma: float,
    factors: IntArray,
    system: Array,
    effects: Array,
    coefficients: Array,
) -> None:
    """Draw the tail's effects and β from the factored system; fill `effects` and `coefficients` of [tail X]."""
    size = coefficients.size
    last = system.shape[0] - 1
    for i in range(size):
        coefficients[i] = system[last, i] + sigma * rng.standard_normal()
    solve_upper(system, coefficients, size)
    for f in range(factors.shape[0]):
        first, offset, levels, k = factors[f, 0], factors[f, 1], factors[f, 2], factors[f, 3]
        if offset < 0:
            continue
        for j in range(levels):
            for a in range(k):
                total = 0.0
                for c in range(k):
                    total += lams[f, a, c] / sigma * coefficients[offset + j * k + c]
                effects[first + j, a] = total
        to_coefficients(f, factors, effects, coefficients)


@plain
def to_coefficients(f: int, factors: IntArray, effects: Array, coefficients: Array) -> None:
    """Write a tail factor's effects among the coefficients of [tail X]."""
    first, offset, levels, k = factors[f, 0], factors[f, 1], factors[f, 2], factors[f, 3]
    for j in range(levels):
        for a in range(k):
            coefficients[offset + j * k + a] = effects[first + j, a]


@plain
def tail_squares(gram: Array, coefficients: Array) -> float:
    """Return ‖y − Xβ − Z_tail b_tail‖² from the products of [tail X y]."""
    m = gram.shape[0]
    total = 0.0
    for i in range(m):
        row = gram[i, m - 1]
        for j in range(m - 1):
            row -= gram[i, j] * coefficients[j]
        total += row if i == m - 1 else -coefficients[i] * row
    return total


@plain
def tail_partial(
    f: int,
    factors: IntArray,
    first: tuple[Array, IntArray, IntArray, Array, Array],
    gram: Array,
    blocks: Array,
    coefficients: Array,
    effects: Array,
    partial: Array,
) -> None:
    """Fill a tail factor's `partial`: Zᵀ(y less everything but the factor's own effects)."""
    indptr, indices, values = first[1], first[2], first[3]
    start, offset, levels, k = factors[f, 0], factors[f, 1], factors[f, 2], factors[f, 3]
    size = coefficients.size
    for j in range(levels):
        for a in range(k):
            row = offset + j * k + a
            total = gram[row, size]
            for c in range(size):
                total -= gram[row, c] * coefficients[c]
            for c in range(k):
                total += blocks[start + j, a, c] * effects[start + j, c]
            partial[start + j, a] = total
    for j in range(indptr.size - 1):
        for i in range(indptr[j], indptr[j + 1]):
            at = indices[i] - offset
            if at >= 0 and at < levels * k:
                total = 0.0
                for a in range(values.shape[1]):
                    total += values[i, a] * effects[j, a]
                partial[start + at // k, at % k] -= total


@plain
def fixed_partial(
    first: tuple[Array, IntArray, IntArray, Array, Array],
    gram: Array,
    effects: Array,
    coefficients: Array,
    out: Array,
) -> None:
    """Fill in Xᵀ(y − Xβ − Zb), shape (p,)."""
    size = coefficients.size
    for s in range(out.size):
        row = size - out.size + s
        total = gram[row, size]
        for c in range(size):
            total -= gram[row, c] * coefficients[c]
        out[s] = total
    border = first[4]
    for j in range(border.shape[0]):
        for a in range(border.shape[1]):
            for s in range(out.size):
                out[s] -= border[j, a, s] * effects[j, a]
