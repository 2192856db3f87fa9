"""Likelihood profiles: the signed root deviance of each parameter, and profile intervals.

ζ(ψ) = sign(ψ − ψ̂) √(d(ψ) − d(ψ̂)), with d the −2 log-likelihood minimised over all other parameters. The interval of
coverage 1 − α consists of the values with |ζ| ≤ z, the normal quantile at 1 − α/2. As in lme4, the full likelihood is
profiled, also for a REML fit. Bates & Watts (1988), Nonlinear Regression Analysis and Its Applications, section 6.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ConvergenceWarning, ModelError, warn
from mixedfit.core.format import format_by_error, text_columns, wrapped
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level
from mixedfit.core.tables import Table
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.fitting import fit_design
from mixedfit.estimation.parameters import (
    Names,
    Parameter,
    choose,
    interval_table,
    is_identified,
    parameters_of,
    values_of,
)
from mixedfit.estimation.structures import has_structures
from mixedfit.inference.vcov_varpar import standard_errors
from mixedfit.tasks import Pool, pool_of

from .curve import Curve
from .held_natural import natural_value, place_of
from .held_state import State, theta_of
from .tracing import LowerDevianceError, Point, Tracer

__all__ = ["Profile", "profile"]

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Coverages whose limits are computed as points of a profile, without interpolation."""


