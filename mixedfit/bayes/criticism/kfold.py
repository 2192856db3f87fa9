"""K-fold cross-validation: elpd of rows or groups from posteriors sampled without their part of the data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.counted_rows import on_counted_rows
from mixedfit.bayes.draws.record import PosteriorDraws, factor_position
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_count
from mixedfit.core.progress import Progress
from mixedfit.core.seeds import seed_sequence

from .elpd import ExpectedDensity
from .loo import predictive_densities
from .psis import log_mean

__all__ = ["kfold"]


def kfold(
    posterior: PosteriorDraws, k: int, *, by: str | None, seed: object, progress: bool | None
) -> ExpectedDensity:
    """Return elpd by K-fold cross-validation; see `Posterior.kfold`."""
    posterior = on_counted_rows(posterior)
    if posterior.without is None:
        raise ModelError(
            "kfold() samples again, which this posterior cannot: it was read from a file or has a residual structure. "
            "Use loo()."
        )
    index, densities = predictive_densities(posterior, by, "kfold")
    check_count("k", k, 2)
    if k > len(index):
        raise ModelError(f"k is {k}; there are {len(index)} {'rows' if by is None else f'levels of {by}'}.")
    order, *seeds = seed_sequence(seed).spawn(k + 1)
    folds = np.empty(len(index), np.int64)
    folds[np.random.default_rng(order).permutation(len(index))] = np.arange(len(index)) % k
    elpd = np.empty(len(index))
    with Progress(progress) as shown:
        for fold in range(k):
            units = np.flatnonzero(folds == fold)
            elpd[units] = _left_out(posterior, by, units, seeds[fold])
            shown.count(fold + 1, k, "refits")
    full = np.concatenate([log_mean(densities(slice(i, i + 1))) for i in range(len(index))])
    return ExpectedDensity(
        "kfold",
        "row" if by is None else by,
        pd.Series(elpd, index=index, name="elpd"),
        pd.Series(full - elpd, index=index, name="p_kfold"),
        pd.Series(np.nan, index=index, name="pareto_k"),
        float("nan"),
        posterior.sigma.size,
        posterior.design.observed,
        folds=pd.Series(folds, index=index, name="fold"),
    )


def _left_out(posterior: PosteriorDraws, by: str | None, units: IntArray, seed: Any) -> Array:
    """Return the log predictive densities of some rows or groups under the posterior without all of them."""
    design, rows = posterior.design, units
    if by is not None:
        rows = np.flatnonzero(np.isin(design.blocks[factor_position(design, "by", by)].codes, units))
    assert posterior.without is not None
    other = posterior.without(rows, seed)
    if not np.array_equal(other.kept, posterior.kept):
        raise ModelError(
            f"without a part of {units.size} {'rows' if by is None else f'levels of {by}'} not all coefficients can be "
            "estimated; give a larger k."
        )
    densities = predictive_densities(replace(other, design=design), by, "kfold")[1]
    return np.concatenate([log_mean(densities(slice(unit, unit + 1))) for unit in units.tolist()])
