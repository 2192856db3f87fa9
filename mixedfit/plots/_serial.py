"""Autocorrelations, semivariogram and correlation matrix of residuals."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_level
from mixedfit.diagnostics.serial import Kind, autocorrelations, fitted_semivariance, semivariogram, series_of
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.residual_words import residual_covariance

from ._text import level_word, set_categories
from .style import BLUE, ORANGE, faint, finish, grey, ink, new_axes, paper, reference_line, sized

__all__ = ["autocorrelation", "residual_correlation", "variogram"]

WRITTEN = 12
"""Rows of a matrix up to which its elements are written in the cells."""

LABELLED = 40
"""Rows of a matrix up to which every one has a label."""

TITLES = {"normalised": "normalised residuals", "scaled": "scaled residuals"}


def autocorrelation(
    results: Fitted,
    kind: Kind = "normalised",
    *,
    lags: int | None = None,
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Draw autocorrelations of residuals within groups by lag, with limits for independent ones; return the axes.

    Those of normalised residuals should lie within the limits if the residual structure holds.

    Parameters
    ----------
    results : MixedResults
    kind : {"normalised", "scaled"}
        Residuals made independent by the fitted structure, or over their standard deviation.
    lags : int, optional
        Largest lag; by default 10 log10 of the size of the largest group.
    level : float
        Of the limits.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If rows have coordinates in several dimensions, an option is not valid, or matplotlib is not installed.
    """
    fit = fit_of(results)
    level = check_level(level)
    table = autocorrelations(fit, kind, lags, level)
    unit = series_of(fit, kind).unit
    ax = new_axes(ax, 5.5, 3.8)
    places, values, limit = (np.asarray(v, float) for v in (table.index, table.autocorrelation, table.limit))
    edges = np.concatenate([[places[0] - 0.5], places + 0.5])
    around = np.concatenate([[limit[0]], limit])
    name = f"{100 * level:g}% limits of independent residuals"
    ax.fill_between(edges, -around, around, step="pre", color=faint(), lw=0, zorder=0.4, label=name)
    reference_line(ax, y=0.0)
    ax.vlines(places, 0.0, values, color=BLUE, lw=2.2)
    ax.plot(places, values, "o", color=BLUE, ms=5)
    ax.set_xlim(edges[0], edges[-1])
    ax.xaxis.get_major_locator().set_params(integer=True)
    top = max(float(np.abs(values).max()), float(around.max())) * 1.08
    ax.set_ylim(min(-float(around.max()) * 1.08, float(values.min()) * 1.15), max(top, 0.2))
    ax.legend(fontsize=sized(8.5), frameon=False, loc="upper right")
    lag = f"lag in {unit}" if unit in ("rows", "visits") else f"lag of {unit}"
    return finish(ax, x=lag, y="autocorrelation", title=f"Autocorrelation of {TITLES[kind]}")


def variogram(results: Fitted, kind: Kind = "scaled", *, bins: int = 20, ax: Any = None) -> Any:
    """Draw semivariances of residuals within groups by distance, with those of the fitted structure; return the axes.

    Each point is the mean of half of the squared differences of the pairs in a class of distances; its area grows with
    their number. Those of residuals over their standard deviation should follow the fitted 1 − correlation, those of
    normalised residuals should lie around 1.

    Parameters
    ----------
    results : MixedResults
    kind : {"scaled", "normalised"}
        Residuals over their standard deviation, or made independent by the fitted structure.
    bins : int
        Number of classes of distances with equal numbers of pairs.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If every group has one row, an option is not valid, or matplotlib is not installed.
    """
    fit = fit_of(results)
    table = semivariogram(fit, kind, bins)
    series = series_of(fit, kind)
    ax = new_axes(ax, 5.5, 3.8)
    distance, values = np.asarray(table.distance, float), np.asarray(table.semivariance, float)
    areas = 18.0 + 50.0 * np.asarray(table.pairs, float) / float(table.pairs.max())
    ax.scatter(distance, values, s=areas, color=BLUE, alpha=0.85, lw=0, label="residuals", zorder=2.5)
    x, y, name = _curve(fit, kind, distance, np.asarray(table.fitted, float), series.kind)
    if x.size:
        alone = {"marker": "_", "ms": 11, "mew": 2.0, "lw": 0.0} if series.kind == "visit" else {"lw": 1.8}
        ax.plot(x, y, color=ORANGE, label=name, **alone)
    ax.set_ylim(0.0, 1.1 * max(float(values.max()), float(np.max(y, initial=0.0))))
    ax.set_xlim(0.0, 1.06 * float(distance.max()))
    if series.kind in ("order", "visit", "position"):
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize=sized(8.5), frameon=False, loc="lower right")
    apart = {"rows": "rows apart", "visits": "visits apart", "distance": "distance"}
    x_name = apart.get(series.unit, f"difference of {series.unit}")
    return finish(ax, x=x_name, y="semivariance", title=f"Semivariogram of {TITLES[kind]}")


