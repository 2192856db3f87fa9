"""The bootstrap: data drawn from the fit again and again, the model refitted to each, and what that says.

Efron & Tibshirani (1993), An Introduction to the Bootstrap; Davison & Hinkley (1997), Bootstrap Methods and their
Application; for mixed models van der Leeden, Meijer & Busing (2008), in Handbook of Multilevel Analysis, chapter 11.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from .._lazy import lazy
from .._progress import Progress
from .._threads import blas_threads
from .._types import Array
from ..errors import BootstrapWarning, ModelError, nearest
from ..fit import Fit
from ..parameters import Names, Parameter, choose, interval_table, parameters_of, values_of
from .batch import batch_search
from .bootstrap_intervals import (
    INTERVALS,
    IntervalKind,
    check_kind,
    check_level,
    monte_carlo_error,
)
from .bootstrap_words import describe
from .cases import RowSource
from .jackknife import Jackknife
from .natural import natural_values
from .replicates import (
    FAILED,
    SINGULAR,
    UNDONE,
    Replicates,
    count_reasons,
    refit_block,
    refit_one,
    run,
    seed_sequence,
    stoppable,
)
from .resampling import source_of
from .statistic import Statistic

__all__ = ["Bootstrap", "BootstrapType", "bootstrap"]

BootstrapType = Literal["parametric", "residual", "cases"]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Estimates from data drawn again, and what they say about the estimates of the fit.

    Attributes
    ----------
    type : {"parametric", "residual", "cases"}
    requested : int
        Replicates asked for; fewer are here if the run was stopped.
    seed : int or tuple of int
        Gives the same replicates again.
    estimates : pandas.Series
        Parameters of the fit, under lme4's names, then the statistic's.
    replicates : pandas.DataFrame
        Standard deviations, correlations, σ and fixed effects, then the statistic; a row a replicate, NaN where
        it failed.
    criterion, sigma : pandas.Series
        Deviance or REML criterion, and residual standard deviation.
    theta : pandas.DataFrame
        Relative covariance parameters.
    std_errors : pandas.DataFrame
        Standard errors of the fixed effects.
    singular, failed : pandas.Series of bool
        Replicates whose covariance has no full rank, which are results; and those that gave none.
    reasons : mapping of str to int
        Why replicates failed, and how often.
    jackknife : Jackknife
        Refits with each group left out; computed when BCa intervals ask for it.
    """

    type: str
    requested: int
    seed: Any
    estimates: pd.Series[float]
    replicates: pd.DataFrame
    criterion: pd.Series[float]
    sigma: pd.Series[float]
    theta: pd.DataFrame
    std_errors: pd.DataFrame
    singular: pd.Series[bool]
    failed: pd.Series[bool]
    reasons: Mapping[str, int]
    jackknife: Jackknife

    @property
    def n(self) -> int:
        """Replicates that were done."""
        return len(self.replicates)

    @property
    def beta(self) -> pd.DataFrame:
        """Fixed effects of every replicate."""
        return self.replicates[[p.name for p in self._parameters if p.kind == "fixed"]]

    @property
    def statistic(self) -> pd.DataFrame:
        """The statistic of every replicate, no columns if none was asked for."""
        return self.replicates.iloc[:, len(self._parameters) :]

    @lazy
    def table(self) -> pd.DataFrame:
        """Estimate, bias, standard error, 95% percentile interval and its Monte-Carlo error, a row a parameter."""
        return self.summary_table()

    def summary_table(self, level: float = 0.95, kind: IntervalKind = "percentile") -> pd.DataFrame:
        """Return estimates with bias, standard error and an interval.

        Parameters
        ----------
        level, kind
            As in `conf_int`.

        Returns
        -------
        pandas.DataFrame
            Columns estimate, bias (mean of the replicates less the estimate), std_error (their standard
            deviation), lower, upper, mc_error (Monte-Carlo standard error of the interval's worse end) and meaning.
        """
        check_level(level)
        check_kind(kind)
        limits = self._intervals(level, kind, range(self.estimates.size))
        drawn = [_known(column) for _, column in self.replicates.items()]
        table = pd.DataFrame({"estimate": self.estimates})
        table["bias"] = [
            v.mean() - e if v.size else np.nan for v, e in zip(drawn, self.estimates, strict=True)
        ]
        table["std_error"] = [np.std(v, ddof=1) if v.size > 1 else np.nan for v in drawn]
        table["lower"], table["upper"] = limits["lower"], limits["upper"]
        enough = not self.too_few_for(level)
        table["mc_error"] = [monte_carlo_error(v, level) if enough and v.size > 1 else np.nan for v in drawn]
        table["meaning"] = limits["meaning"]
        return table

    def conf_int(
        self,
        level: float = 0.95,
        kind: IntervalKind = "percentile",
        parameters: str | Iterable[str] | None = None,
        *,
        names: Names = "lme4",
    ) -> pd.DataFrame:
        """Return intervals.

        Parameters
        ----------
        level : float
            Coverage, between 0 and 1.
        kind : {"percentile", "basic", "normal", "bca", "shortest"}
            Quantiles of the replicates; the same turned about the estimate; estimate less bias plus and minus normal
            quantiles; quantiles corrected for bias and skewness, which costs up to 100 further fits the first time;
            the shortest interval that holds `level` of the replicates. Ends outside a parameter's range (an SD
            below 0) are moved to its edge.
        parameters : str or sequence of str, optional
            lme4's names, meanings, or names of the statistic; "variances" and "fixed" stand for all of a kind.
        names : {"lme4", "long", "words"}
            What the rows are called.

        Returns
        -------
        pandas.DataFrame
            Columns lower, upper and meaning. Replicates that failed, and for a correlation those with a variance of 0,
            are left out.

        Raises
        ------
        ModelError
            If `level`, `kind` or a parameter's name is not valid.
        """
        check_level(level)
        check_kind(kind)
        chosen = self._choose(parameters)
        if too_few := self.too_few_for(level):
            warnings.warn(too_few, BootstrapWarning, stacklevel=2)
        table = self._intervals(level, kind, chosen)
        own = [i for i in chosen if i < len(self._parameters)]
        labels = interval_table([self._parameters[i] for i in own], [(0.0, 0.0)] * len(own), names).index
        known = dict(zip(own, labels, strict=True))
        table.index = pd.Index([known.get(i, self.estimates.index[i]) for i in chosen])
        return table

    def too_few_for(self, level: float) -> str:
        """Return what is to be said where there are not enough replicates for a level, else nothing."""
        known = self.n - int(self.failed.sum())
        if 0.5 * (1.0 - level) * (known + 1) >= 1.0:
            return ""
        return (
            f"{known} replicate{'s are' if known != 1 else ' is'} too few for intervals of level {level:g}: their ends "
            "are the extremes met. "
            f"Draw at least {int(np.ceil(2.0 / (1.0 - level)))}, better 1,000."
        )

    def _intervals(self, level: float, kind: str, chosen: Iterable[int]) -> pd.DataFrame:
        accelerations = self.jackknife.acceleration if kind == "bca" else np.zeros(self.estimates.size)
        rows, names = [], []
        for i in chosen:
            drawn, estimate = _known(self.replicates.iloc[:, i]), float(self.estimates.iloc[i])
            limits = (float("nan"), float("nan"))
            if drawn.size > 1 and np.isfinite(estimate):
                limits = INTERVALS[kind](estimate, drawn, level, float(accelerations[i]))
            low, high = self._range(i)
            rows.append((*np.clip(limits, low, high), self.meanings[i]))
            names.append(self.estimates.index[i])
        return pd.DataFrame(rows, index=names, columns=["lower", "upper", "meaning"])

    def _range(self, i: int) -> tuple[float, float]:
        kind = self._parameters[i].kind if i < len(self._parameters) else "statistic"
        ranges = {"sd": (0.0, np.inf), "sigma": (0.0, np.inf), "correlation": (-1.0, 1.0)}
        return ranges.get(kind, (-np.inf, np.inf))

    @lazy
    def _parameters(self) -> tuple[Parameter, ...]:
        return parameters_of(self.jackknife.fit)

    @lazy
    def meanings(self) -> tuple[str, ...]:
        """What each column of `replicates` is, in plain words."""
        extra = self.estimates.index[len(self._parameters) :]
        words = ["the statistic" if name == "statistic" else f"statistic {name}" for name in extra]
        return (*(p.words for p in self._parameters), *words)

    def _choose(self, wanted: str | Iterable[str] | None) -> list[int]:
        names = [wanted] if isinstance(wanted, str) else wanted
        if names is None:
            return list(range(self.estimates.size))
        extra = list(self.estimates.index[len(self._parameters) :])
        out: list[int] = []
        for name in names:
            if name in extra:
                found = [len(self._parameters) + extra.index(name)]
            elif extra and nearest(str(name), extra):
                raise ModelError(
                    f"{name!r} is neither a parameter nor a number of the statistic. {nearest(str(name), extra)}"
                )
            else:
                found = choose(self._parameters, name).tolist()
            out += [i for i in found if i not in out]
        return out

    def __str__(self) -> str:
        return describe(self)

    __repr__ = __str__


