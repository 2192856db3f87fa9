"""Sweeps that recompute the weighted cross-products: Student or Laplace residuals and effects, σ by group.

Row i has precision w_i = λ_i, or λ_i/σ_g² with σ = 1 in the sweep; level j of a factor has b_j = c_j/√λ_j with
c_j ~ N(0, Ω), so that its rows of Z are divided by √λ_j. Given all λ and σ_g this is the normal model, and one sweep
of `sweep` draws β, c and Ω; then, given b = c/√λ, λ, σ, ν and their hierarchies are drawn (`mixtures`).
Notation and layouts as in `sweep`. `numbers` has ν of the residuals, ν of every factor, ν0 and σ0.
"""

from __future__ import annotations

import math

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import kernel, plain
from mixedfit.kernels.accumulate import accumulate_border, accumulate_first, accumulate_tail

from .mixtures import (
    GAMMA,
    NORMAL,
    NU0,
    SIGMA,
    SIGMA0,
    columns_of,
    draw_lam,
    draw_log,
    draw_sigma0,
    draw_variances,
    level_squares,
    stretch_levels,
)
from .sweep import run_sweeps, store_draw
from .variances import KNOWN, draw_variance

__all__ = ["refill", "residuals", "run_scaled_sweeps"]


@kernel
def _square(border: Array, gram: Array) -> None:
    """Add the products of the border's columns to the last rows of `gram`, lower triangle."""
    n, width = border.shape
    q = gram.shape[0] - width
    for i in range(n):
        for a in range(width):
            value = border[i, a]
            for b in range(a + 1):
                gram[q + a, q + b] += value * border[i, b]


@plain
def _weigh(
    rows: tuple[IntArray, Array, IntArray, Array, IntArray, IntArray, Array, IntArray],
    precisions: Array,
    lam: Array,
    factors: IntArray,
    room: tuple[Array, Array, Array],
) -> None:
    """Fill `room` with the weighted rows of the first factor's Z, of the tail and of [X y]."""
    codes, z, tail_codes, tail_z, sizes, _, border, _ = rows
    for i in range(border.shape[0]):
        root = np.sqrt(precisions[i])
        for s in range(border.shape[1]):
            room[2][i, s] = root * border[i, s]
        if factors.shape[0] == 0:
            continue
        own = root / np.sqrt(lam[codes[i]])
        for a in range(z.shape[1]):
            room[0][i, a] = own * z[i, a]
        at = 0
        for f in range(sizes.size):
            own = root / np.sqrt(lam[factors[f + 1, 0] + tail_codes[i, f]])
            for _ in range(sizes[f]):
                room[1][i, at] = own * tail_z[i, at]
                at += 1


@plain
def refill(
    rows: tuple[IntArray, Array, IntArray, Array, IntArray, IntArray, Array, IntArray],
    precisions: Array,
    lam: Array,
    factors: IntArray,
    room: tuple[Array, Array, Array],
    first: tuple[Array, IntArray, IntArray, Array, Array],
    gram: Array,
    blocks: Array,
) -> None:
    """Replace all cross-products by those of the weighted rows."""
    codes, _, tail_codes, _, sizes, offsets, _, _ = rows
    own, indptr, indices, values, border = first
    _weigh(rows, precisions, lam, factors, room)
    gram[:] = 0.0
    if factors.shape[0] > 0:
        own[:] = 0.0
        border[:] = 0.0
        accumulate_first(codes, room[0], room[2], own, border)
    if sizes.size > 0:
        values[:] = 0.0
        accumulate_border(codes, room[0], tail_codes, room[1], sizes, offsets, indptr, indices, values)
        accumulate_tail(tail_codes, room[1], sizes, offsets, room[2], gram)
    _square(room[2], gram)
    for i in range(gram.shape[0]):
        for j in range(i):
            gram[j, i] = gram[i, j]
    for f in range(factors.shape[0]):
        start, offset, levels, k = factors[f, 0], factors[f, 1], factors[f, 2], factors[f, 3]
        for j in range(levels):
            for a in range(k):
                for b in range(a + 1):
                    if offset < 0:
                        own[j, b, a] = own[j, a, b]
                        value = own[j, a, b]
                    else:
                        value = gram[offset + j * k + a, offset + j * k + b]
                    blocks[start + j, a, b] = value
                    blocks[start + j, b, a] = value


