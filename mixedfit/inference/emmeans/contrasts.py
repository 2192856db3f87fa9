"""Contrasts of marginal means: weights, families of adjusted tests, notes and printed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import format_fixed, format_p_values, text_columns
from mixedfit.inference.ddf import Degrees
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.hypotheses.tests import t_rows

from .multiplicity import Adjust, Family, adjusted, critical

__all__ = [
    "MarginalContrasts",
    "Method",
    "adjustment_note",
    "cell_names",
    "contrast_weights",
    "family_tests",
    "printed",
]

_COLUMNS = ["estimate", "std_error", "df", "lower", "upper", "statistic", "p_value"]


@dataclass(frozen=True, eq=False)
class MarginalContrasts:
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

    def __str__(self) -> str:
        return printed(self.table, ["contrast"], self.by, self.notes)

    __repr__ = __str__


def cell_names(cells: pd.DataFrame) -> list[str]:
    """Return the values of each cell as text, separated by blanks."""
    return [" ".join(_text(value) for value in row) for row in cells.itertuples(index=False)]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def family_tests(
    degrees: Degrees, L: Array, *, space: ColumnSpace, means: int, adjust: Adjust, level: float
) -> pd.DataFrame:
    """Return the adjusted tests of one family of contrasts L, shape (m, p), of `means` means."""
    ok = space.estimable(L)
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


def adjustment_note(adjust: Adjust, counts: Sequence[int], means: int, level: float) -> str:
    """Return the note on p-values and intervals of families of `means` means with these numbers of tests."""
    if adjust == "none" and max(counts) <= 1:
        return f"Confidence level: {level:g}."
    if adjust == "none":
        return f"Confidence level: {level:g}. Nothing was adjusted for several tests."
    low, high = min(counts), max(counts)
    tests = f"{low} to {high} tests" if low < high else f"{high} test{'s' * (high != 1)}"
    method = {
        "tukey": f"Tukey's method for all pairs of {means} means",
        "dunnett": f"Dunnett's method for {tests}, from the joint t distribution",
        "holm": f"Holm's method for {tests}",
        "bonferroni": f"Bonferroni's method for {tests}",
        "sidak": f"Šidák's method for {tests}",
    }[adjust]
    intervals = "; intervals: Bonferroni's" if adjust == "holm" else ""
    return f"P-values adjusted by {method}{intervals}. Joint confidence level: {level:g}."


def printed(table: pd.DataFrame, names: list[str], by: tuple[str, ...], notes: tuple[str, ...]) -> str:
    """Return a table as text, a block for each combination of `by`, with the notes below."""
    order = [name for name in _COLUMNS if name in table]
    shown = _numbers({name: table[name].tolist() for name in order})
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
    return "\n".join([*out, "", *notes])


def _numbers(columns: dict[str, list[float]]) -> dict[str, list[str]]:
    """Return columns as text, with decimals that show the smallest standard error to three digits."""
    least = [e for e in columns["std_error"] if np.isfinite(e) and e > 0]
    decimals = max(0, 2 - int(np.floor(np.log10(min(least))))) if least else 4
    out = {
        name: format_fixed(columns[name], decimals) for name in ("estimate", "std_error", "lower", "upper")
    }
    small = any(v < 100 for v in columns["df"] if np.isfinite(v))
    out["df"] = format_fixed(columns["df"], 2 if small else 1, whole=True)
    if "p_value" in columns:
        out["statistic"] = format_fixed(columns["statistic"], 3)
        out["p_value"] = format_p_values(columns["p_value"], missing="NaN")
    return out


Method: TypeAlias = Literal["pairwise", "trt.vs.ctrl", "poly"] | Mapping[str, Sequence[float]]
"""Name of a family of contrasts, or weights by name."""

_METHODS = ("pairwise", "trt.vs.ctrl", "poly")

_DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


def contrast_weights(method: Any, labels: Sequence[str], *, reverse: bool) -> tuple[list[str], Array]:
    """Return names of the contrasts, and their weights, shape (contrasts, means).

    Raises
    ------
    ModelError
        If the method is unknown, there is only one mean, or the number of weights is wrong.
    """
    k = len(labels)
    if isinstance(method, Mapping):
        return _custom(method, labels)
    if method not in _METHODS:
        raise ModelError(
            f"method={method!r} is not known; expected one of {', '.join(map(repr, _METHODS))}, or a mapping of "
            "names to weights."
        )
    if k < 2:
        raise ModelError(f"there is one mean ({labels[0]}); contrasts need at least two.")
    if method == "poly":
        names, weights = list(_DEGREES[: k - 1]), polynomials(k)[:6]
        return names, -weights if reverse else weights
    unit = np.eye(k)
    if method == "pairwise":
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        if reverse:
            pairs = [(j, i) for j in range(k) for i in range(j)]
    else:
        control = k - 1 if reverse else 0
        pairs = [(i, control) for i in range(k) if i != control]
    return [f"{labels[i]} - {labels[j]}" for i, j in pairs], np.array([unit[i] - unit[j] for i, j in pairs])


def _custom(method: Mapping[str, Sequence[float]], labels: Sequence[str]) -> tuple[list[str], Array]:
    for name, weights in method.items():
        if len(weights) != len(labels):
            raise ModelError(
                f"contrast {name!r} has {len(weights)} weights for {len(labels)} means ({', '.join(labels)}); give "
                "one for each."
            )
    return [str(name) for name in method], np.array([list(w) for w in method.values()], dtype=np.float64)


def polynomials(k: int) -> Array:
    """Return integer orthogonal polynomials on k equally spaced points, shape (k − 1, k), by ascending degree."""
    x = np.arange(k) - 0.5 * (k - 1)
    basis = np.linalg.qr(np.vander(x, k, increasing=True))[0].T
    out = []
    for row in basis[1:]:
        row = row * np.sign(row[-1])
        positive = row[row > 1e-8]
        scaled = row / positive.min()
        while np.abs(scaled - np.round(scaled)).max() > 0.05:
            scaled = scaled / np.abs(scaled - np.round(scaled)).max()
        out.append(np.round(scaled))
    return np.array(out)
