"""Notes on the differences between a fit and a posterior of the same model, with the reason where it is known.

Under the model of the fit and the weak default priors, differences come from maximising or averaging the likelihood.
Another model, or priors of the user, are listed first; numbers are then compared without a reason.
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

DISCREPANT = 0.05
"""Least relative difference of widths or estimates that is reported."""

SKEWED = 0.3
"""Least skewness of draws that is given as the reason of a difference."""

SHIFTED = 0.25
"""Least difference of a posterior mean and an estimate, in standard errors, that is reported."""

Row = dict[str, float]


def differences(
    fit: MixedResults, posterior: Posterior, table: pd.DataFrame, shrinkage: pd.DataFrame, *, level: float
) -> Iterator[str]:
    """Yield a sentence for each difference.

    Parameters
    ----------
    fit : MixedResults
    posterior : Posterior
    table, shrinkage : pandas.DataFrame
        Of `Comparison`.
    level : float
        Coverage of the table's intervals.
    """
    settings = [*_other_model(fit, posterior), *_other_priors(fit, posterior)]
    yield from settings
    same_model = not settings
    rows = {str(name): {str(k): float(v) for k, v in row.items()} for name, row in table.T.to_dict().items()}
    if posterior.scales is None:
        yield from _on_variances(fit, posterior, rows, same_model=same_model)
    yield from _on_coefficients(fit, posterior, rows, level, same_model=same_model)
    if not fit.reml:
        yield (
            "The fit is by maximum likelihood, whose variances are too small by the fixed effects' share; REML's "
            "are not."
        )
    yield from _on_effects(shrinkage, same_model=same_model)
    for warning in posterior.warnings:
        yield f"Beware: {warning}"


def _other_model(fit: MixedResults, posterior: Posterior) -> Iterator[str]:
    """Yield the differences between the model of the posterior and that of the fit."""
    if posterior.scales is not None:
        shape = posterior.scales.shape
        other = "; ".join(shape.differences)
        yield f"The fit's residuals and effects are normal with one σ, the posterior's model has {other}."
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
    """Yield the priors of the user, flat ones excepted, and the parameters that are held."""
    held = fit._fit.held_sigma
    known = [text for text in posterior.given if text.endswith(", known")]
    same_value = [text for text in known if held is not None and text == f"σ = {held:.4g}, known"]
    given = [text for text in posterior.given if text not in known and "∝ 1" not in text.split("/")[0]]
    if held is not None and not same_value:
        yield f"The fit holds σ at {held:.4g}; in the posterior it is {'held at another value' if known else 'drawn'}."
    different = [text for text in known if text not in same_value]
    if different:
        what = "; ".join(text.removesuffix(", known") for text in different)
        yield f"The posterior holds {what}, which the fit {'estimates' if held is None else 'does not'}."
    if given:
        yield (
            f"Priors were given, in place of the weak defaults: {'; '.join(given)}. The fit has none, so that these "
            "may be why the two differ."
        )


def _on_variances(
    fit: MixedResults, posterior: Posterior, rows: dict[str, Row], *, same_model: bool
) -> Iterator[str]:
    """Yield the standard deviations of effects whose posterior means differ from the estimates."""
    for block in fit._fit.design.blocks:
        for effect in block.effects:
            name = f"sd_{effect}|{block.name}"
            if name not in rows or np.ptp(posterior[name]) == 0.0:
                continue
            row, draws = rows[name], posterior[name].ravel()
            estimate, mean, median = row["estimate"], row["post_mean"], float(np.median(draws))
            if estimate == 0.0:
                where = "the likelihood's highest point" if same_model else "an end of its range"
                yield (
                    f"{name}: the estimate is 0, {where}; "
                    f"a posterior mean averages over all values, here up to about {row['cred_upper']:.3g}."
                )
            elif abs(mean - estimate) > DISCREPANT * estimate:
                side = "above" if mean > estimate else "below"
                start = f"{name}: the posterior mean, {mean:.4g}, is {side} the estimate, {estimate:.4g}"
                yield start + _tail(draws, mean, median, estimate)


def _tail(draws: np.ndarray, mean: float, median: float, estimate: float) -> str:
    """Return the end of a sentence on the mean: whether the tail of the draws shifts it from the estimate."""
    z = draws - mean
    skewness = float(np.mean(z**3) / np.mean(z**2) ** 1.5)
    if skewness < SKEWED or mean < estimate:
        return f", and so is the median, {median:.4g}." if (median < estimate) == (mean < estimate) else "."
    if mean - median >= 0.5 * (mean - estimate):
        return f": its posterior is skewed (median {median:.4g}), and a mean follows the tail."
    return f"; the median is {median:.4g}."


def _on_coefficients(
    fit: MixedResults, posterior: Posterior, rows: dict[str, Row], level: float, *, same_model: bool
) -> Iterator[str]:
    """Yield the coefficients whose credible interval or posterior mean differs from Wald's interval or the estimate."""
    z = float(ndtri(0.5 * (1 + level)))
    for name in map(str, fit.bse.dropna().index):
        row, error = rows[name], float(fit.bse[name])
        share = (row["cred_upper"] - row["cred_lower"]) / (2 * z * error) - 1
        prior = next((text for text in posterior.given if text.startswith(f"β[{name}] ~")), None)
        if abs(share) > DISCREPANT:
            width = f"{100 * abs(share):.0f}% {'wider' if share > 0 else 'narrower'}"
            known = ", which takes the variances as known" if share > 0 and same_model else ""
            yield f"{name}: the credible interval is {width} than estimate ± {z:.2f} standard errors{known}."
        if abs(row["post_mean"] - row["estimate"]) > SHIFTED * error:
            ends = f"; its prior is {prior}" if prior else ""
            yield f"{name}: the posterior mean is {row['post_mean']:.4g}, the estimate {row['estimate']:.4g}{ends}."


def _on_effects(table: pd.DataFrame, *, same_model: bool) -> Iterator[str]:
    """Yield the effects whose BLUPs and posterior means are shrunk differently."""
    for (group, effect), mode, mean in zip(
        table.index, table.get("shrunk_mode", ()), table.get("shrunk_mean", ()), strict=True
    ):
        if abs(mode - mean) > DISCREPANT:
            why = ": the fit takes the variances to be what it estimates, the posterior averages over their values"
            yield (
                f"{effect} of {group}: BLUPs go {100 * mode:.0f}% of the way from what each level says alone to the "
                f"mean, posterior means {100 * mean:.0f}%{why if same_model else ''}."
            )
