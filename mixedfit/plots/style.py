"""Axes, colours and checks of arguments that all pictures share.

Colours are Okabe & Ito's (2008, Color Universal Design): colour-blind readers can tell them apart, and their lightness
differs, so that they also differ in greyscale. Where two things are shown, their shapes differ as well. Sizes of text
and the colours of text and paper follow matplotlib's rcParams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.estimation.fit import Fit

__all__ = [
    "BLUE",
    "FAINT",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PARAMETER_AXES",
    "SKY",
    "check_name",
    "chosen_names",
    "effect_place",
    "faint",
    "find_block",
    "find_group",
    "finish",
    "grey",
    "grid",
    "ink",
    "new_axes",
    "paper",
    "pyplot",
    "reference_line",
    "sized",
    "smooth",
    "spread",
    "thinned_alpha",
    "whole_figure",
]

INK = "#1a1a1a"

GREY = "#767676"

FAINT = "#d9d9d9"

LIGHT_GREY, DARK_FAINT = "#a6a6a6", "#4d4d4d"

BLUE = "#0072B2"

SKY = "#56B4E9"

ORANGE = "#D55E00"

GREEN = "#009E73"


PLAIN = 10.0
"""matplotlib's own font size, for which the sizes of the pictures are stated."""


def sized(points: float) -> float:
    """Return a font size in points, larger or smaller as ``rcParams["font.size"]`` is beside matplotlib's own 10."""
    return points * float(pyplot().rcParams["font.size"]) / PLAIN


def _grown() -> float:
    """Return the factor by which a new figure is larger for text larger than matplotlib's own."""
    return float(np.sqrt(max(1.0, sized(1.0))))


def ink() -> Any:
    """Return the colour of text, points and lines: nearly black, or ``rcParams["text.color"]`` if that is not black."""
    colour = pyplot().rcParams["text.color"]
    return INK if colour == "black" else colour


def paper() -> Any:
    """Return the colour behind the data, ``rcParams["axes.facecolor"]``."""
    return pyplot().rcParams["axes.facecolor"]


def grey() -> str:
    """Return the colour of what is less important; lighter on dark paper."""
    return LIGHT_GREY if _is_dark(paper()) else GREY


def faint() -> str:
    """Return the colour of what stands behind everything else; darker on dark paper."""
    return DARK_FAINT if _is_dark(paper()) else FAINT


def _is_dark(colour: Any) -> bool:
    """Return whether a colour is dark, by its luma (ITU-R BT.601)."""
    from matplotlib.colors import to_rgb

    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114))) < 0.5


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
    """Return `ax`, or the axes of a new figure of `width` × `height` inches if it is None.

    Raises
    ------
    ModelError
        If `ax` is not axes, or matplotlib is not installed.
    """
    if ax is None:
        return pyplot().subplots(figsize=(width * _grown(), height * _grown()), layout="constrained")[1]
    if hasattr(ax, "transAxes") and hasattr(ax, "scatter"):
        return ax
    advice = "give one of them, such as axes[0]" if hasattr(ax, "__len__") else "make some by plt.subplots()"
    if hasattr(ax, "add_subplot"):
        advice = "it is a figure; give one of its axes, such as figure.axes[0]"
    raise ModelError(f"ax={ax!r} is not an Axes of matplotlib; {advice}.")


