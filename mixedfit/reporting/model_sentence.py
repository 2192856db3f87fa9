"""A fitted model as one sentence: response, fixed and random effects, rows, method, shares of variance."""

from __future__ import annotations

from collections.abc import Mapping

from mixedfit.core.format import count_noun, join_words, share_text
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import label_of, term_label
from mixedfit.estimation.tables import response_name

from .structure_words import residual_kind, structure_clauses

__all__ = ["model_sentence"]

MOST_TERMS = 8
"""Largest number of terms that the sentence names."""


def model_sentence(fit: Fit, style: str = "apa", labels: Mapping[str, str] | None = None) -> str:
    """Return the sentence on a model; `style` is "apa" or "plain" and decides how R² is written."""
    method = "restricted maximum likelihood (REML)" if fit.reml else "maximum likelihood"
    random = [_random_words(fit, at, labels) for at in range(len(fit.design.blocks))]
    kind, residuals = "linear mixed model" if random else "linear model", residual_kind(fit)
    parts = [f"A {kind} of {label_of(response_name(fit), labels)} with {_fixed_words(fit, labels)}"]
    parts[0] += f" and {join_words(random)}" if random else ""
    parts[0] += f", with {residuals}," if residuals else ""
    parts[0] += f" was fitted by {method} to {count_noun(fit.nobs, 'observation')}"
    parts += structure_clauses(fit, labels)
    if fit.convergence.status not in ("converged", "boundary"):
        parts.append(f"the search did not end at an optimum of the likelihood: {fit.convergence.status}")
        return f"{'; '.join(parts)}."
    if fit.convergence.status == "boundary":
        parts.append(f"the fit is singular in {join_words(list(fit.convergence.singular))}")
    if fit.design.absent is None and fit.design.blocks:
        parts.append(_share_words(fit, style))
    return f"{'; '.join(parts)}."


def _fixed_words(fit: Fit, labels: Mapping[str, str] | None) -> str:
    recipe = fit.design.recipe
    if recipe is None or recipe.refusal:
        names = [str(name) for name in fit.coefficient_names if name != "(Intercept)"]
    else:
        names = [term.name for term in recipe.terms if term.name != "(Intercept)"]
        names += [str(factor.column) for factor in recipe.many]
    if not names:
        return "no fixed effects but the intercept" if fit.coefficient_names else "no fixed effects"
    words = list(dict.fromkeys(term_label(name, labels) for name in names))
    rest = len(words) - MOST_TERMS
    words = [*words[:MOST_TERMS], *([f"{rest} more"] if rest > 0 else [])]
    return f"{'fixed effects' if len(words) > 1 else 'a fixed effect'} of {join_words(words)}"


def _random_words(fit: Fit, at: int, labels: Mapping[str, str] | None) -> str:
    """Return the random effects of a grouping factor."""
    block, recipe = fit.design.blocks[at], fit.design.recipe
    if recipe is None or recipe.refusal:
        names = [effect for effect in block.effects if effect != "(Intercept)"]
    else:
        names = [term.name for term in recipe.effect_terms(at) if term.variables]
    others = list(dict.fromkeys(term_label(name, labels) for name in names))
    rest = len(others) - MOST_TERMS
    others = [*others[:MOST_TERMS], *([f"{rest} more"] if rest > 0 else [])]
    parts = ["intercepts"] if "(Intercept)" in block.effects else []
    parts += [f"effects of {join_words(others)}"] if others else []
    levels, group = count_noun(block.levels, "level"), term_label(block.name, labels, sign=":")
    return f"random {' and '.join(parts)} for {group} ({levels})"


def _share_words(fit: Fit, style: str) -> str:
    r = Diagnostics(fit).r_squared(None)["estimate"]
    texts = [f"{r[name]:.2f}" for name in ("marginal", "conditional")]
    if style == "apa":
        texts = [share_text(r[name], "NaN") for name in ("marginal", "conditional")]
    marginal, conditional = (text if text[0] in "<>" else f"= {text}" for text in texts)
    return f"marginal R² {marginal}, conditional R² {conditional}"
