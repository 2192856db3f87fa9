"""Prior distributions, which check their numbers and print as mathematics.

A variance prior is for the residual (key "sigma") or a grouping factor, a covariance prior for a factor or term with
correlated effects, `Flat` and `Normal` for the fixed effects. Scales are in the units of the response (per unit of the
effect's column); τ is a standard deviation.

* `fixed`, `variance`, `covariance`: the priors of fixed effects, variances and covariance matrices;
* `from_data`: `empirical`, priors from least-squares fits of the groups;
* `other_programs`: `like`, the default priors of other programs;
* `keys`: the keys of a mapping of priors;
* `placement`, `fixed_placement`: the prior of each parameter of a design, with the defaults;
* `residual`: the priors of the parameters of residual structures;
* `propriety`: checks that the posterior is proper.
"""

from __future__ import annotations

from typing import TypeAlias

from .covariance import LKJ, CovariancePrior, Diagonal, HuangWand, InverseWishart
from .fixed import Cauchy, FixedPrior, Flat, Laplace, Normal, StudentT
from .from_data import empirical
from .other_programs import like
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
    "LKJ",
    "Beta",
    "Cauchy",
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
    "Laplace",
    "LogNormal",
    "Normal",
    "Prior",
    "ResidualPrior",
    "StudentT",
    "Uniform",
    "UniformSD",
    "VariancePrior",
    "empirical",
    "like",
]

Prior: TypeAlias = VariancePrior | CovariancePrior | FixedPrior
