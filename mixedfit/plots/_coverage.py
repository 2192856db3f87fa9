"""Simulated coverage of intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError

from .style import BLUE, finish, grey, grid, ink, new_axes, reference_line, sized

__all__ = ["coverage"]


def coverage(table: pd.DataFrame, *, level: float, ax: Any = None) -> Any:
    """Draw the coverage of each method with its Monte-Carlo interval, and write the mean width beside it.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns parameter, method, coverage, lower, upper, width, as of `Coverage.table`.
    level : float
        Nominal coverage, drawn as a line.
    ax : matplotlib Axes, optional
        For one parameter.

    Returns
    -------
    matplotlib Figure, or `ax`

    Raises
    ------
    ModelError
        If matplotlib is not installed, or `ax` is given for several parameters.
    """
    names = list(dict.fromkeys(table["parameter"]))
    if ax is not None:
        if len(names) > 1:
            raise ModelError(
                f"ax is for one parameter, and these are {len(names)}; use coverage(parameters=…), or leave ax out."
            )
        return _panel(new_axes(ax, 5.0, 2.5), table, level, "")
    most = int(table["parameter"].value_counts().max())
    figure = grid(names, min(len(names), 2), width=4.6, height=0.9 + 0.34 * most)
    for panel, name in zip(figure.axes, names, strict=True):
        _panel(panel, table[table["parameter"] == name], level, name)
        panel.set_xlim(left=min(table["lower"].min(), level) - 0.02)
    return figure


def _panel(ax: Any, rows: pd.DataFrame, level: float, title: str) -> Any:
    """Draw one parameter's methods, the first at the top."""
    heights = -np.arange(len(rows), dtype=float)
    reference_line(ax, x=level)
    ax.hlines(heights, rows["lower"], rows["upper"], color=BLUE, linewidth=1.6)
    ax.plot(rows["coverage"], heights, "o", color=BLUE, markersize=5)
    ax.set_yticks(heights, rows["method"])
    ax.set_ylim(heights[-1] - 0.6, 0.6)
    ax.set_xlim(right=1.005)
    for height, width in zip(heights, rows["width"], strict=True):
        ax.annotate(
            f"{width:.3g}",
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=sized(9),
            color=ink(),
        )
    ax.annotate(
        "width",
        (1.0, 1.0),
        xycoords="axes fraction",
        xytext=(6, 2),
        textcoords="offset points",
        fontsize=sized(8),
        color=grey(),
    )
    return finish(ax, x="coverage", title=title)
