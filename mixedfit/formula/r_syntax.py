"""R syntax in formulas: translated if unambiguous, otherwise an error with a hint."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import replace

from mixedfit.core.errors import FormulaError

from .tokens import Piece, at_depth_zero, join, pieces_of, plain_name, strip_brackets

__all__ = ["as_call", "hint", "readable", "refuse_bare_bar", "unquoted"]

_IDIOMS = (
    (r"\bcbind\s*\(", "A model has one response: fit the columns of cbind(...) one by one."),
    (r"\braw\s*=\s*(TRUE|T)\b", "Python writes raw=True."),
    (r"\b(TRUE|FALSE)\b", "Python writes True and False."),
    (
        r"\brcs\s*\(",
        "rcs(x, 4) is ns(x, knots=[b, c], Boundary.knots=[a, d]), where a to d are the 0.05, 0.35, 0.65 and 0.95 "
        "quantiles of x.",
    ),
    (
        r"(?<![\w.])(s|te|ti|t2)\s*\(",
        "A smooth term has a penalty, which makes another model; without it write bs(x, df=5), or ns(x, df=3) for a "
        "natural cubic spline.",
    ),
    (
        r"\bifelse\s*\(",
        "Write a comparison, I(x > 2), or add the column to the data: data['z'] = np.where(...).",
    ),
    (r"\bcut\s*\(", "Add the column to the data first: data['z'] = pd.cut(data['x'], 3)."),
    (
        r"\brelevel\s*\(",
        'To choose the reference level write C(x, contr.treatment(base="level")), or order the categories in the data.',
    ),
    (
        r"\bC\s*\([^()]*,\s*(['\"]contr\.\w+['\"]|(sum|helmert|poly|treatment)\s*\)|contr\.(sum|helmert|poly)\s*\()",
        "Write a coding by its name alone, as in C(f, contr.sum).",
    ),
    (
        r"\bcontr\.treatment\s*\(\s*(base\s*=\s*)?\d+\s*\)",
        'R counts levels; here the reference is named by its label, as in C(f, contr.treatment(base="b")).',
    ),
    (
        r"\bcontr\.(?!(treatment|sum|helmert|poly|diff|SAS)\b)\w+",
        "Codings are contr.treatment, contr.sum, contr.helmert, contr.poly, contr.diff (R's contr.sdif) and contr.SAS.",
    ),
    (r"\bdummy\s*\(", "For the indicator of a level write I(f == 'level')."),
    (r"[^(\w]\([^()]*[^-<>=!]([<>]=?|[=!]=)[^()]*\)", "Write a comparison in I(...): I(x > 0)."),
    (r"^[^()]*~[^()]*(?<![-<>=!~])([<>]=?|[=!]=)", "Write a comparison in I(...): I(x > 0)."),
    (
        r"\bpoly\s*\(\s*[\w.]+\s*,\s*[^\W\d][\w.]*\s*[,)]",
        "poly takes one variable: write poly(x, 2) + poly(z, 2) + x:z, or poly(x, 2) * poly(z, 2).",
    ),
    (r"\binteraction\s*\(", "Write a:b for the interaction of two columns."),
    (r"\w\(.*Q\(", "This call cannot take Q(...): give the column another name in the data."),
    (
        r"\w\([^()]*%in%",
        "Inside a call R's x %in% c('a', 'b') is x.isin(['a', 'b']), as in I(x.isin(['a', 'b'])).",
    ),
    (
        r"\blog\s*\([^()]*,",
        "log takes one number: write log2(x), log10(x), or I(log(x) / log(3)) for another base.",
    ),
    (r"%in%", "R's a %in% b is a:b here."),
    (r"\bordered\s*\(", "For polynomial contrasts write C(x, contr.poly)."),
    (
        r"\bas\.numeric\s*\(",
        "Convert the column in the data first: data['x'].astype(float). (Of a factor R gives the numbers of its "
        "levels: data['x'].cat.codes + 1.)",
    ),
    (r"\bas\.integer\s*\(", "Convert the column in the data first: data['x'].astype(int)."),
    (r"(?<![\w.)])c\s*\(", "Python writes a list as [1, 2]."),
    (r"(?<![\w.)])\.(?![\w.])", "'.' is not read: name the predictors."),
)
"""Regular expressions of R idioms, with the spelling to use instead."""

_PYTHON = frozenset({"and", "or", "not", "in", "is", "if", "else", "for", "True", "False", "None"})
"""Python keywords that are valid inside a call."""

_REWRITTEN = frozenset({"factor", "Boundary", *keyword.kwlist})
"""Words that `readable` translates; a formula without them is unchanged."""

BARS = ("|", "||")

_WORD = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|(?<![\w.])[^\W\d][\w.]*""")

