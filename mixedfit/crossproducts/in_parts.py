"""The second pass over a source whose parts are read by the workers of an executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from mixedfit.core.errors import DataError
from mixedfit.core.tasks import Pool
from mixedfit.design.design import Design
from mixedfit.design.recipe import Cells
from mixedfit.design.stream.batches import SAME, BatchDesigns
from mixedfit.design.stream.in_parts import part_reader, parts_of
from mixedfit.design.stream.reader import PartRows

from .merging import added, united_cells
from .streamed import Sums, cells_of
from .summed import SummedRows, design_with_sums, recorded, without_rows

__all__ = ["summed_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class _PartSums:
    """Cross-products of some parts, without the design, which all parts share.

    Attributes
    ----------
    state : mapping of str to values
        The other fields of `SummedRows`.
    cells : Cells or None
    """

    state: Mapping[str, Any]
    cells: Cells | None

    @classmethod
    def of(cls, summed: SummedRows, cells: Cells | None) -> _PartSums:
        names = [own.name for own in fields(summed) if own.name != "design"]
        return cls({name: getattr(summed, name) for name in names}, cells)

    @property
    def rows(self) -> int:
        """Number of complete rows."""
        return int(self.state["rows"])

    def summed(self, design: Design) -> SummedRows:
        return SummedRows(design=design, **self.state)


def summed_parts(pool: Pool, made: BatchDesigns, report: Callable[[int], None]) -> Design:
    """Return the design of a source with the cross-products of its parts, as `summed_part` does.

    Parameters
    ----------
    pool : Pool
    made : BatchDesigns
        After a first pass with a pool.
    report : callable
        Called with the number of parts read.

    Raises
    ------
    DataError
        If the rows are not those of the first pass.
    """
    reader = made.reader
    alone = replace(made, checkpoint=None, reader=replace(reader, source=reader.source.unread()))
    total = pool.reduced(_sum, _both, alone, parts_of(reader), report)
    rows = 0 if total is None else total.rows
    if rows != made.scan.rows:
        raise DataError(
            f"{reader.source.name} gave {made.scan.rows} rows in the first pass and {rows} in this one. {SAME}"
        )
    return design_with_sums(
        made, total.summed(without_rows(made.design, "they were summed up.")), total.cells
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
    return _PartSums.of(recorded(sums), cells.cells()) if sums.rows.rows else None


def _both(made: BatchDesigns, one: _PartSums | None, other: _PartSums | None) -> _PartSums | None:
    if one is None or other is None:
        return other if one is None else one
    both = added(one.summed(made.design), other.summed(made.design))
    return _PartSums.of(both, united_cells([one.cells, other.cells]))
