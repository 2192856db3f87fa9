"""Contracts of the factors of Var(ε) = σ² D C D on the rows of a design, and the layout of rows in groups.

Laws, which one checker in ``tests/covariance/test_residual_structures.py`` runs over all structures: C is positive
definite and equals the textbook's matrix; whitened rows are L⁻¹ rows with LLᵀ = C up to a rotation within each group;
`slope` equals differences; permuted rows and groups change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.lazy import lazy

__all__ = [
    "CorrelationLaw",
    "Layout",
    "Natural",
    "Root",
    "VarianceLaw",
    "complex_slopes",
    "shortest_and_longest",
]


@dataclass(frozen=True, slots=True)
class Natural:
    """A parameter for people.

    Attributes
    ----------
    name : str
        Such as ``phi`` or ``cor(week 1,week 2)``.
    value : float
    lower, upper : float
        Open bounds of the parameter space.
    runaway : float
        Value from which on the data cannot tell it from infinity.
    nearest, farthest : float
        Of a parameter whose size depends on the unit of time or distance: the correlation at the shortest gap of the
        rows and at the longest, by which limits are judged; NaN for others.
    """

    name: str
    value: float
    lower: float
    upper: float
    runaway: float = float("inf")
    nearest: float = float("nan")
    farthest: float = float("nan")


@dataclass(frozen=True, eq=False)
class Layout:
    """Rows sorted by group and, within a group, by place.

    Attributes
    ----------
    order : ndarray of int64, shape (n,)
        Positions of the rows in sorted order.
    start : ndarray of int64, shape (groups + 1,)
        First sorted row of each group, and n.
    place : ndarray, shape (n, d)
        Time, visit code or coordinates of each sorted row.
    labels : sequence
        Labels of the visits; empty for numbers.
    groups : sequence
        Labels of the groups.
    group_name : str
        Name of the grouping, empty if all rows are one group.
    counts : ndarray, shape (n,), or None
        Rows of the data that each row stands for; 0 for a row that only the next one is conditioned on. None: one each.
    """

    order: IntArray
    start: IntArray
    place: Array
    labels: Sequence[Any] = ()
    groups: Sequence[Any] = ()
    group_name: str = ""
    counts: Array | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return int(self.order.size)

    @lazy
    def sizes(self) -> IntArray:
        """Rows of each group."""
        return np.diff(self.start)

    @lazy
    def is_sorted(self) -> bool:
        """Whether the rows of the data are in sorted order."""
        return bool(np.array_equal(self.order, np.arange(self.n)))

    @lazy
    def opens(self) -> BoolArray:
        """Whether each sorted row is the first of its group, shape (n,), bool."""
        out = np.zeros(self.n, dtype=bool)
        out[self.start[:-1]] = True
        return out

    @lazy
    def gaps(self) -> Array:
        """Distance of each sorted row from the one before in its group, 0 for the first, shape (n,)."""
        out = np.zeros(self.n)
        out[1:] = np.diff(self.place[:, 0])
        out[self.opens] = 0.0
        return out


def shortest_and_longest(gaps: Array) -> tuple[float, float]:
    """Return the shortest and the longest of the gaps above 0; 1 and 1 if there are none."""
    apart = gaps[gaps > 0]
    return (float(apart.min()), float(apart.max())) if apart.size else (1.0, 1.0)


class Root(Protocol):
    """C = LLᵀ of all groups at one value of the parameters. Rows are in sorted order."""

    @property
    def logdet(self) -> float: ...

    def whiten(self, rows: Array) -> Array:
        """Return L⁻¹ rows, shape (n, m)."""
        ...

    def back(self, rows: Array) -> Array:
        """Return L⁻ᵀ rows, shape (n, m)."""
        ...

    def colour(self, rows: Array) -> Array:
        """Return L rows, shape (n, m)."""
        ...

    def slope(self, white: Array, rows: Array) -> Array:
        """Return ∂(log|C| + Σ|L⁻¹ rows|²)/∂x with `rows` held, shape (parameters,); `white` is `whiten` of them."""
        ...

    def information(self) -> Array:
        """Return tr(C⁻¹C_a C⁻¹C_b) with C_a = ∂C/∂x_a, shape (parameters, parameters)."""
        ...

    def own_slopes(self) -> Array:
        """Return the diagonals of C⁻¹C_a, shape (n, parameters)."""
        ...

    def by_elements(self, rows: Array) -> Array:
        """Return (C ∘ C⁻¹) rows, the product element by element, shape (n, m)."""
        ...


class CorrelationLaw(Protocol):
    """Correlations on the rows of a layout as a function of unconstrained parameters x."""

    @property
    def start(self) -> Array: ...

    @property
    def further_starts(self) -> Sequence[Array]: ...

    def root(self, x: Array) -> Root:
        """Return the factor at x. Raises FloatingPointError where C is not positive definite in floats."""
        ...

    def natural(self, x: Array) -> list[Natural]:
        """Return the parameters for people."""
        ...

    def matrix(self, x: Array, place: Array) -> Array:
        """Return the textbook's correlation matrix of rows of one group at given places, shape (m, m)."""
        ...


class VarianceLaw(Protocol):
    """Logarithms of SD multipliers as a function of unconstrained parameters x. Rows are in the order of the data."""

    @property
    def start(self) -> Array: ...

    @property
    def further_starts(self) -> Sequence[Array]: ...

    def log_sd(self, x: Array) -> Array:
        """Return the logarithm of each row's multiplier, shape (n,)."""
        ...

    def slopes(self, x: Array) -> Array:
        """Return the derivatives of `log_sd`, shape (n, parameters)."""
        ...

    def natural(self, x: Array) -> list[Natural]:
        """Return the parameters for people."""
        ...

    def further(self, values: Any, x: Array) -> Array:
        """Return the logarithm of the multipliers of other rows, from their values of the column."""
        ...


def complex_slopes(function: Any, x: Array) -> Array:
    """Return the derivatives of an analytic function, shape (len(x), …), exact to rounding.

    The imaginary part of f(x + ih)/h with a tiny h; Squire & Trapp (1998), SIAM Review 40:110.
    """
    out = []
    for a in range(x.size):
        moved = x.astype(complex)
        moved[a] += 1e-30j
        out.append(np.imag(function(moved)) / 1e-30)
    return np.array(out) if out else np.zeros((0, *np.shape(function(x))))
