"""Columns of X and Z on the counted rows, or smaller matrices with the same inner products.

Where the rows are not in memory, R of a QR factorisation of the columns stands for them: RᵀR equals CᵀC.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

from .design import Design

__all__ = [
    "absent_batches",
    "centred_fixed",
    "counted_rows",
    "effect_columns",
    "fixed_columns",
    "mean_inverse_weight",
]


def absent_batches(design: Design) -> Iterator[Design]:
    """Return the batches of rows that are not in memory, which are read again.

    Raises
    ------
    ModelError
        If they cannot be.
    """
    absent = design.absent
    if absent is None or absent.read is None:
        raise ModelError("the rows are in memory" if absent is None else absent.refusal)
    return absent.read()


def counted_rows(design: Design) -> int:
    """Return the number of rows with a positive weight."""
    if design.absent is not None:
        return design.absent.known_totals().counted
    return design.n if design.weights is None else int(np.count_nonzero(design.weights > 0))


def effect_columns(design: Design, f: int) -> Array:
    """Return the columns of a block's Z on the counted rows, shape (any, k), or others with the same products."""
    if design.absent is not None:
        totals = design.absent.known_totals()
        return totals.columns[:, list(totals.effects[f])]
    z = design.blocks[f].z
    return z if design.weights is None else z[design.counted]


def fixed_columns(design: Design) -> Array:
    """Return the columns of X on the counted rows, shape (any, p), or others with the same inner products."""
    if design.absent is not None:
        totals = design.absent.known_totals()
        return totals.columns[:, list(totals.fixed)]
    return design.X if design.weights is None else design.X[design.counted]


def centred_fixed(design: Design) -> Array:
    """Return the columns of X minus their means over the counted rows, or others with the same inner products."""
    if design.absent is not None:
        totals = design.absent.known_totals()
        return totals.columns[1:, list(totals.fixed)]  # the first column of C is 1
    X = fixed_columns(design)
    return np.asarray(X - X.mean(axis=0))


def mean_inverse_weight(design: Design) -> float:
    """Return the mean of 1/w over the counted rows; 1 without weights."""
    if design.absent is not None:
        totals = design.absent.known_totals()
        return 1.0 if totals.weights is None else totals.weights[3] / totals.counted
    return 1.0 if design.weights is None else float(np.mean(1.0 / design.weights[design.counted]))
