"""Priors of the parameters of residual structures: `Uniform` and `Beta` for the φ of an autoregression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

from ._checks import Distributed
from .variance import Gamma, LogNormal

__all__ = ["Beta", "ResidualPrior", "Uniform", "draw_values", "log_density"]


@dataclass(frozen=True, slots=True)
class Uniform(Distributed):
    """φ ~ U(lower, upper), for the parameter φ of ``AR1`` (−1 < φ < 1) or ``CAR1`` (0 < φ < 1).

    Parameters
    ----------
    lower, upper : float

    Examples
    --------
    >>> print(Uniform(0, 1).about("φ"))
    φ ~ U(0, 1)
    """

    lower: float = -1.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        good = all(isinstance(v, int | float | np.number) for v in (self.lower, self.upper))
        if not (good and -1.0 <= self.lower < self.upper <= 1.0):
            raise ModelError(
                f"Uniform: lower is {self.lower!r}, upper {self.upper!r}; expected -1 <= lower < upper <= 1, the range "
                "of a correlation. A standard deviation takes UniformSD(upper)."
            )

    def __str__(self) -> str:
        return f"U({self.lower:.4g}, {self.upper:.4g})"


@dataclass(frozen=True, slots=True)
class Beta(Distributed):
    """Beta distribution over the range of φ: (φ + 1)/2 ~ beta(a, b) for ``AR1``, φ ~ beta(a, b) for ``CAR1``.

    ``Beta(1, 1)`` is uniform. Larger numbers concentrate φ around 2a/(a + b) − 1, of ``CAR1`` around a/(a + b).

    Parameters
    ----------
    a, b : float

    Examples
    --------
    >>> print(Beta(4, 2).about("(φ + 1)/2"))
    (φ + 1)/2 ~ beta(4, 2)
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            if not (isinstance(value, int | float | np.number) and np.isfinite(value) and value > 0):
                raise ModelError(f"Beta: {name} is {value!r}; expected a positive finite number.")

    def __str__(self) -> str:
        return f"beta({self.a:.4g}, {self.b:.4g})"


ResidualPrior: TypeAlias = Uniform | Beta | LogNormal | Gamma


def log_density(prior: ResidualPrior, value: float, lower: float) -> float:
    """Return the log density of a parameter's prior, up to a constant; −∞ outside its support.

    Parameters
    ----------
    prior : Uniform, Beta, LogNormal or Gamma
    value : float
    lower : float
        Lower limit of the parameter: −1 of an AR1's φ, 0 of others.
    """
    match prior:
        case Uniform(least, most):
            return 0.0 if least < value < most else -math.inf
        case Beta(a, b):
            share = (value - lower) / (1.0 - lower)
            if not 0.0 < share < 1.0:
                return -math.inf
            return (a - 1.0) * math.log(share) + (b - 1.0) * math.log1p(-share)
        case LogNormal(median, log_sd):
            if not 0.0 < value < math.inf:
                return -math.inf
            return -0.5 * (math.log(value / median) / log_sd) ** 2 - math.log(value)
        case Gamma(shape, rate):
            return (shape - 1.0) * math.log(value) - rate * value if 0.0 < value < math.inf else -math.inf


def draw_values(prior: ResidualPrior, lower: float, size: int, rng: np.random.Generator) -> Array:
    """Return draws of a parameter, shape (size,); `lower` is the lower limit of its range."""
    match prior:
        case Uniform(least, most):
            return rng.uniform(least, most, size)
        case Beta(a, b):
            return np.asarray(lower + (1.0 - lower) * rng.beta(a, b, size))
        case LogNormal(median, log_sd):
            return np.asarray(median * rng.lognormal(0.0, log_sd, size))
        case Gamma(shape, rate):
            return np.asarray(rng.gamma(shape, 1.0 / rate, size))
