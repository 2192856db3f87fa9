"""Prior distributions, which check their numbers and print as mathematics.

A variance prior is for the residual (key "sigma") or a grouping factor, a covariance prior for a factor or term with
correlated effects, `Flat` and `Normal` for the fixed effects. Scales are in the units of the response (per unit of the
effect's column); τ is a standard deviation.

* `fixed`, `variance`, `covariance`: the priors of fixed effects, variances and covariance matrices;
* `from_data`: `empirical`, priors from least-squares fits of the groups;
* `keys`: the keys of a mapping of priors;
* `placement`: the prior of each parameter of a design, with the defaults;
* `residual`: the priors of the parameters of residual structures;
* `propriety`: checks that the posterior is proper.
"""

from __future__ import annotations

from typing import TypeAlias

from .covariance import CovariancePrior, Diagonal, HuangWand, InverseWishart
from .fixed import FixedPrior, Flat, Normal
from .from_data import empirical
from .residual import Beta, ResidualPrior, Uniform
from .variance import (
    Exponential,
    Gamma,
    HalfCauchy,
    HalfNormal,
    HalfT,
    InverseGamma,
    Jeffreys,
    Known,
    LogNormal,
    UniformSD,
    VariancePrior,
)

__all__ = [
    "Beta",
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
    "LogNormal",
    "Normal",
    "Prior",
    "ResidualPrior",
    "Uniform",
    "UniformSD",
    "VariancePrior",
    "empirical",
]

Prior: TypeAlias = VariancePrior | CovariancePrior | FixedPrior
