"""Points of a profile: warm-started refits with one parameter held, at the values where ζ reaches its targets.

ζ(ψ) = sign(ψ − ψ̂) √(d(ψ) − d(ψ̂)), Bates & Watts (1988), Nonlinear Regression Analysis, section 6.1. The envelope
theorem gives its slope, ζ' = d'(ψ) / 2ζ. A target takes two or three refits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import inverse
from mixedfit.design.columns import effect_columns
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.optimize import Optimum
from mixedfit.estimation.parameters import Parameter
from mixedfit.estimation.residual_verdict import NEAR, limit_side
from mixedfit.inference.wald import bounded_limit, wald_limit

from .held_state import Held, State, state_of_fit, structures_of
from .held_variance import HeldCorrelation
from .held_whitened import HeldWhitened, held_problem, natural_residual

__all__ = ["LowerDevianceError", "Point", "Side", "Tracer"]

TOLERANCE = 1e-6
"""Newton decrement at which a refit stops; it is subtracted from the deviance, with an error of its 3/2 power left."""

ON_TARGET = 1e-4
"""Distance of ζ from its target within which the rest is interpolated along the slope."""

LOWER = 1e-5
"""Decrease of the deviance that counts as a better fit."""

OPEN = ("sigma", "range", "smoothness", "residual")
"""Kinds of parameters that cannot be held at the end of their interval."""

MOST_REFITS = 25
"""Largest number of refits for one target."""


@dataclass(frozen=True, eq=False)
class Point:
    """One point of a profile.

    Attributes
    ----------
    value : float
        Value of the parameter that is held.
    zeta, slope : float
        ζ and dζ/dψ.
    deviance : float
        −2 log-likelihood, minimised over the other parameters.
    x : ndarray or None
        The other parameters at the minimum.
    problem : Held
    known : State or None
        The state, if it does not follow from x.
    """

    value: float
    zeta: float
    slope: float
    deviance: float
    x: Array | None
    problem: Held
    known: State | None = None

    @lazy
    def state(self) -> State:
        """Values of all parameters."""
        if self.known is not None:
            return self.known
        assert self.x is not None
        return self.problem.state(self.value, self.x)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The points on one side of the estimate, outwards.

    Attributes
    ----------
    points : tuple of Point
    bounded : bool
        Whether the parameter's range ends before ζ reaches the last target.
    stopped : str
        Reason if the points end early for another cause; else empty.
    """

    points: tuple[Point, ...]
    bounded: bool
    stopped: str


class LowerDevianceError(Exception):
    """A refit has a lower deviance than the fit, which therefore is not at its optimum.

    Attributes
    ----------
    state : State
        Parameters of the refit.
    """

    def __init__(self, state: State) -> None:
        super().__init__("a lower deviance was found")
        self.state = state


