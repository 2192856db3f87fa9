"""Names of coefficients: the factors of an interaction."""

from __future__ import annotations

__all__ = ["factors_of", "same_effect"]


def factors_of(name: str) -> list[str]:
    """Return the parts of a name between colons outside brackets.

    Examples
    --------
    >>> factors_of("tos:trtY"), factors_of("I(x == 'a:b')")
    (['tos', 'trtY'], ["I(x == 'a:b')"])
    """
    parts, depth = [""], 0
    for character in name:
        depth += (character in "([") - (character in ")]")
        if character == ":" and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def same_effect(name: str) -> tuple[str, ...]:
    """Return what the names of an interaction have in common, whatever the order of its factors.

    Examples
    --------
    >>> same_effect("trtY:tos") == same_effect("tos:trtY")
    True
    """
    return tuple(sorted(factors_of(name)))
