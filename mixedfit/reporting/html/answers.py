"""Answers beyond the coefficients: effect sizes, estimated means, shares of variance, sentences for a paper."""

from __future__ import annotations

import html
import platform
from collections.abc import Mapping
from importlib import metadata

import numpy as np
import pandas as pd

from mixedfit.core.errors import MixedfitError, ModelError
from mixedfit.core.format import join_words, share_text
from mixedfit.core.names import factors_of, plain_name
from mixedfit.core.tables import Table
from mixedfit.core.version import __version__
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import group_label, label_of, term_label
from mixedfit.inference.anova.anova import AnovaTable, term_anova
from mixedfit.inference.anova.effect_sizes import partial_effect_sizes
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.emmeans.contrasts import MarginalContrasts
from mixedfit.inference.emmeans.emmeans import MarginalMeans, MeansOptions, marginal_means
from mixedfit.inference.hypotheses.tests import t_test
from mixedfit.reporting.apa import degrees_words
from mixedfit.reporting.model_sentence import model_sentence
from mixedfit.reporting.relabelled import document_tables
from mixedfit.reporting.sentence import sentence

from .parts import paragraphs, stacked

__all__ = ["effect_sizes", "for_a_paper", "means", "share_tables", "tests_of_terms", "versions"]

MOST_CELLS = 24
"""Largest number of means of a table."""

MOST_COMPARED = 6
"""Largest number of means that are compared by pairs."""

MOST_SENTENCES = 8
"""Largest number of results that are written as sentences."""


def tests_of_terms(fit: Fit) -> AnovaTable | None:
    """Return the F tests of the terms, or None if there are none."""
    try:
        found = term_anova(fit)
    except ModelError:
        return None
    return None if found.table.empty else found


def effect_sizes(found: AnovaTable | None, labels: Mapping[str, str]) -> str:
    """Return partial η² and ω² of the terms as HTML."""
    if found is None:
        return ""
    sizes = partial_effect_sizes(found.table)
    if not np.isfinite(sizes["partial_eta_sq"]).any():
        return ""
    texts = [[share_text(value) for value in sizes[name]] for name in ("partial_eta_sq", "partial_omega_sq")]
    names = [term_label(str(name), labels) for name in sizes.index]
    rows = tuple((name, *pair) for name, *pair in zip(names, *texts, strict=True))
    notes = (
        "From F and its degrees of freedom: the share of the variation that the term and its error have.",
    )
    table = Table("Effect sizes", ("", "Partial η²", "Partial ω²"), rows, 1, notes)
    return "<h3>Effect sizes</h3>" + stacked(table, "Effect sizes of the terms")


# -- means -----------------------------------------------------------------------------------------


def means(fit: Fit, level: float, labels: Mapping[str, str]) -> str:
    """Return the estimated means of factors and of their highest interactions as HTML, and pairwise differences.

    Differences of a factor in an interaction are those within the levels of the other: simple effects.
    """
    body = []
    for names in _cells(fit):
        try:
            found = marginal_means(fit, list(names), options=MeansOptions(None, level, "link"))
        except MixedfitError:
            continue
        words = " and ".join(label_of(name, labels) for name in names)
        body.append(_table_of(found, f"Means of {words}", labels))
        if len(names) == 1 and 1 < len(found.table) <= MOST_COMPARED:
            body.append(_table_of(found.contrasts("pairwise"), f"Differences of {words}", labels))
        if len(names) == 2:
            body += [_simple_effects(fit, one, other, level, labels) for one, other in (names, names[::-1])]
    return "".join(body)


def _simple_effects(fit: Fit, name: str, within: str, level: float, labels: Mapping[str, str]) -> str:
    """Return the pairwise differences of a factor within the levels of another, or nothing where these are many."""
    found = marginal_means(fit, name, by=within, options=MeansOptions(None, level, "link"))
    if not 1 < found.table[name].nunique() <= MOST_COMPARED:
        return ""
    pairs = found.contrasts("pairwise")
    words = f"Differences of {label_of(name, labels)} within levels of {label_of(within, labels)}"
    return _table_of(pairs, words, labels) if len(pairs.table) <= MOST_CELLS else ""


def _cells(fit: Fit) -> list[tuple[str, ...]]:
    """Return the factors of the fixed part, and interactions of two that no larger one contains."""
    recipe = fit.design.recipe
    if recipe is None or recipe.refusal:
        return []
    sizes = {name: len(v.levels) for name, v in recipe.variables.items() if v.levels is not None}
    for term in recipe.terms:  # numbers that the formula makes labels of
        if (name := plain_name(term.name)) != term.name and name in recipe.variables:
            sizes.setdefault(name, len(term.columns) + 1)
    found: list[tuple[str, ...]] = []
    for term in recipe.terms:
        names = tuple(plain_name(part) for part in factors_of(term.name))
        if all(name in sizes for name in names) and np.prod([sizes[name] for name in names]) <= MOST_CELLS:
            found.append(names)
    return [names for names in dict.fromkeys(found) if len(names) <= 2]


