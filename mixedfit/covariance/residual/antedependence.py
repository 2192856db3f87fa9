"""First-order ante-dependence: visits with a correlation for each pair of neighbours.

C_st = Π φ_r over r = s, …, t − 1: the correlation of visits s and t is the product of those between. With four visits:

    1       φ₁      φ₁φ₂    φ₁φ₂φ₃
    φ₁      1       φ₂      φ₂φ₃
    φ₁φ₂    φ₂      1       φ₃
    φ₁φ₂φ₃  φ₂φ₃    φ₃      1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixedfit.core.arrays import Array

from .correlation import CorrelationStructure
from .neighbours import NeighbourRoot
from .parts import Layout, Natural

__all__ = ["AnteDependence"]


@dataclass(frozen=True)
class AnteDependence(CorrelationStructure):
    """Ante-dependence of order 1: cor(ε_s, ε_t) is the product of the correlations of the neighbouring visits between.

    Parameters
    ----------
    visit : str
        Column of the visits; categories in their order, other values sorted.
    group, by : str, optional
        As of `AR1`.

    Examples
    --------
    >>> print(AnteDependence("visit", "id"))
    AnteDependence(visit='visit', group='id')
    """

    visit: str = ""
    group: str | None = None
    by: str | None = None
    formula: ClassVar[str] = "cor(s, t) = phi_s * ... * phi_(t-1)"
    kind: ClassVar[str] = "visit"

    def law(self, layout: Layout) -> AnteDependenceLaw:
        """Return the correlations on a layout."""
        return AnteDependenceLaw(layout)


class AnteDependenceLaw:
    """φ_r = tanh x_r."""

    further_starts: tuple[Array, ...] = ()

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.count = max(len(layout.labels) - 1, 0)
        self.start = np.full(self.count, 0.25)
        codes = layout.place[:, 0].astype(np.int64)
        self.last = codes
        self.first = np.where(layout.opens, codes, np.concatenate([[0], codes[:-1]]))

    def root(self, x: Array) -> NeighbourRoot:
        """Return the factor at x."""
        phi = np.tanh(x)
        sums = np.concatenate([[0.0], np.cumsum(np.log(np.maximum(np.abs(phi), 1e-300)))])
        signs = np.concatenate([[0], np.cumsum(phi < 0)])
        logs = sums[self.last] - sums[self.first]
        value = np.where((signs[self.last] - signs[self.first]) % 2 == 1, -1.0, 1.0) * np.exp(logs)
        slopes = np.zeros((self.layout.n, self.count))
        for r in range(self.count):
            between = (self.first <= r) & (r < self.last)
            others = np.delete(phi, r)
            if phi[r] != 0.0:
                slopes[between, r] = value[between] / phi[r] * (1.0 - phi[r] ** 2)
                continue
            for i in np.flatnonzero(between):
                own = others[self.first[i] : self.last[i] - 1]
                slopes[i, r] = float(np.prod(own))
        return NeighbourRoot(self.layout, value, -np.expm1(2.0 * logs), slopes)

    def natural(self, x: Array) -> list[Natural]:
        """Return the correlations of neighbours."""
        labels = self.layout.labels
        return [
            Natural(f"cor({labels[r]},{labels[r + 1]})", np.tanh(x[r]), -1.0, 1.0) for r in range(self.count)
        ]

    def matrix(self, x: Array, place: Array) -> Array:
        """Return the products of correlations between."""
        codes, phi = place[:, 0].astype(np.int64), np.tanh(x)
        out = np.ones((codes.size, codes.size), dtype=phi.dtype)
        for a in range(codes.size):
            for b in range(codes.size):
                low, high = sorted((codes[a], codes[b]))
                out[a, b] = np.prod(phi[low:high])
        return out
