"""Fixed factors with many levels: linearly independent indicator columns, and least squares on them.

A is the matrix of these columns: an indicator for every level of the first factor that has rows of positive weight,
then those columns of the second and further factors that are linearly independent of earlier ones. Of linearly
dependent columns the last is dropped, as in X.
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

__all__ = ["LevelSpan", "level_solver", "level_span", "span_of_products", "whole_span"]

PIVOT_TOLERANCE = 1e-9
"""A column of a third or later factor is dropped if its squared residual is below this share of its squared norm."""

DENSE_SHARE = 0.1
"""Share of nonzero elements above which the Schur complement of the first factor is factorised as a dense matrix."""


@dataclass(frozen=True, eq=False)
class LevelSpan:
    """Linearly independent columns of the many-level fixed factors of a design.

    Attributes
    ----------
    codes : tuple of ndarray, shape (n,)
        Level of each row in each factor.
    weights : ndarray, shape (n,), or None
    kept : tuple of ndarray of int64
        Columns kept of each factor, as positions in `ManyLevelFactor.names`.
    places : tuple of ndarray of int64, shape (levels,)
        Position of each level's column among all kept columns, −1 if it has none.
    base : int
        Level of the first factor without a column because X has an intercept; −1 if X has none.
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
        """Factors with at least one column kept."""
        return [f for f, kept in enumerate(self.kept) if kept.size]

    def times(self, coefficients: Array, rows: slice) -> Array:
        """Return the kept columns multiplied by coefficients, shape (columns, …), for some rows."""
        padded = np.concatenate([coefficients, np.zeros((1, *coefficients.shape[1:]))])
        parts = [
            padded[place][codes[rows]] for place, codes in zip(self.places, self.codes, strict=True)
        ]  # index −1, a level without a column, selects the zero at the end
        return np.asarray(sum(parts[1:], parts[0]))

    def coefficients(self, values: Array) -> Array:
        """Return the least-squares coefficients of the kept columns, without that of the intercept, shape (columns,).

        The second pass is iterative refinement, for values whose mean is far from 0.
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
        """Return the least-squares coefficients of the kept columns, and that of the intercept (0 without one)."""
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
        """Levels with a column in A."""
        out = [np.flatnonzero(place >= 0) for place in self.places]
        if self.base >= 0:
            out[0] = np.sort(np.append(out[0], self.base))
        return tuple(out)

    @lazy
    def columns_of_levels(self) -> tuple[IntArray, ...]:
        """Position of each level's column among those of its factor, −1 if it has none, shape (levels,) each."""
        return tuple(
            np.where(place < 0, -1, place - place.max(initial=-1) + kept.size - 1)
            for place, kept in zip(self.places, self.kept, strict=True)
        )

    @lazy
    def _solver(self) -> Callable[[Array], Array]:
        columns = _indicators(self.codes, self._levels)
        weighted = (
            columns if self.weights is None else sparse.csr_array(sparse.diags_array(self.weights) @ columns)
        )
        return level_solver(sparse.csr_array(columns.T @ weighted), self._levels[0].size)

    def release(self) -> None:
        """Free the factorisation; it is computed again if needed."""
        self.__dict__.pop("_solver", None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_solver"}


def level_span(design: Design) -> LevelSpan:
    """Return the linearly independent columns of the many-level fixed factors of a design.

    Parameters
    ----------
    design : Design
        With at least one many-level fixed factor.
    """
    counted = design.counted
    codes = [factor.grouping.codes[counted] for factor in design.many]
    sizes = [len(factor.grouping.levels) for factor in design.many]
    if len(sizes) == 1:
        return span_of_products(
            design, sparse.diags_array(np.bincount(codes[0], minlength=sizes[0]).astype(float))
        )
    columns = _indicators(codes, [np.arange(size) for size in sizes])
    return span_of_products(design, sparse.csr_array(columns.T @ columns))


def span_of_products(design: Design, gram: Any) -> LevelSpan:
    """Return the linearly independent columns from the products of all indicator columns.

    Parameters
    ----------
    design : Design
        Its rows are not used.
    gram : sparse array, shape (levels, levels)
        Products of the indicators of all levels of all many-level factors with each other, weighted or not.
    """
    sizes = [len(factor.grouping.levels) for factor in design.many]
    starts = [int(at) for at in np.cumsum([0, *sizes])]
    occurs = np.flatnonzero(gram.diagonal()[: sizes[0]] > 0)
    base = -1
    if design.many[0].first:
        base = 0 if occurs[0] == 0 else int(occurs[-1])
    in_span = [occurs]
    for f in range(1, len(sizes)):
        own = slice(starts[f], starts[f + 1])
        if f == 1:
            in_span.append(_second(sparse.csr_array(gram[: starts[1], own])))
        else:
            earlier = np.concatenate([start + levels for start, levels in zip(starts, in_span, strict=False)])
            in_span.append(_later(sparse.csr_array(gram), earlier, occurs.size, own))
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


def whole_span(design: Design) -> LevelSpan | None:
    """Return the indicator columns of all levels, dependent or not; None without many-level factors."""
    if not design.many:
        return None
    sizes = [len(factor.grouping.levels) for factor in design.many]
    every = [np.arange(size) for size in sizes]
    return LevelSpan(
        codes=tuple(factor.grouping.codes for factor in design.many),
        weights=None,
        kept=tuple(every),
        places=tuple(at + own for at, own in zip(np.cumsum([0, *sizes[:-1]]), every, strict=True)),
        base=-1,
    )


def _second(pairs: sparse.csr_array) -> IntArray:
    """Return the levels of the second factor, without the reference, that are linearly independent of the first.

    Consider the graph of the levels of both factors, with an edge between two levels that occur in the same row. In a
    connected component the columns of both factors have the same sum. The last level of the second factor in each
    component without the reference level is therefore linearly dependent. `pairs` has the number of rows of each pair.
    """
    first, size = pairs.shape
    graph = sparse.block_array([[None, pairs], [pairs.T, None]], format="csr")
    part = connected_components(graph, directed=False)[1][first:]
    last = np.zeros(part.max() + 1, np.int64)
    np.maximum.at(last, part, np.arange(size))
    candidates = np.arange(1, size)
    spanned = (last[part[1:]] == candidates) & (part[1:] != part[0])
    return np.asarray(candidates[~spanned])


def _later(gram: sparse.csr_array, earlier: IntArray, first: int, own: slice) -> IntArray:
    """Return the levels of a third or later factor, without the reference, independent of earlier columns.

    `earlier` has the columns kept of earlier factors, of which `first` are of the first one.
    """
    mine = np.arange(own.start + 1, own.stop)
    crossed = np.asarray(gram[earlier][:, mine].todense(), dtype=float)
    counts = np.asarray(gram.diagonal()[mine], dtype=float)
    solve = level_solver(sparse.csr_array(gram[earlier][:, earlier]), first)
    schur = np.diag(counts) - crossed.T @ solve(crossed)
    kept: list[int] = []
    factor = np.zeros((mine.size, mine.size))
    for j in range(mine.size):
        used = len(kept)
        column = schur[:, j] - factor[:, :used] @ factor[j, :used]
        if column[j] > PIVOT_TOLERANCE * counts[j] and counts[j] > 0:
            factor[:, used] = column / np.sqrt(column[j])
            kept.append(j)
    return 1 + np.array(kept, np.int64)


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


def level_solver(gram: sparse.csr_array, first: int) -> Callable[[Array], Array]:
    """Return a function that solves the normal equations for right-hand sides, shape (columns, …).

    The columns of the first factor, `first` in number, are orthogonal and eliminated; their Schur complement is
    factorised. `gram` has the products of linearly independent columns.
    """
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
    """Return a function that solves equations with a symmetric positive definite matrix."""
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
