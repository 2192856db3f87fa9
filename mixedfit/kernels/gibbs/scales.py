"""Updates of one variance or covariance matrix: given its effects, and given y with its effects in units of its root.

Notation and layouts as in `sweep`; v is the unit's row in `units`.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky, solve_lower, solve_upper

from .variances import LKJ, draw_covariance, draw_scale, draw_variance, log_covariance_density

__all__ = ["block_of", "change_basis", "draw_unit", "put_block", "rescale", "rescale_term", "times_transpose"]


@plain
def draw_unit(
    rng: np.random.Generator,
    v: int,
    units: IntArray,
    hyper: Array,
    matrices: Array,
    factors: IntArray,
    inverses: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw one variance or covariance matrix given its effects."""
    f, start, size, kind = units[v, 0], units[v, 1], units[v, 2], units[v, 3]
    first, levels = factors[f, 0], factors[f, 2]
    sums = np.zeros((size, size))
    for j in range(first, first + levels):
        for a in range(size):
            for c in range(a + 1):
                sums[a, c] += effects[j, start + a] * effects[j, start + c]
    for a in range(size):
        for c in range(a):
            sums[c, a] = sums[a, c]
    sums = change_basis(inverses, f, start, sums)
    if size == 1:
        omega[f, start, start] = draw_variance(
            rng, kind, hyper[v, 0], hyper[v, 1], levels, sums[0, 0], omega[f, start, start]
        )
        return
    drawn = block_of(omega, f, start, size)
    draw_covariance(rng, kind, hyper[v, 0], matrices[v], levels, sums, drawn)
    put_block(omega, f, start, drawn)


