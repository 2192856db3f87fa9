"""Density of residuals with correlation φ^|s − t| within groups: given the row before, none depends on earlier ones.

With r_t = φ^gap, SD multipliers s and u = e/s: log|R| = Σ log(1 − r_t²) + 2 Σ log s_t and
|R^(−1/2)e|² = Σ (u_t − r_t u_{t−1})²/(1 − r_t²).
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.kernels._compile import plain

__all__ = ["markov_sums"]


@plain
def markov_sums(rest: Array, logs: Array, gaps: Array, phi: float, out: Array) -> bool:
    """Fill `out` with log|R| and |R^(−1/2)e|²; return whether R is positive definite in floating-point numbers.

    Parameters
    ----------
    rest : ndarray, shape (n,)
        Residuals e, sorted by group and time.
    logs : ndarray, shape (n,)
        Logarithms of the SD multipliers.
    gaps : ndarray, shape (n,)
        Time since the row before in the group, −1 for the first row of a group.
    phi : float
    out : ndarray, shape (2,)
    """
    size, before, determinant, squares = abs(phi), 0.0, 0.0, 0.0
    log_size = np.log(size) if size > 0.0 else -np.inf
    for i in range(rest.size):
        u = rest[i] * np.exp(-logs[i])
        determinant += 2.0 * logs[i]
        if gaps[i] < 0.0:
            squares += u * u
        else:
            r = np.exp(gaps[i] * log_size)
            left = -np.expm1(2.0 * gaps[i] * log_size)
            if not left > 1e-14:
                return False
            if phi < 0.0 and gaps[i] % 2.0 == 1.0:
                r = -r
            determinant += np.log(left)
            squares += (u - r * before) ** 2 / left
        before = u
    out[0], out[1] = determinant, squares
    return bool(np.isfinite(determinant) and np.isfinite(squares))
