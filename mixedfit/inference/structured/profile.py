"""Profile likelihood intervals of residual parameters.

A parameter is held and all others maximise the likelihood; the limits are where −2 log-likelihood has risen by the
quantile of chi-square on one degree of freedom. REML fits are profiled at their maximum-likelihood estimates, as
others are. Parameters for people that depend on one parameter of the search have the limits of that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtri

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import blas_threads
from mixedfit.core.options import check_level
from mixedfit.estimation.bfgs import minimise_bfgs
from mixedfit.estimation.estimate import Control
from mixedfit.estimation.fit import Fit, fit_design
from mixedfit.estimation.parameters import Names, Parameter, choose, interval_table, parameters_of
from mixedfit.estimation.whitening import WhitenedPoint, WhitenedSearch

from .standard_errors import structured_vcov

__all__ = ["residual_profile"]

FARTHEST = 64.0
"""Distance in standard errors up to which a limit is searched; beyond, the interval is open."""


def residual_profile(
    fit: Fit, level: float, parameters: str | Iterable[str] | None, names: Names
) -> pd.DataFrame:
    """Return profile intervals of residual parameters, columns lower and upper.

    Raises
    ------
    ModelError
        If a parameter is not of the residual structure, or depends on several parameters of the search.
    """
    cut = float(ndtri(0.5 + 0.5 * check_level(level))) ** 2
    every = parameters_of(fit)
    wanted = [p.name for p in every if p.kind == "residual"] if parameters is None else parameters
    chosen = [every[i] for i in choose(every, wanted)]
    other = [p.words for p in chosen if p.kind != "residual"]
    if other:
        raise ModelError(
            f"profiles of {other[0]} are not available yet for models with a residual structure. Give parameters= with "
            "names of residual parameters, or take Wald intervals (method='wald', delta=True)."
        )
    best = fit_design(fit.design, reml=False, start=fit.theta, sigma=fit.held_sigma) if fit.reml else fit
    errors = np.sqrt(np.diag(structured_vcov(best)))[-_count(best) :] if chosen else np.zeros(0)
    with blas_threads(1):
        limits = [_limits(best, p, float(errors[p.first]), cut) for p in chosen]
    return interval_table(chosen, limits, names)


def _count(fit: Fit) -> int:
    return sum(p.kind == "residual" for p in parameters_of(fit))


def _limits(fit: Fit, parameter: Parameter, error: float, cut: float) -> tuple[float, float]:
    assert fit.residual is not None
    model, x = fit.residual.model, fit.residual.x
    slopes = model.natural_slopes(x)[parameter.first]
    at = int(np.abs(slopes).argmax())
    if np.sum(np.abs(slopes) > 1e-7 * np.abs(slopes).max()) > 1:
        raise ModelError(
            f"the profile of {parameter.name!r} is not available yet: it depends on several parameters of the search. "
            "Take Wald intervals (method='wald', delta=True)."
        )
    held = _Held(fit, at)
    step = error / abs(float(slopes[at])) if np.isfinite(error) and error > 0 else 0.5
    ends = [held.limit(sign * step, cut) for sign in (-1.0, 1.0)]
    values = []
    for end in ends:
        moved = x.copy()
        moved[at] = end
        values.append(float(model.natural(moved)[parameter.first].value))
    return min(values), max(values)


@dataclass(frozen=True, eq=False)
class _Point:
    value: float
    gradient: Array
    point: WhitenedPoint


class _Held:
    """The likelihood with one residual parameter held."""

    def __init__(self, fit: Fit, at: int) -> None:
        assert fit.residual is not None
        model, self.x = fit.residual.model, fit.residual.x
        self.search = WhitenedSearch(fit.design, model, False, fit.held_sigma, Control())
        self.at, self.free = at, np.delete(np.arange(self.x.size), at)
        self.lowest = self.search(self.x).value
        self.warm = self.x[self.free]

    def deviance(self, value: float) -> float:
        """Return the lowest −2 log-likelihood with the parameter at a value."""
        self.search.lowest = np.inf

        def function(free: Array) -> _Point:
            x = np.empty_like(self.x)
            x[self.at], x[self.free] = value, free
            point = self.search(x)
            gradient = point.gradient[self.free] if np.isfinite(point.value) else np.zeros(free.size)
            return _Point(point.value, gradient, point)

        try:
            found = minimise_bfgs(function, self.warm, scale=2.0 / self.search.raw.n, tolerance=1e-9)
        except FloatingPointError:
            return np.inf
        self.warm = found.x
        return found.point.value

    def limit(self, step: float, cut: float) -> float:
        """Return where the deviance has risen by `cut`, in the direction of a step; infinite if it does not."""
        self.warm = self.x[self.free]
        inside, distance = 0.0, 1.0
        while distance <= FARTHEST:
            if self.deviance(self.x[self.at] + distance * step) - self.lowest > cut:
                return float(self.x[self.at] + step * self._root(inside, distance, step, cut))
            inside, distance = distance, 2.0 * distance
        return float(np.sign(step) * np.inf)

    def _root(self, inside: float, outside: float, step: float, cut: float) -> float:
        def rise(distance: float) -> float:
            return float(
                np.clip(self.deviance(self.x[self.at] + distance * step) - self.lowest - cut, -1e9, 1e9)
            )

        return float(brentq(rise, max(inside, 1e-6), outside, xtol=1e-5, rtol=1e-6))
