"""The first pass over a source: levels, kinds and ranges of columns, and the state of transforms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.design.model_frame import ModelFrame, check_weight_range, no_rows
from mixedfit.design.recipe.cells import CALLED
from mixedfit.formula.parse import ParsedFormula

from .column_scan import ColumnScan
from .digest import row_digest
from .reader import BatchReader, PartRows, RowCounts
from .states import find_transforms, learn_states

__all__ = ["RowScanner", "Scan", "scan_rows"]

MOST_COLLECTED = 1 << 27
"""Largest number of values that are kept to learn transforms other than scale and center: 1 GB."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What the first pass has learnt.

    Attributes
    ----------
    columns : dict of str to ColumnScan
    combinations : pandas.DataFrame or None
        Distinct rows of the columns of interactions of grouping factors.
    states : dict
        State of transforms, by call.
    counts : RowCounts
    digest : int
        Sum of hashes of the complete rows.
    parts : tuple of PartRows
        The rows of each part of a source that was read in parts.
    """

    columns: dict[str, ColumnScan]
    combinations: pd.DataFrame | None
    states: dict[str, Any]
    counts: RowCounts
    digest: int
    parts: tuple[PartRows, ...] = ()

    @property
    def rows(self) -> int:
        """Number of complete rows."""
        return self.counts.read - self.counts.dropped

    def skeleton(self) -> ModelFrame:
        """Return a small frame with every level and combination that occurs; other numbers are the first row's."""
        parts = {} if self.combinations is None else dict(self.combinations.items())
        sizes = [len(own) for own in parts.values()]
        sizes += [
            len(scan.categories if scan.labels else scan.values)
            for scan in self.columns.values()
            if scan.labels or scan.distinct
        ]
        places = np.arange(max([2, *sizes]))
        columns = {}
        for name, scan in self.columns.items():
            if name not in parts:
                columns[name] = scan.cycled(places)
                continue
            own = parts[name].to_numpy(dtype=object if scan.labels else None)[places % len(parts[name])]
            columns[name] = (
                pd.Series(pd.Categorical(own, categories=scan.categories), name=name)
                if scan.labels
                else scan.column(own)
            )
        text = frozenset(name for name, scan in self.columns.items() if scan.text)
        return ModelFrame(
            columns,
            pd.RangeIndex(len(places)),
            None,
            None,
            self.counts.dropped,
            missing=self.counts.missing,
            text=text,
        )


def scan_rows(
    parsed: ParsedFormula,
    reader: BatchReader,
    context: Mapping[str, Any],
    report: Callable[[RowCounts], None],
) -> Scan:
    """Return what one pass over the rows of a source teaches.

    Raises
    ------
    DataError
        If a column is not valid, or no row is complete.
    ModelError
        If a transform cannot be learnt in batches.
    """
    scanner = RowScanner(parsed, reader, context)
    for frame in reader.frames(scanner.counts, report):
        scanner.add(frame)
    return scanner.scan(parsed, reader.needed, context)


