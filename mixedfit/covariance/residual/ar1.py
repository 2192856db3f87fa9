"""First-order autoregression.

C_st = φ^|s − t| for whole numbers s and t; −1 < φ < 1. With four times:

    1   φ   φ²  φ³
    φ   1   φ   φ²
    φ²  φ   1   φ
    φ³  φ²  φ   1
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy

from .correlation import CorrelationStructure
from .neighbours import NeighbourRoot
from .parts import Layout, Natural, shortest_and_longest

__all__ = ["AR1"]

FLAT = 0.05
"""Correlation at a step of all times, up to which a search may have stopped for the flatness of φ^m."""


@dataclass(frozen=True)
class AR1(CorrelationStructure):
    """First-order autoregression: ``cor(ε_s, ε_t) = φ^|s − t|`` for times in whole numbers.

    Parameters
    ----------
    time : str, optional
        Column with whole numbers, dates (counted in days) or ordered categories. By default the order of rows in the
        group. Gaps count: times 1 and 4 have correlation φ³.
    group : str, optional
        Column of the groups, or several as ``"a:b"``; by default the grouping factor with most levels, or all rows if
        there is no random term.
    by : str, optional
        Column of a factor, such as the arm, each level of which has a matrix, and an SD, of its own; SAS's group=.

    Examples
    --------
    >>> print(AR1("Days", "Subject"))
    AR1(time='Days', group='Subject')
    """

    time: str | None = None
    group: str | None = None
    by: str | None = None
    formula: ClassVar[str] = "cor(s, t) = phi^|s - t|"

    def law(self, layout: Layout) -> AR1Law:
        """Return the correlations on a layout."""
        return AR1Law(layout)


class AR1Law:
    """φ = tanh x."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        gaps = layout.gaps[layout.gaps > 0]
        usual = float(np.median(gaps)) if gaps.size else 1.0
        self.start = np.arctanh([0.25 ** (1.0 / usual)])  # a correlation of 0.25 at the usual gap
        self.further_starts = (np.arctanh([0.8 ** (1.0 / usual)]),)
        self.ends = shortest_and_longest(layout.gaps)

    @lazy
    def even(self) -> bool:
        """Whether all gaps of the rows are even numbers: φ and −φ then have the same likelihood."""
        gaps = self.layout.gaps[self.layout.gaps > 0]
        return bool(gaps.size and np.all(gaps % 2 == 0))

    def on_gaps(self, layout: Layout) -> AR1Law:
        """Return the same function of x on other rows; correlations of neighbours depend on their gap only."""
        moved = copy(self)
        moved.layout = layout
        moved.__dict__.pop("_distinct", None)
        return moved

    def root(self, x: Array) -> NeighbourRoot:
        """Return the factor at x."""
        phi = float(np.tanh(x[0]))
        lags, where = self._distinct
        power = np.sign(phi) ** lags * np.abs(phi) ** lags
        with np.errstate(divide="ignore"):
            rest = -np.expm1(2.0 * lags * np.log(abs(phi))) if phi != 0.0 else np.ones(lags.size)
        before = np.sign(phi) ** (lags - 1) * np.abs(phi) ** (lags - 1)
        slopes = lags * np.where(lags == 1.0, 1.0, before) * (1.0 - phi * phi)
        return NeighbourRoot(self.layout, power[where], rest[where], slopes[where, None])

    @lazy
    def _distinct(self) -> tuple[Array, IntArray]:
        """Distinct gaps, and the position of each row's gap among them; powers are computed once for each."""
        lags, where = np.unique(np.where(self.layout.opens, 1.0, self.layout.gaps), return_inverse=True)
        return lags, where.reshape(-1)

    def natural(self, x: Array) -> list[Natural]:
        """Return φ, without its sign where all gaps are even."""
        phi = float(np.tanh(x[0]))
        if self.even:
            phi = abs(phi)
        near, far = (float(np.sign(phi)) * abs(phi) ** gap for gap in self.ends)
        return [Natural("phi", phi, 0.0 if self.even else -1.0, 1.0, nearest=near, farthest=far)]

    def other_side(self, x: Array) -> Array | None:
        """Return a start for φ of the other sign, where a search may have stopped at φ = 0 by its flatness.

        If all gaps are multiples of an odd number m > 1, the derivative of φ^m is 0 there, whatever the data.
        """
        gaps = self.layout.gaps[self.layout.gaps > 0].astype(np.int64)
        step = int(np.gcd.reduce(gaps)) if gaps.size else 1
        phi = float(np.tanh(x[0]))
        if step == 1 or step % 2 == 0 or abs(phi) ** step > FLAT:
            return None
        return np.arctanh([-np.copysign(0.1 ** (1.0 / step), phi)])

    def matrix(self, x: Array, place: Array) -> Array:
        """Return φ^|s − t|."""
        lags = np.abs(place[:, :1] - place[:, 0])
        return np.asarray(np.tanh(x[0]) ** lags)
