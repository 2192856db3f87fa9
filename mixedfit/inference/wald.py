"""Wald intervals: estimate ± quantile × standard error."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfit.core.distributions import t_quantile
from mixedfit.core.options import check_level
from mixedfit.covariance.residual.parts import Natural
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import Names, choose, complement, interval_table, parameters_of, values_of

from .coefficients import coefficient_table
from .ddf import Ddf
from .vcov_varpar import standard_errors

__all__ = ["bounded_limit", "wald_intervals", "wald_limit"]


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
        Method for the degrees of freedom of the fixed effects.
    delta : bool
        Whether to compute intervals for variance parameters, by the delta method on the logarithm of standard
        deviations (and ranges, decays, smoothness) and Fisher's z of correlations (Pinheiro & Bates 2000, section
        2.4.3). If not, they are NaN, as in lme4.
    names : {"lme4", "long", "words"}
    """
    probability = 0.5 + 0.5 * check_level(level)
    every = parameters_of(fit)
    chosen = [every[i] for i in choose(every, parameters)]
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
            error = errors[p.name]
            if p.kind == "residual" and fit.residual is not None:
                own = fit.residual.model.natural(fit.residual.x)[p.first]
                if np.isfinite(error):
                    limits[row] = (bounded_limit(own, error, -z), bounded_limit(own, error, z))
                continue
            if p.kind != "fixed" and np.isfinite(error):
                if p.kind == "correlation" and p.lower > -1.0:  # Fisher's z on the parameter's own interval
                    middle, half = 0.5 * (p.upper + p.lower), 0.5 * (p.upper - p.lower)
                    own = (value - middle) / half, error / half
                    limits[row] = (
                        middle + half * wald_limit(p.kind, *own, -z),
                        middle + half * wald_limit(p.kind, *own, z),
                    )
                    continue
                rest = complement(fit, p) if p.kind == "correlation" and p.place < 0 else None
                limits[row] = (
                    wald_limit(p.kind, value, error, -z, rest),
                    wald_limit(p.kind, value, error, z, rest),
                )
    return interval_table(chosen, limits, names)


def bounded_limit(parameter: Natural, error: float, z: float) -> float:
    """Return estimate + z · error for the logit of the place between two limits, or the logarithm above one."""
    value, lower, upper = parameter.value, parameter.lower, parameter.upper
    if not np.isfinite(lower):
        return float(value + z * error)
    if not np.isfinite(upper):
        return float(lower + (value - lower) * np.exp(z * error / (value - lower)))
    width = upper - lower
    share = (value - lower) / width
    moved = np.log(share / (1.0 - share)) + z * error / (width * share * (1.0 - share))
    return float(lower + width / (1.0 + np.exp(-moved)))


def wald_limit(kind: str, estimate: float, error: float, z: float, rest: float | None = None) -> float:
    """Return estimate + z · error, for the logarithm of SDs, ranges and the like, and Fisher's z of correlations.

    `rest` is 1 − ρ² of a correlation, where it is known more exactly than from the correlation itself.
    """
    if kind in ("sd", "sigma", "range", "decay", "smoothness"):
        return float(estimate * np.exp(z * error / estimate))
    if kind == "correlation":
        rest = 1.0 - estimate * estimate if rest is None else rest
        middle = np.copysign(np.log((1.0 + abs(estimate)) / np.sqrt(rest)), estimate)
        return float(np.tanh(middle + z * error / rest))
    return estimate + z * error
