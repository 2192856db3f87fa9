"""`RowSource`: rows that can be read several times, in batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mixedfit.core.errors import DataError
from mixedfit.design.frames import column_names

from .pieces import Frames

__all__ = ["RowSource", "module_of"]


@dataclass(frozen=True, eq=False)
class RowSource:
    """Rows that can be read several times, in batches.

    Attributes
    ----------
    name : str
        What the rows are read from, in words.
    columns : tuple of str
    read : callable
        Takes column names; returns an iterator of frames with these columns.
    total : int or None
        Number of rows, if it is known before they are read.
    batch_rows : int
        Largest number of rows of a batch.
    appended : bool
        Whether categories that differ between batches are kept in the order of appearance, as Arrow does.
    split : callable or None
        Takes column names; returns the parts that an executor reads, in order: sources that can be sent to other
        processes, or Dask's delayed frames. None sends frames of at most `batch_rows` rows.
    files : tuple of str
        Paths of the files that the rows are read from, if they are known.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterator[Any]]
    total: int | None
    batch_rows: int
    appended: bool = False
    split: Callable[[Sequence[str]], Iterator[Any]] | None = None
    files: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The file that is being read, or the name of the source."""
        own = getattr(self.read, "place", None)
        return str(own[0]) if own else self.name

    def state_of_files(self) -> list[list[Any]]:
        """Return path, size and time of change of each file; none if the rows come from elsewhere."""
        try:
            found = [(path, os.stat(path)) for path in self.files]
        except OSError:  # a file on another machine
            return []
        return [[path, own.st_size, own.st_mtime_ns] for path, own in found]

    def parts(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield the parts of the rows that an executor reads, in order; they do not depend on the executor."""
        yield from self.batches(columns) if self.split is None else self.split(columns)

    def part(self, item: Any) -> RowSource:
        """Return the source of a part, where it is read."""
        if isinstance(item, RowSource):
            return item
        if module_of(item) == "dask":  # elsewhere than on a cluster
            item = item.compute()
        return replace(self, read=Frames((item,)), split=None, total=None)

    def unread(self) -> RowSource:
        """Return the source without what reads it, for messages in other processes."""
        return replace(self, read=Frames(()), split=None)

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield frames of at most `batch_rows` rows, in order.

        Raises
        ------
        DataError
            If a batch cannot be read or has no such column.
        """
        batch = 0
        frames = self._frames(columns)
        while True:
            batch += 1
            try:
                frame = next(frames, None)
            except (DataError, KeyboardInterrupt, MemoryError):
                raise
            except Exception as error:
                raise DataError(
                    f"{self.place}: batch {batch} cannot be read: {type(error).__name__}: {str(error).rstrip('.')}. "
                    "Check that the data are complete and that all parts have the same columns and types."
                ) from error
            if frame is None:
                return
            yield from _slices(frame, self.batch_rows)

    def _frames(self, columns: Sequence[str]) -> Iterator[Any]:
        for i, frame in enumerate(self.read(columns)):
            missing = [name for name in columns if name not in column_names(frame)]
            if missing:
                raise DataError(
                    f"{self.name}: frame {i + 1} has no column {missing[0]!r} (columns: "
                    f"{', '.join(column_names(frame)[:20])}); all must have the columns of the first."
                )
            yield frame


def _slices(frame: Any, size: int) -> Iterator[Any]:
    """Yield a frame in parts of at most `size` rows."""
    if isinstance(frame, Mapping):
        frame = pd.DataFrame(frame)
    rows = len(frame)
    if rows <= size:
        yield frame
        return
    for start in range(0, rows, size):
        if isinstance(frame, pd.DataFrame):
            yield frame.iloc[start : start + size]
        else:
            yield frame.slice(start, min(size, rows - start))


def module_of(data: Any) -> str:
    """Return the name of the package that a value's type is from."""
    return type(data).__module__.split(".")[0]
