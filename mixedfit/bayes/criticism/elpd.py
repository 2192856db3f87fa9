"""Expected log predictive density: the record of a leave-one-out or WAIC estimate, and differences of two."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

from .psis import khat_threshold

__all__ = ["ElpdDifference", "ExpectedDensity"]

WIDTH = 88
"""Columns that printed sentences fill."""

LARGE_PENALTY = 0.4
"""Variance of a log density beyond which WAIC is not to be trusted; Vehtari, Gelman & Gabry (2017), section 2.2."""

SMALL = 4.0
"""Difference of elpd below which models predict alike; Sivula, Magnusson, Matamoros & Vehtari (2020)."""

FEW = 100
"""Rows or groups below which the standard error of a difference is too small; the same."""


@dataclass(frozen=True, eq=False)
class ExpectedDensity:
    """An estimate of elpd, the expected log predictive density of data not seen: Σ log p(y_i | y without i).

    ``a - b`` is the difference of two posteriors of the same data, with its standard error.

    Attributes
    ----------
    method : {"loo", "waic"}
    unit : str
        What is left out at a time: "row", or a grouping factor.
    pointwise : pandas.Series
        elpd of each row, or group.
    penalty : pandas.Series
        How much higher each one's density is for having been seen; the sum is p.
    pareto_k : pandas.Series
        k̂ of each one, loo only: above `threshold` its elpd is not reliable.
    mcse : float
        Monte-Carlo standard error of elpd, loo only; NaN where a k̂ is too high.
    draws : int
    response : ndarray, shape (n,)
    refitted : tuple
        Labels of the rows or groups that were predicted from a posterior sampled without them; their k̂ is NaN.
    """

    method: Literal["loo", "waic"]
    unit: str
    pointwise: pd.Series[float]
    penalty: pd.Series[float]
    pareto_k: pd.Series[float]
    mcse: float
    draws: int
    response: Array = field(repr=False)
    refitted: tuple[Any, ...] = ()

    @property
    def elpd(self) -> float:
        """Expected log predictive density: the larger, the better."""
        return float(self.pointwise.sum())

    @property
    def se(self) -> float:
        """Standard error of elpd, √(n Var(elpd_i)); Vehtari, Gelman & Gabry (2017), equation 23."""
        return _error(self.pointwise)

    @property
    def p(self) -> float:
        """Effective number of parameters, p_loo or p_waic."""
        return float(self.penalty.sum())

    @property
    def p_se(self) -> float:
        """Standard error of p."""
        return _error(self.penalty)

    @property
    def ic(self) -> float:
        """−2 elpd, on the scale of deviance and AIC: looic or WAIC."""
        return -2.0 * self.elpd

    @property
    def ic_se(self) -> float:
        """Standard error of −2 elpd."""
        return 2.0 * self.se

    @property
    def threshold(self) -> float:
        """k̂ up to which estimates are reliable, given the number of draws."""
        return khat_threshold(self.draws)

    @property
    def high(self) -> pd.Series[float]:
        """Rows or groups whose estimate is not reliable, with their k̂ (of WAIC: their penalty), the worst first."""
        values = self.pareto_k if self.method == "loo" else self.penalty
        return values[self._unreliable].sort_values(ascending=False)

    @property
    def _unreliable(self) -> pd.Series[bool]:
        """Whether each row's or group's estimate is not reliable."""
        return self.pareto_k > self.threshold if self.method == "loo" else self.penalty > LARGE_PENALTY

    def __sub__(self, other: ExpectedDensity) -> ElpdDifference:
        """Return how much better this posterior predicts than another of the same data."""
        if not isinstance(other, ExpectedDensity):
            return NotImplemented
        if (self.method, self.unit) != (other.method, other.unit):
            raise ModelError(
                f"one is {self.method} by {self.unit}, the other {other.method} by {other.unit}; compare two of a kind."
            )
        same = self.pointwise.index.equals(other.pointwise.index) and np.array_equal(
            self.response, other.response
        )
        if not same:
            raise ModelError(
                f"the posteriors are of different data ({self.response.size} and {other.response.size} rows); their "
                "predictive densities can only be compared on the same responses."
            )
        return ElpdDifference(
            self.unit,
            self.pointwise - other.pointwise,
            self._unreliable | other._unreliable,
        )

    def __str__(self) -> str:
        name = {"loo": "PSIS leave-one-out", "waic": "WAIC"}[self.method]
        left_out = "one row at a time" if self.unit == "row" else f"one group of {self.unit} at a time"
        index = "looic" if self.method == "loo" else "waic"
        rows = [
            (f"elpd_{self.method}", self.elpd, self.se),
            (f"p_{self.method}", self.p, self.p_se),
            (index, self.ic, self.ic_se),
        ]
        lines = [
            f"{name}: {left_out}, {self.pointwise.size:,} in all; {self.draws:,} draws",
            f"{'':<10}{'estimate':>12}{'SE':>10}",
            *(f"{label:<10}{value:>12.1f}{error:>10.1f}" for label, value, error in rows),
        ]
        if np.isfinite(self.mcse):
            lines.append(f"Monte-Carlo error of elpd_loo: {self.mcse:.2g}")
        return "\n".join([*lines, *(fill(text, WIDTH) for text in self._verdict())])

    __repr__ = __str__

    def _verdict(self) -> list[str]:
        """Return in words whether the numbers can be trusted."""
        count, total = self.high.size, self.pointwise.size
        many = "rows" if self.unit == "row" else f"groups of {self.unit}"
        worst = ", ".join(str(label) for label in self.high.index[:5]) + (" …" if count > 5 else "")
        share = f"{count:,} of {total:,} {many}"
        if self.method == "waic":
            if not count:
                return []
            return [
                f"{share} have a penalty above {LARGE_PENALTY:g} ({worst}): WAIC is not reliable here; use loo()."
            ]
        top = f"{self.threshold:.2f}"
        if self.refitted:
            again = ", ".join(map(str, self.refitted[:5])) + (" …" if len(self.refitted) > 5 else "")
            return [
                f"{len(self.refitted):,} of {total:,} {many} ({again}) had a Pareto k̂ above {top}, and "
                f"{'was' if len(self.refitted) == 1 else 'were'} predicted by sampling without: the estimate can be "
                "trusted."
            ]
        if not count:
            return [f"All {total:,} Pareto k̂ are at most {top}: the estimate can be trusted."]
        verb, whose = ("has a", "its") if count == 1 else ("have a", "their")
        advice = "refit=True samples again without " + ("it" if count == 1 else "them")
        return [
            f"{share} {verb} Pareto k̂ above {top}, up to {self.pareto_k.max():.2f} ({worst}): {whose} elpd is a guess, "
            f"mostly too high; {advice}."
        ]


@dataclass(frozen=True, eq=False)
class ElpdDifference:
    """How much better one posterior predicts than another: the difference of two elpd.

    Attributes
    ----------
    unit : str
    pointwise : pandas.Series
        Difference of each row, or group.
    doubtful : pandas.Series of bool
        Whether the estimate of each row, or group, is not reliable in one of the two or both.
    """

    unit: str
    pointwise: pd.Series[float]
    doubtful: pd.Series[bool]

    @property
    def elpd(self) -> float:
        """Positive if the first predicts better."""
        return float(self.pointwise.sum())

    @property
    def se(self) -> float:
        """Standard error of the difference, from the pairs; Vehtari, Gelman & Gabry (2017), equation 24."""
        return _error(self.pointwise)

    def __str__(self) -> str:
        size, error = abs(self.elpd), self.se
        line = f"difference of elpd: {self.elpd:.1f} (SE {error:.1f})"
        better = "the first" if self.elpd > 0 else "the second"
        if size < SMALL:
            words = f"less than {SMALL:g}: the two predict about equally well."
        elif size < 2.0 * error:
            words = f"{better} seems to predict better, but by less than two standard errors."
        else:
            words = f"{better} predicts better, by {size / error:.1f} standard errors."
        lines = [line, words[0].upper() + words[1:]]
        if self.pointwise.size < FEW:
            what = "rows" if self.unit == "row" else f"groups of {self.unit}"
            lines.append(f"With {self.pointwise.size} {what} the standard error is rather too small.")
        if self.doubtful.any():
            lines.append(fill(self._doubt(), WIDTH))
        return "\n".join(lines)

    __repr__ = __str__

    def _doubt(self) -> str:
        """Return a note on units with unreliable estimates, and on their share of the difference."""
        which = self.pointwise[self.doubtful]
        many = "rows" if self.unit == "row" else f"groups of {self.unit}"
        named = ", ".join(map(str, which.index[:5])) + (" …" if which.size > 5 else "")
        return (
            f"Not reliable in one or both: {which.size:,} of {self.pointwise.size:,} {many} ({named}), which "
            f"{'adds' if which.size == 1 else 'add'} {which.sum():.1f} to the difference."
        )


def _error(values: pd.Series[Any]) -> float:
    return float(np.sqrt(values.size * values.var(ddof=1)))
