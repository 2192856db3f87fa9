"""Reference grid of marginal means: factors at all levels, covariates at their means.

As in R's emmeans (Searle, Speed & Milliken 1980, Am. Stat. 34:216), cells have equal weights unless others are chosen,
and a numeric variable with two values takes both of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.recipe import Recipe, Variable
from mixedfit.design.recipe.cells import CALLED

from .averages import Rows, Weights, averaged
from .nesting import Nesting, find_nesting, read_nesting
from .specs import OVERALL

__all__ = ["Grid", "GridOptions", "reference_grid"]

LARGEST_GRID = 1_000_000
"""Largest number of cells of a grid."""

_Values: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class GridOptions:
    """What a grid holds, and how it is averaged.

    Attributes
    ----------
    at : mapping of str to values
        The user's values of variables.
    weights : Weights
        Of the cells that are averaged.
    nesting : mapping, str or False, optional
        The user's nested factors; None: they are found.
    rows : callable, optional
        Returns rows of weights of the fixed effects for a frame of the grid; X by default.
    spread : bool
        Whether numbers with more than two values are at their mean − 1 and + 1, for tests of their slopes.
    """

    at: Mapping[str, Any] = field(default_factory=dict)
    weights: Weights = "equal"
    nesting: Any = None
    rows: Callable[[pd.DataFrame], Array] | None = None
    spread: bool = False


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells of the named variables, with rows of X averaged over the other variables.

    Attributes
    ----------
    cells : pandas.DataFrame
        A row for each cell: `by` varies slowest, the first of `specs` fastest. Columns specs, then by.
    L : ndarray, shape (cells, p)
        Weights of the fixed effects in each mean; 0 where there is none.
    empty : ndarray of bool, shape (cells,)
        Whether a mean has no cells to average.
    specs, by : tuple of str
        Nested factors with those in which they are nested.
    families : tuple of ndarray
        Rows of each combination of `by`.
    averaged : tuple of str
        Variables averaged over.
    held : dict of str to float
        Covariates held at one value.
    nesting : mapping
        Nested factors of the grid.
    """

    cells: pd.DataFrame
    L: Array
    empty: BoolArray
    specs: tuple[str, ...]
    by: tuple[str, ...]
    families: tuple[IntArray, ...]
    averaged: tuple[str, ...]
    held: dict[str, float]
    nesting: Nesting


def reference_grid(
    recipe: Recipe, specs: Sequence[str], by: Sequence[str], options: GridOptions | None = None
) -> Grid:
    """Return the grid of `specs` within `by`.

    Raises
    ------
    ModelError
        If a name is not a variable of the fixed part, a value is invalid, or the grid is too large.
    """
    options = options or GridOptions()
    many = {factor.column for factor in recipe.many}
    names = [name for name in recipe.fixed_names if name not in many]
    _check(names, many, [*by, *specs, *options.at])
    repeated = [name for name in names if [*by, *specs].count(name) > 1]
    if repeated:
        raise ModelError(f"{repeated[0]!r} is named more than once among the specs and by; name it once.")
    values = {
        name: _values(recipe, recipe.variables[name], options.at.get(name), options.spread) for name in names
    }
    if many and options.weights != "equal":
        raise ModelError(
            f"weights={options.weights!r} needs the number of rows in each cell, which is not kept for "
            f"{', '.join(map(repr, sorted(many)))} with very many levels; use weights='equal'."
        )
    rows = _all_rows(recipe, names, values, options)
    nesting = _nesting(recipe, rows, values, options.nesting)
    shown, within = _with_parents(specs, by, nesting)
    own = averaged(rows, [*within, *reversed(shown)], options.weights, nesting)
    own = own.some(_occurring(own, [n for n in (*specs, *by) if n in nesting], nesting))
    rest = [name for name in names if name not in (*shown, *within)]
    cells = pd.DataFrame({n: _column(values[n], own.columns([n])[:, 0]) for n in [*shown, *within]})
    if not len(cells.columns):
        cells = pd.DataFrame({OVERALL: ["overall"]})
    empty = np.asarray(np.isnan(own.L).any(axis=1))
    return Grid(
        cells=cells,
        L=np.where(empty[:, None], 0.0, own.L),
        empty=empty,
        specs=shown or (OVERALL,),
        by=within,
        families=tuple(own.groups(within)),
        averaged=(*(n for n in rest if len(values[n]) > 1), *(n for n in recipe.fixed_names if n in many)),
        held={
            n: float(values[n][0]) for n in rest if len(values[n]) == 1 and recipe.variables[n].levels is None
        },
        nesting=nesting,
    )


