"""Parametric bootstrap test of two nested models.

Halekoh & Højsgaard (2014), J. Stat. Softw. 59(9), section 4; Davison & Hinkley (1997), equation 4.11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import ModelError
from mixedfit.core.format import format_column, format_p_values, text_columns
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_count, threads_of
from mixedfit.core.seeds import seed_sequence
from mixedfit.core.tables import Table, tables_of
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.responses import Responder
from mixedfit.estimation.batch import BatchSearch, batch_search
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.simulate import simulate_response
from mixedfit.inference.likelihood_ratio.tests import (
    by_ml,
    check_same_data,
    chi_square_tail,
    model_name,
    same_fixed,
)
from mixedfit.tasks import check_executor

from .replicates import (
    REFIT_ERRORS,
    Stopped,
    count_reasons,
    reason_of,
    refitted,
    refitted_structure,
    run_with_progress,
    stoppable,
)

__all__ = ["ParametricBootstrapTest", "parametric_bootstrap_test"]

SAME = 1e-6
"""Difference of statistics that counts as 0; the observed one and those of replicates may be 0."""


@dataclass(frozen=True, eq=False)
class ParametricBootstrapTest(NotebookTable):
    """The likelihood-ratio statistic and its simulated distribution under the null model.

    Attributes
    ----------
    statistic : float
        Deviance (REML criterion) of the null model minus that of the larger one.
    df : int
        Number of parameters of the larger model minus that of the null model.
    replicates : ndarray, shape (n,)
        The statistic in data drawn from the null model; NaN where a refit failed.
    reml : bool
        Whether REML criteria are compared.
    null, larger : str
        Formulas of the models.
    requested : int
        Requested number of replicates; fewer were drawn if the run was stopped.
    seed
        Seed that reproduces the replicates.
    reasons : mapping of str to int
        Reasons of failed replicates, with their counts.
    notes : tuple of str
        Remarks on the criterion.
    """

    statistic: float
    df: int
    replicates: Array
    reml: bool
    null: str
    larger: str
    requested: int
    seed: Any
    reasons: Mapping[str, int]
    notes: tuple[str, ...]

    @lazy
    def _known(self) -> Array:
        return np.asarray(self.replicates[np.isfinite(self.replicates)])

    @property
    def n(self) -> int:
        """Number of replicates that did not fail."""
        return int(self._known.size)

    @property
    def exceeding(self) -> int:
        """Number of replicates with a statistic at least as large as the observed one."""
        return int(np.sum(self._known >= self.statistic - SAME))

    @property
    def p_value(self) -> float:
        """(1 + number exceeding) / (n + 1)."""
        return (1 + self.exceeding) / (self.n + 1)

    @property
    def mc_error(self) -> float:
        """Monte-Carlo standard error of the p-value."""
        return float(np.sqrt(self.p_value * (1.0 - self.p_value) / (self.n + 1)))

    @property
    def p_chisq(self) -> float:
        """p-value of the chi-square distribution on `df` degrees of freedom."""
        return chi_square_tail(self.statistic, self.df)

    @lazy
    def table(self) -> pd.DataFrame:
        """Both tests, columns statistic, df, p_value and mc_error."""
        rows = [
            (self.statistic, np.nan, self.p_value, self.mc_error),
            (self.statistic, float(self.df), self.p_chisq, np.nan),
        ]
        columns = ["statistic", "df", "p_value", "mc_error"]
        return pd.DataFrame(rows, index=["parametric bootstrap", "chi-square"], columns=columns)

    def _lines(self) -> list[str]:
        columns = [
            format_column(values, 4) if name in ("statistic", "df") else format_p_values(values)
            for name, values in self.table.to_dict("list").items()
        ]
        return text_columns(["", *self.table.columns], [[*map(str, self.table.index)], *columns], left=1)

    def __str__(self) -> str:
        head = ["Parametric bootstrap test", f"null model:   {self.null}", f"larger model: {self.larger}"]
        return "\n".join([*head, "", *self._lines(), "", *self._remarks()])

    def _notebook_tables(self) -> list[Table]:
        (table,) = tables_of(self)
        models = (f"Null model: {self.null}", f"Larger model: {self.larger}")
        return [replace(table, caption="Parametric bootstrap test", notes=(*models, *self._remarks()))]

    def _remarks(self) -> list[str]:
        """Return the sentences below the table."""
        zeros = float(np.mean(self._known <= SAME)) if self.n else 0.0
        failed = self.replicates.size - self.n
        lines = [
            f"{self.exceeding} of {self.n} data sets drawn from the null model give a statistic as large.",
        ]
        if zeros >= 0.01:
            lines.append(
                f"In {100 * zeros:.0f}% of them it is 0: the null model lies on the boundary of the larger one, where "
                "chi-square p-values are too large."
            )
        if failed:
            why = "; ".join(f"{count} × {reason}" for reason, count in self.reasons.items())
            lines.append(f"{failed} more failed and are left out ({why}).")
        if self.replicates.size < self.requested:
            lines.append(f"Stopped after {self.replicates.size} of {self.requested} replicates.")
        return [*lines, *self.notes]

    __repr__ = __str__


def parametric_bootstrap_test(
    null: Fit,
    larger: Fit,
    *,
    n: int = 1000,
    seed: object = None,
    n_jobs: int = 1,
    progress: bool | None = None,
    executor: Any = None,
) -> ParametricBootstrapTest:
    """Return the test of a null model against a larger model in which it is nested.

    Parameters
    ----------
    null, larger : Fit
        Fits to the same rows and response. REML fits with different fixed effects are refitted by ML.
    n : int
        Number of replicates.
    seed, n_jobs, progress, executor
        As for `bootstrap`.

    Raises
    ------
    ModelError
        If the models cannot be compared, or the null model is not the smaller one.
    """
    check_count("n", n, 1)
    threads = threads_of(n_jobs)
    check_executor(executor)
    sequence = seed_sequence(seed)
    pair, notes = _comparable(null, larger)
    statistic = pair[0].evaluation.value - pair[1].evaluation.value
    df = pair[1].n_parameters - pair[0].n_parameters
    if statistic < -SAME:
        raise ModelError(
            f"the larger model fits worse than the null model (by {-statistic:.4g}): they are not nested. "
            "Compare a model with one that contains it."
        )
    with blas_threads(1):
        task = _Refits(pair)
    draws = task.empty(n)
    run_with_progress(
        task,
        draws,
        n,
        rows=null.design.n,
        seed=sequence,
        n_jobs=threads,
        progress=progress,
        done=lambda: int(draws.finished.sum()),
        executor=executor,
    )
    return ParametricBootstrapTest(
        statistic=max(statistic, 0.0),
        df=df,
        replicates=draws.statistics(),
        reml=pair[0].reml,
        null=model_name(null),
        larger=model_name(larger),
        requested=n,
        seed=sequence.entropy,
        reasons=count_reasons(draws.reasons),
        notes=notes,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Criteria of both models for data drawn from the null model.

    Attributes
    ----------
    criteria : ndarray, shape (n, 2)
    finished : ndarray of bool, shape (n,)
    reasons : dict of int to str
    """

    criteria: Array
    finished: BoolArray
    reasons: dict[int, str]

    def statistics(self) -> Array:
        """Return the statistics of completed replicates, NaN where a refit failed."""
        done = self.criteria[self.finished]
        return np.asarray(np.maximum(done[:, 0] - done[:, 1], 0.0))


