"""Summaries of many quantities at once: the numbers of `convergence`, for some quantities at a time on threads.

Arrays have shape (quantities, chains, draws) here. Quantities whose draws are not all distinct and finite are left to
`convergence`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import fft, special

from mixedfit.core.arrays import Array, BoolArray, IntArray

from . import convergence

__all__ = ["summarise"]

PIECE = 2**17
"""Numbers in one piece, 1 MB, so that sorts and transforms stay in the cache."""

Columns = dict[str, Array]
"""One number for each quantity, by the name of the column."""


def summarise(draws: Array, quantiles: Sequence[float], interval: str, level: float) -> Columns:
    """Return the columns of a summary of draws, shape (chains, draws, quantities).

    Parameters
    ----------
    draws : ndarray
    quantiles : sequence of float
    interval : {"quantiles", "hpd", "hdi"}
    level : float
        Probability inside the shortest interval.
    """
    count = draws.shape[2]
    size = max(1, PIECE // max(draws.shape[0] * draws.shape[1], 1))
    starts = range(0, max(count, 1), size)

    def piece(start: int) -> Columns:
        values = np.ascontiguousarray(np.moveaxis(draws[:, :, start : start + size], 2, 0))
        return _piece(values, quantiles, interval, level)

    if len(starts) == 1:
        return piece(0)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        parts = list(pool.map(piece, starts))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _piece(values: Array, quantiles: Sequence[float], interval: str, level: float) -> Columns:
    """Return the columns for some quantities."""
    flat = values.reshape(len(values), -1)
    ordered = np.sort(flat, axis=1)
    out: Columns = {
        "mean": flat.mean(axis=1),
        "sd": np.std(flat, axis=1, ddof=1),
        "mcse": np.empty(len(flat)),
    }
    if interval == "quantiles":
        out |= {f"{100 * p:.4g}%": _quantile(ordered, p) for p in quantiles}
    else:
        out[f"{interval}_lower"], out[f"{interval}_upper"] = _shortest(ordered, level)
    mixing = _mixing(values, ordered)
    for i in np.flatnonzero(~_distinct(ordered)).tolist():
        for name, number in _one(values[i]).items():
            mixing[name][i] = number
    out["mcse"] = out["sd"] / np.sqrt(mixing.pop("ess_mean"))
    return out | mixing


def _one(draws: Array) -> dict[str, float]:
    """Return effective sample sizes and R̂ of one quantity, draws of shape (chains, draws)."""
    return {
        "ess_mean": convergence.ess_mean(draws),
        "rhat": convergence.rhat(draws),
        "ess_bulk": convergence.ess_bulk(draws),
        "ess_tail": convergence.ess_tail(draws),
    }


def _distinct(ordered: Array) -> BoolArray:
    """Return whether the draws of each quantity are finite and all different."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(ordered).all(axis=1) & (np.diff(ordered, axis=1) > 0.0).all(axis=1))


def _quantile(ordered: Array, p: float) -> Array:
    """Return a quantile by linear interpolation between order statistics, as `numpy.quantile`."""
    place = p * (ordered.shape[1] - 1)
    low = int(np.floor(place))
    first, second, share = ordered[:, low], ordered[:, min(low + 1, ordered.shape[1] - 1)], place - low
    with np.errstate(invalid="ignore"):
        step = second - first
        value = second - step * (1.0 - share) if share >= 0.5 else first + step * share
    return np.where(np.isnan(ordered[:, -1]), np.nan, value)


def _shortest(ordered: Array, level: float) -> tuple[Array, Array]:
    """Return the limits of the shortest intervals; see `convergence.hpd`."""
    count = int(np.floor(level * ordered.shape[1])) + 1
    first = np.argmin(ordered[:, count - 1 :] - ordered[:, : ordered.shape[1] - count + 1], axis=1)
    rows = np.arange(len(ordered))
    return ordered[rows, first], ordered[rows, first + count - 1]


