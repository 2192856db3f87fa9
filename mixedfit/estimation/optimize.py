"""Minimisation by Newton steps and scipy's trust region, given value, exact gradient and curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize as scipy_minimize

from mixedfit.core.arrays import Array

__all__ = ["Optimum", "Point", "minimise", "newton_decrement"]

FAINT = 1e-7
"""Decrement that counts as none where no step lowers the value: 0.0005 standard errors."""

LOCAL = 0.5
"""Newton decrement below which the quadratic model is trusted over a whole step."""

FAST = 1e-2
"""Largest ratio of the Newton decrements of successive steps at which that of the next is foreseen."""

SLOWEST = 1e-3
"""Ratio that is foreseen at least. The average information differs from the curvature by some per cent, and the ratio
tends to the square of that: 7e-4 for a factor of 14 levels."""


class Point(Protocol):
    """A function's value and derivatives at one argument."""

    @property
    def value(self) -> float: ...
    @property
    def gradient(self) -> Array: ...
    @property
    def curvature(self) -> Array: ...
    @property
    def exact_curvature(self) -> Array | None: ...
    def discard(self) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """Result of a minimisation.

    Attributes
    ----------
    x : ndarray
        Best argument found.
    point : Point
        The function there.
    decrement : float
        Newton decrement ½ gᵀH⁻¹g there: the decrease that a Newton step predicts.
    evaluations : int
    reached : bool
        Whether the decrement fell below the tolerance, or to where rounding hides smaller ones.
    ahead : bool
        Whether `x` is a Newton step from `point`, and `decrement` is foreseen there.
    """

    x: Array
    point: Any
    decrement: float
    evaluations: int
    reached: bool
    ahead: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """The quadratic model of the function at a point, and its Newton step."""

    x: Array
    point: Any
    hessian: Array
    decrement: float
    step: Array
    convex: bool


def newton_decrement(gradient: Array, curvature: Array) -> tuple[float, Array, bool]:
    """Return ½ gᵀH⁻¹g, the Newton step −H⁻¹g, and whether H is positive definite.

    Negative and vanishing curvatures are taken as positive. Boyd & Vandenberghe (2004), Convex
    Optimization, section 9.5.1.
    """
    if gradient.size == 0:
        return 0.0, gradient, True
    if not np.all(np.isfinite(curvature)):
        return float("inf"), np.zeros_like(gradient), False
    values, vectors = np.linalg.eigh(np.where(np.abs(curvature) < 1e-100, 0.0, curvature))
    size = np.abs(values)
    floor = max(1e-10 * float(size.max()), 1e-9)
    along = gradient @ vectors
    scaled = along / np.maximum(size, floor)
    return float(0.5 * along @ scaled), -(vectors @ scaled), bool(values[0] > floor)


def secant_update(hessian: Array, step: Array, change: Array) -> Array:
    """Return the BFGS update of a curvature, if that predicts a step's change of gradient badly.

    Nocedal & Wright (2006), Numerical Optimization, equation 6.19; skipped if the curvature along the step
    is negative or the prediction is within a tenth.
    """
    image = hessian @ step
    predicted, met = float(step @ image), float(step @ change)
    if not (predicted > 0 and met > 0) or abs(predicted - met) < 0.1 * met:
        return hessian
    return np.asarray(hessian - np.outer(image, image) / predicted + np.outer(change, change) / met)


class _Trace:
    """A cached function: value, gradient and curvature at one argument cost one evaluation."""

    def __init__(
        self,
        function: Callable[[Array], Any],
        report: Callable[[int, float], None] | None,
        ahead: Callable[[Array], bool] | None = None,
        rate: float | None = None,
    ) -> None:
        self.function = function
        self.report = report
        self.ahead, self.rate = ahead, rate
        self.evaluations = 0
        self.best: Any = None
        self.best_x: Array = np.zeros(0)
        self.last: Any = None
        self.last_x: Array = np.zeros(0)
        self.modelled: _Model | None = None
        self.earlier: list[tuple[Array, Array]] = []

    def at(self, x: Array) -> Any:
        """Return the function at x."""
        for point, known in ((self.last, self.last_x), (self.best, self.best_x)):
            if point is not None and (known is x or np.array_equal(known, x)):
                return point
        x = np.array(x)
        self.last = None  # a point may hold large matrices: free it before computing the next
        point = self.function(x)
        self.evaluations += 1
        self.last, self.last_x = point, x
        if self.best is None or point.value < self.best.value:
            self.best, self.best_x = point, x
        if self.report is not None:
            self.report(self.evaluations, float(self.best.value))
        return point

    def model(self, x: Array) -> _Model:
        """Return the quadratic model at x.

        Its curvature is the point's `curvature` far from the optimum; near it `exact_curvature` or, if there is none,
        `curvature` with secant updates from the last steps.
        """
        if self.modelled is not None and np.array_equal(self.modelled.x, x):
            return self.modelled
        point = self.at(x)
        gradient, hessian = point.gradient, point.curvature
        decrement, step, convex = newton_decrement(gradient, hessian)
        if decrement > LOCAL:
            self.earlier = []
        else:
            exact = point.exact_curvature
            hessian = self._corrected(x, gradient, hessian) if exact is None else exact
            decrement, step, convex = newton_decrement(gradient, hessian)
        self.modelled = _Model(np.array(x), point, hessian, decrement, step, convex)
        point.discard()
        return self.modelled

    def _corrected(self, x: Array, gradient: Array, hessian: Array) -> Array:
        self.earlier = [*self.earlier[-3:], (np.array(x), gradient)]
        for (x0, g0), (x1, g1) in pairwise(self.earlier):
            hessian = secant_update(hessian, x1 - x0, g1 - g0)
        return hessian

    def foreseen(self, model: _Model, tolerance: float) -> bool:
        """Return whether the decrement after the model's step is foreseen to be below the tolerance."""
        if self.ahead is None or self.rate is None or not model.convex:
            return False
        near = self.rate <= FAST and self.following(model) < tolerance
        return near and self.ahead(model.x + model.step)

    def following(self, model: _Model) -> float:
        """Return the decrement that is foreseen after the model's step."""
        return model.decrement * max(self.rate or 0.0, SLOWEST)

    def best_model(self) -> _Model:
        """Return the quadratic model at the best point."""
        return self.model(self.best_x)


