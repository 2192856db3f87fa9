"""Nested models: check that one model contains another, and models with one random term less.

A model is nested in a larger one if its fixed-effects columns lie in the column space of the larger one's, and each
random term is a special case of a term of the larger one: its columns lie in the column space of a term of the same
groups, or it is an intercept of the cells of a term's groups and distinct rows (compound symmetry within an
unstructured covariance).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.covariance import STRUCTURES, BlockDiagonal, CovarianceStructure, Diagonal, Unstructured
from mixedfit.covariance.residual.correlation import CorrelationStructure
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.covariance.residual.parts import Layout
from mixedfit.covariance.residual.structure import VarianceStructure
from mixedfit.covariance.residual.variances import VarIdent
from mixedfit.crossproducts.fewer_effects import with_fewer_effects
from mixedfit.design.absent import AbsentRows
from mixedfit.design.design import Design, ManyLevelFactor, RandomBlock

__all__ = ["Reduction", "not_nested", "reductions"]

TOLERANCE = 1e-7
"""Relative length of a residual of a projection that counts as rounding error."""


def not_nested(smaller: Design, larger: Design) -> str:
    """Return the first part of the smaller model that the larger one does not contain; an empty string if nested."""
    if smaller.absent is not None or larger.absent is not None:
        return _not_nested_by_name(smaller, larger)
    counted = smaller.counted
    if not _fixed_within(smaller, larger, counted):
        return "fixed effects"
    for block in smaller.blocks:
        for part, places in _parts(block):
            if not any(_term_within(block, part, places, other, counted) for other in larger.blocks):
                return f"random effects of {block.name}"
    return _residual_not_nested(smaller.residual, larger.residual)


def _not_nested_by_name(smaller: Design, larger: Design) -> str:
    """Return the first part of the smaller model whose columns, by name, the larger one does not have."""
    if not set(smaller.x_names) <= set(larger.x_names):
        return "fixed effects"
    for block in smaller.blocks:
        for part, places in _parts(block):
            own = set(block.effects[places])
            others = (other for other in larger.blocks if other.name == block.name)
            if not any(
                own <= set(other.effects[theirs]) and (part.name in SPECIAL_CASES[whole.name])
                for other in others
                for whole, theirs in _parts(other)
            ):
                return f"random effects of {block.name}"
    return ""


GENERAL = {
    "AR1": ("Toeplitz", "AnteDependence", "ARMA", "Unstructured"),
    "Toeplitz": ("Unstructured",),
    "AnteDependence": ("Unstructured",),
    "CompoundSymmetry": ("Toeplitz", "Unstructured"),
}
"""Correlations, and those of which each is a special case on the same visits and groups."""


def _residual_not_nested(smaller: ResidualModel | None, larger: ResidualModel | None) -> str:
    """Return the part of a residual structure that a larger one does not contain; an empty string if nested."""
    if smaller is None:
        return ""
    if larger is None:
        return f"the residual structure {smaller.structure}"
    missing = [f for f in smaller.structure.variances if not _variance_within(f, larger)]
    if missing:
        return f"the variance function {missing[0]}"
    own, other = smaller.structure.correlation, larger.structure.correlation
    if own is None or (other is not None and _correlation_within(own, smaller, other, larger)):
        return ""
    return f"the residual correlation {own}"


def _variance_within(own: VarianceStructure, larger: ResidualModel) -> bool:
    """Return whether a variance function is one of a larger structure, or has ratios by some of a factor's columns."""
    if own in larger.structure.variances:
        return True
    return isinstance(own, VarIdent) and any(
        isinstance(other, VarIdent) and set(own.own_columns) <= set(other.own_columns)
        for other in larger.structure.variances
    )


def _with_one_matrix(own: CorrelationStructure, other: CorrelationStructure) -> CorrelationStructure:
    """Return the other correlation with what it has beyond this one left out: matrices by a factor, SDs by visit."""
    changes: dict[str, Any] = {}
    for name, simple in (("by", None), ("homogeneous", True)):
        if getattr(own, name, simple) == simple and hasattr(other, name):
            changes[name] = simple
    return replace(other, **changes) if changes else other


