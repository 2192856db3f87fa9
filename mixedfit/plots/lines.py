"""Data and fitted lines, a small panel for each group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._types import Array, IntArray
from ..errors import ModelError, nearest
from .groups import level_words
from .style import BLUE, INK, ORANGE, find_block, finish, grid, new_axes, spread

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = ["fitted_lines", "spaghetti"]


def fitted_lines(
    results: MixedResults,
    x: str | Any = None,
    group: str | None = None,
    *,
    groups: int | list[Any] = 24,
    columns: int = 6,
) -> Any:
    """Draw data and fitted values of groups in small panels, and return the figure.

    Each panel has the rows of one level: the response as points, the fitted values as a line, and the population's
    mean (random effects 0) dashed. Panels are ordered by the level's mean and are labelled with the level.

    Parameters
    ----------
    results : MixedResults
    x : str or array, shape (n,), optional
        What runs along the horizontal axis: a column of the design, or values for the rows of the fit. By default the
        first random slope, or the first fixed effect that is not constant.
    group : str, optional
        Grouping factor; the first by default.
    groups : int or list
        How many levels to show, spread evenly from the lowest to the highest; or which.
    columns : int
        Panels in a row.

    Raises
    ------
    ModelError
        If a name is not known, or matplotlib is not installed.
    """
    fit = results._fit
    at = find_block([block.name for block in fit.design.blocks], group)
    block = fit.design.blocks[at]
    along, name = _horizontal(results, at, x)
    order = _by_mean(fit.fitted, block.codes, block.levels)
    shown = _chosen(block.grouping.levels, order, groups, block.name)
    titles = level_words(block.grouping.levels[shown])
    columns = max(1, min(columns, len(shown)))
    figure = grid(titles, columns, width=1.55, height=1.5, share=True)
    for ax, level, title in zip(figure.axes, shown, titles, strict=True):
        rows = np.flatnonzero(block.codes == level)
        rows = rows[np.argsort(along[rows], kind="stable")]
        ax.plot(along[rows], fit.fixed_part[rows], color=ORANGE, lw=1.1, ls=(0, (4, 2)), label="population")
        ax.plot(along[rows], fit.fitted[rows], color=BLUE, lw=1.6, label="fitted")
        ax.scatter(along[rows], fit.response[rows], s=9, color=INK, linewidths=0, zorder=3, label="data")
        ax.set_title(title, fontsize=9, loc="left", pad=2, color=INK)
        finish(ax)
    figure.supxlabel(name, fontsize=10)
    figure.supylabel(results.formula.split("~", 1)[0].strip(), fontsize=10)
    some = "" if len(shown) == block.levels else f": {len(shown)} of {block.levels:,}"
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=8.5, frameon=False)
    figure.suptitle(f"{block.name}{some}", x=0.01, ha="left", fontsize=11)
    return figure


def spaghetti(
    results: MixedResults, x: str | Any = None, group: str | None = None, *, lines: int = 400, ax: Any = None
) -> Any:
    """Draw the fitted line of every group over each other, with the population's mean; return the axes.

    Parameters
    ----------
    results : MixedResults
    x : str or array, optional
        As in `fitted_lines`.
    group : str, optional
        Grouping factor; the first by default.
    lines : int
        Most lines drawn; of more groups, some spread evenly from the lowest to the highest.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, or matplotlib is not installed.
    """
    fit = results._fit
    at = find_block([block.name for block in fit.design.blocks], group)
    block = fit.design.blocks[at]
    along, name = _horizontal(results, at, x)
    order = _by_mean(fit.fitted, block.codes, block.levels)
    shown = order[spread(order.size, lines)]
    ax = new_axes(ax, 6.0, 4.2)
    opacity = float(np.clip(12.0 / np.sqrt(len(shown)) / 4.0, 0.08, 0.7))
    for level in shown:
        rows = np.flatnonzero(block.codes == level)
        rows = rows[np.argsort(along[rows], kind="stable")]
        ax.plot(along[rows], fit.fitted[rows], color=BLUE, lw=0.9, alpha=opacity)
    places = np.unique(np.quantile(along, np.linspace(0, 1, 40)))
    nearest_rows = np.argsort(along, kind="stable")
    at_places = np.searchsorted(along[nearest_rows], places)
    mean = [
        fit.fixed_part[nearest_rows[along[nearest_rows] == p]].mean() for p in along[nearest_rows][at_places]
    ]
    ax.plot(places, mean, color=ORANGE, lw=2.2, label="population")
    ax.annotate(" population", (places[-1], mean[-1]), color=ORANGE, va="center", fontsize=9)
    some = f"{block.levels:,}" if len(shown) == block.levels else f"{len(shown)} of {block.levels:,}"
    title = f"Fitted lines of {some} levels of {block.name}"
    return finish(ax, x=name, y=results.formula.split("~", 1)[0].strip(), title=title)


def _horizontal(results: MixedResults, block: int, x: Any) -> tuple[Array, str]:
    """Return the horizontal values of every row, and their name."""
    design = results._fit.design
    own = design.blocks[block]
    columns = {name: design.X[:, j] for j, name in enumerate(design.x_names)}
    columns |= {name: own.z[:, j] for j, name in enumerate(own.effects)}
    if x is None:
        candidates = [*own.effects, *design.x_names]
        varying = [name for name in candidates if np.ptp(columns[name]) > 0]
        if not varying:
            return np.arange(design.n, dtype=float), "row"
        x = varying[0]
    if isinstance(x, str):
        if x not in columns:
            raise ModelError(
                f"{x!r} is not a column of the design ({', '.join(columns)}). {nearest(x, columns)} Give an array, one "
                "number for each row of the fit, to show another variable."
            )
        return np.asarray(columns[x], dtype=float), x
    if isinstance(x, pd.Series) and not x.index.equals(design.index) and design.index.isin(x.index).all():
        x = x.loc[design.index]
    values = np.asarray(x, dtype=float)
    if values.shape != (design.n,):
        raise ModelError(
            f"x has shape {values.shape}; expected one number for each of the {design.n} rows of the fit."
        )
    return values, str(getattr(x, "name", None) or "x")


def _by_mean(values: Array, codes: IntArray, levels: int) -> IntArray:
    """Return levels ordered by the mean of their values."""
    counts = np.maximum(np.bincount(codes, minlength=levels), 1)
    return np.argsort(np.bincount(codes, weights=values, minlength=levels) / counts, kind="stable")


def _chosen(levels: pd.Index[Any], order: IntArray, groups: int | list[Any], name: str) -> list[int]:
    if isinstance(groups, int):
        return [int(order[i]) for i in spread(order.size, groups)]
    known = {str(level): i for i, level in enumerate(levels)}
    unknown = [g for g in groups if str(g) not in known]
    if unknown:
        raise ModelError(
            f"{unknown[0]!r} is not a level of {name!r}. {nearest(str(unknown[0]), known)}".rstrip()
        )
    return [known[str(g)] for g in groups]
