"""Differences between a fit and a posterior of the same model, with known reasons, in words.

Under the model of the fit and default priors, which are weak, what differs is what each makes of the likelihood. With
another model, or priors that were given, these are named, and of the numbers only that they differ is said.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfit.bayes.distributions import Normal
from mixedfit.bayes.posterior import Posterior
from mixedfit.estimation.parameters import variance_parameters

from .results import MixedResults

__all__ = ["differences"]

APART = 0.05
"""Relative difference of widths or estimates from which it is worth a word."""

SKEWED = 0.3
"""Skewness of draws from which a tail is spoken of."""

MOVED = 0.25
"""Difference of a posterior mean and an estimate, in standard errors (posterior SDs of a correlation), from which it is
worth a word."""

Row = dict[str, float]


def differences(
    fit: MixedResults, posterior: Posterior, table: pd.DataFrame, shrinkage: pd.DataFrame, *, level: float
) -> Iterator[str]:
    """Yield the differences, with the reason where it is known.

    Parameters
    ----------
    fit : MixedResults
    posterior : Posterior
    table, shrinkage : pandas.DataFrame
        Of `Comparison`.
    level : float
        Coverage of the table's intervals.
    """
    setting = [*_other_model(fit, posterior), *_other_priors(fit, posterior)]
    yield from setting
    rows = {str(name): {str(k): float(v) for k, v in row.items()} for name, row in table.T.to_dict().items()}
    if posterior.scales is None:
        yield from _on_variances(fit, posterior, rows, alike=not setting)
        yield from _on_correlations(fit, posterior, rows)
    yield from _on_coefficients(fit, posterior, rows, level, alike=not setting)
    if not fit.reml:
        yield (
            "The fit is by maximum likelihood, whose variances are too small by the fixed effects' share; REML's "
            "are not."
        )
    yield from _on_effects(shrinkage, alike=not setting)
    for warning in posterior.warnings:
        yield f"Beware: {warning}"


def _other_model(fit: MixedResults, posterior: Posterior) -> Iterator[str]:
    """Yield the differences between the models of the posterior and of the fit."""
    if posterior.scales is not None:
        shape = posterior.scales.error_model
        told = "; ".join(shape.differences)
        yield f"The fit's residuals and effects are normal with one σ, the posterior's model has {told}."
        if any(not isinstance(d, Normal) for d in (shape.errors, *shape.effects)):
            yield (
                "A scale of a t or Laplace distribution is not a standard deviation: that is √(ν/(ν − 2)) times the "
                "scale of a t, √2 times a Laplace's."
            )
    own = [p.long_name for p in variance_parameters(fit._fit.design) if p.kind == "correlation"]
    left_out = [name for name in own if name not in posterior]
    if left_out:
        yield f"The posterior's model has no {', '.join(left_out)}: the prior given leaves these effects uncorrelated."


def _other_priors(fit: MixedResults, posterior: Posterior) -> Iterator[str]:
    """Yield informative priors that were given, and parameters that are held."""
    held = fit._fit.held_sigma
    known = [text for text in posterior.given if text.endswith(", known")]
    alike = [text for text in known if held is not None and text == f"σ = {held:.4g}, known"]
    given = [text for text in posterior.given if text not in known and "∝ 1" not in text.split("/")[0]]
    if held is not None and not alike:
        yield f"The fit holds σ at {held:.4g}; in the posterior it is {'held at another value' if known else 'drawn'}."
    different = [text for text in known if text not in alike]
    if different:
        what = "; ".join(text.removesuffix(", known") for text in different)
        yield f"The posterior holds {what}, which the fit {'estimates' if held is None else 'does not'}."
    if given:
        yield (
            f"Priors were given, in place of the weak defaults: {'; '.join(given)}. The fit has none, so that these "
            "may be why the two differ."
        )


def _on_variances(
    fit: MixedResults, posterior: Posterior, rows: dict[str, Row], *, alike: bool
) -> Iterator[str]:
    """Yield where the posterior means of standard deviations of effects are not the estimates."""
    for block in fit._fit.design.blocks:
        for effect in block.effects:
            name = f"sd_{effect}|{block.name}"
            if name not in rows or np.ptp(posterior[name]) == 0.0:
                continue
            row, draws = rows[name], posterior[name].ravel()
            estimate, mean, median = row["estimate"], row["post_mean"], float(np.median(draws))
            if estimate == 0.0:
                where = "the likelihood's highest point" if alike else "an end of its range"
                yield (
                    f"{name}: the estimate is 0, {where}; "
                    f"a posterior mean averages over all values, here up to about {row['cred_upper']:.3g}."
                )
            elif abs(mean - estimate) > APART * estimate:
                side = "above" if mean > estimate else "below"
                told = f"{name}: the posterior mean, {mean:.4g}, is {side} the estimate, {estimate:.4g}"
                yield told + _tail(draws, mean, median, estimate)


def _tail(draws: np.ndarray, mean: float, median: float, estimate: float) -> str:
    """Return whether the tail of the draws takes the mean away from the estimate, as the rest of a sentence."""
    z = draws - mean
    skewness = float(np.mean(z**3) / np.mean(z**2) ** 1.5)
    if skewness < SKEWED or mean < estimate:
        return f", and so is the median, {median:.4g}." if (median < estimate) == (mean < estimate) else "."
    if mean - median >= 0.5 * (mean - estimate):
        return f": its posterior is skewed (median {median:.4g}), and a mean follows the tail."
    return f"; the median is {median:.4g}."


def _on_correlations(fit: MixedResults, posterior: Posterior, rows: dict[str, Row]) -> Iterator[str]:
    """Yield where the posterior mean of a correlation is not the estimate, with the prior."""
    design = fit._fit.design
    for parameter in variance_parameters(design):
        name = parameter.long_name
        if parameter.kind != "correlation" or name not in posterior:
            continue
        row, block = rows[name], design.blocks[parameter.block]
        estimate, mean = row["estimate"], row["post_mean"]
        if abs(mean - estimate) > MOVED * row["post_sd"]:  # false for an estimate that is NaN
            effects = (block.effects[parameter.first], block.effects[parameter.second])
            told = f"{name}: the posterior mean, {mean:.3f}, is {'above' if mean > estimate else 'below'}"
            median = float(np.median(posterior[name]))
            yield (
                f"{told} the estimate, {estimate:.3f}, which is a mode; the median is {median:.3f}. "
                f"{_of_correlations(posterior, block.name, effects)}"
            ).rstrip()


def _of_correlations(posterior: Posterior, group: str, effects: tuple[str, ...]) -> str:
    """Return what the prior of a covariance matrix says of its correlations, empty if it is not found."""
    for statement in posterior.priors:
        label, _, prior = statement.partition("] ~ ")
        terms, _, factor = label.removeprefix("Ω[").rpartition(" | ")
        if not statement.startswith("Ω[") or factor != group or not all(e in terms for e in effects):
            continue
        said = ""
        if prior.startswith("Huang–Wand"):
            said = " prefers correlations near 0 if SDs are small beside its scales"
        elif prior.startswith("LKJ"):
            eta = float(prior[4 : prior.index(")")])
            said = f" prefers correlations near {'0' if eta > 1 else '±1'}" if eta != 1 else " is uniform"
        return f"Its prior is {prior}{f', which{said}' if said else ''}."
    return ""


def _on_coefficients(
    fit: MixedResults, posterior: Posterior, rows: dict[str, Row], level: float, *, alike: bool
) -> Iterator[str]:
    """Yield where credible intervals are not as wide as Wald's, or posterior means not the estimates."""
    z = float(ndtri(0.5 * (1 + level)))
    for name in map(str, fit.bse.dropna().index):
        row, error = rows[name], float(fit.bse[name])
        share = (row["cred_upper"] - row["cred_lower"]) / (2 * z * error) - 1
        prior = next((text for text in posterior.given if text.startswith(f"β[{name}] ~")), None)
        if abs(share) > APART:
            told = f"{name}: the credible interval is {100 * abs(share):.0f}% {'wider' if share > 0 else 'narrower'}"
            known = ", which takes the variances as known" if share > 0 and alike else ""
            yield f"{told} than estimate ± {z:.2f} standard errors{known}."
        if abs(row["post_mean"] - row["estimate"]) > MOVED * error:
            ends = f"; its prior is {prior}" if prior else ""
            yield f"{name}: the posterior mean is {row['post_mean']:.4g}, the estimate {row['estimate']:.4g}{ends}."


def _on_effects(table: pd.DataFrame, *, alike: bool) -> Iterator[str]:
    """Yield where BLUPs and posterior means are shrunk differently."""
    for (group, effect), mode, mean in zip(
        table.index, table.get("shrunk_mode", ()), table.get("shrunk_mean", ()), strict=True
    ):
        if abs(mode - mean) > APART:
            why = (
                ": the fit takes the variances to be what it estimates, the posterior averages over their values"
                if alike
                else ""
            )
            yield (
                f"{effect} of {group}: BLUPs go {100 * mode:.0f}% of the way from what each level says alone to the "
                f"mean, posterior means {100 * mean:.0f}%{why}."
            )
