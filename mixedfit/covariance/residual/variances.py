"""Variance functions: the SD of row i is σ s_i.

| structure | s_i |
|---|---|
| VarIdent | 1 for the first level of a factor, a ratio for each other |
| VarPower | |v_i|^δ |
| VarConstPower | c + |v_i|^δ, c > 0 |
| VarExp | exp(δ v_i) |
| VarFixed | √v_i |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError, ModelError

from .parts import Natural, complex_slopes
from .structure import VarianceStructure, check_column_name

__all__ = ["VarConstPower", "VarExp", "VarFixed", "VarIdent", "VarPower"]

FITTED = "fitted"
"""Name that stands for the fitted values instead of a column."""


@dataclass(frozen=True)
class VarIdent(VarianceStructure):
    """An SD for each level of a factor; σ is that of the first level, the baseline.

    Parameters
    ----------
    by : str
        Column of the factor, or several as ``"a:b"``.

    Examples
    --------
    >>> print(VarIdent("Sex"))
    VarIdent(by='Sex')
    """

    by: str = ""
    formula: ClassVar[str] = "SD = sigma * ratio(level)"

    def __post_init__(self) -> None:
        check_column_name("VarIdent", "by", self.by)

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns of the factor."""
        return tuple(part.strip() for part in self.by.split(":"))

    def law(self, values: tuple[IntArray, Sequence[Any]]) -> VarIdentLaw:
        """Return the multipliers of rows with these codes and levels."""
        codes, levels = values
        if len(levels) < 2:
            raise ModelError(f"{self}: {self.by!r} has one level in the rows used; a ratio needs two.")
        return VarIdentLaw(codes, levels)


class VarIdentLaw:
    """Log ratios x of the levels after the first."""

    further_starts: tuple[Array, ...] = ()

    def __init__(self, codes: IntArray, levels: Sequence[Any]) -> None:
        self.codes, self.levels = codes, levels
        self.start = np.zeros(len(levels) - 1)

    def log_sd(self, x: Array) -> Array:
        """Return the log ratio of each row's level."""
        return np.concatenate([[0.0], x])[self.codes]

    def slopes(self, x: Array) -> Array:
        """Return the indicators of the levels after the first."""
        return np.asarray((self.codes[:, None] == np.arange(1, len(self.levels))).astype(float))

    def natural(self, x: Array) -> list[Natural]:
        """Return the ratios to the SD of the first level."""
        return [
            Natural(f"ratio({level})", np.exp(value), 0.0, np.inf)
            for level, value in zip(self.levels[1:], x, strict=True)
        ]

    def further(self, values: IntArray, x: Array) -> Array:
        """Return the log ratios of other rows, NaN for a level that is not known (code −1)."""
        known = np.concatenate([[0.0], x, [np.nan]])
        return known[values]


