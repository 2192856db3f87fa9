"""Updates of one variance or covariance matrix: given its effects, and given y with its effects in units of its root.

Notation and layouts as in `gibbs`.
"""

from __future__ import annotations

import numpy as np

from .._types import Array, IntArray
from ._compile import plain
from .gibbs_variances import draw_covariance, draw_scale, draw_variance, log_covariance_density
from .triangle import cholesky, solve_lower, solve_upper

__all__ = ["draw_unit", "reroot", "rescale"]


@plain
def _turned(basis: Array, start: int, size: int, inner: Array) -> Array:
    """Return B M Bᵀ with B the block of a basis that belongs to one unit."""
    half, out = np.zeros((size, size)), np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for h in range(size):
                half[i, j] += basis[start + i, start + h] * inner[h, j]
    for i in range(size):
        for j in range(size):
            for h in range(size):
                out[i, j] += half[i, h] * basis[start + j, start + h]
    return out


@plain
def rescale(
    rng: np.random.Generator,
    unit: IntArray,
    hyper: Array,
    factor: IntArray,
    sigma: float,
    blocks: Array,
    partial: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw τ of one effect given u = b/τ and y; move b with it."""
    s, first, levels, k = unit[1], factor[0], factor[2], factor[3]
    tau = np.sqrt(omega[s, s])
    precision, linear = 0.0, 0.0
    for j in range(first, first + levels):
        u = effects[j, s] / tau
        rest = partial[j, s]
        for c in range(k):
            if c != s:
                rest -= blocks[j, s, c] * effects[j, c]
        precision += blocks[j, s, s] * u * u
        linear += rest * u
    drawn = draw_scale(rng, unit[3], hyper[0], hyper[1], tau, precision / sigma**2, linear / sigma**2)
    omega[s, s] = drawn * drawn
    for j in range(first, first + levels):
        effects[j, s] *= drawn / tau


@plain
def _log_target(
    unit: IntArray, hyper: Array, matrix: Array, inverse: Array, root: Array, omega: Array
) -> float:
    """Return the log prior density of Λ̃ (Jacobian of ΛΛᵀ included); fill Ω in the effects' own basis."""
    start, size = unit[1], unit[2]
    product = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for h in range(min(i, j) + 1):
                product[i, j] += root[i, h] * root[j, h]
    omega[:] = _turned(inverse, start, size, product)
    value = log_covariance_density(unit[3], hyper[0], matrix, omega, size)
    for i in range(size):
        value += (size - i) * np.log(abs(root[i, i]))
    return value


@plain
def reroot(
    rng: np.random.Generator,
    unit: IntArray,
    hyper: Array,
    matrix: Array,
    factor: IntArray,
    sigma: float,
    basis: Array,
    inverse: Array,
    blocks: Array,
    partial: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw Λ of one term given u = Λ⁻¹b and y: proposed from its normal likelihood, accepted by its prior; move b."""
    start, size, first, levels, k = unit[1], unit[2], factor[0], factor[2], factor[3]
    here = omega[start : start + size, start : start + size]
    root = _turned(basis, start, size, here.copy())
    if not cholesky(root):
        return
    for i in range(size):
        for j in range(i + 1, size):
            root[i, j] = 0.0
    count = size * (size + 1) // 2
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    at = 0
    for i in range(size):
        for j in range(i + 1):
            rows[at], columns[at] = i, j
            at += 1
    u = np.empty((levels, size))
    precision, linear = np.zeros((count, count)), np.zeros(count)
    rest = np.empty(size)
    for j in range(levels):
        for a in range(size):
            u[j, a] = effects[first + j, start + a]
            rest[a] = partial[first + j, start + a]
            for c in range(k):
                if c < start or c >= start + size:
                    rest[a] -= blocks[first + j, start + a, c] * effects[first + j, c]
        solve_lower(root, u[j], size)
        for e in range(count):
            linear[e] += rest[rows[e]] * u[j, columns[e]] / sigma**2
            for g in range(e + 1):
                precision[e, g] += (
                    blocks[first + j, start + rows[e], start + rows[g]]
                    * u[j, columns[e]]
                    * u[j, columns[g]]
                    / sigma**2
                )
    if not cholesky(precision):
        return
    solve_lower(precision, linear, count)
    for e in range(count):
        linear[e] += rng.standard_normal()
    solve_upper(precision, linear, count)
    proposal, new, old = np.zeros((size, size)), np.empty((size, size)), np.empty((size, size))
    for e in range(count):
        proposal[rows[e], columns[e]] = linear[e]
    gain = _log_target(unit, hyper, matrix, inverse, proposal, new)
    gain -= _log_target(unit, hyper, matrix, inverse, root, old)
    if not np.log(rng.random()) < gain:
        return
    here[:] = new
    for j in range(levels):
        for a in range(size):
            total = 0.0
            for c in range(a + 1):
                total += proposal[a, c] * u[j, c]
            effects[first + j, start + a] = total


@plain
def draw_unit(
    rng: np.random.Generator,
    unit: IntArray,
    hyper: Array,
    matrix: Array,
    factor: IntArray,
    inverse: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw one variance or covariance matrix given its effects."""
    start, size, first, levels = unit[1], unit[2], factor[0], factor[2]
    sums = np.zeros((size, size))
    for j in range(first, first + levels):
        for a in range(size):
            for c in range(a + 1):
                sums[a, c] += effects[j, start + a] * effects[j, start + c]
    for a in range(size):
        for c in range(a):
            sums[c, a] = sums[a, c]
    sums = _turned(inverse, start, size, sums)
    if size == 1:
        omega[start, start] = draw_variance(
            rng, unit[3], hyper[0], hyper[1], levels, sums[0, 0], omega[start, start]
        )
        return
    drawn = omega[start : start + size, start : start + size].copy()
    draw_covariance(rng, unit[3], hyper[0], matrix, levels, sums, drawn)
    omega[start : start + size, start : start + size] = drawn
