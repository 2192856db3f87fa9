"""Pictures of bootstrap replicates, of influence, and of the matrices of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._types import Array
from ..errors import DataError, ModelError, nearest
from ..labels import check_level
from .asked import whole_figure
from .names import label_points, level_words
from .style import BLUE, GREY, INK, ORANGE, finish, grid, new_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..diagnostics.influence import Influence
    from ..inference.bootstrap_record import Bootstrap
    from ..results import MixedResults

__all__ = ["bootstrap_density", "influence", "kernel_density", "matrix_pattern"]


def kernel_density(
    values: Array, points: int = 201, *, low: float = -np.inf, high: float = np.inf
) -> tuple[Array, Array]:
    """Return places and a Gaussian kernel density, shape (points,) each.

    The bandwidth is Silverman's (1986, Density Estimation, equation 3.31); what would lie below `low` or above `high`
    is reflected there.
    """
    n = values.size
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(values.std(ddof=1), float(np.diff(quartiles)[0]) / 1.34) or values.std(ddof=1)
    width = 0.9 * spread * n**-0.2
    if not width > 0:
        return np.full(points, values[0]), np.zeros(points)
    places = np.linspace(max(low, values.min() - 3 * width), min(high, values.max() + 3 * width), points)
    heights = np.zeros(points)
    mirrored = [2.0 * end - values for end in (low, high) if np.isfinite(end)]
    for part in np.array_split(np.concatenate([values, *mirrored]), max(1, n // 5000)):
        heights += np.exp(-0.5 * ((places[:, None] - part) / width) ** 2).sum(axis=1)
    return places, heights / (n * width * np.sqrt(2.0 * np.pi))


@whole_figure("Its axes are labelled with the names of parameters")
def bootstrap_density(
    drawn: Bootstrap,
    parameters: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    kind: Any = "percentile",
) -> Any:
    """Draw the distribution of each parameter over the replicates, and return the figure; it takes no ``ax=``.

    The bar below is the interval, the vertical line the estimate. Replicates that stand exactly at a boundary (a
    variance of 0, a correlation of ±1) are counted in words. An axes for each parameter, labelled with its name.

    Parameters
    ----------
    drawn : Bootstrap
        From `MixedResults.bootstrap`.
    parameters : sequence of str, optional
        Columns of its replicates; all by default.
    level : float
        Coverage of the interval.
    kind : {"percentile", "basic", "normal", "bca", "shortest"}

    Raises
    ------
    ModelError
        If a parameter is not known, or matplotlib is not installed.
    """
    check_level(level)
    known = [str(name) for name in drawn.replicates.columns]
    names = known if parameters is None else list(parameters)
    for name in names:
        if name not in known:
            raise ModelError(
                f"{name!r} is not in the bootstrap ({', '.join(known)}). {nearest(name, known)}".rstrip()
            )
    limits = drawn.conf_int(level, kind=kind)
    words = {p.name: p.name if p.kind == "fixed" else p.words for p in drawn._parameters}
    ranges = {p.name: _RANGES[p.kind] for p in drawn._parameters if p.kind in _RANGES}
    figure = grid(names, min(3, len(names)), width=3.3, height=2.3)
    for ax, name in zip(figure.axes, names, strict=True):
        column = drawn.replicates[name].dropna().to_numpy(dtype=float)
        edge = _edge(column)
        low, high = ranges.get(name, (-np.inf, np.inf))
        places, heights = kernel_density(column[~edge] if (~edge).sum() > 1 else column, low=low, high=high)
        ax.fill_between(places, 0.0, heights, color=BLUE, alpha=0.25, lw=0)
        ax.plot(places, heights, color=BLUE, lw=1.4)
        ax.axvline(float(drawn.estimates[name]), color=INK, lw=1.0)
        top = float(heights.max()) or 1.0
        ax.plot(limits.loc[name, ["lower", "upper"]].to_numpy(), [-0.06 * top] * 2, color=ORANGE, lw=3.0,
                solid_capstyle="butt")  # fmt: skip
        if edge.any():
            ax.set_title(
                f"{100 * edge.mean():.0f}% at {column[edge][0]:g}", fontsize=8.5, loc="right", color=GREY
            )
        ax.set_yticks([])
        finish(ax, x=words.get(name, name))
        ax.spines["left"].set_visible(False)
    return figure


_RANGES = {"sd": (0.0, np.inf), "sigma": (0.0, np.inf), "correlation": (-1.0, 1.0)}


def _edge(values: Array) -> Any:
    """Whether replicates share one extreme value exactly."""
    low, high = np.isclose(values, values.min(), atol=1e-10), np.isclose(values, values.max(), atol=1e-10)
    most = low if low.sum() >= high.sum() else high
    return most if most.sum() > max(1, 0.005 * values.size) else np.zeros(values.size, dtype=bool)


def influence(
    table: Influence | pd.DataFrame, column: str | None = None, *, names: int = 8, ax: Any = None
) -> Any:
    """Draw a measure of influence for each row or group, the largest named; return the axes.

    Parameters
    ----------
    table : Influence or pandas.DataFrame
        From ``fit.diagnostics.influence(...)``; or a row for each case, its label as index, and columns of measures.
    column : str, optional
        Which measure; of an Influence also a fixed effect, whose DFBETAS are shown. By default Cook's distance, or the
        first column of numbers.
    names : int
        How many of the largest are named.
    ax : matplotlib Axes, optional

    Raises
    ------
    DataError
        If the table lacks the column.
    ModelError
        If matplotlib is not installed.
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
    for chosen, colour in ((~largest, GREY), (largest, BLUE)):
        ax.vlines(
            places[chosen], 0.0, values[chosen], color=colour, lw=float(np.clip(250 / values.size, 0.3, 2.0))
        )
    ax.scatter(places[largest], values[largest], s=16, color=BLUE, zorder=3)
    ax.axhline(0.0, color=GREY, lw=0.8)
    ax.set_xlim(-0.03 * values.size - 0.5, 1.03 * values.size - 0.5)
    label_points(ax, places[order].astype(float), values[order], level_words(table.index[order]), colour=INK)
    ax.set_xticks([])
    what = f"{len(table):,} " + (f"levels of {table.index.name}" if table.index.name else "cases")
    return finish(ax, x=what, y=(shown or column).replace("_", " ").replace("cooks", "Cook's"))


