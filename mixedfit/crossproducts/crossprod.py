"""Cross-products of a design, in one pass over the rows.

The *first factor* is the grouping factor with most effects, of those without known relationships between levels. The
*tail* has the effects of the other grouping factors, then the columns of fixed factors with many levels. The *border*
is [X y]. The products are, for each level j of the first factor, Z_jᵀZ_j and Z_jᵀ[tail, X, y]; and those of [tail, X,
y] with itself. All are in the basis of `basis`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.linalg import inverse, paged_zeros
from mixedfit.covariance.known import Known
from mixedfit.design.design import Design
from mixedfit.kernels.accumulate import (
    accumulate_border,
    accumulate_first,
    accumulate_tail,
    merge_cells,
    pair_cells,
)

from .basis import FixedBasis, effect_basis, fixed_basis, row_chunks
from .level_products import RowLevels
from .level_span import LevelSpan
from .memory import check_fit_memory
from .related_pattern import check_dense, is_sparse, related_pattern
from .ridges import ridges
from .sparse_products import SparseGram, SparsePattern, sparse_pattern
from .tail_pairs import Solver, TailPairs, rows_of_tail, summed_pairs

__all__ = [
    "CrossProducts",
    "FirstFactor",
    "TailBlock",
    "add_rows",
    "cross_products",
    "empty_first",
    "largest_block",
    "pattern_of",
    "tail_codes",
    "tail_layout",
    "tail_rows",
    "weight_rows",
]


PAIRED_ROWS = 1 << 20
"""Rows whose products of a large tail are computed at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstFactor:
    """Products of the first factor, level by level.

    Attributes
    ----------
    gram : ndarray, shape (levels, k, k)
        Z_jᵀZ_j.
    indptr, indices : ndarray of int64
        Tail columns that occur together with each level, ascending, as compressed sparse rows.
    values : ndarray, shape (cells, k)
        Products of Z_j with these tail columns.
    border : ndarray, shape (levels, k, p + 1)
        Z_jᵀ[X y].
    """

    gram: Array
    indptr: IntArray
    indices: IntArray
    values: Array
    border: Array


@dataclass(frozen=True, slots=True)
class TailBlock:
    """Position of one factor in the tail: columns `offset` to `offset + levels * k`.

    Attributes
    ----------
    block : int
        Index in `design.blocks`, or −1 for a many-level fixed factor.
    offset, levels, k : int
    """

    block: int
    offset: int
    levels: int
    k: int

    @property
    def stop(self) -> int:
        """One past its last column in the tail."""
        return self.offset + self.levels * self.k


