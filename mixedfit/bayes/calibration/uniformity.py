"""Uniformity of ranks: simultaneous bands of the empirical distribution function, and the test that goes with them.

Säilynoja, Bürkner & Vehtari (2022), Stat. Comput. 32:32. Of N ranks among L draws, uniform on 0, …, L, the number below
k is binomial, X_k ~ Bin(N, k/(L + 1)), k = 1, …, L. The statistic is γ = min_k 2 min(P(X_k ≤ x_k), P(X_k ≥ x_k)), whose
distribution is found by simulation (their algorithm 1), so that bands and p-values hold for all k together.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import binom

from mixedfit.core.arrays import Array, IntArray

__all__ = ["ecdf_band", "ecdf_differences", "uniformity_p_value"]

SIMULATED = 9999
"""Simulated sets of uniform ranks; p-values are multiples of 1/10,000."""

SEED = 2022
"""Seed of these, so that equal ranks have equal p-values."""


def _below(ranks: IntArray, draws: int) -> IntArray:
    """Return how many of the ranks are below k = 1, …, draws."""
    return np.asarray(np.cumsum(np.bincount(ranks, minlength=draws + 1))[:-1])


@lru_cache(maxsize=8)
def _tails(count: int, draws: int) -> Array:
    """Return 2 min(P(X_k ≤ x), P(X_k ≥ x)) for x = 0, …, count (rows) and k (columns)."""
    x = np.arange(count + 1)[:, None]
    shares = np.arange(1, draws + 1) / (draws + 1)
    return np.asarray(2.0 * np.minimum(binom.cdf(x, count, shares), binom.sf(x - 1, count, shares)))


@lru_cache(maxsize=8)
def _null(count: int, draws: int) -> Array:
    """Return simulated values of γ of `count` uniform ranks, sorted, shape (SIMULATED,)."""
    rng, tails = np.random.default_rng(SEED), _tails(count, draws)
    cells = rng.multinomial(count, np.full(draws + 1, 1.0 / (draws + 1)), SIMULATED)
    below = np.cumsum(cells, axis=1)[:, :-1]
    return np.sort(tails[below, np.arange(draws)].min(axis=1))


def uniformity_p_value(ranks: IntArray, draws: int) -> float:
    """Return the p-value of the test that ranks are uniform on 0, …, draws.

    Examples
    --------
    >>> uniformity_p_value(np.arange(100), 99) > 0.99, uniformity_p_value(np.arange(100) // 2, 99) < 0.001
    (True, True)
    """
    found = _tails(ranks.size, draws)[_below(ranks, draws), np.arange(draws)].min()
    at_most = int(np.searchsorted(_null(ranks.size, draws), found * (1.0 + 1e-9), side="right"))
    return (1 + at_most) / (1 + SIMULATED)


def ecdf_differences(ranks: IntArray, draws: int) -> Array:
    """Return the empirical distribution function less the uniform one at k/(draws + 1), shape (draws,)."""
    return np.asarray(_below(ranks, draws) / ranks.size - np.arange(1, draws + 1) / (draws + 1))


def ecdf_band(count: int, draws: int, level: float) -> tuple[Array, Array]:
    """Return the limits of `ecdf_differences` that hold for all k together with probability `level`."""
    gamma = (1.0 - 1e-9) * float(np.quantile(_null(count, draws), 1.0 - level))  # a tie is inside
    shares = np.arange(1, draws + 1) / (draws + 1)
    low = binom.ppf(0.5 * gamma, count, shares)
    high = binom.isf(0.5 * gamma, count, shares)
    return np.asarray(low / count - shares), np.asarray(high / count - shares)