@dataclass(frozen=True, eq=False)
class Profile(NotebookTable):
    """Likelihood profiles of the parameters of a fit.

    Attributes
    ----------
    curves : dict of str to Curve
        Monotone interpolation of ζ, by the parameter's name in lme4.
    estimates : pandas.Series
        Maximum-likelihood estimates.
    notes : tuple of str
        Parameters without profile, profiles that end early, and other remarks.
    deviance : float
        −2 log-likelihood at the estimates.
    fit : Fit
        The maximum-likelihood fit that was profiled. If `improved`, its deviance is lower than that of the user's fit.
    improved : bool
        Whether profiling found a lower deviance.
    """

    curves: dict[str, Curve]
    estimates: pd.Series[float]
    notes: tuple[str, ...]
    deviance: float
    fit: Fit
    improved: bool
    parameters: tuple[Parameter, ...]

    @lazy
    def table(self) -> pd.DataFrame:
        """A row for each point: parameter, value, zeta, slope (dζ/d value), deviance, and all parameters there."""
        rows = []
        for name, curve in self.curves.items():
            for point in curve.points:
                head = (name, point.value, point.zeta, point.slope, point.deviance)
                rows.append((*head, *self._values(point, name)))
        names = [p.name for p in self.parameters]
        return pd.DataFrame(rows, columns=["parameter", "value", "zeta", "slope", "deviance", *names])

    def _values(self, point: Point, name: str) -> list[float]:
        """Return all parameters at a point of the profile of the parameter `name`."""
        beta = np.full(len(self.fit.coefficient_names), np.nan)
        beta[self.fit.cross.fixed.kept] = point.state.beta
        values = [_value(self.fit, p, point.state, beta) for p in self.parameters]
        return [point.value if p.name == name else v for p, v in zip(self.parameters, values, strict=True)]

    def conf_int(
        self,
        level: float = 0.95,
        parameters: str | Iterable[str] | None = None,
        *,
        names: Names = "lme4",
    ) -> pd.DataFrame:
        """Return profile intervals, columns lower and upper; NaN if a profile ends before the limit.

        Parameters
        ----------
        level : float
            Coverage, between 0 and 1.
        parameters : str or sequence of str, optional
            Names of parameters, as in `MixedResults.conf_int`; all by default.
        names : {"lme4", "long", "words"}
            Names of the rows.
        """
        z = float(ndtri(0.5 + 0.5 * check_level(level)))
        chosen = [self.parameters[i] for i in choose(self.parameters, parameters)]
        unknown = (float("nan"), float("nan"))
        limits = [self.curves[p.name].limits(z) if p.name in self.curves else unknown for p in chosen]
        return interval_table(chosen, limits, names)

    def zeta(self, parameter: str, values: Iterable[float] | None = None) -> pd.Series[float]:
        """Return ζ of one parameter, indexed by value; by default at 101 values between the ends of the profile."""
        curve = self._curve(parameter)
        at = curve.grid(101) if values is None else np.asarray(list(values), dtype=float)
        return pd.Series(curve.zeta(at), index=pd.Index(at, name=parameter), name="zeta")

    def density(self, parameter: str, points: int = 101) -> pd.DataFrame:
        """Return the confidence density φ(ζ) dζ/dψ, columns value and density: that of ψ for a normal ζ."""
        curve = self._curve(parameter)
        at = curve.grid(points)
        return pd.DataFrame({"value": at, "density": curve.density(at)})

    def held(self, parameter: str, value: float) -> pd.Series[float]:
        """Return deviance, ζ and all parameters of a refit with one parameter held at a value.

        Raises
        ------
        ModelError
            If the value lies outside the parameter's range, or no refit converges.
        """
        at = int(choose(self.parameters, parameter)[0])
        chosen, estimate = self.parameters[at], float(self.estimates.iloc[at])
        reason = _reason_without_profile(self.fit, chosen, estimate)
        if reason:
            raise ModelError(f"{chosen.name!r} cannot be held: {reason}.")
        with blas_threads(1):
            tracer = Tracer(self.fit, chosen, estimate, standard_errors(self.fit)[chosen.name])
            problem = tracer.problem
            if not problem.low <= value <= problem.high or (chosen.kind == "sigma" and value == 0):
                raise ModelError(
                    f"{chosen.name} cannot be {value}: its range is from {problem.low:g} to {problem.high:g}."
                )
            point = tracer.solve(float(value))
        if point is None:
            raise ModelError(f"no fit with {chosen.name} = {value:g} converged.")
        index = ["deviance", "zeta", *(p.name for p in self.parameters)]
        values = [point.deviance, point.zeta, *self._values(point, chosen.name)]
        return pd.Series(values, index=index, name=f"{chosen.name} = {value:g}")

    def _curve(self, parameter: str) -> Curve:
        name = self.parameters[int(choose(self.parameters, parameter)[0])].name
        if name not in self.curves:
            raise ModelError(f"{name!r} has no profile: {'; '.join(self.notes) or 'it was not requested'}.")
        return self.curves[name]

    def _cells(self) -> dict[str, list[str]]:
        """Return the printed columns: names, estimates and limits."""
        limits = self.conf_int()
        error = 0.25 * (limits["upper"] - limits["lower"])
        columns = [
            format_by_error(v.tolist(), error) for v in (self.estimates, limits["lower"], limits["upper"])
        ]
        heads = ("", "estimate", "2.5 %", "97.5 %")
        return dict(zip(heads, [[*map(str, limits.index)], *columns], strict=True))

    @property
    def _head(self) -> str:
        return f"Likelihood profiles ({len(self.table)} points), −2 log-likelihood {self.deviance:.4f} at its minimum"

    def _notebook_tables(self) -> list[Table]:
        cells = self._cells()
        rows = zip(*cells.values(), [p.words for p in self.parameters], strict=True)
        return [Table(self._head, (*cells, "meaning"), tuple(rows), 1, self.notes)]

    def __str__(self) -> str:
        cells = self._cells()
        lines = text_columns(list(cells), list(cells.values()), left=1)
        width = max(map(len, lines))
        rows = [f"{row.ljust(width)}  {p.words}" for row, p in zip(lines[1:], self.parameters, strict=True)]
        return "\n".join([self._head, lines[0], *rows, *wrapped(self.notes)])

    __repr__ = __str__


