"""Values of a formula's variables on the rows of a fit, recovered from the columns of the design.

A fit keeps columns such as ``poly(x, 2)[1]`` and the recipe that made them, not x. Pictures along x and tables of the
rows need x itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.design.recipe import NewRows, Recipe, Variable, usable
from mixedfit.estimation.fit import Fit

from .rows import fixed_mean

__all__ = [
    "CLOSE",
    "factors_on_rows",
    "fixed_part_of",
    "goes_along",
    "held_frame",
    "held_value",
    "in_offset",
    "is_labels",
    "levels_of",
    "population_mean",
    "recovered_variables",
    "values_of",
    "variable_of",
    "variables_on_rows",
]

GRID = 257
"""Values, from the lowest to the highest, at which the columns of a numeric variable are computed."""

CLOSE = 1e-6
"""Largest error of recomputed columns, relative to their size, at which a variable counts as recovered."""

MOST_ROWS = 60_000
"""Largest number of rows built for a population's mean; of more combinations of other variables, a sample."""

_CALLED = re.compile(r"C\(\s*`?([^\W\d][\w.]*)`?\s*[,)]")

Built: TypeAlias = Callable[[Any], Array]
"""Columns, shape (m, c), of m values of one variable."""


def levels_of(recipe: Recipe, name: str) -> pd.Index[Any] | None:
    """Return the values of a discrete variable: labels, booleans, two-valued numbers, ``C(x)``; else None."""
    variable, levels = recipe.variables[name], _categories(recipe, name)
    if levels is None and variable.two_valued:
        levels = pd.Index([variable.low, variable.high])
    return levels


def is_labels(recipe: Recipe, name: str) -> bool:
    """Return whether a variable enters the formula as labels, which may be numbers."""
    return _categories(recipe, name) is not None


def _categories(recipe: Recipe, name: str) -> pd.Index[Any] | None:
    """Return the levels of a variable that enters the formula as labels; None for others."""
    variable = recipe.variables[name]
    if variable.levels is not None:
        return variable.levels
    for spec in ({} if recipe.specs is None else recipe.specs).values():
        for expression, (_, state) in spec.encoder_state.items():
            found = _CALLED.match(expression)
            if found and found.group(1) == name and "categories" in state:
                levels: pd.Index[Any] = pd.Index(state["categories"])
                return levels
    return pd.Index([False, True]) if variable.kind == "boolean" else None


def held_value(recipe: Recipe, name: str) -> Any:
    """Return the value at which a variable is held: the mean of a number, the first level of another variable."""
    categories = _categories(recipe, name)
    return recipe.variables[name].mean if categories is None else categories[0]


def held_frame(recipe: Recipe, moved: Mapping[str, Any], n: int) -> pd.DataFrame:
    """Return n rows with the values `moved` of some variables, all others held."""
    held = {name: [held_value(recipe, name)] * n for name in recipe.variables if name not in moved}
    return pd.DataFrame({**{name: pd.Series(list(v)) for name, v in moved.items()}, **held})


def variable_of(recipe: Recipe, column: str, names: tuple[str, ...], block: int | None) -> str | None:
    """Return the variable of which a column of X, or of a block's effects, is made; None unless it is a single one."""
    if column not in names:
        return None
    terms = recipe.terms if block is None else recipe.effect_terms(block)
    own = next((term for term in terms if names.index(column) in term.columns), None)
    return own.variables[0] if own is not None and len(own.variables) == 1 else None


def values_of(fit: Fit, name: str) -> pd.Series[Any] | None:
    """Return a variable's values on the rows of the fit; None if the columns do not determine them.

    Parameters
    ----------
    fit : Fit
    name : str
        A variable of the recipe.
    """
    design, recipe = fit.design, usable(fit.design.recipe)
    for factor in design.many:
        if factor.grouping.name == name:
            return pd.Series(factor.grouping.levels[factor.grouping.codes])
    variable, levels = recipe.variables[name], levels_of(recipe, name)
    for matrix, build in _places(fit, name):
        found = _numbers(build, matrix, variable) if levels is None else _labels(build, matrix, levels)
        if found is not None:
            return found
    return None


def factors_on_rows(fit: Fit, names: Sequence[str]) -> pd.DataFrame | None:
    """Return factors on the rows of the fit, from the columns of all terms that are made of them; else None.

    It finds factors that the formula has in interactions only. Their combinations are those that occur in the fit.
    """
    recipe = usable(fit.design.recipe)
    cells, wanted = recipe.cells, set(names)
    if cells is None or not wanted or not wanted <= set(cells.names):
        return None
    own = [cells.names.index(name) for name in names]
    codes = np.unique(cells.codes[:, own][cells.counts > 0], axis=0)
    frame = pd.DataFrame(
        {n: cells.values[f][codes[:, k]] for k, (n, f) in enumerate(zip(names, own, strict=True))}
    )
    terms = [t for t in recipe.terms if t.variables and set(t.variables) <= wanted]
    columns = [c for t in terms for c in t.columns if c < fit.design.X.shape[1]]
    if not columns:
        return None
    table = recipe.fixed_rows(held_frame(recipe, {n: frame[n] for n in names}, len(frame)))[0][:, columns]
    found = _labels(lambda _: np.asarray(table), fit.design.X[:, columns], pd.RangeIndex(len(frame)))
    return None if found is None else frame.iloc[found.to_numpy()].reset_index(drop=True)


