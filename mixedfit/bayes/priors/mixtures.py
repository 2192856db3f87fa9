"""Scale mixtures of normals as priors of fixed effects: dᵀβ | λ ~ N(mean, scale²/λ).

t with ν degrees of freedom: λ ~ gamma(ν/2, ν/2). Laplace: 1/λ ~ exponential with mean 2; Andrews & Mallows (1974), J.
R. Stat. Soc. B 36:99.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from mixedfit.core.arrays import Array

from .fixed import Cauchy, Laplace, ScaleMixture, StudentT
from .placement import Placement

__all__ = ["draw_precisions", "free_precisions", "given_mixtures", "log_density", "log_precision_density"]


def _df(prior: ScaleMixture) -> float:
    """Return the degrees of freedom of a t prior, NaN of a Laplace."""
    return float(prior.df) if isinstance(prior, StudentT) else 1.0 if isinstance(prior, Cauchy) else np.nan


def free_precisions(prior: ScaleMixture, draws: int, rng: np.random.Generator) -> Array:
    """Return draws of λ from its prior, shape (draws,)."""
    if isinstance(prior, Laplace):
        return np.asarray(1.0 / rng.exponential(2.0, draws))
    return np.asarray(rng.gamma(0.5 * _df(prior), 2.0 / _df(prior), draws))


def draw_precisions(prior: ScaleMixture, z: Array, rng: np.random.Generator) -> Array:
    """Return draws of λ given z = (dᵀβ − mean)/scale: gamma((ν + 1)/2, (ν + z²)/2), or inverse Gaussian(1/|z|, 1)."""
    if isinstance(prior, Laplace):
        return np.asarray(rng.wald(1.0 / np.maximum(np.abs(z), 1e-10), 1.0))
    df = _df(prior)
    return np.asarray(rng.standard_gamma(0.5 * (df + 1.0), np.shape(z)) / (0.5 * (df + z * z)))


def log_precision_density(prior: ScaleMixture, log_lam: Array) -> Array:
    """Return the log density of log λ."""
    if isinstance(prior, Laplace):
        return np.asarray(-np.log(2.0) - log_lam - 0.5 * np.exp(-log_lam))
    half = 0.5 * _df(prior)
    return np.asarray(half * (np.log(half) + log_lam - np.exp(log_lam)) - special.gammaln(half))


def log_density(prior: ScaleMixture, z: float) -> float:
    """Return the log density of z = (dᵀβ − mean)/scale."""
    if isinstance(prior, Laplace):
        return float(-np.log(2.0) - abs(z))
    df = _df(prior)
    constant = special.gammaln(0.5 * (df + 1.0)) - special.gammaln(0.5 * df) - 0.5 * np.log(df * np.pi)
    return float(constant - 0.5 * (df + 1.0) * np.log1p(z * z / df))


def given_mixtures(placement: Placement, lam: Array) -> tuple[Array, Array]:
    """Return the precision of β, shape (S, p, p), and precision × mean, shape (S, p), given λ, shape (S, mixtures)."""
    directions = np.stack([m.direction / m.scale for m in placement.mixtures])
    means = np.array([m.mean / m.scale for m in placement.mixtures])
    extra = np.einsum("sm,mi,mj->sij", lam - 1.0, directions, directions)
    linear = placement.precision @ placement.mean + np.einsum("sm,m,mi->si", lam - 1.0, means, directions)
    return placement.precision + extra, linear
