"""Residual structures as text: ``us(AVISIT | USUBJID)``, ``AR1(week, id) * VarIdent(arm)``.

A product of calls whose arguments are names of columns, quoted text, numbers, True or False. Names of nlme, mmrm and
SAS are known, and their ways to name columns: ``(time | group)`` and ``form = ~ time | group``. Text is read, not run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from mixedfit.core.errors import FormulaError, ModelError, nearest

from .antedependence import AnteDependence
from .ar1 import AR1
from .arma import ARMA
from .car1 import CAR1
from .compound_symmetry import CompoundSymmetry
from .names import HETEROGENEOUS, OTHER_NAMES
from .spatial import Exponential, Gaussian, Linear, Matern, RationalQuadratic, Spherical
from .structure import ResidualStructure
from .toeplitz import Toeplitz
from .unstructured import Unstructured
from .variances import VarConstPower, VarExp, VarFixed, VarIdent, VarPower

__all__ = ["check_text", "read_residual"]

_STRUCTURES: dict[str, Any] = {
    own.__name__: own
    for own in (
        AR1,
        ARMA,
        CAR1,
        AnteDependence,
        CompoundSymmetry,
        Exponential,
        Gaussian,
        Linear,
        Matern,
        RationalQuadratic,
        Spherical,
        Toeplitz,
        Unstructured,
        VarConstPower,
        VarExp,
        VarFixed,
        VarIdent,
        VarPower,
    )
}

_TOKEN = re.compile(
    r"(?P<name>`[^`]+`|[^\W\d][\w.]*)|(?P<number>\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<sign>[*(),=|~:+/-])"
)

_CONSTANTS = {"True": True, "TRUE": True, "False": False, "FALSE": False, "None": None, "NULL": None}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Bar:
    """Columns left and right of a bar, as in ``time | group``."""

    places: tuple[str, ...]
    group: str | None


def read_residual(text: str) -> ResidualStructure:
    """Return the residual structure that a text describes; nothing in it is evaluated.

    Parameters
    ----------
    text : str
        Such as ``"AR1(week, id) * VarIdent(arm)"``, ``"us(AVISIT | USUBJID)"`` or ``"corAR1(form = ~ week | id)"``.

    Raises
    ------
    FormulaError
        If the text is not a product of known structures, with its place.
    ModelError
        If an argument of a structure is not valid.

    Examples
    --------
    >>> print(read_residual("AR1(week, id) * VarIdent(arm)"))
    AR1(time='week', group='id') * VarIdent(by='arm')
    >>> print(read_residual("csh(visit | id)"))
    CompoundSymmetry(group='id') * VarIdent(by='visit')
    """
    return _Reader(text).product()


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._tokens()
        self.at = 0

    def _tokens(self) -> list[_Token]:
        out, at = [], 0
        while at < len(self.text):
            if self.text[at].isspace():
                at += 1
                continue
            found = _TOKEN.match(self.text, at)
            if found is None:
                self._refuse(f"{self.text[at]!r} has no meaning in a residual structure", at, at + 1)
            out.append(_Token(str(found.lastgroup), found.group(), at, found.end()))
            at = found.end()
        return [*out, _Token("end", "", at, at + 1)]

    def _refuse(self, message: str, start: int, end: int, advice: str = "") -> NoReturn:
        advice = (
            advice or 'A structure is written as AR1(time, group) * VarIdent(arm), or as "us(visit | group)".'
        )
        raise FormulaError(f"residual: {message}.", source=self.text, start=start, end=end, advice=advice)

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def _take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def _passes(self, sign: str) -> bool:
        """Go past a sign if it is next, and return whether it was."""
        found = self.next.kind == "sign" and self.next.text == sign
        self.at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._passes(sign):
            here = self.next
            what = f"found {here.text!r}" if here.text else "the text ends"
            self._refuse(f"expected {sign!r}; {what}", here.start, here.end)

    def product(self) -> ResidualStructure:
        """Return the product of all calls."""
        out = self._call()
        while self._passes("*"):
            out = out * self._call()
        here = self.next
        if here.kind != "end":
            advice = (
                "A correlation and variances are multiplied: put * between them." if here.text == "+" else ""
            )
            self._refuse(f"{here.text!r} is not expected here", here.start, here.end, advice)
        return out

    def _call(self) -> ResidualStructure:
        name = self._take()
        if name.kind != "name":
            what = f"found {name.text!r}" if name.text else "the text ends"
            self._refuse(f"expected the name of a structure; {what}", name.start, name.end)
        made, key = self._structure(name), name.text.lower()
        self._expect("(")
        values, keywords = self._arguments(made, name)
        given = self._named(made, values, keywords, name)
        places = given.pop("_places", ())
        if key == "corsymm":
            given.setdefault("homogeneous", True)
        own: ResidualStructure = made(**given)
        if key not in HETEROGENEOUS:
            return own
        visit = next(iter(places or getattr(own, "place", ())), None)
        if visit is None:
            self._refuse(
                f"{name.text} has an SD for each visit and needs its column", name.start, name.end,
                f"Write {name.text}(visit | group).",
            )  # fmt: skip
        by = given.get("by")
        return own * VarIdent(visit if by is None else f"{by}:{visit}")

    def _structure(self, name: _Token) -> Any:
        key = name.text.lower()
        ours = {own.lower(): own for own in _STRUCTURES}
        found = ours.get(key) or OTHER_NAMES.get(key)
        if found is not None:
            return _STRUCTURES[found]
        if key == "known":
            advice = "A known covariance is a matrix: give mf.residuals.Known(V, row) in Python."
        elif key == "varcomb":
            advice = "Write the product of the variance functions, such as VarIdent(arm) * VarPower(x)."
        else:
            begins = [own for own in _STRUCTURES if len(key) > 2 and own.lower().startswith(key)]
            near = f"Did you mean {begins[0]!r}?" if len(begins) == 1 else nearest(name.text, _STRUCTURES)
            near = near or nearest(key, OTHER_NAMES)
            advice = f"{near} Structures: {', '.join(_STRUCTURES)}.".lstrip()
        self._refuse(f"there is no structure {name.text!r}", name.start, name.end, advice)

    def _arguments(self, made: Any, name: _Token) -> tuple[list[Any], dict[str, Any]]:
        """Return the values in the brackets of a call, and those with keywords."""
        values: list[Any] = []
        keywords: dict[str, Any] = {}
        known = [field.name for field in fields(made)]
        while not self._passes(")"):
            word, after = self.next, self.tokens[min(self.at + 1, len(self.tokens) - 1)]
            if word.kind == "name" and after.text == "=":
                self.at += 2
                if word.text not in (*known, "form") or word.text in keywords:
                    why = "is given twice" if word.text in keywords else f"is not an argument of {name.text}"
                    advice = f"{nearest(word.text, known)} It takes {', '.join(known)}.".lstrip()
                    self._refuse(f"{word.text!r} {why}", word.start, word.end, advice)
                keywords[word.text] = self._value()
            elif word.text == "|" and values:
                self.at += 1
                values = [_Bar(self._places(values, word), self._group())]
            else:
                values.append(self._value())
            here = self.next
            if here.text == "+" and values[-1:] == [0]:
                self._refuse("'0 +' is not needed", here.start, here.end, "Write (time | group).")
            if here.text not in (")", "|"):
                self._expect(",")
        return values, keywords

    def _places(self, values: Sequence[Any], bar: _Token) -> tuple[str, ...]:
        """Return the columns left of a bar; ``1`` stands for none."""
        if any(not isinstance(value, str) and value != 1 for value in values):
            self._refuse("left of '|' stand names of columns", bar.start, bar.end)
        return tuple(value for value in values if isinstance(value, str))

    def _group(self) -> str | None:
        group = self._name()
        if self.next.text == "/":
            self._refuse(
                "'/' in a group has two meanings", self.next.start, self.next.end,
                'For labels that repeat within a larger group write (time | a:b); for a matrix of each arm '
                "give by=arm.",
            )  # fmt: skip
        return group

    def _value(self) -> Any:
        """Return text, a number, a constant, columns in brackets, or the columns of a formula ``~ time | group``."""
        if self._passes("~"):
            places = [self._value()]
            while self._passes("+"):
                places.append(self._value())
            bar = self.next
            return _Bar(self._places(places, bar), self._group() if self._passes("|") else None)
        if self._passes("("):
            parts = [self._value()]
            while self._passes(","):
                if self.next.text != ")":
                    parts.append(self._value())
            self._expect(")")
            return tuple(parts)
        here = self.next
        if here.kind == "number" or (here.text == "-" and self.tokens[self.at + 1].kind == "number"):
            sign = -1 if self._passes("-") else 1
            number = self._take().text
            return sign * (int(number) if number.isdigit() else float(number))
        if here.text in _CONSTANTS:
            return _CONSTANTS[self._take().text]
        return self._name()

    def _name(self) -> str:
        """Return the name of a column, or of several as ``a:b``."""
        word = self._take()
        if word.kind not in ("name", "text"):
            what = f"found {word.text!r}" if word.text else "the text ends"
            self._refuse(f"expected the name of a column; {what}", word.start, word.end)
        if self.next.text == "(":
            self._refuse(
                f"{word.text!r} is called as a function, and text is not run", word.start, word.end,
                "Name columns of the data; compute new columns before.",
            )  # fmt: skip
        out = word.text.strip("`") if word.kind == "name" else word.text[1:-1]
        return f"{out}:{self._name()}" if self._passes(":") else out

    def _named(self, made: Any, values: list[Any], keywords: dict[str, Any], name: _Token) -> dict[str, Any]:
        """Return the arguments of a structure by name, those of a bar and of ``form=`` among them."""
        if isinstance(keywords.get("form"), _Bar):
            values = [keywords.pop("form"), *values]
        elif "form" in keywords:
            self._refuse("form is a formula", name.start, name.end, "Write form = ~ time | group.")
        given: dict[str, Any] = {}
        if values and isinstance(values[0], _Bar):
            given = self._of_bar(made, values.pop(0), name)
        free = [field.name for field in fields(made) if field.name not in given]
        if (given and values) or len(values) > len(free):
            takes = ", ".join(field.name for field in fields(made))
            self._refuse(f"{name.text} has too many arguments", name.start, name.end, f"It takes {takes}.")
        for own, value in (*zip(free, values, strict=False), *keywords.items()):
            if own in given:
                self._refuse(f"{own!r} is given twice", name.start, name.end)
            given[own] = value
        return given

    def _of_bar(self, made: Any, bar: _Bar, name: _Token) -> dict[str, Any]:
        """Return the arguments that ``places | group`` stands for."""
        known, places = [field.name for field in fields(made)], bar.places
        if "coordinates" in known:
            return {"coordinates": places[0] if len(places) == 1 else places, "group": bar.group}
        if len(places) > 1:
            self._refuse(f"{name.text} takes one column left of '|'", name.start, name.end)
        if made is VarIdent:
            levels = [column for column in (bar.group, *places) if column]
            return {"by": ":".join(levels)}
        if "of" in known:
            return {"of": next(iter(places), ""), **({"by": bar.group} if bar.group else {})}
        own = next((argument for argument in ("time", "visit") if argument in known), None)
        if own is None:
            return {"group": bar.group, "_places": places}
        return {"group": bar.group, **({own: places[0]} if places else {})}


def check_text(residual: object) -> object:
    """Return a residual structure for text, and other values as they are."""
    if not isinstance(residual, str):
        return residual
    if not residual.strip():
        raise ModelError('residual is empty text; expected a structure such as "AR1(time, group)".')
    return read_residual(residual)
