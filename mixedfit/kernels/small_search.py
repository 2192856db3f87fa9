"""Newton's method for a small model, compiled as a whole.

Newton steps on the exact gradient, with the average information as curvature far from the optimum and the exact
one near it, as in `estimation.optimize`. Where a step fails, leaves the region in which the quadratic model is
trusted, or the curvature is not positive definite, a multiple of the identity is added to the curvature
(Levenberg and Marquardt; Nocedal & Wright 2006, section 4.1 and theorem 4.1) until a step succeeds. A search that
does not converge returns `STOPPED`, and the caller uses another method.

Only for covariance structures that are linear in θ: λ_f = Σ_a θ_a M_a, with `slopes` (n_theta, k, k) holding M_a.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import plain
from .small_criterion import derive_small, evaluate_small
from .triangle import cholesky, solve_lower, solve_upper

__all__ = ["NOT_FINITE", "REACHED", "STOPPED", "search_once", "search_small"]

REACHED, STOPPED, NOT_FINITE = 0, 1, 2
"""The optimum was found; a step failed or evaluations ran out; the criterion is not finite at the start."""

_ROUNDING = 4e-16
"""Error of the criterion over its size and the root of the number of levels, whose logarithms are added up."""

_LOCAL = 0.5
"""Newton decrement below which a quadratic model is trusted over a whole step (`optimize.LOCAL`)."""


@plain
def _lams(layout: IntArray, slopes: Array, x: Array, out: Array) -> None:
    """Fill `out` (blocks, k, k) with λ_f = Σ_a x_a M_a."""
    for f in range(layout.shape[0]):
        for a in range(layout[f, 0]):
            for b in range(layout[f, 0]):
                out[f, a, b] = 0.0
        for d in range(layout[f, 3], layout[f, 3] + layout[f, 4]):
            for a in range(layout[f, 0]):
                for b in range(layout[f, 0]):
                    out[f, a, b] += x[d] * slopes[d, a, b]


@plain
def _value(pieces: Array, settings: Any) -> float:
    """Return the criterion from log-determinants and PRSS."""
    reml, _, nu, variance, constant = settings
    value = pieces[0] + constant
    if reml:
        value += pieces[1]
    if variance > 0.0:
        return float(value + pieces[2] / variance)
    return float(value + nu * (1.0 + np.log(2.0 * np.pi * pieces[2] / nu)))


@plain
def _newton(gradient: Array, hessian: Array, shift: float, step: Array) -> float:
    """Fill `step` with s = −(H + shift I)⁻¹g; return the decrease −gᵀs − ½ sᵀHs that it predicts.

    NaN where the matrix is not safely positive definite; ½ gᵀH⁻¹g without a shift.
    """
    size = gradient.size
    chol = np.empty((size, size))
    largest = 0.0
    for a in range(size):
        for b in range(size):
            chol[a, b] = hessian[a, b]
        chol[a, a] += shift
        largest = max(largest, abs(chol[a, a]))
    if not cholesky(chol):
        return np.nan
    for a in range(size):
        if not chol[a, a] ** 2 > max(1e-10 * largest, 1e-9):
            return np.nan
        step[a] = -gradient[a]
    solve_lower(chol, step, size)
    predicted = 0.0
    for a in range(size):
        predicted += 0.5 * step[a] * step[a]
    solve_upper(chol, step, size)
    for a in range(size):
        predicted += 0.5 * shift * step[a] * step[a]
    return predicted


@plain
def _allowed(x: Array, step: Array) -> bool:
    """Return whether a step is within the trust radius, max(1, ½ max|x|)."""
    radius, length = 1.0, 0.0
    for a in range(x.size):
        radius = max(radius, 0.5 * abs(x[a]))
        length = max(length, abs(step[a]))
    return bool(length <= radius)


@plain
def _shift(hessian: Array) -> float:
    """Return the smallest shift to try."""
    largest = 0.0
    for a in range(hessian.shape[0]):
        largest = max(largest, abs(hessian[a, a]))
    return 1e-3 * largest + 1e-6


@plain
def _damped(gradient: Array, hessian: Array, x: Array, shift: float, step: Array) -> tuple[float, float]:
    """Increase the shift until the step is within the trust radius; return its predicted decrease and its shift."""
    predicted = _newton(gradient, hessian, shift, step)
    if shift == 0.0 and (np.isnan(predicted) or not _allowed(x, step)):
        shift = _shift(hessian)
        predicted = _newton(gradient, hessian, shift, step)
    for _ in range(60):
        if not np.isnan(predicted) and _allowed(x, step):
            break
        shift *= 4.0
        predicted = _newton(gradient, hessian, shift, step)
    return predicted, shift


def _search(
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
    """Minimise the criterion from `x`, which becomes the best point found; return `REACHED`, `STOPPED` or `NOT_FINITE`.

    Parameters
    ----------
    static, data, layout, slopes
        As in `small_criterion`.
    settings : tuple
        Whether REML; whether exact curvatures are computed; ν; σ² held fixed, in units of the cross-products, or 0;
        a constant to add to the criterion.
    limits : tuple
        Newton decrement at which the search stops; decrement below which no further steps are taken; largest
        number of evaluations.
    x : ndarray, shape (n_theta,)
    numbers : ndarray, shape (4,)
        Filled with the criterion, the Newton decrement, the PRSS and the number of evaluations.
    curvatures : ndarray, shape (2, n_theta, n_theta)
        Filled with the average information's curvature and, near the optimum, the exact one.
    """
    reml, exact, nu, variance, _ = settings
    tolerance, negligible, max_evaluations = limits
    size, m = x.size, data[5].shape[0]
    last = layout.shape[0] - 1
    q = layout[last, 2] + layout[last, 0] * layout[last, 1] if last > 0 else 0
    lams = np.zeros((layout.shape[0], slopes.shape[1], slopes.shape[1]))
    products, chol, pieces, solution = np.empty((m, m)), np.empty((m, m)), np.empty(3), np.empty(m - 1)
    scores = (np.empty(data[0].shape[:2]), np.empty(q))
    gradient, step, trial = np.empty(size), np.empty(size), np.empty(size)
    slope, new, hessian = np.empty(size), np.zeros((2, size, size)), np.zeros((size, size))
    rounding = _ROUNDING * np.sqrt(layout[0, 1])
    value, decrement, predicted, shift, evaluations, polished = np.inf, np.inf, np.inf, 0.0, 0, 0
    for a in range(size):
        trial[a] = x[a]
    while True:
        _lams(layout, slopes, trial, lams)
        positive_definite = evaluate_small(static, data, layout, lams, products, chol, pieces)
        evaluations += 1
        numbers[3] = evaluations
        found = _value(pieces, settings) if positive_definite else np.inf
        if not np.isfinite(found):
            found = np.inf
            if evaluations == 1:
                return NOT_FINITE
        closing = decrement < tolerance
        if closing:
            if not found <= value + 1e-12 * abs(value) + 1e-12:
                return REACHED
        elif evaluations > 1 and not value - found > 0.2 * predicted - rounding * abs(value):
            if evaluations >= max_evaluations or not shift < 1e12:
                return STOPPED
            if not value - found > 0.01 * predicted - rounding * abs(value):
                predicted, shift = _damped(gradient, hessian, x, max(4.0 * shift, _shift(hessian)), step)
                for a in range(size):
                    trial[a] = x[a] + step[a]
                continue
            shift = max(4.0 * shift, _shift(hessian))
        else:
            shift = shift / 8.0 if value - found > 0.5 * predicted else shift
            if shift < 1e-3 * _shift(hessian):
                shift = 0.0
        spread = variance if variance > 0.0 else pieces[2] / nu
        options = (reml, exact, spread, variance <= 0.0)
        derive_small(
            static, data, layout, options, lams, slopes, products, chol, solution, scores, slope, new
        )
        following, level = _newton(slope, new[0], 0.0, step), 0
        if exact and not following > _LOCAL:
            following, level = _newton(slope, new[1], 0.0, step), 1
        if closing and not following < decrement:
            return REACHED
        value, decrement = found, following
        for a in range(size):
            x[a], gradient[a] = trial[a], slope[a]
            for b in range(size):
                hessian[a, b] = new[level, a, b]
                curvatures[0, a, b], curvatures[1, a, b] = new[0, a, b], new[1, a, b]
        numbers[0], numbers[1], numbers[2] = value, decrement, pieces[2]
        predicted = decrement
        if decrement < tolerance:
            polished += 1
            shift = 0.0
            if decrement <= negligible or polished > 3 or evaluations >= max_evaluations:
                return REACHED
        elif evaluations >= max_evaluations:
            return STOPPED
        elif np.isnan(decrement) or shift > 0.0 or not _allowed(x, step):
            predicted, shift = _damped(gradient, hessian, x, shift, step)
            if not predicted > 1e-14:
                return STOPPED
        for a in range(size):
            trial[a] = x[a] + step[a]


def _named(name: str, **others: Any) -> Any:
    """Return `_search` under another name, with other functions in place of those that it calls."""
    return FunctionType(
        _search.__code__.replace(co_name=name, co_qualname=name), {**globals(), **others}, name
    )


_WHOLE = tuple(plain(_named(f"search_{k}")) for k in ("any", "1", "2"))

_by_steps = _named("search_by_steps", derive_small=derive_small.py_func)  # type: ignore[attr-defined]


def search_small(static: Any, *arguments: Any) -> int:
    """Minimise the criterion by machine code of the whole search; arguments and result as of `_search`.

    There is one kernel for each number of effects of a level that `static` may state.
    """
    return int(_WHOLE[len(static)](static, *arguments))


def search_once(static: Any, *arguments: Any) -> int:
    """Minimise the criterion by `search_small` if it is compiled already; otherwise step by step.

    Then Python runs the search over its compiled steps, which saves a single fit the compilation of the whole.
    """
    whole = _WHOLE[len(static)]
    return int((whole if whole.is_ready() else _by_steps)(static, *arguments))
