"""Numbers on the shape of residuals and random effects: normal or not, spread even or not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._types import Array
from ..fit import Fit

__all__ = ["normality_table", "spread_table"]

LARGEST_SHAPIRO = 5000
"""Values up to which Shapiro and Wilk's test is computed; its approximation is not for more."""


def normality_table(fit: Fit, residuals: Array) -> pd.DataFrame:
    """Return moments and Shapiro and Wilk's test, a row for the residuals and for each column of random effects.

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
    """Return Spearman's correlation of the residuals' size with fitted values and every column of X.

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
