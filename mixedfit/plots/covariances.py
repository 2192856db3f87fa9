"""Pictures of what random slopes imply: how rows of one group spread and correlate along a covariate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._types import Array
from ..errors import ModelError
from .style import BLUE, GREY, INK, find_block, finish, grid, new_axes

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = [
    "ImpliedCovariance",
    "implied_covariance",
    "within_group",
    "within_group_correlation",
    "within_group_variance",
]


@dataclass(frozen=True, eq=False)
class ImpliedCovariance:
    """Covariance of two rows of one group at values x₁, x₂ of a covariate: (1, x₁) Ω (1, x₂)ᵀ.

    Attributes
    ----------
    group, effect : str
    x : ndarray, shape (m,)
    covariance : ndarray, shape (m, m)
        Of the group's own effects; residuals come on top of each row's variance.
    variance : ndarray, shape (m,)
        Of a row: its diagonal plus σ².
    correlation : ndarray, shape (m, m)
        Of two different rows of one group.
    """

    group: str
    effect: str
    x: Array
    covariance: Array
    variance: Array
    correlation: Array


def implied_covariance(
    results: MixedResults, group: str | None = None, effect: str | None = None, *, points: int = 101
) -> ImpliedCovariance:
    """Return how rows of one group vary and correlate along a covariate with a random slope.

    Cov(y₁, y₂) = Ω₁₁ + Ω₁₂(x₁ + x₂) + Ω₂₂x₁x₂ for an intercept and a slope; further effects of the factor are held at
    the means of their columns. Other grouping factors are not counted.

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; by default the first with a random slope.
    effect : str, optional
        The slope; the factor's first by default.
    points : int
        Values of the covariate, at equal steps over the range of the data.

    Raises
    ------
    ModelError
        If there is no random slope, or a name is not known.
    """
    fit = results._fit
    blocks = fit.design.blocks
    at = find_block([block.name for block in blocks], group)
    slopes = [[j for j in range(block.k) if np.ptp(block.z[:, j]) > 0] for block in blocks]
    if group is None:
        at = next((i for i, own in enumerate(slopes) if own), at)
    block = blocks[at]
    if not slopes[at]:
        raise ModelError(
            f"{block.name!r} has no random slope: the correlation of its rows is the same everywhere."
        )
    named = {block.effects[j]: j for j in slopes[at]}
    if effect is not None and effect not in named:
        raise ModelError(f"{effect!r} is not a random slope of {block.name!r} ({', '.join(named)}).")
    j = named[effect] if effect is not None else slopes[at][0]
    x = np.linspace(block.z[:, j].min(), block.z[:, j].max(), points)
    z = np.tile(block.z.mean(axis=0), (points, 1))
    z[:, j] = x
    covariance = z @ fit.omega[at] @ z.T
    variance = np.diag(covariance) + fit.sigma**2
    return ImpliedCovariance(
        block.name,
        block.effects[j],
        x,
        covariance,
        variance,
        covariance / np.sqrt(np.outer(variance, variance)),
    )


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


def within_group(results: MixedResults, group: str | None = None, effect: str | None = None) -> Any:
    """Draw what a random slope implies, and return the figure: sources of variation, and correlation.

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
    ax.fill_between(implied.x, 0.0, residual, color=GREY, alpha=0.35, lw=0)
    ax.fill_between(implied.x, residual, implied.variance, color=BLUE, alpha=0.55, lw=0)
    ax.plot(implied.x, implied.variance, color=INK, lw=1.2)
    middle = implied.x.size // 2
    ax.text(
        implied.x[middle], residual / 2, f"residual σ² = {residual:.4g}", ha="center", va="center", fontsize=9
    )
    share = 100.0 * (1.0 - residual / implied.variance)
    blue = (
        f"blue: between levels of {implied.group},\n{share.min():.0f}% to {share.max():.0f}% of the variance"
    )
    right_side = int(np.argmax(share)) < middle
    ax.text(
        0.97 if right_side else 0.03,
        0.97,
        blue,
        transform=ax.transAxes,
        ha="right" if right_side else "left",
        va="top",
        fontsize=9,
    )
    ax.set_ylim(0.0, 1.25 * float(implied.variance.max()))
    ax.margins(x=0)
    return finish(ax, x=implied.effect, y="variance of a row", title="Sources of variation")


def _round_levels(values: Array) -> Array:
    """Return about six round values within the range of an array."""
    span = float(np.ptp(values))
    unit = 10.0 ** np.floor(np.log10(span / 6.0))
    step = unit * next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * m >= span / 7.0)
    return np.asarray(np.arange(np.ceil(values.min() / step), np.floor(values.max() / step) + 1) * step)


def _map(ax: Any, implied: ImpliedCovariance) -> None:
    """Draw the correlation as an image of greys with labelled contours."""
    x, values = implied.x, implied.correlation
    reach = max(float(np.abs(values).max()), 1e-6)
    low = -reach if values.min() < 0 else 0.0
    ax.imshow(
        values,
        origin="lower",
        extent=(x[0], x[-1], x[0], x[-1]),
        aspect="auto",
        cmap="PuOr_r" if low < 0 else "Blues",
        vmin=low,
        vmax=reach * (1.0 if low < 0 else 1.25),
        interpolation="bilinear",
    )
    if np.ptp(values) > 1e-6:
        lines = ax.contour(x, x, values, levels=_round_levels(values), colors=INK, linewidths=0.7)
        ax.clabel(lines, fontsize=8, fmt="%.3g")
    finish(
        ax,
        x=f"{implied.effect} of one row",
        y=f"{implied.effect} of another",
        title=f"Correlation within {implied.group}",
    )
