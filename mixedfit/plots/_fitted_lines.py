"""Data and fitted lines, in a panel for each group or all on one axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest, shown
from mixedfit.core.options import check_count
from mixedfit.design.design import RandomBlock
from mixedfit.diagnostics.group_fits import zero_variance
from mixedfit.estimation.fit import Fit, Fitted, fit_of

from ._held_lines import HeldLines, held_lines
from ._names import picture_names
from ._text import set_categories, width_in_points, wrapped_title
from ._x_axis import Along, group_lines, horizontal, population_line
from .style import (
    BLUE,
    ORANGE,
    find_block,
    finish,
    grid,
    ink,
    new_axes,
    pyplot,
    sized,
    spread,
    thinned_alpha,
    whole_figure,
)

__all__ = ["chosen_levels", "fitted_lines", "levels_by_mean", "some_of", "spaghetti"]


@whole_figure("spaghetti(…, ax=) draws all lines on one axes")
def fitted_lines(
    results: Fitted,
    x: str | Any = None,
    group: str | None = None,
    *,
    groups: int | list[Any] = 24,
    columns: int = 6,
    labels: Mapping[str, str] | None = None,
) -> Any:
    """Draw data and fitted values of groups in small panels, and return the figure; it takes no ``ax=``.

    Each panel has the rows of one level: the response as points, the fitted values as a line, and the population's
    mean for these rows (random effects 0) dashed. Where a level has several rows at one x, the lines join means; if
    other variables vary within levels, they are held at the level's mean or most frequent value, and the title says
    so. Panels are ordered by the level's mean and are labelled with the level.

    Parameters
    ----------
    results : MixedResults
    x : str or array, shape (n,), optional
        The horizontal axis: a variable of the formula, a column of the design (which stands for the variable that it
        is made of), or values for the rows of the fit, numbers or labels; a Series is matched by its index.
        By default a number with a random slope, a number or a factor that varies within groups, or another variable.
    group : str, optional
        Grouping factor; the first by default.
    groups : int or list
        Number of levels to show, evenly spaced from the lowest to the highest mean; or a list of levels.
    columns : int
        Panels in a row.
    labels : mapping of str to str, optional
        Texts in place of names of the response, variables, random effects, grouping factors and levels.

    Raises
    ------
    ModelError
        If a name is not known, values do not fit the rows, or matplotlib is not installed.
    """
    fit = fit_of(results)
    said = picture_names(fit, labels)
    at = find_block(fit, group)
    block = fit.design.blocks[at]
    along = horizontal(fit, at, x)
    shown = chosen_levels(block, fit.fitted, groups)
    check_count("columns", columns, 1)
    columns = min(columns, len(shown))
    width = float(np.clip(6.0 / columns, 1.55, 6.0))
    height = max(float(np.clip(0.75 * width, 1.5, 3.4)), 2.2 if len(shown) <= columns else 0.0)
    titles = [str(label) for label in block.grouping.levels[shown]]
    figure = grid(titles, columns, width=width, height=height, share=True)
    words = said.levels(block.grouping.levels[shown])
    held = held_lines(fit, at, along)
    averaged = [_panel(ax, fit, along, held, np.flatnonzero(block.codes == level))
                for ax, level in zip(figure.axes, shown, strict=True)]  # fmt: skip
    for ax, title in zip(figure.axes, words, strict=True):
        ax.set_title(title, fontsize=sized(9), loc="left", pad=2, color=ink())
        if along.labels:
            set_categories(ax, "x", said.levels(along.labels), size=8.0, room=0.85 * width)
        finish(ax)
    figure.supxlabel(said.variable(along.name), fontsize=sized(10))
    figure.supylabel(said.response, fontsize=sized(10))
    some = some_of(len(shown), block, groups)
    zero = "; estimated variance 0" if zero_variance(fit, at) else ""
    _above(figure, f"{said.group(at)}{some}{zero}", "" if held is None else held.note, means=any(averaged))
    return figure


def _panel(ax: Any, fit: Fit, along: Along, held: HeldLines | None, rows: IntArray) -> bool:
    """Draw the rows of one level; return whether the lines join means of several rows."""
    x, own = along.values[rows], fit.response[rows]
    if held is None:
        lines = group_lines(x, fit.fitted[rows], fit.fixed_part[rows], labels=bool(along.labels))
    else:
        lines = held.line(rows)
    places, fitted, population = lines
    dot = {"marker": "o", "ms": 3.0} if places.size == 1 else {}
    ax.plot(places, population, color=ORANGE, lw=1.2, ls=(0, (4, 2)), zorder=2.5, **dot)
    ax.plot(places, fitted, color=BLUE, lw=2.2, **dot)
    ax.scatter(
        x, own, s=9, color=ink(), linewidths=0, zorder=3, alpha=max(0.25, thinned_alpha(max(rows.size, 100)))
    )
    return held is None and bool(places.size < rows.size)


def _above(figure: Any, title: str, note: str, *, means: bool) -> None:
    """Put a title and the legend above the panels, in one row if there is room and else in two."""
    line, dashed, points = pyplot().Line2D, (0, (4, 2)), {"marker": "o", "ls": "", "ms": 3.0}
    handles = [
        line([], [], color=ORANGE, lw=1.2, ls=dashed),
        line([], [], color=BLUE, lw=2.2),
        line([], [], color=ink(), **points),
    ]
    labels = [f"population{', means' * means}", f"fitted{', means' * means}", "data"]
    needed = width_in_points(title, sized(11.0)) + width_in_points("".join(labels), sized(8.5)) + 110.0
    begins = "\n" if needed > 72.0 * figure.get_figwidth() else ""
    below = f"\n{wrapped_title(figure, note)}" if note else ""
    figure.suptitle(f"{begins}{wrapped_title(figure, title)}{below}", x=0.01, ha="left", fontsize=sized(11))
    figure.legend(handles, labels, loc="outside upper right", ncols=3, fontsize=sized(8.5), frameon=False)


def spaghetti(
    results: Fitted,
    x: str | Any = None,
    group: str | None = None,
    *,
    lines: int = 400,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the fitted line of every group over each other, with the population's mean; return the axes.

    A group's line joins its fitted values, or their means where it has several rows at one x; variables that vary
    within groups are held at the group's mean or most frequent value, as the title says. The population's line is
    the mean of the fixed part over all rows with x moved and all other variables as in the data (Friedman's partial
    dependence), if x is a variable of the formula and no other variable goes along with it; otherwise it is the mean
    over the rows at each x.

    Parameters
    ----------
    results : MixedResults
    x : str or array, optional
        As in `fitted_lines`.
    group : str, optional
        Grouping factor; the first by default.
    lines : int
        Largest number of lines; of more groups, some evenly spaced from the lowest to the highest mean are drawn.
    labels : mapping of str to str, optional
        Texts in place of names of the response, variables, random effects, grouping factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, values do not fit the rows, or matplotlib is not installed.
    """
    fit = fit_of(results)
    said = picture_names(fit, labels)
    at = find_block(fit, group)
    block = fit.design.blocks[at]
    along = horizontal(fit, at, x)
    check_count("lines", lines, 1)
    order = levels_by_mean(block, fit.fitted)
    shown = order[spread(order.size, lines)]
    ax = new_axes(ax, 6.0, 4.2)
    held = held_lines(fit, at, along)
    opacity = float(np.clip(12.0 / np.sqrt(len(shown)) / 4.0, 0.08, 0.7))
    for level in shown:
        rows = np.flatnonzero(block.codes == level)
        if held is None:
            line = group_lines(along.values[rows], fit.fitted[rows], labels=bool(along.labels))
        else:
            line = held.line(rows)[:2]
        ax.plot(*line, color=BLUE, lw=0.9, alpha=opacity, marker="." if line[0].size == 1 else None)
    places, mean, others = population_line(fit, along)
    ax.plot(places, mean, color=ORANGE, lw=2.2, label="population")
    ax.annotate(" population", (places[-1], mean[-1]), color=ORANGE, va="center", fontsize=sized(9))
    if along.labels:
        set_categories(ax, "x", said.levels(along.labels))
    some = f"{block.levels:,}" if len(shown) == block.levels else f"{len(shown)} of {block.levels:,}"
    notes = [f"lines: {held.note}"] if held is not None else []
    notes += [f"population: mean over {', '.join(map(said.variable, others))}"] if others else []
    notes += [note for note in [zero_variance(fit, at)] if note]
    title = "\n".join([f"Fitted lines of {some} levels of {said.group(at)}", *notes])
    return finish(ax, x=said.variable(along.name), y=said.response, title=title)


