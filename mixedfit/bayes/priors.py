"""Priors as values: they print as mathematics and check themselves.

A variance prior can be given to the residual (key "sigma") or to a grouping factor; a covariance prior to a factor or
term with correlated effects; `Flat` and `Normal` to the fixed effects. Scales are in the units of the response (per
unit of the effect's column), and τ stands for a standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .._types import Array
from ..errors import ModelError

__all__ = [
    "CovariancePrior",
    "Diagonal",
    "Exponential",
    "FixedPrior",
    "Flat",
    "HalfCauchy",
    "HalfNormal",
    "HalfT",
    "HuangWand",
    "InverseGamma",
    "InverseWishart",
    "Jeffreys",
    "Known",
    "Normal",
    "Prior",
    "UniformSD",
    "VariancePrior",
]


def _positive(owner: object, **numbers: Any) -> None:
    """Refuse numbers that are not positive and finite."""
    for name, value in numbers.items():
        good = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        if not (good and np.isfinite(value) and value > 0):
            raise ModelError(
                f"{type(owner).__name__}: {name} is {value!r}; expected a positive finite number. "
                "Scales are standard deviations in the units of the response."
            )


@dataclass(frozen=True, slots=True)
class Flat:
    """p(β) ∝ 1: no information about the fixed effects.

    Examples
    --------
    >>> print(Flat())
    p(β) ∝ 1
    """

    def __str__(self) -> str:
        return "p(β) ∝ 1"

    def about(self, name: str) -> str:
        """Return the prior written for a parameter's name."""
        return f"p({name}) ∝ 1"


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """β ~ N(mean, covariance): semi-conjugate for fixed effects.

    Parameters
    ----------
    mean : float or sequence
        One number for a coefficient, or one for each of the fixed effects.
    sd : float or sequence, optional
        Standard deviations of independent coefficients.
    covariance : array, shape (p, p), optional
        Λ₀, instead of `sd`.

    Examples
    --------
    >>> print(Normal(50, 5))
    N(50, 5²)
    >>> print(Normal([0, 1], covariance=[[4, 1], [1, 9]]))
    N((0, 1), [[4, 1], [1, 9]])
    """

    mean: Any
    sd: Any = None
    covariance: Any = None

    def __post_init__(self) -> None:
        if (self.sd is None) == (self.covariance is None):
            raise ModelError("Normal needs either sd (standard deviations) or covariance (a matrix).")
        if not np.all(np.isfinite(_numbers("mean", self.mean))):
            raise ModelError(f"Normal: mean is {self.mean!r}; expected finite numbers.")
        if self.sd is not None:
            for value in np.ravel(_numbers("sd", self.sd)):
                _positive(self, sd=float(value))
            return
        matrix = _numbers("covariance", self.covariance)
        _check_covariance("Normal: covariance", matrix)
        if np.ndim(self.mean) == 1 and np.size(self.mean) != matrix.shape[0]:
            raise ModelError(
                f"Normal: mean has {np.size(self.mean)} numbers, covariance {matrix.shape[0]} rows."
            )

    @property
    def is_scalar(self) -> bool:
        """Whether it is about one coefficient."""
        return self.covariance is None and np.ndim(self.mean) == 0 and np.ndim(self.sd) == 0

    def moments(self, p: int) -> tuple[Array, Array]:
        """Return mean, shape (p,), and covariance, shape (p, p)."""
        covariance = _numbers("covariance", self.covariance if self.sd is None else self.sd)
        if self.sd is not None:
            covariance = np.diag(np.broadcast_to(self._fit(covariance, p), p) ** 2.0)
        elif covariance.shape != (p, p):
            raise ModelError(
                f"Normal: covariance has shape {covariance.shape}; the model has {p} fixed effects."
            )
        return np.array(
            np.broadcast_to(self._fit(_numbers("mean", self.mean), p), p), dtype=float
        ), covariance

    @staticmethod
    def _fit(values: Array, p: int) -> Array:
        if values.ndim > 1 or values.size not in (1, p):
            raise ModelError(
                f"Normal has {values.size} numbers; the model has {p} fixed effects. Give one or {p}."
            )
        return values

    def __str__(self) -> str:
        if self.covariance is not None:
            rows = ", ".join(
                f"[{', '.join(f'{v:.4g}' for v in row)}]" for row in np.atleast_2d(self.covariance)
            )
            return f"N({_listed(self.mean)}, [{rows}])"
        if np.ndim(self.sd) == 0:
            return f"N({_listed(self.mean)}, {self.sd:.4g}²)"
        return f"N({_listed(self.mean)}, diag{_listed(np.asarray(self.sd) ** 2)})"

    __repr__ = __str__

    def about(self, name: str) -> str:
        """Return the prior written for a parameter's name."""
        return f"{name} ~ {self}"