class Tracer:
    """The profile of one parameter of a maximum-likelihood fit.

    Parameters
    ----------
    fit : Fit
    parameter : Parameter
    estimate : float
    error : float
        Its standard error from the curvature; NaN on the boundary.
    """

    def __init__(self, fit: Fit, parameter: Parameter, estimate: float, error: float) -> None:
        self.fit, self.parameter = fit, parameter
        self.problem: Held = held_problem(fit, parameter)
        self.floor = fit.evaluation.value
        state = state_of_fit(fit)
        known = bool(np.isfinite(error) and error > 0)
        self.error = error if known else self._guessed_error()
        start = self.problem.start(state, estimate)
        slope = 1.0 / error if known else float("nan")
        self.middle = Point(estimate, 0.0, slope, self.floor, start, self.problem, state)

    def _guessed_error(self) -> float:
        """Return an approximate standard error of a parameter on its boundary."""
        if self.parameter.kind == "correlation":
            return 0.3
        if self.parameter.kind == "residual":
            own = natural_residual(self.fit, self.parameter)
            width = own.upper - own.lower
            return 0.1 * width if np.isfinite(width) else 0.3 * max(abs(own.value), 0.1)
        if self.parameter.kind in ("range", "decay", "smoothness"):
            part = next(
                p for p in self.fit.design.blocks[self.parameter.block].structure.parts if not p.linear
            )
            unit = float(getattr(part, "unit", 1.0))
            return 0.1 / unit if self.parameter.kind == "decay" else unit
        block = self.fit.design.blocks[self.parameter.block]
        column = effect_columns(self.fit.design, self.parameter.block)[:, self.parameter.first]
        size = float(np.linalg.norm(column) / np.sqrt(self.fit.cross.n))
        rows = self.fit.cross.n / block.levels
        return float(0.5 * self.fit.sigma / (max(size, 1e-12) * rows**0.5 * block.levels**0.25))

    def side(self, sign: int, targets: Sequence[float]) -> Side:
        """Return the points at which ±ζ reaches each of the ascending targets."""
        end = self.problem.high if sign > 0 else self.problem.low
        points: list[Point] = [self.middle]
        if self.middle.value == end or self._stands_at(end):
            return Side((), True, "")
        for target in targets:
            if target >= self._plateau:
                last = self._plateau_point(end)
                return Side((*points[1:], *([last] if last is not None else [])), True, "")
            found, refits = self._reach(sign, target, points, end)
            points += [p for p in refits if p not in points]
            points.sort(key=lambda p: sign * p.value)
            if found is None:
                last = points[-1]
                if (last.value == end and np.isfinite(last.zeta)) or self._levels_off(points):
                    return Side(tuple(points[1:]), True, "")
                if (near := self._near_end(end)) is not None and sign * near.zeta < target:
                    return Side((*points[1:], near), True, "")
                return Side(tuple(points[1:]), False, f"no refit reached ζ = {sign * target:.3g}")
        return Side(tuple(points[1:]), False, "")

    def _near_end(self, end: float) -> Point | None:
        """Return the point next to a finite end of the range of a residual parameter, where it cannot be held."""
        if self.parameter.kind != "residual" or not np.isfinite(end):
            return None
        width = self.problem.high - self.problem.low
        step = NEAR * (width if np.isfinite(width) else 1.0)
        return self.solve(end + step if end == self.problem.low else end - step)

    def _stands_at(self, end: float) -> bool:
        """Return whether a residual parameter is estimated at an open end of its range."""
        if self.parameter.kind != "residual":
            return False
        side = limit_side(natural_residual(self.fit, self.parameter))
        return side == (1 if end == self.problem.high else -1)

    @property
    def _is_open(self) -> bool:
        """Whether ζ may approach a limit at an end of the interval that cannot be reached: σ → 0 or a range → ∞.

        Only beside structures that contain effects of single rows does the likelihood have a limit as σ → 0.
        """
        of_residual = self.parameter.kind == "residual"
        return of_residual or (self.parameter.kind in OPEN and self.middle.state.theta is not None)

    def _way(self, value: float) -> float:
        """Return a value over the estimate; between two limits the odds of its place over those of the estimate's."""
        if self.parameter.kind != "residual":
            return value / self.middle.value
        low, high = self.problem.low, self.problem.high
        stands = limit_side(natural_residual(self.fit, self.parameter)) != 0
        if not np.isfinite(low) or (stands and np.isfinite(high)):
            return 1.0
        if stands:
            return 1.0 + (value - low) / (10.0 * self.error)
        if not np.isfinite(high):
            return (value - low) / (self.middle.value - low)
        odds = [(v - low) / max(high - v, 1e-300) for v in (value, self.middle.value)]
        return odds[0] / odds[1]

    def _levels_off(self, points: Sequence[Point]) -> bool:
        """Return whether ζ approaches a limit at an open end."""
        if not self._is_open or len(points) < 4:
            return False
        last, before = points[-1], points[-3]
        far = not 0.1 < self._way(last.value) < 10.0
        return bool(far and abs(last.zeta - before.zeta) < 0.02 * max(abs(last.zeta), 0.1))

    def _reach(
        self, sign: int, target: float, known: Sequence[Point], end: float
    ) -> tuple[Point | None, list[Point]]:
        """Return the point on target, or None, and all points that were computed."""
        inside = max((p for p in known if sign * p.zeta < target), key=lambda p: sign * p.value)
        beyond = [p for p in known if sign * p.zeta > target]
        outside = min(beyond, key=lambda p: sign * p.value) if beyond else None
        refits: list[Point] = []
        trail = list(known)
        value = self._guess(sign, target, trail, inside, outside, end)
        for _ in range(MOST_REFITS):
            if self._is_open and not 0.01 < self._way(value) < 1e4:
                return None, refits
            point = self.solve(value, trail)
            if point is None:
                value = 0.5 * (value + inside.value)
                if abs(value - inside.value) < 1e-6 * self.error:
                    return None, refits
                outside = None
                continue
            if abs(sign * point.zeta - target) < ON_TARGET:
                point = self._lower_minimum(point)
            refits.append(point)
            trail.append(point)
            gap = sign * point.zeta - target
            if abs(gap) < ON_TARGET:
                return point, refits
            if gap < 0:
                if value == end:
                    return None, refits
                inside = point
            else:
                outside = point
            if outside is not None and abs(outside.value - inside.value) < 1e-10 * self.error:
                return point, refits
            value = self._guess(sign, target, trail, inside, outside, end)
        return None, refits

    def _lower_minimum(self, point: Point) -> Point:
        """Return the point, or a lower minimum at the same value that a search from uncorrelated effects finds."""
        diagonal = all(structure.invariance == "diagonal" for structure in structures_of(self.fit))
        if diagonal or point.x is None or point.state.theta is not None:
            return point
        bases = self.fit.cross.basis
        deviations = [
            np.linalg.norm(inverse(basis) @ lam, axis=1)
            for basis, lam in zip(bases, point.state.lams, strict=True)
        ]
        lams = tuple(basis * sds for basis, sds in zip(bases, deviations, strict=True))
        start = self.problem.start(replace(point.state, lams=lams), point.value)
        optimum = self._minimum(self.problem, point.value, start)
        if optimum is None or optimum.point.value > point.deviance - 1e-6:
            return point
        return self._valid_point(point.value, optimum) or point

    def _guess(
        self,
        sign: int,
        target: float,
        trail: Sequence[Point],
        inside: Point,
        outside: Point | None,
        end: float,
    ) -> float:
        """Return the next value: linear extrapolation from the last point to the target, kept inside the bracket."""
        last = trail[-1]
        value = float("nan")
        if last is self.middle:
            value = self._first_guess(sign * target)
        elif np.isfinite(last.slope) and last.slope > 0:
            value = last.value + (sign * target - last.zeta) / last.slope
        if outside is not None:
            low, high = sorted((inside.value, outside.value))
            if not low < value < high:
                share = (target - sign * inside.zeta) / (sign * (outside.zeta - inside.zeta))
                value = inside.value + float(np.clip(share, 0.1, 0.9)) * (outside.value - inside.value)
            return value
        reach = max(2.0 * abs(inside.value - self.middle.value), 2.0 * self.error * max(target, 0.5))
        if not np.isfinite(value) or sign * (value - inside.value) <= 0:
            value = inside.value + sign * 0.5 * reach
        value = inside.value + sign * min(sign * (value - inside.value), reach)
        if sign * value >= sign * end:
            value = 0.5 * (inside.value + end) if self.parameter.kind in OPEN else end
        return float(value)

    def _first_guess(self, zeta: float) -> float:
        """Return the Wald limit at ζ, on the scale of the parameter itself near its boundary."""
        kind, at = self.parameter.kind, self.middle.value
        if kind == "residual":
            own = natural_residual(self.fit, self.parameter)
            return at + zeta * self.error if limit_side(own) else bounded_limit(own, self.error, zeta)
        inside = abs(at) < 1.0 if kind == "correlation" else at > self.error
        return wald_limit(kind if inside else "fixed", at, self.error, zeta)

    def solve(self, value: float, trail: Sequence[Point] = ()) -> Point | None:
        """Return the point at a value, or None if no refit converges; `trail` holds points to start from."""
        trail = trail or [self.middle]
        for start in self._starts(value, trail):
            optimum = self._minimum(self.problem, value, start)
            if optimum is not None:
                return self._valid_point(value, optimum)
        return None

    def _valid_point(self, value: float, optimum: Optimum) -> Point | None:
        """Return the point of a minimum, or for a correlation its plateau if that is lower."""
        own = self._as_correlation
        if own is not None:
            deviance = optimum.point.value - optimum.decrement
            plateau = np.inf if self._zero_minimum is None else self._zero_minimum[0]
            if own.is_reversed(value, optimum.x) or plateau < deviance - 1e-9:
                return self._plateau_point(value)
        return self._minimum_point(value, optimum)

    @property
    def _as_correlation(self) -> HeldCorrelation | HeldWhitened | None:
        """The problem, if a correlation is held that a standard deviation of 0 leaves undefined."""
        own = self.problem
        if isinstance(own, HeldWhitened):
            return own if own.is_correlation else None
        return own if isinstance(own, HeldCorrelation) else None

    @lazy
    def _plateau(self) -> float:
        """Largest |ζ| of a correlation: the deviance with a standard deviation at 0 is the same for all its values."""
        if self._as_correlation is None or self._zero_minimum is None:
            return float("inf")
        return float(np.sqrt(max(self._zero_minimum[0] - self.floor, 0.0)))

    def _starts(self, value: float, trail: Sequence[Point]) -> Iterator[Array]:
        """Yield starts of the search: extrapolated from two points, at the nearest point, at the estimate."""
        near = sorted((p for p in trail if p.x is not None), key=lambda p: abs(p.value - value))
        ends = (self.problem.low, self.problem.high)
        inside = [p for p in near if p.value not in ends]
        if inside and value not in ends:
            yield self.problem.lifted(value, _extrapolated(inside, value))
        for point in [*near[:1], self.middle]:
            yield self.problem.start(point.state, value)

    def _plateau_point(self, value: float) -> Point | None:
        """Return the point of a correlation with one of its standard deviations at 0; None if there is none."""
        if self._zero_minimum is None:
            return None
        deviance, state = self._zero_minimum
        return self._point(value, deviance, None, state)

    @lazy
    def _zero_minimum(self) -> tuple[float, State] | None:
        """Deviance and state with one of a correlation's standard deviations at 0; None if no search converges."""
        minima: list[tuple[float, State]] = []
        for effect in (self.parameter.first, self.parameter.second):
            problem = held_problem(self.fit, replace(self.parameter, kind="sd", first=effect, second=effect))
            optimum = self._minimum(problem, 0.0, problem.start(self.middle.state, 0.0))
            if optimum is not None:
                minima.append((optimum.point.value - optimum.decrement, problem.state(0.0, optimum.x)))
        return min(minima, key=lambda minimum: minimum[0], default=None)

    def _minimum(self, problem: Held, value: float, start: Array) -> Optimum | None:
        """Return the minimum over the other parameters, or None if the search does not converge."""
        try:
            optimum = problem.minimum(value, start, TOLERANCE)
        except FloatingPointError:
            return None
        return optimum if optimum.reached and np.isfinite(optimum.point.value) else None

    def _minimum_point(self, value: float, optimum: Optimum) -> Point:
        deviance = float(optimum.point.value - optimum.decrement)
        point = self._point(value, deviance, optimum.x, None)
        slope = float("nan")
        if point.zeta != 0.0:
            slope = self.problem.slope(value, optimum.x) / (2.0 * point.zeta)
        return replace(point, slope=slope)

    def _point(self, value: float, deviance: float, x: Array | None, known: State | None) -> Point:
        zeta = float(np.sqrt(max(deviance - self.floor, 0.0))) * (1 if value > self.middle.value else -1)
        point = Point(value, zeta, float("nan"), deviance, x, self.problem, known)
        if deviance < self.floor - LOWER:
            raise LowerDevianceError(point.state)
        return point


def _extrapolated(near: Sequence[Point], value: float) -> Array:
    """Return the start of a search, extrapolated from the two nearest points."""
    one = near[0]
    assert one.x is not None
    for other in near[1:]:
        if other.x is not None and other.x.shape == one.x.shape and other.value != one.value:
            share = float(np.clip((value - one.value) / (one.value - other.value), -1.5, 1.5))
            return np.asarray(one.x + share * (one.x - other.x))
    return one.x
