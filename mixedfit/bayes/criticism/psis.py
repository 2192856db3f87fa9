"""Pareto-smoothed importance sampling.

Vehtari, Simpson, Gelman, Yao & Gabry (2024), J. Mach. Learn. Res. 25(72): the largest importance ratios are replaced by
the expected order statistics of a generalised Pareto distribution fitted to them, whose shape k̂ measures how reliable
the estimate is. The fit is that of Zhang & Stephens (2009), Technometrics 51:316, with a weak prior on k̂ at 0.5 that is
worth ten observations.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array

__all__ = [
    "khat_threshold",
    "log_sum",
    "smoothed_weights",
    "tail_length",
]

LEAST_TAIL = 5
"""Smallest number of ratios to which a tail is fitted."""

GOOD = 0.7
"""k̂ above which estimates are not reliable for any practical number of draws."""


def khat_threshold(draws: int) -> float:
    """Return the largest reliable k̂ of S draws, min(1 − 1/log₁₀ S, 0.7); Vehtari et al. (2024), section 3.2.4.

    Examples
    --------
    >>> round(khat_threshold(400), 3), khat_threshold(4000)
    (0.616, 0.7)
    """
    return float(min(1.0 - 1.0 / np.log10(draws), GOOD))


def log_sum(logs: Array) -> Array:
    """Return log Σ exp of each row, shape (rows,); faster than scipy's, which checks its input."""
    top = logs.max(axis=1)
    return np.asarray(top + np.log(np.sum(np.exp(logs - top[:, None]), axis=1)))


def log_mean(logs: Array) -> Array:
    """Return log mean exp of each row, the log predictive density of units from the log densities of draws."""
    return np.asarray(log_sum(logs) - np.log(logs.shape[1]))


def tail_length(draws: int, efficiency: float) -> int:
    """Return the number of smoothed ratios, ⌈min(S/5, 3 √(S/r_eff))⌉; Vehtari et al. (2024), section 6."""
    return int(np.ceil(min(0.2 * draws, 3.0 * np.sqrt(draws / efficiency))))


def smoothed_weights(log_ratios: Array, efficiency: float = 1.0) -> tuple[Array, Array]:
    """Return the logarithms of the normalised smoothed weights, and k̂, of each row.

    Parameters
    ----------
    log_ratios : ndarray, shape (rows, draws)
        Logarithms of importance ratios, up to a constant in each row.
    efficiency : float
        Effective draws for each draw, r_eff.

    Returns
    -------
    weights : ndarray, shape (rows, draws)
        Their exponentials sum to 1 in each row.
    khat : ndarray, shape (rows,)
        Infinite if the tail cannot be fitted because its ratios are equal.
    """
    logs = log_ratios - log_ratios.max(axis=1, keepdims=True)
    draws = logs.shape[1]
    length = tail_length(draws, efficiency)
    khat = np.full(logs.shape[0], np.inf)
    if length >= LEAST_TAIL:
        order = np.argpartition(logs, draws - length - 1, axis=1)[:, draws - length - 1 :]
        largest = np.take_along_axis(logs, order, axis=1)
        within = np.argsort(largest, axis=1, kind="stable")
        order, largest = (
            np.take_along_axis(order, within, axis=1),
            np.take_along_axis(largest, within, axis=1),
        )
        cutoff = np.exp(largest[:, :1])
        khat, scale = _pareto(np.exp(largest[:, 1:]) - cutoff)
        usable = np.isfinite(khat) & (scale > 0)
        khat = np.where(usable, khat, np.inf)
        tail = _order_statistics(khat[usable], scale[usable], length) + cutoff[usable]
        smooth = np.minimum(np.log(tail), 0.0)
        logs[np.flatnonzero(usable)[:, None], order[usable, 1:]] = smooth
    logs -= log_sum(logs)[:, None]
    return logs, khat


def _order_statistics(shape: Array, scale: Array, length: int) -> Array:
    """Return quantiles of generalised Pareto distributions at (z − ½)/M, shape (rows, M)."""
    tails = -np.log1p(-(np.arange(length) + 0.5) / length)
    k = shape[:, None]
    safe = np.where(k == 0.0, 1.0, k)
    return scale[:, None] * np.where(k == 0.0, tails, np.expm1(safe * tails) / safe)


def _pareto(excess: Array) -> tuple[Array, Array]:
    """Return shape k̂ and scale σ̂ of generalised Pareto distributions; NaN or infinite if they cannot be fitted.

    Parameters
    ----------
    excess : ndarray, shape (rows, M)
        In increasing order, above the cutoff.
    """
    length = excess.shape[1]
    points = 30 + int(np.sqrt(length))
    with np.errstate(divide="ignore", invalid="ignore"):
        quartile = excess[:, int(length / 4 + 0.5) - 1]
        steps = (1.0 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / 3.0
        theta = 1.0 / excess[:, -1:] + steps / quartile[:, None]
        profile = np.empty_like(theta)
        for j in range(points):
            k = np.mean(np.log1p(-theta[:, [j]] * excess), axis=1)
            profile[:, j] = length * (np.log(-theta[:, j] / k) - k - 1.0)
        weights = np.exp(profile - log_sum(profile)[:, None])
        best = np.sum(theta * weights, axis=1)
        shape = np.mean(np.log1p(-best[:, None] * excess), axis=1)
        scale = -shape / best
        shape = (length * shape + 10.0 * 0.5) / (length + 10.0)
    return shape, np.where(np.isfinite(shape), scale, np.nan)
