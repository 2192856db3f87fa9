"""Conversion of input data to a pandas frame of the needed columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray
from mixedfit.core.errors import DataError, nearest, shown

from .instants import is_zoned, naive_times
from .wrong_values import not_numbers

__all__ = [
    "DATES",
    "as_frame",
    "category_codes",
    "check_column",
    "column_names",
    "date_labels",
    "dates_of",
    "days",
    "days_as",
    "in_index",
    "marked_days",
    "plain_column",
]


def column_names(data: Any) -> list[str]:
    """Return the names of the columns of a frame, table or mapping.

    Raises
    ------
    DataError
        If `data` is none of these.
    """
    if isinstance(data, pd.DataFrame):
        return [str(name) for name in data.columns]
    if isinstance(data, Mapping):
        return [str(name) for name in data]
    if hasattr(data, "collect"):
        raise DataError("the data are a lazy frame; call .collect() first.")
    names = getattr(data, "column_names", None) or getattr(data, "columns", None)
    if names is None:
        if isinstance(data, str | Path):
            raise DataError(
                f"the data are {str(data)!r}; expected a frame here. mf.read reads a file into one."
            )
        raise DataError(
            f"data of type {type(data).__name__} cannot be read; expected a pandas or polars frame, a pyarrow "
            "table or a dict of arrays (a row of a frame is data.loc[[label]], a frame of one row)."
        )
    return [str(name) for name in names]


def as_frame(data: Any, columns: Iterable[str]) -> pd.DataFrame:
    """Return a pandas frame with the named columns; a pandas frame is returned unchanged.

    Raises
    ------
    DataError
        If a column is missing or has a type that is not supported, or columns differ in length.
    """
    wanted = list(dict.fromkeys(columns))
    if isinstance(data, pd.DataFrame):
        _check_names(wanted, data.columns, data.index)
        _check_unique(wanted, data)
        return data
    _check_names(wanted, column_names(data))
    series = {name: _series(name, data[name]) for name in wanted}
    lengths = {name: len(values) for name, values in series.items() if values is not None}
    rows = next(iter(lengths.values()), 1)
    for name in (name for name, values in series.items() if values is None):
        series[name] = np.repeat(np.asarray(data[name]), rows)
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"the columns differ in length: {lengths}. Give every column the same number of rows."
        )
    return pd.DataFrame(series)


def _check_names(wanted: Iterable[str], present: Iterable[Any], index: Any = None) -> None:
    known = present if isinstance(present, pd.Index) else set(present)
    for name in wanted:
        if name not in known:
            names = [str(other) for other in present]
            listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
            advice = _not_text(name, present) or in_index(name, index) or nearest(name, names)
            raise DataError(f"no column {name!r} in the data (columns: {listed}). {advice}".rstrip())


def in_index(name: str, index: Any) -> str:
    """Return advice if a name is that of the rows' labels, or an empty string."""
    if name in (getattr(index, "names", None) or ()):
        return f"{name!r} is the name of the index: make it a column with data.reset_index()."
    return ""


def _not_text(name: str, present: Iterable[Any]) -> str:
    """Return advice if a column is named by a number, or an empty string."""
    other = next((column for column in present if not isinstance(column, str) and str(column) == name), None)
    if other is None:
        return ""
    return (
        f"The column is named by the {type(other).__name__} {shown(other)}; formulas name columns by text: "
        "data.columns = data.columns.astype(str)."
    )


def _check_unique(wanted: Iterable[str], data: pd.DataFrame) -> None:
    if data.columns.is_unique:
        return
    for name in wanted:
        if int(np.sum(data.columns == name)) > 1:
            raise DataError(
                f"the data have several columns named {name!r}; rename them so that one is meant."
            )


def _series(name: str, values: Any) -> Any:
    """Return a column as a type that pandas stores without a copy, or None for a scalar, which holds for all rows."""
    if isinstance(values, pd.Series):
        return values.reset_index(drop=True)
    kind = type(values).__module__.split(".")[0]
    if kind == "polars":
        return _from_polars(values)
    if kind == "pyarrow":
        return _from_arrow(values)
    array = values if isinstance(values, pd.Categorical) else np.asarray(values)
    if not isinstance(array, pd.Categorical) and array.ndim == 0:
        return None
    if not isinstance(array, pd.Categorical) and array.ndim != 1:
        raise DataError(f"column {name!r} has shape {array.shape}; expected one dimension.")
    return array


