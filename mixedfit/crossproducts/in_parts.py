"""The second pass over a source whose parts are read by the workers of an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from mixedfit.core.errors import DataError
from mixedfit.design.design import Design
from mixedfit.design.recipe import Cells
from mixedfit.design.stream.batches import SAME, BatchDesigns
from mixedfit.design.stream.in_parts import part_reader, parts_of
from mixedfit.design.stream.reader import PartRows
from mixedfit.design.stream.row_source import RowSource
from mixedfit.tasks import Pool

from .merging import united_cells
from .present_levels import PresentSums
from .streamed import Sums, cells_of, settled_sums
from .summed import design_with_sums, recorded

__all__ = ["summed_parts"]

ROWS_PER_LEVEL = 8
"""Rows of a task for each level of a grouping factor that they hold: with fewer, most of the time goes into adding up
the sums of tasks, which have the size of their levels."""


@dataclass(frozen=True, slots=True, eq=False)
class _PartSums:
    """Sums over the rows of some parts, without the design, which all parts share.

    Attributes
    ----------
    present : PresentSums
    cells : Cells or None
    """

    present: PresentSums
    cells: Cells | None


def summed_parts(pool: Pool, made: BatchDesigns, report: Callable[[int], None], *, settled: bool) -> Design:
    """Return the design of a source with the cross-products of its rows, as `summed_rows` and `summed_part` do.

    Parameters
    ----------
    pool : Pool
    made : BatchDesigns
        After a first pass with a pool.
    report : callable
        Called with the number of parts read.
    settled : bool
        Whether the rows must determine the model; otherwise they are a part of those of several places.

    Raises
    ------
    DataError
        If the rows are not those of the first pass.
    """
    reader = made.reader
    alone = replace(made, checkpoint=None, reader=replace(reader, source=reader.source.unread()))
    total = pool.reduced(_sum, _both, alone, runs_of_parts(made.scan.parts, parts_of(reader)), report)
    sums = Sums(made.design) if total is None else total.present.sums(made.design)
    if sums.rows.rows != made.scan.rows:
        raise DataError(
            f"{reader.source.name} gave {made.scan.rows} rows in the first pass and {sums.rows.rows} in this one. "
            f"{SAME}"
        )
    return (
        settled_sums(made, sums, total.cells)
        if settled
        else design_with_sums(made, recorded(sums), total.cells)
    )


Run: TypeAlias = list[tuple[int, Any]]
"""Parts that follow each other, and their numbers."""


def runs_of_parts(known: Sequence[PartRows], items: Iterable[Any]) -> Iterator[Run]:
    """Yield the parts of a source in the runs that tasks sum up.

    A run has at least `ROWS_PER_LEVEL` rows for each level that one of its parts holds. Parts that are sent as rows,
    and not as what reads them, are not put together.

    Parameters
    ----------
    known : sequence of PartRows
        Of the first pass.
    items : iterable
        The parts.
    """
    run: Run = []
    rows = levels = 0
    for number, item in enumerate(items):
        run.append((number, item))
        if number < len(known):
            rows, levels = rows + known[number].counts.read, max(levels, known[number].levels)
        if rows >= ROWS_PER_LEVEL * levels or not isinstance(item, RowSource):
            yield run
            run, rows, levels = [], 0, 0
    if run:
        yield run


def _sum(made: BatchDesigns, _: int, run: Run) -> _PartSums | None:
    """Return the sums over some parts; None if they have no complete rows."""
    sums, cells = Sums(made.design), cells_of(made)
    for number, item in run:
        for batch, frame in _expected(made, number, item).walk():
            sums.add(batch)
            cells.add(frame.columns, batch.weights)
    return _PartSums(PresentSums.of(sums), cells.cells()) if sums.rows.rows else None


def _expected(made: BatchDesigns, number: int, item: Any) -> BatchDesigns:
    """Return what reads a part, with the rows that the first pass found in it."""
    reader = part_reader(made.reader, item)
    if number >= len(made.scan.parts):
        raise DataError(
            f"{reader.source.name}: there were {len(made.scan.parts)} parts in the first pass and now are more. "
            f"{SAME}"
        )
    expected: PartRows = made.scan.parts[number]
    return replace(
        made, reader=reader, scan=replace(made.scan, counts=expected.counts, digest=expected.digest)
    )


def _both(made: BatchDesigns, one: _PartSums | None, other: _PartSums | None) -> _PartSums | None:
    if one is None or other is None:
        return other if one is None else one
    return _PartSums(one.present.plus(other.present, made.design), united_cells([one.cells, other.cells]))
