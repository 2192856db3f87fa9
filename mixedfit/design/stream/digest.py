"""Hashes of rows, whose sum does not depend on the order of the rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray

__all__ = ["row_digest"]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴/φ, odd: Knuth, TAOCP 3, section 6.4


def row_digest(columns: Iterable[Any], rows: int) -> int:
    """Return the sum modulo 2⁶⁴ of a hash of each row.

    Parameters
    ----------
    columns : iterable of pandas.Series or ndarray, each of shape (rows,)
        Numbers, booleans or categories without missing values.
    rows : int
    """
    total = np.zeros(rows, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            total ^= _bits(column)
            total *= _MULTIPLIER
            total ^= total >> np.uint64(29)
        return int(np.sum(total, dtype=np.uint64))


def _bits(column: Any) -> AnyArray:
    if isinstance(column, pd.Series) and isinstance(column.dtype, pd.CategoricalDtype):
        own = pd.util.hash_array(column.cat.categories.to_numpy(dtype=object), categorize=False)
        return np.asarray(own[column.cat.codes.to_numpy()])
    values = np.asarray(column)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        return values.astype(np.uint64, copy=False)
    return values.astype(np.float64).view(np.uint64)
