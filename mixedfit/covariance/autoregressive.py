"""Autoregressive effects of order 1, at times on a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array

from .jet import Jet, sine
from .scaled_correlation import Natural, ScaledCorrelation, angle, near_angles

__all__ = ["Autoregressive"]


@dataclass(frozen=True)
class Autoregressive(ScaledCorrelation):
    """Σ_ij = s_i s_j ρ^|t_i − t_j|, −1 ≤ ρ ≤ 1, with integer times t.

    ``ar1`` has one standard deviation, ``hetar1`` one for each time.

    Parameters
    ----------
    k : int
    homogeneous : bool
    steps : tuple of int, length k
        t: times in units of the step of the grid.

    Examples
    --------
    >>> structure = Autoregressive(3, steps=(0, 1, 3))
    >>> structure.covariance(structure.theta_of([1.0] * 3, structure.parameters(0.5)))
    array([[1.   , 0.5  , 0.125],
           [0.5  , 1.   , 0.25 ],
           [0.125, 0.25 , 1.   ]])
    """

    steps: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "ar1" if self.homogeneous else "hetar1"

    @property
    def in_words(self) -> str:
        """In words."""
        return self._variances + "correlations that are powers of the lag (autoregression of order 1)"

    @property
    def shown(self) -> tuple[Natural, ...]:
        """ρ."""
        return (Natural("correlation", self.name, f"correlation at lag 1 ({self.name})", -1.0, 1.0),)

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of a correlation at lag 1."""
        return [angle(natural[0], -1.0, 1.0)]

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return C, shape (k, k)."""
        t = np.asarray(self.steps)
        return sine(theta[0]).power(np.abs(t[:, None] - t))

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return ρ."""
        return [sine(theta[0])]

    def correlation_starts(self) -> list[list[float]]:
        """Return starts with ρ = 0.5, 0.9 and −0.3."""
        return [self.parameters(rho) for rho in (0.5, 0.9, -0.3)]

    def correlation_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield ρ = ±1 where they are near."""
        return near_angles(theta, "correlation −1", "correlation 1: the effects are the same at all times")
