"""Elimination of the first factor, one level at a time.

Notation, for level j of the first factor with relative covariance factor λ (any square root of Ω/σ²):
A = Z_jᵀZ_j, C = Z_jᵀ[tail columns, X, y] (only columns that occur with level j), P = λᵀAλ + I,
P = L Lᵀ, H = L⁻¹λᵀ, N = L⁻ᵀH = P⁻¹λᵀ, and with V₀ = I + Z λλᵀ Zᵀ of this factor alone
K = I − AλN, F = Z_jᵀV₀⁻¹[tail X y] = K C, W = Z_jᵀV₀⁻¹Z_j = K A, and elimination of the
level subtracts (HC)ᵀHC = CᵀλN C from the products of [tail X y]. Bates, Mächler, Bolker & Walker (2015), section 3.4.

Products are subtracted as squares of HC: the elements of λN are as large as Ω, and their terms cancel in CᵀλN C where
effects of a level are nearly collinear, so that λN C has fewer digits the larger Ω.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel

__all__ = ["conditional_blocks", "derive_first", "eliminate_first", "factor_level", "half_level"]


@kernel
def half_level(lam: Array, a_j: Array, work: Array, chol: Array, half: Array) -> float:
    """Fill `work` with Aλ, `chol` with L and `half` with H; return det P, at least 1, or NaN."""
    k = lam.shape[0]
    for a in range(k):
        for b in range(k):
            total = 0.0
            for c in range(k):
                total += a_j[a, c] * lam[c, b]
            work[a, b] = total
    product = 1.0
    for a in range(k):
        for b in range(a + 1):
            total = 1.0 if a == b else 0.0
            for c in range(k):
                total += lam[c, a] * work[c, b]
            for c in range(b):
                total -= chol[a, c] * chol[b, c]
            if a == b:
                if total < 1.0:  # by rounding: P − I is positive semi-definite
                    total = 1.0
                product *= total
                chol[a, a] = np.sqrt(total)
            else:
                chol[a, b] = total / chol[b, b]
    for b in range(k):
        for a in range(k):
            total = lam[b, a]
            for c in range(a):
                total -= chol[a, c] * half[c, b]
            half[a, b] = total / chol[a, a]
    return product


@kernel
def factor_level(lam: Array, a_j: Array, work: Array, chol: Array, gain: Array, shrink: Array) -> float:
    """Fill `gain` with N and `shrink` with K; return log det P, or NaN where P is not positive definite."""
    k = lam.shape[0]
    if k == 1:
        p = lam[0, 0] * a_j[0, 0] * lam[0, 0] + 1.0
        gain[0, 0] = lam[0, 0] / p
        shrink[0, 0] = 1.0 / p
        return float(np.log(p)) if p > 0.0 else np.nan
    product = half_level(lam, a_j, work, chol, gain)
    for b in range(k):
        for a in range(k - 1, -1, -1):
            total = gain[a, b]
            for c in range(a + 1, k):
                total -= chol[c, a] * gain[c, b]
            gain[a, b] = total / chol[a, a]
    for a in range(k):
        for b in range(k):
            total = 1.0 if a == b else 0.0
            for c in range(k):
                total -= work[a, c] * gain[c, b]
            shrink[a, b] = total
    return float(np.log(product))


@kernel
def eliminate_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    tail: Array,
    start: int,
    stop: int,
) -> float:
    """Subtract CᵀλNC of levels `start` to `stop` from the lower triangle of `tail`; return Σ log det P."""
    k, columns = border.shape[1], border.shape[2]
    q = tail.shape[0] - columns
    widest = 0
    for j in range(start, stop):
        widest = max(widest, indptr[j + 1] - indptr[j])
    work, chol, half = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    part = np.empty((widest + columns, k))
    place = np.empty(widest + columns, np.int64)
    logdet = 0.0
    for j in range(start, stop):
        if k == 1:
            det = lam[0, 0] * gram[j, 0, 0] * lam[0, 0] + 1.0
            half[0, 0] = lam[0, 0]
        else:
            det = half_level(lam, gram[j], work, chol, half)
        logdet += np.log(det) if det > 0.0 else np.nan
        first = indptr[j]
        count = indptr[j + 1] - first
        for i in range(count):
            place[i] = indices[first + i]
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += half[a, b] * values[first + i, b]
                part[i, a] = total
        for s in range(columns):
            place[count + s] = q + s
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += half[a, b] * border[j, b, s]
                part[count + s, a] = total
        for i in range(count + columns):
            row = tail[place[i]]
            if k == 1:
                only = part[i, 0] / det
                for h in range(i + 1):
                    row[place[h]] -= only * part[h, 0]
                continue
            for h in range(i + 1):
                total = 0.0
                for a in range(k):
                    total += part[i, a] * part[h, a]
                row[place[h]] -= total
    return logdet


@kernel
def _quadratic_forms(
    part: Array, place: IntArray, used: int, inverse: Array, image: Array, out: Array
) -> None:
    """out += F U Fᵀ for the first `used` columns of F; `inverse` holds U in its lower triangle."""
    k = part.shape[1]
    for i in range(used):
        row = inverse[place[i]]
        for a in range(k):
            image[a] = 0.5 * row[place[i]] * part[i, a]
        if k == 1:
            only = 0.0
            for h in range(i):
                only += row[place[h]] * part[h, 0]
            image[0] += only
        else:
            for h in range(i):
                at = row[place[h]]
                for a in range(k):
                    image[a] += at * part[h, a]
        for a in range(k):
            for b in range(k):
                out[a, b] += part[i, a] * image[b] + image[a] * part[i, b]


@kernel
def _trace_products(
    within: Array,
    slopes: Array,
    covariance: Array,
    directions: Array,
    reduced: Array,
    mixed: Array,
    left: Array,
    right: Array,
    traces: Array,
    spreads: Array,
) -> None:
    """traces[a, b] += tr(E_a W E_b (W − 2 H C Hᵀ)); spreads[a] += Hᵀ E_a H, with H the X part of F.

    `reduced` (k, k), `mixed` (p + 1, k), `left` and `right` (d, k, k) are work space.
    """
    k, p, count = within.shape[0], covariance.shape[0], directions.shape[0]
    reduced[:] = within
    for s in range(p):
        for a in range(k):
            total = 0.0
            for r in range(p):
                total += covariance[s, r] * slopes[r, a]
            mixed[s, a] = total
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
                right[d, b, a] = two
        for s in range(p):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += directions[d, a, b] * slopes[s, b]
                mixed[0, a] = total
            for r in range(p):
                total = 0.0
                for a in range(k):
                    total += slopes[r, a] * mixed[0, a]
                spreads[d, r, s] += total
    for d in range(count):
        for e in range(count):
            total = 0.0
            for a in range(k):
                for b in range(k):
                    total += left[d, a, b] * right[e, a, b]
            traces[d, e] += total


@kernel
def derive_first(
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    inverse: Array,
    solution: Array,
    directions: Array,
    covariance: Array,
    with_traces: bool,
    scores: Array,
    sums: Array,
    products: Array,
    crossed: Array,
    traces: Array,
    spreads: Array,
    start: int,
    stop: int,
) -> None:
    """Add the sums over levels `start` to `stop` that gradient and curvature need.

    `inverse` (t, t), lower triangle: Λ T Λᵀ over the first t tail columns (fixed columns included if t > q).
    `solution`: coefficients of all tail columns but y. `directions` (d, k, k): E_a = ∂(λλᵀ)/∂θ_a.
    Filled: `scores` (levels, k), w_j = Z_jᵀV⁻¹r. Added to: `sums` (4, k, k), Σ AλP⁻¹, Σ F U Fᵀ, Σ W, Σ wwᵀ;
    `products` (d, d) and `crossed` (d, m − 1), t_aᵀV₀⁻¹[t_b, tail X] of the working variates
    t_a = Z c_a, c_aj = E_a w_j; with `with_traces`, `traces` (d, d) and `spreads` (d, p, p).
    """
    k, columns = border.shape[1], border.shape[2]
    t, count = inverse.shape[0], directions.shape[0]
    p = columns - 1
    q = solution.size - p
    widest = 0
    for j in range(start, stop):
        widest = max(widest, indptr[j + 1] - indptr[j])
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    part = np.empty((widest + p, k))
    place = np.empty(widest + p, np.int64)
    within, image = np.empty((k, k)), np.empty(k)
    variate = np.empty((count, k))
    reduced, mixed = np.empty((k, k)), np.empty((p + 1, k))
    left, right = np.empty((count, k, k)), np.empty((count, k, k))
    for j in range(start, stop):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for a in range(k):
            for b in range(k):
                one, two = 0.0, 0.0
                for c in range(k):
                    one += gram[j, a, c] * gain[b, c]
                    two += shrink[a, c] * gram[j, c, b]
                sums[0, a, b] += one
                within[a, b] = two
                sums[2, a, b] += two
        first = indptr[j]
        own = indptr[j + 1] - first
        score = scores[j]
        for a in range(k):
            total = 0.0
            for b in range(k):
                total += shrink[a, b] * border[j, b, p]
            score[a] = total
        used = 0
        for i in range(own + p):
            if i < own:
                place[i] = indices[first + i]
                for a in range(k):
                    total = 0.0
                    for b in range(k):
                        total += shrink[a, b] * values[first + i, b]
                    part[i, a] = total
            else:
                place[i] = q + i - own
                for a in range(k):
                    total = 0.0
                    for b in range(k):
                        total += shrink[a, b] * border[j, b, i - own]
                    part[i, a] = total
            at = solution[place[i]]
            for a in range(k):
                score[a] -= part[i, a] * at
            if place[i] < t:
                used = i + 1
        _quadratic_forms(part, place, used, inverse, image, sums[1])
        for a in range(k):
            for b in range(k):
                sums[3, a, b] += score[a] * score[b]
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += directions[d, a, b] * score[b]
                variate[d, a] = total
        for d in range(count):
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += within[a, b] * variate[d, b]
                image[a] = total
            for e in range(count):
                total = 0.0
                for a in range(k):
                    total += variate[e, a] * image[a]
                products[d, e] += total
            for i in range(own + p):
                total = 0.0
                for a in range(k):
                    total += variate[d, a] * part[i, a]
                crossed[d, place[i]] += total
        if with_traces:
            slopes = part[own : own + p]
            _trace_products(
                within, slopes, covariance, directions, reduced, mixed, left, right, traces, spreads
            )


@kernel
def conditional_blocks(
    lam: Array, gram: Array, indptr: IntArray, indices: IntArray, values: Array, inverse: Array, blocks: Array
) -> None:
    """Fill `blocks` (levels, k, k) with each level's diagonal block of Λ T Λᵀ: λN + (λNC) U (λNC)ᵀ.

    `inverse` (t, t), lower triangle: U = Λ T Λᵀ over the first t tail columns.
    """
    levels, k = gram.shape[0], lam.shape[0]
    t = inverse.shape[0]
    work, chol, gain, shrink = np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k)), np.zeros((k, k))
    image = np.empty(k)
    widest = 0
    for j in range(levels):
        widest = max(widest, indptr[j + 1] - indptr[j])
    part = np.empty((widest, k))
    place = np.empty(widest, np.int64)
    for j in range(levels):
        factor_level(lam, gram[j], work, chol, gain, shrink)
        for a in range(k):
            for b in range(k):
                total = 0.0
                for c in range(k):
                    total += lam[a, c] * gain[c, b]
                blocks[j, a, b] = total
                work[a, b] = total
        used = 0
        for i in range(indptr[j], indptr[j + 1]):
            if indices[i] >= t:
                break
            place[used] = indices[i]
            for a in range(k):
                total = 0.0
                for b in range(k):
                    total += work[a, b] * values[i, b]
                part[used, a] = total
            used += 1
        _quadratic_forms(part, place, used, inverse, image, blocks[j])
