"""Sentences on convergence and on the residuals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, pdtr, pdtrc

from mixedfit.core.arrays import Array
from mixedfit.core.format import count_noun, join_words, number, signed
from mixedfit.core.names import plain_name
from mixedfit.covariance import ScaledCorrelation
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.parameters import on_boundary, variance_parameters
from mixedfit.estimation.residual_verdict import at_limit
from mixedfit.estimation.tables import scaled_residuals

__all__ = ["Checks", "checks_of", "verdict_in_words"]

_STEPS = {1e-9: "a billionth", 1e-6: "a millionth", 1e-3: "a thousandth"}


def verdict_in_words(results: Fitted) -> tuple[str, list[str]]:
    """Return a headline on convergence, and sentences that explain it."""
    fit = fit_of(results)
    c = fit.convergence
    if c.status == "failed":
        return "The fit did not converge", [
            "The numbers below are not the optimum and should not be reported.",
            c.message,
        ]
    if c.status == "unbounded":
        return "The likelihood has no maximum", [c.message]
    if c.status == "unidentified":
        return "The variances are not identified", [c.message]
    if c.status == "boundary":
        return "The fit converged, on the boundary", [
            *_boundary_words(fit, c.singular),
            *_residual_limits(fit),
            "This is a valid result: the data show no more variation of this kind than chance would, or are too few to "
            "show it. The other estimates can be used, and a simpler random part fits equally well. Use profile or "
            "bootstrap intervals here instead of Wald intervals.",
        ]
    if not fit.ngroups and fit.residual is None:
        return "The fit is exact", [
            "A model without random effects is fitted by least squares, without a search."
        ]
    step = next((words for bound, words in _STEPS.items() if c.decrement < bound), number(2 * c.decrement, 1))
    return "The fit converged", [
        f"The search found the optimum: a further step would change the criterion by less than {step}."
    ]


def _boundary_words(fit: Fit, singular: tuple[str, ...]) -> list[str]:
    """Return sentences on each grouping factor on the boundary: variances of 0, correlations of ±1, or a lower rank."""
    out = []
    for at, block in enumerate(fit.design.blocks):
        if block.name not in singular:
            continue
        structured = [part for part, _, _ in block.structure.slices() if isinstance(part, ScaledCorrelation)]
        if structured:
            theta = fit.theta[fit.design.theta_slices[at]]
            for part, t, _ in block.structure.slices():
                words = part.boundary_words(theta[t]) if isinstance(part, ScaledCorrelation) else ""
                if words:
                    out.append(f"The {part.name} structure of {block.name} is on its boundary: {words}.")
            if out:
                continue
        at_limit = [p for p in variance_parameters(fit.design) if p.block == at and on_boundary(fit, p)]
        effects = [plain_name(effect) for effect in block.effects]
        zero = [p.first for p in at_limit if p.kind == "sd"]
        tied = [p for p in at_limit if p.kind == "correlation" and not {p.first, p.second} & set(zero)]
        of = "" if len(zero) == block.k else f" of {join_words([effects[j] for j in zero])}"
        if zero:
            out.append(f"The estimate of the variance{of} between levels of {block.name} is 0.")
        for p in tied:
            sign = "1" if fit.omega[at][p.first, p.second] > 0 else "−1"
            out.append(
                f"The estimate of the correlation of {effects[p.first]} and {effects[p.second]} between levels of "
                f"{block.name} is {sign}."
            )
        rank, rest = _rank(fit.lam[at]), block.k - len(zero)
        if rank < rest and not tied:
            which = f"The {rest} random effects" if not zero else f"The other {rest} random effects"
            out.append(
                f"{which} of {block.name} vary in {rank} direction{'s' * (rank > 1)} only: none of their variances is "
                "0, but some combination of them is the same for every level."
            )
    return out


def _residual_limits(fit: Fit) -> list[str]:
    """Return a sentence on the parameters of the residual structure that are at their limits."""
    own = fit.residual
    limits = [] if own is None else [text for text in map(at_limit, own.model.natural(own.x)) if text]
    return [f"Of the residual structure {join_words(limits)}."] if limits else []


def _rank(lam: Array) -> int:
    """Return the rank of a covariance factor, with its rows scaled to length 1."""
    size = np.linalg.norm(lam, axis=1)
    return int(np.linalg.matrix_rank(lam / np.where(size > 0, size, 1.0)[:, None]))


RARE = 0.05
"""Probability below which an observation is not attributed to chance."""

MOST_VALUES = 10
"""Largest number of different values of a response that are visible as stripes in plots."""

MOST_CATEGORIES = 7
"""Largest number of different values of a response that may be categories."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Summary statistics of the residuals, for the checks of the page.

    Attributes
    ----------
    rows : int
        Number of rows with a positive weight.
    far : int
        Number of rows with a scaled residual beyond ±3.
    farthest : tuple of (str, float)
        Labels and scaled residuals of the five rows with the largest residuals.
    spread_ratio : float
        SD of residuals in the third of rows with the highest fitted values over that in the lowest third.
    values : int
        Number of different values of the response.
    held : bool
        Whether σ was held.
    """

    rows: int
    far: int
    farthest: tuple[tuple[str, float], ...]
    spread_ratio: float
    values: int
    held: bool

    @property
    def expected(self) -> float:
        """Expected number of normal residuals beyond ±3: 2nΦ(−3)."""
        return float(2.0 * self.rows * ndtr(-3.0))

    def sentences(self) -> list[str]:
        """Return a sentence for each check."""
        out = [self._tails(), self._largest(), self._spread(), self._stripes()]
        return [words for words in out if words]

    def _tails(self) -> str:
        """Compare the number of far rows with a Poisson distribution of mean `expected`."""
        rows = (
            f"{count_noun(self.far, 'row')} {'lies' if self.far == 1 else 'lie'}"
            if self.far
            else "No row lies"
        )
        found, mean = f"{rows} further than 3 σ from the fit", self.expected
        usual = number(mean, 2 if mean < 10 else 3)
        than = f"than the {usual} expected of normal residuals."
        if pdtrc(self.far - 1, mean) < RARE:
            return f"{found}, {'many ' * (self.far >= 3 * mean)}more {than}"
        if pdtr(self.far, mean) < RARE:
            return f"{found}, {'far ' * (self.far <= mean / 3)}fewer {than}"
        if not self.far:
            return f"{found}; {usual} are expected of normal residuals."
        return f"{found}; {usual} are expected of normal residuals: chance explains the difference."

    def _largest(self) -> str:
        """Name the largest residuals, and remark on the first if it is improbable for a normal distribution."""
        listed = join_words([f"{label} ({signed(value)})" for label, value in self.farthest])
        words = f"The largest residuals, over σ, are those of the rows labelled {listed} in the data."
        reach = abs(self.farthest[0][1])
        chance = float(-np.expm1(self.rows * np.log1p(-2.0 * ndtr(-reach))))
        if chance < RARE:
            once = (
                f"one in {float(f'{1.0 / chance:.2g}'):,.0f}"
                if chance > 1e-6
                else "fewer than one in a million"
            )
            words += (
                f" The first lies too far out for a normal distribution, which reaches {reach:.1f} σ in "
                f"{once} samples of this size: {'is σ held too low, ' * self.held}is it an error, or are the tails "
                "heavy?"
            )
        return words

    def _spread(self) -> str:
        if not np.isfinite(self.spread_ratio):
            return ""
        even = 2 / 3 < self.spread_ratio < 1.5
        return (
            f"In the third of rows with the highest fitted values, the SD of residuals is {self.spread_ratio:.2f} "
            f"times that in the third with the lowest: "
            f"{'about equal' if even else 'unequal; consider weights or a transformation'}."
        )

    def _stripes(self) -> str:
        if not 1 < self.values <= min(MOST_VALUES, self.rows / 3):
            return ""
        words = (
            f"The response has only {self.values} different values, which make the stripes in the pictures"
        )
        if self.values > MOST_CATEGORIES:
            return f"{words}."
        kind = "two outcomes" if self.values == 2 else "ordered categories"
        return f"{words}; a model for {kind} may suit it better."


def checks_of(results: Fitted) -> Checks:
    """Return summary statistics of the residuals."""
    fit = fit_of(results)
    counted_rows = fit.design.counted
    values = scaled_residuals(fit).to_numpy()[counted_rows]
    labels, fitted = fit.design.index[counted_rows], fit.fitted[counted_rows]
    far = np.argsort(-np.abs(values), kind="stable")[:5]
    order = np.argsort(fitted, kind="stable")
    third = values.size // 3
    low, high = values[order[:third]], values[order[values.size - third :]]
    known = third > 5 and np.ptp(fitted) > 0 and low.std() > 0
    return Checks(
        rows=values.size,
        far=int((np.abs(values) > 3).sum()),
        farthest=tuple((str(labels[i]), float(values[i])) for i in far),
        spread_ratio=float(high.std() / low.std()) if known else float("nan"),
        values=int(np.unique(fit.response[counted_rows]).size),
        held=fit.held_sigma is not None,
    )
