"""Sentences about a posterior: its priors, its residuals, whether the chains have mixed, what the draws say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from mixedfit.bayes.distributions import Laplace, StudentT
from mixedfit.bayes.draws.queries import mixing_of
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.format import join_words, number
from mixedfit.core.names import plain_name
from mixedfit.estimation.labels import NamedDesign
from mixedfit.reporting.structure_words import residual_sentence

from .model_words import design_in_words

__all__ = [
    "direction_in_words",
    "model_of_posterior",
    "normal_statements",
    "priors_in_words",
    "quality_in_words",
]

_NUMBER = r"([^,;()]+)"

_LAWS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"N\(([^,()]+), ([^²()]+)²\)", lambda m: f"a normal prior with mean {m[1]} and SD {m[2]}"),
    (rf"t\({_NUMBER}, {_NUMBER}, {_NUMBER}\)",
     lambda m: f"a t prior with {m[1]} degrees of freedom, location {m[2]} and scale {m[3]}"),
    (rf"Cauchy\({_NUMBER}, {_NUMBER}\)", lambda m: f"a Cauchy prior with location {m[1]} and scale {m[2]}"),
    (rf"half-t\({_NUMBER}, {_NUMBER}\)",
     lambda m: f"a half-t prior with {m[1]} degrees of freedom and scale {m[2]}"),
    (rf"half-Cauchy\({_NUMBER}\)", lambda m: f"a half-Cauchy prior with scale {m[1]}"),
    (rf"half-normal\({_NUMBER}\)", lambda m: f"a half-normal prior with scale {m[1]}"),
    (rf"U\({_NUMBER}, {_NUMBER}\)", lambda m: f"a uniform prior between {m[1]} and {m[2]}"),
    (r"Huang–Wand\(([^;()]+); ([^()]+)\)",
     lambda m: f"a Huang–Wand prior: each SD is half-t with {m[1]} degrees of freedom and scale {_listed(m[2])}"),
    (r"LKJ\(([^()]+)\) with SDs (.+)",
     lambda m: f"an LKJ({m[1]}) prior of the correlations, and {_priors_of_sds(m[2])} for the SDs"),
)  # fmt: skip
"""Distributions as statements write them, and in words."""


def _listed(text: str) -> str:
    """Return scales of several effects, or the one of all, in words."""
    parts = text.split(", ")
    return text if len(parts) == 1 else f"{join_words(parts)}, in the order of the effects"


def _priors_of_sds(text: str) -> str:
    return join_words(re.split(r"(?<=\)), ", text))


def priors_in_words(posterior: Posterior) -> list[str]:
    """Return a sentence for each prior, or the statement itself where there is no phrase for it."""
    return [_prior_words(statement) for statement in posterior.priors]


def _prior_words(statement: str) -> str:
    """Return a prior in words.

    Examples
    --------
    >>> _prior_words("τ[(Intercept) | Tray] ~ half-t(3, 4.1)")
    'The SD of (Intercept) between levels of Tray has a half-t prior with 3 degrees of freedom and scale 4.1.'
    >>> _prior_words("σ = 2, known")
    'The residual SD is known: 2.'
    """
    known = re.fullmatch(r"(.+) = (.+), known", statement)
    if known:
        return f"{_subject(known[1])} is known: {known[2]}."
    if re.fullmatch(r"p\(.+\) ∝ 1", statement):
        verb = "have" if "(β)" in statement else "has"
        return f"{_subject(statement[2 : statement.index(' ∝') - 1])} {verb} a flat prior: every value is as plausible."
    symbol, _, law = statement.partition(" ~ ")
    for pattern, words in _LAWS:
        found = re.fullmatch(pattern, law)
        if found:
            return f"{_subject(symbol)} {'have' if symbol == 'β' else 'has'} {words(found)}."
    return f"{statement}."


_SYMBOLS = {
    "β": "The fixed effects",
    "σ": "The residual SD",
    "σ₀": "The typical residual SD",
    "φ": "The autocorrelation φ of residuals",
    "ν₀": "The parameter ν₀, how alike the residual variances are,",
}


def _subject(symbol: str) -> str:
    """Return what a symbol of a statement stands for."""
    if "Σ β x̄" in symbol:
        return "The mean response at the means of the predictors"
    found = re.fullmatch(r"([βτΩ])\[(.+)\]", symbol)
    if found is None:
        return _SYMBOLS.get(symbol, symbol)
    kind, inside = found[1], plain_name(found[2])
    if kind == "β":
        return f"The coefficient of {inside}" if inside != "(Intercept)" else "The intercept"
    effects, _, group = inside.rpartition(" | ")
    if kind == "τ":
        return f"The SD of {effects} between levels of {group}"
    return f"The covariance matrix of {join_words(effects.split(', '))} between levels of {group}"


def model_of_posterior(posterior: Posterior) -> list[str]:
    """Return sentences that describe the model and the data."""
    design = posterior.design
    counted = int(np.count_nonzero(design.counted))
    groups = {block.name: block.levels for block in design.blocks}
    words = design_in_words(NamedDesign(design), counted, counted, groups)
    return [*words, *_distributions(posterior)]


def _distributions(posterior: Posterior) -> list[str]:
    """Return sentences on the distributions of residuals and random effects."""
    design, scales = posterior.design, posterior.scales
    if design.residual is not None:
        return [f"The residual is normal, with a covariance between rows. {residual_sentence(design)}"]
    inverse = (
        "" if design.weights is None else ", with a variance inversely proportional to the weight of the row"
    )
    if scales is None:
        return [f"The residual is independent between rows and normal{inverse or ', with one variance'}."]
    model = scales.error_model
    by = f", with an SD for each level of {model.groups.name}" if model.groups is not None else ""
    out = [f"The residual is independent between rows and {_law(model.errors)}{by}{inverse}."]
    out += [
        f"The random effects of {name} are {_law(own)}."
        for name, own in zip(model.names, model.effects, strict=True)
        if isinstance(own, StudentT | Laplace)
    ]
    return out


def normal_statements(posterior: Posterior) -> list[str]:
    """Return the distributions of normal random effects and residuals as statements; the priors have the others."""
    design, model = posterior.design, None if posterior.scales is None else posterior.scales.error_model
    other = {} if model is None else dict(zip(model.names, model.effects, strict=True))
    out = [
        f"b[{block.name}] ~ N(0, {'Ω' if block.k > 1 else 'τ²'})"
        for block in design.blocks
        if not isinstance(other.get(block.name), StudentT | Laplace)
    ]
    if model is None or (model.groups is None and not isinstance(model.errors, StudentT | Laplace)):
        out.append(
            f"ε ~ N(0, σ²{'R' if design.residual is not None else '/w' if design.weights is not None else ''})"
        )
    return out


def _law(distribution: object) -> str:
    if isinstance(distribution, StudentT):
        degrees = (
            "estimated degrees of freedom" if distribution.prior else f"{distribution.df} degrees of freedom"
        )
        return f"t-distributed with {degrees}, robust to outliers"
    return "Laplace-distributed" if isinstance(distribution, Laplace) else "normal"


def quality_in_words(posterior: Posterior, words: Mapping[str, str]) -> tuple[str, str, list[str]]:
    """Return the kind of the verdict ("good" or "bad"), its headline, and sentences that explain it."""
    chains = f"{posterior.chains} chain{'s' * (posterior.chains > 1)}"
    mixing = mixing_of(posterior)
    least = words.get(mixing.name, mixing.name) or "no parameter"
    sampled = (
        f"{chains} of {posterior.draws:,} draws were kept, after {posterior.tune:,} sweeps of tuning each. The largest "
        f"R̂ is {mixing.rhat:.3f} (at most 1.01 is good). {least[0].upper()}{least[1:]} has the fewest effective draws, "
        f"{mixing.ess:,.0f}."
    )
    limit = [f"The limit {posterior.limit} ended the run."] if posterior.limit else []
    if posterior.warnings:
        told = [f"{text[0].upper()}{text[1:]}" for text in posterior.warnings]
        return "bad", "The draws do not suffice", [*told, sampled, *limit]
    return "good", "The chains have mixed", [sampled, *limit, "Means and intervals below can be used."]


def direction_in_words(posterior: Posterior, words: Mapping[str, str]) -> list[str]:
    """Return a sentence on the sign of each fixed effect but the intercept; at most eight."""
    names = [posterior.design.x_names[i] for i in posterior.kept]
    out = []
    for name in names:
        if name == "(Intercept)":
            continue
        draws = posterior[name]
        positive = float(np.mean(draws > 0))
        sign, share = ("positive", positive) if positive >= 0.5 else ("negative", 1.0 - positive)
        shown = "more than 99.9%" if share > 0.999 else f"{100 * share:.1f}%"
        out.append(
            f"The coefficient of {words[name]} is {sign} with a probability of {shown}; its median is "
            f"{number(float(np.median(draws)), 3)}."
        )
    return out[:8]
