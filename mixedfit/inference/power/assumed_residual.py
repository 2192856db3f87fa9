"""Assumed parameters of a residual structure: from natural values such as φ to the unconstrained ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.design.design import Design
from mixedfit.design.residual_rows import with_fitted

__all__ = ["residual_names", "residual_parameters", "with_means"]

EXACT = 1e-9
"""Largest relative difference between the values given and those of the solution."""


def residual_names(design: Design) -> list[str]:
    """Return the names of the parameters of the residual structure; none without one."""
    model = design.residual
    return [] if model is None else [p.name for p in model.natural(model.start)]


def residual_parameters(model: ResidualModel, values: Array) -> Array:
    """Return x with given natural parameters, by Gauss–Newton steps from each start.

    Parameters
    ----------
    model : ResidualModel
    values : ndarray, shape (parameters,)
        In the order of `residual_names`.

    Raises
    ------
    ModelError
        If a value is outside of its limits, or the values belong to no covariance matrix.
    """
    for p, value in zip(model.natural(model.start), values, strict=True):
        if not p.lower < value < p.upper:
            raise ModelError(
                f"{p.name!r} is {value:g}; expected a value between {p.lower:g} and {p.upper:g}."
            )
    size = np.maximum(np.abs(values), 1e-3)

    def gap(x: Array) -> Array:
        with np.errstate(all="ignore"):
            found = (np.array([p.value for p in model.natural(x)]) - values) / size
        return np.nan_to_num(found, nan=1e6, posinf=1e6, neginf=-1e6)

    def slopes(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.nan_to_num(model.natural_slopes(x) / size[:, None])

    for start in [model.start, *model.further_starts]:
        x = _solved(gap, slopes, start)
        if np.abs(gap(x)).max(initial=0.0) < EXACT:
            return x
    names = ", ".join(f"{p.name} = {v:g}" for p, v in zip(model.natural(model.start), values, strict=True))
    raise ModelError(
        f"the parameters of {model.structure} ({names}) belong to no covariance matrix of this structure. Correlations "
        "must agree with each other; see fit.residual_params of a fit for values that do."
    )


def _solved(gap: Callable[[Array], Array], slopes: Callable[[Array], Array], start: Array) -> Array:
    if not start.size:
        return start
    found: Any = least_squares(gap, start, jac=slopes, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    return np.asarray(found.x, dtype=np.float64)


def with_means(design: Design, mean: Array) -> ResidualModel | None:
    """Return the residual structure of a design, with assumed means as the fitted values of variance functions.

    Raises
    ------
    ModelError
        If a variance function depends on fitted values that have random effects in them.
    """
    model = design.residual
    if model is None or not model.of_fitted:
        return model
    if design.blocks:
        raise ModelError(
            f"{model.structure}: responses are drawn with the SD as a function of the assumed means, which is for "
            "models without random effects. Leave the random terms out, or take a column of the data."
        )
    return with_fitted(model, mean)
