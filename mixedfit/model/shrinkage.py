"""Shrinkage of each group: least squares on its own rows, BLUP, posterior mean."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfit.bayes.posterior import Posterior
from mixedfit.core.arrays import Array
from mixedfit.diagnostics.group_fits import group_fits

from .results import MixedResults

__all__ = ["effect_tables", "shrinkage_table"]

NOISE = 0.1
"""Monte-Carlo error of a posterior mean, as a share of what a level says alone, beyond which their ratio is noise."""

BATCHES = 10
"""Batches of each chain."""


def effect_tables(fit: MixedResults, posterior: Posterior) -> dict[str, pd.DataFrame]:
    """Return a table for each grouping factor, by level and effect; none if the draws of b were not kept.

    Columns: alone (least squares on the level's own rows, less β; what other terms say taken from the response first;
    NaN where these rows do not determine it), mode (the BLUP), mean and sd of the posterior, shrunk_mode and
    shrunk_mean: 1 − mode/alone and 1 − mean/alone, the share of the way to the mean that each goes; the latter NaN
    where alone is so near to 0 that the mean's Monte-Carlo error is more than a tenth of it.
    """
    if len(posterior.effects) < len(posterior.design.blocks):
        return {}
    out = {}
    for f, (name, modes) in enumerate(fit.random_effects.items()):
        own = group_fits(fit, f)
        draws = posterior.random_effects[name]
        index = pd.MultiIndex.from_product([modes.index, modes.columns], names=["level", "effect"])
        parts = {"alone": own.alone - own.mean, "mode": modes, "mean": draws.mean, "sd": draws.sd}
        table = pd.DataFrame(
            {key: frame.to_numpy(dtype=float).ravel() for key, frame in parts.items()}, index
        )
        alone = table["alone"].where(table["alone"] != 0.0)
        sure = _noise(draws.values).ravel() <= NOISE * alone.abs()
        out[name] = table.assign(
            shrunk_mode=1.0 - table["mode"] / alone, shrunk_mean=1.0 - table["mean"] / alone.where(sure)
        )
    return out


def _noise(values: Array) -> Array:
    """Return the Monte-Carlo standard errors of means over chains and draws, shape (levels, k), by batch means.

    Ten batches of every chain; draws of less are taken as independent.
    """
    chains, draws = values.shape[:2]
    independent = values.std(axis=(0, 1), ddof=1) / np.sqrt(chains * draws)
    size = draws // BATCHES
    if size < 2:
        return np.asarray(independent)
    batches = values[:, : size * BATCHES].reshape(chains * BATCHES, size, *values.shape[2:]).mean(axis=1)
    return np.asarray(np.maximum(independent, batches.std(axis=0, ddof=1) / np.sqrt(chains * BATCHES)))


def shrinkage_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return a row for each grouping factor and effect: spreads of the levels, and the overall shrinkage.

    Columns sd_alone, sd_mode and sd_mean are standard deviations over the levels that stand alone; shrunk_mode and
    shrunk_mean are 1 − slope of the modes (or means) on what the levels say alone, by least squares through 0.
    """
    rows = {}
    for group, table in tables.items():
        for effect in table.index.unique("effect"):
            own = table[table.index.get_level_values("effect") == effect]
            own = own[own["alone"].notna()]
            alone = own["alone"].to_numpy(dtype=float)
            squares = float(alone @ alone)
            slopes = [float(own[c] @ alone) / squares if squares > 0 else np.nan for c in ("mode", "mean")]
            spreads = [float(own[c].std()) for c in ("alone", "mode", "mean")]
            rows[group, effect] = (len(own), *spreads, *(1.0 - slope for slope in slopes))
    columns = ["levels", "sd_alone", "sd_mode", "sd_mean", "shrunk_mode", "shrunk_mean"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["group", "effect"]) if rows else pd.Index([])
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)
