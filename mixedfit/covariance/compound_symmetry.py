"""Compound symmetry: one correlation between all pairs of effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array

from .jet import Jet
from .scaled_correlation import Natural, ScaledCorrelation, angle, interval, near_angles

__all__ = ["CompoundSymmetry"]


@dataclass(frozen=True)
class CompoundSymmetry(ScaledCorrelation):
    """Σ_ij = s_i s_j ρ for i ≠ j, Σ_ii = s_i², with −1/(k − 1) ≤ ρ ≤ 1.

    ``cs`` has a standard deviation for each effect, ``homcs`` one for all.

    Parameters
    ----------
    k : int
    homogeneous : bool

    Examples
    --------
    >>> structure = CompoundSymmetry(2)
    >>> structure.covariance(structure.theta_of([2.0, 2.0], structure.parameters(0.5)))
    array([[4., 2.],
           [2., 4.]])
    """

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "homcs" if self.homogeneous else "cs"

    @property
    def in_words(self) -> str:
        """In words."""
        return self._variances + "the same correlation between any two (compound symmetry)"

    @property
    def lowest(self) -> float:
        """The least ρ at which the matrix is positive semi-definite."""
        return -1.0 / (self.k - 1)

    @property
    def shown(self) -> tuple[Natural, ...]:
        """ρ."""
        return (Natural("correlation", self.name, f"correlation ({self.name})", self.lowest, 1.0),)

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of a correlation."""
        return [angle(natural[0], self.lowest, 1.0)]

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return C, shape (k, k)."""
        return interval(theta[0], self.lowest, 1.0) * (1.0 - np.eye(self.k)) + np.eye(self.k)

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return ρ."""
        return [interval(theta[0], self.lowest, 1.0)]

    def correlation_starts(self) -> list[list[float]]:
        """Return starts with ρ = 0.3, 0.8 and half of the least."""
        return [self.parameters(rho) for rho in (0.3, 0.8, 0.5 * self.lowest)]

    def correlation_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield ρ = 1 and the least ρ where they are near."""
        return near_angles(theta, f"correlation at its least value {self.lowest:.3g}", "correlation 1")
