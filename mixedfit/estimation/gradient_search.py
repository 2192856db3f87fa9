"""Search for the root of a gradient, for criteria whose value has a Monte-Carlo error.

Values and traces estimated from the same probes are not those of one function: the minimum of the estimated values is
not the root of the estimated gradient. The latter has the smaller error, and is where this search ends, as in the
Monte-Carlo REML of Matilainen, Mäntysaari, Lidauer, Strandén & Thompson (2013, PLoS ONE 8:e80821).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array

from .optimize import Optimum, minimise, newton_decrement, secant_update

__all__ = ["gradient_search", "with_zeros_kept"]

TOLERANCE = 1e-7
"""Newton decrement at which the search ends: 0.0005 standard errors."""

REACHED = 1e-4
"""Newton decrement that counts as convergence: 0.01 standard errors, less than the probes' errors cause."""

NEAR = 0.05
"""Newton decrement at which the descent ends: 0.3 standard errors, more than the probes' errors cause."""

LONGEST = 1.0
"""Longest step in an element of θ, beside half of the largest element."""

HALVINGS = 6


def gradient_search(
    function: Callable[[Array], Any],
    start: Array,
    *,
    max_evaluations: int,
    report: Callable[[int, float], None] | None,
) -> Optimum:
    """Return the root of the gradient: a descent to near it, then Newton steps with curvatures corrected by secants.

    Parameters
    ----------
    function : callable
        Argument, shape (size,) → a `Point`.
    start : ndarray, shape (size,)
    max_evaluations : int
    report : callable, optional
        Called with the number of evaluations and the value.

    Raises
    ------
    FloatingPointError
        If the function is not finite at the start.
    """
    near = minimise(function, start, tolerance=NEAR, max_evaluations=max_evaluations, report=report)
    evaluations = near.evaluations

    def at(x: Array) -> tuple[Any, Array, Array]:
        nonlocal evaluations
        point = function(x)
        evaluations += 1
        if not np.isfinite(point.value):
            return point, np.full(x.size, np.nan), np.eye(x.size)
        gradient, curvature = point.gradient, point.curvature
        point.discard()
        if report is not None:
            report(evaluations, float(point.value))
        return point, gradient, curvature

    x, point = near.x, near.point
    gradient, hessian = point.gradient, point.curvature
    decrement, step, _ = newton_decrement(gradient, hessian)
    while decrement > TOLERANCE and evaluations < max_evaluations:
        step *= min(1.0, max(LONGEST, 0.5 * float(np.abs(x).max())) / max(float(np.abs(step).max()), 1e-300))
        found = None
        for _ in range(HALVINGS):
            trial, own, curvature = at(x + step)
            if np.all(np.isfinite(own)):
                own_decrement = newton_decrement(own, curvature)[0]
                if own_decrement < decrement:
                    found = trial, own, secant_update(curvature, step, own - gradient)
                    break
            step = 0.5 * step
            if evaluations >= max_evaluations:
                break
        if found is None:
            break
        x, (point, gradient, hessian) = x + step, found
        decrement, step, _ = newton_decrement(gradient, hessian)
    return Optimum(x, point, decrement, evaluations, bool(decrement <= REACHED))


def with_zeros_kept(function: Callable[[Array], Any], optimum: Optimum, max_evaluations: int) -> Optimum:
    """Return the root of the gradient over the elements of θ that are not 0, from an optimum on the boundary.

    Elements that were set to 0 have moved the root of the others.
    """
    x, point, evaluations = np.array(optimum.x), optimum.point, optimum.evaluations
    free = x != 0.0
    decrement, step = _free_step(point, free)
    while decrement > TOLERANCE and evaluations < max_evaluations:
        trial = function(x + step)
        evaluations += 1
        if not np.isfinite(trial.value):
            break
        own, following = _free_step(trial, free)
        if not own < decrement:
            break
        x, point, decrement, step = x + step, trial, own, following
    return Optimum(x, point, decrement, evaluations, bool(decrement <= REACHED))


def _free_step(point: Any, free: Any) -> tuple[float, Array]:
    """Return the Newton decrement and step of some elements."""
    decrement, own, _ = newton_decrement(point.gradient[free], point.curvature[np.ix_(free, free)])
    step = np.zeros(free.size)
    step[free] = own
    return decrement, step
