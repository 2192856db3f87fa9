"""Distributions of residuals and random effects, which check their numbers and print as mathematics.

All have a scale, σ for residuals and Ω (τ² for one effect) for random effects. Only for the normal distribution is it a
standard deviation or covariance matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

from .priors._checks import check_positive
from .priors.variance import Gamma

__all__ = ["Distribution", "Laplace", "Normal", "StudentT", "mixing_precisions"]

_LOWERED = str.maketrans("0123456789.", "₀₁₂₃₄₅₆₇₈₉.")


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal, N(0, Ω).

    Examples
    --------
    >>> print(Normal().about("ε", "σ²"))
    ε ~ N(0, σ²)
    """

    def __str__(self) -> str:
        return "N"

    def about(self, name: str, scale: str, nu: str = "ν") -> str:
        """Return the distribution stated for a name and its squared scale."""
        return f"{name} ~ N(0, {scale})"


@dataclass(frozen=True, slots=True)
class StudentT:
    """t with ν degrees of freedom, location 0 and scale Ω, which is robust to outliers.

    The variance is ν/(ν − 2) times the squared scale, and infinite for ν ≤ 2. Several effects of one level share one
    mixing variable, that is, are multivariate t.

    Parameters
    ----------
    df : float or "estimate" or Gamma
        ν, or its prior. "estimate" is the prior gamma(2, 0.1) of Juárez & Steel (2010), J. Bus. Econ. Stat. 28:52,
        with mode 10 and mean 20.

    Examples
    --------
    >>> print(StudentT(4).about("ε", "σ²"))
    ε ~ t₄(0, σ²)
    >>> print(StudentT("estimate").about("b[Tray]", "τ²", "ν[Tray]"))
    b[Tray] ~ t_ν(0, τ²), ν[Tray] ~ gamma(2, 0.1)
    """

    df: float | Literal["estimate"] | Gamma = 4.0

    def __post_init__(self) -> None:
        if isinstance(self.df, Gamma):
            return
        if isinstance(self.df, str):
            if self.df != "estimate":
                raise ModelError(
                    f"StudentT: df is {self.df!r}; expected a positive number, 'estimate', or a prior such as "
                    "mf.priors.Gamma(2, 0.1)."
                )
            return
        check_positive(self, df=self.df)

    @property
    def prior(self) -> Gamma | None:
        """The prior of ν, None if ν is known."""
        if isinstance(self.df, Gamma):
            return self.df
        return Gamma(2.0, 0.1) if self.df == "estimate" else None

    def __str__(self) -> str:
        return "t" if self.prior else f"t{f'{self.df:.4g}'.translate(_LOWERED)}"

    def about(self, name: str, scale: str, nu: str = "ν") -> str:
        """Return the distribution stated for a name and its squared scale."""
        if self.prior is None:
            return f"{name} ~ {self}(0, {scale})"
        return f"{name} ~ t_ν(0, {scale}), {self.prior.about(nu)}"


@dataclass(frozen=True, slots=True)
class Laplace:
    """Laplace (double exponential) with location 0 and scale Ω, which has a peak at 0 and long tails.

    One element has density exp(−|x|/σ)/(2σ) and standard deviation √2 σ. Several effects of one level have the
    symmetric multivariate Laplace distribution, N(0, VΩ) with V exponential of mean 2: each effect is Laplace, and
    the covariance matrix is 2Ω; Kotz, Kozubowski & Podgórski (2001), The Laplace Distribution, section 5.2.

    Examples
    --------
    >>> print(Laplace().about("ε", "σ²"))
    ε ~ Laplace(0, σ²), variance 2σ²
    """

    def __str__(self) -> str:
        return "Laplace"

    def about(self, name: str, scale: str, nu: str = "ν") -> str:
        """Return the distribution stated for a name and its squared scale."""
        return f"{name} ~ Laplace(0, {scale}), variance 2{scale}"


Distribution: TypeAlias = Normal | StudentT | Laplace


def mixing_precisions(
    distribution: Distribution, df: float | Array, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Return draws of λ, where N(0, Ω/λ) given λ is the distribution; `df` is broadcast to `shape`."""
    if isinstance(distribution, StudentT):
        half = 0.5 * np.broadcast_to(df, shape)
        return np.asarray(rng.standard_gamma(half) / half)
    if isinstance(distribution, Laplace):
        return np.asarray(0.5 / rng.standard_exponential(shape))
    return np.ones(shape)
