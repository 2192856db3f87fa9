"""Correlations with a dense factor for each distinct pattern of places: groups that share a pattern share its factor.

Groups are sorted into classes of equal size; a class has the rows of its groups as an array (groups, m), and the
pattern of each group. C = LLᵀ is factorised once for each pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy

from .parts import Layout

__all__ = ["PatternRoot", "Patterns", "SizeClass"]


LARGEST = 5000
"""Rows of a group up to which its correlation matrix is factorised: 200 MB."""


@dataclass(frozen=True, eq=False)
class SizeClass:
    """Groups of one size.

    Attributes
    ----------
    rows : ndarray of int64, shape (groups, m)
        Sorted rows of each group, groups ordered by pattern.
    ends : ndarray of int64, shape (patterns + 1,)
        First group of each pattern, and the number of groups.
    places : ndarray, shape (patterns, m, d)
    """

    rows: IntArray
    ends: IntArray
    places: Array

    @lazy
    def counts(self) -> IntArray:
        """Groups of each pattern."""
        return np.diff(self.ends)


class Patterns:
    """Size classes of a layout.

    Parameters
    ----------
    layout : Layout
    shift : bool
        Whether correlations depend on differences of places only, so that patterns are compared from their first.
    """

    def __init__(self, layout: Layout, shift: bool) -> None:
        largest = int(layout.sizes.max())
        if largest > LARGEST:
            raise ModelError(
                f"a group of {layout.group_name or 'all rows'} has {largest} rows; this correlation needs a dense "
                f"matrix of its rows and is computed up to {LARGEST}. Use smaller groups, or AR1, CAR1 or "
                "CompoundSymmetry, whose cost is linear in rows."
            )
        self.layout = layout
        self.classes: list[SizeClass] = []
        for m in np.unique(layout.sizes):
            start = layout.start[:-1][layout.sizes == m]
            rows = start[:, None] + np.arange(m)
            place = layout.place[rows]
            if shift:
                place = place - place[:, :1]
            flat = place.reshape(len(rows), -1)
            _, first, codes = np.unique(flat, axis=0, return_index=True, return_inverse=True)
            codes = codes.reshape(-1)
            by = np.argsort(codes, kind="stable")
            ends = np.concatenate([[0], np.cumsum(np.bincount(codes))])
            self.classes.append(SizeClass(rows[by], ends, place[first]))


class PatternRoot:
    """C = LLᵀ of each pattern.

    Parameters
    ----------
    patterns : Patterns
    matrices : list of ndarray, shape (patterns, m, m)
        C of each size class.
    slopes : callable
        Position of a class → ∂C/∂x, shape (parameters, patterns, m, m).
    """

    def __init__(self, patterns: Patterns, matrices: list[Array], slopes: Callable[[int], Array]) -> None:
        self.patterns = patterns
        self.slopes = slopes
        try:
            self.factors: list[Array] = [_cholesky(c) for c in matrices]
        except np.linalg.LinAlgError:
            raise FloatingPointError("the residual correlation matrix is not positive definite") from None
        self.logdet = 0.0
        for own, factor in zip(patterns.classes, self.factors, strict=True):
            logs = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
            self.logdet += float(logs @ own.counts)

    @lazy
    def inverses(self) -> list[Array]:
        """L⁻¹ of each pattern."""
        eyes = [np.eye(factor.shape[-1]) for factor in self.factors]
        return [cast(Array, np.linalg.solve(f, eye)) for f, eye in zip(self.factors, eyes, strict=True)]

    def _times(self, roots: list[Array], rows: Array, transposed: bool = False) -> Array:
        out = np.empty_like(rows)
        for own, root in zip(self.patterns.classes, roots, strict=True):
            used = root.transpose(0, 2, 1) if transposed else root
            if len(used) == len(own.rows):
                out[own.rows] = used @ rows[own.rows]
                continue
            for pattern in range(len(used)):
                at = own.rows[own.ends[pattern] : own.ends[pattern + 1]]
                out[at] = used[pattern] @ rows[at]
        return out

    def whiten(self, rows: Array) -> Array:
        """Return L⁻¹ rows."""
        return self._times(self.inverses, rows)

    def back(self, rows: Array) -> Array:
        """Return L⁻ᵀ rows."""
        return self._times(self.inverses, rows, transposed=True)

    def colour(self, rows: Array) -> Array:
        """Return L rows."""
        return self._times(self.factors, rows)

    def slope(self, white: Array, rows: Array) -> Array:
        """Return ∂(log|C| + Σ|L⁻¹ rows|²)/∂x: Σ tr(Ċ L⁻ᵀ(gI − S)L⁻¹), S the products of a pattern's white rows."""
        total: Array | None = None
        for place, (own, root) in enumerate(zip(self.patterns.classes, self.inverses, strict=True)):
            inner = _less_products(own, white)
            outer = root.transpose(0, 2, 1) @ inner @ root
            slopes = self.slopes(place)
            own_part = slopes.reshape(len(slopes), outer.size) @ outer.reshape(-1)
            total = own_part if total is None else total + own_part
        return np.zeros(0) if total is None else total

    def _relative_slopes(self, place: int) -> Array:
        """Return L⁻¹C_aL⁻ᵀ of the patterns of a class, shape (parameters, patterns, m, m)."""
        root = self.inverses[place]
        return np.asarray(root @ self.slopes(place) @ root.transpose(0, 2, 1))

    def information(self) -> Array:
        """Return tr(C⁻¹C_a C⁻¹C_b)."""
        total: Any = 0.0
        for place, own in enumerate(self.patterns.classes):
            inner = self._relative_slopes(place) * np.sqrt(own.counts)[:, None, None]
            total = total + np.tensordot(inner, inner, axes=([1, 2, 3], [1, 2, 3]))
        return np.asarray(total)

    def own_slopes(self) -> Array:
        """Return the diagonals of C⁻¹C_a."""
        parts: list[Array] = []
        for place, root in enumerate(self.inverses):
            turned = root.transpose(0, 2, 1) @ self._relative_slopes(place)
            parts.append(np.einsum("apij,pij->pia", turned, self.factors[place]))
        out = np.empty((self.patterns.layout.n, parts[0].shape[2]))
        for own, part in zip(self.patterns.classes, parts, strict=True):
            out[own.rows] = np.repeat(part, own.counts, axis=0)
        return out

    def by_elements(self, rows: Array) -> Array:
        """Return (C ∘ C⁻¹) rows."""
        both = zip(self.factors, self.inverses, strict=True)
        products = [(f @ f.transpose(0, 2, 1)) * (i.transpose(0, 2, 1) @ i) for f, i in both]
        return self._times(products, rows)


def _cholesky(matrices: Array) -> Array:
    """Return the lower Cholesky factors of matrices, shape (…, m, m)."""
    return cast(Array, np.linalg.cholesky(matrices))


def _less_products(own: SizeClass, white: Array) -> Array:
    """Return gI − S of each pattern, g its groups and S the sum of products of their white rows."""
    m = own.rows.shape[1]
    if len(own.counts) == len(own.rows):
        part = white[own.rows]
        return np.asarray(np.eye(m) - part @ part.transpose(0, 2, 1))
    inner = np.empty((len(own.counts), m, m))
    for pattern, count in enumerate(own.counts):
        at = own.rows[own.ends[pattern] : own.ends[pattern + 1]]
        part = white[at].transpose(1, 0, 2).reshape(m, -1)
        inner[pattern] = count * np.eye(m) - part @ part.T
    return inner
