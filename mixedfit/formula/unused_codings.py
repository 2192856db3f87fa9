"""Codings of factors that ``||`` does not use."""

from __future__ import annotations

import re

from .parse import ParsedFormula

__all__ = ["unused_codings"]

_CODED = re.compile(r"(?<![\w.])C\(\s*(?P<factor>[^(),]+?)\s*,\s*(?P<coding>(?:contr\.)?[^(),\s]+)")


def unused_codings(parsed: ParsedFormula) -> list[str]:
    """Return a warning for each random term with ``||`` whose factors have a coding that it does not use.

    ``(C(f, contr.sum) || g)`` has an effect of each level of f, as ``(f || g)`` in lme4; codings count with
    ``expand="contrasts"`` only.
    """
    out = []
    for term in parsed.random:
        if term.correlated or term.structure or parsed.expand == "contrasts":
            continue
        found = _CODED.search(term.effects)
        if found:
            factor, coding = found["factor"], found["coding"]
            out.append(
                f"{term}: || makes an effect of every level of {factor}, each with its own variance, whatever the "
                f"coding; {coding} is not used. For uncorrelated effects of the contrasts give mixedfit.lmm(..., "
                "expand='contrasts'), as afex does; for the effects of the levels write "
                f"({factor} || {term.group.name})."
            )
    return list(dict.fromkeys(out))
