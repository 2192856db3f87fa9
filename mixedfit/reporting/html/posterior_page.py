"""The report page of a posterior, and its sections beside those of a fit."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.words import parameter_words
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.errors import MixedfitError, ModelError
from mixedfit.core.format import seconds_text
from mixedfit.core.names import plain_name
from mixedfit.core.options import check_level
from mixedfit.core.tables import Table
from mixedfit.estimation.labels import NamedDesign, by_name, label_of

from . import answers, figures, mathml, posterior_figures
from .figures import Picture
from .page import Section, page_of, pictures_html, verdict_html
from .parts import list_of, paragraphs, scrolled, stacked
from .posterior_words import (
    direction_in_words,
    model_of_posterior,
    normal_statements,
    priors_in_words,
    quality_in_words,
)

__all__ = ["comparison_section", "posterior_html", "posterior_sections", "priors_section"]

MOST_DRAWN = 12
"""Largest number of parameters in pictures of chains and densities."""

Labels = Mapping[str, str] | None


def posterior_html(
    posterior: Posterior, *, title: str | None = None, level: float = 0.95, labels: Labels = None
) -> str:
    """Return the page of a posterior as HTML text.

    Raises
    ------
    ModelError
        If the draws are from the prior, or an option is not valid.
    """
    check_sampled_posterior(posterior)
    check_level(level)
    design = posterior.design
    response = plain_name(NamedDesign(design).formula.split("~", 1)[0].strip())
    kind = "mixed" if design.blocks else "linear"
    heading = title or f"{label_of(response, by_name(labels))}: posterior of a {kind} model"
    sections = [
        _model(posterior),
        *posterior_sections(posterior, level, labels),
        Section("technical", "Technical details", _technical(posterior)),
    ]
    return page_of(
        heading, verdict_html(*quality_in_words(posterior, parameter_words(posterior, labels))), sections
    )


def check_sampled_posterior(posterior: Posterior) -> None:
    """Raise a `ModelError` if the draws are from the prior."""
    if posterior.kind == "prior":
        raise ModelError(
            "these are draws from the prior, which has not seen the response; report the posterior: model.gibbs()."
        )


def posterior_sections(posterior: Posterior, level: float, labels: Labels) -> list[Section]:
    """Return the sections on parameters, groups, sampling, predictive checks and sensitivity."""
    words = parameter_words(posterior, labels)
    names = [name for name in posterior.names if name not in posterior.held][:MOST_DRAWN]
    return [
        _parameters(posterior, names, words, level, labels),
        *_groups(posterior, level, labels),
        _sampling(posterior, names, words, labels),
        *_checks(posterior),
        *_sensitivity(posterior, words),
    ]


def priors_section(posterior: Posterior) -> Section:
    """Return the section on the priors."""
    return Section("priors", "Priors", _priors(posterior))


def _priors(posterior: Posterior) -> str:
    return list_of(priors_in_words(posterior)) + scrolled(
        "".join(mathml.statement_math(text) for text in posterior.priors), "The priors in mathematics"
    )


def _model(posterior: Posterior) -> Section:
    body = (
        f"<p>Formula: <code>{html.escape(posterior.design.formula.source)}</code></p>"
        + list_of(model_of_posterior(posterior))
        + "<h3>In mathematics</h3>"
        + scrolled(
            mathml.model_math(NamedDesign(posterior.design))
            + "".join(map(mathml.statement_math, normal_statements(posterior))),
            "The model in mathematics",
        )
        + "<p>The index i is the row; a factor with [i] is the level of that row.</p>"
        + "<h3>Priors</h3>"
        + _priors(posterior)
    )
    if posterior.dropped:
        body += paragraphs(
            [f"Columns without a coefficient, since they follow from others: {', '.join(posterior.dropped)}."]
        )
    return Section("model", "The model", body)


def _parameters(
    posterior: Posterior, names: list[str], words: Mapping[str, str], level: float, labels: Labels
) -> Section:
    tails = (0.5 - 0.5 * level, 0.5, 0.5 + 0.5 * level)
    fixed = {posterior.design.x_names[i] for i in posterior.kept}
    rows = []
    for name in posterior.names:
        draws = posterior[name]
        lower, median, upper = np.quantile(draws, tails).tolist()
        spread = float(draws.std(ddof=1))
        digits = _digits(spread, median)
        if name in posterior.held:
            rows.append((f"{_capital(words[name])} (known)", f"{median:,.{digits}f}", "–", "–", "–", "–"))
            continue
        positive = float(np.mean(draws > 0))
        direction = _direction(max(positive, 1.0 - positive)) if name in fixed else ""
        rows.append(
            (
                _capital(words[name]),
                f"{median:,.{digits}f}",
                f"{lower:,.{digits}f} to {upper:,.{digits}f}",
                f"{draws.mean():,.{digits}f}",
                f"{spread:,.{digits}f}",
                direction,
            )
        )
    heads = ("", "Median", f"{100 * level:g}% interval", "Mean", "SD", "Probability of direction")
    notes = (
        "Intervals are between quantiles of the draws. Probability of direction: that the coefficient has the sign of "
        "its median.",
    )
    table = Table("Parameters", heads, tuple(rows), 1, notes)
    body = list_of(direction_in_words(posterior, words)) + stacked(table, "Posterior of the parameters")
    body += pictures_html(posterior_figures.parameter_pictures(posterior, names, level, labels))
    return Section("parameters", "Parameters", body)


def _capital(text: str) -> str:
    words = ("correlation of", "residual SD", "typical residual", "degrees of", "autocorrelation", "ratio of")
    return f"{text[0].upper()}{text[1:]}" if text.startswith(words) else text


def _direction(share: float) -> str:
    return "> 0.999" if share > 0.999 else f"{share:.3f}"


def _digits(spread: float, value: float) -> int:
    """Return decimals that show a posterior SD to three digits."""
    size = spread if spread > 1e-12 * abs(value) else abs(value)
    return int(np.clip(2 - np.floor(np.log10(size)), 0, 8)) if size > 0.0 else 3


def _groups(posterior: Posterior, level: float, labels: Labels) -> list[Section]:
    if not posterior.design.blocks:
        return []
    pictures = posterior_figures.group_pictures(posterior, level, labels)
    body = pictures_html(pictures) or paragraphs(["The draws of the random effects were not kept."])
    return [Section("groups", "Random effects", body)]


def _sampling(posterior: Posterior, names: list[str], words: Mapping[str, str], labels: Labels) -> Section:
    table = posterior.summary().drop(index=list(posterior.held), errors="ignore")
    rows = tuple(
        (
            _capital(words[str(name)]),
            f"{row['rhat']:.3f}",
            f"{row['ess_bulk']:,.0f}",
            f"{row['ess_tail']:,.0f}",
            f"{row['mcse']:.2g}",
        )
        for name, row in table.iterrows()
    )
    heads = ("", "R̂", "Effective draws, bulk", "Effective draws, tail", "Monte-Carlo error of the mean")
    notes = (
        "R̂ compares the chains with each other: at most 1.01 is good. Effective draws are the number of independent "
        f"draws that the {posterior.sigma.size:,} draws are worth, for the centre (bulk) and for the tails: at least "
        f"{100 * posterior.chains:,} are enough (Vehtari et al. 2021).",
    )
    body = stacked(Table("Sampling", heads, rows, 1, notes), "Quality of the draws")
    if len(posterior.names) - len(posterior.held) > len(names):
        body += paragraphs([f"The pictures show the first {len(names)} parameters."])
    body += pictures_html(posterior_figures.chain_pictures(posterior, names, labels))
    return Section("sampling", "Have the chains mixed?", body)


def _checks(posterior: Posterior) -> list[Section]:
    """Return the predictive checks, if the draws of the effects were kept."""
    try:
        check = posterior.check(seed=1)
    except MixedfitError as error:
        return [Section("checks", "Does the model fit the data?", paragraphs([f"Not checked: {error}"]))]
    (found,) = check._notebook_tables()
    heads = tuple(f"{head[:1].upper()}{head[1:]}" for head in found.heads)
    rows = tuple((row[0].replace("_", " "), *row[1:]) for row in found.rows)
    table = Table(found.caption, heads, rows, 1, found.notes)
    intro = (
        "The model draws new responses for the same rows. Statistics of the data should look like theirs; P is the "
        "share of replicates that are at least as large."
    )
    body = paragraphs([intro]) + stacked(table, "Predictive checks")
    return [
        Section(
            "checks",
            "Does the model fit the data?",
            body + pictures_html(posterior_figures.check_pictures(check)),
        )
    ]


def _sensitivity(posterior: Posterior, words: Mapping[str, str]) -> list[Section]:
    """Return the power-scaling sensitivity, if the model has one."""
    try:
        found = posterior.power_scaling()
    except MixedfitError:
        return []
    cells = found.table
    rows = tuple(
        (
            _capital(words[str(name)]),
            f"{row['prior']:.3f}",
            f"{row['likelihood']:.3f}",
            str(row["diagnosis"]).replace("-", "–") or "–",
        )
        for name, row in cells.iterrows()
    )
    intro = (
        "How much the posterior of each parameter moves when all priors, or the likelihood, count a little more "
        "(power scaling; Kallioinen et al. 2024). Above 0.05 a parameter is sensitive."
    )
    calm = [] if cells["diagnosis"].any() else ["No parameter is sensitive to the priors."]
    sensitive = [words[str(name)] for name in cells.index[cells["diagnosis"] != ""]]
    told = [f"The priors matter for {', '.join(sensitive)}: try others with model.sensitivity(...)."] * bool(
        sensitive
    )
    bad = [name for name, k in found.pareto_k.items() if k > found.threshold]
    unsure = [f"The numbers of the {' and the '.join(bad)} are a guess (Pareto k̂ too high)."] * bool(bad)
    table = Table("Sensitivity", ("", "Prior", "Likelihood", "Diagnosis"), rows, 1, (*calm, *told, *unsure))
    return [
        Section(
            "sensitivity",
            "Do the priors matter?",
            paragraphs([intro]) + stacked(table, "Power-scaling sensitivity"),
        )
    ]


def _technical(posterior: Posterior) -> str:
    every = f", 1 of every {posterior.thin} sweeps," if posterior.thin > 1 else ""
    text = (
        f"Gibbs sampler: {posterior.chains} chain{'s' * (posterior.chains > 1)} of {posterior.draws:,} draws{every} "
        f"after {posterior.tune:,} sweeps of tuning, {seconds_text(posterior.seconds)}. Predictive checks have seed 1."
    )
    return paragraphs([text]) + answers.versions()


def comparison_section(compared: Any, labels: Labels) -> Section:
    """Return the section of a fit beside a posterior, from what `mixedfit.compare` returned."""
    words = parameter_words(compared.posterior, labels)
    table: pd.DataFrame = compared.table
    rows = []
    for name, row in table.iterrows():
        digits = _digits(float(row["post_sd"]), float(row["estimate"])) if np.isfinite(row["post_sd"]) else 3
        cells = [
            _number(row["estimate"], digits),
            _span(row, "wald", digits),
            _span(row, "profile", digits),
            _number(row["post_mean"], digits),
            _span(row, "cred", digits),
        ]
        rows.append((_capital(words.get(str(name), str(name))), *cells))
    heads = ("", "Estimate", "Wald interval", "Profile interval", "Posterior mean", "Credible interval")
    use = [i for i in range(6) if i == 0 or any(row[i] != "–" for row in rows)]
    note = f"Intervals of level {100 * compared.level:g}%; Wald intervals here are by normal quantiles."
    shown = Table(
        "Fit and posterior",
        tuple(heads[i] for i in use),
        tuple(tuple(row[i] for i in use) for row in rows),
        1,
        (note,),
    )
    body = stacked(shown, "Estimates of the fit and of the posterior")
    body += list_of([_with_words(note, words) for note in compared.notes])
    if "profile_lower" in table:
        picture = Picture(
            figures.figure_svg(lambda: compared.plot(columns=2)),
            "Likelihood profile and posterior of each parameter, with intervals.",
            "The density that the likelihood profile implies (orange) over the draws (blue), with the intervals below. "
            "Where they differ the priors or the shape of the likelihood matter.",
            wide=True,
        )
        body += pictures_html([picture])
    return Section("comparison", "Fit and posterior side by side", body)


def _with_words(note: str, words: Mapping[str, str]) -> str:
    """Return a note with the parameter that it begins with in words."""
    name = next((name for name in words if note.startswith(f"{name}: ")), None)
    return note if name is None else f"{_capital(words[name])}{note[len(name) :]}"


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if np.isfinite(value) else "–"


def _span(row: pd.Series[Any], kind: str, digits: int) -> str:
    low, high = (float(row.get(f"{kind}_{end}", np.nan)) for end in ("lower", "upper"))
    if not (np.isfinite(low) or np.isfinite(high)):
        return "–"
    return " to ".join(_number(v, digits).replace("–", "…") for v in (low, high))
