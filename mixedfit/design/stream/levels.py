"""Codes of the levels of columns and grouping factors in a batch, among the levels of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import DataError
from mixedfit.design.frames import category_codes
from mixedfit.design.grouping import Grouping

__all__ = ["ColumnCoder", "GroupCoder"]

SPARSE = 8
"""Largest ratio of the range of integers to their number of levels at which codes are looked up in a table."""


class ColumnCoder:
    """Codes of the values of one column.

    Parameters
    ----------
    name : str
    levels : pandas.Index
        Levels of the column in all rows.
    """

    def __init__(self, name: str, levels: pd.Index[Any]) -> None:
        self.name, self.levels = name, levels
        self.numbers = isinstance(levels.dtype, np.dtype) and levels.dtype.kind in "iufb"
        self.table: IntArray | None = None
        if self.numbers:
            self.sorted = levels.to_numpy()
            self._make_table()
        else:
            self.known = {label: i for i, label in enumerate(levels.tolist())}

    def _make_table(self) -> None:
        values = self.sorted
        if values.dtype.kind != "i" or not values.size:
            return
        low, high = int(values[0]), int(values[-1])
        if high - low < SPARSE * values.size:
            self.low = low
            self.table = np.full(high - low + 1, -1, dtype=np.int64)
            self.table[values - low] = np.arange(values.size)

    def codes(self, column: pd.Series[Any]) -> IntArray:
        """Return the level of each row, shape (n,).

        Raises
        ------
        DataError
            If a value is no level, because the source has changed.
        """
        if isinstance(column.dtype, pd.CategoricalDtype) and column.cat.categories is self.levels:
            codes = category_codes(column)
        elif isinstance(column.dtype, pd.CategoricalDtype):
            places = [self.known.get(label, -1) for label in column.cat.categories.tolist()]
            codes = np.array(places, dtype=np.int64)[category_codes(column)]
        else:
            codes = self._number_codes(column.to_numpy())
        if (codes < 0).any():
            raise DataError(
                f"column {self.name!r} has a value that the first pass over the rows did not have. The source must "
                "yield the same rows each time."
            )
        return codes

    def _number_codes(self, values: Any) -> IntArray:
        if not self.numbers:
            return np.full(values.size, -1, dtype=np.int64)
        if self.table is not None and values.dtype.kind == "i":
            shifted = values - self.low
            if values.size and shifted.min() >= 0 and int(shifted.max()) < self.table.size:
                return np.asarray(self.table[shifted])
        places = np.minimum(np.searchsorted(self.sorted, values), self.sorted.size - 1)
        return np.where(self.sorted[places] == values, places, -1).astype(np.int64)


class GroupCoder:
    """Codes of a grouping factor of one column or several.

    Parameters
    ----------
    columns : sequence of Grouping
        The factor's columns, with their levels in all rows.
    grouping : Grouping
        The factor, with its levels in all rows.
    """

    def __init__(self, columns: Sequence[Grouping], grouping: Grouping) -> None:
        self.columns = [ColumnCoder(own.name, own.levels) for own in columns]
        self.grouping = grouping
        if len(columns) > 1:
            parts = [own.levels.get_indexer(part) for own, part in zip(columns, grouping.parts, strict=True)]
            self.known = self._joined([np.asarray(part, dtype=np.int64) for part in parts])

    def _joined(self, parts: Sequence[IntArray]) -> IntArray:
        codes = parts[0]
        for coder, part in zip(self.columns[1:], parts[1:], strict=True):
            codes = codes * len(coder.levels) + part
        return codes

    def codes(self, columns: Sequence[pd.Series[Any]]) -> IntArray:
        """Return the level of each row, shape (n,)."""
        parts = [coder.codes(column) for coder, column in zip(self.columns, columns, strict=True)]
        if len(parts) == 1:
            return parts[0]
        joined = self._joined(parts)
        places = np.minimum(np.searchsorted(self.known, joined), self.known.size - 1)
        if not np.array_equal(self.known[places], joined):
            raise DataError(
                f"grouping factor {self.grouping.name!r} has a combination that the first pass over the rows did not "
                "have. The source must yield the same rows each time."
            )
        return np.asarray(places, dtype=np.int64)
