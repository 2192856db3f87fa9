"""Horizontal axis of fitted lines: a variable of the formula, a column of the design, or given values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.recipe import Recipe
from mixedfit.estimation.fit import Fit
from mixedfit.prediction.variables import levels_of, population_mean, values_of, variable_of

from ._text import level_word

__all__ = ["PLACES", "Along", "group_lines", "horizontal", "means_at", "population_line"]

PLACES = 100
"""Largest number of vertices of a population's line along a number."""

BINS = 20
"""Bins of the means of rows along a number that has at least twice as many values."""


@dataclass(frozen=True, eq=False)
class Along:
    """Horizontal places of the rows of a fit.

    Attributes
    ----------
    name : str
    values : ndarray, shape (n,)
        Numbers; or positions of labels, from 0.
    labels : tuple of str
        Categories in order; empty for numbers.
    variable : str or None
        Name of the variable in the formula; None if it is not one.
    levels : tuple
        Values of the variable, one for each category.
    """

    name: str
    values: Array
    labels: tuple[str, ...] = ()
    variable: str | None = None
    levels: tuple[Any, ...] = ()


def horizontal(fit: Fit, block: int, x: Any) -> Along:
    """Return the horizontal places of every row.

    Parameters
    ----------
    fit : Fit
    block : int
    x : None, str or array, shape (n,)
        A variable or a column's name, or one value a row: numbers, labels, or a Series with the data's index.

    Raises
    ------
    ModelError
        If a name is not known, a variable cannot be recovered from the columns, or the values do not fit the rows.
    """
    if x is None:
        return _by_default(fit, block)
    return _by_name(fit, block, x) if isinstance(x, str) else _by_values(fit, x)


def _recipe(fit: Fit) -> Recipe | None:
    """Return the recipe of a fit's columns if it can be used."""
    recipe = fit.design.recipe
    return None if recipe is None or recipe.refusal else recipe


def _along(name: str, values: pd.Series[Any], variable: str | None, levels: Any) -> Along:
    """Return the places of a variable with these values: numbers, or positions among `levels`."""
    if levels is None:
        return Along(name, values.to_numpy(dtype=float), (), variable)
    places = pd.Index(levels).get_indexer(pd.Index(values)).astype(float)
    return Along(name, places, tuple(level_word(v) for v in levels), variable, tuple(levels))


def _variable(fit: Fit, name: str) -> Along | None:
    """Return the places of a variable of the formula; None if it is not one or cannot be recovered."""
    recipe = _recipe(fit)
    values = None if recipe is None or name not in recipe.variables else values_of(fit, name)
    return None if recipe is None or values is None else _along(name, values, name, levels_of(recipe, name))


def _by_default(fit: Fit, block: int) -> Along:
    """Return the first that varies of numbers with a random slope, numbers within groups, labels, other numbers."""
    recipe = _recipe(fit)
    if recipe is None:
        found = [_column(fit, block, name) for name in _columns(fit, block)]
        return next((a for a in found if np.ptp(a.values) > 0), _row_numbers(fit, block))
    slopes = recipe.effect_names(block)
    ranked: list[tuple[int, Along]] = []
    for name in dict.fromkeys([*slopes, *recipe.fixed_names]):
        along = _variable(fit, name)
        if along is None or not np.ptp(along.values) > 0:
            continue
        inside = _varies_within(along.values, fit.design.blocks[block].codes)
        number = not along.labels
        rank = (0 if number else 2) + (name not in slopes) if inside else (4 if number else 5)
        ranked.append((rank, along))
    ranked.sort(key=lambda pair: pair[0])
    return ranked[0][1] if ranked else _row_numbers(fit, block)


def _row_numbers(fit: Fit, block: int) -> Along:
    """Return the number of each row among the rows of its level, from 1."""
    own = fit.design.blocks[block]
    numbers = pd.Series(own.codes).groupby(own.codes).cumcount().to_numpy().astype(np.float64) + 1.0
    return Along(f"row of each level of {own.name}", numbers)


def _varies_within(values: Array, codes: IntArray) -> bool:
    """Return whether values differ within a group."""
    order = np.lexsort([values, codes])
    same = np.diff(codes[order]) == 0
    return bool(np.any(same & (np.diff(values[order]) > 0)))


def _columns(fit: Fit, block: int) -> dict[str, int | None]:
    """Return the block of each column of the design by its name, None for columns of X."""
    own = fit.design.blocks[block].effects
    return {**dict.fromkeys(own, block), **dict.fromkeys(fit.design.x_names)}


def _column(fit: Fit, block: int, name: str) -> Along:
    """Return the places of a column of X or of a block."""
    design = fit.design
    if name in design.x_names:
        return Along(name, design.X[:, design.x_names.index(name)])
    own = design.blocks[block]
    return Along(name, own.z[:, own.effects.index(name)])


