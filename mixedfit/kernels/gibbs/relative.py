"""Priors of standard deviations in units of σ, which the other kernels take as priors given σ.

Of a unit v with τ/σ ~ exponential, or Ω/σ² ~ decov, `hyper[v, 2]` is the scale s_v in units of σ, and the number that
the density reads is this times σ. `hyper[v, 2]` is 0 for all other priors. With r_v = τ, or the root of the mean
variance of a matrix, the densities p(r_v | σ) = exp(−r_v/(s_v σ))/(s_v σ) are terms of the conditional of σ:

    p(σ | y, β, b, Ω) ∝ p(σ) σ^(−n − c) exp(−SS/2σ² − d/σ),  d = Σ r_v/s_v,  c the number of such units.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain

from .variances import KNOWN, draw_variance, slice_log_sd

__all__ = ["draw_residual_variance", "put_sigma"]


@plain
def put_sigma(sigma: float, units: IntArray, hyper: Array, matrices: Array) -> float:
    """Fill the scales of priors in units of σ; return the logarithm of what σ adds to their densities."""
    value = 0.0
    for v in range(units.shape[0]):
        if hyper[v, 2] > 0.0:
            value -= np.log(sigma)
            if units[v, 2] == 1:
                hyper[v, 1] = hyper[v, 2] * sigma
            else:
                matrices[v, 0, 0] = hyper[v, 2] * sigma
    return value


@plain
def draw_residual_variance(
    rng: np.random.Generator,
    residual: tuple[int, float, float],
    rows: int,
    squares: float,
    variance: float,
    units: IntArray,
    hyper: Array,
    omega: Array,
) -> float:
    """Return σ² given everything else: a step of slice sampling in log σ if priors are in units of σ."""
    count, pull = rows, 0.0
    for v in range(units.shape[0]):
        if hyper[v, 2] > 0.0:
            f, start, size = units[v, 0], units[v, 1], units[v, 2]
            total = 0.0
            for i in range(start, start + size):
                total += omega[f, i, i]
            count += 1
            pull += np.sqrt(total / size) / hyper[v, 2]
    if pull == 0.0 or residual[0] == KNOWN:
        return draw_variance(rng, residual[0], residual[1], residual[2], rows, squares, variance)
    x = slice_log_sd(rng, residual[0], residual[1], residual[2], count, squares, pull, 0.5 * np.log(variance))
    return float(np.exp(2.0 * x))