def _known(values: pd.Series[Any]) -> Array:
    array = values.to_numpy(dtype=float)
    return np.asarray(array[np.isfinite(array)])


def bootstrap(
    fit: Fit,
    n: int = 1000,
    *,
    type: BootstrapType = "parametric",
    statistic: Callable[[Fit], object] | None = None,
    seed: object = None,
    n_jobs: int = 1,
    progress: bool | None = None,
    resample: str | None = None,
) -> Bootstrap:
    """Return estimates from data drawn n times from a fit, or from its data.

    Parameters
    ----------
    fit : Fit
    n : int
        Replicates.
    type : {"parametric", "residual", "cases"}
        Draws random effects and residuals from the fitted normal distributions; resamples the fit's own, reflated to
        the estimated variances; or resamples whole levels of the outermost grouping factor.
    statistic : callable, optional
        Fit → number, array or Series.
    seed : int, SeedSequence, Generator or None
    n_jobs : int
        Threads; −1 for one a core. Numbers do not depend on it.
    progress : bool, optional
        Whether to show progress; by default on a terminal.
    resample : str, optional
        Grouping factor to resample by "cases".

    Raises
    ------
    ModelError
        If an option is not valid, or the statistic raises or changes its length.
    """
    check_count("n", n, 1)
    threads = threads_of(n_jobs)
    with blas_threads(1):
        source = source_of(fit, type, resample, rows_wanted=statistic is not None)
    sequence = seed_sequence(seed)
    own = None if statistic is None else Statistic(statistic, fit)
    search = batch_search(fit) if own is None and not isinstance(source, RowSource) else None
    replicates = Replicates.empty(n, fit, 0 if own is None else own.estimate.size)
    with Progress(progress) as shown:

        def work(rng: np.random.Generator, these: range, stop: Callable[[], bool]) -> None:
            sample = source.draw(rng, len(these))
            if search is not None:
                refit_block(search, sample, these, replicates, stop)
            for r, i in stoppable(these, stop):
                if replicates.status[i] == UNDONE:
                    refit_one(fit, sample, r, i, replicates, own)

        def tick() -> None:
            if shown.due():
                shown.count(replicates.done().size, n, "replicates")

        finished = run(work, n, rows=fit.design.n, seed=sequence, n_jobs=threads, tick=tick)
    outcome = _record(fit, type, replicates, own, sequence)
    _warn(outcome, finished)
    return outcome


