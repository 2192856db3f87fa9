"""Elimination of the first grouping factor, in parallel over its levels (kernels release the interpreter's lock)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.kernels.first_factor import derive_first, eliminate_first

__all__ = ["FirstSums", "derive", "eliminate"]

_T = TypeVar("_T")

LEVELS_PER_THREAD = 1000
"""Smallest number of levels for a thread."""

SMALL_TAIL = 200
"""Largest number of tail columns for which threads are used: each thread needs its own copy of the tail."""


@dataclass(frozen=True, slots=True, eq=False)
class FirstSums:
    """Sums over the levels of the first factor; see `kernels.first_factor.derive_first`.

    Attributes
    ----------
    scores : ndarray, shape (levels, k)
    sums : ndarray, shape (4, k, k)
    products : ndarray, shape (d, d)
    crossed : ndarray, shape (d, m − 1)
    traces : ndarray, shape (d, d)
    spreads : ndarray, shape (d, p, p)
    """

    scores: Array
    sums: Array
    products: Array
    crossed: Array
    traces: Array
    spreads: Array

    @classmethod
    def zeros(cls, levels: int, k: int, count: int, columns: int, p: int) -> FirstSums:
        """Return sums of zero, to be added to."""
        return cls(
            np.empty((levels, k)),
            np.zeros((4, k, k)),
            np.zeros((count, count)),
            np.zeros((count, columns)),
            np.zeros((count, count)),
            np.zeros((count, p, p)),
        )


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="mixedfit")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _level_ranges(levels: int, columns: int) -> list[tuple[int, int]]:
    """Return ranges of levels, one for each thread."""
    if levels < 2 * LEVELS_PER_THREAD or columns > SMALL_TAIL:
        return [(0, levels)]
    parts = min(_cores(), levels // LEVELS_PER_THREAD)
    cuts = np.linspace(0, levels, parts + 1).astype(int).tolist()
    return list(pairwise(cuts))


def _run(work: Callable[[int, int], _T], ranges: Sequence[tuple[int, int]]) -> list[_T]:
    if len(ranges) == 1:
        return [work(*ranges[0])]
    return list(_workers().map(work, *zip(*ranges, strict=True)))


def eliminate(cross: CrossProducts, lams: Sequence[Array], tail: Array) -> float:
    """Subtract the first factor from the lower triangle of `tail`; return its log-determinant."""
    first, lam = cross.first, lams[cross.first_block]
    ranges = _level_ranges(first.gram.shape[0], tail.shape[0])
    parts = [tail] + [np.zeros_like(tail) for _ in ranges[1:]]

    def work(start: int, stop: int) -> float:
        own = parts[[s[0] for s in ranges].index(start)]
        return eliminate_first(
            lam, first.gram, first.indptr, first.indices, first.values, first.border, own, start, stop
        )

    logdet = sum(_run(work, ranges))
    for part in parts[1:]:
        tail += part
    return logdet


def derive(
    cross: CrossProducts,
    lams: Sequence[Array],
    scaled_inverse: Array,
    solution: Array,
    directions: Array,
    covariance: Array | None,
) -> FirstSums:
    """Return the sums over levels of the first factor that gradient and curvature need."""
    first, lam = cross.first, lams[cross.first_block]
    levels, k = first.gram.shape[:2]
    count, p = directions.shape[0], 0 if covariance is None else covariance.shape[0]
    whole = FirstSums.zeros(levels, k, count, solution.size, p)
    inner = np.zeros((0, 0)) if covariance is None else np.ascontiguousarray(covariance)

    def work(start: int, stop: int) -> FirstSums:
        out = whole if start == 0 else FirstSums.zeros(0, k, count, solution.size, p)
        derive_first(
            lam,
            first.gram,
            first.indptr,
            first.indices,
            first.values,
            first.border,
            scaled_inverse,
            solution,
            directions,
            inner,
            covariance is not None,
            whole.scores,
            out.sums,
            out.products,
            out.crossed,
            out.traces,
            out.spreads,
            start,
            stop,
        )
        return out

    parts = _run(work, _level_ranges(levels, solution.size + 1))
    for part in parts[1:]:
        for name in ("sums", "products", "crossed", "traces", "spreads"):
            getattr(whole, name)[...] += getattr(part, name)
    return whole
