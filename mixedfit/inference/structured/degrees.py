"""Degrees of freedom and covariance of fixed effects for fits with a residual structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import row_basis
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.structures import has_structures
from mixedfit.inference.kenward_roger import KenwardRoger, f_scale
from mixedfit.inference.satterthwaite import AS_GOOD_AS_NORMAL, combined_df

from .information import StructuredInformation

__all__ = ["StructuredDegrees"]


@dataclass(frozen=True, eq=False)
class StructuredDegrees:
    """Covariance of the fixed effects and degrees of freedom of their tests, residual parameters included.

    Satterthwaite's method with the observed information, as SAS and mmrm; Kenward and Roger's in SAS's convention:
    natural parameters, observed information, and by default second derivatives of V, but for laws of distance or
    continuous time, of which SAS takes none, and models with structures such as ``ar1`` of random effects.

    Parameters
    ----------
    fit : Fit
    method : str or KenwardRoger
    """

    fit: Fit
    method: Any

    @property
    def name(self) -> str:
        """Name of the method, as tables print it."""
        if isinstance(self.method, KenwardRoger):
            order = "second" if self.second_order else "first"
            return f"Kenward-Roger (SAS's: observed information, natural parameters, {order} order)"
        words = {"satterthwaite": "Satterthwaite (observed information)", "residual": "residual"}
        return words.get(self.method, "normal")

    @property
    def second_order(self) -> bool:
        """Whether second derivatives of V enter: not beside structures such as ``ar1`` of effects; SAS has none of its
        spatial laws."""
        assert self.fit.residual is not None
        if has_structures(self.fit.design):
            return False
        own = self.fit.residual.model.structure.correlation
        spatial = own is not None and own.kind in ("time", "coordinates")
        return isinstance(self.method, KenwardRoger) and self.method.order == 2 and not spatial

    @lazy
    def information(self) -> StructuredInformation:
        """The sums over independent blocks of rows."""
        return StructuredInformation(self.fit)

    @lazy
    def inner(self) -> Array:
        """Covariance of the coefficients in the basis of the cross-products, in units of y, shape (p, p)."""
        if isinstance(self.method, KenwardRoger):
            return self.information.adjusted(self.second_order)
        return np.asarray(self.fit.sigma**2 * self.fit.inner_covariance)

    @lazy
    def covariance(self) -> Array:
        """Covariance of all fixed effects, NaN for dropped columns, shape (p, p)."""
        if not isinstance(self.method, KenwardRoger):
            return self.fit.beta_covariance
        out = np.full_like(self.fit.beta_covariance, np.nan)
        kept, T = self.fit.cross.fixed.kept, self.fit.cross.fixed.transform
        out[np.ix_(kept, kept)] = T @ self.inner @ T.T
        return out

    def covariance_of(self, contrasts: Array) -> Array:
        """Return the covariance of contrasts of the estimated coefficients, L Var(β̂) Lᵀ, shape (q, q)."""
        return self.inner_covariance_of(self.fit.inner_contrasts(contrasts))

    def inner_covariance_of(self, inner: Array) -> Array:
        """Return `covariance_of` contrasts that `Fit.inner_contrasts` returned."""
        return np.asarray(inner @ self.inner @ inner.T)

    def _rows(self, contrasts: Array) -> Array | None:
        """Return contrasts in the basis, or None if a dropped column has a nonzero weight."""
        rest = np.delete(contrasts, self.fit.cross.fixed.kept, axis=1)
        return None if np.any(rest != 0) else self.fit.inner_contrasts(contrasts)

    def df(self, contrast: Array) -> float:
        """Return the degrees of freedom of the t test of one contrast, shape (p,); infinite for ``"normal"``."""
        if self.method == "normal":
            return float("inf")
        if self.method == "residual":
            return float(self.fit.cross.n - self.fit.cross.p_total)
        rows = self._rows(contrast[None])
        return float("nan") if rows is None else self._satterthwaite(rows[0])

    def _satterthwaite(self, row: Array) -> float:
        """Return 2v²/gᵀWg for v = ℓΦℓᵀ and its gradient g in the variance parameters."""
        own = self.information
        turned = own.phi @ row
        v = float(row @ turned)
        if v <= 0 or not np.all(np.isfinite(own.parameter_covariance)):
            return float("nan")
        gradient = np.einsum("s,ast,t->a", turned, own.spreads, turned)
        spread = float(gradient @ own.parameter_covariance @ gradient)
        return 2.0 * v * v / spread if spread > 2.0 * v * v / AS_GOOD_AS_NORMAL else float("inf")

    def f_df(self, contrasts: Array) -> tuple[float, float]:
        """Return the denominator degrees of freedom and the scale factor of F, for (q, p) contrasts of full rank."""
        if self.method in ("normal", "residual"):
            return self.df(contrasts[0]), 1.0
        rows = self._rows(contrasts)
        if rows is None:
            return float("nan"), 1.0
        own = self.information
        if not np.all(np.isfinite(own.parameter_covariance)):
            return float("nan"), 1.0
        if isinstance(self.method, KenwardRoger):
            return f_scale(row_basis(rows), own.phi, own.spreads, own.parameter_covariance)
        values, vectors = np.linalg.eigh(rows @ own.phi @ rows.T)
        keep = values > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)
        dfs = np.array([self._satterthwaite(row) for row in vectors[:, keep].T @ rows])
        return combined_df(dfs), 1.0
