"""Base of structures whose correlations depend on the distance of two points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy

from .scaled_correlation import ScaledCorrelation

__all__ = ["Spatial"]

SMALL_DECAY = 1e-3
"""Root of the decay over that of the largest distance, below which a decay of 0 is tried."""

RUNAWAY = 20.0
"""Range over the largest distance, beyond which range and variance run away together."""


@dataclass(frozen=True)
class Spatial(ScaledCorrelation):
    """Σ_ij = s² c(d_ij) of points with distances d. The search takes distances over their median.

    Parameters
    ----------
    k : int
    homogeneous : bool
    points : tuple of tuple of float
        Coordinates of the k points.
    """

    points: tuple[tuple[float, ...], ...] = ()

    @lazy
    def distances(self) -> Array:
        """Euclidean distances, in units of `unit`, shape (k, k)."""
        return self._raw / self.unit

    @lazy
    def _raw(self) -> Array:
        at = np.asarray(self.points, dtype=float)
        return np.asarray(np.sqrt(np.sum((at[:, None] - at[None]) ** 2, axis=2)))

    @lazy
    def unit(self) -> float:
        """Median distance of two points."""
        return float(np.median(self._raw[np.tril_indices(self.k, -1)]))

    def relative_range(self, theta: Array) -> float:
        """Return the range of parameters of C, in units of `unit`."""
        raise NotImplementedError

    def boundary_words(self, theta: Array) -> str:
        """Return what is on the boundary in words, a range far beyond all distances included."""
        words = super().boundary_words(theta)
        away = self.relative_range(np.asarray(theta)[self.n_sd :]) > RUNAWAY * float(self.distances.max())
        return words or (
            "the range is far beyond the largest distance, only its ratio to the variance is determined"
            if away
            else ""
        )

    def principal_correlation(self, theta: Array) -> Array:
        """Return the parameters of C in their main range."""
        return np.abs(theta)

    def range_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield a decay of 0 where the first parameter, its root, is small."""
        if abs(theta[0]) <= SMALL_DECAY / np.sqrt(max(float(self.distances.max()), 1.0)):
            yield 0, 0.0, "correlation 1 at all distances: the range is infinite"
