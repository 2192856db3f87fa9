"""R's order of the factors of an interaction: that in which they first stand in the formula."""

from __future__ import annotations

from typing import Any

from formulaic import Formula
from formulaic.parser.types import Term

from .r_syntax import readable
from .tokens import pieces_of

__all__ = ["in_order_of_appearance", "is_reordered"]


def in_order_of_appearance(formula: Any, text: str) -> Any:
    """Return a right-hand side with the factors of each term in the order of their first mention in its text.

    R writes ``tos + trt + trt:tos`` as ``tos``, ``trtY``, ``tos:trtY``.

    Examples
    --------
    >>> from formulaic import Formula
    >>> text = "tos + trt + trt:tos"
    >>> [str(term) for term in in_order_of_appearance(Formula(text), text)]
    ['1', 'tos', 'trt', 'tos:trt']
    """
    if all(len(term.factors) < 2 for term in formula):
        return formula
    place = _places(text)
    return Formula(
        [Term(sorted(term.factors, key=lambda f: place.get(f.expr, len(place)))) for term in formula]
    )


def is_reordered(text: str, formula: Any) -> bool:
    """Return whether some term of a parsed right-hand side has its factors in another order than in its text."""
    return [str(term) for term in Formula(readable(text))] != [str(term) for term in formula]


def _places(text: str) -> dict[str, int]:
    """Return the rank of the first mention of every column and call, as formulaic writes it."""
    out: dict[str, int] = {}
    for piece in pieces_of(text):
        if piece.kind not in ("name", "python"):
            continue
        written = f"`{piece.text}`" if piece.kind == "name" else piece.text
        for term in Formula(f"0 + {written}"):
            for factor in term.factors:
                out.setdefault(factor.expr, len(out))
    return out
