"""Power by simulation: how often a test rejects in data drawn from a model with given parameters.

One design serves all draws of a setting: only products with the response are new.
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
from mixedfit.core.distributions import t_probability
from mixedfit.core.errors import MixedfitError, ModelError, nearest
from mixedfit.core.options import check_count
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence
from mixedfit.crossproducts.responses import Responder
from mixedfit.estimation.batch import BatchSearch, batch_search
from mixedfit.estimation.fit import Fit, fit_design
from mixedfit.inference.bootstrap.bootstrap import warn_stopped
from mixedfit.inference.bootstrap.replicates import (
    FAILED,
    REGULAR,
    SINGULAR,
    UNDONE,
    Replicates,
    count_reasons,
    reason_of,
    refit_block,
    refitted,
    run,
    stoppable,
)
from mixedfit.inference.bootstrap.sources import ResponseSample
from mixedfit.inference.ddf import Ddf, Degrees, degrees_of_freedom
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.hypotheses.tests import joint, read_hypotheses

from .record import Power, wilson
from .study import Plan, Truth, read_truth, with_levels, with_rows

__all__ = ["power_of"]

_Size: TypeAlias = dict[tuple[str, str], int]
"""By option and column: levels ("along") or rows of each level ("within")."""


def power_of(
    plan: Plan,
    params: Any,
    test: Any,
    *,
    alpha: float,
    n: int,
    ddf: Ddf | None,
    reml: bool,
    seed: object,
    along: Mapping[str, Any] | None,
    within: Mapping[str, Any] | None,
    n_jobs: int,
    progress: bool | None,
) -> Power:
    """Return the power of a test for every size of a study; see `mixedfit.power`."""
    check_count("n", n, 1)
    if not (isinstance(alpha, int | float) and 0.0 < alpha <= 0.5):
        raise ModelError(f"alpha is {alpha!r}; expected a level of tests between 0 and 0.5, such as 0.05.")
    sizes = _sizes(plan, along or {}, within or {})
    sequence = seed_sequence(seed)
    outcomes = []
    with Progress(progress) as shown:
        for number, size in enumerate(sizes):

            def tick(done: int, number: int = number) -> None:
                shown.count(number * n + done, n * len(sizes), "data sets")

            setting = _setting(_resized(plan, size), params, test, ddf=ddf, reml=reml)
            # one seed for all sizes would make their errors go together
            child = np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, number))
            outcomes.append(_draw_and_test(setting, n, seed=child, n_jobs=n_jobs, tick=tick))
            if not outcomes[-1].finished:
                warn_stopped(int(outcomes[-1].done.size), n)
                break
    rows = [outcome.row(_shown(size), alpha) for size, outcome in zip(sizes, outcomes, strict=False)]
    labels = [", ".join(f"{k} = {v}" for k, v in _shown(s).items()) or "p_value" for s in sizes[: len(rows)]]
    return Power(
        table=pd.DataFrame(rows),
        p_values=pd.DataFrame({k: o.p_values for k, o in zip(labels, outcomes, strict=True)}),
        estimates=pd.DataFrame({k: o.estimates for k, o in zip(labels, outcomes, strict=True)}),
        test=_written(test),
        formula=plan.design.formula.source,
        alpha=float(alpha),
        method=setting.degrees.name,
        requested=n,
        reml=reml,
        seed=sequence.entropy,
        reasons=count_reasons(dict(enumerate(r for o in outcomes for r in o.reasons.values()))),
    )


def _written(test: Any) -> str:
    if isinstance(test, str):
        return test if "=" in test else f"{test} = 0"
    return str(test) if isinstance(test, Mapping | list | tuple) else "of a matrix of contrasts"


def _sizes(plan: Plan, along: Mapping[str, Any], within: Mapping[str, Any]) -> list[_Size]:
    """Return numbers of levels and of rows in them, one mapping for each row of the table."""
    grouping = _grouping(plan)
    choices = []
    for option, wanted, least in (("along", along, 2), ("within", within, 1)):
        for column, counts in wanted.items():
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


def _shown(size: _Size) -> dict[str, int]:
    """Return the sizes under the names that the table has for them."""
    return {c if option == "along" else f"rows per {c}": count for (option, c), count in size.items()}


def _grouping(plan: Plan) -> list[str]:
    return list(dict.fromkeys(c for t in plan.design.formula.random for c in t.group.columns))


def _resized(plan: Plan, size: _Size) -> Plan:
    if not size:
        return plan
    frame = plan.frame
    for name, value in plan.options.items():
        if name in ("weights", "offset") and value is not None and not isinstance(value, str):
            raise ModelError(
                f"with along= or within=, give {name} as the name of a column, so that it goes with its rows."
            )
    for (option, column), count in size.items():  # rows first: they are copied with their levels
        if option == "within":
            frame = with_rows(frame, column, count)
    for (option, column), count in size.items():
        if option == "along":
            frame = with_levels(frame, column, count, _grouping(plan))
    return plan.on(frame)


@dataclass(frozen=True, eq=False)
class _Setting:
    """A size of the study, ready to be drawn.

    Attributes
    ----------
    fit : Fit
        A fit to one draw, whose design and bases serve all.
    truth : Truth
    L, r : ndarray, shapes (q, p) and (q,)
    degrees : Degrees
    """

    fit: Fit
    truth: Truth
    L: Array
    r: Array
    degrees: Degrees

    @property
    def single(self) -> bool:
        """Whether the test is of one coefficient by the normal distribution."""
        return self.degrees.method == "normal" and len(self.L) == 1 and np.count_nonzero(self.L) == 1


def _setting(plan: Plan, params: Any, test: Any, *, ddf: Ddf | None, reml: bool) -> _Setting:
    truth = read_truth(plan.design, params)
    y = truth.draw(plan.design, 1, np.random.default_rng(1))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = fit_design(plan.design.with_response(y), reml=reml)
    start = replace(fit, theta=truth.theta(plan.design))
    L, r = _hypotheses(fit, test)
    return _Setting(start, truth, L, r, degrees_of_freedom(fit, ddf))


def _hypotheses(fit: Fit, test: Any) -> tuple[Array, Array]:
    """Return L and r of a test: hypotheses about coefficients, or a term's name for all its columns."""
    names, recipe = fit.coefficient_names, fit.design.recipe
    terms = {} if recipe is None or recipe.refusal else {term.name: term for term in recipe.terms}
    if isinstance(test, str) and test in terms and test not in names:
        L = np.eye(len(names))[list(terms[test].columns)]
        L = L[fit.kept[list(terms[test].columns)].astype(bool)]
        r = np.zeros(len(L))
    else:
        L, r, _ = read_hypotheses(fit, test)
    if not len(L) or not ColumnSpace(fit).estimable(L).all():
        raise ModelError(
            f"the design does not determine the test {test!r}: columns of X are linear combinations of others. Test "
            "another contrast, or add cells to the design."
        )
    return L, r


