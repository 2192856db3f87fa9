"""Pictures of random effects: caterpillars, and shrinkage from least squares to the model's coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import chdtri, ndtri

from .._types import Array
from ..labels import check_level
from .groups import GroupFits, group_fits, level_words, pick_effects
from .style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    effect_place,
    find_block,
    finish,
    new_axes,
    reference_line,
    thinned_alpha,
)

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = ["caterpillar", "shrinkage", "shrinkage_by_size"]

NAMED = 60
"""Levels beyond this many get no labels of their own, for lack of room."""


def caterpillar(
    results: MixedResults,
    group: str | None = None,
    effect: str | None = None,
    *,
    level: float = 0.95,
    sort: bool = True,
    ax: Any = None,
) -> Any:
    """Draw the predicted random effects of every level of a grouping factor, with intervals; return the axes.

    Intervals are mode ± quantile × conditional standard deviation, given the estimated parameters. Those that do not
    cover 0 are drawn darker.

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
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, or matplotlib is not installed.
    """
    fit = results._fit
    names = [block.name for block in fit.design.blocks]
    at = find_block(names, group)
    block = fit.design.blocks[at]
    j = effect_place(block.name, block.effects, effect)
    z = float(ndtri(0.5 + 0.5 * check_level(level)))
    modes = fit.modes[at][:, j]
    half = z * np.sqrt(np.maximum(fit.mode_covariance[at][:, j, j], 0.0))
    order = np.argsort(modes, kind="stable") if sort else np.arange(modes.size)[::-1]
    modes, half = modes[order], half[order]
    few = modes.size <= NAMED
    ax = new_axes(ax, 6.0, max(2.5, 0.19 * modes.size + 1.0) if few else 6.5)
    _modes_with_intervals(ax, modes, half)
    reference_line(ax, x=0.0)
    if few:
        ax.set_yticks(range(modes.size), level_words(block.grouping.levels[order]))
        ax.tick_params(axis="y", length=0)
    else:
        ax.set_yticks([])
    ax.set_ylim(-1, modes.size)
    words = block.name if few else f"{modes.size:,} levels of {block.name}, ordered"
    title = f"{100 * level:g}% intervals (blue: those without 0)"
    return finish(ax, x=f"{block.effects[j]}: difference from the mean", y=words, title=title)


def _modes_with_intervals(ax: Any, modes: Array, half: Array) -> None:
    """Draw modes and intervals, one below the other, those that do not cover 0 in blue."""
    places = np.arange(modes.size)
    clear = np.abs(modes) > half
    width = float(np.clip(120.0 / modes.size, 0.4, 2.0))
    for chosen, colour in ((~clear, GREY), (clear, BLUE)):
        lines = ax.hlines(
            places[chosen],
            (modes - half)[chosen],
            (modes + half)[chosen],
            color=colour,
            lw=width,
            rasterized=modes.size > 500,
        )
        lines.set_label("intervals that cover 0" if colour == GREY else "intervals that do not")
    ax.scatter(
        modes,
        places,
        s=np.clip(900.0 / modes.size, 2.0, 22.0),
        color=INK,
        zorder=3,
        linewidths=0,
        rasterized=modes.size > 500,
    )


def shrinkage(
    results: MixedResults,
    group: str | None = None,
    effects: tuple[str, str] | None = None,
    *,
    levels: tuple[float, ...] = (0.5, 0.95),
    ax: Any = None,
) -> Any:
    """Draw how far the model moves each group's coefficients from least squares towards the mean; return the axes.

    An arrow leads from the least-squares coefficients of a group alone to its coefficients in the model, β + b.
    Ellipses hold the shares `levels` of the groups, by the estimated distribution N(β, Ω).

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; by default the first with at least two effects.
    effects : pair of str, optional
        The two effects shown; the first two by default.
    levels : tuple of float
        Shares of the groups inside the ellipses.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If the factor has fewer than two effects, a name is not known, or matplotlib is not installed.
    """
    at = _factor_with_slopes(results, group)
    fits = group_fits(results, at)
    first, second = pick_effects(fits, effects)
    ok = fits.determined
    alone, ours = fits.alone[[first, second]].to_numpy()[ok], fits.shrunken[[first, second]].to_numpy()
    here = [fits.effects.index(first), fits.effects.index(second)]
    mean, covariance = fits.mean[here], fits.covariance[np.ix_(here, here)]
    ax = new_axes(ax, 6.5, 5.5)
    many, moved = ours.shape[0] > NAMED, ours[ok]
    _arrows(ax, alone, moved, many)
    size, opacity = (6.0, thinned_alpha(ours.shape[0])) if many else (26.0, 1.0)
    ax.scatter(*alone.T, s=size, facecolors="white" if not many else GREY, edgecolors=GREY, linewidths=0.8 * (not many),
               alpha=opacity, label="each group alone (least squares)", zorder=2)  # fmt: skip
    ax.scatter(*ours.T, s=size, color=BLUE, linewidths=0, alpha=max(opacity, 0.35),
               label="in the model (β + b)", zorder=3)  # fmt: skip
    for share in levels:
        outline = mean + ellipse(covariance, share)
        ax.plot(*outline.T, color=INK, lw=0.9, ls="--" if share == max(levels) else "-", zorder=2.5,
                label=f"{100 * share:g}% of groups, by the model")  # fmt: skip
    ax.scatter(
        *mean, marker="P", s=90, color=ORANGE, edgecolors="white", linewidths=0.8, zorder=5, label="mean (β)"
    )
    if not many:
        _name_outliers(ax, fits, alone, moved, ok)
    _hold_bulk(ax, np.vstack([alone, ours]))
    _legend_below(ax, columns=2, scale=1.3 if many else 1.0)
    lacking = int((~ok).sum())
    count = (
        f"\n({lacking} without least squares of {'its' if lacking == 1 else 'their'} own)" if lacking else ""
    )
    title = f"Shrinkage of {ours.shape[0]:,} levels of {fits.group}{count}"
    return finish(ax, x=first, y=second, title=title)


def _arrows(ax: Any, start: Array, end: Array, many: bool) -> None:
    """Draw an arrow for each group, thin where there are many."""
    opacity = thinned_alpha(start.shape[0]) if many else 1.0
    ax.quiver(
        *start.T,
        *(end - start).T,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        color=GREY,
        alpha=min(0.8, opacity * 1.5),
        width=0.0012 if many else 0.0025,
        headwidth=5.0,
        headlength=7.0,
        zorder=1,
    )


def _legend_below(ax: Any, *, columns: int, scale: float) -> None:
    """Put the legend under the axes, where it covers nothing."""
    ax.legend(fontsize=8.5, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.13), ncols=columns,
              borderaxespad=0.0, markerscale=scale)  # fmt: skip


def _name_outliers(ax: Any, fits: GroupFits, alone: Array, moved: Array, ok: Any) -> None:
    """Name the five groups that move farthest, in units of the spread of each coefficient."""
    spread = np.std(alone, axis=0) + 1e-300
    labels = level_words(fits.alone.index[ok])
    for i in np.argsort(-np.linalg.norm((alone - moved) / spread, axis=1))[:5]:
        ax.annotate(labels[i], alone[i], textcoords="offset points", xytext=(5, 4), fontsize=8, color=INK)


def _hold_bulk(ax: Any, points: Array) -> None:
    """Set limits to the points' bulk where a few lie very far out, and say how many are beyond."""
    low, high = np.quantile(points, [0.01, 0.99], axis=0)
    reach = np.maximum(high - low, 1e-12)
    inside = np.all((points >= low - reach) & (points <= high + reach), axis=1)
    beyond = int((~inside).sum())
    if not 0 < beyond < 0.02 * len(points):
        return
    kept = points[inside]
    margin = 0.05 * np.ptp(kept, axis=0)
    ax.set_xlim(kept[:, 0].min() - margin[0], kept[:, 0].max() + margin[0])
    ax.set_ylim(kept[:, 1].min() - margin[1], kept[:, 1].max() + margin[1])
    ax.annotate(
        "1 point lies beyond the picture" if beyond == 1 else f"{beyond} points lie beyond the picture",
        (1, 0),
        xycoords="axes fraction",
        xytext=(-4, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=GREY,
    )


def ellipse(covariance: Array, share: float, points: int = 200) -> Array:
    """Return the outline that holds a share of N(0, covariance), shape (points, 2)."""
    values, vectors = np.linalg.eigh(covariance)
    radius = np.sqrt(chdtri(2.0, 1.0 - share))
    turn = np.linspace(0.0, 2.0 * np.pi, points)
    circle = np.column_stack([np.cos(turn), np.sin(turn)])
    return np.asarray(radius * (circle * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _factor_with_slopes(results: MixedResults, group: str | None) -> int:
    blocks = results._fit.design.blocks
    at = find_block([block.name for block in blocks], group)
    if group is None:
        at = next((i for i, block in enumerate(blocks) if block.k > 1), at)
    return at


def shrinkage_by_size(
    results: MixedResults, group: str | None = None, effect: str | None = None, *, ax: Any = None
) -> Any:
    """Draw a coefficient of every group against the group's size: alone, and in the model; return the axes.

    Small groups scatter most when they stand alone and are moved most.

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; the first by default.
    effect : str, optional
        Which of its effects; the first by default.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, or matplotlib is not installed.
    """
    at = find_block([block.name for block in results._fit.design.blocks], group)
    fits = group_fits(results, at)
    j = effect_place(fits.group, fits.effects, effect)
    name = fits.effects[j]
    ok = fits.determined
    ax = new_axes(ax, 6.5, 4.2)
    opacity = max(0.25, thinned_alpha(fits.sizes.size))
    alone, ours = fits.alone[name].to_numpy(), fits.shrunken[name].to_numpy()
    ax.vlines(fits.sizes[ok], alone[ok], ours[ok], color=FAINT, lw=0.7, zorder=1)
    ax.scatter(fits.sizes[ok], alone[ok], s=10, facecolors="none", edgecolors=GREY, linewidths=0.7, alpha=opacity,
               label="each group alone (least squares)", zorder=2)  # fmt: skip
    ax.scatter(
        fits.sizes, ours, s=9, color=BLUE, linewidths=0, alpha=opacity, label="in the model (β + b)", zorder=3
    )
    reference_line(ax, y=float(fits.mean[j]))
    ax.annotate("mean (β)", (1, float(fits.mean[j])), xycoords=("axes fraction", "data"), xytext=(3, 0),
                textcoords="offset points", fontsize=8.5, va="center", color=INK)  # fmt: skip
    points = np.column_stack([fits.sizes[ok], alone[ok]])
    _hold_bulk(ax, points.astype(float))
    _legend_below(ax, columns=2, scale=1.4)
    return finish(ax, x=f"rows of each level of {fits.group}", y=name)
