"""Metropolis step on all covariances together with β and b integrated out, which makes large moves.

p(y | Ω, σ²) ∝ Π|P_j|^(−1/2) |S|^(−1/2) exp(−PRSS/2σ²), computed from the factored system that the next draw of
(β, b) uses. The step is a random walk in φ: log τ of a variance, the log-Cholesky elements of a matrix in the
basis of the cross-products. Its covariance is learnt while tuning, then held (Haario, Saksman & Tamminen 2001,
Bernoulli 7:223).
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky

from .scales import block_of, change_basis, put_block, times_transpose
from .variances import KNOWN, log_covariance_density, log_sd_density

__all__ = ["adapt", "log_marginal", "pack", "propose", "unpack"]

TARGET_ACCEPTANCE = 0.3
"""Share of accepted steps aimed at; Gelman, Roberts & Gilks (1996) have 0.23 in many dimensions, 0.44 in one."""

UPDATE_INTERVAL = 25
"""Sweeps between two updates of the proposal's covariance."""


@plain
def pack(omega: Array, units: IntArray, bases: Array, phi: Array) -> bool:
    """Fill φ from Ω; return whether every Ω is positive definite."""
    at = 0
    for v in range(units.shape[0]):
        f, start, size = units[v, 0], units[v, 1], units[v, 2]
        if units[v, 3] == KNOWN:
            continue
        if size == 1:
            phi[at] = 0.5 * np.log(omega[f, start, start])
            at += 1
            continue
        root = change_basis(bases, f, start, block_of(omega, f, start, size))
        if not cholesky(root):
            return False
        for i in range(size):
            for j in range(i + 1):
                phi[at] = np.log(root[i, i]) if i == j else root[i, j]
                at += 1
    return True


@plain
def unpack(
    phi: Array, units: IntArray, hyper: Array, matrices: Array, inverses: Array, omega: Array
) -> float:
    """Fill Ω from φ and return the logarithm of the prior density of φ."""
    at, value = 0, 0.0
    for v in range(units.shape[0]):
        f, start, size, kind = units[v, 0], units[v, 1], units[v, 2], units[v, 3]
        if kind == KNOWN:
            continue
        if size == 1:
            tau = np.exp(phi[at])
            omega[f, start, start] = tau * tau
            value += log_sd_density(kind, hyper[v, 0], hyper[v, 1], tau) + phi[at]
            at += 1
            continue
        root = np.zeros((size, size))
        for i in range(size):
            for j in range(i + 1):
                root[i, j] = np.exp(phi[at]) if i == j else phi[at]
                if i == j:  # dΩ/dΛ and dΛ/dφ
                    value += (size - i + 1) * phi[at]
                at += 1
        new = change_basis(inverses, f, start, times_transpose(root))
        value += log_covariance_density(kind, hyper[v, 0], matrices[v], new, size)
        put_block(omega, f, start, new)
    return value


@plain
def log_marginal(chols: Array, system: Array, variance: float) -> float:
    """Return log p(y | Ω, σ²) up to a constant in Ω, from the factored system."""
    value = 0.0
    for j in range(chols.shape[0]):
        for a in range(chols.shape[1]):
            value -= np.log(chols[j, a, a])
    last = system.shape[0] - 1
    for i in range(last):
        value -= np.log(system[i, i])
    return float(value - 0.5 * system[last, last] ** 2 / variance)


@plain
def propose(rng: np.random.Generator, phi: Array, root: Array, scale: float, out: Array) -> None:
    """Fill `out` with a proposal of the random walk."""
    d = phi.size
    z = np.empty(d)
    for i in range(d):
        z[i] = rng.standard_normal()
    for i in range(d):
        total = 0.0
        for j in range(i + 1):
            total += root[i, j] * z[j]
        out[i] = phi[i] + scale * total


@plain
def adapt(
    phi: Array, accepted: bool, tune: int, numbers: Array, mean: Array, spread: Array, root: Array
) -> None:
    """Update the walk's covariance and scale while tuning.

    `numbers` holds sweeps done, sweeps counted, log scale, and steps accepted after tuning. The moments are reset after
    a quarter and after half of the tuning sweeps, because a chain may not have reached the posterior earlier.
    """
    d = phi.size
    done = numbers[0]
    numbers[2] += ((1.0 if accepted else 0.0) - TARGET_ACCEPTANCE) / (done + 1.0) ** 0.6
    if done == tune // 4 or done == tune // 2:
        numbers[1] = 0.0
        for i in range(d):
            mean[i] = 0.0
            for j in range(d):
                spread[i, j] = 0.0
    numbers[1] += 1.0
    count = numbers[1]
    before = phi - mean
    for i in range(d):
        mean[i] += before[i] / count
    for i in range(d):
        for j in range(d):
            spread[i, j] += before[i] * (phi[j] - mean[j])
    if count >= 4 * UPDATE_INTERVAL and int(count) % UPDATE_INTERVAL == 0:
        trial = np.empty((d, d))
        for i in range(d):
            for j in range(d):
                trial[i, j] = spread[i, j] / (count - 1.0)
            trial[i, i] += 1e-8
        if cholesky(trial):
            for i in range(d):
                for j in range(i + 1):
                    root[i, j] = trial[i, j]
