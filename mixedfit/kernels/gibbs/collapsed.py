"""Steps on all covariances together with β and b integrated out, which make large moves.

p(y | Ω, σ²) ∝ Π|P_j|^(−1/2) |S|^(−1/2) exp(−PRSS/2σ²), computed from the factored system that the next draw of
(β, b) uses. Metropolis steps are a random walk in φ: log τ of a variance, the log-Cholesky elements of a matrix in the
basis of the cross-products. Its covariance is learnt while tuning, then held (Haario, Saksman & Tamminen 2001,
Bernoulli 7:223). Another step multiplies σ and the roots of all Ω by one factor.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky

from .scaled import log_scaled_density, matrix_parts
from .scales import block_of, change_basis, put_block, times_transpose
from .variances import KNOWN, log_covariance_density, log_sd_density

__all__ = ["adapt", "draw_common_scale", "log_marginal", "pack", "propose", "unpack"]

TARGET_ACCEPTANCE = 0.3
"""Share of accepted steps aimed at; Gelman, Roberts & Gilks (1996) have 0.23 in many dimensions, 0.44 in one."""

UPDATE_INTERVAL = 25
"""Steps between two updates of the proposal's covariance."""

WIDTHS, SHRINKS = 20, 100
"""Largest numbers of widths by which a slice is extended, and of times that it is shrunk."""


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
    value, product = 0.0, 1.0
    for j in range(chols.shape[0]):
        for a in range(chols.shape[1]):
            product *= chols[j, a, a]  # ≥ 1
        if product > 1e100:
            value -= np.log(product)
            product = 1.0
    value -= np.log(product)
    last = system.shape[0] - 1
    for i in range(last):
        value -= np.log(system[i, i])
    return float(value - 0.5 * system[last, last] ** 2 / variance)


@plain
def _at_scale(corner: Array, fixed: tuple[Array, Array, float], added: float, out: Array) -> bool:
    """Factor the system's corner of [X y] with the prior of β times a variance that is greater by `added`."""
    p = fixed[1].size
    for i in range(p):
        for j in range(p):
            out[i, j] = corner[i, j] + added * fixed[0][i, j]
        out[p, i] = corner[p, i] + added * fixed[1][i]
    out[p, p] = corner[p, p] + added * fixed[2]
    return cholesky(out)


@plain
def _log_scale_density(
    x: float,
    sigma: float,
    rows: int,
    residual: tuple[int, float, float],
    units: IntArray,
    hyper: Array,
    matrices: Array,
    sds: Array,
    inverses: Array,
    fixed: tuple[Array, Array, float],
    corner: Array,
    out: Array,
) -> float:
    """Return the logarithm of the density of x, by whose exponential σ and the roots of all Ω are multiplied."""
    p, factor = fixed[1].size, np.exp(x)
    every = 0 * p - 1  # a variable: for a constant, numba compiles the function once more
    value = log_sd_density(residual[0], residual[1], residual[2], factor * sigma) + (1.0 + p - rows) * x
    for v in range(units.shape[0]):
        size, kind = units[v, 2], units[v, 3]
        if hyper[v, 2] > 0.0:  # of the ratio to σ, which stays
            continue
        if size == 1:
            value += log_sd_density(kind, hyper[v, 0], hyper[v, 1], factor * sds[v, 0]) + x
        else:
            value += log_scaled_density(kind, hyper[v, 0], matrices[v], sds[v, :size], inverses[v], every, x)
            value += size * (size + 1.0) * x
    variance = (factor * sigma) ** 2
    if not (value > -np.inf and _at_scale(corner, fixed, variance - sigma**2, out)):
        return -np.inf
    for i in range(p):
        value -= np.log(out[i, i])
    return float(value - 0.5 * out[p, p] ** 2 / variance)


@plain
def draw_common_scale(
    rng: np.random.Generator,
    rows: int,
    residual: tuple[int, float, float],
    omega: Array,
    variance: Array,
    units: IntArray,
    hyper: Array,
    matrices: Array,
    fixed: tuple[Array, Array, float],
    lams: Array,
    system: Array,
) -> None:
    """Multiply σ and the roots of all Ω by one factor, with β and b integrated out, in a step of slice sampling.

    Λ/σ, and so the system but for the prior of β, does not change. Nothing happens if a variance is known.
    """
    if residual[0] == KNOWN:
        return
    widest = omega.shape[1]
    sds, inverses = np.empty((units.shape[0], widest)), np.empty((units.shape[0], widest, widest))
    for v in range(units.shape[0]):
        f, start, size = units[v, 0], units[v, 1], units[v, 2]
        if units[v, 3] == KNOWN:
            return
        sds[v, 0] = np.sqrt(omega[f, start, start])
        if size > 1 and not np.isfinite(matrix_parts(block_of(omega, f, start, size), sds[v], inverses[v])):
            return
    p, m = fixed[1].size, system.shape[0]
    q, sigma = m - 1 - p, np.sqrt(variance[0])
    corner, out = np.empty((p + 1, p + 1)), np.empty((p + 1, p + 1))
    for i in range(p + 1):
        for j in range(i + 1):
            total = 0.0
            for h in range(j + 1):
                total += system[q + i, q + h] * system[q + j, q + h]
            corner[i, j] = corner[j, i] = total
    height = _log_scale_density(
        0.0, sigma, rows, residual, units, hyper, matrices, sds, inverses, fixed, corner, out
    ) + np.log(1.0 - rng.random())
    width = 4.0 / np.sqrt(2.0 * max(rows - p, 1))
    left = -width * rng.random()
    right, steps = left + width, int(WIDTHS * rng.random())
    for _ in range(steps):
        if (
            not _log_scale_density(
                left, sigma, rows, residual, units, hyper, matrices, sds, inverses, fixed, corner, out
            )
            > height
        ):
            break
        left -= width
    for _ in range(WIDTHS - 1 - steps):
        if (
            not _log_scale_density(
                right, sigma, rows, residual, units, hyper, matrices, sds, inverses, fixed, corner, out
            )
            > height
        ):
            break
        right += width
    for _ in range(SHRINKS):
        x = left + (right - left) * rng.random()
        if (
            _log_scale_density(
                x, sigma, rows, residual, units, hyper, matrices, sds, inverses, fixed, corner, out
            )
            > height
        ):
            factor = np.exp(x)
            omega *= factor**2
            lams *= factor
            variance[0] *= factor**2
            for i in range(p + 1):
                for j in range(i + 1):
                    system[q + i, q + j] = out[i, j]
            return
        if x < 0.0:
            left = x
        else:
            right = x


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

    `numbers` holds steps done, steps counted, log scale, and steps done and accepted after tuning. The moments are
    reset after a quarter and after half of the `tune` steps, because a chain may not have reached the posterior
    earlier.
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
