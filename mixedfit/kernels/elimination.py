"""Elimination of the first factor, one level at a time.

Notation, for level j of the first factor with relative covariance factor λ (any square root of Ω/σ²):
A = Z_jᵀZ_j, C = Z_jᵀ[tail columns, X, y] (only columns that occur with level j),
P = λᵀAλ + I = L Lᵀ, B = L⁻¹λᵀC, and with V₀ = I + Z λλᵀ Zᵀ of this factor alone
F = Z_jᵀV₀⁻¹[tail X y] = C − Aλ P⁻¹λᵀC, W = Z_jᵀV₀⁻¹Z_j = A − Aλ P⁻¹ λᵀA.
Bates, Mächler, Bolker & Walker (2015), section 3.4.
"""

from __future__ import annotations

import numpy as np

from .._types import Array, IntArray
from ._compile import kernel

__all__ = ["conditional_blocks", "curvature_first", "eliminate_first", "gradient_first", "solve_first"]


@kernel
def _factor_level(lam: Array, a_j: Array, work: Array, chol: Array) -> float:
    """Fill `work` with Aλ and `chol` with L; return log det P, or NaN where P is not positive."""
    k = lam.shape[0]
    for a in range(k):
        for b in range(k):
            total = 0.0
            for c in range(k):
                total += (a_j[a, c] if a >= c else a_j[c, a]) * lam[c, b]
            work[a, b] = total
    logdet = 0.0
    for a in range(k):
        for b in range(a + 1):
            total = 1.0 if a == b else 0.0
            for c in range(k):
                total += lam[c, a] * work[c, b]
            for c in range(b):
                total -= chol[a, c] * chol[b, c]
            if a == b:
                if not total > 0.0:
                    return np.nan
                chol[a, a] = np.sqrt(total)
                logdet += np.log(total)
            else:
                chol[a, b] = total / chol[b, b]
    return logdet


@kernel
def _half_solve(lam: Array, chol: Array, column: Array, out: Array) -> None:
    """out = L⁻¹ λᵀ column."""
    k = lam.shape[0]
    for a in range(k):
        total = 0.0
        for c in range(k):
            total += lam[c, a] * column[c]
        for c in range(a):
            total -= chol[a, c] * out[c]
        out[a] = total / chol[a, a]


@kernel
def _residual_column(work: Array, chol: Array, column: Array, half: Array, out: Array) -> None:
    """out = column − Aλ L⁻ᵀ half, which is Z_jᵀV₀⁻¹ times the column's rows; `half` is overwritten."""
    k = chol.shape[0]
    for a in range(k - 1, -1, -1):
        total = half[a]
        for c in range(a + 1, k):
            total -= chol[c, a] * half[c]
        half[a] = total / chol[a, a]
    for a in range(k):
        total = column[a]
        for c in range(k):
            total -= work[a, c] * half[c]
        out[a] = total


@kernel
def eliminate_first(
    lam: Array, gram: Array, indptr: IntArray, indices: IntArray, values: Array, border: Array, tail: Array
) -> float:
    """Subtract BᵀB of every level from the lower triangle of `tail`; return Σ log det P."""
    levels, k, columns = border.shape
    q = tail.shape[0] - columns
    widest = 0
    for j in range(levels):
        widest = max(widest, indptr[j + 1] - indptr[j])
    work, chol = np.zeros((k, k)), np.zeros((k, k))
    half = np.empty((widest + columns, k))
    place = np.empty(widest + columns, np.int64)
    column = np.empty(k)
    logdet = 0.0
    for j in range(levels):
        logdet += _factor_level(lam, gram[j], work, chol)
        count = indptr[j + 1] - indptr[j]
        for i in range(count):
            place[i] = indices[indptr[j] + i]
            _half_solve(lam, chol, values[indptr[j] + i], half[i])
        for s in range(columns):
            place[count + s] = q + s
            for a in range(k):
                column[a] = border[j, a, s]
            _half_solve(lam, chol, column, half[count + s])
        count += columns
        for i in range(count):
            row = tail[place[i]]
            for h in range(i + 1):
                total = 0.0
                for a in range(k):
                    total += half[i, a] * half[h, a]
                row[place[h]] -= total
    return logdet


