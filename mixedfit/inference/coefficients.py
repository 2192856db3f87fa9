"""The table of fixed effects: estimates, standard errors, degrees of freedom, t statistics and p-values."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.distributions import t_probability
from mixedfit.estimation.fit import Fit

from .ddf import Ddf, Degrees, degrees_of_freedom

__all__ = ["coefficient_table", "denominators"]


def coefficient_table(fit: Fit, ddf: Ddf | None = None) -> tuple[pd.DataFrame, str]:
    """Return the table of fixed effects and the name of the method for its degrees of freedom.

    Columns estimate, std_error, df, statistic, p_value; df is infinite for ``ddf="normal"``.
    """
    degrees = degrees_of_freedom(fit, ddf)
    errors = np.sqrt(np.diag(degrees.covariance))
    dfs = denominators(fit, degrees)
    statistics = fit.beta / errors
    p_values = [t_probability(t, df) for t, df in zip(statistics, dfs, strict=True)]
    columns = {
        "estimate": fit.beta,
        "std_error": errors,
        "df": dfs,
        "statistic": statistics,
        "p_value": p_values,
    }
    return pd.DataFrame(columns, index=pd.Index(fit.coefficient_names)), degrees.name


def denominators(fit: Fit, degrees: Degrees) -> Array:
    """Return the degrees of freedom of every coefficient, shape (p,); NaN for dropped columns.

    For levels of a factor stored as codes they are known by the normal and the residual method only.
    """
    out = np.full(len(fit.coefficient_names), np.nan)
    columns = len(fit.design.x_names)
    unit = np.zeros(out.size)
    for j in fit.cross.fixed.kept:
        unit[j] = 1.0
        out[j] = degrees.df(unit)
        unit[j] = 0.0
    if degrees.method in ("normal", "residual") or not fit.design.blocks:
        out[columns:] = np.where(fit.kept[columns:], degrees.df(np.zeros(out.size)), np.nan)
    return out
