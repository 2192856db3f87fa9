"""R syntax in formulas: translated where unambiguous, else refused with a hint."""

from __future__ import annotations

import keyword
import re
from dataclasses import replace

from mixedfit.core.errors import FormulaError

from .tokens import Piece, join, pieces_of, plain_name

__all__ = ["as_call", "hint", "readable", "refuse_bar_in_call", "refuse_bare_bar", "unquoted"]

_IDIOMS = (
    (r"\bcbind\s*\(", "A model has one response: fit the columns of cbind(...) one by one."),
    (r"\braw\s*=\s*(TRUE|T)\b", "Python writes raw=True."),
    (r"\b(TRUE|FALSE)\b", "Python writes True and False."),
    (r"\bns\s*\(", "For a natural cubic spline of 3 columns write cr(x, df=3)."),
    (r"\b(s|rcs)\s*\(", "For a spline write bs(x, df=5), or cr(x, df=3) for a natural cubic one."),
    (
        r"\bifelse\s*\(",
        "Write a comparison, I(x > 2), or add the column to the data: data['z'] = np.where(...).",
    ),
    (r"\bcut\s*\(", "Add the column to the data first: data['z'] = pd.cut(data['x'], 3)."),
    (
        r"\brelevel\s*\(",
        'To choose the reference level write C(x, contr.treatment(base="level")), or order the categories in the data.',
    ),
    (r"\bdummy\s*\(", "For the indicator of a level write I(f == 'level')."),
    (r"[^(\w]\([^()]*[^-<>=!]([<>]=?|[=!]=)[^()]*\)", "Write a comparison in I(...): I(x > 0)."),
    (r"\binteraction\s*\(", "Write a:b for the interaction of two columns."),
    (r"\w\(.*Q\(", "This call cannot take Q(...): give the column another name in the data."),
    (r"%in%", "R's a %in% b is a:b here."),
    (r"\bordered\s*\(", "For polynomial contrasts write C(x, contr.poly)."),
    (r"\bas\.(numeric|integer)\s*\(", "Convert the column in the data first: data['x'].astype(float)."),
    (r"(?<![\w.)])c\s*\(", "Python writes a list as [1, 2]."),
    (r"(?<![\w.)])\.(?![\w.])", "'.' is not read: name the predictors."),
)
"""R idiom (a regular expression) and what to write instead."""

_PYTHON = frozenset({"and", "or", "not", "in", "is", "if", "else", "for", "True", "False", "None"})
"""Keywords that mean something inside a call."""

_REWRITTEN = frozenset({"factor", *keyword.kwlist})
"""Words without which no call is rewritten."""

_WORD = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|(?<![\w.])[^\W\d][\w.]*""")

_QUOTED = re.compile(rf"Q\('((?:\w+\.)*(?:{'|'.join(keyword.kwlist)})(?:\.\w+)*)'\)")


def hint(text: str) -> str:
    """Return a hint for R idioms and Python keywords in a text, or an empty string."""
    for pattern, advice in _IDIOMS:
        if re.search(pattern, text):
            return advice
    inside = re.findall(r"(?<=[(,+*/^ -])[^\W\d]\w*(?=[^()]*\))", text)
    words = [word for word in inside if keyword.iskeyword(word) and word not in _PYTHON]
    return f"{words[0]!r} is a word of Python; if it is a column, write Q('{words[0]}')." if words else ""


def readable(text: str) -> str:
    """Return a formula's text as formulaic reads it: in calls, factor as C and columns named by keywords in Q.

    Examples
    --------
    >>> readable("log(yield) + factor(x)")
    "log(Q('yield')) + C(x)"
    """
    if _REWRITTEN.isdisjoint(re.findall(r"\w+", text)):
        return text
    pieces = pieces_of(text)
    calls = [replace(p, text=_python(p.text)) if p.kind == "python" else p for p in pieces]
    return text if calls == pieces else join(calls)


def _python(call: str) -> str:
    def one(found: re.Match[str]) -> str:
        word, rest = found.group(), call[found.end() :].lstrip()
        if rest.startswith("("):
            return "C" if word in ("factor", "as.factor") else word
        function = word == "lambda" and re.match(r"[\w:]", rest)
        odd = any(map(keyword.iskeyword, word.split("."))) and word not in _PYTHON
        return f"Q('{word}')" if odd and not function and not re.match(r"=(?!=)", rest) else word

    return _WORD.sub(one, call)


def unquoted(text: str) -> str:
    """Return a call's text with the columns that `readable` put in quotes as they were written."""
    return text if text.startswith("Q(") else _QUOTED.sub(r"\1", text)


def as_call(expression: str) -> str:
    """Protect arithmetic on the left side, such as ``1000 / rt``, from the formula's own operators."""
    plain = (
        plain_name.fullmatch(expression)
        or expression.startswith("`")
        or re.fullmatch(r"\w+\(.*\)", expression)
    )
    return expression if plain else f"I({expression.replace(' ^ ', ' ** ')})"


def refuse_bar_in_call(piece: Piece, text: str) -> None:
    """Refuse covariance structures written as calls, such as ``ar1(Days | Subject)``."""
    found = re.match(r"(\w+)\((.*)\|", piece.text) if piece.kind == "python" else None
    if found:
        raise FormulaError(
            f"the covariance structure '{found.group(1)}( … | … )' is not known.",
            source=text,
            start=piece.start,
            end=piece.end,
            advice="Random terms are (effects | group) for an unstructured and (effects || group) for a "
            "diagonal covariance.",
        )


def refuse_bare_bar(bar: Piece, start: int, text: str) -> None:
    """Refuse a bar outside brackets that takes in more than ``1``: fixed effects were meant, and would be lost.

    Parameters
    ----------
    bar : Piece
        The first bar of the right-hand side outside brackets.
    start : int
        Where the right-hand side starts in the text.
    text : str
    """
    effects, group = text[start : bar.start].strip(), text[bar.end :].strip()
    if effects in ("1", "0 + 1"):
        return
    fixed, _, last = effects.rpartition("+")
    fixed, last = fixed.strip(), last.strip()
    if fixed in ("", "0", "1", "-1") or "(" in last or "|" in group:
        fixed, last = effects, "…" if "|" in effects or "(" in effects else effects
    raise FormulaError(
        "a random term stands in brackets; without them its bar takes in everything since '~'.",
        source=text,
        start=bar.start,
        end=bar.end,
        advice=f"Write '{text[:start].strip()} {fixed} + ({last} {bar.text} {group})'.",
    )
