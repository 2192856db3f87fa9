"""Which functions of the fixed effects the data determine, where columns of X were dropped for rank.

With X = X_k [I A] (kept columns first), β is determined up to the null space N = [−A; I]: Lβ is estimable if and
only if LN = 0, and its value is then the same for every solution, such as the one that has 0 for dropped columns
(Searle 1971, Linear Models, section 5.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, hstack

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.estimation.fit import Fit

__all__ = ["ColumnSpace"]

TOLERANCE = 1e-7
"""Share of |L||N| that LN may be away from 0 by rounding; lme4 drops columns at the same 1e-7."""

LARGEST_WITH_LEVELS = 3000
"""Columns, levels of many-level factors among them, up to which dropped columns are solved for; beyond it what
involves one of them counts as not estimable, and what does not, as estimable."""


@dataclass(frozen=True, eq=False)
class ColumnSpace:
    """The space that the columns of X span on the rows that count.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @lazy
    def counted(self) -> Array:
        """X on the rows with a positive weight, shape (n, p)."""
        design = self.fit.design
        return design.X if design.weights is None else design.X[design.weights > 0]

    @lazy
    def triangle(self) -> Array:
        """R, with RᵀR = XᵀX over X's own columns, shape (min(n, p), p)."""
        norms = np.linalg.norm(self.counted, axis=0)
        scale = np.where(norms > 0, norms, 1.0)
        out: Array = np.linalg.qr(self.counted / scale, mode="r") * norms  # columns of 0 stay exactly 0
        return out

    @lazy
    def dropped(self) -> IntArray:
        """Places of the fixed effects that were dropped."""
        return np.flatnonzero(~self.fit.kept.astype(bool))

    @lazy
    def null(self) -> Array:
        """N, shape (p, number dropped): with p counting the levels of many-level factors too."""
        p = len(self.fit.coefficient_names)
        out = np.zeros((p, self.dropped.size))
        out[self.dropped, np.arange(self.dropped.size)] = 1.0
        if not self.dropped.size or (self.fit.design.many and p > LARGEST_WITH_LEVELS):
            return out
        kept = np.flatnonzero(self.fit.kept)
        R = self.all_columns
        norms = np.linalg.norm(R, axis=0)
        norms[norms == 0] = 1.0
        solved = np.linalg.lstsq(R[:, kept] / norms[kept], R[:, self.dropped] / norms[self.dropped])[0]
        solved[np.abs(solved) < TOLERANCE * np.maximum(np.abs(solved).max(axis=0, initial=0.0), 1.0)] = 0.0
        out[kept] = -solved * norms[self.dropped] / norms[kept][:, None]
        return out

    @property
    def all_columns(self) -> Array:
        """A factor of the cross-products of all columns, those of many-level factors included."""
        design = self.fit.design
        if not design.many:
            return self.triangle
        rows = slice(None) if design.weights is None else design.weights > 0
        n = len(self.counted)
        levels = [
            csr_array((np.ones(n), f.grouping.codes[rows], np.arange(n + 1)), (n, len(f.grouping.levels)))[
                :, f.first :
            ]
            for f in design.many
        ]
        norms = np.linalg.norm(self.counted, axis=0)
        scale = np.where(norms > 0, norms, 1.0)
        both = hstack([csr_array(self.counted / scale), *levels], format="csr")
        values, vectors = np.linalg.eigh((both.T @ both).toarray())
        root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        return np.asarray(root * np.concatenate([scale, np.ones(both.shape[1] - scale.size)]))

    def estimable(self, L: Array) -> BoolArray:
        """Return whether each row of L, shape (q, p), is estimable, shape (q,)."""
        if not self.dropped.size:
            return np.ones(len(L), dtype=bool)
        size = np.abs(L) @ np.abs(self.null)
        return np.asarray(np.all(np.abs(L @ self.null) <= TOLERANCE * size, axis=1))

    def on_kept(self, L: Array) -> Array:
        """Return rows with 0 for the dropped columns: the same function where it is estimable."""
        out = np.array(L, dtype=np.float64)
        out[:, self.dropped] = 0.0
        return out
