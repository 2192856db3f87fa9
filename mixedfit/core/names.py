"""Names of coefficients and terms: the factors of an interaction, the variable in the call that codes it."""

from __future__ import annotations

import re
from itertools import pairwise

from .format import without_quotes

__all__ = ["factors_of", "name_pattern", "plain_name", "same_effect", "without_blanks"]

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


def name_pattern(name: str) -> str:
    """Return a regular expression for a name with any or no blanks around its signs.

    Examples
    --------
    >>> [bool(re.fullmatch(name_pattern("I(day - 22)"), text)) for text in ("I(day-22)", "I( day -22 )", "I(da y-22)")]
    [True, True, False]
    """
    parts = re.findall(r"\w+|[^\w\s]", name)
    words = [re.escape(part) for part in parts]
    gaps = [r"\s+" if a[-1].isalnum() and b[0].isalnum() else r"\s*" for a, b in pairwise(parts)]
    return "".join(word + gap for word, gap in zip(words, [*gaps, ""], strict=True))


def without_blanks(name: str) -> str:
    """Return a name without the blanks around its signs.

    Examples
    --------
    >>> without_blanks(" I(day - 22) "), without_blanks("a b - c")
    ('I(day-22)', 'a b-c')
    """
    return re.sub(r"\s*([^\w\s])\s*", r"\1", name).strip()


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
