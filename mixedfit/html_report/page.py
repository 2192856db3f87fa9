"""The page: sections in order, one file, no scripts, nothing from elsewhere."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from ..errors import DataError, ModelError
from ..inference.profile import Profile
from ..inference.wald import coefficient_table, wald_intervals
from ..labels import check_level
from ..markup import html_table
from ..parameters import parameters_of, values_of
from ..summary import LONG_TABLE, fixed_cells
from ..tables import Table, tables_of
from . import figures, mathematics, words
from .style import CSS

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = ["report", "report_html"]

EVALUATIONS = 120
"""Evaluations of the criterion that the profile of one parameter takes, about."""

PATIENCE = 20.0
"""Seconds that profiles may take, as estimated, if nobody asked for them."""


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What the page asks a browser to refuse: scripts, and everything that is not in the file."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page under a heading."""

    anchor: str
    title: str
    body: str


def report(
    fit: MixedResults,
    path: str | Path,
    *,
    title: str | None = None,
    level: float = 0.95,
    profile: bool | Literal["auto"] = "auto",
) -> Path:
    """Write a page about a fit: the model, the verdict, tables, intervals and diagnostics, in plain words.

    One HTML file with its pictures inside: no scripts, nothing that a browser must fetch. It reads on a phone and with
    a screen reader.

    Parameters
    ----------
    fit : MixedResults
    path : str or Path
        Where to; a file of that name is replaced.
    title : str, optional
        By default the formula's response.
    level : float
        Coverage of the intervals, at least 0.5 and below 1.
    profile : {"auto", True, False}
        Whether to compute profile intervals; "auto" does if that seems to take less than 20 seconds.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    DataError
        If the file cannot be written.
    ModelError
        If matplotlib is not installed or an option is not valid.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> mf.report(fit, "report.html")  # doctest: +SKIP
    PosixPath('report.html')
    """
    text = report_html(fit, title=title, level=level, profile=profile)
    out = Path(path)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from None
    return out


def report_html(
    fit: MixedResults,
    *,
    title: str | None = None,
    level: float = 0.95,
    profile: bool | Literal["auto"] = "auto",
) -> str:
    """Return the page of `report` as text."""
    check_level(level)
    traced = fit.profile() if _wants_profile(fit, profile) else None
    heading = title or f"{words.response_of(fit)}: a {'mixed' if fit.ngroups else 'linear'} model"
    sections = [
        _model(fit),
        _fixed(fit, level, traced),
        *([_random(fit, level, traced)] if fit.ngroups else []),
        _checks(fit),
        _further(fit, level, traced),
    ]
    return _page(heading, _verdict(fit), sections)


def _wants_profile(fit: MixedResults, profile: bool | Literal["auto"]) -> bool:
    if profile not in (True, False, "auto"):
        raise ModelError(f"profile={profile!r} is not known; expected True, False or 'auto'.")
    if profile != "auto":
        return bool(profile) and fit.converged
    count = len(parameters_of(fit._fit))
    if not fit.converged or count > 40:
        return False
    criterion = fit._fit.criterion(False)
    criterion(fit._fit.theta)
    begun = perf_counter()
    criterion(fit._fit.theta)
    seconds = (
        perf_counter() - begun + 2e-8 * fit.nobs * count
    )  # one evaluation, and the rows of a fixed effect held
    return EVALUATIONS * count * seconds < PATIENCE


def _paragraphs(sentences: list[str]) -> str:
    return "".join(f"<p>{html.escape(text)}</p>" for text in sentences)


def _list(items: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in items)}</ul>" if items else ""


