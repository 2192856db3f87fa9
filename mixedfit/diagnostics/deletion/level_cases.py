"""Cases of a model with one grouping factor: only the products of the case's own level change.

With A = Z_jᵀZ_j, B = Z_jᵀ[X y] and Ω = λλᵀ, level j takes BᵀΩKB from the products of [X y] and adds −log|K| to the
log-determinant, K = (I + AΩ)⁻¹. Sums over all levels are the same function of θ for every case; only one level's
contribution differs. Along dΩ the contribution changes by (KB)ᵀdΩ(KB), the log-determinant by tr(KA dΩ).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import symmetric
from mixedfit.diagnostics.leverages import RowLeverages
from mixedfit.estimation.batch import BatchSearch
from mixedfit.estimation.fit import Fit
from mixedfit.inference.bootstrap.cases import LevelSource
from mixedfit.likelihood.criterion import Criterion

__all__ = ["LevelCases", "Point", "has_one_factor", "level_cases", "row_cases"]


def has_one_factor(fit: Fit) -> bool:
    """Return whether all that the likelihood needs are one factor's levels and products of [X y]."""
    return len(fit.design.blocks) == 1 and fit.cross.q_tail == 0


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """What the products of [X y] leave at some θ, and how that changes along θ, for each case.

    Attributes
    ----------
    logdet : ndarray, shape (cases,)
    logdet_slopes : ndarray, shape (cases, n_theta)
    products : ndarray, shape (cases, p + 1, p + 1)
        [X y]ᵀV⁻¹[X y].
    slopes : ndarray, shape (cases, n_theta, p + 1, p + 1)
    """

    logdet: Array
    logdet_slopes: Array
    products: Array
    slopes: Array

    def __add__(self, other: Point) -> Point:
        return Point(
            self.logdet + other.logdet,
            self.logdet_slopes + other.logdet_slopes,
            self.products + other.products,
            self.slopes + other.slopes,
        )


@dataclass(frozen=True, eq=False)
class LevelCases:
    """Products that each case takes away from its level.

    Attributes
    ----------
    fit : Fit
    levels : ndarray of int64, shape (cases,)
        The level that each case belongs to.
    gram : ndarray, shape (cases, k, k)
    border : ndarray, shape (cases, k, p + 1)
    products : ndarray, shape (cases, p + 1, p + 1)
    counts, log_weights : ndarray, shape (cases,)
        Rows taken away, and their Σ log w.
    whole_levels : bool
        Whether nothing is left of the levels.
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
        return LevelCases(
            self.fit,
            self.levels[these],
            self.gram[these],
            self.border[these],
            self.products[these],
            self.counts[these],
            self.log_weights[these],
            self.whole_levels,
        )

    @lazy
    def criterion(self) -> Criterion:
        """The fit's criterion in the basis of the cross-products."""
        fit = self.fit
        structures = tuple(block.structure for block in fit.design.blocks)
        return Criterion(fit.cross, structures, fit.reml, fit.held_sigma, canonical=True)

    def change(self, lams: Array, directions: Array) -> Point:
        """Return what leaving out each case adds to the sums over all levels at its own λ̃.

        Parameters
        ----------
        lams : ndarray, shape (cases or 1, k, k)
        directions : ndarray, shape (cases or 1, n_theta, k, k)
            ∂(λ̃λ̃ᵀ)/∂θ.
        """
        first = self.fit.cross.first
        A, B = first.gram[self.levels], first.border[self.levels]
        with_case = contribution(A, B, lams, directions)
        if self.whole_levels:
            return Point(
                -with_case.logdet,
                -with_case.logdet_slopes,
                -with_case.products - self.products,
                -with_case.slopes,
            )
        without = contribution(A - self.gram, B - self.border, lams, directions)
        return Point(
            without.logdet - with_case.logdet,
            without.logdet_slopes - with_case.logdet_slopes,
            without.products - with_case.products - self.products,
            without.slopes - with_case.slopes,
        )

    def whole(self, lam: Array, directions: Array) -> Point:
        """Return the sums over all levels at one λ̃, as a single case."""
        cross = self.fit.cross
        all_levels = contribution(cross.first.gram, cross.first.border, lam[None], directions[None])
        own = symmetric(cross.gram)
        return Point(
            all_levels.logdet.sum(keepdims=True),
            all_levels.logdet_slopes.sum(axis=0, keepdims=True),
            (own + all_levels.products.sum(axis=0))[None],
            all_levels.slopes.sum(axis=0, keepdims=True),
        )

    def nu(self) -> Array:
        """Return the degrees of freedom of the residual sum of squares without each case."""
        return np.asarray(self.fit.cross.n - self.counts - (self.fit.cross.p if self.fit.reml else 0))


def contribution(A: Array, B: Array, lams: Array, directions: Array) -> Point:
    """Return the contributions of levels: log|I + AΩ|, −BᵀΩKB and their slopes."""
    omega = lams @ lams.swapaxes(-1, -2)
    inner = np.eye(A.shape[-1]) + A @ omega
    K = np.linalg.inv(inner)
    KB = K @ B
    KA = K @ A
    return Point(
        np.linalg.slogdet(inner)[1],
        np.einsum("cab,cdba->cd", KA, np.broadcast_to(directions, (A.shape[0], *directions.shape[1:]))),
        -(B.swapaxes(-1, -2) @ (omega @ KB)),
        -(KB.swapaxes(-1, -2)[:, None] @ directions @ KB[:, None]),
    )


def level_cases(fit: Fit) -> LevelCases:
    """Return the levels of the only factor as cases, those without a counted row left out."""
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


def row_cases(rows: RowLeverages, these: IntArray) -> LevelCases:
    """Return rows as cases.

    Parameters
    ----------
    rows : RowLeverages
    these : ndarray of int64, shape (cases,)
    """
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
    """Return λ̃ and ∂(λ̃λ̃ᵀ)/∂θ at θ of each case, shape (cases, k, k) and (cases, n_theta, k, k)."""
    lams = np.einsum("cd,dab->cab", x, search.slopes)
    half = search.slopes[None] @ lams.swapaxes(-1, -2)[:, None]
    return lams, half + half.swapaxes(-1, -2)
