"""Slow twin of marginal likelihoods: n × n normal densities, integrated by Gauss and Legendre's rule over panels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

Density = Callable[[np.ndarray], np.ndarray]


def panels(low: float, high: float, count: int, points: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of a Gauss–Legendre rule on equal panels."""
    x, w = np.polynomial.legendre.leggauss(points)
    edges = np.linspace(low, high, count + 1)
    half = 0.5 * np.diff(edges)
    nodes = (edges[:-1] + half)[:, None] + half[:, None] * x
    return nodes.ravel(), (half[:, None] * w).ravel()


def log_normal_density(y: np.ndarray, mean: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return log N(y; mean, V) for each V, shape (S,)."""
    roots = np.linalg.cholesky(covariances)
    z = np.linalg.solve(roots, np.broadcast_to(y - mean, (len(roots), y.size))[:, :, None])[:, :, 0]
    logdet = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
    return -0.5 * np.sum(z * z, axis=1) - logdet - 0.5 * y.size * np.log(2 * np.pi)


def dense_evidence(
    y: np.ndarray,
    X: np.ndarray,
    mean: np.ndarray,
    covariance: np.ndarray,
    parts: Sequence[np.ndarray],
    log_priors: Sequence[Density],
    limits: Sequence[tuple[float, float, int]],
) -> float:
    """Return log p(y) of y ~ N(Xm, XΛXᵀ + Σ s_i² parts_i), integrated over log s_i; limits are low, high, panels."""
    rules = [panels(*limit) for limit in limits]
    fixed = X @ covariance @ X.T
    grids = np.stack(np.meshgrid(*[x for x, _ in rules], indexing="ij"), axis=-1).reshape(-1, len(rules))
    weights = np.ones(1)
    for _, w in rules:
        weights = np.multiply.outer(weights, w)
    logs = np.log(weights.ravel())
    for j, log_prior in enumerate(log_priors):
        logs = logs + log_prior(np.exp(grids[:, j])) + grids[:, j]
    out = []
    for chunk in np.array_split(np.arange(len(grids)), max(1, len(grids) // 2000)):
        V = fixed + np.einsum("sj,jab->sab", np.exp(2 * grids[chunk]), np.asarray(parts))
        out.append(log_normal_density(y, X @ mean, V))
    return float(special.logsumexp(np.concatenate(out) + logs))
