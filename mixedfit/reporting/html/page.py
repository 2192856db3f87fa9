"""The report page: one HTML file without scripts or external resources."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError
from mixedfit.core.format import decimals_of_error, number
from mixedfit.core.options import check_level
from mixedfit.core.progress import Progress
from mixedfit.core.tables import Table
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.labels import label_of, labels_for, readable_names, variance_labels
from mixedfit.estimation.parameters import parameters_of, values_of
from mixedfit.inference.anova.anova import AnovaTable
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import degrees_of_freedom
from mixedfit.inference.profile.profile import Profile
from mixedfit.inference.profile.profile import profile as profile_of
from mixedfit.inference.wald import wald_intervals
from mixedfit.reporting.relabelled import document_tables
from mixedfit.reporting.summary import summarise
from mixedfit.reporting.summary_cells import LONG_TABLE, fixed_cells
from mixedfit.reporting.tidy import glance

from . import answers, figures, mathml, model_words
from .findings import checks_of, verdict_in_words
from .parts import CSS, list_of, paragraphs, scrolled, stacked

__all__ = ["Section", "page_of", "pictures_html", "report_html", "verdict_html"]

EVALUATIONS = 120
"""Approximate number of evaluations of the criterion for the profile of one parameter."""

MOST_PROFILED = 40
"""Largest number of parameters that ``profile="auto"`` profiles."""

PATIENCE = 20.0
"""Largest estimated time in seconds of the profiles with ``profile="auto"``."""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security policy of the page: no scripts and no external resources."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page."""

    anchor: str
    title: str
    body: str


def report_html(
    fitted: Fitted,
    *,
    title: str | None = None,
    level: float = 0.95,
    profile: bool | Literal["auto"] = "auto",
    labels: Mapping[str, str] | None = None,
    more: Sequence[Section] = (),
) -> str:
    """Return the page of `report` as HTML text; `more` are sections before those for a paper."""
    fit = fit_of(fitted, "report")
    check_level(level)
    own = labels_for(fit, labels)
    profiles, reason = _profiles(fit, profile)
    heading = (
        title
        or f"{label_of(model_words.response_of(fit), own)}: a {'mixed' if fit.ngroups else 'linear'} model"
    )
    found = answers.tests_of_terms(fit)
    sections = [
        _model(fit),
        _fixed(fit, level, profiles, found, own),
        *_means(fit, level, own),
        *([_random(fit, level, profiles, reason, own)] if fit.ngroups or fit.residual else []),
        _checks(fit, own),
        *more,
        Section("paper", "For a paper", answers.for_a_paper(fit, found, own)),
        _technical(fit, level, profiles),
    ]
    return page_of(heading, _verdict(fit), sections)


def _profiles(fit: Fit, profile: bool | Literal["auto"]) -> tuple[Profile | None, str]:
    """Return the profiles, or None and the reason."""
    if profile not in (True, False, "auto"):
        raise ModelError(f"profile={profile!r} is not known; expected True, False or 'auto'.")
    left_out = "Profile intervals were left out"
    if not fit.convergence.converged:
        return None, f"{left_out}, since the fit did not converge."
    if not profile:
        return None, f"{left_out}, as requested."
    count = len(parameters_of(fit))
    if profile == "auto" and (count > MOST_PROFILED or _seconds(fit, count) > PATIENCE):
        reason = (
            f"since there are {count} parameters to profile"
            if count > MOST_PROFILED
            else "since they would take long"
        )
        return None, f"{left_out}, {reason}; profile=True (on the command line, --profile yes) adds them."
    with Progress(None) as shown:
        return profile_of(fit, report=shown.say), ""


WHITENED = 30
"""Time of a profile with a residual structure over that of one without, per evaluation of the criterion."""


def _seconds(fit: Fit, count: int) -> float:
    """Return the approximate time of the profiles of `count` parameters, in seconds."""
    criterion = fit.criterion(False)
    criterion(fit.theta)
    begun = perf_counter()
    criterion(fit.theta)
    once = perf_counter() - begun + 2e-8 * fit.nobs * count
    return EVALUATIONS * count * once * (1 if fit.residual is None else WHITENED)


def pictures_html(pictures: list[figures.Picture]) -> str:
    """Return pictures side by side as HTML."""
    return f'<div class="pictures">{"".join(p.to_html() for p in pictures)}</div>' if pictures else ""


def _verdict(fit: Fit) -> str:
    headline, sentences = verdict_in_words(fit)
    kind = {"converged": "good", "boundary": "note"}.get(fit.convergence.status, "bad")
    return verdict_html(kind, headline, sentences)


def verdict_html(kind: str, headline: str, sentences: Sequence[str]) -> str:
    """Return the verdict of a page as HTML; `kind` is "good", "note" or "bad"."""
    sign = {"good": "✓", "note": "!", "bad": "✗"}[kind]
    return (
        f'<div class="verdict {kind}"><p><strong><span aria-hidden="true">{sign}</span> '
        f"{html.escape(headline)}</strong></p>"
        f"{paragraphs(sentences)}</div>"
    )


