"""The products of columns and coefficients by which a scorer predicts a row in microseconds.

The coefficients of each combination of levels are looked up, and a row takes a few multiplications.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.design.recipe import FixedTerm, Product, Recipe, usable
from mixedfit.design.recipe.cells import CALLED
from mixedfit.design.stream.levels import ColumnCoder

from .means import Means
from .rows import NewLevels, label_kind

__all__ = ["Group", "OtherWayError", "Plan", "effects_of", "plan_of", "product_of"]

MOST_COMBINATIONS = 100_000
"""Largest number of combinations of levels of a term whose coefficients are looked up."""


class OtherWayError(Exception):
    """The row has something for which `Predictor.predict` is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Columns that are products of numbers and indicators of labels.

    Attributes
    ----------
    numbers, labels : tuple of str
        Columns of the data.
    table : dict
        Coefficient, or columns' values, of each combination of labels.
    """

    numbers: tuple[str, ...]
    labels: tuple[str, ...]
    table: dict[tuple[Any, ...], Any]

    def value(self, row: Mapping[str, Any]) -> Any:
        """Return the table's entry of a row times its numbers."""
        out = self.table[tuple([_label(row[name]) for name in self.labels])]
        for name in self.numbers:
            out = out * _number(row[name])
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A grouping factor with included effects.

    Attributes
    ----------
    columns : tuple of str
    places : dict
        Position of each level, or combination of labels of several columns.
    pieces : tuple of (Piece, slice or ndarray)
        With the effects that they make.
    effects : ndarray, shape (levels, k)
        BLUPs; 0 for effects that are not included.
    coder : ColumnCoder or None
        Looks up levels that are numbers.
    kinds : tuple of frozenset
        For each column the types of its levels, one for all numbers.
    """

    columns: tuple[str, ...]
    places: dict[Any, int]
    pieces: tuple[tuple[Piece, Any], ...]
    effects: Array
    coder: ColumnCoder | None
    kinds: tuple[frozenset[type], ...]

    def value(self, row: Mapping[str, Any], new: bool) -> float:
        """Return zb of a row; 0 for a new level if those are allowed and it is of the type of the others."""
        labels = [_label(row[name]) for name in self.columns]
        place = self.places.get(labels[0] if len(labels) == 1 else tuple(labels))
        if place is None and not (new and self._of_the_type(labels)):
            raise OtherWayError
        z = np.empty(self.effects.shape[1])
        for piece, at in self.pieces:
            z[at] = piece.value(row)
        return 0.0 if place is None else float(z @ self.effects[place])

    def _of_the_type(self, labels: Sequence[Any]) -> bool:
        """Return whether each label has the one type of its column's levels."""
        return all(kinds == {label_kind(label)} for label, kinds in zip(labels, self.kinds, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Products of a model whose predictions are sums of them."""

    fixed: tuple[Piece, ...]
    groups: tuple[Group, ...]
    offset: str | None
    new: bool

    def mean(self, row: Mapping[str, Any]) -> float:
        """Return the prediction of a row."""
        total = 0.0 if self.offset is None else _number(row[self.offset])
        for piece in self.fixed:
            total += piece.value(row)
        for group in self.groups:
            total += group.value(row, self.new)
        return float(total)


def _number(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise OtherWayError
    return float(value)


def _label(value: Any) -> Any:
    if isinstance(value, bool | np.bool_) or value is None or value != value:
        raise OtherWayError
    return value


def effects_of(recipe: Recipe, group: Group, table: pd.DataFrame) -> Array:
    """Return the values of a group's effects in each row of a table, shape (n, k)."""
    f = next(f for f, own in enumerate(recipe.groups) if own.columns == group.columns)
    return recipe.effect_rows(f, table)


def product_of(group: Group, X: Array, codes: Any, effects: Callable[[], Array]) -> Array:
    """Return zb of each row, shape (n,)."""
    if group.effects.shape[1] == 1 and not group.pieces[0][0].numbers and not group.pieces[0][0].labels:
        return np.asarray(group.effects[codes, 0] * group.pieces[0][0].table[()])
    z = effects()
    out = z[:, 0] * group.effects[codes, 0]
    for j in range(1, z.shape[1]):
        out += z[:, j] * group.effects[codes, j]
    return np.asarray(out)


def plan_of(means: Means, included: Sequence[BoolArray], new_levels: NewLevels) -> Plan | None:
    """Return the products of a model, or None if its predictions are no sums of such."""
    design, recipe = means.design, usable(means.design.recipe)
    odd = design.many or recipe.parsed.offsets or recipe.offset is True or means.null.shape[1]
    if odd or any(block.known is not None for block in design.blocks):
        return None
    beta = np.nan_to_num(means.beta)
    fixed = _pieces(recipe, recipe.terms, lambda frame: recipe.fixed_rows(frame)[0])
    if fixed is None:
        return None
    groups = []
    for f, (own, modes) in enumerate(zip(included, means.modes, strict=True)):
        if not own.any():
            continue
        group = _group(recipe, f, np.where(own, modes, 0.0))
        if group is None:
            return None
        groups.append(group)
    scalars = tuple(
        Piece(piece.numbers, piece.labels, {k: float(v @ beta[at]) for k, v in piece.table.items()})
        for piece, at in fixed
    )
    offset = recipe.offset if isinstance(recipe.offset, str) else None
    return Plan(scalars, tuple(groups), offset, new_levels != "error")


def _group(recipe: Recipe, f: int, effects: Array) -> Group | None:
    group = recipe.groups[f]
    pieces = _pieces(recipe, recipe.effect_terms(f), lambda frame: recipe.effect_rows(f, frame))
    if pieces is None or (len(group.columns) > 1 and not group.parts):
        return None
    several = len(group.columns) > 1
    labels = (
        list(zip(*(part.tolist() for part in group.parts), strict=True)) if several else group.levels.tolist()
    )
    whole = isinstance(group.levels.dtype, np.dtype) and group.levels.dtype.kind == "i"
    coder = ColumnCoder(group.name, group.levels) if whole and not several else None
    columns = zip(*labels, strict=True) if several else [labels]
    kinds = tuple(frozenset(map(label_kind, column)) for column in columns)
    return Group(group.columns, {label: i for i, label in enumerate(labels)}, pieces, effects, coder, kinds)


def _pieces(
    recipe: Recipe, terms: Sequence[FixedTerm], evaluate: Callable[[pd.DataFrame], Array]
) -> tuple[tuple[Piece, Any], ...] | None:
    """Return the products of some terms, each with its columns; None if a term is no product of columns."""
    out = []
    for term in terms:
        if not term.products and term.columns:
            return None
        for own in term.products:
            at = np.array(own.columns)
            piece = _piece(recipe, own, partial(_columns_of, evaluate, at))
            if piece is None:
                return None
            out.append((piece, at))
    return tuple(out)


def _columns_of(evaluate: Callable[[pd.DataFrame], Array], at: Any, frame: pd.DataFrame) -> Array:
    return np.asarray(evaluate(frame)[:, at])


def _piece(recipe: Recipe, own: Product, evaluate: Callable[[pd.DataFrame], Array]) -> Piece | None:
    variables = recipe.variables
    if any(name not in variables or variables[name].kind != "number" for name in own.numbers):
        return None
    labels = [found.group(1) if (found := CALLED.match(e)) else e for e, _ in own.labels]
    if any(name not in variables or variables[name].levels is None for name in labels):
        return None
    levels = {name: variables[name].levels for name in variables if variables[name].levels is not None}
    chosen = [levels[name] for name in labels]
    count = math.prod(len(one) for one in chosen if one is not None)
    if count > MOST_COMBINATIONS or len(set(labels)) < len(labels):
        return None
    combinations = list(product(*(one.tolist() for one in chosen if one is not None)))
    frame = pd.DataFrame(index=range(count))
    for name, variable in variables.items():
        frame[name] = 1.0 if variable.kind == "number" else _repeated(variable, count)
    for i, name in enumerate(labels):
        frame[name] = pd.Series([row[i] for row in combinations], dtype=object)
    values = evaluate(frame)
    return Piece(own.numbers, tuple(labels), dict(zip(combinations, values, strict=True)))


def _repeated(variable: Any, count: int) -> Any:
    value = True if variable.levels is None else variable.levels[0]
    return pd.Series([value] * count, dtype=bool if variable.levels is None else object)
