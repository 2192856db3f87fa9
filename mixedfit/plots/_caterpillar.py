"""Caterpillar plots: predicted random effects of every level with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from mixedfit.core.arrays import Array
from mixedfit.core.options import check_level
from mixedfit.diagnostics.group_fits import zero_variance
from mixedfit.estimation.fit import Fitted, fit_of

from ._names import picture_names
from ._text import moved_apart, points_high
from .style import BLUE, effect_place, find_block, finish, grey, ink, new_axes, paper, reference_line, sized

__all__ = ["caterpillar", "draw_levels"]

NAMED = 60
"""Largest number of levels for which a new figure is made high enough to name them all."""

LINE = 6.5
"""Smallest distance between two names, in points, at which they can be read."""


def caterpillar(
    results: Fitted,
    group: str | None = None,
    effect: str | None = None,
    *,
    level: float = 0.95,
    sort: bool = True,
    names: int = 8,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the predicted random effects of every level of a grouping factor, with intervals; return the axes.

    Intervals are mode ± quantile × conditional standard deviation, given the estimated parameters. Those that do not
    cover 0 are blue.

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; the first by default.
    effect : str, optional
        Which of its effects; the first by default.
    level : float
        Coverage of the intervals, one by one.
    sort : bool
        Whether levels are ordered by their effect; otherwise by their own order.
    names : int
        Number of levels to name, the lowest and the highest, if there is no room for all names.
    labels : mapping of str to str, optional
        Texts in place of names of the response, variables, random effects, grouping factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, `ax` is not axes, or matplotlib is not installed.
    """
    fit = fit_of(results)
    said = picture_names(fit, labels)
    at = find_block(fit, group)
    block = fit.design.blocks[at]
    j = effect_place(block.name, block.effects, effect)
    z = float(ndtri(0.5 + 0.5 * check_level(level)))
    modes = fit.modes[at][:, j]
    half = z * np.sqrt(np.maximum(fit.mode_covariance[at][:, j, j], 0.0))
    zero = zero_variance(fit, at, j)
    ax = draw_levels(
        ax,
        modes,
        modes - half,
        modes + half,
        said.levels(block.grouping.levels),
        said.group(at),
        sort=sort,
        names=names,
        x=f"{said.effect(at, j)}: difference from the mean",
        title=zero or f"{100 * level:g}% intervals (blue: those without 0)",
        nothing=bool(zero) and not half.any(),
    )
    if zero and not half.any():
        ax.set_xlim(-fit.sigma, fit.sigma)
    return ax


def draw_levels(
    ax: Any,
    centre: Array,
    lower: Array,
    upper: Array,
    words: Sequence[str],
    group: str,
    *,
    sort: bool,
    names: int,
    x: str,
    title: str,
    nothing: bool = False,
) -> Any:
    """Draw a value with an interval for each level of a grouping factor; return the axes.

    Parameters
    ----------
    ax : Axes or None
    centre, lower, upper : ndarray, shape (levels,)
    words : sequence of str
        Names of the levels.
    group : str
        Name of the factor.
    sort, names
        As in `caterpillar`.
    x, title : str
    nothing : bool
        Whether all values are 0, so that no level is named.
    """
    order = np.argsort(centre, kind="stable") if sort else np.arange(centre.size)[::-1]
    centre, lower, upper = centre[order], lower[order], upper[order]
    words = [words[i] for i in order]
    ax = new_axes(ax, 6.0, max(2.5, 0.19 * centre.size + 1.0) if centre.size <= NAMED else 6.5)
    reference_line(ax, x=0.0)
    ax.set_ylim(-1, centre.size)
    spacing = points_high(ax) / (centre.size + 1)
    _modes_with_intervals(ax, centre, lower, upper, spacing)
    all_named = spacing >= LINE
    ax.set_yticks(range(centre.size) if all_named else [], words if all_named else [])
    side = group if all_named else f"{centre.size:,} levels of {group}{', ordered' if sort else ''}"
    if not all_named and not nothing:
        _name_ends(ax, centre, lower, upper, words, names, in_margin=not sort)
    finish(ax, x=x, y=side, title=title)
    ax.tick_params(axis="y", length=0, labelsize=float(np.clip(0.85 * spacing, 5.5, sized(9.0))))
    return ax


def _name_ends(
    ax: Any,
    modes: Array,
    lower: Array,
    upper: Array,
    words: Sequence[str],
    names: int,
    *,
    in_margin: bool,
) -> None:
    """Name the lowest and the highest levels, with lines to their intervals.

    Names stand in the corners that ordered intervals leave free, below on the right and above on the left, or else in
    the right margin.
    """
    ranked, names = np.argsort(modes, kind="stable"), min(names, modes.size)
    low, high = ranked[: names // 2], ranked[modes.size - (names - names // 2) :]
    gap = sized(10.5) * (modes.size + 1) / points_high(ax)
    rows = np.arange(modes.size)
    for chosen in [np.concatenate([low, high])] if in_margin else [low, high]:
        if not chosen.size:
            continue
        right = in_margin or chosen is low
        places = moved_apart(chosen.astype(float), gap, 0.5 * gap - 1.0, modes.size - 0.5 * gap)
        beside = (rows >= places.min() - gap) & (rows <= places.max() + gap)
        pad = 0.04 * float(np.ptp(modes))
        edge = upper[beside].max() + pad if right else lower[beside].min() - pad
        for i, place in zip(chosen, places, strict=True):
            ax.annotate(
                words[i],
                (upper[i] if right else lower[i], i),
                xytext=(1.02 if in_margin else edge, place),
                textcoords=("axes fraction", "data") if in_margin else "data",
                ha="left" if right else "right",
                va="center",
                **_name_style(),
            )


def _modes_with_intervals(ax: Any, modes: Array, lower: Array, upper: Array, spacing: float) -> None:
    """Draw modes and intervals, one below the other; intervals that do not cover 0 are blue."""
    places = np.arange(modes.size)
    clear = (lower > 0.0) | (upper < 0.0)
    width = float(np.clip(min(120.0 / modes.size, 0.6 * spacing), 0.4, 2.0))
    for chosen, colour in ((~clear, grey()), (clear, BLUE)):
        lines = ax.hlines(
            places[chosen],
            lower[chosen],
            upper[chosen],
            color=colour,
            lw=width,
            rasterized=modes.size > 500,
        )
        lines.set_label("intervals that cover 0" if colour == grey() else "intervals that do not")
    ax.scatter(
        modes,
        places,
        s=np.clip(min(900.0 / modes.size, 1.2 * spacing**2), 2.0, 22.0),
        color=ink(),
        zorder=3,
        linewidths=0,
        rasterized=modes.size > 500,
    )


def _name_style() -> dict[str, Any]:
    """Return options of `annotate` for names, with a line to their intervals."""
    return {
        "fontsize": sized(8),
        "color": ink(),
        "bbox": {"facecolor": paper(), "edgecolor": "none", "alpha": 0.7, "pad": 0.2},
        "arrowprops": {"arrowstyle": "-", "color": grey(), "lw": 0.5, "shrinkA": 1, "shrinkB": 1},
    }
