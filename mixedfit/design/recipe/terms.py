"""Grouping factors, many-level factors and fixed terms in a recipe."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mixedfit.core.arrays import AnyArray, Array, IntArray
from mixedfit.design.model_frame import names_in_factor
from mixedfit.formula.r_syntax import unquoted

from .variables import Variable

__all__ = ["FixedTerm", "GroupRecipe", "ManyRecipe", "NewRows", "Product", "fixed_terms"]


@dataclass(frozen=True, slots=True, eq=False)
class GroupRecipe:
    """A grouping factor and its random effects, for new rows.

    Attributes
    ----------
    name : str
    columns : tuple of str
    kinds : tuple of str
        numpy's dtype kind of each column in the fit, "O" for categories.
    levels : pandas.Index
        Levels in the fit.
    keys : tuple of str
        Keys in `ParsedFormula.matrices` of the effects.
    parts : tuple of pandas.Index
        Of several columns: the label of each level in each column.
    """

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    levels: pd.Index[Any]
    keys: tuple[str, ...]
    parts: tuple[pd.Index[Any], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ManyRecipe:
    """A many-level fixed factor, for new rows.

    Attributes
    ----------
    column : str
    levels : pandas.Index
    first : int
        0 if every level has a coefficient, 1 if the first is the reference.
    name : str
        The term, as written.
    """

    column: str
    levels: pd.Index[Any]
    first: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class NewRows:
    """Matrices, codes and offset of new rows. Blocks are in the order of `Design.blocks`.

    Attributes
    ----------
    X : ndarray, shape (n, p)
        Columns of `Design.X`; NaN in rows with a missing value.
    many : tuple of ndarray, shape (n,)
        Level of each many-level fixed factor; −1 if missing.
    offset : ndarray, shape (n,), or None
        Sum of the offsets; None if the model has none.
    z : tuple of ndarray, shape (n, k)
        Columns of the effects of each block; NaN if missing.
    codes : tuple of ndarray, shape (n,)
        Level of each block; −1 if it is missing or not in the fit.
    labels : tuple of ndarray of object, shape (n,)
        Label of the level of each block; None if missing.
    index : pandas.Index
        Labels of the rows.
    """

    X: Array
    many: tuple[IntArray, ...]
    offset: Array | None
    z: tuple[Array, ...]
    codes: tuple[IntArray, ...]
    labels: tuple[AnyArray, ...]
    index: pd.Index[Any]


@dataclass(frozen=True, slots=True)
class Product:
    """Columns of X that are products of categorical and numeric expressions.

    Attributes
    ----------
    labels : tuple of (str, bool)
        Categorical expressions in the order of the product, each with whether it is coded by contrasts (True) or by
        indicators of all levels.
    numbers : tuple of str
        Numeric expressions.
    shape : tuple of (str, int)
        Each expression with its number of columns; the first varies fastest.
    columns : tuple of int
        Positions in X.
    """

    labels: tuple[tuple[str, bool], ...]
    numbers: tuple[str, ...]
    shape: tuple[tuple[str, int], ...]
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FixedTerm:
    """One term of the fixed part.

    Attributes
    ----------
    name : str
        R's name: ``(Intercept)``, ``recipe``, ``recipe:temperature``.
    factors : tuple of str
        Expressions that are multiplied.
    variables : tuple of str
        Variables in the expressions.
    columns : tuple of int
        Positions among all fixed effects.
    products : tuple of Product
        Coding of the columns.
    """

    name: str
    factors: tuple[str, ...]
    variables: tuple[str, ...]
    columns: tuple[int, ...]
    products: tuple[Product, ...]

    def after(self, columns: int) -> FixedTerm:
        """Return the term behind so many other columns."""
        products = [replace(own, columns=tuple(columns + c for c in own.columns)) for own in self.products]
        return replace(self, columns=tuple(columns + c for c in self.columns), products=tuple(products))


def fixed_terms(
    formula: Any, spec: Any, variables: Mapping[str, Variable], *, cut: bool, power: bool
) -> tuple[FixedTerm, ...]:
    """Return the terms of a fixed part.

    Parameters
    ----------
    formula : formulaic formula
    spec : formulaic model specification, or None
        None if the matrix was computed directly; see `Matrices.specs`.
    variables : mapping of str to Variable
    cut : bool
        Whether the column of the intercept was removed from X.
    power : bool
        Whether powers are written as ``^`` in the formula.
    """
    rows = [None] * len(list(formula)) if spec is None else spec.structure
    out, at = [], -1 if cut else 0
    spanned = any(term.degree == 0 for term in formula)
    for term, row in zip(formula, rows, strict=True):
        levels = _levels(term, variables) if row is None else 0
        width = (levels - spanned if levels else 1) if row is None else len(row.columns)
        own = tuple(range(at, at + width))
        at += width
        if term.degree == 0 and cut:
            continue
        factors = tuple(factor for factor in term.factors if factor.eval_method.value != "literal")
        names = [name for factor in factors for name, _ in names_in_factor(factor) if name in variables]
        expressions = tuple(factor.expr for factor in factors)
        name = ":".join(_text(e, power) for e in expressions) or "(Intercept)"
        products = (
            _plain(expressions, own, bool(levels), spanned) if row is None else _products(row, own, spec)
        )
        spanned = spanned or bool(levels)
        out.append(FixedTerm(name, expressions, tuple(dict.fromkeys(names)), own, products))
    return tuple(out)


def _text(expression: str, power: bool) -> str:
    return unquoted(expression.replace(" ** ", "^").replace("**", "^") if power else expression)


def _levels(term: Any, variables: Mapping[str, Variable]) -> int:
    """Return the number of levels of a categorical term, or 0."""
    variable = variables.get(term.factors[0].expr) if len(term.factors) == 1 else None
    return 0 if variable is None or variable.levels is None else len(variable.levels)


def _plain(
    expressions: tuple[str, ...], columns: tuple[int, ...], label: bool, reduced: bool
) -> tuple[Product, ...]:
    """Return the coding of a term of a matrix computed directly: one factor, or a product of numbers."""
    if label:
        return (Product(((expressions[0], reduced),), (), ((expressions[0], len(columns)),), columns),)
    return (Product((), expressions, tuple((e, 1) for e in expressions), columns),)


def _products(structure: Any, columns: tuple[int, ...], spec: Any) -> tuple[Product, ...]:
    """Return the products of a term, in the order of their columns."""
    out, at, names = [], 0, list(structure.columns)
    for scoped in structure.scoped_terms:
        labels = {one.factor.expr: bool(one.reduced) for one in scoped.factors if _is_label(one, spec)}
        fixed = {e: len(spec.encoder_state[e][1]["categories"]) - reduced for e, reduced in labels.items()}
        expressions = [one.factor.expr for one in scoped.factors]
        shape = _shape(expressions, fixed, names[at:])
        count = math.prod(width for _, width in shape)
        out.append(
            Product(
                labels=tuple(labels.items()),
                numbers=tuple(e for e in expressions if e not in labels),
                shape=shape,
                columns=columns[at : at + count],
            )
        )
        at += count
    return tuple(out) if at == len(columns) else ()


def _is_label(scoped: Any, spec: Any) -> bool:
    return "contrasts" in spec.encoder_state.get(scoped.factor.expr, (None, {}))[1]


def _shape(expressions: list[str], fixed: dict[str, int], names: list[str]) -> tuple[tuple[str, int], ...]:
    """Return each expression with its number of columns, from `fixed` or else from the names of the columns."""
    if all(e in fixed for e in expressions):
        return tuple((e, fixed[e]) for e in expressions)
    pattern = re.compile(":".join(rf"{re.escape(e)}(\[.*?\]|)" for e in expressions))
    found = [m.groups() for m in map(pattern.fullmatch, names) if m]
    return tuple((e, fixed.get(e) or len({row[i] for row in found})) for i, e in enumerate(expressions))
