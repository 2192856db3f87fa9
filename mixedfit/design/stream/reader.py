"""Batches of a source as model frames: the needed columns on complete rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import DataError, a_type
from mixedfit.design.frames import as_frame, plain_column
from mixedfit.design.model_frame import (
    Missing,
    ModelFrame,
    check_weight_values,
    missing_by_column,
    needed_columns,
    per_row,
)
from mixedfit.formula.parse import ParsedFormula

from .source import RowSource

__all__ = ["BatchReader", "PartRows", "RowCounts"]


@dataclass(eq=False)
class RowCounts:
    """Numbers of rows and missing values, counted while batches are read.

    Attributes
    ----------
    read, dropped, batches : int
    missing : dict of str to int
        Missing values of each column that has some.
    """

    read: int = 0
    dropped: int = 0
    batches: int = 0
    missing: dict[str, int] = field(default_factory=dict)

    def plus(self, other: RowCounts) -> RowCounts:
        """Return the numbers of both."""
        names = {**self.missing, **other.missing}
        return RowCounts(
            self.read + other.read,
            self.dropped + other.dropped,
            self.batches + other.batches,
            {name: self.missing.get(name, 0) + other.missing.get(name, 0) for name in names},
        )


@dataclass(frozen=True, slots=True)
class PartRows:
    """Numbers of rows of a part of a source, and the sum of hashes of its complete rows.

    Attributes
    ----------
    counts : RowCounts
    digest : int
    levels : int
        Number of levels of the grouping factor with most of them, in the part.
    """

    counts: RowCounts
    digest: int
    levels: int


@dataclass(frozen=True, eq=False)
class BatchReader:
    """Reads the batches of a source as model frames.

    Attributes
    ----------
    source : RowSource
    needed : list of str
        Columns of the formula.
    weights, offset : str or None
        Columns of weights and offset.
    missing : {"drop", "raise"}
    """

    source: RowSource
    needed: list[str]
    weights: str | None
    offset: str | None
    missing: Missing

    @classmethod
    def of(
        cls, parsed: ParsedFormula, source: RowSource, weights: Any, offset: Any, missing: Missing
    ) -> BatchReader:
        """Return the reader of a formula's columns.

        Raises
        ------
        DataError
            If weights or offset are not names of columns, or rows with missing values are to be shown.
        FormulaError
            If a column of the formula is not in the source.
        """
        for what, value in (("weights", weights), ("offset", offset)):
            if value is not None and not isinstance(value, str):
                raise DataError(
                    f"{what} is {a_type(value)}; rows that are read in batches need the name of a column. "
                    "Write the values to a column of the data."
                )
            if value is not None and value not in source.columns:
                raise DataError(f"{what}={value!r} is no column of {source.name}.")
        if missing == "exclude":
            raise DataError(
                "missing='exclude' shows all rows in row-wise answers, and rows that are read in batches are not kept. "
                "Use missing='drop'."
            )
        needed = needed_columns(parsed, list(source.columns), None)
        return cls(source, needed, weights, offset, missing)

    @property
    def names(self) -> list[str]:
        """Columns that are read."""
        further = [name for name in (self.weights, self.offset) if name is not None]
        return list(dict.fromkeys([*self.needed, *further]))

    def frames(
        self, counts: RowCounts, report: Callable[[RowCounts], None] | None = None
    ) -> Iterator[ModelFrame]:
        """Yield the complete rows of each batch that has some, with what was read in `whole`.

        Parameters
        ----------
        counts : RowCounts
            Updated with each batch.
        report : callable, optional
            Called after each batch.
        """
        names = self.names or list(self.source.columns[:1])
        for batch in self.source.batches(names):
            frame = self._frame(batch, names, counts)
            if frame is not None:
                yield frame
            if report is not None:
                report(counts)

    def _frame(self, batch: Any, names: list[str], counts: RowCounts) -> ModelFrame | None:
        table = as_frame(batch, names)
        if not isinstance(batch, pd.DataFrame):
            table.index = pd.RangeIndex(counts.read, counts.read + len(table))
        rows = len(table)
        counts.batches += 1
        try:
            columns = {name: table[name] for name in names}
            weights = per_row("weights", self.weights, table, rows)
            offset = per_row("offset", self.offset, table, rows)
            absent = np.zeros(rows, dtype=bool) if offset is None else np.isnan(offset)
            missing = missing_by_column(columns, absent)
        except DataError as error:
            raise DataError(f"{self.source.place}, batch {counts.batches}: {error}") from None
        self._count(counts, absent, missing, table.index)
        kept = ~absent if absent.any() else None
        if rows == 0 or (kept is not None and not kept.any()):
            return None
        columns = {name: column if kept is None else column[kept] for name, column in columns.items()}
        index = table.index if kept is None else table.index[kept]
        weights, offset = _kept(weights, kept), _kept(offset, kept)
        if weights is not None:
            check_weight_values(weights, index)
        plain = {name: plain_column(column) for name, column in columns.items()}
        return ModelFrame(
            plain, index, weights, offset, int(absent.sum()), whole=columns, place=self.source.place
        )

    def _count(
        self, counts: RowCounts, absent: BoolArray, missing: Mapping[str, int], index: pd.Index[Any]
    ) -> None:
        counts.read += len(index)
        counts.dropped += int(absent.sum())
        for name, count in missing.items():
            counts.missing[name] = counts.missing.get(name, 0) + count
        if absent.any() and self.missing == "raise":
            first = index[int(np.flatnonzero(absent)[0])]
            raise DataError(
                f"{self.source.place}, batch {counts.batches}: {int(absent.sum())} rows have missing values "
                f"(first: row {first}) and missing='raise' was asked for. Fill or remove them, or use missing='drop'."
            )


def _kept(values: Array | None, kept: BoolArray | None) -> Array | None:
    return values if values is None or kept is None else values[kept]
