"""Slips in formulas: arithmetic outside of calls, a slash in place of a bar."""

from __future__ import annotations

from collections.abc import Sequence

from mixedfit.core.errors import FormulaError

from .tokens import Piece, join

__all__ = ["refuse_arithmetic", "slips"]


def refuse_arithmetic(pieces: Sequence[Piece], text: str) -> None:
    """Raise `FormulaError` for a number that is no term: `x - 22`, `2 * x`, `x / 10`, `1 / g`.

    Terms are 0 and 1, for the intercept; powers of terms are whole numbers: `(a + b)^2`.
    """
    for at, piece in enumerate(pieces):
        before = pieces[at - 1].text if at else ""
        after = pieces[at + 1].text if at + 1 < len(pieces) else ""
        if piece.kind != "value" or not piece.text[-1].isdigit() or before in ("^", "**"):
            continue
        if piece.text in ("0", "1") and not (piece.text == "1" and after == "/"):
            continue
        shown = "1 / ..." if piece.text == "1" else piece.text
        raise FormulaError(
            f"{shown} is not a term; in a formula + and - add and remove terms, and *, / and : make interactions.",
            source=text,
            start=piece.start,
            end=piece.end,
            advice=_advice(pieces, at),
        )


def _advice(pieces: Sequence[Piece], at: int) -> str:
    """Return what to write in place of a number and the operand beside it."""
    number = pieces[at].text
    if number == "1":
        group = pieces[at + 2].text if at + 2 < len(pieces) else "g"
        return f"A random intercept is written with a bar: (1 | {group})."
    if at >= 2 and pieces[at - 2].kind in ("name", "python") and pieces[at - 1].kind == "operator":
        sign = {":": "*"}.get(pieces[at - 1].text, pieces[at - 1].text)
        return f"For arithmetic write I({join([pieces[at - 2]])} {sign} {number})."
    if at + 2 < len(pieces) and pieces[at + 2].kind in ("name", "python"):
        sign = {":": "*"}.get(pieces[at + 1].text, pieces[at + 1].text)
        return f"For arithmetic write I({number} {sign} {join([pieces[at + 2]])})."
    return "For arithmetic write I(...)."


def slips(pieces: Sequence[Piece], *, random: bool) -> list[str]:
    """Return warnings about a fixed part: a power of one variable, and a slash where a model has no random term."""
    out = []
    for at, piece in enumerate(pieces):
        if piece.text in ("^", "**") and at and pieces[at - 1].kind == "name" and at + 1 < len(pieces):
            name, power = join([pieces[at - 1]]), pieces[at + 1].text
            out.append(
                f"{name}{piece.text}{power} is {name}: powers of a term are its interactions with itself, as in R. For "
                f"the power of the number write I({name}**{power}) or poly({name}, {power})."
            )
        inside = pieces[at : at + 5]
        if not random and [own.text for own in inside[::2]] == ["(", "/", ")"]:
            one, other = join([inside[1]]), join([inside[3]])
            out.append(
                f"({one} / {other}) is {one} + {one}:{other}, fixed effects, and the model has no random effects. A "
                f"random term has a bar: ({one} | {other})."
            )
    return list(dict.fromkeys(out))
