"""Coefficients and their covariances for many responses of one small design; notation as in `small`."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import Array, IntArray
from ._compile import kernel
from .search import _lams
from .small import evaluate_small, solve_small

__all__ = ["solve_many"]


@kernel
def solve_many(
    static: Any,
    data: Any,
    layout: IntArray,
    slopes: Array,
    borders: Array,
    lasts: Array,
    x: Array,
    solutions: Array,
    factors: Array,
) -> None:
    """Solve at θ = `x` (responses, n_theta) for responses as `search_many` takes them.

    Fills `solutions` (responses, p) with the coefficients of X̃ and `factors` (responses, p, p) with the lower
    Cholesky factor of X̃ᵀV⁻¹X̃. NaN where a matrix is not positive definite.
    """
    gram, indptr, indices, values, border, tail = data
    border, tail = border.copy(), tail.copy()
    m, p = tail.shape[0], solutions.shape[1]
    q = m - 1 - p
    lams = np.zeros((layout.shape[0], slopes.shape[1], slopes.shape[1]))
    products, chol, pieces, solution = np.empty((m, m)), np.empty((m, m)), np.empty(3), np.empty(m - 1)
    own = (gram, indptr, indices, values, border, tail)
    for r in range(x.shape[0]):
        border[:, :, p] = borders[r]
        tail[m - 1] = lasts[r]
        _lams(layout, slopes, x[r], lams)
        if not evaluate_small(static, own, layout, lams, products, chol, pieces):
            solutions[r] = np.nan
            factors[r] = np.nan
            continue
        solve_small(layout, lams, chol, solution)
        solutions[r] = solution[q:]
        factors[r] = 0.0
        for a in range(p):
            for b in range(a + 1):
                factors[r, a, b] = chol[q + a, q + b]
