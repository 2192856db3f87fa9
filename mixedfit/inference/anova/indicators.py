"""Indicator columns of all levels of all terms, as linear combinations of the columns of X.

The columns of X are products of covariates and coded factors (contrasts, or all indicators). Among terms with the
same covariates, both these columns and the indicators are functions of the cell, the combination of factor levels.
The combinations are solved on enough cells to be exact, without the rows of the data. Below, "labels" are factors and
"numbers" are covariates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.lazy import lazy
from mixedfit.design.recipe import FixedTerm, Product, Recipe

__all__ = ["Indicators", "indicators"]


@dataclass(frozen=True, eq=False)
class Indicators:
    """The indicator columns D of all terms.

    Attributes
    ----------
    in_x : ndarray, shape (p, d)
        D = X @ in_x.
    term : tuple of str, length d
        The term of each column.
    coded : tuple of int
        Columns that treatment contrasts with the first level as reference keep, in order.
    labels : frozenset of str
        Expressions that are factors; all others are covariates.
    """

    in_x: Array
    term: tuple[str, ...]
    coded: tuple[int, ...]
    labels: frozenset[str]


def indicators(recipe: Recipe) -> Indicators | None:
    """Return the indicator columns of the terms of a recipe, without factors stored as codes.

    A boolean variable counts as a factor with two levels, as in R, if X allows it. None if the indicators are not
    linear combinations of the columns of X.
    """
    booleans = frozenset(name for name, variable in recipe.variables.items() if variable.kind == "boolean")
    for labels in dict.fromkeys([booleans, frozenset()]):
        found = _Codings(recipe, labels).indicators()
        if found is not None:
            return found
    return None


@dataclass(frozen=True, eq=False)
class _Codings:
    """Columns of X and indicator columns as functions of the cell.

    Parameters
    ----------
    recipe : Recipe
    booleans : frozenset of str
        Boolean variables that count as factors.
    """

    recipe: Recipe
    booleans: frozenset[str]

    @lazy
    def terms(self) -> tuple[FixedTerm, ...]:
        """Terms with columns in X, the factors of each in the order of their variables' names.

        In that order its indicators are run through, whatever the order of terms and the contrasts.
        """
        return tuple(
            replace(term, factors=tuple(sorted(term.factors, key=self._variables)))
            for term in self.recipe.terms
            if term.products
        )

    def _variables(self, expression: str) -> list[str]:
        """Return the variables that an expression names."""
        whole = r"(?<![\w.]){}(?![\w.])"
        return sorted(v for v in self.recipe.variables if re.search(whole.format(re.escape(v)), expression))

    @lazy
    def labels(self) -> dict[str, int]:
        """Number of levels of each factor."""
        coded = {e for term in self.terms for own in term.products for e, _ in own.labels}
        booleans = {e for term in self.terms for e in term.factors if e in self.booleans}
        return {e: self.coding(e, reduced=False).shape[0] for e in sorted(coded | booleans)}

    @lazy
    def widths(self) -> dict[str, int]:
        """Number of columns of each covariate, of levels of each factor."""
        shapes = [pair for term in self.terms for own in term.products for pair in own.shape]
        return {**{e: width for e, width in shapes if e not in self.labels}, **self.labels}

    def coding(self, expression: str, *, reduced: bool) -> Array:
        """Return the coding matrix of a factor, a row for each level: contrasts if `reduced`, else indicators."""
        if expression in self.booleans:
            return np.array([[0.0], [1.0]]) if reduced else np.eye(2)
        if self.recipe.specs is None:
            levels = self.recipe.variables[expression].levels
            assert levels is not None
            return np.eye(len(levels))[:, int(reduced) :]
        contrasts: Any = self.recipe.specs["X"].encoder_state[expression][1]["contrasts"]
        return np.asarray(contrasts.get_coding_matrix(reduced_rank=reduced), dtype=np.float64)

    def numbers(self, expressions: Sequence[str]) -> frozenset[str]:
        """Return the expressions that are covariates."""
        return frozenset(e for e in expressions if e not in self.labels)

    def indicators(self) -> Indicators | None:
        """Return the indicator columns, or None if they are not in the column space of X."""
        groups: dict[frozenset[str], list[Product]] = defaultdict(list)
        for term in self.terms:
            for part in term.products:
                groups[self.numbers([e for e, _ in part.shape])].append(part)
        columns: list[Array] = []
        names: list[str] = []
        coded: list[int] = []
        for term in self.terms:
            own = self._term(term, groups[self.numbers(term.factors)])
            if own is None:
                return None
            coded += [len(names) + i for i in self._coded(term)]
            columns.append(own)
            names += [term.name] * own.shape[1]
        in_x = np.hstack(columns) if columns else np.zeros((len(self.recipe.x_names), 0))
        return Indicators(in_x, tuple(names), tuple(coded), frozenset(self.labels))

    def _term(self, term: FixedTerm, group: Sequence[Product]) -> Array | None:
        """Return X-coefficients of a term's indicators, shape (p, their number), the first factor varying fastest.

        None if the indicators are not in the column space of X.
        """
        labels = [e for e in term.factors if e in self.labels]
        used = sorted({e for own in group for e, _ in own.shape if e in self.labels} | set(labels))
        cells = self._cells(used, group, labels)
        place, values = self._x_columns(group, cells)
        combinations = _combinations([(e, self.widths[e]) for e in term.factors])
        order = sorted({_subset(levels, labels) for levels in combinations})
        B = np.array([[float(all(cell[e] == v for e, v in t)) for t in order] for cell in cells])
        solved = np.linalg.lstsq(values, B)[0] if values.size else np.zeros((0, len(order)))
        if np.abs(values @ solved - B).max(initial=0.0) > 1e-8:
            return None
        solved = np.where(np.abs(solved) < 1e-11, 0.0, solved)
        out = np.zeros((len(self.recipe.x_names), len(combinations)))
        for j, levels in enumerate(combinations):
            number = _subset(levels, [e for e in term.factors if e not in self.labels])
            out[place[frozenset(number)], j] = solved[:, order.index(_subset(levels, labels))]
        return out

    def _x_columns(
        self, group: Sequence[Product], cells: Sequence[Mapping[str, int]]
    ) -> tuple[dict[frozenset[tuple[str, int]], list[int]], Array]:
        """Return the columns of X for each combination of the covariates' columns, and their values on cells."""
        place: dict[frozenset[tuple[str, int]], list[int]] = defaultdict(list)
        values: dict[tuple[int, tuple[tuple[str, int], ...]], Array] = {}
        for i, own in enumerate(group):
            for column, levels in zip(own.columns, _combinations(own.shape), strict=True):
                place[frozenset((e, v) for e, v in levels.items() if e not in self.labels)].append(column)
                label = tuple((e, v) for e, v in levels.items() if e in self.labels)
                if (i, label) not in values:
                    values[i, label] = self._on_cells(own, label, cells)
        columns = np.array(list(values.values())).T if values else np.zeros((len(cells), 0))
        return dict(place), columns

    def _on_cells(
        self, own: Product, label: Sequence[tuple[str, int]], cells: Sequence[Mapping[str, int]]
    ) -> Array:
        reduced = dict(own.labels)
        out = np.ones(len(cells))
        for expression, column in label:
            code = self.coding(expression, reduced=reduced.get(expression, True))
            out *= code[[cell[expression] for cell in cells], column]
        return out

    def _cells(
        self, used: Sequence[str], group: Sequence[Product], labels: Sequence[str]
    ) -> list[dict[str, int]]:
        """Return enough cells: all combinations within each product, other factors at their first level."""
        cells: dict[tuple[int, ...], None] = {}
        for own in [*({e for e, _ in p.shape} for p in group), set(labels)]:
            grid = product(*(range(self.labels[e]) if e in own else (0,) for e in used))
            cells.update(dict.fromkeys(grid))
        return [dict(zip(used, cell, strict=True)) for cell in cells]

    def _coded(self, term: FixedTerm) -> list[int]:
        """Return the positions of the indicators that R's treatment contrasts keep.

        A factor is coded by contrasts if the term without it is in the model, otherwise by all indicators.
        Without an intercept the first factor keeps all of them.
        """
        present = {frozenset(other.factors) for other in self.terms}
        singles = [t.name for t in self.terms if len(t.factors) == 1 and t.factors[0] in self.labels]
        by_contrasts = set()
        for expression in term.factors:
            rest = frozenset(term.factors) - {expression}
            later = not rest and frozenset() not in present and singles[:1] != [term.name]
            if expression in self.labels and (rest in present or later):
                by_contrasts.add(expression)
        combinations = _combinations([(e, self.widths[e]) for e in term.factors])
        return [i for i, levels in enumerate(combinations) if all(levels[e] > 0 for e in by_contrasts)]


def _combinations(shape: Sequence[tuple[str, int]]) -> list[dict[str, int]]:
    """Return every combination of columns, the first expression varying fastest."""
    names = [e for e, _ in shape]
    grid = product(*(range(width) for _, width in reversed(shape)))
    return [dict(zip(names, reversed(combination), strict=True)) for combination in grid]


def _subset(levels: Mapping[str, int], expressions: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple((e, levels[e]) for e in expressions)