@kernel
def gradient_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    inverse: Array,
    solution: Array,
    scores: Array,
    sums: Array,
) -> None:
    """Fill `scores` (levels, k) with Z_jᵀV⁻¹r and `sums` (4, k, k) with what the gradient needs.

    `inverse` (t, t), lower triangle: Λ T Λᵀ over the first t tail columns (border columns included where
    t reaches them). `solution`: coefficients of all tail columns but y. sums[0] = Σ AλP⁻¹,
    sums[1] = Σ F U Fᵀ, sums[2] = Σ W, sums[3] = Σ scores scoresᵀ.
    """
    levels, k, columns = border.shape
    t = inverse.shape[0]
    q = solution.size + 1 - columns
    widest = 0
    for j in range(levels):
        widest = max(widest, indptr[j + 1] - indptr[j])
    work, chol = np.zeros((k, k)), np.zeros((k, k))
    part = np.empty((widest + columns, k))
    place = np.empty(widest + columns, np.int64)
    column, half, image = np.empty(k), np.empty(k), np.empty(k)
    sums[:] = 0.0
    for j in range(levels):
        _factor_level(lam, gram[j], work, chol)
        for b in range(k):
            for a in range(k):
                column[a] = gram[j, a, b] if a >= b else gram[j, b, a]
            _half_solve(lam, chol, column, half)
            _residual_column(work, chol, column, half, image)
            for a in range(k):
                sums[2, a, b] += image[a]
                sums[0, b, a] += half[a]  # (P⁻¹λᵀA)ᵀ = AλP⁻¹, A symmetric
        used = 0
        score = scores[j]
        for a in range(k):
            score[a] = 0.0
        for i in range(indptr[j], indptr[j + 1]):
            _half_solve(lam, chol, values[i], half)
            _residual_column(work, chol, values[i], half, image)
            at = solution[indices[i]]
            for a in range(k):
                score[a] -= image[a] * at
            if indices[i] < t:
                place[used] = indices[i]
                for a in range(k):
                    part[used, a] = image[a]
                used += 1
        for s in range(columns):
            for a in range(k):
                column[a] = border[j, a, s]
            _half_solve(lam, chol, column, half)
            _residual_column(work, chol, column, half, image)
            at = solution[q + s] if s < columns - 1 else -1.0
            for a in range(k):
                score[a] -= image[a] * at
            if q + s < t:
                place[used] = q + s
                for a in range(k):
                    part[used, a] = image[a]
                used += 1
        for i in range(used):
            row = inverse[place[i]]
            for a in range(k):
                image[a] = 0.5 * row[place[i]] * part[i, a]
            for h in range(i):
                at = row[place[h]]
                for a in range(k):
                    image[a] += at * part[h, a]
            for a in range(k):
                for b in range(k):
                    sums[1, a, b] += part[i, a] * image[b] + image[a] * part[i, b]
        for a in range(k):
            for b in range(k):
                sums[3, a, b] += score[a] * score[b]


@kernel
def curvature_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    directions: Array,
    scores: Array,
    products: Array,
    crossed: Array,
) -> None:
    """Add the products of working variates t_a = Z c_a, c_aj = E_a score_j, after this factor's elimination.

    `directions` (a, k, k): the symmetric E_a = ∂(λλᵀ)/∂θ_a. products[a, b] += t_aᵀV₀⁻¹t_b;
    crossed[a, ·] += t_aᵀV₀⁻¹[tail X].
    """
    levels, k, columns = border.shape
    count = directions.shape[0]
    q = crossed.shape[1] + 1 - columns
    work, chol = np.zeros((k, k)), np.zeros((k, k))
    column, half, image = np.empty(k), np.empty(k), np.empty(k)
    variate = np.empty((count, k))
    for j in range(levels):
        _factor_level(lam, gram[j], work, chol)
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += directions[d, a, b] * scores[j, b]
                variate[d, a] = total
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += (gram[j, a, b] if a >= b else gram[j, b, a]) * variate[d, b]
                column[a] = total
            _half_solve(lam, chol, column, half)
            _residual_column(work, chol, column, half, image)
            for e in range(d + 1):
                total = 0.0
                for a in range(k):
                    total += variate[e, a] * image[a]
                products[d, e] += total
                if e != d:
                    products[e, d] += total
        for i in range(indptr[j], indptr[j + 1]):
            _half_solve(lam, chol, values[i], half)
            _residual_column(work, chol, values[i], half, image)
            for d in range(count):
                for a in range(k):
                    crossed[d, indices[i]] += variate[d, a] * image[a]
        for s in range(columns - 1):
            for a in range(k):
                column[a] = border[j, a, s]
            _half_solve(lam, chol, column, half)
            _residual_column(work, chol, column, half, image)
            for d in range(count):
                for a in range(k):
                    crossed[d, q + s] += variate[d, a] * image[a]


@kernel
def solve_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    solution: Array,
    effects: Array,
) -> None:
    """Fill `effects` (levels, k) with the modes b_j = λ u_j, given the tail's coefficients."""
    levels, k, columns = border.shape
    q = solution.size + 1 - columns
    work, chol = np.zeros((k, k)), np.zeros((k, k))
    column, half, image = np.empty(k), np.empty(k), np.empty(k)
    for j in range(levels):
        _factor_level(lam, gram[j], work, chol)
        for a in range(k):
            total = border[j, a, columns - 1]
            for s in range(columns - 1):
                total -= border[j, a, s] * solution[q + s]
            for i in range(indptr[j], indptr[j + 1]):
                total -= values[i, a] * solution[indices[i]]
            column[a] = total
        _half_solve(lam, chol, column, half)
        _residual_column(work, chol, column, half, image)
        for a in range(k):
            total = 0.0
            for b in range(k):
                total += lam[a, b] * half[b]
            effects[j, a] = total


