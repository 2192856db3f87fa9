"""Cross-products of rows that are read in batches, in one pass over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.design.absent import RowTotals
from mixedfit.design.design import Design
from mixedfit.design.recipe.cell_sums import CellSums
from mixedfit.design.recipe.recipe import usable
from mixedfit.design.stream.batches import BatchDesigns
from mixedfit.design.stream.digest import row_digest
from mixedfit.design.stream.reader import RowCounts
from mixedfit.formula.parse import random_key

from .basis import FixedBasis, basis_of_triangle
from .crossprod import CrossProducts
from .product_sums import ProductSums
from .ridges import unidentified_elements
from .running_basis import ColumnPlaces, RunningBasis

__all__ = ["summed_rows"]


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
    absent = design.absent
    assert absent is not None
    recipe = usable(design.recipe)
    distinct = {name: scan.values for name, scan in made.scan.columns.items() if scan.distinct}
    places = ColumnPlaces.of(design, by_name=recipe.specs is None)
    running = RunningBasis(design, places, weighted=design.weights is not None)
    sums, rows, cells = ProductSums(design), _RowSums(design), CellSums(recipe, distinct)
    for batch, frame in made.walk(report):
        root = None if batch.weights is None else np.sqrt(batch.weights)
        running.add(batch, root)
        changes = running.renew()
        if changes is not None:
            sums.change(*changes)
        sums.add(batch, root, running.border, running.effects)
        rows.add(batch)
        cells.add(frame.columns, batch.weights)
    upper, norms = running.border_triangle()
    fixed = basis_of_triangle(design, upper, norms, running.count, None, np.zeros((0, norms.size)))
    basis = _final_effects(made, running, fixed)
    sums.change(*running.changes(_final_border(fixed, norms.size), basis))
    absent.totals = rows.totals(running)
    absent.products = _assembled(design, sums, fixed, basis, running.count, rows.log_weights)
    absent.read = lambda: (batch for batch, _ in made.walk())
    return replace(design, recipe=replace(recipe, cells=cells.cells()))


def _final_border(fixed: FixedBasis, size: int) -> Array:
    """Return T with [X̃ ỹ] = [X y] T of a basis of X and y, shape (p + 1, kept + 1)."""
    out = np.zeros((size, fixed.kept.size + 1))
    out[fixed.kept, :-1] = fixed.transform
    out[fixed.kept, -1] = -fixed.centre / fixed.scale
    out[-1, -1] = 1.0 / fixed.scale
    return out


def _final_effects(made: BatchDesigns, running: RunningBasis, fixed: FixedBasis) -> tuple[Array, ...]:
    """Return R of each block as `effect_basis` does."""
    design = made.design
    shared = random_key(design.formula.matrices.X)
    out = list(running.fresh_effects())
    for f, block in enumerate(design.blocks):
        is_x = made.groups[f][2] == (shared,)
        if block.structure.invariance == "linear" and is_x and fixed.kept.size == block.k:
            out[f] = np.linalg.inv(fixed.transform)
        elif block.k == 1 and design.weights is None and block.effects == ("(Intercept)",):
            out[f] = np.ones((1, 1))
    return tuple(out)


def _assembled(
    design: Design,
    sums: ProductSums,
    fixed: FixedBasis,
    basis: tuple[Array, ...],
    count: int,
    log_weights: float,
) -> CrossProducts:
    gram, tail = sums.tail_products()
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
        unidentified=unidentified_elements(design),
    )


class _RowSums:
    """Sums over the rows of `RowTotals`, added up over batches."""

    def __init__(self, design: Design) -> None:
        self.rows = 0
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
            places.fixed,
            places.effects,
            self.weights,
            levels,
            same,
            self.digest,
        )


def _extended(partners: IntArray, codes: IntArray, others: IntArray) -> bool:
    """Set the level of another factor that occurs with each level; return whether each has one only."""
    known = partners[codes]
    partners[codes] = others
    return bool(np.all((known < 0) | (known == others)) and np.all(partners[codes] == others))