@plain
def residuals(
    rows: tuple[IntArray, Array, IntArray, Array, IntArray, IntArray, Array, IntArray],
    factors: IntArray,
    effects: Array,
    coefficients: Array,
    out: Array,
) -> None:
    """Fill in y − Xβ − Zb of every row, times the root of its prior weight."""
    codes, z, tail_codes, tail_z, sizes, _, border, _ = rows
    p = border.shape[1] - 1
    q = coefficients.size - p
    for i in range(out.size):
        total = border[i, p]
        for s in range(p):
            total -= border[i, s] * coefficients[q + s]
        if factors.shape[0] > 0:
            for a in range(z.shape[1]):
                total -= z[i, a] * effects[codes[i], a]
        at = 0
        for f in range(sizes.size):
            j = factors[f + 1, 0] + tail_codes[i, f]
            for a in range(sizes[f]):
                total -= tail_z[i, at] * effects[j, a]
                at += 1
        out[i] = total


@plain
def _draw_mixture(
    rng: np.random.Generator,
    kind: int,
    df_prior: Array,
    prior: tuple[int, float, float],
    groups: IntArray,
    rest: Array,
    variance: Array,
    numbers: Array,
    lam: Array,
    variances: Array,
) -> None:
    """Draw σ (or σ0, which scales all σ_g) and ν with the λ integrated out, then the λ."""
    n, m, last = rest.size, variances.size, numbers.size - 1
    scaled, sums = np.empty(n), np.zeros(1)
    for i in range(n):
        scaled[i] = rest[i] ** 2 / (variances[groups[i]] if m > 0 else variance[0])
        sums[0] += np.sqrt(scaled[i])
    if prior[0] != KNOWN:
        now = numbers[last] if m > 0 else np.sqrt(variance[0])
        conditions = np.array([float(prior[0]), prior[1], prior[2], numbers[0], float(kind), now])
        moved = math.exp(draw_log(rng, SIGMA, math.log(now), conditions, scaled, sums))
        factor = (moved / now) ** 2
        scaled /= factor
        variances *= factor
        if m > 0:
            numbers[last] = moved
        else:
            variance[0] = moved**2
    numbers[0] = draw_lam(rng, kind, df_prior, numbers[0], 1.0, scaled, lam)


@plain
def _draw_groups(
    rng: np.random.Generator,
    df_prior: Array,
    prior: tuple[int, float, float],
    squares: Array,
    counts: Array,
    numbers: Array,
    variances: Array,
) -> None:
    """Draw ν0 and σ0 with the σ_g integrated out, the σ_g², and, under a gamma prior, σ0 given these."""
    at = numbers.size - 2
    conditions = np.array([df_prior[0], df_prior[1], numbers[at + 1] ** 2])
    numbers[at] = math.exp(draw_log(rng, NU0, math.log(numbers[at]), conditions, squares, counts))
    if prior[0] != KNOWN:
        conditions = np.array([float(prior[0]), prior[1], prior[2], numbers[at]])
        x = draw_log(rng, SIGMA0, math.log(numbers[at + 1]), conditions, squares, counts)
        numbers[at + 1] = math.exp(x)
    draw_variances(rng, numbers[at], numbers[at + 1], squares, counts, variances)
    if prior[0] == GAMMA:
        numbers[at + 1] = draw_sigma0(rng, prior[1], prior[2], numbers[at], variances)


@plain
def _draw_rows(
    rng: np.random.Generator,
    kinds: IntArray,
    df_priors: Array,
    prior: tuple[int, float, float],
    groups: IntArray,
    counts: Array,
    rest: Array,
    variance: Array,
    numbers: Array,
    lam: Array,
    variances: Array,
    precisions: Array,
) -> None:
    """Draw the λ, ν and σ of the residuals `rest`; fill in the rows' precisions.

    `prior` is σ's, or σ0's where there are `groups`.
    """
    n, m = rest.size, variances.size
    if kinds[0] != NORMAL:
        _draw_mixture(rng, kinds[0], df_priors[0], prior, groups, rest, variance, numbers, lam, variances)
    squares = np.zeros(max(m, 1))
    for i in range(n):
        squares[groups[i] if m > 0 else 0] += lam[i] * rest[i] ** 2
    if m == 0:
        variance[0] = draw_variance(rng, prior[0], prior[1], prior[2], n, squares[0], variance[0])
    else:
        _draw_groups(rng, df_priors[-1], prior, squares, counts, numbers, variances)
    for i in range(n):
        precisions[i] = lam[i] / variances[groups[i]] if m > 0 else lam[i]