def recovered_variables(fit: Fit, names: Sequence[str]) -> dict[str, Any]:
    """Return those of the variables that the columns of a fit determine, with a value for each row."""
    recipe = fit.design.recipe
    if fit.design.absent is not None or recipe is None or recipe.refusal:
        return {}
    known = [name for name in names if name in recipe.variables]
    own: dict[str, Any] = {name: values_of(fit, name) for name in known}
    if any(values is None for values in own.values()):
        factors = factors_on_rows(fit, [name for name in known if levels_of(recipe, name) is not None])
        own |= {} if factors is None else {str(name): values for name, values in factors.items()}
    return {name: values for name, values in own.items() if values is not None}


def variables_on_rows(fit: Fit, names: Sequence[str]) -> pd.DataFrame | None:
    """Return variables on the counted rows of a fit; None if its columns do not determine them or are not in memory."""
    own = recovered_variables(fit, names)
    if not set(names) <= set(own):
        return None
    return pd.DataFrame(own, index=range(fit.design.n)).loc[np.arange(fit.design.n)[fit.design.counted]]


def _places(fit: Fit, name: str) -> Iterator[tuple[Array, Built]]:
    """Yield the columns of X and of each block that are made of one variable alone, and what makes them."""
    design, recipe = fit.design, usable(fit.design.recipe)
    for f in (None, *range(len(design.blocks))):
        matrix = design.X if f is None else design.blocks[f].z
        terms = recipe.terms if f is None else recipe.effect_terms(f)
        own = [c for t in terms if t.variables == (name,) for c in t.columns if c < matrix.shape[1]]

        def build(values: Any, f: int | None = f, own: list[int] = own) -> Array:
            rows = held_frame(recipe, {name: values}, len(values))
            return np.asarray(
                (recipe.fixed_rows(rows)[0] if f is None else recipe.effect_rows(f, rows))[:, own]
            )

        if own:
            yield matrix[:, own], build


def _labels(build: Built, stored: Array, levels: pd.Index[Any]) -> pd.Series[Any] | None:
    """Return the level of each row, by comparing its columns with those of each level."""
    table = build(levels)
    mix = np.cos(np.arange(1.0, stored.shape[1] + 1.0))  # different rows have different products
    keys = table @ mix
    order = np.argsort(keys)
    if np.any(np.diff(keys[order]) < CLOSE * np.abs(keys).max()):
        return None
    between = 0.5 * (keys[order][1:] + keys[order][:-1])
    codes = order[np.searchsorted(between, stored @ mix)]
    if not np.allclose(table[codes], stored, rtol=0.0, atol=CLOSE * np.abs(table).max()):
        return None
    if pd.api.types.is_numeric_dtype(levels.dtype):
        return pd.Series(levels.to_numpy()[codes])
    return pd.Series(pd.Categorical.from_codes(codes, categories=levels))


def _numbers(build: Built, stored: Array, variable: Variable) -> pd.Series[Any] | None:
    """Return the number of which each row's columns are made."""
    at = np.linspace(variable.low, variable.high, GRID)
    table = build(at)
    same = np.flatnonzero(np.all(table == at[:, None], axis=0))
    if same.size:
        return pd.Series(stored[:, same[0]])
    size = np.abs(table).max(axis=0)
    size[size == 0] = 1.0
    values = _by_combination(at, table / size, stored / size)
    if values is None:
        values = _by_inversion(build, at, table, stored)
    if values is None or not np.all(np.abs(build(values) - stored) <= CLOSE * size):
        return None
    digits = 10 - int(np.ceil(np.log10(max(abs(variable.low), abs(variable.high), 1e-300))))
    return pd.Series(np.round(values, digits))


def _by_combination(at: Array, table: Array, stored: Array) -> Array | None:
    """Return the variable if it is a linear combination of its columns (polynomials, splines, scaling)."""
    inside = np.column_stack([np.ones(at.size), table])
    weights = np.linalg.lstsq(inside, at, rcond=1e-12)[0]
    if np.abs(inside @ weights - at).max() > 1e-9 * np.ptp(at):
        return None
    values = np.column_stack([np.ones(len(stored)), stored]) @ weights
    return np.asarray(np.clip(values, at[0], at[-1]))


