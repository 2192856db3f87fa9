"""`SummedRows`: cross-products of a design's rows in a basis of their own, which can be saved and merged.

G has the products of all random effects' columns Z̃, `sides` those of Z̃ with [X̃ ỹ], `border` those of [X̃ ỹ]. With
[X y] = [X̃ ỹ]U and Z = Z̃P for each factor, products of several parts of the rows are added up in a common basis:
[X̃ ỹ] becomes [X̃ ỹ] U T and Z̃ becomes Z̃ P R⁻¹.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.design.absent import AbsentRows, RowTotals
from mixedfit.design.design import Design
from mixedfit.design.recipe import Cells
from mixedfit.design.recipe.recipe import usable
from mixedfit.design.stream.batches import BatchDesigns
from mixedfit.design.stream.build import blocks_without_rows
from mixedfit.design.stream.reader import RowCounts

from .basis import basis_of_triangle
from .crossprod import CrossProducts, cross_products
from .product_sums import ProductSums
from .running_basis import ColumnPlaces, RunningBasis
from .streamed import Sums, cells_of, final_border, final_effects, products_from
from .tail_pairs import Solver

__all__ = [
    "SummedRows",
    "design_with_sums",
    "products_of",
    "recorded",
    "refuse_parts",
    "settled_design",
    "sum_rows",
    "summed_part",
]


@dataclass(frozen=True, eq=False)
class SummedRows:
    """Cross-products of rows, with what is needed to add those of others.

    Attributes
    ----------
    design : Design
        Without rows.
    plain, own : ndarray, shape (c, c)
        R of the distinct columns of [1 X Z₁ Z₂ … y], without weights and with them; see `RunningBasis`.
    count : int
        Number of rows with a positive weight.
    U : ndarray, shape (p + 1, p + 1)
    P : tuple of ndarray, shape (k, k) each
    pairs : sparse array, shape (q, q)
        G; the columns of the design's blocks one after the other.
    sides : ndarray, shape (q, p + 1)
    border : ndarray, shape (p + 1, p + 1)
    rows : int
        Number of complete rows.
    digest : int
    log_weights : float
    weights : tuple of float, or None
        As in `RowTotals`.
    used : tuple of ndarray of bool, shape (levels,)
        Whether each level of a block has a counted row.
    parts : int
        Number of parts that were added up.
    """

    design: Design
    plain: Array
    own: Array
    count: int
    U: Array
    P: tuple[Array, ...]
    pairs: sparse.csr_array
    sides: Array
    border: Array
    rows: int
    digest: int
    log_weights: float
    weights: tuple[float, float, float, float] | None
    used: tuple[BoolArray, ...]
    parts: int = 1

    @property
    def places(self) -> ColumnPlaces:
        """Places of the design's columns in `plain` and `own`."""
        return ColumnPlaces.of(self.design)

    def running(self) -> RunningBasis:
        """Return the triangles, with the basis of the products in use."""
        out = RunningBasis(self.design, self.places, weighted=self.design.weights is not None)
        out.plain, out.own, out.count = self.plain, self.own, self.count
        out.border, out.effects = self.U, self.P
        return out

    def in_basis(self, border: Array, effects: tuple[Array, ...]) -> tuple[sparse.csr_array, Array, Array]:
        """Return `pairs`, `sides` and `border` after changes of the basis by M and M_f; see `ProductSums.change`."""
        levels = [block.levels for block in self.design.blocks]
        parts = [sparse.kron(sparse.eye_array(n), own) for n, own in zip(levels, effects, strict=True)]
        change = sparse.csr_array(sparse.block_diag(parts)) if parts else sparse.csr_array((0, 0))
        pairs = sparse.csr_array(change.T @ self.pairs @ change)
        return pairs, (change.T @ self.sides) @ border, border.T @ self.border @ border


def refuse_parts(design: Design) -> None:
    """Raise `ModelError` for designs whose likelihood needs more than sums over the rows, or sums of other columns."""
    if design.residual is not None:
        raise ModelError(
            f"{design.residual.structure}: a model with a residual structure has no cross-products without its rows."
        )
    related = next((block.name for block in design.blocks if block.known is not None), None)
    if related is not None:
        raise ModelError(
            f"{related!r} has known relationships between its levels, and cross-products without rows lack them. "
            "Keep the rows: fit to one frame, and save the fit with them."
        )
    response, specs = design.formula.response, None if design.recipe is None else design.recipe.specs
    if specs and "y" in specs and any(call in response for call in specs["y"].transform_state):
        raise ModelError(
            f"the response {response!r} learns from the rows, which cross-products do not hold. Compute it before, and "
            "name the column."
        )
    if design.many:
        name = design.many[0].grouping.name
        raise ModelError(
            f"the fixed factor {name!r} has too many levels for cross-products without rows. Make it random, "
            f"(1 | {name})."
        )


def sum_rows(design: Design) -> SummedRows:
    """Return the cross-products of a design's rows, which are read once more if they are not in memory.

    Raises
    ------
    ModelError
        If the rows can be read no more, or the model needs more than sums over them.
    """
    refuse_parts(design)
    absent = design.absent
    if absent is not None and absent.summed is not None:
        known: SummedRows = replace(absent.summed, design=design)
        return known
    if absent is not None and absent.read is None:
        raise ModelError(absent.refusal)
    batches: Iterable[Design] = [design] if absent is None or absent.read is None else absent.read()
    sums = Sums(design)
    for batch in batches:
        sums.add(batch)
    return recorded(sums)


