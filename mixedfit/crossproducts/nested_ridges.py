"""Ridges of the likelihood between a grouping factor and one nested in it, as of ``(f | id) + (1 | id:f)``.

Levels of the finer factor are parts of levels of the coarser one. Where a change E of the coarser factor's Ω gives the
same ZEZᵀ as a change of the finer one's, as that of the variances at each level of f does of the variance between the
levels of id:f, the data tell only of their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.covariance import ScaledCorrelation
from mixedfit.design.design import Design

from .changes import CLEAR, Change, coordinates, products_in_levels
from .partitions import partitions

__all__ = ["nested_ridges"]

NONE = 1e-12
"""Eigenvalue of the products of changes, scaled to squared length 1, below which a combination of them is 0."""

MOST_EFFECTS = 16
"""Effects of both factors together up to which they are looked at: the work grows with their fourth power."""

LOOKED_AT = 3
"""Levels of the coarser factor of which one may tell all changes apart, so that no other is looked at."""


class _Side(NamedTuple):
    """Blocks of one partition of the rows: their columns in orthonormal coordinates, and the changes of their Ω."""

    members: Sequence[int]
    codes: IntArray
    columns: Array
    changes: list[Change]
    images: Array


def nested_ridges(design: Design) -> list[BoolArray]:
    """Return the elements of Ω of each block that trade places with those of a nested factor, shape (k, k) each.

    Rows must be in memory; without them nothing is found.
    """
    out = [np.zeros((block.k, block.k), dtype=bool) for block in design.blocks]
    if design.absent is not None or len(design.blocks) < 2:
        return out
    classes = [own for own in partitions(design) if not any(design.blocks[f].known for f in own)]
    for coarse in classes:
        for fine in classes:
            if fine is not coarse and _may_trade(design, coarse, fine):
                _mark(out, design, coarse, fine)
    return out


def _may_trade(design: Design, coarse: Sequence[int], fine: Sequence[int]) -> bool:
    """Return whether `fine` is nested in `coarse`, which has several effects."""
    effects = [sum(design.blocks[f].k for f in own) for own in (coarse, fine)]
    if effects[0] < 2 or sum(effects) > MOST_EFFECTS:
        return False
    outer, inner = design.blocks[coarse[0]], design.blocks[fine[0]]
    if outer.levels >= inner.levels:
        return False
    parent = np.full(inner.levels, -1, dtype=outer.codes.dtype)
    parent[inner.codes] = outer.codes
    return bool(np.array_equal(parent[inner.codes], outer.codes))


def _mark(out: list[BoolArray], design: Design, coarse: Sequence[int], fine: Sequence[int]) -> None:
    """Mark the elements that combinations of changes with ZEZᵀ = 0 move in both factors."""
    outer, inner = _side(design, coarse), _side(design, fine)
    if outer is None or inner is None:
        return
    sizes = np.bincount(outer.codes)
    for level in np.argsort(-sizes, kind="stable")[:LOOKED_AT]:
        if _smallest(_products(outer, inner, np.flatnonzero(outer.codes == level))) > CLEAR:
            return
    values, vectors = np.linalg.eigh(_products(outer, inner, slice(None)))
    changes = [(outer, change) for change in outer.changes] + [(inner, change) for change in inner.changes]
    for along in vectors[:, values < NONE].T:
        moved = [np.zeros(own.shape) for own in out]
        for (side, change), share in zip(changes, along, strict=True):
            moved[side.members[change.block]][change.effects, change.effects] += share * change.matrix
        largest = max(float(np.abs(own).max()) for own in moved)
        for f in (*coarse, *fine):
            for part, _, here in design.blocks[f].structure.slices():
                own = np.abs(moved[f][here, here]) > 1e-6 * largest
                out[f][here, here] |= own.any() if isinstance(part, ScaledCorrelation) else own


def _side(design: Design, members: Sequence[int]) -> _Side | None:
    """Return the blocks of one partition; None where a column is 0."""
    found = coordinates(design, members)
    if found is None:
        return None
    codes = design.blocks[members[0]].codes
    codes = codes if design.weights is None else codes[design.counted]
    return _Side(members, codes, found.columns @ found.turn, found.changes, found.images)


def _products(outer: _Side, inner: _Side, rows: slice | IntArray) -> Array:
    """Return tr(∂V_a ∂V_b) of all changes on some rows, scaled to a diagonal of 1 where that is not 0."""
    r = outer.columns.shape[1]
    stacked = np.hstack([outer.columns[rows], inner.columns[rows]])
    own, parents = _levels(inner.codes[rows], outer.codes[rows])
    grams = np.zeros((parents.size, stacked.shape[1], stacked.shape[1]))
    for a in range(stacked.shape[1]):
        for b in range(a + 1):
            grams[:, a, b] = grams[:, b, a] = np.bincount(
                own, stacked[:, a] * stacked[:, b], minlength=parents.size
            )
    above = np.zeros((int(parents.max()) + 1, r, r))
    np.add.at(above, parents, grams[:, :r, :r])
    border = grams[:, :r, r:]
    pairs = np.tensordot(border, border, axes=([0], [0]))  # Σ_l C_qr C_ps
    across = np.einsum("epq,frs,qrps->ef", outer.images, inner.images, pairs, optimize=True)
    upper, lower = products_in_levels(outer.images, above), products_in_levels(inner.images, grams[:, r:, r:])
    products = np.block([[upper, across], [across.T, lower]])
    size = np.sqrt(np.maximum(np.diag(products), 0.0))
    size = np.where(size > 0, size, 1.0)
    return np.asarray(products / np.outer(size, size))


def _levels(codes: IntArray, above: IntArray) -> tuple[IntArray, IntArray]:
    """Return the levels of some rows numbered from 0, and the level above each, numbered likewise."""
    _, first, own = np.unique(codes, return_index=True, return_inverse=True)
    _, parents = np.unique(above[first], return_inverse=True)
    return own.reshape(-1), parents.reshape(-1)


def _smallest(products: Array) -> float:
    return float(np.linalg.eigvalsh(products)[0])
