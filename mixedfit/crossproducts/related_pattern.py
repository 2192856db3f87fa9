"""Sparsity pattern of a tail whose factors have known relationships with a sparse inverse Q = A⁻¹.

The tail's matrix is ΛᵀS̃Λ + D: S̃ has an element for each pair of columns that occur on one row, D has Q ⊗ I.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.covariance.known.checks import LARGEST
from mixedfit.design.design import Design, RandomBlock

from .sparse_products import SparsePattern, sparse_pattern

__all__ = ["check_dense", "is_sparse", "related_pattern"]

SMALLEST = 1000
"""Random effects from which a model with known relationships is sparse; below, dense matrices do more at once."""


def is_sparse(blocks: Sequence[RandomBlock]) -> bool:
    """Return whether a model is one for a sparse tail: all known relationships have sparse inverses."""
    known = [block.known for block in blocks if block.known is not None]
    effects = sum(block.levels * block.k for block in blocks)
    return bool(known) and all(own.is_sparse for own in known) and effects >= SMALLEST


def check_dense(blocks: Sequence[RandomBlock]) -> None:
    """Raise `ModelError` if a model with known relationships has too many effects for dense matrices."""
    effects = sum(block.levels * block.k for block in blocks if block.known is not None)
    if effects <= LARGEST:
        return
    name = next(block.name for block in blocks if block.known is not None)
    why = "not all matrices are sparse inverses; give a scipy sparse A⁻¹ (a pedigree's is one), or"
    if is_sparse(blocks):
        why = "the factor of the mixed-model equations is nearly dense;"
    raise ModelError(
        f"{name!r}: {effects:,} effects of levels with known relationships need dense matrices, which are used up to "
        f"{LARGEST:,}: {why} leave out levels without rows, or terms left of the bar."
    )


def related_pattern(
    design: Design, codes: IntArray, offsets: IntArray, levels: IntArray, sizes: IntArray, blocks: IntArray
) -> SparsePattern | None:
    """Return the sparsity pattern of a tail, with D; None if a dense matrix is faster.

    Parameters
    ----------
    design : Design
    codes : ndarray of int64, shape (n, factors)
        Level of each row in each tail factor, −1 for none.
    offsets, levels, sizes, blocks : ndarray of int64, shape (factors,)
        First column, levels, effects per level, and block of the design (−1 for a fixed factor) of each.
    """
    heads = np.where(codes >= 0, offsets + codes * sizes, -1)
    together = np.unique(heads, axis=0)
    present = together >= 0
    counts, columns = [present.sum(axis=1)], [together[present]]
    places: dict[int, tuple[sparse.coo_array, int, int]] = {}
    for f, block in enumerate(blocks.tolist()):
        known = design.blocks[block].known if block >= 0 else None
        if known is None:
            continue
        lower = sparse.coo_array(sparse.tril(known.given))
        places[f] = lower, int(offsets[f]), int(sizes[f])
        pairs = offsets[f] + np.stack([lower.col, lower.row], axis=1).astype(np.int64) * sizes[f]
        off = pairs[:, 0] != pairs[:, 1]
        counts.append(np.full(int(off.sum()), 2))
        columns.append(pairs[off].reshape(-1))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    indices = np.concatenate(columns).astype(np.int64)
    pattern = sparse_pattern(indptr, indices, levels.tolist(), sizes.tolist(), (blocks >= 0).tolist())
    if pattern is None:
        return None
    none = np.zeros(0, np.int64)
    first = np.zeros(1, np.int64)  # no levels of a first factor
    return replace(
        pattern, cell_ptr=first, cells=none, slot_ptr=first, slots=none, prior=_prior(pattern, places)
    )


def _prior(
    pattern: SparsePattern, related: dict[int, tuple[sparse.coo_array, int, int]]
) -> tuple[IntArray, Array]:
    """Return the places among the pattern's values, and the values, of D's lower triangle."""
    count = pattern.size.size
    node = np.repeat(np.arange(count), np.diff(pattern.ptr))
    keys = node * count + pattern.rows
    order = np.argsort(pattern.offset, kind="stable")  # nodes in the order of columns
    offset = pattern.offset[order]
    places, values = [], []
    for f in np.unique(pattern.factor[: pattern.random_nodes]).tolist():
        own = np.flatnonzero(pattern.factor == f)
        if f in related:
            lower, start, size = related[f]
            nodes = [order[np.searchsorted(offset, start + c * size)] for c in (lower.row, lower.col)]
            value = lower.data
        else:
            nodes, value, size = [own, own], np.ones(own.size), int(pattern.size[own[0]])
        at = np.searchsorted(keys, np.minimum(*nodes) * count + np.maximum(*nodes))
        for d in range(size):
            places.append(pattern.start[at] + d * (size + 1))
            values.append(value)
    return np.concatenate(places).astype(np.int64), np.concatenate(values).astype(float)
