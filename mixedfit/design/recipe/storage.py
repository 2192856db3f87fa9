"""Conversion of recipes to and from JSON values.

formulaic evaluates the code in a formula. A formula from a file is evaluated only if it passes `check_is_plain`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor

from mixedfit.core.errors import DataError, FormulaError, ModelError
from mixedfit.core.json_index import pack_index, pack_labels, pack_value, unpack_index, unpack_value
from mixedfit.design.materializer import Materializer
from mixedfit.design.model_matrix import CONTEXT
from mixedfit.design.r_names import r_names
from mixedfit.formula.order import is_reordered
from mixedfit.formula.parse import ParsedFormula, random_key
from mixedfit.formula.safety import check_is_plain

from .cells import Cells
from .recipe import Recipe
from .terms import GroupRecipe, ManyRecipe
from .variables import Variable

__all__ = ["pack", "unpack"]


def pack(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as JSON values from which `unpack` makes a recipe that gives the same rows.

    Raises
    ------
    DataError
        If it has labels or learnt values that a file cannot hold.
    ModelError
        If its formula could not be evaluated when it is read again.
    """
    stored = _packed(recipe)
    if not stored["refusal"]:
        _check_readable(recipe, stored)
    return stored


def _packed(recipe: Recipe) -> dict[str, Any]:
    constants = {name: recipe.context[name] for name in recipe.own_names}
    if (
        functions := []
        if recipe.refusal
        else [n for n, value in constants.items() if not _is_constant(value)]
    ):
        raise ModelError(
            f"the fit cannot be saved: its formula uses {', '.join(functions)} of context=, which the file, of numbers "
            "and text, cannot hold, so that the saved fit could not build further rows. Add a column to the data and "
            "name it in the formula, or pickle the fit, which keeps functions that Python can import."
        )
    return {
        "variables": [_pack_variable(v) for v in recipe.variables.values()],
        "groups": [
            {
                "columns": g.columns,
                "kinds": g.kinds,
                "keys": g.keys,
                "parts": [_pack_levels(g.name, part) for part in g.parts],
            }
            for g in recipe.groups
        ],
        "terms": [str(term) for term in recipe.formula.X] if recipe.many else None,
        "prefixes": [factor.name for factor in recipe.many],
        "offset": recipe.offset,
        "specs": None if recipe.specs is None else {k: _pack_spec(s) for k, s in recipe.specs.items()},
        "constants": {} if recipe.refusal else {name: pack_value(value) for name, value in constants.items()},
        "refusal": recipe.refusal,
        "cells": _pack_cells(recipe),
    }


def _is_constant(value: Any) -> bool:
    return isinstance(value, int | float | str | np.number | np.bool_ | np.ndarray)


def _check_readable(recipe: Recipe, stored: dict[str, Any]) -> None:
    """Raise unless the recipe that is read from the file has the columns of the one that was written."""
    blocks = [(group.name, group.levels) for group in recipe.groups]
    many = [(factor.column, factor.levels, factor.first) for factor in recipe.many]
    again = unpack(json.loads(json.dumps(stored)), recipe.parsed, recipe.x_names, blocks=blocks, many=many)
    why = again.refusal
    if not why and [t.columns for t in again.terms] != [t.columns for t in recipe.terms]:
        why = "its columns cannot be built again from what the file holds"
    if why:
        why = why.removesuffix(_REBUILD)
        raise ModelError(
            f"the fit cannot be saved: {why}. Add a column with these values to the data and name it in the formula, "
            "or pickle the fit."
        )


def _pack_levels(name: str, levels: pd.Index[Any]) -> dict[str, Any]:
    return pack_labels(
        f"the levels of {name!r}", pd.Index(levels), "Fit to data with text labels, .astype(str)"
    )


def _pack_variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "kind": variable.kind,
        "levels": None if variable.levels is None else _pack_levels(variable.name, variable.levels),
        "numbers": [variable.mean, variable.low, variable.high, variable.two_valued],
    }


