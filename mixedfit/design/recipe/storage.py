"""Recipes as JSON and back, without executing stored text before it is checked.

A formula is code to formulaic. One that comes from a file is evaluated only if `check_is_plain` passes it, as
for formulas from the command line.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor

from mixedfit.core.errors import DataError, FormulaError
from mixedfit.core.json_index import pack_index, unpack_index
from mixedfit.design.materializer import Materializer
from mixedfit.design.model_matrix import CONTEXT
from mixedfit.design.r_names import r_names
from mixedfit.formula.order import is_reordered
from mixedfit.formula.parse import ParsedFormula, random_key
from mixedfit.formula.safety import check_is_plain

from .recipe import Recipe
from .terms import GroupRecipe, ManyRecipe
from .variables import Variable

__all__ = ["pack", "unpack"]


def pack(recipe: Recipe) -> dict[str, Any] | None:
    """Return a recipe as JSON values, or None if it holds other values."""
    try:
        return {
            "variables": [_pack_variable(v) for v in recipe.variables.values()],
            "groups": [{"columns": g.columns, "kinds": g.kinds, "keys": g.keys} for g in recipe.groups],
            "terms": [str(term) for term in recipe.formula.X] if recipe.many else None,
            "prefixes": [factor.name for factor in recipe.many],
            "offset": recipe.offset,
            "specs": None if recipe.specs is None else {k: _pack_spec(s) for k, s in recipe.specs.items()},
            "refusal": recipe.refusal or recipe.without_context,
        }
    except TypeError:
        return None


def _pack_variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "kind": variable.kind,
        "levels": None if variable.levels is None else pack_index(pd.Index(variable.levels)),
        "numbers": [variable.mean, variable.low, variable.high, variable.two_valued],
    }


def _pack_spec(spec: Any) -> dict[str, Any]:
    levels = {
        expression: _pack(list(state["categories"]))
        for expression, (_, state) in spec.encoder_state.items()
        if "categories" in state
    }
    return {"transforms": _pack(dict(spec.transform_state)), "levels": levels}


def _pack(value: Any) -> Any:
    """Return a learnt value as JSON: numbers, text, lists and dictionaries of these.

    Raises
    ------
    TypeError
        If it is anything else.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
        return {"array": value.tolist()}
    if isinstance(value, list | tuple):
        return {"list": [_pack(v) for v in value]}
    if isinstance(value, dict):
        return {"map": [[_pack(k), _pack(v)] for k, v in value.items()]}
    raise TypeError(f"{type(value).__name__} has no place in a file")


def _unpack(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.array(value["array"])
    if "list" in value:
        return [_unpack(v) for v in value["list"]]
    return {_unpack(k): _unpack(v) for k, v in value["map"]}


def unpack(
    stored: Mapping[str, Any] | None,
    parsed: ParsedFormula,
    x_names: tuple[str, ...],
    *,
    blocks: list[tuple[str, pd.Index[Any]]],
    many: list[tuple[str, pd.Index[Any], int]],
) -> Recipe:
    """Return the recipe of a stored fit; one that refuses to be used where its formula is not plain.

    Parameters
    ----------
    stored : mapping or None
        What `pack` returned.
    parsed : ParsedFormula
    x_names : tuple of str
    blocks : list of (name, levels)
    many : list of (column, levels, first)
    """
    if stored is None:
        return _unusable(parsed, x_names, "the file holds no recipe for further rows")
    variables = {v["name"]: _unpack_variable(v) for v in stored["variables"]}
    groups = tuple(
        GroupRecipe(name, tuple(g["columns"]), tuple(g["kinds"]), levels, tuple(g["keys"]))
        for (name, levels), g in zip(blocks, stored["groups"], strict=True)
    )
    factors = tuple(
        ManyRecipe(column, levels, first, prefix)
        for (column, levels, first), prefix in zip(many, stored["prefixes"], strict=True)
    )
    if stored["refusal"]:
        return Recipe(parsed, parsed.matrices, x_names, {}, (), (), None, None, refusal=stored["refusal"])
    refusal = _refusal(parsed, variables)
    if refusal:
        return _unusable(parsed, x_names, refusal)
    try:
        formula, specs = _rebuilt(stored, parsed, variables)
        _check_order(stored, parsed, x_names, specs)
    except (FormulaicError, ValueError, TypeError, KeyError, SyntaxError) as error:
        return _unusable(parsed, x_names, f"the recipe for further rows in this file is damaged ({error})")
    return Recipe(parsed, formula, x_names, variables, groups, factors, stored["offset"], specs)


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
    stored: Mapping[str, Any], parsed: ParsedFormula, variables: Mapping[str, Variable]
) -> tuple[Any, dict[str, Any] | None]:
    """Return the formula that was evaluated and the specification of its parts."""
    formula = parsed.matrices
    if stored["terms"] is not None:
        shared = {random_key(part): part for term in parsed.random for part in term.parts}
        own = {"1", *(str(term) for term in formula.X)}
        if not own.issuperset(stored["terms"]):  # only the formula itself was checked
            raise ValueError("terms that the formula does not have")
        fixed = Formula(list(stored["terms"]))
        formula = Formula(**{**formula._to_dict(), **shared, "X": fixed})
    if stored["specs"] is None:
        return formula, None
    parts, frame = formula._to_dict(), _one_row(variables)
    return formula, {
        key: _spec(parts[key], state, frame) for key, state in stored["specs"].items() if key != "y"
    }


def _unusable(parsed: ParsedFormula, x_names: tuple[str, ...], reason: str) -> Recipe:
    says = f"{reason}. Build the model again with mixedfit.lmm to ask about further rows."
    return Recipe(parsed, parsed.matrices, x_names, {}, (), (), None, None, refusal=says)


def _refusal(parsed: ParsedFormula, variables: Mapping[str, Variable]) -> str:
    """Return why a formula from a file is not evaluated, or an empty string."""
    try:
        # the response is not evaluated for further rows
        check_is_plain(f"1 ~ {parsed.source.split('~', 1)[1]}", list(variables))
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
    """Return a row of values that the fit had: lowest numbers and first levels."""
    columns: dict[str, Any] = {}
    for name, variable in variables.items():
        if variable.levels is not None:
            columns[name] = pd.Categorical.from_codes([0], categories=variable.levels)
        else:
            columns[name] = [False] if variable.kind == "boolean" else [variable.low]
    return pd.DataFrame(columns, index=[0])


def _spec(part: Any, stored: Mapping[str, Any], frame: pd.DataFrame) -> Any:
    """Return the specification of a part: structure from the formula, state from the file."""
    blank = ModelSpec(
        formula=part,
        output="numpy",
        na_action="ignore",
        transform_state=_unpack(stored["transforms"]),
        encoder_state={
            e: (Factor.Kind.CATEGORICAL, {"categories": _unpack(v)}) for e, v in stored["levels"].items()
        },
    )
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return blank.get_model_matrix(frame, context=dict(CONTEXT), materializer=Materializer).model_spec
