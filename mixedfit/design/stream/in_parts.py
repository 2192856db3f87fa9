"""The first pass over a source whose parts are read by the workers of an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mixedfit.design.model_frame import no_rows
from mixedfit.formula.parse import ParsedFormula
from mixedfit.tasks import Pool

from .reader import BatchReader, PartRows
from .scan import RowScanner, Scan

__all__ = ["part_reader", "parts_of", "scan_parts"]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What the tasks of the first pass share."""

    parsed: ParsedFormula
    reader: BatchReader
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """What some parts have taught, and the rows of each."""

    scanner: RowScanner
    parts: tuple[PartRows, ...]


def scan_parts(
    pool: Pool,
    parsed: ParsedFormula,
    reader: BatchReader,
    context: Mapping[str, Any],
    report: Callable[[int], None],
) -> Scan:
    """Return what the rows of all parts of a source teach, as `scan_rows` does.

    Parameters
    ----------
    pool : Pool
    parsed : ParsedFormula
    reader : BatchReader
    context : mapping
    report : callable
        Called with the number of parts read.
    """
    job = _Job(parsed, replace(reader, source=reader.source.unread()), context)
    learnt = pool.reduced(_learn, _both, job, parts_of(reader), report)
    if learnt is None:
        raise no_rows(0, reader.needed, {})
    scan: Scan = learnt.scanner.scan(parsed, reader.needed, context)
    return replace(scan, parts=learnt.parts)


def parts_of(reader: BatchReader) -> Iterator[Any]:
    """Yield the parts of a reader's source, with the columns that are read."""
    return reader.source.parts(reader.names or list(reader.source.columns[:1]))


def part_reader(reader: BatchReader, item: Any) -> BatchReader:
    """Return the reader of a part."""
    return replace(reader, source=reader.source.part(item))


def _learn(job: _Job, number: int, item: Any) -> _Learnt:
    reader = part_reader(job.reader, item)
    scanner = RowScanner(job.parsed, reader, job.context)
    for frame in reader.frames(scanner.counts):
        scanner.add(frame)
    return _Learnt(scanner, (PartRows(scanner.counts, scanner.digest, scanner.most_levels()),))


def _both(job: _Job, one: _Learnt, other: _Learnt) -> _Learnt:
    return _Learnt(one.scanner.merged(other.scanner), (*one.parts, *other.parts))
