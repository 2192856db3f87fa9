"""Compound symmetry: one correlation between all rows of a group.

C = (1 − ρ)I + ρJ; −1/(m − 1) < ρ < 1 with m rows in the largest group. With three rows:

    1  ρ  ρ
    ρ  1  ρ
    ρ  ρ  1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixedfit.core.arrays import Array

from .correlation import CorrelationStructure
from .parts import Layout, Natural

__all__ = ["CompoundSymmetry"]


@dataclass(frozen=True)
class CompoundSymmetry(CorrelationStructure):
    """One correlation between all rows of a group; it may be negative, down to −1/(m − 1) for groups of m rows.

    Parameters
    ----------
    group, by : str, optional
        As of `AR1`.

    Examples
    --------
    >>> print(CompoundSymmetry("Batch"))
    CompoundSymmetry(group='Batch')
    """

    group: str | None = None
    by: str | None = None
    formula: ClassVar[str] = "cor = rho between all rows of a group"
    kind: ClassVar[str] = "none"

    def law(self, layout: Layout) -> CompoundSymmetryLaw:
        """Return the correlations on a layout."""
        return CompoundSymmetryLaw(layout)


class CompoundSymmetryLaw:
    """ρ = l + (1 − l)/(1 + e⁻ˣ), l = −1/(m − 1)."""

    further_starts: tuple[Array, ...] = ()

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.low = -1.0 / max(int(layout.sizes.max(initial=2)) - 1, 1)
        share = (0.2 - self.low) / (1.0 - self.low)
        self.start = np.array([np.log(share / (1.0 - share))])

    def rho(self, x: Array) -> tuple[float, float]:
        """Return ρ and ∂ρ/∂x."""
        share = 1.0 / (1.0 + np.exp(-x[0]))
        return self.low + (1.0 - self.low) * share, (1.0 - self.low) * share * (1.0 - share)

    def root(self, x: Array) -> CompoundSymmetryRoot:
        """Return the factor at x."""
        return CompoundSymmetryRoot(self.layout, *self.rho(x))

    def natural(self, x: Array) -> list[Natural]:
        """Return ρ."""
        return [Natural("rho", self.rho(x)[0], self.low, 1.0)]

    def matrix(self, x: Array, place: Array) -> Array:
        """Return (1 − ρ)I + ρJ."""
        rho, m = self.rho(x)[0], len(place)
        return (1.0 - rho) * np.eye(m) + rho * np.ones((m, m))


class CompoundSymmetryRoot:
    """The symmetric root: C^p = a I + b J with a = (1 − ρ)^p and a + m b = (1 + (m − 1)ρ)^p."""

    def __init__(self, layout: Layout, rho: float, slope: float) -> None:
        self.layout = layout
        self.own = 1.0 - rho
        self.all = 1.0 + (layout.sizes - 1) * rho
        if not (self.own > 1e-14 and np.all(self.all > 1e-14)):
            raise FloatingPointError("the correlation of compound symmetry is at its limit")
        self.rho_slope = slope
        self.logdet = float(np.sum((layout.sizes - 1) * np.log(self.own) + np.log(self.all)))

    def _sums(self, rows: Array) -> Array:
        return np.asarray(np.add.reduceat(rows, self.layout.start[:-1], axis=0))

    def _power(self, rows: Array, power: float) -> Array:
        a, sizes = self.own**power, self.layout.sizes
        b = (self.all**power - a) / sizes
        return np.asarray(a * rows + np.repeat(b[:, None] * self._sums(rows), sizes, axis=0))

    def whiten(self, rows: Array) -> Array:
        """Return C^(−1/2) rows."""
        return self._power(rows, -0.5)

    back = whiten

    def colour(self, rows: Array) -> Array:
        """Return C^(1/2) rows."""
        return self._power(rows, 0.5)

    def slope(self, white: Array, rows: Array) -> Array:
        """Return ∂(log|C| + Σ|C^(−1/2) rows|²)/∂x, from the sums of squares within groups and of group sums."""
        sizes = self.layout.sizes
        sums = np.einsum("ij,ij->i", *(2 * [self._sums(rows)])) / sizes
        total = np.add.reduceat(np.einsum("ij,ij->i", rows, rows), self.layout.start[:-1])
        within = float(np.sum(total - sums))
        change = within / self.own**2 - float(np.sum(sums * (sizes - 1) / self.all**2))
        change += float(np.sum((sizes - 1) / self.all) - np.sum(sizes - 1) / self.own)
        return np.array([change * self.rho_slope])

    def information(self) -> Array:
        """Return tr(C⁻¹C_ρ C⁻¹C_ρ) from the eigenvalues 1 − ρ and 1 + (m − 1)ρ of each group."""
        others = self.layout.sizes - 1
        total = float(np.sum(others / self.own**2 + (others / self.all) ** 2))
        return np.array([[total * self.rho_slope**2]])

    def own_slopes(self) -> Array:
        """Return the diagonal of C⁻¹C_ρ, the same for all rows of a group."""
        sizes = self.layout.sizes
        own = (sizes - 1) / sizes * (1.0 / self.all - 1.0 / self.own)
        return np.asarray(np.repeat(own * self.rho_slope, sizes)[:, None])

    def by_elements(self, rows: Array) -> Array:
        """Return (C ∘ C⁻¹) rows; C⁻¹ = I/(1 − ρ) + bJ."""
        sizes, rho = self.layout.sizes, 1.0 - self.own
        b = np.repeat((1.0 / self.all - 1.0 / self.own) / sizes, sizes)[:, None]
        sums = np.repeat(self._sums(rows), sizes, axis=0)
        return np.asarray((1.0 / self.own + b * self.own) * rows + rho * b * sums)
