"""Slow twins of the sampler: posteriors by dense algebra and by integration over a grid of (τ, σ)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class GridPosterior:
    """p(τ, σ | y) on a grid, with β | τ, σ normal at each point of it."""

    tau: np.ndarray
    sigma: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def marginal(self, which: str) -> tuple[np.ndarray, np.ndarray]:
        """Return points and their probabilities."""
        axis, points = (1, self.tau) if which == "tau" else (0, self.sigma)
        return points, self.weights.sum(axis=axis)

    def mean(self, which: str) -> float:
        points, p = self.marginal(which)
        return float(points @ p)

    def quantile(self, which: str, probability: float) -> float:
        points, p = self.marginal(which)
        return float(np.interp(probability, np.cumsum(p) - 0.5 * p, points))

    def contrast_mean(self, c: np.ndarray) -> float:
        return float(np.sum(self.weights * (self.means @ c)))

    def contrast_above(self, c: np.ndarray, noise: float = 0.0) -> float:
        """Return P(cᵀβ + √noise σ ε > 0)."""
        variance = np.einsum("a,tsab,b->ts", c, self.covariances, c) + noise * self.sigma[None, :] ** 2
        return float(np.sum(self.weights * stats.norm.sf(0.0, self.means @ c, np.sqrt(variance))))


def grid_posterior(
    y: np.ndarray,
    X: np.ndarray,
    Z: np.ndarray,
    log_tau_prior: Callable[[np.ndarray], np.ndarray],
    log_sigma_prior: Callable[[np.ndarray], np.ndarray],
    *,
    precision: np.ndarray | None = None,
    mean: np.ndarray | None = None,
    tau: np.ndarray,
    sigma: np.ndarray,
) -> GridPosterior:
    """Return the posterior of y ~ N(Xβ, σ²I + τ²ZZᵀ) under β ~ N(mean, precision⁻¹), flat without; equal steps."""
    p = X.shape[1]
    P = np.zeros((p, p)) if precision is None else precision
    m = np.zeros(p) if mean is None else mean
    values, vectors = np.linalg.eigh(Z @ Z.T)
    ry, rX = vectors.T @ y, vectors.T @ X
    logs = np.empty((tau.size, sigma.size))
    means, covariances = np.empty((*logs.shape, p)), np.empty((*logs.shape, p, p))
    for i, t in enumerate(tau):
        v = sigma[:, None] ** 2 + t**2 * np.maximum(values, 0.0)
        K = np.einsum("ia,si,ib->sab", rX, 1 / v, rX, optimize=True) + P
        linear = (ry / v) @ rX + P @ m
        beta = np.linalg.solve(K, linear[:, :, None])[:, :, 0]
        squares = (1 / v) @ ry**2 + m @ P @ m - np.einsum("sa,sa->s", linear, beta)
        logs[i] = -0.5 * (np.log(v).sum(axis=1) + np.linalg.slogdet(K)[1] + squares)
        means[i], covariances[i] = beta, np.linalg.inv(K)
    logs += log_tau_prior(tau)[:, None] + log_sigma_prior(sigma)[None, :]
    weights = np.exp(logs - logs.max())
    return GridPosterior(tau, sigma, weights / weights.sum(), means, covariances)


def normal_posterior(
    y: np.ndarray,
    X: np.ndarray,
    Z: np.ndarray,
    G: np.ndarray,
    noise: np.ndarray,
    precision: np.ndarray,
    mean: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of (β, b) given all variances: b ~ N(0, G), ε ~ N(0, diag(noise))."""
    W = np.hstack([X, Z])
    p = X.shape[1]
    K = (W.T / noise) @ W
    K[p:, p:] += np.linalg.inv(G)
    K[:p, :p] += precision
    linear = (W.T / noise) @ y
    linear[:p] += precision @ mean
    return np.linalg.solve(K, linear), np.linalg.inv(K)


def dense_z(codes: np.ndarray, z: np.ndarray, levels: int) -> np.ndarray:
    """Return Z of one factor, columns level by level."""
    n, k = z.shape
    out = np.zeros((n, levels * k))
    for i in range(n):
        out[i, codes[i] * k : (codes[i] + 1) * k] = z[i]
    return out
