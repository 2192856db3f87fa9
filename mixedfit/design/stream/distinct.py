"""Which numbers of a column were seen before, at a cost that does not grow with their number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray, BoolArray

__all__ = ["SeenNumbers"]

TABLE = 1 << 22
"""Range of integers up to which a table says which were seen: 4 MB."""

SPARSE = 16
"""Largest ratio of a larger range to the number of distinct integers at which there is a table."""

PENDING = 1 << 16
"""Smallest number of new numbers that are added to the hash table, which is then made anew."""


class SeenNumbers:
    """The distinct numbers of a column, batch by batch.

    Parameters
    ----------
    values : ndarray or None
        Numbers that were seen before.
    """

    def __init__(self, values: AnyArray | None = None) -> None:
        self.table: BoolArray | None = np.zeros(0, dtype=bool)
        self.low, self.count = 0, 0
        self.index: pd.Index[Any] | None = None
        self.pending: pd.Index[Any] | None = None
        if values is not None and values.size:
            self.new(values)

    def new(self, values: AnyArray) -> AnyArray:
        """Return the distinct values that were not seen before, in order of appearance; they are now."""
        if self.table is not None and values.dtype.kind == "i" and self._covered(values):
            places = values.astype(np.int64, copy=False) - self.low
            seen = self.table[places]
            if seen.all():
                return values[:0]
            found: AnyArray = pd.unique(values[~seen])
            self.table[found.astype(np.int64, copy=False) - self.low] = True
            self.count += found.size
            return found
        return self._hashed(values)

    def _covered(self, values: AnyArray) -> bool:
        """Make the table cover the values; return whether it does."""
        assert self.table is not None
        low, high = int(values.min()), int(values.max())
        if self.count and low >= self.low and high < self.low + self.table.size:
            return True
        if self.count:
            low, high = min(low, self.low), max(high, self.low + self.table.size - 1)
        size = high - low + 1
        if size > max(TABLE, SPARSE * (self.count + values.size)) or not -(2**62) < low <= high < 2**62:
            return False
        table = np.zeros(min(2 * size, max(TABLE, size)), dtype=bool)  # room for the levels of sorted rows
        if self.count:
            table[self.low - low : self.low - low + self.table.size] = self.table
        self.table, self.low = table, low
        return True

    def _hashed(self, values: AnyArray) -> AnyArray:
        if self.table is not None:
            if self.count:
                self.index = pd.Index(np.flatnonzero(self.table) + self.low)
            self.table = None
        found: AnyArray = pd.unique(values)
        for known in (self.index, self.pending):
            if known is not None:
                found = found[known.get_indexer(pd.Index(found)) < 0]
        if found.size:
            own = pd.Index(found)
            self.pending = own if self.pending is None else self.pending.append(own)
            if self.index is None or self.pending.size > max(PENDING, self.index.size // 4):
                self.index = self.pending if self.index is None else self.index.append(self.pending)
                self.pending = None
        return found