def _table_of(found: MarginalMeans | MarginalContrasts, caption: str, labels: Mapping[str, str]) -> str:
    """Return means or contrasts as HTML."""
    (table,) = document_tables(found, labels)
    return _one_label(table, caption)


def _one_label(table: Table, caption: str) -> str:
    """Return a table as HTML, with its labels in one column."""
    heads = (", ".join(filter(None, table.heads[: table.left])), *table.heads[table.left :])
    rows = tuple((", ".join(row[: table.left]), *row[table.left :]) for row in table.rows)
    return stacked(Table(table.caption, heads, rows, 1, table.notes), caption)


# -- shares ----------------------------------------------------------------------------------------


def share_tables(fit: Fit, level: float, labels: Mapping[str, str]) -> str:
    """Return R² and intraclass correlations with intervals as HTML."""
    if not fit.design.blocks or fit.design.absent is not None:
        return ""
    own = Diagnostics(fit)
    try:
        found = [own.r_squared("delta", level=level), own.icc("delta", level=level)]
    except MixedfitError:
        return ""
    words = {"marginal": "R², marginal", "conditional": "R², conditional"}
    kinds = {"adjusted": "ICC, adjusted", "conditional": "ICC, conditional"}
    names = [words.get(str(name), str(name)) for name in found[0].index]
    names += [kinds.get(str(name), f"ICC of {group_label(str(name), labels)}") for name in found[1].index]
    table = pd.concat(found)
    rows = tuple(
        (name, f"{row['estimate']:.3f}", _limits(float(row["lower"]), float(row["upper"])))
        for name, (_, row) in zip(names, table.iterrows(), strict=True)
    )
    notes = (
        "Marginal: fixed effects; conditional: fixed and random effects (Nakagawa & Schielzeth). Adjusted ICC: share "
        "of the variance without fixed effects. Intervals: delta method.",
    )
    heads = ("", "Estimate", f"{100 * level:g}% interval")
    return "<h3>Shares of variance</h3>" + stacked(Table("Shares", heads, rows, 1, notes), "R² and ICC")


def _limits(low: float, high: float) -> str:
    return f"{low:.3f} to {high:.3f}" if np.isfinite(low) and np.isfinite(high) else "–"


# -- a paper ---------------------------------------------------------------------------------------


def for_a_paper(fit: Fit, found: AnovaTable | None, labels: Mapping[str, str]) -> str:
    """Return methods and results in APA style as HTML."""
    return (
        "<h3>Methods</h3>"
        + paragraphs([_methods(fit, labels)])
        + "<h3>Results</h3>"
        + paragraphs(_results(fit, found, labels))
    )


def _methods(fit: Fit, labels: Mapping[str, str]) -> str:
    """Return the paragraph on methods."""
    text = model_sentence(fit, "apa", labels)
    if fit.coefficient_names:
        text += f" Fixed effects were tested with {degrees_words(coefficient_table(fit)[1])}."
    return f"{text} Computations were made with mixedfit {__version__} (Python {platform.python_version()})."


def _results(fit: Fit, found: AnovaTable | None, labels: Mapping[str, str]) -> list[str]:
    """Return a sentence on each term, or on each coefficient if there are no factors and all terms have one."""
    if not fit.convergence.converged or not fit.coefficient_names:
        return []
    try:
        if found is not None and ((found.table["df_num"] > 1).any() or _has_factors(fit)):
            lines = sentence(fit, found, labels=labels).split("\n")
        else:
            names = [str(name) for name in fit.coefficient_names if name != "(Intercept)"][:MOST_SENTENCES]
            lines = sentence(fit, t_test(fit, names), labels=labels).split("\n") if names else []
    except MixedfitError:
        return []
    rest = len(lines) - MOST_SENTENCES
    return [*lines[:MOST_SENTENCES], *([f"{rest} further results are in the tables."] if rest > 0 else [])]


def _has_factors(fit: Fit) -> bool:
    """Return whether a term of the fixed part is made of labels."""
    recipe = fit.design.recipe
    return recipe is not None and any(product.labels for term in recipe.terms for product in term.products)


def versions() -> str:
    """Return the versions of the programs as HTML."""
    names = ["numpy", "scipy", "pandas", "formulaic", "numba"]
    found = [f"{name} {metadata.version(name)}" for name in names]
    text = join_words([f"mixedfit {__version__}", f"Python {platform.python_version()}", *found])
    return f"<p>Made by {html.escape(text)}.</p>"
