"""Densities of bootstrap replicates, by kernel estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.options import check_level
from mixedfit.inference.bootstrap.record import Bootstrap

from .style import BLUE, ORANGE, PARAMETER_AXES, chosen_names, finish, grey, grid, ink, sized, whole_figure

__all__ = ["bootstrap_density", "kernel_density"]


def kernel_density(
    values: Array, points: int = 201, *, low: float = -np.inf, high: float = np.inf
) -> tuple[Array, Array]:
    """Return places and a Gaussian kernel density there, shape (points,) each.

    The bandwidth is Silverman's (1986, Density Estimation, equation 3.31); mass below `low` and above `high` is
    reflected.
    """
    n = values.size
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(values.std(ddof=1), float(np.diff(quartiles)[0]) / 1.34) or values.std(ddof=1)
    width = 0.9 * spread * n**-0.2
    if not width > 0:
        return np.full(points, values[0]), np.zeros(points)
    places = np.linspace(max(low, values.min() - 3 * width), min(high, values.max() + 3 * width), points)
    heights = np.zeros(points)
    reflected = [2.0 * end - values for end in (low, high) if np.isfinite(end)]
    for part in np.array_split(np.concatenate([values, *reflected]), max(1, n // 5000)):
        heights += np.exp(-0.5 * ((places[:, None] - part) / width) ** 2).sum(axis=1)
    return places, heights / (n * width * np.sqrt(2.0 * np.pi))


@whole_figure(PARAMETER_AXES)
def bootstrap_density(
    drawn: Bootstrap,
    parameters: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    kind: Any = "percentile",
) -> Any:
    """Draw the distribution of each parameter over the replicates, and return the figure; it takes no ``ax=``.

    The bar below is the interval, the vertical line the estimate. The title gives the share of replicates exactly on a
    boundary (a variance of 0, a correlation of ±1). Each parameter has an axes, labelled with its name.

    Parameters
    ----------
    drawn : Bootstrap
        From `MixedResults.bootstrap`.
    parameters : sequence of str, optional
        Columns of the replicates; all by default.
    level : float
        Coverage of the interval.
    kind : {"percentile", "basic", "normal", "bca", "shortest"}

    Raises
    ------
    ModelError
        If a parameter is not known, or matplotlib is not installed.
    """
    check_level(level)
    names = chosen_names(parameters, [str(name) for name in drawn.replicates.columns], "in the bootstrap")
    limits = drawn.conf_int(level, kind=kind)
    words = {p.name: p.name if p.kind == "fixed" else p.words for p in drawn._parameters}
    ranges = {p.name: _RANGES[p.kind] for p in drawn._parameters if p.kind in _RANGES}
    figure = grid(names, min(3, len(names)), width=3.3, height=2.3)
    for ax, name in zip(figure.axes, names, strict=True):
        column = drawn.replicates[name].dropna().to_numpy(dtype=float)
        edge = _on_boundary(column)
        low, high = ranges.get(name, (-np.inf, np.inf))
        places, heights = kernel_density(column[~edge] if (~edge).sum() > 1 else column, low=low, high=high)
        ax.fill_between(places, 0.0, heights, color=BLUE, alpha=0.25, lw=0)
        ax.plot(places, heights, color=BLUE, lw=1.4)
        ax.axvline(float(drawn.estimates[name]), color=ink(), lw=1.0)
        top = float(heights.max()) or 1.0
        ax.plot(limits.loc[name, ["lower", "upper"]].to_numpy(), [-0.06 * top] * 2, color=ORANGE, lw=3.0,
                solid_capstyle="butt")  # fmt: skip
        if edge.any():
            ax.set_title(
                f"{100 * edge.mean():.0f}% at {column[edge][0]:g}",
                fontsize=sized(8.5),
                loc="right",
                color=grey(),
            )
        ax.set_yticks([])
        finish(ax, x=words.get(name, name))
        ax.spines["left"].set_visible(False)
    return figure


_RANGES = {"sd": (0.0, np.inf), "sigma": (0.0, np.inf), "correlation": (-1.0, 1.0)}


def _on_boundary(values: Array) -> BoolArray:
    """Return which replicates are exactly on a boundary: those that share the smallest or the largest value."""
    low, high = np.isclose(values, values.min(), atol=1e-10), np.isclose(values, values.max(), atol=1e-10)
    most = low if low.sum() >= high.sum() else high
    return np.asarray(most & (most.sum() > max(1, 0.005 * values.size)))
