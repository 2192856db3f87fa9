"""Parser of formulas: lme4's random terms, and a fixed part for formulaic.

formulaic evaluates function calls in a formula, so a formula is code. `safety.check_is_plain` accepts only column
names, numbers and listed transforms; the command line uses it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

from formulaic import Formula
from formulaic.errors import FormulaicError

from mixedfit.core.errors import FormulaError
from mixedfit.core.options import check_one_of

from .groupings import GroupingFactor, read_groupings
from .order import in_order_of_appearance
from .r_syntax import as_call, hint, readable, refuse_bare_bar
from .slips import refuse_arithmetic, slips
from .structures import NAMES, StructureCall, places_of, read_structure
from .tokens import Piece, at_depth_zero, check_brackets, closing, first_line, join, pieces_of, strip_brackets

__all__ = ["Expand", "GroupingFactor", "ParsedFormula", "RandomTerm", "parse_formula", "random_key"]

_OFFSET = re.compile(r"offset\s*\(")


Expand: TypeAlias = Literal["levels", "contrasts"]
"""What ``||`` makes of a factor."""


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One random term ``( effects | group )``.

    Attributes
    ----------
    effects : str
        The left-hand side of the bar, as written.
    group : GroupingFactor
    correlated : bool
        True for ``|``: one covariance matrix for all effects; False for ``||``: variances only.
    parts : tuple of formulaic formulas
        One formula if correlated or expanded by contrasts; otherwise one for each effect.
    span : tuple of int
        First and one-past-last character in the formula's text.
    structure : str
        Name of the covariance structure if the term is written as a call, such as "cs"; else empty.
    places : tuple of str
        Columns with the times or coordinates of a structure of places.
    by_level : bool
        Whether only the order of the levels of the one place column counts, as in ``ar1(0 + factor(t) | g)``.
    """

    effects: str
    group: GroupingFactor
    correlated: bool
    parts: tuple[Any, ...]
    span: tuple[int, int]
    structure: str = ""
    places: tuple[str, ...] = ()
    by_level: bool = False

    @property
    def n_structures(self) -> int:
        """Parts of the covariance of a level's effects: one when correlated, otherwise one for each effect."""
        return 1 if self.correlated or self.structure else sum(len(list(part)) for part in self.parts)

    def __str__(self) -> str:
        bar = "|" if self.correlated or self.structure else "||"
        return f"{self.structure}({self.effects} {bar} {self.group.name})"


@dataclass(frozen=True, slots=True)
class ParsedFormula:
    """A formula split into the parts of the model.

    Attributes
    ----------
    source : str
        The text as written.
    response, fixed : str
        Left-hand side, and right-hand side without random terms and offsets.
    random : tuple of RandomTerm
        In the order of the text, with nested grouping factors expanded.
    offsets : tuple of str
        Argument of each ``offset(...)``.
    matrices : formulaic formula
        All parts to evaluate, in one object so that formulaic makes one pass over the data: response ``y``, fixed
        part ``X``, random parts under `random_key` (unless equal to the fixed part), offsets ``O0``, ``O1``, ….
    expand : {"levels", "contrasts"}
        How ``||`` treats factors.
    slips : tuple of str
        Warnings about parts that mean something else than they seem to.
    """

    source: str
    response: str
    fixed: str
    random: tuple[RandomTerm, ...]
    offsets: tuple[str, ...]
    matrices: Any
    expand: Expand = "levels"
    slips: tuple[str, ...] = ()

    def locate(self, name: str) -> tuple[int, int] | None:
        """Return the first and one-past-last character of `name` in the text, or None."""
        found = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", self.source)
        return (found.start(), found.end()) if found else None


