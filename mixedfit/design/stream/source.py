"""Sources of rows: files, datasets, lazy frames and iterables of frames, read in batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfit.core.errors import DataError
from mixedfit.design.frames import column_names

from .pieces import DatasetRows, Frames, ParquetRows, file_parts, fragment_parts

__all__ = ["BATCH_ROWS", "RowSource", "check_batch_rows", "is_source", "open_source"]

BATCH_ROWS = 1 << 18
"""Rows of a batch, unless said otherwise."""

PARQUET = (".parquet", ".pq")

CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")

EXTRA = "Install the extra: pip install 'mixedfit[stream]'."


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
        if _module(item) == "dask":  # elsewhere than on a cluster
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
                    f"{self.name}: batch {batch} cannot be read: {type(error).__name__}: {error}. Check that the data "
                    "are complete and that all parts have the same columns and types."
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


def check_batch_rows(batch_rows: Any) -> int:
    """Return the number of rows of a batch.

    Raises
    ------
    DataError
        If it is not a positive whole number.
    """
    if batch_rows is None:
        return BATCH_ROWS
    if isinstance(batch_rows, bool) or int(batch_rows) != batch_rows or batch_rows < 1:
        raise DataError(
            f"batch_rows is {batch_rows!r}; expected a whole number of at least 1, such as {BATCH_ROWS}."
        )
    return int(batch_rows)


def is_source(data: Any) -> bool:
    """Return whether data are read in batches: a path, dataset, lazy frame, callable or iterable of frames."""
    if isinstance(data, str | Path) or _is_dataset(data) or _is_lazy(data) or _is_dask(data):
        return True
    if isinstance(data, pd.DataFrame | Mapping) or hasattr(data, "column_names"):
        return False
    if isinstance(data, list | tuple):
        return bool(data) and all(_is_frame(item) for item in data)
    if hasattr(data, "columns") or hasattr(data, "dtype"):
        return False
    return callable(data) or isinstance(data, Iterable)


def _is_frame(data: Any) -> bool:
    return (
        isinstance(data, pd.DataFrame | Mapping) or hasattr(data, "column_names") or hasattr(data, "columns")
    )


def _module(data: Any) -> str:
    return type(data).__module__.split(".")[0]


def _is_dataset(data: Any) -> bool:
    return _module(data) == "pyarrow" and hasattr(data, "scanner") and hasattr(data, "count_rows")


def _is_lazy(data: Any) -> bool:
    return _module(data) == "polars" and hasattr(data, "collect_schema") and hasattr(data, "collect")


def _is_dask(data: Any) -> bool:
    return (
        _module(data) in ("dask", "dask_expr") and hasattr(data, "npartitions") and hasattr(data, "columns")
    )


def open_source(data: Any, batch_rows: int | None) -> RowSource:
    """Return a source of rows.

    Parameters
    ----------
    data : str, Path, pyarrow Dataset, polars LazyFrame, callable or iterable of frames
    batch_rows : int, optional

    Raises
    ------
    DataError
        If the data cannot be opened or can be walked only once.
    """
    size = check_batch_rows(batch_rows)
    if isinstance(data, str | Path):
        return _from_path(Path(data), size)
    if _is_dataset(data):
        return _from_dataset("the dataset", data, size)
    if _is_dask(data):
        return _from_dask(data, size)
    if _is_lazy(data):
        return _from_lazy(data, size)
    return _from_frames(data, size)


def _from_path(path: Path, size: int) -> RowSource:
    if not path.exists():
        raise DataError(f"there is no file or folder {str(path)!r}. Give the path of a CSV or Parquet file.")
    name = path.name.lower()
    if path.is_dir() or name.endswith(PARQUET):
        dataset = _arrow()
        try:
            opened = dataset.dataset(str(path), format="parquet")
        except Exception as error:
            raise DataError(
                f"{str(path)!r} cannot be read as Parquet: {error}. Write the file again."
            ) from error
        return _from_files(str(path), opened, size)
    if name.endswith(CSV):
        return _from_csv(path, size)
    raise DataError(
        f"{str(path)!r}: files of this kind are not read; expected one of {', '.join((*CSV, *PARQUET))} or a folder of "
        "Parquet files. Read other files into a frame first."
    )


def _arrow() -> Any:
    try:
        from pyarrow import dataset
    except ImportError:
        raise DataError(f"Parquet files and datasets are read with pyarrow. {EXTRA}") from None
    return dataset


def _from_files(name: str, dataset: Any, size: int) -> RowSource:
    """Return a source of Parquet files, read one after the other; a scan of the dataset reads ahead of its batches."""
    columns = tuple(dataset.schema.names)

    def split(names: Sequence[str]) -> Iterator[Any]:
        for files in file_parts(dataset.files, size):
            shown = files.pieces[0][0] if len(files.pieces) == 1 else f"{name}, from {files.pieces[0][0]} on"
            yield RowSource(shown, columns, files, None, size, appended=True)

    return RowSource(
        name,
        columns,
        ParquetRows(tuple((path, None) for path in dataset.files), size),
        _count(name, dataset),
        size,
        appended=True,
        split=split,
        files=tuple(dataset.files),
    )


def _count(name: str, dataset: Any) -> int:
    try:
        return int(dataset.count_rows())
    except Exception as error:
        raise DataError(f"{name} cannot be read: {error}. Check that the file is complete.") from error


def _from_dataset(name: str, dataset: Any, size: int) -> RowSource:
    columns, schema = tuple(dataset.schema.names), dataset.schema

    def split(names: Sequence[str]) -> Iterator[Any]:
        try:
            fragments = list(dataset.get_fragments())
        except ValueError:  # a filtered dataset gives its rows only
            fragments = []
        if not fragments or not all(hasattr(own, "row_groups") for own in fragments):
            yield from DatasetRows((dataset,), None, size)(names)
            return
        for own in fragment_parts(fragments, schema, size):
            yield RowSource(f"{name}, {own.datasets[0].path}", columns, own, None, size, appended=True)

    return RowSource(
        name,
        columns,
        DatasetRows((dataset,), None, size),
        _count(name, dataset),
        size,
        appended=True,
        split=split,
        files=tuple(getattr(dataset, "files", ())),
    )


def _from_dask(frame: Any, size: int) -> RowSource:
    """Return a source of a Dask frame; without an executor its partitions are computed one after the other."""

    def chosen(names: Sequence[str]) -> Any:
        return frame[list(names)]

    def read(names: Sequence[str]) -> Iterator[Any]:
        partitions = chosen(names).partitions
        for i in range(frame.npartitions):
            yield partitions[i].compute()

    columns = tuple(map(str, frame.columns))
    return RowSource(
        "the Dask frame", columns, read, None, size, split=lambda names: iter(chosen(names).to_delayed())
    )


def _from_lazy(frame: Any, size: int) -> RowSource:
    columns = tuple(frame.collect_schema().names())

    def read(names: Sequence[str]) -> Iterator[Any]:
        chosen = frame.select(list(names))
        if hasattr(chosen, "collect_batches"):
            yield from chosen.collect_batches(chunk_size=size, maintain_order=True)
            return
        start = 0
        while True:
            part = chosen.slice(start, size).collect()
            if not len(part):
                return
            yield part
            start += size

    return RowSource("the lazy frame", columns, read, None, size)


def _from_csv(path: Path, size: int) -> RowSource:
    """Return a source of a CSV file; tabs separate the columns of files named .tsv."""
    separator = "\t" if ".tsv" in path.name.lower() else ","
    try:
        columns = tuple(str(name) for name in pd.read_csv(path, sep=separator, nrows=0).columns)
    except Exception as error:
        raise DataError(
            f"{str(path)!r} cannot be read as CSV: {error}. Check the file and its encoding."
        ) from error

    def read(names: Sequence[str]) -> Iterator[Any]:
        with pd.read_csv(path, sep=separator, usecols=list(names), chunksize=size) as reader:
            yield from reader

    return RowSource(str(path), columns, read, None, size, files=(str(path),))


def _from_frames(data: Any, size: int) -> RowSource:
    if not callable(data) and iter(data) is data:
        raise DataError(
            f"the data are a {type(data).__name__}, which can be walked only once; the rows are read twice. Give a "
            "list of frames, or a function without arguments that returns a new iterator: lambda: pd.read_csv(path, "
            "chunksize=100_000)."
        )
    once = data() if callable(data) else data
    frames = iter(once)
    first = next(frames, None)
    if first is None:
        raise DataError("the data have no frames; a model needs at least one row.")
    if not _is_frame(first):
        raise DataError(
            f"the data are an iterable of {type(first).__name__}; expected pandas or polars frames, pyarrow tables or "
            "dicts of arrays."
        )
    if callable(data) and once is data():
        raise DataError("the function returns the same iterator each time; return a new one at each call.")
    total = sum(map(len, data)) if isinstance(data, list | tuple) and not _has_dict(data) else None

    def read(names: Sequence[str]) -> Iterator[Any]:
        yield from data() if callable(data) else data

    return RowSource("the frames", tuple(column_names(first)), read, total, size)


def _has_dict(frames: Iterable[Any]) -> bool:
    return any(isinstance(frame, Mapping) for frame in frames)
