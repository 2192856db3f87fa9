"""Residuals (raw, Pearson, studentized, decorrelated, simulated), and tests of their normality and spread.

SAS/STAT PROC MIXED, "Residual Diagnostics". With r = y − Xβ̂ and e = y − Xβ̂ − Zb̂:
Var(r) = σ²(V − XΦXᵀ) and Var(e) = σ²RPR = σ²R(I − H), which studentized residuals divide by; Pearson residuals divide
by √(σ²V_ii) and √(σ²R_ii).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_count
from mixedfit.core.seeds import seed_sequence
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.simulate import colour_of, residual_scale, simulate_response
from mixedfit.kernels.leverages import sequential_residuals

from .leverages import EXACT_FIT, RowLeverages
from .structured_rows import StructuredRows

__all__ = ["normality_table", "residual_table", "scaled_residuals", "simulated_residuals", "spread_table"]

LARGEST_STATE = 2000
"""Largest number q of effects for decorrelated residuals of models with several factors, which cost O(n q²)."""

LARGEST_SHAPIRO = 5000
"""Largest sample for the test of Shapiro and Wilk, whose approximation is not valid beyond."""

CHUNK = 2**21
"""Simulated numbers held at a time."""


def residual_table(rows: RowLeverages | StructuredRows) -> pd.DataFrame:
    """Return the residuals of every row; NaN where undefined (weight 0, or a row that is fitted exactly)."""
    fit = rows.fit
    marginal, conditional = fit.response - fit.fixed_part, fit.response - fit.fitted
    spread = rows.marginal_variance - rows.mean_uncertainty
    spread = np.where(spread > EXACT_FIT * rows.marginal_variance, spread, np.nan)
    columns = {
        "conditional": conditional,
        "conditional_pearson": conditional / np.sqrt(rows.variance_ratio) / fit.sigma,
        "conditional_studentized": conditional / np.sqrt(rows.residual_variance) / fit.sigma,
        "marginal": marginal,
        "marginal_pearson": marginal / np.sqrt(rows.marginal_variance) / fit.sigma,
        "marginal_studentized": marginal / np.sqrt(spread) / fit.sigma,
    }
    return pd.DataFrame(columns, index=fit.design.index)


def scaled_residuals(fit: Fit) -> Array:
    """Return L⁻¹(y − Xβ̂) with LLᵀ the marginal covariance, rows in the order of the data, shape (n,).

    Fitzmaurice, Laird & Ware (2011), Applied Longitudinal Analysis, section 10.2; see `Diagnostics.scaled_residuals`.
    With one factor only rows of the same level are correlated.

    Raises
    ------
    ModelError
        If there are several factors, or levels with known relationships, with more than 2,000 effects.
    """
    blocks = fit.working.blocks
    weights = np.ones(fit.design.n) if fit.working.weights is None else fit.working.weights
    residuals = fit.response - fit.fixed_part
    if fit.residual is not None:
        own = residuals if fit.design.weights is None else residuals * np.sqrt(fit.design.weights)
        residuals = fit.residual.root.whiten(own[:, None])[:, 0]
    out = np.full(fit.design.n, np.nan)
    if not blocks:
        np.multiply(residuals, np.sqrt(weights), out=out, where=weights > 0)
    elif len(blocks) == 1 and blocks[0].known is None:
        block = blocks[0]
        order = np.argsort(block.codes, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(block.codes, minlength=block.levels))])
        z = np.ascontiguousarray(block.z)
        sequential_residuals(fit.lam[0], order, start.astype(np.int64), z, weights, residuals, out)
    else:
        _filter_all(fit, weights, residuals, out)
    return out / fit.sigma


def _filter_all(fit: Fit, weights: Array, residuals: Array, out: Array) -> None:
    """Fill `out` as `sequential_residuals` does, by a Kalman filter whose state is the effects of all factors."""
    blocks = fit.working.blocks
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
        related = np.eye(block.levels) if block.known is None else block.known.values
        spread[here, here] = np.kron(related, lam @ lam.T)
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


def normality_table(fit: Fit, residuals: Array) -> pd.DataFrame:
    """Return moments and the Shapiro-Wilk test of the residuals and of each column of random effects.

    Parameters
    ----------
    fit : Fit
    residuals : ndarray, shape (n,)
        Studentized ones; NaN are left out.
    """
    rows = {"residual": _moments(residuals)}
    for block, modes in zip(fit.design.blocks, fit.modes, strict=True):
        rows |= {f"{e} | {block.name}": _moments(modes[:, i]) for i, e in enumerate(block.effects)}
    columns = ["count", "skewness", "excess_kurtosis", "shapiro_w", "p_value"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.astype({"count": int})


def _moments(values: Array) -> tuple[float, ...]:
    from scipy import stats

    values = values[np.isfinite(values)]
    n = values.size
    spread = float(np.std(values)) if n else 0.0
    if n < 3 or not spread > 1e-12 * float(np.abs(values).max()):
        return (n, *[float("nan")] * 4)
    z = (values - values.mean()) / spread
    w, p = stats.shapiro(values) if n <= LARGEST_SHAPIRO else (float("nan"), float("nan"))
    return n, float(np.mean(z**3)), float(np.mean(z**4) - 3.0), float(w), float(p)


def spread_table(fit: Fit, residuals: Array) -> pd.DataFrame:
    """Return Spearman's correlation of |residual| with the fitted values and every column of X.

    Parameters
    ----------
    fit : Fit
    residuals : ndarray, shape (n,)
        Studentized ones; NaN are left out.
    """
    from scipy import stats

    fine = np.isfinite(residuals)
    size = np.abs(residuals[fine])
    against = {"fitted values": fit.fitted} | dict(zip(fit.design.x_names, fit.design.X.T, strict=True))
    rows = {}
    for name, values in against.items():
        own = values[fine]
        if own.size > 2 and np.ptp(own) > 1e-12 * np.abs(own).max():
            rho, p = stats.spearmanr(size, own)
            rows[name] = (float(rho), float(p))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["spearman", "p_value"])


def simulated_residuals(fit: Fit, n: int, *, seed: object, conditional: bool) -> Array:
    """Return the ranks of the observations among n simulated ones, scaled to (0, 1), shape (rows,).

    u = (number of draws below + U)/(n + 1), U uniform on (0, 1 + ties). Under the model, with known parameters, each u
    is uniform (Dunn & Smyth 1996, JCGS 5:236; Hartig's DHARMa).
    """
    check_count("n", n, 1)
    rng = np.random.default_rng(seed_sequence(seed))
    y = fit.response
    below, ties = np.zeros(y.size, np.int64), np.zeros(y.size, np.int64)
    most = max(CHUNK // max(y.size, 1), 1)
    for start in range(0, n, most):
        drawn = _draw(fit, min(most, n - start), rng, conditional)
        below += np.count_nonzero(drawn < y[:, None], axis=1)
        ties += np.count_nonzero(drawn == y[:, None], axis=1)
    out = (below + rng.random(y.size) * (1 + ties)) / (n + 1)
    return out if fit.design.weights is None else np.where(fit.design.weights > 0, out, np.nan)


def _draw(fit: Fit, count: int, rng: np.random.Generator, conditional: bool) -> Array:
    """Return simulated responses, offset included, shape (rows, count)."""
    if not conditional:
        return simulate_response(fit, count, rng)
    drawn, colour = rng.standard_normal((count, fit.design.n)), colour_of(fit)
    noise = (drawn if colour is None else colour(drawn)).T
    return np.asarray(fit.fitted[:, None] + noise * residual_scale(fit)[:, None])
