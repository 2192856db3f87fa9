"""Marginal slopes of a covariate: averages of derivatives of the fixed part over a reference grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fit

from .averages import check_weights
from .emmeans import MarginalMeans, MeansOptions, grid_notes, means_of
from .reference_grid import GridOptions, reference_grid
from .specs import read_specs

__all__ = ["marginal_trends"]

STEP = 1e-3
"""Step of the difference quotients over the range of the covariate, as in R's emtrends."""

STENCIL = ((1.0, 8.0 / 12), (2.0, -1.0 / 12))
"""Central differences of fourth order: exact for polynomials up to degree 4 (Abramowitz & Stegun 25.3.6)."""


def marginal_trends(
    fit: Fit,
    specs: str | Sequence[str],
    var: str,
    *,
    by: str | Sequence[str] = (),
    grid: GridOptions | None = None,
    options: MeansOptions | None = None,
) -> MarginalMeans:
    """Return the marginal slopes of a covariate within the cells of `specs`; see `MixedResults.emtrends`.

    Raises
    ------
    ModelError
        If `var` is no number of the fixed part, or an option is invalid.
    """
    grid = grid or GridOptions()
    recipe = usable(fit.design.recipe)
    _check(recipe, var)
    names, within = read_specs(specs, by, recipe.fixed_names)
    check_weights(grid.weights)
    at = {var: [recipe.variables[var].mean], **grid.at}
    found = reference_grid(
        recipe, names, within, replace(grid, at=at, rows=lambda frame: _slopes(recipe, frame, var))
    )
    notes = [f"Slopes of {var}.", *grid_notes(recipe, found, grid.weights, var)]
    return means_of(fit, found, notes, scale=None, options=options or MeansOptions())


def _check(recipe: Recipe, var: str) -> None:
    variable = recipe.variables.get(var) if var in recipe.fixed_names else None
    numbers = [n for n in recipe.fixed_names if recipe.variables[n].kind == "number"]
    if variable is None or variable.kind != "number":
        raise ModelError(
            f"var={var!r} is not a numeric variable of the fixed part ({', '.join(numbers) or 'it has none'}). "
            f"{nearest(str(var), numbers)}".rstrip()
        )


def _slopes(recipe: Recipe, frame: pd.DataFrame, var: str) -> Array:
    """Return the derivatives of the rows of X with respect to a variable, shape (rows, p).

    Far from the origin the points are rounded; the sum of their own differences stands for the step. Columns that the
    variable does not change have a derivative of exactly 0: rounding errors would make slopes count as not estimable
    where such columns were dropped.
    """
    variable = recipe.variables[var]
    step = STEP * (variable.high - variable.low) or STEP
    base = frame[var].to_numpy(dtype=np.float64)
    out, run = np.zeros((len(frame), len(recipe.x_names))), np.zeros(len(frame))
    for places, weight in STENCIL:
        low, high = base - places * step, base + places * step
        out += weight * (_fixed_rows(recipe, frame, var, high) - _fixed_rows(recipe, frame, var, low))
        run += weight * (high - low)
    return np.asarray(out / run[:, None])


def _fixed_rows(recipe: Recipe, frame: pd.DataFrame, var: str, values: Array) -> Array:
    return recipe.fixed_rows(frame.assign(**{var: values}))[0]
