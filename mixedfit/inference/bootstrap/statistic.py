"""Calls of the user's statistic of a refit, with checks of its results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.estimation.fit import Fit

__all__ = ["OfResults", "Statistic"]


@dataclass(frozen=True, slots=True)
class OfResults:
    """A function of the results of a fit as one of the `Fit`; it can be sent to other processes.

    Attributes
    ----------
    results : callable
        Fit → results.
    function : callable
        Results → number, array or Series.
    """

    results: Callable[[Fit], Any]
    function: Callable[[Any], object]

    def __call__(self, fit: Fit) -> object:
        """Return the function of a fit's results."""
        return self.function(self.results(fit))


class Statistic:
    """The user's function of a refit, and the names of the numbers it returns.

    Parameters
    ----------
    function : callable
        Fit → number, array or Series.
    fit : Fit
        The original fit. Its statistic determines the number and names of the results.

    Raises
    ------
    ModelError
        If the function raises on the original fit, or returns no numbers.
    """

    def __init__(self, function: Callable[[Fit], object], fit: Fit) -> None:
        self.function = function
        self.names: tuple[str, ...] = ()
        value = self._call(fit, "the fit itself")
        self.estimate = self._numbers(value, "the fit itself")
        if isinstance(value, pd.Series):
            self.names = tuple(map(str, value.index))
        elif self.estimate.size == 1:
            self.names = ("statistic",)
        else:
            self.names = tuple(f"statistic[{i}]" for i in range(self.estimate.size))

    def of_refit(self, fit: Fit, place: str) -> tuple[Array, str]:
        """Return the numbers of one refit, shape (count,), and why some are NaN, else an empty string.

        What the function raises makes all of them NaN; the refit itself and its parameters are not lost. `place` names
        the refit in errors.
        """
        try:
            value = self.function(fit)
        except Exception as error:
            return np.full(
                self.estimate.size, np.nan
            ), f"the statistic raised {type(error).__name__}: {error}"
        out = self._numbers(value, place)
        if out.size != self.estimate.size:
            raise ModelError(
                f"the statistic returned {out.size} numbers on {place} and {self.estimate.size} on the fit itself; "
                "it must always return the same numbers. Use NaN for missing ones."
            )
        return out, "the statistic is NaN" if np.isnan(out).any() else ""

    def _call(self, fit: Fit, place: str) -> object:
        try:
            return self.function(fit)
        except Exception as error:
            raise ModelError(
                f"the statistic raised {type(error).__name__} on {place}: {error}. It is called with a refitted "
                "model and returns a number, an array or a Series."
            ) from error

    def _numbers(self, value: object, place: str) -> Array:
        if value is None:
            raise ModelError(
                f"the statistic returned None on {place}; expected a number, an array of numbers or a Series. Does "
                "the function end with 'return'?"
            )
        try:
            out = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise ModelError(
                f"the statistic returned {type(value).__name__} on {place}; expected a number, an array of numbers or "
                "a Series."
            ) from None
        return out.reshape(-1)
