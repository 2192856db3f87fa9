"""Continuous-time first-order autoregression.

C_st = φ^|s − t| for any times s and t; 0 < φ < 1, the correlation of rows one unit of time apart.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mixedfit.core.arrays import Array

from .correlation import CorrelationStructure
from .neighbours import NeighbourRoot
from .parts import Layout, Natural, shortest_and_longest

__all__ = ["CAR1", "RateLaw"]


@dataclass(frozen=True)
class CAR1(CorrelationStructure):
    """Continuous-time autoregression: ``cor(ε_s, ε_t) = φ^|s − t|``, 0 < φ < 1, for times that need not be whole.

    Parameters
    ----------
    time : str
        Column with numbers or dates (counted in days).
    group, by : str, optional
        As of `AR1`.

    Examples
    --------
    >>> print(CAR1("Time", "Rat"))
    CAR1(time='Time', group='Rat')
    """

    time: str = ""
    group: str | None = None
    by: str | None = None
    formula: ClassVar[str] = "cor(s, t) = phi^|s - t|, 0 < phi < 1"
    kind: ClassVar[str] = "time"

    def law(self, layout: Layout) -> RateLaw:
        """Return the correlations on a layout."""
        return RateLaw(layout, as_range=False)


class RateLaw:
    """C = exp(−|s − t| eˣ/u), u the median gap between neighbours.

    Parameters
    ----------
    layout : Layout
    as_range : bool
        Whether people see the range u e⁻ˣ, or φ = exp(−eˣ/u).
    """

    start = np.array([0.0])
    further_starts = (np.array([2.0]), np.array([-2.0]))

    def __init__(self, layout: Layout, as_range: bool) -> None:
        self.layout = layout
        gaps = layout.gaps[layout.gaps > 0]
        self.unit = float(np.median(gaps)) if gaps.size else 1.0
        ends = layout.place[:, 0]
        self.farthest = float(np.max(ends[layout.start[1:] - 1] - ends[layout.start[:-1]]))
        self.as_range, self.ends = as_range, shortest_and_longest(layout.gaps)

    def on_gaps(self, layout: Layout) -> RateLaw:
        """Return the same function of x on other rows; correlations of neighbours depend on their gap only."""
        moved = copy(self)
        moved.layout = layout
        return moved

    def root(self, x: Array) -> NeighbourRoot:
        """Return the factor at x."""
        rate = self.layout.gaps * (np.exp(x[0]) / self.unit)
        phi = np.exp(-rate)
        return NeighbourRoot(self.layout, phi, -np.expm1(-2.0 * rate), (-rate * phi)[:, None])

    def natural(self, x: Array) -> list[Natural]:
        """Return φ, or the range."""
        rate = float(np.exp(x[0])) / self.unit
        near, far = (float(np.exp(-rate * gap)) for gap in self.ends)
        if self.as_range:
            return [Natural("range", 1.0 / rate, 0.0, np.inf, 20.0 * self.farthest, nearest=near)]
        return [Natural("phi", float(np.exp(-rate)), 0.0, 1.0, nearest=near, farthest=far)]

    def matrix(self, x: Array, place: Array) -> Array:
        """Return exp(−|s − t| eˣ/u)."""
        return np.asarray(np.exp(-np.abs(place[:, :1] - place[:, 0]) * (np.exp(x[0]) / self.unit)))
