"""Quasi-Newton minimisation with exact gradients (Nocedal & Wright 2006, Numerical Optimization, chapters 3 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from mixedfit.core.arrays import Array

__all__ = ["Minimum", "minimise_bfgs"]


class GradientPoint(Protocol):
    """A function at one x."""

    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> Array: ...


_Point = TypeVar("_Point", bound=GradientPoint)

LONGEST = 1.5
"""Longest change of a parameter in one step; parameters are logarithms and inverse hyperbolic tangents."""


ENDED = 1e-2
"""Decrement up to which the end of a search beyond what the data tell counts as a minimum."""


FALLS = 0.1
"""Fall of a criterion in one unit of log SD from which on it has no bound: it then falls by whole numbers."""

FAINT = 1e-5
"""Decrement at which a search ends where rounding hides smaller ones; 0.003 standard errors."""

OUTSIDE = 20
"""Steps beyond what the data tell in which the other parameters may still reach their minimum."""


@dataclass(frozen=True, eq=False)
class Minimum(Generic[_Point]):
    """The end of a search.

    Attributes
    ----------
    x : ndarray
    point : point at x
    decrement : float
        Half of gᵀHg with the approximate inverse Hessian H: the decrease that a further step predicts.
    evaluations : int
    reached : bool
    inverse : ndarray, shape (x.size, x.size), or None
        H.
    lost : bool
        Whether the search ended because the function cannot be computed further on.
    way : ndarray, shape (x.size,), or None
        Last step, where `lost`.
    """

    x: Array
    point: _Point
    decrement: float
    evaluations: int
    reached: bool
    inverse: Array | None = None
    lost: bool = False
    way: Array | None = None

    @property
    def falls(self) -> bool:
        """Whether the function still falls where a search was lost."""
        if self.way is None:
            return False
        return -float(self.point.gradient @ self.way) > FALLS * float(np.abs(self.way).max())


def minimise_bfgs(
    function: Callable[[Array], _Point],
    start: Array,
    *,
    scale: float,
    metric: Callable[[_Point], Array | None] | None = None,
    inverse: Array | None = None,
    tolerance: float = 1e-10,
    max_evaluations: int = 500,
    beyond: Callable[[Array], bool] | None = None,
    faint: Callable[[Array], bool] | None = None,
    room: Callable[[Array], Array] | None = None,
    lost: Callable[[_Point], bool] | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Minimum[_Point]:
    """Return a local minimum.

    Parameters
    ----------
    function : callable
        x → point with value (infinite outside of the domain) and gradient.
    start : ndarray
    scale : float
        Rough inverse curvature, for the first step.
    metric : callable, optional
        Point → approximate inverse Hessian there, or None to start from `scale`.
    inverse : ndarray, shape (start.size, start.size), optional
        Inverse Hessian, if it is known from a search nearby.
    tolerance : float
        Decrement at which the search stops, in units of the function.
    max_evaluations : int
    beyond : callable, optional
        Whether x lies beyond what the data can tell; the search ends there once a step promises little.
    faint : callable, optional
        Whether rounding errors of the function are large at x; the search ends there at a larger decrement.
    room : callable, optional
        How many times as long as `LONGEST` a step may be in each parameter, shape (start.size,).
    lost : callable, optional
        Whether rounding decides on the function at a point; the search ends before it.
    report : callable, optional
        Called with the number of evaluations and the value.

    Raises
    ------
    FloatingPointError
        If the function is not finite at the start.
    """
    x, point = start, function(start)
    if not np.isfinite(point.value):
        raise FloatingPointError("the criterion is not finite at the start")
    if not x.size:
        return Minimum(x, point, 0.0, 1, True)
    lost = None if lost is not None and lost(point) else lost
    count, small, outside, decrement, fresh, known = 1, 0, 0, np.inf, inverse is None, True
    if inverse is None:
        inverse, known = _first_inverse(metric and metric(point), scale, x.size)
    while count < max_evaluations:
        if report is not None:
            report(count, point.value)
        step = -inverse @ point.gradient
        decrement = -0.5 * float(point.gradient @ step)
        if decrement < tolerance and not fresh:
            return Minimum(x, point, decrement, count, True, inverse)
        if faint is not None and decrement < FAINT and faint(x):
            return Minimum(x, point, decrement, count, True, inverse)
        outside = outside + 1 if beyond is not None and beyond(x) else 0
        if outside and (decrement < ENDED or outside > OUTSIDE):
            return Minimum(x, point, decrement, count, decrement < ENDED, inverse)
        sizes = np.abs(step) if room is None else np.abs(step) / room(x)
        step *= min(1.0, LONGEST / max(float(sizes.max()), 1e-300))
        moved, length, tried, ended = _line_search(function, x, point, step, lost)
        count += tried
        if ended:
            x, point = (x, point) if moved is None else (x + length * step, moved)
            end = Minimum(x, point, decrement, count, True, inverse, True, step)
            return replace(end, reached=not end.falls)
        if moved is None:
            if fresh:
                return Minimum(x, point, decrement, count, decrement < 1e-6, inverse)
            fresh = True
            inverse, known = _first_inverse(metric and metric(point), scale, x.size)
            continue
        gain = point.value - moved.value
        change = moved.gradient - point.gradient
        inverse, fresh = _updated(inverse, length * step, change, fresh and not known), False
        x, point = x + length * step, moved
        small = small + 1 if gain < tolerance else 0
        if small >= 3:
            return Minimum(x, point, max(gain, 0.0), count, True, inverse)
    return Minimum(x, point, decrement, count, False, inverse)


def _first_inverse(metric: Array | None, scale: float, size: int) -> tuple[Array, bool]:
    """Return the inverse Hessian to start from, and whether it is more than a rough scale."""
    return (scale * np.eye(size), False) if metric is None else (metric, True)


def _line_search(
    function: Callable[[Array], _Point],
    x: Array,
    point: _Point,
    step: Array,
    lost: Callable[[_Point], bool] | None,
) -> tuple[_Point | None, float, int, bool]:
    """Return a point along a step with Armijo's decrease, its length, the evaluations, and whether the way ends there.

    The step is longer on steep slopes.
    """
    slope = float(point.gradient @ step)
    length, low, high = 1.0, 0.0, np.inf
    best: tuple[_Point, float] | None = None
    ended = False
    for tried in range(1, 25):
        candidate = function(x + length * step)
        if lost is not None and lost(candidate):
            if best is not None:
                return best[0], best[1], tried, True
            ended, high, length = True, length, 0.25 * length
            continue
        enough = candidate.value <= point.value + 1e-4 * length * slope
        if not np.isfinite(candidate.value) or not enough:
            high = length
        else:
            best = (candidate, length)
            own = float(candidate.gradient @ step)
            if own >= 0.9 * slope or length >= 8.0:
                return candidate, length, tried, ended
            low = length
        if best is not None and tried >= 10:
            return best[0], best[1], tried, ended
        if np.isinf(high):
            length *= 2.0
        elif low == 0.0 and np.isfinite(candidate.value):
            bend = candidate.value - point.value - length * slope
            guess = -0.5 * slope * length * length / bend if bend > 0 else 0.5 * length
            length = float(np.clip(guess, 0.1 * length, 0.6 * length))
        else:
            length = 0.5 * (low + high)
        if length * float(np.abs(step).max()) < 1e-13:
            break
    return (None, 0.0, tried, ended) if best is None else (best[0], best[1], tried, ended)


def _updated(inverse: Array, step: Array, change: Array, fresh: bool) -> Array:
    """Return the inverse Hessian after a step, by the formula of Broyden, Fletcher, Goldfarb and Shanno."""
    curvature = float(step @ change)
    if curvature <= 1e-12 * float(np.linalg.norm(step) * np.linalg.norm(change)):
        return inverse
    if fresh:
        inverse = np.eye(step.size) * (curvature / float(change @ change))
    left = np.eye(step.size) - np.outer(step, change) / curvature
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / curvature)
