"""Information on variance parameters, and what Satterthwaite's and Kenward and Roger's methods need of a fit.

With P = V⁻¹ − V⁻¹X Φ XᵀV⁻¹, the second derivative of the criterion in two parameters is

    −tr(P V_a P V_b) + tr(P V_ab) + 2 yᵀP V_a P V_b P y − yᵀP V_ab P y

(V⁻¹ for P in the traces under ML). M_a = XᵀV⁻¹V_aV⁻¹X, Q_ab = XᵀV⁻¹V_aV⁻¹V_bV⁻¹X, R_ab = XᵀV⁻¹V_abV⁻¹X; X in the
basis of the cross-products. Kenward & Roger (1997), Biometrics 53:983.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads
from mixedfit.estimation.fit import Fit

from .blocks import Block, VarianceParameters
from .natural import is_linear, natural_bend

__all__ = ["StructuredInformation", "affordable"]

WORK, STEPS = 1.5e10, 1e6
"""Multiplications and small matrices up to which the dense algebra is done on request."""

EASY = 0.1
"""Share of these up to which it is the default."""


def affordable(fit: Fit, share: float = EASY) -> bool:
    """Return whether degrees of freedom take no more than a share of the work that is done on request."""
    if fit.design.n > share * STEPS:
        return False
    parameters = VarianceParameters(fit)
    sizes = np.array([rows.size for rows in parameters.components], dtype=float)
    p, d = fit.cross.p + 1, parameters.count
    dense = float((sizes**3).sum()) * (d + 4) + float((sizes**2).sum()) * d * (d + p)
    steps = sizes.size * (d if parameters.linear else d * d)
    return dense + fit.design.n * d * d * p <= share * WORK and steps <= share * STEPS


@dataclass(frozen=True, eq=False)
class StructuredInformation:
    """Sums over independent blocks for one fit.

    Parameters
    ----------
    fit : Fit
    """

    fit: Fit

    def __post_init__(self) -> None:
        if not affordable(self.fit, 1.0):
            raise ModelError(
                f"degrees of freedom with a residual structure need dense algebra within independent groups of rows, "
                f"too much for the {self.fit.design.n} rows of this fit. Use ddf='normal' or ddf='residual'."
            )

    @lazy
    def parameters(self) -> VarianceParameters:
        """The variance parameters and blocks."""
        return VarianceParameters(self.fit)

    @lazy
    def columns(self) -> Array:
        """[X̃ e] with e = y − Xβ̂, shape (n, p + 1)."""
        fit, fixed = self.fit, self.fit.cross.fixed
        X = fit.design.X[:, fixed.kept] @ fixed.transform
        return np.column_stack([X, fit.response - fit.fixed_part])

    @lazy
    def _sums(self) -> tuple[Array, Array, Array, Array]:
        """Return UᵀV⁻¹V_aV⁻¹U, eᵀV⁻¹V_aV⁻¹V_bV⁻¹e, tr(ΦQ_ab) and tr(V⁻¹V_aV⁻¹V_b); U = [X̃ e]."""
        U, count = self.columns, self.parameters.count
        size = U.shape[1]
        root_phi = _root(self.phi) if size > 1 else np.zeros((0, 0))
        single = np.zeros((count, size, size))
        ends, weighted, traces = (np.zeros((count, count)) for _ in range(3))
        with blas_threads(1):
            for block in self.parameters.blocks():
                inner, white, C = self._turned(block)
                single += np.einsum("axs,xt->ast", C, white, optimize=True)
                ends += C[:, :, -1] @ C[:, :, -1].T
                turned = (C[:, :, :-1] @ root_phi).reshape(count, -1)
                weighted += turned @ turned.T
                vector = inner.reshape(count, -1)
                traces += block.rows.shape[0] * (vector @ vector.T)
        return single, ends, weighted, traces

    def _turned(self, block: Block) -> tuple[Array, Array, Array]:
        """Return L⁻¹V_aL⁻ᵀ, L⁻¹U of all sets of a block, and L⁻¹V_aV⁻¹U, shape (parameters, rows, columns)."""
        U, count = self.columns, self.parameters.count
        sets, m = block.rows.shape
        root: Any = _root(block.V)
        solved = np.linalg.solve(root, U[block.rows].transpose(1, 0, 2).reshape(m, -1))
        inner = np.linalg.solve(root, np.linalg.solve(root, block.first).transpose(0, 2, 1))
        C = (inner @ solved).reshape(count, m * sets, U.shape[1])
        return inner, solved.reshape(m * sets, -1), C

    @lazy
    def pairs(self) -> Array:
        """Q_ab, shape (parameters, parameters, p, p)."""
        count, p = self.parameters.count, self.columns.shape[1] - 1
        out = np.zeros((count * p, count * p))
        with blas_threads(1):
            for block in self.parameters.blocks():
                C = self._turned(block)[2][:, :, :-1]
                flat = C.transpose(1, 0, 2).reshape(C.shape[1], -1)
                out += flat.T @ flat
        return out.reshape(count, p, count, p).transpose(0, 2, 1, 3)

    @lazy
    def _bends(self) -> tuple[Array, Array]:
        """Return UᵀV⁻¹V_abV⁻¹U and tr(V⁻¹V_ab)."""
        U, count = self.columns, self.parameters.count
        size = U.shape[1]
        bends, traces = np.zeros((count, count, size, size)), np.zeros((count, count))
        if self.parameters.is_linear:
            return bends, traces
        with blas_threads(1):
            for block in self.parameters.blocks():
                sets, m = block.rows.shape
                root = _root(block.V)
                solved = np.linalg.solve(root, U[block.rows].transpose(1, 0, 2).reshape(m, -1))
                white = solved.reshape(m * sets, size)
                for a in range(count):
                    for b in range(a + 1):
                        bent = block.second(a, b)
                        if bent is None:
                            continue
                        turned = np.linalg.solve(root, np.linalg.solve(root, bent).T)
                        part = white.T @ (turned @ solved).reshape(m * sets, size)
                        for i, j in {(a, b), (b, a)}:
                            bends[i, j] += part
                            traces[i, j] += sets * float(np.trace(turned))
        return bends, traces

    @lazy
    def phi(self) -> Array:
        """Φ = (X̃ᵀV⁻¹X̃)⁻¹ in units of y, shape (p, p)."""
        return np.asarray(self.fit.sigma**2 * self.fit.inner_covariance)

    @lazy
    def spreads(self) -> Array:
        """M_a, shape (parameters, p, p)."""
        return self._sums[0][:, :-1, :-1]

    @lazy
    def parameter_covariance(self) -> Array:
        """W: twice the inverse of the observed second derivative; directions without information left out.

        NaN where V is singular to rounding, as in fits whose likelihood has no maximum.
        """
        curvature = self.curvature
        if not np.all(np.isfinite(curvature)):
            return np.full_like(curvature, np.nan)
        size = np.sqrt(np.abs(np.diag(curvature)))
        size[size == 0] = 1.0
        values, vectors = np.linalg.eigh(curvature / np.outer(size, size))
        keep = values > 1e-8
        scaled = vectors[:, keep] / size[:, None]
        return np.asarray(2.0 * (scaled / values[keep]) @ scaled.T)

    @property
    def coefficient_slopes(self) -> Array:
        """∂β̃/∂(variance parameters) = −ΦXᵀV⁻¹V_aV⁻¹e, shape (p, parameters)."""
        return np.asarray(-self.phi @ self._sums[0][:, :-1, -1].T)

    @lazy
    def curvature(self) -> Array:
        """The second derivative of the criterion, shape (parameters, parameters)."""
        single, ends, weighted, traces = self._sums
        bends, bend_traces = self._bends
        phi, M = self.phi, self.spreads
        crossed = single[:, :-1, -1]
        out = 2.0 * (ends - crossed @ phi @ crossed.T) - bends[:, :, -1, -1] - traces + bend_traces
        if self.fit.reml:
            turned = M @ phi
            out += 2.0 * weighted - np.einsum("ast,bts->ab", turned, turned)
            out -= np.einsum("st,abts->ab", phi, bends[:, :, :-1, :-1])
        return np.asarray(0.5 * (out + out.T))

    def bend_weights(self, second_order: bool) -> tuple[Array, Array]:
        """Return weights of V_ab and of V_a whose sum is Σ W_ab ∂²V in SAS's parameters; 0 for the first order."""
        count = self.parameters.count
        if not second_order or is_linear(self.parameters):
            return np.zeros((count, count)), np.zeros(count)
        at, w = len(self.parameters.random), self.parameter_covariance
        pairs = np.zeros_like(w)
        pairs[at:, at:] = w[at:, at:]
        return pairs, natural_bend(self.parameters, w)

    def bent_spread(self, second_order: bool) -> Array:
        """Return XᵀV⁻¹BV⁻¹X with B the sum of `bend_weights`, shape (p, p)."""
        pairs, single = self.bend_weights(second_order)
        if not pairs.any():
            return np.zeros_like(self.phi)
        own = np.einsum("ab,abst->st", pairs, self._bends[0][:, :, :-1, :-1])
        return np.asarray(own + np.einsum("a,ast->st", single, self.spreads))

    def adjusted(self, second_order: bool) -> Array:
        """Return Kenward and Roger's covariance Φ_A of the coefficients in the basis, shape (p, p).

        Φ_A = Φ + 2Φ Σ_ab W_ab (Q_ab − M_aΦM_b − ¼R_ab) Φ in SAS's natural parameters; without R for the first order.
        """
        phi, w, M = self.phi, self.parameter_covariance, self.spreads
        if not np.all(np.isfinite(w)):
            return np.full_like(phi, np.nan)
        middle = np.einsum("ab,abst->st", w, self.pairs) - np.einsum(
            "ab,asr,rt,btu->su", w, M, phi, M, optimize=True
        )
        middle -= 0.25 * self.bent_spread(second_order)
        return np.asarray(phi + 2.0 * phi @ (0.5 * (middle + middle.T)) @ phi)


def _root(V: Array) -> Array:
    """Return the Cholesky factor, NaN where a matrix is singular to rounding: what follows from it is not known."""
    try:
        return np.asarray(np.linalg.cholesky(V))
    except np.linalg.LinAlgError:
        return np.full_like(V, np.nan)
