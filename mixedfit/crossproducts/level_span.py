"""Fixed factors with many levels: independent columns, and least squares on them.

A is the matrix of all indicator columns that the package keeps as codes: of the first factor every level with
counted rows, of later ones the columns that earlier ones do not span. A dropped column is the last that earlier
columns determine, as among the columns of X.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.design.design import Design

__all__ = ["LevelSpan", "level_span"]

PIVOT_TOLERANCE = 1e-9
"""A column of a third or later factor is dropped when earlier ones leave less than this share of its rows."""

DENSE_SHARE = 0.1
"""Products of later factors that fill more than this share of their square are factorised as a dense matrix."""


@dataclass(frozen=True, eq=False)
class LevelSpan:
    """Independent columns of the many-level fixed factors of a design.

    Attributes
    ----------
    codes : tuple of ndarray, shape (n,)
        Level of each row in each factor.
    weights : ndarray, shape (n,), or None
    kept : tuple of ndarray of int64
        Columns kept of each factor, as positions among its names.
    places : tuple of ndarray of int64, shape (levels,)
        Position of each level's column among all kept ones, −1 where it has none.
    base : int
        Level of the first factor that has rows but no column, because an intercept spans it; −1 without.
    """

    codes: tuple[IntArray, ...]
    weights: Array | None
    kept: tuple[IntArray, ...]
    places: tuple[IntArray, ...]
    base: int

    @property
    def columns(self) -> int:
        """Number of columns kept."""
        return sum(kept.size for kept in self.kept)

    @property
    def factors(self) -> list[int]:
        """Factors of which any column is kept."""
        return [f for f, kept in enumerate(self.kept) if kept.size]

    def times(self, coefficients: Array, rows: slice) -> Array:
        """Return the kept columns times coefficients, shape (columns, …), on some rows."""
        padded = np.concatenate([coefficients, np.zeros((1, *coefficients.shape[1:]))])
        parts = [
            padded[place][codes[rows]] for place, codes in zip(self.places, self.codes, strict=True)
        ]  # a level without column, at −1, meets the zero at the end
        return np.asarray(sum(parts[1:], parts[0]))

    def coefficients(self, values: Array) -> Array:
        """Return the least-squares coefficients of the kept columns, any intercept apart, shape (columns,).

        The second pass restores the digits that a mean far from 0 costs the first.
        """
        everything = slice(0, values.size)
        total = np.zeros(self.columns)
        rest = np.array(values)
        for _ in range(2):
            step, constant = self._projected(rest)
            total += step
            rest -= self.times(step, everything) + constant
        return total

    def _projected(self, values: Array) -> tuple[Array, float]:
        weighted = values if self.weights is None else self.weights * values
        sums = np.concatenate(
            [
                np.bincount(codes, weighted, place.size)[columns]
                for codes, place, columns in zip(self.codes, self.places, self._levels, strict=True)
            ]
        )
        solved = self._solver(sums)
        first = self._levels[0].size
        if self.base < 0:
            return solved, 0.0
        at = int(np.flatnonzero(self._levels[0] == self.base)[0])
        constant = float(solved[at])
        return np.concatenate([np.delete(solved[:first], at) - constant, solved[first:]]), constant

    @lazy
    def _levels(self) -> tuple[IntArray, ...]:
        """Levels that have a column in A."""
        out = [np.flatnonzero(place >= 0) for place in self.places]
        if self.base >= 0:
            out[0] = np.sort(np.append(out[0], self.base))
        return tuple(out)

    @lazy
    def _solver(self) -> Callable[[Array], Array]:
        return _solver(_indicators(self.codes, self._levels), self._levels[0].size, self.weights)

    def release(self) -> None:
        """Forget the factorisation; it is made again when needed."""
        self.__dict__.pop("_solver", None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_solver"}


def level_span(design: Design) -> LevelSpan:
    """Return the independent columns of a design's many-level fixed factors.

    Parameters
    ----------
    design : Design
        With at least one such factor.
    """
    counted = design.counted
    codes = [factor.grouping.codes[counted] for factor in design.many]
    sizes = [len(factor.grouping.levels) for factor in design.many]
    occurs = np.flatnonzero(np.bincount(codes[0], minlength=sizes[0]))
    base = -1
    if design.many[0].first:
        base = 0 if occurs[0] == 0 else int(occurs[-1])
    in_span = [occurs]
    for f in range(1, len(codes)):
        independent = _second if f == 1 else _later
        in_span.append(independent(codes[: f + 1], in_span, sizes[f]))
    chosen = [occurs[occurs != base], *in_span[1:]]
    places, at = [], 0
    for levels, size in zip(chosen, sizes, strict=True):
        place = np.full(size, -1, np.int64)
        place[levels] = at + np.arange(levels.size)
        places.append(place)
        at += levels.size
    return LevelSpan(
        codes=tuple(factor.grouping.codes for factor in design.many),
        weights=design.weights,
        kept=tuple(levels - f.first for levels, f in zip(chosen, design.many, strict=True)),
        places=tuple(places),
        base=base,
    )


def _second(codes: list[IntArray], levels: list[IntArray], size: int) -> IntArray:
    """Return the levels of the second factor, the reference apart, whose columns the first does not span.

    Levels that occur together form the parts of a graph; in each without the reference the last column is
    the sum of the first factor's columns there less the other ones.
    """
    first = int(levels[0][-1]) + 1
    pairs = sparse.coo_array(
        (np.ones(codes[0].size), (codes[0], first + codes[1])), shape=(first + size, first + size)
    )
    part = connected_components(pairs, directed=False)[1][first:]
    last = np.zeros(part.max() + 1, np.int64)
    np.maximum.at(last, part, np.arange(size))
    candidates = np.arange(1, size)
    spanned = (last[part[1:]] == candidates) & (part[1:] != part[0])
    return np.asarray(candidates[~spanned])


def _later(codes: list[IntArray], levels: list[IntArray], size: int) -> IntArray:
    """Return the levels of a third or later factor, the reference apart, that earlier columns do not span."""
    own = np.arange(1, size)
    earlier = _indicators(codes[:-1], levels)
    mine = _indicators(codes[-1:], [own])
    crossed = np.asarray((earlier.T @ mine).todense())
    counts = np.bincount(codes[-1], minlength=size)[1:].astype(float)
    schur = np.diag(counts) - crossed.T @ _solver(earlier, levels[0].size, None)(crossed)
    kept: list[int] = []
    factor = np.zeros((own.size, own.size))
    for j in range(own.size):
        used = len(kept)
        column = schur[:, j] - factor[:, :used] @ factor[j, :used]
        if column[j] > PIVOT_TOLERANCE * counts[j] and counts[j] > 0:
            factor[:, used] = column / np.sqrt(column[j])
            kept.append(j)
    return own[np.array(kept, np.int64)]


def _indicators(codes: tuple[IntArray, ...] | list[IntArray], levels: Any) -> sparse.csr_array:
    """Return the indicator columns of some levels of each factor, side by side, shape (n, columns)."""
    n = codes[0].size
    parts = []
    for own, chosen in zip(codes, levels, strict=True):
        place = np.full(max(int(own.max(initial=0)), int(chosen.max(initial=0))) + 1, -1, np.int64)
        place[chosen] = np.arange(chosen.size)
        column = place[own]
        rows = np.flatnonzero(column >= 0)
        parts.append(
            sparse.csr_array((np.ones(rows.size), (rows, column[rows])), shape=(n, chosen.size), dtype=float)
        )
    return parts[0] if len(parts) == 1 else sparse.csr_array(sparse.hstack(parts, format="csr"))


def _solver(columns: sparse.csr_array, first: int, weights: Array | None) -> Callable[[Array], Array]:
    """Return the solution of the normal equations for right sides, shape (columns, …).

    The first factor's columns are orthogonal and eliminated; what is left is factorised.
    """
    weighted = columns if weights is None else sparse.csr_array(sparse.diags_array(weights) @ columns)
    gram = sparse.csr_array(columns.T @ weighted)
    own = gram.diagonal()[:first]
    crossed = sparse.csr_array(gram[:first, first:])
    inner = _inner_solver(
        sparse.csc_array(
            gram[first:, first:] - crossed.T @ sparse.csr_array(sparse.diags_array(1.0 / own) @ crossed)
        )
    )

    def solve(right: Array) -> Array:
        shape = (first,) + (1,) * (right.ndim - 1)
        scaled = right[:first] / own.reshape(shape)
        later = inner(right[first:] - crossed.T @ scaled)
        return np.concatenate([scaled - (crossed @ later) / own.reshape(shape), later])

    return solve


def _inner_solver(matrix: sparse.csc_array) -> Callable[[Array], Array]:
    size = matrix.shape[0]
    if size == 0:
        return lambda right: right
    if matrix.nnz > DENSE_SHARE * size * size:
        factor = cho_factor(matrix.toarray(), lower=True, overwrite_a=True)
        return lambda right: np.asarray(cho_solve(factor, right))
    solver = splu(
        sparse.csc_matrix(matrix),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return lambda right: np.asarray(solver.solve(np.ascontiguousarray(right)))
