"""Values of a column that are at fault, in words for errors and warnings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import BoolArray
from mixedfit.core.errors import shown
from mixedfit.core.format import count_noun
from mixedfit.core.reading.missing import ALWAYS

__all__ = [
    "argument_error",
    "listed_counts",
    "not_numbers",
    "numbers_as_text",
    "response_error",
    "stray_counts",
    "stray_text",
]

MOSTLY = 0.8
"""Share of rows with numbers from which a column of text is taken for numbers with stray text."""

MOST_DOSES = 10
"""Labels with decimals up to which a column of text is taken for a factor, such as doses."""

LISTED = 6
"""Largest number of columns that a message lists."""


def _strays(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the values that are present and cannot be read as numbers; with decimal commas if most have one."""
    present = values[values.notna().to_numpy()].astype(object)
    read = pd.to_numeric(present.astype(str), errors="coerce")
    strays = present[read.isna().to_numpy()]
    commas = np.array([_has_comma(value) for value in strays], dtype=bool)
    return strays[~commas] if not commas.all() and commas.sum() > 0.5 * len(present) else strays


def _has_comma(value: object) -> bool:
    return re.fullmatch(r"\s*[-+]?\d*,\d+\s*", str(value)) is not None


def not_numbers(values: Any) -> str:
    """Return a clause such as "'n/a' in row 50 is not a number (2 of 96 are not)"; empty where all are numbers."""
    column = (
        values if isinstance(values, pd.Series) else pd.Series(np.asarray(values, dtype=object).reshape(-1))
    )
    strays = _strays(column)
    if strays.empty:
        return ""
    count = f"{len(strays)} of {len(column)} are not" if len(strays) > 1 else f"the only one of {len(column)}"
    return f"{shown(strays.iloc[0])} in row {shown(strays.index[0])} is not a number ({count})"


def response_error(name: str, column: pd.Series[Any]) -> str:
    """Return the message about a response that is not numbers."""
    labels = "A linear mixed model has no response of labels."
    return _text_error(f"the response {name!r} is text", name, column, labels)


def argument_error(expression: str, name: str, column: pd.Series[Any]) -> str:
    """Return the message about a column of text in an expression that needs numbers."""
    labels = f"{expression} has no value for labels; the column alone is a factor."
    return _text_error(f"in {expression}, the column {name!r} is text", name, column, labels)


def _text_error(what: str, name: str, column: pd.Series[Any], labels: str) -> str:
    """Return the message about text where numbers are needed; `labels` ends it where no value is a number."""
    data, strays = f"data[{name!r}]", _strays(column)
    if strays.empty:
        return (
            f"{what}, such as {shown(column.iloc[0])}; expected numbers. Convert numbers written as text: {data} = "
            f"pd.to_numeric({data})."
        )
    if all(map(_has_comma, strays)):
        return (
            f"{what}: {not_numbers(column)}; expected numbers. Decimal commas? Make numbers of them: "
            f"{data}.str.replace(',', '.').astype(float)."
        )
    if any(map(_has_comma, column)):
        return (
            f"{what}: {not_numbers(column)}; expected numbers. Correct the value in the file, or make it missing: "
            f"mixedfit.read(path, na={str(strays.iloc[0])!r})."
        )
    if len(strays) < len(column):
        return (
            f"{what}: {not_numbers(column)}; expected numbers. Correct the value, or make such values missing: {data} "
            f"= pd.to_numeric({data}, errors='coerce')."
        )
    return (
        f"{what}, such as {shown(strays.iloc[0])} in row {shown(strays.index[0])}; expected numbers. {labels}"
    )


def stray_text(name: str, column: pd.Series[Any]) -> str:
    """Return a warning about a column of text that is mostly numbers or has marks of missing values, or nothing.

    Parameters
    ----------
    name : str
    column : pandas.Series
        Of categories that the package made of text, without missing values.
    """
    return stray_counts(name, column.value_counts(), lambda: not_numbers(column))


def stray_counts(name: str, counts: pd.Series[Any], clause: Callable[[], str] | None = None) -> str:
    """Return the warning of `stray_text` from the number of rows of each level, or an empty string.

    `clause` returns what is at fault and in which row; without it the row is not named.
    """
    read = pd.to_numeric(counts.index.astype(str).to_series(), errors="coerce").notna().to_numpy()
    rows = counts.to_numpy()
    if read.all() or read.sum() < 3 or rows[read].sum() < MOSTLY * rows.sum():
        marks = [label for label in counts.index if str(label).strip() in ALWAYS and counts[label] > 0]
        return _marks(name, marks[0], int(counts[marks[0]])) if marks else ""
    fault = _fault(counts, read) if clause is None else clause()
    return (
        f"column {name!r} is text and therefore a factor with {len(counts)} levels, but most of its values are "
        f"numbers: {fault}. If it is a number, correct the value or make it missing: data[{name!r}] = "
        f"pd.to_numeric(data[{name!r}], errors='coerce'); if it is a factor, make it a category."
    )


def _marks(name: str, mark: str, rows: int) -> str:
    """Return the warning that a level of a factor is a mark of missing values."""
    data = f"data[{name!r}]"
    return (
        f"column {name!r} is text and therefore a factor, and {mark!r} is one of its levels "
        f"({count_noun(rows, 'row')}), usually a mark of missing values. Make it missing: {data} = "
        f"{data}.replace({mark!r}, None); if it is a level, make the column a category. mixedfit.read finds such marks "
        "in files."
    )


def _fault(counts: pd.Series[Any], read: BoolArray) -> str:
    strays = counts[~read]
    return f"{shown(strays.index[0])} is not a number ({int(strays.sum())} of {int(counts.sum())} are not)"


def numbers_as_text(name: str, column: pd.Series[Any]) -> str:
    """Return a warning about a column of text of which all values are numbers with decimals, or an empty string."""
    levels = column.cat.categories
    if not _are_fractions(levels):
        return ""
    return (
        f"column {name!r} is text and therefore a factor with {len(levels)} levels, but all of its values are numbers, "
        f"such as {shown(levels[0])}. If it is a number, make it one: data[{name!r}] = "
        f"pd.to_numeric(data[{name!r}].str.replace(',', '.')); if it is a factor, make it a category."
    )


def _are_fractions(levels: pd.Index[Any]) -> bool:
    """Return whether many labels all are numbers, most of them with decimals after a point or a comma."""
    texts = [str(level).strip() for level in levels]
    if len(texts) <= MOST_DOSES or not all(
        re.fullmatch(r"[-+]?\d*([.,]\d+)?([eE][-+]?\d+)?", t) for t in texts
    ):
        return False
    return sum("," in t or "." in t for t in texts) > 0.5 * len(texts)


def listed_counts(counts: Mapping[str, int]) -> str:
    """Return columns with their counts of missing values, the largest first, such as "z: 90, x: 2"."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    more = f", and {len(ordered) - LISTED} more columns" if len(ordered) > LISTED else ""
    return ", ".join(f"{name}: {count}" for name, count in ordered[:LISTED]) + more