def _curve(fit: Fit, kind: Kind, distance: Array, fitted: Array, place: str) -> tuple[Array, Array, str]:
    """Return the fitted semivariance as a curve where it is a function of distance, else at the classes; its name."""
    if kind == "normalised":
        ends = np.array([0.0, distance.max()])
        return ends, np.ones(2), "independent residuals"
    whole = place in ("order", "position")
    grid = np.arange(1.0, distance.max() + 1.0) if whole else np.linspace(1e-9, distance.max(), 120)
    if grid.size > 400:
        grid = np.unique(np.round(np.linspace(1.0, distance.max(), 400)))
    values = fitted_semivariance(fit, grid)
    if values is not None:
        return grid, values, "fitted"
    known = np.isfinite(fitted)
    return distance[known], fitted[known], "fitted, mean of the pairs"


def residual_correlation(
    results: Fitted,
    group: Any = None,
    *,
    what: Literal["correlation", "covariance"] = "correlation",
    ax: Any = None,
) -> Any:
    """Draw the residual correlations, or covariances, of the rows of one group as colours; return the axes.

    Parameters
    ----------
    results : MixedResults
    group : label, optional
        A level of the structure's grouping; by default the first with most rows.
    what : {"correlation", "covariance"}
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If the fit has no residual correlation, a name is not known, or matplotlib is not installed.
    """
    fit = fit_of(results)
    if what not in ("correlation", "covariance"):
        raise ModelError(f"what={what!r} is not known; expected 'correlation' or 'covariance'.")
    if fit.residual is None or fit.residual.model.layout is None:
        raise ModelError("the fit has no residual correlation: residuals of different rows are independent.")
    frame = residual_covariance(fit, group)
    matrix = frame.to_numpy()
    if what == "correlation":
        sd = np.sqrt(np.diag(matrix))
        matrix = matrix / np.outer(sd, sd)
    labels, axis, name = _labels(fit, frame.index, group)
    side = float(np.clip(2.6 + 0.28 * len(matrix), 3.6, 6.5))
    ax = new_axes(ax, side + 0.9, side)
    top = 1.0 if what == "correlation" else float(np.abs(matrix).max())
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    bar.outline.set_visible(False)
    if matrix.min() >= 0.0:
        bar.ax.set_ylim(0.0, top)
    bar.ax.tick_params(labelsize=sized(8.5), color=grey())
    if len(matrix) <= WRITTEN:
        _write(ax, matrix, top)
    _label(ax, labels, side)
    for spine in ax.spines.values():
        spine.set_visible(False)
    title = f"Residual {what} of {name}" if name else f"Residual {what}"
    finish(ax, x=axis, y=axis, title=title)
    ax.tick_params(length=0)
    return ax


def _labels(fit: Fit, index: Any, group: Any) -> tuple[list[str], str, str]:
    """Return labels of the rows of a group, the name of what they are, and the name of the group."""
    assert fit.residual is not None
    model = fit.residual.model
    layout, own = model.layout, model.structure.correlation
    assert layout is not None
    rows = fit.design.index.get_indexer_for(index)
    positions = np.empty(layout.n, np.int64)
    positions[layout.order] = np.arange(layout.n)
    at = positions[rows]
    level = layout.groups[int(np.searchsorted(layout.start, at[0], side="right")) - 1]
    name = f"{layout.group_name} {level_word(level)}" if layout.group_name else ""
    if own.kind == "visit":
        return [level_word(layout.labels[int(v)]) for v in layout.place[at, 0]], own.place[0], name
    if len(own.place) == 1:
        column = np.asarray(model.columns[own.place[0]])[rows]
        return [level_word(v.item() if hasattr(v, "item") else v) for v in column], own.place[0], name
    return [level_word(label) for label in index], "row", name


def _write(ax: Any, matrix: Array, top: float) -> None:
    """Write the elements in the cells, white on dark ones."""
    digits = 2 if top < 10 else 1 if top < 100 else 0
    for (i, j), value in np.ndenumerate(matrix):
        colour = paper() if abs(value) > 0.6 * top else ink()
        text = f"{value:.{digits}f}".replace("-", "−")
        ax.text(j, i, text, ha="center", va="center", fontsize=sized(8), color=colour)


def _label(ax: Any, labels: list[str], side: float) -> None:
    """Label rows and columns; every other, or fewer, of many."""
    step = int(np.ceil(len(labels) / LABELLED))
    shown = labels if step == 1 else [label if i % step == 0 else "" for i, label in enumerate(labels)]
    set_categories(ax, "x", shown, size=8.5, room=0.75 * side)
    ax.set_yticks(range(len(shown)), shown, fontsize=sized(8.5))
