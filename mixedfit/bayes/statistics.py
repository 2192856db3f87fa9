"""Numbers that sum up a response, of many replicated responses at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .._types import Array, IntArray
from ..design import Design
from ..errors import ModelError, nearest

__all__ = ["Statistic", "named_statistics"]

Statistic = Callable[[Array], Array]
"""Takes responses, shape (draws, n), and returns one number of each, shape (draws,)."""


def _skewness(y: Array) -> Array:
    z = y - y.mean(axis=1, keepdims=True)
    return np.asarray(np.mean(z**3, axis=1) / np.mean(z**2, axis=1) ** 1.5)


def _kurtosis(y: Array) -> Array:
    z = y - y.mean(axis=1, keepdims=True)
    return np.asarray(np.mean(z**4, axis=1) / np.mean(z**2, axis=1) ** 2)


PLAIN: dict[str, Statistic] = {
    "mean": lambda y: np.mean(y, axis=1),
    "median": lambda y: np.median(y, axis=1),
    "sd": lambda y: np.std(y, axis=1, ddof=1),
    "min": lambda y: np.min(y, axis=1),
    "max": lambda y: np.max(y, axis=1),
    "skewness": _skewness,
    "kurtosis": _kurtosis,
}

BY_GROUP = ("within_sd", "between_sd")


def named_statistics(design: Design, asked: Any, group: str | None) -> dict[str, Statistic]:
    """Return the statistics asked for, by name.

    Parameters
    ----------
    design : Design
    asked : str, callable, sequence or mapping of them, or None
    group : str or None
        Grouping factor of within_sd and between_sd, by default the first.

    Raises
    ------
    ModelError
        If a name is not known, or what was given is no statistic.
    """
    known = PLAIN | _by_group(design, group)
    if asked is None:
        return {
            name: known[name] for name in ("mean", "sd", "min", "max", "skewness", *BY_GROUP) if name in known
        }
    if isinstance(asked, Mapping):
        return {str(name): _statistic(value, design, known) for name, value in asked.items()}
    if isinstance(asked, str) or callable(asked):
        asked = [asked]
    if not isinstance(asked, Iterable) or not (listed := list(asked)):
        raise ModelError(
            f"statistic is {asked!r}; expected names ({', '.join(known)}) or functions of a response."
        )
    return {_name(value, i): _statistic(value, design, known) for i, value in enumerate(listed, 1)}


def _name(value: Any, number: int) -> str:
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", "<lambda>")
    return f"statistic {number}" if name == "<lambda>" else name


def _statistic(value: Any, design: Design, known: Mapping[str, Statistic]) -> Statistic:
    if callable(value):
        return _each(value)
    if value in BY_GROUP and value not in known:
        raise ModelError(f"{value!r} needs a grouping factor, and the model has none.")
    if value not in known:
        raise ModelError(
            f"{value!r} is not a known statistic ({', '.join(known)}; a function of the response is one too). "
            f"{nearest(str(value), known)}".rstrip()
        )
    return known[value]


def _each(function: Callable[[Array], Any]) -> Statistic:
    """Return a function of one response as one of many."""

    def of_all(y: Array) -> Array:
        values = [function(row) for row in y]
        try:
            out = np.array(values, dtype=float)
        except (TypeError, ValueError):
            out = np.zeros((0, 0))
        if out.ndim != 1:
            raise ModelError(
                f"the statistic returns {values[0]!r:.60}; expected one number of a response of shape ({y.shape[1]},)."
            )
        return out

    return of_all


def _by_group(design: Design, group: str | None) -> dict[str, Statistic]:
    """Return the SDs of one-way analysis of variance: of group means, and of rows about them."""
    names = [block.name for block in design.blocks]
    if group is not None and group not in names:
        raise ModelError(
            f"group={group!r} is not a grouping factor of the model ({', '.join(names) or 'it has none'}). "
            f"{nearest(str(group), names)}".rstrip()
        )
    if not names:
        return {}
    block = design.blocks[0 if group is None else names.index(group)]
    codes, sizes = block.codes, np.bincount(block.codes, minlength=block.levels)
    seen = sizes > 0
    free = max(int(design.n - seen.sum()), 1)
    return {
        "within_sd": lambda y: np.sqrt(np.sum((y - _means(y, codes, sizes)[:, codes]) ** 2, axis=1) / free),
        "between_sd": lambda y: np.std(_means(y, codes, sizes)[:, seen], axis=1, ddof=1),
    }


def _means(y: Array, codes: IntArray, sizes: IntArray) -> Array:
    """Return group means of each response, shape (draws, levels)."""
    order = np.argsort(codes, kind="stable")
    present = sizes > 0
    starts = (np.cumsum(sizes) - sizes)[present]
    out = np.zeros((y.shape[0], sizes.size))
    out[:, present] = np.add.reduceat(y[:, order], starts, axis=1) / sizes[present]
    return out