def _correlation_within(
    own: CorrelationStructure, smaller: ResidualModel, other: CorrelationStructure, larger: ResidualModel
) -> bool:
    """Return whether a correlation is equal to another or a special case of it on the same groups."""
    one, two = smaller.layout, larger.layout
    if one is None or two is None or not _same_partition(smaller.groups, larger.groups):
        return False
    if own == _with_one_matrix(own, other):
        return True
    if getattr(own, "by", None) not in (None, getattr(other, "by", None)):
        return False
    if type(other).__name__ not in GENERAL.get(type(own).__name__, ()):
        return False
    if type(other).__name__ == "ARMA" and getattr(other, "p", 0) < 1:
        return False
    if type(own).__name__ == "CompoundSymmetry":
        return True
    return np.array_equal(_gaps_of_rows(one), _gaps_of_rows(two))


def _gaps_of_rows(layout: Layout) -> Array:
    """Return the time since the row before in its group, in the order of the rows; 0 for the first of a group."""
    out = np.zeros(layout.order.size)
    out[layout.order] = np.where(layout.opens, 0.0, layout.gaps)
    return out


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
    """Return columns minus their means over the rows of each level."""
    if not columns.shape[1]:
        return columns
    counts = np.maximum(np.bincount(codes), 1)
    out = columns - np.stack([(np.bincount(codes, c) / counts)[codes] for c in columns.T], axis=1)
    out[:, np.linalg.norm(out, axis=0) <= TOLERANCE * np.linalg.norm(columns, axis=0)] = 0.0
    return out


def _inside(columns: Array, space: Array, sizes: Array | None = None) -> bool:
    """Return whether columns, shape (n, a), lie in the column space of others, shape (n, b)."""
    sizes = np.linalg.norm(columns, axis=0) if sizes is None else sizes
    norms = np.linalg.norm(space, axis=0)
    scaled = space[:, norms > 0] / norms[norms > 0]
    left = columns - scaled @ np.linalg.lstsq(scaled, columns, rcond=1e-10)[0]
    return bool(np.all(np.linalg.norm(left, axis=0) <= TOLERANCE * np.maximum(sizes, 1e-300)))


def _same_groups(one: ManyLevelFactor, other: ManyLevelFactor) -> bool:
    return _same_partition(one.grouping.codes, other.grouping.codes)


def _same_partition(one: IntArray, other: IntArray) -> bool:
    """Return whether two codings define the same groups of rows."""
    if one is other:
        return True
    pairs = np.unique(one.astype(np.int64) * (int(other.max()) + 1) + other).size
    return bool(pairs == np.unique(one).size == np.unique(other).size)


SPECIAL_CASES: dict[str, tuple[str, ...]] = {
    "us": tuple(STRUCTURES),
    "diag": ("diag", "homdiag"),
    "cs": ("cs", "homcs", "diag", "homdiag"),
    "homcs": ("homcs", "homdiag"),
    "hetar1": ("hetar1", "ar1", "diag", "homdiag"),
    "ar1": ("ar1", "homdiag"),
    "toep": ("toep", "homtoep", "hetar1", "ar1", "cs", "homcs", "diag", "homdiag"),
    "homtoep": ("homtoep", "ar1", "homcs", "homdiag"),
    "ou": ("ou", "exp", "homdiag"),
    "exp": ("ou", "exp", "homdiag"),
    "gau": ("gau", "homdiag"),
    "mat": ("mat", "ou", "exp", "homdiag"),
    "homdiag": ("homdiag",),
}
"""Structures that are special cases of each, for the same effects."""


def _parts(block: RandomBlock) -> list[tuple[CovarianceStructure, slice]]:
    """Return the structure and positions of each set of effects with one covariance matrix."""
    out: list[tuple[CovarianceStructure, slice]] = []
    for part, _, here in block.structure.slices():
        step = 1 if part.invariance == "diagonal" else part.k
        own = Unstructured(1) if part.invariance == "diagonal" else part
        out += [(own, slice(i, i + step)) for i in range(here.start, here.stop, step)]
    return out


