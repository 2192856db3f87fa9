"""Prior densities of a covariance matrix whose standard deviations are multiplied: at DΩD, D diagonal, from parts of Ω.

Slices along log τ evaluate them often, and each value costs a few operations for each effect.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky, solve_lower

from .variances import DECOV, HUANG_WAND, LKJ, log_sd_density

__all__ = ["log_scaled_density", "matrix_parts"]


@plain
def matrix_parts(omega: Array, sds: Array, inverse: Array) -> float:
    """Fill the standard deviations and Ω⁻¹ and return log|Ω|; NaN if Ω is not positive definite."""
    size = omega.shape[0]
    chol, lower = omega.copy(), np.zeros((size, size))
    if not cholesky(chol):
        return np.nan
    logdet = 0.0
    for i in range(size):
        sds[i] = np.sqrt(omega[i, i])
        logdet += 2.0 * np.log(chol[i, i])
        lower[i, i] = 1.0
        solve_lower(chol, lower[i], size)  # row i: column i of L⁻¹
    for i in range(size):
        for j in range(size):
            inverse[i, j] = 0.0
            for h in range(max(i, j), size):
                inverse[i, j] += lower[i, h] * lower[j, h]
    return logdet


@plain
def log_scaled_density(
    kind: int, first: float, matrix: Array, sds: Array, inverse: Array, only: int, x: float
) -> float:
    """Return log p(DΩD), less that of the terms in log|Ω| alone, with exp(x) on D's diagonal.

    `only` is the single effect that is multiplied, the others having 1 in D, or −1 for all. `kind`, `first` and
    `matrix` are those of `variances.log_covariance_density`, whose differences it gives.
    """
    size = sds.size
    count = size if only < 0 else 1
    if kind == HUANG_WAND:
        value = -(first + 2.0 * size) * count * x
        for i in range(size):
            own = np.exp(-2.0 * x) if only < 0 or i == only else 1.0
            value -= 0.5 * (first + size) * np.log(first * own * inverse[i, i] + 1.0 / matrix[i, i] ** 2)
        return value
    if kind == LKJ:  # |R| is the same
        value = -size * count * x
        for i in range(size):
            tau = sds[i] * (np.exp(x) if only < 0 or i == only else 1.0)
            value += log_sd_density(int(matrix[i, 0]), matrix[i, 1], matrix[i, 2], tau)
        return value
    if kind == DECOV:  # Π τ_i^(1−k) T^(1−k) p(r)/r
        value, total = -(size - 1.0) * count * x, 0.0
        for i in range(size):
            total += (sds[i] * (np.exp(x) if only < 0 or i == only else 1.0)) ** 2
        mean_root = np.sqrt(total / size)
        return float(value - (size - 1.0) * np.log(total) - np.log(mean_root) - mean_root / matrix[0, 0])
    value = -(first + size + 1.0) * count * x
    for i in range(size):
        for j in range(size):
            power = 2.0 if only < 0 else 1.0 * (i == only) + 1.0 * (j == only)
            value -= 0.5 * matrix[i, j] * inverse[i, j] * np.exp(-power * x)
    return value
