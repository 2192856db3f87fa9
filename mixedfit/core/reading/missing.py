"""Marks of missing values, and how many of them each column has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["ALWAYS", "AMONG_NUMBERS", "counted", "marks_of", "mend", "said"]

ALWAYS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A", "<NA>", ".")
"""Marks in columns of any kind."""

AMONG_NUMBERS = ("-", "--", "–", "?", "*", "None", "none", "missing", "#VALUE!", "#DIV/0!", "#REF!")
"""Marks in columns whose other values are numbers; elsewhere they may be levels, such as "None" of a treatment."""

LISTED = 8
"""Largest number of columns that a note lists."""


def marks_of(na: str | Sequence[str] | None) -> tuple[list[str], tuple[str, ...]]:
    """Return the marks in columns of any kind, and those among numbers, for the option `na`."""
    if na is None:
        return list(ALWAYS), AMONG_NUMBERS
    return ["", *([na] if isinstance(na, str) else map(str, na))], ()


def mend(
    frame: pd.DataFrame, weak: Sequence[str], *, decimal: str = ".", thousands: str | None = None
) -> pd.DataFrame:
    """Return a frame in which columns of text that hold numbers and marks are columns of numbers.

    A dash is missing among labels too, unless they have a plus sign as well.
    """
    out = frame.copy()
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column) or not weak:
            continue
        if not {value.strip() for value in column.dropna().unique() if isinstance(value, str)} & set(weak):
            continue
        texts = column.astype(object).map(lambda v: v.strip() if isinstance(v, str) else v)
        rest = texts.where(~texts.isin(weak), np.nan)
        if rest.isna().all():
            continue
        numbers = pd.to_numeric(_plain(rest, decimal, thousands), errors="coerce")
        if numbers.notna().equals(rest.notna()):
            out[name] = numbers
        elif not (texts == "+").any():
            out[name] = column.where(texts != "-", None)
    return out


def _plain(texts: pd.Series[Any], decimal: str, thousands: str | None) -> pd.Series[Any]:
    """Return numbers as text with a decimal point and without marks of thousands."""

    def plain(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return (value.replace(thousands, "") if thousands else value).replace(decimal, ".")

    return texts.map(plain)


def counted(frame: pd.DataFrame, texts: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the marks that were taken as missing, with their counts, for each column that has any.

    Parameters
    ----------
    frame : pandas.DataFrame
        The frame as read.
    texts : pandas.DataFrame
        The same rows as text, of the columns with missing values.
    """
    out = {}
    for name in texts.columns:
        lost = texts[name][frame[name].isna().to_numpy()].fillna("").astype(str).str.strip()
        if len(lost):
            out[str(name)] = {str(mark): int(often) for mark, often in lost.value_counts().items()}
    return out


def said(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Return the counts as a note; empty if there are none but of empty cells.

    Examples
    --------
    >>> said({"x": {"NA": 2, "": 1}, "z": {".": 1}})
    "taken as missing: x: 2 ('NA'), 1 (empty); z: 1 ('.')"
    """
    if not any(mark for marks in counts.values() for mark in marks):
        return ""
    parts = [
        f"{name}: {', '.join(f'{often:,} ({_word(mark)})' for mark, often in marks.items())}"
        for name, marks in list(counts.items())[:LISTED]
    ]
    more = [f"and {len(counts) - LISTED} more columns"] if len(counts) > LISTED else []
    return f"taken as missing: {'; '.join([*parts, *more])}"


def _word(mark: str) -> str:
    return repr(mark) if mark else "empty"