def recorded(total: Sums) -> SummedRows:
    """Return the sums, in the basis in use."""
    design, running, rows = total.design, total.running, total.rows
    pairs, sides = total.sums.all_pairs(design)
    return SummedRows(
        design=without_rows(design, "they were summed up."),
        plain=running.plain,
        own=running.own,
        count=running.count,
        U=running.border,
        P=running.effects,
        pairs=pairs,
        sides=sides,
        border=total.sums.border,
        rows=rows.rows,
        digest=rows.digest,
        log_weights=rows.log_weights,
        weights=rows.weights,
        used=tuple(rows.used),
    )


def summed_part(made: BatchDesigns, report: Callable[[RowCounts], None] | None = None) -> Design:
    """Return the design of a part of the rows, with sums that need not determine the model.

    Parameters
    ----------
    made : BatchDesigns
    report : callable, optional
        Called with the number of rows read after each batch.
    """
    sums, cells = Sums(made.design), cells_of(made)
    for batch, frame in made.walk(report):
        sums.add(batch)
        cells.add(frame.columns, batch.weights)
    return design_with_sums(made, recorded(sums), cells.cells())


def design_with_sums(made: BatchDesigns, summed: SummedRows, cells: Cells | None) -> Design:
    """Return the design of a source with the sums of its rows, which it can read again."""
    recipe = replace(usable(made.design.recipe), cells=cells)
    design = replace(made.design, recipe=recipe)
    absent = design.absent
    assert absent is not None
    absent.summed = replace(summed, design=replace(summed.design, recipe=recipe))
    absent.read = lambda: (batch for batch, _ in made.walk())
    return design


def products_of(design: Design, solver: Solver | None = None) -> CrossProducts:
    """Return the cross-products of a design, also of rows that are not in memory.

    `solver` says whether the tail is factorised.

    Raises
    ------
    ModelError
        If the rows are not in memory, have not been summed up and can be read no more; or as `settled_design`.
    """
    absent = design.absent
    if absent is None:
        return cross_products(design, solver)
    if absent.products is None and absent.summed is not None:
        own = settled_design(absent.summed, absent.where).absent
        assert own is not None
        absent.products, absent.totals = own.products, own.totals
    if absent.products is None:
        if absent.read is None:
            raise ModelError(absent.refusal)
        sums = Sums(design)
        for batch in absent.read():
            sums.add(batch)
        sums.settle(absent.read)
    products: CrossProducts = absent.products
    if solver is not None and products.pairs is not None and products.pairs.probes != solver.probes:
        products = replace(products, pairs=replace(products.pairs, probes=solver.probes))
    kind = "exact" if products.pairs is None else "iterative"
    if solver is not None and solver.kind not in ("auto", kind):
        raise ModelError(
            f'Control(solver="{solver.kind}") is for rows in memory; for rows that are read in batches the size of the '
            f"crossed factors decides, here for the {kind} solution. Give a frame, or leave out solver=."
        )
    return products


def without_rows(design: Design, where: str) -> Design:
    """Return a design with placeholders for all that has a value for each row."""
    absent, n = AbsentRows(where), design.n
    return replace(
        design,
        y=absent.array(n),
        X=absent.array(n, len(design.x_names)),
        blocks=blocks_without_rows(design.blocks, absent, n),
        weights=None if design.weights is None else absent.array(n),
        offset=None if design.offset is None else absent.array(n),
        index=pd.RangeIndex(n),
        excluded=None,
        absent=absent,
    )


def settled_design(summed: SummedRows, where: str) -> Design:
    """Return a design that can be fitted from its cross-products alone.

    Raises
    ------
    ModelError
        If there are not more rows than fixed effects, or the fixed effects reproduce the response exactly.
    """
    design = without_rows(summed.design, where)
    absent = design.absent
    assert absent is not None
    running = summed.running()
    upper, norms = running.border_triangle()
    fixed = basis_of_triangle(design, upper, norms, running.count, None, np.zeros((0, norms.size)))
    shared = [block.effects == design.x_names for block in design.blocks]
    basis = final_effects(running, fixed, shared)
    products = summed.in_basis(*running.changes(final_border(fixed, norms.size), basis))
    sums = ProductSums.of_pairs(design, *products)
    places = summed.places
    absent.totals = RowTotals(
        summed.rows,
        summed.count,
        summed.plain,
        places.fixed,
        places.effects,
        summed.weights,
        tuple(int(used.sum()) for used in summed.used),
        same_partitions(summed),
        summed.digest,
    )
    absent.summed = summed
    absent.products = products_from(design, sums, fixed, basis, summed.count, summed.log_weights)
    return design


def level_pairs(summed: SummedRows, f: int, g: int) -> IntArray:
    """Return the pairs of levels of two blocks that occur together, shape (pairs, 2)."""
    blocks = summed.design.blocks
    starts = np.cumsum([0, *(block.levels * block.k for block in blocks)])
    part = sparse.coo_array(summed.pairs[starts[f] : starts[f + 1], starts[g] : starts[g + 1]])
    return np.unique(np.column_stack([part.row // blocks[f].k, part.col // blocks[g].k]), axis=0)


def same_partitions(summed: SummedRows) -> BoolArray:
    """Return which blocks divide the rows into the same groups, shape (blocks, blocks)."""
    used = [int(own.sum()) for own in summed.used]
    out = np.eye(len(used), dtype=bool)
    for f in range(len(used)):
        for g in range(f + 1, len(used)):
            if used[f] == used[g]:
                out[f, g] = out[g, f] = len(level_pairs(summed, f, g)) == used[f]
    return out
