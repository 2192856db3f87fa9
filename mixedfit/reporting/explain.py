"""A model in words and as equations, before it is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any, cast

import numpy as np

from mixedfit.core.format import TABLE_WIDTH, count_noun, join_words, without_quotes
from mixedfit.covariance import ScaledCorrelation
from mixedfit.crossproducts.summed import products_of
from mixedfit.design.design import Design, RandomBlock
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.tables import response_name

from .html.model_words import model_in_words
from .structure_words import residual_sentence

__all__ = ["Explanation", "explain"]

MOST_TERMS = 8
"""Largest number of coefficients, and of effects, of an equation that is written without matrices."""


@dataclass(frozen=True)
class Explanation:
    """A model in words and as equations.

    Attributes
    ----------
    formula : str
    words : tuple of str
        Sentences.
    equations : tuple of str
        The equation of a row, then the distributions of random effects and residuals.
    """

    formula: str
    words: tuple[str, ...]
    equations: tuple[str, ...]

    def __str__(self) -> str:
        words = fill(" ".join(self.words), TABLE_WIDTH - 2, break_long_words=False, break_on_hyphens=False)
        lines = (
            fill(line, TABLE_WIDTH - 2, initial_indent="  ", subsequent_indent="      ")
            for line in self.equations
        )
        return "\n".join([f"Formula: {self.formula}", "", words, "", *lines])

    __repr__ = __str__


def explain(design: Design, *, reml: bool = True, sigma: float | None = None) -> Explanation:
    """Return a model in words and as equations.

    Parameters
    ----------
    design : Design
    reml : bool
        Whether it is to be fitted by REML.
    sigma : float, optional
        Residual standard deviation, if it is to be held.
    """
    fit = _before_the_search(design, reml, sigma)
    words = [
        sentence.replace("Parameters were", "Parameters are").replace("was held", "is held")
        for sentence in model_in_words(fit)
    ]
    if design.residual is not None:
        words[-2] = f"The residuals are normal. {residual_sentence(design)}"
    return Explanation(design.formula.source, (*words, _count(fit)), tuple(_equations(fit)))


def _before_the_search(design: Design, reml: bool, sigma: float | None) -> Fit:
    """Return the record of a fit without estimates: what does not depend on them can be asked of it."""
    theta = np.full(len(design.theta_names), np.nan)
    unknown = cast(Any, None)
    return Fit(design, products_of(design), theta, reml, sigma, unknown, unknown)


def _count(fit: Fit) -> str:
    """Return the sentence on the number of parameters."""
    fixed = count_noun(len(fit.coefficient_names), "fixed effect")
    names = [str(name) for name in fit.design.theta_names]
    variances = count_noun(len(names), "parameter") + " of random effects"
    parts = [fixed, *([variances] if names else []), *(["σ"] if fit.held_sigma is None else [])]
    model = fit.design.residual
    if model is not None and model.n_parameters:
        parts.append(f"{count_noun(model.n_parameters, 'parameter')} of the residual structure")
    return f"To be estimated: {join_words(parts)}."


def _equations(fit: Fit) -> list[str]:
    design, names = fit.design, list(fit.coefficient_names)
    response = without_quotes(response_name(fit))
    effects = sum(block.k for block in design.blocks)
    if len(names) > MOST_TERMS or effects > MOST_TERMS:
        return [f"y = X β{' + Z b' * bool(effects)} + ε", *_distributions(fit)]
    fixed = [_product(f"β{j}", name) for j, name in enumerate(names)] or ["0"]
    out = [f"{response}[i] = {' + '.join(fixed)}"]
    for at, block in enumerate(design.blocks):
        parts = [_product(f"{_letter(at)}{j}[{block.name}[i]]", name) for j, name in enumerate(block.effects)]
        out.append(f"+ {' + '.join(parts)}")
    out.append(f"{'+ offset[i] ' * (design.offset is not None)}+ ε[i]")
    return [*out, *_distributions(fit)]


def _letter(block: int) -> str:
    """Return the letter of the effects of a grouping factor: b, c, d …"""
    return chr(ord("b") + block) if block < 20 else "b"


def _product(coefficient: str, name: str) -> str:
    return coefficient if name == "(Intercept)" else f"{coefficient} {without_quotes(name)}[i]"


def _distributions(fit: Fit) -> list[str]:
    out = []
    for at, block in enumerate(fit.design.blocks):
        letter = _letter(at)
        effects = ", ".join(f"{letter}{j}" for j in range(block.k)) if block.k <= MOST_TERMS else "effects"
        names = f"({effects})" if 1 < block.k <= MOST_TERMS else effects
        own = "" if len(fit.design.blocks) == 1 else f"_{_letter(at)}"
        law = f"Ω{own}" if block.k > 1 else f"ω{own}²"
        words = _covariance_words(block, law)
        if block.known is not None:
            words += f"; levels j and k have covariance A[j, k] {law}, A known"
            law = f"A[j, j] {law}"
        out.append(f"{names} of each {block.name} ~ N(0, {law}){words}")
    variance = "σ²" if fit.design.weights is None else "σ² / weight[i]"
    if fit.design.residual is not None:
        return [*out, f"ε ~ N(0, σ² R), R = {fit.design.residual.structure}"]
    return [*out, f"ε[i] ~ N(0, {variance})"]


def _covariance_words(block: RandomBlock, law: str) -> str:
    """Return what the covariance matrix of a factor's effects may be."""
    if block.k == 1:
        return ""
    parts = block.structure.parts
    return f", {law} {' and '.join(dict.fromkeys(_part_words(part) for part in parts))}" + _blocks_words(
        parts
    )


def _part_words(part: Any) -> str:
    if isinstance(part, ScaledCorrelation):
        return f"with {part.in_words}"
    return "any covariance matrix" if part.k > 1 and part.invariance == "linear" else "diagonal"


def _blocks_words(parts: Sequence[Any]) -> str:
    return f", {len(parts)} independent blocks" if len(parts) > 1 and any(p.k > 1 for p in parts) else ""
