"""Sets of rows or levels that are deleted together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.estimation.fit import Fit

from .refits import Report, held_one_by_one, refits
from .removal import DeletionEstimates

__all__ = ["Sets", "of_sets", "union_cases"]

Sets: TypeAlias = Mapping[str, Sequence[Hashable]] | Sequence[Sequence[Hashable]]
"""Labels of the rows or levels of each set, under names or in order."""


def union_cases(
    labels: pd.Index[Any], cases: Sequence[IntArray], sets: Sets, group: str | None
) -> tuple[pd.Index[Any], list[IntArray]]:
    """Return names and rows of sets of cases.

    Parameters
    ----------
    labels : pandas.Index
        Of the single cases.
    cases : sequence of ndarray
        Rows of the single cases.
    sets : mapping or sequence
    group : str or None
        Grouping factor whose levels the cases are; None: rows.

    Raises
    ------
    ModelError
        If a set is empty or names what is not a case.
    """
    named = list(sets.items()) if isinstance(sets, Mapping) else [(None, one) for one in sets]
    if not named:
        raise ModelError("sets is empty; give at least one set of labels.")
    places: dict[Any, list[int]] = {}
    for place, label in enumerate(labels.tolist()):
        places.setdefault(label, []).append(place)
    what = "a row of the fit" if group is None else f"a level of {group!r}"
    names, out = [], []
    for name, members in named:
        if isinstance(members, str) or not isinstance(
            members, Sequence | np.ndarray | pd.Index | pd.Series | set
        ):
            raise ModelError(
                f"sets holds {members!r}; expected a list of labels for each set, such as [['a', 'b'], ['c']]."
            )
        own = list(members)
        if not own:
            raise ModelError(f"the set {name!r} is empty; give the labels of the cases to delete.")
        for label in own:
            if label not in places:
                raise ModelError(
                    f"{label!r} is not {what} with a positive weight, such as {labels[0]!r}. "
                    f"{nearest(str(label), map(str, labels[:1000]))}".rstrip()
                )
        chosen = dict.fromkeys(place for label in own for place in places[label])
        names.append(", ".join(map(str, own)) if name is None else str(name))
        out.append(np.sort(np.concatenate([cases[place] for place in chosen])))
    return pd.Index(names, name=group), out


def of_sets(fit: Fit, cases: Sequence[IntArray], refit: bool, report: Report) -> DeletionEstimates:
    """Return the estimates without each set."""
    return refits(fit, cases, None, report) if refit else held_one_by_one(fit, cases, report)
