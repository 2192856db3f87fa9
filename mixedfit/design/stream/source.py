"""Sources of rows: files, datasets, lazy frames and iterables of frames, read in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.errors import DataError, a_type
from mixedfit.design.frames import column_names

from .paths import count_rows, source_of_paths
from .pieces import DatasetRows, fragment_parts
from .row_source import RowSource, module_of

__all__ = ["BATCH_ROWS", "RowSource", "check_batch_rows", "is_source", "open_source"]

BATCH_ROWS = 1 << 18
"""Rows of a batch, unless said otherwise."""


def check_batch_rows(batch_rows: Any) -> int:
    """Return the number of rows of a batch.

    Raises
    ------
    DataError
        If it is not a positive whole number.
    """
    if batch_rows is None:
        return BATCH_ROWS
    number = isinstance(batch_rows, int | float | np.integer | np.floating) and not isinstance(
        batch_rows, bool
    )
    if not (number and batch_rows >= 1 and batch_rows == batch_rows // 1):
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
        return bool(data) and (_is_paths(data) or all(_is_frame(item) for item in data))
    if hasattr(data, "columns") or hasattr(data, "dtype"):
        return False
    return callable(data) or isinstance(data, Iterable)


def _is_paths(data: Any) -> bool:
    return (
        isinstance(data, list | tuple) and bool(data) and all(isinstance(item, str | Path) for item in data)
    )


def _is_frame(data: Any) -> bool:
    return (
        isinstance(data, pd.DataFrame | Mapping) or hasattr(data, "column_names") or hasattr(data, "columns")
    )


def _is_dataset(data: Any) -> bool:
    return module_of(data) == "pyarrow" and hasattr(data, "scanner") and hasattr(data, "count_rows")


def _is_lazy(data: Any) -> bool:
    return module_of(data) == "polars" and hasattr(data, "collect_schema") and hasattr(data, "collect")


def _is_dask(data: Any) -> bool:
    return (
        module_of(data) in ("dask", "dask_expr") and hasattr(data, "npartitions") and hasattr(data, "columns")
    )


def open_source(data: Any, batch_rows: int | None) -> RowSource:
    """Return a source of rows.

    Parameters
    ----------
    data : str, Path, list of these, pyarrow Dataset, polars LazyFrame, callable or iterable of frames
    batch_rows : int, optional

    Raises
    ------
    DataError
        If the data cannot be opened or can be walked only once.
    """
    size = check_batch_rows(batch_rows)
    if isinstance(data, str | Path) or _is_paths(data):
        return source_of_paths(data, size)
    if _is_dataset(data):
        return _from_dataset("the dataset", data, size)
    if _is_dask(data):
        return _from_dask(data, size)
    if _is_lazy(data):
        return _from_lazy(data, size)
    return _from_frames(data, size)


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
        count_rows(name, dataset),
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


def _from_frames(data: Any, size: int) -> RowSource:
    if not callable(data) and iter(data) is data:
        raise DataError(
            f"the data are {a_type(data)}, which can be walked only once; the rows are read twice. Give a "
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
