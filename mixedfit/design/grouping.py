"""Grouping factors: integer codes and ordered levels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import GroupingWarning, warn

from .frames import category_codes

__all__ = ["Grouping", "combined_labels", "encode", "interact", "warn_of_measurements"]


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """A grouping factor on the rows of the data.

    Attributes
    ----------
    name : str
        Column name, or names joined by colons.
    codes : ndarray of int64, shape (n,)
        Level of each row, 0 … len(levels) − 1.
    levels : pandas.Index
        Labels that occur, in the order of the categories; sorted if there are no categories.
    parts : tuple of pandas.Index, each of the length of `levels`
        Of combinations: the label of each level in each column.
    """

    name: str
    codes: IntArray
    levels: pd.Index[Any]
    parts: tuple[pd.Index[Any], ...] = ()


def encode(name: str, values: pd.Series[Any]) -> Grouping:
    """Return the codes and levels of one column without missing values.

    Categories keep their order, without unused ones; other values are sorted.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _used(name, category_codes(values).astype(np.int64), values.cat.categories)
    array = values.to_numpy() if isinstance(values.dtype, np.dtype) else None
    if array is not None and array.dtype.kind in "iu" and array.size:
        low, high = int(array.min()), int(array.max())
        if high - low <= 4 * array.size + 1000 and high < 2**63 - 1:
            return _used(name, (array - low).astype(np.int64), pd.RangeIndex(low, high + 1))
    codes, levels = pd.factorize(values, sort=True)
    return Grouping(name, codes.astype(np.int64), pd.Index(levels))


def warn_of_measurements(name: str, values: pd.Series[Any]) -> None:
    """Issue a `GroupingWarning` if the column of a grouping factor holds fractional numbers."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "f" and (values != values.round()).any():
        warn(
            f"grouping column {name!r} holds fractional numbers; each distinct value is a group. If it is a "
            "measurement, it belongs among the effects, left of the bar.",
            GroupingWarning,
        )


def _used(name: str, codes: IntArray, levels: pd.Index[Any]) -> Grouping:
    """Return the grouping without levels that do not occur."""
    present = np.bincount(codes, minlength=len(levels)) > 0
    if present.all():
        return Grouping(name, codes, pd.Index(levels))
    renumber = np.cumsum(present) - 1
    return Grouping(name, renumber[codes].astype(np.int64), pd.Index(levels[present]))


def interact(name: str, groupings: Sequence[Grouping]) -> Grouping:
    """Return the interaction of groupings: combinations that occur, the first varying slowest, with labels ``a:b``."""
    if len(groupings) == 1:
        return groupings[0]
    codes = groupings[0].codes
    for grouping in groupings[1:]:
        codes = codes * len(grouping.levels) + grouping.codes
    distinct, renumbered = np.unique(codes, return_inverse=True)
    parts: list[pd.Index[Any]] = []
    rest = distinct
    for grouping in reversed(groupings):
        rest, level = np.divmod(rest, len(grouping.levels))
        parts.insert(0, pd.Index(grouping.levels[level]))
    levels = pd.Index(combined_labels([part.tolist() for part in parts]), dtype=object)
    return Grouping(name, renumbered.astype(np.int64).reshape(-1), levels, tuple(parts))


def combined_labels(parts: Sequence[Sequence[Any]], known: Container[str] = ()) -> list[str]:
    """Return a text for each of some distinct combinations of labels, such as ``a:b``.

    Two combinations never share one: where they would, as ("a:b", "c") and ("a", "b:c") or (1, "x") and ("1", "x"),
    each label is quoted as Python writes it.

    Parameters
    ----------
    parts : sequence of sequences
        The labels of the combinations in each column.
    known : container of str
        Texts that other combinations have.

    Examples
    --------
    >>> combined_labels([["a", "b"], [1, 2]])
    ['a:1', 'b:2']
    >>> combined_labels([["a:b", "a", "x"], ["c", "b:c", "y"]])
    ["'a:b':'c'", "'a':'b:c'", 'x:y']
    """
    rows = list(zip(*parts, strict=True))
    texts = [":".join(map(str, row)) for row in rows]
    counts = Counter(texts)
    return [
        ":".join(map(repr, row)) if counts[text] > 1 or text in known else text
        for text, row in zip(texts, rows, strict=True)
    ]
