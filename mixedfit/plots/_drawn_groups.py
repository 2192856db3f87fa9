"""Draws from a posterior by group: lines over the data, and replicated statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np

from mixedfit.bayes.criticism.predictive_check import vectorised
from mixedfit.bayes.draws.counted_rows import on_counted_rows
from mixedfit.bayes.draws.row_density import row_means
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.format import without_quotes
from mixedfit.core.options import check_count, check_level, check_one_of
from mixedfit.design.design import RandomBlock
from mixedfit.estimation.fit import Fit

from ._caterpillar import NAMED
from ._fitted_lines import chosen_levels, some_of
from ._text import level_words, set_categories, wrapped_title
from ._x_axis import Along, group_lines, horizontal
from .style import BLUE, ORANGE, SKY, find_group, finish, grid, ink, new_axes, sized

__all__ = ["drawn_lines", "predictive_groups"]

STATISTICS: dict[str, Callable[[Array], Array]] = {
    "mean": lambda y: y.mean(axis=-1),
    "median": lambda y: np.median(y, axis=-1),
    "sd": lambda y: y.std(axis=-1, ddof=1),
    "min": lambda y: y.min(axis=-1),
    "max": lambda y: y.max(axis=-1),
}
"""Statistics of the rows of one level, along the last axis."""


def drawn_lines(
    posterior: Posterior,
    x: Any = None,
    group: str | None = None,
    *,
    groups: int | list[Any] = 12,
    lines: int = 40,
    columns: int = 4,
) -> Any:
    """Draw lines of each group from the posterior over its data, in small panels; return the figure.

    A thin line joins the means Xβ + Zb of the group's rows in one draw, the thick line their posterior means; where a
    group has several rows at one x, lines join averages. Panels are ordered by the group's mean and are labelled with
    the level.

    Parameters
    ----------
    posterior : Posterior
    x : str or array, shape (n,), optional
        The horizontal axis, as in `fitted_lines`.
    group : str, optional
        Grouping factor; the first by default.
    groups : int or list
        Number of levels to show, evenly spaced from the lowest to the highest mean; or a list of levels.
    lines : int
        Number of draws, spread evenly over all chains.
    columns : int
        Panels in a row.

    Raises
    ------
    ModelError
        If a name is not known, the draws of the effects were not kept, or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> figure = mf.plots.drawn_lines(model.gibbs(seed=1), groups=6, columns=3)
    >>> len(figure.axes)
    6
    """
    check_count("lines", lines, 1)
    check_count("columns", columns, 1)
    posterior.require_effects()
    block = _block(posterior, group)
    at = [own.name for own in posterior.design.blocks].index(block.name)
    along = horizontal(cast(Fit, posterior), at, x)  # reads the design only
    drawn = _some_means(posterior, lines)
    average = row_means(
        posterior.design,
        posterior.kept,
        posterior.beta.mean(axis=(0, 1), keepdims=True),
        tuple(b.mean(axis=(0, 1), keepdims=True) for b in posterior.effects),
    )[0, 0]
    shown = chosen_levels(block, posterior.design.observed, groups)
    columns = min(columns, len(shown))
    levels = block.grouping.levels[shown]
    figure = grid([str(level) for level in levels], columns, width=2.3, height=1.9, share=True)
    for ax, level, words in zip(figure.axes, shown, level_words(levels), strict=True):
        _lines_of_level(ax, along, np.flatnonzero(block.codes == level), drawn, average)
        ax.scatter(*_points(posterior, along, block, level), s=10, color=ink(), linewidths=0, zorder=4)
        ax.set_title(words, fontsize=sized(9), loc="left", pad=2, color=ink())
        if along.labels:
            set_categories(ax, "x", along.labels, size=8.0, room=1.9)
        finish(ax)
    some = some_of(len(shown), block, groups)
    title = f"{block.name}{some}; {drawn.shape[0]} lines drawn from the {posterior.kind}"
    figure.suptitle(wrapped_title(figure, title), x=0.01, ha="left", fontsize=sized(11))
    figure.supxlabel(along.name, fontsize=sized(10))
    figure.supylabel(without_quotes(posterior.design.formula.response), fontsize=sized(10))
    return figure


def _block(posterior: Posterior, group: str | None) -> RandomBlock:
    blocks = posterior.design.blocks
    return blocks[find_group((block.name for block in blocks), group)]


def _some_means(posterior: Posterior, lines: int) -> Array:
    """Return Xβ + Zb of draws spread evenly over the chains, shape (lines, n)."""
    total = posterior.sigma.size
    chosen = np.unique(np.linspace(0, total - 1, min(lines, total)).round().astype(np.int64))
    beta = posterior.beta.reshape(total, -1)[None, chosen]
    effects = tuple(b.reshape(total, *b.shape[2:])[None, chosen] for b in posterior.effects)
    return np.asarray(row_means(posterior.design, posterior.kept, beta, effects)[0])


def _lines_of_level(ax: Any, along: Along, rows: IntArray, drawn: Array, average: Array) -> None:
    """Draw the lines of one level, one for each draw, and that of the posterior means."""
    alpha = float(np.clip(8.0 / len(drawn), 0.08, 0.6))
    places = along.values[rows]
    for line in drawn:
        ax.plot(*group_lines(places, line[rows], labels=bool(along.labels)), color=SKY, lw=0.8, alpha=alpha)
    ax.plot(*group_lines(places, average[rows], labels=bool(along.labels)), color=BLUE, lw=1.8, zorder=3)


def _points(posterior: Posterior, along: Along, block: RandomBlock, level: int) -> tuple[Array, Array]:
    rows = np.flatnonzero(block.codes == level)
    return along.values[rows], posterior.design.observed[rows]


def predictive_groups(
    posterior: Posterior,
    statistic: str | Callable[[Array], Any] = "mean",
    group: str | None = None,
    *,
    groups: Literal["same", "new"] = "same",
    draws: int = 1000,
    level: float = 0.95,
    seed: object = None,
    ax: Any = None,
) -> Any:
    """Draw a statistic of each group with the interval of its replicates, ordered; return the axes.

    Dots are the statistic of the rows of a group in the data, bars the central interval of the statistic in responses
    that are drawn from the posterior. Dots outside of their bar are orange.

    Parameters
    ----------
    posterior : Posterior
    statistic : {"mean", "median", "sd", "min", "max"} or callable
        Of the rows of a group; "sd" leaves groups of one row out. Or a function of a group's responses, an array, that
        returns a number.
    group : str, optional
        Grouping factor; the first by default.
    groups : {"same", "new"}
        Replicates of the groups with their own effects, or of new groups with the same rows.
    draws : int
        Number of replicates.
    level : float
        Share of the replicates in a bar.
    seed : int, SeedSequence, Generator or None
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, no group has rows enough, or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> ax = mf.plots.predictive_groups(model.gibbs(seed=1), "sd", draws=100, seed=1)
    >>> ax.get_xlabel()
    'sd of Reaction in each Subject'
    """
    named, function = _named(statistic)
    check_level(level)
    block = _block(on_counted_rows(posterior), group)
    fewest = 2 if statistic == "sd" else 1
    rows = [np.flatnonzero(block.codes == j) for j in range(block.levels)]
    kept = [j for j, own in enumerate(rows) if own.size >= fewest]
    if not kept:
        raise ModelError(f"no level of {block.name!r} has {fewest} rows, which {statistic!r} needs.")
    response = on_counted_rows(posterior).design.observed
    replicated = posterior.replicate(draws, groups=groups, seed=seed)
    observed = np.array([function(response[rows[j]]) for j in kept])
    tails = [0.5 * (1 - level), 0.5 * (1 + level)]
    lower, upper = np.array([np.quantile(function(replicated[:, rows[j]]), tails) for j in kept]).T
    order = np.argsort(observed, kind="stable")
    labels = level_words(block.grouping.levels[np.array(kept)[order]])
    name = f"{named} of {without_quotes(posterior.design.formula.response)} in each {block.name}"
    return _bars_and_dots(ax, observed[order], lower[order], upper[order], labels, name, level)


def _named(statistic: Any) -> tuple[str, Callable[[Array], Array]]:
    """Return the name of a statistic, and its function along the last axis."""
    if not callable(statistic):
        check_one_of("statistic", statistic, tuple(STATISTICS))
        return statistic, STATISTICS[statistic]
    name = getattr(statistic, "__name__", "<lambda>")

    def function(y: Array) -> Array:
        return vectorised(statistic)(np.atleast_2d(y))[() if y.ndim > 1 else 0]

    return "statistic" if name == "<lambda>" else name, function


def _bars_and_dots(
    ax: Any, observed: Array, lower: Array, upper: Array, labels: list[str], name: str, level: float
) -> Any:
    """Draw observed statistics over the intervals of their replicates."""
    few = observed.size <= NAMED
    ax = new_axes(ax, 6.0, max(2.6, 0.2 * observed.size + 1.2) if few else 6.5)
    places, beyond = np.arange(observed.size), (observed < lower) | (observed > upper)
    width = float(np.clip(240.0 / observed.size, 0.6, 5.0))
    share = f"{100 * level:g}% of replicates"
    ax.hlines(places, lower, upper, color=SKY, alpha=0.6, lw=width, label=share)
    size = float(np.clip(1200.0 / observed.size, 4.0, 26.0))
    for chosen, colour, label in ((~beyond, ink(), "data"), (beyond, ORANGE, f"outside: {beyond.sum()}")):
        if chosen.any():
            ax.scatter(
                observed[chosen], places[chosen], s=size, color=colour, linewidths=0, zorder=3, label=label
            )
    ax.set_yticks(places if few else [], labels if few else [])
    ax.set_ylim(-1, observed.size)
    ax.legend(fontsize=sized(9), frameon=False, loc="lower right")
    finish(ax, x=name, y="" if few else f"{observed.size:,} levels, ordered")
    ax.tick_params(axis="y", length=0, labelsize=sized(8))
    return ax
