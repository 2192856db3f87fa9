"""Residuals: what the fit leaves, raw, over its standard deviation in the population, and over its own.

SAS/STAT PROC MIXED, "Residual Diagnostics". With r = y − Xβ̂ and e = y − Xβ̂ − Zb̂:
Var(r) = σ²(V − XΦXᵀ) and Var(e) = σ²RPR = σ²R(I − H); Pearson residuals divide by √(σ²V_ii) and √(σ²R_ii) instead.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._types import Array
from ..errors import ModelError
from ..fit import Fit
from ..kernels.rows import sequential_residuals
from .rows import Rows

__all__ = ["residual_table", "scaled_residuals"]

NOTHING_LEFT = 1e-10
"""Share of a residual's variance below which the fit reproduces the row and a studentised residual is 0/0."""

LARGEST_STATE = 2000
"""Random effects of several factors up to which decorrelated residuals are computed: their cost grows with n q²."""


def residual_table(rows: Rows) -> pd.DataFrame:
    """Return residuals of every row; NaN where they are not defined (weight 0, or a row that is fitted exactly)."""
    fit = rows.fit
    marginal, conditional = fit.response - fit.fixed_part, fit.response - fit.fitted
    left = 1.0 - rows.leverage
    left = np.where(left > NOTHING_LEFT, left, np.nan)
    spread = rows.marginal_variance - rows.mean_uncertainty
    spread = np.where(spread > NOTHING_LEFT * rows.marginal_variance, spread, np.nan)
    columns = {
        "conditional": conditional,
        "conditional_pearson": conditional / np.sqrt(rows.variance_ratio) / fit.sigma,
        "conditional_studentized": conditional / np.sqrt(rows.variance_ratio * left) / fit.sigma,
        "marginal": marginal,
        "marginal_pearson": marginal / np.sqrt(rows.marginal_variance) / fit.sigma,
        "marginal_studentized": marginal / np.sqrt(spread) / fit.sigma,
    }
    return pd.DataFrame(columns, index=fit.design.index)


def scaled_residuals(fit: Fit) -> Array:
    """Return L⁻¹(y − Xβ̂) with LLᵀ the marginal covariance, rows in the order of the data, shape (n,).

    Fitzmaurice, Laird & Ware (2011), Applied Longitudinal Analysis, section 10.2; SAS's VCIRY. Each is the row's
    residual less its best prediction from the rows before it, over the standard deviation of that. With one factor
    only rows of the same level predict each other.

    Raises
    ------
    ModelError
        If there are several factors with more than 2,000 effects.
    """
    blocks = fit.design.blocks
    weights = np.ones(fit.design.n) if fit.design.weights is None else fit.design.weights
    residuals = fit.response - fit.fixed_part
    out = np.full(fit.design.n, np.nan)
    if not blocks:
        np.multiply(residuals, np.sqrt(weights), out=out, where=weights > 0)
    elif len(blocks) == 1:
        block = blocks[0]
        order = np.argsort(block.codes, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(block.codes, minlength=block.levels))])
        z = np.ascontiguousarray(block.z)
        sequential_residuals(fit.lam[0], order, start.astype(np.int64), z, weights, residuals, out)
    else:
        _filter_all(fit, weights, residuals, out)
    return out / fit.sigma


def _filter_all(fit: Fit, weights: Array, residuals: Array, out: Array) -> None:
    """Fill `out` as `sequential_residuals` does, with the effects of all factors as one state."""
    blocks = fit.design.blocks
    total = sum(block.levels * block.k for block in blocks)
    if total > LARGEST_STATE:
        raise ModelError(
            f"decorrelated residuals of {len(blocks)} factors with {total} effects together would need {fit.design.n} "
            f"updates of a {total} × {total} matrix; they are computed up to {LARGEST_STATE} effects. Use the "
            "studentized or the simulated residuals."
        )
    spread, columns, at = np.zeros((total, total)), [], 0
    for block, lam in zip(blocks, fit.lam, strict=True):
        here = slice(at, at + block.levels * block.k)
        spread[here, here] = np.kron(np.eye(block.levels), lam @ lam.T)
        columns.append(at + block.codes[:, None] * block.k + np.arange(block.k))
        at = here.stop
    places, effects = np.concatenate(columns, axis=1), np.concatenate([b.z for b in blocks], axis=1)
    mean = np.zeros(total)
    for i in np.flatnonzero(weights > 0):
        image = spread[:, places[i]] @ effects[i]
        variance = 1.0 / weights[i] + image[places[i]] @ effects[i]
        innovation = residuals[i] - mean[places[i]] @ effects[i]
        out[i] = innovation / np.sqrt(variance)
        mean += image * (innovation / variance)
        spread -= np.outer(image, image / variance)
