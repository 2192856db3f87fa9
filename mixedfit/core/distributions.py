"""Quantiles and tail probabilities of the t and F distributions, infinite degrees of freedom included."""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc, chdtri, fdtrc, fdtri, ndtr, ndtri, stdtr, stdtrit

from .arrays import Array

__all__ = ["f_probability", "f_quantile", "t_probability", "t_quantile", "t_quantiles"]


def t_probability(statistic: float, df: float) -> float:
    """Return the two-sided p-value of a t statistic; normal for infinite df."""
    if np.isnan(df) or np.isnan(statistic):
        return float("nan")
    return float(2.0 * (stdtr(df, -abs(statistic)) if np.isfinite(df) else ndtr(-abs(statistic))))


def t_quantile(probability: float, df: float) -> float:
    """Return a quantile of the t distribution; normal for infinite df, NaN if df is NaN."""
    if np.isnan(df):
        return float("nan")
    return float(stdtrit(df, probability)) if np.isfinite(df) else float(ndtri(probability))


def f_probability(statistic: float, df1: float, df2: float) -> float:
    """Return the upper-tail p-value of an F statistic; chi-square over df1 for infinite df2."""
    if np.isnan(df2) or np.isnan(statistic):
        return float("nan")
    return float(fdtrc(df1, df2, statistic) if np.isfinite(df2) else chdtrc(df1, df1 * statistic))


def f_quantile(probability: float, df1: float, df2: float) -> float:
    """Return a quantile of the F distribution; of chi-square over df1 for infinite df2, NaN where df2 is not known."""
    if np.isnan(df2):
        return float("nan")
    return float(fdtri(df1, df2, probability) if np.isfinite(df2) else chdtri(df1, 1.0 - probability) / df1)


def t_quantiles(probability: float, df: Array) -> Array:
    """Return quantiles of t distributions, shape (n,), like `df`; normal where df is infinite."""
    finite = np.where(np.isfinite(df), df, 1.0)
    return np.asarray(np.where(np.isinf(df), ndtri(probability), stdtrit(finite, probability)))


def shortest_interval(values: Array, count: int) -> tuple[float, float]:
    """Return the shortest interval that holds `count` of the values."""
    ordered = np.sort(values, axis=None)
    widths = ordered[count - 1 :] - ordered[: ordered.size - count + 1]
    first = int(np.argmin(widths))
    return float(ordered[first]), float(ordered[first + count - 1])
