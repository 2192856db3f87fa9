"""Measures of influence of each row or group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.errors import DataError
from mixedfit.diagnostics.deletion.influence import Influence
from mixedfit.estimation.labels import check_labels, label_of, level_label, level_text

from ._text import label_points, level_words
from .style import BLUE, finish, grey, ink, new_axes

__all__ = ["influence"]


def influence(
    table: Influence | pd.DataFrame,
    column: str | None = None,
    *,
    names: int = 8,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw a measure of influence of each row or group and name the largest; return the axes.

    Parameters
    ----------
    table : Influence or pandas.DataFrame
        From ``fit.diagnostics.influence(...)``; or a table of measures, one row for each case, indexed by its label.
    column : str, optional
        A measure; of an `Influence` also a fixed effect, whose DFBETAS are shown. By default Cook's distance, or the
        first column of numbers.
    names : int
        Number of cases to name, those with the largest values.
    labels : mapping of str to str, optional
        Texts in place of names of the grouping factor and of its levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    DataError
        If the table lacks the column.
    ModelError
        If matplotlib is not installed, or a key of labels is not a name of the factor or of one of its levels.
    """
    shown = column
    if not isinstance(table, pd.DataFrame):
        if column in table.dfbetas:
            shown = f"DFBETAS of {column}"
        table = table.table.join(table.dfbetas)
    numbers = [str(c) for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]
    if column is None:
        column = next((c for c in numbers if c.lower().startswith("cook")), numbers[0] if numbers else "")
    if column not in numbers:
        raise DataError(f"the influence table has no column of numbers {column!r} ({', '.join(numbers)}).")
    values = table[column].to_numpy(dtype=float)
    order = np.argsort(-np.abs(values), kind="stable")[: min(names, int(np.isfinite(values).sum()))]
    largest = np.zeros(values.size, dtype=bool)
    largest[order] = True
    ax = new_axes(ax, 7.0, 3.6)
    places = np.arange(values.size)
    for chosen, colour in ((~largest, grey()), (largest, BLUE)):
        ax.vlines(
            places[chosen], 0.0, values[chosen], color=colour, lw=float(np.clip(250 / values.size, 0.3, 2.0))
        )
    ax.scatter(places[largest], values[largest], s=16, color=BLUE, zorder=3)
    ax.axhline(0.0, color=grey(), lw=0.8)
    ax.set_xlim(-0.03 * values.size - 0.5, 1.03 * values.size - 0.5)
    factor = str(table.index.name or "")
    if labels:
        check_labels(labels, {factor, *map(level_text, table.index)}, [factor])
    texts = [level_label(case, labels) if labels else case for case in table.index[order]]
    label_points(ax, places[order].astype(float), values[order], level_words(texts), colour=ink())
    ax.set_xticks([])
    cases = f"{len(table):,} " + (f"levels of {label_of(factor, labels)}" if factor else "cases")
    return finish(ax, x=cases, y=(shown or column).replace("_", " ").replace("cooks", "Cook's"))
