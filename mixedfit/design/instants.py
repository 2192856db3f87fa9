"""Dates and times as numbers of days, with the calendar of their time zone or as instants."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from mixedfit.core.errors import DataError

__all__ = ["is_zoned", "naive_times"]


def is_zoned(column: pd.Series[Any]) -> bool:
    """Return whether a column holds times with a time zone, in a type of their own or as objects.

    Raises
    ------
    DataError
        If some times have a zone and others have none.
    """
    dtype: Any = column.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        return True
    if str(dtype).endswith("[pyarrow]"):
        return getattr(dtype.pyarrow_dtype, "tz", None) is not None
    if dtype.kind != "O":
        return False
    zoned = {getattr(value, "tzinfo", None) is not None for value in column.dropna()}
    if len(zoned) == 2:
        raise DataError(
            f"column {column.name!r} holds times with a time zone and times without one. Give all of them one, with "
            "tz_localize, or none."
        )
    return zoned == {True}


def naive_times(column: pd.Series[Any], wall: bool | None) -> tuple[pd.Series[Any], bool]:
    """Return times without a zone, and whether they are those of clocks in their zone.

    Times that are all midnights of their zone are dates: days between them count by the calendar, also where a day has
    23 or 25 hours. Others are instants, in universal time: their differences are elapsed time.

    Parameters
    ----------
    column : pandas.Series
        Dates or times, with a zone or without.
    wall : bool, optional
        Whether to return times of clocks; by default where all are midnights.
    """
    if not is_zoned(column):
        return pd.to_datetime(column), True
    if wall is not False:
        clocks = _clocks(column)
        if wall or bool((clocks.dropna() == clocks.dropna().dt.normalize()).all()):
            return clocks, True
    return cast("pd.Series[Any]", pd.to_datetime(column, utc=True).dt.tz_localize(None)), False


def _clocks(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the times that clocks in the zone of each value show."""
    if column.dtype.kind != "O":
        own: Any = column if isinstance(column.dtype, pd.DatetimeTZDtype) else column.dt.tz_localize(None)
        return cast("pd.Series[Any]", own.dt.tz_localize(None) if own is column else pd.to_datetime(own))
    shown: Any = [np.datetime64("NaT") if pd.isna(value) else value.replace(tzinfo=None) for value in column]
    return pd.Series(pd.to_datetime(shown), index=column.index, name=column.name)