@kernel
def conditional_blocks(
    lam: Array, gram: Array, indptr: IntArray, indices: IntArray, values: Array, inverse: Array, blocks: Array
) -> None:
    """Fill `blocks` (levels, k, k) with the level's block of Λ T Λᵀ: λP⁻¹λᵀ + λ E U Eᵀ λᵀ, E = P⁻¹λᵀC.

    `inverse` (t, t), lower triangle: U = Λ T Λᵀ over the first t tail columns.
    """
    levels, k = gram.shape[0], lam.shape[0]
    t = inverse.shape[0]
    work, chol = np.zeros((k, k)), np.zeros((k, k))
    half, image, column = np.empty(k), np.empty(k), np.empty(k)
    widest = 0
    for j in range(levels):
        widest = max(widest, indptr[j + 1] - indptr[j])
    part = np.empty((widest, k))
    for j in range(levels):
        _factor_level(lam, gram[j], work, chol)
        for b in range(k):
            for a in range(k):
                column[a] = 0.0
            column[b] = 1.0
            _half_solve(lam, chol, column, half)
            _residual_column(work, chol, column, half, image)
            for a in range(k):
                total = 0.0
                for c in range(k):
                    total += lam[a, c] * half[c]
                blocks[j, a, b] = total
        used = 0
        for i in range(indptr[j], indptr[j + 1]):
            if indices[i] >= t:
                break
            _half_solve(lam, chol, values[i], half)
            _residual_column(work, chol, values[i], half, image)
            for a in range(k):
                total = 0.0
                for c in range(k):
                    total += lam[a, c] * half[c]
                part[used, a] = total
            used += 1
        for i in range(used):
            row = inverse[indices[indptr[j] + i]]
            for a in range(k):
                image[a] = 0.5 * row[indices[indptr[j] + i]] * part[i, a]
            for h in range(i):
                at = row[indices[indptr[j] + h]]
                for a in range(k):
                    image[a] += at * part[h, a]
            for a in range(k):
                for b in range(k):
                    blocks[j, a, b] += part[i, a] * image[b] + image[a] * part[i, b]


@kernel
def information_first(
    lam: Array, gram: Array, border: Array, directions: Array, covariance: Array, traces: Array, spreads: Array
) -> None:
    """Add per-level traces of a model with this factor alone; see `criterion.Evaluation.curvature`.

    `covariance` (p, p): C, or zeros under ML. traces[a, b] += tr(E_a W E_b (W − 2 H C Hᵀ)), with H the X part
    of F; spreads[a] (p, p) += Hᵀ E_a H.
    """
    levels, k, columns = border.shape
    p = covariance.shape[0]
    count = directions.shape[0]
    work, chol = np.zeros((k, k)), np.zeros((k, k))
    column, half, image = np.empty(k), np.empty(k), np.empty(k)
    within, reduced = np.empty((k, k)), np.empty((k, k))
    slopes, mixed = np.empty((p, k)), np.empty((p, k))
    left, right = np.empty((count, k, k)), np.empty((count, k, k))
    for j in range(levels):
        _factor_level(lam, gram[j], work, chol)
        for b in range(k):
            for a in range(k):
                column[a] = gram[j, a, b] if a >= b else gram[j, b, a]
            _half_solve(lam, chol, column, half)
            _residual_column(work, chol, column, half, image)
            for a in range(k):
                within[a, b] = image[a]
                reduced[a, b] = image[a]
        for s in range(p):
            for a in range(k):
                column[a] = border[j, a, s]
            _half_solve(lam, chol, column, half)
            _residual_column(work, chol, column, half, slopes[s])
        for s in range(p):
            for a in range(k):
                total = 0.0
                for r in range(p):
                    total += covariance[s, r] * slopes[r, a]
                mixed[s, a] = total
        for s in range(p):
            for a in range(k):
                for b in range(k):
                    reduced[a, b] -= 2.0 * slopes[s, a] * mixed[s, b]
        for d in range(count):
            for a in range(k):
                for b in range(k):
                    one, two = 0.0, 0.0
                    for c in range(k):
                        one += directions[d, a, c] * within[c, b]
                        two += directions[d, a, c] * reduced[c, b]
                    left[d, a, b] = one
                    right[d, a, b] = two
            if p > 0:
                for s in range(p):
                    for a in range(k):
                        total = 0.0
                        for b in range(k):
                            total += directions[d, a, b] * slopes[s, b]
                        column[a] = total
                    for r in range(p):
                        total = 0.0
                        for a in range(k):
                            total += slopes[r, a] * column[a]
                        spreads[d, r, s] += total
        for d in range(count):
            for e in range(count):
                total = 0.0
                for a in range(k):
                    for b in range(k):
                        total += left[d, a, b] * right[e, b, a]
                traces[d, e] += total
