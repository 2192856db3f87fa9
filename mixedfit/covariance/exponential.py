"""Exponential spatial correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .jet import Jet
from .ornstein_uhlenbeck import OrnsteinUhlenbeck
from .scaled_correlation import Natural

__all__ = ["Exponential"]


@dataclass(frozen=True)
class Exponential(OrnsteinUhlenbeck):
    """Σ_ij = s² exp(−d_ij/r) with range r, d the Euclidean distance of two points.

    Parameters
    ----------
    k : int
    homogeneous : bool
    points : tuple of tuple of float
        Coordinates of the k points.

    Examples
    --------
    >>> structure = Exponential(2, points=((0.0, 0.0), (3.0, 4.0)))
    >>> structure.natural([1.0, 1.0])[0]
    array([1., 5.])
    """

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "exp"

    @property
    def in_words(self) -> str:
        """In words."""
        return "one variance and correlations that decay exponentially with distance"

    @property
    def shown(self) -> tuple[Natural, ...]:
        """r."""
        return (Natural("range", self.name, f"range of the correlation ({self.name})", 0.0, float("inf")),)

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return r."""
        return [self.unit / (theta[0] * theta[0])]

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of r."""
        return [float(np.sqrt(self.unit / natural[0]))]