def _pack_cells(recipe: Recipe) -> dict[str, Any] | None:
    """Return the cells of a recipe; the levels of labels stand among its variables."""
    cells = recipe.cells
    if cells is None:
        return None
    labels = {name for name in cells.names if recipe.variables[name].levels is not None}
    return {
        "names": cells.names,
        "values": [
            None if name in labels else pack_index(values)
            for name, values in zip(cells.names, cells.values, strict=True)
        ],
        "codes": cells.codes.tolist(),
        "counts": cells.counts.tolist(),
    }


def _levels(variable: Variable) -> pd.Index[Any]:
    if variable.levels is None:
        raise ValueError(f"{variable.name!r} has no levels")
    return variable.levels


def _unpack_cells(stored: Mapping[str, Any] | None, variables: Mapping[str, Variable]) -> Cells | None:
    if stored is None:
        return None
    names = tuple(str(name) for name in stored["names"])
    return Cells(
        names,
        tuple(
            _levels(variables[name]) if values is None else unpack_index(values)
            for name, values in zip(names, stored["values"], strict=True)
        ),
        np.array(stored["codes"], dtype=np.int64).reshape(len(stored["counts"]), len(names)),
        np.array(stored["counts"], dtype=np.float64),
    )


def _pack_spec(spec: Any) -> dict[str, Any]:
    levels = {
        expression: pack_value(list(state["categories"]))
        for expression, (_, state) in spec.encoder_state.items()
        if "categories" in state
    }
    return {"transforms": pack_value(dict(spec.transform_state)), "levels": levels}


def unpack(
    stored: Mapping[str, Any] | None,
    parsed: ParsedFormula,
    x_names: tuple[str, ...],
    *,
    blocks: list[tuple[str, pd.Index[Any]]],
    many: list[tuple[str, pd.Index[Any], int]],
) -> Recipe:
    """Return the recipe of a stored fit; it has a `refusal` if its formula does not pass `check_is_plain`.

    Parameters
    ----------
    stored : mapping or None
        Result of `pack`.
    parsed : ParsedFormula
    x_names : tuple of str
        Names of the columns of X.
    blocks : list of (name, levels)
        Grouping factors.
    many : list of (column, levels, first)
        Many-level fixed factors.
    """
    if stored is None:
        return _unusable(parsed, x_names, "the file holds no recipe for further rows")
    variables = {v["name"]: _unpack_variable(v) for v in stored["variables"]}
    groups = tuple(
        _unpack_group(name, levels, g) for (name, levels), g in zip(blocks, stored["groups"], strict=True)
    )
    factors = tuple(
        ManyRecipe(column, levels, first, prefix)
        for (column, levels, first), prefix in zip(many, stored["prefixes"], strict=True)
    )
    if stored["refusal"]:
        return Recipe(parsed, parsed.matrices, x_names, {}, (), (), None, None, refusal=stored["refusal"])
    constants = {str(name): unpack_value(value) for name, value in stored.get("constants", {}).items()}
    refusal = _refusal(parsed, [*variables, *constants])
    if refusal:
        return _unusable(parsed, x_names, refusal)
    try:
        formula, specs = _rebuilt(stored, parsed, variables, constants)
        _check_order(stored, parsed, x_names, specs)
    except (FormulaicError, ValueError, TypeError, KeyError, SyntaxError) as error:
        return _unusable(parsed, x_names, f"the recipe for further rows in this file is damaged ({error})")
    cells = _unpack_cells(stored.get("cells"), variables)
    return Recipe(
        parsed, formula, x_names, variables, groups, factors, stored["offset"], specs, constants, cells=cells
    )


def _unpack_group(name: str, levels: pd.Index[Any], stored: Mapping[str, Any]) -> GroupRecipe:
    columns, kinds, keys = (tuple(stored[what]) for what in ("columns", "kinds", "keys"))
    return GroupRecipe(name, columns, kinds, levels, keys, tuple(map(unpack_index, stored.get("parts", ()))))


