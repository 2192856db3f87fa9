"""Forest plot: fixed effects with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError
from mixedfit.core.format import format_by_error
from mixedfit.core.options import check_level
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.labels import label_of, labels_for, readable_names
from mixedfit.estimation.tables import response_name
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.wald import wald_intervals

from ._text import level_words, points_high
from .style import BLUE, chosen_names, finish, grey, ink, new_axes, paper, reference_line, sized

__all__ = ["LONGEST", "SMALLEST", "forest", "in_lines", "names_that_fit", "write_numbers"]

LONGEST = 34
"""Letters in a line of a name, if there is room for several lines."""

SMALLEST = 6.5
"""Smallest distance of two names, in points, at which they can be read; at smaller ones none are written."""

LINE = 13.0
"""Height of a line of a name in points."""


def forest(
    results: Fitted,
    parameters: str | Sequence[str] | None = None,
    *,
    intercept: bool = False,
    ddf: Ddf | None = None,
    level: float = 0.95,
    numbers: bool | None = None,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the fixed effects with intervals, and write both beside them; return the axes.

    Intervals are estimate ± quantile of t × standard error, as those of `MixedResults.t_test`. Coefficients without an
    estimate are left out.

    Parameters
    ----------
    results : MixedResults
    parameters : str or sequence of str, optional
        Coefficients, in this order; all by default.
    intercept : bool
        Whether to draw the intercept, if `parameters` does not say which are drawn.
    ddf : optional
        Method for the degrees of freedom.
    level : float
        Coverage of each interval.
    numbers : bool, optional
        Whether to write estimates and intervals on the right; by default if the figure has a layout engine, which
        makes room for them.
    labels : mapping of str to str, optional
        Texts in place of names of coefficients, variables, levels and the response, as in `mixedfit.table`.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, nothing is left to draw, or matplotlib is not installed.
    """
    fit = fit_of(results)
    labels = labels_for(fit, labels)
    table = _table(fit, parameters, intercept=intercept, ddf=ddf, level=check_level(level))
    words = dict(zip(map(str, fit.coefficient_names), readable_names(fit, labels), strict=True))
    names = [words[str(name)] for name in table.index]
    most = max(len(in_lines(name, LONGEST + 10)) for name in names)
    ax = new_axes(ax, 7.0, 1.2 + (0.12 + 0.2 * most) * max(len(names), 2))
    places = np.arange(len(table))[::-1]
    reference_line(ax, x=0.0)
    without = (table["lower"] > 0) | (table["upper"] < 0)
    for chosen, colour, fill in ((without, BLUE, BLUE), (~without, grey(), paper())):
        own = table[chosen.to_numpy()]
        ax.hlines(places[chosen.to_numpy()], own["lower"], own["upper"], color=colour, lw=2.0)
        ax.scatter(own["estimate"], places[chosen.to_numpy()], s=38, color=fill, edgecolors=colour, zorder=3)
    spacing = points_high(ax) / (len(names) + 1)
    size = float(np.clip(0.8 * spacing, 5.5, sized(9.0)))
    named = spacing >= SMALLEST
    ax.set_yticks(places if named else [], names_that_fit(names, spacing) if named else [])
    ax.set_ylim(-0.6, len(table) - 0.4)
    if named and (numbers if numbers is not None else ax.figure.get_layout_engine() is not None):
        write_numbers(ax, table, places, size)
    title = f"{100 * level:g}% intervals (blue, filled: those without 0)"
    finish(ax, x=f"difference in {label_of(response_name(fit), labels)}", title=title)
    ax.set_ylabel("fixed effect" if named else f"{len(names)} fixed effects", color=ink())
    ax.tick_params(axis="y", length=0, labelsize=size)
    return ax


def _table(
    fit: Fit, parameters: str | Sequence[str] | None, *, intercept: bool, ddf: Ddf | None, level: float
) -> pd.DataFrame:
    """Return estimates, errors and limits of the coefficients to draw."""
    table = coefficient_table(fit, ddf)[0]
    known = [str(name) for name in table.index]
    chosen = chosen_names(parameters, known, "a coefficient of the fixed part")
    if parameters is None and not intercept:
        chosen = [name for name in chosen if name != "(Intercept)"]
    table = table.loc[chosen].join(wald_intervals(fit, level, chosen, ddf=ddf))
    table = table[table["estimate"].notna()]
    if table.empty:
        raise ModelError(
            "there are no fixed effects to draw; forest(intercept=True) draws the intercept, if there is one."
        )
    return table


def in_lines(name: str, letters: int) -> list[str]:
    """Return a name in lines of at most that many letters."""
    return textwrap.wrap(name, letters, break_on_hyphens=False)


def names_that_fit(names: list[str], high: float) -> list[str]:
    """Return names in lines that need at most `high` points each; shortened ones in one line if they cannot."""
    for letters in (LONGEST, LONGEST + 10, LONGEST + 20):
        lines = [in_lines(name, letters) for name in names]
        if max(map(len, lines)) == 1 or max(map(len, lines)) * LINE <= high:
            return ["\n".join(own) for own in lines]
    return level_words(names)


def write_numbers(ax: Any, table: pd.DataFrame, places: Any, size: float) -> None:
    """Write each estimate with its interval on the right of the axes."""
    columns = [format_by_error(table[n].tolist(), table["std_error"]) for n in ("estimate", "lower", "upper")]
    for place, texts in zip(places, zip(*columns, strict=True), strict=True):
        estimate, lower, upper = (text.strip().replace("-", "−") for text in texts)
        ax.annotate(
            f"{estimate} [{lower}, {upper}]", (1.0, place), xycoords=("axes fraction", "data"), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=size, color=ink(), annotation_clip=False,
        )  # fmt: skip
