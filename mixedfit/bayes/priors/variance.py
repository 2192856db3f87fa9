"""Priors of standard deviations and variances, and the gamma prior of degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mixedfit.core.errors import ModelError

from ._checks import Distributed, check_positive

__all__ = [
    "Exponential",
    "Gamma",
    "HalfCauchy",
    "HalfNormal",
    "HalfT",
    "InverseGamma",
    "Jeffreys",
    "Known",
    "LogNormal",
    "UniformSD",
    "VariancePrior",
]


@dataclass(frozen=True, slots=True)
class Gamma(Distributed):
    """x ~ gamma(shape, rate), p(x) ∝ x^(shape−1) exp(−rate x): for ν, ν₀ and σ₀².

    Parameters
    ----------
    shape, rate : float

    Examples
    --------
    >>> print(Gamma(2, 0.1).about("ν"))
    ν ~ gamma(2, 0.1)
    """

    shape: float
    rate: float

    def __post_init__(self) -> None:
        check_positive(self, shape=self.shape, rate=self.rate)

    def __str__(self) -> str:
        return f"gamma({self.shape:.4g}, {self.rate:.4g})"


@dataclass(frozen=True, slots=True)
class Known(Distributed):
    """τ = sd, not estimated.

    Parameters
    ----------
    sd : float

    Examples
    --------
    >>> print(Known(1))
    known, 1
    """

    sd: float

    def __post_init__(self) -> None:
        check_positive(self, sd=self.sd)

    def __str__(self) -> str:
        return f"known, {self.sd:.4g}"

    def about(self, name: str) -> str:
        return f"{name} = {self.sd:.4g}, known"


@dataclass(frozen=True, slots=True)
class InverseGamma(Distributed):
    """τ² ~ inverse-gamma(shape, scale), p(τ²) ∝ (τ²)^(−shape−1) exp(−scale/τ²): conjugate.

    The prior is worth ν₀ observations with variance σ₀² if shape = ν₀/2 and scale = ν₀σ₀²/2; see `guess`.

    Parameters
    ----------
    shape, scale : float

    Examples
    --------
    >>> print(InverseGamma.guess(100, weight=1).about("τ"))
    τ² ~ inverse-gamma(0.5, 50)
    """

    shape: float
    scale: float

    def __post_init__(self) -> None:
        check_positive(self, shape=self.shape, scale=self.scale)

    @classmethod
    def guess(cls, variance: float, weight: float) -> InverseGamma:
        """Return the prior that is worth `weight` (ν₀) observations with variance `variance` (σ₀²)."""
        if not (variance > 0 and weight > 0):
            raise ModelError(
                f"InverseGamma.guess: variance is {variance!r}, weight {weight!r}; expected positive numbers."
            )
        return cls(weight / 2, weight * variance / 2)

    def __str__(self) -> str:
        return f"inverse-gamma({self.shape:.4g}, {self.scale:.4g}) for the variance"

    def about(self, name: str) -> str:
        return f"{name}² ~ inverse-gamma({self.shape:.4g}, {self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class Jeffreys(Distributed):
    """p(σ²) ∝ 1/σ², for the residual variance only: for a variance between groups the posterior is improper.

    Examples
    --------
    >>> print(Jeffreys().about("σ"))
    p(σ²) ∝ 1/σ²
    """

    def __str__(self) -> str:
        return "Jeffreys, p(τ²) ∝ 1/τ²"

    def about(self, name: str) -> str:
        return f"p({name}²) ∝ 1/{name}²"


@dataclass(frozen=True, slots=True)
class UniformSD(Distributed):
    """p(τ) ∝ 1 on 0 < τ ≤ upper, that is p(τ²) ∝ 1/τ.

    Parameters
    ----------
    upper : float
        By default infinite: the prior is improper, and the posterior is proper only with enough groups.

    Examples
    --------
    >>> print(UniformSD(100), UniformSD(), sep="; ")
    U(0, 100); U(0, ∞)
    """

    upper: float = float("inf")

    def __post_init__(self) -> None:
        if self.upper != float("inf"):
            check_positive(self, upper=self.upper)

    def __str__(self) -> str:
        return f"U(0, {'∞' if np.isinf(self.upper) else f'{self.upper:.4g}'})"


@dataclass(frozen=True, slots=True)
class HalfT(Distributed):
    """τ ~ half-t(df, scale), p(τ) ∝ (1 + τ²/(df scale²))^(−(df+1)/2).

    Sampled as a mixture of inverse gammas; Wand et al. (2011), Bayesian Analysis 6:847.

    Parameters
    ----------
    df, scale : float

    Examples
    --------
    >>> print(HalfT(3, 10))
    half-t(3, 10)
    """

    df: float
    scale: float

    def __post_init__(self) -> None:
        check_positive(self, df=self.df, scale=self.scale)

    def __str__(self) -> str:
        return f"half-t({self.df:.4g}, {self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class HalfCauchy(Distributed):
    """τ ~ half-Cauchy(scale), p(τ) ∝ 1/(1 + τ²/scale²); Gelman (2006), Bayesian Analysis 1:515.

    Parameters
    ----------
    scale : float

    Examples
    --------
    >>> print(HalfCauchy(1).about("σ"))
    σ ~ half-Cauchy(1)
    """

    scale: float

    def __post_init__(self) -> None:
        check_positive(self, scale=self.scale)

    def __str__(self) -> str:
        return f"half-Cauchy({self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class HalfNormal(Distributed):
    """τ ~ half-normal(scale), p(τ) ∝ exp(−τ²/(2 scale²)).

    Parameters
    ----------
    scale : float

    Examples
    --------
    >>> print(HalfNormal(2.5))
    half-normal(2.5)
    """

    scale: float

    def __post_init__(self) -> None:
        check_positive(self, scale=self.scale)

    def __str__(self) -> str:
        return f"half-normal({self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class Exponential(Distributed):
    """τ ~ exponential, p(τ) ∝ exp(−τ/mean).

    Parameters
    ----------
    mean : float

    Examples
    --------
    >>> print(Exponential(2))
    exponential(mean 2)
    """

    mean: float

    def __post_init__(self) -> None:
        check_positive(self, mean=self.mean)

    def __str__(self) -> str:
        return f"exponential(mean {self.mean:.4g})"


@dataclass(frozen=True, slots=True)
class LogNormal(Distributed):
    """log τ ~ N(log median, log_sd²): the SD of the logarithm has no unit, and τ = 0 is excluded.

    Parameters
    ----------
    median, log_sd : float

    Examples
    --------
    >>> print(LogNormal(2, 0.5))
    log-normal(median 2, SD of the logarithm 0.5)
    """

    median: float
    log_sd: float

    def __post_init__(self) -> None:
        check_positive(self, median=self.median, log_sd=self.log_sd)

    def __str__(self) -> str:
        return f"log-normal(median {self.median:.4g}, SD of the logarithm {self.log_sd:.4g})"


VariancePrior: TypeAlias = (
    Known | InverseGamma | Jeffreys | UniformSD | HalfT | HalfCauchy | HalfNormal | Exponential | LogNormal
)
