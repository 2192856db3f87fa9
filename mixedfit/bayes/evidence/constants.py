"""Normalising constants of the priors of variances, whose densities the sampler's kernels have up to a constant."""

from __future__ import annotations

import numpy as np
from scipy import special

from mixedfit.core.arrays import Array
from mixedfit.kernels.gibbs import variances as kinds

__all__ = ["log_constant"]


def log_constant(kind: int, first: float, second: float, matrix: Array) -> float:
    """Return what makes the log densities of `kernels.gibbs.variances` integrate to 1; NaN for an improper prior.

    Parameters
    ----------
    kind : int
    first, second : float
        Numbers of the prior, as `sampler.arrays.prior_numbers` has them.
    matrix : ndarray, shape (k, k)
        Matrix of a covariance prior of k effects, as `sampler.arrays.unit_arrays` has it.
    """
    k = len(matrix)
    match kind:
        case kinds.INVERSE_GAMMA:
            return float(np.log(2.0) + first * np.log(second) - special.gammaln(first))
        case kinds.HALF_T:
            gammas = special.gammaln(0.5 * (first + 1.0)) - special.gammaln(0.5 * first)
            return float(np.log(2.0) + gammas - 0.5 * np.log(first * np.pi) - np.log(second))
        case kinds.UNIFORM if np.isfinite(second):
            return float(-np.log(second))
        case kinds.HALF_NORMAL:
            return float(0.5 * np.log(2.0 / np.pi) - np.log(second))
        case kinds.EXPONENTIAL:
            return float(-np.log(second))
        case kinds.LOG_NORMAL:
            return float(-0.5 * np.log(2.0 * np.pi) - np.log(first))
        case kinds.INVERSE_WISHART:
            logdet = float(np.linalg.slogdet(matrix)[1])
            return float(0.5 * first * (logdet - k * np.log(2.0)) - special.multigammaln(0.5 * first, k))
        case kinds.HUANG_WAND:  # Huang & Wand (2013), equation 2 with the a_i integrated out
            df = first + k - 1.0
            scales = k * (special.gammaln(0.5 * (first + k)) - 0.5 * np.log(np.pi))
            scales -= np.log(np.diag(matrix)).sum()
            return float(0.5 * df * k * np.log(first) - special.multigammaln(0.5 * df, k) + scales)
        case kinds.LKJ:
            sds = sum(log_constant(int(row[0]), row[1], row[2], np.eye(1)) for row in matrix)
            return float(sds - k * np.log(2.0) - _log_lkj(first, k))
        case kinds.DECOV:
            scale = float(matrix[0, 0])
            return float(special.gammaln(k) - np.log(2.0 * k * scale) - _log_lkj(first, k))
        case kinds.KNOWN:
            return 0.0
    return float("nan")


def _log_lkj(eta: float, k: int) -> float:
    """Return log ∫|R|^(η−1) dR; Lewandowski, Kurowicka & Joe (2009), equation 16."""
    i = np.arange(1, k)
    beta = special.betaln(eta + 0.5 * (k - i - 1), eta + 0.5 * (k - i - 1))
    return float(np.sum((2.0 * eta - 2.0 + k - i) * (k - i) * np.log(2.0) + (k - i) * beta))