@plain
def _store_scales(at: int, numbers: Array, variances: Array, out: Array) -> None:
    """Store ν, ν0, σ0 and σ_g² as draw number `at`."""
    for i in range(numbers.size):
        out[at, i] = numbers[i]
    for g in range(variances.size):
        out[at, numbers.size + g] = variances[g]


@plain
def run_scaled_sweeps(
    rng: np.random.Generator,
    first: tuple[Array, IntArray, IntArray, Array, Array],
    gram: Array,
    blocks: Array,
    fixed: tuple[Array, Array, float],
    factors: IntArray,
    bases: Array,
    inverses: Array,
    units: IntArray,
    hyper: Array,
    matrices: Array,
    rows: tuple[IntArray, Array, IntArray, Array, IntArray, IntArray, Array, IntArray],
    mixture: tuple[IntArray, Array, tuple[int, float, float], Array],
    room: tuple[Array, Array, Array],
    state: tuple[Array, Array, Array, Array],
    scales: tuple[Array, Array, Array, Array, Array],
    out: tuple[Array, Array, Array, Array, Array],
    places: IntArray,
    walk: tuple[Array, Array, Array, Array],
    tune: int,
) -> int:
    """Run one sweep for each of `places`, as `sweep.run_sweeps` does; return the number of sweeps run.

    Parameters
    ----------
    first, gram, blocks
        The chain's own copies, which are overwritten.
    rows : tuple
        Level and effects of the first factor, levels and effects of the tail, effects and first column of each factor
        of the tail, [X y] (n, p + 1), and the row's group of residual variance; all times the root of prior weights.
    mixture : tuple
        Kinds of distribution of the residuals and of every factor; shape and rate of the priors of their ν and, last,
        of ν0 (shape 0: known); prior of σ or σ0; rows of each group.
    room : tuple
        Work space for the weighted rows.
    state : tuple
        As in `run_sweeps`; effects are b.
    scales : tuple
        `numbers`; λ of the rows; λ of the levels; σ_g²; precisions of the rows.
    out : tuple
        As in `run_sweeps`, then (keep, numbers and σ_g²).
    """
    kinds, df_priors, prior, counts = mixture
    omega, variance, effects, coefficients = state
    numbers, lam_rows, lam_levels, variances, precisions = scales
    once, known = np.full(1, -1, np.int64), (0 * tune + KNOWN, 0.0, 0.0)
    unused = (out[0], out[1], out[2], out[3])
    rest = np.empty(precisions.size)
    for sweep in range(places.size):
        refill(rows, precisions, lam_levels, factors, room, first, gram, blocks)
        ran = run_sweeps(
            rng,
            first,
            gram,
            blocks,
            fixed,
            factors,
            bases,
            inverses,
            units,
            hyper,
            matrices,
            precisions.size,
            known,
            state,
            unused,
            once,
            walk,
            tune,
        )
        if ran < 1:
            return sweep
        for j in range(effects.shape[0]):
            for a in range(effects.shape[1]):
                effects[j, a] /= np.sqrt(lam_levels[j])
        residuals(rows, factors, effects, coefficients, rest)
        _draw_rows(
            rng,
            kinds,
            df_priors,
            prior,
            rows[7],
            counts,
            rest,
            variance,
            numbers,
            lam_rows,
            variances,
            precisions,
        )
        for f in range(factors.shape[0]):
            if kinds[f + 1] == NORMAL:
                continue
            start, levels, k = factors[f, 0], factors[f, 2], factors[f, 3]
            codes, z = columns_of(f, rows)
            lam, own = lam_levels[start : start + levels], effects[start : start + levels]
            weights = precisions / variance[0]
            stretch_levels(rng, kinds[f + 1], numbers[f + 1], codes, z, weights, rest, lam, own)
            squares = np.empty(levels)
            if not level_squares(f, factors, units, bases, omega, effects, squares):
                return sweep
            numbers[f + 1] = draw_lam(
                rng,
                kinds[f + 1],
                df_priors[f + 1],
                numbers[f + 1],
                float(k),
                squares,
                lam,
            )
        if places[sweep] >= 0:
            store_draw(places[sweep], state, fixed[1].size, unused)
            _store_scales(places[sweep], numbers, variances, out[4])
    return places.size
