"""Covariance structures in formulas: ``cs(1 + x | g)``, ``ar1(0 + time | g)``, as in glmmTMB and lme4 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mixedfit.core.errors import FormulaError, nearest

from .tokens import Piece, at_depth_zero, join, pieces_of, plain_name, strip_brackets

__all__ = ["NAMES", "StructureCall", "places_of", "read_structure"]


@dataclass(frozen=True, slots=True)
class _Name:
    """What a name of a structure means in a formula: coordinates of its places, and its twin with ``hom=``."""

    coordinates: int
    homogeneous: bool
    twin: str = ""


ANY = 99
"""Coordinates of structures in space: as many as there are."""

NAMES: dict[str, _Name] = {
    "us": _Name(0, False),
    "diag": _Name(0, False, "homdiag"),
    "homdiag": _Name(0, True, "diag"),
    "cs": _Name(0, False, "homcs"),
    "homcs": _Name(0, True, "cs"),
    "ar1": _Name(1, True, "hetar1"),
    "hetar1": _Name(1, False, "ar1"),
    "toep": _Name(1, False, "homtoep"),
    "homtoep": _Name(1, True, "toep"),
    "ou": _Name(1, True),
    "exp": _Name(ANY, True),
    "gau": _Name(ANY, True),
    "mat": _Name(ANY, True),
}
"""Names of structures. Those of places have one column of times, or any number of coordinates."""

_CALL = re.compile(r"([^\W\d][\w.]*)\s*\((.*)\)\s*", re.DOTALL)

_HOM = re.compile(r"\s*hom\s*=\s*(TRUE|FALSE|True|False|T|F)\s*")

_LEVELS = re.compile(r"(?:factor|as\.factor|C)\(\s*(`[^`]*`|[^\W\d][\w.]*)\s*\)")

_COORDINATES = re.compile(r"numFactor\(\s*(.*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StructureCall:
    """A random term that is written as a call.

    Attributes
    ----------
    name : str
        The structure, ``hom=`` taken into account.
    pieces : list of Piece
        What stands in the brackets, without ``hom=``.
    places : bool
        Whether the effects are levels at places (times, coordinates).
    """

    name: str
    pieces: list[Piece]
    places: bool


def read_structure(piece: Piece, text: str) -> StructureCall | None:
    """Return the random term in a call, or None if there is no bar in it.

    Raises
    ------
    FormulaError
        If the structure is not known, or ``hom=`` has no meaning for it.
    """
    found = _CALL.fullmatch(text[piece.start : piece.end]) if piece.kind == "python" else None
    if found is None or "|" not in found.group(2):
        return None
    shift = piece.start + found.start(2)
    pieces = [replace(p, start=p.start + shift, end=p.end + shift) for p in pieces_of(found.group(2))]
    if not any(p.text in ("|", "||") for p in at_depth_zero(pieces)):
        return None
    name = found.group(1)
    if name not in NAMES:
        raise FormulaError(
            f"the covariance structure '{name}( … | … )' is not known.",
            source=text,
            start=piece.start,
            end=piece.end,
            advice=f"{nearest(name, NAMES)} Structures: {', '.join(NAMES)}; (effects | group) is unstructured and "
            "(effects || group) diagonal.".strip(),
        )
    pieces, name = _without_hom(pieces, name, text)
    if any(p.text == "||" for p in at_depth_zero(pieces)):
        raise FormulaError(
            f"{name}(…) has one bar '|': the structure says what the covariances are.",
            source=text,
            start=piece.start,
            end=piece.end,
        )
    return StructureCall(name, pieces, NAMES[name].coordinates > 0)


def _without_hom(pieces: list[Piece], name: str, text: str) -> tuple[list[Piece], str]:
    """Return the pieces before a comma, and the name of the structure with the option after it."""
    commas = [p for p in at_depth_zero(pieces) if p.text == ","]
    if not commas:
        return pieces, name
    cut = pieces.index(commas[0])
    start, end = commas[0].end, pieces[-1].end
    option = _HOM.fullmatch(text[start:end])
    known = NAMES[name]
    if option is None or not known.twin:
        raise FormulaError(
            f"'{text[start:end].strip()}' is not an option of {name}(…)."
            + (" Its option is hom=True or hom=False." if known.twin else " It has none."),
            source=text,
            start=start,
            end=end,
        )
    homogeneous = option.group(1).startswith("T")
    return pieces[:cut], name if known.homogeneous == homogeneous else known.twin


def places_of(left: Sequence[Piece], name: str, text: str) -> tuple[str, tuple[str, ...], bool]:
    """Return what stands left of the bar of a structure of places.

    ``0 + t``, ``t + 0``, ``t - 1`` and ``t`` name a column with the times; ``0 + x + y`` and ``0 + numFactor(x, y)``
    columns of coordinates; ``0 + factor(t)`` levels of which only the order counts.

    Returns
    -------
    effects : str
        The part of the formula whose columns are the effects.
    columns : tuple of str
    by_level : bool
        Whether only the order of the levels counts.

    Raises
    ------
    FormulaError
        If it is something else.
    """
    pieces = strip_brackets(list(left))
    written = re.sub(r"^\s*(?:0|-\s*1)\s*\+\s*|\s*(?:\+\s*0|-\s*1)\s*$", "", join(pieces))
    levels, inside = _LEVELS.fullmatch(written), _COORDINATES.fullmatch(written)
    names = [part.strip() for part in re.split(r"[,]" if inside else r"\+", inside[1] if inside else written)]
    if levels:
        names = [levels.group(1)]
    most = NAMES[name].coordinates
    if len(names) > most or any(not (plain_name.fullmatch(n) or re.fullmatch(r"`[^`]*`", n)) for n in names):
        raise FormulaError(
            f"the covariance structure '{name}(… | …)' needs {'one column of times' if most == 1 else 'coordinates'} "
            "left of its bar.",
            source=text,
            start=left[0].start,
            end=left[-1].end,
            advice=f"Write {name}(0 + time | group)"
            + (f" or {name}(0 + x + y | group)." if most > 1 else ".")
            + " A random intercept or slope is a term of its own: + (1 | group).",
        )
    effects = f"0 + C({names[0]})" if len(names) == 1 else f"0 + numFactor({', '.join(names)})"
    return effects, tuple(n.strip("`") for n in names), levels is not None
