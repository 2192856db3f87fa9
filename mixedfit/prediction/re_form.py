"""The random effects that a prediction includes: "all", "none", or terms as in lme4's re.form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from mixedfit.core.arrays import BoolArray
from mixedfit.core.errors import FormulaError, ModelError, nearest
from mixedfit.design.design import Design
from mixedfit.design.recipe import FixedTerm, usable
from mixedfit.formula.parse import RandomTerm, parse_formula
from mixedfit.formula.r_syntax import unquoted
from mixedfit.formula.tokens import at_depth_zero, check_brackets, pieces_of

__all__ = ["HasDesign", "ReForm", "included_effects"]

ReForm: TypeAlias = str | Sequence[str]
"""``"all"``, ``"none"``, text such as ``"~ (1 | g)"``, the name of a grouping factor, or a list of such."""


class HasDesign(Protocol):
    """A fit, or what predictions need of one."""

    @property
    def design(self) -> Design:
        """The model's design."""


def included_effects(fit: HasDesign, re_form: ReForm) -> tuple[BoolArray, ...]:
    """Return masks of the included effects of every block, shape (k,) each.

    Parameters
    ----------
    fit : Fit or Means
    re_form : str or sequence of str
        "all" (lme4's NULL), "none" (NA, ~0), ``"~ (1 | g)"``, the name of a grouping factor, which stands for all its
        effects, or a list of terms and such names.

    Raises
    ------
    ModelError, FormulaError
        If it cannot be parsed, or names effects that the model does not have.
    """
    blocks = fit.design.blocks
    if isinstance(re_form, str) and re_form.replace(" ", "") in ("all", "none", "~0"):
        return tuple(np.full(block.k, re_form == "all") for block in blocks)
    out = tuple(np.zeros(block.k, dtype=bool) for block in blocks)
    for text in _texts(re_form, [block.name for block in blocks]):
        named = [f for f, block in enumerate(blocks) if block.name == text.strip()]
        if named:
            out[named[0]][:] = True
            continue
        for term in _read(text):
            f = _block_of(fit, term)
            out[f][_columns(fit, f, term)] = True
    return out


def _texts(re_form: Any, factors: Sequence[str]) -> list[str]:
    if isinstance(re_form, str):
        if "|" not in re_form and "~" not in re_form and re_form.strip() not in factors:
            raise ModelError(
                f"re_form={re_form!r} is not known; expected 'all', 'none', terms such as '~ (1 | g)', the name of a "
                f"grouping factor, or a list of these. {nearest(re_form, ['all', 'none', *factors])}".rstrip()
            )
        return [re_form]
    if isinstance(re_form, Sequence) and re_form and all(isinstance(text, str) for text in re_form):
        return list(re_form)
    raise ModelError(
        f"re_form={re_form!r} is not known; expected 'all' (lme4's NULL), 'none' (NA), terms such as '~ (1 | g)', or a "
        "list of terms."
    )


def _read(text: str) -> tuple[RandomTerm, ...]:
    """Return the random terms of a text with or without its tilde."""
    right = text.split("~", 1)[1] if "~" in text else text
    pieces = pieces_of(right)
    check_brackets(pieces, right)
    if any(piece.text in ("|", "||") for piece in at_depth_zero(pieces)):
        right = f"({right})"
    parsed = parse_formula(f"y ~ {right}")
    if not parsed.random:
        raise FormulaError(
            "re_form names no random effects.", source=text, advice="Write '~ (1 | g)', or 'none' for none."
        )
    left = re.sub(r"[\s+01()-]", "", parsed.fixed)
    if left or parsed.offsets:
        raise FormulaError(
            f"re_form may hold random terms only, not {parsed.fixed!r}.",
            source=text,
            advice="Name random terms only; fixed effects are always included.",
        )
    return parsed.random


def _block_of(fit: HasDesign, term: RandomTerm) -> int:
    """Return the block of a term's grouping factor."""
    blocks, recipe = fit.design.blocks, usable(fit.design.recipe)
    for f, group in enumerate(recipe.groups):
        if frozenset(group.columns) == frozenset(term.group.columns):
            return f
    names = [block.name for block in blocks]
    raise ModelError(
        f"re_form names the grouping factor {term.group.name!r}, which the model does not have ("
        f"{', '.join(names) or 'it has none'}). {nearest(term.group.name, names)}".rstrip()
    )


def _columns(fit: HasDesign, f: int, term: RandomTerm) -> list[int]:
    """Return the columns of a term's effects among those of its block."""
    known = {one.name: one for one in usable(fit.design.recipe).effect_terms(f)}
    wanted: list[FixedTerm] = []
    for part in term.parts:
        for effect in part:
            name = "(Intercept)" if effect.degree == 0 else unquoted(":".join(str(x) for x in effect.factors))
            if name not in known:
                raise ModelError(
                    f"re_form has the effect {name!r} of {term.group.name!r}, which the model does not have (it has "
                    f"{', '.join(known)}). {nearest(name, known)}".rstrip()
                )
            wanted.append(known[name])
    names = [one.name for one in wanted]
    for one in wanted:
        contrasts = [label for product in one.products for label, coded in product.labels if coded]
        if contrasts and "(Intercept)" not in names and len(one.factors) == 1:
            raise ModelError(
                f"re_form takes the contrasts of {contrasts[0]!r} by {term.group.name!r} without the intercept that "
                f"they are relative to; write (1 + {one.name} | {term.group.name})."
            )
    return [column for one in wanted for column in one.columns]