def _listed(values: Any) -> str:
    if np.ndim(values) == 0:
        return f"{float(values):.4g}"
    return "(" + ", ".join(f"{float(v):.4g}" for v in values) + ")"


def _numbers(name: str, values: Any) -> Array:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"{name} is {values!r}; expected numbers.") from None


def _check_covariance(what: str, matrix: Array) -> None:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ModelError(f"{what} has shape {matrix.shape}; expected a square matrix.")
    symmetric = np.all(np.isfinite(matrix)) and np.allclose(matrix, matrix.T, rtol=1e-8, atol=0.0)
    if not symmetric or np.linalg.eigvalsh(matrix)[0] <= 0:
        raise ModelError(f"{what} must be symmetric and positive definite.")


@dataclass(frozen=True, slots=True)
class _Variance:
    """What priors of a variance share."""

    def about(self, name: str) -> str:
        """Return the prior written for a parameter's name."""
        return f"{name} ~ {self}"


@dataclass(frozen=True, slots=True)
class Known(_Variance):
    """τ = sd: not estimated.

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
        _positive(self, sd=self.sd)

    def __str__(self) -> str:
        return f"known, {self.sd:.4g}"

    def about(self, name: str) -> str:
        """Return the prior written for a parameter's name."""
        return f"{name} = {self.sd:.4g}, known"


@dataclass(frozen=True, slots=True)
class InverseGamma(_Variance):
    """τ² ~ inverse-gamma(shape, scale), p(τ²) ∝ (τ²)^(−shape−1) exp(−scale/τ²): conjugate.

    As ν₀ observations whose variance is σ₀²: shape ν₀/2, scale ν₀σ₀²/2; see `guess`.

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
        _positive(self, shape=self.shape, scale=self.scale)

    @classmethod
    def guess(cls, variance: float, weight: float) -> InverseGamma:
        """Return the prior that is worth `weight` (ν₀) observations of variance `variance` (σ₀²)."""
        if not (variance > 0 and weight > 0):
            raise ModelError(
                f"InverseGamma.guess: variance is {variance!r}, weight {weight!r}; expected positive numbers."
            )
        return cls(weight / 2, weight * variance / 2)

    def __str__(self) -> str:
        return f"inverse-gamma({self.shape:.4g}, {self.scale:.4g}) for the variance"

    def about(self, name: str) -> str:
        """Return the prior written for a standard deviation's name."""
        return f"{name}² ~ inverse-gamma({self.shape:.4g}, {self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class Jeffreys(_Variance):
    """p(σ²) ∝ 1/σ²: for the residual only; for a variance between groups the posterior would be improper.

    Examples
    --------
    >>> print(Jeffreys().about("σ"))
    p(σ²) ∝ 1/σ²
    """

    def __str__(self) -> str:
        return "Jeffreys, p(τ²) ∝ 1/τ²"

    def about(self, name: str) -> str:
        """Return the prior written for a parameter's name."""
        return f"p({name}²) ∝ 1/{name}²"


@dataclass(frozen=True, slots=True)
class UniformSD(_Variance):
    """p(τ) ∝ 1 on 0 < τ ≤ upper, which is p(τ²) ∝ 1/τ.

    Parameters
    ----------
    upper : float
        Without it the prior is improper and needs enough groups.

    Examples
    --------
    >>> print(UniformSD(100), UniformSD(), sep="; ")
    U(0, 100); U(0, ∞)
    """

    upper: float = float("inf")

    def __post_init__(self) -> None:
        if self.upper != float("inf"):
            _positive(self, upper=self.upper)

    def __str__(self) -> str:
        return f"U(0, {'∞' if np.isinf(self.upper) else f'{self.upper:.4g}'})"


@dataclass(frozen=True, slots=True)
class HalfT(_Variance):
    """τ ~ half-t(df, scale), p(τ) ∝ (1 + τ²/(df scale²))^(−(df+1)/2).

    Drawn through a mixture of inverse gammas; Wand et al. (2011), Bayesian Analysis 6:847.

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
        _positive(self, df=self.df, scale=self.scale)

    def __str__(self) -> str:
        return f"half-t({self.df:.4g}, {self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class HalfCauchy(_Variance):
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
        _positive(self, scale=self.scale)

    def __str__(self) -> str:
        return f"half-Cauchy({self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class HalfNormal(_Variance):
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
        _positive(self, scale=self.scale)

    def __str__(self) -> str:
        return f"half-normal({self.scale:.4g})"


@dataclass(frozen=True, slots=True)
class Exponential(_Variance):
    """τ ~ exponential with a mean, p(τ) ∝ exp(−τ/mean).

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
        _positive(self, mean=self.mean)

    def __str__(self) -> str:
        return f"exponential(mean {self.mean:.4g})"


