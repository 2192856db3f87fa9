"""Variables of a recipe: kind, levels and range, and conversion of new values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray, IntArray
from mixedfit.core.errors import DataError, shown
from mixedfit.design.frames import NUMBERS, check_column
from mixedfit.design.grouping import combined_labels
from mixedfit.design.wrong_values import not_numbers

__all__ = ["Variable", "column_values", "group_codes", "level_codes", "summarise", "unseen_levels"]


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """One variable on the rows of the fit.

    Attributes
    ----------
    name : str
    kind : {"number", "label", "boolean"}
    levels : pandas.Index or None
        Levels in order, if the kind is "label".
    mean, low, high : float
        Mean and range of numbers; proportion of True, 0 and 1 for booleans; NaN for labels.
    two_valued : bool
        Whether all values are `low` or `high`.
    """

    name: str
    kind: Literal["number", "label", "boolean"]
    levels: pd.Index[Any] | None
    mean: float
    low: float
    high: float
    two_valued: bool


TABLE_SHARE = 8
"""Largest ratio of the range of integers to their number of levels at which they are looked up in a table."""


def summarise(name: str, column: pd.Series[Any]) -> Variable:
    """Return the summary of a column without missing values."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return Variable(name, "label", dtype.categories, float("nan"), float("nan"), float("nan"), False)
    values = column.to_numpy()
    mean = float(values.sum(dtype=np.float64)) / values.size
    if values.dtype.kind == "b":
        return Variable(name, "boolean", None, mean, 0.0, 1.0, True)
    low, high = float(values.min()), float(values.max())
    return Variable(name, "number", None, mean, low, high, _two_valued(values, low, high))


def _two_valued(values: AnyArray, low: float, high: float) -> bool:
    """Return whether all values are `low` or `high`; the first 20 rows are checked first, for speed."""
    if any(value not in (low, high) for value in values[:20].tolist()):
        return False
    return bool(((values == low) | (values == high)).all())


def column_values(variable: Variable, column: pd.Series[Any]) -> pd.Series[Any]:
    """Return new values as numbers, booleans, or categories with the levels of the fit; missing values stay missing.

    Raises
    ------
    DataError
        If the values are of another kind than in the fit, or a label is not a level of the fit.
    """
    if variable.levels is None:
        check_column(variable.name, column)
    else:
        codes = level_codes(column, variable.levels)
        unseen = (codes < 0) & column.notna().to_numpy()
        if unseen.any():
            check_column(variable.name, column)
            raise unseen_levels(variable.name, pd.unique(column[unseen]).tolist(), variable.levels.tolist())
        labels = pd.Categorical.from_codes(codes, categories=variable.levels)
        return pd.Series(labels, index=column.index, name=column.name)
    numbers = _numbers(variable, column)
    if variable.kind == "number" or bool(column.isna().any()):
        return numbers
    return numbers.astype(bool)


def _numbers(variable: Variable, column: pd.Series[Any]) -> pd.Series[Any]:
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        numbers = column
    elif pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype) or column.isna().all():
        numbers = pd.Series(
            column.to_numpy(dtype=np.float64, na_value=np.nan), column.index, name=column.name
        )
    elif pd.api.types.infer_dtype(column, skipna=True) in ("boolean", *NUMBERS):
        values = [np.nan if pd.isna(v) else float(v) for v in column]
        numbers = pd.Series(values, index=column.index, name=column.name)
    else:
        raise DataError(
            f"{variable.name!r} was {'numbers' if variable.kind == 'number' else 'True or False'} in the fit and "
            f"holds {dtype} values here{_stray(column)}; convert them first."
        )
    if variable.kind == "boolean" and not numbers.dropna().isin([0, 1]).all():
        raise DataError(f"{variable.name!r} was True or False in the fit and holds other numbers here.")
    return numbers


def _stray(column: pd.Series[Any]) -> str:
    """Return the first value that is no number, or an example of numbers written as text."""
    clause = not_numbers(column)
    return f": {clause}" if clause else f", such as {shown(column.dropna().iloc[0])}"


def level_codes(column: pd.Series[Any], levels: pd.Index[Any]) -> IntArray:
    """Return the position of each value among levels, shape (n,); −1 if it is missing or not a level."""
    values = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    codes = np.full(len(values), -1, dtype=np.int64)
    present = values.notna().to_numpy()
    codes[present] = _places(values[present].to_numpy(), levels)
    return codes


def _places(values: AnyArray, levels: pd.Index[Any]) -> IntArray:
    """Return the place of each value among levels, −1 where it is not one of them.

    Dates and intervals match neither text nor numbers.
    """
    if isinstance(levels.dtype, np.dtype) and levels.dtype.kind in "biuf":
        return np.asarray(levels.get_indexer(pd.Index(values)), dtype=np.int64)
    codes, distinct = pd.factorize(pd.Series(values, dtype=object))
    known = {label: i for i, label in enumerate(levels.tolist())}
    return np.array([known.get(label, -1) for label in distinct.tolist()], dtype=np.int64)[codes]


