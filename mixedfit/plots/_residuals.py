"""Residuals against fitted values, their spread, and normal Q–Q plots of residuals and random effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from mixedfit.core.arrays import Array
from mixedfit.diagnostics.group_fits import zero_variance
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.tables import scaled_residuals

from ._names import picture_names
from .style import (
    BLUE,
    ORANGE,
    effect_place,
    faint,
    find_block,
    finish,
    grey,
    grid,
    ink,
    new_axes,
    reference_line,
    sized,
    smooth,
    thinned_alpha,
    whole_figure,
)

__all__ = [
    "overview",
    "qq_random_effect",
    "qq_random_effects",
    "qq_residuals",
    "residuals_fitted",
    "scale_location",
    "scaled_with_fitted",
]


def scaled_with_fitted(fit: Fit) -> tuple[Array, Array]:
    """Return fitted values and scaled residuals of the rows with a positive weight, shape (m,) each."""
    residuals = np.asarray(scaled_residuals(fit), dtype=np.float64)
    counted = fit.design.counted
    return fit.fitted[counted], residuals[counted]


def residuals_fitted(results: Fitted, *, ax: Any = None) -> Any:
    """Draw scaled residuals against fitted values, with their trend; return the axes.

    The trend should be flat at 0. A curved trend means that the fixed part lacks a curve or an interaction.

    Parameters
    ----------
    results : MixedResults
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If matplotlib is not installed.
    """
    x, y = scaled_with_fitted(fit_of(results))
    ax = new_axes(ax, 5.5, 4.0)
    reference_line(ax, y=0.0)
    _cloud(ax, x, y)
    ax.plot(*smooth(x, y), color=ORANGE, lw=1.8, label="trend")
    return finish(ax, x="fitted value", y="residual / σ", title="Residuals against fitted values")


def scale_location(results: Fitted, *, ax: Any = None) -> Any:
    """Draw the root of absolute scaled residuals against fitted values, with their trend; return the axes.

    The trend should be flat. If it rises, residuals spread more where the response is larger.

    Parameters
    ----------
    results : MixedResults
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If matplotlib is not installed.
    """
    x, y = scaled_with_fitted(fit_of(results))
    size = np.sqrt(np.abs(y))
    ax = new_axes(ax, 5.5, 4.0)
    _cloud(ax, x, size)
    ax.plot(*smooth(x, size), color=ORANGE, lw=1.8, label="trend")
    ax.set_ylim(bottom=0)
    return finish(ax, x="fitted value", y="√|residual / σ|", title="Spread against fitted values")


def _cloud(ax: Any, x: Array, y: Array) -> None:
    """Draw points, as an image if there are more than 2,000, so that files stay small."""
    size = float(np.clip(2500.0 / x.size, 3.0, 16.0))
    ax.scatter(x, y, s=size, color=BLUE, alpha=thinned_alpha(x.size), linewidths=0, rasterized=x.size > 2000)


def normal_scores(n: int) -> Array:
    """Return approximate expected values of n ordered normal values: Blom's quantiles of (i − 3/8)/(n + 1/4)."""
    return np.asarray(ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25)))


def qq_residuals(results: Fitted, *, ax: Any = None) -> Any:
    """Draw ordered scaled residuals against normal quantiles, with a pointwise 95% band; return the axes.

    Parameters
    ----------
    results : MixedResults
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If matplotlib is not installed.
    """
    ax = new_axes(ax, 4.5, 4.0)
    values = np.sort(scaled_with_fitted(fit_of(results))[1])
    _qq(ax, values, 0.0, 1.0)
    return finish(ax, x="normal quantile", y="residual / σ", title="Normal Q–Q plot of residuals")


def _qq(ax: Any, values: Array, mean: float, sd: float) -> None:
    """Draw ordered values against normal scores, the line of N(mean, sd²) and the band of order statistics.

    The band is ± 1.96 standard errors of an order statistic, √(p(1 − p)/n)/φ(z): Fox (2016), Applied Regression
    Analysis and Generalized Linear Models, section 3.1.3.
    """
    n = values.size
    scores = normal_scores(n)
    at = np.linspace(scores[0], scores[-1], min(n, 200))
    p = ndtr(at)
    error = sd * np.sqrt(p * (1.0 - p) / n) / (np.exp(-0.5 * at**2) / np.sqrt(2.0 * np.pi))
    line = mean + sd * at
    ax.fill_between(at, line - 1.96 * error, line + 1.96 * error, color=faint(), lw=0, alpha=0.7, zorder=0.5)
    ax.plot(at, line, color=grey(), lw=1.0, zorder=1)
    ax.scatter(scores, values, s=float(np.clip(2500.0 / n, 3.0, 14.0)), color=BLUE, linewidths=0, zorder=2,
               rasterized=n > 500)  # fmt: skip