def _from_polars(values: Any) -> Any:
    kind = str(values.dtype)
    if kind.startswith(("Categorical", "Enum")):
        text = values.cast(type(values)([""]).dtype)
        if kind.startswith("Enum"):
            return pd.Categorical(text.to_list(), categories=values.dtype.categories.to_list())
        return pd.Categorical(text.to_list())
    if kind == "String":
        return pd.Series(values.to_list(), dtype="str")
    if values.null_count() and kind.startswith(("Int", "UInt")):
        return pd.array(values.to_list(), dtype="UInt64" if kind == "UInt64" else "Int64")
    if values.null_count() and kind.startswith("Float"):
        return values.to_numpy()
    return np.asarray(
        values.to_numpy() if not values.null_count() else np.array(values.to_list(), dtype=object)
    )


def _from_arrow(values: Any) -> Any:
    kind = str(values.type)
    if values.null_count and kind.startswith(("int", "uint")):  # a float would merge large labels
        return pd.array(values.to_pylist(), dtype="UInt64" if kind == "uint64" else "Int64")
    return values.to_pandas()


def check_column(name: str, values: pd.Series[Any]) -> None:
    """Raise an error if the type of a column is not supported: complex, times, intervals, other objects.

    Raises
    ------
    DataError
        The message has the type and the conversion to make.
    """
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "c":
        raise DataError(
            f"column {name!r} is complex; mixed models take real numbers. Use its .real or its modulus."
        )
    if _is_time(dtype):
        raise _times(name, "dates or durations", str(dtype))
    if isinstance(dtype, pd.IntervalDtype):
        raise DataError(
            f"column {name!r} holds intervals ({dtype}). As a factor, turn them into labels: "
            f"data[{name!r}].astype(str); as a number, take their middles: pd.arrays.IntervalArray(data[{name!r}]).mid."
        )
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        kind = pd.api.types.infer_dtype(values, skipna=True)
        if kind in ("date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period"):
            raise _times(name, f"{kind} objects", "object")
        if kind not in ("string", "boolean", "empty", "categorical", *NUMBERS):
            raise DataError(
                f"column {name!r} has dtype object and holds {kind} values{_example(values)}; expected numbers, "
                "strings, booleans or categories. Convert it with pd.to_numeric or .astype(str)."
            )


def _example(values: pd.Series[Any]) -> str:
    clause = not_numbers(values)
    return f": {clause}" if clause else ""


def _is_time(dtype: Any) -> bool:
    """Return whether a numpy, pandas or Arrow type is one of dates, times, durations or periods."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "mM"
    if isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype):
        return True
    return str(dtype).startswith(("timestamp", "date", "time", "duration")) and str(dtype).endswith(
        "[pyarrow]"
    )


def days(column: pd.Series[Any], wall: bool | None = None) -> pd.Series[Any]:
    """Return a column with dates or durations as days since 1970 or as days; another column as it is.

    `wall` says for times with a zone whether days are those of its calendar; see `naive_times`.
    """
    return _days(column, wall)[0]


def _days(column: pd.Series[Any], wall: bool | None) -> tuple[pd.Series[Any], str]:
    """Return `days`, and what they were: "dates", "instants", or nothing."""
    dtype = column.dtype
    if isinstance(dtype, pd.PeriodDtype):
        column, dtype = column.dt.to_timestamp(), np.dtype("M8[ns]")
    objects = isinstance(dtype, np.dtype) and dtype.kind == "O"
    objects = objects and pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime", "datetime64")
    if not (objects or _is_time(column.dtype)):
        return column, ""
    kind = getattr(column.dtype, "kind", "M")
    if kind == "m":
        durations: Any = column
        return cast("pd.Series[Any]", durations / pd.Timedelta(days=1)), ""
    values, clocks = naive_times(column, wall)
    since: Any = values - pd.Timestamp(0)
    return cast("pd.Series[Any]", since / pd.Timedelta(days=1)), "dates" if clocks else "instants"


DATES = "mixedfit_dates"
"""Mark of a column of days since 1970 in its ``attrs``: "dates" of a calendar, or "instants" of times with a zone."""


def marked_days(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return `days` of a column, marked if they were dates or times, so that its levels can be printed as such."""
    out, what = _days(column, None)
    if what:
        out.attrs[DATES] = what
    return out


