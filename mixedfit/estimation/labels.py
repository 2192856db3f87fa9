"""Names of a fit in words, and texts that the user gives in their place (`labels`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.lazy import lazy
from mixedfit.core.names import factors_of, plain_name
from mixedfit.design.design import Design
from mixedfit.design.recipe import FixedTerm, Recipe

from .parameters import variance_words

__all__ = [
    "FitNames",
    "Named",
    "NamedDesign",
    "by_name",
    "check_labels",
    "effect_names",
    "group_label",
    "label_of",
    "labels_for",
    "level_label",
    "level_text",
    "names_of",
    "readable_names",
    "term_label",
    "text_with_labels",
    "variance_labels",
]

MOST_LEVELS = 1000
"""Factors with more levels have none among the names that labels may stand for."""


# -- the names of a fit ----------------------------------------------------------------------------


class Named(Protocol):
    """What has a design and names of fixed effects: a fit, or the design of a posterior."""

    @property
    def design(self) -> Design:
        """The design."""

    @property
    def formula(self) -> str:
        """The formula as written."""

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """Names of the fixed effects."""


@dataclass(frozen=True, eq=False)
class NamedDesign:
    """The names of a design without a fit.

    Attributes
    ----------
    design : Design
    """

    design: Design

    @property
    def formula(self) -> str:
        """The formula as written."""
        return self.design.formula.source

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """Names of the fixed effects."""
        return self.design.x_names


@dataclass(frozen=True, eq=False)
class FitNames:
    """The names of a fit that labels may stand for; it holds no rows.

    Attributes
    ----------
    response : str
    coefficients : tuple of str
    groups : tuple of (str, tuple of str)
        Grouping factors with their random effects.
    recipe : Recipe or None
    group_levels : tuple of pandas.Index
        Levels of grouping factors that have few.
    """

    response: str
    coefficients: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    recipe: Recipe | None
    group_levels: tuple[pd.Index[Any], ...] = ()

    @property
    def _usable(self) -> Recipe | None:
        return None if self.recipe is None or self.recipe.refusal else self.recipe

    @lazy
    def variables(self) -> tuple[str, ...]:
        """The response, variables of the formula and grouping factors."""
        own = () if self._usable is None else tuple(self._usable.variables)
        parts = [part for name, _ in self.groups for part in (name, *factors_of(name))]
        return tuple(dict.fromkeys([self.response, plain_name(self.response), *own, *parts]))

    @lazy
    def levels(self) -> tuple[str, ...]:
        """Levels of the factors of the formula, grouping factors included, as text."""
        found = list(self.group_levels)
        if self._usable is not None:
            variables = self._usable.variables.values()
            found += [v.levels for v in variables if v.levels is not None]
            for spec in (self._usable.specs or {}).values():
                states = [state for _, state in getattr(spec, "encoder_state", {}).values()]
                found += [pd.Index(state["categories"]) for state in states if "categories" in state]
            found += [pd.Index([False, True])] * any(v.kind == "boolean" for v in variables)
            found += [pd.Index([v.low, v.high]) for v in variables if v.kind == "number" and v.two_valued]
        values = [value for own in found if len(own) <= MOST_LEVELS for value in own]
        return tuple(dict.fromkeys(level_text(value) for value in values))

    @lazy
    def all(self) -> frozenset[str]:
        """All names, as written and in words."""
        names = {"(Intercept)", "Intercept", *self.variables, *self.levels, *self.coefficients}
        names |= {effect for _, effects in self.groups for effect in effects}
        if self._usable is not None:
            names |= {term.name for term in self._usable.terms if term.name}
            names |= set(readable(self._usable.terms, self.coefficients, {}))
        names |= {part for name in list(names) for part in factors_of(name)}
        return frozenset(names | {plain_name(name) for name in names})

    def words(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return coefficients, random effects and terms in words, by their names as written."""
        recipe = self._usable
        out: dict[str, str] = {}
        for at, (_, effects) in enumerate(self.groups):
            terms = () if recipe is None else recipe.effect_terms(at)
            out |= dict(zip(effects, readable(terms, effects, labels), strict=True))
        terms = () if recipe is None else recipe.terms
        own = [term.name for term in terms if term.variables]
        out |= {key: term_label(name, labels) for name in own for key in (plain_name(name), name)}
        out |= dict(zip(self.coefficients, readable(terms, self.coefficients, labels), strict=True))
        return {name: text for name, text in out.items() if name != "(Intercept)"}


