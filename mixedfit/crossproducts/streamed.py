"""Cross-products of rows that are read in batches, in one pass over them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.linalg import inverse
from mixedfit.design.absent import RowTotals
from mixedfit.design.design import Design
from mixedfit.design.recipe import Cells
from mixedfit.design.recipe.cell_sums import CellSums
from mixedfit.design.recipe.recipe import usable
from mixedfit.design.stream.batches import BatchDesigns, Walked
from mixedfit.design.stream.checkpoint import Checkpoint
from mixedfit.design.stream.digest import row_digest
from mixedfit.design.stream.reader import RowCounts

from .basis import FixedBasis, basis_of_triangle
from .crossprod import CrossProducts
from .level_products import SummedLevels
from .product_sums import ProductSums
from .ridges import ridges
from .running_basis import ColumnPlaces, RunningBasis
from .streamed_levels import Projection, project, with_intercept, within_levels

__all__ = [
    "RowSums",
    "Sums",
    "cells_of",
    "final_border",
    "final_effects",
    "products_from",
    "settled_sums",
    "summed_rows",
]


def summed_rows(made: BatchDesigns, report: Callable[[RowCounts], None] | None = None) -> Design:
    """Return the design of a source with the cross-products of its rows.

    Parameters
    ----------
    made : BatchDesigns
    report : callable, optional
        Called with the number of rows read after each batch.

    Raises
    ------
    DataError
        If the rows are not those of the first pass.
    ModelError
        If there are not more rows than fixed effects, or the fixed effects reproduce the response exactly.
    """
    design = made.design
    sums, cells = Sums(design), cells_of(made)
    if made.checkpoint is not None:
        _add_with_checkpoint(made, made.checkpoint, sums, cells, report)
    else:
        for batch, frame in made.walk(report):
            sums.add(batch)
            cells.add(frame.columns, batch.weights)
    return settled_sums(made, sums, cells.cells())


def settled_sums(made: BatchDesigns, sums: Sums, cells: Cells | None) -> Design:
    """Return the design of a source with the cross-products that sums over all of its rows give."""
    design = made.design

    def again() -> Iterator[Design]:
        return (batch for batch, _ in made.walk())

    sums.settle(again)
    assert design.absent is not None
    design.absent.read = again
    return replace(design, recipe=replace(usable(design.recipe), cells=cells))


def _add_with_checkpoint(
    made: BatchDesigns,
    checkpoint: Checkpoint,
    sums: Sums,
    cells: CellSums,
    report: Callable[[RowCounts], None] | None,
) -> None:
    """Add all rows of a source to sums, from the checkpoint's state on; remove the checkpoint at the end."""
    stored, walked = checkpoint.stored, Walked()
    if stored["parts"]:
        sums.restore(stored["sums"])
        cells.restore(stored["cells"])
        walked.counts, walked.digest = RowCounts(**stored["counts"]), stored["digest"]
    for number, reader in checkpoint.readers(stored["parts"], walked.digest):
        for batch, frame in made.walk_part(reader, walked, report):
            sums.add(batch)
            cells.add(frame.columns, batch.weights)
        if checkpoint.is_due():
            own = {"sums": sums.state(), "cells": cells.state()}
            rows = {"counts": asdict(walked.counts), "digest": walked.digest}
            checkpoint.save({**stored, "parts": number + 1, **own, **rows})
    made.check(walked)
    checkpoint.remove()


def cells_of(made: BatchDesigns) -> CellSums:
    """Return what counts the combinations of fixed factors in batches."""
    scans = made.scan.columns.items()
    distinct = {name: scan.distinct_values for name, scan in scans if scan.distinct and not scan.labels}
    return CellSums(usable(made.design.recipe), distinct)


