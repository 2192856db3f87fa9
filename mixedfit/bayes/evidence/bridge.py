"""Bridge sampling of a normalising constant, from draws of a posterior and of a normal proposal.

r = E_g[q/(s₁q + s₂r g)] / E_p[g/(s₁q + s₂r g)] with the unnormalised posterior q and a proposal g, solved for r by
iteration; Meng & Wong (1996), Statistica Sinica 6:831, equation 4.1. Its relative error is that of Frühwirth-Schnatter
(2004), Econometrics Journal 7:143, with autocorrelated posterior draws counted by their effective number, as in Gronau
et al. (2017), J. Math. Psychol. 81:80.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from mixedfit.bayes.draws.convergence import ess_mean
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

__all__ = ["bridge_estimate"]

LEAST_DRAWS = 50
"""Smallest number of draws of all chains for each parameter from which the proposal's covariance is estimated."""

ROUNDS, SETTLED = 1000, 1e-10


def bridge_estimate(
    log_density: Callable[[Array], Array], draws: Array, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the logarithm of a posterior's normalising constant and its standard error.

    The proposal is fitted to one half of each chain and the estimate made from the other, then the halves change
    places; the result is the mean of both.

    Parameters
    ----------
    log_density : callable
        Takes points of shape (S, d); −∞ outside the support.
    draws : ndarray, shape (chains, draws, d)
        Of the posterior with this density.
    rng : numpy.random.Generator

    Raises
    ------
    ModelError
        If there are too few draws for the number of parameters.
    """
    chains, count, d = draws.shape
    if chains * count < LEAST_DRAWS * d or count < 8:
        raise ModelError(
            f"bridge sampling of {d} parameters needs at least {LEAST_DRAWS * d} draws; there are "
            f"{chains * count}. Sample more, with draws=."
        )
    half = count // 2
    parts = [draws[:, :half], draws[:, count - half :]]
    both = [_one_way(log_density, parts[i], parts[1 - i], rng) for i in (0, 1)]
    logs, errors = np.array(both).T
    return float(logs.mean()), float(0.5 * np.hypot(*errors))


def _one_way(
    log_density: Callable[[Array], Array], fitted: Array, used: Array, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the log constant and its standard error, with a proposal fitted to one half and draws of the other."""
    d = used.shape[2]
    mean = fitted.reshape(-1, d).mean(axis=0)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(fitted.reshape(-1, d).T)))
    points = used.reshape(-1, d)
    proposed = mean + rng.standard_normal(points.shape) @ root.T

    def log_ratio(x: Array) -> Array:
        z = np.linalg.solve(root, (x - mean).T)
        g = -0.5 * np.sum(z * z, axis=0) - np.log(np.diag(root)).sum() - 0.5 * d * np.log(2.0 * np.pi)
        return np.asarray(log_density(x) - g)

    at_draws, at_proposals = log_ratio(points), log_ratio(proposed)
    effective = float(np.nanmin([ess_mean(at_draws.reshape(used.shape[:2])), at_draws.size]))
    share = effective / (effective + len(proposed))
    log_r = _iterated(at_draws, at_proposals, share)
    # f₁ = p/(s₁p + s₂g) at the proposals, f₂ = g/(s₁p + s₂g) at the draws, with p = q/r
    f1 = special.expit(at_proposals - log_r + np.log(share) - np.log1p(-share)) / share
    f2 = special.expit(log_r - at_draws + np.log1p(-share) - np.log(share)) / (1.0 - share)
    size = ess_mean(f2.reshape(used.shape[:2]))
    squared = np.var(f1, ddof=1) / (f1.size * np.mean(f1) ** 2)
    squared += np.var(f2, ddof=1) / (min(size, f2.size) * np.mean(f2) ** 2)
    return log_r, float(np.sqrt(squared))


def _iterated(at_draws: Array, at_proposals: Array, share: float) -> float:
    """Return log r from log(q/g) at the draws and at the proposals; `share` is s₁."""
    log_r = float(np.median(at_draws))
    odds = np.log(share) - np.log1p(-share)
    for _ in range(ROUNDS):
        before = log_r
        # log of q/(s₁q + s₂rg) and of g/(s₁q + s₂rg), up to the factor s₁s₂ that cancels
        top = special.logsumexp(special.log_expit(at_proposals - log_r + odds)) - np.log(at_proposals.size)
        below = special.logsumexp(special.log_expit(log_r - at_draws - odds)) - np.log(at_draws.size)
        log_r = float(log_r + top - below - odds)
        if abs(log_r - before) < SETTLED:
            break
    return log_r