def _model(fit: Fit) -> Section:
    equations = [mathml.model_math(fit)]
    equations += [mathml.covariance_math(fit, at) for at in range(len(fit.design.blocks))]
    equations.append(mathml.residual_math(fit))
    body = (
        f"<p>Formula: <code>{html.escape(fit.formula)}</code></p>"
        + list_of(model_words.model_in_words(fit))
        + "<h3>In mathematics</h3>"
        + scrolled("".join(equations), "The model in mathematics")
        + "<p>Numbers in the equations are the estimates. "
        + (
            "The index i is the row; a factor with [i] is the level of that row."
            if fit.ngroups
            else "The index i is the row."
        )
        + "</p>"
    )
    return Section("model", "The model", body)


def _percent(level: float) -> str:
    return f"{100 * level:g}%"


def _decimals(error: float) -> int:
    """Return the decimals that show a standard error to three digits; 3 if it is NaN or 0."""
    found = decimals_of_error([error], 8)
    return 3 if found is None else found


def _interval(limits: pd.DataFrame, name: str, decimals: int) -> str:
    low, high = limits.loc[name, ["lower", "upper"]].to_numpy(dtype=float).tolist()
    if not (np.isfinite(low) or np.isfinite(high)):
        return "–"
    ends = [f"{v:,.{decimals}f}" if np.isfinite(v) else NO_LIMIT for v in (low, high)]
    return f"{ends[0]} to {ends[1]}"


NO_LIMIT = "…"
"""What stands for a limit of an interval that is not known."""


