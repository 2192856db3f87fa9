"""Mixing variables λ of the rows and of a factor's levels; notation as in `gibbs_rows` and `gibbs_mixtures`."""

from __future__ import annotations

import math

import numpy as np

from .._types import Array, IntArray
from ._compile import plain
from .gibbs_mixtures import DF, LARGEST, LEVEL, draw_log, draw_precision
from .gibbs_scales import block_of, turned
from .triangle import cholesky, solve_lower

__all__ = ["columns_of", "draw_lam", "level_squares", "stretch_levels"]


@plain
def level_squares(
    f: int, factors: IntArray, units: IntArray, bases: Array, omega: Array, effects: Array, out: Array
) -> bool:
    """Fill in b_jᵀΩ⁻¹b_j of every level of a factor, shape (levels,); return whether Ω is positive definite."""
    first = factors[f, 0]
    out[:] = 0.0
    for v in range(units.shape[0]):
        if units[v, 0] != f:
            continue
        start, size = units[v, 1], units[v, 2]
        root = turned(bases, f, start, block_of(omega, f, start, size))
        if not cholesky(root):
            return False
        u = np.empty(size)
        for j in range(out.size):
            for a in range(size):
                u[a] = effects[first + j, start + a]
            solve_lower(root, u, size)
            for a in range(size):
                out[j] += u[a] * u[a]
    return True


@plain
def columns_of(
    f: int, rows: tuple[IntArray, Array, IntArray, Array, IntArray, IntArray, Array, IntArray]
) -> tuple[IntArray, Array]:
    """Return the levels of a factor and its effects' columns."""
    if f == 0:
        return rows[0], rows[1]
    at = 0
    for g in range(f - 1):
        at += rows[4][g]
    size = rows[4][f - 1]
    codes, z = np.empty(rows[2].shape[0], np.int64), np.empty((rows[2].shape[0], size))
    for i in range(codes.size):
        codes[i] = rows[2][i, f - 1]
        for a in range(size):
            z[i, a] = rows[3][i, at + a]
    return codes, z


@plain
def stretch_levels(
    rng: np.random.Generator,
    kind: int,
    df: float,
    codes: IntArray,
    z: Array,
    weights: Array,
    rest: Array,
    lam: Array,
    effects: Array,
) -> None:
    """Draw 1/√λ of every level given c = √λ b and y, and move b with it: it is not held where b is near 0.

    `weights` are the rows' precisions over σ², `rest` their residuals; `lam` and `effects` are the factor's own.
    """
    levels, k = lam.size, z.shape[1]
    linear, precision = np.zeros(levels), np.zeros(levels)
    for i in range(codes.size):
        j = codes[i]
        part = 0.0
        for a in range(k):
            part += z[i, a] * effects[j, a]
        linear[j] += weights[i] * part * (rest[i] + part)
        precision[j] += weights[i] * part * part
    ratio = np.empty(levels)
    numbers = np.array([float(kind), df, 0.0, 0.0])
    for j in range(levels):  # of y less everything else on Z c = √λ Z b
        numbers[2], numbers[3] = np.sqrt(lam[j]) * linear[j], lam[j] * precision[j]
        s = math.exp(draw_log(rng, LEVEL, -0.5 * math.log(lam[j]), numbers, numbers[:1], numbers))
        ratio[j] = s * np.sqrt(lam[j])
        lam[j] = min(1.0 / s**2, LARGEST)
    for i in range(codes.size):
        part = 0.0
        for a in range(k):
            part += z[i, a] * effects[codes[i], a]
        rest[i] += part * (1.0 - ratio[codes[i]])
    for j in range(levels):
        for a in range(k):
            effects[j, a] *= ratio[j]


@plain
def draw_lam(
    rng: np.random.Generator,
    kind: int,
    prior: Array,
    df: float,
    count: float,
    squares: Array,
    lam: Array,
) -> float:
    """Draw ν, if its gamma prior has a shape, and fill in λ of every vector; return ν."""
    if prior[0] > 0.0:
        numbers = np.array([prior[0], prior[1], count])
        df = math.exp(draw_log(rng, DF, math.log(df), numbers, squares, squares))
    for i in range(lam.size):
        lam[i] = draw_precision(rng, kind, df, count, squares[i])
    return df
