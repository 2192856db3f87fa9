"""Tokens of a formula, with their positions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from formulaic.errors import FormulaicError
from formulaic.parser.algos.tokenize import tokenize

from mixedfit.core.errors import FormulaError

__all__ = [
    "Piece",
    "at_depth_zero",
    "check_brackets",
    "closing",
    "first_line",
    "is_column",
    "join",
    "pieces_of",
    "plain_name",
    "strip_brackets",
]

_OPERATOR = re.compile(r"\|\||\*\*|%[^%]*%|\S")

_DIVISION = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|(?P<operator>%%|%/%)""")

plain_name = re.compile(r"[^\W\d]\w*(\.\w+)*")
"""Names that formulas need not quote."""

_QUOTED = re.compile(r"`[^`]*`|Q\(\s*(['\"]).*\1\s*\)")


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of a formula, with its place in the text.

    Attributes
    ----------
    text : str
    kind : str
        formulaic's kind: "name", "value", "python" (a call), "context" (a bracket) or "operator".
    start, end : int
        First and one-past-last character.
    """

    text: str
    kind: str
    start: int
    end: int


def pieces_of(text: str) -> list[Piece]:
    """Return the tokens of a formula, from formulaic's tokenizer, with runs of operators split.

    Raises
    ------
    FormulaError
        If a bracket or quotation is not closed, or a text has an operator of R that Python writes otherwise.
    """
    _refuse_division(text)
    pieces: list[Piece] = []
    try:
        tokens = list(tokenize(text))
    except FormulaicError as error:
        raise FormulaError(
            f"the formula ends inside a bracket or quotation: {first_line(error)}",
            source=text,
            start=max(0, len(text) - 1),
            advice="Close what was opened.",
        ) from None
    for token in tokens:
        kind = token.kind.value
        start, end = int(token.source_start), int(token.source_end) + 1
        if kind == "operator" and not token.token.startswith("%"):
            for match in _OPERATOR.finditer(text, start, end):
                pieces.append(Piece(match.group(), kind, match.start(), match.end()))
        else:
            if kind == "python" and "^" in token.token:
                token.token = token.token.replace("^", "**")
            pieces.append(Piece(token.token, kind, start, end))
    return pieces


def _refuse_division(text: str) -> None:
    """Raise `FormulaError` for R's ``%%`` and ``%/%`` outside quotations."""
    for found in _DIVISION.finditer(text):
        operator = found.group("operator")
        if operator:
            python = {"%%": "%", "%/%": "//"}[operator]
            raise FormulaError(
                f"{operator!r} is not read.",
                source=text,
                start=found.start(),
                end=found.end(),
                advice=f"R's x {operator} 2 is x {python} 2 in a call, as in I(x {python} 2).",
            )


def check_brackets(pieces: Sequence[Piece], text: str) -> None:
    """Raise `FormulaError` for a bracket without its counterpart."""
    depth: list[Piece] = []
    for piece in pieces:
        if piece.kind == "context" and piece.text == "(":
            depth.append(piece)
        elif piece.kind == "context" and piece.text == ")":
            if not depth:
                raise FormulaError("a ')' without its '('.", source=text, start=piece.start)
            depth.pop()
    if depth:
        raise FormulaError("a '(' that is never closed.", source=text, start=depth[-1].start)


def at_depth_zero(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces outside all brackets."""
    depth, outside = 0, []
    for piece in pieces:
        if piece.kind == "context":
            depth += 1 if piece.text == "(" else -1
        elif depth == 0:
            outside.append(piece)
    return outside


def closing(pieces: Sequence[Piece], opening: int) -> int:
    """Return the position of the bracket that closes the bracket at position `opening`."""
    depth = 0
    for position in range(opening, len(pieces)):
        if pieces[position].kind == "context":
            depth += 1 if pieces[position].text == "(" else -1
        if depth == 0:
            return position
    raise AssertionError("brackets were checked before")


def strip_brackets(pieces: list[Piece]) -> list[Piece]:
    """Return pieces without outer brackets that enclose all of them."""
    while pieces and pieces[0].text == "(" and closing(pieces, 0) == len(pieces) - 1:
        pieces = pieces[1:-1]
    return pieces


def join(pieces: Sequence[Piece]) -> str:
    """Return pieces as text that formulaic splits into the same pieces."""
    return " ".join(_as_written(piece) for piece in pieces)


def _as_written(piece: Piece) -> str:
    if piece.kind == "name" and not plain_name.fullmatch(piece.text) and piece.text != ".":
        return f"`{piece.text}`"
    return piece.text


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return str(error).split("\n")[0].rstrip(".") + "."


def is_column(expression: str) -> bool:
    """Return whether an expression is a column name, quoted or not, and not a function of columns."""
    return bool(plain_name.fullmatch(expression) or _QUOTED.fullmatch(expression))
