"""Correlations with the Markov property: the correlation of two rows is the product of those of neighbours between.

With φ_t the correlation of row t with the row before it in its group, L⁻¹x is (x_t − φ_t x_{t−1})/√(1 − φ_t²) and
log|C| = Σ log(1 − φ_t²): cost linear in rows.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy

from .parts import Layout

__all__ = ["NeighbourRoot"]


class NeighbourRoot:
    """C from the correlations of neighbours.

    Parameters
    ----------
    layout : Layout
    phi : ndarray, shape (n,)
        Correlation of each sorted row with the one before; 0 for the first of a group.
    rest : ndarray, shape (n,)
        1 − φ², computed without cancellation.
    slopes : ndarray, shape (n, parameters)
        ∂φ/∂x.
    """

    def __init__(self, layout: Layout, phi: Array, rest: Array, slopes: Array) -> None:
        self.layout = layout
        self.phi = np.where(layout.opens, 0.0, phi)
        self.rest = np.where(layout.opens, 1.0, rest)
        self.slopes = np.where(layout.opens[:, None], 0.0, slopes)
        if not np.all(self.rest > 1e-14):
            raise FloatingPointError("neighbouring residuals have a correlation of 1")
        self.root = np.sqrt(self.rest)
        self.counts = np.ones(self.rest.size) if layout.counts is None else layout.counts

    @lazy
    def logdet(self) -> float:
        """log|C| of all groups."""
        return float(np.log(self.rest) @ self.counts)

    def whiten(self, rows: Array) -> Array:
        """Return L⁻¹ rows."""
        out = np.array(rows)
        out[1:] -= self.phi[1:, None] * rows[:-1]
        out /= self.root[:, None]
        if self.layout.counts is not None:
            out[self.counts == 0.0] = 0.0
        return out

    def back(self, rows: Array) -> Array:
        """Return L⁻ᵀ rows."""
        out = rows / self.root[:, None]
        out[:-1] -= (self.phi[1:] / self.root[1:])[:, None] * rows[1:]
        return out

    def colour(self, rows: Array) -> Array:
        """Return L rows, by the recursion x_t = φ_t x_{t−1} + √(1 − φ_t²) w_t over places."""
        out = self.root[:, None] * rows
        start, sizes = self.layout.start[:-1], self.layout.sizes
        for t in range(1, int(sizes.max(initial=1))):
            at = start[sizes > t] + t
            out[at] += self.phi[at, None] * out[at - 1]
        return out

    def slope(self, white: Array, rows: Array) -> Array:
        """Return ∂(log|C| + Σ|L⁻¹ rows|²)/∂x."""
        own = np.einsum("ij,ij->i", white, white)
        crossed = np.zeros(own.size)
        crossed[1:] = np.einsum("ij,ij->i", white[1:], rows[:-1])
        along = 2.0 * (self.phi / self.rest * (own - self.counts) - crossed / self.root)
        return np.asarray(along @ self.slopes)

    def information(self) -> Array:
        """Return tr(C⁻¹C_a C⁻¹C_b): a row has 2(1 + φ²)/(1 − φ²)² for its φ."""
        weights = 2.0 * (1.0 + self.phi**2) / self.rest**2
        return np.asarray(self.slopes.T @ (weights[:, None] * self.slopes))

    def own_slopes(self) -> Array:
        """Return the diagonals of C⁻¹C_a."""
        own = -(self.phi / self.rest)[:, None] * self.slopes
        out = own.copy()
        out[:-1] += own[1:]
        return out

    def precision_diagonal(self) -> Array:
        """Return the diagonal of C⁻¹, shape (n,)."""
        out = 1.0 / self.rest
        out[:-1] += (self.phi**2 / self.rest)[1:]
        return np.asarray(out)

    def by_elements(self, rows: Array) -> Array:
        """Return (C ∘ C⁻¹) rows; C⁻¹ has three diagonals."""
        beside = self.phi**2 / self.rest
        out = self.precision_diagonal()[:, None] * rows
        out[1:] -= beside[1:, None] * rows[:-1]
        out[:-1] -= beside[1:, None] * rows[1:]
        return out