def grid(names: Sequence[str], columns: int, *, width: float, height: float, share: bool = False) -> Any:
    """Return a figure with one axes for each name, labelled with it, in rows of `columns` panels."""
    rows = -(-len(names) // columns)
    figure, axes = pyplot().subplots(
        rows,
        columns,
        figsize=(width * columns * _grown(), height * rows * _grown()),
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
    """Label axes, remove the spines above and on the right, and return the axes."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(grey())
    ax.tick_params(colors=ink(), labelsize=sized(9), color=grey())
    if x:
        ax.set_xlabel(x, color=ink())
    if y:
        ax.set_ylabel(y, color=ink())
    if title:
        ax.set_title(title, loc="left", fontsize=sized(11), color=ink())
    return ax


def reference_line(ax: Any, *, x: float | None = None, y: float | None = None) -> None:
    """Draw a thin line behind everything else, vertical at `x` or horizontal at `y`."""
    if x is not None:
        ax.axvline(x, color=grey(), linewidth=0.8, zorder=0.5)
    if y is not None:
        ax.axhline(y, color=grey(), linewidth=0.8, zorder=0.5)


def thinned_alpha(count: int) -> float:
    """Return the opacity of points that decreases with their number, so that a dense cloud keeps its structure."""
    return float(np.clip(8.0 / np.sqrt(max(count, 1)), 0.05, 0.8))


def smooth(x: Array, y: Array, share: float = 0.4) -> tuple[Array, Array]:
    """Return a smooth trend: local linear fits with tricube weights at up to 60 places (Cleveland 1979, not robust).

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    share : float
        Share of the points in each fit.

    Returns
    -------
    (ndarray, ndarray)
        Places and the trend there.
    """
    order = np.argsort(x, kind="stable")
    if order.size > 4000:  # a subsample of 4,000 shows the same trend
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
    """Return `wanted` evenly spaced positions among `count`, the first and the last included."""
    if count <= wanted:
        return list(range(count))
    return [round(float(v)) for v in np.linspace(0, count - 1, wanted)]


def check_name(name: str, known: Sequence[str], kind: str) -> None:
    """Raise `ModelError` unless a name is known; `kind` says in the message what it should be."""
    if name not in known:
        hint = nearest(str(name), known)
        raise ModelError(f"{name!r} is not {kind} ({', '.join(known)}). {hint}".rstrip())


def chosen_names(names: str | Sequence[str] | None, known: Sequence[str], kind: str) -> list[str]:
    """Return the names to draw: all known ones by default, and one if `names` is a string.

    Raises
    ------
    ModelError
        If a name is not known. See `check_name`.
    """
    chosen = list(known) if names is None else [names] if isinstance(names, str) else list(names)
    for name in chosen:
        check_name(name, known, kind)
    return chosen


def find_group(names: Iterable[str], group: str | None) -> int:
    """Return the position of a grouping factor among `names`, 0 by default.

    Raises
    ------
    ModelError
        If there are no grouping factors, or none of that name.
    """
    known = list(names)
    if not known:
        raise ModelError("this fit has no random effects, so there is nothing to show of them.")
    if group is None:
        return 0
    check_name(group, known, "a grouping factor of this fit")
    return known.index(group)


def find_block(fit: Fit, group: str | None) -> int:
    """Return the position of a grouping factor among the blocks of a fit. See `find_group`."""
    return find_group((block.name for block in fit.design.blocks), group)


def effect_place(group: str, effects: Sequence[str], effect: str | None) -> int:
    """Return the position of an effect among those of a grouping factor, 0 by default.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    if effect is None:
        return 0
    if effect not in effects:
        own = [at for at, name in enumerate(effects) if name.startswith((f"C({effect},", f"C({effect})"))]
        if len(own) == 1:  # the only column of a coded factor, under the name of its variable
            return own[0]
    check_name(effect, effects, f"a random effect of {group!r}")
    return list(effects).index(effect)


_P = ParamSpec("_P")
_T = TypeVar("_T")

PARAMETER_AXES = "Its axes are labelled with the names of parameters"
"""Advice of `whole_figure` for figures with an axes for each parameter."""


def whole_figure(instead: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator of functions that make a figure: `ax=` raises `ModelError` with the advice `instead`."""

    def decorate(draw: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(draw)
        def wrapped(*args: _P.args, **options: _P.kwargs) -> _T:
            if "ax" in options:
                raise ModelError(
                    f"{draw.__name__} takes no ax=: it makes a figure of its own and returns it. {instead}."
                )
            return draw(*args, **options)

        wrapped.__dict__["own_errors"] = ("ax",)  # for `hinted`
        return wrapped

    return decorate
