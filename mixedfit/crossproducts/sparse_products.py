"""Block-sparse products of a large tail of nested or partly crossed factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.kernels.accumulate import accumulate_blocks
from mixedfit.kernels.block_sparse import fill_pattern, locate_pairs

__all__ = ["SparseGram", "SparsePattern", "column_order", "sparse_pattern"]

SMALLEST = 400
"""Number of columns below which the tail is stored as a dense matrix."""

DENSE_SHARE = 0.15
"""Share of nonzero elements in the Cholesky factor above which the tail is stored as a dense matrix."""

PAIRED_SHARE = 0.1
"""Share of pairs of tail columns that occur together with a level of the first factor above which the tail is dense."""


@dataclass(frozen=True, slots=True, eq=False)
class SparsePattern:
    """Block sparsity pattern of the tail's Cholesky factor. A node is one level of a tail factor.

    Attributes
    ----------
    ptr, rows, start : ndarray of int64
        Pointers to the block columns, row nodes of the blocks, and positions of their values; see
        `kernels.block_sparse`.
    size, factor : ndarray of int64, shape (nodes,)
        Number of columns and tail factor of each node.
    offset : ndarray of int64, shape (nodes,)
        First tail column of each node.
    random_nodes : int
        Number of nodes that are random effects; these come first.
    cell_ptr, cells : ndarray of int64
        Nodes that occur with each level of the first factor, as compressed sparse rows.
    slot_ptr, slots : ndarray of int64
        Block of each pair of these nodes.
    prior : (ndarray of int64, ndarray) or None
        Places and values of the lower triangle of D, the inverse of the relative covariance of all random effects but
        for λ; None for the identity.
    """

    ptr: IntArray
    rows: IntArray
    start: IntArray
    size: IntArray
    factor: IntArray
    offset: IntArray
    random_nodes: int
    cell_ptr: IntArray
    cells: IntArray
    slot_ptr: IntArray
    slots: IntArray
    prior: tuple[IntArray, Array] | None = None

    def places(self) -> tuple[IntArray, IntArray, BoolArray]:
        """Return row and column of each stored value, and whether it is in a diagonal block."""
        node = np.repeat(np.arange(self.ptr.size - 1), np.diff(self.ptr))
        height, width = self.size[self.rows], self.size[node]
        area = height * width
        inside = np.arange(self.length) - np.repeat(self.start[:-1], area)
        rows = np.repeat(self.offset[self.rows], area) + inside // np.repeat(width, area)
        columns = np.repeat(self.offset[node], area) + inside % np.repeat(width, area)
        return rows, columns, np.repeat(self.rows == node, area)

    @property
    def length(self) -> int:
        """Number of stored values."""
        return int(self.start[-1])


@dataclass(frozen=True, eq=False)
class SparseGram:
    """Products of a sparse tail.

    Attributes
    ----------
    pattern : SparsePattern
    blocks : ndarray, shape (pattern.length,)
        Products of the tail with itself.
    sides : ndarray, shape (q, p + 1)
        Products of the tail with [X y], in the order of the tail's columns.
    """

    pattern: SparsePattern
    blocks: Array
    sides: Array

    @classmethod
    def zeros(cls, pattern: SparsePattern, columns: int, width: int) -> SparseGram:
        """Return products of 0."""
        return cls(pattern, np.zeros(pattern.length), np.zeros((columns, width)))

    @classmethod
    def of(cls, pattern: SparsePattern, pairs: sparse.csr_array, sides: Array) -> SparseGram:
        """Return the products of a tail that are given as a sparse matrix, shape (q, q), and those with [X y]."""
        rows, columns, _ = pattern.places()
        q = np.int64(pairs.shape[0])
        own = sparse.coo_array(pairs)
        keys = own.row.astype(np.int64) * q + own.col
        order = np.argsort(keys)
        wanted = rows * q + columns
        at = order[np.minimum(np.searchsorted(keys[order], wanted), keys.size - 1)]
        return cls(pattern, np.where(keys[at] == wanted, own.data[at], 0.0), sides.copy())

    def add(self, tail_codes: IntArray, tail_z: Array, border: Array) -> None:
        """Add the products of some rows."""
        p = self.pattern
        count = tail_codes.shape[1]
        nodes = [int(np.sum(p.factor == f)) for f in range(count)]
        first_node = np.concatenate([[0], np.cumsum(nodes)[:-1]]).astype(np.int64)
        place = np.argsort(p.offset, kind="stable")
        sizes = np.array([int(p.size[p.factor == f][0]) for f in range(count)], np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes * nodes)[:-1]]).astype(np.int64)
        accumulate_blocks(
            tail_codes,
            tail_z,
            sizes,
            offsets,
            first_node,
            place,
            p.ptr,
            p.rows,
            p.start,
            border,
            self.blocks,
            self.sides,
        )

    def matrix(self) -> Array:
        """Return the products of the tail with itself, shape (q, q)."""
        indptr, indices, source = self.layout
        shape = (indptr.size - 1,) * 2
        return np.asarray(sparse.csr_array((self.blocks[source], indices, indptr), shape=shape).toarray())

    def diagonal(self) -> Array:
        """Return the squared norms of all tail columns, shape (q,)."""
        indptr, indices, source = self.layout
        rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
        return np.asarray(self.blocks[source[rows == indices]])

    @lazy
    def layout(self) -> tuple[IntArray, IntArray, IntArray]:
        """Row pointers and columns of the symmetric matrix as compressed sparse rows, and positions in `blocks`."""
        rows, columns, diagonal = self.pattern.places()
        lower = ~diagonal | (rows >= columns)
        strict = lower & (rows != columns)
        source = np.concatenate([np.flatnonzero(lower), np.flatnonzero(strict)])
        all_rows = np.concatenate([rows[lower], columns[strict]])
        all_columns = np.concatenate([columns[lower], rows[strict]])
        order = np.lexsort((all_columns, all_rows))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(all_rows, minlength=self.sides.shape[0]))])
        return indptr.astype(np.int64), all_columns[order], source[order]


def sparse_pattern(
    indptr: IntArray, indices: IntArray, levels: Sequence[int], sizes: Sequence[int], random: Sequence[bool]
) -> SparsePattern | None:
    """Return the sparsity pattern of a tail, or None if a dense matrix is faster.

    Parameters
    ----------
    indptr, indices : ndarray of int64
        Tail columns that occur with each level of the first factor.
    levels, sizes, random : sequences
        For each tail factor: number of levels, effects per level, whether it is random.
    """
    columns = int(np.dot(levels, sizes))
    counts = np.diff(indptr).astype(float)
    if columns < SMALLEST or np.sum(counts * counts) > PAIRED_SHARE * columns**2:
        return None
    size = np.repeat(sizes, levels).astype(np.int64)
    factor = np.repeat(np.arange(len(levels)), levels).astype(np.int64)
    offset = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.int64)
    node_of = np.repeat(np.arange(size.size), size)
    heads = offset[node_of[indices]] == indices
    nodes = node_of[indices[heads]]
    cell_ptr = np.concatenate([[0], np.cumsum(heads)])[indptr].astype(np.int64)
    total = int(np.sum(np.array(levels)[np.array(random)]))
    order, pattern = _ordering(cell_ptr, nodes, size.size, total)
    limit = int(DENSE_SHARE * size.size**2 / 2) + size.size
    ptr, rows = fill_pattern(*pattern, limit)
    if ptr.size == 0:
        return None
    place = np.empty(size.size, np.int64)
    place[order] = np.arange(size.size)
    return _assemble(ptr, rows, size[order], factor[order], offset[order], total, cell_ptr, place[nodes])


def _ordering(
    cell_ptr: IntArray, nodes: IntArray, count: int, random: int
) -> tuple[IntArray, tuple[IntArray, IntArray]]:
    """Return an elimination order with random nodes first, and the permuted pattern below the diagonal."""
    cells = sparse.csr_array((np.ones(nodes.size), nodes, cell_ptr), shape=(cell_ptr.size - 1, count))
    graph = sparse.csc_array(cells.T @ cells)
    graph.data[:] = 1.0
    order = np.concatenate([_minimum_degree(graph[:random, :random]), np.arange(random, count)])
    lower = sparse.csc_array(sparse.tril(graph[order][:, order], k=-1))
    lower.sort_indices()
    return order, (lower.indptr.astype(np.int64), lower.indices.astype(np.int64))


def _minimum_degree(graph: sparse.csc_array) -> IntArray:
    """Return the minimum-degree order of a symmetric pattern, from SuperLU."""
    n = graph.shape[0]
    if n == 0 or graph.nnz <= n:
        return np.arange(n)
    dominant = sparse.csc_matrix(graph + sparse.diags_array(np.full(n, 2.0 * n)))
    factor = splu(
        dominant, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return np.argsort(factor.perm_c)


def _assemble(
    ptr: IntArray,
    rows: IntArray,
    size: IntArray,
    factor: IntArray,
    offset: IntArray,
    random: int,
    cell_ptr: IntArray,
    cells: IntArray,
) -> SparsePattern:
    """Return the pattern with the block positions of each first-factor level."""
    column = np.repeat(np.arange(ptr.size - 1), np.diff(ptr))
    start = np.concatenate([[0], np.cumsum(size[rows] * size[column])]).astype(np.int64)
    widths = np.diff(cell_ptr)
    slot_ptr = np.concatenate([[0], np.cumsum(widths * (widths + 1) // 2)]).astype(np.int64)
    slots = np.empty(int(slot_ptr[-1]), np.int64)
    locate_pairs(cell_ptr, cells, ptr, rows, slot_ptr, slots)
    return SparsePattern(ptr, rows, start, size, factor, offset, random, cell_ptr, cells, slot_ptr, slots)


def column_order(pattern: SparsePattern) -> IntArray:
    """Return the tail column at each position of the elimination order."""
    repeat = np.repeat(pattern.offset, pattern.size)
    within = np.arange(repeat.size) - np.repeat(np.cumsum(pattern.size) - pattern.size, pattern.size)
    return repeat + within
