"""What a recipe holds of grouping factors and many-level factors, and what it gives of further rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from .._types import AnyArray, Array, IntArray

__all__ = ["GroupRecipe", "ManyRecipe", "NewRows"]


@dataclass(frozen=True, slots=True, eq=False)
class GroupRecipe:
    """How rows find their level of a grouping factor, and their effects' columns.

    Attributes
    ----------
    name : str
    columns : tuple of str
    kinds : tuple of str
        numpy's letter for the type of each column in the fit, "O" for labels.
    levels : pandas.Index
        Levels of the fit.
    keys : tuple of str
        Parts of the formula that give the effects' columns.
    """

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    levels: pd.Index[Any]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ManyRecipe:
    """How rows find their level of a fixed factor that is kept as codes.

    Attributes
    ----------
    column : str
    levels : pandas.Index
    first : int
        0 if every level has a coefficient, 1 if the first is the reference.
    name : str
        The term, as written.
    """

    column: str
    levels: pd.Index[Any]
    first: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class NewRows:
    """The numbers of further rows.

    Attributes
    ----------
    X : ndarray, shape (n, p)
        Fixed-effect columns in the order of the design's; NaN in rows with a missing value.
    many : tuple of ndarray, shape (n,)
        Level of every many-level fixed factor; −1 where missing.
    offset : ndarray, shape (n,), or None
        Sum of the offsets; None if the model has none.
    z : tuple of ndarray, shape (n, k)
        Columns of every block's effects, in the order of the design's blocks; NaN where missing.
    codes : tuple of ndarray, shape (n,)
        Level of every block; −1 where it is missing or was not in the fit.
    labels : tuple of ndarray of object, shape (n,)
        Label of every block's level, None where missing.
    index : pandas.Index
        Labels of the rows.
    """

    X: Array
    many: tuple[IntArray, ...]
    offset: Array | None
    z: tuple[Array, ...]
    codes: tuple[IntArray, ...]
    labels: tuple[AnyArray, ...]
    index: pd.Index[Any]