def parse_formula(text: str, *, expand: Expand = "levels") -> ParsedFormula:
    """Return the parts of an lme4 formula.

    Parameters
    ----------
    text : str
        For example ``"Reaction ~ Days + (Days | Subject)"``. Random terms: ``(1 | g)``, ``(x | g)`` (the same as
        ``(1 + x | g)``), ``(0 + x | g)``, ``(x || g)``, ``(1 | a/b)``, ``(1 | a:b)``; the right-hand side of a bar may
        join columns by ``+ : * /`` and brackets, and has a term for each of its grouping factors. A name before the
        bracket is a covariance structure (`structures.NAMES`): ``cs(1 + x | g)``, ``ar1(0 + time | g)``. The rest is
        read by formulaic; ``^`` inside a call means ``**``, as in R.
    expand : {"levels", "contrasts"}
        What ``||`` makes of a factor: effects of all its levels, or of its contrasts (of all columns of the model
        matrix left of the bar, as afex and lme4 2 do).

    Returns
    -------
    ParsedFormula

    Raises
    ------
    FormulaError
        If the text is not a valid formula; the message marks the place.

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
    check_one_of("expand", expand, get_args(Expand), error=FormulaError)
    return _parse(text, expand)


@lru_cache(maxsize=256)
def _parse(text: str, expand: Expand) -> ParsedFormula:
    if "%in%" in text:
        at = text.index("%in%")
        raise FormulaError(
            "'%in%' is not read.", source=text, start=at, end=at + 4, advice=hint(text[: at + 4])
        )
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
    refuse_arithmetic(fixed, text)
    random = tuple(
        term
        for bar in bars
        for term in (
            _read_call(bar, text) if isinstance(bar, StructureCall) else _read_bar(bar, text, expand)
        )
    )
    _check_duplicates(random, text)
    fixed_text = join(fixed) or "1"
    return ParsedFormula(
        source=text,
        response=join(left),
        fixed=fixed_text,
        random=random,
        offsets=offsets,
        matrices=_matrices(join(left), fixed_text, random, offsets, text),
        expand=expand,
        slips=tuple(slips(fixed, random=bool(random))),
    )


def _split_right(
    pieces: Sequence[Piece], text: str
) -> tuple[list[Piece], list[list[Piece] | StructureCall], tuple[str, ...]]:
    """Return the fixed part, the random terms and the offsets of the right-hand side."""
    bare = [piece for piece in at_depth_zero(pieces) if piece.text in ("|", "||")]
    if bare:
        refuse_bare_bar(pieces, text)
        return [], [list(pieces)], ()
    fixed: list[Piece] = []
    bars: list[list[Piece] | StructureCall] = []
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
        elif (call := read_structure(piece, text)) is not None:
            _take_out(fixed, pieces, position, position, text)
            bars.append(call)
            position += 1
        else:
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
    """Remove the plus sign before a random term or an offset from the fixed part; raise if another operator joins them.

    Parameters
    ----------
    fixed : list of Piece
        Fixed part so far; changed in place.
    pieces : sequence of Piece
        The right-hand side.
    start, end : int
        First and last piece of the term.
    text : str
    """
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


def _read_bar(pieces: Sequence[Piece], text: str, expand: Expand) -> list[RandomTerm]:
    """Return the random terms of one bar, one for each of its grouping factors."""
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
    refuse_arithmetic(left, text)
    span = (pieces[0].start, pieces[-1].end)
    correlated = bars[0].text == "|"
    effects = join(left)
    together = correlated or expand == "contrasts"
    parts = _effect_formulas(effects, together, text, (left[0].start, left[-1].end))
    return [RandomTerm(effects, group, correlated, parts, span) for group in read_groupings(right, text)]


def _read_call(call: StructureCall, text: str) -> list[RandomTerm]:
    """Return the random terms of a structure written as a call, one for each of its grouping factors."""
    terms = _read_bar(call.pieces, text, "contrasts")
    if not call.places:
        return [replace(term, structure=call.name, correlated=call.name == "us") for term in terms]
    bar = next(p for p in at_depth_zero(call.pieces) if p.text == "|")
    left = call.pieces[: call.pieces.index(bar)]
    effects, places, by_level = places_of(left, call.name, text)
    parts = _effect_formulas(effects, True, text, (left[0].start, left[-1].end))
    return [
        replace(term, structure=call.name, correlated=False, parts=parts, places=places, by_level=by_level)
        for term in terms
    ]


def _effect_formulas(effects: str, together: bool, text: str, span: tuple[int, int]) -> tuple[Any, ...]:
    """Return one formula, or one for each effect: ``(x || g)`` means ``(1 | g) + (0 + x | g)``, as in lme4.

    Apart, every level of a factor has its own variance.
    """
    try:
        whole = in_order_of_appearance(Formula(readable(effects)), readable(effects))
        terms = list(whole)
        if not terms:
            raise FormulaError("this random term is empty.", source=text, start=span[0], end=span[1])
        return (whole,) if together else tuple(Formula([term]) for term in terms)
    except (FormulaicError, SyntaxError, TypeError, AttributeError) as error:
        raise FormulaError(
            f"the left side of this bar cannot be read: {first_line(error)}",
            source=text,
            start=span[0],
            end=span[1],
            advice=hint(effects),
        ) from None


def _check_duplicates(terms: Sequence[RandomTerm], text: str) -> None:
    seen: dict[tuple[str, str, str], RandomTerm] = {}
    for term in terms:
        for part in term.parts:
            for effect in part:
                kind = term.structure if NAMES[term.structure or "us"].coordinates else "effect"
                key = (":".join(sorted(term.group.columns)), str(effect), kind)
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
    """Return `ParsedFormula.matrices`: one structured formula with all parts to evaluate."""
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
    """Return the key in `ParsedFormula.matrices` of the effects of a random term."""
    return "Z:" + " + ".join(str(term) for term in part)
