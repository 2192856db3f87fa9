"""Tables of results with cells of text, for LaTeX, Markdown, HTML and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .errors import ModelError, a_type
from .format import decimals_of_error, decimals_of_size, format_fixed, format_p_value

__all__ = ["Table", "frame_table", "one_row", "tables_of", "text_table"]


@dataclass(frozen=True, eq=False)
class Table:
    """A table of text.

    Attributes
    ----------
    caption : str
    heads : tuple of str
    rows : tuple of tuple of str
        A row of one cell is a subtitle that spans the table.
    left : int
        Number of leading columns with labels.
    notes : tuple of str
    spans : tuple of (str, int)
        A row above the heads: texts, each over a number of columns; together they are over all columns. Empty: no row.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    notes: tuple[str, ...] = ()
    spans: tuple[tuple[str, int], ...] = ()

    def one_line_heads(self) -> tuple[str, ...]:
        """Return the heads, each after the text that stands above it."""
        above = [text for text, columns in self.spans for _ in range(columns)]
        pairs = zip(above or [""] * len(self.heads), self.heads, strict=True)
        return tuple(f"{text}: {head}" if text and head else text or head for text, head in pairs)


def text_table(caption: str, cells: pd.DataFrame, notes: Sequence[str] = ()) -> Table:
    """Return a frame of text as a table, with its index as labels."""
    index = [
        str(label) if not isinstance(label, tuple) else ", ".join(map(str, label)) for label in cells.index
    ]
    rows = tuple((label, *row) for label, row in zip(index, cells.itertuples(index=False), strict=True))
    return Table(caption, ("", *map(str, cells.columns)), rows, 1, tuple(notes))


def one_row(caption: str, cells: Mapping[str, str], notes: Sequence[str] = ()) -> Table:
    """Return named texts as a table of one row, without labels."""
    return Table(caption, tuple(cells), (tuple(cells.values()),), 0, tuple(notes))


_HEADS = {
    "estimate": "Estimate",
    "std_error": "Std. Error",
    "std.error": "Std. Error",
    "df": "df",
    "statistic": "Statistic",
    "p_value": "p",
    "p.value": "p",
    "lower": "Lower",
    "upper": "Upper",
    "conf.low": "Lower",
    "conf.high": "Upper",
    "sum_sq": "Sum Sq",
    "mean_sq": "Mean Sq",
    "df_num": "Num. df",
    "df_denom": "Den. df",
    "npar": "Parameters",
    "aic": "AIC",
    "bic": "BIC",
    "llf": "logLik",
    "deviance": "Deviance",
    "chisq": "χ²",
    "bias": "Bias",
    "mc_error": "MC error",
}

_SHARED = (
    "estimate",
    "std_error",
    "std.error",
    "lower",
    "upper",
    "conf.low",
    "conf.high",
    "bias",
    "mc_error",
)
"""Columns in the unit of the estimates; these have the same number of decimals."""


_CAPTIONS = {
    "AnovaTable": "Tests of the terms of the fixed part",
    "LikelihoodRatioTable": "Likelihood-ratio tests",
    "MarginalMeans": "Estimated marginal means",
    "MarginalContrasts": "Contrasts of marginal means",
    "JointTests": "Joint tests of marginal means",
    "TTest": "Tests of contrasts",
    "Bootstrap": "Bootstrap",
    "Profile": "Likelihood profiles",
}


