"""Row-wise quantities of fits with a residual structure, by dense algebra within independent blocks of rows.

In units where σ = 1, with R the residual covariance, V = R + ZΛΛᵀZᵀ and P = V⁻¹ − V⁻¹XΦXᵀV⁻¹, Φ = (XᵀV⁻¹X)⁻¹:

* the hat matrix of ŷ = Xβ̂ + Zb̂ is I − RP, and Var(y − ŷ) = σ²RPR;
* the hat matrix of Xβ̂ is XΦXᵀV⁻¹;
* without a set K of rows the mixed-model equations change as if K had columns of its own, with coefficients
  P_KK⁻¹(Py)_K: β̂ − β̂₍K₎ = ΦXᵀV⁻¹E_K P_KK⁻¹ (Py)_K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import blas_threads, inverse
from mixedfit.estimation.fit import Fit
from mixedfit.inference.structured.blocks import VarianceParameters

__all__ = ["StructuredRows"]

LARGEST = 3e8
"""Numbers in V⁻¹ of all independent blocks together, up to which they are held."""


@dataclass(frozen=True, eq=False)
class StructuredRows:
    """Leverages and related row-wise quantities; has the members of `RowLeverages` that other files use.

    Parameters
    ----------
    fit : Fit
        With a residual structure.
    """

    fit: Fit

    @lazy
    def _parameters(self) -> VarianceParameters:
        return VarianceParameters(self.fit)

    @lazy
    def counted(self) -> BoolArray:
        """Whether a row has a positive weight: all have, shape (n,)."""
        return np.ones(self.fit.design.n, dtype=bool)

    @lazy
    def variance_ratio(self) -> Array:
        """Var(ε_i)/σ², shape (n,)."""
        return np.asarray(self._parameters.sd**2)

    @lazy
    def marginal_variance(self) -> Array:
        """V_ii, shape (n,)."""
        out = self.variance_ratio.copy()
        for block, lam in zip(self.fit.design.blocks, self.fit.lam, strict=True):
            spread = block.z @ lam
            own = 1.0 if block.known is None else block.known.diagonal[block.codes]
            out += own * np.einsum("ik,ik->i", spread, spread)
        return out

    @lazy
    def X(self) -> Array:  # noqa: N802
        """X in the basis of the cross-products, shape (n, p)."""
        fixed = self.fit.cross.fixed
        return np.asarray(self.fit.design.X[:, fixed.kept] @ fixed.transform)

    @lazy
    def phi(self) -> Array:
        """Φ, shape (p, p)."""
        return self.fit.inner_covariance

    @lazy
    def inverses(self) -> list[Array]:
        """V⁻¹ of every independent block, shape (m, m) each.

        Raises
        ------
        ModelError
            If the blocks are too large.
        """
        sizes = np.array([rows.size for rows in self._parameters.components], dtype=float)
        if float((sizes**2).sum()) > LARGEST:
            raise ModelError(
                "leverages, influence and studentized residuals with a residual structure need dense matrices of "
                f"independent groups of rows, too large here: {int(sizes.max())} rows depend on each other. Look at "
                "fit.normalised_resid, which is made independent by the structure."
            )
        with blas_threads(1):
            return [
                inverse(self._parameters.covariance(rows) / self.fit.sigma**2)
                for rows in self._parameters.components
            ]

    @lazy
    def _place(self) -> tuple[IntArray, IntArray]:
        """Block of each row, and its position in it."""
        component = np.empty(self.fit.design.n, np.int64)
        position = np.empty(self.fit.design.n, np.int64)
        for number, rows in enumerate(self._parameters.components):
            component[rows], position[rows] = number, np.arange(rows.size)
        return component, position

    @lazy
    def solved(self) -> Array:
        """V⁻¹[X e] with e = y − Xβ̂, shape (n, p + 1); its last column is Py."""
        columns = np.column_stack([self.X, self.fit.response - self.fit.fixed_part])
        out = np.empty_like(columns)
        for rows, own in zip(self._parameters.components, self.inverses, strict=True):
            out[rows] = own @ columns[rows]
        return out

    @lazy
    def _diagonals(self) -> Array:
        """Diagonals of P, R⁻¹, RP and RPR, shape (n, 4)."""
        parameters, out = self._parameters, np.empty((self.fit.design.n, 4))
        x, model = parameters.x, parameters.model
        for rows, own in zip(parameters.components, self.inverses, strict=True):
            s = parameters.sd[rows]
            R = np.outer(s, s) * parameters.correlation(rows, x[model.slices[0]])
            side = self.solved[rows, :-1]
            P = own - side @ self.phi @ side.T
            out[rows, 0], out[rows, 1] = np.diag(P), np.diag(np.linalg.inv(R))
            RP = R @ P
            out[rows, 2], out[rows, 3] = np.diag(RP), np.einsum("ij,ji->i", RP, R)
        return out

    @lazy
    def leverage(self) -> Array:
        """Diagonal of the hat matrix of Xβ̂ + Zb̂, shape (n,)."""
        return np.asarray(1.0 - self._diagonals[:, 2])

    @lazy
    def fixed_leverage(self) -> Array:
        """Diagonal of the hat matrix of Xβ̂, shape (n,)."""
        return np.asarray(np.einsum("ip,pq,iq->i", self.X, self.phi, self.solved[:, :-1]))

    @lazy
    def mean_uncertainty(self) -> Array:
        """Var(x_iβ̂)/σ², shape (n,)."""
        return np.asarray(np.einsum("ip,pq,iq->i", self.X, self.phi, self.X))

    @lazy
    def residual_variance(self) -> Array:
        """Var(y_i − ŷ_i)/σ², shape (n,)."""
        return np.asarray(self._diagonals[:, 3])

    @lazy
    def cooks_distance(self) -> Array:
        """Change of (β̂, b̂) without each row, in the metric of the mixed-model equations, over pσ², shape (n,)."""
        P, R, p = self._diagonals[:, 0], self._diagonals[:, 1], self.fit.cross.p_total
        own = self.solved[:, -1] / P
        return np.asarray(own**2 * (R - P) / (p * self.fit.sigma**2)) if p else np.full(P.size, np.nan)

    def without(self, rows: IntArray) -> tuple[Array, Array]:
        """Return β̃ − β̃₍K₎ in units of y and X̃ᵀV₍K₎⁻¹X̃ without some rows, shapes (p,) and (p, p).

        Raises
        ------
        LinAlgError
            If the other rows do not determine β.
        """
        component, position = self._place
        order = np.argsort(component[rows], kind="stable")
        rows = rows[order]
        parts = []
        for number in np.unique(component[rows]):
            at = position[rows[component[rows] == number]]
            parts.append(self.inverses[number][np.ix_(at, at)])
        own, side = block_diag(*parts), self.solved[rows, :-1]
        change = self.phi @ (side.T @ np.linalg.solve(own - side @ self.phi @ side.T, self.solved[rows, -1]))
        return change, np.linalg.inv(self.phi) - side.T @ np.linalg.solve(own, side)
