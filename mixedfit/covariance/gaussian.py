"""Gaussian spatial correlation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mixedfit.core.arrays import Array

from .jet import Jet, exponential
from .scaled_correlation import Natural
from .spatial import Spatial

__all__ = ["Gaussian"]


@dataclass(frozen=True)
class Gaussian(Spatial):
    """Σ_ij = s² exp(−(d_ij/r)²) with range r, d the Euclidean distance of two points.

    The parameter of the search is 1/r, of either sign.

    Parameters
    ----------
    k : int
    homogeneous : bool
    points : tuple of tuple of float
        Coordinates of the k points.

    Examples
    --------
    >>> structure = Gaussian(2, points=((0.0, 0.0), (3.0, 4.0)))
    >>> round(float(structure.covariance([1.0, 2.0])[0, 1]), 6)
    0.018316
    """

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "gau"

    @property
    def in_words(self) -> str:
        """In words."""
        return "one variance and correlations that decay with the square of the distance (Gaussian)"

    @property
    def shown(self) -> tuple[Natural, ...]:
        """r."""
        return (Natural("range", self.name, f"range of the correlation ({self.name})", 0.0, float("inf")),)

    def relative_range(self, theta: Array) -> float:
        """Return the range of parameters of C, in units of `unit`."""
        return 1.0 / max(abs(float(theta[0])), 1e-300)

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return C, shape (k, k)."""
        return exponential(theta[0] * theta[0] * -(self.distances**2))

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return r."""
        inverse = theta[0] if theta[0].value >= 0 else -theta[0]
        return [self.unit / inverse]

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of r."""
        return [self.unit / natural[0]]

    def correlation_starts(self) -> list[list[float]]:
        """Return starts with ranges of a median distance, a third and a tenth of it, and three times it."""
        return [[1.0], [3.0], [10.0], [1.0 / 3.0]]

    def correlation_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield an infinite range where it is near."""
        return self.range_limits(theta)