FACTOR_LIMIT = 1500
"""Random effects beyond which the factor's fill-in is not worked out."""

ROWS = 400
"""Rows of a picture of X or Z; more are gathered: a cell of Z tells whether any of its rows is not zero."""


@whole_figure("Its axes are labelled X, Z and factor")
def matrix_pattern(results: MixedResults) -> Any:
    """Draw where X, Z and the factor of ΛᵀZᵀZΛ + I are not zero, and return the figure; it takes no ``ax=``.

    Axes are labelled "X", "Z" and "factor". Of more than 400 rows of X several share a cell, the darker the more of
    them are not zero. The factor has the order of the formula's blocks; entries that only fill in while it is computed
    are lighter. With more than 1,500 random effects ZᵀZ is shown instead, its cells gathered.

    Parameters
    ----------
    results : MixedResults

    Raises
    ------
    ModelError
        If matplotlib is not installed.
    """
    design = results._fit.design
    blocks = design.blocks
    names = ["X", "Z", "factor"] if blocks else ["X"]
    figure = grid(names, len(names), width=3.2, height=4.0)
    _image(figure.axes[0], _shares(design.X != 0), f"X: {design.n:,} × {design.X.shape[1]}", "fixed effects")
    if not blocks:
        return figure
    q = sum(block.levels * block.k for block in blocks)
    order = np.lexsort([block.codes for block in blocks[::-1]])
    _image(figure.axes[1], _incidence(design, order, q), f"Z: {design.n:,} × {q:,}", "random effects")
    gram = _gram(design, q)
    if gram.shape[0] == q:
        lower = np.tril(gram)
        filled = _fill_in(gram)
        lower_part, all_of_it = _gathered(lower), _gathered(filled)
        picture = np.where(lower_part, 1.0, np.where(all_of_it, 0.45, 0.0))
        _image(figure.axes[2], picture, f"factor: {int(filled.sum()):,} entries", "random effects")
    else:
        _image(
            figure.axes[2], np.tril(gram).astype(float), f"ZᵀZ: {q:,} × {q:,}", "random effects (gathered)"
        )
    return figure


def _image(ax: Any, pattern: Any, title: str, x: str) -> None:
    ax.imshow(
        np.asarray(pattern, dtype=float),
        cmap="Greys",
        vmin=0,
        vmax=1.15,
        aspect="auto",
        interpolation="nearest",
    )
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title, fontsize=10, loc="left")
    ax.set_xlabel(x)
    for side in ax.spines.values():
        side.set_color(GREY)


def _shares(pattern: Any) -> Any:
    """Return a pattern with at most `ROWS` rows: how dark the share of a cell's entries that are set is; 0 for none."""
    out = np.asarray(pattern, dtype=float)
    if out.shape[0] <= ROWS:
        return out
    starts = np.unique(np.linspace(0, out.shape[0], ROWS + 1)[:-1].astype(int))
    share = np.add.reduceat(out, starts, axis=0) / np.diff([*starts, out.shape[0]])[:, None]
    return np.where(share > 0, 0.15 + 0.85 * share, 0.0)


def _gathered(pattern: Any) -> Any:
    """Return a pattern with at most `ROWS` rows and columns: whether any entry of a cell is set."""
    out = np.asarray(pattern, dtype=bool)
    for axis in (0, 1):
        if out.shape[axis] > ROWS:
            starts = np.unique(np.linspace(0, out.shape[axis], ROWS + 1)[:-1].astype(int))
            out = np.logical_or.reduceat(out, starts, axis=axis)
    return out


def _incidence(design: Any, order: Any, q: int) -> Any:
    """Return where Z is not zero, gathered, rows in the order of the groups."""
    rows, columns = min(design.n, ROWS), min(q, ROWS)
    out = np.zeros((rows, columns), dtype=bool)
    place = np.empty(design.n, dtype=np.int64)
    place[order] = np.arange(design.n) * rows // design.n
    at = 0
    for block in design.blocks:
        for j in range(block.k):
            here = block.z[:, j] != 0
            out[place[here], (at + block.codes[here] * block.k + j) * columns // q] = True
        at += block.levels * block.k
    return out


def _gram(design: Any, q: int) -> Any:
    """Return where ZᵀZ is not zero, one cell an entry up to the limit and gathered beyond."""
    size = q if q <= FACTOR_LIMIT else ROWS
    out = np.eye(size, dtype=bool)
    columns, at = [], 0
    for block in design.blocks:
        columns += [(at + block.codes * block.k + j) * size // q for j in range(block.k)]
        at += block.levels * block.k
    for a in columns:
        for b in columns:
            out[a, b] = True
    return out


def _fill_in(gram: Any) -> Any:
    """Return where the Cholesky factor of a symmetric pattern is not zero (lower triangle), by elimination."""
    out = np.tril(gram)
    for j in range(out.shape[0]):
        below = np.flatnonzero(out[j + 1 :, j]) + j + 1
        if below.size > 1:
            out[np.ix_(below, below)] = True
    return np.tril(out)