@dataclass(frozen=True, slots=True, eq=False)
class InverseWishart:
    """Ω ~ inverse-Wishart(η₀, S₀⁻¹), that is Ω⁻¹ ~ Wishart(η₀, S₀⁻¹), as in Hoff (2009), section 7.3.

    Parameters
    ----------
    df : float
        η₀, more than k − 1 for k effects.
    matrix : array, shape (k, k)
        S₀: the prior guess of Ω times (η₀ − k − 1).

    Examples
    --------
    >>> print(InverseWishart(4, [[2, 0], [0, 1]]))
    inverse-Wishart(4, [[2, 0], [0, 1]]⁻¹)
    """

    df: float
    matrix: Any

    def __post_init__(self) -> None:
        matrix = _numbers("InverseWishart: matrix", self.matrix)
        _check_covariance("InverseWishart: matrix", matrix)
        _positive(self, df=self.df)
        if self.df <= matrix.shape[0] - 1:
            raise ModelError(
                f"InverseWishart: df is {self.df:g}; for {matrix.shape[0]} effects the prior is proper only above "
                f"{matrix.shape[0] - 1}."
            )

    @property
    def k(self) -> int:
        """Effects that it is about."""
        return int(np.shape(self.matrix)[0])

    def __str__(self) -> str:
        rows = ", ".join(f"[{', '.join(f'{v:.4g}' for v in row)}]" for row in np.asarray(self.matrix))
        return f"inverse-Wishart({self.df:.4g}, [{rows}]⁻¹)"

    __repr__ = __str__

    def about(self, name: str) -> str:
        """Return the prior written for a covariance matrix's name."""
        return f"{name} ~ {self}"


@dataclass(frozen=True, slots=True)
class HuangWand:
    """Every SD ~ half-t(df, scale), and with df = 2 every correlation uniform on (−1, 1).

    Huang & Wand (2013), Bayesian Analysis 8:439: Ω | a ~ inverse-Wishart(df + k − 1, 2 df diag(1/a)).

    Parameters
    ----------
    scale : float or sequence
        One for each effect, or one for all, in units of the response per unit of the effect's column.
    df : float

    Examples
    --------
    >>> print(HuangWand((50, 10)))
    Huang–Wand(2; 50, 10)
    """

    scale: float | Sequence[float]
    df: float = 2.0

    def __post_init__(self) -> None:
        _positive(self, df=self.df)
        for value in np.ravel(_numbers("HuangWand: scale", self.scale)):
            _positive(self, scale=float(value))

    def __str__(self) -> str:
        return f"Huang–Wand({self.df:.4g}; {', '.join(f'{v:.4g}' for v in np.ravel(self.scale))})"

    def about(self, name: str) -> str:
        """Return the prior written for a covariance matrix's name."""
        return f"{name} ~ {self}"


@dataclass(frozen=True, slots=True, init=False)
class Diagonal:
    """Ω = diag(τ₁², …, τ_k²): no correlations, and a prior for each standard deviation.

    Parameters
    ----------
    *priors : variance priors
        One for each effect, or one for all.

    Examples
    --------
    >>> print(Diagonal(HalfT(3, 50), HalfT(3, 10)))
    diag(half-t(3, 50), half-t(3, 10))
    """

    priors: tuple[VariancePrior, ...]

    def __init__(self, *priors: VariancePrior) -> None:
        if not priors or not all(isinstance(prior, _Variance) for prior in priors):
            raise ModelError("Diagonal needs priors of standard deviations, such as HalfT(3, 10).")
        object.__setattr__(self, "priors", priors)

    def __str__(self) -> str:
        return f"diag({', '.join(str(prior) for prior in self.priors)})"

    def about(self, name: str) -> str:
        """Return the prior written for a covariance matrix's name."""
        return f"{name} = {self}"


VariancePrior: TypeAlias = (
    Known | InverseGamma | Jeffreys | UniformSD | HalfT | HalfCauchy | HalfNormal | Exponential
)
CovariancePrior: TypeAlias = InverseWishart | HuangWand | Diagonal
FixedPrior: TypeAlias = Flat | Normal
Prior: TypeAlias = VariancePrior | CovariancePrior | FixedPrior
