"""Averages of the rows of a reference grid over some of its variables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_one_of

from .nesting import Nesting

__all__ = ["Rows", "Weights", "averaged", "check_weights"]

Scheme = Literal["equal", "proportional", "outer", "cells", "flat"]

Weights: TypeAlias = Scheme | Sequence[float]
"""Weights of the cells that a mean averages: by name, or a number for each combination of the averaged variables."""


def check_weights(weights: object) -> None:
    """Raise unless weights are a name or numbers."""
    if isinstance(weights, str):
        check_one_of("weights", weights, get_args(Scheme))
        return
    values = np.asarray(weights)
    if (
        values.ndim != 1
        or values.dtype.kind not in "iuf"
        or not np.isfinite(values).all()
        or values.sum() == 0
    ):
        raise ModelError(
            f"weights is {weights!r}; expected a name ({', '.join(map(repr, get_args(Scheme)))}) or finite numbers, "
            "one for each combination of the variables averaged over."
        )


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """Rows of a grid.

    Attributes
    ----------
    names : tuple of str
    codes : ndarray, shape (rows, variables)
        Place of each variable's value.
    L : ndarray, shape (rows, p)
        Weights of the fixed effects.
    counts : ndarray, shape (rows,)
        Number of the fit's rows in each cell.
    """

    names: tuple[str, ...]
    codes: IntArray
    L: Array
    counts: Array

    def some(self, chosen: BoolArray | IntArray) -> Rows:
        """Return some of the rows."""
        return Rows(self.names, self.codes[chosen], self.L[chosen], self.counts[chosen])

    def columns(self, names: Sequence[str]) -> IntArray:
        """Return the codes of some variables, shape (rows, names)."""
        return self.codes[:, [self.names.index(name) for name in names]]

    def sorted_by(self, names: Sequence[str]) -> tuple[IntArray, IntArray]:
        """Return the rows in the order of some variables, the first slowest, and where each combination begins."""
        codes = self.columns(names)
        order = np.lexsort(codes.T[::-1]) if names else np.arange(len(codes))
        ordered = codes[order]
        starts = np.flatnonzero(np.any(ordered[1:] != ordered[:-1], axis=1)) + 1
        return order, np.concatenate([[0], starts])

    def groups(self, names: Sequence[str]) -> list[IntArray]:
        """Return the rows of each combination of some variables; the first varies slowest."""
        order, starts = self.sorted_by(names)
        return np.split(order, starts[1:])


def averaged(rows: Rows, names: Sequence[str], weights: Weights, nesting: Nesting) -> Rows:
    """Return the means over all variables but some, as R's emmeans.

    Nested factors are averaged over first, within each combination of the factors in which they are nested, over the
    levels that occur there.

    Parameters
    ----------
    rows : Rows
    names : sequence of str
        Variables that are kept, in the order of the result.
    weights : Weights
    nesting : mapping
    """
    inside = [name for name in nesting if name in rows.names and name not in names]
    if not inside:
        return _means(rows, names, weights)
    deepest = max(inside, key=lambda name: (len(nesting[name]), inside.index(name)))
    above = [n for n in rows.names if n != deepest and (n in nesting[deepest] or n in inside)]
    kept = list(dict.fromkeys([*names, *above]))
    parts = []
    for group in rows.groups(above):
        own = rows.some(group)
        values = own.columns([deepest])[:, 0]
        occurring = own.some(np.isin(values, np.unique(values[own.counts > 0])))
        if len(occurring.codes):
            parts.append(_means(occurring, kept, weights))
    both = Rows(
        tuple(kept),
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.L for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )
    return averaged(both, names, weights, {n: p for n, p in nesting.items() if n != deepest})


def _means(rows: Rows, names: Sequence[str], weights: Weights) -> Rows:
    """Return the weighted means of the rows of each combination of the names; NaN where no row has a weight."""
    share = _shares(rows, [n for n in rows.names if n not in names], weights)
    order, starts = rows.sorted_by(names)
    total = np.add.reduceat(share[order], starts)
    total[total == 0] = np.nan
    sums = np.add.reduceat(share[order, None] * rows.L[order], starts)
    counts = np.add.reduceat(rows.counts[order], starts)
    return Rows(tuple(names), rows.columns(names)[order[starts]], sums / total[:, None], counts)


def _shares(rows: Rows, others: Sequence[str], weights: Weights) -> Array:
    """Return the weight of each row in the mean over other variables, up to a factor for each mean."""
    counts = rows.counts if np.any(rows.counts > 0) else np.ones(len(rows.codes))
    if not others:
        return np.ones(len(counts))
    if not isinstance(weights, str):
        return _numbered(rows, others, np.asarray(weights, dtype=np.float64))
    if weights == "equal":
        return np.ones(len(counts))
    if weights == "cells":
        return counts
    if weights == "flat":
        return np.asarray(counts > 0, dtype=np.float64)
    sets = [others] if weights == "proportional" else [[name] for name in others]
    out = np.ones(len(counts))
    for own in sets:
        for group in rows.groups(own):
            out[group] *= counts[group].sum() / counts.sum()
    return out


def _numbered(rows: Rows, others: Sequence[str], weights: Array) -> Array:
    """Return the user's weight of each row, by its combination of the others; the first of these varies fastest."""
    groups = list(rows.groups(others[::-1]))
    if len(groups) != weights.size:
        raise ModelError(
            f"weights has {weights.size} numbers for {len(groups)} combinations of {', '.join(others)}, which are "
            "averaged over; give one for each, the first of these variables varying fastest."
        )
    out = np.empty(len(rows.codes))
    for group, weight in zip(groups, weights, strict=True):
        out[group] = weight
    return out
