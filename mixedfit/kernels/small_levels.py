"""Sums over the levels of the first factor.

Notation as in `first_factor`: for level j, A = Z_jᵀZ_j, C = Z_jᵀ[tail columns that occur with the level, X, y],
K = (I + AΩ)⁻¹, W = KA = Z_jᵀV₀⁻¹Z_j, F = KC, H = L⁻¹λᵀ, w = Z_jᵀV⁻¹r. With adj the adjugate, for two effects
det(I + AΩ) = 1 + tr(AΩ) + det A det Ω, K = (I + adj Ω adj A)/det and W = (A + det A adj Ω)/det.

`static` is a tuple whose length says at compile time that there are 1 or 2 effects; if it is empty, the
number is read from the arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import kernel
from .first_factor import half_level

__all__ = ["eliminate_levels", "small_inverse", "sum_levels"]

_LARGE = 1e100
"""Products of determinants beyond this are replaced by their logarithms, before they overflow."""


@kernel
def relative_covariance(lam: Array, k: int) -> Array:
    """Return Ω = λλᵀ of the leading k × k part, and det Ω in its last row (k + 1, k)."""
    omega = np.zeros((k + 1, k))
    for a in range(k):
        for b in range(k):
            for c in range(k):
                omega[a, b] += lam[a, c] * lam[b, c]
    if k == 1:
        omega[1, 0] = omega[0, 0]
    elif k == 2:
        det = lam[0, 0] * lam[1, 1] - lam[0, 1] * lam[1, 0]
        omega[2, 0] = det * det
    return omega


@kernel
def small_inverse(matrix: Array, out: Array) -> float:
    """Fill `out` with the inverse by Gauss–Jordan steps with row pivots; return |det|, or NaN. Destroys `matrix`."""
    k = out.shape[0]
    for a in range(k):
        for b in range(k):
            out[a, b] = 1.0 if a == b else 0.0
    det = 1.0
    for c in range(k):
        best = c
        for a in range(c + 1, k):
            if abs(matrix[a, c]) > abs(matrix[best, c]):
                best = a
        pivot = matrix[best, c]
        det *= abs(pivot)
        if not abs(pivot) > 0.0:
            return np.nan
        for b in range(k):
            if best != c:
                matrix[c, b], matrix[best, b] = matrix[best, b], matrix[c, b]
                out[c, b], out[best, b] = out[best, b], out[c, b]
        for b in range(k):
            matrix[c, b] /= pivot
            out[c, b] /= pivot
        for a in range(k):
            if a != c:
                factor = matrix[a, c]
                for b in range(k):
                    matrix[a, b] -= factor * matrix[c, b]
                    out[a, b] -= factor * out[c, b]
    return det


@kernel
def _shrinkage_any(omega: Array, gram: Array, j: int, room: Array, shrink: Array) -> float:
    """Fill `shrink` with K; return det(I + AΩ)."""
    k = gram.shape[1]
    for a in range(k):
        for b in range(k):
            total = 1.0 if a == b else 0.0
            for c in range(k):
                total += gram[j, a, c] * omega[c, b]
            room[a, b] = total
    return small_inverse(room, shrink)


@kernel
def _half(
    static: Any, lam: Array, omega: Array, gram: Array, j: int, work: Array, chol: Array, half: Array
) -> float:
    """Fill `half` with H; return det(I + AΩ) = det P."""
    if len(static) == 1:
        det = 1.0 + gram[j, 0, 0] * omega[0, 0]
        half[0, 0] = lam[0, 0] / np.sqrt(det)
        return float(det)
    if len(static) == 2:
        a, b, c = gram[j, 0, 0], gram[j, 1, 0], gram[j, 1, 1]
        det = 1.0 + a * omega[0, 0] + 2.0 * b * omega[1, 0] + c * omega[1, 1] + (a * c - b * b) * omega[2, 0]
        one, two = a * lam[0, 0] + b * lam[1, 0], b * lam[0, 0] + c * lam[1, 0]
        pivot = 1.0 + lam[0, 0] * one + lam[1, 0] * two
        ratio = (lam[0, 1] * one + lam[1, 1] * two) / pivot
        if det < pivot:  # by rounding: both pivots are at least 1
            det = pivot
        first, second = 1.0 / np.sqrt(pivot), np.sqrt(pivot / det)
        half[0, 0], half[0, 1] = first * lam[0, 0], first * lam[1, 0]
        half[1, 0] = second * (lam[0, 1] - ratio * lam[0, 0])
        half[1, 1] = second * (lam[1, 1] - ratio * lam[1, 0])
        return float(det)
    k = gram.shape[1]
    return float(half_level(lam[:k, :k], gram[j], work, chol, half))


@kernel
def _shrinkage(
    static: Any, omega: Array, gram: Array, j: int, room: Array, shrink: Array, within: Array
) -> None:
    """Fill `shrink` with K and `within` with W."""
    if len(static) == 1:
        over = 1.0 / (1.0 + gram[j, 0, 0] * omega[0, 0])
        shrink[0, 0] = over
        within[0, 0] = gram[j, 0, 0] * over
        return
    if len(static) == 2:
        a, b, c = gram[j, 0, 0], gram[j, 1, 0], gram[j, 1, 1]
        u, v, x = omega[0, 0], omega[1, 0], omega[1, 1]
        own = a * c - b * b
        over = 1.0 / (1.0 + a * u + 2.0 * b * v + c * x + own * omega[2, 0])
        shrink[0, 0] = (1.0 + x * c + v * b) * over
        shrink[0, 1] = -(x * b + v * a) * over
        shrink[1, 0] = -(v * c + u * b) * over
        shrink[1, 1] = (1.0 + v * b + u * a) * over
        within[0, 0] = (a + own * x) * over
        within[1, 0] = (b - own * v) * over
        within[0, 1] = within[1, 0]
        within[1, 1] = (c + own * u) * over
        return
    _shrinkage_any(omega, gram, j, room, shrink)
    k = gram.shape[1]
    for a in range(k):
        for b in range(k):
            total = 0.0
            for c in range(k):
                total += shrink[a, c] * gram[j, c, b]
            within[a, b] = total


@kernel
def eliminate_levels(
    static: Any,
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
    """Subtract (HC)ᵀHC of levels `start` to `stop` from the lower triangle of `tail`; return Σ log det(I + AΩ)."""
    k = len(static) if len(static) > 0 else gram.shape[1]
    columns = border.shape[2]
    q = tail.shape[0] - columns
    widest = 0
    for j in range(start, stop):
        widest = max(widest, indptr[j + 1] - indptr[j])
    omega = relative_covariance(lam, k)
    work, chol, half = np.empty((k, k)), np.zeros((k, k)), np.empty((k, k))
    part = np.empty((widest + columns, k))
    place = np.empty(widest + columns, np.int64)
    logdet, product = 0.0, 1.0
    for j in range(start, stop):
        det = _half(static, lam, omega, gram, j, work, chol, half)
        if not 0.0 < det < _LARGE:
            logdet += np.log(det)  # NaN where the matrix was not positive definite
        else:
            product *= det
            if product > _LARGE:
                logdet += np.log(product)
                product = 1.0
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
            for h in range(i + 1):
                total = 0.0
                for a in range(k):
                    total += part[i, a] * part[h, a]
                row[place[h]] -= total
    return float(logdet + np.log(product))


@kernel
def _spread(static: Any, part: Array, place: IntArray, used: int, spreads: Array) -> None:
    """Add F_i[a] F_h[b] of the first `used` columns to `spreads` (t, t, k, k), for h ≤ i."""
    k = len(static) if len(static) > 0 else part.shape[1]
    for i in range(used):
        for h in range(i + 1):
            for a in range(k):
                for b in range(k):
                    spreads[place[i], place[h], a, b] += part[i, a] * part[h, b]


@kernel
def sum_levels(
    static: Any,
    lam: Array,
    gram: Array,
    indptr: IntArray,
    indices: IntArray,
    values: Array,
    border: Array,
    inverse: Array,
    solution: Array,
    exact: bool,
    scores: Array,
    sums: Array,
    pairs: Array,
    crossed: Array,
    traces: Array,
    spreads: Array,
    start: int,
    stop: int,
) -> None:
    """Add the sums over levels `start` to `stop` that gradient and curvature need.

    `inverse` (t, t): U = Λ T Λᵀ over the first t tail columns. `solution`: coefficients of all tail columns but y.
    Filled: `scores` (levels, k), w. Added to: `sums` (3, k, k), Σ W, Σ F U Fᵀ, Σ wwᵀ; `pairs` (k, k, k, k),
    Σ w_a w_b W_cd; `crossed` (k, k, m − 1), Σ w_a F_bi; if `exact`, `traces` (k, k, k, k),
    Σ W_ab (W − 2 F U Fᵀ)_cd, and `spreads` (t, t, k, k), Σ F_ai F_bh for h ≤ i.
    """
    k = len(static) if len(static) > 0 else gram.shape[1]
    p = border.shape[2] - 1
    t, q = inverse.shape[0], solution.size - p
    widest = 0
    for j in range(start, stop):
        widest = max(widest, indptr[j + 1] - indptr[j])
    omega = relative_covariance(lam, k)
    room, shrink, within, form = np.empty((k, k)), np.empty((k, k)), np.empty((k, k)), np.empty((k, k))
    part, image, score = np.empty((widest + p, k)), np.empty(k), np.empty(k)
    place = np.empty(widest + p, np.int64)
    for s in range(p):
        place[s] = q + s
    for j in range(start, stop):
        _shrinkage(static, omega, gram, j, room, shrink, within)
        first = indptr[j]
        own = indptr[j + 1] - first
        for a in range(k):
            image[a] = border[j, a, p]
        used = 0
        for i in range(own + p):
            if i < own:
                place[i] = indices[first + i]
                at = solution[place[i]]
                for a in range(k):
                    total = 0.0
                    image[a] -= values[first + i, a] * at
                    for b in range(k):
                        total += shrink[a, b] * values[first + i, b]
                    part[i, a] = total
            else:
                place[i] = q + i - own
                at = solution[place[i]]
                for a in range(k):
                    total = 0.0
                    image[a] -= border[j, a, i - own] * at
                    for b in range(k):
                        total += shrink[a, b] * border[j, b, i - own]
                    part[i, a] = total
            if place[i] < t:
                used = i + 1
        for a in range(k):
            total = 0.0
            for b in range(k):
                total += shrink[a, b] * image[b]
            score[a] = total
            scores[j, a] = total
        for a in range(k):
            for b in range(k):
                form[a, b] = 0.0
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
                    form[a, b] += part[i, a] * image[b] + image[a] * part[i, b]
        for a in range(k):
            for b in range(k):
                sums[0, a, b] += within[a, b]
                sums[1, a, b] += form[a, b]
                both = score[a] * score[b]
                sums[2, a, b] += both
                for c in range(k):
                    for d in range(k):
                        pairs[a, b, c, d] += both * within[c, d]
        for a in range(k):
            for b in range(k):
                for i in range(own + p):
                    crossed[a, b, place[i]] += score[a] * part[i, b]
        if exact:
            for a in range(k):
                for b in range(k):
                    for c in range(k):
                        for d in range(k):
                            traces[a, b, c, d] += within[a, b] * (within[c, d] - 2.0 * form[c, d])
            _spread(static, part, place, used, spreads)