class RowScanner:
    """What is known of the columns of a model, updated with each batch.

    Parameters
    ----------
    parsed : ParsedFormula
    reader : BatchReader
    context : mapping

    Raises
    ------
    ModelError
        If a transform cannot be learnt in batches.
    """

    def __init__(self, parsed: ParsedFormula, reader: BatchReader, context: Mapping[str, Any]) -> None:
        self.transforms = find_transforms(parsed, set(reader.source.columns), context)
        self.appended = reader.source.appended
        grouping = {name for term in parsed.random for name in term.group.columns}
        called = set(CALLED.findall(parsed.source))
        self.columns = {
            name: ColumnScan(name, reader.source.name, distinct=name in grouping | called)
            for name in reader.names
        }
        several = [term.group.columns for term in parsed.random if len(term.group.columns) > 1]
        self.crossed = list(dict.fromkeys(name for columns in several for name in columns))
        self.combinations: pd.DataFrame | None = None
        self.collected: dict[str, list[Array]] = {name: [] for name in self.transforms.columns}
        self.kept = 0
        self.weights: tuple[float, float] | None = None
        self.digest = 0
        self.counts = RowCounts()

    def scan(self, parsed: ParsedFormula, needed: Sequence[str], context: Mapping[str, Any]) -> Scan:
        """Return what all batches have taught.

        Raises
        ------
        DataError
            If no row is complete, or the weights differ too much.
        """
        counts = self.counts
        if counts.read == counts.dropped:
            raise no_rows(counts.read, list(needed), counts.missing)
        if self.weights is not None:
            check_weight_range(*self.weights)
        values = {name: pd.Series(np.concatenate(parts)) for name, parts in self.collected.items()}
        states = learn_states(self.transforms, self.columns, values, context, parsed.source)
        return Scan(self.columns, self.combinations, states, counts, self.digest)

    def most_levels(self) -> int:
        """Return the number of levels of the grouping factor with most of them."""
        known = [self.combinations, *(own.values for own in self.columns.values() if own.distinct)]
        return max((len(own) for own in known if own is not None), default=0)

    def merged(self, other: RowScanner) -> RowScanner:
        """Return what both have learnt, of the rows of this one and then those of the other; neither is changed."""
        out = copy.copy(self)
        out.columns = {
            name: own.merged(other.columns[name], appended=self.appended)
            for name, own in self.columns.items()
        }
        both = [own for own in (self.combinations, other.combinations) if own is not None]
        if both:
            out.combinations = pd.concat(both).drop_duplicates(ignore_index=True)
        out.collected = {name: [*parts, *other.collected[name]] for name, parts in self.collected.items()}
        out.kept = self.kept + other.kept
        if out.kept > MOST_COLLECTED:
            raise self._too_many(next(iter(self.collected)))
        ranges = [own for own in (self.weights, other.weights) if own is not None]
        if ranges:
            lows, highs = zip(*ranges, strict=True)
            out.weights = min(lows), max(highs)
        out.digest = (self.digest + other.digest) % 2**64
        out.counts = self.counts.plus(other.counts)
        return out

    def state(self) -> dict[str, Any]:
        """Return what was learnt, for a file."""
        constant = ("transforms", "appended", "crossed")
        out = {name: value for name, value in self.__dict__.items() if name not in constant}
        columns = {name: own.state() for name, own in self.columns.items()}
        return {**out, "columns": columns, "counts": asdict(self.counts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take what was learnt from a file."""
        for name, own in state["columns"].items():
            self.columns[name].restore(own)
        self.__dict__.update({name: value for name, value in state.items() if name != "columns"})
        self.counts = RowCounts(**state["counts"])

    def add(self, frame: ModelFrame) -> None:
        """Learn from a batch."""
        for name, scan in self.columns.items():
            scan.source = frame.place or scan.source
            scan.add(frame.columns[name], frame.whole[name], appended=self.appended)
        if self.crossed:
            self._add_combinations(frame)
        for name, parts in self.collected.items():
            self._collect(name, frame.columns[name], parts)
        if frame.weights is not None:
            low = float(frame.weights[frame.weights > 0].min(initial=np.inf))
            known = self.weights or (np.inf, 0.0)
            self.weights = min(low, known[0]), max(float(frame.weights.max()), known[1])
        columns = (frame.columns[name] for name in self.columns)
        self.digest = (self.digest + row_digest(columns, len(frame.index))) % 2**64

    def _add_combinations(self, frame: ModelFrame) -> None:
        own = pd.DataFrame(
            {
                name: frame.columns[name].astype(object)
                if isinstance(frame.columns[name].dtype, pd.CategoricalDtype)
                else frame.columns[name].to_numpy()
                for name in self.crossed
            }
        ).drop_duplicates()
        both = own if self.combinations is None else pd.concat([self.combinations, own])
        self.combinations = both.drop_duplicates(ignore_index=True)

    def _collect(self, name: str, column: pd.Series[Any], parts: list[Array]) -> None:
        if isinstance(column.dtype, pd.CategoricalDtype):
            raise ModelError(f"{self._calls}: {name!r} holds labels; expected numbers.")
        self.kept += len(column)
        if self.kept > MOST_COLLECTED:
            raise self._too_many(name)
        parts.append(np.array(column.to_numpy()))

    @property
    def _calls(self) -> str:
        return ", ".join(self.transforms.others)

    def _too_many(self, name: str) -> ModelError:
        return ModelError(
            f"{self._calls}: what the transform learns takes all values of {name!r}, more than {MOST_COLLECTED:,}. "
            "Give what it learns, such as knots= and Boundary_knots=, or compute the columns before."
        )
