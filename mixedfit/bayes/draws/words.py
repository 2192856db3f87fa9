"""Parameters of a posterior in words, and sentences about them in the style of the APA."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from mixedfit.core.apa_numbers import by_error, p_text
from mixedfit.core.arrays import Array
from mixedfit.core.options import check_level, check_one_of
from mixedfit.estimation.labels import (
    NamedDesign,
    by_name,
    check_labels,
    effect_names,
    group_label,
    names_of,
    readable_names,
)
from mixedfit.estimation.parameters import variance_parameters, variance_words

from .convergence import hpd
from .draws import INTERVALS, Draws
from .queries import derived_draws, event_probability
from .record import PosteriorDraws
from .tables import chosen_parameters

__all__ = ["Centre", "labelled_words", "parameter_words", "posterior_sentence"]

Centre = Literal["median", "mean"]
"""What a sentence states of a distribution."""


def parameter_words(posterior: PosteriorDraws, labels: Mapping[Any, str] | None) -> dict[str, str]:
    """Return each parameter in words, by name: texts of `labels` where there are some.

    Raises
    ------
    ModelError
        If a key of labels is misspelt.
    """
    named = NamedDesign(posterior.design)
    own: dict[str, str] = {}
    if labels:
        known = names_of(named)
        check_labels(labels, known.all | set(posterior.names), known.variables)
        own = by_name(labels)
    return labelled_words(posterior, own)


def labelled_words(posterior: PosteriorDraws, own: Mapping[str, str]) -> dict[str, str]:
    """Return each parameter in words, by name, with labels that `by_name` has returned; none of them is checked."""
    named = NamedDesign(posterior.design)
    words = dict(zip(named.coefficient_names, readable_names(named, own), strict=True))
    groups = [
        (group_label(block.name, own), effect_names(named, at, own))
        for at, block in enumerate(posterior.design.blocks)
    ]
    texts = variance_words(posterior.design, groups)
    words |= {p.long_name: texts[p.name] for p in variance_parameters(posterior.design)}
    return {name: own.get(name, words.get(name) or _words(name, own)) for name in posterior.names}


_WORDS = {
    "sigma0": "typical residual SD",
    "nu0": "ν₀, likeness of residual SDs",
    "nu": "degrees of freedom ν",
    "phi": "autocorrelation φ",
}


def _words(name: str, labels: Mapping[str, str]) -> str:
    """Return a parameter of the distribution of residuals or effects in words."""
    found = re.fullmatch(r"sigma\[(.*)\]|nu\|(.*)|ratio\((.*)\)", name)
    if found is None:
        return _WORDS.get(name, name)
    level, group, other = found.groups()
    if level is not None:
        return f"residual SD, {labels.get(level, level)}"
    if group is not None:
        return f"{_WORDS['nu']} | {group_label(group, labels)}"
    return f"ratio of residual SDs, {labels.get(other, other)}"


def posterior_sentence(
    posterior: PosteriorDraws,
    what: str | Iterable[str] | Draws,
    *,
    centre: Centre,
    interval: str,
    level: float,
    labels: Mapping[Any, str] | None,
) -> str:
    """Return sentences about parameters, an expression, a hypothesis or draws; see `Posterior.sentence`."""
    check_one_of("centre", centre, ("median", "mean"))
    check_one_of("interval", interval, INTERVALS)
    check_level(level)
    if isinstance(what, Draws):
        found = [(f"The quantity {name}", what.values[:, :, i], True) for i, name in enumerate(what.names)]
    elif isinstance(what, str) and what not in (*posterior.names, "fixed", "variances"):
        if re.search(r"[<>]", what):
            share = p_text(event_probability(posterior, what).value)
            return f"The posterior probability that {_signs(what)} was {share}."
        found = [(f"The quantity {what}", derived_draws(posterior, what).values[:, :, 0], True)]
    else:
        words = parameter_words(posterior, labels)
        fixed = {posterior.design.x_names[i] for i in posterior.kept}
        found = [
            (
                _subject(name, words[name], name in fixed),
                posterior[name],
                name in fixed or name.startswith("cor_"),
            )
            for name in chosen_parameters(posterior, what)
        ]
    return "\n".join(_sentence(*own, centre, interval, level) for own in found)


def _subject(name: str, words: str, is_fixed: bool) -> str:
    if name == "(Intercept)":
        return "The intercept" if words == name else f"The intercept {words}"
    return f"The coefficient of {words}" if is_fixed else f"The {words}"


def _signs(text: str) -> str:
    return re.sub(r"(?<![\w)])-(?=\d)", "−", text)


def _sentence(subject: str, draws: Array, signed: bool, centre: Centre, interval: str, level: float) -> str:
    """Return the sentence of one quantity; `signed` ones may have either sign."""
    middle = float(np.median(draws) if centre == "median" else draws.mean())
    if np.ptp(draws) == 0.0:
        return f"{subject} was known: {middle:.6g}."
    tails = (0.5 - 0.5 * level, 0.5 + 0.5 * level)
    limits = np.quantile(draws, tails).tolist() if interval == "quantiles" else list(hpd(draws, level))
    value, low, high = by_error([middle, *limits], float(draws.std(ddof=1)))
    kind = "credible interval" if interval == "quantiles" else "highest-density interval"
    out = f"{subject} had a posterior {centre} of {value}, {100 * level:g}% {kind} [{low}, {high}]"
    if not signed:
        return f"{out}."
    positive = float(np.mean(draws > 0))
    sign, share = ("positive", positive) if positive >= 0.5 else ("negative", 1.0 - positive)
    return f"{out}; it was {sign} with a probability of {p_text(share)}."
