"""Pictures of what random slopes imply: how rows of one group spread and correlate along a covariate."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from .._types import Array
from .asked import whole_figure
from .implied import ImpliedCovariance, implied_covariance
from .names import set_categories
from .style import BLUE, GREY, INK, finish, grid, new_axes

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = ["within_group", "within_group_correlation", "within_group_variance"]


def within_group_correlation(
    results: MixedResults, group: str | None = None, effect: str | None = None, *, ax: Any = None
) -> Any:
    """Draw the correlation of two rows of one group as a map of their values of the covariate; return the axes.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    implied = implied_covariance(results, group, effect)
    ax = new_axes(ax, 5.0, 4.4)
    _map(ax, implied)
    return ax


@whole_figure("within_group_variance and within_group_correlation draw its halves on ax=")
def within_group(results: MixedResults, group: str | None = None, effect: str | None = None) -> Any:
    """Draw what a random slope implies, and return the figure; it takes no ``ax=``.

    The first axes, "variation", shows the variance of a row along the covariate, split into that between groups and
    the residuals'; the second, "correlation", maps the correlation of two rows of one group.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    figure = grid(["variation", "correlation"], 2, width=4.8, height=4.0)
    left, right = figure.axes
    within_group_variance(results, group, effect, ax=left)
    within_group_correlation(results, group, effect, ax=right)
    return figure


def within_group_variance(
    results: MixedResults, group: str | None = None, effect: str | None = None, *, ax: Any = None
) -> Any:
    """Draw the variance of a row along a covariate with a random slope, between groups and residual; return the axes.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    implied = implied_covariance(results, group, effect)
    ax = new_axes(ax, 5.0, 4.2)
    residual = float(results._fit.sigma**2)
    if implied.categories:
        _bars(ax, implied, residual)
    else:
        ax.fill_between(implied.x, 0.0, residual, color=GREY, alpha=0.35, lw=0)
        ax.fill_between(implied.x, residual, implied.variance, color=BLUE, alpha=0.55, lw=0)
        ax.plot(implied.x, implied.variance, color=INK, lw=1.2)
        ax.margins(x=0)
    share = 1.0 - residual / implied.variance
    right_side = int(np.argmax(share)) < share.size // 2
    words = (
        f"grey: residual σ² = {residual:.4g}\n"
        f"blue: between levels of {implied.group},\n{_shares(share)} of the variance"
    )
    ax.text(
        0.97 if right_side else 0.03,
        0.97,
        words,
        transform=ax.transAxes,
        ha="right" if right_side else "left",
        va="top",
        fontsize=9,
    )
    ax.set_ylim(0.0, 1.35 * float(implied.variance.max()))
    words = "variance of a row" if results._fit.design.weights is None else "variance of a row of weight 1"
    return finish(ax, x=implied.variable, y=words, title=_title("Sources of variation", implied))


def _title(words: str, implied: ImpliedCovariance) -> str:
    """Return a title, with a line that says where other variables are held."""
    return textwrap.fill(f"{words}; {implied.held_words}", 44) if implied.held else words


def _bars(ax: Any, implied: ImpliedCovariance, residual: float) -> None:
    """Draw the variance of a row of each category, split in two."""
    places = np.arange(len(implied.categories))
    ax.bar(places, residual, 0.7, color=GREY, alpha=0.35)
    ax.bar(places, implied.variance - residual, 0.7, bottom=residual, color=BLUE, alpha=0.55)
    set_categories(ax, "x", implied.categories)


def _shares(share: Array) -> str:
    """Return the range of shares, one number if the ends read the same."""
    ends = [_percent(float(v)) for v in (share.min(), share.max())]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _percent(share: float) -> str:
    """Return a share as text that says 0% or 100% only of these."""
    if 0.0 < share < 0.005 or 0.995 < share < 1.0:
        return f"{100.0 * np.clip(share, 0.0001, 0.9999):.2f}%"
    return f"{100.0 * max(share, 0.0):.0f}%"


def _round_levels(values: Array) -> Array:
    """Return about six round values within the range of an array."""
    span = float(np.ptp(values))
    unit = 10.0 ** np.floor(np.log10(span / 6.0))
    step = unit * next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * m >= span / 7.0)
    return np.asarray(np.arange(np.ceil(values.min() / step), np.floor(values.max() / step) + 1) * step)


def _map(ax: Any, implied: ImpliedCovariance) -> None:
    """Draw the correlation as an image of greys with labelled contours; of categories with a number in each cell."""
    x, values = implied.x, implied.correlation
    reach = max(float(np.abs(values).max()), 1e-6)
    low = -reach if values.min() < 0 else 0.0
    few = bool(implied.categories)
    ends = (-0.5, len(x) - 0.5) if few else (x[0], x[-1])
    ax.imshow(
        values,
        origin="lower",
        extent=(*ends, *ends),
        aspect="auto",
        cmap="PuOr_r" if low < 0 else "Blues",
        vmin=low,
        vmax=reach * (1.0 if low < 0 else 1.25),
        interpolation="nearest" if few else "bilinear",
    )
    if few:
        _cells(ax, implied)
    elif np.ptp(values) > 1e-6:
        lines = ax.contour(x, x, values, levels=_round_levels(values), colors=INK, linewidths=0.7)
        ax.clabel(lines, fontsize=8, fmt="%.3g")
    finish(
        ax,
        x=f"{implied.variable} of one row",
        y=f"{implied.variable} of another",
        title=_title(f"Correlation within {implied.group}", implied),
    )


def _cells(ax: Any, implied: ImpliedCovariance) -> None:
    """Write each category's name at the axes, and the correlation in each cell while there is room."""
    set_categories(ax, "x", implied.categories)
    set_categories(ax, "y", implied.categories)
    if len(implied.categories) > 8:
        return
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 1.0}
    for (i, j), value in np.ndenumerate(implied.correlation):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color=INK, bbox=box)
