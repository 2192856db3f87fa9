"""Cells, lines and tables of the parts of a summary, as text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfit.core.format import (
    TABLE_WIDTH,
    abbreviate,
    coefficient_columns,
    format_numbers,
    format_p_value,
    text_columns,
)
from mixedfit.core.tables import Table

__all__ = [
    "LONG_TABLE",
    "correlation_lines",
    "correlation_table",
    "fixed_cells",
    "fixed_table",
    "random_rows",
    "random_table",
]

LONG_TABLE = 60
"""Largest number of coefficients that are printed."""


def random_rows(varcorr: pd.DataFrame) -> list[list[str]]:
    """Return group, effect, variance, SD and the correlations with earlier effects, as text."""
    own = varcorr[varcorr["var2"].isna()]
    variances, deviations = (format_numbers(own[name].tolist(), 4) for name in ("vcov", "sdcor"))
    rows = []
    for group, name, variance, deviation in zip(own["grp"], own["var1"], variances, deviations, strict=True):
        effect = name if isinstance(name, str) else ""
        earlier = varcorr[(varcorr["grp"] == group) & (varcorr["var2"] == effect)]["sdcor"]
        correlations = ["NaN" if np.isnan(v) else f"{v:.2f}" for v in earlier]
        structure = varcorr[
            (varcorr["grp"] == group)
            & (varcorr["var1"] == effect)
            & varcorr["vcov"].isna()
            & varcorr["var2"].notna()
        ]
        words = [_structure_word(*row) for row in zip(structure["var2"], structure["sdcor"], strict=True)]
        rows.append([str(group), effect, variance, deviation, *correlations, *words])
    return rows


def _structure_word(name: str, value: float) -> str:
    """Return a parameter of a structure as text: ``0.81 (ar1)``, ``range 976.3 (exp)``."""
    kind, structure = name.split(" ", 1)
    if kind == "correlation":
        return f"{value:.2f} {structure}"
    return f"{kind} {value:.4g} {structure}"


def fixed_cells(shown: pd.DataFrame, method: str) -> tuple[list[str], list[list[str]]]:
    """Return the heads and the columns of the table of fixed effects, as text.

    By the normal distribution they are z; another method's degrees of freedom are shown though all be infinite.
    """
    estimates, errors, statistics = coefficient_columns(
        shown["estimate"].tolist(), shown["std_error"].tolist(), shown["statistic"].tolist()
    )
    if "df" not in shown:
        return ["Estimate", "Std. Error", "t value"], [estimates, errors, statistics]
    p_values = [format_p_value(p) for p in shown["p_value"]]
    if method == "normal":
        return ["Estimate", "Std. Error", "z value", "Pr(>|z|)"], [estimates, errors, statistics, p_values]
    dfs = [_degrees(df) for df in shown["df"]]
    heads = ["Estimate", "Std. Error", "df", "t value", "Pr(>|t|)"]
    return heads, [estimates, errors, dfs, statistics, p_values]


def _degrees(df: float) -> str:
    """Return degrees of freedom as text, with two decimals below 10,000 and none above."""
    if not np.isfinite(df):
        return "NA" if np.isnan(df) else "Inf"
    return f"{df:.2f}" if df < 1e4 else f"{df:.0f}"


def correlation_lines(correlation: pd.DataFrame) -> list[str]:
    """Return the lower triangle of a correlation matrix as lines of text, in pieces of the page's width."""
    (table,) = correlation_table(correlation)
    names, *columns = ([*column] for column in zip(*table.rows, strict=True))
    rows = [abbreviate(name, 11) for name in names]
    heads = [abbreviate(head, 6) for head in table.heads]
    fit = max(1, (TABLE_WIDTH - max(map(len, rows))) // 7)  # columns of at most six characters and a blank
    lines: list[str] = []
    for first in range(1, len(heads), fit):
        here = slice(first, first + fit)
        start = first - 1  # rows above have no entry in these columns
        part = [column[start:] for column in (rows, *columns[first - 1 : first - 1 + fit])]
        lines += text_columns([heads[0], *heads[here]], part, left=1)
    return lines


def fixed_table(shown: pd.DataFrame, method: str, notes: tuple[str, ...] = ()) -> Table:
    """Return the table of fixed effects; `notes` stand below it."""
    heads, cells = fixed_cells(shown, method)
    rows = tuple((str(name), *row) for name, *row in zip(shown.index, *cells, strict=True))
    return Table("Fixed effects", ("", *heads), rows, 1, notes)


def random_table(varcorr: pd.DataFrame, notes: tuple[str, ...] = ()) -> Table:
    """Return the table of variances and correlations of random effects; `notes` stand below it."""
    heads = ("Group", "Effect", "Variance", "Std. Dev.", "Corr.")
    rows = tuple(
        (group, effect, variance.strip(), deviation.strip(), " ".join(correlations))
        for group, effect, variance, deviation, *correlations in random_rows(varcorr)
    )
    return Table("Random effects", heads, rows, 2, notes)


def correlation_table(correlation: pd.DataFrame | None) -> list[Table]:
    """Return the lower triangle of a correlation matrix, or nothing for fewer than two fixed effects."""
    if correlation is None or len(correlation) < 2:
        return []
    names = [str(name) for name in correlation.index[:LONG_TABLE]]
    values = correlation.to_numpy()
    rows = tuple(
        (names[i], *(f"{values[i, j]:.3f}" if j < i else "" for j in range(len(names) - 1)))
        for i in range(1, len(names))
    )
    return [Table("Correlation of fixed effects", ("", *names[:-1]), rows)]