def _limit_note(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return what a missing limit means, if an interval of a table has one."""
    if not any(NO_LIMIT in cell for row in rows for cell in row[1:]):
        return []
    return [
        f"{NO_LIMIT}: the likelihood profile does not reach this limit within the range of the parameter, so that the "
        "interval is open on this side."
    ]


def _intervals(fit: Fit, level: float, profiles: Profile | None) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return the intervals of the fixed effects by column head, and notes on them."""
    method = degrees_of_freedom(fit, None).name
    kind = "Wald, z" if method == "normal" else f"Wald, t by {method}"
    out = {f"{_percent(level)} interval ({kind})": wald_intervals(fit, level, "fixed", ddf=None)}
    if profiles is None:
        return out, []
    out[f"{_percent(level)} interval (profile)"] = profiles.conf_int(level, "fixed")
    return out, _likelihood_note(fit)


def _likelihood_note(fit: Fit) -> list[str]:
    """Return a note on profile intervals, which are of the likelihood, if the fit is by REML."""
    if not fit.reml:
        return []
    return ["Estimates are by REML; profile intervals are of the likelihood, around the ML estimates."]


def _fixed(
    fit: Fit,
    level: float,
    profiles: Profile | None,
    found: AnovaTable | None,
    labels: Mapping[str, str],
) -> Section:
    if not fit.coefficient_names:
        return Section("fixed", "Fixed effects", list_of(["The model has none."]))
    source, method = coefficient_table(fit)
    shown = source.head(LONG_TABLE)
    heads, (_, _, *others) = fixed_cells(shown, method)
    intervals, notes = _intervals(fit, level, profiles)
    decimals = [_decimals(error) for error in shown["std_error"]]
    numbers = [
        [f"{v:,.{d}f}" if np.isfinite(v) else "NA" for v, d in zip(shown[column], decimals, strict=True)]
        for column in ("estimate", "std_error")
    ]
    limits = [
        [_interval(table, str(name), d) for name, d in zip(shown.index, decimals, strict=True)]
        for table in intervals.values()
    ]
    columns = [numbers[0], *limits, others[-1], numbers[1], *others[:-1]]
    heads = ["", heads[0], *intervals, "p", *heads[1:-1]]
    rows = tuple((name, *row) for name, *row in zip(readable_names(fit, labels), *columns, strict=False))
    how = (
        "P-values are from the normal distribution."
        if method == "normal"
        else f"Degrees of freedom: {method}."
    )
    notes = [how, *notes, *_limit_note(rows)]
    if len(source) > len(shown):
        notes.append(f"{len(source) - len(shown)} further coefficients are not shown.")
    table = Table("Coefficients", tuple(heads), rows, 1, tuple(notes))
    wald = next(iter(intervals.values()))
    sentences = [*model_words.effects_in_words(fit, wald, level, labels), *model_words.left_out_in_words(fit)]
    body = list_of(sentences) + stacked(table, "Coefficients") + _terms(found, labels)
    body += answers.effect_sizes(found, labels)
    return Section("fixed", "Fixed effects", body)


def _means(fit: Fit, level: float, labels: Mapping[str, str]) -> list[Section]:
    """Return the section of estimated means, if the fixed part has factors."""
    body = answers.means(fit, level, labels)
    words = (
        "Means of the response for each level, averaged over the levels of other factors with equal weights, at the "
        "means of covariates."
    )
    return [Section("means", "Estimated means", paragraphs([words]) + body)] if body else []


def _terms(found: AnovaTable | None, labels: Mapping[str, str]) -> str:
    """Return the F tests of the terms, if the model has terms."""
    if found is None:
        return ""
    (table,) = document_tables(found, labels)
    return "<h3>Tests of the terms</h3>" + stacked(
        table, "F tests, each term adjusted for all others (type III)"
    )


def _random(
    fit: Fit, level: float, profiles: Profile | None, reason: str, labels: Mapping[str, str]
) -> Section:
    chosen = [p for p in parameters_of(fit) if p.kind != "fixed"]
    values = values_of(fit, chosen)
    own = None if profiles is None else profiles.conf_int(level, [p.name for p in chosen])
    words = variance_labels(fit, labels)
    rows = []
    for p, value in zip(chosen, values, strict=True):
        size = np.floor(np.log10(abs(value) or 1.0)) if np.isfinite(value) else 0.0
        decimals = {"correlation": 2, "residual": 3}.get(p.kind, int(np.clip(3 - size, 1, 8)))
        variance = number(value**2) if p.kind in ("sd", "sigma") else ""
        shown = "not defined" if np.isnan(value) else f"{value:,.{decimals}f}"
        name = words.get(p.name, p.words)
        row = [name[0].upper() + name[1:], shown, variance]
        rows.append(tuple(row if own is None else [*row, _interval(own, p.name, decimals)]))
    if fit.held_sigma is not None:
        held = ("Residual SD (held, not estimated)", number(fit.sigma), number(fit.sigma**2))
        rows.append(held if own is None else (*held, "–"))
    heads = ["", "Estimate", "Variance"] + ([] if own is None else [f"{_percent(level)} interval (profile)"])
    table = Table("Variances", tuple(heads), tuple(rows), notes=tuple(_limit_note(rows)))
    body = list_of(model_words.shares_in_words(fit, labels)) + stacked(
        table, "Standard deviations and correlations"
    )
    body += answers.share_tables(fit, level, labels)
    body += paragraphs([reason] if own is None else _likelihood_note(fit))
    body += paragraphs(figures.zero_effects(fit, labels))
    body += pictures_html([*figures.effect_pictures(fit, labels), *figures.slope_pictures(fit, labels)])
    return Section("random", "Random effects" if fit.ngroups else "Residual variance and correlation", body)


def _checks(fit: Fit, labels: Mapping[str, str]) -> Section:
    body = (
        f"<p>{_assumption(fit)} Small departures are usual and harmless; clear patterns are not.</p>"
        + list_of([*checks_of(fit).sentences(), *figures.no_fitted_plots(fit)])
        + pictures_html([*figures.residual_pictures(fit), *figures.influence_pictures(fit, labels)])
    )
    return Section("checks", "Does the model fit the data?", body)


def _assumption(fit: Fit) -> str:
    if fit.residual is None:
        return "The model assumes that residuals are normal with mean 0 and constant variance."
    return (
        "The model assumes that residuals are normal with mean 0 and with the variances and correlations of the "
        "residual structure; here they are divided by their standard deviations."
    )


def _technical(fit: Fit, level: float, profiles: Profile | None) -> Section:
    criteria = glance(fit).iloc[0]
    rows = [(str(name), f"{value:,.1f}" if name not in ("nobs", "df.residual") else f"{int(value):,}")
            for name, value in criteria.items() if name != "sigma"]  # fmt: skip
    names = {"nobs": "Rows", "logLik": "Log-likelihood", "REMLcrit": "REML criterion", "deviance": "−2 log-likelihood",
             "df.residual": "Rows minus parameters"}  # fmt: skip
    table = Table("Criteria", ("", "Value"), tuple((names.get(name, name), text) for name, text in rows))
    body = stacked(table, "Likelihood and criteria")
    if fit.reml:
        body += paragraphs(
            [
                "Log-likelihood, AIC and BIC are those of REML: compare them only for models with the same fixed part."
            ]
        )
    if profiles is not None:
        picture = figures.profile_picture(profiles)
        body += (
            "<h3>Likelihood profiles</h3>"
            + pictures_html([picture] if picture else [])
            + list_of([note for note in profiles.notes if not note.startswith("REML fit:")])
        )
    body += f"<p>{html.escape(fit.convergence.message)} {html.escape(' '.join(summarise(fit, ddf='none').notes))}</p>"
    body += answers.versions()
    return Section("technical", "Technical details", body)


def page_of(heading: str, verdict: str, sections: list[Section]) -> str:
    """Return a page of a heading, a verdict and sections as HTML text."""
    title = html.escape(heading)
    links = "".join(f'<li><a href="#{s.anchor}">{html.escape(s.title)}</a></li>' for s in sections)
    parts = "".join(
        f'<section id="{s.anchor}" aria-labelledby="{s.anchor}-title">'
        f'<h2 id="{s.anchor}-title">{html.escape(s.title)}</h2>'
        f"{s.body}</section>\n"
        for s in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<title>{title}</title>\n<link rel="icon" href="data:,">\n<style>{CSS}</style>\n</head>\n<body>\n'
        f"<main>\n<h1>{title}</h1>\n{verdict}\n"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n{parts}</main>\n</body>\n</html>\n'
    )
