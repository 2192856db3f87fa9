"""Rows left out for missing values that row-wise answers show as NaN: ``missing="exclude"``, R's na.exclude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mixedfit.core.arrays import IntArray

__all__ = ["Excluded", "Table"]

Table = TypeVar("Table", "pd.Series[Any]", pd.DataFrame)
"""A column or a table, a row for each of the design's."""


@dataclass(frozen=True, slots=True, eq=False)
class Excluded:
    """All rows of data of which a design has some.

    Attributes
    ----------
    index : pandas.Index
        Labels of all rows, N of them.
    kept : ndarray of int64, shape (n,)
        Positions of the design's rows among them.
    """

    index: pd.Index[Any]
    kept: IntArray

    def padded(self, table: Table) -> Table:
        """Return a column or table of the design's rows on all rows, NaN in those left out."""
        every = table.set_axis(self.kept).reindex(pd.RangeIndex(len(self.index)))
        return every.set_axis(self.index)

    def used(self, values: Any) -> Any:
        """Return those values for all rows that belong to the design's; other values as they are."""
        if isinstance(values, pd.Series):
            return values.iloc[self.kept] if values.index.equals(self.index) else values
        try:
            array = np.asarray(values)
        except ValueError:
            return values
        return array[self.kept] if array.shape == self.index.shape else values
