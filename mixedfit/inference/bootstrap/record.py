"""The printout of a bootstrap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import BootstrapWarning, ModelError, nearest, warn
from mixedfit.core.format import format_by_error, text_columns
from mixedfit.core.lazy import lazy
from mixedfit.estimation.parameters import Names, Parameter, choose, interval_table, parameters_of

from .intervals import INTERVALS, IntervalKind, check_kind, check_level, monte_carlo_error
from .jackknife import Jackknife

__all__ = ["Bootstrap", "describe"]

TITLES = {
    "parametric": "Parametric bootstrap",
    "residual": "Residual bootstrap",
    "cases": "Bootstrap of whole groups",
}

MOST_ROWS = 40
"""Parameters printed at most."""


def describe(outcome: Bootstrap) -> str:
    """Return the table of a bootstrap with what its reader must know: singular, failed, Monte-Carlo error."""
    fit = outcome.jackknife.fit
    title = (
        f"{TITLES[outcome.type]} of {fit.design.formula.source}\n{outcome.n} replicate{'s' * (outcome.n != 1)} "
        f"refitted by {'REML' if fit.reml else 'ML'}; 95% percentile intervals (others: conf_int(level, kind))"
    )
    return "\n".join([title, "", *_rows(outcome), "", *_notes(outcome)])


def _rows(outcome: Bootstrap) -> list[str]:
    table = outcome.summary_table()
    shown = table.head(MOST_ROWS)
    meanings = shown.pop("meaning")
    lines = text_columns(["", *shown.columns], [[str(name) for name in shown.index], *_cells(shown)], left=1)
    fixed = meanings.str.startswith("fixed effect ").tolist()
    words = ["" if known else word for known, word in zip(fixed, meanings, strict=True)]
    width = max(map(len, lines))
    out = [
        lines[0],
        *(f"{line.ljust(width)}  {word}".rstrip() for line, word in zip(lines[1:], words, strict=True)),
    ]
    if len(table) > MOST_ROWS:
        out.append(f"… and {len(table) - MOST_ROWS} more in .table")
    return out


def _cells(table: pd.DataFrame) -> list[list[str]]:
    return [format_by_error(column.tolist(), table["std_error"], "") for _, column in table.items()]


def _notes(outcome: Bootstrap) -> list[str]:
    notes = []
    if outcome.n < outcome.requested:
        notes.append(f"Stopped after {outcome.n} of {outcome.requested} replicates.")
    singular, failed = int(outcome.singular.sum()), int(outcome.failed.sum())
    if outcome.jackknife.fit.design.blocks:
        what = "singular (a variance of 0 or a correlation of ±1)"
        notes.append(
            f"{_share(singular, outcome.n)} {what}. That is an outcome like others: they count."
            if singular
            else f"No replicate is {what}."
        )
    undefined = outcome.replicates[~outcome.failed].isna().sum()
    for name, count in undefined.items():
        if 0 < count < outcome.n - failed:
            notes.append(f"{name} is not defined in {count} of them and is summarised over the others.")
    if failed:
        why = "; ".join(f"{count} × {reason}" for reason, count in outcome.reasons.items())
        notes.append(
            f"{_share(failed, outcome.n)} failed and left out ({why}). The others are not a random sample: "
            "intervals may be too short."
        )
    else:
        notes.append("No replicate failed.")
    return [*notes, *_precision(outcome)]


def _precision(outcome: Bootstrap) -> list[str]:
    if too_few := outcome.too_few_for(0.95):
        return [too_few]
    table = outcome.table
    relative = np.asarray(table["mc_error"] / table["std_error"], dtype=float)
    known = relative[np.isfinite(relative)]
    if known.size == 0:
        return []
    return [
        f"Monte-Carlo error of the intervals' ends (mc_error): up to {100 * known.max():.0f}% of a standard error; "
        "four times the replicates halve it."
    ]


def _share(count: int, n: int) -> str:
    return f"{count} of {n} replicates {'is' if count == 1 else 'are'}"


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
            Columns lower and upper. Replicates that failed, and for a correlation those with a variance of 0,
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
            warn(too_few, BootstrapWarning)
        table = self._intervals(level, kind, chosen)[["lower", "upper"]]
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
        words = [_words(name) for name in extra]
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


def _words(name: str) -> str:
    """Return what a number of the user's statistic is, in words."""
    number = re.fullmatch(r"statistic\[(\d+)\]", name)
    if number:
        return f"number {int(number[1]) + 1} of the statistic"
    return "the statistic" if name == "statistic" else f"statistic {name}"
