"""`ProductSums`: cross-products that grow with each batch of rows, in a basis that may change."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse, symmetric
from mixedfit.design.design import Design
from mixedfit.kernels.accumulate import accumulate_border, accumulate_first, accumulate_tail

from .basis import row_chunks
from .crossprod import (
    FirstFactor,
    empty_first,
    largest_block,
    pattern_of,
    tail_layout,
    tail_rows,
    weight_rows,
)
from .level_span import LevelSpan, whole_span
from .memory import check_fit_memory
from .sparse_products import SMALLEST, SparseGram
from .tail_pairs import Solver, TailPairs, rows_of_tail

__all__ = ["ProductSums"]

SMALL_MATRIX = 16
"""Largest number of elements of a level's matrix for which its product with L ⊗ R is faster than two products."""

SUMS = (
    "width",
    "gram",
    "first_border",
    "keys",
    "values",
    "indptr",
    "indices",
    "border",
    "dense",
    "pairs",
    "sides",
)
"""Attributes of `ProductSums` that grow or change with the rows."""


@dataclass(frozen=True, slots=True, eq=False)
class _TailRows:
    """Codes, effects and [X̃ ỹ] of the chunks of a batch, for a sparse tail."""

    codes: list[IntArray]
    effects: list[Array]
    border: list[Array]

    def add(self, codes: IntArray, effects: Array, border: Array) -> None:
        self.codes.append(codes)
        self.effects.append(effects)
        self.border.append(border)


