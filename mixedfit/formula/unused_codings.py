"""Codings of factors that ``||`` does not use."""

from __future__ import annotations

import re

from mixedfit.core.format import join_words

from .parse import ParsedFormula

__all__ = ["unused_codings"]

_CODED = re.compile(r"(?<![\w.])C\(\s*(?P<factor>[^(),]+?)\s*,\s*(?P<coding>(?:contr\.)?[^(),\s]+)")

_CALL = re.compile(_CODED.pattern + r"\s*(?:\([^()]*\))?[^()]*\)")
"""The whole call that codes a factor."""


def unused_codings(parsed: ParsedFormula) -> list[str]:
    """Return a warning for each random term with ``||`` whose factors have a coding that it does not use.

    ``(C(f, contr.sum) || g)`` has an effect of each level of f, as ``(f || g)`` in lme4; codings count with
    ``expand="contrasts"`` only.
    """
    out = []
    for term in parsed.random:
        if term.correlated or term.structure or parsed.expand == "contrasts":
            continue
        found = [(one["factor"], one["coding"]) for one in _CODED.finditer(term.effects)]
        if found:
            factors = join_words(list(dict.fromkeys(factor for factor, _ in found)))
            codings = list(dict.fromkeys(coding for _, coding in found))
            plain = _CALL.sub(lambda one: one["factor"], term.effects)
            out.append(
                f"{term}: || makes an effect of every level of {factors}, each with its own variance, whatever the "
                f"coding; {join_words(codings)} {'is' if len(codings) == 1 else 'are'} not used. For uncorrelated "
                "effects of the contrasts give mixedfit.lmm(..., expand='contrasts'), as afex does; for the effects of "
                f"the levels write ({plain} || {term.group.name})."
            )
    return list(dict.fromkeys(out))