@dataclass(frozen=True, slots=True, eq=False)
class CrossProducts:
    """The sums over rows that determine the likelihood.

    Attributes
    ----------
    n, p : int
        Number of rows with a positive weight, and of linearly independent columns of X (without many-level factors).
    first_block : int
        Index in `design.blocks` of the first factor, −1 if all levels have known relationships or there are no effects.
    first : FirstFactor
    tail : tuple of TailBlock
        Random factors, then fixed ones.
    gram : ndarray, shape (m, m)
        Lower triangle of the products of [tail, X, y]; of [X, y] only if the tail is sparse or in `pairs`.
    sparse : SparseGram or None
        Products of a sparse tail.
    fixed : FixedBasis
    basis : tuple of ndarray, shape (k, k)
        R of each of `design.blocks`.
    log_weights : float
        Σ log w over positive weights.
    unidentified : tuple of ndarray of bool, shape (k, k)
        Elements of each block's Ω that are not identified.
    with_residual : tuple of ndarray of bool, shape (k, k)
        Those of them that are not told from the residual variance.
    known : tuple of Known or None
        Relationships A of the levels of each block, b ~ N(0, Ω ⊗ A); None for independent levels.
    pairs : TailPairs or None
        Products of a tail that is too large to be factorised.
    """

    n: int
    p: int
    first_block: int
    first: FirstFactor
    tail: tuple[TailBlock, ...]
    gram: Array
    sparse: SparseGram | None
    fixed: FixedBasis
    basis: tuple[Array, ...]
    log_weights: float
    unidentified: tuple[BoolArray, ...]
    with_residual: tuple[BoolArray, ...]
    known: tuple[Known | None, ...]
    pairs: TailPairs | None = None

    @property
    def has_known(self) -> bool:
        """Whether the levels of a block have known relationships."""
        return any(known is not None for known in self.known)

    def related(self, block: int, values: Array) -> Array:
        """Return A times values of the levels of a block, shape (levels, …); `values` if levels are independent."""
        known = self.known[block]
        return values if known is None else known.times(values)

    def as_dense(self) -> CrossProducts:
        """Return the same products with a dense tail, for a sparse one without a first factor."""
        if self.sparse is None:
            return self
        q = self.q_tail
        gram = np.zeros((q + len(self.gram),) * 2)
        gram[:q, :q] = self.sparse.matrix()
        gram[q:, :q] = self.sparse.sides.T
        gram[q:, q:] = self.gram
        return replace(self, gram=gram, sparse=None)

    def place(self, block: int) -> TailBlock:
        """Return the position in the tail of a block of the design."""
        return next(b for b in self.tail if b.block == block)

    def tail_diagonal(self, place: TailBlock) -> Array:
        """Return the squared norms of the columns of a tail factor, shape (levels, k)."""
        own = self.sparse or self.pairs
        diagonal = np.diagonal(self.gram) if own is None else own.diagonal()
        values = diagonal[place.offset : place.stop]
        return values.reshape(place.levels, place.k)

    def tail_response(self, place: TailBlock) -> Array:
        """Return the products of the columns of a tail factor with y, shape (levels, k)."""
        own = self.sparse or self.pairs
        values = self.gram[-1] if own is None else own.sides[:, -1]
        return values[place.offset : place.stop].reshape(place.levels, place.k)

    @property
    def q_random(self) -> int:
        """Number of tail columns that are random effects."""
        return max((b.stop for b in self.tail if b.block >= 0), default=0)

    @property
    def q_tail(self) -> int:
        """Number of tail columns, many-level fixed factors included."""
        return max((b.stop for b in self.tail), default=0)

    @property
    def p_total(self) -> int:
        """Number of linearly independent fixed-effect columns, many-level factors included."""
        return self.p + self.q_tail - self.q_random


def cross_products(design: Design, solver: Solver | None = None) -> CrossProducts:
    """Return the cross-products of a design.

    Parameters
    ----------
    design : Design
    solver : Solver, optional
        Whether the tail is factorised.

    Notes
    -----
    They enter the penalised least squares of Bates, Mächler, Bolker & Walker (2015, J. Stat. Softw. 67(1)), section
    3.3, here level by level of the first factor.
    """
    root_weights = None if design.weights is None else np.sqrt(design.weights)
    fixed = fixed_basis(design, root_weights)
    basis = tuple(effect_basis(design, block, fixed, root_weights) for block in design.blocks)
    first_block, tail, first, pattern = _layout(design, fixed, solver)
    width = fixed.kept.size + 1
    q = tail[-1].stop if tail else 0
    iterative = (solver or Solver()).is_iterative(tail, pattern, design.blocks)
    pairs = None
    if iterative:
        inverses = [inverse(r) for r in basis]
        pairs, pattern = (
            tail_pairs(design, fixed, tail, inverses, root_weights, (solver or Solver()).probes),
            None,
        )
    check_fit_memory(first, tail, width, pattern, pairs)
    found = ridges(design, RowLevels(design))
    sparse = None if pattern is None else SparseGram.zeros(pattern, q, width)
    apart = sparse is not None or iterative
    gram = paged_zeros((width, width) if apart else (q + width, q + width))
    positive = None if design.weights is None else design.weights[design.weights > 0]
    cross = CrossProducts(
        n=design.n if positive is None else int(positive.size),
        p=int(fixed.kept.size),
        first_block=first_block,
        first=first,
        tail=tail,
        gram=gram,
        sparse=sparse,
        fixed=fixed,
        basis=basis,
        log_weights=0.0 if positive is None else float(np.sum(np.log(positive))),
        unidentified=found.elements,
        with_residual=found.with_residual,
        known=tuple(block.known for block in design.blocks),
        pairs=pairs,
    )
    add_rows(cross, design, root_weights)
    return cross


