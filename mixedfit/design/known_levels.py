"""Grouping factors whose levels have known relationships: checks, and codes that follow the levels of the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mixedfit.core.arrays import BoolArray
from mixedfit.core.errors import ModelError, a_type, nearest
from mixedfit.covariance.known import Known
from mixedfit.covariance.known.checks import LARGEST
from mixedfit.formula.parse import ParsedFormula

from .grouping import Grouping

__all__ = ["check_known", "check_tells_apart", "on_known_levels"]


def check_known(known: Any, parsed: ParsedFormula) -> Mapping[str, Known]:
    """Return the relationships by grouping factor, after a check of their names and types.

    Raises
    ------
    ModelError
        If `known` is no mapping of grouping factors of the formula to `Known`, or a factor is a combination of columns.
    """
    if not known:
        return {}
    if not isinstance(known, Mapping):
        raise ModelError(
            f"known is {a_type(known)}; expected a mapping of grouping factors to mixedfit.Known, such as "
            'known={"animal": mixedfit.Known(A)}.'
        )
    columns = {term.group.name: term.group.columns for term in parsed.random}
    for name, own in known.items():
        if name not in columns:
            have = f"grouping factors: {', '.join(columns)}" if columns else "it has no random effects"
            raise ModelError(
                f"known: {name!r} is not a grouping factor of {parsed.source!r} ({have}). "
                f"{nearest(str(name), columns)}".rstrip()
            )
        if len(columns[name]) > 1:
            raise ModelError(
                f"known: {name!r} combines the columns {' and '.join(columns[name])}. Make one column of them, with "
                "the labels of the matrix, and use it as grouping factor."
            )
        if not isinstance(own, Known):
            raise ModelError(
                f"known[{name!r}] is {a_type(own)}; expected mixedfit.Known(matrix, labels), or "
                "mixedfit.Known(matrix, labels, inverse=True) for the inverse."
            )
    return known


def on_known_levels(grouping: Grouping, known: Known) -> Grouping:
    """Return a grouping factor with the levels of a relationship matrix, in its order, those without rows included.

    Raises
    ------
    ModelError
        If a level of the data is not in the matrix.
    """
    places = known.codes_of(grouping.name, grouping.levels)
    return replace(grouping, codes=places[grouping.codes], levels=known.labels)


def check_tells_apart(grouping: Grouping, known: Known, counted: BoolArray, *, equal_weights: bool) -> None:
    """Raise `ModelError` if the covariance of the random effects is a multiple of the residuals'.

    That is so if each row has a level of its own and the levels with rows are unrelated.
    """
    used = np.unique(grouping.codes[counted])
    if not equal_weights or used.size < int(counted.sum()) or len(known) > LARGEST:
        return
    own = known.values[np.ix_(used, used)]
    if np.allclose(own, own[0, 0] * np.eye(used.size), rtol=0.0, atol=1e-8 * own[0, 0]):
        raise ModelError(
            f"{grouping.name!r} has one row a level and levels that are not related to each other; its variance cannot "
            "be told from the residual variance. Hold sigma fixed, or use data with related levels or several rows a "
            "level."
        )