def names_of(fit: Named) -> FitNames:
    """Return the names of a fit that labels may stand for."""
    design = fit.design
    return FitNames(
        fit.formula.split("~", 1)[0].strip(),
        tuple(str(name) for name in fit.coefficient_names),
        tuple((block.name, tuple(block.effects)) for block in design.blocks),
        design.recipe,
        tuple(own.grouping.levels for own in design.blocks if own.levels <= MOST_LEVELS),
    )


# -- labels ------------------------------------------------------------------------------------------


def labels_for(fit: Named, labels: Mapping[Any, str] | None) -> dict[str, str]:
    """Return labels by name as text, the variable of a coding call beside the call.

    Raises
    ------
    ModelError
        If a key is not a name of the fit.
    """
    if not labels:
        return {}
    names = names_of(fit)
    check_labels(labels, names.all, names.variables)
    return by_name(labels)


def by_name(labels: Mapping[Any, str] | None) -> dict[str, str]:
    """Return labels by the text of their keys; a name in words stands for the name as written and the reverse."""
    own = {level_text(key): str(text) for key, text in (labels or {}).items()}
    return {**{plain_name(key).replace(" × ", ":"): text for key, text in own.items()}, **own}


def check_labels(labels: Mapping[Any, str], known: Iterable[str], first: Sequence[str] = ()) -> None:
    """Raise `ModelError` if a key of labels is a misspelt name, or if no key is a name.

    One mapping may serve all models of a paper: a key that is like none of the names here belongs to another model.
    `first` of the names are listed in the message.
    """
    names = {*known, *(key.replace(" × ", ":") for key in known)}
    texts = [level_text(key) for key in labels]
    unknown = [text for text in texts if not {text, plain_name(text).replace(" × ", ":")} & names]
    for text in unknown:
        if len(unknown) < len(texts) and not nearest(text, names):
            continue
        listed = list(first) or sorted(names)
        shown = ", ".join(listed[:12]) + ", …" * (len(listed) > 12)
        raise ModelError(
            f"labels has {text!r}, which is not a name of a variable, level, coefficient, term or random effect here "
            f"(names: {shown}). {nearest(text, sorted(names))}".rstrip()
        )


def label_of(name: str, labels: Mapping[str, str] | None) -> str:
    """Return the label of a variable; without one its name, without quotes and the call that codes it.

    Variables in other calls have their labels there.

    Examples
    --------
    >>> label_of("I(day - 22)", {"day": "Age"}), label_of("C(nitro)", {"nitro": "nitrogen"})
    ('I(Age - 22)', 'nitrogen')
    """
    own = labels or {}
    plain = plain_name(name)
    return own.get(name, own.get(plain, _within_calls(plain, own)))


def _within_calls(name: str, labels: Mapping[str, str]) -> str:
    """Return a name such as ``log(x)`` with the labels of its variables; functions and quoted text stay."""
    if not labels or not _CALL.match(name):
        return name
    return _VARIABLE.sub(lambda found: labels.get(found[0], found[0]), name)


_CALL = re.compile(r"\w[\w.]*\(")

_VARIABLE = re.compile(r"""'[^']*'|"[^"]*"|(?<![\w.])[^\W\d]\w*(?![\w.]*\s*(?:\(|=(?!=)))""")
"""Quoted text, or the name of a variable: not of a function or an argument."""


