"""Updates of one variance or covariance matrix given its effects, and of one variance given y and its effects over τ.

Notation and layouts as in `sweep`; v is the unit's row in `units`.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain

from .variances import draw_covariance, draw_scale, draw_variance

__all__ = ["block_of", "change_basis", "draw_unit", "put_block", "rescale", "times_transpose"]


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
    """Return ΛΛᵀ of a square matrix."""
    size = root.shape[0]
    out = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for h in range(size):
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