def whole_codes(column: pd.Series[Any], levels: pd.Index[Any]) -> IntArray | None:
    """Return the place of each value among levels, from a table, if all are integers, near each other, and known."""
    kinds = [own.kind if isinstance(own, np.dtype) else "" for own in (column.dtype, levels.dtype)]
    if kinds != ["i", "i"] or not len(column) or not len(levels):
        return None
    values, known = column.to_numpy(), levels.to_numpy()
    low, high = int(known.min()), int(known.max())
    if high - low >= TABLE_SHARE * known.size or int(values.min()) < low or int(values.max()) > high:
        return None
    table = np.full(high - low + 1, -1, dtype=np.int64)
    table[known - low] = np.arange(known.size)
    codes = table[values - low]
    return None if bool((codes < 0).any()) else codes


def group_codes(
    columns: Sequence[str],
    kinds: Sequence[str],
    levels: pd.Index[Any],
    parts: Sequence[pd.Index[Any]],
    table: pd.DataFrame,
) -> tuple[IntArray, AnyArray]:
    """Return the codes and labels of a grouping factor, both of shape (n,).

    Codes are −1 for labels that are missing or not in the fit; missing labels are None.

    Parameters
    ----------
    columns, kinds, levels, parts
        As of `GroupRecipe`.
    table : pandas.DataFrame
        With the columns.
    """
    whole = whole_codes(table[columns[0]], levels) if len(columns) == 1 else None
    if whole is not None:
        return whole, table[columns[0]].to_numpy()
    values = [_labels(table[column], kind) for column, kind in zip(columns, kinds, strict=True)]
    missing = np.zeros(len(table), dtype=bool)
    for part in values:
        missing |= part.isna().to_numpy()
    codes = np.full(len(table), -1, dtype=np.int64)
    labels = np.full(len(table), None, dtype=object)
    if missing.all():
        return codes, labels
    if len(values) > 1:
        own = [part[~missing].tolist() for part in values]
        codes[~missing], labels[~missing] = _combinations(own, levels, parts)
        return codes, labels
    labels[~missing] = values[0].to_numpy(dtype=object)[~missing]
    codes[~missing] = _places(labels[~missing], levels)
    if (codes[~missing] < 0).any():
        check_column(columns[0], table[columns[0]])
    return codes, labels


def _combinations(
    rows: Sequence[list[Any]], levels: pd.Index[Any], parts: Sequence[pd.Index[Any]]
) -> tuple[IntArray, AnyArray]:
    """Return the place of each row's combination of labels among levels, −1 where it is new, and its text."""
    if not parts:  # files of an earlier version have the texts only
        rows = [list(map(str, part)) for part in rows]
        joined = pd.Index([":".join(row) for row in zip(*rows, strict=True)], dtype=object)
        return np.asarray(levels.get_indexer(joined), dtype=np.int64), joined.to_numpy()
    known = [part.tolist() for part in parts]
    own = list(zip(*map(_as_known, rows, known), strict=True))
    places = {row: i for i, row in enumerate(zip(*known, strict=True))}
    new = [row for row in dict.fromkeys(own) if row not in places]
    texts: dict[Any, str] = dict(zip(places, levels, strict=True))
    texts |= dict(zip(new, combined_labels(list(zip(*new, strict=True)), set(levels)), strict=True))
    codes = np.array([places.get(row, -1) for row in own], dtype=np.int64)
    return codes, np.array([texts[row] for row in own], dtype=object)


def _as_known(labels: list[Any], known: list[Any]) -> list[Any]:
    """Return labels as the fit had them where they differ in type only, such as 308 for '308'."""
    exact, texts = set(known), {str(label): label for label in known}
    return [label if label in exact else texts.get(str(label), label) for label in labels]


def _labels(column: pd.Series[Any], kind: str) -> pd.Series[Any]:
    """Return the labels of a grouping column in the type of the fit; missing values may have made integers floats."""
    if kind in "iu" and pd.api.types.is_float_dtype(column.dtype):
        whole = column.dropna()
        if (whole == whole.round()).all():
            return column.astype("Int64").astype(object)
    if kind == "f" and pd.api.types.is_integer_dtype(column.dtype):
        return column.astype("Float64").astype(object)
    return column.astype(object)


def unseen_levels(name: str, unseen: Iterable[Any], known: Iterable[Any]) -> DataError:
    """Return the error for levels that are not in the fit."""
    new, old = [shown(v) for v in unseen], [shown(v) for v in known]
    return DataError(
        f"{name!r} has values that the fit did not have: {_listed(new)} (known: {_listed(old)}); there is no "
        "coefficient for them. Leave these rows out, or fit the model to data that have them."
    )


def _listed(texts: list[str]) -> str:
    return ", ".join(texts[:10]) + (f", … ({len(texts)} in all)" if len(texts) > 10 else "")
