"""A first factor with many effects, of which each level has few, and no further factors.

An effect that no row of level j has, such as that of a time of other levels, is 0 in Z_j. With s the effects that the
level has, all that the likelihood needs of it follows from A = Z_jᵀZ_j and Ω/σ² on s: the cost is m³ with m effects in
s, not k³. Notation and sums are those of `kernels.first_factor`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse, symmetric
from mixedfit.crossproducts.crossprod import CrossProducts

from .first_sums import FirstSums

__all__ = ["LevelClass", "level_classes"]

FEW = 12
"""Number of effects up to which the compiled loop over all effects is taken."""

SHARE = 0.3
"""Share of the k³ of all levels above which it is taken as well."""


def level_classes(cross: CrossProducts) -> list[LevelClass]:
    """Return the levels of the first factor by their number of effects; none if the loop over all effects is better."""
    levels, k = cross.first.gram.shape[:2]
    if k <= FEW or cross.tail:
        return []
    present = np.diagonal(cross.first.gram, axis1=1, axis2=2) != 0.0
    counts = present.sum(axis=1)
    if float((counts.astype(float) ** 3).sum()) > SHARE * levels * float(k) ** 3:
        return []
    classes = []
    for m in np.unique(counts[counts > 0]):
        own = np.flatnonzero(counts == m)
        classes.append(LevelClass(cross, own, np.nonzero(present[own])[1].reshape(own.size, int(m))))
    return classes


@dataclass(frozen=True, eq=False)
class LevelClass:
    """Levels that have the same number of effects.

    Attributes
    ----------
    cross : CrossProducts
    levels : ndarray of int64, shape (L,)
    effects : ndarray of int64, shape (L, m)
        s of each level, ascending.
    """

    cross: CrossProducts
    levels: IntArray
    effects: IntArray

    def _on(self, matrices: Array) -> Array:
        """Return (…, k, k) matrices on the effects of every level, shape (…, L, m, m)."""
        s = self.effects
        return np.asarray(matrices[..., s[:, :, None], s[:, None, :]])

    def add(self, total: Array, parts: Array) -> None:
        """Add matrices of the levels, shape (L, m, m), to one of all effects, shape (k, k)."""
        s = self.effects
        np.add.at(total, (s[:, :, None], s[:, None, :]), parts)

    def _products(self) -> tuple[Array, Array]:
        """Return A, shape (L, m, m), and Z_jᵀ[X y], shape (L, m, p + 1)."""
        first, s, at = self.cross.first, self.effects, self.levels[:, None]
        return first.gram[at[:, :, None], s[:, :, None], s[:, None, :]], first.border[at, s]

    def _factored(self, omega: Array, gram: Array) -> tuple[Array, float]:
        """Return λP⁻¹λᵀ of every level, shape (L, m, m), and Σ log det P; NaN where P is not positive definite."""
        lam = _roots(self._on(omega))
        turned = lam.transpose(0, 2, 1)
        try:
            chol = np.linalg.cholesky(np.eye(lam.shape[1]) + turned @ gram @ lam)
        except np.linalg.LinAlgError:
            return np.full(lam.shape, np.nan), float("nan")
        half = inverse(chol) @ turned
        logdet = 2.0 * float(np.log(np.diagonal(chol, axis1=1, axis2=2)).sum())
        return half.transpose(0, 2, 1) @ half, logdet

    def projected(self, omega: Array) -> tuple[Array, Array]:
        """Return W = Z_jᵀV⁻¹Z_j, shape (L, m, m), and F = Z_jᵀV⁻¹[X y], shape (L, m, p + 1)."""
        gram, border = self._products()
        inner, _ = self._factored(omega, gram)
        shrink = np.eye(gram.shape[1]) - gram @ inner
        return shrink @ gram, shrink @ border

    def conditional(self, omega: Array) -> Array:
        """Return λP⁻¹λᵀ over all effects, Ω − Ω_s W Ω_sᵀ, shape (L, k, k)."""
        within, _ = self.projected(omega)
        side = omega[:, self.effects].transpose(1, 0, 2)
        return np.asarray(omega - side @ within @ side.transpose(0, 2, 1))

    def eliminate(self, omega: Array, tail: Array) -> float:
        """Subtract CᵀλP⁻¹λᵀC of these levels from the lower triangle of `tail`; return Σ log det P.

        Parameters
        ----------
        omega : ndarray, shape (k, k)
            λλᵀ.
        tail : ndarray, shape (p + 1, p + 1)
        """
        gram, border = self._products()
        inner, logdet = self._factored(omega, gram)
        turned = (inner @ border).reshape(-1, border.shape[2])
        tail -= np.tril(border.reshape(turned.shape).T @ turned)
        return logdet

    def derive(
        self,
        omega: Array,
        scaled_inverse: Array,
        solution: Array,
        directions: Array,
        covariance: Array | None,
        out: FirstSums,
    ) -> None:
        """Add the sums over these levels to `out`; `sums[0]` is left to the caller. Arguments: see `derive_first`."""
        within, F = self.projected(omega)
        slopes = F[:, :, :-1]
        used = slopes[:, :, : scaled_inverse.shape[0]]
        middle = symmetric(scaled_inverse[: used.shape[2], : used.shape[2]])
        scores = F[:, :, -1] - slopes @ solution
        out.scores[self.levels[:, None], self.effects] = scores
        self.add(out.sums[1], used @ middle @ used.transpose(0, 2, 1))
        self.add(out.sums[2], within)
        own = self._on(directions)
        variates = own @ scores[:, :, None]
        count = len(directions)
        flat, turned = variates.reshape(count, -1), (within @ variates).reshape(count, -1)
        out.products[...] += flat @ turned.T
        out.crossed[...] += flat @ slopes.reshape(flat.shape[1], -1)
        if covariance is not None:
            own_slopes = slopes[:, :, : len(covariance)]
            reduced = within - 2.0 * own_slopes @ covariance @ own_slopes.transpose(0, 2, 1)
            left, right = own @ within, (own @ reduced).transpose(0, 1, 3, 2)
            out.traces[...] += left.reshape(count, -1) @ right.reshape(count, -1).T
            out.spreads[...] += np.einsum("jar,djab,jbs->drs", own_slopes, own, own_slopes, optimize=True)


def _roots(matrices: Array) -> Array:
    """Return roots of positive semi-definite matrices, shape (L, m, m)."""
    try:
        return np.asarray(np.linalg.cholesky(matrices))
    except np.linalg.LinAlgError:
        if not np.all(np.isfinite(matrices)):
            return np.full(matrices.shape, np.nan)
        values, vectors = np.linalg.eigh(matrices)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])
