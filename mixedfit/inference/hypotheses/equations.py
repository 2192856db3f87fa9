"""Linear equations in the fixed effects, as text: names are told apart before anything else is read.

Names of coefficients hold brackets, commas, colons and operators, as ``poly(x, 2)1`` or ``age(18, 25]`` do. So the text
is read from the left, the longest name that fits first; the rest is numbers, ``+ - * /``, brackets, ``=`` and commas.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.names import factors_of, plain_name

__all__ = ["position", "read_equations"]

MOST_PARTS = 4
"""Largest number of factors in an interaction whose name is known in every order."""

_REST = re.compile(
    r"(?P<space>\s+)|(?P<equals>==?)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<operator>\*\*|[-+*/()])|(?P<comma>,)|`(?P<quoted>[^`]*)`|(?P<unknown>[^\s=,()+*/-]+)"
)

_PLACE = re.compile(r"_beta(\d+)_")


def read_equations(
    text: str, names: Sequence[str], terms: Sequence[str] = ()
) -> list[tuple[str, Array, float]]:
    """Return label, weights of shape (p,), and right-hand side of every equation of a text.

    ``a = b = 0`` stands for ``a = b`` and ``b = 0``, a text without ``=`` for "= 0"; commas part equations.
    `terms` are listed in the error for a name that is neither a coefficient nor a term.

    Raises
    ------
    ModelError
        If a name is not a coefficient, or the text is no linear equation.
    """
    out = []
    for part in _split(_tokens(text, names, terms), ","):
        sides = _split(part, "=")
        read = [_linear(side, names, text) for side in sides]
        if len(sides) == 1:
            read.append((np.zeros(len(names)), 0.0))
        labels = ["".join(shown for _, shown in side).strip() for side in sides]
        for i in range(len(read) - 1):
            (row, constant), (other, shift) = read[i], read[i + 1]
            whole = "".join(shown for _, shown in part).strip()
            label = whole if len(sides) <= 2 else f"{labels[i]} = {labels[i + 1]}"
            out.append((label, row - other, shift - constant))
    return out


def position(name: str, names: Sequence[str]) -> int:
    """Return the place of a coefficient; the factors of an interaction may stand in any order.

    Raises
    ------
    ModelError
        If there is none of this name.
    """
    found = _known(names).get(name.strip().strip("`"))
    if found is None:
        raise _unknown(name, names)
    return found


def _unknown(name: str, names: Sequence[str]) -> ModelError:
    return ModelError(
        f"{name!r} is not a fixed effect of this fit ({', '.join(names)}). {nearest(name, names)}".rstrip()
    )


def _known(names: Sequence[str]) -> dict[str, int]:
    """Return the places of coefficients by name: interactions in every order, odd names without quotes too,
    and the variables of factors in place of the calls that code them."""
    out: dict[str, int] = {plain_name(name): at for at, name in enumerate(names)}
    for at, name in enumerate(names):
        parts = factors_of(name)
        if 1 < len(parts) <= MOST_PARTS:
            out.update(dict.fromkeys((":".join(order) for order in permutations(parts)), at))
    if "(Intercept)" in names:
        out["Intercept"] = list(names).index("(Intercept)")
    return out | {name: at for at, name in enumerate(names)}


def _tokens(text: str, names: Sequence[str], terms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what each piece of a text means to Python, a placeholder for a coefficient, and its characters."""
    known = _known(names)
    patterns = [(_pattern(name), known[name]) for name in sorted(known, key=len, reverse=True)]
    at = 0
    while at < len(text):
        here = ((p.match(text, at), place) for p, place in patterns)
        found = next(((match, place) for match, place in here if match and match.end() > at), None)
        if found is not None:
            match, place = found
            yield f" _beta{place}_ ", match.group()
        else:
            rest = _REST.match(text, at)
            assert rest is not None, "every character is matched"
            match = rest
            yield _meaning(match, text, names, terms), match.group()
        at = match.end()


def _meaning(match: re.Match[str], text: str, names: Sequence[str], terms: Sequence[str]) -> str:
    if match.lastgroup == "quoted":
        return f" _beta{position(match['quoted'], names)}_ "
    if match.lastgroup == "unknown":
        name = match.group()
        hint = nearest(name, [*names, *terms])
        if terms and not re.search(r"[\s=+*/,-]", text.strip()):
            raise ModelError(
                f"{text.strip()!r} is neither a term ({', '.join(terms)}) nor a coefficient ({', '.join(names)}) of "
                f"this fit: {name!r} is not a fixed effect. {hint}".rstrip()
            )
        raise ModelError(
            f"the hypothesis {text!r} is not a linear equation in the fixed effects ({', '.join(names)}). "
            f"{name!r} is not a fixed effect. {hint}".rstrip()
        )
    return "=" if match.lastgroup == "equals" else match.group()


def _pattern(name: str) -> re.Pattern[str]:
    """Return a pattern of a whole name, in which blanks may be left out."""
    own = re.escape(name).replace("\\ ", r"\s*").replace(",", r",\s*")
    return re.compile(own + r"(?![\w\[:.])")


def _split(
    tokens: Iterator[tuple[str, str]] | Sequence[tuple[str, str]], mark: str
) -> list[list[tuple[str, str]]]:
    """Return the runs of tokens between those that mean `mark`."""
    parts: list[list[tuple[str, str]]] = [[]]
    for token in tokens:
        if token[0] == mark:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _linear(side: Sequence[tuple[str, str]], names: Sequence[str], text: str) -> tuple[Array, float]:
    """Return the weights, shape (p,), and the constant of one side of an equation."""
    code = "".join(meaning for meaning, _ in side).strip()
    try:
        if not code:
            raise ValueError("A side of it is empty.")
        return _evaluate(ast.parse(code, mode="eval").body, len(names))
    except (SyntaxError, ValueError) as error:
        shown = "".join(characters for _, characters in side).strip()
        reason = f"{shown!r} cannot be read." if isinstance(error, SyntaxError) else str(error)
        raise ModelError(
            f"the hypothesis {text!r} is not a linear equation in the fixed effects ({', '.join(names)}). {reason}"
        ) from None


def _evaluate(node: ast.expr, p: int) -> tuple[Array, float]:
    """Return the weights, shape (p,), and the constant of a syntax tree."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return np.zeros(p), float(node.value)
    if isinstance(node, ast.Name) and (found := _PLACE.fullmatch(node.id)):
        return np.eye(p)[int(found[1])], 0.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        row, constant = _evaluate(node.operand, p)
        sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
        return sign * row, sign * constant
    if isinstance(node, ast.BinOp):
        (row, constant), (other, number) = _evaluate(node.left, p), _evaluate(node.right, p)
        if isinstance(node.op, ast.Add):
            return row + other, constant + number
        if isinstance(node.op, ast.Sub):
            return row - other, constant - number
        if isinstance(node.op, ast.Mult) and not (row.any() and other.any()):
            return row * number + other * constant, constant * number
        if isinstance(node.op, ast.Div) and not other.any():
            if number == 0:
                raise ValueError("It divides by 0.")
            return row / number, constant / number
    raise ValueError("Only sums, differences and multiples of coefficients can be tested.")
