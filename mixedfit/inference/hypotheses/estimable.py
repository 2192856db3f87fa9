"""Estimable functions of the fixed effects, for designs with linearly dependent columns.

With X = X_k [I A] (kept columns first), β is determined up to the null space N = [−A; I]. Lβ is estimable if and
only if LN = 0. Its value is then the same for every least-squares solution, also for the one with 0 for dropped
columns (Searle 1971, Linear Models, section 5.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array, hstack

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import triangle
from mixedfit.design.columns import absent_batches, fixed_columns
from mixedfit.design.design import Design
from mixedfit.estimation.fit import Fit

__all__ = ["ColumnSpace"]

TOLERANCE = 1e-7
"""Rounding error of LN relative to |L||N|; lme4 drops columns at the same 1e-7."""

LARGEST_WITH_LEVELS = 3000
"""Largest number of columns, levels of factors stored as codes included, for which N is computed.

In larger designs a function counts as estimable if its weights of all dropped columns are 0.
"""


@dataclass(frozen=True, eq=False)
class ColumnSpace:
    """Column space of X over the rows with positive weight.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @lazy
    def counted(self) -> Array:
        """X on the rows with a positive weight, shape (any, p), or columns with the same inner products."""
        return fixed_columns(self.fit.design)

    @lazy
    def _scale(self) -> Array:
        """Norms of the columns of X, 1 for columns of 0, shape (p,)."""
        norms = np.linalg.norm(self.counted, axis=0)
        return np.where(norms > 0, norms, 1.0)

    @lazy
    def triangle(self) -> Array:
        """R with RᵀR = XᵀX, without levels of factors stored as codes, shape (min(n, p), p)."""
        return triangle(self.counted / self._scale) * self._scale

    @lazy
    def dropped(self) -> IntArray:
        """Positions of the dropped fixed effects."""
        return np.flatnonzero(~self.fit.kept.astype(bool))

    @lazy
    def null(self) -> Array:
        """N, shape (p, number dropped), with p including the levels of factors stored as codes."""
        p = len(self.fit.coefficient_names)
        out = np.zeros((p, self.dropped.size))
        out[self.dropped, np.arange(self.dropped.size)] = 1.0
        if not self.dropped.size or (self.fit.design.many and p > LARGEST_WITH_LEVELS):
            return out
        kept = np.flatnonzero(self.fit.kept)
        R = self._factor()
        norms = np.linalg.norm(R, axis=0)
        norms[norms == 0] = 1.0
        solved = np.linalg.lstsq(R[:, kept] / norms[kept], R[:, self.dropped] / norms[self.dropped])[0]
        solved[np.abs(solved) < TOLERANCE * np.maximum(np.abs(solved).max(axis=0, initial=0.0), 1.0)] = 0.0
        out[kept] = -solved * norms[self.dropped] / norms[kept][:, None]
        return out

    def _factor(self) -> Array:
        """Return R with RᵀR = XᵀX, levels of factors stored as codes included."""
        design = self.fit.design
        if not design.many:
            return self.triangle
        batches = [design] if design.absent is None else absent_batches(design)
        gram = np.sum([self._products(batch) for batch in batches], axis=0)
        values, vectors = np.linalg.eigh(gram)
        root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        return np.asarray(root * np.concatenate([self._scale, np.ones(len(gram) - self._scale.size)]))

    def _products(self, batch: Design) -> Array:
        """Return XᵀX of some rows, levels of factors stored as codes included, with X in units of `_scale`."""
        rows = slice(None) if batch.weights is None else np.flatnonzero(batch.weights > 0)
        X = csr_array(batch.X[rows] / self._scale)
        n = X.shape[0]
        levels = [
            csr_array((np.ones(n), f.grouping.codes[rows], np.arange(n + 1)), (n, len(f.grouping.levels)))[
                :, f.first :
            ]
            for f in batch.many
        ]
        both = hstack([X, *levels], format="csr")
        return np.asarray((both.T @ both).toarray())

    def estimable(self, L: Array) -> BoolArray:
        """Return whether each row of L, shape (q, p), is estimable, shape (q,)."""
        if not self.dropped.size:
            return np.ones(len(L), dtype=bool)
        size = np.abs(L) @ np.abs(self.null)
        return np.asarray(np.all(np.abs(L @ self.null) <= TOLERANCE * size, axis=1))
