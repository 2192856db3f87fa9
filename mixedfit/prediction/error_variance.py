"""Variances of prediction errors, and their degrees of freedom.

Given the variance parameters, Var(β̂ − β, b̂ − b) = σ²C⁻¹ with C the matrix of the mixed-model equations (Henderson
1975, Biometrics 31:423). A row needs only the tail columns that occur with its level of the first factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.covariance.constrained_root import LinearRoot
from mixedfit.covariance.unstructured import lower_factor
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.recipe import NewRows
from mixedfit.estimation.fit import Fit
from mixedfit.kernels.prediction import quadratic_dense, quadratic_sparse
from mixedfit.likelihood.criterion import Criterion
from mixedfit.likelihood.dense_tail import DenseTail
from mixedfit.likelihood.iterative_tail import IterativeTail
from mixedfit.likelihood.sparse_tail import SparseTail

from .rows import NewLevels

__all__ = ["JointCovariance", "PredictionTarget", "estimation_variance", "satterthwaite_df"]

STEP = 5e-3
"""Step of second differences, in standard errors of θ."""


@dataclass(frozen=True, eq=False)
class JointCovariance:
    """Joint covariance of the errors of fixed and random effects.

    Parameters
    ----------
    fit : Fit
    lams : sequence of ndarray, shape (k, any)
        A root of the relative covariance of every block's effects, in the basis of the cross-products.
    """

    fit: Fit
    lams: Sequence[Array]

    @lazy
    def tail(self) -> DenseTail | SparseTail:
        """A factorisation at `lams` of its own, not the fit's; a dense one holds the inverse over [tail X]."""
        fit = self.fit
        structures = tuple(block.structure for block in fit.design.blocks)
        lams = [
            structure.factor(structure.theta_from_root(lam)) if structure.linear else lower_factor(lam)
            for structure, lam in zip(structures, self.lams, strict=True)
        ]
        with blas_threads(1):
            tail = Criterion(fit.cross, structures, True, fit.held_sigma, canonical=True).tail_at(lams)
            if isinstance(tail, IterativeTail):
                tail.whole_inverse()
            if isinstance(tail, DenseTail):
                tail.prepare(reml=True)
        return tail

    @lazy
    def conditional(self) -> Array:
        """K_j = λ(λᵀZ_jᵀZ_jλ + I)⁻¹λᵀ of the first factor's levels, shape (levels, k, k)."""
        cross = self.fit.cross
        if cross.first_block < 0:
            return np.zeros((0, 1, 1))
        lam = self.tail.lams[cross.first_block]
        inner = lam.T @ cross.first.gram @ lam + np.eye(lam.shape[0])
        return np.ascontiguousarray(lam @ np.linalg.solve(inner, np.broadcast_to(lam.T, inner.shape)))

    def variances(
        self, X: Array, many: Sequence[IntArray], z: Sequence[Array], codes: Sequence[IntArray]
    ) -> Array:
        """Return Var(x(β̂ − β) + z(b̂ − b)) of rows over σ², shape (n,).

        Parameters
        ----------
        X : ndarray, shape (n, p)
        many : sequence of ndarray, shape (n,)
            Levels of the many-level fixed factors.
        z, codes : sequences of ndarray, shapes (n, k) and (n,)
            Effects and level of every block; a level of −1 leaves the block out.
        """
        cross = self.fit.cross
        n, at = X.shape[0], cross.first_block
        places, first = self.many_columns(many), cross.first
        shared = (
            codes[at] if at >= 0 else np.full(n, -1, np.int64),
            np.ascontiguousarray(z[at] @ inverse(cross.basis[at])) if at >= 0 else np.zeros((n, 1)),
            self.conditional,
            (first.indptr, first.indices, first.values, first.border),
            *self.tail_columns(n, z, codes, places),
            self.fixed_columns(X, places),
        )
        out = np.empty(n)
        if isinstance(self.tail, SparseTail):
            quadratic_sparse(*shared, *_sparse_parts(self.tail, cross), out)
        else:
            quadratic_dense(*shared, self.tail.inverse[: self.tail.inner, : self.tail.inner], out)
        return np.maximum(out, 0.0)

    def tail_columns(
        self, n: int, z: Sequence[Array], codes: Sequence[IntArray], places: Sequence[IntArray]
    ) -> tuple[IntArray, Array]:
        """Return the tail columns of each row, −1 for none, and the row's values there, shape (n, columns) each."""
        cross = self.fit.cross
        columns, values = [np.zeros((n, 0), np.int64)], [np.zeros((n, 0))]
        for block in cross.tail:
            if block.block >= 0:
                level = codes[block.block][:, None]
                columns.append(np.where(level >= 0, block.offset + block.k * level + np.arange(block.k), -1))
                values.append(z[block.block] @ inverse(cross.basis[block.block]))
        for place in places:
            columns.append(np.where(place >= 0, cross.q_random + place, -1)[:, None])
            values.append(np.ones((n, 1)))
        return np.hstack(columns), np.hstack(values)

    def many_columns(self, many: Sequence[IntArray]) -> list[IntArray]:
        """Return each row's column among the kept ones of every many-level factor, −1 for none."""
        span = self.fit.cross.fixed.span
        if span is None:
            return []
        return [np.append(place, -1)[codes] for place, codes in zip(span.places, many, strict=True)]

    def fixed_columns(self, X: Array, places: Sequence[IntArray]) -> Array:
        """Return the rows of X̃: X projected off the many-level factors, in the orthonormal basis."""
        fixed = self.fit.cross.fixed
        own = X[:, fixed.kept]
        padded = np.vstack([fixed.within, np.zeros((1, fixed.within.shape[1]))])
        for place in places:
            own = own - padded[place]
        return np.ascontiguousarray(own @ fixed.transform)


