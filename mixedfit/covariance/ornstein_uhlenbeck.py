"""Ornstein–Uhlenbeck effects: autoregression of order 1 in continuous time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array

from .jet import Jet, exponential
from .scaled_correlation import Natural
from .spatial import Spatial

__all__ = ["OrnsteinUhlenbeck"]


@dataclass(frozen=True)
class OrnsteinUhlenbeck(Spatial):
    """Σ_ij = s² exp(−κ |t_i − t_j|), κ ≥ 0, at any times t.

    e^{−κ} is the correlation at distance 1. The parameter of the search is √κ, of either sign, so that κ = 0 is a
    stationary point inside its space.

    Parameters
    ----------
    k : int
    homogeneous : bool
    points : tuple of tuple of float
        (t,) of each of the k times.

    Examples
    --------
    >>> structure = OrnsteinUhlenbeck(2, points=((0.0,), (2.0,)))
    >>> round(float(structure.covariance([1.0, 1.0])[0, 1]), 6)  # the search's unit is the median distance
    0.367879
    """

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "ou"

    @property
    def in_words(self) -> str:
        """In words."""
        return "one variance and correlations that decay exponentially with the time between (Ornstein–Uhlenbeck)"

    @property
    def shown(self) -> tuple[Natural, ...]:
        """κ."""
        return (Natural("decay", self.name, f"decay of the correlation ({self.name})", 0.0, float("inf")),)

    def relative_range(self, theta: Array) -> float:
        """Return the range of parameters of C, in units of `unit`."""
        return 1.0 / max(float(theta[0]) ** 2, 1e-300)

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return C, shape (k, k)."""
        return exponential(theta[0] * theta[0] * -self.distances)

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return κ."""
        return [theta[0] * theta[0] / self.unit]

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of κ."""
        return [float(np.sqrt(natural[0] * self.unit))]

    def correlation_starts(self) -> list[list[float]]:
        """Return starts with ranges of the median distance, a tenth of it and ten times it."""
        return [[1.0], [10.0**-0.5], [10.0**0.5]]

    def correlation_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield κ = 0 where it is near."""
        return self.range_limits(theta)