def tail_pairs(
    design: Design,
    fixed: FixedBasis,
    tail: tuple[TailBlock, ...],
    inverses: list[Array],
    root_weights: Array | None,
    probes: int,
) -> TailPairs:
    """Return the products of the tail with itself and with [X y], without fill."""
    q = tail[-1].stop
    sides, layout = np.zeros((q, fixed.kept.size + 1)), [(b.offset, b.k) for b in tail]

    def parts() -> Iterator[csr_array]:
        for rows in row_chunks(design.n, PAIRED_ROWS):
            weight = None if root_weights is None else root_weights[rows]
            codes, z = tail_rows(design, tail, inverses, rows, fixed.span)
            own = rows_of_tail(codes, weight_rows(z, weight), layout, q)
            np.add(sides, own.T @ weight_rows(_border(design, fixed, rows), weight), out=sides)
            yield own

    return TailPairs(summed_pairs(parts(), q), sides, probes)


def _layout(
    design: Design, fixed: FixedBasis, solver: Solver | None
) -> tuple[int, tuple[TailBlock, ...], FirstFactor, SparsePattern | None]:
    """Return the first factor, the tail, empty products of the first factor, and the pattern of a sparse tail."""
    width = fixed.kept.size + 1
    if is_sparse(design.blocks):
        tail = tail_layout(design, -1, fixed.span)
        pattern = _related_pattern(design, tail, fixed)
        if pattern is not None:
            return -1, tail, empty_first(design, -1, tail, fixed.span, width), pattern
    check_dense(design.blocks)
    first_block = largest_block(design)
    tail = tail_layout(design, first_block, fixed.span)
    first = empty_first(design, first_block, tail, fixed.span, width)
    if first_block < 0 or not tail or any(block.known is not None for block in design.blocks):
        return first_block, tail, first, None
    if solver is not None and solver.kind == "iterative":
        return first_block, tail, first, None
    return first_block, tail, first, pattern_of(first, tail)


def _related_pattern(design: Design, tail: tuple[TailBlock, ...], fixed: FixedBasis) -> SparsePattern | None:
    codes = tail_codes(design, tail, fixed.span, slice(0, design.n))
    numbers = np.array([(b.offset, b.levels, b.k, b.block) for b in tail], np.int64)
    return related_pattern(design, codes, *numbers.T)


def pattern_of(first: FirstFactor, tail: tuple[TailBlock, ...]) -> SparsePattern | None:
    """Return the sparsity pattern of a tail, or None if a dense matrix is faster."""
    random = [b.block >= 0 for b in tail]
    return sparse_pattern(first.indptr, first.indices, [b.levels for b in tail], [b.k for b in tail], random)


def largest_block(design: Design) -> int:
    """Return the index of the block of independent levels with most effects, −1 if there is none."""
    independent = [f for f, block in enumerate(design.blocks) if block.known is None]
    return max(independent, key=lambda f: design.blocks[f].levels * design.blocks[f].k, default=-1)


def tail_layout(design: Design, first_block: int, span: LevelSpan | None) -> tuple[TailBlock, ...]:
    """Return the positions of the tail factors: random factors, then many-level fixed factors."""
    tail: list[TailBlock] = []
    at = 0
    for f, block in enumerate(design.blocks):
        if f != first_block:
            tail.append(TailBlock(f, at, block.levels, block.k))
            at = tail[-1].stop
    for columns in span.kept if span else ():
        if columns.size:
            tail.append(TailBlock(-1, at, columns.size, 1))
            at = tail[-1].stop
    return tuple(tail)


def tail_codes(design: Design, tail: tuple[TailBlock, ...], span: LevelSpan | None, rows: slice) -> IntArray:
    """Return the levels of some rows in the tail factors, shape (rows, len(tail)); −1 for a level without a column."""
    columns = [design.blocks[b.block].codes[rows] for b in tail if b.block >= 0]
    if span is not None:
        for f in span.factors:
            columns.append(span.columns_of_levels[f][span.codes[f][rows]])
    return np.stack(columns, axis=1) if columns else np.zeros((rows.stop - rows.start, 0), np.int64)


