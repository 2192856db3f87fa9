"""Priors of the covariance matrix Ω of correlated effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mixedfit.core.errors import ModelError

from ._checks import Distributed, as_numbers, check_covariance, check_positive, matrix_text
from .variance import Jeffreys, Known, UniformSD, VariancePrior

__all__ = ["LKJ", "CovariancePrior", "Decov", "Diagonal", "HuangWand", "InverseWishart"]


@dataclass(frozen=True, slots=True, eq=False)
class InverseWishart(Distributed):
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
        matrix = as_numbers("InverseWishart: matrix", self.matrix)
        check_covariance("InverseWishart: matrix", matrix)
        check_positive(self, df=self.df)
        if self.df <= matrix.shape[0] - 1:
            raise ModelError(
                f"InverseWishart: df is {self.df:g}; for {matrix.shape[0]} effects the prior is proper only above "
                f"{matrix.shape[0] - 1}."
            )

    @property
    def k(self) -> int:
        """Number of effects."""
        return int(np.shape(self.matrix)[0])

    def __str__(self) -> str:
        return f"inverse-Wishart({self.df:.4g}, {matrix_text(self.matrix)}⁻¹)"

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class HuangWand(Distributed):
    """Every SD ~ half-t(df, scale), and with df = 2 every correlation uniform on (−1, 1), over all SDs.

    Huang & Wand (2013), Bayesian Analysis 8:439: Ω | a ~ inverse-Wishart(df + k − 1, 2 df diag(1/a)). SDs and
    correlations are dependent: given SDs far below the scales, the density of the correlation of two effects is
    ∝ (1 − ρ²)^(df/2), with df = 2 that of LKJ(2), so that it prefers correlations near 0.

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
        check_positive(self, df=self.df)
        for value in np.ravel(as_numbers("HuangWand: scale", self.scale)):
            check_positive(self, scale=float(value))

    def __str__(self) -> str:
        return f"Huang–Wand({self.df:.4g}; {', '.join(f'{v:.4g}' for v in np.ravel(self.scale))})"


@dataclass(frozen=True, slots=True, init=False)
class Diagonal:
    """Ω = diag(τ₁², …, τ_k²): no correlations, and a prior for each standard deviation.

    Parameters
    ----------
    *priors : variance priors
        One for each effect, or one for all.

    Examples
    --------
    >>> from mixedfit.bayes.priors import HalfT
    >>> print(Diagonal(HalfT(3, 50), HalfT(3, 10)))
    diag(half-t(3, 50), half-t(3, 10))
    """

    priors: tuple[VariancePrior, ...]

    def __init__(self, *priors: VariancePrior) -> None:
        if not priors or not all(isinstance(prior, VariancePrior) for prior in priors):
            raise ModelError("Diagonal needs priors of standard deviations, such as HalfT(3, 10).")
        object.__setattr__(self, "priors", priors)

    def __str__(self) -> str:
        return f"diag({', '.join(str(prior) for prior in self.priors)})"

    def about(self, name: str) -> str:
        """Return the prior stated for the name of a covariance matrix."""
        return f"{name} = {self}"


@dataclass(frozen=True, slots=True, init=False)
class LKJ(Distributed):
    """Correlations R ~ LKJ(η), ``p(R) ∝ |R|^(η−1)``, and a prior for each standard deviation.

    η = 1 is uniform over correlation matrices, larger η prefers correlations near 0. Lewandowski, Kurowicka & Joe
    (2009), J. Multivar. Anal. 100:1989. It has no conjugate update: Ω takes a Metropolis step and slice steps.

    Parameters
    ----------
    eta : float
        η.
    *sds : variance priors
        Proper; one for each effect, or one for all. Without them each SD has the prior of its own key, such as
        ``"sd_Days|Subject"``, or the default half-t.

    Examples
    --------
    >>> from mixedfit.bayes.priors import HalfNormal, HalfT
    >>> print(LKJ(2, HalfT(3, 50), HalfNormal(10)))
    LKJ(2) with SDs half-t(3, 50), half-normal(10)
    """

    eta: float
    sds: tuple[VariancePrior, ...]

    def __init__(self, eta: float, *sds: VariancePrior) -> None:
        check_positive(self, eta=eta)
        for prior in sds:
            improper = isinstance(prior, Jeffreys | Known) or (
                isinstance(prior, UniformSD) and np.isinf(prior.upper)
            )
            if improper or not isinstance(prior, VariancePrior):
                raise ModelError(
                    f"LKJ: the prior of a standard deviation is {prior}; expected a proper one that is estimated, "
                    "such as HalfT(3, 10)."
                )
        object.__setattr__(self, "eta", eta)
        object.__setattr__(self, "sds", sds)

    def __str__(self) -> str:
        listed = ", ".join(str(prior) for prior in self.sds)
        return f"LKJ({self.eta:.4g})" + (f" with SDs {listed}" if listed else "")


@dataclass(frozen=True, slots=True)
class Decov(Distributed):
    """Standard deviations in units of σ, rstanarm's ``decov`` with shape and concentration 1.

    Of one effect τ/σ ~ exponential(mean scale). The k variances of correlated effects are τ_i² = k σ² t² π_i with
    t ~ exponential(mean scale) and π uniform on the simplex, Σ π_i = 1; their correlations are LKJ(η). rstanarm's
    documentation, "Covariance matrices". The scale has no unit.

    Parameters
    ----------
    eta : float
        η.
    scale : float

    Examples
    --------
    >>> print(Decov().about("τ[(Intercept) | Tray]"), Decov().about("Ω[(Intercept), Days | Subject]"), sep="; ")
    τ[(Intercept) | Tray]/σ ~ exponential(mean 1); Ω[(Intercept), Days | Subject]/σ² ~ decov(1, 1)
    """

    eta: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self, eta=self.eta, scale=self.scale)

    def __str__(self) -> str:
        return f"decov({self.eta:.4g}, {self.scale:.4g})"

    def about(self, name: str) -> str:
        """Return the prior stated for the name of a standard deviation or of a covariance matrix."""
        if name.startswith("Ω"):
            return f"{name}/σ² ~ {self}"
        return f"{name}/σ ~ exponential(mean {self.scale:.4g})"


CovariancePrior: TypeAlias = InverseWishart | HuangWand | LKJ | Decov | Diagonal
