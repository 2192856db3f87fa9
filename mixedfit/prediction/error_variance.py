"""Variance of prediction errors: the joint covariance of (β̂ − β, b̂ − b), and their degrees of freedom.

Henderson (1975), Biometrics 31:423: Var = σ²C⁻¹, C the matrix of the mixed-model equations. No row costs more than
the tail columns that occur with its level of the first factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.recipe import NewRows
from mixedfit.estimation.fit import Fit
from mixedfit.kernels.prediction import quadratic_dense, quadratic_sparse
from mixedfit.likelihood.criterion import Criterion
from mixedfit.likelihood.dense_tail import DenseTail
from mixedfit.likelihood.sparse_tail import SparseTail

from .rows import NewLevels

__all__ = ["JointCovariance", "Target", "satterthwaite_rows", "unknown_variances"]


@dataclass(frozen=True, eq=False)
class JointCovariance:
    """Covariance of the errors of fixed and random effects together.

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
        """The factorisation there, apart from the fit's own; the inverse over [tail X] if it is dense."""
        fit = self.fit
        structures = tuple(block.structure for block in fit.design.blocks)
        parts = [structure.theta_from_root(lam) for structure, lam in zip(structures, self.lams, strict=True)]
        theta = np.concatenate(parts) if parts else np.zeros(0)
        with blas_threads(1):
            tail = Criterion(fit.cross, structures, True, fit.held_sigma, canonical=True)(theta).tail
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
        places, columns, effects = self._many(many), [], []
        for block in cross.tail:
            if block.block >= 0:
                here = np.arange(block.k) + block.offset + block.k * codes[block.block][:, None]
                columns.append(np.where(codes[block.block][:, None] >= 0, here, -1))
                effects.append(z[block.block] @ inverse(cross.basis[block.block]))
        for place in places:
            columns.append(np.where(place >= 0, cross.q_random + place, -1)[:, None])
            effects.append(np.ones((n, 1)))
        first = cross.first
        shared = (
            codes[at] if at >= 0 else np.full(n, -1, np.int64),
            np.ascontiguousarray(z[at] @ inverse(cross.basis[at])) if at >= 0 else np.zeros((n, 1)),
            self.conditional,
            (first.indptr, first.indices, first.values, first.border),
            np.hstack(columns) if columns else np.zeros((n, 0), np.int64),
            np.hstack(effects) if effects else np.zeros((n, 0)),
            self._fixed(X, places),
        )
        out = np.empty(n)
        if isinstance(self.tail, SparseTail):
            quadratic_sparse(*shared, *_sparse_parts(self.tail, cross), out)
        else:
            quadratic_dense(*shared, self.tail.inverse[: self.tail.inner, : self.tail.inner], out)
        return np.maximum(out, 0.0)

    def _many(self, many: Sequence[IntArray]) -> list[IntArray]:
        """Return the column of every row among the many-level factors' kept ones, −1 for none."""
        span = self.fit.cross.fixed.span
        if span is None:
            return []
        return [np.append(place, -1)[codes] for place, codes in zip(span.places, many, strict=True)]

    def _fixed(self, X: Array, places: Sequence[IntArray]) -> Array:
        """Return the columns of X̃ of the rows, projected off the many-level factors."""
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
    """Return pattern, layout, λ and factor as the kernel takes them."""
    p = tail.pattern
    position = np.empty(tail.order.size, np.int64)
    position[tail.order] = np.arange(tail.order.size)
    nodes = np.repeat(np.arange(p.size.size), p.size)
    offsets = np.cumsum(p.size) - p.size
    half = np.ascontiguousarray(tail.half[:, : cross.p])
    root = np.ascontiguousarray(tail.root[: cross.p, : cross.p])
    return (
        (p.ptr, p.rows, p.start, p.size, p.factor),
        (position, nodes, offsets),
        tail.stacked,
        (tail.chol, half, root),
    )


STEP = 5e-3
"""Step of differences, in standard errors of η."""