def minimise(
    function: Callable[[Array], Any],
    start: Array,
    *,
    tolerance: float = 1e-9,
    negligible: float = 1e-18,
    max_evaluations: int = 500,
    report: Callable[[int, float], None] | None = None,
    ahead: Callable[[Array], bool] | None = None,
    rate: float | None = None,
) -> Optimum:
    """Return the minimum of a smooth function by Newton steps and, where they fail, a trust region.

    Conn, Gould & Toint (2000), Trust-Region Methods, chapter 7, in scipy's implementation.

    Parameters
    ----------
    function : callable
        Argument, shape (size,) → a `Point`.
    start : ndarray, shape (size,)
    tolerance : float
        Stop when the Newton decrement, in the function's own units, is below it; one last Newton step is
        then taken if it does not raise the function beyond rounding.
    negligible : float
        Newton decrement below which no last steps are taken: 1e-18 is 1e-9 standard errors.
    max_evaluations : int
    report : callable, optional
        Called with the number of evaluations and the best value so far.
    ahead : callable, optional
        For functions that take long: says of an argument whether it may be returned without an evaluation there, if
        the ratio of the last two decrements leaves no doubt that the step to it is the last.
    rate : float, optional
        That ratio, if it is known of a function with nearly the same derivatives.

    Raises
    ------
    FloatingPointError
        If the function or its curvature is not finite at the start.

    Examples
    --------
    >>> from types import SimpleNamespace as Point
    >>> def bowl(x):
    ...     curvature = 2 * np.eye(x.size)
    ...     return Point(
    ...         value=x @ x, gradient=2 * x, curvature=curvature, exact_curvature=None, discard=lambda: None
    ...     )
    >>> minimise(bowl, np.array([3.0, 1.0])).reached
    True
    """
    trace = _Trace(function, report, ahead, rate)
    point = trace.at(np.asarray(start, dtype=float))
    if not np.isfinite(point.value):
        raise FloatingPointError("the function is not finite at the start")
    if trace.best_x.size == 0:
        return Optimum(trace.best_x, point, 0.0, trace.evaluations, True)
    if not np.all(np.isfinite(trace.best_model().hessian)):
        raise FloatingPointError("the function's curvature is not finite at the start")
    _newton(trace, tolerance, max_evaluations)
    model = trace.best_model()
    if trace.foreseen(model, tolerance):
        foreseen = trace.following(model)
        return Optimum(model.x + model.step, model.point, foreseen, trace.evaluations, True, ahead=True)
    for _ in range(3):
        if trace.best_model().decrement < tolerance or trace.evaluations >= max_evaluations:
            break
        _trust_region(trace, tolerance, max_evaluations)
    return _polish(trace, tolerance, negligible)


def _newton(trace: _Trace, tolerance: float, max_evaluations: int) -> None:
    """Take full Newton steps as long as each gives at least a fifth of the predicted decrease."""
    model = trace.best_model()
    while model.decrement >= tolerance and trace.evaluations < max_evaluations:
        if trace.foreseen(model, tolerance):
            return
        if not model.convex or float(np.abs(model.step).max()) > _radius(model.x):
            return
        trial = trace.at(model.x + model.step)
        if not model.point.value - trial.value > 0.2 * model.decrement:
            return
        following = trace.best_model()
        trace.rate = following.decrement / model.decrement
        model = following


def _radius(x: Array) -> float:
    return max(1.0, 0.5 * float(np.abs(x).max()))


def _trust_region(trace: _Trace, tolerance: float, max_evaluations: int) -> None:
    def stop(intermediate_result: Any) -> None:
        if trace.evaluations >= max_evaluations or trace.best_model().decrement < tolerance:
            raise StopIteration

    def usable(x: Array) -> bool:
        value = trace.at(x).value
        return bool(np.isfinite(value) and np.all(np.isfinite(trace.model(x).hessian)))

    radius = _radius(trace.best_x)
    try:
        scipy_minimize(
            lambda x: trace.at(x).value,
            trace.best_x,
            jac=lambda x: np.nan_to_num(trace.at(x).gradient) if usable(x) else np.zeros(x.size),
            hess=lambda x: trace.model(x).hessian if usable(x) else np.eye(x.size),
            method="trust-exact",
            callback=stop,
            options={
                "gtol": 0.0,
                "initial_trust_radius": radius,
                "max_trust_radius": max(1e8, 10.0 * radius),
                "maxiter": max_evaluations,
            },
        )
    except UnboundLocalError:  # scipy's error if no shift makes a huge curvature positive definite
        return


def _polish(trace: _Trace, tolerance: float, negligible: float) -> Optimum:
    """Take last full Newton steps, whose decrease is below the rounding error of the value."""
    model = trace.best_model()
    for _ in range(3):
        if not negligible < model.decrement < 1e-4:
            break
        trial = trace.at(model.x + model.step)
        if not trial.value <= model.point.value + 1e-12 * abs(model.point.value) + 1e-12:
            break
        following = trace.model(model.x + model.step)
        if not following.decrement < model.decrement:
            break
        model = following
    reached = bool(model.decrement < max(10 * tolerance, FAINT))
    return Optimum(model.x, model.point, model.decrement, trace.evaluations, reached)
