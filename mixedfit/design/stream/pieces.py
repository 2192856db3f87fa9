"""Readers of parts of a source that can be sent to other processes: frames, row groups of files, fragments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["DatasetRows", "Frames", "ParquetRows", "file_parts", "fragment_parts"]


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
class ParquetRows:
    """Row groups of Parquet files.

    Attributes
    ----------
    pieces : tuple of (str, tuple of int or None)
        Path and row groups, None for all.
    size : int
        Largest number of rows of a batch.
    """

    pieces: tuple[tuple[str, tuple[int, ...] | None], ...]
    size: int

    def __call__(self, names: Sequence[str]) -> Iterator[Any]:
        """Yield tables with some columns."""
        from pyarrow import Table
        from pyarrow.parquet import ParquetFile

        for path, groups in self.pieces:
            with ParquetFile(path, pre_buffer=False) as file:
                chosen = None if groups is None else list(groups)
                for batch in file.iter_batches(batch_size=self.size, row_groups=chosen, columns=list(names)):
                    if batch.num_rows:
                        yield Table.from_batches([batch])


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

        options = {} if self.schema is None else {"schema": self.schema}
        for dataset in self.datasets:
            waiting: list[Any] = []
            rows = 0
            for batch in dataset.to_batches(
                columns=list(names), batch_size=self.size, batch_readahead=1, **options
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


def file_parts(paths: Sequence[str], size: int) -> Iterator[ParquetRows]:
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
                yield _row_groups(pieces, size)
                pieces, rows = {}, 0
    if pieces:
        yield _row_groups(pieces, size)


def _row_groups(pieces: dict[str, list[int]], size: int) -> ParquetRows:
    return ParquetRows(tuple((path, tuple(groups)) for path, groups in pieces.items()), size)


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
