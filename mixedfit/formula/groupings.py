"""Grouping factors right of a bar, such as ``g``, ``a:b``, ``a/(b + c)``, expanded as R expands terms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from mixedfit.core.errors import FormulaError

from .r_syntax import hint
from .tokens import Piece

__all__ = ["GroupingFactor", "read_groupings"]

_QUOTED = re.compile(r"""Q\(\s*(['"])(?P<name>.*)\1\s*\)""")

_AS_FACTOR = re.compile(r"(?:C|factor|as\.factor)\(\s*`?(?P<name>[^\W\d][\w.]*)`?\s*\)")

LARGEST_POWER = 10
"""Largest exponent of a sum of columns; with more columns a model could not be fitted."""

Columns: TypeAlias = tuple[str, ...]
"""Columns whose combinations are the levels of one grouping factor."""


@dataclass(frozen=True, slots=True)
class GroupingFactor:
    """The right side of a bar: one column, or the interaction of several.

    Attributes
    ----------
    columns : tuple of str
        Names of the columns whose combinations are the levels.
    span : tuple of int
        First and one-past-last character in the formula's text.
    """

    columns: Columns
    span: tuple[int, int]

    @property
    def name(self) -> str:
        """The columns joined by colons, as lme4 prints them."""
        return ":".join(self.columns)


def read_groupings(pieces: Sequence[Piece], text: str) -> list[GroupingFactor]:
    """Return the grouping factors of an expression: ``a + b``, ``a:b``, ``a*b``, ``a/b`` (a, and b:a), and brackets.

    They are R's terms of such a formula: each once, those of fewer columns first.

    Raises
    ------
    FormulaError
        If it is not such an expression.
    """
    reader = _Reader(list(pieces), text)
    found = reader.sum()
    if reader.next() is not None or not found:
        reader.refuse()
    span = (pieces[0].start, pieces[-1].end)
    return [GroupingFactor(columns, span) for columns in sorted(found, key=len)]


@dataclass(slots=True)
class _Reader:
    """A descent through an expression; the loosest operators first."""

    pieces: list[Piece]
    text: str
    place: int = field(default=0)

    def next(self) -> str | None:
        return self.pieces[self.place].text if self.place < len(self.pieces) else None

    def sum(self) -> list[Columns]:
        out = self.product()
        while (operator := self.next()) in ("+", "-"):
            self.place += 1
            right = self.product()
            if operator == "+":
                out = _once([*out, *right])
            else:
                out = [columns for columns in out if set(columns) not in map(set, right)]
        return out

    def product(self) -> list[Columns]:
        out = self.interaction()
        while (operator := self.next()) in ("*", "/"):
            self.place += 1
            right = self.interaction()
            if operator == "/":
                within = _combined(reversed(out))
                out = _once([*out, *(_combined([columns, within]) for columns in right)])
            else:
                out = _once([*out, *right, *_crossed(out, right)])
        return out

    def interaction(self) -> list[Columns]:
        out = self.power()
        while self.next() == ":":
            self.place += 1
            out = _once(_crossed(out, self.power()))
        return out

    def power(self) -> list[Columns]:
        out = base = self.single()
        if self.next() in ("^", "**"):
            self.place += 1
            exponent = self.next() or ""
            if not exponent.isdecimal() or not 1 <= int(exponent) <= LARGEST_POWER:
                self.refuse()
            self.place += 1
            for _ in range(int(exponent) - 1):
                out = _once([*out, *_crossed(out, base)])
        return out

    def single(self) -> list[Columns]:
        if self.place == len(self.pieces):
            self.refuse()
        piece = self.pieces[self.place]
        if piece.kind in ("name", "python"):
            self.place += 1
            return [(_column_of(piece, self.text),)]
        if piece.text != "(":
            self.refuse()
        self.place += 1
        out = self.sum()
        if self.next() != ")":
            self.refuse()
        self.place += 1
        return out

    def refuse(self) -> NoReturn:
        piece = self.pieces[min(self.place, len(self.pieces) - 1)]
        raise FormulaError(
            "a grouping factor is a column, or columns joined by ':', '/', '*', '+' and brackets.",
            source=self.text,
            start=piece.start,
            end=piece.end,
            advice="Write (1 | g), (1 | a/b) for b within a, (1 | a:b) for combinations, (1 | a + b) for two factors.",
        )


def _combined(factors: Iterable[Columns]) -> Columns:
    """Return the columns of several factors, each once."""
    return tuple(dict.fromkeys(column for columns in factors for column in columns))


def _crossed(left: Sequence[Columns], right: Sequence[Columns]) -> list[Columns]:
    return [_combined(pair) for pair in ((a, b) for a in left for b in right)]


def _once(factors: Iterable[Columns]) -> list[Columns]:
    """Return factors without those that have the same columns as an earlier one."""
    return list({frozenset(columns): columns for columns in reversed(list(factors))}.values())[::-1]


def _column_of(piece: Piece, text: str) -> str:
    """Return the column named by ``g``, ``Q("odd name")``, ``C(g)`` or ``factor(g)``."""
    if piece.kind == "name":
        return piece.text
    for pattern in (_QUOTED, _AS_FACTOR):
        found = pattern.fullmatch(piece.text)
        if found:
            return found.group("name")
    raise FormulaError(
        "a grouping factor must be a column of the data, not an expression.",
        source=text,
        start=piece.start,
        end=piece.end,
        advice=hint(piece.text) or "Add the column to the data first and name it here.",
    )