@dataclass(frozen=True, eq=False)
class Target:
    """The quantity predicted for complete rows: included effects, new levels, noise.

    Attributes
    ----------
    rows : NewRows
    taken : sequence of ndarray of bool, shape (k,)
    new_levels : {"error", "population", "marginal"}
    noise : ndarray, shape (n,), or float
        Residual variance over σ², of a response.
    left_out : bool
        Whether effects that are not taken in vary, as of a level drawn at random: independent of the data, and of
        effects of a level that was seen.
    """

    rows: NewRows
    taken: Sequence[BoolArray]
    new_levels: NewLevels
    noise: Array | float = 0.0
    left_out: bool = False

    def variance(self, joint: JointCovariance) -> Array:
        """Return the variance of target less prediction over σ² at the covariance's λ̃, shape (n,)."""
        rows = self.rows
        z = [np.where(own, values, 0.0) for values, own in zip(rows.z, self.taken, strict=True)]
        codes = [np.where(own.any(), c, -1) for c, own in zip(rows.codes, self.taken, strict=True)]
        out = joint.variances(rows.X, rows.many, z, codes) + self.noise
        for f, (basis, lam) in enumerate(zip(joint.fit.cross.basis, joint.lams, strict=True)):
            root = inverse(basis)
            new = codes[f] < 0
            own, rest = z[f] @ root @ lam, (rows.z[f] - z[f]) @ root @ lam
            if self.new_levels == "marginal":
                out += np.where(new, np.sum(own * own, axis=1), 0.0)
            if self.left_out:
                out += np.sum(rest * rest, axis=1) + np.where(new, 2.0 * np.sum(rest * own, axis=1), 0.0)
        return np.asarray(out)


def satterthwaite_rows(fit: Fit, target: Target, variance: Array, covariance: Array) -> Array:
    """Return the degrees of freedom of each row's estimated variance, shape (n,).

    2v²/gᵀAg with v = σ² × `variance` and g its gradient in (η, log σ²), by central differences in η
    (`Chart`).

    Parameters
    ----------
    fit : Fit
    target : Target
    variance : ndarray, shape (n,)
        Over σ².
    covariance : ndarray, shape (n_theta + 1, n_theta + 1)
        A; without σ's row and column where σ is held.
    """
    chart, gradient = fit.chart, []
    for step in np.diag(1e-4 * np.maximum(np.abs(chart.eta), 0.1)):
        ahead, behind = (
            target.variance(JointCovariance(fit, chart.lams_at(chart.eta + s))) for s in (step, -step)
        )
        gradient.append((ahead - behind) / (2.0 * step.sum()))
    if fit.held_sigma is None:
        gradient.append(variance)
    g = np.array(gradient)
    spread = np.einsum("ai,ab,bi->i", g, covariance, g)
    return np.asarray(2.0 * variance**2 / np.where(spread > 0, spread, 1e-300))


def unknown_variances(fit: Fit, target: Target, variance: Array, covariance: Array) -> Array:
    """Return −tr(AH)/σ² of each row, shape (n,): the correction for estimated variances.

    σ² drops out, since the variance is proportional to it at a given Ω/σ². Second derivatives along η's principal
    axes bend with Ω = λλᵀ; what the bend itself contributes, the slope along R = Σ ∂²Ω, is taken off again.

    Parameters
    ----------
    fit : Fit
    target : Target
    variance : ndarray, shape (n,)
        Over σ².
    covariance : ndarray, shape (n_theta, n_theta)
        Of η̂.
    """
    values, vectors = np.linalg.eigh(covariance)
    axes = (vectors * np.sqrt(np.maximum(values, 0.0))).T[
        values > 1e-14 * max(values.max(initial=0.0), 1e-300)
    ]
    out = np.zeros_like(variance)
    for axis in axes:
        ahead, behind = (
            target.variance(JointCovariance(fit, fit.chart.lams_at(fit.chart.eta + s)))
            for s in (STEP * axis, -STEP * axis)
        )
        out -= (ahead - 2.0 * variance + behind) / STEP**2
    near, far = (target.variance(JointCovariance(fit, _bent(fit, axes, t))) for t in (STEP, 2.0 * STEP))
    return np.asarray(out + (4.0 * near - far - 3.0 * variance) / (2.0 * STEP))


def _bent(fit: Fit, axes: Array, t: float) -> list[Array]:
    """Return roots of Ω̃ + tR with R = Σ 2DDᵀ, the sum of Ω̃'s second derivatives along the axes; λ̃ is linear in η."""
    out = []
    for root, lam, here in zip(fit.chart.roots, fit.chart.lams, fit.chart.slices, strict=True):
        along = np.einsum("ma,akl->mkl", axes[:, here], root.basis)
        out.append(np.hstack([lam, *(np.sqrt(2.0 * t) * along)]))
    return out
