"""Times and coordinates of the effects of structures such as ``ar1(0 + time | g)``."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import FormulaError, ModelError
from mixedfit.covariance import STRUCTURES, CovarianceStructure
from mixedfit.formula.parse import RandomTerm

from .grouping import Grouping
from .label_order import check_order

__all__ = ["numFactor", "place_effects", "structure_of"]

MOST_WORK = 5e8
"""Largest product of levels and cubed number of distinct places: one evaluation then takes some seconds."""

MOST_NUMBERS = 2e7
"""Largest product of levels and squared number of distinct places: the cross-products then take 160 MB."""

GRID = ("ar1", "hetar1", "toep", "homtoep")
"""Structures of times on a grid."""

EQUAL = ("toep", "homtoep")
"""Those whose times must follow each other in equal steps."""

WITH_NUGGET = {"ou": "Exponential", "exp": "Exponential", "gau": "Gaussian"}
"""Laws of residuals with a nugget, which are those of the structure plus independent residuals."""

_PAIR = re.compile(r"\(?\s*([^()]*?)\s*\)?")


def numFactor(*coordinates: Any) -> pd.Categorical[Any]:  # noqa: N802 (glmmTMB's name)
    """Return a factor of points, with labels such as ``(0.5,2.0)`` in the order of the coordinates.

    Parameters
    ----------
    *coordinates : columns of numbers, shape (n,) each
    """
    columns = np.column_stack([np.asarray(c, dtype=float) for c in coordinates])
    points, codes = np.unique(columns, axis=0, return_inverse=True)
    labels = ["(" + ",".join(repr(float(c)) for c in point) + ")" for point in points]
    numbers = np.asarray(codes, dtype=np.int64).reshape(-1)
    return pd.Categorical.from_codes(numbers, categories=pd.Index(labels))


def place_effects(term: RandomTerm, names: Sequence[str]) -> tuple[str, ...]:
    """Return short names of the effects of a structure of places: ``Days3`` for ``C(Days)3``."""
    if len(term.places) > 1:
        return tuple(name[name.rindex("(") :] for name in names)
    column = term.places[0]
    return tuple(re.sub(r"^C\(.*?\)", lambda _: column, name, count=1) for name in names)


def structure_of(
    term: RandomTerm,
    z: Array,
    columns: dict[str, pd.Series[Any]],
    grouping: Grouping,
    source: str,
    *,
    alone: bool = False,
    text: Collection[str] = (),
) -> CovarianceStructure:
    """Return the covariance structure of a term that is written as a call.

    Parameters
    ----------
    term : RandomTerm
    z : ndarray, shape (n, k)
        Columns of its effects.
    columns : mapping of str to pandas.Series
    grouping : Grouping
    source : str
        Text of the formula.
    alone : bool
        Whether there is no other grouping factor; levels with few of many places are then cheap.
    text : collection of str
        Columns that were text.

    Raises
    ------
    FormulaError, DataError
        If the times or coordinates are not valid for the structure.
    ModelError
        If they do not determine it.
    """
    k = z.shape[1]
    places: list[Any] = []
    if term.places:
        if term.structure in GRID:
            check_order(f"'{term}'", term.places[0], columns[term.places[0]], text=term.places[0] in text)
        _check_places(term, z, grouping, alone)
        points = _points(term, z, columns, source)
        places = list(_steps(term, points, source)) if term.structure in GRID else points
    elif k < 2 and term.structure in ("cs", "homcs"):
        raise ModelError(f"'{term}' has one effect, and no correlation; write ({term.effects} | …).")
    return STRUCTURES[term.structure](k, places)


def _check_places(term: RandomTerm, z: Array, grouping: Grouping, alone: bool) -> None:
    k, levels = z.shape[1], len(grouping.levels)
    pairs = np.unique(grouping.codes * np.int64(k) + z.argmax(axis=1))
    counts = np.bincount(pairs // k)
    work, memory = levels * float(k) ** 3, levels * float(k) ** 2
    if alone and memory <= MOST_NUMBERS:
        work = float((counts.astype(float) ** 3).sum()) + float(k) ** 3
    if work > MOST_WORK:
        raise ModelError(
            f"the covariance structure '{term}' has {k} distinct places in {levels} levels of "
            f"{grouping.name!r}: a matrix of that size for each level would take too long. Round "
            f"{term.places[0]!r}, or use a residual structure, which has a matrix of each level's own rows only"
            f"{_as_residual(term, grouping)}."
        )
    if counts.max() < 2:
        raise ModelError(
            f"the covariance structure '{term}' is not identified: no level of {grouping.name!r} has rows at two "
            f"different values of {', '.join(term.places)}. Choose a grouping factor whose levels have several, or "
            f"write (1 | {grouping.name})."
        )


def _as_residual(term: RandomTerm, grouping: Grouping) -> str:
    """Return the residual structure of the same model, in words; empty if there is none."""
    law = WITH_NUGGET.get(term.structure)
    if law is None:
        return ""
    places = repr(term.places[0] if len(term.places) == 1 else tuple(term.places))
    call = f"{law}({places}, {grouping.name!r}, nugget=True)"
    return f": without this term, residual=mf.residuals.{call} is the same model"


def _points(
    term: RandomTerm, z: Array, columns: dict[str, pd.Series[Any]], source: str
) -> list[tuple[float, ...]]:
    """Return the place of each effect."""
    first = z.argmax(axis=0)
    if len(term.places) > 1:
        values = [columns[name].to_numpy(dtype=float)[first] for name in term.places]
        return [tuple(float(c) for c in point) for point in zip(*values, strict=True)]
    column = columns[term.places[0]]
    if isinstance(column.dtype, pd.CategoricalDtype):
        labels = list(column.cat.categories)
        if term.structure in GRID:
            return [(float(i),) for i in range(z.shape[1])]
        if len(labels) != z.shape[1]:
            labels = [column.iloc[i] for i in first]
        return [_coordinates(term, label, source) for label in labels]
    if term.by_level and term.structure in GRID:
        return [(float(i),) for i in range(z.shape[1])]
    return [(float(v),) for v in column.iloc[first]]


def _coordinates(term: RandomTerm, label: Any, source: str) -> tuple[float, ...]:
    """Return the numbers in a label such as ``2.5`` or ``(1,2)``."""
    found = _PAIR.fullmatch(str(label))
    try:
        return tuple(float(c) for c in (found[1] if found else str(label)).split(","))
    except ValueError:
        raise _error(
            term,
            source,
            f"the covariance structure '{term}' needs times or coordinates; {term.places[0]!r} has the label "
            f"{label!r}. Give columns of numbers: {term.structure}(0 + x + y | …).",
        ) from None


def _error(term: RandomTerm, source: str, message: str) -> FormulaError:
    return FormulaError(message, source=source, start=term.span[0], end=term.span[1])


def _steps(term: RandomTerm, points: Sequence[tuple[float, ...]], source: str) -> IntArray:
    """Return times in units of the step of their grid: the largest number of which all differences are multiples."""
    times = np.array([point[0] for point in points])
    gaps = np.diff(np.unique(times))
    step = float(gaps.min())
    for divisor in range(1, 61):
        steps = (times - times.min()) / (step / divisor)
        if np.all(np.abs(steps - np.round(steps)) < 1e-6 * np.maximum(1.0, np.abs(steps))):
            break
    else:
        raise _error(
            term,
            source,
            f"the covariance structure '{term}' needs times on a grid; those of {term.places[0]!r} are not "
            f"multiples of one step. For times anywhere write ou({term.effects} | …); for the order alone "
            f"{term.structure}(0 + factor({term.places[0]}) | …).",
        )
    out: IntArray = np.round(steps).astype(np.int64)
    if term.structure in EQUAL and np.any(np.diff(np.sort(out)) != 1):
        raise _error(
            term,
            source,
            f"the covariance structure '{term}' needs equally spaced times; {term.places[0]!r} has "
            f"{', '.join(f'{t:g}' for t in np.sort(times)[:8])}. For the order alone write "
            f"{term.structure}(0 + factor({term.places[0]}) | …), for times anywhere ou(0 + {term.places[0]} | …).",
        )
    return out
