"""A start near the optimum for crossed factors with a large dense tail, by conjugate gradients and a few probes.

Each exact evaluation factorises and inverts a matrix of the tail's size. Where the rows are few beside its cube, the
root of a gradient whose traces come from random probes (`likelihood/iterative_tail.py`) is found in the time of one
exact evaluation. It is within the probes' error of the optimum, from where one exact Newton step remains.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.crossproducts.tail_blocks import rough_pairs
from mixedfit.likelihood.criterion import Criterion

from .optimize import newton_decrement

__all__ = ["probed_start"]

SMALLEST = 1500
"""Columns of the tail from which a start is searched: an exact evaluation then takes more than a tenth of a second."""

WORTHWHILE = 400.0
"""Ratio of the cube of the tail's size to the products of cells with vectors from which conjugate gradients are much
faster than a factorisation: these take about 2 ns, and its operations a fortieth of one."""

PROBES = 8

NEAR = 1e-4
"""Newton decrement at which the search ends, after a last step: 0.01 standard errors, less than the probes' errors."""

MOST_EVALUATIONS = 6

INSIDE = 0.02
"""Smallest diagonal of λ̃ on the way: near 0 the steps of the exact search, which knows boundaries, are better."""


def probed_start(criterion: Criterion, start: Array) -> tuple[Array, float | None]:
    """Return a point near the optimum, and the ratio of the last two Newton decrements on the way there.

    `start` and None are returned where the search is not worthwhile, or meets a boundary or negative curvature.

    Parameters
    ----------
    criterion : Criterion
        In the basis of the cross-products.
    start : ndarray, shape (n_theta,)
    """
    if not (criterion.n_theta and _is_worthwhile(criterion)):
        return start, None
    rough = replace(criterion, cross=_without_factor(criterion.cross))
    x, previous, rate = start, np.inf, None
    for _ in range(MOST_EVALUATIONS):
        if x[criterion.diagonal].min() < INSIDE:
            break
        try:
            point = rough(x)
        except np.linalg.LinAlgError:
            break
        if not np.isfinite(point.value):
            break
        decrement, step, convex = newton_decrement(point.gradient, point.curvature)
        if not convex or not decrement < previous:
            break
        rate = decrement / previous if np.isfinite(previous) else None
        x, previous = x + step, decrement
        if decrement < NEAR:
            return x, rate
    return start, None


def _is_worthwhile(criterion: Criterion) -> bool:
    cross = criterion.cross
    if cross.q_tail < SMALLEST or cross.sparse is not None or cross.pairs is not None:
        return False
    if cross.first_block < 0 or cross.q_random < cross.q_tail or cross.has_known:
        return False
    if not all(structure.linear for structure in criterion.structures):
        return False
    k = cross.first.gram.shape[1]
    vectors = 4 * PROBES + 10 * (cross.p + 1)
    return bool(float(cross.q_tail) ** 3 > WORTHWHILE * vectors * cross.first.indices.size * k)


def _without_factor(cross: CrossProducts) -> CrossProducts:
    """Return the same products for an iterative solution with a few digits."""
    q = cross.q_tail
    return replace(cross, gram=cross.gram[q:, q:].copy(), pairs=rough_pairs(cross, PROBES))
