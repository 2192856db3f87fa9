"""Reference grid of marginal means: factors at all levels, covariates at their means.

As in R's emmeans (Searle, Speed & Milliken 1980, Am. Stat. 34:216), cells have equal weights, and a numeric variable
with two values takes both of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.recipe import Recipe, Variable

__all__ = ["Grid", "reference_grid"]

LARGEST_GRID = 1_000_000
"""Largest number of cells of a grid."""

_CALLED = re.compile(r"C\(\s*`?([^\W\d][\w.]*)`?\s*[,)]")


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of the named variables, with rows of X averaged over the other variables.

    Attributes
    ----------
    cells : pandas.DataFrame
        A row for each cell: `by` varies slowest, the first of `specs` fastest.
    L : ndarray, shape (cells, p)
        Weights of the fixed effects in each mean.
    families : int
        Number of combinations of `by`.
    averaged : tuple of str
        Variables averaged over.
    held : dict of str to float
        Covariates held at one value.
    """

    cells: pd.DataFrame
    L: Array
    families: int
    averaged: tuple[str, ...]
    held: dict[str, float]


def reference_grid(recipe: Recipe, specs: Sequence[str], by: Sequence[str], at: Mapping[str, Any]) -> Grid:
    """Return the grid of `specs` within `by`.

    Raises
    ------
    ModelError
        If a name is not a variable of the fixed part, a value is invalid, or the grid is too large.
    """
    many = {factor.column for factor in recipe.many}
    names = [name for name in recipe.fixed_names if name not in many]
    _check(names, many, [*by, *specs, *at])
    repeated = [name for name in names if [*by, *specs].count(name) > 1]
    if repeated:
        raise ModelError(f"{repeated[0]!r} is named more than once among the specs and by; name it once.")
    values = {name: _values(recipe, recipe.variables[name], at.get(name)) for name in names}
    named = [*by, *reversed(specs)]
    order = [*named, *(name for name in names if name not in named)]
    sizes = [len(values[name]) for name in order]
    if prod(sizes) > LARGEST_GRID:
        raise ModelError(
            f"the reference grid has {prod(sizes):,} cells ({', '.join(map(str, sizes))} values of "
            f"{', '.join(order)}); at most {LARGEST_GRID:,} are computed. Hold variables at fewer values by `at`."
        )
    places = np.unravel_index(np.arange(prod(sizes)), sizes) if sizes else ()
    frame = {name: _column(values[name], place) for name, place in zip(order, places, strict=True)}
    frame.update({name: _column(recipe.variables[name].levels, np.zeros(prod(sizes), int)) for name in many})
    if not frame:
        frame = {"": pd.Series([0.0])}
    step = prod(sizes[len(named) :])
    cells = pd.DataFrame({name: frame[name].iloc[::step] for name in [*specs, *by]}).reset_index(drop=True)
    rest = [name for name in names if name not in named]
    return Grid(
        cells=cells,
        L=_averages(recipe, pd.DataFrame(frame), prod(sizes[: len(named)])),
        families=prod(sizes[: len(by)]),
        averaged=(*(n for n in rest if len(values[n]) > 1), *(n for n in recipe.fixed_names if n in many)),
        held={
            n: float(values[n][0]) for n in rest if len(values[n]) == 1 and recipe.variables[n].levels is None
        },
    )


def _averages(recipe: Recipe, frame: pd.DataFrame, count: int) -> Array:
    """Return the averages of X over `count` runs of rows, shape (count, p)."""
    X, _ = recipe.fixed_rows(frame)
    shares = [np.full(len(f.levels) - f.first, 1.0 / len(f.levels)) for f in recipe.many]
    many = np.tile(np.concatenate([*shares, np.zeros(0)]), (count, 1))
    return np.hstack([X.reshape(count, -1, X.shape[1]).mean(axis=1), many])


def _check(names: Sequence[str], many: set[str], queries: Sequence[str]) -> None:
    for name in queries:
        if name in many:
            raise ModelError(
                f"{name!r} is kept as codes since it has very many levels, and its means are not listed one by "
                "one; compare its levels with t_test."
            )
        if name not in names:
            raise ModelError(
                f"{name!r} is not a variable of the fixed part ({', '.join(names) or 'none'}). "
                f"{nearest(name, names)}".rstrip()
            )


def _column(values: Any, place: Any) -> pd.Series[Any]:
    return pd.Series(pd.Index(values)[place]).reset_index(drop=True)


def _values(recipe: Recipe, variable: Variable, at: Any) -> Any:
    """Return the values of a variable in the grid; `at` holds the user's values, or None."""
    levels = variable.levels if variable.levels is not None else _levels_in_calls(recipe, variable.name)
    if at is not None:
        return _checked(variable, levels, at)
    if levels is not None:
        return levels
    if variable.kind == "boolean":
        return [False, True]
    if variable.two_valued and variable.low < variable.high:
        return [variable.low, variable.high]
    return [variable.mean]


def _levels_in_calls(recipe: Recipe, name: str) -> pd.Index[Any] | None:
    """Return the levels of a numeric variable that the formula wraps in ``C(…)``."""
    states = {} if recipe.specs is None else recipe.specs["X"].encoder_state
    for expression, (_, state) in states.items():
        found = _CALLED.match(expression)
        if found and found.group(1) == name and "categories" in state:
            levels: pd.Index[Any] = pd.Index(state["categories"])
            return levels
    return None


def _checked(variable: Variable, levels: pd.Index[Any] | None, at: Any) -> Any:
    """Return the user's values of a variable, after checks."""
    values = [at] if isinstance(at, str) or np.ndim(at) == 0 else list(at)
    if not values:
        raise ModelError(f"at gives no values for {variable.name!r}; give at least one.")
    if levels is not None:
        wrong = [value for value in values if value not in levels]
        if wrong:
            known = ", ".join(map(repr, levels[:10].tolist()))
            raise ModelError(
                f"at gives {wrong[0]!r} for {variable.name!r}, which is not one of its levels ({known}"
                f"{', …' if len(levels) > 10 else ''}). {nearest(str(wrong[0]), map(str, levels))}".rstrip()
            )
        return pd.Index(values)
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            f"at gives {values!r} for {variable.name!r}, which is numeric; give numbers."
        ) from None
    if not np.isfinite(numbers).all():
        raise ModelError(f"at gives {values!r} for {variable.name!r}; give finite numbers.")
    return numbers.astype(bool) if variable.kind == "boolean" else numbers