def some_of(count: int, block: RandomBlock, groups: Any) -> str:
    """Return how many of the levels are shown and how they were chosen; empty if all are."""
    if count == block.levels:
        return ""
    how = (
        f", evenly by mean (groups={block.levels} draws all)" if isinstance(groups, int | np.integer) else ""
    )
    return f": {count} of {block.levels:,}{how}"


def levels_by_mean(block: RandomBlock, values: Array) -> IntArray:
    """Return levels that have rows, ordered by the mean of values of the rows."""
    counts = np.bincount(block.codes, minlength=block.levels)
    sums = np.bincount(block.codes, weights=values, minlength=block.levels)
    order = np.argsort(sums / np.maximum(counts, 1), kind="stable")
    return np.asarray(order[counts[order] > 0])


def chosen_levels(block: RandomBlock, values: Array, groups: int | list[Any]) -> list[int]:
    """Return the positions of the levels to show, given their number or their labels.

    A number means levels evenly spaced in the order of the means of `values`, one for each row.
    """
    if isinstance(groups, int | np.integer) and not isinstance(groups, bool) and groups >= 1:
        order = levels_by_mean(block, values)
        return [int(order[i]) for i in spread(order.size, int(groups))]
    chosen = [groups] if isinstance(groups, str) else groups
    if not isinstance(chosen, Sequence | np.ndarray | pd.Index) or not len(chosen):
        raise ModelError(
            f"groups={groups!r}; expected how many levels to show, at least 1, or a list of levels."
        )
    known = {str(level): i for i, level in enumerate(block.grouping.levels)}
    for label in chosen:
        if str(label) not in known:
            some = ", ".join(list(known)[:8]) + f", … ({len(known):,})" * (len(known) > 8)
            hint = nearest(str(label), known)
            raise ModelError(f"{shown(label)} is not a level of {block.name!r} ({some}). {hint}".rstrip())
    levels = [known[str(label)] for label in chosen]
    empty = [label for label, level in zip(chosen, levels, strict=True) if not np.any(block.codes == level)]
    if empty:
        raise ModelError(f"{shown(empty[0])} of {block.name!r} has no rows to show; choose levels with rows.")
    return levels
