"""Predictions of the fixed part along one variable, with confidence bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedfit.core.errors import ModelError
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.labels import label_of, labels_for
from mixedfit.estimation.tables import response_name
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.emmeans.averages import Weights
from mixedfit.inference.emmeans.emmeans import MeansOptions, marginal_means
from mixedfit.inference.emmeans.reference_grid import GridOptions
from mixedfit.prediction.variables import is_labels, levels_of, values_of, variables_on_rows

from ._cells import (
    DASHES,
    Cells,
    caption,
    cells_of,
    draw_cells,
    legend_of_series,
    points_behind,
    series_of_rows,
)
from ._means import axes_of_cells
from .style import check_name, finish, new_axes, thinned_alpha

__all__ = ["effect"]

PLACES = 61
"""Number of places along a numeric variable at which predictions are computed."""


def effect(
    results: Fitted,
    x: str,
    *,
    by: str | Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    ddf: Ddf | None = None,
    level: float = 0.95,
    weights: Weights = "equal",
    nesting: Any = None,
    points: bool = True,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw predictions of the fixed part along a variable with confidence bands, the data behind; return the axes.

    The predictions are marginal means at values of `x` over its range: other factors are averaged over with equal
    weights, other covariates are at their means. Bands are pointwise. A numeric variable of `by` with more than two
    values is at its mean and one standard deviation below and above it. A factor `x` has points with intervals.

    Parameters
    ----------
    results : MixedResults
    x : str
        A variable of the fixed part.
    by : str or sequence of str
        Variables of the series.
    at : mapping, optional
        Values of variables, such as ``{"temp": [180, 200]}``; of `x`, its places.
    ddf : optional
        Method for the degrees of freedom.
    level : float
        Coverage of the band at each place.
    weights : optional
        Weights of the cells that are averaged over, as in `MixedResults.emmeans`.
    nesting : optional
        Nested factors, as in `MixedResults.emmeans`.
    points : bool
        Whether to draw the data.
    labels : mapping of str to str, optional
        Texts in place of names of variables, their levels and the response, as in `mixedfit.table`.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not a variable of the fixed part, an option is invalid, or matplotlib is not installed.
    """
    fit = fit_of(results)
    labels = labels_for(fit, labels)
    recipe = usable(fit.design.recipe)
    if not recipe.fixed_names:
        raise ModelError("the fixed part has no variables, so there is no effect to draw.")
    check_name(x, recipe.fixed_names, "a variable of the fixed part")
    within = [by] if isinstance(by, str) else list(by)
    for name in within:
        check_name(name, recipe.fixed_names, "a variable of the fixed part")
    curve = not is_labels(recipe, x)
    spread = {name: values for name in within if (values := _three_values(fit, recipe, name)) is not None}
    places = {x: np.linspace(recipe.variables[x].low, recipe.variables[x].high, PLACES)} if curve else {}
    grid = GridOptions({**places, **spread, **(at or {})}, weights, nesting)
    found = marginal_means(fit, [x], by=within, grid=grid, options=MeansOptions(ddf, level))
    cells = cells_of(fit, found, labels)
    notes = [f"{name} at its mean and 1 SD below and above." for name in spread if name not in (at or {})]
    if curve:
        ax = new_axes(ax, 6.0 + 1.4 * (len(cells.keys) > 1), max(4.4, cells.legend_height))
        shown = points and _scatter(ax, fit, cells)
        _bands(ax, cells)
    else:
        ax = axes_of_cells(ax, cells)
        behind = points_behind(fit, cells, None) if points else None
        shown = behind is not None
        draw_cells(ax, cells, behind)
    legend_of_series(ax, cells, points=not curve)
    caption(ax, _title(curve, level), found.notes, labels, *notes, *["Points: data."] * shown)
    return finish(ax, x=label_of(x, labels), y=label_of(response_name(fit), labels))


def _title(curve: bool, level: float) -> str:
    return f"Predictions of the fixed part, {100 * level:g}% {'bands' if curve else 'intervals'}"


def _three_values(fit: Fit, recipe: Recipe, name: str) -> list[float] | None:
    """Return the mean of a number and one standard deviation below and above it; None for discrete variables."""
    if levels_of(recipe, name) is not None:
        return None
    variable = recipe.variables[name]
    values = None if fit.design.absent is not None else values_of(fit, name)
    if values is None:
        return [variable.low, variable.mean, variable.high]
    sd = float(values.astype(float).std())
    return [variable.mean - sd, variable.mean, variable.mean + sd]


def _bands(ax: Any, cells: Cells) -> None:
    """Draw a line and its band for each series."""
    for s in range(len(cells.keys)):
        rows = cells.table[cells.series == s]
        x = rows[cells.x].to_numpy(dtype=float)
        ax.fill_between(x, rows["lower"], rows["upper"], color=cells.colour(s), alpha=0.15, lw=0, zorder=2)
        ax.plot(x, rows["estimate"], color=cells.colour(s), lw=2.2, ls=DASHES[s % len(DASHES)], zorder=3)


def _scatter(ax: Any, fit: Fit, cells: Cells) -> bool:
    """Draw the rows, in the colours of their series where these are levels; return whether they are known."""
    values = variables_on_rows(fit, [cells.x, *cells.others])
    if values is None:
        return False
    rows, series = values.index.to_numpy(), series_of_rows(cells, values)
    y = (fit.response - (0.0 if fit.design.offset is None else fit.design.offset))[rows]
    x, faint = values[cells.x].to_numpy(dtype=float), 0.6 * thinned_alpha(rows.size)
    for s in np.unique(series).tolist():
        colour, own = cells.colour(s if len(cells.keys) > 1 else -1), series == s
        if s >= 0 or np.all(series < 0):
            ax.scatter(x[own], y[own], s=12, color=colour, alpha=faint, linewidths=0, zorder=1)
    return True
