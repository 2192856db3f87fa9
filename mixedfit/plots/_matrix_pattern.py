"""Patterns of X, Z and the factor of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfit.estimation.fit import Fitted, fit_of

from .style import GREY, grid, whole_figure

__all__ = ["matrix_pattern"]

FACTOR_LIMIT = 1500
"""Random effects beyond which the factor's fill-in is not worked out."""

ROWS = 400
"""Rows of a picture of X or Z; more are gathered: a cell of Z tells whether any of its rows is not zero."""


@whole_figure("Its axes are labelled X, Z and factor")
def matrix_pattern(results: Fitted) -> Any:
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
    design = fit_of(results).design
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
