"""The model and what it found, in plain words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = [
    "Checks",
    "checks_of",
    "effects_in_words",
    "model_in_words",
    "shares_in_words",
    "verdict_in_words",
]


def joined(names: list[str]) -> str:
    """Return names as a list in a sentence."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def counted(number: int, word: str) -> str:
    """Return a number with its word, in the plural where it is not one."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def response_of(results: MixedResults) -> str:
    """Return the response as written."""
    return results.formula.split("~", 1)[0].strip()


def model_in_words(results: MixedResults) -> list[str]:
    """Return what was fitted to what, one statement each."""
    fit = results._fit
    terms = [str(name) for name in fit.coefficient_names if name != "(Intercept)"]
    out = [
        f"The response is {response_of(results)}, in {counted(results.nobs, 'row')}"
        + "".join(f", {counted(levels, 'level')} of {name}" for name, levels in results.ngroups.items())
        + "."
    ]
    if not terms:
        out.append("The fixed part is a mean alone.")
    elif len(terms) <= 8:
        out.append(f"The fixed part says how the mean depends on {joined(terms)}.")
    else:
        out.append(
            f"The fixed part says how the mean depends on {len(terms)} columns, {joined(terms[:3])} among them."
        )
    out += [_block_words(results, at) for at in range(len(fit.design.blocks))]
    out.append(
        "What remains is the residual: independent between rows, normal, "
        + (
            "with one variance."
            if fit.design.weights is None
            else "its variance inverse to the row's weight."
        )
    )
    method = "restricted maximum likelihood (REML)" if results.reml else "maximum likelihood"
    out.append(f"Parameters were estimated by {method}.")
    return out


def _block_words(results: MixedResults, at: int) -> str:
    block = results._fit.design.blocks[at]
    effects = list(block.effects)
    if effects == ["(Intercept)"]:
        return f"Each level of {block.name} has its own mean, which differs from the common one by a random intercept."
    slopes = [name for name in effects if name != "(Intercept)"]
    own = ["mean"] * ("(Intercept)" in effects) + [f"effect of {name}" for name in slopes[:4]]
    more = f" (and {len(slopes) - 4} more)" if len(slopes) > 4 else ""
    parts = len(block.term_sizes)
    tied = (
        "may be correlated"
        if parts == 1 and block.structure.parts[0].invariance == "linear"
        else "are uncorrelated"
    )
    if parts > 1 and max(block.term_sizes) > 1:
        tied = "may be correlated within a term"
    words = f"Each level of {block.name} has its own {joined(own)}{more}: random effects"
    return f"{words}, which {tied}." if len(effects) > 1 else f"{words}."


def verdict_in_words(results: MixedResults) -> tuple[str, list[str]]:
    """Return a headline on convergence and what it means."""
    c = results.convergence
    if c.status == "failed":
        return "The fit did not converge", [
            "The numbers below are not the optimum and should not be reported.",
            c.message,
        ]
    if c.status == "boundary":
        return "The fit converged, on the boundary", [
            "The best value of a variance is 0, or that of a correlation is ±1. This is a result and not a failure: "
            "the data give no sign of more variation of that kind than chance, or are too few to show it. The other "
            "estimates can be used. Prefer profile or bootstrap intervals over Wald ones here.",
            c.message,
        ]
    return "The fit converged", [
        f"The search found the optimum: a further step would change the criterion by less than {_power(c.decrement)}.",
    ]


def _power(value: float) -> str:
    """Return a round bound of a small number in words."""
    if not value < 1e-9:
        return f"{value:.1g}"
    return "one part in a billion"


def effects_in_words(results: MixedResults, intervals: pd.DataFrame, level: float) -> list[str]:
    """Return a sentence for each coefficient that has a simple reading: numeric columns without interactions.

    Parameters
    ----------
    results : MixedResults
    intervals : pandas.DataFrame
        Columns lower and upper, indexed by coefficient.
    level : float
    """
    recipe = results._fit.design.recipe
    if recipe is None:
        return []
    out = []
    names = [str(name) for name in results.params.index]
    for name in names:
        variable = recipe.variables.get(name)
        alone = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w.])")
        inside = [other for other in names if other != name and alone.search(other)]
        if variable is None or variable.kind != "number" or inside or not np.isfinite(results.params[name]):
            continue
        value = float(results.params[name])
        limits = intervals.loc[[name], ["lower", "upper"]].to_numpy(dtype=float)[0]
        low, high = float(limits[0]), float(limits[1])
        direction = "higher" if value >= 0 else "lower"
        low, high = (low, high) if value >= 0 else (-high, -low)
        unsure = " The interval includes 0: the direction is uncertain." if low < 0 < high else ""
        out.append(
            f"One unit more of {name} goes with {response_of(results)} {abs(value):.3g} {direction} on average, other "
            f"things equal ({100 * level:g}% interval {low:.3g} to {high:.3g}).{unsure}"
        )
    return out[:8]


def shares_in_words(results: MixedResults) -> list[str]:
    """Return how the variance of a row is divided: by factor where all random effects are intercepts, else R²."""
    fit = results._fit
    if not fit.design.blocks:
        return []
    if any(block.effects != ("(Intercept)",) for block in fit.design.blocks):
        r = results.diagnostics.r_squared(None)["estimate"]
        return [
            f"The fixed part explains {100 * r['marginal']:.1f}% of the variance of a row, fixed and random effects "
            f"together {100 * r['conditional']:.1f}% (Nakagawa & Schielzeth's marginal and conditional R²)."
        ]
    parts = {
        block.name: float(omega[0, 0]) for block, omega in zip(fit.design.blocks, fit.omega, strict=True)
    }
    total = sum(parts.values()) + fit.sigma**2
    shares = [f"{100 * value / total:.1f}% between levels of {name}" for name, value in parts.items()]
    shares.append(f"{100 * fit.sigma**2 / total:.1f}% within")
    out = [f"Of the variance that the fixed part leaves, {joined(shares)}."]
    if len(parts) == 1:
        name, value = next(iter(parts.items()))
        out.append(
            f"In other words, two rows of the same level of {name} have a correlation of {value / total:.2f} "
            "(the intraclass correlation)."
        )
    return out


@dataclass(frozen=True, slots=True)
class Checks:
    """What the residuals say in numbers.

    Attributes
    ----------
    rows : int
    far : int
        Rows whose scaled residual is beyond ±3.
    expected : float
        How many a normal distribution has there.
    farthest : tuple of (str, float)
        The five rows with the largest residuals, by label, and their scaled residuals.
    spread_ratio : float
        SD of residuals in the third of rows with the highest fitted values over that in the lowest third.
    values : int
        Different values of the response.
    """

    rows: int
    far: int
    expected: float
    farthest: tuple[tuple[str, float], ...]
    spread_ratio: float
    values: int

    def sentences(self) -> list[str]:
        """Return the checks in words."""
        largest = ", ".join(f"{label} ({value:+.1f})" for label, value in self.farthest)
        found = (
            f"{counted(self.far, 'row')} {'lies' if self.far == 1 else 'lie'} further than 3 σ from the fit"
        )
        expected = f"{self.expected:.1f}" if self.expected < 10 else f"{self.expected:,.0f}"
        judged = "about as many as expected"
        if self.far > 3 * self.expected + 1:
            judged = "many more than expected"
        elif self.far < self.expected / 3 - 1:
            judged = "far fewer than expected"
        out = [f"{found}; normal residuals would put about {expected} there: {judged}."]
        out.append(f"The largest scaled residuals are those of rows {largest}.")
        if np.isfinite(self.spread_ratio):
            judged = (
                "about even"
                if 2 / 3 < self.spread_ratio < 1.5
                else "uneven: consider weights or a transformation"
            )
            out.append(
                f"Residuals where fitted values are highest spread {self.spread_ratio:.2f} times as much as where they "
                f"are lowest: {judged}."
            )
        if self.values <= 10:
            out.append(
                f"The response has only {self.values} different values, which make the stripes in the pictures; a "
                "model for ordered categories may suit it better."
            )
        return out


def checks_of(results: MixedResults) -> Checks:
    """Return what the residuals say in numbers."""
    scaled = results.scaled_resid
    values, fitted = scaled.to_numpy(), results._fit.fitted
    far = np.argsort(-np.abs(values), kind="stable")[:5]
    order = np.argsort(fitted, kind="stable")
    third = values.size // 3
    low, high = values[order[:third]], values[order[values.size - third :]]
    ratio = (
        float(high.std() / low.std()) if third > 5 and np.ptp(fitted) > 0 and low.std() > 0 else float("nan")
    )
    return Checks(
        rows=values.size,
        far=int((np.abs(values) > 3).sum()),
        expected=0.0026997960632601866 * values.size,  # 2Φ(−3)
        farthest=tuple((str(scaled.index[i]), float(values[i])) for i in far),
        spread_ratio=ratio,
        values=int(np.unique(results._fit.response).size),
    )
