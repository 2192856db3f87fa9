"""Toeplitz correlations: one for each lag between equally spaced times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array

from .jet import Jet, sine
from .scaled_correlation import Natural, ScaledCorrelation, near_angles

__all__ = ["Toeplitz"]


@dataclass(frozen=True)
class Toeplitz(ScaledCorrelation):
    """Σ_ij = s_i s_j ρ_|i − j|, ρ₀ = 1, the matrix positive semi-definite.

    ``toep`` has a standard deviation for each time, ``homtoep`` one for all. The search moves the partial
    autocorrelations, sines of its parameters; ρ follows from them by the recursion of Durbin and Levinson (Brockwell &
    Davis 1991, Time Series, section 5.2), so that the matrix is positive definite inside the search's space.

    Parameters
    ----------
    k : int
    homogeneous : bool

    Examples
    --------
    >>> structure = Toeplitz(3)
    >>> structure.covariance([1.0, np.arcsin(0.5), 0.0])
    array([[1.  , 0.5 , 0.25],
           [0.5 , 1.  , 0.5 ],
           [0.25, 0.5 , 1.  ]])
    """

    @property
    def name(self) -> str:
        """Name in formulas."""
        return "homtoep" if self.homogeneous else "toep"

    @property
    def in_words(self) -> str:
        """In words."""
        return self._variances + "a correlation for each lag (Toeplitz)"

    @property
    def shown(self) -> tuple[Natural, ...]:
        """ρ₁, …, ρ_{k−1}."""
        return tuple(
            Natural("correlation", f"{self.name}.{lag}", f"correlation at lag {lag} ({self.name})", -1.0, 1.0)
            for lag in range(1, self.k)
        )

    def correlation(self, theta: Sequence[Jet]) -> Jet:
        """Return C, shape (k, k)."""
        at = np.arange(self.k)
        lags = np.abs(at[:, None] - at)
        own = self.natural_of(theta)
        out: Jet = own[0] * (lags == 1.0) + np.eye(self.k)
        for lag, rho in enumerate(own[1:], start=2):
            out = out + rho * (lags == lag)
        return out

    def natural_of(self, theta: Sequence[Jet]) -> list[Jet]:
        """Return ρ₁, …, ρ_{k−1}."""
        rho: list[Jet] = []
        phi: list[Jet] = []
        left: Jet | None = None
        for t in theta:
            partial = sine(t)
            if left is None:
                rho.append(partial)
                phi, left = [partial], 1.0 - partial * partial
                continue
            known = phi[0] * rho[-1]
            for j in range(1, len(phi)):
                known = known + phi[j] * rho[-1 - j]
            rho.append(known + partial * left)
            phi = [a - partial * b for a, b in zip(phi, reversed(phi), strict=True)] + [partial]
            left = left * (1.0 - partial * partial)
        return rho

    def parameters(self, *natural: float) -> list[float]:
        """Return the parameters of C of ρ₁, …, ρ_{k−1}; NaN if they belong to no correlation matrix."""
        out: list[float] = []
        phi, left = np.zeros(0), 1.0
        for lag, rho in enumerate(natural):
            known = float(phi @ np.array(natural[:lag])[::-1])
            partial = (rho - known) / left if left > 0.0 else np.nan
            out.append(float(np.arcsin(partial)) if abs(partial) <= 1.0 else float("nan"))
            phi = np.append(phi - partial * phi[::-1], partial)
            left *= 1.0 - partial * partial
        return out

    def correlation_starts(self) -> list[list[float]]:
        """Return starts with a first partial autocorrelation 0.5, 0.8 and 0, the others small."""
        return [[float(np.arcsin(first)), *[0.1] * (self.k - 2)] for first in (0.5, 0.8, 0.0)]

    def correlation_limits(self, theta: Array) -> Iterator[tuple[int, float, str]]:
        """Yield partial autocorrelations ±1 where they are near."""
        return near_angles(theta, "partial autocorrelation −1", "partial autocorrelation 1")