def _mixing(values: Array, ordered: Array) -> Columns:
    """Return effective sample sizes and R̂ of quantities with distinct draws."""
    half = values.shape[2] // 2
    split = np.concatenate([values[:, :, :half], values[:, :, values.shape[2] - half :]], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores, folded = _scores(split)
        tails = [_effective(split <= _quantile(ordered, p)[:, None, None]) for p in (0.05, 0.95)]
        return {
            "ess_mean": _effective(split),
            "rhat": np.fmax(_rhat(scores), _rhat(folded)),
            "ess_bulk": _effective(scores),
            "ess_tail": np.minimum(*tails),
        }


def _scores(split: Array) -> tuple[Array, Array]:
    """Return normal scores of the ranks of distinct draws, and of their distances from the median."""
    flat = split.reshape(len(split), -1)
    size = flat.shape[1]
    table = special.ndtri((np.arange(1, size + 1) - 0.375) / (size + 0.25))
    order = np.argsort(flat, axis=1)
    scores, folded = np.empty_like(flat), np.empty_like(flat)
    middle = size // 2  # size is even
    for own, values, score, fold in zip(order, flat, scores, folded, strict=True):
        ordered = values[own]
        distance = np.abs(ordered - 0.5 * (ordered[middle - 1] + ordered[middle]))
        inner = np.argsort(distance, kind="stable")  # merges two runs
        score[own] = table
        fold[own[inner]] = _tied(distance[inner], table)
    return scores.reshape(split.shape), folded.reshape(split.shape)


def _tied(ordered: Array, table: Array) -> Array:
    """Return the scores of ordered values, those of ties from the mean of their ranks, shape of `table`.

    The two middle draws have the same distance from the median; other ties are rare.
    """
    ties = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not ties.size:
        return table
    out = table.copy()
    for tied in np.split(ties, np.flatnonzero(np.diff(ties) > 1) + 1):
        rank = 0.5 * (tied[0] + tied[-1] + 1) + 1.0
        out[tied[0] : tied[-1] + 2] = special.ndtri((rank - 0.375) / (table.size + 0.25))
    return out


def _rhat(chains: Array) -> Array:
    """Return R̂ of split chains; see `convergence.rhat`."""
    n = chains.shape[2]
    between = np.var(chains.mean(axis=2), axis=1, ddof=1)
    within = np.var(chains, axis=2, ddof=1).mean(axis=1)
    return np.asarray(np.sqrt((n - 1) / n + between / within))


def _effective(chains: Array | BoolArray) -> Array:
    """Return effective sample sizes of split chains, by Geyer's initial monotone sequence."""
    _, m, n = chains.shape
    if n < 3:
        return np.full(len(chains), np.nan)
    means = chains.mean(axis=2, keepdims=True)
    between = np.var(means, axis=1, ddof=1) if m > 1 else np.zeros((len(chains), 1))
    centred = chains - means
    tau = np.empty(len(chains))
    rest: BoolArray = np.ones(len(chains), dtype=bool)
    if n > 4 * LAGS:
        first = _autocorrelations(_covariances(centred), between, n)
        rest = np.asarray(~(_pairs(first) < 0.0).any(axis=1))
        tau[~rest] = _integrated_times(first[~rest])
    if rest.any():
        tau[rest] = _integrated_times(_autocorrelations(_all_covariances(centred[rest]), between[rest], n))
    return np.asarray(m * n / np.maximum(tau, 1.0 / np.log10(m * n)))


LAGS = 14
"""Lags, an even number, whose autocovariances are computed as sums; where these do not suffice, all by a transform."""


def _covariances(centred: Array) -> Array:
    """Return the autocovariances of the first `LAGS` lags, the mean of all chains."""
    _, m, n = centred.shape
    sums = [np.einsum("kmi,kmi->k", centred[:, :, : n - lag], centred[:, :, lag:]) for lag in range(LAGS)]
    return np.asarray(np.stack(sums, axis=1) / (m * n))


def _all_covariances(centred: Array) -> Array:
    """Return the autocovariances of all lags, the mean of all chains."""
    n = centred.shape[2]
    size = fft.next_fast_len(2 * n)
    transform = fft.rfft(centred, size, axis=2)
    spectrum = (transform.real**2 + transform.imag**2).mean(axis=1)
    return np.asarray(fft.irfft(spectrum, size, axis=1)[:, :n] / n)


def _autocorrelations(covariance: Array, between: Array, n: int) -> Array:
    """Return 1 − (W − covariance)/V of several chains; Vehtari et al. (2021), equation 10."""
    within = covariance[:, :1] * n / (n - 1)
    rho = 1.0 - (within - covariance) / (covariance[:, :1] + between)
    rho[:, 0] = 1.0
    return np.asarray(rho)


def _pairs(rho: Array) -> Array:
    """Return the sums of pairs of autocorrelations, as many as may count."""
    n = rho.shape[1]
    return np.asarray((rho[:, : n - n % 2 : 2] + rho[:, 1::2])[:, : max((n - 3) // 2, 1)])


def _integrated_times(rho: Array) -> Array:
    """Return −1 + 2 Σ of the monotone positive sums of pairs of autocorrelations, of each quantity."""
    n = rho.shape[1]
    pairs = _pairs(rho)
    negative = pairs < 0.0
    stop: IntArray = np.where(negative.any(axis=1), np.argmax(negative, axis=1), pairs.shape[1])
    longest = int(stop.max(initial=0))
    sums = np.minimum.accumulate(pairs[:, :longest], axis=1)
    sums = np.where(np.arange(longest) < stop[:, None], sums, 0.0).sum(axis=1)
    rest = np.maximum(rho[np.arange(len(rho)), np.minimum(2 * stop, n - 1)], 0.0)
    return np.asarray(-1.0 + 2.0 * sums + np.where(2 * stop < n, rest, 0.0))
