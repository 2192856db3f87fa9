"""The result of a bootstrap: replicates, intervals and the printed table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import BootstrapWarning, ModelError, nearest, warn
from mixedfit.core.format import format_by_error, text_columns, wrapped
from mixedfit.core.lazy import lazy
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level, check_one_of
from mixedfit.core.tables import Table, text_table
from mixedfit.estimation.parameters import Names, Parameter, choose, interval_table, parameters_of

from .intervals import INTERVALS, IntervalKind, monte_carlo_error
from .jackknife import Jackknife

__all__ = ["Bootstrap"]

TITLES = {
    "parametric": "Parametric bootstrap",
    "residual": "Residual bootstrap",
    "cases": "Bootstrap of whole groups",
}

MOST_ROWS = 40
"""Largest number of printed parameters."""


@dataclass(frozen=True, eq=False)
class Bootstrap(NotebookTable):
    """Bootstrap replicates of the estimates of a fit, with standard errors and intervals.

    Attributes
    ----------
    type : {"parametric", "residual", "cases"}
    requested : int
        Requested number of replicates; fewer were drawn if the run was stopped.
    seed : int or tuple of int
        Seed that reproduces the replicates.
    estimates : pandas.Series
        Parameters of the fit, by their names in lme4, then the statistic.
    replicates : pandas.DataFrame
        Standard deviations, correlations, σ and fixed effects, then the statistic; a row for each replicate, NaN if
        it failed.
    criterion, sigma : pandas.Series
        Deviance or REML criterion, and residual standard deviation.
    theta : pandas.DataFrame
        Relative covariance parameters.
    std_errors : pandas.DataFrame
        Standard errors of the fixed effects.
    singular, failed : pandas.Series of bool
        Whether a replicate's covariance of random effects is singular; whether its refit failed.
    reasons : mapping of str to int
        Reasons of failed replicates, with their counts.
    undefined : mapping of str to int
        Reasons why the statistic has no value in replicates that were refitted, with their counts.
    jackknife : Jackknife
        Refits without each group, computed for the first BCa interval.
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
    undefined: Mapping[str, int]
    jackknife: Jackknife

    @property
    def n(self) -> int:
        """Number of completed replicates."""
        return len(self.replicates)

    @property
    def beta(self) -> pd.DataFrame:
        """Fixed effects of the replicates."""
        return self.replicates[[p.name for p in self._parameters if p.kind == "fixed"]]

    @property
    def statistic(self) -> pd.DataFrame:
        """The user's statistic of the replicates; no columns without a statistic."""
        return self.replicates.iloc[:, len(self._parameters) :]

    @lazy
    def table(self) -> pd.DataFrame:
        """Estimate, bias, standard error, 95% percentile interval and its Monte-Carlo error of each parameter."""
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
            Columns estimate, bias (mean of the replicates minus the estimate), std_error (their standard
            deviation), lower, upper, mc_error (the larger Monte-Carlo standard error of the limits) and meaning.
        """
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
        """Return bootstrap intervals.

        Parameters
        ----------
        level : float
            Coverage, at least 0.5 and below 1.
        kind : {"percentile", "basic", "normal", "bca", "shortest"}
            Quantiles of the replicates; the same reflected about the estimate; estimate minus bias plus and minus
            normal quantiles; quantiles corrected for bias and skewness, which takes up to 100 further fits the first
            time; the shortest interval that contains a share `level` of the replicates. Limits outside the range of a
            parameter (an SD below 0) are replaced by its end.
        parameters : str or sequence of str, optional
            lme4's names, meanings, or names of the statistic; "variances" and "fixed" stand for all of a kind.
        names : {"lme4", "long", "words"}
            Names of the rows.

        Returns
        -------
        pandas.DataFrame
            Columns lower and upper. Replicates that failed, and for a correlation those with a variance of 0,
            are left out.

        Raises
        ------
        ModelError
            If `level`, `kind` or a parameter's name is invalid.
        """
        chosen = self._choose(parameters)
        table = self._intervals(level, kind, chosen)[["lower", "upper"]]
        if too_few := self.too_few_for(level):
            warn(too_few, BootstrapWarning)
        own = [i for i in chosen if i < len(self._parameters)]
        labels = interval_table([self._parameters[i] for i in own], [(0.0, 0.0)] * len(own), names).index
        known = dict(zip(own, labels, strict=True))
        table.index = pd.Index([known.get(i, self.estimates.index[i]) for i in chosen])
        return table

    def too_few_for(self, level: float) -> str:
        """Return the warning if there are too few replicates for intervals of a level; else an empty string."""
        known = self.n - int(self.failed.sum())
        if 0.5 * (1.0 - level) * (known + 1) >= 1.0:
            return ""
        return (
            f"{known} replicate{'s are' if known != 1 else ' is'} too few for intervals of level {level:g}: their "
            f"limits are the extreme replicates. Draw at least {int(np.ceil(2.0 / (1.0 - level)))}, better 1,000."
        )

    def _intervals(self, level: float, kind: str, chosen: Iterable[int]) -> pd.DataFrame:
        check_level(level)
        check_one_of("kind", kind, tuple(INTERVALS))
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
        """Meaning of each column of `replicates` in words."""
        extra = self.estimates.index[len(self._parameters) :]
        return (*(p.words for p in self._parameters), *map(_words, extra))

    def _choose(self, parameters: str | Iterable[str] | None) -> list[int]:
        names = [parameters] if isinstance(parameters, str) else parameters
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

    @property
    def _title(self) -> tuple[str, str]:
        fit = self.jackknife.fit
        return (
            f"{TITLES[self.type]} of {fit.design.formula.source}",
            f"{self.n} replicate{'s' * (self.n != 1)} refitted by {'REML' if fit.reml else 'ML'}; 95% percentile "
            "intervals (others: conf_int(level, kind))",
        )

    def _notebook_tables(self) -> list[Table]:
        title, how = self._title
        shown, cells = _cells(self)
        text = pd.DataFrame(dict(zip(shown.columns, cells, strict=True)), index=shown.index)
        text["meaning"] = self.table["meaning"].head(MOST_ROWS)
        return [text_table(title, text, [how, *_notes(self)])]

    def __str__(self) -> str:
        return "\n".join([*self._title, "", *_rows(self), "", *wrapped(_notes(self))])

    __repr__ = __str__


def _cells(outcome: Bootstrap) -> tuple[pd.DataFrame, list[list[str]]]:
    """Return the first rows of the table without meanings, and their text by column."""
    shown = outcome.summary_table().head(MOST_ROWS).drop(columns="meaning")
    return shown, [format_by_error(column.tolist(), shown["std_error"], "") for _, column in shown.items()]


def _rows(outcome: Bootstrap) -> list[str]:
    table = outcome.summary_table()
    shown, cells = _cells(outcome)
    meanings = table["meaning"].head(MOST_ROWS)
    lines = text_columns(["", *shown.columns], [[str(name) for name in shown.index], *cells], left=1)
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


def _notes(outcome: Bootstrap) -> list[str]:
    """Return the notes on interrupted, singular, undefined and failed replicates, and on Monte-Carlo errors."""
    notes = []
    if outcome.n < outcome.requested:
        notes.append(f"Stopped after {outcome.n} of {outcome.requested} replicates.")
    singular, failed = int(outcome.singular.sum()), int(outcome.failed.sum())
    if outcome.jackknife.fit.design.blocks:
        words = "singular (a variance of 0 or a correlation of ±1)"
        notes.append(
            f"{_share(singular, outcome.n)} {words}. That is an outcome like others: they count."
            if singular
            else f"No replicate is {words}."
        )
    undefined = outcome.replicates[~outcome.failed].isna().sum()
    for name, count in undefined.items():
        if 0 < count < outcome.n - failed:
            notes.append(f"{name} is not defined in {count} of them and is summarised over the others.")
    for reason, count in outcome.undefined.items():
        notes.append(f"{count} × {reason}: left out for the statistic alone.")
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


def _known(values: pd.Series[Any]) -> Array:
    array = values.to_numpy(dtype=float)
    return np.asarray(array[np.isfinite(array)])


def _words(name: str) -> str:
    """Return the meaning of a number of the user's statistic in words."""
    number = re.fullmatch(r"statistic\[(\d+)\]", name)
    if number:
        return f"number {int(number[1]) + 1} of the statistic"
    return "the statistic" if name == "statistic" else f"statistic {name}"
