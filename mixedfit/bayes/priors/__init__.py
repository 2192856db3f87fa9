"""Priors as values, which print as mathematics.

A variance prior can be given to the residual (key "sigma") or to a grouping factor; a covariance prior to a factor or
term with correlated effects; `Flat` and `Normal` to the fixed effects. Scales are in the units of the response (per
unit of the effect's column), and τ stands for a standard deviation.
"""

from __future__ import annotations

from typing import TypeAlias

from .covariance import CovariancePrior, Diagonal, HuangWand, InverseWishart
from .fixed import FixedPrior, Flat, Normal
from .from_data import empirical
from .variance import (
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfT,
    InverseGamma,
    Jeffreys,
    Known,
    UniformSD,
    VariancePrior,
)

__all__ = [
    "CovariancePrior",
    "Diagonal",
    "Exponential",
    "FixedPrior",
    "Flat",
    "Gamma",
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
    "empirical",
]

Prior: TypeAlias = VariancePrior | CovariancePrior | FixedPrior
