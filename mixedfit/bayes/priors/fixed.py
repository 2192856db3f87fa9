"""Priors of fixed effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

from ._checks import Distributed, as_numbers, check_covariance, check_positive, matrix_text

__all__ = ["Cauchy", "FixedPrior", "Flat", "Laplace", "Normal", "ScaleMixture", "StudentT"]


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
        """Return the prior stated for a parameter's name."""
        return f"p({name}) ∝ 1"


@dataclass(frozen=True, slots=True, eq=False)
class Normal(Distributed):
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
        if not np.all(np.isfinite(as_numbers("mean", self.mean))):
            raise ModelError(f"Normal: mean is {self.mean!r}; expected finite numbers.")
        if self.sd is not None:
            for value in np.ravel(as_numbers("sd", self.sd)):
                check_positive(self, sd=float(value))
            return
        matrix = as_numbers("covariance", self.covariance)
        check_covariance("Normal: covariance", matrix)
        if np.ndim(self.mean) == 1 and np.size(self.mean) != matrix.shape[0]:
            raise ModelError(
                f"Normal: mean has {np.size(self.mean)} numbers, covariance {matrix.shape[0]} rows."
            )

    @property
    def is_scalar(self) -> bool:
        """Whether the prior is of one coefficient."""
        return self.covariance is None and np.ndim(self.mean) == 0 and np.ndim(self.sd) == 0

    def moments(self, p: int) -> tuple[Array, Array]:
        """Return mean, shape (p,), and covariance, shape (p, p)."""
        mean = _one_for_each("mean", self.mean, p)
        if self.sd is not None:
            return mean, np.diag(_one_for_each("sd", self.sd, p) ** 2.0)
        covariance = as_numbers("covariance", self.covariance)
        if covariance.shape != (p, p):
            raise ModelError(
                f"Normal: covariance has shape {covariance.shape}; the model has {p} fixed effects."
            )
        return mean, covariance

    def __str__(self) -> str:
        if self.covariance is not None:
            return f"N({_vector_text(self.mean)}, {matrix_text(self.covariance)})"
        if np.ndim(self.sd) == 0:
            return f"N({_vector_text(self.mean)}, {self.sd:.4g}²)"
        return f"N({_vector_text(self.mean)}, diag{_vector_text(np.asarray(self.sd) ** 2)})"

    __repr__ = __str__


def _one_for_each(name: str, value: Any, p: int) -> Array:
    """Return one number for each of p coefficients, shape (p,)."""
    values = as_numbers(name, value)
    if values.ndim > 1 or values.size not in (1, p):
        raise ModelError(
            f"Normal has {values.size} numbers; the model has {p} fixed effects. Give one or {p}."
        )
    return np.array(np.broadcast_to(values, p))


def _vector_text(values: Any) -> str:
    if np.ndim(values) == 0:
        return f"{float(values):.4g}"
    return "(" + ", ".join(f"{float(v):.4g}" for v in values) + ")"


class ScaleMixture(Distributed):
    """Base of the priors β | λ ~ N(mean, scale²/λ) with a distribution of λ, so that the sampler stays Gibbs."""

    __slots__ = ()

    mean: Any
    scale: Any

    def __post_init__(self) -> None:
        if not np.all(np.isfinite(as_numbers("mean", self.mean))):
            raise ModelError(f"{type(self).__name__}: mean is {self.mean!r}; expected finite numbers.")
        for value in np.ravel(as_numbers("scale", self.scale)):
            check_positive(self, scale=float(value))

    @property
    def is_scalar(self) -> bool:
        """Whether the prior is of one coefficient."""
        return np.ndim(self.mean) == 0 and np.ndim(self.scale) == 0

    def moments(self, p: int) -> tuple[Array, Array]:
        """Return mean, shape (p,), and covariance given λ = 1, shape (p, p)."""
        return Normal(self.mean, self.scale).moments(p)

    def __str__(self) -> str:
        return f"{type(self).__name__}({_vector_text(self.mean)}, {_vector_text(self.scale)})"

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StudentT(ScaleMixture):
    """β ~ t_df(mean, scale²), independent coefficients: λ ~ gamma(df/2, df/2).

    Parameters
    ----------
    df : float
    mean, scale : float or sequence
        One number, or one for each of the fixed effects.

    Examples
    --------
    >>> print(StudentT(3, 0, 2.5))
    t(3, 0, 2.5)
    """

    df: float
    mean: Any
    scale: Any

    def __post_init__(self) -> None:
        check_positive(self, df=self.df)
        ScaleMixture.__post_init__(self)

    def __str__(self) -> str:
        return f"t({self.df:.4g}, {_vector_text(self.mean)}, {_vector_text(self.scale)})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Cauchy(ScaleMixture):
    """β ~ Cauchy(mean, scale), independent coefficients: t with one degree of freedom.

    Parameters
    ----------
    mean, scale : float or sequence
        One number, or one for each of the fixed effects.

    Examples
    --------
    >>> print(Cauchy(0, 2.5))
    Cauchy(0, 2.5)
    """

    mean: Any
    scale: Any


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Laplace(ScaleMixture):
    """β ~ Laplace(mean, scale), p(β) ∝ exp(−|β − mean|/scale): 1/λ ~ exponential with mean 2.

    The prior of the Bayesian lasso if the scale is known; Park & Casella (2008), J. Am. Stat. Assoc. 103:681.

    Parameters
    ----------
    mean, scale : float or sequence
        One number, or one for each of the fixed effects.

    Examples
    --------
    >>> print(Laplace(0, 1))
    Laplace(0, 1)
    """

    mean: Any
    scale: Any


FixedPrior: TypeAlias = Flat | Normal | StudentT | Cauchy | Laplace
