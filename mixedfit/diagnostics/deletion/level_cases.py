"""Case deletion in models with one grouping factor, where a case changes the contribution of one level only.

With A = Z_jᵀZ_j, B = Z_jᵀ[X y], Ω = λλᵀ and K = (I + AΩ)⁻¹, level j subtracts BᵀΩKB from the products of [X y] and adds
−log|K| to the log-determinant. The sum over all levels is the same function of θ for every case. The derivatives along
dΩ are (KB)ᵀdΩ(KB) and tr(KA dΩ).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import symmetric
from mixedfit.diagnostics.leverages import RowLeverages
from mixedfit.estimation.batch import BatchSearch
from mixedfit.estimation.fit import Fit
from mixedfit.inference.bootstrap.cases import LevelSource
from mixedfit.likelihood.criterion import Criterion

__all__ = ["LevelCases", "Point", "cases_by_level", "directions_at"]


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """log|V| and [X y]ᵀV⁻¹[X y] of each case, or changes of these, with their derivatives with respect to θ.

    Attributes
    ----------
    logdet : ndarray, shape (cases,)
    logdet_slopes : ndarray, shape (cases, n_theta)
    products : ndarray, shape (cases, p + 1, p + 1)
    slopes : ndarray, shape (cases, n_theta, p + 1, p + 1)
    """

    logdet: Array
    logdet_slopes: Array
    products: Array
    slopes: Array

    def __add__(self, other: Point) -> Point:
        return Point(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __neg__(self) -> Point:
        return Point(*(-getattr(self, name) for name in self.__slots__))

    def sum(self) -> Point:
        """Return the sum over all cases, as a single case."""
        return Point(*(getattr(self, name).sum(axis=0, keepdims=True) for name in self.__slots__))


@dataclass(frozen=True, eq=False)
class LevelCases:
    """Cross-products of each case, to be subtracted from those of its level.

    Attributes
    ----------
    fit : Fit
    levels : ndarray of int64, shape (cases,)
        The level that each case belongs to.
    gram : ndarray, shape (cases, k, k)
    border : ndarray, shape (cases, k, p + 1)
    products : ndarray, shape (cases, p + 1, p + 1)
    counts, log_weights : ndarray, shape (cases,)
        Number of rows of the case, and their Σ log w.
    whole_levels : bool
        Whether each case is its whole level.
    """

    fit: Fit
    levels: IntArray
    gram: Array
    border: Array
    products: Array
    counts: Array
    log_weights: Array
    whole_levels: bool = False

    def subset(self, these: IntArray) -> LevelCases:
        """Return some of the cases."""
        names = ("levels", "gram", "border", "products", "counts", "log_weights")
        return replace(self, **{name: getattr(self, name)[these] for name in names})

    @lazy
    def criterion(self) -> Criterion:
        """The fit's criterion in the basis of the cross-products."""
        fit = self.fit
        structures = tuple(block.structure for block in fit.design.blocks)
        return Criterion(fit.cross, structures, fit.reml, fit.held_sigma, canonical=True)

    def change(self, lams: Array, directions: Array) -> Point:
        """Return the changes of the sums over all levels when each case is deleted, at its own λ̃.

        Parameters
        ----------
        lams : ndarray, shape (cases or 1, k, k)
        directions : ndarray, shape (cases or 1, n_theta, k, k)
            ∂(λ̃λ̃ᵀ)/∂θ.
        """
        first = self.fit.cross.first
        A, B = first.gram[self.levels], first.border[self.levels]
        change = -contribution(A, B, lams, directions)
        if not self.whole_levels:  # a level without rows contributes 0
            change += contribution(A - self.gram, B - self.border, lams, directions)
        return replace(change, products=change.products - self.products)

    def whole(self, lam: Array, directions: Array) -> Point:
        """Return the sums over all levels of the full data at one λ̃, as a single case."""
        cross = self.fit.cross
        total = contribution(cross.first.gram, cross.first.border, lam[None], directions[None]).sum()
        return replace(total, products=total.products + symmetric(cross.gram))

    def nu(self) -> Array:
        """Return the degrees of freedom of the residual sum of squares without each case."""
        return np.asarray(self.fit.cross.n - self.counts - (self.fit.cross.p if self.fit.reml else 0))


def contribution(A: Array, B: Array, lams: Array, directions: Array) -> Point:
    """Return the contributions of levels, log|I + AΩ| and −BᵀΩKB, and their derivatives."""
    omega = lams @ lams.swapaxes(-1, -2)
    inner = np.eye(A.shape[-1]) + A @ omega
    K = np.linalg.inv(inner)
    KA, KB = K @ A, K @ B
    return Point(
        np.linalg.slogdet(inner)[1],
        np.einsum("cab,cdba->cd", KA, np.broadcast_to(directions, (A.shape[0], *directions.shape[1:]))),
        -(B.swapaxes(-1, -2) @ (omega @ KB)),
        -(KB.swapaxes(-1, -2)[:, None] @ (directions @ KB[:, None])),
    )


def cases_by_level(rows: RowLeverages, *, by_row: bool) -> LevelCases | None:
    """Return the rows, or the levels of the only factor, as cases; None for a model that has other factors too.

    Rows of weight 0, and levels that have no others, are not cases.
    """
    if len(rows.fit.design.blocks) != 1 or rows.fit.cross.q_tail:
        return None
    return _row_cases(rows, np.flatnonzero(rows.counted)) if by_row else _level_cases(rows.fit)


def _level_cases(fit: Fit) -> LevelCases:
    source, first = LevelSource(fit), fit.cross.first
    these = source.levels
    return LevelCases(
        fit,
        these,
        first.gram[these],
        first.border[these],
        np.ascontiguousarray(source.products.transpose(1, 0, 2))[these],
        np.asarray(source.counts[these], float),
        np.asarray(source.log_weights[these], float),
        whole_levels=True,
    )


def _row_cases(rows: RowLeverages, these: IntArray) -> LevelCases:
    fit = rows.fit
    fixed, root = fit.cross.fixed, np.sqrt(rows.weights[these])[:, None]
    rest = (fit.design.y[these] - fit.design.X[np.ix_(these, fixed.kept)] @ fixed.centre) / fixed.scale
    border = np.column_stack([rows.X[these], rest]) * root
    z = rows.first_effects[these] * root
    return LevelCases(
        fit,
        fit.design.blocks[0].codes[these],
        z[:, :, None] * z[:, None, :],
        z[:, :, None] * border[:, None, :],
        border[:, :, None] * border[:, None, :],
        np.ones(these.size),
        np.log(rows.weights[these]),
    )


def directions_at(search: BatchSearch, x: Array) -> tuple[Array, Array]:
    """Return λ̃ and ∂(λ̃λ̃ᵀ)/∂θ at the θ of each case, shape (cases, k, k) and (cases, n_theta, k, k)."""
    lams = np.einsum("cd,dab->cab", x, search.slopes)
    half = search.slopes[None] @ lams.swapaxes(-1, -2)[:, None]
    return lams, half + half.swapaxes(-1, -2)
