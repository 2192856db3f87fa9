"""Newton's search for the optimum of a small model, compiled as a whole.

Full Newton steps on the exact gradient, with the average information as curvature far from the optimum and
the exact one near it, as `optimize.minimise` takes them. Where a step fails, or where the curvature is not positive
definite, the search ends with `STOPPED`, and the caller goes on from there by other means.

Only for covariance structures that are linear in θ: λ_f = Σ_a θ_a M_a, with `slopes` (n_theta, k, k) holding M_a.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import Array, IntArray
from ._compile import kernel
from .small import derive_small, evaluate_small
from .triangle import cholesky, solve_lower, solve_upper

__all__ = ["NOT_FINITE", "REACHED", "STOPPED", "search_many", "search_small"]

REACHED, STOPPED, NOT_FINITE = 0, 1, 2
"""The optimum was found; a step failed or evaluations ran out; nothing could be computed at the start."""

_LOCAL = 0.5
"""Newton decrement below which a quadratic model is trusted to hold over a step (`optimize.LOCAL`)."""


@kernel
def _lams(layout: IntArray, slopes: Array, x: Array, out: Array) -> None:
    """Fill `out` (blocks, k, k) with λ_f = Σ_a x_a M_a."""
    out[:] = 0.0
    for f in range(layout.shape[0]):
        for d in range(layout[f, 3], layout[f, 3] + layout[f, 4]):
            for a in range(layout[f, 0]):
                for b in range(layout[f, 0]):
                    out[f, a, b] += x[d] * slopes[d, a, b]


@kernel
def _value(pieces: Array, settings: Any) -> float:
    """Return the criterion from log-determinants and PRSS."""
    reml, _, nu, variance, constant = settings
    value = pieces[0] + constant
    if reml:
        value += pieces[1]
    if variance > 0.0:
        return float(value + pieces[2] / variance)
    return float(value + nu * (1.0 + np.log(2.0 * np.pi * pieces[2] / nu)))


@kernel
def _newton(gradient: Array, hessian: Array, step: Array) -> float:
    """Fill `step` with −H⁻¹g; return ½ gᵀH⁻¹g, or NaN where H is not safely positive definite."""
    size = gradient.size
    chol = hessian.copy()
    largest = 0.0
    for a in range(size):
        largest = max(largest, abs(hessian[a, a]))
    if not cholesky(chol):
        return np.nan
    for a in range(size):
        if not chol[a, a] ** 2 > max(1e-10 * largest, 1e-9):
            return np.nan
        step[a] = -gradient[a]
    solve_lower(chol, step, size)
    decrement = 0.0
    for a in range(size):
        decrement += 0.5 * step[a] * step[a]
    solve_upper(chol, step, size)
    return decrement


@kernel
def _allowed(x: Array, step: Array) -> bool:
    """Return whether a step is within the radius in which a quadratic model may be trusted."""
    radius, length = 1.0, 0.0
    for a in range(x.size):
        radius = max(radius, 0.5 * abs(x[a]))
        length = max(length, abs(step[a]))
    return bool(length <= radius)


@kernel
def search_small(
    static: Any,
    data: Any,
    layout: IntArray,
    settings: Any,
    limits: Any,
    slopes: Array,
    x: Array,
    numbers: Array,
    curvatures: Array,
) -> int:
    """Minimise the criterion from `x`, which becomes the best point met; return how the search ended.

    Parameters
    ----------
    static, data, layout, slopes
        As in `small`.
    settings : tuple
        Whether REML; whether exact curvatures are to be had; ν; σ² held fixed, in units of the cross-products, or 0;
        a constant to add to the criterion.
    limits : tuple
        Newton decrement at which to stop; decrement from which last steps are not worth their cost; greatest
        number of evaluations.
    x : ndarray, shape (n_theta,)
    numbers : ndarray, shape (4,)
        Filled with the criterion, the Newton decrement, the PRSS and the number of evaluations.
    curvatures : ndarray, shape (2, n_theta, n_theta)
        Filled with the average information's curvature and, near the optimum, the exact one.
    """
    reml, exact, nu, variance, _ = settings
    tolerance, negligible, most = limits
    size, m = x.size, data[5].shape[0]
    last = layout.shape[0] - 1
    q = layout[last, 2] + layout[last, 0] * layout[last, 1] if last > 0 else 0
    lams = np.zeros((layout.shape[0], slopes.shape[1], slopes.shape[1]))
    products, chol, pieces, solution = np.empty((m, m)), np.empty((m, m)), np.empty(3), np.empty(m - 1)
    scores = (np.empty(data[0].shape[:2]), np.empty(q))
    gradient, step, trial = np.empty(size), np.empty(size), x.copy()
    new = np.zeros_like(curvatures)
    value, decrement, evaluations, polished = np.inf, np.inf, 0, 0
    while True:
        _lams(layout, slopes, trial, lams)
        fine = evaluate_small(static, data, layout, lams, products, chol, pieces)
        evaluations += 1
        numbers[3] = evaluations
        found = _value(pieces, settings) if fine else np.inf
        if not np.isfinite(found):
            return NOT_FINITE if evaluations == 1 else STOPPED
        closing = decrement < tolerance
        if closing:
            if not found <= value + 1e-12 * abs(value) + 1e-12:
                return REACHED
        elif evaluations > 1 and not value - found > 0.2 * decrement:
            return STOPPED
        spread = variance if variance > 0.0 else pieces[2] / nu
        options = (reml, exact, spread, variance <= 0.0)
        derive_small(
            static, data, layout, options, lams, slopes, products, chol, solution, scores, gradient, new
        )
        following = _newton(gradient, new[0], step)
        if exact and not following > _LOCAL:
            following = _newton(gradient, new[1], step)
        if closing and not following < decrement:
            return REACHED
        x[:], value, decrement = trial, found, following
        numbers[0], numbers[1], numbers[2] = value, decrement, pieces[2]
        curvatures[:] = new
        if np.isnan(decrement) or evaluations >= most:
            return REACHED if decrement < tolerance else STOPPED
        if decrement < tolerance:
            polished += 1
            if decrement <= negligible or polished > 3:
                return REACHED
        elif not _allowed(x, step):
            return STOPPED
        for a in range(size):
            trial[a] = x[a] + step[a]


@kernel
def search_many(
    static: Any,
    data: Any,
    layout: IntArray,
    settings: Any,
    limits: Any,
    slopes: Array,
    start: Array,
    borders: Array,
    lasts: Array,
    constants: Array,
    x: Array,
    numbers: Array,
    status: IntArray,
) -> None:
    """Run `search_small` for many responses of one design, one after the other, without the interpreter's lock.

    Parameters
    ----------
    static, data, layout, settings, limits, slopes
        As in `search_small`; products with the response in `data` do not matter. σ² held fixed is that of
        `settings` divided by nothing: responses in other units bring their own in `constants`.
    start : ndarray, shape (n_theta,)
        Where every search begins.
    borders : ndarray, shape (responses, levels, k)
        Products of the first factor with each response: the last column of the border.
    lasts : ndarray, shape (responses, m)
        Products of [tail, X, y] with each response: the last row of the tail's products.
    constants : ndarray, shape (responses, 2)
        For each response the constant of the criterion, and σ² held fixed or 0.
    x : ndarray, shape (responses, n_theta)
        Filled with θ.
    numbers : ndarray, shape (responses, 4)
        Filled with criterion, Newton decrement, PRSS and number of evaluations.
    status : ndarray of int64, shape (responses,)
        Filled with how each search ended.
    """
    gram, indptr, indices, values, border, tail = data
    border, tail = border.copy(), tail.copy()
    p, m = border.shape[2] - 1, tail.shape[0]
    curvatures = np.zeros((2, start.size, start.size))
    for r in range(x.shape[0]):
        border[:, :, p] = borders[r]
        tail[m - 1] = lasts[r]
        x[r] = start
        numbers[r] = np.inf
        own = (gram, indptr, indices, values, border, tail)
        setting = (settings[0], settings[1], settings[2], constants[r, 1], constants[r, 0])
        status[r] = search_small(static, own, layout, setting, limits, slopes, x[r], numbers[r], curvatures)