def _scrolled(body: str, label: str) -> str:
    """Return what may be wider than a phone, so that it scrolls by itself and by the keyboard."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(label)}">{body}</div>'


def _table(table: Table, caption: str) -> str:
    plain = Table(table.caption, table.heads, table.rows, table.left)
    return _scrolled(html_table(plain, caption), caption) + _paragraphs(list(table.notes))


def _pictures(pictures: list[figures.Picture]) -> str:
    return f'<div class="pictures">{"".join(p.to_html() for p in pictures)}</div>' if pictures else ""


def _verdict(fit: MixedResults) -> str:
    headline, sentences = words.verdict_in_words(fit)
    kind = {"converged": "good", "boundary": "note", "failed": "bad"}[fit.convergence.status]
    sign = {"good": "✓", "note": "!", "bad": "✗"}[kind]
    return (
        f'<div class="verdict {kind}"><p><strong><span aria-hidden="true">{sign}</span> {headline}</strong></p>'
        f"{_paragraphs(sentences)}</div>"
    )


def _model(fit: MixedResults) -> Section:
    equations = [mathematics.model_math(fit)]
    equations += [mathematics.covariance_math(fit, at) for at in range(len(fit._fit.design.blocks))]
    equations.append(mathematics.residual_math(fit))
    body = (
        f"<p>Formula: <code>{html.escape(fit.formula)}</code></p>"
        + _list(words.model_in_words(fit))
        + "<h3>In mathematics</h3>"
        + _scrolled("".join(equations), "The model in mathematics")
        + "<p>Numbers in the equations are the estimates. "
        + (
            "i counts rows; brackets name the level that a row belongs to."
            if fit.ngroups
            else "i counts rows."
        )
        + "</p>"
    )
    return Section("model", "The model", body)


def _percent(level: float) -> str:
    return f"{100 * level:g}%"


def _interval(limits: pd.DataFrame, name: str, decimals: int) -> str:
    low, high = limits.loc[name, ["lower", "upper"]].to_numpy(dtype=float).tolist()
    if not (np.isfinite(low) or np.isfinite(high)):
        return "–"
    ends = [f"{v:.{decimals}f}".replace("-", "−") if np.isfinite(v) else "?" for v in (low, high)]
    return f"{ends[0]} to {ends[1]}"


def _fixed(fit: MixedResults, level: float, traced: Profile | None) -> Section:
    source, method = coefficient_table(fit._fit)
    limits = wald_intervals(fit._fit, level, "fixed", ddf=None)
    shown = source.head(LONG_TABLE)
    heads, cells = fixed_cells(shown)
    errors = [e for e in shown["std_error"] if np.isfinite(e) and e > 0]
    decimals = int(np.clip(2 - np.floor(np.log10(min(errors))), 0, 8)) if errors else 3
    intervals = {f"{_percent(level)} interval (Wald)": limits}
    if traced is not None:
        intervals[f"{_percent(level)} interval (profile)"] = traced.conf_int(level, "fixed")
    shown_limits = [[_interval(t, str(name), decimals) for name in shown.index] for t in intervals.values()]
    heads = [heads[0], *intervals, *heads[1:]]
    cells = [cells[0], *shown_limits, *cells[1:]]
    rows = tuple((str(name), *row) for name, *row in zip(shown.index, *cells, strict=True))
    notes = (
        [f"Degrees of freedom: {method}."] if method != "normal" else ["P-values by the normal distribution."]
    )
    if len(source) > len(shown):
        notes.append(f"{len(source) - len(shown)} further coefficients are not shown.")
    table = Table("Fixed effects", ("", *heads), rows, 1, tuple(notes))
    body = _list(words.effects_in_words(fit, limits, level)) + _table(table, "Fixed effects") + _terms(fit)
    return Section("fixed", "Fixed effects", body)


def _terms(fit: MixedResults) -> str:
    """Return F tests of the terms where a term has several columns."""
    try:
        found = fit.anova()
    except ModelError:
        return ""
    if found.table.empty or not (found.table["df_num"] > 1).any():
        return ""
    (table,) = tables_of(found)
    return "<h3>Tests of the terms</h3>" + _table(
        table, "F tests, each term adjusted for all others (type III)"
    )


def _random(fit: MixedResults, level: float, traced: Profile | None) -> Section:
    chosen = [p for p in parameters_of(fit._fit) if p.kind != "fixed"]
    values = values_of(fit._fit, chosen)
    own = None if traced is None else traced.conf_int(level, [p.name for p in chosen])
    rows = []
    for p, value in zip(chosen, values, strict=True):
        decimals = 2 if p.kind == "correlation" else int(np.clip(3 - np.floor(np.log10(value or 1.0)), 1, 8))
        variance = "" if p.kind == "correlation" else f"{value**2:.4g}"
        shown = "not defined" if np.isnan(value) else f"{value:.{decimals}f}"
        row = [p.words[0].upper() + p.words[1:], shown, variance]
        rows.append(tuple(row if own is None else [*row, _interval(own, p.name, decimals)]))
    heads = ["", "Estimate", "Variance"] + ([] if own is None else [f"{_percent(level)} interval (profile)"])
    table = Table("Variances", tuple(heads), tuple(rows))
    body = _list(words.shares_in_words(fit)) + _table(
        table, "Standard deviations and correlations of random effects"
    )
    if own is None:
        body += _paragraphs([_why_no_profile(fit)])
    body += _pictures([*figures.effect_pictures(fit), *figures.slope_pictures(fit)])
    return Section("random", "Random effects", body)


def _why_no_profile(fit: MixedResults) -> str:
    if not fit.converged:
        return "Profile intervals were left out, since the fit did not converge."
    return (
        "Profile intervals were left out since they take long; mf.report(fit, path, profile=True) adds them."
    )


def _checks(fit: MixedResults) -> Section:
    influence = figures.influence_picture(fit)
    body = (
        "<p>The model assumes that residuals have mean 0 everywhere, one spread, and a normal distribution. "
        "Small departures are usual and harmless; clear patterns are not.</p>"
        + _list(words.checks_of(fit).sentences())
        + _pictures([*figures.residual_pictures(fit), *([influence] if influence else [])])
    )
    return Section("checks", "Does the model fit the data?", body)


def _further(fit: MixedResults, level: float, traced: Profile | None) -> Section:
    from .. import __version__

    criteria = fit.glance().iloc[0]
    rows = [(str(name), f"{value:,.1f}" if name not in ("nobs", "df.residual") else f"{int(value):,}")
            for name, value in criteria.items() if name != "sigma"]  # fmt: skip
    names = {"nobs": "Rows", "logLik": "Log-likelihood", "REMLcrit": "REML criterion", "deviance": "−2 log-likelihood",
             "df.residual": "Rows less parameters"}  # fmt: skip
    table = Table("Criteria", ("", "Value"), tuple((names.get(name, name), text) for name, text in rows))
    body = _table(table, "Likelihood and criteria")
    if fit.reml:
        body += _paragraphs(
            [
                "Log-likelihood, AIC and BIC are REML's: compare them only between models with the same fixed part."
            ]
        )
    if traced is not None:
        picture = figures.profile_picture(traced)
        body += (
            "<h3>Likelihood profiles</h3>"
            + _pictures([picture] if picture else [])
            + _list(list(traced.notes))
        )
    body += f"<p>{html.escape(fit.convergence.message)} {html.escape(' '.join(fit.summary(ddf='none').notes))}</p>"
    body += f"<p>Made by mixedfit {html.escape(__version__)}.</p>"
    return Section("technical", "Technical details", body)


def _page(heading: str, verdict: str, sections: list[Section]) -> str:
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
