"""Pattern of the nonzero entries of X, Z and the Cholesky factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfit.estimation.fit import Fitted, fit_of

from .style import grey, grid, sized, whole_figure

__all__ = ["matrix_pattern"]

FACTOR_LIMIT = 1500
"""Largest number of random effects for which the fill-in of the factor is computed."""

ROWS = 400
"""Largest number of rows or columns of an image; of larger matrices, several rows or columns share a cell."""


@whole_figure("Its axes are labelled X, Z and factor")
def matrix_pattern(results: Fitted) -> Any:
    """Draw the nonzero entries of X, Z and the factor of ΛᵀZᵀZΛ + I, and return the figure; it takes no ``ax=``.

    Axes are labelled "X", "Z" and "factor". If X has more than 400 rows, several share a cell, which is darker the more
    of them are not zero. The factor has the order of the formula's blocks; fill-in, entries that are zero in the matrix
    but not in its factor, is lighter. With more than 1,500 random effects ZᵀZ is shown instead, several of its entries
    in a cell.

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
        filled = _fill_in(gram)
        picture = np.where(_gathered(np.tril(gram)), 1.0, np.where(_gathered(filled), 0.45, 0.0))
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
    ax.set_title(title, fontsize=sized(10), loc="left")
    ax.set_xlabel(x)
    for side in ax.spines.values():
        side.set_color(grey())


def _shares(pattern: Any) -> Any:
    """Return the darkness of a pattern with at most `ROWS` rows, by the share of nonzero entries of each cell."""
    out = np.asarray(pattern, dtype=float)
    if out.shape[0] <= ROWS:
        return out
    starts = np.unique(np.linspace(0, out.shape[0], ROWS + 1)[:-1].astype(int))
    share = np.add.reduceat(out, starts, axis=0) / np.diff([*starts, out.shape[0]])[:, None]
    return np.where(share > 0, 0.15 + 0.85 * share, 0.0)


def _gathered(pattern: Any) -> Any:
    """Return a pattern with at most `ROWS` rows and columns: whether a cell has any nonzero entry."""
    out = np.asarray(pattern, dtype=bool)
    for axis in (0, 1):
        if out.shape[axis] > ROWS:
            starts = np.unique(np.linspace(0, out.shape[axis], ROWS + 1)[:-1].astype(int))
            out = np.logical_or.reduceat(out, starts, axis=axis)
    return out


def _incidence(design: Any, order: Any, q: int) -> Any:
    """Return the pattern of Z with at most `ROWS` rows and columns, rows ordered by group."""
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
    """Return the pattern of ZᵀZ, whole up to `FACTOR_LIMIT` random effects and on `ROWS` × `ROWS` cells beyond."""
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
    """Return the pattern of the Cholesky factor of a symmetric pattern (lower triangle), by elimination."""
    out = np.tril(gram)
    for j in range(out.shape[0]):
        below = np.flatnonzero(out[j + 1 :, j]) + j + 1
        if below.size > 1:
            out[np.ix_(below, below)] = True
    return np.tril(out)
