"""Weights of models by their pointwise elpd: stacking of predictive distributions, and pseudo-BMA+.

Yao, Vehtari, Simpson & Gelman (2018), Bayesian Analysis 13:917. ℓ_ik is the log predictive density of row or group i
under model k without i.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

from mixedfit.core.arrays import Array

__all__ = ["pseudo_bma_weights", "stacking_weights"]

STEPS, TOLERANCE, RIDGE = 200, 1e-10, 1e-12

REPLICATES = 1000
"""Replicates of the Bayesian bootstrap."""


def stacking_weights(logs: Array) -> Array:
    """Return the weights w on the simplex that maximise Σ_i log Σ_k w_k exp(ℓ_ik), shape (models,).

    Newton steps on mean log(Pw) − Σ w over w ≥ 0, whose maximum has Σ w = 1; each solves a quadratic problem by
    non-negative least squares.

    Parameters
    ----------
    logs : ndarray, shape (units, models)
        ℓ.
    """
    p = np.exp(logs - logs.max(axis=1, keepdims=True))
    n, count = p.shape
    w = np.full(count, 1.0 / count)

    def value(weights: Array) -> float:
        mixed = p @ weights
        return float(weights.sum() - np.mean(np.log(mixed))) if np.all(mixed > 0) else np.inf

    for _ in range(STEPS):
        scaled = p / (p @ w)[:, None] / np.sqrt(n)
        slope = 1.0 - scaled.sum(axis=0) / np.sqrt(n)
        curvature = scaled.T @ scaled + RIDGE * np.eye(count)
        if abs(slope @ w) < TOLERANCE and slope.min() > -TOLERANCE:
            break
        root = np.linalg.cholesky(curvature).T
        step = optimize.nnls(root, np.linalg.solve(root.T, curvature @ w - slope))[0] - w
        now, size = value(w), 1.0
        while size > TOLERANCE and value(w + size * step) > now + 1e-4 * size * (slope @ step):
            size *= 0.5
        w = np.maximum(w + size * step, 0.0)
    return np.asarray(w / w.sum())


def pseudo_bma_weights(logs: Array, rng: np.random.Generator) -> Array:
    """Return the weights of pseudo-BMA+, shape (models,): exp(elpd_k) to one, averaged over a Bayesian bootstrap.

    Yao et al. (2018), section 3.4. Parameters as `stacking_weights`.
    """
    alpha = rng.dirichlet(np.ones(len(logs)), REPLICATES)
    return np.asarray(special.softmax(len(logs) * alpha @ logs, axis=1).mean(axis=0))
