"""Toeplitz correlation of visits: one correlation for each distance.

    1   ρ₁  ρ₂  ρ₃
    ρ₁  1   ρ₁  ρ₂
    ρ₂  ρ₁  1   ρ₁
    ρ₃  ρ₂  ρ₁  1

The search moves the partial autocorrelations (Barndorff-Nielsen & Schou 1973, J. Multivariate Analysis 3:408), of
which every choice in (−1, 1) is positive definite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixedfit.core.arrays import Array

from .correlation import CorrelationStructure
from .parts import Layout, Natural, complex_slopes
from .patterns import PatternRoot, Patterns

__all__ = ["LagLaw", "Toeplitz", "from_partials"]


@dataclass(frozen=True)
class Toeplitz(CorrelationStructure):
    """A correlation for each number of visits between: ``cor(ε_s, ε_t) = ρ_|s − t|``.

    Parameters
    ----------
    visit : str
        Column of the visits; categories in their order, other values sorted.
    group, by : str, optional
        As of `AR1`.

    Examples
    --------
    >>> print(Toeplitz("AVISIT", "USUBJID"))
    Toeplitz(visit='AVISIT', group='USUBJID')
    """

    visit: str = ""
    group: str | None = None
    by: str | None = None
    formula: ClassVar[str] = "cor(s, t) = rho_|s - t|"
    kind: ClassVar[str] = "visit"

    def law(self, layout: Layout) -> ToeplitzLaw:
        """Return the correlations on a layout."""
        return ToeplitzLaw(layout, len(layout.labels) - 1)


class LagLaw:
    """Correlations that are a function of whole-number lags: C_st = r_|s − t|, r analytic in x.

    Parameters
    ----------
    layout : Layout
    count : int
        Number of parameters.
    """

    further_starts: tuple[Array, ...] = ()

    def __init__(self, layout: Layout, count: int) -> None:
        self.layout = layout
        self.start = np.full(count, 0.1)
        self.patterns = Patterns(layout, shift=True)
        places = [own.places[:, :, 0] for own in self.patterns.classes]
        self.lags = [np.abs(p[:, :, None] - p[:, None, :]).astype(np.int64) for p in places]
        self.last = max(int(lags.max(initial=0)) for lags in self.lags)

    def by_lag(self, x: Any, last: int) -> Any:
        """Return r_0, …, r_last."""
        raise NotImplementedError

    def root(self, x: Array) -> PatternRoot:
        """Return the factor at x."""
        r = self.by_lag(x, self.last)
        if not np.all(np.isfinite(r)):
            raise FloatingPointError("autocorrelations are not finite")
        slopes = complex_slopes(lambda z: self.by_lag(z, self.last), x)
        return PatternRoot(self.patterns, [r[lags] for lags in self.lags], lambda k: slopes[:, self.lags[k]])

    def matrix(self, x: Array, place: Array) -> Array:
        """Return r_|s − t|."""
        lags = np.abs(place[:, :1] - place[:, 0]).astype(np.int64)
        return np.asarray(self.by_lag(x, int(lags.max(initial=0)))[lags])


class ToeplitzLaw(LagLaw):
    """Partial autocorrelations tanh x."""

    def by_lag(self, x: Any, last: int) -> Any:
        """Return the autocorrelations, by the recursion of Durbin (1960) and Levinson (1947)."""
        partial = np.tanh(x)
        r = np.zeros(max(last, x.size) + 1, dtype=partial.dtype)
        r[0] = 1.0
        coefficients = np.zeros(0, dtype=partial.dtype)
        rest = 1.0
        for k in range(x.size):
            r[k + 1] = partial[k] * rest + coefficients @ r[k:0:-1]
            coefficients = np.append(coefficients - partial[k] * coefficients[::-1], partial[k])
            rest = rest * (1.0 - partial[k] ** 2)
        return r[: last + 1] if last < x.size else r

    def natural(self, x: Array) -> list[Natural]:
        """Return the autocorrelations."""
        return [Natural(f"rho{k}", float(v), -1.0, 1.0) for k, v in enumerate(self.by_lag(x, x.size)[1:], 1)]


def from_partials(partial: Any) -> Any:
    """Return the coefficients φ of the stationary autoregression with these partial autocorrelations."""
    phi = np.zeros(0, dtype=partial.dtype)
    for value in partial:
        phi = np.append(phi - value * phi[::-1], value)
    return phi