def _all_rows(recipe: Recipe, names: Sequence[str], values: _Values, options: GridOptions) -> Rows:
    """Return every combination of the values, with its row of X and its number of rows in the fit."""
    sizes = [len(values[name]) for name in names]
    count = prod(sizes)
    if count > LARGEST_GRID:
        raise ModelError(
            f"the reference grid has {count:,} cells ({', '.join(map(str, sizes))} values of "
            f"{', '.join(names)}); at most {LARGEST_GRID:,} are computed. Hold variables at fewer values by `at`."
        )
    places = np.unravel_index(np.arange(count), sizes) if sizes else ()
    frame = {name: _column(values[name], place) for name, place in zip(names, places, strict=True)}
    for factor in recipe.many:
        levels = recipe.variables[factor.column].levels
        frame[factor.column] = _column(levels, np.zeros(count, int))
    table = pd.DataFrame(frame or {"": pd.Series([0.0])})
    L = recipe.fixed_rows(table)[0] if options.rows is None else options.rows(table)
    shares = [np.full(len(f.levels) - f.first, 1.0 / len(f.levels)) for f in recipe.many]
    if options.rows is not None:
        shares = [np.zeros_like(share) for share in shares]
    L = np.hstack([L, np.tile(np.concatenate([*shares, np.zeros(0)]), (len(L), 1))])
    codes = np.column_stack([*places, np.zeros((count, 0), np.int64)]).astype(np.int64)
    return Rows(tuple(names), codes, L, _counts(recipe, names, values, codes, options.weights))


def _counts(
    recipe: Recipe, names: Sequence[str], values: _Values, codes: IntArray, weights: Weights
) -> Array:
    """Return the number of the fit's rows in the cell of each row of the grid, whatever its covariates."""
    cells = recipe.cells
    if cells is None:
        if isinstance(weights, str) and weights != "equal":
            raise ModelError(
                f"weights={weights!r} needs the number of rows in each cell, which this file does not hold; fit the "
                "model again, or use weights='equal'."
            )
        return np.ones(len(codes))
    factors = [name for name in cells.names if name in names]
    if not factors:
        return np.ones(len(codes))
    sizes = [len(values[name]) for name in factors]
    known = [pd.Index(values[name]).get_indexer(cells.values[cells.names.index(name)]) for name in factors]
    own = np.column_stack(
        [place[cells.codes[:, cells.names.index(name)]] for name, place in zip(factors, known, strict=True)]
    )
    inside = np.all(own >= 0, axis=1)
    totals = np.bincount(
        np.ravel_multi_index(tuple(own[inside].T), sizes), cells.counts[inside], minlength=prod(sizes)
    )
    grid = codes[:, [list(names).index(name) for name in factors]]
    return np.asarray(totals[np.ravel_multi_index(tuple(grid.T), sizes)], dtype=np.float64)


def _nesting(recipe: Recipe, rows: Rows, values: _Values, given: Any) -> Nesting:
    """Return the nested factors: the user's, or those that are found."""
    cells = recipe.cells
    factors = [n for n in (() if cells is None else cells.names) if n in values and len(values[n]) > 1]
    if given is not None:
        return read_nesting(given, factors)
    if len(factors) < 2 or not np.any(rows.counts > 0):
        return {}
    return find_nesting(factors, rows.columns(factors), rows.counts > 0, recipe.terms)


def _with_parents(
    specs: Sequence[str], by: Sequence[str], nesting: Nesting
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return specs and by with the factors in which those among them are nested."""
    within = list(dict.fromkeys([*(p for name in by for p in nesting.get(name, ())), *by]))
    nested = [name for name in specs if name in nesting]
    shown = [*nested, *(p for name in nested for p in nesting[name]), *specs]
    return tuple(dict.fromkeys(n for n in shown if n not in within)), tuple(within)


def _occurring(rows: Rows, nested: Sequence[str], nesting: Nesting) -> BoolArray:
    """Return which rows have combinations of nested factors and their parents that occur, shape (rows,)."""
    out = np.ones(len(rows.codes), dtype=bool)
    for name in nested:
        for group in rows.groups([name, *nesting[name]]):
            out[group] &= bool(np.any(rows.counts[group] > 0))
    return out


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


def _values(recipe: Recipe, variable: Variable, at: Any, spread: bool = False) -> Any:
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
    return [variable.mean - 1.0, variable.mean + 1.0] if spread else [variable.mean]


def _levels_in_calls(recipe: Recipe, name: str) -> pd.Index[Any] | None:
    """Return the levels of a numeric variable that the formula wraps in ``C(…)``."""
    states = {} if recipe.specs is None else recipe.specs["X"].encoder_state
    for expression, (_, state) in states.items():
        found = CALLED.match(expression)
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