def check_count(name: str, value: object, least: int) -> None:
    """Raise unless an option is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ModelError(f"{name} is {value!r}; expected a whole number of at least {least}.")


def threads_of(n_jobs: int) -> int:
    """Return the number of threads that `n_jobs` asks for."""
    if n_jobs == -1:
        return os.cpu_count() or 1
    check_count("n_jobs", n_jobs, 1)
    return int(n_jobs)


def _record(
    fit: Fit, kind: str, replicates: Replicates, own: Statistic | None, seed: np.random.SeedSequence
) -> Bootstrap:
    """Label the replicates that were done."""
    parameters = parameters_of(fit)
    done = replicates.done()
    index = pd.Index(done, name="replicate")
    structures = [
        (block.structure, here)
        for block, here in zip(fit.design.blocks, fit.design.theta_slices, strict=True)
    ]
    values = np.hstack([natural_values(parameters, structures, replicates), replicates.statistic])[done]
    names = [p.name for p in parameters]
    extra = [] if own is None else [n if n not in names else f"statistic.{n}" for n in own.names]
    estimates = np.concatenate([values_of(fit, parameters), [] if own is None else own.estimate])
    return Bootstrap(
        type=kind,
        requested=replicates.status.size,
        seed=seed.entropy,
        estimates=pd.Series(estimates, index=pd.Index(names + extra), name="estimate"),
        replicates=pd.DataFrame(values, index=index, columns=names + extra),
        criterion=pd.Series(replicates.criterion[done], index=index, name="criterion"),
        sigma=pd.Series(replicates.sigma[done], index=index, name="sigma"),
        theta=pd.DataFrame(replicates.theta[done], index=index, columns=list(fit.design.theta_names)),
        std_errors=pd.DataFrame(replicates.errors[done], index=index, columns=list(fit.coefficient_names)),
        singular=pd.Series(replicates.status[done] == SINGULAR, index=index, name="singular"),
        failed=pd.Series(replicates.status[done] == FAILED, index=index, name="failed"),
        reasons=count_reasons(replicates.reasons),
        jackknife=Jackknife(fit, own),
    )


def _warn(outcome: Bootstrap, finished: bool) -> None:
    if not finished:
        warn_stopped(outcome.n, outcome.requested)
    failed = int(outcome.failed.sum())
    if failed > 0.05 * outcome.n:
        reason, count = next(iter(outcome.reasons.items()))
        warnings.warn(
            f"{failed} of {outcome.n} replicates failed ({count} times: {reason}) and are left out: the others are not "
            "a random sample of what could happen, and intervals may be too short.",
            BootstrapWarning,
            stacklevel=3,
        )


def warn_stopped(done: int, requested: int) -> None:
    """Warn that a run was interrupted."""
    warnings.warn(
        f"stopped after {done} of {requested} replicates, which are kept; the same seed gives them again, and the "
        "others.",
        BootstrapWarning,
        stacklevel=4,
    )
