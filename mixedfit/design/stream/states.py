"""State of the transforms in a formula, such as the mean of ``center(x)``, learnt from all rows of a source."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import FormulaicError
from formulaic.parser.types import Term
from formulaic.transforms import TRANSFORMS

from mixedfit.core.errors import FormulaError, ModelError
from mixedfit.design.materializer import Materializer
from mixedfit.design.model_frame import names_in_factor
from mixedfit.design.model_matrix import CONTEXT
from mixedfit.design.recipe.cells import CALLED
from mixedfit.formula.parse import ParsedFormula

from .column_scan import ColumnScan

__all__ = ["Transforms", "find_transforms", "learn_states"]

NOT_BY_BATCH = ("lag", "numFactor", "hashed")
"""Functions whose values depend on other rows in a way that no state holds."""

_MOMENTS = re.compile(r"(scale|standardize|center)\(\s*([^\W\d]\w*)\s*\)")


@dataclass(frozen=True, eq=False)
class Transforms:
    """Transforms of a formula that learn from the rows.

    Attributes
    ----------
    moments : dict of str to (str, str)
        Function and column of calls such as ``scale(x)``, whose state is a mean and a standard deviation.
    others : dict of str to factor
        Expressions whose state takes all values of their columns.
    columns : tuple of str
        Columns of these.
    """

    moments: dict[str, tuple[str, str]]
    others: dict[str, Any]
    columns: tuple[str, ...]


def find_transforms(parsed: ParsedFormula, columns: set[str], context: Mapping[str, Any]) -> Transforms:
    """Return the transforms of a formula that learn from the rows.

    Raises
    ------
    ModelError
        If a function's values depend on other rows in another way.
    """
    functions = {**TRANSFORMS, **CONTEXT, **context}
    moments: dict[str, tuple[str, str]] = {}
    others: dict[str, Any] = {}
    needed: dict[str, None] = {}
    for part in parsed.matrices._to_dict().values():
        for factor in (factor for term in part for factor in term.factors):
            called = _called(factor)
            stopped = next((name for name in called if name in NOT_BY_BATCH), None)
            if stopped is not None:
                raise ModelError(
                    f"{factor.expr}: {stopped} depends on rows of other batches. Compute the column before, and name "
                    "it in the formula, or give the rows as one frame."
                )
            if "C" in called and not CALLED.match(factor.expr.strip()):
                raise ModelError(
                    f"{factor.expr!r} makes a factor of an expression; its levels are not known before all rows are "
                    "read. Write it to a column of the data and name that."
                )
            if not any(getattr(functions.get(n), "__is_stateful_transform__", False) for n in called - {"Q"}):
                continue
            simple = _MOMENTS.fullmatch(factor.expr)
            if simple and simple[2] in columns and simple[1] not in (*context, *columns):
                moments[factor.expr] = simple[1], simple[2]
                continue
            others[factor.expr] = factor
            needed |= dict.fromkeys(name for name, _ in names_in_factor(factor) if name in columns)
    return Transforms(moments, others, tuple(needed))


def _called(factor: Any) -> set[str]:
    """Return the names of the functions that an expression calls."""
    if factor.eval_method.value != "python":
        return set()
    tree = ast.parse(re.sub(r"`[^`]*`", "0", factor.expr.strip()), mode="eval")
    return {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def learn_states(
    transforms: Transforms,
    scans: Mapping[str, ColumnScan],
    values: Mapping[str, pd.Series[Any]],
    context: Mapping[str, Any],
    source: str,
) -> dict[str, Any]:
    """Return the states of transforms by call, as formulaic keeps them.

    Parameters
    ----------
    transforms : Transforms
    scans : mapping of str to ColumnScan
    values : mapping of str to pandas.Series
        All values of `transforms.columns`.
    context : mapping
    source : str
        Text of the formula.
    """
    states: dict[str, Any] = {}
    for call, (function, column) in transforms.moments.items():
        scan = scans[column]
        deviation = None if function == "center" else np.float64(scan.deviation)
        states[call] = {"ddof": 1, "center": np.float64(scan.mean), "scale": deviation}
    frame = pd.DataFrame(dict(values), copy=False)
    for expression, factor in transforms.others.items():
        spec = ModelSpec(formula=Formula([Term([factor])]), output="numpy", na_action="ignore")
        try:
            with np.errstate(all="ignore"):
                made = spec.get_model_matrix(frame, context={**CONTEXT, **context}, materializer=Materializer)
        except (FormulaicError, ValueError, TypeError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, FormulaError) else error
            raise FormulaError(f"{expression} cannot be evaluated: {cause}", source=source) from None
        states |= made.model_spec.transform_state
    return states
