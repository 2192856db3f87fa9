"""Sentences that describe the model and its estimates."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from mixedfit.core.format import count_noun, join_words, number
from mixedfit.core.names import plain_name
from mixedfit.covariance import ScaledCorrelation
from mixedfit.design.columns import fixed_columns
from mixedfit.design.recipe import FixedTerm, Recipe, Variable
from mixedfit.diagnostics import Diagnostics
from mixedfit.diagnostics.variance_shares import Shares
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.labels import Named, NamedDesign, effect_names, group_label, label_of
from mixedfit.estimation.residual_words import residual_lines
from mixedfit.estimation.tables import coefficients, response_name
from mixedfit.reporting.structure_words import residual_sentence

__all__ = [
    "design_in_words",
    "effect_in_words",
    "effects_in_words",
    "left_out_in_words",
    "model_in_words",
    "response_of",
    "shares_in_words",
    "variable_of",
]

MOST_TERMS = 8
"""Largest number of terms that a sentence names."""

MOST_NUMBERS = 5e7
"""Largest number of elements of X for which linear dependencies are computed, to limit the time."""


def response_of(results: Fitted) -> str:
    """Return the response as written, without the quotes of formulas."""
    return plain_name(response_name(fit_of(results)))


def _recipe(fit: Named) -> Recipe | None:
    """Return the recipe of the design, or None if it cannot be used."""
    recipe = fit.design.recipe
    return None if recipe is None or recipe.refusal else recipe


def model_in_words(results: Fitted) -> list[str]:
    """Return sentences that describe the model and the data."""
    fit = fit_of(results)
    method = "restricted maximum likelihood (REML)" if fit.reml else "maximum likelihood"
    out = design_in_words(fit, fit.nobs, fit.cross.n, fit.ngroups)
    return [*out, _residual_words(fit), f"Parameters were estimated by {method}."]


def design_in_words(named: Named, rows: int, counted: int, groups: Mapping[str, int]) -> list[str]:
    """Return sentences that describe the data, the fixed part and the random effects.

    Parameters
    ----------
    named : Fit, or NamedDesign of a posterior
    rows, counted : int
        Number of rows, and of those of positive weight.
    groups : mapping of str to int
        Number of levels of each grouping factor.
    """
    out = [_rows_words(named, rows, counted, groups), *_fixed_words(named), *_offset_words(named)]
    return out + [_block_words(named, at) for at in range(len(named.design.blocks))]


def _rows_words(fit: Named, rows: int, counted: int, ngroups: Mapping[str, int]) -> str:
    design = fit.design
    size = count_noun(rows, "row")
    if design.dropped:
        every = design.dropped + design.n
        was = "was" if design.dropped == 1 else "were"
        size += f" ({design.dropped:,} of {every:,} {was} left out, since a value is missing in them)"
    unused = design.n - counted
    if unused:
        size += f" ({unused:,} of weight 0 {'does' if unused == 1 else 'do'} not count)"
    groups = "".join(f", {count_noun(levels, 'level')} of {name}" for name, levels in ngroups.items())
    response = plain_name(fit.formula.split("~", 1)[0].strip())
    return f"The response is {response}, in {size}{groups}".removesuffix(".") + "."


def _fixed_words(fit: Named) -> list[str]:
    names = [plain_name(str(name)) for name in fit.coefficient_names if name != "(Intercept)"]
    recipe = _recipe(fit)
    if not fit.coefficient_names:
        mean = "0" if fit.design.offset is None else "the offset"
        return [f"There are no fixed effects: the mean of every row is {mean}."]
    if not names:
        return ["The fixed part is one mean for all rows."]
    if recipe is None:
        rest = f" and {len(names) - MOST_TERMS} more" if len(names) > MOST_TERMS else ""
        return [f"The fixed part describes how the mean depends on {join_words(names[:MOST_TERMS])}{rest}."]
    terms = [term for term in recipe.terms if term.name != "(Intercept)"]
    single = [term for term in terms if len(term.factors) < 2]
    words = [_term_words(term, recipe.variables) for term in single[:MOST_TERMS]]
    words += [f"{len(single) - MOST_TERMS} more"] * (len(single) > MOST_TERMS)
    words += _interaction_words([term for term in terms if len(term.factors) > 1], len(single))
    out = [f"The fixed part describes how the mean depends on {join_words(words)}."]
    full = [term for term in terms if _has_every_level(term)]
    if any(term.name == "(Intercept)" for term in recipe.terms) or recipe.many:
        return out
    if full:
        return [
            *out,
            f"There is no intercept: coefficients of {plain_name(full[0].name)} are means of its levels.",
        ]
    return [*out, "There is no intercept: the mean is 0 where all of these are 0."]


def _term_words(term: FixedTerm, variables: Mapping[str, Variable]) -> str:
    """Return the name of a term, with the number of levels of a factor."""
    name = plain_name(term.name)
    if len(term.variables) != 1:
        return name
    variable = variables.get(term.variables[0])
    if variable is not None and variable.levels is not None:
        return f"{name} (a factor with {count_noun(len(variable.levels), 'level')})"
    if variable is not None and variable.kind == "boolean":
        return f"{name} (true or false)"
    return name


def _interaction_words(terms: list[FixedTerm], singles: int) -> list[str]:
    """Return a phrase for the interactions: for all of one order, or by name."""
    if not terms:
        return []
    if singles == 2 and len(terms) == 1 and len(terms[0].factors) == 2:
        return ["their interaction"]
    if singles > 2 and len(terms) == 2**singles - singles - 1:
        return ["all their interactions"]
    if singles > 2 and len(terms) == singles * (singles - 1) // 2 and all(len(t.factors) == 2 for t in terms):
        return ["all their two-way interactions"]
    names = [" × ".join(map(plain_name, term.name.split(":"))) for term in terms[:MOST_TERMS]]
    names += [f"{len(terms) - MOST_TERMS} more"] * (len(terms) > MOST_TERMS)
    return [f"the interaction {names[0]}" if len(terms) == 1 else f"the interactions {', '.join(names)}"]


def _has_every_level(term: FixedTerm) -> bool:
    """Return whether a term is a factor with a column for every level."""
    return len(term.factors) == 1 and any(not less for p in term.products for _, less in p.labels)


def _offset_words(fit: Named) -> list[str]:
    design = fit.design
    if design.offset is None:
        return []
    recipe, names = _recipe(fit), [plain_name(text) for text in design.formula.offsets]
    if recipe is not None and isinstance(recipe.offset, str):
        names.append(recipe.offset)
    if names:
        return [f"The offset {join_words(names)} is added to the mean as it is, without a coefficient."]
    return ["An offset, given row by row, is added to the mean as it is, without a coefficient."]


def _block_words(fit: Named, at: int) -> str:
    block = fit.design.blocks[at]
    if block.known is None:
        return _own_words(fit, at)
    return (
        f"{_own_words(fit, at)} Levels of {block.name} are related: the covariance of two levels' effects is that of "
        "one level times their known relationship, an element of the matrix A."
    )


def _own_words(fit: Named, at: int) -> str:
    block = fit.design.blocks[at]
    if list(block.effects) == ["(Intercept)"] and not fit.coefficient_names:
        return f"Each level of {block.name} has its own mean, a random intercept."
    if list(block.effects) == ["(Intercept)"]:
        return f"Each level of {block.name} has its own mean, which differs from the common one by a random intercept."
    own = _effect_phrases(fit, at)
    words = f"Each level of {block.name} has its own {join_words(own)}"
    if block.k == 1:
        return f"{words}: a random effect."
    parts = block.structure.parts
    structures = [part.in_words for part in parts if isinstance(part, ScaledCorrelation)]
    if structures:
        return f"{words}: random effects, with {join_words(structures)}."
    tied = any(part.k > 1 and part.invariance == "linear" for part in parts)
    within = " within a term" if len(parts) > 1 else ""
    return f"{words}: random effects, which {f'may be correlated{within}' if tied else 'are uncorrelated'}."


def _effect_phrases(fit: Named, at: int) -> list[str]:
    """Return phrases for the random effects of a grouping factor; numeric effects share one."""
    block, recipe = fit.design.blocks[at], _recipe(fit)
    has_mean = "(Intercept)" in block.effects
    terms = [] if recipe is None else [t for t in recipe.effect_terms(at) if t.name != "(Intercept)"]
    if recipe is None:
        plainly = [plain_name(effect) for effect in block.effects if effect != "(Intercept)"]
    else:
        plainly = [plain_name(t.name) for t in terms if len(t.factors) == 1 and not _is_label(t)]
    plainly[4:] = [f"{len(plainly) - 4} more"] * (len(plainly) > 4)
    out = ["mean"] * has_mean
    if plainly:
        out.append(f"effect{'s' * (len(plainly) > 1)} of {join_words(plainly)}")
    for term in terms:
        name = " × ".join(map(plain_name, term.name.split(":")))
        if len(term.factors) > 1:
            out.append(f"interaction {name}")
        elif _has_every_level(term):
            out.append(f"{'deviation' if has_mean else 'mean'} at each level of {name}")
        elif _is_label(term):
            out.append(f"differences between levels of {name}")
    return out


def _is_label(term: FixedTerm) -> bool:
    return any(p.labels for p in term.products)


def effect_in_words(
    results: Fitted | NamedDesign, at: int, effect: str, labels: Mapping[str, str] | None = None
) -> str:
    """Return a phrase for a random effect: "intercept", "effect of Days", "mean of Machine A"."""
    fit = results if isinstance(results, NamedDesign) else fit_of(results)
    block, recipe = fit.design.blocks[at], _recipe(fit)
    if effect == "(Intercept)":
        return "intercept"
    place = list(block.effects).index(effect)
    terms = () if recipe is None else recipe.effect_terms(at)
    full = any(place in term.columns and _has_every_level(term) for term in terms)
    name = effect_names(fit, at, labels)[place]
    if full:
        return f"{'deviation' if '(Intercept)' in block.effects else 'mean'} of {name}"
    return f"effect of {name}"


def variable_of(results: Fitted, at: int, effect: str, labels: Mapping[str, str] | None = None) -> str:
    """Return the variable of a random effect; the name of the effect if it has several variables."""
    fit = fit_of(results)
    block, recipe = fit.design.blocks[at], _recipe(fit)
    place = list(block.effects).index(effect)
    terms = () if recipe is None else recipe.effect_terms(at)
    names = [name for term in terms if place in term.columns for name in term.variables]
    return label_of(names[0], labels) if len(names) == 1 else effect_names(fit, at, labels)[place]


def _residual_words(fit: Fit) -> str:
    if fit.residual is not None:
        words = [residual_sentence(fit.design), *residual_lines(fit)]
        return f"The residual is normal, with a covariance between rows. {' '.join(words)}"
    out = "The residual is independent between rows and normal, "
    out += (
        "with one variance"
        if fit.design.weights is None
        else "with a variance inversely proportional to the weight of the row"
    )
    if fit.held_sigma is None:
        return f"{out}."
    where = "" if fit.design.weights is None else " at weight 1"
    return f"{out}. Its standard deviation{where} was held at {number(fit.held_sigma)}, not estimated."


def left_out_in_words(results: Fitted) -> list[str]:
    """Return a sentence for each linearly dependent column, which has no estimate."""
    fit = fit_of(results)
    return [
        f"{plain_name(name)} has no estimate (NA): {_alias_words(name, others)}"
        for name, others in _aliases(fit).items()
    ]


def _alias_words(name: str, others: list[str] | None) -> str:
    """Return the reason why a column has no estimate, from the columns that it is a linear combination of."""
    if others is None:
        return "its column follows from others."
    if not others:
        return f"its column is 0 in every row{', as for a combination that no row has' * (':' in name)}."
    names = [plain_name(other) for other in others if other != "(Intercept)"]
    if not names:
        return "its column is the same in every row."
    words = f"its column follows from {'that' if len(names) == 1 else 'those'} of {join_words(names)}."
    if len(names) == 1:
        return f"{words} The data cannot distinguish them: the coefficient of {names[0]} stands for both."
    return f"{words} The data cannot distinguish them: their coefficients include its effect."


def _aliases(fit: Fit) -> dict[str, list[str] | None]:
    """Return each column without an estimate, and the columns that it is a linear combination of (None: unknown)."""
    design = fit.design
    names = [str(name) for name in design.x_names]
    kept = np.isfinite(coefficients(fit).to_numpy()[: len(names)])
    out: dict[str, list[str] | None] = {n: None for n, ok in zip(names, kept, strict=True) if not ok}
    if not out or design.many or fit.design.n * kept.sum() > MOST_NUMBERS:
        return out
    X = fixed_columns(design)
    size = np.linalg.norm(X, axis=0)
    X = X / np.where(size > 0, size, 1.0)
    shares = np.linalg.lstsq(X[:, kept], X[:, ~kept], rcond=None)[0]
    own = [name for name, ok in zip(names, kept, strict=True) if ok]
    for column, name in zip(shares.T, list(out), strict=True):
        out[name] = [other for other, share in zip(own, column, strict=True) if abs(share) > 1e-7]
    return out


def effects_in_words(
    results: Fitted, intervals: pd.DataFrame, level: float, labels: Mapping[str, str] | None = None
) -> list[str]:
    """Return a sentence for each slope of a numeric variable that is in one term only, untransformed; at most eight.

    Parameters
    ----------
    results : Fit or MixedResults
    intervals : pandas.DataFrame
        Columns lower and upper, indexed by coefficient.
    level : float
        Coverage of the intervals.
    labels : mapping of str to str, optional
        Texts in place of the names of the response and of variables.
    """
    fit = fit_of(results)
    recipe = _recipe(fit)
    if recipe is None:
        return []
    aliases = _aliases(fit)
    if None in aliases.values():
        return []
    unclear = {other for others in aliases.values() for other in others or ()}
    names = list(coefficients(fit).index)
    out = []
    for term in recipe.terms:
        alone = [other for other in recipe.terms if set(other.variables) & set(term.variables)] == [term]
        variable = recipe.variables.get(term.variables[0]) if len(term.variables) == 1 else None
        if not alone or variable is None or variable.kind != "number" or len(term.columns) != 1:
            continue
        name = names[term.columns[0]]
        if (
            plain_name(term.name) == term.variables[0]
            and name not in unclear
            and np.isfinite(coefficients(fit)[name])
        ):
            out.append(_reading(fit, name, intervals, level, labels))
    return out[:8]


def _reading(
    fit: Fit, name: str, intervals: pd.DataFrame, level: float, labels: Mapping[str, str] | None
) -> str:
    """Return a sentence on a slope: the difference between two rows that differ by one unit."""
    value = float(coefficients(fit)[name])
    low, high = intervals.loc[[name], ["lower", "upper"]].to_numpy(dtype=float)[0].tolist()
    direction = "higher" if value >= 0 else "lower"
    low, high = (low, high) if value >= 0 else (-high, -low)
    within = f" ({100 * level:g}% interval {number(low, 3)} to {number(high, 3)})" if np.isfinite(low) else ""
    unsure = " The interval includes 0: the direction is uncertain." if low < 0 < high else ""
    variable, response = label_of(name, labels), label_of(response_of(fit), labels)
    return (
        f"One unit more of {variable} goes with {response} {number(abs(value), 3)} {direction} on average, other "
        f"things equal{within}.{unsure}"
    )


def shares_in_words(results: Fitted, labels: Mapping[str, str] | None = None) -> list[str]:
    """Return sentences on the shares of variance: by grouping factor if all effects are intercepts, otherwise R²."""
    fit = fit_of(results)
    if not fit.design.blocks:
        return []
    if any(block.effects != ("(Intercept)",) for block in fit.design.blocks):
        r = Diagnostics(fit).r_squared(None)["estimate"]
        without = "" if fit.design.offset is None else ", without the offset,"
        return [
            f"The fixed part{without} explains {100 * r['marginal']:.1f}% of the variance of a row, fixed and random "
            f"effects together {100 * r['conditional']:.1f}% (Nakagawa & Schielzeth's marginal and conditional R²)."
        ]
    parts = Shares(fit).components[1:]
    groups = [group_label(block.name, labels) for block in fit.design.blocks]
    names = [f"between levels of {group}" for group in groups] + ["in the residuals"]
    shares = [f"{100 * v / parts.sum():.1f}% {name}" for v, name in zip(parts, names, strict=True)]
    shares[0] = re.sub("% ", "% lies ", shares[0], count=1)
    out = [f"Of the variance that the fixed part leaves, {join_words(shares)}."]
    if len(parts) == 2 and fit.design.weights is None and fit.residual is None:
        out.append(
            f"In other words, two rows of the same level of {groups[0]} have a correlation of "
            f"{parts[0] / parts.sum():.2f} (the intraclass correlation)."
        )
    return out