def _check_order(
    stored: Mapping[str, Any], parsed: ParsedFormula, x_names: Sequence[str], specs: Mapping[str, Any] | None
) -> None:
    """Raise for files of versions that wrote the factors of an interaction in another order than this one."""
    known = {random_key(part) for term in parsed.random for part in term.parts}
    if any(key not in known for group in stored["groups"] for key in group["keys"]):
        raise ValueError("its random effects are in another order")
    if specs is not None and is_reordered(parsed.fixed, parsed.matrices.X) and r_names(specs["X"]) != x_names:
        raise ValueError("its columns are in another order")


def _rebuilt(
    stored: Mapping[str, Any],
    parsed: ParsedFormula,
    variables: Mapping[str, Variable],
    constants: Mapping[str, Any],
) -> tuple[Any, dict[str, Any] | None]:
    """Return the formula to evaluate and the model specifications of its parts."""
    formula = parsed.matrices
    if stored["terms"] is not None:
        shared = {random_key(part): part for term in parsed.random for part in term.parts}
        own = {"1", *(str(term) for term in formula.X)}
        if not own.issuperset(stored["terms"]):  # `check_is_plain` has checked the formula only
            raise ValueError("terms that the formula does not have")
        fixed = Formula(list(stored["terms"]))
        formula = Formula(**{**formula._to_dict(), **shared, "X": fixed})
    if stored["specs"] is None:
        return formula, None
    parts, frame = formula._to_dict(), _one_row(variables)
    return formula, {
        key: _spec(parts[key], state, frame, constants)
        for key, state in stored["specs"].items()
        if key != "y"
    }


_REBUILD = ". Build the model again with mixedfit.lmm to ask about further rows."


def _unusable(parsed: ParsedFormula, x_names: tuple[str, ...], reason: str) -> Recipe:
    return Recipe(parsed, parsed.matrices, x_names, {}, (), (), None, None, refusal=reason + _REBUILD)


def _refusal(parsed: ParsedFormula, names: Sequence[str]) -> str:
    """Return the reason why a formula from a file is not evaluated, or an empty string."""
    try:
        # the response is not evaluated for further rows
        check_is_plain(f"1 ~ {parsed.source.split('~', 1)[1]}", names, stored=True)
    except FormulaError as error:
        return f"the formula of this file calls what only Python code may call ({str(error).splitlines()[0]})"
    return ""


def _unpack_variable(stored: Mapping[str, Any]) -> Variable:
    if stored["kind"] not in ("number", "label", "boolean"):
        raise DataError(f"a variable of kind {stored['kind']!r} is not known.")
    mean, low, high, two_valued = stored["numbers"]
    levels = None if stored["levels"] is None else unpack_index(stored["levels"])
    return Variable(str(stored["name"]), stored["kind"], levels, mean, low, high, bool(two_valued))


def _one_row(variables: Mapping[str, Variable]) -> pd.DataFrame:
    """Return one row of values of the fit: lowest numbers and first levels."""
    columns: dict[str, Any] = {}
    for name, variable in variables.items():
        if variable.levels is not None:
            columns[name] = pd.Categorical.from_codes([0], categories=variable.levels)
        else:
            columns[name] = [False] if variable.kind == "boolean" else [variable.low]
    return pd.DataFrame(columns, index=[0])


def _spec(part: Any, stored: Mapping[str, Any], frame: pd.DataFrame, constants: Mapping[str, Any]) -> Any:
    """Return the model specification of a part: its structure from the formula, its state from the file."""
    blank = ModelSpec(
        formula=part,
        output="numpy",
        na_action="ignore",
        transform_state=unpack_value(stored["transforms"]),
        encoder_state={
            e: (Factor.Kind.CATEGORICAL, {"categories": unpack_value(v)}) for e, v in stored["levels"].items()
        },
    )
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return blank.get_model_matrix(
            frame, context={**CONTEXT, **constants}, materializer=Materializer
        ).model_spec
