"""Densities of the priors of single parameters.

The density of a standard deviation τ whose variance v = τ² has the density p is 2τ p(τ²).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from mixedfit.core.arrays import Array
from mixedfit.core.linalg import inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design

from . import (
    LKJ,
    Decov,
    Exponential,
    HalfCauchy,
    HalfNormal,
    HalfT,
    HuangWand,
    InverseGamma,
    InverseWishart,
    Jeffreys,
    LogNormal,
    Prior,
    UniformSD,
)
from .placement import Placement, Unit, place_priors

__all__ = ["PriorDensity", "prior_densities"]

OF_OTHER_PARTS = {"nu", "nu0", "sigma0", "phi", "ratio"}
"""Keys of priors of the error model and of residual structures."""


@dataclass(frozen=True, slots=True)
class PriorDensity:
    """Density of the prior of one parameter.

    Attributes
    ----------
    at : callable
        Takes values, shape (m,), and returns the density there.
    proper : bool
        Whether it integrates to 1; if not, only ratios of heights have a meaning.
    """

    at: Callable[[Array], Array]
    proper: bool = True


def prior_densities(
    design: Design, cross: CrossProducts, priors: Mapping[str, Any] | None
) -> tuple[Placement, dict[str, PriorDensity]]:
    """Return the placement of the priors, and the marginal density of each parameter by its name.

    Known standard deviations have none, nor have correlations whose distribution depends on more than their prior's
    degrees of freedom, nor standard deviations whose prior is in units of σ, nor the parameters of heavy tails and
    residual structures.

    Parameters
    ----------
    design : Design
    cross : CrossProducts
        Those of `design`.
    priors : mapping of str to prior, or None
        As in `LinearMixedModel.gibbs`; the defaults if it is None or empty.

    Raises
    ------
    ModelError
        If a prior does not fit the model.
    """
    kept = {key: prior for key, prior in (priors or {}).items() if _of_this_part(str(key).strip())}
    placement = place_priors(design, cross, kept)
    names = [design.x_names[column] for column in cross.fixed.kept]
    found = dict(zip(names, _fixed(placement), strict=True))
    for unit in placement.units:
        found |= dict(_of_unit(design, unit))
    sigma = _scale(placement.sigma)
    return placement, found | ({"sigma": sigma} if sigma else {})


def _of_this_part(key: str) -> bool:
    return key not in OF_OTHER_PARTS and not key.startswith(("nu|", "ratio("))


def _fixed(placement: Placement) -> Iterator[PriorDensity]:
    """Yield the marginal prior of each coefficient: normal, or flat where the precision is zero."""
    flat = ~np.any(placement.precision != 0, axis=1)
    sds = np.full(flat.size, np.inf)
    if not flat.all():
        some = np.flatnonzero(~flat)
        sds[some] = np.sqrt(np.diag(inverse(placement.precision[np.ix_(some, some)])))
    for mean, sd in zip(placement.mean, sds, strict=True):
        yield PriorDensity(stats.norm(mean, sd).pdf) if np.isfinite(sd) else PriorDensity(np.ones_like, False)


def _of_unit(design: Design, unit: Unit) -> Iterator[tuple[str, PriorDensity]]:
    """Yield names and densities of the parameters of one covariance matrix."""
    block = design.blocks[unit.block]
    effects = block.effects[unit.start : unit.start + unit.size]
    for i, effect in enumerate(effects):
        density = _scale(unit.prior) if unit.size == 1 else _marginal_scale(unit.prior, i, unit.size)
        if density is not None:
            yield f"sd_{effect}|{block.name}", density
    beta = _correlation_shape(unit.prior, unit.size)
    for i in range(unit.size) if beta is not None else ():
        for j in range(i):
            name = f"cor_{effects[i]}.{effects[j]}|{block.name}"
            yield name, PriorDensity(stats.beta(beta, beta, loc=-1, scale=2).pdf)


def _marginal_scale(prior: Prior, i: int, k: int) -> PriorDensity | None:
    """Return the density of the i-th of k standard deviations of correlated effects."""
    if isinstance(prior, HuangWand):
        return _scale(HalfT(prior.df, float(np.broadcast_to(prior.scale, k)[i])))
    if isinstance(prior, InverseWishart):
        matrix = np.atleast_2d(np.asarray(prior.matrix, dtype=float))
        shape = (prior.df - k + 1) / 2  # Ω_ii ~ inverse-gamma((η₀ − k + 1)/2, S₀_ii/2)
        return _scale(InverseGamma(shape, matrix[i, i] / 2)) if shape > 0 else None
    if isinstance(prior, LKJ):
        return _scale(prior.sds[i])
    return None


def _correlation_shape(prior: Prior, k: int) -> float | None:
    """Return a for correlations (ρ + 1)/2 ~ beta(a, a); None if there are none, or S₀ has correlations.

    Of an inverse-Wishart with η degrees of freedom and diagonal matrix a = (η − k + 1)/2 (Barnard, McCulloch & Meng
    2000, Statistica Sinica 10:1281); that of Huang and Wand has η = df + k − 1. Of LKJ(η) a = η − 1 + k/2 (Lewandowski,
    Kurowicka & Joe 2009, J. Multivar. Anal. 100:1989).
    """
    if k == 1:
        return None
    if isinstance(prior, HuangWand):
        return prior.df / 2
    if isinstance(prior, LKJ | Decov):
        return prior.eta - 1.0 + k / 2
    if isinstance(prior, InverseWishart):
        matrix = np.atleast_2d(np.asarray(prior.matrix, dtype=float))
        diagonal = np.array_equal(matrix, np.diag(np.diag(matrix)))
        return (prior.df - k + 1) / 2 if diagonal and prior.df > k - 1 else None
    return None


def _scale(prior: Any) -> PriorDensity | None:
    """Return the density of a standard deviation; None if it is known."""
    match prior:
        case HalfT():
            return PriorDensity(partial(_folded, stats.t(prior.df, scale=prior.scale)))
        case HalfCauchy():
            return PriorDensity(partial(_folded, stats.cauchy(scale=prior.scale)))
        case HalfNormal():
            return PriorDensity(partial(_folded, stats.norm(scale=prior.scale)))
        case Exponential():
            return PriorDensity(stats.expon(scale=prior.mean).pdf)
        case LogNormal():
            return PriorDensity(stats.lognorm(prior.log_sd, scale=prior.median).pdf)
        case InverseGamma():
            return PriorDensity(partial(_of_variance, stats.invgamma(prior.shape, scale=prior.scale)))
        case UniformSD() if np.isfinite(prior.upper):
            return PriorDensity(stats.uniform(0, prior.upper).pdf)
        case UniformSD():
            return PriorDensity(lambda tau: np.where(tau >= 0, 1.0, 0.0), False)
        case Jeffreys():
            return PriorDensity(lambda tau: 1 / np.where(tau > 0, tau, np.inf), False)
    return None


def _folded(distribution: Any, tau: Array) -> Array:
    """Return the density of |x| for a symmetric x."""
    return np.where(tau >= 0, 2 * distribution.pdf(tau), 0.0)


def _of_variance(distribution: Any, tau: Array) -> Array:
    """Return the density of τ given the distribution of τ²."""
    return np.where(tau > 0, 2 * tau * distribution.pdf(tau**2), 0.0)
