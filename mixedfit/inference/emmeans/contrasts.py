"""Contrasts of marginal means: weights, families of adjusted tests, notes and printed tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.format import format_fixed, format_p_values, text_columns, wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.estimation.labels import FitNames
from mixedfit.inference.ddf import Degrees
from mixedfit.inference.hypotheses.tests import t_rows

from .multiplicity import Adjust, Family, adjusted, critical

__all__ = [
    "MarginalContrasts",
    "adjustment_note",
    "cell_names",
    "family_note",
    "family_tests",
    "printed",
]

_COLUMNS = ["estimate", "std_error", "df", "lower", "upper", "statistic", "p_value"]


@dataclass(frozen=True, eq=False)
class MarginalContrasts(NotebookTable):
    """Contrasts of marginal means, a row for each contrast.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns contrast, the variables of `by`, estimate, std_error, df, lower, upper, statistic, p_value.
    by : tuple of str
    adjust : str
        Adjustment of p-values and intervals for multiple tests.
    level : float
    method : str
        Method for the degrees of freedom.
    notes : tuple of str
    """

    table: pd.DataFrame
    by: tuple[str, ...]
    adjust: str
    level: float
    method: str
    notes: tuple[str, ...]
    _names: FitNames | None = field(default=None, repr=False)

    @property
    def _label_columns(self) -> tuple[str, ...]:
        return ("contrast", *self.by)

    @property
    def _caption(self) -> str:
        return "" if self._decimals is None else "Effect sizes (Cohen's d)"

    @property
    def _decimals(self) -> int | None:
        """Decimals of Cohen's d; None of contrasts in the unit of the response."""
        return 2 if any(note.startswith("Cohen's d") for note in self.notes) else None

    def __str__(self) -> str:
        return printed(self.table, ["contrast"], self.by, self.notes, decimals=self._decimals)

    __repr__ = __str__


def cell_names(cells: pd.DataFrame) -> list[str]:
    """Return the values of each cell as text, separated by blanks."""
    return [" ".join(_text(value) for value in row) for row in cells.itertuples(index=False)]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def family_tests(
    degrees: Degrees, L: Array, ok: BoolArray, *, means: int, adjust: Adjust, level: float
) -> pd.DataFrame:
    """Return the adjusted tests of one family of contrasts L, shape (m, p), of `means` means; `ok`: estimable."""
    rows = t_rows(degrees, L, np.zeros(len(L)), ok, level=level)
    covariance = degrees.covariance_of(L[ok])
    size = np.sqrt(np.diag(covariance))
    size[size == 0] = 1.0
    family = Family(means, covariance / np.outer(size, size))
    dfs = rows.loc[ok, "df"].round(6)
    rows.loc[ok, "p_value"] = adjusted(rows.loc[ok, "statistic"].to_numpy(), dfs.to_numpy(), adjust, family)
    factors = {df: critical(df, level, adjust, family) for df in dfs.dropna().unique()}
    half = dfs.map(factors) * rows.loc[ok, "std_error"]
    rows.loc[ok, "lower"] = rows.loc[ok, "estimate"] - half
    rows.loc[ok, "upper"] = rows.loc[ok, "estimate"] + half
    return rows[_COLUMNS]


_BY: dict[str, str] = {
    "dunnett": "Dunnett's method for {}, from the joint t distribution",
    "mvt": "the joint t distribution of {}",
    "scheffe": "Scheffé's method for all contrasts in the space of {}",
    "holm": "Holm's method for {}",
    "hochberg": "Hochberg's method for {}",
    "hommel": "Hommel's method for {}",
    "bonferroni": "Bonferroni's method for {}",
    "sidak": "Šidák's method for {}",
    "fdr": "Benjamini and Hochberg's false discovery rate for {}",
    "BH": "Benjamini and Hochberg's false discovery rate for {}",
    "BY": "Benjamini and Yekutieli's false discovery rate for {}",
}

_WITHOUT_INTERVALS = ("holm", "hochberg", "hommel", "fdr", "BH", "BY")


def adjustment_note(adjust: Adjust, counts: Sequence[int], means: int, level: float) -> str:
    """Return the note on p-values and intervals of families of `means` means with these numbers of tests."""
    if adjust == "none" and max(counts) <= 1:
        return f"Confidence level: {level:g}."
    if adjust == "none":
        return f"Confidence level: {level:g}. Nothing was adjusted for several tests."
    low, high = min(counts), max(counts)
    tests = f"{low} to {high} tests" if low < high else f"{high} test{'s' * (high != 1)}"
    method = (
        f"Tukey's method for all pairs of {means} means" if adjust == "tukey" else _BY[adjust].format(tests)
    )
    intervals = "; intervals: Bonferroni's" if adjust in _WITHOUT_INTERVALS else ""
    return f"P-values adjusted by {method}{intervals}. Joint confidence level: {level:g}."


def family_note(by: Sequence[str], tests: Sequence[int], adjust: Adjust) -> str:
    """Return the note that tests of each combination of `by` are a family of their own; empty without adjustment."""
    total = sum(tests)
    if adjust == "none" or total < 2:
        return ""
    where = f"combination of {', '.join(by)}" if len(by) > 1 else f"group of {by[0]}" if by else "group"
    each = ", with one test, so that nothing was adjusted" if max(tests) == 1 else ""
    return f"Each {where} is a family of its own{each}; contrasts(family='all') adjusts across all {total} tests."


def printed(
    table: pd.DataFrame,
    names: list[str],
    by: tuple[str, ...],
    notes: tuple[str, ...],
    *,
    decimals: int | None = None,
) -> str:
    """Return a table as text, a block for each combination of `by`, with the notes below."""
    order = [name for name in _COLUMNS if name in table]
    shown = _numbers({name: table[name].tolist() for name in order}, decimals)
    left = [[_text(v) for v in table[name]] for name in names]
    heads, *lines = text_columns([*names, *order], [*left, *(shown[name] for name in order)], left=len(names))
    out: list[str] = []
    previous = None
    for i, line in enumerate(lines):
        block = ", ".join(f"{name} = {_text(table[name].iloc[i])}" for name in by)
        if block != previous:
            out += ([""] if out else []) + ([f"{block}:"] if by else []) + [heads]
            previous = block
        out.append(line)
    return "\n".join([*out, "", *wrapped(notes)])


def _numbers(columns: dict[str, list[float]], decimals: int | None) -> dict[str, list[str]]:
    """Return columns as text, by default with decimals that show the smallest standard error to three digits."""
    least = [e for e in columns["std_error"] if np.isfinite(e) and e > 0]
    if decimals is None:
        decimals = max(0, 2 - int(np.floor(np.log10(min(least))))) if least else 4
    out = {
        name: format_fixed(columns[name], decimals) for name in ("estimate", "std_error", "lower", "upper")
    }
    out["df"] = format_fixed(columns["df"], 2, whole=True)
    if "p_value" in columns:
        out["statistic"] = format_fixed(columns["statistic"], 3)
        out["p_value"] = format_p_values(columns["p_value"], missing="NaN")
    return out
