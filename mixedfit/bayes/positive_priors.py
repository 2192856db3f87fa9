"""Priors of other positive numbers: degrees of freedom, and a typical residual variance."""

from __future__ import annotations

from dataclasses import dataclass

from .prior_checks import check_positive

__all__ = ["Gamma"]


@dataclass(frozen=True, slots=True)
class Gamma:
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

    def about(self, name: str) -> str:
        """Return the prior written for a parameter's name."""
        return f"{name} ~ {self}"
