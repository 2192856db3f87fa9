"""Standardised contrasts: Cohen's d from the model."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.design.columns import counted_rows, effect_columns, mean_inverse_weight
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.parameters import variance_parameters
from mixedfit.inference.vcov_varpar import vcov_varpar

from .contrasts import MarginalContrasts
from .responses import total_variance

__all__ = ["Sigma", "effect_size_table"]

Sigma: TypeAlias = Literal["total", "residual"] | float
"""The standard deviation that contrasts are divided by."""

_WORDS = {
    "total": "the total standard deviation (random effects and residuals)",
    "residual": "the residual standard deviation",
}


def effect_size_table(
    fit: Fit, contrasts: MarginalContrasts, *, sigma: Sigma, edf: float | None
) -> MarginalContrasts:
    """Return contrasts over a standard deviation; see `MarginalMeans.effect_sizes`.

    Raises
    ------
    ModelError
        If `sigma` or `edf` is invalid.
    """
    known = (
        sigma in _WORDS
        if isinstance(sigma, str)
        else isinstance(sigma, int | float | np.number) and 0 < float(sigma) < np.inf
    )
    if not known:
        raise ModelError(f"sigma={sigma!r} is not known; expected 'total', 'residual' or a positive number.")
    if edf is not None and not (isinstance(edf, int | float | np.number) and float(edf) > 0):
        raise ModelError(f"edf is {edf!r}; expected a positive number of degrees of freedom.")
    value = float(np.sqrt(_variance(fit, sigma))) if isinstance(sigma, str) else float(sigma)
    if value == 0:
        raise ModelError(f"{_WORDS[str(sigma)]} is 0, so contrasts cannot be divided by it.")
    if edf is None:
        edf = _degrees(fit, sigma) if isinstance(sigma, str) else float("inf")
    own = contrasts.table
    d = own["estimate"] / value
    error = np.sqrt((own["std_error"] / value) ** 2 + d**2 / (2.0 * edf))
    half = (own["upper"] - own["lower"]) / 2.0 / own["std_error"] * error
    table = own.assign(estimate=d, std_error=error, lower=d - half, upper=d + half)
    word = _WORDS[sigma] if isinstance(sigma, str) else "a standard deviation"
    said = f"Cohen's d: contrasts over {word}, {value:.4g} (on {edf:.4g} degrees of freedom)."
    notes = [n for n in contrasts.notes if not n.startswith("Confidence level")]
    return MarginalContrasts(
        table.drop(columns=["statistic", "p_value"]),
        contrasts.by,
        "none",
        contrasts.level,
        contrasts.method,
        (*notes, said, f"Confidence level: {contrasts.level:g}."),
        contrasts._names,
    )


def _variance(fit: Fit, sigma: str) -> float:
    return total_variance(fit) if sigma == "total" else fit.sigma**2


def _degrees(fit: Fit, sigma: str) -> float:
    """Return 2s⁴/Var(s²) of an estimated variance s² (Satterthwaite 1946); infinite if it is known."""
    variance = _variance(fit, sigma)
    names = [p.name for p in variance_parameters(fit.design, with_sigma=fit.held_sigma is None)]
    spread = vcov_varpar(fit, scale="variance").reindex(index=names, columns=names).to_numpy()
    slope = _slope(fit, sigma)
    used = (slope != 0) & np.isfinite(np.diag(spread))  # variances of 0 count as known
    if not used.any():
        return float("inf")
    total = float(slope[used] @ spread[np.ix_(used, used)] @ slope[used])
    return 2.0 * variance**2 / total if total > 0 else float("inf")


def _slope(fit: Fit, sigma: str) -> Array:
    """Return the derivative of the variance with respect to variances, covariances and σ²."""
    design = fit.design
    parameters = variance_parameters(design, with_sigma=fit.held_sigma is None)
    out = np.zeros(len(parameters))
    factor = 1.0 if sigma == "residual" else mean_inverse_weight(design)
    for i, p in enumerate(parameters):
        if p.kind == "sigma":
            out[i] = factor
        elif sigma == "total":
            z = effect_columns(design, p.block)
            product = float(z[:, p.first] @ z[:, p.second]) / counted_rows(design)
            out[i] = product * (1.0 if p.first == p.second else 2.0)
    return out