@whole_figure("qq_random_effect draws one of its panels on ax=")
def qq_random_effects(
    results: Fitted, group: str | None = None, *, labels: Mapping[str, str] | None = None
) -> Any:
    """Draw the predicted random effects of a grouping factor, ordered, against normal quantiles; return the figure.

    It takes no ``ax=``; `qq_random_effect` does. Predictions are shrunken towards 0, those of small groups most, so
    that only clear curves and single far points tell against normality. Each effect has an axes, labelled with its
    name.

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; the first by default.
    labels : mapping of str to str, optional
        Texts in place of names of the response, variables, random effects, grouping factors and levels.

    Raises
    ------
    ModelError
        If the factor is not known, or matplotlib is not installed.
    """
    fit = fit_of(results)
    block = fit.design.blocks[find_block(fit, group)]
    figure = grid(block.effects, min(block.k, 3), width=3.6, height=3.4)
    for ax, effect in zip(figure.axes, block.effects, strict=True):
        qq_random_effect(fit, block.name, effect, labels=labels, ax=ax)
    return figure


def qq_random_effect(
    results: Fitted,
    group: str | None = None,
    effect: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw one predicted random effect of every level, ordered, against normal quantiles; return the axes.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        Grouping factor and one of its effects; the first by default.
    labels : mapping of str to str, optional
        Texts in place of names of the response, variables, random effects, grouping factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, or matplotlib is not installed.
    """
    fit = fit_of(results)
    said = picture_names(fit, labels)
    at = find_block(fit, group)
    block = fit.design.blocks[at]
    j = effect_place(block.name, block.effects, effect)
    modes = fit.modes[at][:, j]
    values = np.sort(modes)
    ax = new_axes(ax, 4.5, 4.0)
    _qq(ax, values, float(values.mean()), float(values.std()))
    zero = zero_variance(fit, at, j).replace(" of ", "\nof ")
    if values.any():
        _name_ends(ax, said.levels(block.grouping.levels[np.argsort(modes, kind="stable")[[0, -1]]]), values)
    else:
        ax.set_ylim(-fit.sigma, fit.sigma)
    if zero:
        ax.text(0.5, 0.75, zero, transform=ax.transAxes, ha="center", fontsize=sized(9), color=ink())
    return finish(ax, x="normal quantile", y=f"{said.effect(at, j)} | {said.group(at)}")


def _name_ends(ax: Any, words: Sequence[str], values: Array) -> None:
    """Name the lowest level below its point and the highest above, where an ordered cloud has no other points."""
    scores = normal_scores(values.size)
    ends = [0, values.size - 1]
    below_and_above = (((3, -4), "left", "top"), ((-3, 4), "right", "bottom"))
    for i, word, (shift, side, edge) in zip(ends, words, below_and_above, strict=True):
        ax.annotate(word, (scores[i], values[i]), textcoords="offset points", xytext=shift, fontsize=sized(8),
                    ha=side, va=edge, color=ink())  # fmt: skip
    ax.margins(y=0.1)


@whole_figure("residuals_fitted, scale_location, qq_residuals and qq_random_effect draw its panels on ax=")
def overview(results: Fitted) -> Any:
    """Draw four pictures of a fit, and return the figure; it takes no ``ax=``.

    They are residuals against fitted values, their spread, and normal Q–Q plots of residuals and of the first random
    effect.
    Axes are labelled "residuals_fitted", "scale_location", "qq_residuals" and "qq_random_effects".

    Parameters
    ----------
    results : MixedResults

    Raises
    ------
    ModelError
        If matplotlib is not installed.
    """
    names = ["residuals_fitted", "scale_location", "qq_residuals", "qq_random_effects"]
    fit = fit_of(results)
    has_effects = bool(fit.design.blocks)
    figure = grid(names if has_effects else names[:3], 2, width=4.6, height=3.6)
    axes = figure.axes
    residuals_fitted(fit, ax=axes[0])
    scale_location(fit, ax=axes[1])
    qq_residuals(fit, ax=axes[2])
    if has_effects:
        finish(qq_random_effect(fit, ax=axes[3]), title="Normal Q–Q plot of random effects")
    return figure