class _Refits:
    """Refits of both models to data drawn from the null model, as `Task`.

    Parameters
    ----------
    pair : (Fit, Fit)
        Null model and larger model.
    """

    def __init__(self, pair: tuple[Fit, Fit]) -> None:
        self.pair = pair
        self.responders = [None if fit.residual else Responder(fit.cross, fit.design) for fit in pair]
        self.searches = [None if fit.residual else batch_search(fit) for fit in pair]

    def __reduce__(self) -> tuple[Any, ...]:
        return _Refits, (self.pair,)

    def empty(self, count: int) -> _Draws:
        """Return a record for some replicates."""
        return _Draws(np.full((count, 2), np.nan), np.zeros(count, dtype=bool), {})

    def fill(self, rng: np.random.Generator, these: range, out: _Draws, stop: Callable[[], bool]) -> None:
        """Fill in a range of replicates."""
        y = simulate_response(self.pair[0], len(these), rng).T
        own = [y if fit.design.offset is None else y - fit.design.offset for fit in self.pair]
        products = [
            None if responder is None else responder.products(values)
            for responder, values in zip(self.responders, own, strict=True)
        ]
        for r, i in stoppable(these, stop):
            try:
                for side, (fit, drawn) in enumerate(zip(self.pair, products, strict=True)):
                    if drawn is None:
                        design = fit.design.with_response(own[side][r])
                        out.criteria[i, side] = refitted_structure(fit, design, stop).evaluation.value
                        continue
                    cross = drawn.cross_products(r)
                    out.criteria[i, side] = _criterion(fit, self.searches[side], cross, stop)
            except Stopped:
                return
            except REFIT_ERRORS as error:
                out.reasons[i] = reason_of(error)
            out.finished[i] = True


def _criterion(fit: Fit, search: BatchSearch | None, cross: CrossProducts, stop: Callable[[], bool]) -> float:
    """Return the minimum of the criterion for other cross-products, by the compiled search if it converges."""
    if search is not None:
        found = search.empty(1)
        search.refit(cross, found, 0)
        if found.settled[0]:
            return float(found.criterion[0])
    return refitted(fit, cross, fit.design, stop).evaluation.value


def _comparable(null: Fit, larger: Fit) -> tuple[tuple[Fit, Fit], tuple[str, ...]]:
    """Return both fits by the same criterion, and a note on it."""
    check_same_data([null, larger])
    if null.n_parameters >= larger.n_parameters:
        raise ModelError(
            f"the null model has {null.n_parameters} parameters and the other {larger.n_parameters}: the first must be "
            "the smaller one, contained in the second. Exchange them, or check the formulas."
        )
    if (null.held_sigma is None) != (larger.held_sigma is None):
        raise ModelError(
            "sigma is held fixed in one of the models and estimated in the other; hold it in both or none."
        )
    if null.reml and larger.reml and same_fixed(null, larger):
        return (null, larger), ("REML criteria are compared: the fixed effects are the same.",)
    notes = ("REML fits were refitted by maximum likelihood.",) if null.reml or larger.reml else ()
    return (by_ml(null), by_ml(larger)), notes
