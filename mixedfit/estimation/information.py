"""Information on the variance parameters, and derivatives of the covariance of β̂.

Everything in units where σ = 1 and in the basis of the cross-products: V = I + ZΛΛᵀZᵀ, Φ = (XᵀV⁻¹X)⁻¹,
H_j = Z_jᵀV⁻¹X, and for a direction E_a = ∂(λλᵀ)/∂η_a of one factor M_a = Σ_j H_jᵀE_aH_j = −∂Φ⁻¹/∂η_a, of levels with
known relationships A Σ_jl A_jl H_jᵀE_aH_l, η the coordinates of `chart`. A fixed factor with many levels is projected
out of V⁻¹ throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.covariance import BlockDiagonal
from mixedfit.likelihood.by_rows import RowCriterion, RowEvaluation, rows_of
from mixedfit.likelihood.criterion import Criterion, Evaluation, add_tail_variates
from mixedfit.likelihood.first_factor import project, variates

from .answers import parameter_covariance_of
from .degenerate import SMALL_SHARE, residual_share
from .fit import Fit
from .residual_support import refuse_residual

__all__ = ["Information"]


@dataclass(frozen=True, eq=False)
class Information:
    """Information matrix of θ and σ at a fit, and derivatives of (XᵀV⁻¹X).

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @lazy
    def fixed_scores(self) -> tuple[Array, ...]:
        """H_j of every block, shape (levels, k, p) each."""
        cross, tail = self.fit.cross, self.fit.evaluation.tail
        out = []
        for f, block in enumerate(self.fit.design.blocks):
            if f == cross.first_block:
                scores = project(cross, tail.lams[f], tail.slopes)
            else:
                place = cross.place(f)
                scores = tail.fixed_scores(place)
            out.append(np.ascontiguousarray(scores[:, :, :-1]))
            assert out[-1].shape[:2] == (block.levels, block.k)
        return tuple(out)

    @lazy
    def phi(self) -> Array:
        """Φ = (X̃ᵀV⁻¹X̃)⁻¹ of the columns of X, shape (p, p)."""
        many = self.fit.cross.q_tail - self.fit.cross.q_random
        return self.fit.inner_covariance[many:, many:]

    @property
    def directions(self) -> tuple[Array, ...]:
        """E_a of every block's η, shape (n_theta_f, k, k) each, in the basis of the cross-products."""
        return self.fit.chart.directions

    @lazy
    def evaluation(self) -> Evaluation:
        """The criterion at the fit as a function of η."""
        return self._criterion(self.fit.chart.eta)

    @lazy
    def _criterion(self) -> Criterion:
        fit = self.fit
        roots = cast("tuple[BlockDiagonal, ...]", fit.chart.roots)  # linear roots serve as well
        return Criterion(fit.cross, roots, fit.reml, fit.held_sigma, canonical=True)

    def spreads(self, directions: Sequence[Array]) -> Array:
        """Return M_a of all directions, block by block, shape (directions, p, p)."""
        return self._spreads(self.fixed_scores, directions)

    def _spreads(self, scores: Sequence[Array], directions: Sequence[Array]) -> Array:
        parts = [
            np.einsum("jas,dab,jbt->dst", h, e, self.fit.cross.related(f, h), optimize=True)
            for f, (h, e) in enumerate(zip(scores, directions, strict=True))
        ]
        return np.concatenate(parts) if parts else np.zeros((0, *self.phi.shape))

    @lazy
    def root_spreads(self) -> Array:
        """R M_a Rᵀ of η's own directions, RᵀR = Φ, shape (n_theta, p, p).

        Where Φ is large, ΦM_aΦ is a small difference of its products with M_a; H_jRᵀ is not.
        """
        return self.fit.remembered(
            "root_spreads",
            lambda: self._spreads([h @ self.fit.inner_root.T for h in self.fixed_scores], self.directions),
        )

    @lazy
    def parameter_covariance(self) -> Array:
        """Asymptotic covariance of (η, log σ²), directions of no information left out."""
        refuse_residual(
            self.fit.design,
            "this measure of the uncertainty of variances is",
            "Its residual parameters are not in it.",
        )
        return parameter_covariance_of(self.fit, lambda: _inverse(self.curvature))

    def quadratic_forms(self, coefficients: Sequence[Array], *, restricted: bool) -> Array:
        """Return t_aᵀV⁻¹t_b (`restricted`: t_aᵀPt_b) of the variates t_a = Σ_f Z_f c_af.

        Parameters
        ----------
        coefficients : sequence of ndarray, shape (levels, k, count)
            One for each block.
        """
        cross, tail = self.fit.cross, self.fit.evaluation.tail
        count = coefficients[0].shape[2]
        products, crossed = np.zeros((count, count)), np.zeros((count, tail.size))
        rest = np.zeros((count, cross.q_tail))
        for f, c in enumerate(coefficients):
            if f == cross.first_block:
                variates(cross, tail.lams[f], c, products, crossed)
            else:
                place = cross.place(f)
                rest[:, place.offset : place.stop] = c.reshape(place.stop - place.offset, count).T
        if cross.q_random:
            add_tail_variates(tail, rest, products, crossed)
        with blas_threads(1):
            projected = tail.project(crossed)
        if not restricted:
            projected = projected[: cross.q_tail]
        return np.asarray(products - projected.T @ projected)

    @lazy
    def curvature(self) -> Array:
        """Second derivatives of the criterion in (η, log σ²), shape (n_theta + 1, n_theta + 1).

        σ is not profiled out: d(η, s) = log|…| + ν s + PRSS(η) e⁻ˢ. Where the exact second derivative is
        expensive (crossed factors with many levels), central differences of the gradient replace it, and where the
        tail is not factorised, the average information. Without σ's row and column where σ is held. In small models
        with a small residual variance it is computed by rows.
        """
        with blas_threads(1):
            exact = self._by_rows()
            profiled = self._profiled() if exact is None else exact.curvature
        if self.fit.held_sigma is not None:
            return profiled
        nu = self._criterion.nu
        along = self.evaluation.along if exact is None else exact.along
        size = profiled.shape[0]
        out = np.empty((size + 1, size + 1))
        out[:size, :size] = profiled + np.outer(along, along) / nu
        out[:size, size] = out[size, :size] = along
        out[size, size] = nu
        return out

    def _by_rows(self) -> RowEvaluation | None:
        """Return the criterion by rows if cross-products have few digits for its curvature and the model is small.

        A small residual variance makes the curvature along the size of the effects that many times smaller than that
        across.
        """
        c, fit = self._criterion, self.fit
        linear = all(structure.linear for structure in c.structures)
        if not (c.n_theta and linear and residual_share(self.evaluation, c) < SMALL_SHARE):
            return None
        rows = rows_of(fit.design, fit.cross)
        if rows is None:
            return None
        by_rows = RowCriterion(c.cross, c.structures, c.reml, c.sigma, canonical=True, rows=rows)
        return by_rows(fit.chart.eta)

    def _profiled(self) -> Array:
        if self.fit.cross.pairs is not None:
            return self.evaluation.curvature
        exact = self.evaluation.exact_curvature
        self.evaluation.release()
        if exact is not None:
            return exact
        criterion, eta = self._criterion, self.fit.chart.eta
        step = 1e-4 * np.maximum(np.abs(eta), 0.1)
        columns = []
        for a, h in enumerate(step):
            shift = h * np.eye(eta.size)[a]
            columns.append((criterion(eta + shift).gradient - criterion(eta - shift).gradient) / (2 * h))
        out = np.column_stack(columns)
        return np.asarray(0.5 * (out + out.T))


def _inverse(curvature: Array) -> Array:
    """Return twice the inverse of second derivatives, without directions along which there is no information."""
    size = np.sqrt(np.abs(np.diag(curvature)))
    size[size == 0] = 1.0
    values, vectors = np.linalg.eigh(curvature / np.outer(size, size))
    keep = values > 1e-8
    scaled = vectors[:, keep] / size[:, None]
    return np.asarray(2.0 * (scaled / values[keep]) @ scaled.T)
