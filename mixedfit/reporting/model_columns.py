"""What each model shows in a table of fits and posteriors: coefficients, random part, sizes and criteria."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from mixedfit.bayes.criticism.elpd import ExpectedDensity
from mixedfit.bayes.draws.words import labelled_words
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.errors import ModelError
from mixedfit.core.format import join_words, share_text
from mixedfit.core.names import factors_of
from mixedfit.diagnostics import Diagnostics
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import Named, NamedDesign, effect_names, label_of, readable_names
from mixedfit.estimation.parameters import Parameter, parameters_of, values_of, variance_parameters
from mixedfit.inference.coefficients import coefficient_table
from mixedfit.inference.ddf import Ddf
from mixedfit.inference.wald import wald_intervals

from .apa import fixed

__all__ = [
    "RESIDUAL",
    "ModelColumns",
    "Quantity",
    "Shown",
    "cheap_density",
    "fit_columns",
    "group_words",
    "named",
    "posterior_columns",
    "posterior_notes",
    "size_rows",
]

Shown: TypeAlias = Literal["estimate", "std_error", "ci", "df", "statistic", "p"]

CHEAP = 10_000_000
"""Rows times draws up to which leave-one-out takes about a second, so that a table has it."""

RESIDUAL = "SD: residual"


@dataclass(frozen=True)
class Quantity:
    """A standard deviation, correlation or other parameter of the random part.

    Attributes
    ----------
    value : float
        Estimate, or posterior mean.
    correlation : bool
    error, lower, upper : float
        Posterior SD and limits of the credible interval; NaN for fits and parameters that are known.
    """

    value: float
    correlation: bool = False
    error: float = np.nan
    lower: float = np.nan
    upper: float = np.nan


@dataclass(frozen=True, eq=False)
class ModelColumns:
    """One model of a table.

    Attributes
    ----------
    shown : tuple of str
        Its columns.
    coefficients : pandas.DataFrame
        Label, estimate, std_error, df, statistic, p_value, lower and upper of the fixed effects.
    method : str
        Method of the degrees of freedom; empty for a posterior.
    random : dict of str to Quantity
        The random part by label; σ is "SD: residual".
    levels : dict of str to int
        Number of levels by grouping factor.
    sizes : dict of str to str
        Other rows of the section on the model.
    """

    shown: tuple[Shown, ...]
    coefficients: pd.DataFrame
    method: str
    random: dict[str, Quantity]
    levels: dict[str, int]
    sizes: dict[str, str]


def named(model: Fit | Posterior) -> Named:
    """Return the names of a model."""
    return NamedDesign(model.design) if isinstance(model, Posterior) else model


# -- fits ------------------------------------------------------------------------------------------


def fit_columns(
    fit: Fit, labels: Mapping[str, str], *, shown: tuple[Shown, ...], ddf: Ddf | None, level: float, apa: bool
) -> ModelColumns:
    """Return what a fit shows."""
    frame, method = coefficient_table(fit, ddf)
    frame = frame.join(wald_intervals(fit, level, [str(name) for name in frame.index], ddf=ddf))
    frame.insert(0, "label", readable_names(fit, labels))
    chosen = [p for p in parameters_of(fit) if p.kind != "fixed"]
    chosen = chosen if fit.design.blocks or fit.residual is not None else []
    values = zip(chosen, values_of(fit, chosen), strict=True)
    shares = {name: _share(value, apa) for name, value in _shares(fit).items()}
    criteria = {"Log-likelihood": fit.llf, "AIC": fit.aic, "BIC": fit.bic}
    return ModelColumns(
        shown,
        frame[frame["estimate"].notna()],
        method,
        {_random_label(fit, p, labels): Quantity(float(v), p.kind == "correlation") for p, v in values},
        dict(fit.ngroups),
        {
            "Observations": f"{fit.nobs}",
            **shares,
            **{name: fixed(float(value), 1) for name, value in criteria.items()},
            "Fitted by": "REML" if fit.reml else "ML",
        },
    )


def _random_label(model: Named, parameter: Parameter, labels: Mapping[str, str]) -> str:
    """Return the label of a parameter of the random part."""
    if parameter.kind == "sigma":
        return RESIDUAL
    if parameter.kind == "residual":
        return f"Residual: {parameter.name}"
    block = model.design.blocks[parameter.block]
    group = group_words(block.name, labels)
    words = effect_names(model, parameter.block, labels)
    places = sorted(place for place in (parameter.first, parameter.second) if 0 <= place < len(words))
    effects = [words[place] for place in dict.fromkeys(places)]
    if parameter.kind == "sd":
        return f"SD: {effects[0]} | {group}"
    if parameter.kind == "correlation" and parameter.place < 0:
        return f"Correlation: {', '.join(effects)} | {group}"
    return parameter.words


def group_words(name: str, labels: Mapping[str, str]) -> str:
    """Return the label of a grouping factor; that of a:b has the labels of a and b."""
    if name in labels:
        return labels[name]
    return ":".join(label_of(part, labels) for part in factors_of(name))


def _shares(fit: Fit) -> dict[str, float]:
    """Return R² and the adjusted ICC; empty where rows or random effects are missing."""
    if fit.design.absent is not None or not fit.design.blocks:
        return {}
    try:
        own = Diagnostics(fit)
        r, icc = own.r_squared()["estimate"], own.icc()["estimate"]
    except ModelError:
        return {}
    return {"Marginal R²": r["marginal"], "Conditional R²": r["conditional"], "ICC": icc["adjusted"]}


def _share(value: float, apa: bool) -> str:
    if np.isnan(value):
        return ""
    return share_text(value) if apa else f"{value:.2f}"


# -- posteriors ------------------------------------------------------------------------------------


def posterior_columns(
    posterior: Posterior,
    labels: Mapping[str, str],
    *,
    shown: tuple[Shown, ...],
    level: float,
    density: ExpectedDensity | None,
) -> ModelColumns:
    """Return what a posterior shows: means, SDs and credible intervals; `density` is its elpd, if it is known.

    Raises
    ------
    ModelError
        If the draws are from the prior, or none of the columns is defined for a posterior.
    """
    if posterior.kind == "prior":
        raise ModelError("table was given draws from the prior; expected fits or posteriors: model.gibbs().")
    own = tuple(name for name in shown if name in ("estimate", "std_error", "ci"))
    if not own:
        raise ModelError(
            f"a posterior has none of the columns show={list(shown)}; add 'estimate' (the posterior mean), "
            "'std_error' (the posterior SD) or 'ci' (the credible interval)."
        )
    fixed_names = [posterior.design.x_names[i] for i in posterior.kept]
    values = {name: _quantity(posterior, name, level) for name in posterior.names}
    random = (
        _random_labels(posterior, labels)
        if posterior.design.blocks or len(values) > len(fixed_names) + 1
        else {}
    )
    return ModelColumns(
        own,
        _coefficients(posterior, values, fixed_names, labels),
        "",
        {label: values[name] for name, label in random.items()},
        {block.name: block.levels for block in posterior.design.blocks},
        {
            "Observations": f"{np.count_nonzero(posterior.design.counted)}",
            "elpd (SE)": "" if density is None else f"{fixed(density.elpd, 1)} ({density.se:.1f})",
            "Fitted by": "Gibbs sampler",
        },
    )


def _quantity(posterior: Posterior, name: str, level: float) -> Quantity:
    draws, correlation = posterior[name], name.startswith("cor_")
    if name in posterior.held:
        return Quantity(float(draws.mean()), correlation)
    lower, upper = np.quantile(draws, (0.5 - 0.5 * level, 0.5 + 0.5 * level)).tolist()
    return Quantity(float(draws.mean()), correlation, float(draws.std(ddof=1)), lower, upper)


def _coefficients(
    posterior: Posterior, values: Mapping[str, Quantity], names: list[str], labels: Mapping[str, str]
) -> pd.DataFrame:
    own = NamedDesign(posterior.design)
    words = dict(zip(own.coefficient_names, readable_names(own, labels), strict=True))
    missing = dict.fromkeys(("df", "statistic", "p_value"), np.nan)
    rows = [
        {
            "label": words[name],
            "estimate": values[name].value,
            "std_error": values[name].error,
            **missing,
            "lower": values[name].lower,
            "upper": values[name].upper,
        }
        for name in names
    ]
    columns = ["label", "estimate", "std_error", *missing, "lower", "upper"]
    return pd.DataFrame(rows, index=pd.Index(names, dtype=object), columns=columns)


def _random_labels(posterior: Posterior, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of the parameters of the random part by name; those that fits have too have their labels."""
    own, fixed_names = NamedDesign(posterior.design), {posterior.design.x_names[i] for i in posterior.kept}
    known = {p.long_name: _random_label(own, p, labels) for p in variance_parameters(posterior.design)}
    if posterior.structure is not None:
        known |= {name: f"Residual: {name}" for name in posterior.structure.names}
    others = labelled_words(posterior, labels)
    return {
        name: known.get(name, others[name][0].upper() + others[name][1:])
        for name in posterior.names
        if name not in fixed_names
    }


