"""Parser of formulas: lme4 random terms, and a fixed part for formulaic.

A formula is code to formulaic: function calls inside it are evaluated. `check_is_plain` refuses
everything but column names, numbers and the listed transforms; the command line uses it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from formulaic import Formula
from formulaic.errors import FormulaicError

from mixedfit.core.errors import FormulaError

from .order import in_order_of_appearance
from .r_syntax import as_call, hint, readable, refuse_bar_in_call, refuse_bare_bar
from .tokens import Piece, at_depth_zero, check_brackets, closing, first_line, join, pieces_of, strip_brackets

__all__ = ["GroupingFactor", "ParsedFormula", "RandomTerm", "parse_formula", "random_key"]

_QUOTED = re.compile(r"""Q\(\s*(['"])(?P<name>.*)\1\s*\)""")

_AS_FACTOR = re.compile(r"(?:C|factor|as\.factor)\(\s*`?(?P<name>[^\W\d][\w.]*)`?\s*\)")

_OFFSET = re.compile(r"offset\s*\(")


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

    columns: tuple[str, ...]
    span: tuple[int, int]

    @property
    def name(self) -> str:
        """The columns joined by colons, as lme4 prints them."""
        return ":".join(self.columns)


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One random term ``( effects | group )``.

    Attributes
    ----------
    effects : str
        The left side of the bar, as written.
    group : GroupingFactor
    correlated : bool
        True for ``|``: one covariance matrix for all effects; False for ``||``: variances only.
    parts : tuple of formulaic formulas
        One right-hand side when correlated; otherwise one for each effect.
    span : tuple of int
        First and one-past-last character in the formula's text.
    """

    effects: str
    group: GroupingFactor
    correlated: bool
    parts: tuple[Any, ...]
    span: tuple[int, int]

    def __str__(self) -> str:
        return f"({self.effects} {'|' if self.correlated else '||'} {self.group.name})"


@dataclass(frozen=True, slots=True)
class ParsedFormula:
    """A formula split into the parts of the model.

    Attributes
    ----------
    source : str
        The text as written.
    response, fixed : str
        Left side, and right side without its random terms and offsets.
    random : tuple of RandomTerm
        In the order of the text; nested groupings already expanded.
    offsets : tuple of str
        Inner text of each ``offset(...)``.
    matrices : formulaic formula
        Response ``y``, fixed part ``X``, random parts under `random_key` (unless equal to the fixed part) and
        offsets ``O0, …``: everything to be evaluated, in one object, so that one pass over the data serves.
    """

    source: str
    response: str
    fixed: str
    random: tuple[RandomTerm, ...]
    offsets: tuple[str, ...]
    matrices: Any

    def locate(self, name: str) -> tuple[int, int] | None:
        """Return the place of `name` in the text, or None."""
        found = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", self.source)
        return (found.start(), found.end()) if found else None


def parse_formula(text: str) -> ParsedFormula:
    """Return the parts of an lme4 formula.

    Parameters
    ----------
    text : str
        Such as ``"Reaction ~ Days + (Days | Subject)"``. Random terms: ``(1 | g)``, ``(x | g)`` (which
        means ``1 + x``), ``(0 + x | g)``, ``(x || g)``, ``(1 | a/b)``, ``(1 | a:b)``. Everything else
        goes to formulaic, after ``^`` inside a call has become ``**``, as R means it.

    Raises
    ------
    FormulaError
        If the text cannot be read; the message points to the place.

    Examples
    --------
    >>> parsed = parse_formula("y ~ x + (x | school/class)")
    >>> parsed.fixed, [str(term) for term in parsed.random]
    ('x', ['(x | school)', '(x | class:school)'])
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"a formula is a string such as 'y ~ x + (1 | g)', not {type(text).__name__}; it comes first, then "
            "the data."
        )
    return _parse(text)


@lru_cache(maxsize=256)
def _parse(text: str) -> ParsedFormula:
    if "%in%" in text:
        at = text.index("%in%")
        raise FormulaError("'%in%' is not read.", source=text, start=at, end=at + 4, advice=hint("%in%"))
    pieces = pieces_of(text)
    tilde = [i for i, piece in enumerate(pieces) if piece.text == "~"]
    if len(tilde) != 1:
        raise FormulaError(
            f"a formula needs exactly one '~' between response and predictors; this one has {len(tilde)}.",
            source=text,
            advice="Write it as 'response ~ predictors + (effects | group)'.",
        )
    left, right = pieces[: tilde[0]], pieces[tilde[0] + 1 :]
    if not left or not right:
        side = "left" if not left else "right"
        raise FormulaError(f"nothing stands on the {side} of '~'.", source=text, start=pieces[tilde[0]].start)
    check_brackets(pieces, text)
    fixed, bars, offsets = _split_right(right, text)
    random = tuple(term for bar in bars for term in _read_bar(bar, text))
    _check_duplicates(random, text)
    fixed_text = join(fixed) or "1"
    return ParsedFormula(
        source=text,
        response=join(left),
        fixed=fixed_text,
        random=random,
        offsets=offsets,
        matrices=_matrices(join(left), fixed_text, random, offsets, text),
    )


def _split_right(
    pieces: Sequence[Piece], text: str
) -> tuple[list[Piece], list[list[Piece]], tuple[str, ...]]:
    """Return the fixed part, the random terms and the offsets of the right-hand side."""
    bare = [piece for piece in at_depth_zero(pieces) if piece.text in ("|", "||")]
    if bare:
        refuse_bare_bar(bare[0], pieces[0].start, text)
        return [], [list(pieces)], ()
    fixed: list[Piece] = []
    bars: list[list[Piece]] = []
    offsets: list[str] = []
    position = 0
    while position < len(pieces):
        piece = pieces[position]
        if piece.kind == "context" and piece.text == "(":
            end = closing(pieces, position)
            inside = list(pieces[position + 1 : end])
            inside = strip_brackets(inside)
            if any(p.text in ("|", "||") for p in at_depth_zero(inside)):
                _take_out(fixed, pieces, position, end, text)
                bars.append(inside)
            else:
                fixed.extend(pieces[position : end + 1])
            position = end + 1
        elif piece.kind == "python" and _OFFSET.match(piece.text):
            _take_out(fixed, pieces, position, position, text)
            offsets.append(_offset_of(piece, text))
            position += 1
        else:
            refuse_bar_in_call(piece, text)
            fixed.append(piece)
            position += 1
    hidden = next((p for p in fixed if p.text in ("|", "||")), None)
    if hidden is not None:
        raise FormulaError(
            "a random term stands inside other brackets.",
            source=text,
            start=hidden.start,
            end=hidden.end,
            advice="Take the outer brackets away: 'x + (1 | g)'.",
        )
    if fixed and fixed[0].text == "+":
        fixed = fixed[1:]
    return fixed, bars, tuple(offsets)


def _offset_of(piece: Piece, text: str) -> str:
    inner = piece.text[piece.text.index("(") + 1 : -1].strip()
    if not re.search(r"[^\W\d]", inner):
        raise FormulaError(
            "an offset must name a column of the data.", source=text, start=piece.start, end=piece.end
        )
    return inner


def _take_out(fixed: list[Piece], pieces: Sequence[Piece], start: int, end: int, text: str) -> None:
    """Remove the plus sign that joined a random term or an offset to the fixed part."""
    before = pieces[start - 1].text if start else ""
    after = pieces[end + 1].text if end + 1 < len(pieces) else ""
    if before not in ("", "+") or after not in ("", "+", "-"):
        raise FormulaError(
            "a random term or an offset can only be added to the model with '+'.",
            source=text,
            start=pieces[start].start,
            end=pieces[end].end,
            advice="Write '… + (effects | group)'; interactions go inside the brackets.",
        )
    if fixed and fixed[-1].text == "+":
        fixed.pop()


def _read_bar(pieces: Sequence[Piece], text: str) -> list[RandomTerm]:
    """Return the terms of one bar: several if the grouping is nested."""
    bars = [p for p in at_depth_zero(pieces) if p.text in ("|", "||")]
    if len(bars) != 1:
        raise FormulaError("a random term has one bar; this one has more.", source=text, start=bars[1].start)
    cut = pieces.index(bars[0])
    left, right = pieces[:cut], strip_brackets(list(pieces[cut + 1 :]))
    if not left or not right:
        what = "effects on the left" if not left else "grouping factor on the right"
        raise FormulaError(
            f"this random term has no {what} of its bar.",
            source=text,
            start=bars[0].start,
            end=bars[0].end,
            advice="Write (1 | g) for random intercepts by g, (x | g) for intercepts and slopes.",
        )
    span = (pieces[0].start, pieces[-1].end)
    correlated = bars[0].text == "|"
    effects = join(left)
    parts = _effect_formulas(effects, correlated, text, (left[0].start, left[-1].end))
    return [RandomTerm(effects, group, correlated, parts, span) for group in _groupings(right, text)]


def _effect_formulas(effects: str, correlated: bool, text: str, span: tuple[int, int]) -> tuple[Any, ...]:
    """Return one right-hand side, or for ``||`` one for each effect.

    lme4's ``(x || g)`` is ``(1 | g) + (0 + x | g)``; a factor keeps all its levels, each with a variance.
    """
    try:
        whole = in_order_of_appearance(Formula(readable(effects)), readable(effects))
        terms = list(whole)
        if not terms:
            raise FormulaError("this random term is empty.", source=text, start=span[0], end=span[1])
        return (whole,) if correlated else tuple(Formula([term]) for term in terms)
    except (FormulaicError, SyntaxError, TypeError, AttributeError) as error:
        raise FormulaError(
            f"the left side of this bar cannot be read: {first_line(error)}",
            source=text,
            start=span[0],
            end=span[1],
            advice=hint(effects),
        ) from None


def _groupings(pieces: Sequence[Piece], text: str) -> list[GroupingFactor]:
    """Return the grouping factors of ``g``, ``a:b``, ``a/b`` (which is ``a`` and ``b:a``)."""
    span = (pieces[0].start, pieces[-1].end)
    outer: tuple[str, ...] = ()
    found: list[GroupingFactor] = []
    current: list[str] = []
    expect_name = True
    for piece in [*pieces, None]:
        if piece is not None and expect_name and piece.kind in ("name", "python"):
            current.append(_column_of(piece, text))
            expect_name = False
        elif piece is not None and not expect_name and piece.text == ":":
            expect_name = True
        elif (piece is None or piece.text == "/") and not expect_name:
            outer = (*current, *outer)
            found.append(GroupingFactor(outer, span))
            current, expect_name = [], True
        else:
            raise FormulaError(
                "a grouping factor is a column, 'a:b' or 'a/b'.",
                source=text,
                start=(piece or pieces[-1]).start,
                end=(piece or pieces[-1]).end,
                advice="For several grouping factors write several terms: (1 | a) + (1 | b).",
            )
    return found


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


def _check_duplicates(terms: Sequence[RandomTerm], text: str) -> None:
    seen: dict[tuple[str, str, str], RandomTerm] = {}
    for term in terms:
        for part in term.parts:
            for effect in part:
                key = (":".join(sorted(term.group.columns)), str(effect), "effect")
                if key in seen:
                    raise FormulaError(
                        f"the random effect '{effect}' of '{term.group.name}' stands in two terms; their "
                        "variances cannot be told apart.",
                        source=text,
                        start=term.span[0],
                        end=term.span[1],
                        advice="Write it once; (1 | g) + (0 + x | g) has uncorrelated effects.",
                    )
                seen[key] = term


def _matrices(
    response: str, fixed: str, random: Sequence[RandomTerm], offsets: Sequence[str], text: str
) -> Any:
    """Return one structured formula for everything that has to be evaluated."""
    parts: dict[str, Any] = {}
    try:
        parts["y"] = Formula(f"0 + {readable(as_call(response))}")
        parts["X"] = in_order_of_appearance(Formula(readable(fixed)), readable(fixed))
        for number, offset in enumerate(offsets):
            parts[f"O{number}"] = Formula(f"0 + {readable(as_call(offset))}")
    except (FormulaicError, SyntaxError) as error:
        advice = hint(text)
        says = "." if advice else f": {first_line(error)}"
        raise FormulaError(f"the formula cannot be read{says}", source=text, advice=advice) from None
    for part in (part for term in random for part in term.parts):
        if random_key(part) != random_key(parts["X"]):
            parts[random_key(part)] = part
    return Formula(**parts)


def random_key(part: Any) -> str:
    """Return the key of the effects of a random term in `ParsedFormula.matrices`."""
    return "Z:" + " + ".join(str(term) for term in part)