def _term_within(
    block: RandomBlock, part: CovarianceStructure, places: slice, other: RandomBlock, counted: BoolArray
) -> bool:
    """Return whether a part of one block is a special case of a part of the other."""
    z, codes, groups = block.z[counted, places], block.codes[counted], other.codes[counted]
    related = block.known is not None or other.known is not None
    if related and not (block.known is not None and block.known.equals(other.known)):
        return False
    same = _same_partition(codes, groups)
    if same and part.k > 1 and _diagonal_within(part, z, other, counted):
        return True
    for larger, theirs in _parts(other):
        space = other.z[counted, theirs]
        if same and _inside(z, space) and _is_special(part, larger, z, space):
            return True
        if not same and not related and larger.linear and _cells(z, codes, groups, space):
            return True
    return False


def _is_special(part: CovarianceStructure, larger: CovarianceStructure, z: Array, space: Array) -> bool:
    """Return whether effects of one structure, with columns in the space of the other's, are a case of the other's."""
    if larger.name == "us":
        return True
    if part.k == 1:  # the other's effects may all be equal, or one of them alone
        if larger.name == "homdiag":
            return False
        one = np.any(np.all(np.abs(space - z) < 1e-12, axis=0))
        return bool(np.allclose(space.sum(axis=1, keepdims=True), z)) or (larger.name == "cs" and bool(one))
    return part.k == larger.k and part.name in SPECIAL_CASES[larger.name]


def _diagonal_within(part: CovarianceStructure, z: Array, other: RandomBlock, counted: BoolArray) -> bool:
    """Return whether independent effects with one variance are a case of the other's independent effects."""
    own = [e for p, _, e in other.structure.slices() if p.name == "diag"]
    return part.name == "homdiag" and any(_inside(z, other.z[counted, e]) for e in own)


def _cells(z: Array, codes: IntArray, groups: IntArray, space: Array) -> bool:
    """Return whether the groups of an intercept are the cells of larger groups and distinct rows of `space`."""
    if z.shape[1] != 1 or np.ptp(z[:, 0]) > 0:
        return False
    distinct, which = np.unique(space, axis=0, return_inverse=True)
    if len(distinct) > space.shape[1] or np.linalg.matrix_rank(distinct) < len(distinct):
        return False
    return _same_partition(codes, groups * len(distinct) + which.reshape(-1))


INTERCEPTS = ("1", "(Intercept)")
"""Names of the intercept: as a term, and as an effect."""


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """A design with one random term less.

    Attributes
    ----------
    name : str
        The dropped term, such as ``Machine | Worker``.
    design : Design
    dropped : int
        Number of dropped variances.
    """

    name: str
    design: Design
    dropped: int


def reductions(design: Design) -> list[Reduction]:
    """Return the designs with one random term less.

    An intercept is dropped only if it is correlated with no other term, and a term only if no other contains it. If
    a part consists of all indicators of a factor, they are replaced by their sum, an intercept.
    """
    out = []
    for f, block in enumerate(design.blocks):
        for name, effects in _droppable(block):
            summed = _sum_to_intercept(design, f, effects)
            smaller = _reduced(design, f, effects, summed=summed)
            if design.absent is not None:
                smaller = replace(smaller, absent=_reduced_rows(design, smaller, f, effects, summed=summed))
            dropped = len(effects) - int(summed)
            structures = [p for p, _, e in block.structure.slices() if not p.linear and e.start == effects[0]]
            dropped = structures[0].diagonal[-1] + 1 if structures else dropped
            out.append(Reduction(f"{name} | {block.name}", smaller, dropped))
    return out


def _reduced_rows(design: Design, smaller: Design, f: int, effects: IntArray, *, summed: bool) -> AbsentRows:
    """Return what is known of the rows of a smaller model: sums from those of the larger one, or a way to read them."""
    absent = design.absent
    assert absent is not None
    if absent.summed is None:
        return absent.derived(partial(_reduced, f=f, effects=effects, summed=summed))
    k = design.blocks[f].k
    keep = np.setdiff1d(np.arange(k), effects[1:] if summed else effects)
    change = np.eye(k)[:, keep]
    if summed:
        change[effects, keep == effects[0]] = 1.0
    return AbsentRows(absent.where, summed=with_fewer_effects(absent.summed, smaller, f, change))


