"""Whether a model is a special case of another, as the chi-square of a likelihood ratio assumes.

Fixed parts: the columns of the smaller lie in the space of the larger's. Random parts: each term's covariance is one
that a term of the larger can have: its columns lie in those of a term of the same groups, or its groups are the cells
that a term's distinct rows make of its own (compound symmetry in an unstructured covariance).
"""

from __future__ import annotations

import numpy as np

from .._types import Array, BoolArray, IntArray
from ..design import Design, ManyLevelFactor, RandomBlock

__all__ = ["not_nested"]

TOLERANCE = 1e-7
"""Share of a column's length that may lie outside a space by rounding."""


def not_nested(smaller: Design, larger: Design) -> str:
    """Return what the smaller model has that the larger lacks, or an empty string where it lacks nothing we know of."""
    counted = np.ones(smaller.n, dtype=bool) if smaller.weights is None else smaller.weights > 0
    if not _fixed_within(smaller, larger, counted):
        return "fixed effects"
    for block in smaller.blocks:
        for places in _parts(block):
            if not any(_term_within(block, places, other, counted) for other in larger.blocks):
                return f"random effects of {block.name}"
    return ""


def _fixed_within(smaller: Design, larger: Design, counted: BoolArray) -> bool:
    if any(not any(_same_groups(f, other) for other in larger.many) for f in smaller.many):
        return bool(larger.many)  # other factors of many levels may span it
    columns, space = smaller.X[counted], larger.X[counted]
    if _inside(columns, space):
        return True
    if len(larger.many) == 1:
        codes = larger.many[0].grouping.codes[counted]
        return _inside(_centred(columns, codes), _centred(space, codes), np.linalg.norm(columns, axis=0))
    return bool(larger.many)


def _centred(columns: Array, codes: IntArray) -> Array:
    """Return columns less their means over the rows of each level."""
    if not columns.shape[1]:
        return columns
    counts = np.maximum(np.bincount(codes), 1)
    out = columns - np.stack([(np.bincount(codes, c) / counts)[codes] for c in columns.T], axis=1)
    out[:, np.linalg.norm(out, axis=0) <= TOLERANCE * np.linalg.norm(columns, axis=0)] = 0.0
    return out


def _inside(columns: Array, space: Array, sizes: Array | None = None) -> bool:
    """Whether columns, shape (n, a), are combinations of others, shape (n, b)."""
    sizes = np.linalg.norm(columns, axis=0) if sizes is None else sizes
    norms = np.linalg.norm(space, axis=0)
    scaled = space[:, norms > 0] / norms[norms > 0]
    left = columns - scaled @ np.linalg.lstsq(scaled, columns, rcond=1e-10)[0]
    return bool(np.all(np.linalg.norm(left, axis=0) <= TOLERANCE * np.maximum(sizes, 1e-300)))


def _same_groups(one: ManyLevelFactor, other: ManyLevelFactor) -> bool:
    return _same_partition(one.grouping.codes, other.grouping.codes)


def _same_partition(one: IntArray, other: IntArray) -> bool:
    """Whether two codings put the same rows together."""
    if one is other:
        return True
    pairs = np.unique(one.astype(np.int64) * (int(other.max()) + 1) + other).size
    return bool(pairs == np.unique(one).size == np.unique(other).size)


def _parts(block: RandomBlock) -> list[slice]:
    """Return the places of effects that are correlated with each other."""
    out, at = [], 0
    for part in block.structure.parts:
        step = part.k if part.invariance == "linear" else 1
        out += [slice(i, i + step) for i in range(at, at + part.k, step)]
        at += part.k
    return out


def _term_within(block: RandomBlock, places: slice, other: RandomBlock, counted: BoolArray) -> bool:
    """Whether a part of one block has a covariance that a part of the other can have."""
    z, codes, groups = block.z[counted, places], block.codes[counted], other.codes[counted]
    same = _same_partition(codes, groups)
    for theirs in _parts(other):
        space = other.z[counted, theirs]
        if same and _inside(z, space):
            return True
        if not same and _cells(z, codes, groups, space):
            return True
    return False


def _cells(z: Array, codes: IntArray, groups: IntArray, space: Array) -> bool:
    """Whether the groups of a single constant effect are the cells that distinct rows make of larger groups."""
    if z.shape[1] != 1 or np.ptp(z[:, 0]) > 0:
        return False
    distinct, which = np.unique(space, axis=0, return_inverse=True)
    if len(distinct) > space.shape[1] or np.linalg.matrix_rank(distinct) < len(distinct):
        return False
    return _same_partition(codes, groups * len(distinct) + which.reshape(-1))
