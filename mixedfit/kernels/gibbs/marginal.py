"""Marginal density of y at many points of the variance parameters, with β and b integrated out.

log p(y | Ω, σ²) = −(n − p) log σ + ½ log|P| − Σ log diag L − PRSS/2σ² − (n/2) log 2π, where L is the factor of the
system of `sweep` and P the prior precision of β; the coefficients are β | Ω, σ², y ~ N(m, σ²(L₂₂L₂₂ᵀ)⁻¹) with L₂₂ the
rows and columns of X in L. Terms that do not depend on the point are left to the caller. Notation and layouts as in
`sweep`.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import solve_upper

from .collapsed import log_marginal, pack, unpack
from .relative import put_sigma
from .sweep import factor_system
from .variances import KNOWN, log_sd_density

__all__ = ["log_densities", "pack_all"]


@plain
def pack_all(omegas: Array, units: IntArray, bases: Array, phis: Array) -> bool:
    """Fill φ, shape (S, d), from Ω, shape (S, F, K, K); return whether every Ω is positive definite."""
    packed = True
    for s in range(phis.shape[0]):
        packed = packed and pack(omegas[s], units, bases, phis[s])
    return packed


@plain
def log_densities(
    phis: Array,
    log_sigmas: Array,
    omega: Array,
    first: tuple[Array, IntArray, IntArray, Array, Array],
    gram: Array,
    fixed: tuple[Array, Array, Array],
    factors: IntArray,
    bases: Array,
    inverses: Array,
    units: IntArray,
    hyper: Array,
    matrices: Array,
    rows: int,
    residual: tuple[int, float, float],
    values: Array,
    priors: Array,
    means: Array,
    roots: Array,
) -> None:
    """Fill log p(y | φ, σ) p(φ, log σ) of each point up to a constant, and the conditional moments of β.

    Parameters
    ----------
    phis : ndarray, shape (S, d)
        Coordinates of Ω; see `collapsed`.
    log_sigmas : ndarray, shape (S,)
    omega : ndarray, shape (F, K, K)
        With the known variances; overwritten.
    fixed : tuple of ndarray
        Prior precision P of β, shape (S or 1, p, p), P times its mean and meanᵀP mean: one for each point, or for all.
    first, gram, factors, bases, inverses, units, hyper, matrices, rows, residual
        As in `sweep.run_sweeps`.
    values : ndarray, shape (S,)
        Filled; −inf outside the support of a prior or where a matrix is not positive definite.
    priors : ndarray, shape (S,)
        Filled with the part log p(φ, log σ) of `values`.
    means : ndarray, shape (S or 0, p)
        Filled with E(β | φ, σ, y).
    roots : ndarray, shape (S or 0, p, p)
        Filled with L₂₂.
    """
    p = fixed[1].shape[1]
    lams, chols, system = np.zeros_like(omega), np.zeros_like(first[0]), np.empty_like(gram)
    last = gram.shape[0] - 1
    hyper, matrices = hyper.copy(), matrices.copy()
    for s in range(phis.shape[0]):
        values[s] = -np.inf
        sigma = np.exp(log_sigmas[s])
        value = 0.0
        if residual[0] != KNOWN:
            value = log_sd_density(residual[0], residual[1], residual[2], sigma) + log_sigmas[s]
        value += put_sigma(sigma, units, hyper, matrices)
        value += unpack(phis[s], units, hyper, matrices, inverses, omega)
        priors[s] = value
        if not (value > -np.inf and value < np.inf):
            continue
        at = s if fixed[1].shape[0] > 1 else 0
        prior = (fixed[0][at], fixed[1][at], fixed[2][at])
        if not factor_system(omega, sigma, first, gram, prior, factors, bases, units, lams, chols, system):
            continue
        values[s] = value + log_marginal(chols, system, sigma**2) - (rows - p) * np.log(sigma)
        if means.shape[0] > 0:
            for i in range(p):
                means[s, i] = system[last, last - p + i]
                for j in range(p):
                    roots[s, i, j] = system[last - p + i, last - p + j] if j <= i else 0.0
            solve_upper(roots[s], means[s], p)
