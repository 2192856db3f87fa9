"""Readers of parts of a source that can be sent to other processes: frames, row groups of files, fragments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mixedfit.core.errors import DataError

__all__ = ["CsvRows", "DatasetRows", "Frames", "ParquetRows", "file_parts", "fragment_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames in memory.

    Attributes
    ----------
    frames : tuple
    """

    frames: tuple[Any, ...]

    def __call__(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield the frames."""
        yield from self.frames


@dataclass(frozen=True, slots=True, eq=False)
class CsvRows:
    """CSV files with the same columns.

    Attributes
    ----------
    paths : tuple of str
    options : mapping
        Of `pandas.read_csv`: how the files are written.
    size : int
        Largest number of rows of a batch.
    place : list of str
        The file that is being read.
    """

    paths: tuple[str, ...]
    options: Mapping[str, Any]
    size: int
    place: list[str] = field(default_factory=list)

    def __call__(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield frames with some columns; the index goes on from file to file."""
        first = 0
        for path in self.paths:
            self.place[:] = [path]
            _check_columns(path, names, list(pd.read_csv(path, nrows=0, **self.options).columns))
            with pd.read_csv(path, usecols=list(names), chunksize=self.size, **self.options) as reader:
                rows = 0
                for frame in reader:
                    rows += len(frame)
                    yield frame.set_axis(frame.index + first) if first else frame
            first += rows


@dataclass(frozen=True, slots=True, eq=False)
class ParquetRows:
    """Row groups of Parquet files. Sums of checks of pages, which some writers add, are compared.

    Attributes
    ----------
    pieces : tuple of (str, tuple of int or None)
        Path and row groups, None for all.
    size : int
        Largest number of rows of a batch.
    of_folders : mapping of str to mapping of str to pyarrow.Scalar
        For each path the values of columns that are names of its folders.
    place : list of str
        The file that is being read.
    """

    pieces: tuple[tuple[str, tuple[int, ...] | None], ...]
    size: int
    of_folders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    place: list[str] = field(default_factory=list)

    def __call__(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield tables with some columns.

        Raises
        ------
        DataError
            If a file cannot be read or lacks a column, with its name.
        """
        for path, groups in self.pieces:
            self.place[:] = [path]
            try:
                yield from self._tables(path, None if groups is None else list(groups), names)
            except (DataError, MemoryError):
                raise
            except Exception as error:
                words = str(error).rstrip(".")
                raise DataError(
                    f"{path} cannot be read: {words}. Check that the file is complete and undamaged."
                ) from error

    def _tables(self, path: str, groups: list[int] | None, names: Sequence[str]) -> Iterator[Any]:
        from pyarrow import Table, repeat
        from pyarrow.parquet import ParquetFile

        constants = {name: value for name, value in self.of_folders.get(path, {}).items() if name in names}
        with ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            own = [name for name in names if name not in constants]
            _check_columns(path, own, file.schema_arrow.names)
            read = own or file.schema_arrow.names[:1]
            for batch in file.iter_batches(batch_size=self.size, row_groups=groups, columns=read):
                if batch.num_rows:
                    table = Table.from_batches([batch]).select(own)
                    for name, value in constants.items():
                        table = table.append_column(name, repeat(value, batch.num_rows))
                    yield table


def _check_columns(path: str, names: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in names if name not in there]
    if missing:
        raise DataError(
            f"{path} has no column {missing[0]!r} (columns: {', '.join(there[:20])}); all files must have the columns "
            "of the first."
        )


@dataclass(frozen=True, slots=True, eq=False)
class DatasetRows:
    """pyarrow datasets, or fragments of one.

    Attributes
    ----------
    datasets : tuple
    schema : pyarrow.Schema or None
        Of the dataset, for fragments, which get the columns of their folders' names from it.
    size : int
        Largest number of rows of a batch.
    """

    datasets: tuple[Any, ...]
    schema: Any
    size: int

    def __call__(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield tables with some columns, of about `size` rows."""
        from pyarrow import Table

        options: dict[str, Any] = {} if self.schema is None else {"schema": self.schema}
        for dataset in self.datasets:
            waiting: list[Any] = []
            rows = 0
            for batch in dataset.to_batches(
                columns=list(names), batch_size=self.size, batch_readahead=1, **options, **_verified(dataset)
            ):
                if not batch.num_rows:
                    continue
                if waiting and rows + batch.num_rows > self.size:
                    yield Table.from_batches(waiting)
                    waiting, rows = [], 0
                waiting.append(batch)
                rows += batch.num_rows
            if waiting:
                yield Table.from_batches(waiting)


def _verified(dataset: Any) -> dict[str, Any]:
    """Return the options of a scan that compares sums of checks of pages, if a dataset is of Parquet files."""
    from pyarrow.dataset import ParquetFileFormat, ParquetFragmentScanOptions

    if not isinstance(getattr(dataset, "format", None), ParquetFileFormat):
        return {}
    return {"fragment_scan_options": ParquetFragmentScanOptions(page_checksum_verification=True)}


def file_parts(
    paths: Sequence[str], size: int, of_folders: Mapping[str, Mapping[str, Any]]
) -> Iterator[ParquetRows]:
    """Yield the row groups of Parquet files in parts of at least `size` rows, the last of fewer."""
    from pyarrow.parquet import ParquetFile

    pieces: dict[str, list[int]] = {}
    rows = 0
    for path in paths:
        with ParquetFile(path) as file:
            counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        for group, count in enumerate(counts):
            pieces.setdefault(path, []).append(group)
            rows += count
            if rows >= size:
                yield _row_groups(pieces, size, of_folders)
                pieces, rows = {}, 0
    if pieces:
        yield _row_groups(pieces, size, of_folders)


def _row_groups(
    pieces: dict[str, list[int]], size: int, of_folders: Mapping[str, Mapping[str, Any]]
) -> ParquetRows:
    own = {path: of_folders[path] for path in pieces if path in of_folders}
    return ParquetRows(tuple((path, tuple(groups)) for path, groups in pieces.items()), size, own)


def fragment_parts(fragments: Sequence[Any], schema: Any, size: int) -> Iterator[DatasetRows]:
    """Yield the row groups of Parquet fragments in parts of at least `size` rows, the last of fewer."""
    held: list[Any] = []
    rows = 0
    for fragment in (own for whole in fragments for own in whole.split_by_row_group()):
        held.append(fragment)
        rows += fragment.count_rows()
        if rows >= size:
            yield DatasetRows(tuple(held), schema, size)
            held, rows = [], 0
    if held:
        yield DatasetRows(tuple(held), schema, size)
