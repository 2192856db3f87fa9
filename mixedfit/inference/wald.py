"""The table of fixed effects, and Wald intervals: estimates and their standard errors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import ndtri

from .._types import Array
from ..fit import Fit
from ..labels import check_level
from ..parameters import Names, Parameter, choose, interval_table, parameters_of, values_of
from .degrees import Ddf, Degrees, degrees_of_freedom, t_probability, t_quantile
from .varpar import standard_errors

__all__ = ["coefficient_table", "denominators", "wald_intervals"]


def coefficient_table(fit: Fit, ddf: Ddf | None = None) -> tuple[pd.DataFrame, str]:
    """Return the table of fixed effects and the name of the method of its degrees of freedom.

    Columns estimate, std_error, df, statistic, p_value; df is infinite for the normal distribution.
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
    """Return the degrees of freedom of every coefficient, shape (p,); NaN where dropped.

    Levels of a factor kept as codes have them by the normal and the residual method only.
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


def wald_intervals(
    fit: Fit,
    level: float,
    parameters: str | Iterable[str] | None = None,
    *,
    ddf: Ddf | None = "normal",
    delta: bool = False,
    names: Names = "lme4",
) -> pd.DataFrame:
    """Return Wald intervals, columns lower and upper.

    Parameters
    ----------
    fit : Fit
    level : float
        Coverage.
    parameters : str or sequence of str, optional
    ddf : optional
        Reference distribution of the fixed effects.
    delta : bool
        Whether variance parameters get intervals too, by the delta method on the logarithm of standard deviations and
        Fisher's z of correlations (Pinheiro & Bates 2000, section 2.4.3); else they are NaN, as in lme4.
    names : {"lme4", "long", "words"}
    """
    probability = 0.5 + 0.5 * check_level(level)
    everything = parameters_of(fit)
    chosen = [everything[i] for i in choose(everything, parameters)]
    limits = [(float("nan"), float("nan"))] * len(chosen)
    if any(p.kind == "fixed" for p in chosen):
        fixed, _ = coefficient_table(fit, ddf)
        half = np.array([t_quantile(probability, df) for df in fixed["df"]]) * fixed["std_error"].to_numpy()
        for row, p in enumerate(chosen):
            if p.kind == "fixed":
                at = fit.beta[p.first]
                limits[row] = (at - half[p.first], at + half[p.first])
    if delta and any(p.kind != "fixed" for p in chosen):
        errors, z = standard_errors(fit), float(ndtri(probability))
        for row, (p, value) in enumerate(zip(chosen, values_of(fit, chosen), strict=True)):
            if p.kind != "fixed":
                limits[row] = _delta_limits(p, value, errors[p.name], z)
    return interval_table(chosen, limits, names)


def _delta_limits(parameter: Parameter, value: float, error: float, z: float) -> tuple[float, float]:
    if not np.isfinite(error):
        return float("nan"), float("nan")
    if parameter.kind == "correlation":
        middle, half = np.arctanh(value), z * error / (1.0 - value * value)
        return float(np.tanh(middle - half)), float(np.tanh(middle + half))
    return float(value * np.exp(-z * error / value)), float(value * np.exp(z * error / value))
