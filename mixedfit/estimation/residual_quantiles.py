"""Quantiles of scaled residuals, also of rows that are read in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from .fit import Fit
from .tables import scaled_residuals, scaled_residuals_of

__all__ = ["batched_quantiles", "residual_quantiles", "residual_quartiles"]

MOST_KEPT = 1 << 24
"""Largest number of residuals that are kept in memory: 128 MB."""

SHIFT = np.uint64(44)
"""Bits of a number below those that its bin has; there are 2²⁰ bins."""

SIGN = np.uint64(1 << 63)


QUARTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def residual_quartiles(fit: Fit) -> Array:
    """Return the least, the quartiles and the greatest of the scaled residuals; NaN if the rows cannot be read."""
    return residual_quantiles(fit, QUARTILES) if fit.quantiles is None else np.array(fit.quantiles)


def residual_quantiles(fit: Fit, probabilities: Sequence[float]) -> Array:
    """Return quantiles of the scaled residuals; NaN if the rows are not in memory and cannot be read again."""
    absent = fit.design.absent
    if absent is None or (absent.read is not None and fit.design.n <= MOST_KEPT):
        return np.asarray(np.quantile(scaled_residuals(fit).to_numpy(), probabilities))
    read = absent.read
    if read is None:
        return np.full(len(probabilities), np.nan)
    return batched_quantiles(
        lambda: (scaled_residuals_of(fit, rows) for rows in read()), fit.design.n, probabilities
    )


def batched_quantiles(
    batches: Callable[[], Iterator[Array]], count: int, probabilities: Sequence[float]
) -> Array:
    """Return exact quantiles of numbers that come in batches, in two passes.

    The first pass counts the numbers in bins of their leading bits; the second sorts the numbers of those bins that
    hold the order statistics. Quantiles are interpolated linearly (R's type 7).

    Parameters
    ----------
    batches : callable
        Returns an iterator of arrays.
    count : int
        Number of numbers.
    probabilities : sequence of float
    """
    counts = np.zeros(1 << (64 - int(SHIFT)), dtype=np.int64)
    for values in batches():
        counts += np.bincount(_bins(values), minlength=counts.size)
    places = np.asarray(probabilities) * (count - 1)
    ranks = np.unique(np.concatenate([np.floor(places), np.ceil(places)])).astype(np.int64)
    ends = np.cumsum(counts)
    wanted = np.unique(np.searchsorted(ends, ranks, side="right"))
    found: dict[int, list[Array]] = {int(b): [] for b in wanted}
    for values in batches():
        bins = _bins(values)
        for b, parts in found.items():
            parts.append(values[bins == b])
    order: dict[int, float] = {}
    for b, parts in found.items():
        inside = np.sort(np.concatenate(parts))
        start = int(ends[b] - counts[b])
        order |= {int(r): inside[r - start] for r in ranks if start <= r < ends[b]}
    low = np.array([order[int(np.floor(place))] for place in places])
    high = np.array([order[int(np.ceil(place))] for place in places])
    return np.asarray(low + (places - np.floor(places)) * (high - low))


def _bins(values: Array) -> IntArray:
    """Return the bin of each number; bins are in the order of the numbers."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
    ordered = np.where(bits & SIGN, ~bits, bits | SIGN)
    return (ordered >> SHIFT).astype(np.int64)