def empty_first(
    design: Design, first_block: int, tail: tuple[TailBlock, ...], span: LevelSpan | None, width: int
) -> FirstFactor:
    """Return products of 0 for the first factor, with the sparsity pattern of the design."""
    if first_block < 0:
        none = np.zeros(0, np.int64)
        return FirstFactor(
            np.zeros((0, 1, 1)), np.zeros(1, np.int64), none, np.zeros((0, 1)), np.zeros((0, 1, width))
        )
    block = design.blocks[first_block]
    indptr, indices = np.zeros(block.levels + 1, np.int64), np.zeros(0, np.int64)
    codes = tail_codes(design, tail, span, slice(0, design.n))
    for f, place in enumerate(tail):
        other = np.ascontiguousarray(codes[:, f])
        rows = other >= 0
        these = block.codes if rows.all() else block.codes[rows]
        pair_ptr, pair_levels = pair_cells(
            these, block.levels, other if rows.all() else other[rows], place.levels
        )
        indptr, indices = merge_cells(indptr, indices, pair_ptr, pair_levels, place.offset, place.k)
    return FirstFactor(
        gram=np.zeros((block.levels, block.k, block.k)),
        indptr=indptr,
        indices=indices,
        values=np.zeros((indices.size, block.k)),
        border=np.zeros((block.levels, block.k, width)),
    )


def add_rows(cross: CrossProducts, design: Design, root_weights: Array | None) -> None:
    """Add the products of all rows of a design to the arrays of `cross`, in place, chunk by chunk.

    Parameters
    ----------
    cross : CrossProducts
    design : Design
        Of the same model as `cross`.
    root_weights : ndarray, shape (n,), or None
        Square roots of the weights.
    """
    inverses = [inverse(r) for r in cross.basis]
    width = cross.fixed.kept.size + 1
    for rows in row_chunks(design.n):
        weight = None if root_weights is None else root_weights[rows]
        border = weight_rows(_border(design, cross.fixed, rows), weight)
        cross.gram[-width:, -width:] += border.T @ border
        first = None
        if cross.first_block >= 0:
            block = design.blocks[cross.first_block]
            first = block.codes[rows], weight_rows(block.z[rows] @ inverses[cross.first_block], weight)
            accumulate_first(*first, border, cross.first.gram, cross.first.border)
        if cross.tail:
            codes, z = tail_rows(design, cross.tail, inverses, rows, cross.fixed.span)
            _add_tail(cross, (codes, weight_rows(z, weight)), first, border)


def _add_tail(
    cross: CrossProducts,
    tail: tuple[IntArray, Array],
    first: tuple[IntArray, Array] | None,
    border: Array,
) -> None:
    """Add the products of some rows of the tail, given as codes and effects, with the first factor and the border."""
    sizes = np.array([b.k for b in cross.tail], np.int64)
    offsets = np.array([b.offset for b in cross.tail], np.int64)
    if first is not None:
        own = cross.first
        accumulate_border(*first, *tail, sizes, offsets, own.indptr, own.indices, own.values)
    if cross.sparse is not None:
        cross.sparse.add(*tail, border)
    elif cross.pairs is None:
        accumulate_tail(*tail, sizes, offsets, border, cross.gram)


def _border(design: Design, fixed: FixedBasis, rows: slice) -> Array:
    """Return [X̃ ỹ] for some rows."""
    X = fixed.columns(design, rows)
    border = np.empty((X.shape[0], fixed.kept.size + 1))
    border[:, :-1] = X @ fixed.transform
    border[:, -1] = (fixed.response(design, rows) - X @ fixed.centre) / fixed.scale
    return border


def tail_rows(
    design: Design, tail: tuple[TailBlock, ...], inverses: list[Array], rows: slice, span: LevelSpan | None
) -> tuple[IntArray, Array]:
    """Return the tail's levels and effects for some rows; a level without a column becomes level 0 with effect 0."""
    codes = tail_codes(design, tail, span, rows)
    values = np.empty((codes.shape[0], sum(b.k for b in tail)))
    at = 0
    for f, place in enumerate(tail):
        here = slice(at, at + place.k)
        if place.block >= 0:
            values[:, here] = design.blocks[place.block].z[rows] @ inverses[place.block]
        else:
            values[:, at] = codes[:, f] >= 0
        at += place.k
    return np.maximum(codes, 0, out=codes), values


def weight_rows(values: Array, root_weights: Array | None) -> Array:
    """Return rows multiplied by the square roots of their weights."""
    return values if root_weights is None else values * root_weights[:, None]