def cheap_density(posterior: Posterior) -> ExpectedDensity | None:
    """Return elpd by leave-one-out of rows, if it is known at little cost; else None."""
    if posterior.kind == "prior" or posterior.design.n * posterior.chains * posterior.draws > CHEAP:
        return None
    try:
        return posterior.loo(progress=False)
    except ModelError:
        return None


def posterior_notes(
    posteriors: Mapping[str, Posterior],
    densities: Mapping[str, ExpectedDensity],
    shown: Sequence[Shown],
    *,
    beside_fits: bool,
) -> list[str]:
    """Return what the columns of posteriors are, how their models differ, and what is not reliable.

    `beside_fits` says that the table has fits too.
    """
    words = (("estimate", "means"), ("std_error", "SDs"), ("ci", "credible intervals (CrI)"))
    what = f"posterior {join_words([text for name, text in words if name in shown])}"
    begin = f"{join_words(list(posteriors))}: {what}" if beside_fits else what[0].upper() + what[1:]
    tested = any(name in shown for name in ("df", "statistic", "p"))
    out = [f"{begin}{', without p-values' if beside_fits and tested else ''}."]
    alone = len(posteriors) == 1 and not beside_fits
    for head, own in posteriors.items():
        differences = () if own.scales is None else own.scales.error_model.differences
        out += [("" if alone else f"{head}: ") + "; ".join(differences) + "."] if differences else []
    if densities:
        out.append(
            "elpd: expected log predictive density of new rows, by leave-one-out; not comparable with AIC."
        )
    doubtful = [head for head, own in densities.items() if own.high.size]
    out += [f"elpd is not reliable for some rows of {join_words(doubtful)}."] if doubtful else []
    short = [head for head, own in posteriors.items() if own.warnings]
    return [*out, *([f"The draws do not suffice: {', '.join(short)}."] if short else [])]


# -- rows ------------------------------------------------------------------------------------------

_FIRST = ("Observations",)

_LAST = ("Marginal R²", "Conditional R²", "ICC", "Log-likelihood", "AIC", "BIC", "elpd (SE)", "Fitted by")


def size_rows(columns: list[ModelColumns], labels: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return numbers of rows and levels, R² and the criteria; blank for models that have none."""
    rows = [(name, [own.sizes[name] for own in columns]) for name in _FIRST]
    for name in dict.fromkeys(name for own in columns for name in own.levels):
        counts = [own.levels.get(name) for own in columns]
        rows.append((f"Levels of {group_words(name, labels)}", ["" if n is None else f"{n}" for n in counts]))
    for name in _LAST:
        texts = [own.sizes.get(name, "") for own in columns]
        if any(texts):
            rows.append((name, texts))
    return rows
