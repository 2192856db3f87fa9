"""Evaluation of expressions in parameters, such as ``"GenotypeB / sigma > 1"``: arithmetic and comparisons only."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.names import name_pattern, without_blanks

__all__ = ["compared_sides", "evaluate", "parameter_named", "spellings"]

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs}


def spellings(known: Sequence[str]) -> dict[str, str]:
    """Return the names of parameters by their spellings: as they are, and correlations in either order of effects.

    Examples
    --------
    >>> spellings(["sd_a|g", "cor_b.a|g", "sd_b|g"])["cor_a.b|g"]
    'cor_b.a|g'
    """
    out = {name: name for name in known}
    effects = [name.removeprefix("sd_").rpartition("|") for name in known if name.startswith("sd_")]
    for first, _, group in effects:
        for second, _, other in effects:
            name = f"cor_{first}.{second}|{group}"
            if group == other and name in out:
                out.setdefault(f"cor_{second}.{first}|{group}", name)
    return out


def parameter_named(name: str, known: Sequence[str]) -> str | None:
    """Return the name of a parameter from its spelling, whatever the blanks around signs; None if there is none."""
    if name in known:
        return name
    wanted = without_blanks(name)
    found = {own for spelling, own in spellings(known).items() if without_blanks(spelling) == wanted}
    return found.pop() if len(found) == 1 else None


def _with_identifiers(text: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the text with parameter names replaced by identifiers, and the name of each identifier.

    Names such as ``(Intercept)`` or ``sd_(Intercept)|Tray`` are not valid in Python; longer names are replaced first.
    Blanks around the signs of a name do not count.
    """
    by_spelling = spellings(known)
    identifiers = {name: f"_p{i}_" for i, name in enumerate(sorted(by_spelling, key=len, reverse=True))}
    pattern = "|".join(rf"(?<![\w.]){name_pattern(name)}(?![\w.])" for name in identifiers)
    plain = {without_blanks(name): identifier for name, identifier in identifiers.items()}

    def identifier(match: re.Match[str]) -> str:
        return identifiers.get(match[0]) or plain[without_blanks(match[0])]

    replaced = re.sub(pattern, identifier, text)
    return replaced, {identifier: by_spelling[name] for name, identifier in identifiers.items()}


def compared_sides(text: str, known: Sequence[str]) -> tuple[str, str]:
    """Return the left and the right side of one comparison, such as ``"GenotypeB > 0"``.

    Raises
    ------
    ModelError
        If there is not exactly one comparison by <, <=, > or >=.
    """
    if not isinstance(text, str):
        raise ModelError(f"the hypothesis is {text!r}; expected text such as 'x > 0'.")
    replaced, names = _with_identifiers(text, known)
    parts = re.split(r"([<>]=?)", replaced)
    if len(parts) != 3 or "=" in parts[0] + parts[2]:
        raise ModelError(
            f"{text!r} is not one comparison by < or >; expected such as 'x > 0' or 'x / sigma < 2 * y'. A hypothesis "
            "x = 0 has posterior probability 0: look at conf_int(), or at savage_dickey('x = 0') for its Bayes factor."
        )
    pattern = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    left, right = (pattern.sub(lambda match: names[match.group(0)], part) for part in parts[::2])
    return left, right


def evaluate(text: str, known: Sequence[str], values: Callable[[str], Any]) -> Any:
    """Return the value of an expression.

    Parameters
    ----------
    text : str
    known : sequence of str
        Names that the expression may use.
    values : callable
        Returns the draws of a name.

    Raises
    ------
    ModelError
        If the text is not an expression in these names.
    """
    replaced, names = _with_identifiers(text, known)  # before ^ is replaced, which names may contain
    try:
        tree = ast.parse(replaced.replace("^", "**").strip(), mode="eval").body
    except SyntaxError:
        raise ModelError(
            f"{text!r} cannot be read as an expression; expected such as 'x / sigma > 1'."
        ) from None

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return np.float64(number)  # so that 1/0 is infinite
            case ast.Name(id=name) if name in names:
                return values(names[name])
            case ast.Name(id=name):
                raise ModelError(
                    f"{name!r} is not a parameter (known: {', '.join(known)}). {nearest(name, known)}".rstrip()
                )
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _BINARY[type(op)](value(left), value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return value(operand)
            case ast.Compare(left=left, ops=ops, comparators=others) if all(
                type(o) in _COMPARED for o in ops
            ):
                terms = [value(left), *(value(other) for other in others)]
                pairs = zip(ops, terms[:-1], terms[1:], strict=True)
                return np.logical_and.reduce([_COMPARED[type(op)](a, b) for op, a, b in pairs])
            case ast.BoolOp(op=op, values=parts):
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return join.reduce([value(part) for part in parts])
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](value(argument))
        raise ModelError(
            f"{text!r} uses more than arithmetic, comparisons, and exp, log, sqrt, abs of the parameters."
        )

    with np.errstate(all="ignore"):
        return value(tree)