def _sparse_parts(
    tail: SparseTail, cross: CrossProducts
) -> tuple[
    tuple[IntArray, IntArray, IntArray, IntArray, IntArray],
    tuple[IntArray, IntArray, IntArray],
    Array,
    tuple[Array, Array, Array],
]:
    """Return pattern, layout, λ and factor in the form that the kernel takes."""
    p = tail.pattern
    position = np.empty(tail.order.size, np.int64)
    position[tail.order] = np.arange(tail.order.size)
    nodes = np.repeat(np.arange(p.size.size), p.size)
    half, root = tail.half[:, : cross.p], tail.root[: cross.p, : cross.p]
    return (
        (p.ptr, p.rows, p.start, p.size, p.factor),
        (position, nodes, np.cumsum(p.size) - p.size),
        tail.stacked,
        (tail.chol, np.ascontiguousarray(half), np.ascontiguousarray(root)),
    )


@dataclass(frozen=True, eq=False)
class PredictionTarget:
    """The quantity predicted for each of some complete rows: a mean, or a new response.

    Attributes
    ----------
    rows : NewRows
    included : sequence of ndarray of bool, shape (k,)
        Effects of each block that the prediction includes.
    new_levels : {"error", "population", "marginal"}
    noise : ndarray, shape (n,), or float
        Residual variance over σ² of a new response; 0 for a mean.
    excluded_vary : bool
        Whether the excluded effects are random, those of a level drawn at random: independent of the data, and of the
        included effects of observed levels.
    """

    rows: NewRows
    included: Sequence[BoolArray]
    new_levels: NewLevels
    noise: Array | float = 0.0
    excluded_vary: bool = False

    def variance(self, joint: JointCovariance) -> Array:
        """Return the variance of the prediction error (target less prediction) over σ², shape (n,)."""
        rows = self.rows
        z = [np.where(own, values, 0.0) for values, own in zip(rows.z, self.included, strict=True)]
        codes = [np.where(own.any(), c, -1) for c, own in zip(rows.codes, self.included, strict=True)]
        out = joint.variances(rows.X, rows.many, z, codes) + self.noise
        for f, (basis, lam) in enumerate(zip(joint.fit.cross.basis, joint.lams, strict=True)):
            root = inverse(basis)
            new = codes[f] < 0
            own, rest = z[f] @ root @ lam, (rows.z[f] - z[f]) @ root @ lam
            if self.new_levels == "marginal":
                out += np.where(new, np.sum(own * own, axis=1), 0.0)
            if self.excluded_vary:
                known = joint.fit.design.blocks[f].known
                own_size = 1.0 if known is None else known.diagonal[rows.codes[f]]
                out += own_size * np.sum(rest * rest, axis=1) + np.where(
                    new, 2.0 * np.sum(rest * own, axis=1), 0.0
                )
        return np.asarray(out)


