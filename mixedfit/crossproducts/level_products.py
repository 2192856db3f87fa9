"""Products of the columns of Z, level by level: what the checks for ridges need of the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.design.columns import effect_columns
from mixedfit.design.design import Design

__all__ = ["LevelProducts", "Levels", "RowLevels", "SummedLevels"]

MOST_CLEAR = 3
"""Levels that are looked at for effects that one level tells apart."""


class Levels(ABC):
    """Products of the columns of some blocks on the counted rows of each level."""

    @abstractmethod
    def grams(self, change: Array) -> Array:
        """Return (Z_j C)ᵀ(Z_j C) of the stacked columns times C = `change`, shape (levels, r, r)."""

    @abstractmethod
    def largest(self) -> list[Array]:
        """Return Z_jᵀZ_j, in any basis, of a few of the largest levels."""

    @abstractmethod
    def largest_count(self) -> int:
        """Return the number of rows of the largest level; 0 if that is not known."""


class LevelProducts(ABC):
    """Products of the columns of the blocks of a design, level by level."""

    @abstractmethod
    def of(self, members: Sequence[int], *, weighted: bool) -> Levels:
        """Return those of the stacked columns of blocks with the same groups of rows.

        Rows are multiplied by the roots of their weights if `weighted`, else they may be.
        """

    @abstractmethod
    def used_levels(self) -> Sequence[int]:
        """Return the number of levels of each block, with a counted row where that is known."""


class _OfRows(Levels):
    def __init__(self, columns: Array, codes: IntArray, root: Array | None) -> None:
        self.columns, self.codes, self.root = columns, codes, root
        self.sizes = np.bincount(codes)

    def grams(self, change: Array) -> Array:
        rows = self.columns @ change
        if self.root is not None:
            rows = rows * self.root[:, None]
        r = rows.shape[1]
        out = np.empty((self.sizes.size, r, r))
        for a in range(r):
            for b in range(a + 1):
                out[:, a, b] = out[:, b, a] = np.bincount(
                    self.codes, rows[:, a] * rows[:, b], minlength=self.sizes.size
                )
        return out

    def largest(self) -> list[Array]:
        out = []
        for level in np.argsort(-self.sizes, kind="stable")[:MOST_CLEAR]:
            own = self.columns[self.codes == level]
            out.append(own.T @ own)
        return out

    def largest_count(self) -> int:
        return int(self.sizes.max(initial=0))


class RowLevels(LevelProducts):
    """Products of a design whose rows are in memory."""

    def __init__(self, design: Design) -> None:
        self.design = design

    def of(self, members: Sequence[int], *, weighted: bool) -> Levels:
        """Return those of some blocks; see `LevelProducts.of`."""
        design, weights = self.design, self.design.weights
        columns = [effect_columns(design, f) for f in members]
        codes = design.blocks[members[0]].codes
        root = None
        if weights is not None:
            codes = codes[design.counted]
            root = np.sqrt(weights[design.counted]) if weighted else None
        return _OfRows(columns[0] if len(columns) == 1 else np.hstack(columns), codes, root)

    def used_levels(self) -> Sequence[int]:
        """Return the number of levels of each block."""
        return [block.levels for block in self.design.blocks]


class _OfSums(Levels):
    def __init__(self, grams: Array, basis: Array) -> None:
        self.own, self.basis = grams, basis

    def grams(self, change: Array) -> Array:
        own = self.basis @ change
        return np.asarray(own.T @ self.own @ own)

    def largest(self) -> list[Array]:
        traces = np.einsum("jaa->j", self.own)
        return [self.own[level] for level in np.argsort(-traces, kind="stable")[:MOST_CLEAR]]

    def largest_count(self) -> int:
        return 0


class SummedLevels(LevelProducts):
    """Products of a design whose rows were summed up.

    Parameters
    ----------
    grams : callable
        Returns for blocks with the same groups of rows the weighted products of their stacked columns Z̃, shape
        (levels, k, k).
    basis : sequence of ndarray, shape (k, k)
        R of each block with Z = Z̃R.
    levels : sequence of int
        Number of levels of each block with a counted row.
    """

    def __init__(
        self, grams: Callable[[Sequence[int]], Array], basis: Sequence[Array], levels: Sequence[int]
    ) -> None:
        self._grams, self.basis, self.levels = grams, basis, levels

    def of(self, members: Sequence[int], *, weighted: bool) -> Levels:
        """Return those of some blocks, weighted; see `LevelProducts.of`."""
        sizes = [len(self.basis[f]) for f in members]
        ends = np.cumsum([0, *sizes])
        basis = np.zeros((ends[-1], ends[-1]))
        for f, start, stop in zip(members, ends[:-1], ends[1:], strict=True):
            basis[start:stop, start:stop] = self.basis[f]
        return _OfSums(self._grams(members), basis)

    def used_levels(self) -> Sequence[int]:
        """Return the number of levels of each block with a counted row."""
        return self.levels