def _reduced(design: Design, f: int, effects: IntArray, *, summed: bool) -> Design:
    """Return a design without some effects of a block, or with their sum in their place."""
    blocks = (_without(b, effects, summed=summed) if i == f else b for i, b in enumerate(design.blocks))
    return replace(design, blocks=tuple(b for b in blocks if b is not None))


def _droppable(block: RandomBlock) -> list[tuple[str, IntArray]]:
    """Return the names of the terms that can be dropped, and the positions of their effects."""
    sources = block.sources or block.effects
    out = []
    for part, _, here in block.structure.slices():
        if not part.linear:
            name = " + ".join(dict.fromkeys(sources[here]))
            out.append((f"{part.name}({name})", np.arange(here.start, here.stop)))
            continue
        terms = list(dict.fromkeys(sources[here]))
        for term in terms:
            places = here.start + np.flatnonzero([source == term for source in sources[here]])
            alone = len(terms) == 1 or (part.invariance != "linear" and term in INTERCEPTS)
            if alone or not any(_contains(other, term) for other in terms):
                out.append((block.effects[places[0]] if len(places) == 1 else term, places))
    return out


def _contains(larger: str, term: str) -> bool:
    """Return whether a term has all factors of another, and more; every term contains the intercept."""
    if larger == term:
        return False
    return term in INTERCEPTS or set(term.split(":")) < set(larger.split(":"))


def _sum_to_intercept(design: Design, f: int, effects: IntArray) -> bool:
    """Return whether effects are a whole correlated part, with columns that add up to 1, and no other column is 1."""
    block = design.blocks[f]
    for part, _, here in block.structure.slices():
        if part.k == len(effects) > 1 and effects[0] == here.start and part.invariance == "linear":
            if design.absent is not None:
                totals = design.absent.known_totals()
                one, z = totals.columns[:, 0], totals.columns[:, list(totals.effects[f])]
                rest = z - one[:, None]
                gone = np.linalg.norm(np.delete(rest, effects, axis=1), axis=0) == 0.0
                left = np.linalg.norm(z[:, effects].sum(axis=1) - one)
                return bool(left <= 1e-10 * np.linalg.norm(one)) and not gone.any()
            others = np.delete(block.z, effects, axis=1)
            adds_up = bool(np.allclose(block.z[:, effects].sum(axis=1), 1.0, rtol=0.0, atol=1e-12))
            return adds_up and not np.any(np.all(others == 1.0, axis=0))
    return False


def _without(block: RandomBlock, effects: IntArray, *, summed: bool) -> RandomBlock | None:
    """Return a block without some effects, or with their sum in their place; None if nothing is left."""
    keep = np.setdiff1d(np.arange(block.k), effects[1:] if summed else effects)
    if not keep.size:
        return None
    z = block.z[:, keep] if isinstance(block.z, np.ndarray) else block.z.columns(keep.size)
    names, sources = list(block.effects), list(block.sources or block.effects)
    if summed and isinstance(z, np.ndarray):
        z[:, keep == effects[0]] = 1.0
    if summed:
        names[effects[0]], sources[effects[0]] = "(Intercept)", "1"
    parts: list[CovarianceStructure] = []
    for part, _, here in block.structure.slices():
        size = int(np.count_nonzero((keep >= here.start) & (keep < here.stop)))
        if size and not part.linear:
            parts.append(part)
        elif size:
            parts.append(Unstructured(size) if part.invariance == "linear" else Diagonal(size))
    return RandomBlock(
        block.grouping,
        tuple(names[i] for i in keep),
        np.ascontiguousarray(z) if isinstance(z, np.ndarray) else z,
        BlockDiagonal(tuple(parts)),
        tuple(part.k for part in parts),
        tuple(sources[i] for i in keep),
        block.known,
    )
