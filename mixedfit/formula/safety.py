"""Check of formulas from untrusted sources, such as the command line and saved files.

formulaic evaluates the code in a formula. In a formula that passes the check every name is a column, every call is one
of `CALLS` and every constant is small. Formulas of saved fits may also call numpy's functions of one number, and have
large constants where they cost nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mixedfit.core.errors import FormulaError, nearest

from .parse import parse_formula

__all__ = ["CALLS", "check_is_plain"]

CALLS = frozenset(
    {"log", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "sin", "cos", "tan", "abs"}
    | {"I", "poly", "bs", "ns", "cr", "cc", "scale", "center", "C", "Q", "numFactor"}
)
"""Functions that are allowed."""

ELEMENTWISE = frozenset(
    {
        "log",
        "log2",
        "log10",
        "log1p",
        "exp",
        "exp2",
        "expm1",
        "sqrt",
        "cbrt",
        "square",
        "abs",
        "absolute",
        "sign",
    }
    | {
        "sin",
        "cos",
        "tan",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arccosh",
        "arctanh",
    }
    | {"floor", "ceil", "trunc", "rint", "deg2rad", "rad2deg", "degrees", "radians", "negative", "reciprocal"}
)
"""numpy's functions of one number that the formula of a saved fit may call, as ``np.log(x)``."""

CONTRASTS = frozenset({"sum", "treatment", "helmert", "poly", "diff", "SAS"})
"""Contrasts that are allowed, as in ``contr.sum``."""

KNOTS = ("knots", "Boundary_knots", "lower_bound", "upper_bound")
"""Arguments of splines whose numbers may be of any size."""

WORDS = {"extrapolation": ("raise", "extend", "clip", "zero", "na"), "constraints": ("center",)}
"""Text that a plain formula may give to an argument."""

CONSTANTS = frozenset({"pi"})

LARGEST_CONSTANT = 1e6
"""Largest constant inside a call; larger ones could exhaust memory or time."""

_BY_NUMBER = frozenset({"I", "center"}) | (CALLS & ELEMENTWISE)
"""Calls whose cost does not depend on the numbers in them."""

_BACKTICK = re.compile(r"`([^`]*)`")

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd)

_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What a formula may use.

    Attributes
    ----------
    formula : str
    columns : frozenset of str
    stored : bool
        Whether it is a saved fit's: numpy's functions may be called, and columns may have the names of functions.
    limit : bool
        Whether constants must be at most `LARGEST_CONSTANT`.
    """

    formula: str
    columns: frozenset[str]
    stored: bool
    limit: bool = True


def check_is_plain(formula: str, columns: Sequence[str], *, stored: bool = False) -> None:
    """Raise `FormulaError` unless a formula consists of columns, numbers and the transforms in `CALLS`.

    Parameters
    ----------
    formula : str
    columns : sequence of str
        Column names of the data.
    stored : bool
        Whether the formula is a saved fit's, which may also call `ELEMENTWISE` functions of numpy and name levels.

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
                _check_factor(
                    factor.eval_method.value,
                    factor.expr,
                    columns,
                    _Allowed(formula, frozenset(columns), stored),
                )


def _check_factor(method: str, expression: str, columns: Sequence[str], allowed: _Allowed) -> None:
    formula = allowed.formula
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
    _check_node(tree.body, allowed)


def _check_node(node: ast.expr, allowed: _Allowed) -> None:
    columns, formula = allowed.columns, allowed.formula
    if isinstance(node, ast.Name):
        if node.id not in columns | CONSTANTS:
            _refuse(f"{node.id!r} is not a column", formula, nearest(node.id, columns))
    elif isinstance(node, ast.Constant):
        _check_constant(node, allowed)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
        if isinstance(node.op, ast.Pow):
            _check_power(node, formula)
        _check_node(node.left, allowed)
        _check_node(node.right, allowed)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, _OPERATORS):
        _check_node(node.operand, allowed)
    elif isinstance(node, ast.Compare) and all(isinstance(op, _COMPARISONS) for op in node.ops):
        for side in (node.left, *node.comparators):
            if not (allowed.stored and _is_text(side)):
                _check_node(side, allowed)
    elif isinstance(node, ast.Attribute):
        if ast.unparse(node) not in columns:
            _refuse(f"attribute access '{ast.unparse(node)}'", formula)
    elif isinstance(node, ast.Call):
        _check_call(node, allowed)
    else:
        _refuse(f"'{ast.unparse(node)}'", formula)


def _check_call(node: ast.Call, allowed: _Allowed) -> None:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if allowed.stored and _is_elementwise(node):
        _check_node(node.args[0], replace(allowed, limit=False))
        return
    if name not in CALLS or (name in allowed.columns and not allowed.stored):
        _refuse(f"the call '{ast.unparse(node)}'", allowed.formula)
    if name == "Q":
        _check_quoted(node, allowed)
        return
    inside = replace(allowed, limit=not (allowed.stored and name in _BY_NUMBER and not node.keywords))
    options = [keyword.value for keyword in node.keywords if not _is_spline_option(keyword)]
    for argument in [*node.args, *options]:
        if name == "C" and _is_contrast(argument):
            continue
        if allowed.stored and (_is_list(argument) or (_is_text(argument) and argument in options)):
            continue
        _check_node(argument, inside)


def _check_quoted(node: ast.Call, allowed: _Allowed) -> None:
    quoted = [a.value for a in node.args if isinstance(a, ast.Constant)]
    known = quoted == [q for q in quoted if q in allowed.columns]
    if len(node.args) != 1 or node.keywords or not quoted or not known:
        _refuse(f"'{ast.unparse(node)}' does not name a column", allowed.formula)


def _is_elementwise(node: ast.Call) -> bool:
    """Whether a call is ``np.NAME(one argument)`` of `ELEMENTWISE`; a second argument would be written to."""
    function = node.func
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "np"
        and function.attr in ELEMENTWISE
        and len(node.args) == 1
        and not node.keywords
    )


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_list(node: ast.expr) -> bool:
    """Whether a node is a list of constants, as in ``C(f, levels=["b", "a"])`` or ``bs(x, knots=[1, 2])``."""
    if not isinstance(node, ast.List | ast.Tuple):
        return False
    plain = [one.operand if isinstance(one, ast.UnaryOp) else one for one in node.elts]
    return all(isinstance(one, ast.Constant) for one in plain)


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


def _check_constant(node: ast.Constant, allowed: _Allowed) -> None:
    formula = allowed.formula
    if isinstance(node.value, bool):
        return
    if not isinstance(node.value, int | float):
        _refuse(f"the constant {node.value!r}", formula)
    elif allowed.limit and not abs(node.value) <= LARGEST_CONSTANT:
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