def _by_inversion(build: Built, at: Array, table: Array, stored: Array) -> Array | None:
    """Return the variable by bisection if one of its columns is monotone (logarithms, roots, squares of positive x)."""
    steps = np.sign(np.diff(table, axis=0))
    monotone = np.flatnonzero(np.all(steps == steps[0], axis=0) & (steps[0] != 0))
    if not monotone.size:
        return None
    c = int(monotone[0])
    sign = steps[0, c]
    wanted, place = np.unique(sign * stored[:, c], return_inverse=True)
    right = np.clip(np.searchsorted(sign * table[:, c], wanted), 1, at.size - 1)
    low, high = at[right - 1], at[right]
    for _ in range(32):  # bisection, down to 1e-12 of the range
        middle = 0.5 * (low + high)
        beyond = sign * build(middle)[:, c] >= wanted
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.asarray(high[place.ravel()])


def population_mean(fit: Fit, name: str, at: Any) -> tuple[Array, tuple[str, ...]] | None:
    """Return the mean of the fixed part over the rows of the fit with one variable moved, and the other variables.

    Friedman's (2001, Ann. Stat. 29:1189) partial dependence of Xβ̂ plus offset; None if a variable cannot be recovered
    from the columns, or another variable goes along with this one in the data.

    Parameters
    ----------
    fit : Fit
    name : str
    at : sequence of length m
        Values of the variable.

    Returns
    -------
    (ndarray, shape (m,), tuple of str) or None
    """
    recipe = usable(fit.design.recipe)
    own = values_of(fit, name) if name in recipe.fixed_names and not in_offset(recipe, name) else None
    if own is None:
        return None
    read = {other: values_of(fit, other) for other in recipe.fixed_names if other != name}
    if any(values is None or goes_along(values, own) for values in read.values()):
        return None
    others = pd.DataFrame(read, index=range(fit.design.n))
    rows, counts = _combinations(others, max(50, MOST_ROWS // len(at)))
    offset = 0.0 if fit.design.offset is None else fit.design.offset
    here = fixed_part_of(fit, others.loc[rows].assign(**{name: own.loc[rows]}))
    if not np.allclose(here, (fit.fixed_part - offset)[rows], rtol=CLOSE, atol=CLOSE * fit.sigma):
        return None
    tall = others.loc[np.tile(rows, len(at))].reset_index(drop=True)
    tall[name] = pd.Series(list(at)).repeat(len(rows)).reset_index(drop=True)
    means = fixed_part_of(fit, tall).reshape(len(at), len(rows)) @ (counts / counts.sum())
    return means + np.mean(offset), tuple(read)


def in_offset(recipe: Recipe, name: str) -> bool:
    """Return whether a variable enters an offset of the formula."""
    return any(re.search(rf"(?<![\w.]){re.escape(name)}\b", str(part)) for part in recipe.parsed.offsets)


def goes_along(other: pd.Series[Any], own: pd.Series[Any]) -> bool:
    """Return whether a variable depends on another in the data.

    If either is a number, more than half of its variance is explained (R² of two numbers, adjusted R² of a number by
    labels). Of two labels, at least nine in ten rows of each level of `own` have one level of `other`, not the same for
    all.
    """
    numeric = [pd.api.types.is_numeric_dtype(values.dtype) for values in (other, own)]
    if not any(numeric):
        table = pd.crosstab(own, other, normalize="index")
        return bool((table.max(axis=1) > 0.9).all()) and table.idxmax(axis=1).nunique() > 1
    number, by = (other, own) if numeric[0] else (own, other)
    number, n = number.astype(float), len(number)
    if all(numeric):
        a, b = number.to_numpy(), by.to_numpy(dtype=float)
        return bool(np.ptp(a) > 0 and np.ptp(b) > 0 and np.corrcoef(a, b)[0, 1] ** 2 > 0.5)
    within = float(((number - number.groupby(by, observed=True).transform("mean")) ** 2).sum())
    return within / max(n - by.nunique(), 1) < 0.5 * float(number.var())


def fixed_part_of(fit: Fit, data: pd.DataFrame) -> Array:
    """Return Xβ̂ of rows."""
    X, many = usable(fit.design.recipe).fixed_rows(data if data.shape[1] else data.assign(**{" ": 0.0}))
    return fixed_mean(fit, NewRows(X, many, None, (), (), (), data.index))


def _combinations(others: pd.DataFrame, most: int) -> tuple[Any, Array]:
    """Return a row of each combination of values with its count; of more than `most`, a random sample of rows."""
    n = len(others)
    if not others.shape[1]:
        return np.zeros(1, dtype=int), np.ones(1)
    codes = others.groupby(list(others.columns), observed=True, sort=False).ngroup().to_numpy()
    _, rows, counts = np.unique(codes, return_index=True, return_counts=True)
    if rows.size <= most:
        return rows, counts.astype(float)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False)), np.ones(most)
