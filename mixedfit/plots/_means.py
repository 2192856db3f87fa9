"""Marginal means and slopes with intervals, by the levels of a factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedfit.core.format import without_quotes
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.labels import label_of, labels_for, term_label
from mixedfit.estimation.tables import response_name
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.emmeans.averages import Weights
from mixedfit.inference.emmeans.emmeans import MeansOptions, marginal_means
from mixedfit.inference.emmeans.reference_grid import GridOptions
from mixedfit.inference.emmeans.response_scale import response_scale
from mixedfit.inference.emmeans.responses import MeanType
from mixedfit.inference.emmeans.specs import OVERALL
from mixedfit.inference.emmeans.trends import marginal_trends

from ._cells import Cells, caption, cells_of, draw_cells, legend_of_series, points_behind
from .style import find_block, finish, new_axes, reference_line

__all__ = ["axes_of_cells", "means", "slopes"]


def means(
    results: Fitted,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] = (),
    group: str | None = None,
    at: Mapping[str, Any] | None = None,
    ddf: Ddf | None = None,
    level: float = 0.95,
    weights: Weights = "equal",
    nesting: Any = None,
    type: MeanType = "link",
    points: bool = True,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw estimated marginal means with intervals and, faint behind them, means of the data; return the axes.

    The means and intervals are those of `MixedResults.emmeans`. The first variable is on the horizontal axis, the
    combinations of the others and of `by` are series. The faint points are means of the response in each cell for
    each level of a grouping factor, at whatever values the other variables have in these rows; without grouping
    factors they are the rows.

    Parameters
    ----------
    results : MixedResults
    specs : str or sequence of str
        Variables, or a formula such as ``"~ prime | frequency"``, as in `MixedResults.emmeans`.
    by : str or sequence of str
        Variables of the series.
    group : str, optional
        Grouping factor of the points; by default the one with the most levels.
    at : mapping, optional
        Values of variables, as in `MixedResults.emmeans`.
    ddf : optional
        Method for the degrees of freedom.
    level : float
        Coverage of each interval.
    weights : optional
        Weights of the cells that are averaged over, as in `MixedResults.emmeans`.
    nesting : optional
        Nested factors, as in `MixedResults.emmeans`.
    type : {"link", "response"}
        Whether means, limits and points of a transformed response are transformed back.
    points : bool
        Whether to draw the means of the data.
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
    block = _largest(fit) if group is None else find_block(fit, group)
    grid, options = GridOptions(dict(at or {}), weights, nesting), MeansOptions(ddf, level, type)
    found = marginal_means(fit, specs, by=by, grid=grid, options=options)
    cells = cells_of(fit, found, labels)
    behind = points_behind(fit, cells, block) if points and cells.x != OVERALL else None
    scale = response_scale(fit.design.formula.response) if found.type == "response" else None
    if behind is not None and scale is not None:
        behind = behind.assign(y=scale.response(behind["y"].to_numpy())[0])
    ax = axes_of_cells(ax, cells)
    draw_cells(ax, cells, behind)
    legend_of_series(ax, cells)
    each = "rows" if block is None else f"means of each {_group_name(fit, block, labels)}"
    caption(
        ax,
        f"Estimated marginal means, {100 * level:g}% intervals",
        found.notes,
        labels,
        *([] if behind is None else [f"Points: {each}."]),
    )
    return finish(
        ax, x=_axis_name(cells), y=label_of(response_name(fit), labels) if scale is None else scale.column
    )


def _group_name(fit: Fit, block: int, labels: Mapping[str, str]) -> str:
    name = fit.design.blocks[block].name
    return term_label(name, labels) if labels else without_quotes(name)


def _largest(fit: Fit) -> int | None:
    """Return the position of the grouping factor with the most levels."""
    sizes = [block.levels for block in fit.design.blocks]
    return int(np.argmax(sizes)) if sizes else None


def _axis_name(cells: Cells) -> str:
    return "mean of the grid" if cells.x == OVERALL else label_of(cells.x, cells.labels)


def axes_of_cells(ax: Any, cells: Cells) -> Any:
    """Return `ax`, or axes of a new figure whose width suits the number of cells."""
    several = len(cells.keys) > 1
    width = 2.4 + 0.24 * len(cells.table) + 0.35 * len(cells.levels) + 1.5 * several
    return new_axes(ax, float(np.clip(width, 5.0 + 1.4 * several, 10.0)), max(4.4, cells.legend_height))


def slopes(
    results: Fitted,
    specs: str | Sequence[str],
    var: str,
    *,
    by: str | Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    ddf: Ddf | None = None,
    level: float = 0.95,
    weights: Weights = "equal",
    nesting: Any = None,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the marginal slopes of a covariate with intervals by the levels of factors; return the axes.

    The slopes and intervals are those of `MixedResults.emtrends`.

    Parameters
    ----------
    results : MixedResults
    specs : str or sequence of str
        Variables, or a formula such as ``"~ prime | frequency"``, as in `MixedResults.emmeans`.
    var : str
        The covariate.
    by : str or sequence of str
        Variables of the series.
    at : mapping, optional
        Values of variables, as in `MixedResults.emtrends`.
    ddf : optional
        Method for the degrees of freedom.
    level : float
        Coverage of each interval.
    weights : optional
        Weights of the cells that are averaged over, as in `MixedResults.emmeans`.
    nesting : optional
        Nested factors, as in `MixedResults.emmeans`.
    labels : mapping of str to str, optional
        Texts in place of names of variables, their levels and the response, as in `mixedfit.table`.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If `var` is not a number of the fixed part, a name is not known, or matplotlib is not installed.
    """
    fit = fit_of(results)
    labels = labels_for(fit, labels)
    grid = GridOptions(dict(at or {}), weights, nesting)
    found = marginal_trends(fit, specs, var, by=by, grid=grid, options=MeansOptions(ddf, level))
    cells = cells_of(fit, found, labels)
    ax = axes_of_cells(ax, cells)
    reference_line(ax, y=0.0)
    draw_cells(ax, cells, None)
    legend_of_series(ax, cells)
    caption(ax, f"Slopes of {label_of(var, labels)}, {100 * level:g}% intervals", found.notes, labels)
    words = f"{label_of(response_name(fit), labels)} per unit of {label_of(var, labels)}"
    return finish(ax, x=_axis_name(cells), y=words)
