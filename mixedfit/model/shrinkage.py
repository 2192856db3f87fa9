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
"""Largest Monte-Carlo error of a posterior mean, relative to the least-squares estimate, for their ratio to count."""

BATCHES = 10
"""Number of batches of each chain."""


def effect_tables(fit: MixedResults, posterior: Posterior) -> dict[str, pd.DataFrame]:
    """Return a table for each grouping factor, by level and effect; none if the draws of b were not kept.

    Columns: alone (least squares on the level's own rows, less β, other terms subtracted from the response; NaN where
    these rows do not determine it), mode (the BLUP), mean and sd of the posterior, shrunk_mode = 1 − mode/alone and
    shrunk_mean = 1 − mean/alone. The last is NaN where the Monte-Carlo error of the mean exceeds a tenth of alone.
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
    """Return the Monte-Carlo standard errors of means over chains and draws, by batch means, shape (levels, k).

    Chains too short for ten batches of two draws count as independent draws.
    """
    chains, draws = values.shape[:2]
    independent = values.std(axis=(0, 1), ddof=1) / np.sqrt(chains * draws)
    size = draws // BATCHES
    if size < 2:
        return np.asarray(independent)
    batches = values[:, : size * BATCHES].reshape(chains * BATCHES, size, *values.shape[2:]).mean(axis=1)
    return np.asarray(np.maximum(independent, batches.std(axis=0, ddof=1) / np.sqrt(chains * BATCHES)))


def shrinkage_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the overall shrinkage of each grouping factor and effect, with standard deviations over the levels.

    Only levels whose own rows determine the effect count. shrunk_mode and shrunk_mean are 1 − slope of the modes (or
    means) on the least-squares estimates, through 0.
    """
    rows = {}
    for group, table in tables.items():
        for effect in table.index.unique("effect"):
            own = table[(table.index.get_level_values("effect") == effect) & table["alone"].notna()]
            alone = own["alone"].to_numpy(dtype=float)
            squares = float(alone @ alone)
            slopes = [float(own[c] @ alone) / squares if squares > 0 else np.nan for c in ("mode", "mean")]
            spreads = [float(own[c].std()) for c in ("alone", "mode", "mean")]
            rows[group, effect] = (len(own), *spreads, *(1.0 - slope for slope in slopes))
    columns = ["levels", "sd_alone", "sd_mode", "sd_mean", "shrunk_mode", "shrunk_mean"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["group", "effect"]) if rows else pd.Index([])
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)
