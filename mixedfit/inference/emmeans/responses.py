"""Tables of means and contrasts on the scale of the response."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.design.columns import counted_rows, effect_columns, mean_inverse_weight
from mixedfit.estimation.fit import Fit
from mixedfit.formula.tokens import is_column

from .response_scale import ResponseScale

__all__ = ["MeanType", "as_ratios", "as_responses", "response_notes", "total_variance"]

MeanType: TypeAlias = Literal["link", "response"]
"""Scale of means: of the formula's left side, or of the response."""


def total_variance(fit: Fit, sigma: float | None = None) -> float:
    """Return the variance of a response about its mean: the mean of zᵀΩz + σ²/w over the rows, or the user's σ².

    Raises
    ------
    ModelError
        If the user's σ is no positive number.
    """
    if sigma is not None:
        if not isinstance(sigma, int | float | np.number) or not 0 <= float(sigma) < np.inf:
            raise ModelError(
                f"sigma is {sigma!r}; expected a standard deviation, a finite number of at least 0."
            )
        return float(sigma) ** 2
    design = fit.design
    total = 0.0
    for f, omega in enumerate(fit.omega):
        z = effect_columns(design, f)
        total += float(np.sum((z.T @ z) * omega)) / counted_rows(design)
    if fit.residual is None:
        return total + fit.sigma**2 * mean_inverse_weight(design)
    rows = design.counted
    weights = np.ones(1) if design.weights is None else design.weights[rows]
    return total + fit.sigma**2 * float(np.mean(fit.residual.multipliers[rows] ** 2 / weights))


def as_responses(
    rows: pd.DataFrame, scale: ResponseScale | None, text: str, *, variance: float
) -> pd.DataFrame:
    """Return rows of means on the scale of the response: standard errors by the delta method, limits transformed.

    Raises
    ------
    ModelError
        If the transformation cannot be inverted.
    """
    if scale is None:
        if is_column(text.strip()):
            return rows
        raise ModelError(
            f"type='response' cannot undo {text!r}; expected a chain of functions of one column, such as log(y), "
            "sqrt(y), log(y + 1), 1/y or y**0.5. Use type='link' and transform the table yourself."
        )
    value, slope = scale.response(rows["estimate"].to_numpy(), variance)
    limits = np.array([scale.response(rows[side].to_numpy(), variance)[0] for side in ("lower", "upper")])
    return rows.assign(
        estimate=value,
        std_error=np.abs(slope) * rows["std_error"],
        lower=np.minimum(*limits),
        upper=np.maximum(*limits),
    )


def as_ratios(part: pd.DataFrame, names: list[str], weights: Array, scale: ResponseScale) -> list[str]:
    """Turn differences of logarithms into ratios, in place, and return their names; other contrasts stay."""
    if not scale.ratios or np.any(np.abs(weights.sum(axis=1)) > 1e-8):
        return names
    ratio, slope = scale.ratio(part["estimate"].to_numpy())
    limits = np.array([scale.ratio(part[side].to_numpy())[0] for side in ("lower", "upper")])
    part["std_error"] = np.abs(slope) * part["std_error"]
    part["estimate"] = ratio
    part["lower"], part["upper"] = np.minimum(*limits), np.maximum(*limits)
    return [name.replace(" - ", " / ") for name in names]


def response_notes(fit: Fit, scale: ResponseScale | None, type: MeanType, *, variance: float) -> list[str]:
    """Return the notes on the scale of the means."""
    text = fit.design.formula.response
    if is_column(text.strip()):
        return []
    if type == "link" or scale is None:
        return [f"On the scale of {text}, not transformed back."]
    notes = [f"Back-transformed: intervals are computed on the scale of {text}."]
    if variance:
        notes.append(f"Back-transformed means are adjusted for bias with sigma = {np.sqrt(variance):.4g}.")
    return notes
