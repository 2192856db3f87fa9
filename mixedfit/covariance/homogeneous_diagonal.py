"""Independent effects with one variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .jet import Jet
from .scaled_correlation import ScaledCorrelation

__all__ = ["HomogeneousDiagonal"]


@dataclass(frozen=True)
class HomogeneousDiagonal(ScaledCorrelation):
    """Σ = s² I.

    Parameters
    ----------
    k : int

    Examples
    --------
    >>> HomogeneousDiagonal(2).covariance([3.0])
    array([[9., 0.],
           [0., 9.]])
    """

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "homdiag"

    @property
    def in_words(self) -> str:
        """In words."""
        return "one variance and no correlation"

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return I."""
        return Jet(np.eye(self.k), np.zeros((0, self.k, self.k)), np.zeros((0, 0, self.k, self.k)))

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return nothing: there are no correlations."""
        return []