def level_text(value: Any) -> str:
    """Return a level as tables print it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def level_label(value: Any, labels: Mapping[str, str] | None) -> str:
    """Return the label of a level; without one its text."""
    text = level_text(value)
    return (labels or {}).get(text, text)


def term_label(name: str, labels: Mapping[str, str] | None, *, sign: str = " × ") -> str:
    """Return a term or a product of names in words: the labels of its parts."""
    own, parts = labels or {}, factors_of(name)
    whole = own.get(name, own.get(plain_name(name)))
    return sign.join(label_of(part, own) for part in parts) if whole is None else whole


def group_label(name: str, labels: Mapping[str, str] | None) -> str:
    """Return a grouping factor: the labels of its parts, or without labels its name as written, such as ``a:b``."""
    return term_label(name, labels) if labels else name


def text_with_labels(text: str, labels: Mapping[str, str]) -> str:
    """Return a text such as ``low - high`` with labels in place of whole words and levels in it."""
    keys = [re.escape(key) for key in sorted(labels, key=len, reverse=True) if key.strip()]
    if not keys:
        return text
    pattern = rf"(?<![\w.])(?:{'|'.join(keys)})(?![\w]|\.\w)"
    return re.sub(pattern, lambda found: labels[found.group()], text)


# -- coefficients and random effects in words ----------------------------------------------------------


def readable_names(fit: Named, labels: Mapping[str, str] | None = None) -> list[str]:
    """Return names of the fixed effects for pictures and sentences: ``recipe B × temp`` for ``recipeB:temp``.

    A blank stands between a factor and its level, × between the parts of an interaction, and quotes and the calls that
    code factors are left out. `labels` has texts in place of coefficients, parts of interactions, variables and levels.
    """
    recipe = fit.design.recipe
    terms = () if recipe is None or recipe.refusal else recipe.terms
    return readable(terms, [str(name) for name in fit.coefficient_names], labels or {})


def effect_names(fit: Named, block: int, labels: Mapping[str, str] | None = None) -> list[str]:
    """Return names of the random effects of a block as `readable_names` does those of the fixed effects."""
    recipe, effects = fit.design.recipe, fit.design.blocks[block].effects
    terms = () if recipe is None or recipe.refusal else recipe.effect_terms(block)
    return readable(terms, effects, labels or {})


def variance_labels(fit: Named, labels: Mapping[str, str]) -> dict[str, str]:
    """Return standard deviations, correlations and σ in words, by their names (``.sig01``)."""
    names = [
        (group_label(block.name, labels), effect_names(fit, at, labels))
        for at, block in enumerate(fit.design.blocks)
    ]
    return variance_words(fit.design, names)


def readable(terms: Sequence[FixedTerm], names: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Return the names of the columns of some terms in words."""
    out = [_in_words(factors_of(name), [], labels) for name in names]
    for term in terms:
        for column in term.columns:
            if column < len(names):
                out[column] = _in_words(factors_of(names[column]), factors_of(term.name), labels)
    return [
        labels.get(name, labels.get(plain_name(name), words)) for name, words in zip(names, out, strict=True)
    ]


def _in_words(parts: Sequence[str], factors: Sequence[str], labels: Mapping[str, str]) -> str:
    """Return the parts of a coefficient's name, apart from the factors that they begin with."""
    whole = list(factors) if len(factors) == len(parts) else [""] * len(parts)
    words = []
    for part, factor in zip(parts, whole, strict=True):
        level = part.removeprefix(factor) if factor and part.startswith(factor) else ""
        if part in labels or plain_name(part) in labels or not level:
            words.append(label_of(part, labels))
        else:
            own = level if _NUMBERED.search(factor) else level_label(level, labels)
            words.append(f"{label_of(factor, labels)} {own}")
    return " × ".join(words)


_NUMBERED = re.compile(r"^(?!C\()\w[\w.]*\(|^C\(.*,.*(sum|helmert|poly)", re.IGNORECASE)
"""Expressions whose columns have numbers, which are no levels: ``poly(x, 2)``, ``C(f, contr.sum)``."""