class ProductSums:
    """Cross-products of [Z₁, tail, X, y] with themselves, summed over batches.

    Parameters
    ----------
    design : Design
        Of all rows; its rows are not used.
    """

    def __init__(self, design: Design) -> None:
        self.width = len(design.x_names) + 1
        self.first_block = largest_block(design)
        self.tail = tail_layout(design, self.first_block, whole_span(design))
        self.q = self.tail[-1].stop if self.tail else 0
        self.sizes = np.array([b.k for b in self.tail], np.int64)
        self.offsets = np.array([b.offset for b in self.tail], np.int64)
        levels, k = 0, 1
        if self.first_block >= 0:
            block = design.blocks[self.first_block]
            levels, k = block.levels, block.k
        self.levels = levels
        self.gram = np.zeros((levels, k, k))
        self.first_border = np.zeros((levels, k, self.width))
        self.keys = np.zeros(0, np.int64)
        self.values = np.zeros((0, k))
        self.indptr, self.indices = np.zeros(levels + 1, np.int64), self.keys
        self.border = np.zeros((self.width, self.width))
        self.is_dense = self.q < SMALLEST
        size = self.q + self.width if self.is_dense else 0
        self.dense = np.zeros((size, size))
        self.pairs = sparse.csr_array((self.q, self.q) if not self.is_dense else (0, 0))
        self.sides = np.zeros((0 if self.is_dense else self.q, self.width))

    def add(
        self, batch: Design, root_weights: Array | None, border: Array, effects: tuple[Array, ...]
    ) -> None:
        """Add the products of the rows of a batch, in a basis T of [X y] and P of each Z."""
        span = whole_span(batch)
        if self.tail and self.first_block >= 0:
            self._extend(batch, span)
        inverses, tail = [inverse(basis) for basis in effects], _TailRows([], [], [])
        for rows in row_chunks(batch.n):
            weight = None if root_weights is None else root_weights[rows]
            own = weight_rows(np.column_stack([batch.X[rows], batch.y[rows]]) @ border, weight)
            self.border += own.T @ own
            first = None
            if self.first_block >= 0:
                block = batch.blocks[self.first_block]
                z = weight_rows(block.z[rows] @ inverses[self.first_block], weight)
                first = np.ascontiguousarray(block.codes[rows]), z
                accumulate_first(*first, own, self.gram, self.first_border)
            if self.tail:
                others, effect = tail_rows(batch, self.tail, inverses, rows, span)
                tail.add(others, weight_rows(effect, weight), own)
                self._add_tail(first, others, tail.effects[-1], own)
        if self.tail and not self.is_dense and batch.n:
            self._add_pairs(tail)

    def state(self) -> dict[str, Any]:
        """Return the sums, for a file."""
        return {name: getattr(self, name) for name in SUMS}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the sums from a file."""
        self.__dict__.update({name: state[name] for name in SUMS})

    def _extend(self, batch: Design, span: LevelSpan | None) -> None:
        """Make room for pairs of levels that occur in a batch for the first time."""
        own = empty_first(batch, self.first_block, self.tail, span, self.width)
        keys = np.repeat(np.arange(self.levels), np.diff(own.indptr)) * np.int64(self.q) + own.indices
        places = np.minimum(np.searchsorted(self.keys, keys), max(self.keys.size - 1, 0))
        new = keys if not self.keys.size else keys[self.keys[places] != keys]
        if not new.size:
            return
        every = np.sort(np.concatenate([self.keys, new]), kind="stable")  # two ascending runs
        values = np.zeros((every.size, self.values.shape[1]))
        values[np.searchsorted(every, self.keys)] = self.values
        self.keys, self.values = every, values
        counts = np.bincount(every // self.q, minlength=self.levels)
        self.indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.indices = every % self.q

    def _add_tail(
        self, first: tuple[IntArray, Array] | None, others: IntArray, effects: Array, border: Array
    ) -> None:
        if first is not None:
            accumulate_border(
                *first, others, effects, self.sizes, self.offsets, self.indptr, self.indices, self.values
            )
        if self.is_dense:
            accumulate_tail(others, effects, self.sizes, self.offsets, border, self.dense)

    def _add_pairs(self, tail: _TailRows) -> None:
        """Add the products of a sparse tail of all rows of a batch."""
        codes, effects, border = (
            np.concatenate(tail.codes),
            np.concatenate(tail.effects),
            np.concatenate(tail.border),
        )
        rows = rows_of_tail(codes, effects, [(b.offset, b.k) for b in self.tail], self.q)
        self.pairs = self.pairs + rows.T @ rows
        self.sides += rows.T @ border

    def change(self, border: Array, effects: tuple[Array, ...]) -> None:
        """Change the basis: [X̃ ỹ] becomes [X̃ ỹ] M and each Z̃ becomes Z̃ M_f."""
        if self.first_block >= 0:
            own = effects[self.first_block]
            self.gram = _changed(self.gram, own, own)
            self.first_border = _changed(self.first_border, own, border)
            self.values = np.ascontiguousarray(self.values @ own)
            self._change_cells(effects)
        self.border = border.T @ self.border @ border
        if self.is_dense:
            whole = symmetric(self.dense)
            matrix = np.zeros((self.q + self.width, self.q + border.shape[1]))
            matrix[: self.q, : self.q] = self._tail_change(effects).toarray()
            matrix[self.q :, self.q :] = border
            self.dense = np.ascontiguousarray(matrix.T @ whole @ matrix)
        else:
            change = self._tail_change(effects)
            self.pairs = change.T @ self.pairs @ change
            self.sides = (change.T @ self.sides) @ border
        self.width = border.shape[1]

    def changed(self, border: Array, effects: tuple[Array, ...]) -> ProductSums:
        """Return the sums in another basis; see `change`."""
        out = copy.copy(self)
        out.change(border, effects)
        return out

    def plus(self, other: ProductSums) -> ProductSums:
        """Return the sums of both, which are in one basis and symmetric; neither is changed."""
        out = copy.copy(self)
        for name in ("gram", "first_border", "border", "dense", "pairs", "sides"):
            setattr(out, name, getattr(self, name) + getattr(other, name))
        out.keys = np.union1d(self.keys, other.keys)
        out.values = np.zeros((out.keys.size, self.values.shape[1]))
        for own in (self, other):
            out.values[np.searchsorted(out.keys, own.keys)] += own.values
        counts = np.bincount(out.keys // max(self.q, 1), minlength=self.levels)
        out.indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        out.indices = out.keys % max(self.q, 1)
        return out

    def _change_cells(self, effects: tuple[Array, ...]) -> None:
        for b in self.tail:
            if b.block < 0:
                continue
            here = np.flatnonzero((self.indices >= b.offset) & (self.indices < b.stop))
            own = self.values[here].reshape(-1, b.k, self.values.shape[1])
            self.values[here] = np.einsum("be,cba->cea", effects[b.block], own).reshape(here.size, -1)

    def _tail_change(self, effects: tuple[Array, ...]) -> sparse.csr_array:
        """Return the change of the tail's columns, shape (q, q), block diagonal."""
        parts = [
            sparse.eye_array(b.levels)
            if b.block < 0
            else sparse.kron(sparse.eye_array(b.levels), effects[b.block])
            for b in self.tail
        ]
        return sparse.csr_array(sparse.block_diag(parts)) if parts else sparse.csr_array((0, 0))

    @classmethod
    def of_pairs(cls, design: Design, pairs: sparse.csr_array, sides: Array, border: Array) -> ProductSums:
        """Return the sums that have given products.

        Parameters
        ----------
        design : Design
        pairs : sparse array, shape (q, q)
            Products of the columns of all blocks, one block after the other.
        sides : ndarray, shape (q, any)
            Their products with [X y].
        border : ndarray, shape (any, any)
        """
        out = cls(design)
        out.width, out.border = border.shape[1], border
        if out.first_block < 0:
            out.dense = border
            out.first_border = np.zeros((0, 1, out.width))
            return out
        order = out._order(design)
        levels, k = out.gram.shape[:2]
        size = levels * k
        own = sparse.csr_array(pairs[order][:, order])
        for a in range(k):
            for b in range(k):
                out.gram[:, a, b] = own[a:size:k, b:size:k].diagonal()
        out.first_border = np.ascontiguousarray(sides[order[:size]]).reshape(levels, k, -1)
        out._fill_cells(sparse.coo_array(own[:size, size:]))
        tail, beside = own[size:, size:], sides[order[size:]]
        if out.is_dense:
            out.dense = np.block([[tail.toarray(), beside], [beside.T, border]])
        else:
            out.pairs, out.sides = sparse.csr_array(tail), beside
        return out

    def _order(self, design: Design) -> IntArray:
        """Return the places of the first factor's columns, then of the tail's, among those of all blocks in order."""
        starts = np.cumsum([0, *(block.levels * block.k for block in design.blocks)])
        blocks = [self.first_block, *(b.block for b in self.tail)]
        return np.concatenate([np.arange(starts[f], starts[f + 1]) for f in blocks]).astype(np.int64)

    def _fill_cells(self, products: sparse.coo_array) -> None:
        """Set the products of the first factor with the tail; a pair of levels has all of its columns."""
        k = self.gram.shape[1]
        rows, columns = products.row.astype(np.int64), products.col.astype(np.int64)
        heads = [np.zeros(0, np.int64)]
        for b in self.tail:
            here = (columns >= b.offset) & (columns < b.stop)
            head = b.offset + (columns[here] - b.offset) // b.k * b.k
            keys = _distinct(rows[here] // k * self.q + head)
            heads.append((keys[:, None] + np.arange(b.k)).ravel())
        self.keys = np.sort(np.concatenate(heads))
        self.values = np.zeros((self.keys.size, k))
        self.values[np.searchsorted(self.keys, rows // k * self.q + columns), rows % k] = products.data
        counts = np.bincount(self.keys // max(self.q, 1), minlength=self.levels)
        self.indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.indices = self.keys % max(self.q, 1)

    def all_pairs(self, design: Design) -> tuple[sparse.csr_array, Array]:
        """Return the products of the columns of all blocks, one block after the other, and those with [X y]."""
        if self.first_block < 0:
            return sparse.csr_array((0, 0)), np.zeros((0, self.width))
        levels, k = self.gram.shape[:2]
        size = levels * k
        own = sparse.bsr_array((self.gram, np.arange(levels), np.arange(levels + 1)), shape=(size, size))
        rows = np.repeat(np.arange(levels), np.diff(self.indptr))[:, None] * k + np.arange(k)
        columns = np.repeat(self.indices[:, None], k, axis=1)
        cells = sparse.coo_array((self.values.ravel(), (rows.ravel(), columns.ravel())), shape=(size, self.q))
        tail, beside = self.pairs, self.sides
        if self.is_dense:
            whole = symmetric(self.dense)
            tail, beside = sparse.csr_array(whole[: self.q, : self.q]), whole[: self.q, self.q :]
        every = sparse.csr_array(sparse.block_array([[own, cells], [cells.T, tail]], format="csr"))
        sides = np.concatenate([self.first_border.reshape(size, -1), beside])
        back = np.argsort(self._order(design))
        return sparse.csr_array(every[back][:, back]), sides[back]

    def level_grams(self, design: Design, members: Sequence[int]) -> Array:
        """Return the products of the stacked columns of blocks with the same groups of rows, shape (levels, k, k)."""
        lead, sizes = members[0], [design.blocks[f].k for f in members]
        ends = np.cumsum([0, *sizes])
        here = {f: slice(a, b) for f, a, b in zip(members, ends[:-1], ends[1:], strict=True)}
        levels = design.blocks[lead].levels
        out = np.zeros((levels, ends[-1], ends[-1]))
        numbers = {lead: np.arange(levels)}
        for f in members[1:]:
            part = self._pair(lead, f)
            numbers[f] = np.zeros(design.blocks[f].levels, np.int64)
            numbers[f][part.col // design.blocks[f].k] = part.row // design.blocks[lead].k
        for i, f in enumerate(members):
            out[numbers[f], here[f], here[f]] = self._own_grams(f)
            for g in members[:i]:
                part, one, other = self._pair(f, g), design.blocks[f].k, design.blocks[g].k
                rows, columns = here[f].start + part.row % one, here[g].start + part.col % other
                out[numbers[f][part.row // one], rows, columns] = part.data
                out[numbers[f][part.row // one], columns, rows] = part.data
        return out

    def _pair(self, f: int, g: int) -> sparse.coo_array:
        """Return the products of the columns of two different blocks, as a sparse matrix."""
        if g == self.first_block:
            return sparse.coo_array(self._pair(g, f).T)
        other = next(b for b in self.tail if b.block == g)
        if f != self.first_block:
            own = next(b for b in self.tail if b.block == f)
            whole = symmetric(self.dense) if self.is_dense else self.pairs
            return sparse.coo_array(whole[own.offset : own.stop, other.offset : other.stop])
        k = self.gram.shape[1]
        here = np.flatnonzero((self.indices >= other.offset) & (self.indices < other.stop))
        levels = np.repeat(np.arange(self.levels), np.diff(self.indptr))[here]
        rows = levels[:, None] * k + np.arange(k)
        columns = np.repeat(self.indices[here, None] - other.offset, k, axis=1)
        shape = (self.levels * k, other.levels * other.k)
        return sparse.coo_array((self.values[here].ravel(), (rows.ravel(), columns.ravel())), shape=shape)

    def _own_grams(self, block: int) -> Array:
        """Return the products of the columns of one block, level by level, shape (levels, k, k)."""
        if block == self.first_block:
            return self.gram
        place = next(b for b in self.tail if b.block == block)
        whole = symmetric(self.dense) if self.is_dense else self.pairs
        own = whole[place.offset : place.stop, place.offset : place.stop]
        out = np.empty((place.levels, place.k, place.k))
        for a in range(place.k):
            for b in range(place.k):
                out[:, a, b] = own[a :: place.k, b :: place.k].diagonal()
        return out

    def first(self) -> FirstFactor:
        """Return the products of the first factor."""
        return FirstFactor(self.gram, self.indptr, self.indices, self.values, self.first_border)

    def tail_products(self, design: Design) -> tuple[Array, SparseGram | None, TailPairs | None]:
        """Return `gram`, `sparse` and `pairs` of `CrossProducts`."""
        if self.is_dense:
            out = np.tril(self.dense)
            out[self.q :, self.q :] = self.border
            return out, None, None
        pattern = pattern_of(self.first(), self.tail)
        solver, pairs = Solver(), None
        if solver.is_iterative(self.tail, pattern, design.blocks):
            pairs = TailPairs(self.pairs, self.sides, solver.probes)
        check_fit_memory(self.first(), self.tail, self.width, pattern, pairs)
        if pairs is not None:
            return self.border.copy(), None, pairs
        if pattern is None:
            return np.block([[self.pairs.toarray(), self.sides], [self.sides.T, self.border]]), None, None
        return self.border.copy(), SparseGram.of(pattern, self.pairs, self.sides), None


def _changed(values: Array, left: Array, right: Array) -> Array:
    """Return LᵀVR of each matrix V, shape (levels, k, any); small ones by one product with L ⊗ R."""
    if values.shape[1] * values.shape[2] <= SMALL_MATRIX:
        out = values.reshape(len(values), -1) @ np.kron(left, right)
        return out.reshape(len(values), left.shape[1], right.shape[1])
    # kernels take C-contiguous arrays, which einsum does not always return
    return np.ascontiguousarray(np.einsum("ai,jas,st->jit", left, values, right, optimize=True))


def _distinct(keys: IntArray) -> IntArray:
    """Return the distinct values in increasing order; keys that are nearly so already cost little."""
    if np.any(keys[1:] < keys[:-1]):
        keys = np.sort(keys)
    first = np.ones(keys.size, dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    return keys[first]