def days_as(column: pd.Series[Any], known: pd.Series[Any]) -> pd.Series[Any]:
    """Return `days` of a column of new rows, as `known`, which `marked_days` made of the rows of a fit.

    Raises
    ------
    DataError
        If the rows of the fit had a time zone and the new ones have none.
    """
    mark = known.attrs.get(DATES)
    out, what = _days(column, None if mark is None else mark == "dates")
    if mark == "instants" and what == "dates":
        raise DataError(
            f"column {column.name!r} has times without a time zone; those of the fit had one. Give the zone: "
            f"newdata[{column.name!r}].dt.tz_localize(...)."
        )
    return out


def dates_of(numbers: pd.Index[Any]) -> pd.Index[str]:
    """Return days since 1970 as the text of `date_labels`."""
    nanoseconds = np.round(numbers.to_numpy(dtype=np.float64) * 86_400e6).astype(np.int64) * 1000
    return pd.Index(pd.Series(pd.to_datetime(nanoseconds)).astype(str))


def date_labels(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of dates or durations as ordered labels, such as "2024-01-31"; another column as it is.

    Times with a zone that are all midnights are dates; equal instants have one label.
    """
    numbers, what = _days(column, None)
    if numbers is column:
        return column
    shown = naive_times(column, True)[0] if what == "dates" and is_zoned(column) else column
    text = shown.astype(str).where(column.notna().to_numpy())
    order = pd.Series(text.to_numpy(), index=numbers.to_numpy()).dropna().sort_index(kind="stable")
    labels = order[~order.index.duplicated()]
    own = labels.reindex(numbers.to_numpy()).to_numpy()
    return pd.Series(pd.Categorical(own, categories=list(labels.unique()), ordered=True), index=column.index)


def _times(name: str, what: str, dtype: str) -> DataError:
    column = f"data[{name!r}]"
    dates = f"{column}.dt.to_timestamp()" if "period" in f"{dtype} {what}" else f"pd.to_datetime({column})"
    number = f"days since the start: t = {dates}; t = (t - t.min()) / pd.Timedelta(days=1)"
    if dtype.startswith(("timedelta", "duration")) or "timedelta" in what:
        number = f"days: t = pd.to_timedelta({column}) / pd.Timedelta(days=1)"
    return DataError(
        f"column {name!r} holds {what} ({dtype}). As a predictor, turn it into a number first, such as {number}; as a "
        f"grouping factor, into labels: {column}.astype(str)."
    )


NUMBERS = ("floating", "integer", "mixed-integer-float")
"""Results of `pandas.api.types.infer_dtype` for objects that are all numbers."""


def category_codes(column: pd.Series[Any]) -> AnyArray:
    """Return the codes of a categorical column, −1 for missing values."""
    return np.asarray(cast(pd.Categorical, column.array).codes)


def plain_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column without missing values as numbers, booleans, or categories without unused ones.

    Text becomes sorted categories; nullable and Arrow types become numpy types.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        counts = np.bincount(category_codes(column), minlength=len(dtype.categories))
        return column.cat.remove_unused_categories() if (counts == 0).any() else column
    if isinstance(dtype, np.dtype) and dtype.kind in "iufb":
        return column
    if isinstance(dtype, np.dtype) and pd.api.types.infer_dtype(column, skipna=True) in NUMBERS:
        return pd.Series(pd.to_numeric(column), index=column.index, name=column.name)
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return column.astype(bool)
    if pd.api.types.is_integer_dtype(dtype):
        whole = np.uint64 if str(dtype).lower().startswith("uint64") else np.int64
        return pd.Series(column.to_numpy(dtype=whole), index=column.index, name=column.name)
    if pd.api.types.is_numeric_dtype(dtype):
        return pd.Series(column.to_numpy(dtype=np.float64), index=column.index, name=column.name)
    return column.astype("category")
