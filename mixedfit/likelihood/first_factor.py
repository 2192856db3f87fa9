"""Elimination of the first grouping factor, in parallel over its levels (kernels release the interpreter's lock)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.kernels.first_factor import conditional_blocks, derive_first, eliminate_first
from mixedfit.kernels.first_factor_products import project_first, solve_first, variates_first
from mixedfit.kernels.tail_columns import eliminate_columns, quadratic_columns

from .first_sums import FirstSums
from .present_effects import level_classes

__all__ = ["conditional", "cores", "derive", "eliminate", "modes", "project", "run", "variates"]

_T = TypeVar("_T")

LEVELS_PER_THREAD = 1000
"""Smallest number of levels for a thread."""

SMALL_TAIL = 200
"""Largest number of tail columns for which threads are used: each thread needs its own copy of the tail."""

BY_COLUMN = 400
"""Number of tail columns from which their products are computed column by column: the matrix exceeds the cache."""

CELLS = 32
"""Tail columns of a level, on average, from which that is faster: fewer are not read from memory in one go."""


@lru_cache(maxsize=1)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=cores(), thread_name_prefix="mixedfit")


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _level_ranges(levels: int, columns: int) -> list[tuple[int, int]]:
    """Return ranges of levels, one for each thread."""
    if levels < 2 * LEVELS_PER_THREAD or columns > SMALL_TAIL:
        return [(0, levels)]
    parts = min(cores(), levels // LEVELS_PER_THREAD)
    cuts = np.linspace(0, levels, parts + 1).astype(int).tolist()
    return list(pairwise(cuts))


def run(work: Callable[[int, int], _T], ranges: Sequence[tuple[int, int]]) -> list[_T]:
    """Return the results of work on ranges of levels, by a thread for each."""
    if len(ranges) == 1:
        return [work(*ranges[0])]
    return list(_workers().map(work, *zip(*ranges, strict=True)))


def _by_column(cross: CrossProducts) -> bool:
    first = cross.first
    return cross.q_tail >= BY_COLUMN and first.indices.size >= CELLS * first.gram.shape[0]


def eliminate(cross: CrossProducts, lams: Sequence[Array], tail: Array) -> float:
    """Subtract the first factor from the lower triangle of `tail`; return its log-determinant."""
    first, lam = cross.first, lams[cross.first_block]
    classes = level_classes(cross)
    if classes:
        omega = lam @ lam.T
        return sum(own.eliminate(omega, tail) for own in classes)
    if _by_column(cross):
        return float(
            eliminate_columns(lam, first.gram, first.indptr, first.indices, first.values, first.border, tail)
        )
    ranges = _level_ranges(first.gram.shape[0], tail.shape[0])
    parts = [tail] + [np.zeros_like(tail) for _ in ranges[1:]]

    def work(start: int, stop: int) -> float:
        own = parts[[s[0] for s in ranges].index(start)]
        return eliminate_first(
            lam, first.gram, first.indptr, first.indices, first.values, first.border, own, start, stop
        )

    logdet = sum(run(work, ranges))
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
    classes = level_classes(cross)
    if classes:
        whole.scores[...] = 0.0
        for own in classes:
            own.derive(lam @ lam.T, scaled_inverse, solution, directions, covariance, whole)
        whole.sums[0] = whole.sums[2] @ lam  # AλP⁻¹ = Wλ
        whole.sums[3] = whole.scores.T @ whole.scores
        return whole
    inner = np.zeros((0, 0)) if covariance is None else np.ascontiguousarray(covariance)
    if scaled_inverse.size and _by_column(cross):
        arrays = lam, first.gram, first.indptr, first.indices, first.values, first.border
        whole.sums[1] = quadratic_columns(*arrays, cross.q_tail, scaled_inverse)
        scaled_inverse = np.zeros((0, 0))

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

    parts = run(work, _level_ranges(levels, solution.size + 1))
    for part in parts[1:]:
        for name in ("sums", "products", "crossed", "traces", "spreads"):
            getattr(whole, name)[...] += getattr(part, name)
    return whole


def modes(cross: CrossProducts, lam: Array, solution: Array) -> Array:
    """Return the modes b_j = λu_j, given the coefficients of the tail and of X, shape (levels, k)."""
    first, classes, omega = cross.first, level_classes(cross), lam @ lam.T
    out = np.zeros(first.border.shape[:2])
    for own in classes:
        F = own.projected(omega)[1]
        out[own.levels[:, None], own.effects] = F[:, :, -1] - F[:, :, :-1] @ solution
    if classes:
        return np.asarray(out @ omega)
    solve_first(lam, first.gram, first.indptr, first.indices, first.values, first.border, solution, out)
    return out


def project(cross: CrossProducts, lam: Array, slopes: Array) -> Array:
    """Return Z_jᵀV⁻¹[X y], shape (levels, k, p + 1), given the slopes of [X y] on the tail."""
    first, classes = cross.first, level_classes(cross)
    out = np.zeros_like(first.border)
    for own in classes:
        out[own.levels[:, None], own.effects] = own.projected(lam @ lam.T)[1]
    if not classes:
        inner = np.ascontiguousarray(slopes)
        arrays = first.gram, first.indptr, first.indices, first.values, first.border
        project_first(lam, _inverse_of_transposed(lam), *arrays, inner, out)
    return out


def variates(cross: CrossProducts, lam: Array, coefficients: Array, products: Array, crossed: Array) -> None:
    """Add t_aᵀV₀⁻¹t_b to `products` and t_aᵀV₀⁻¹[tail X] to `crossed`, t_a = Z c_a, c (levels, k, count)."""
    first, classes = cross.first, level_classes(cross)
    for own in classes:
        within, F = own.projected(lam @ lam.T)
        c = coefficients[own.levels[:, None], own.effects].transpose(0, 2, 1)
        products += np.einsum("jam,jmn,jbn->ab", c, within, c, optimize=True)
        crossed += np.einsum("jam,jms->as", c, F[:, :, :-1], optimize=True)
    if not classes:
        c = np.ascontiguousarray(coefficients)
        arrays = first.gram, first.indptr, first.indices, first.values, first.border
        variates_first(lam, _inverse_of_transposed(lam), *arrays, c, products, crossed)


def _inverse_of_transposed(lam: Array) -> Array:
    """Return the pseudoinverse of λᵀ, shape (k, k)."""
    return np.ascontiguousarray(np.linalg.pinv(lam.T, rcond=1e-13))


def conditional(cross: CrossProducts, lam: Array, inverse: Array) -> Array:
    """Return the diagonal blocks of ΛTΛᵀ, shape (levels, k, k), given those of the tail, `inverse` (t, t)."""
    first, classes = cross.first, level_classes(cross)
    out = np.empty_like(first.gram)
    if not classes:
        conditional_blocks(lam, first.gram, first.indptr, first.indices, first.values, inverse, out)
        return out
    out[...] = lam @ lam.T  # of levels without rows
    for own in classes:
        out[own.levels] = own.conditional(lam @ lam.T)
    return out
