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

from typing import TYPE_CHECKING, Any, TypeAlias

from mixedfit.core.errors import nearest

from ._checks import explain_arguments
from .covariance import LKJ, CovariancePrior, Decov, Diagonal, HuangWand, InverseWishart
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
    "Decov",
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

_ELSEWHERE = {
    "chi2": "InverseGamma",
    "dgamma": "InverseGamma",
    "dnorm": "Normal",
    "dt": "StudentT",
    "dunif": "UniformSD",
    "dwish": "InverseWishart",
    "halfflat": "UniformSD",
    "halfstudentt": "HalfT",
    "invgamma": "InverseGamma",
    "invwishart": "InverseWishart",
    "lkjcholeskycov": "LKJ",
    "lkjcorr": "LKJ",
    "lkjcov": "LKJ",
    "t": "StudentT",
    "wishart": "InverseWishart",
}
"""Priors of other programs, in lower case without underscores, and those of mixedfit."""

for _prior in (globals()[_name] for _name in __all__):
    if isinstance(_prior, type):
        explain_arguments(_prior)

if not TYPE_CHECKING:  # a type checker would take every name for known

    def __getattr__(name: str) -> Any:
        """Raise an `AttributeError` that names the prior to use."""
        key = name.lower().replace("_", "")
        same = next((own for own in __all__ if own.lower() == key), None)
        use = None if name.startswith("__") else same or _ELSEWHERE.get(key)
        hint = f"; use {use!r}" if use else f". {nearest(name, __all__)}".rstrip()
        raise AttributeError(f"mixedfit.priors has no {name!r}{hint}")