def tables_of(what: Any, *, p_format: Callable[[float], str] | None = None) -> list[Table]:
    """Return the tables of a result.

    Parameters
    ----------
    what : Table, MixedResults, Series, DataFrame, or result with a method `_tables`, a `table` or a `summary`
    p_format : callable, optional
        Writes p-values of results with a `table`; by default `format_p_values`.

    Raises
    ------
    ModelError
        If `what` has no table.
    """
    if isinstance(what, Table):
        return [what]
    if callable(getattr(what, "_tables", None)):
        return list(what._tables())
    if isinstance(what, pd.Series):
        what = what.to_frame()
    if isinstance(what, pd.DataFrame):
        return [frame_table(what, "", ())]
    if isinstance(getattr(what, "table", None), pd.DataFrame):
        notes = tuple(str(note) for note in getattr(what, "notes", ()))
        method = getattr(what, "method", "")
        if isinstance(method, str) and method and not any("egrees of freedom" in note for note in notes):
            notes = (f"Degrees of freedom: {method}.", *notes)
        return [
            frame_table(
                what.table,
                getattr(what, "_caption", "") or _CAPTIONS.get(type(what).__name__, ""),
                notes,
                labels=getattr(what, "_label_columns", ()),
                decimals=getattr(what, "_decimals", None),
                p_format=p_format,
            )
        ]
    if callable(getattr(what, "summary", None)):
        return tables_of(what.summary())
    raise ModelError(
        f"{a_type(what)} has no table; expected a fit, a summary, a result with a table such as "
        "fit.anova(), or a DataFrame."
    )


def frame_table(
    frame: pd.DataFrame,
    caption: str,
    notes: tuple[str, ...],
    *,
    labels: Sequence[str] = (),
    decimals: int | None = None,
    p_format: Callable[[float], str] | None = None,
) -> Table:
    """Return the table of a frame: first labels (the index, columns of text and those named), then numbers.

    `decimals` are those of estimates; by default as many as show the smallest standard error to three digits.
    """
    numbers = [str(c) for c in frame.columns if _is_number(frame[c]) and str(c) not in labels]
    left: list[tuple[str, list[str]]] = []
    if not isinstance(frame.index, pd.RangeIndex):
        for i in range(frame.index.nlevels):
            values = frame.index.get_level_values(i)
            left.append(("" if values.name is None else str(values.name), [str(v) for v in values]))
    texts = _numbers(frame, numbers, decimals, p_format)
    for name in map(str, frame.columns):
        if name not in texts:
            left.append((_HEADS.get(name, name), ["" if _missing(v) else _level(v) for v in frame[name]]))
    columns = [*left, *((_HEADS.get(name, name), cells) for name, cells in texts.items())]
    rows = tuple(zip(*(cells for _, cells in columns), strict=True)) if len(frame) else ()
    return Table(caption, tuple(head for head, _ in columns), rows, max(len(left), 1), notes)


def _level(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _numbers(
    frame: pd.DataFrame,
    names: Sequence[str],
    least: int | None,
    p_format: Callable[[float], str] | None,
) -> dict[str, list[str]]:
    """Return the cells of numeric columns as text."""
    errors = next((frame[name] for name in ("std_error", "std.error") if name in names), ())
    shared = decimals_of_error(errors) if least is None else least
    out = {}
    for name in names:
        values = [float(v) for v in frame[name]]
        if name.startswith(("p_", "p.")):
            write = p_format or format_p_value
            out[name] = ["" if np.isnan(value) else write(value) for value in values]
            continue
        if pd.api.types.is_integer_dtype(frame[name]) or _whole(values):
            decimals = 0
        elif name in _DECIMALS:
            decimals = _DECIMALS[name]
        elif name in _SHARED and shared is not None:
            decimals = shared
        else:
            decimals = decimals_of_size(values, 5, 1, 10)
        out[name] = format_fixed(values, decimals, missing="", infinite="∞")
    return out


_DECIMALS = {"df": 2, "df_denom": 2, "statistic": 3, "chisq": 3}
"""Decimals of columns that have the same number in every table."""


def _whole(values: list[float]) -> bool:
    """Return whether all finite values are whole numbers, up to rounding."""
    finite = [v for v in values if np.isfinite(v)]
    return bool(finite) and all(
        (abs(v - round(v)) < 1e-6 * abs(v) and abs(v) < 1e9) or v == 0 for v in finite
    )
