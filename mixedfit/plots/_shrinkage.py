"""Shrinkage of each group's coefficients, from least squares on its own rows to β + b."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import chdtri

from mixedfit.core.arrays import Array
from mixedfit.core.options import check_count
from mixedfit.diagnostics.group_fits import GroupFits, group_fits, pick_effects
from mixedfit.estimation.fit import Fitted, fit_of

from ._names import picture_names
from .style import (
    BLUE,
    ORANGE,
    check_name,
    effect_place,
    faint,
    find_block,
    finish,
    grey,
    ink,
    new_axes,
    paper,
    reference_line,
    sized,
    thinned_alpha,
)

__all__ = ["shrinkage", "shrinkage_by_size"]

MANY = 60
"""Largest number of levels that are named and drawn with large marks; more are a cloud of points."""


def shrinkage(
    results: Fitted,
    group: str | None = None,
    effects: tuple[str, str] | None = None,
    *,
    levels: tuple[float, ...] = (0.5, 0.95),
    names: int | Sequence[Any] | None = None,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the shrinkage of each group's coefficients from least squares towards the mean; return the axes.

    An arrow leads from a group's least-squares coefficients, from its own rows alone, to its coefficients in the model,
    β + b. Ellipses contain the shares `levels` of the groups under the estimated distribution N(β, Ω).

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; by default the first with at least two effects.
    effects : pair of str, optional
        The two effects shown; the first two by default.
    levels : tuple of float
        Shares of the groups inside the ellipses.
    names : int or list, optional
        Number of groups to name, those that move farthest, and of those outside the widest ellipse the farthest; or a
        list of levels. By default 5, and 0 of more than 60 groups.
    labels : mapping of str to str, optional
        Texts in place of names of the response, variables, random effects, grouping factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If the factor has fewer than two effects, a name is not known, or matplotlib is not installed.
    """
    fit = fit_of(results)
    said = picture_names(fit, labels)
    at = find_block(fit, group)
    if group is None:
        at = next((i for i, block in enumerate(fit.design.blocks) if block.k > 1), at)
    fits = group_fits(fit, at)
    first, second = pick_effects(fits, effects)
    ok = fits.determined
    alone, ours = fits.alone[[first, second]].to_numpy()[ok], fits.shrunken[[first, second]].to_numpy()
    here = [fits.effects.index(first), fits.effects.index(second)]
    mean, covariance = fits.mean[here], fits.covariance[np.ix_(here, here)]
    own, ax = ax is None, new_axes(ax, 6.5, 5.5)
    many, moved = ours.shape[0] > MANY, ours[ok]
    _arrows(ax, alone, moved, many)
    size, opacity = (6.0, thinned_alpha(ours.shape[0])) if many else (26.0, 1.0)
    ax.scatter(*alone.T, s=size, facecolors=paper() if not many else grey(), edgecolors=grey(),
               linewidths=0.8 * (not many), alpha=opacity, zorder=2,
               label="each group alone (least squares)")  # fmt: skip
    ax.scatter(*ours.T, s=size, color=BLUE, linewidths=0, alpha=max(opacity, 0.35),
               label="in the model (β + b)", zorder=3)  # fmt: skip
    for share in levels:
        outline = mean + ellipse(covariance, share)
        ax.plot(*outline.T, color=ink(), lw=0.9, ls="--" if share == max(levels) else "-", zorder=2.5,
                label=f"{100 * share:g}% of groups, by the model")  # fmt: skip
    ax.scatter(
        *mean, marker="P", s=90, color=ORANGE, edgecolors=paper(), linewidths=0.8, zorder=5, label="mean (β)"
    )
    names = (0 if many else 5) if names is None else names
    chosen = _named_levels(fits, names, alone, moved, mean, covariance, levels)
    words = said.levels(fits.alone.index[ok])
    for i in chosen:
        ax.annotate(
            words[i], alone[i], textcoords="offset points", xytext=(5, 4), fontsize=sized(8), color=ink()
        )
    _limit_to_bulk(ax, np.vstack([alone, ours]))
    _legend(ax, scale=1.3 if many else 1.0, below=own)
    title = f"Shrinkage of {ours.shape[0]:,} levels of {said.group(at)}"
    note = _lacking(fits)
    x, y = (said.effect(at, j) for j in here)
    return finish(ax, x=x, y=y, title=f"{title}\n({note})" if note else title)


def _lacking(fits: GroupFits) -> str:
    """Return a note on groups whose own rows do not determine their coefficients; empty if there are none."""
    lacking = int((~fits.determined).sum())
    return f"{lacking} without least squares of {'its' if lacking == 1 else 'their'} own" if lacking else ""


def _arrows(ax: Any, start: Array, end: Array, many: bool) -> None:
    """Draw an arrow for each group, thinner if there are many."""
    opacity = thinned_alpha(start.shape[0]) if many else 1.0
    ax.quiver(
        *start.T,
        *(end - start).T,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        color=grey(),
        alpha=min(0.8, opacity * 1.5),
        width=0.0012 if many else 0.0025,
        headwidth=5.0,
        headlength=7.0,
        zorder=1,
    )