class Sums:
    """Cross-products and `RowTotals` of a design whose rows come in batches."""

    def __init__(self, design: Design) -> None:
        self.design, summed = design, with_intercept(design)
        self.running = RunningBasis(summed, ColumnPlaces.of(summed), weighted=design.weights is not None)
        self.sums, self.rows = ProductSums(summed), RowSums(design)
        self.shared = [False] * len(design.blocks)

    def add(self, batch: Design) -> None:
        """Add the rows of a batch."""
        batch = with_intercept(batch)
        root = None if batch.weights is None else np.sqrt(batch.weights)
        self.shared = [block.z is batch.X for block in batch.blocks]
        self.running.add(batch, root)
        changes = self.running.renew()
        if changes is not None:
            self.sums.change(*changes)
        self.sums.add(batch, root, self.running.inverse_border(), self.running.effects)
        self.rows.add(batch)

    def state(self) -> dict[str, Any]:
        """Return the sums, for a file."""
        running, rows = self.running, self.rows
        return {
            "running": [running.plain, running.own, running.count, running.border, running.effects],
            "sums": self.sums.state(),
            "rows": [rows.rows, rows.digest, rows.log_weights, rows.weights, rows.used, rows.partners],
            "shared": self.shared,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the sums from a file."""
        running, rows = self.running, self.rows
        running.plain, running.own, running.count, running.border, running.effects = state["running"]
        self.sums.restore(state["sums"])
        rows.rows, rows.digest, rows.log_weights, rows.weights, rows.used, rows.partners = state["rows"]
        self.shared = state["shared"]

    def settle(self, again: Callable[[], Iterable[Design]]) -> None:
        """Keep the sums of all rows in the design's `absent`, in the basis of all rows.

        `again` reads the batches once more, which fixed factors of many levels may need.
        """
        design, running = self.design, self.running
        absent = design.absent
        assert absent is not None
        upper, norms = running.border_triangle()
        lead = len(running.places.fixed) - len(design.x_names)  # an intercept that the levels span
        own, norms, span, means = self, norms[lead:], None, np.zeros((0, norms.size))
        if design.many:
            own, found = self.projected(again)
            upper, span, means = found.upper, found.span, found.means
        fixed = basis_of_triangle(design, upper, norms, running.count, span, means)
        basis = final_effects(running, fixed, self.shared)
        border = np.vstack([np.zeros((lead, fixed.kept.size + 1)), final_border(fixed, norms.size)])
        own.sums.change(*own.running.changes(border, basis))
        absent.totals = self.rows.totals(running)
        absent.products = products_from(design, own.sums, fixed, basis, running.count, self.rows.log_weights)

    def projected(self, again: Callable[[], Iterable[Design]]) -> tuple[Sums, Projection]:
        """Return sums with X and y projected off the many-level factors, and the projection.

        They are these sums, or those of another pass if these lost digits.
        """
        found = project(self.sums, self.running, self.design)
        if not found.weak:
            return self, found
        second = Sums(self.design)
        for batch in again():
            second.add(within_levels(batch, found))
        rest = project(second.sums, second.running, self.design)
        return second, replace(rest, means=found.means + rest.means)


def final_effects(running: RunningBasis, fixed: FixedBasis, shared: Sequence[bool]) -> tuple[Array, ...]:
    """Return R of each block as `effect_basis` does; `shared` says whether Z has the columns of X."""
    out = list(running.fresh_effects())
    for f, block in enumerate(running.design.blocks):
        if block.structure.invariance == "linear" and shared[f] and fixed.kept.size == block.k:
            out[f] = inverse(fixed.transform)
        elif block.k == 1 and not running.weighted and block.effects == ("(Intercept)",):
            out[f] = np.ones((1, 1))
    return tuple(out)


def final_border(fixed: FixedBasis, size: int) -> Array:
    """Return T with [X̃ ỹ] = [X y] T of a basis of X and y, shape (p + 1, kept + 1)."""
    out = np.zeros((size, fixed.kept.size + 1))
    out[fixed.kept, :-1] = fixed.transform
    out[fixed.kept, -1] = -fixed.centre / fixed.scale
    out[-1, -1] = 1.0 / fixed.scale
    return out


def products_from(
    design: Design,
    sums: ProductSums,
    fixed: FixedBasis,
    basis: tuple[Array, ...],
    count: int,
    log_weights: float,
) -> CrossProducts:
    """Return the record of sums in the final basis."""
    gram, tail, pairs = sums.tail_products(design)
    assert design.absent is not None
    levels = design.absent.known_totals().levels
    found = ridges(design, SummedLevels(partial(sums.level_grams, design), basis, levels))
    return CrossProducts(
        n=count,
        p=int(fixed.kept.size),
        first_block=sums.first_block,
        first=sums.first(),
        tail=sums.tail,
        gram=gram,
        sparse=tail,
        fixed=fixed,
        basis=basis,
        log_weights=log_weights,
        unidentified=found.elements,
        with_residual=found.with_residual,
        known=tuple(block.known for block in design.blocks),
        pairs=pairs,
    )


class RowSums:
    """Sums over the rows of `RowTotals`, added up over batches."""

    def __init__(self, design: Design) -> None:
        self.rows, self.columns = 0, len(design.x_names)
        self.digest = 0
        self.log_weights = 0.0
        self.weights: tuple[float, float, float, float] | None = None
        self.used: list[BoolArray] = [np.zeros(block.levels, dtype=bool) for block in design.blocks]
        self.partners: dict[tuple[int, int], IntArray | None] = {
            (f, g): np.full(one.levels, -1, dtype=np.int64)
            for f, one in enumerate(design.blocks)
            for g in range(f + 1, len(design.blocks))
        }

    def add(self, batch: Design) -> None:
        """Add the rows of a batch."""
        self.rows += batch.n
        y = batch.y if batch.offset is None else batch.y + batch.offset
        columns = [y] if batch.weights is None else [y, batch.weights]
        self.digest = (self.digest + row_digest(columns, batch.n)) % 2**64
        counted = slice(None) if batch.weights is None else np.flatnonzero(batch.weights > 0)
        if batch.weights is not None:
            self._add_weights(batch.weights[counted])
        codes = [block.codes[counted] for block in batch.blocks]
        for used, own in zip(self.used, codes, strict=True):
            used[own] = True
        for (f, g), known in self.partners.items():
            if known is not None and not _extended(known, codes[f], codes[g]):
                self.partners[f, g] = None

    def _add_weights(self, w: Array) -> None:
        if not w.size:
            return
        low, high, total, inverses = self.weights or (np.inf, 0.0, 0.0, 0.0)
        self.log_weights += float(np.sum(np.log(w)))
        self.weights = (
            min(low, float(w.min())),
            max(high, float(w.max())),
            total + float(w.sum()),
            inverses + float(np.sum(1.0 / w)),
        )

    def plus(self, other: RowSums) -> RowSums:
        """Return the sums over the rows of both; neither is changed."""
        out = copy.copy(self)
        out.rows = self.rows + other.rows
        out.digest = (self.digest + other.digest) % 2**64
        out.log_weights = self.log_weights + other.log_weights
        known = [own for own in (self.weights, other.weights) if own is not None]
        if known:
            low, high, total, inverses = zip(*known, strict=True)
            out.weights = min(low), max(high), sum(total), sum(inverses)
        out.used = [one | two for one, two in zip(self.used, other.used, strict=True)]
        out.partners = {key: _joined(own, other.partners[key]) for key, own in self.partners.items()}
        return out

    def totals(self, running: RunningBasis) -> RowTotals:
        """Return the sums over all rows."""
        levels = tuple(int(used.sum()) for used in self.used)
        same = np.eye(len(levels), dtype=bool)
        for (f, g), known in self.partners.items():
            same[f, g] = same[g, f] = known is not None and levels[f] == levels[g]
        places = running.places
        return RowTotals(
            self.rows,
            running.count,
            running.plain,
            places.fixed[len(places.fixed) - self.columns :],
            places.effects,
            self.weights,
            levels,
            same,
            self.digest,
        )


def _joined(one: IntArray | None, other: IntArray | None) -> IntArray | None:
    """Return the level of another factor that occurs with each level in either; None if some have several."""
    if one is None or other is None or bool(np.any((one >= 0) & (other >= 0) & (one != other))):
        return None
    return np.where(one >= 0, one, other)


def _extended(partners: IntArray, codes: IntArray, others: IntArray) -> bool:
    """Set the level of another factor that occurs with each level; return whether each has one only."""
    known = partners[codes]
    partners[codes] = others
    return bool(np.all((known < 0) | (known == others)) and np.all(partners[codes] == others))