def _by_name(fit: Fit, block: int, name: str) -> Along:
    """Return the variable of this name, the variable of which the column of this name is made, or the column."""
    recipe, columns = _recipe(fit), _columns(fit, block)
    name = {column.replace(" ", ""): column for column in columns}.get(name.replace(" ", ""), name)
    variables = () if recipe is None else tuple(recipe.variables)
    found = _variable(fit, name)
    if found is None and name in columns:
        place = columns[name]
        names = fit.design.x_names if place is None else fit.design.blocks[place].effects
        behind = None if recipe is None else variable_of(recipe, name, names, place)
        found = (None if behind is None else _variable(fit, behind)) or _column(fit, block, name)
    if found is not None:
        return found
    if name in variables:
        raise ModelError(
            f"the values of {name!r} cannot be told from the columns of the design; give them as x, one for each row "
            "of the fit or a Series with the data's index."
        )
    known = list(dict.fromkeys([*variables, *columns]))
    raise ModelError(
        f"{name!r} is not a variable or a column of the design ({', '.join(known[:12])}{', …' * (len(known) > 12)}). "
        f"{nearest(name, known)} Give an array or a Series, one value for each row of the fit, to show another one."
    )


def _by_values(fit: Fit, x: Any) -> Along:
    """Return values that the caller gave, or the variable of the formula if they are equal to it."""
    design = fit.design
    name = str(getattr(x, "name", None) or "x")
    x = x if design.excluded is None else design.excluded.used(x)
    if isinstance(x, pd.Series) and not x.index.equals(design.index) and x.index.is_unique:
        x = x.loc[design.index] if design.index.isin(x.index).all() else x
    values = x if isinstance(x, pd.Series | pd.Categorical) else np.asarray(x)
    shape = getattr(values, "shape", (len(values),))
    if shape != (design.n,):
        left = f" ({design.dropped} rows of the data were left out for missing values: give a Series of the data)"
        raise ModelError(
            f"x has shape {shape}; expected one number or label for each of the {design.n} rows of the fit"
            f"{left if design.dropped else ''}."
        )
    series = pd.Series(values).reset_index(drop=True)
    if not pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype):
        if pd.api.types.is_datetime64_any_dtype(series.dtype):
            raise ModelError("x holds dates; give numbers, such as days since the first.")
        coded = pd.Categorical(series)
        if (coded.codes < 0).any():
            raise ModelError(
                f"x has {int((coded.codes < 0).sum())} missing values; expected a value for each row."
            )
        return _recognised(fit, _along(name, pd.Series(coded.astype(object)), None, coded.categories), name)
    along = Along(name, series.to_numpy(dtype=float, na_value=np.nan))
    if not np.isfinite(along.values).all():
        raise ModelError(
            "x has missing or infinite values; expected a finite number for each row of the fit."
        )
    return _recognised(fit, along, name)


def _recognised(fit: Fit, along: Along, name: str) -> Along:
    """Return the variable of the formula with these values, or else the values themselves."""
    recipe = _recipe(fit)
    for variable in () if recipe is None else recipe.variables:
        own = _variable(fit, variable) if name in ("x", variable) else None
        if own is None or bool(own.labels) != bool(along.labels):
            continue
        if along.labels:
            same = np.array_equal(
                np.array(own.labels)[own.values.astype(int)], np.array(along.labels)[along.values.astype(int)]
            )
        else:
            same = np.allclose(own.values, along.values, rtol=1e-8, atol=1e-8 * float(np.ptp(along.values)))
        if same:
            return own
    return along


def means_at(x: Array, *ys: Array, most: float = 2 * BINS, bins: int = BINS) -> tuple[Array, ...]:
    """Return the distinct places in order with the mean of each y; means of `bins` bins if there are `most` or more."""
    codes = np.unique(x, return_inverse=True)[1].ravel()
    if codes.max() >= most:
        codes = np.argsort(np.argsort(x, kind="stable")) * bins // x.size
    counts = np.bincount(codes)
    return tuple(np.bincount(codes, weights=values) / counts for values in (x, *ys))


def group_lines(x: Array, *ys: Array, labels: bool) -> tuple[Array, ...]:
    """Return a group's distinct places in order with the mean of each y there.

    If these means go up and down with other covariates instead of along x, return means of at least five rows each.
    """
    lines = means_at(x, *ys, most=np.inf)
    if labels or not any(_zigzags(y) for y in lines[1:]):
        return lines
    return means_at(x, *ys, most=0, bins=int(np.clip(x.size // 5, 2, BINS)))


def _zigzags(values: Array) -> bool:
    """Return whether over 2 in 5 of many steps change direction: few do along a curve, 2 in 3 in noise."""
    steps = np.diff(values)
    steps = steps[np.abs(steps) > 1e-9 * (np.ptp(values) or 1.0)]
    return steps.size > 20 and float(np.mean(steps[1:] * steps[:-1] < 0)) > 0.4


def population_line(fit: Fit, along: Along) -> tuple[Array, Array, tuple[str, ...]]:
    """Return places in the range of the data, the population's mean there, and the variables averaged over.

    A variable of the formula takes each place with all other variables as in the data; for other values the rows at
    each place are averaged.
    """
    if along.variable is not None:
        places = np.unique(along.values)
        if places.size > PLACES:
            places = np.unique(np.quantile(along.values, np.linspace(0.0, 1.0, PLACES), method="nearest"))
        at = [along.levels[int(p)] for p in places] if along.labels else places
        found = population_mean(fit, along.variable, at)
        if found is not None:
            return places, *found
    places, means = means_at(along.values, fit.fixed_part, most=np.inf if along.labels else 2 * BINS)
    return places, means, ()
