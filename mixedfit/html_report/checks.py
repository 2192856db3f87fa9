"""What the residuals say about the model, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, pdtr, pdtrc

from .naming import counted, joined, number, signed

if TYPE_CHECKING:
    from ..results import MixedResults

__all__ = ["Checks", "checks_of"]

RARE = 0.05
"""Probability below which what is seen is not put down to chance."""

MOST_VALUES = 10
"""Different values up to which a response makes stripes in pictures."""

MOST_CATEGORIES = 7
"""Different values up to which it may be a scale of categories."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What the residuals say in numbers.

    Attributes
    ----------
    rows : int
        Rows that count: those of weight 0 do not.
    far : int
        Rows whose scaled residual is beyond ±3.
    farthest : tuple of (str, float)
        The five rows with the largest residuals, by label, and their scaled residuals.
    spread_ratio : float
        SD of residuals in the third of rows with the highest fitted values over that in the lowest third.
    values : int
        Different values of the response.
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
        """Rows that a normal distribution has beyond ±3: 2nΦ(−3)."""
        return float(2.0 * self.rows * ndtr(-3.0))

    def sentences(self) -> list[str]:
        """Return the checks in words."""
        out = [self._tails(), self._largest(), self._spread(), self._stripes()]
        return [words for words in out if words]

    def _tails(self) -> str:
        """Compare the count of far rows with a Poisson distribution of the mean expected."""
        rows = (
            f"{counted(self.far, 'row')} {'lies' if self.far == 1 else 'lie'}" if self.far else "No row lies"
        )
        found, mean = f"{rows} further than 3 σ from the fit", self.expected
        usual = number(mean, 2 if mean < 10 else 3)
        than = f"than the {usual} that normal residuals would put there on average."
        if pdtrc(self.far - 1, mean) < RARE:
            return f"{found}, {'many ' * (self.far >= 3 * mean)}more {than}"
        if pdtr(self.far, mean) < RARE:
            return f"{found}, {'far ' * (self.far <= mean / 3)}fewer {than}"
        if not self.far:
            return f"{found}, where normal residuals would put {usual} on average."
        return (
            f"{found}; normal residuals would put {usual} there on average: chance explains the difference."
        )

    def _largest(self) -> str:
        """Name the largest, and say so where normal residuals would not reach as far in a sample of this size."""
        listed = joined([f"{label} ({signed(value)})" for label, value in self.farthest])
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
            f"In the third of rows with the highest fitted values, residuals spread {self.spread_ratio:.2f} times as "
            f"much as in the third with the lowest: "
            f"{'about even' if even else 'uneven; consider weights or a transformation'}."
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


def checks_of(results: MixedResults) -> Checks:
    """Return what the residuals say in numbers."""
    fit = results._fit
    counted_rows = np.ones(fit.design.n, dtype=bool) if fit.design.weights is None else fit.design.weights > 0
    values = results.scaled_resid.to_numpy()[counted_rows]
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
