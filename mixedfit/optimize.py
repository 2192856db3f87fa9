"""Minimisation by scipy from a value, an exact gradient and a curvature; knows only callables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize as scipy_minimize

from ._types import Array

__all__ = ["Optimum", "Point", "minimise", "newton_decrement"]


LOCAL = 0.5
"""Newton decrement below which a quadratic model is trusted to hold over a step."""


class Point(Protocol):
    """A function at one argument."""

    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> Array: ...
    @property
    def curvature(self) -> Array: ...
    @property
    def exact_curvature(self) -> Array | None: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """Where a minimisation ended.

    Attributes
    ----------
    x : ndarray
        Best argument met.
    point : Point
        The function there.
    decrement : float
        ½ gᵀH⁻¹g there: the decrease that a Newton step still promises.
    evaluations : int
    reached : bool
        Whether the decrement fell below the tolerance.
    """

    x: Array
    point: Any
    decrement: float
    evaluations: int
    reached: bool


def newton_decrement(gradient: Array, curvature: Array) -> tuple[float, Array]:
    """Return ½ gᵀH⁻¹g and the Newton step −H⁻¹g, with negative and vanishing curvatures made positive.

    Boyd & Vandenberghe (2004), Convex Optimization, section 9.5.1.
    """
    if gradient.size == 0:
        return 0.0, gradient
    values, vectors = np.linalg.eigh(curvature)
    floor = 1e-10 * max(float(np.abs(values).max()), 1e-300)
    along = vectors.T @ gradient
    scaled = along / np.maximum(np.abs(values), floor)
    return float(0.5 * along @ scaled), -vectors @ scaled


def secant_update(hessian: Array, step: Array, change: Array) -> Array:
    """Return the BFGS update of a curvature where it predicts a step's change of gradient badly.

    Nocedal & Wright (2006), Numerical Optimization, equation 6.19; skipped where the step met negative
    curvature or the prediction is within a tenth.
    """
    image = hessian @ step
    predicted, met = float(step @ image), float(step @ change)
    if not (predicted > 0 and met > 0) or abs(predicted - met) < 0.1 * met:
        return hessian
    return np.asarray(hessian - np.outer(image, image) / predicted + np.outer(change, change) / met)


class _Trace:
    """The function with its last points remembered, so that value, gradient and curvature cost one evaluation."""

    def __init__(self, function: Callable[[Array], Any], report: Callable[[int, float], None] | None) -> None:
        self.function = function
        self.report = report
        self.evaluations = 0
        self.best: Any = None
        self.best_x: Array = np.zeros(0)
        self.last: Any = None
        self.last_x: Array | None = None
        self.accepted: list[tuple[Array, Array]] = []
        self.curved: tuple[Array, Array] | None = None
        self.decrement_at: tuple[Array, float] | None = None

    def curvature(self, x: Array) -> Array:
        """Return the point's curvature: exact near the optimum, or else brought into agreement with how the
        gradient changed over the last steps."""
        if self.curved is not None and np.array_equal(self.curved[0], x):
            return self.curved[1]
        point = self.at(x)
        hessian: Array = point.curvature
        if newton_decrement(point.gradient, hessian)[0] > LOCAL:
            self.accepted = []
        else:
            exact = point.exact_curvature
            hessian = self._corrected(x, point.gradient, hessian) if exact is None else exact
        self.curved = (np.array(x), hessian)
        point.release()
        return hessian

    def _corrected(self, x: Array, gradient: Array, hessian: Array) -> Array:
        self.accepted = [*self.accepted[-3:], (np.array(x), gradient)]
        for (x0, g0), (x1, g1) in zip(self.accepted[:-1], self.accepted[1:], strict=True):
            hessian = secant_update(hessian, x1 - x0, g1 - g0)
        return hessian

    def decrement(self) -> float:
        """Return the Newton decrement at the best point."""
        if self.decrement_at is None or self.decrement_at[0] is not self.best_x:
            value = newton_decrement(self.best.gradient, self.curvature(self.best_x))[0]
            self.decrement_at = (self.best_x, value)
        return self.decrement_at[1]

    def at(self, x: Array) -> Any:
        if self.last_x is not None and np.array_equal(x, self.last_x):
            return self.last
        if self.best is not None and np.array_equal(x, self.best_x):
            return self.best
        point = self.function(x)
        self.evaluations += 1
        self.last, self.last_x = point, np.array(x)
        if self.best is None or point.value < self.best.value:
            self.best, self.best_x = point, np.array(x)
        if self.report is not None:
            self.report(self.evaluations, float(self.best.value))
        return point


def minimise(
    function: Callable[[Array], Any],
    start: Array,
    *,
    tolerance: float = 1e-9,
    max_evaluations: int = 500,
    report: Callable[[int, float], None] | None = None,
) -> Optimum:
    """Return the minimum of a smooth function by trust-region Newton steps (Conn, Gould & Toint 2000, ch. 7).

    Parameters
    ----------
    function : callable
        Argument, shape (size,) → a `Point`.
    start : ndarray, shape (size,)
    tolerance : float
        Stop when the Newton decrement, in the function's own units, is below it; one last Newton step is
        then taken if it does not raise the function beyond rounding.
    max_evaluations : int
    report : callable, optional
        Called with the number of evaluations and the best value so far.

    Examples
    --------
    >>> from types import SimpleNamespace as Point
    >>> def bowl(x):
    ...     curvature = 2 * np.eye(x.size)
    ...     return Point(
    ...         value=x @ x, gradient=2 * x, curvature=curvature, exact_curvature=None, release=lambda: None
    ...     )
    >>> minimise(bowl, np.array([3.0, 1.0])).reached
    True
    """
    trace = _Trace(function, report)
    x = np.asarray(start, dtype=float)
    point = trace.at(x)
    if x.size == 0:
        return Optimum(x, point, 0.0, trace.evaluations, True)
    for _ in range(3):
        if trace.decrement() < tolerance or trace.evaluations >= max_evaluations:
            break
        _trust_region(trace, trace.best_x, tolerance, max_evaluations)
    return _polish(trace, tolerance)


def _trust_region(trace: _Trace, x: Array, tolerance: float, max_evaluations: int) -> None:
    def stop(intermediate_result: Any) -> None:
        if trace.evaluations >= max_evaluations or trace.decrement() < tolerance:
            raise StopIteration

    radius = max(1.0, 0.5 * float(np.linalg.norm(x)))
    scipy_minimize(
        lambda x: trace.at(x).value,
        x,
        jac=lambda x: trace.at(x).gradient,
        hess=trace.curvature,
        method="trust-exact",
        callback=stop,
        options={
            "gtol": 0.0,
            "initial_trust_radius": radius,
            "max_trust_radius": 1e8,
            "maxiter": max_evaluations,
        },
    )


def _polish(trace: _Trace, tolerance: float) -> Optimum:
    """Take last full Newton steps, which rounding in the value hides from a trust region."""
    best, x = trace.best, trace.best_x
    decrement, step = newton_decrement(best.gradient, trace.curvature(x))
    for _ in range(3):
        if not 1e-12 < decrement < 1e-4:
            break
        point = trace.at(x + step)
        if not point.value <= best.value + 1e-12 * abs(best.value) + 1e-12:
            break
        next_decrement, next_step = newton_decrement(point.gradient, trace.curvature(x + step))
        if not next_decrement < decrement:
            break
        best, x, decrement, step = point, x + step, next_decrement, next_step
    return Optimum(x, best, decrement, trace.evaluations, bool(decrement < 10 * tolerance))