@dataclass(frozen=True, eq=False)
class _Outcome:
    """Tests of one size.

    Attributes
    ----------
    p_values, estimates : ndarray, shape (n,)
    status : ndarray of int64, shape (n,)
        As of `replicates`.
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
        """Numbers of the data sets drawn."""
        return np.flatnonzero(self.status)

    def row(self, size: Mapping[str, int], alpha: float) -> dict[str, float]:
        """Return the row of the table."""
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


def _draw_and_test(
    setting: _Setting, n: int, *, seed: np.random.SeedSequence, n_jobs: int, tick: Callable[[int], None]
) -> _Outcome:
    fit, design = setting.fit, setting.fit.design
    responder = Responder(fit.cross, design)
    out = _Outcome(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64), {}, design.n)
    search = batch_search(fit) if setting.single else None

    def work(rng: np.random.Generator, these: range, stop: Callable[[], bool]) -> None:
        y = setting.truth.draw(design, len(these), rng)
        sample = ResponseSample(design, y, responder.products(y))
        if search is not None:
            _test_block(setting, search, sample, these, out, stop)
        for r, i in stoppable(these, stop):
            if out.status[i] == UNDONE:
                _test_one(setting, sample, r, i, out)

    finished = run(work, n, rows=design.n, seed=seed, n_jobs=n_jobs, tick=lambda: tick(out.done.size))
    return replace(out, finished=finished)


def _test_block(
    setting: _Setting,
    search: BatchSearch,
    sample: ResponseSample,
    these: range,
    out: _Outcome,
    stop: Callable[[], bool],
) -> None:
    """Test one coefficient by the normal distribution in the data sets that compiled code settles."""
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


def _test_one(setting: _Setting, sample: ResponseSample, r: int, i: int, out: _Outcome) -> None:
    """Fit and test data set i, the r-th of its block."""
    try:
        refit = refitted(setting.fit, sample.cross_products(r), sample.design(r))
        out.estimates[i], out.p_values[i] = _test(setting, refit)
        out.status[i] = SINGULAR if refit.convergence.singular else REGULAR
    except (MixedfitError, FloatingPointError, np.linalg.LinAlgError) as error:
        out.reasons[i], out.status[i] = reason_of(error), FAILED


def _test(setting: _Setting, refit: Fit) -> tuple[float, float]:
    """Return the (first) contrast's estimate and the p-value of the test."""
    degrees, L = Degrees(refit, setting.degrees.method), setting.L
    kept = refit.kept.astype(bool)
    estimate = float(L[0, kept] @ refit.beta[kept])
    if len(L) > 1:
        return estimate, joint(degrees, L, setting.r).p_value
    own = np.where(kept, L[0], 0.0)
    error = float(np.sqrt(degrees.covariance_of(own[None])[0, 0]))
    return estimate, t_probability((estimate - float(setting.r[0])) / error, degrees.df(own))
