"""A correlation matrix of its own for each level of a factor, such as the arms of a trial: SAS's group=."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from mixedfit.core.arrays import Array

from .parts import CorrelationLaw, Layout, Natural, Root

__all__ = ["ByLevelLaw"]


class ByLevelLaw:
    """The laws of the levels, with the parameters of one after the other.

    Parameters
    ----------
    layout : Layout
        Sorted by level first; the last column of `place` is the level's code.
    law : callable
        Layout → law of one level's rows.
    levels : sequence
    """

    further_starts: tuple[Array, ...] = ()

    def __init__(
        self, layout: Layout, law: Callable[[Layout], CorrelationLaw], levels: Sequence[Any]
    ) -> None:
        self.levels = levels
        codes = layout.place[:, -1]
        self.ends = [int(np.searchsorted(codes, k)) for k in range(len(levels) + 1)]
        self.laws = [law(_part(layout, a, b)) for a, b in pairwise(self.ends)]
        places = np.cumsum([0, *(own.start.size for own in self.laws)])
        self.slices = [slice(int(a), int(b)) for a, b in pairwise(places)]
        self.start = np.concatenate([own.start for own in self.laws])

    def root(self, x: Array) -> ByLevelRoot:
        """Return the factor at x."""
        roots = [law.root(x[here]) for law, here in zip(self.laws, self.slices, strict=True)]
        return ByLevelRoot(roots, self.ends)

    def natural(self, x: Array) -> list[Natural]:
        """Return the parameters of every level, named ``phi[level]``."""
        return [
            replace(p, name=f"{p.name}[{level}]")
            for level, law, here in zip(self.levels, self.laws, self.slices, strict=True)
            for p in law.natural(x[here])
        ]

    def other_side(self, x: Array) -> Array | None:
        """Return `AR1Law.other_side` of the levels that have one, and x of the others."""
        out, moved = x.copy(), False
        for law, here in zip(self.laws, self.slices, strict=True):
            own = law.other_side(x[here]) if hasattr(law, "other_side") else None
            if own is not None:
                out[here], moved = own, True
        return out if moved else None

    def matrix(self, x: Array, place: Array) -> Array:
        """Return the correlations of rows of one group, whose level is the last column of `place`."""
        k = int(place[0, -1])
        return self.laws[k].matrix(x[self.slices[k]], place[:, :-1])


def _part(layout: Layout, first: int, stop: int) -> Layout:
    """Return the layout of some sorted rows, numbered from 0."""
    inside = (layout.start >= first) & (layout.start <= stop)
    return Layout(
        order=np.arange(stop - first, dtype=np.int64),
        start=layout.start[inside] - first,
        place=layout.place[first:stop, :-1],
        labels=layout.labels,
        groups=layout.groups,
        group_name=layout.group_name,
    )


class ByLevelRoot:
    """The factors of the levels, each on its own rows."""

    def __init__(self, roots: Sequence[Root], ends: Sequence[int]) -> None:
        self.roots, self.ends = roots, ends
        self.logdet = float(sum(root.logdet for root in roots))

    def _each(self, name: str, rows: Array) -> Array:
        parts = [
            getattr(root, name)(rows[a:b])
            for root, (a, b) in zip(self.roots, pairwise(self.ends), strict=True)
        ]
        return np.concatenate(parts)

    def whiten(self, rows: Array) -> Array:
        """Return L⁻¹ rows."""
        return self._each("whiten", rows)

    def back(self, rows: Array) -> Array:
        """Return L⁻ᵀ rows."""
        return self._each("back", rows)

    def colour(self, rows: Array) -> Array:
        """Return L rows."""
        return self._each("colour", rows)

    def slope(self, white: Array, rows: Array) -> Array:
        """Return ∂(log|C| + Σ|L⁻¹ rows|²)/∂x."""
        parts = [
            root.slope(white[a:b], rows[a:b])
            for root, (a, b) in zip(self.roots, pairwise(self.ends), strict=True)
        ]
        return np.concatenate(parts)

    def information(self) -> Array:
        """Return tr(C⁻¹C_a C⁻¹C_b), block diagonal over the levels."""
        return np.asarray(block_diag(*(root.information() for root in self.roots)))

    def own_slopes(self) -> Array:
        """Return the diagonals of C⁻¹C_a."""
        return np.asarray(block_diag(*(root.own_slopes() for root in self.roots)))

    def by_elements(self, rows: Array) -> Array:
        """Return (C ∘ C⁻¹) rows."""
        return self._each("by_elements", rows)