def profile(
    fit: Fit,
    parameters: str | Iterable[str] | None = None,
    *,
    levels: Sequence[float] = LEVELS,
    report: Callable[[str], None] | None = None,
    executor: Any = None,
) -> Profile:
    """Return the likelihood profiles of the parameters of a fit.

    Parameters
    ----------
    fit : Fit
        A REML fit is profiled at its maximum-likelihood estimates.
    parameters : str or sequence of str, optional
        Names of parameters; all by default.
    levels : sequence of float
        Coverages whose limits are computed exactly.
    report : callable, optional
        Function called with a message before each parameter.
    executor : optional
        Dask client or `concurrent.futures.Executor` whose workers compute the profiles, one parameter each.

    Notes
    -----
    If a refit has a lower deviance than the fit, the model is refitted from there and profiled anew.
    """
    targets = sorted(float(ndtri(0.5 + 0.5 * check_level(level))) for level in levels)
    every = parameters_of(fit)
    chosen = [every[i] for i in choose(every, parameters)]
    notes: list[str] = []
    pool = None if executor is None else pool_of(executor)
    with blas_threads(1):
        best = fit
        if fit.reml or not fit.convergence.converged:
            best = fit_design(fit.design, reml=False, start=fit.theta, sigma=fit.held_sigma)
        if fit.reml:
            notes.append("REML fit: profiles are of the likelihood, at its maximum-likelihood estimates.")
        if fit.residual is not None and fit.residual.model.of_fitted:
            notes.append("The fitted values that the variance depends on stay those of the estimates.")
        first = best.evaluation.value if fit.reml else fit.evaluation.value
        best, traced = _traced_at_optimum(best, chosen, targets, notes, report, pool)
    gain = first - best.evaluation.value
    if gain > 1e-6:
        notes.insert(0, f"A deviance lower by {gain:.3g} was found; the profiles are of that better fit.")
        warn(notes[0], ConvergenceWarning)
    return Profile(
        curves={p.name: curve for p, curve in traced.items()},
        estimates=pd.Series(values_of(best, every), index=[p.name for p in every], name="estimate"),
        notes=tuple(notes),
        deviance=best.evaluation.value,
        fit=best,
        improved=gain > 1e-6,
        parameters=every,
    )


def _traced_at_optimum(
    fit: Fit,
    chosen: Sequence[Parameter],
    targets: Sequence[float],
    notes: list[str],
    report: Callable[[str], None] | None,
    pool: Pool | None,
) -> tuple[Fit, dict[Parameter, Curve]]:
    """Return the fit of lowest deviance that profiling finds, and its profiles."""
    for _ in range(4):
        try:
            return fit, _trace_all(fit, chosen, targets, notes, report, pool)
        except LowerDevianceError as found:
            fit = _improved(fit, found.state)
    raise ModelError(
        "profiling found lower deviances again and again: the fit has not converged. Simplify the model."
    )


def _trace_all(
    fit: Fit,
    chosen: Sequence[Parameter],
    targets: Sequence[float],
    notes: list[str],
    report: Callable[[str], None] | None,
    pool: Pool | None,
) -> dict[Parameter, Curve]:
    """Return the profiles of all parameters; after an interrupt those that are complete."""
    errors = standard_errors(fit)
    out: dict[Parameter, Curve] = {}
    values = values_of(fit, chosen)
    reasons = [_reason_without_profile(fit, p, value) for p, value in zip(chosen, values, strict=True)]
    if pool is not None:
        tracers = [
            (p, float(value), errors[p.name])
            for p, value, reason in zip(chosen, values, reasons, strict=True)
            if not reason
        ]
        out = _trace_on_pool(pool, fit, tracers, targets, notes)
        notes += [
            f"{p.name}: no profile, {reason}." for p, reason in zip(chosen, reasons, strict=True) if reason
        ]
        return out
    for number, (parameter, estimate) in enumerate(zip(chosen, values, strict=True)):
        if reasons[number]:
            notes.append(f"{parameter.name}: no profile, {reasons[number]}.")
            continue
        if report is not None:
            report(f"profile of {parameter.name} ({number + 1} of {len(chosen)})")
        try:
            tracer = Tracer(fit, parameter, float(estimate), errors[parameter.name])
            out[parameter] = _traced(tracer, targets, notes)
        except KeyboardInterrupt:
            left = [p.name for p in chosen[number:]]
            were = "was" if len(left) == 1 else "were"
            notes.append(f"Interrupted: {', '.join(left)} {were} not profiled.")
            warn(notes[-1], ConvergenceWarning)
            break
    return out