_QUOTED = re.compile(rf"Q\('((?:\w+\.)*(?:{'|'.join(keyword.kwlist)})(?:\.\w+)*)'\)")


def hint(text: str) -> str:
    """Return a hint for the first R idiom or Python keyword in a text, or an empty string."""
    for pattern, advice in _IDIOMS:
        if re.search(pattern, text):
            return advice
    inside = re.findall(r"(?<=[(,+*/^ -])[^\W\d]\w*(?=[^()]*\))", text)
    words = [word for word in inside if keyword.iskeyword(word) and word not in _PYTHON]
    return f"{words[0]!r} is a word of Python; if it is a column, write Q('{words[0]}')." if words else ""


def readable(text: str) -> str:
    """Return the text of a formula for formulaic: in calls, R's names become Python's, and Python keywords are quoted.

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
        if word == "Boundary.knots" and re.match(r"=(?!=)", rest):
            return "Boundary_knots"
        function = word == "lambda" and re.match(r"[\w:]", rest)
        odd = any(map(keyword.iskeyword, word.split("."))) and word not in _PYTHON
        return f"Q('{word}')" if odd and not function and not re.match(r"=(?!=)", rest) else word

    return _WORD.sub(one, call)


def unquoted(text: str) -> str:
    """Return the text of a call without the changes that `readable` made."""
    if text.startswith("Q("):
        return text
    return _QUOTED.sub(r"\1", text.replace("Boundary_knots=", "Boundary.knots="))


def as_call(expression: str) -> str:
    """Return an expression for the response, with ``I(...)`` around arithmetic such as ``1000 / rt``."""
    plain = (
        plain_name.fullmatch(expression)
        or expression.startswith("`")
        or re.fullmatch(r"\w+\(.*\)", expression)
    )
    return expression if plain else f"I({expression.replace(' ^ ', ' ** ')})"


def refuse_bare_bar(pieces: Sequence[Piece], text: str) -> None:
    """Raise `FormulaError` for a bar outside brackets whose left-hand side is more than ``1``.

    In ``x + 1 | g`` the term ``x`` is probably meant as a fixed effect, but it would be a random effect.

    Parameters
    ----------
    pieces : sequence of Piece
        The right-hand side.
    text : str
    """
    bar, start = next(piece for piece in at_depth_zero(pieces) if piece.text in BARS), pieces[0].start
    summands = _summands(pieces)
    if any(summand[i].text in BARS for summand in summands for i in (0, -1)):
        return  # the parser says which side is missing
    alone = not any(
        piece.text in ("+", "-", *BARS) for piece in at_depth_zero(pieces) if piece.start > bar.start
    )
    if text[start : bar.start].strip() in ("1", "0 + 1") and alone:
        return
    raise FormulaError(
        "a random term stands in brackets; without them its bar takes in everything since '~'.",
        source=text,
        start=bar.start,
        end=bar.end,
        advice=f"Write '{text[:start].strip()} {_with_brackets(summands, text)}'.",
    )


def _with_brackets(summands: Sequence[Sequence[Piece]], text: str) -> str:
    """Return a sum whose terms with a bar stand in brackets; what a bar took in stays as a fixed effect too."""
    out: list[str] = []
    for summand in summands:
        written = text[summand[0].start : summand[-1].end]
        bars = [piece for piece in at_depth_zero(summand) if piece.text in BARS]
        if not bars:
            out.append(written)
            continue
        cut = list(summand).index(bars[0])
        left = strip_brackets(list(summand[:cut]))
        effects, right = text[left[0].start : left[-1].end], text[bars[0].end : summand[-1].end].strip()
        if all(term in ("0", "1", "-1") for term in out) and (out or effects != "1"):
            effects = " + ".join([*out, effects])
            out = [effects]
        out.append(f"({effects} {bars[0].text} {right})")
    return " + ".join(out)


def _summands(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the terms between the plus signs outside brackets."""
    outer = {id(piece) for piece in at_depth_zero(pieces) if piece.text == "+"}
    out: list[list[Piece]] = [[]]
    for piece in pieces:
        if id(piece) in outer:
            out.append([])
        else:
            out[-1].append(piece)
    return [summand for summand in out if summand]
