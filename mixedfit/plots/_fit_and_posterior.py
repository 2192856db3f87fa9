"""A fit and a posterior in one picture: densities and intervals of each parameter, and the random effects."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from mixedfit.bayes.posterior import Posterior
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.inference.profile.curve import Curve
from mixedfit.inference.profile.profile import Profile

from ._caterpillar import NAMED
from ._text import legend_above, level_words
from .style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    chosen_names,
    effect_place,
    faint,
    find_group,
    finish,
    grey,
    grid,
    ink,
    new_axes,
    paper,
    reference_line,
    sized,
)

__all__ = ["effects_of_both", "fit_and_posterior"]

BARS = {
    "wald": ("Wald", GREY),
    "profile": ("profile", ORANGE),
    "boot": ("bootstrap", GREEN),
    "cred": ("credible", BLUE),
}
"""Label and colour of each kind of interval, from top to bottom."""

PANELS = 12
"""Largest number of panels unless parameters are chosen by name."""

STEP = 0.13
"""Distance between two bars, as a share of the height of the densities."""


def fit_and_posterior(
    table: pd.DataFrame,
    posterior: Posterior,
    profile: Profile,
    parameters: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    columns: int = 3,
    ax: Any = None,
) -> Any:
    """Draw each parameter's posterior and likelihood with the intervals of both below; return the figure, or `ax`.

    The histogram is the posterior, the line the density that the likelihood profile implies, φ(ζ) dζ/dψ; a bar and
    a text show the share of it that lies exactly on a boundary. Dots are the estimate and the posterior mean. Each
    parameter has an axes, labelled with its name.

    Parameters
    ----------
    table : pandas.DataFrame
        Table of a `Comparison`: a row for each parameter, with the intervals to show.
    posterior : Posterior
    profile : Profile
    parameters : sequence of str, optional
        All by default; of more than twelve, the first twelve and a note on the others.
    level : float
        Coverage of the intervals, for the title.
    columns : int
        Panels in a row.
    ax : matplotlib Axes, optional
        Axes for a single parameter.

    Raises
    ------
    ModelError
        If a parameter is not known, `ax` is given for several, or matplotlib is not installed.
    """
    known = [str(name) for name in table.index]
    names = chosen_names(parameters, known, "a parameter")
    if not names or (ax is not None and len(names) != 1):
        raise ModelError(f"ax is for one parameter; choose one of {', '.join(known)}.")
    left_out = [] if parameters is not None or ax is not None else _left_out(names)
    names = [name for name in names if name not in left_out]
    methods = [m for m in BARS if f"{m}_lower" in table.columns]
    curves = {p.long_name: profile.curves[p.name] for p in profile.parameters if p.name in profile.curves}
    rows = {str(k): {str(c): float(v) for c, v in r.items()} for k, r in table.T.to_dict().items()}
    words = {p.long_name: p.name if p.kind == "fixed" else p.words for p in profile.parameters}
    columns = min(columns, len(names))
    width, height = (5.4, 3.8) if len(names) == 1 else (3.7, 3.0)
    figure = grid(names, columns, width=width, height=height) if ax is None else ax.figure
    for place, (own, name) in enumerate(zip(figure.axes if ax is None else [ax], names, strict=True)):
        draws = posterior[name] if name in posterior else np.zeros((0, 0))
        _panel(own, name, rows[name], draws, curves.get(name), methods)
        if place % columns:
            own.set_yticklabels([])
        _label(own, words.get(name, name), own_figure=ax is None)
    if ax is not None:
        ax.legend(handles=_handles(level), fontsize=sized(9), frameon=False, loc="upper right")
        return ax
    if left_out:
        figure.supxlabel(
            f"{len(left_out)} more are not drawn: {left_out[0]} to {left_out[-1]}; ask for them by name",
            fontsize=sized(10.5),
            color=grey(),
        )
    legend_above(figure, _handles(level), max(2 * columns - 1, 3), 10.5)
    return figure


def _panel(
    ax: Any, name: str, row: dict[str, float], draws: Array, curve: Curve | None, methods: Sequence[str]
) -> None:
    """Draw the densities of one parameter with its intervals below."""
    low, high = _range(draws if draws.size else _likely(curve), row, methods)
    top = _densities(ax, draws, curve, (low, high))
    _bars(ax, name, row, methods, top=top, limits=(low, high))
    ax.set_xlim(low, high)
    ax.spines["left"].set_visible(False)
    ax.set_yticks([-STEP * (i + 1) * top for i in range(len(methods))], [BARS[m][0] for m in methods])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-STEP * (len(methods) + 0.7) * top, 1.08 * top)


def _likely(curve: Curve | None) -> Array:
    """Return values at which the density of a profile is at least 1% of its maximum."""
    if curve is None or len(curve.points) < 2:
        return np.zeros(0)
    at = curve.grid(301)
    height = np.nan_to_num(curve.density(at))
    return np.asarray(at[height > 0.01 * height.max()])


def _left_out(names: list[str]) -> list[str]:
    """Return the names beyond the largest number of panels, residual SDs of groups first."""
    groups = [name for name in names if name.startswith("sigma[")]
    rest = [name for name in names if name not in groups]
    kept = (rest + groups)[:PANELS]
    return [name for name in names if name not in kept]


def _label(ax: Any, words: str, *, own_figure: bool) -> None:
    """Label a panel below; on axes of a figure that is not ours the text is smaller, as there is little room."""
    width = 34
    if not own_figure:
        inches = ax.get_position().width * ax.figure.get_size_inches()[0]
        width = max(20, int(11 * inches))
    lines = textwrap.wrap(words, width)
    finish(ax, x="\n".join(lines))
    ax.xaxis.label.set_fontsize(sized(11.5 if len(lines) == 1 or own_figure else 9.0))


def _range(draws: Array, row: dict[str, float], methods: Sequence[str]) -> tuple[float, float]:
    """Return the limits of a panel: the bulk of the draws and every interval, not below 0 if no draw is."""
    ends = [row[f"{m}_{side}"] for m in methods for side in ("lower", "upper")]
    bulk = np.quantile(draws, [0.003, 0.995]).tolist() if draws.size else []
    ends = [e for e in [*ends, *bulk, row["estimate"]] if np.isfinite(e)]
    low, high = min(ends), max(ends)
    margin = 0.04 * (high - low) or 1.0
    positive = float(draws.min(initial=np.inf)) >= 0.0 and low >= 0.0
    if positive and low < 0.25 * high:
        return -0.02 * high, high + margin
    return low - margin, high + margin


def _densities(ax: Any, draws: Array, curve: Curve | None, limits: tuple[float, float]) -> float:
    """Draw the histogram of the draws and the density of the profile; return the larger height."""
    top = _histogram(ax, draws.ravel(), limits) if draws.size else 0.0
    if curve is not None and len(curve.points) > 1:
        at = curve.grid(301)
        height = np.nan_to_num(curve.density(at))
        inside = (at >= limits[0]) & (at <= limits[1])
        ax.plot(at[inside], height[inside], color=ORANGE, lw=2.4)
        # a density may rise without bound towards a boundary; the picture need not
        highest = float(height[inside].max(initial=0.0))
        top = max(top, min(highest, 2.5 * top)) if top else highest
        _at_boundary(ax, curve, top)
    return top or 1.0


def _histogram(ax: Any, values: Array, limits: tuple[float, float]) -> float:
    """Draw the histogram of the draws and return its height."""
    shown = values[(values >= limits[0]) & (values <= limits[1])]
    edges = np.linspace(*limits, 46)
    if values.min() >= 0.0 > limits[0]:
        edges = np.linspace(0.0, limits[1], 45)
    heights = np.histogram(shown, edges)[0] / (values.size * (edges[1] - edges[0]))
    ax.stairs(heights, edges, fill=True, color=BLUE, alpha=0.30, lw=0)
    return float(heights.max())


def _at_boundary(ax: Any, curve: Curve, top: float) -> None:
    """Draw the share of the profile's distribution that lies exactly at an end of the parameter's range, if any."""
    first, last = curve.points[0], curve.points[-1]
    for end, share, side in (
        (curve.low_end, float(ndtr(first.zeta)), "left"),
        (curve.high_end, float(ndtr(-last.zeta)), "right"),
    ):
        if end is None or share < 0.005:
            continue
        ax.vlines(end, 0.0, share * top, color=ORANGE, lw=5.0)
        place, near = (0.98, "right") if side == "left" else (0.02, "left")
        ax.text(place, 0.99, f"{100 * share:.0f}% of the profile\nstands at {end:g}", transform=ax.transAxes, ha=near,
                va="top", fontsize=sized(10), color=ORANGE)  # fmt: skip


def _bars(
    ax: Any,
    name: str,
    row: dict[str, float],
    methods: Sequence[str],
    *,
    top: float,
    limits: tuple[float, float],
) -> None:
    """Draw the intervals as bars below the densities, with the estimate or the posterior mean as a dot."""
    reference_line(ax, y=0.0)
    for i, method in enumerate(methods):
        place = -STEP * (i + 1) * top
        colour = grey() if method == "wald" else BARS[method][1]
        lower, upper = row[f"{method}_lower"], row[f"{method}_upper"]
        if np.isnan(lower) and np.isnan(upper):
            ax.text(
                0.5 * sum(limits),
                place,
                _missing(name, row, method),
                ha="center",
                va="center",
                fontsize=sized(9),
                color=grey(),
            )
            continue
        ends = [limits[0] if np.isnan(lower) else lower, limits[1] if np.isnan(upper) else upper]
        ax.plot(ends, [place, place], color=colour, lw=5.0, solid_capstyle="butt", alpha=0.75)
        centre = row["post_mean"] if method == "cred" else row["estimate"]
        ax.plot(
            [centre], [place], marker="D" if method == "cred" else "o", ms=7, mfc=paper(), mec=ink(), mew=1.4
        )


def _missing(name: str, row: dict[str, float], method: str) -> str:
    """Return the reason why a parameter has no interval of a method."""
    if method == "cred":
        return "not in the posterior"
    if np.isnan(row["estimate"]):
        return "not in the fit"
    if method == "wald":
        return "none for correlations" if name.startswith("cor_") else "none for variances"
    return "none"


def _handles(level: float) -> list[Any]:
    """Return the entries of the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    dot: dict[str, Any] = {"color": "none", "mfc": paper(), "mec": ink(), "mew": 1.4, "ms": 7}
    return [
        Patch(color=BLUE, alpha=0.30, lw=0, label="posterior"),
        Line2D([], [], color=ORANGE, lw=2.4, label="likelihood profile"),
        Line2D([], [], color=grey(), lw=5.0, alpha=0.75, label=f"{100 * level:g}% intervals"),
        Line2D([], [], marker="o", label="estimate", **dot),
        Line2D([], [], marker="D", label="posterior mean", **dot),
    ]


