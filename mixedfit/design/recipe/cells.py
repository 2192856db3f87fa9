"""`Cells`: the combinations of fixed factors that occur in the rows of a fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray

from .variables import Variable

__all__ = ["Cells", "count_cells"]

CALLED = re.compile(r"C\(\s*`?([^\W\d][\w.]*)`?\s*[,)]")
"""An expression that makes a factor of a column."""

DENSE = 100_000
"""Largest number of combinations that are counted in an array; more are sorted."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Combinations of fixed factors that occur, with their numbers of rows.

    Factors are labels, booleans, numbers under ``C(…)`` and numbers with two values.

    Attributes
    ----------
    names : tuple of str
    values : tuple of pandas.Index
        Levels of every factor.
    codes : ndarray, shape (cells, factors)
        Level of every factor.
    counts : ndarray, shape (cells,)
        Numbers of rows with a positive weight.
    """

    names: tuple[str, ...]
    values: tuple[pd.Index[Any], ...]
    codes: IntArray
    counts: Array


def count_cells(
    variables: Sequence[Variable],
    columns: Mapping[str, pd.Series[Any]],
    *,
    called: set[str],
    weights: Array | None,
) -> Cells:
    """Return the cells of the factors among some variables.

    Parameters
    ----------
    variables : sequence of Variable
    columns : mapping of str to pandas.Series
        Their values on the rows of the fit.
    called : set of str
        Numbers that the formula makes a factor of.
    weights : ndarray, shape (n,), or None
    """
    factors = [v for v in variables if v.levels is not None or v.two_valued or v.name in called]
    coded = [_codes(factor, columns[factor.name]) for factor in factors]
    counted = None if weights is None else (weights > 0).astype(np.float64)
    names, values = tuple(f.name for f in factors), tuple(levels for levels, _ in coded)
    if not factors:
        return Cells((), (), np.zeros((1, 0), np.int64), np.ones(1))
    sizes = [max(len(levels), 1) for levels in values]
    if float(np.prod(np.array(sizes, dtype=np.float64))) < DENSE:
        place = np.ravel_multi_index([codes for _, codes in coded], sizes)
        totals = np.bincount(place, counted).astype(np.float64)
        found = np.flatnonzero(totals)
        codes = np.column_stack(np.unravel_index(found, sizes)).astype(np.int64)
        return Cells(names, values, codes, totals[found])
    codes, place = np.unique(np.column_stack([own for _, own in coded]), axis=0, return_inverse=True)
    totals = np.bincount(place.ravel(), counted).astype(np.float64)
    return Cells(names, values, codes[totals > 0].astype(np.int64), totals[totals > 0])


def _codes(variable: Variable, column: pd.Series[Any]) -> tuple[pd.Index[Any], IntArray]:
    """Return the levels of a factor, and the level of each row."""
    if variable.levels is not None:
        return pd.Index(variable.levels), np.asarray(column.cat.codes, dtype=np.int64)
    values = column.to_numpy()
    if variable.kind == "boolean":
        return pd.Index([False, True]), values.astype(np.int64)
    if variable.two_valued:
        levels = [variable.low] if variable.low == variable.high else [variable.low, variable.high]
        return pd.Index(levels), (values != variable.low).astype(np.int64)
    distinct, codes = np.unique(values, return_inverse=True)
    return pd.Index(distinct), codes.ravel().astype(np.int64)