def _trace_on_pool(
    pool: Pool,
    fit: Fit,
    tracers: Sequence[tuple[Parameter, float, float]],
    targets: Sequence[float],
    notes: list[str],
) -> dict[Parameter, Curve]:
    """Return the profiles of parameters, given with estimates and standard errors, that workers trace."""
    found = dict(pool.mapped(_trace_one, (fit, tuple(targets)), tracers))
    out: dict[Parameter, Curve] = {}
    for number, tracer in enumerate(tracers):
        own = found[number]
        if isinstance(own, State):
            raise LowerDevianceError(own)
        sides, remarks = own
        notes += remarks
        problem = Tracer(fit, *tracer).problem
        points = tuple(replace(point, problem=problem) for point in sides.points)
        out[tracer[0]] = replace(sides, points=points)
    return out


def _trace_one(
    shared: tuple[Fit, tuple[float, ...]], number: int, item: tuple[Parameter, float, float]
) -> State | tuple[Curve, list[str]]:
    """Return the profile of a parameter, with the states of its points, and remarks; or a state of lower deviance."""
    fit, targets = shared
    notes: list[str] = []
    try:
        curve = _traced(Tracer(fit, *item), targets, notes)
    except LowerDevianceError as found:
        return found.state
    nothing: Any = None  # it holds the fit, and is made again
    points = tuple(replace(point, problem=nothing, known=point.state) for point in curve.points)
    return replace(curve, points=points), notes


def _reason_without_profile(fit: Fit, parameter: Parameter, estimate: float) -> str:
    """Return the reason why a parameter has no profile, or an empty string."""
    if parameter.kind == "fixed":
        if parameter.first >= len(fit.design.x_names):
            return "it is a level of a factor that is kept as codes"
        if not fit.kept[parameter.first]:
            return "the coefficient was dropped for rank"
    elif parameter.kind == "residual":
        return "" if np.isfinite(estimate) else "it is not finite"
    elif parameter.kind != "sigma" and has_structures(fit.design) and place_of(fit, parameter) is None:
        return "it is not profiled beside a covariance structure such as ar1"
    elif parameter.place >= 0 and not np.isfinite(estimate):
        return "it is not finite"
    elif not is_identified(fit, parameter):
        return "the data do not tell it from the others"
    elif parameter.kind == "correlation" and np.isnan(estimate):
        return "a standard deviation of 0 leaves the correlation undefined"
    return ""


def _traced(tracer: Tracer, targets: Sequence[float], notes: list[str]) -> Curve:
    """Return the profile of one parameter; profiles that end early are added to the notes."""
    low, high = tracer.side(-1, targets), tracer.side(1, targets)
    for side in (low, high):
        if side.stopped:
            notes.append(f"{tracer.parameter.name}: {side.stopped}.")
    points: list[Point] = [*reversed(low.points), tracer.middle, *high.points]
    return Curve.through(
        points,
        low_end=tracer.problem.low if low.bounded else None,
        high_end=tracer.problem.high if high.bounded else None,
    )


def _improved(fit: Fit, state: State) -> Fit:
    """Return the maximum-likelihood fit with a state of lower deviance as starting point."""
    return fit_design(
        fit.design,
        reml=False,
        start=theta_of(fit, state),
        start_residual=state.residual,
        sigma=fit.held_sigma,
    )


def _value(fit: Fit, parameter: Parameter, state: State, beta: Array) -> float:
    """Return a parameter at a state, with all fixed effects in `beta`."""
    if parameter.kind == "fixed":
        return float(beta[parameter.first])
    if parameter.kind == "sigma":
        return state.sigma
    if parameter.kind == "residual" and fit.residual is not None and state.residual is not None:
        return float(fit.residual.model.natural(state.residual)[parameter.first].value)
    if parameter.place >= 0:
        return natural_value(fit, parameter, state)
    root = inverse(fit.cross.basis[parameter.block]) @ state.lams[parameter.block]
    first, second = root[parameter.first], root[parameter.second]
    if parameter.kind == "sd":
        return float(state.sigma * np.linalg.norm(first))
    product = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second / product) if product > 0 else float("nan")
