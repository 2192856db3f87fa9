"""The second pass over a source whose parts are read by the workers of an executor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mixedfit.core.errors import DataError
from mixedfit.design.design import Design
from mixedfit.design.recipe import Cells
from mixedfit.design.stream.batches import SAME, BatchDesigns
from mixedfit.design.stream.in_parts import part_reader, parts_of
from mixedfit.design.stream.reader import PartRows
from mixedfit.tasks import Pool

from .merging import united_cells
from .present_levels import PresentSums
from .streamed import Sums, cells_of, settled_sums
from .summed import design_with_sums, recorded

__all__ = ["summed_parts"]


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
    total = pool.reduced(_sum, _both, alone, parts_of(reader), report)
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


def _sum(made: BatchDesigns, number: int, item: Any) -> _PartSums | None:
    """Return the sums over a part; None if it has no complete rows."""
    reader = part_reader(made.reader, item)
    if number >= len(made.scan.parts):
        raise DataError(
            f"{reader.source.name}: there were {len(made.scan.parts)} parts in the first pass and now are more. "
            f"{SAME}"
        )
    expected: PartRows = made.scan.parts[number]
    own = replace(
        made, reader=reader, scan=replace(made.scan, counts=expected.counts, digest=expected.digest)
    )
    sums, cells = Sums(made.design), cells_of(made)
    for batch, frame in own.walk():
        sums.add(batch)
        cells.add(frame.columns, batch.weights)
    return _PartSums(PresentSums.of(sums), cells.cells()) if sums.rows.rows else None


def _both(made: BatchDesigns, one: _PartSums | None, other: _PartSums | None) -> _PartSums | None:
    if one is None or other is None:
        return other if one is None else one
    return _PartSums(one.present.plus(other.present, made.design), united_cells([one.cells, other.cells]))
