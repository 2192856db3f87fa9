"""Responses drawn for rows of a fit or for further rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import BoolArray, IntArray
from mixedfit.design.recipe import NewRows
from mixedfit.estimation.fit import Fit

from .rows import NewLevels, check_levels, fixed_mean, residual_variance, rows_of, without_label

__all__ = ["simulate_rows"]


def simulate_rows(
    fit: Fit,
    n: int,
    rng: np.random.Generator,
    *,
    newdata: Any,
    taken: Sequence[BoolArray],
    new_levels: NewLevels,
    weights: Any = None,
    offset: Any = None,
) -> pd.DataFrame:
    """Return responses drawn for rows of a fit or for new ones, given its estimates and some of its BLUPs.

    Parameters
    ----------
    fit : Fit
    n : int
    rng : numpy.random.Generator
    newdata : frame or None
    taken : sequence of ndarray of bool, shape (k,)
        Effects of every block that are held at their BLUPs; the others are drawn, once a level.
    new_levels : {"error", "population", "marginal"}
        Of effects that are held: what becomes of levels that the fit did not see.
    weights, offset
        As in `residual_variance` and `rows_of`.
    """
    every = [np.ones(block.k, dtype=bool) for block in fit.design.blocks]
    rows = rows_of(fit, newdata, every, offset=offset)
    check_levels(fit, rows, taken, new_levels)
    # as in `residual_scale`: no residual where the weight is 0
    scale = np.sqrt(np.nan_to_num(residual_variance(fit, newdata, weights, len(rows.X))))
    mean = fixed_mean(fit, rows)
    mean[without_label(rows, every)] = np.nan
    groups = [_levels(rows, f, block.levels) for f, block in enumerate(fit.design.blocks)]
    sizes = [(count, block.k) for (_, count), block in zip(groups, fit.design.blocks, strict=True)]
    out = np.empty((n, len(rows.X)))
    for r in range(n):
        out[r] = mean
        for f, (codes, _) in enumerate(groups):
            b = fit.sigma * rng.standard_normal(sizes[f]) @ fit.lam[f].T
            if taken[f].any():
                known = len(fit.modes[f])
                b[:known, taken[f]] = fit.modes[f][:, taken[f]]
                if new_levels == "population":
                    b[known:, taken[f]] = 0.0
            out[r] += np.einsum("ik,ik->i", rows.z[f], b[codes])
        out[r] += scale * rng.standard_normal(len(rows.X))
    return pd.DataFrame(out.T, index=rows.index, columns=[f"sim_{r + 1}" for r in range(n)])


def _levels(rows: NewRows, f: int, known: int) -> tuple[IntArray, int]:
    """Return the level of each row in one block, new labels numbered after the fit's, and how many there are."""
    codes = rows.codes[f]
    if not rows.labels or not (codes < 0).any():
        return codes, known
    new = codes < 0
    numbers, labels = pd.factorize(rows.labels[f][new])
    out = codes.copy()
    out[new] = np.where(numbers >= 0, known + numbers, 0)  # a missing label: its row is NaN already
    return out, known + len(labels)
