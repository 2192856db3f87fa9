"""Names of coefficients and terms: the factors of an interaction, the variable in the call that codes it."""

from __future__ import annotations

import re

from .format import without_quotes

__all__ = ["factors_of", "plain_name", "same_effect"]

_CODING = re.compile(r"(?<![\w.])C\(")


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


def plain_name(name: str) -> str:
    """Return a name with the variable in place of the call that makes a factor of it, and without quotes.

    Examples
    --------
    >>> plain_name("C(prime, contr.sum)1:log(x)"), plain_name("C(nitro)"), plain_name("C(`my f`)")
    ('prime 1:log(x)', 'nitro', 'my f')
    """
    found = _CODING.search(name)
    while found:
        first, end = _arguments(name, found.end())
        level = " " if end < len(name) and name[end] not in ":)],|+- " else ""
        name = f"{name[: found.start()]}{first}{level}{name[end:]}"
        found = _CODING.search(name, found.start())
    return without_quotes(name)


def _arguments(text: str, start: int) -> tuple[str, int]:
    """Return the first argument of a call whose arguments begin at a place, and the place after the call."""
    depth, quote, comma, at = 1, "", -1, start
    while at < len(text) and depth:
        letter = text[at]
        if quote or letter in "'\"`":
            quote = "" if letter == quote else quote or letter
        else:
            depth += (letter in "([{") - (letter in ")]}")
            comma = at if letter == "," and depth == 1 and comma < 0 else comma
        at += 1
    end = at - 1 if depth == 0 else at
    return text[start : end if comma < 0 else comma].strip(), at