@plain
def rescale(
    rng: np.random.Generator,
    v: int,
    units: IntArray,
    hyper: Array,
    factors: IntArray,
    sigma: float,
    blocks: Array,
    partial: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw τ of one effect given u = b/τ and y; update b = τu."""
    f, s = units[v, 0], units[v, 1]
    first, levels, k = factors[f, 0], factors[f, 2], factors[f, 3]
    tau = np.sqrt(omega[f, s, s])
    precision, linear = 0.0, 0.0
    for j in range(first, first + levels):
        u = effects[j, s] / tau
        rest = partial[j, s]
        for c in range(k):
            if c != s:
                rest -= blocks[j, s, c] * effects[j, c]
        precision += blocks[j, s, s] * u * u
        linear += rest * u
    drawn = draw_scale(
        rng, units[v, 3], hyper[v, 0], hyper[v, 1], tau, precision / sigma**2, linear / sigma**2
    )
    omega[f, s, s] = drawn * drawn
    for j in range(first, first + levels):
        effects[j, s] *= drawn / tau


@plain
def rescale_term(
    rng: np.random.Generator,
    v: int,
    units: IntArray,
    hyper: Array,
    matrices: Array,
    factors: IntArray,
    sigma: float,
    bases: Array,
    inverses: Array,
    blocks: Array,
    partial: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw Λ of one term given u = Λ⁻¹b and y; under LKJ(η) then each τ given b/τ and y."""
    _propose_root(
        rng, v, units, hyper, matrices, factors, sigma, bases, inverses, blocks, partial, omega, effects
    )
    if units[v, 3] == LKJ:
        _rescale_sds(
            rng, v, units, matrices, factors, sigma, bases, inverses, blocks, partial, omega, effects
        )


@plain
def _rescale_sds(
    rng: np.random.Generator,
    v: int,
    units: IntArray,
    matrices: Array,
    factors: IntArray,
    sigma: float,
    bases: Array,
    inverses: Array,
    blocks: Array,
    partial: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw each τ_i of a term given u = b_i/τ_i, R and y; update b_i = τ_i u.

    The prior of R is its own, and the same if an effect changes its sign. The arrays hold b in another basis, in which
    b_i lies along a column w of the basis.
    """
    f, start, size = units[v, 0], units[v, 1], units[v, 2]
    first, levels, k = factors[f, 0], factors[f, 2], factors[f, 3]
    own = np.empty(levels)
    for i in range(size):
        tau = np.sqrt(omega[f, start + i, start + i])
        precision, linear = 0.0, 0.0
        for j in range(first, first + levels):
            b = 0.0
            for c in range(size):
                b += inverses[f, start + i, start + c] * effects[j, start + c]
            own[j - first] = b
            norm, rest = 0.0, 0.0
            for c in range(size):
                w, left = bases[f, start + c, start + i], partial[j, start + c]
                for d in range(k):
                    left -= blocks[j, start + c, d] * effects[j, d]
                for d in range(size):
                    norm += w * blocks[j, start + c, start + d] * bases[f, start + d, start + i]
                rest += w * left
            u = b / tau
            precision += norm * u * u
            linear += (rest + b * norm) * u
        drawn = draw_scale(
            rng,
            int(matrices[v, i, 0]),
            matrices[v, i, 1],
            matrices[v, i, 2],
            tau,
            precision / sigma**2,
            linear / sigma**2,
        )
        ratio = drawn / tau
        for c in range(size):
            omega[f, start + i, start + c] *= ratio
            omega[f, start + c, start + i] *= ratio
        for j in range(levels):
            for c in range(size):
                effects[first + j, start + c] += (ratio - 1.0) * own[j] * bases[f, start + c, start + i]


@plain
def _propose_root(
    rng: np.random.Generator,
    v: int,
    units: IntArray,
    hyper: Array,
    matrices: Array,
    factors: IntArray,
    sigma: float,
    bases: Array,
    inverses: Array,
    blocks: Array,
    partial: Array,
    omega: Array,
    effects: Array,
) -> None:
    """Draw Λ given u = Λ⁻¹b and y: its normal likelihood proposes, its prior accepts; update b = Λu."""
    f, start, size = units[v, 0], units[v, 1], units[v, 2]
    first, levels = factors[f, 0], factors[f, 2]
    root = change_basis(bases, f, start, block_of(omega, f, start, size))
    if not cholesky(root):
        return
    count = size * (size + 1) // 2
    u = np.empty((levels, size))
    precision, linear = np.zeros((count, count)), np.zeros(count)
    _regression(v, units, factors, root, blocks, partial, effects, u, precision, linear)
    for e in range(count):
        linear[e] /= sigma**2
        for g in range(e + 1):
            precision[e, g] /= sigma**2
    if not cholesky(precision):
        return
    solve_lower(precision, linear, count)
    for e in range(count):
        linear[e] += rng.standard_normal()
    solve_upper(precision, linear, count)
    proposal, e = np.zeros((size, size)), 0
    for a in range(size):
        for c in range(a + 1):
            proposal[a, c] = linear[e]
            e += 1
    kind, first_number, matrix = units[v, 3], hyper[v, 0], matrices[v]
    new = change_basis(inverses, f, start, times_transpose(proposal))
    gain = log_covariance_density(kind, first_number, matrix, new, size)
    gain -= log_covariance_density(kind, first_number, matrix, block_of(omega, f, start, size), size)
    for a in range(size):  # the Jacobian of ΛΛᵀ
        gain += (size - a) * np.log(abs(proposal[a, a] / root[a, a]))
    if not np.log(rng.random()) < gain:
        return
    put_block(omega, f, start, new)
    for j in range(levels):
        for a in range(size):
            total = 0.0
            for c in range(a + 1):
                total += proposal[a, c] * u[j, c]
            effects[first + j, start + a] = total


@plain
def _regression(
    v: int,
    units: IntArray,
    factors: IntArray,
    root: Array,
    blocks: Array,
    partial: Array,
    effects: Array,
    u: Array,
    precision: Array,
    linear: Array,
) -> None:
    """Fill u = Λ⁻¹b and the products of the regression of y on the elements of Λ, row by row of its triangle."""
    f, start, size = units[v, 0], units[v, 1], units[v, 2]
    first, levels, k = factors[f, 0], factors[f, 2], factors[f, 3]
    for j in range(levels):
        at = first + j
        for a in range(size):
            u[j, a] = effects[at, start + a]
        solve_lower(root, u[j], size)
        e = 0
        for a in range(size):
            rest = partial[at, start + a]
            for c in range(k):
                if c < start or c >= start + size:
                    rest -= blocks[at, start + a, c] * effects[at, c]
            for c in range(a + 1):
                linear[e] += rest * u[j, c]
                g = 0
                for b in range(a + 1):
                    for d in range(b + 1):
                        precision[e, g] += blocks[at, start + a, start + b] * u[j, c] * u[j, d]
                        g += 1
                e += 1


@plain
def change_basis(bases: Array, f: int, start: int, inner: Array) -> Array:
    """Return B M Bᵀ with B one unit's block of a factor's basis."""
    size = inner.shape[0]
    half, out = np.zeros((size, size)), np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for h in range(size):
                half[i, j] += bases[f, start + i, start + h] * inner[h, j]
    for i in range(size):
        for j in range(size):
            for h in range(size):
                out[i, j] += half[i, h] * bases[f, start + j, start + h]
    return out


@plain
def times_transpose(root: Array) -> Array:
    """Return ΛΛᵀ of a lower triangle."""
    size = root.shape[0]
    out = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for h in range(min(i, j) + 1):
                out[i, j] += root[i, h] * root[j, h]
    return out


@plain
def block_of(matrices: Array, f: int, start: int, size: int) -> Array:
    """Return one unit's block of a factor's matrix."""
    out = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            out[i, j] = matrices[f, start + i, start + j]
    return out


@plain
def put_block(matrices: Array, f: int, start: int, block: Array) -> None:
    """Write one unit's block into a factor's matrix."""
    for i in range(block.shape[0]):
        for j in range(block.shape[0]):
            matrices[f, start + i, start + j] = block[i, j]
