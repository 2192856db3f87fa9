"""Leverages of the rows, the variances of their fitted values, and their columns adjusted for the random effects.

In units where σ = 1, with R = W⁻¹, V = R + ZΛΛᵀZᵀ and P = V⁻¹ − V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹:

* the hat matrix of ŷ = Xβ̂ + Zb̂ is I − RP, and y − ŷ = RPy;
* its diagonal is w_i c_i, with c_i the uncertainty of row i's fitted value: [z_i x_i] C [z_i x_i]ᵀ, C the inverse of
  the mixed-model equations (Bates et al. 2015, section 3.4);
* X̂ = RV⁻¹X = X − Zb(X) is X less the BLUPs of its columns, and V⁻¹X = WX̂;
* the hat matrix of Xβ̂ alone is X(XᵀV⁻¹X)⁻¹XᵀV⁻¹ (Demidenko & Stukel 2005, Statistics in Medicine 24:893).

No n × n matrix is formed: only the entries of C whose levels occur together on a row are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads, inverse, symmetric
from mixedfit.crossproducts.crossprod import tail_codes
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.information import Information
from mixedfit.kernels.leverages import row_forms

__all__ = ["EXACT_FIT", "RowLeverages"]

EXACT_FIT = 1e-10
"""Share of the variance of an observation: if its residual has less, the studentized residual is 0/0."""


@dataclass(frozen=True, eq=False)
class RowLeverages:
    """Leverages and related row-wise quantities of a fit.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    @lazy
    def weights(self) -> Array:
        """Weight of each row, shape (n,)."""
        weights: Array | None = self.fit.design.weights
        return np.ones(self.fit.design.n) if weights is None else weights

    @lazy
    def counted(self) -> BoolArray:
        """Whether a row has a positive weight, shape (n,)."""
        return self.weights > 0

    @lazy
    def variance_ratio(self) -> Array:
        """Var(ε_i)/σ² = 1/w_i, NaN where the weight is 0, shape (n,)."""
        out = np.full(self.weights.size, np.nan)
        np.divide(1.0, self.weights, out=out, where=self.counted)
        return out

    @lazy
    def X(self) -> Array:  # noqa: N802
        """X̃ of the cross-products: X projected off the many-level factors, in an orthonormal basis, shape (n, p)."""
        fixed = self.fit.cross.fixed
        return np.asarray(fixed.columns(self.fit.design, slice(0, self.fit.design.n)) @ fixed.transform)

    @lazy
    def first_effects(self) -> Array:
        """Z of the first factor in the basis of the cross-products, shape (n, k)."""
        f = self.fit.cross.first_block
        return np.ascontiguousarray(self.fit.design.blocks[f].z @ inverse(self.fit.cross.basis[f]))

    @lazy
    def _tail(self) -> tuple[IntArray, Array]:
        """Tail columns of each row and the row's values there, shape (n, effects) each."""
        design, cross = self.fit.design, self.fit.cross
        n = design.n
        codes = tail_codes(design, cross.tail, cross.fixed.span, slice(0, n))
        columns: list[IntArray] = [np.zeros((n, 0), np.int64)]
        effects: list[Array] = [np.zeros((n, 0))]
        for f, place in enumerate(cross.tail):
            own = np.maximum(codes[:, f], 0)
            columns.append(place.offset + own[:, None] * place.k + np.arange(place.k))
            if place.block >= 0:
                effects.append(design.blocks[place.block].z @ inverse(cross.basis[place.block]))
            else:
                effects.append((codes[:, f] >= 0)[:, None].astype(float))
        return np.concatenate(columns, axis=1), np.concatenate(effects, axis=1)

    @lazy
    def forms(self) -> Array:
        """Quadratic forms of each row in the inverse over random and many-level fixed columns, shape (n, 3).

        Of all these columns; with the many-level fixed ones alone on one side; with them alone on both sides.
        """
        cross, design = self.fit.cross, self.fit.design
        out = np.zeros((design.n, 3))
        if cross.first_block < 0 and not cross.tail:
            return out
        tail = self.fit.evaluation.tail
        if not cross.tail:
            lam = tail.lams[cross.first_block]
            out[:, 0] = self._forms_of_one_factor(lam)
            return out
        with blas_threads(1):
            whole = tail.whole_inverse()
            columns, effects = self._tail
            if cross.first_block < 0:
                return _forms_of_tail(whole, columns, effects, cross.q_random)
            codes, first = design.blocks[cross.first_block].codes, cross.first
            order = np.argsort(codes, kind="stable")
            start = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=first.gram.shape[0]))])
            dense, pointers, places, data = _as_arrays(whole)
            row_forms(
                tail.lams[cross.first_block],
                first.gram,
                first.indptr,
                first.indices,
                first.values,
                order,
                start.astype(np.int64),
                self.first_effects,
                columns,
                effects,
                cross.q_random,
                dense,
                pointers,
                places,
                data,
                out,
            )
            tail.release()
        return out

    def _forms_of_one_factor(self, lam: Array) -> Array:
        """Return zᵀλ(λᵀAλ + I)⁻¹λᵀz of every row."""
        first = self.fit.cross.first
        inner = inverse(np.eye(lam.shape[0]) + lam.T @ first.gram @ lam)
        blocks = lam @ inner @ lam.T
        codes, z = self.fit.design.blocks[0].codes, self.first_effects
        out = np.zeros(codes.size)
        for a in range(lam.shape[0]):
            for b in range(lam.shape[0]):
                out += z[:, a] * blocks[codes, a, b] * z[:, b]
        return out

    @lazy
    def phi(self) -> Array:
        """Φ = (X̃ᵀV⁻¹X̃)⁻¹, shape (p, p)."""
        return Information(self.fit).phi

    @lazy
    def adjusted(self) -> Array:
        """X̂ = RV⁻¹X̃: X̃ adjusted for random effects and many-level fixed factors, shape (n, p)."""
        cross, design = self.fit.cross, self.fit.design
        out = self.X.copy()
        if cross.first_block >= 0:
            lam = self.fit.evaluation.tail.lams[cross.first_block]
            slopes = (lam @ lam.T) @ Information(self.fit).fixed_scores[cross.first_block]
            codes = design.blocks[cross.first_block].codes
            for a in range(slopes.shape[1]):
                out -= self.first_effects[:, a, None] * slopes[codes, a]
        return self._less_tail(out, 0)

    def _less_tail(self, values: Array, first: int) -> Array:
        """Subtract from columns, in place, their predictions by the tail columns from `first` on; return them."""
        columns, effects = self._tail
        slopes = self.fit.evaluation.tail.slopes[:, :-1]
        for s in range(columns.shape[1]):
            share = np.where(columns[:, s] >= first, effects[:, s], 0.0)
            if share.any():
                values -= share[:, None] * slopes[columns[:, s]]
        return values

    @lazy
    def _own(self) -> Array:
        """X̃ less its generalised least-squares fit on many-level fixed factors, shape (n, p)."""
        many = self.fit.cross.q_tail > self.fit.cross.q_random
        return self._less_tail(self.X.copy(), self.fit.cross.q_random) if many else self.X

    @lazy
    def share(self) -> Array:
        """w_i X̂_iΦX̂_iᵀ: the part of the leverage that is due to the estimation of β, shape (n,)."""
        return np.asarray(self.weights * np.einsum("ip,pq,iq->i", self.adjusted, self.phi, self.adjusted))

    @lazy
    def leverage(self) -> Array:
        """Diagonal of the hat matrix of Xβ̂ + Zb̂, shape (n,)."""
        return np.asarray(self.weights * self.forms[:, 0] + self.share)

    @lazy
    def residual_variance(self) -> Array:
        """Var(y_i − ŷ_i)/σ², NaN for a row that is fitted exactly, shape (n,)."""
        left = 1.0 - self.leverage
        return np.asarray(self.variance_ratio * np.where(left > EXACT_FIT, left, np.nan))

    @lazy
    def cooks_distance(self) -> Array:
        """Change of (β̂, b̂) without each row, in the metric of the mixed-model equations, over pσ², shape (n,)."""
        h, p = self.leverage, self.fit.cross.p_total
        pearson = (self.fit.response - self.fit.fitted) / np.sqrt(self.variance_ratio) / self.fit.sigma
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((pearson / (1.0 - h)) ** 2 * h / p if p else np.full(h.size, np.nan))

    @lazy
    def fixed_leverage(self) -> Array:
        """Diagonal of the hat matrix of Xβ̂, shape (n,); its sum is the number of fixed effects."""
        own = np.einsum("ip,pq,iq->i", self._own, self.phi, self.adjusted)
        return np.asarray(self.weights * (own + self.forms[:, 1]))

    @lazy
    def mean_uncertainty(self) -> Array:
        """Var(x_iβ̂)/σ², shape (n,)."""
        own = np.einsum("ip,pq,iq->i", self._own, self.phi, self._own)
        return np.asarray(own + self.forms[:, 2])

    @lazy
    def marginal_variance(self) -> Array:
        """V_ii, NaN where the weight is 0, shape (n,)."""
        out = self.variance_ratio.copy()
        for block, lam in zip(self.fit.design.blocks, self.fit.lam, strict=True):
            spread = block.z @ lam
            own = np.einsum("ik,ik->i", spread, spread)
            out += own if block.known is None else own * block.known.diagonal[block.codes]
        return out


def _forms_of_tail(whole: Any, columns: IntArray, effects: Array, random: int) -> Array:
    """Return the forms of a model without a first factor; tail columns from `random` on are fixed."""
    full = whole if sparse.issparse(whole) else symmetric(whole)
    out = np.zeros((columns.shape[0], 3))
    for s in range(columns.shape[1]):
        for t in range(columns.shape[1]):
            form = effects[:, s] * np.asarray(full[columns[:, s], columns[:, t]]).reshape(-1) * effects[:, t]
            one, other = columns[:, s] >= random, columns[:, t] >= random
            out += form[:, None] * np.column_stack([np.ones(one.size), one, one & other])
    return out


def _as_arrays(whole: Array | sparse.csr_array) -> tuple[Array, IntArray, IntArray, Array]:
    """Return an inverse in the form that the kernel takes: a dense matrix, or the rows of a sparse one."""
    if isinstance(whole, sparse.csr_array):
        return np.zeros((0, 0)), whole.indptr.astype(np.int64), whole.indices.astype(np.int64), whole.data
    none = np.zeros(0, np.int64)
    return whole, none, none, np.zeros(0)