def _variance_at(fit: Fit, target: PredictionTarget, lams: Sequence[Array]) -> Array:
    """Return the variance of the prediction error at other λ̃, over σ², shape (n,)."""
    return target.variance(JointCovariance(fit, lams))


def satterthwaite_df(fit: Fit, target: PredictionTarget, variance: Array, covariance: Array) -> Array:
    """Return the degrees of freedom of each row's estimated variance, shape (n,).

    2v²/gᵀAg with v = σ² × `variance` and g its gradient in (η, log σ²), by central differences in η
    (`Chart`).

    Parameters
    ----------
    fit : Fit
    target : PredictionTarget
    variance : ndarray, shape (n,)
        Over σ².
    covariance : ndarray, shape (n_theta + 1, n_theta + 1)
        A; without σ's row and column where σ is held.
    """
    chart, gradient = fit.chart, []
    for step in np.diag(1e-4 * np.maximum(np.abs(chart.eta), 0.1)):
        ahead, behind = (_variance_at(fit, target, chart.lams_at(chart.eta + s)) for s in (step, -step))
        gradient.append((ahead - behind) / (2.0 * step.sum()))
    if fit.held_sigma is None:
        gradient.append(variance)
    g = np.array(gradient)
    spread = np.einsum("ai,ab,bi->i", g, covariance, g)
    return np.asarray(2.0 * variance**2 / np.where(spread > 0, spread, 1e-300))


def estimation_variance(fit: Fit, target: PredictionTarget, variance: Array, covariance: Array) -> Array:
    """Return the part of each prediction variance that is due to the estimation of θ, −tr(AH)/σ², shape (n,).

    H holds the second derivatives of the variance with respect to Ω. σ² does not contribute, since the variance is
    proportional to it at a given Ω/σ². Second differences are taken along the principal axes of η (`Chart`); as Ω̃ is
    quadratic in η, they also contain the slope along R = Σ ∂²Ω̃, which is subtracted.

    Parameters
    ----------
    fit : Fit
    target : PredictionTarget
    variance : ndarray, shape (n,)
        Over σ².
    covariance : ndarray, shape (n_theta, n_theta)
        A, the covariance of η̂.
    """
    values, vectors = np.linalg.eigh(covariance)
    axes = (vectors * np.sqrt(np.maximum(values, 0.0))).T[
        values > 1e-14 * max(values.max(initial=0.0), 1e-300)
    ]
    out = np.zeros_like(variance)
    for axis in axes:
        ahead, behind = (
            _variance_at(fit, target, fit.chart.lams_at(fit.chart.eta + s * axis)) for s in (STEP, -STEP)
        )
        out -= (ahead - 2.0 * variance + behind) / STEP**2
    near, far = (_variance_at(fit, target, _shifted_roots(fit, axes, t)) for t in (STEP, 2.0 * STEP))
    return np.asarray(out + (4.0 * near - far - 3.0 * variance) / (2.0 * STEP))


def _shifted_roots(fit: Fit, axes: Array, t: float) -> list[Array]:
    """Return roots of Ω̃ + tR, R = Σ 2DDᵀ the sum of Ω̃'s second derivatives along the axes (λ̃ is linear in η)."""
    out = []
    for root, lam, here in zip(fit.chart.roots, fit.chart.lams, fit.chart.slices, strict=True):
        assert isinstance(root, LinearRoot), "other structures were refused"
        along = np.einsum("ma,akl->mkl", axes[:, here], root.basis)
        out.append(np.hstack([lam, *(np.sqrt(2.0 * t) * along)]))
    return out