def _legend(ax: Any, *, scale: float, below: bool) -> None:
    """Put the legend below the axes if they fill a figure or are large; else inside, with the limits widened for it.

    To be called after everything else is drawn.
    """
    from matplotlib.transforms import ScaledTranslation

    box, laid_out = ax.get_window_extent(), ax.figure.get_layout_engine() is not None
    unit = sized(ax.figure.dpi)
    wide, high = box.width / unit, box.height / unit
    columns, entries = 2 if wide > (3.7 if laid_out else 4.6) else 1, len(ax.get_legend_handles_labels()[0])
    if below or (laid_out and high > 2.5):
        beneath = ax.transAxes + ScaledTranslation(0.0, sized(-0.5), ax.figure.dpi_scale_trans)
        ax.legend(fontsize=sized(8.5), frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.0),
                  bbox_transform=beneath, ncols=columns, borderaxespad=0.0, markerscale=scale)  # fmt: skip
        return
    share = min(0.15 * -(-entries // columns) / high, 0.5)
    low, top = ax.get_ylim()
    ax.set_ylim(low - (top - low) * share / (1.0 - share), top)
    ax.legend(fontsize=sized(7), frameon=False, loc="lower left", ncols=columns, markerscale=scale, borderpad=0.1,
              borderaxespad=0.1, labelspacing=0.2)  # fmt: skip


def _named_levels(
    fits: GroupFits,
    names: int | Sequence[Any],
    alone: Array,
    moved: Array,
    mean: Array,
    omega: Array,
    levels: Any,
) -> list[int]:
    """Return the positions, among the groups with least squares of their own, of those to name.

    A number: those that move farthest, in units of the SD of each coefficient, and the farthest of those whose
    coefficients in the model are outside the widest ellipse. A list: these levels.
    """
    labels = [str(level) for level in fits.alone.index[fits.determined]]
    if not isinstance(names, int | np.integer):
        listed = [names] if isinstance(names, str) else list(names)
        for name in listed:
            check_name(str(name), labels, f"a level of {fits.group!r} with least squares of its own")
        return [labels.index(str(name)) for name in listed]
    check_count("names", names, 0)
    if not len(alone) or not names:
        return []
    sd = np.std(alone, axis=0) + 1e-300
    chosen = np.argsort(-np.linalg.norm((alone - moved) / sd, axis=1))[:names].tolist()
    rest = moved - mean
    distance = np.einsum("ij,ij->i", rest @ np.linalg.pinv(omega), rest)
    farthest = int(np.argmax(distance))
    outside = len(levels) > 0 and distance[farthest] > chdtri(2.0, 1.0 - max(levels))
    return [*chosen, farthest] if outside and farthest not in chosen else chosen


def _limit_to_bulk(ax: Any, points: Array) -> None:
    """If a few points lie very far out, set the limits to the bulk and give the number of points beyond."""
    if not len(points):
        return
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
        fontsize=sized(8),
        color=grey(),
    )


def ellipse(covariance: Array, share: float, points: int = 200) -> Array:
    """Return the contour of N(0, covariance) that contains a share of the distribution, shape (points, 2)."""
    values, vectors = np.linalg.eigh(covariance)
    radius = np.sqrt(chdtri(2.0, 1.0 - share))
    turn = np.linspace(0.0, 2.0 * np.pi, points)
    circle = np.column_stack([np.cos(turn), np.sin(turn)])
    return np.asarray(radius * (circle * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def shrinkage_by_size(
    results: Fitted,
    group: str | None = None,
    effect: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw a coefficient of every group against the group's size, by least squares and by the model; return the axes.

    Least-squares coefficients of small groups scatter most and are shrunken most. Groups of one size are drawn side by
    side, ordered by their least-squares coefficient.

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; the first by default.
    effect : str, optional
        One of its effects; the first by default.
    labels : mapping of str to str, optional
        Texts in place of names of the response, variables, random effects, grouping factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, or matplotlib is not installed.
    """
    fit = fit_of(results)
    said, at = picture_names(fit, labels), find_block(fit, group)
    fits = group_fits(fit, at)
    j = effect_place(fits.group, fits.effects, effect)
    name = fits.effects[j]
    ok = fits.determined
    own, ax = ax is None, new_axes(ax, 6.5, 4.2)
    opacity = max(0.25, thinned_alpha(fits.sizes.size))
    alone, ours = fits.alone[name].to_numpy(), fits.shrunken[name].to_numpy()
    sizes, words = _sizes(ax, fits, alone, said.group(at))
    ax.vlines(sizes[ok], alone[ok], ours[ok], color=faint(), lw=0.7, zorder=1)
    ax.scatter(sizes[ok], alone[ok], s=10, facecolors="none", edgecolors=grey(), linewidths=0.7, alpha=opacity,
               label="each group alone (least squares)", zorder=2)  # fmt: skip
    ax.scatter(
        sizes, ours, s=9, color=BLUE, linewidths=0, alpha=opacity, label="in the model (β + b)", zorder=3
    )
    reference_line(ax, y=float(fits.mean[j]))
    box = {"facecolor": paper(), "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
    ax.annotate("mean (β)", (1, float(fits.mean[j])), xycoords=("axes fraction", "data"), xytext=(-2, 2), bbox=box,
                textcoords="offset points", fontsize=sized(8.5), ha="right", va="bottom", color=ink())  # fmt: skip
    _limit_to_bulk(ax, np.column_stack([sizes[ok], alone[ok]]))
    _legend(ax, scale=1.4, below=own)
    return finish(ax, x=words, y=said.effect(at, j), title=_lacking(fits))


def _sizes(ax: Any, fits: GroupFits, alone: Array, group: str) -> tuple[Array, str]:
    """Return the horizontal places of groups, side by side if all have one size, and the label of the axis."""
    from matplotlib.ticker import MaxNLocator

    sizes = fits.sizes.astype(float)
    if np.ptp(sizes) > 0:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        return sizes, f"rows of each level of {group}"
    ax.set_xticks([])
    size = int(fits.sizes[0])
    sizes += np.linspace(-0.4, 0.4, sizes.size)[np.argsort(np.argsort(alone))]
    return sizes, f"levels of {group}, ordered: all have {size:,} row{'s' if size > 1 else ''}"
