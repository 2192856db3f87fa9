"""Responses simulated for the rows of a fit or for new rows, with some random effects held at their BLUPs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import BoolArray, IntArray
from mixedfit.design.recipe import NewRows
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.simulate import colour_of

from .forecast import colour_of_rows
from .rows import (
    NewLevels,
    check_levels,
    check_related,
    fixed_mean,
    residual_variance,
    rows_of,
    without_label,
)

__all__ = ["simulate_rows"]


def simulate_rows(
    fit: Fit,
    n: int,
    rng: np.random.Generator,
    *,
    newdata: Any,
    included: Sequence[BoolArray],
    new_levels: NewLevels,
    weights: Any = None,
    offset: Any = None,
) -> pd.DataFrame:
    """Return simulated responses, a column for each draw.

    Parameters
    ----------
    fit : Fit
    n : int
    rng : numpy.random.Generator
    newdata : frame or None
    included : sequence of ndarray of bool, shape (k,)
        Effects of every block that are held at their BLUPs; the others are drawn once for each level.
    new_levels : {"error", "population", "marginal"}
        Treatment of new levels of the effects that are held.
    weights, offset
        As in `residual_variance` and `rows_of`.
    """
    blocks = fit.design.blocks
    every = [np.ones(block.k, dtype=bool) for block in blocks]
    rows = rows_of(fit, newdata, every, offset=offset)
    check_levels(fit, rows, included, new_levels)
    check_related(fit, rows, new_levels)
    scale = np.sqrt(np.nan_to_num(residual_variance(fit, newdata, weights, len(rows.X))))  # 0 at weight 0
    colour = colour_of(fit) if newdata is None else colour_of_rows(fit, newdata, len(rows.X))
    if fit.residual is not None and newdata is None:  # the colour has the multipliers
        scale = scale / fit.residual.multipliers
    mean = fixed_mean(fit, rows)
    mean[without_label(rows, every)] = np.nan
    groups = [_levels(rows, f, block.levels) for f, block in enumerate(blocks)]
    out = np.empty((n, len(rows.X)))
    for r in range(n):
        out[r] = mean
        for f, (codes, levels) in enumerate(groups):
            b = fit.sigma * rng.standard_normal((levels, blocks[f].k)) @ fit.lam[f].T
            known = blocks[f].known
            if known is not None:
                b[: len(known)] = known.root_times(b[: len(known)])
            if included[f].any():
                seen = len(fit.modes[f])
                b[:seen, included[f]] = fit.modes[f][:, included[f]]
                if new_levels == "population":
                    b[seen:, included[f]] = 0.0
            out[r] += np.einsum("ik,ik->i", rows.z[f], b[codes])
        noise = rng.standard_normal((1, len(rows.X)))
        out[r] += scale * (noise if colour is None else colour(noise))[0]
    return pd.DataFrame(out.T, index=rows.index, columns=[f"sim_{r + 1}" for r in range(n)])


def _levels(rows: NewRows, f: int, known: int) -> tuple[IntArray, int]:
    """Return the level of each row in one block, new labels numbered after the fit's, and the number of levels."""
    codes = rows.codes[f]
    if not rows.labels or not (codes < 0).any():
        return codes, known
    new = codes < 0
    numbers, labels = pd.factorize(rows.labels[f][new])
    out = codes.copy()
    out[new] = np.where(numbers >= 0, known + numbers, 0)  # a missing label: its row is NaN already
    return out, known + len(labels)
