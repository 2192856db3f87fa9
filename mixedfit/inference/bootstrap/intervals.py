"""Bootstrap intervals of one parameter from its replicates.

Notation: θ̂ the estimate, θ* the replicates, B their number, α = (1 − level)/2, θ*_(p) their quantile, the
(B + 1)p-th order statistic (Davison & Hinkley 1997, Bootstrap Methods and their Application, equation 5.8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import ndtr, ndtri

from mixedfit.core.arrays import Array
from mixedfit.core.distributions import shortest_interval

__all__ = ["INTERVALS", "IntervalKind", "acceleration_of", "monte_carlo_error", "shortest_interval"]

IntervalKind: TypeAlias = Literal["percentile", "basic", "normal", "bca", "shortest"]


def percentile(estimate: float, replicates: Array, level: float, acceleration: float) -> tuple[float, float]:
    """Return θ*_(α), θ*_(1−α). Efron & Tibshirani (1993), equation 13.5."""
    return _quantiles(replicates, 0.5 - 0.5 * level, 0.5 + 0.5 * level)


def basic(estimate: float, replicates: Array, level: float, acceleration: float) -> tuple[float, float]:
    """Return 2θ̂ − θ*_(1−α), 2θ̂ − θ*_(α). Davison & Hinkley (1997), equation 5.6."""
    lower, upper = percentile(estimate, replicates, level, acceleration)
    return 2.0 * estimate - upper, 2.0 * estimate - lower


def normal(estimate: float, replicates: Array, level: float, acceleration: float) -> tuple[float, float]:
    """Return θ̂ − bias ± z·SD(θ*). Davison & Hinkley (1997), equation 5.5."""
    middle = 2.0 * estimate - float(np.mean(replicates))
    half = float(ndtri(0.5 + 0.5 * level) * np.std(replicates, ddof=1))
    return middle - half, middle + half


def bca(estimate: float, replicates: Array, level: float, acceleration: float) -> tuple[float, float]:
    """Return percentiles corrected for bias and acceleration; NaN if all replicates lie on one side of the estimate.

    α₁ = Φ(z₀ + (z₀ + z_α)/(1 − a(z₀ + z_α))); DiCiccio & Efron (1996), Statist. Sci. 11:189, equation 2.3.
    Replicates equal to the estimate count half, since the distribution may have an atom at a variance of 0.
    """
    near = 1e-9 * max(abs(estimate), float(np.std(replicates)))
    below = np.mean(replicates < estimate - near) + 0.5 * np.mean(np.abs(replicates - estimate) <= near)
    z0 = float(ndtri(below))
    if not (np.isfinite(z0) and np.isfinite(acceleration)):
        return float("nan"), float("nan")
    z = ndtri(np.array([0.5 - 0.5 * level, 0.5 + 0.5 * level]))
    shifted = ndtr(z0 + (z0 + z) / (1.0 - acceleration * (z0 + z)))
    return _quantiles(replicates, float(shifted[0]), float(shifted[1]))


def shortest(estimate: float, replicates: Array, level: float, acceleration: float) -> tuple[float, float]:
    """Return the shortest interval that holds a share `level` of the replicates, as MixedModels.jl does."""
    return shortest_interval(replicates, min(int(np.ceil(level * replicates.size)), replicates.size))


INTERVALS: dict[str, Callable[[float, Array, float, float], tuple[float, float]]] = {
    "percentile": percentile,
    "basic": basic,
    "normal": normal,
    "bca": bca,
    "shortest": shortest,
}
"""Kinds of intervals: (estimate, replicates, level, acceleration) → lower, upper."""


def _quantiles(replicates: Array, lower: float, upper: float) -> tuple[float, float]:
    found = np.quantile(replicates, [lower, upper], method="weibull")
    return float(found[0]), float(found[1])


def acceleration_of(jackknife: Array) -> Array:
    """Return Σ U³ / 6(Σ U²)^{3/2}, U = mean − value, of estimates without one group, shape (groups, count).

    Efron (1987), J. Am. Stat. Assoc. 82:171, equation 7.3, by the jackknife of DiCiccio & Efron (1996). NaN
    values are left out; a parameter that is the same without any group has acceleration 0.
    """
    out = np.zeros(jackknife.shape[1])
    for a, values in enumerate(jackknife.T):
        known = values[np.isfinite(values)]
        u = known.mean() - known if known.size > 1 else np.zeros(1)
        spread = float(np.sum(u * u))
        if known.size < 2:
            out[a] = np.nan
        elif spread > 0.0:
            out[a] = np.sum(u**3) / (6.0 * spread**1.5)
    return out


def monte_carlo_error(replicates: Array, level: float) -> float:
    """Return the Monte-Carlo standard error of the percentile limits, the larger one.

    It is half the distance of the quantiles one binomial standard deviation below and above.
    """
    worst = 0.0
    for p in (0.5 - 0.5 * level, 0.5 + 0.5 * level):
        step = np.sqrt(p * (1.0 - p) / replicates.size)
        low, high = _quantiles(replicates, max(p - step, 0.0), min(p + step, 1.0))
        worst = max(worst, 0.5 * (high - low))
    return worst
