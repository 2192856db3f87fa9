"""Whether a model is a special case of another, as the chi-square of a likelihood ratio assumes.

Fixed parts: the columns of the smaller lie in the space of the larger's. Random parts: each term's covariance is one
that a term of the larger can have: its columns lie in those of a term of the same groups, or its groups are the cells
that a term's distinct rows make of its own (compound symmetry in an unstructured covariance).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.covariance import BlockDiagonal, Diagonal, Unstructured
from mixedfit.design.design import Design, ManyLevelFactor, RandomBlock

__all__ = ["Reduction", "not_nested", "reductions"]

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


INTERCEPT = "1"


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """A design with one random term less.

    Attributes
    ----------
    name : str
        The term dropped, such as ``Machine | Worker``.
    design : Design
    dropped : int
        Variances that it lacks.
    """

    name: str
    design: Design
    dropped: int


def reductions(design: Design) -> list[Reduction]:
    """Return the designs with one random term less.

    An intercept goes only where nothing else correlates with it, and a term only where no other contains it. All
    indicators of a factor alone become an intercept, which is their sum.
    """
    out = []
    for block in design.blocks:
        for name, effects in _droppable(block):
            summed = _is_intercept(block, effects)
            smaller = _without(block, effects, summed=summed)
            blocks = (smaller if b is block else b for b in design.blocks)
            kept = tuple(b for b in blocks if b is not None)
            dropped = len(effects) - int(summed)
            out.append(Reduction(f"{name} | {block.name}", replace(design, blocks=kept), dropped))
    return out


def _droppable(block: RandomBlock) -> list[tuple[str, IntArray]]:
    """Return the terms that may go, by name, and the places of their effects."""
    sources = block.sources or block.effects
    out, at = [], 0
    for part in block.structure.parts:
        own = sources[at : at + part.k]
        terms = list(dict.fromkeys(own))
        for term in terms:
            places = at + np.flatnonzero([source == term for source in own])
            alone = len(terms) == 1 or (part.invariance != "linear" and _plain(term))
            if alone or not any(_contains(other, term) for other in terms):
                name = block.effects[places[0]] if len(places) == 1 else term
                out.append((name, places))
        at += part.k
    return out


def _plain(term: str) -> bool:
    return term in (INTERCEPT, "(Intercept)")


def _contains(larger: str, term: str) -> bool:
    """Whether a term has all factors of another, and more; every term contains the intercept."""
    if larger == term:
        return False
    return _plain(term) or set(term.split(":")) < set(larger.split(":"))


def _is_intercept(block: RandomBlock, effects: IntArray) -> bool:
    """Whether effects are all of a correlated part, their columns add up to 1, and no other column is 1."""
    at = 0
    for part in block.structure.parts:
        if part.k == len(effects) > 1 and effects[0] == at and part.invariance == "linear":
            others = np.delete(block.z, effects, axis=1)
            adds_up = bool(np.allclose(block.z[:, effects].sum(axis=1), 1.0, rtol=0.0, atol=1e-12))
            return adds_up and not np.any(np.all(others == 1.0, axis=0))
        at += part.k
    return False


def _without(block: RandomBlock, effects: IntArray, *, summed: bool) -> RandomBlock | None:
    """Return a block without some effects, or with their sum for them; None if nothing is left."""
    gone = effects[1:] if summed else effects
    keep = np.setdiff1d(np.arange(block.k), gone)
    if not keep.size:
        return None
    z = block.z[:, keep]
    names, sources = list(block.effects), list(block.sources or block.effects)
    if summed:
        z[:, keep == effects[0]] = 1.0
        names[effects[0]], sources[effects[0]] = "(Intercept)", INTERCEPT
    parts, at = [], 0
    for part in block.structure.parts:
        size = int(np.count_nonzero((keep >= at) & (keep < at + part.k)))
        if size:
            parts.append(Unstructured(size) if part.invariance == "linear" else Diagonal(size))
        at += part.k
    return RandomBlock(
        block.grouping,
        tuple(names[i] for i in keep),
        np.ascontiguousarray(z),
        BlockDiagonal(tuple(parts)),
        tuple(part.k for part in parts),
        tuple(sources[i] for i in keep),
    )
