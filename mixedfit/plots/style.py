"""Shared style: axes, colours, checks of `ax`, import of matplotlib.

Colours are Okabe & Ito's (2008, Color Universal Design): told apart by colour-blind readers, and of different
lightness, so that they differ in greyscale too. Where two things are shown, their shapes differ as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from numbers import Integral
from typing import Any, ParamSpec, TypeVar

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest

__all__ = [
    "BLUE",
    "FAINT",
    "GREY",
    "INK",
    "ORANGE",
    "SKY",
    "check_axes",
    "check_count",
    "effect_place",
    "find_block",
    "finish",
    "grid",
    "new_axes",
    "pyplot",
    "reference_line",
    "smooth",
    "spread",
    "thinned_alpha",
    "whole_figure",
]

INK = "#1a1a1a"

GREY = "#767676"

FAINT = "#d9d9d9"

BLUE = "#0072B2"

SKY = "#56B4E9"

ORANGE = "#D55E00"


def pyplot() -> Any:
    """Return matplotlib.pyplot.

    Raises
    ------
    ModelError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ModelError(
            'pictures need matplotlib, which is not installed: pip install "mixedfit[plot]"'
        ) from None
    return plt


def new_axes(ax: Any, width: float, height: float) -> Any:
    """Return the axes given, or those of a new figure of so many inches.

    Raises
    ------
    ModelError
        If what is given is not axes, or matplotlib is not installed.
    """
    if ax is not None:
        return check_axes(ax)
    return pyplot().subplots(figsize=(width, height), layout="constrained")[1]


def grid(names: Sequence[str], columns: int, *, width: float, height: float, share: bool = False) -> Any:
    """Return a figure with an axes for each name, which is its label, in rows of so many columns."""
    rows = -(-len(names) // columns)
    figure, axes = pyplot().subplots(
        rows,
        columns,
        figsize=(width * columns, height * rows),
        sharex=share,
        sharey=share,
        squeeze=False,
        layout="constrained",
    )
    for at, ax in enumerate(axes.ravel()):
        if at < len(names):
            ax.set_label(names[at])
        else:
            ax.remove()
            if share and at >= columns:
                axes.ravel()[at - columns].xaxis.set_tick_params(labelbottom=True)
    return figure


def finish(ax: Any, *, x: str = "", y: str = "", title: str = "") -> Any:
    """Label axes and remove spines; return them."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=9, color=GREY)
    if x:
        ax.set_xlabel(x, color=INK)
    if y:
        ax.set_ylabel(y, color=INK)
    if title:
        ax.set_title(title, loc="left", fontsize=11, color=INK)
    return ax


def reference_line(ax: Any, *, x: float | None = None, y: float | None = None) -> None:
    """Draw a thin reference line behind everything."""
    if x is not None:
        ax.axvline(x, color=GREY, linewidth=0.8, zorder=0.5)
    if y is not None:
        ax.axhline(y, color=GREY, linewidth=0.8, zorder=0.5)


def thinned_alpha(count: int) -> float:
    """Return the opacity at which so many points are still seen as a cloud and not as a blot."""
    return float(np.clip(8.0 / np.sqrt(max(count, 1)), 0.05, 0.8))


def smooth(x: Array, y: Array, share: float = 0.4) -> tuple[Array, Array]:
    """Return a trend: local linear fits with tricube weights at up to 60 places; Cleveland (1979), without robustness.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    share : float
        Share of the points in each fit.
    """
    order = np.argsort(x, kind="stable")
    if order.size > 4000:  # a trend of so many points is that of every so-manieth of them
        order = order[:: -(-order.size // 4000)]
    x, y = x[order], y[order]
    near = max(int(np.ceil(share * x.size)), min(x.size, 5))
    places = np.unique(np.quantile(x, np.linspace(0.0, 1.0, 60)))
    heights = np.empty(places.size)
    for i, place in enumerate(places):
        distance = np.abs(x - place)
        reach = np.partition(distance, near - 1)[near - 1]
        weights = np.clip(1.0 - (distance / (reach * 1.0001 or 1.0)) ** 3, 0.0, None) ** 3
        total = weights.sum()
        mean_x, mean_y = weights @ x / total, weights @ y / total
        spread_x = weights @ (x - mean_x) ** 2
        slope = (weights * (x - mean_x)) @ (y - mean_y) / spread_x if spread_x > 1e-12 * total else 0.0
        heights[i] = mean_y + slope * (place - mean_x)
    return places, heights


def spread(count: int, wanted: int) -> list[int]:
    """Return `wanted` places evenly spread over `count`, the first and the last among them."""
    if count <= wanted:
        return list(range(count))
    return [round(float(v)) for v in np.linspace(0, count - 1, wanted)]


def find_block(names: Iterable[str], group: str | None) -> int:
    """Return the position of a grouping factor, by default of the first.

    Raises
    ------
    ModelError
        If the fit has no random effects, or none of that name.
    """
    known = list(names)
    if not known:
        raise ModelError("this fit has no random effects, so there is nothing to show of them.")
    if group is None:
        return 0
    if group not in known:
        raise ModelError(
            f"{group!r} is not a grouping factor of this fit ({', '.join(known)}). {nearest(group, known)}".rstrip()
        )
    return known.index(group)


def effect_place(group: str, effects: Sequence[str], effect: str | None) -> int:
    """Return the position of an effect among a grouping factor's, by default of the first.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    if effect is None:
        return 0
    if effect not in effects:
        raise ModelError(
            f"{effect!r} is not a random effect of {group!r} ({', '.join(effects)}). {nearest(effect, effects)}"
        )
    return list(effects).index(effect)


P = ParamSpec("P")

T = TypeVar("T")


def whole_figure(instead: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator of functions that make a figure of their own and refuse `ax=` with a hint."""

    def decorate(draw: Callable[P, T]) -> Callable[P, T]:
        @wraps(draw)
        def wrapped(*args: P.args, **options: P.kwargs) -> T:
            if "ax" in options:
                raise ModelError(
                    f"{draw.__name__} takes no ax=: it makes a figure of its own and returns it. {instead}".rstrip()
                    + "."
                )
            return draw(*args, **options)

        return wrapped

    return decorate


def check_count(name: str, count: int, expected: str = "a whole number of at least 1") -> int:
    """Return a number of things to draw.

    Raises
    ------
    ModelError
        If it is not a whole number of at least 1.
    """
    if not isinstance(count, Integral) or count < 1:
        raise ModelError(f"{name}={count!r}; expected {expected}.")
    return int(count)


def check_axes(ax: Any) -> Any:
    """Return axes.

    Raises
    ------
    ModelError
        If it is anything else.
    """
    if hasattr(ax, "transAxes") and hasattr(ax, "scatter"):
        return ax
    advice = "give one of them, such as axes[0]" if hasattr(ax, "__len__") else "make some by plt.subplots()"
    if hasattr(ax, "add_subplot"):
        advice = "it is a figure; give one of its axes, such as figure.axes[0]"
    raise ModelError(f"ax={ax!r} is not an Axes of matplotlib; {advice}.")