def effects_of_both(
    tables: Mapping[str, pd.DataFrame],
    posterior: Posterior,
    group: str | None = None,
    effect: str | None = None,
    *,
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Draw each level's least-squares estimate, BLUP and posterior mean of a random effect; return the axes.

    Open circles are least squares on the level's own rows (less β), dots BLUPs, diamonds posterior means with their
    credible interval; a line leads from the circle to the BLUP. Levels are ordered by their BLUP.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        `Comparison.random_effects`.
    posterior : Posterior
    group, effect : str, optional
        The first by default.
    level : float
        Coverage of the credible intervals.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, there is nothing to show, or matplotlib is not installed.
    """
    names = list(tables)
    name = names[find_group(names, group)]
    draws = posterior.random_effects[name]
    at = effect_place(name, draws.effects, effect)
    table = tables[name].xs(draws.effects[at], level="effect")
    order = np.argsort(table["mode"].to_numpy(), kind="stable")
    alone, mode, mean = (table[c].to_numpy(dtype=float)[order] for c in ("alone", "mode", "mean"))
    tails = [0.5 * (1 - level), 0.5 * (1 + level)]
    low, high = np.quantile(draws.values[:, :, order, at], tails, axis=(0, 1))
    few = mode.size <= NAMED
    ax = new_axes(ax, 6.5, max(2.8, 0.24 * mode.size + 1.3) if few else 6.5)
    places, size = np.arange(mode.size), float(np.clip(1200.0 / mode.size, 3.0, 34.0))
    shift = 0.28 if few else 0.0
    ax.hlines(places, alone, mode, color=grey() if few else faint(), lw=0.8, zorder=1)
    ax.hlines(
        places - shift,
        low,
        high,
        color=ORANGE,
        lw=float(np.clip(100.0 / mode.size, 0.3, 1.6)),
        alpha=0.6,
        zorder=1,
    )
    ax.scatter(alone, places, s=size, facecolors=paper(), edgecolors=grey(), linewidths=1.0, zorder=2,
               label="alone (least squares, less β)")  # fmt: skip
    ax.scatter(mode, places, s=size, color=BLUE, linewidths=0, zorder=3, label="BLUP")
    ax.scatter(mean, places - shift, s=0.8 * size, marker="D", color=ORANGE, linewidths=0, zorder=4,
               label=f"posterior mean, {100 * level:g}% interval")  # fmt: skip
    reference_line(ax, x=0.0)
    ax.set_yticks(places if few else [], level_words(table.index[order]) if few else [])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-1, mode.size)
    ax.legend(
        fontsize=sized(9),
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=3,
        borderaxespad=0.2,
    )
    words = name if few else f"{mode.size:,} levels of {name}, ordered"
    return finish(ax, x=f"{draws.effects[at]}: difference from the mean", y=words)