@dataclass(frozen=True)
class _OfColumn(VarianceStructure):
    of: str = ""
    by: str | None = None
    positive: ClassVar[bool] = False
    allow_fitted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_column_name(type(self).__name__, "of", self.of)
        check_column_name(type(self).__name__, "by", self.by, needed=False)
        if self.by is not None and (self.of_fitted or isinstance(self, VarFixed)):
            raise ModelError(
                f"{self}: by= is for variance functions of a column with parameters; leave it out."
            )

    @property
    def of_fitted(self) -> bool:
        """Whether the covariate is the fitted values."""
        return self.allow_fitted and self.of == FITTED

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The column of the covariate, none for the fitted values."""
        if self.of_fitted:
            return ()
        return (self.of,) if self.by is None else (self.of, self.by)

    def check(self, values: Array) -> None:
        """Raise an error if the covariate cannot determine the variance."""
        bad = (values <= 0) if self.positive else (np.abs(values) == 0) & ~np.array(isinstance(self, VarExp))
        wrong = ~np.isfinite(values) | bad
        if wrong.any():
            what = "positive" if self.positive else "not 0"
            raise DataError(
                f"{self}: {self.of!r} is {values[np.flatnonzero(wrong)[0]]:g} in a row ({int(wrong.sum())} rows); "
                f"the SD there would be 0 or undefined. Expected values that are {what}."
            )
        if np.ptp(values) == 0 and not isinstance(self, VarFixed):
            raise ModelError(
                f"{self}: {self.of!r} is constant ({values[0]:g}), so that it says nothing about the variance."
            )


@dataclass(frozen=True)
class VarPower(_OfColumn):
    """``SD = σ |v|^δ`` of a column v, or of the fitted values.

    Parameters
    ----------
    of : str
        A column without zeros, or "fitted": the fitted values (with random effects), held while the likelihood is
        maximised and then refreshed until they agree, as nlme does. The answer is then a fixed point.
    by : str, optional
        Column of a factor, each level of which has parameters of its own.

    Examples
    --------
    >>> print(VarPower("pressure"))
    VarPower(of='pressure')
    """

    formula: ClassVar[str] = "SD = sigma * |v|^power"
    allow_fitted: ClassVar[bool] = True

    def law(self, values: Array) -> _SmoothLaw:
        """Return the multipliers of rows with these values."""
        self.check(values)
        return _SmoothLaw(values, _power, np.array([0.0]), _power_names)


@dataclass(frozen=True)
class VarConstPower(_OfColumn):
    """``SD = σ (c + |v|^δ)`` of a column v, c > 0.

    Parameters
    ----------
    of : str
        As of `VarPower`.
    by : str, optional
        As of `VarPower`.

    Examples
    --------
    >>> print(VarConstPower("pressure"))
    VarConstPower(of='pressure')
    """

    formula: ClassVar[str] = "SD = sigma * (const + |v|^power)"
    allow_fitted: ClassVar[bool] = True

    def law(self, values: Array) -> _SmoothLaw:
        """Return the multipliers of rows with these values."""
        self.check(values)
        return _SmoothLaw(values, _const_power, np.array([-1.0, 0.3]), _const_power_names)


@dataclass(frozen=True)
class VarExp(_OfColumn):
    """SD = σ exp(δ v) of a column v.

    Parameters
    ----------
    of : str
        As of `VarPower`; zeros are allowed.
    by : str, optional
        As of `VarPower`.

    Examples
    --------
    >>> print(VarExp("day"))
    VarExp(of='day')
    """

    formula: ClassVar[str] = "SD = sigma * exp(expon * v)"
    allow_fitted: ClassVar[bool] = True

    def law(self, values: Array) -> _SmoothLaw:
        """Return the multipliers of rows with these values."""
        self.check(values)
        unit = float(np.std(values))

        def log_sd(x: Any, v: Array) -> Any:
            return x[0] / unit * v

        def names(x: Array) -> list[Natural]:
            return [Natural("expon", x[0] / unit, -np.inf, np.inf)]

        return _SmoothLaw(values, log_sd, np.array([0.0]), names)


@dataclass(frozen=True)
class VarFixed(_OfColumn):
    """Var = σ² v of a column v: known up to σ².

    Parameters
    ----------
    of : str
        A column of positive numbers.

    Examples
    --------
    >>> print(VarFixed("endpoint"))
    VarFixed(of='endpoint')
    """

    formula: ClassVar[str] = "Var = sigma^2 * v"
    positive: ClassVar[bool] = True

    def law(self, values: Array) -> _SmoothLaw:
        """Return the multipliers of rows with these values."""
        self.check(values)
        return _SmoothLaw(values, lambda x, v: 0.5 * np.log(v), np.zeros(0), lambda x: [])


def _power(x: Any, v: Array) -> Any:
    return x[0] * np.log(np.abs(v))


def _power_names(x: Array) -> list[Natural]:
    return [Natural("power", x[0], -np.inf, np.inf)]


def _const_power(x: Any, v: Array) -> Any:
    return np.log(np.exp(x[0]) + np.exp(x[1] * np.log(np.abs(v))))


def _const_power_names(x: Array) -> list[Natural]:
    return [Natural("const", np.exp(x[0]), 0.0, np.inf), Natural("power", x[1], -np.inf, np.inf)]


class _SmoothLaw:
    """log s = f(x, v) for an analytic f."""

    def __init__(self, values: Array, function: Any, start: Array, names: Any) -> None:
        self.values, self.function, self.start, self.names = values, function, start, names
        self.further_starts = tuple(start + step for step in (1.0, -1.0)) if start.size else ()

    def log_sd(self, x: Array) -> Array:
        """Return f(x, v)."""
        return np.asarray(self.function(x, self.values), dtype=float)

    def slopes(self, x: Array) -> Array:
        """Return ∂f/∂x."""
        if not x.size:
            return np.zeros((self.values.size, 0))
        return complex_slopes(lambda z: self.function(z, self.values), x).T

    def natural(self, x: Array) -> list[Natural]:
        """Return the parameters for people."""
        named: list[Natural] = self.names(x)
        return named

    def further(self, values: Array, x: Array) -> Array:
        """Return f(x, v) of other rows."""
        return np.asarray(self.function(x, values), dtype=float)
