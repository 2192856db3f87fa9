"""Sums over a part of the rows, with the levels that occur in it only: what workers send to each other.

A part of a million groups holds few of them if the rows are sorted by group or the parts are small. Its sums have the
layout of a design with those levels alone. Sums of two parts are added up in the layout of the levels of both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import IntArray
from mixedfit.design.design import Design

from .crossprod import TailBlock
from .product_sums import ProductSums
from .running_basis import RunningBasis
from .streamed import RowSums, Sums

__all__ = ["PresentSums"]


@dataclass(frozen=True, slots=True, eq=False)
class PresentSums:
    """Sums over some rows, with the levels that occur in them.

    Attributes
    ----------
    first : ndarray of int64
        Levels of the first factor that occur, ascending.
    tail : tuple of ndarray of int64
        Of each tail factor; all levels if the tail is dense.
    products : ProductSums
        In the layout of these levels.
    running : RunningBasis
        Without its design.
    rows : RowSums
        Of these levels.
    shared : list of bool
        As in `Sums`.
    """

    first: IntArray
    tail: tuple[IntArray, ...]
    products: ProductSums
    running: RunningBasis
    rows: RowSums
    shared: list[bool]

    @classmethod
    def of(cls, sums: Sums) -> PresentSums:
        """Return the sums of a part, without the levels that it lacks."""
        first, tail = _present(sums)
        whole = sums.sums
        products = _chosen(whole, first, tail)
        running = copy.copy(sums.running)
        running.design = None  # type: ignore[assignment]
        rows = _by_level(sums.rows, whole, lambda own, f: own[first if f < 0 else tail[f]])
        return cls(first, tail, products, running, rows, sums.shared)

    def sums(self, design: Design) -> Sums:
        """Return the sums with all levels of a design."""
        out = Sums(design)
        levels = (np.arange(out.sums.levels), tuple(np.arange(b.levels) for b in out.sums.tail))
        whole = self._spread(*levels)
        out.sums, out.rows, out.shared = whole.products, whole.rows, self.shared
        running = out.running
        out.running = copy.copy(self.running)
        out.running.design = running.design
        return out

    def plus(self, other: PresentSums, design: Design) -> PresentSums:
        """Return the sums over the rows of both parts of one design; neither is changed."""
        one, two = self._with_design(design), other._with_design(design)
        running = one.joined(two)
        inverse_border = running.inverse_border()
        first = _united(self.first, other.first)
        tail = tuple(_united(a, b) for a, b in zip(self.tail, other.tail, strict=True))
        parts = []
        for part, own in ((self, one), (other, two)):
            products = part.products.changed(*own.changes(inverse_border, running.effects))
            parts.append(replace(part, products=products)._spread(first, tail))
        running.design = None  # type: ignore[assignment]
        products = parts[0].products.plus(parts[1].products)
        return PresentSums(first, tail, products, running, parts[0].rows.plus(parts[1].rows), self.shared)

    def _with_design(self, design: Design) -> RunningBasis:
        out = copy.copy(self.running)
        out.design = design
        return out

    def _spread(self, first: IntArray, tail: tuple[IntArray, ...]) -> PresentSums:
        """Return the same sums in the layout of more levels."""
        at = _places(first, self.first)
        places = tuple(_places(more, own) for more, own in zip(tail, self.tail, strict=True))
        sizes = [first.size, *(own.size for own in tail)]
        products = _placed(self.products, at, places, sizes)

        def spread(own: Any, f: int) -> Any:
            out = np.full(sizes[f + 1], -1 if own.dtype.kind == "i" else 0, dtype=own.dtype)
            out[at if f < 0 else places[f]] = own
            return out

        rows = _by_level(self.rows, products, spread)
        return replace(self, first=first, tail=tail, products=products, rows=rows)


def _present(sums: Sums) -> tuple[IntArray, tuple[IntArray, ...]]:
    """Return the levels of the first factor, and of each tail factor, that occur."""
    own, used = sums.sums, sums.rows.used
    if own.first_block < 0:
        first = np.zeros(0, np.int64)
    else:
        first = np.flatnonzero(used[own.first_block] | (np.diff(own.indptr) > 0))
    if own.is_dense:
        return first, tuple(np.arange(b.levels) for b in own.tail)
    seen = np.zeros(own.q, dtype=bool)
    seen[own.indices] = True
    seen |= np.diff(own.pairs.indptr) > 0
    return first, tuple(
        np.flatnonzero(seen[b.offset : b.stop].reshape(b.levels, b.k).any(axis=1)) for b in own.tail
    )


def _united(one: IntArray, other: IntArray) -> IntArray:
    """Return the levels of both, ascending; a table of levels is faster than sorting."""
    known = np.zeros(max(int(own[-1]) if own.size else -1 for own in (one, other)) + 1, dtype=bool)
    known[one] = known[other] = True
    return np.flatnonzero(known)


def _places(levels: IntArray, own: IntArray) -> IntArray:
    """Return where levels are among more levels."""
    if own.size == levels.size:
        return np.arange(own.size)
    known = np.zeros(int(levels[-1]) + 1, np.int64)
    known[levels] = np.arange(levels.size)
    return known[own]


def _columns(layout: Sequence[TailBlock], levels: Sequence[IntArray]) -> IntArray:
    """Return the tail's columns of some levels of each factor."""
    parts = [
        (b.offset + own[:, None] * b.k + np.arange(b.k)).ravel()
        for b, own in zip(layout, levels, strict=True)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def _with_layout(sums: ProductSums, levels: int, sizes: Sequence[int]) -> ProductSums:
    """Return a copy of sums with other numbers of levels; their arrays are those of the old ones."""
    out, tail, at = copy.copy(sums), [], 0
    for b, size in zip(sums.tail, sizes, strict=True):
        tail.append(replace(b, offset=at, levels=size))
        at = tail[-1].stop
    out.levels, out.tail, out.q = levels, tuple(tail), at
    out.offsets = np.array([b.offset for b in tail], np.int64)
    return out


def _set_cells(out: ProductSums, rows: IntArray, columns: IntArray) -> None:
    """Set the pattern of the products of the first factor with the tail from ascending rows and columns."""
    out.keys, out.indices = rows * np.int64(max(out.q, 1)) + columns, columns
    counts = np.bincount(rows, minlength=out.levels)
    out.indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _cell_rows(sums: ProductSums) -> IntArray:
    return np.repeat(np.arange(sums.levels), np.diff(sums.indptr))


def _chosen(sums: ProductSums, first: IntArray, tail: tuple[IntArray, ...]) -> ProductSums:
    """Return sums without the levels that do not occur."""
    out = _with_layout(sums, first.size, [own.size for own in tail])
    out.gram, out.first_border = sums.gram[first], sums.first_border[first]
    columns = _columns(sums.tail, tail)
    row_at, column_at = np.zeros(sums.levels, np.int64), np.zeros(sums.q, np.int64)
    row_at[first], column_at[columns] = np.arange(first.size), np.arange(columns.size)
    _set_cells(out, row_at[_cell_rows(sums)], column_at[sums.indices])
    if not sums.is_dense:
        out.pairs = sparse.csr_array(sparse.csr_array(sums.pairs)[columns][:, columns])
        out.sides = sums.sides[columns]
    return out


def _placed(
    sums: ProductSums, at: IntArray, places: tuple[IntArray, ...], sizes: Sequence[int]
) -> ProductSums:
    """Return sums in a layout of more levels, of which `at` and `places` are the old ones."""
    out = _with_layout(sums, sizes[0], sizes[1:])
    if sizes[0] != sums.levels:
        out.gram = np.zeros((sizes[0], *sums.gram.shape[1:]))
        out.first_border = np.zeros((sizes[0], *sums.first_border.shape[1:]))
        out.gram[at], out.first_border[at] = sums.gram, sums.first_border
    columns = _columns(out.tail, places)
    _set_cells(out, at[_cell_rows(sums)], columns[sums.indices])
    if not sums.is_dense:
        pairs = sparse.coo_array(sums.pairs)
        where = (columns[pairs.row], columns[pairs.col])
        out.pairs = sparse.csr_array((pairs.data, where), shape=(out.q, out.q))
        out.sides = np.zeros((out.q, sums.sides.shape[1]))
        out.sides[columns] = sums.sides
    return out


def _by_level(rows: RowSums, layout: ProductSums, change: Callable[[Any, int], Any]) -> RowSums:
    """Return sums over rows after a change of each array of levels, given the place of its factor: −1 for the first."""
    place = {layout.first_block: -1, **{b.block: i for i, b in enumerate(layout.tail)}}
    out = copy.copy(rows)
    out.used = [change(used, place[f]) for f, used in enumerate(rows.used)]
    out.partners = {
        (f, g): None if known is None else change(known, place[f]) for (f, g), known in rows.partners.items()
    }
    return out
