"""Marginal means, slopes and their intervals by the levels of one variable, in series by those of others."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.format import number, without_quotes
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import label_of, level_label, text_with_labels
from mixedfit.inference.emmeans.emmeans import MarginalMeans
from mixedfit.prediction.variables import variables_on_rows

from ._text import level_word, name_categories, points_wide
from .style import BLUE, GREEN, GREY, INK, ORANGE, SKY, grey, ink, paper, pyplot, sized

__all__ = [
    "DASHES",
    "Cells",
    "caption",
    "cells_of",
    "colour_of",
    "draw_cells",
    "legend_of_series",
    "place_of_rows",
    "points_behind",
    "series_of_rows",
]

COLOURS = (BLUE, ORANGE, GREEN, INK, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)))
"""Colours, shapes and lines of series. Five and six have no common divisor, so that 30 series differ."""


def colour_of(series: int) -> Any:
    """Return the colour of a series, INK and GREY as the paper's colour asks for."""
    colour = COLOURS[series % len(COLOURS)]
    return ink() if colour == INK else grey() if colour == GREY else colour


WIDEST = 22
"""Largest number of letters in a line of a legend."""


@dataclass(frozen=True, eq=False)
class Cells:
    """A table of means or slopes, arranged along an axis and in series.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns of the variables, estimate, lower and upper.
    x : str
        Variable of the horizontal axis.
    levels : pandas.Index
        Its values, in order.
    along : ndarray of int, shape (rows,)
        Place of each row's value.
    others : tuple of str
        Variables whose combinations are the series.
    keys : tuple of tuple
        Values of these in each series.
    series : ndarray of int, shape (rows,)
        Series of each row.
    labels : mapping of str to str
        Texts in place of names of variables and levels.
    """

    table: pd.DataFrame
    x: str
    levels: pd.Index[Any]
    along: IntArray
    others: tuple[str, ...]
    keys: tuple[tuple[Any, ...], ...]
    series: IntArray
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Names of the series, in lines."""
        texts = [", ".join(_word(value, self.labels) for value in key) for key in self.keys]
        return [textwrap.fill(text, self._letters, break_on_hyphens=False) for text in texts]

    @property
    def title(self) -> str:
        """Names of the variables of the series, in lines."""
        return textwrap.fill(", ".join(label_of(name, self.labels) for name in self.others), self._letters)

    @property
    def _letters(self) -> int:
        return WIDEST if len(self.keys) <= 4 else WIDEST + 10

    @property
    def legend_height(self) -> float:
        """Approximate height of the legend in inches."""
        lines = [text.count("\n") + 1 for text in (self.title, *self.words)]
        return 0.172 * sum(lines) + 0.075 * len(lines) + 1.0

    def colour(self, series: int) -> str:
        """Return the colour of a series; grey for −1."""
        return grey() if series < 0 else colour_of(series)

    def shift(self, series: int) -> float:
        """Return the horizontal distance of a series from the centre of a category, in categories."""
        count = len(self.keys)
        return (series - 0.5 * (count - 1)) * min(0.24, 0.72 / count)


def _word(value: Any, labels: Mapping[str, str]) -> str:
    """Return the label of a level; without one its text, numbers with four significant digits."""
    if (label := level_label(value, labels)) != level_label(value, None):
        return label
    if not isinstance(value, float):
        return level_word(value)
    text = number(value).replace(",", "")
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def cells_of(fit: Fit, means: MarginalMeans, labels: Mapping[str, str] | None = None) -> Cells:
    """Return the cells of means: the first of `specs` on the axis, the others and `by` in series.

    Levels on the axis have the order of the factor, which tables of nested factors do not have.
    """
    x, *rest = means.specs
    others = (*rest, *means.by)
    table = means.table
    levels = pd.Index(table[x].astype(object).unique())
    recipe = fit.design.recipe
    own = None if recipe is None or x not in recipe.variables else recipe.variables[x].levels
    if any(note.startswith("Nested") for note in means.notes) and own is not None:
        levels = pd.Index([level for level in own.astype(object) if level in levels], dtype=object)
    columns = [table[name].astype(object) for name in others]
    rows: list[tuple[Any, ...]] = list(zip(*columns, strict=True)) if columns else [()] * len(table)
    keys = tuple(dict.fromkeys(rows))
    series = np.array([keys.index(row) for row in rows], dtype=np.int64)
    along = levels.get_indexer(table[x].astype(object)).astype(np.int64)
    return Cells(table, x, levels, along, others, keys, series, dict(labels or {}))


# -- data ------------------------------------------------------------------------------------------


def place_of_rows(values: pd.Series[Any], levels: pd.Index[Any]) -> IntArray:
    """Return the place of each value among levels, −1 for others; numbers are compared up to rounding."""
    if all(isinstance(level, float) for level in levels):
        numbers, own = values.to_numpy(dtype=float), levels.to_numpy(dtype=float)
        distance = np.abs(numbers[:, None] - own)
        near = distance.min(axis=1) <= 1e-8 * max(float(np.abs(own).max()), 1e-300)
        return np.where(near, distance.argmin(axis=1), -1)
    return np.asarray(levels.get_indexer(pd.Index(values.astype(object))), dtype=np.int64)


def series_of_rows(cells: Cells, values: pd.DataFrame) -> IntArray:
    """Return the series of each row, −1 for other rows; −1 for all if a number is at values that the data lack.

    Parameters
    ----------
    cells : Cells
    values : pandas.DataFrame
        Variables on the rows.
    """
    if not cells.others:
        return np.zeros(len(values), dtype=np.int64)
    out = np.full(len(values), -1, dtype=np.int64)
    places = [place_of_rows(values[name], _levels(cells, name)) for name in cells.others]
    for own, name in zip(places, cells.others, strict=True):
        if pd.api.types.is_numeric_dtype(values[name]) and np.unique(own[own >= 0]).size < len(
            _levels(cells, name)
        ):
            return out
    for s, key in enumerate(cells.keys):
        codes = [
            _levels(cells, n).get_indexer(pd.Index([v]))[0] for n, v in zip(cells.others, key, strict=True)
        ]
        out[np.all([own == code for own, code in zip(places, codes, strict=True)], axis=0)] = s
    return out


def points_behind(fit: Fit, cells: Cells, group: int | None) -> pd.DataFrame | None:
    """Return the means of the response in each cell by level of a grouping factor, or its rows if `group` is None.

    Columns along, series (−1 of points that belong to no single one), code (of the level) and y. An offset is
    subtracted, since marginal means take it as 0. None if the variables cannot be recovered or no rows are in cells.
    """
    values = variables_on_rows(fit, [cells.x, *cells.others])
    if values is None:
        return None
    rows = values.index.to_numpy()
    series, along = series_of_rows(cells, values), place_of_rows(values[cells.x], cells.levels)
    y = fit.response - (0.0 if fit.design.offset is None else fit.design.offset)
    code = np.arange(rows.size) if group is None else fit.design.blocks[group].codes[rows]
    table = pd.DataFrame({"along": along, "series": series, "code": code, "y": y[rows]})
    table = table[(along >= 0) & ((series >= 0) | np.all(series < 0))]
    return None if table.empty else table.groupby(["along", "series", "code"])["y"].mean().reset_index()


def _levels(cells: Cells, name: str) -> pd.Index[Any]:
    return cells.levels if name == cells.x else pd.Index(cells.table[name].astype(object).unique())


# -- drawing ---------------------------------------------------------------------------------------


def draw_cells(ax: Any, cells: Cells, behind: pd.DataFrame | None) -> None:
    """Draw estimates with intervals, lines between the estimates of several series, and points behind them."""
    if behind is not None:
        _draw_points(ax, cells, behind)
    for s in range(len(cells.keys)):
        rows = np.flatnonzero(cells.series == s)
        rows = rows[np.argsort(cells.along[rows], kind="stable")]
        x, colour = cells.along[rows] + cells.shift(s), cells.colour(s)
        estimate, lower, upper = (cells.table[n].to_numpy()[rows] for n in ("estimate", "lower", "upper"))
        if len(cells.keys) > 1:
            ax.plot(x, estimate, color=colour, lw=1.0, alpha=0.6, zorder=2)
        ax.vlines(x, lower, upper, color=colour, lw=2.0, zorder=3)
        style = {"marker": MARKERS[s % len(MARKERS)], "edgecolors": paper(), "linewidths": 0.8}
        ax.scatter(x, estimate, s=46, color=colour, zorder=4, **style)
    name_categories(ax, [_word(level, cells.labels) for level in cells.levels])


def _draw_points(ax: Any, cells: Cells, behind: pd.DataFrame) -> None:
    faint = _faint(behind)
    for s in behind["series"].unique().tolist():
        own = behind[behind["series"] == s]
        shift = cells.shift(s) if s >= 0 else 0.0
        places = own["along"].to_numpy() + shift + _jitter(own["code"].to_numpy(), len(cells.keys))
        ax.scatter(places, own["y"], s=11, color=cells.colour(s), alpha=faint, linewidths=0, zorder=1)


def _faint(points: pd.DataFrame) -> float:
    """Return the opacity of points behind means: lower where a category has more of them."""
    return float(np.clip(2.2 / np.sqrt(max(points.groupby("along").size().max(), 1)), 0.06, 0.32))


def _jitter(codes: IntArray, series: int) -> Array:
    """Return horizontal shifts of points, the same for a level in every category (multiples of the golden ratio)."""
    return np.asarray((codes * 0.6180339887 % 1.0 - 0.5) * min(0.2, 0.6 / series))


def legend_of_series(ax: Any, cells: Cells, *, points: bool = True) -> None:
    """Name the series: beside the axes if a layout engine makes room for the names, else inside them."""
    if len(cells.keys) < 2:
        return
    line, each = pyplot().Line2D, range(len(cells.keys))
    styles = [
        {"marker": MARKERS[s % len(MARKERS)], "ms": 6} if points else {"ls": DASHES[s % len(DASHES)]}
        for s in each
    ]
    handles = [line([], [], color=cells.colour(s), lw=2.0, **styles[s]) for s in each]
    outside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    place = outside if ax.figure.get_layout_engine() is not None else {"loc": "best"}
    options = {
        "fontsize": sized(9),
        "title_fontsize": sized(9),
        "frameon": False,
        "alignment": "left",
        "handlelength": 2.6,
    }
    ax.legend(handles, cells.words, title=cells.title, **options, **place).set_zorder(5)


_CAPTIONS = ("Averaged", "Held", "Nested", "Back-transformed")


def caption(ax: Any, title: str, notes: Sequence[str], labels: Mapping[str, str], *own: str) -> None:
    """Write a title and, smaller and below it, remarks: those of means on averaged and held variables, then `own`."""
    chosen = [text_with_labels(note, labels) for note in notes if note.startswith(_CAPTIONS)]
    wide = points_wide(ax)
    lines = textwrap.wrap(without_quotes(" ".join([*chosen, *own])), max(24, int(wide / 4.4)))
    title = textwrap.fill(title, max(20, int(wide / 5.8)))
    ax.set_title(title, loc="left", fontsize=sized(11), color=ink(), pad=6.0 + 10.5 * len(lines))
    if lines:
        ax.annotate(
            "\n".join(lines), (0.0, 1.0), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
            fontsize=sized(8.5), color=grey(), va="bottom", linespacing=1.1,
        )  # fmt: skip
