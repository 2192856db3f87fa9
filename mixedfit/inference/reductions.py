"""The designs with one random term less, as lmerTest's ``ranova`` drops them.

A term is what a formula writes left of the bar: a factor with all its indicators, a polynomial with all its powers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._types import IntArray
from ..covariance import BlockDiagonal, Diagonal, Unstructured
from ..design import Design, RandomBlock

__all__ = ["Reduction", "reductions"]

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
