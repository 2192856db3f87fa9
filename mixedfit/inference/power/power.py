"""Simulated power for one sample size: responses are drawn, the model is refitted, and the test is carried out.

All draws share one design; only the cross-products with the response are computed anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy.special import ndtr

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.options import check_count
from mixedfit.crossproducts.responses import Responder
from mixedfit.estimation.batch import BatchSearch, batch_search
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.fitting import fit_design
from mixedfit.inference.bootstrap.replicates import (
    FAILED,
    REFIT_ERRORS,
    REGULAR,
    SINGULAR,
    UNDONE,
    Replicates,
    Stopped,
    reason_of,
    refit_block,
    refitted,
    refitted_structure,
    run,
    stoppable,
)
from mixedfit.inference.bootstrap.sources import ResponseSample, Sample, StructuredSample
from mixedfit.inference.ddf import Ddf, Degrees, degrees_of_freedom
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.hypotheses.parse import read_hypotheses
from mixedfit.inference.hypotheses.tests import joint_f_test, t_statistic

from .record import wilson
from .sizes import arms_of, with_levels, with_rows
from .study import AssumedParameters, Study, read_parameters

__all__ = ["SampleSize", "SimulatedTests", "SimulationSetting", "draw_and_test", "resized", "sample_sizes"]

SampleSize: TypeAlias = dict[tuple[str, str], int]
"""Number of levels ("along") or of rows in each level ("within"), by option and column."""


def sample_sizes(study: Study, along: Mapping[str, Any], within: Mapping[str, Any]) -> list[SampleSize]:
    """Return all combinations of the numbers of levels and of rows within levels."""
    grouping = _grouping(study)
    choices = []
    for option, numbers, least in (("along", along, 2), ("within", within, 1)):
        for column, counts in numbers.items():
            if column not in grouping:
                raise ModelError(
                    f"{option}={column!r} is not a grouping factor's column ("
                    f"{', '.join(grouping) or 'there is none'}). {nearest(str(column), grouping)}".rstrip()
                )
            listed = [counts] if isinstance(counts, int | np.integer) else list(counts)
            for count in listed:
                check_count(f"{option}[{column!r}]", count, least)
            choices.append([((option, str(column)), int(count)) for count in listed])
    return [dict(combination) for combination in product(*choices)]


def _grouping(study: Study) -> list[str]:
    """Return the columns of the grouping factors, and of the groups of correlated rows."""
    names = [c for t in study.design.formula.random for c in t.group.columns]
    model = study.design.residual
    own = None if model is None else model.structure.correlation
    return list(dict.fromkeys([*names, *(() if own is None else own.group_columns)]))


def resized(study: Study, size: SampleSize) -> Study:
    """Return the study with another sample size."""
    if not size:
        return study
    frame = study.frame
    for name, value in study.options.items():
        if name in ("weights", "offset") and value is not None and not isinstance(value, str):
            raise ModelError(
                f"with along= or within=, give {name} as the name of a column, so that it is copied with its rows."
            )
    # rows first: they are copied with their level
    for (option, column), count in sorted(size.items(), key=lambda item: item[0][0] != "within"):
        if option == "within":
            _check_places(study, frame, column, count)
            frame = with_rows(frame, column, count, arms_of(study, frame, column, within=True))
        else:
            arms = arms_of(study, frame, column, within=False)
            frame = with_levels(frame, column, count, _grouping(study), arms)
    return study.on(frame)


def _check_places(study: Study, frame: pd.DataFrame, column: str, count: int) -> None:
    """Raise `ModelError` if copies of rows would put two of them at one time of a residual structure."""
    model = study.design.residual
    own = None if model is None else model.structure.correlation
    if own is None or not own.place or getattr(own, "nugget", False):
        return
    fewest = int(frame.groupby(column, observed=True).size().min())
    if count > fewest:
        times = " and ".join(own.place)
        raise ModelError(
            f"within={{{column!r}: {count}}} copies rows of a level of {column!r}, some of which have {fewest}, and "
            f"{own} allows one row at each {times}. Ask for at most {fewest}, give data with {count} values of {times} "
            "in each level, or resize along= instead."
        )


@dataclass(frozen=True, eq=False)
class SimulationSetting:
    """A study of one sample size, its parameters and the test.

    Attributes
    ----------
    fit : Fit
        A fit to one draw; its design and bases are those of all draws.
    parameters : AssumedParameters
    L, r : ndarray, shapes (q, p) and (q,)
    degrees : Degrees
    """

    fit: Fit
    parameters: AssumedParameters
    L: Array
    r: Array
    degrees: Degrees

    @classmethod
    def of(cls, study: Study, params: Any, test: Any, *, ddf: Ddf | None, reml: bool) -> SimulationSetting:
        """Return the setting of a test, with a fit to one simulated response."""
        parameters = read_parameters(study.design, params)
        y = parameters.draw(study.design, 1, np.random.default_rng(1))[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = fit_design(study.design.with_response(y), reml=reml, start_residual=parameters.residual)
        start = replace(fit, theta=parameters.theta(study.design))
        L, r = _hypotheses(fit, test)
        return cls(start, parameters, L, r, degrees_of_freedom(fit, ddf))

    @property
    def single(self) -> bool:
        """Whether one coefficient is tested by the normal distribution."""
        plain = self.degrees.method == "normal" and self.fit.residual is None
        return plain and len(self.L) == 1 and np.count_nonzero(self.L) == 1


def _hypotheses(fit: Fit, test: Any) -> tuple[Array, Array]:
    """Return L and r of a test."""
    L, r, _ = read_hypotheses(fit, test)
    if not len(L) or not ColumnSpace(fit).estimable(L).all():
        raise ModelError(
            f"the design does not determine the test {test!r}: columns of X are linear combinations of others. Test "
            "another contrast, or add cells to the design."
        )
    return L, r


@dataclass(frozen=True, eq=False)
class SimulatedTests:
    """Results of the tests for one sample size.

    Attributes
    ----------
    p_values, estimates : ndarray, shape (n,)
    status : ndarray of int64, shape (n,)
        As in `Replicates`.
    reasons : dict of int to str
    rows : int
    finished : bool
    """

    p_values: Array
    estimates: Array
    status: IntArray
    reasons: dict[int, str]
    rows: int
    finished: bool = False

    @property
    def done(self) -> IntArray:
        """Positions of the data sets drawn."""
        return np.flatnonzero(self.status)

    def row(self, size: Mapping[str, int], alpha: float) -> dict[str, float]:
        """Return the row of the table of powers."""
        known = self.p_values[np.isfinite(self.p_values)]
        rejected = int(np.sum(known <= alpha))
        lower, upper = wilson(rejected, known.size)
        return {
            **size,
            "rows": self.rows,
            "power": rejected / known.size if known.size else float("nan"),
            "lower": lower,
            "upper": upper,
            "n": int(known.size),
            "singular": int(np.sum(self.status == SINGULAR)),
            "failed": int(np.sum(self.status == FAILED)),
        }


def draw_and_test(
    setting: SimulationSetting,
    n: int,
    *,
    seed: np.random.SeedSequence,
    n_jobs: int,
    tick: Callable[[int], None],
    executor: Any = None,
) -> SimulatedTests:
    """Return the tests of n simulated data sets; `tick` is called with the number done."""
    task = _Tests(setting)
    out = task.empty(n)
    finished = run(
        task,
        out,
        n,
        rows=out.rows,
        seed=seed,
        n_jobs=n_jobs,
        tick=lambda: tick(out.done.size),
        executor=executor,
    )
    return replace(out, finished=finished)


class _Tests:
    """Tests of simulated data sets, as `Task`.

    Parameters
    ----------
    setting : SimulationSetting
    """

    def __init__(self, setting: SimulationSetting) -> None:
        self.setting, self.design = setting, setting.fit.design
        self.responder = None if setting.fit.residual else Responder(setting.fit.cross, self.design)
        self.search = batch_search(setting.fit) if setting.single else None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Tests, (self.setting,)

    def empty(self, count: int) -> SimulatedTests:
        """Return a record for some data sets."""
        p_values, estimates = np.full((2, count), np.nan)
        return SimulatedTests(p_values, estimates, np.zeros(count, np.int64), {}, self.design.n)

    def fill(
        self, rng: np.random.Generator, these: range, out: SimulatedTests, stop: Callable[[], bool]
    ) -> None:
        """Fill in a range of data sets."""
        y = self.setting.parameters.draw(self.design, len(these), rng)
        if self.responder is None:
            structured = StructuredSample(self.design, y)
            for r, i in stoppable(these, stop):
                _test_one(self.setting, structured, r, i, out, stop)
            return
        sample = ResponseSample(self.design, y, self.responder.products(y))
        if self.search is not None:
            _test_block(self.setting, self.search, sample, these, out, stop)
        for r, i in stoppable(these, stop):
            if out.status[i] == UNDONE:
                _test_one(self.setting, sample, r, i, out, stop)


def _test_block(
    setting: SimulationSetting,
    search: BatchSearch,
    sample: ResponseSample,
    these: range,
    out: SimulatedTests,
    stop: Callable[[], bool],
) -> None:
    """Test one coefficient by the normal distribution, in the data sets for which the compiled search converges."""
    drawn = Replicates.empty(len(these), setting.fit, 0)
    refit_block(search, sample, range(len(these)), drawn, stop)
    settled = drawn.done()
    here = these.start + settled
    at, weight = int(np.flatnonzero(setting.L[0])[0]), float(setting.L[0].sum())
    out.estimates[here] = weight * drawn.beta[settled, at]
    gaps = (out.estimates[here] - setting.r[0]) / (abs(weight) * drawn.errors[settled, at])
    out.p_values[here] = 2.0 * ndtr(-np.abs(gaps))
    out.status[here] = drawn.status[settled]
    out.reasons.update({these.start + r: reason for r, reason in drawn.reasons.items()})


def _test_one(
    setting: SimulationSetting,
    sample: Sample,
    r: int,
    i: int,
    out: SimulatedTests,
    stop: Callable[[], bool],
) -> None:
    """Fit and test data set i, the r-th of its block; it stays undone if `stop` returns True."""
    try:
        refit = _refit(setting, sample, r, stop)
        out.estimates[i], out.p_values[i] = _test(setting, refit)
        out.status[i] = SINGULAR if refit.convergence.singular else REGULAR
    except Stopped:
        return
    except REFIT_ERRORS as error:
        out.reasons[i], out.status[i] = reason_of(error), FAILED


def _refit(setting: SimulationSetting, sample: Sample, r: int, stop: Callable[[], bool]) -> Fit:
    """Return the fit to a data set, by a search from the assumed parameters."""
    if setting.fit.residual is None:
        return refitted(setting.fit, sample.cross_products(r), sample.design(r), stop)
    return refitted_structure(setting.fit, sample.design(r), stop, setting.parameters.residual)


def _test(setting: SimulationSetting, refit: Fit) -> tuple[float, float]:
    """Return the estimate of the (first) contrast and the p-value of the test."""
    degrees, L, r = Degrees(refit, setting.degrees.method), setting.L, setting.r
    if len(L) > 1:
        kept = refit.kept.astype(bool)
        return float(L[0, kept] @ refit.beta[kept]), joint_f_test(degrees, L, r).p_value
    estimate, *_, p_value = t_statistic(degrees, L[0], float(r[0]))
    return estimate, p_value
