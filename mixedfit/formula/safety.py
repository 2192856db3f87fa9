"""Check of formulas from untrusted sources, such as the command line and saved files.

formulaic evaluates the code in a formula. In a formula that passes the check every name is a column, every call is one
of `CALLS` and every constant is small.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from mixedfit.core.errors import FormulaError, nearest

from .parse import parse_formula

__all__ = ["CALLS", "check_is_plain"]

CALLS = frozenset(
    {"log", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "sin", "cos", "tan", "abs"}
    | {"I", "poly", "bs", "ns", "cr", "cc", "scale", "center", "C", "Q", "numFactor"}
)
"""Functions that are allowed."""

CONTRASTS = frozenset({"sum", "treatment", "helmert", "poly", "diff", "SAS"})
"""Contrasts that are allowed, as in ``contr.sum``."""

KNOTS = ("knots", "Boundary_knots", "lower_bound", "upper_bound")
"""Arguments of splines whose numbers may be of any size."""

WORDS = {"extrapolation": ("raise", "extend", "clip", "zero", "na"), "constraints": ("center",)}
"""Text that a plain formula may give to an argument."""

CONSTANTS = frozenset({"pi"})

LARGEST_CONSTANT = 1e6
"""Largest constant inside a call; larger ones could exhaust memory or time."""

_BACKTICK = re.compile(r"`([^`]*)`")

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd)

_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def check_is_plain(formula: str, columns: Sequence[str]) -> None:
    """Raise `FormulaError` unless a formula consists of columns, numbers and the transforms in `CALLS`.

    Parameters
    ----------
    formula : str
    columns : sequence of str
        Column names of the data.

    Raises
    ------
    FormulaError
        If the formula has another name, call or constant; the message names it.

    Examples
    --------
    >>> check_is_plain("log(y) ~ poly(x, 2) + (1 | g)", ["y", "x", "g"])
    """
    parsed = parse_formula(formula)
    for part in parsed.matrices._to_dict().values():
        for term in part:
            for factor in term.factors:
                _check_factor(factor.eval_method.value, factor.expr, columns, formula)


def _check_factor(method: str, expression: str, columns: Sequence[str], formula: str) -> None:
    if method == "literal":
        return
    if method == "lookup":
        if expression not in columns:
            listed = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
            _refuse(
                f"{expression!r} is not a column (columns: {listed})", formula, nearest(expression, columns)
            )
        return
    if any(name not in columns for name in _BACKTICK.findall(expression)):
        _refuse(f"a quoted name in '{expression}' is not a column", formula)
    try:
        tree = ast.parse(_BACKTICK.sub("0", expression.strip()), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        _refuse(f"'{expression}' is not a plain expression", formula)
    _check_node(tree.body, frozenset(columns), formula)


def _check_node(node: ast.expr, columns: frozenset[str], formula: str) -> None:
    if isinstance(node, ast.Name):
        if node.id not in columns | CONSTANTS:
            _refuse(f"{node.id!r} is not a column", formula, nearest(node.id, columns))
    elif isinstance(node, ast.Constant):
        _check_constant(node, formula)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        if isinstance(node.op, ast.Pow):
            _check_power(node, formula)
        _check_node(node.left, columns, formula)
        _check_node(node.right, columns, formula)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, _OPERATORS):
        _check_node(node.operand, columns, formula)
    elif isinstance(node, ast.Compare) and all(isinstance(op, _COMPARISONS) for op in node.ops):
        for side in (node.left, *node.comparators):
            _check_node(side, columns, formula)
    elif isinstance(node, ast.Attribute):
        if ast.unparse(node) not in columns:
            _refuse(f"attribute access '{ast.unparse(node)}'", formula)
    elif isinstance(node, ast.Call):
        _check_call(node, columns, formula)
    else:
        _refuse(f"'{ast.unparse(node)}'", formula)


def _check_call(node: ast.Call, columns: frozenset[str], formula: str) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in CALLS or name in columns:
        _refuse(f"the call '{ast.unparse(node)}'", formula)
    if name == "Q":
        quoted = [a.value for a in node.args if isinstance(a, ast.Constant)]
        if (
            len(node.args) != 1
            or node.keywords
            or quoted != [q for q in quoted if q in columns]
            or not quoted
        ):
            _refuse(f"'{ast.unparse(node)}' does not name a column", formula)
        return
    for argument in [*node.args, *(k.value for k in node.keywords if not _is_spline_option(k))]:
        if not (name == "C" and _is_contrast(argument)):
            _check_node(argument, columns, formula)


def _is_spline_option(keyword: ast.keyword) -> bool:
    """Whether a keyword gives knots, as numbers of any size, or one of `WORDS`."""
    try:
        value = ast.literal_eval(keyword.value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    if keyword.arg in KNOTS:
        numbers = value if isinstance(value, list | tuple) else [value]
        return all(isinstance(number, int | float) for number in numbers)
    return isinstance(value, str) and value in WORDS.get(keyword.arg or "", ())


def _is_contrast(node: ast.expr) -> bool:
    """Return whether a node is ``contr.NAME`` or ``contr.treatment(base=LABEL)``."""
    if isinstance(node, ast.Call):
        values = [*node.args, *(k.value for k in node.keywords)]
        return _is_contrast(node.func) and all(isinstance(v, ast.Constant) for v in values)
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "contr"
        and node.attr in CONTRASTS
    )


def _check_constant(node: ast.Constant, formula: str) -> None:
    if isinstance(node.value, bool):
        return
    if not isinstance(node.value, int | float):
        _refuse(f"the constant {node.value!r}", formula)
    elif not abs(node.value) <= LARGEST_CONSTANT:
        _refuse(f"the constant {node.value!r}, which is above {LARGEST_CONSTANT:g}", formula)


def _check_power(node: ast.BinOp, formula: str) -> None:
    exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
    base_is_number = not any(isinstance(n, ast.Name | ast.Call) for n in ast.walk(node.left))
    if not isinstance(exponent, ast.Constant) or not isinstance(exponent.value, int | float):
        _refuse(f"the power '{ast.unparse(node)}': an exponent must be a number", formula)
    elif abs(exponent.value) > 100 or base_is_number:
        _refuse(f"the power '{ast.unparse(node)}'", formula)


def _refuse(what: str, formula: str, advice: str = "") -> None:
    raise FormulaError(
        f"not allowed in a formula here: {what}.",
        source=formula,
        advice=(advice + " " if advice else "")
        + f"Use columns, numbers and the transforms {', '.join(sorted(CALLS))}; other code runs from Python only.",
    )
