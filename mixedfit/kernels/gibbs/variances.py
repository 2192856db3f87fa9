"""Full conditionals of variances and covariance matrices.

τ² is a variance with `count` effects of sum of squares `ss` behind it, Ω a covariance matrix with `count` vectors of
sum of products `sums`. A half-t prior is a mixture, τ² | a ~ IG(ν/2, ν/a), a ~ IG(1/2, 1/A²); the Huang–Wand prior is
its counterpart for matrices, Ω | a ~ IW(ν + k − 1, 2ν diag(1/a)), a_i ~ IG(1/2, 1/A_i²). The mixing variables a are
drawn from their conditional at the start of each update, so that they are not part of the state.
Wand, Ormerod, Padoan & Frühwirth (2011), Bayesian Analysis 6:847; Huang & Wand (2013), Bayesian Analysis 8:439.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky

__all__ = [
    "DECOV",
    "EXPONENTIAL",
    "HALF_NORMAL",
    "HALF_T",
    "HUANG_WAND",
    "INVERSE_GAMMA",
    "INVERSE_WISHART",
    "JEFFREYS",
    "KNOWN",
    "LKJ",
    "LOG_NORMAL",
    "UNIFORM",
    "draw_covariance",
    "draw_scale",
    "draw_variance",
    "log_covariance_density",
    "slice_log_sd",
]

KNOWN, INVERSE_GAMMA, HALF_T, UNIFORM, HALF_NORMAL, EXPONENTIAL, JEFFREYS, INVERSE_WISHART, HUANG_WAND = (
    range(9)
)

LOG_NORMAL, LKJ, DECOV = 10, 11, 12
"""9 is the gamma prior of σ₀² in `mixtures`."""

STEPS = 100
"""Largest number of widths by which a slice is extended, and of times that it is shrunk."""


@plain
def _inverse_gamma(rng: np.random.Generator, shape: float, scale: float) -> float:
    """Return a draw with density ∝ x^(−shape−1) exp(−scale/x)."""
    return scale / rng.standard_gamma(shape)


@plain
def log_sd_density(kind: int, first: float, second: float, tau: float) -> float:
    """Return the logarithm of a prior's density in the standard deviation, up to a constant."""
    value = -np.inf
    if not tau > 0.0:
        return value
    if kind == INVERSE_GAMMA:
        value = -(2.0 * first + 1.0) * np.log(tau) - second / tau**2
    elif kind == HALF_T:
        value = -0.5 * (first + 1.0) * np.log1p(tau**2 / (first * second**2))
    elif kind == UNIFORM:
        value = 0.0 if tau <= second else -np.inf
    elif kind == HALF_NORMAL:
        value = -0.5 * (tau / second) ** 2
    elif kind == EXPONENTIAL:
        value = -tau / second
    elif kind == JEFFREYS:
        value = -np.log(tau)
    elif kind == LOG_NORMAL:
        value = -np.log(tau) - 0.5 * (np.log(tau / second) / first) ** 2
    return value


@plain
def draw_variance(
    rng: np.random.Generator,
    kind: int,
    first: float,
    second: float,
    count: int,
    ss: float,
    variance: float,
) -> float:
    """Return τ² given the effects: exact where conjugate, else a Metropolis step and one of slice sampling.

    The Metropolis step proposes from the conditional under p(τ) ∝ 1, nearly exact where the prior is weak. Where
    prior and effects disagree, its proposals are rejected, and the slice step moves.
    """
    if kind == KNOWN:
        return variance
    if kind == INVERSE_GAMMA:
        return _inverse_gamma(rng, first + 0.5 * count, second + 0.5 * ss)
    if kind == JEFFREYS:
        return _inverse_gamma(rng, 0.5 * count, 0.5 * ss)
    if kind == HALF_T:
        a = _inverse_gamma(rng, 0.5 * (first + 1.0), first / variance + 1.0 / second**2)
        return _inverse_gamma(rng, 0.5 * (count + first), 0.5 * ss + first / a)
    proposal = _inverse_gamma(rng, 0.5 * (count - 1.0), 0.5 * ss)
    gain = log_sd_density(kind, first, second, np.sqrt(proposal))
    gain -= log_sd_density(kind, first, second, np.sqrt(variance))
    drawn = proposal if np.log(rng.random()) < gain else variance
    if kind == UNIFORM and second == np.inf:
        return drawn
    x = slice_log_sd(rng, kind, first, second, count, ss, 0.0, 0.5 * np.log(drawn))
    return float(np.exp(2.0 * x))


@plain
def _log_conditional(
    kind: int, first: float, second: float, count: int, ss: float, pull: float, x: float
) -> float:
    """Return the logarithm of the density of x = log τ given the effects, up to a constant; see `relative` for pull."""
    tau = np.exp(x)
    value = log_sd_density(kind, first, second, tau)
    return value + (1.0 - count) * x - 0.5 * ss / tau**2 - pull / tau if value > -np.inf else value


@plain
def slice_log_sd(
    rng: np.random.Generator,
    kind: int,
    first: float,
    second: float,
    count: int,
    ss: float,
    pull: float,
    x: float,
) -> float:
    """Return a step of slice sampling from x = log τ given the effects; Neal (2003), Ann. Statist. 31:705."""
    height = _log_conditional(kind, first, second, count, ss, pull, x) + np.log(1.0 - rng.random())
    width = min(1.0, 4.0 / np.sqrt(max(count, 1)))  # about the spread that so many effects leave
    left = x - width * rng.random()
    right = left + width
    steps = int(STEPS * rng.random())  # random share of the limit, which keeps the step reversible
    for _ in range(steps):
        if not _log_conditional(kind, first, second, count, ss, pull, left) > height:
            break
        left -= width
    for _ in range(STEPS - 1 - steps):
        if not _log_conditional(kind, first, second, count, ss, pull, right) > height:
            break
        right += width
    for _ in range(STEPS):
        moved = left + (right - left) * rng.random()
        if _log_conditional(kind, first, second, count, ss, pull, moved) > height:
            return float(moved)
        if moved < x:
            left = moved
        else:
            right = moved
    return x


@plain
def draw_scale(
    rng: np.random.Generator,
    kind: int,
    first: float,
    second: float,
    tau: float,
    precision: float,
    linear: float,
) -> float:
    """Return τ, of either sign, given u = b/τ: the prior is a normal mixture, or a Metropolis step corrects for it.

    The likelihood of τ is normal with this precision, `linear` its precision times its mean.
    """
    if kind == HALF_T:
        precision += 1.0 / (
            second**2 * _inverse_gamma(rng, 0.5 * (first + 1.0), 0.5 * (first + (tau / second) ** 2))
        )
    elif kind == HALF_NORMAL:
        precision += 1.0 / second**2
    elif kind == EXPONENTIAL:
        precision += rng.wald(1.0 / (second * tau), 1.0 / second**2)
    if not (precision > 0.0 and precision < np.inf):
        return tau
    proposal = linear / precision + rng.standard_normal() / np.sqrt(precision)
    if kind in (UNIFORM, INVERSE_GAMMA, LOG_NORMAL):
        gain = log_sd_density(kind, first, second, abs(proposal)) - log_sd_density(kind, first, second, tau)
        if not np.log(rng.random()) < gain:
            return tau
    return proposal if proposal != 0.0 else tau


@plain
def _inverse_lower(lower: Array, size: int, out: Array) -> None:
    """Fill `out` with the inverse of a lower-triangular matrix."""
    for i in range(size):
        for j in range(size):
            out[i, j] = 0.0
    for j in range(size):
        out[j, j] = 1.0 / lower[j, j]
        for i in range(j + 1, size):
            total = 0.0
            for h in range(j, i):
                total += lower[i, h] * out[h, j]
            out[i, j] = -total / lower[i, i]


@plain
def _precision_diagonal(omega: Array, size: int, out: Array) -> float:
    """Fill `out` with the diagonal of Ω⁻¹ and return log|Ω|; NaN if Ω is not positive definite."""
    chol, lower = omega.copy(), np.empty((size, size))
    if not cholesky(chol):
        return np.nan
    _inverse_lower(chol, size, lower)
    logdet = 0.0
    for i in range(size):
        logdet += 2.0 * np.log(chol[i, i])
        out[i] = 0.0
        for h in range(i, size):
            out[i] += lower[h, i] ** 2
    return logdet


@plain
def log_covariance_density(kind: int, first: float, matrix: Array, omega: Array, size: int) -> float:
    """Return the logarithm of a prior's density in Ω, up to a constant; −inf where Ω is not positive definite.

    `matrix` holds S₀ of an inverse Wishart with `first` = η₀, or A_i on the diagonal and `first` = ν; for LKJ(η) with
    `first` = η, row i holds kind and two numbers of the prior of τ_i: p(Ω) ∝ |R|^(η−1) Π p(τ_i) τ_i^−k. Decov has LKJ's
    correlations and variances τ_i² = k r² π_i, π uniform on the simplex and r exponential with mean `matrix[0, 0]`:
    Π p(τ_i) becomes Π τ_i T^(1−k) p(r)/r, T = Σ τ_i² = k r².
    """
    diagonal = np.empty(size)
    logdet = _precision_diagonal(omega, size, diagonal)
    if not np.isfinite(logdet):
        return -np.inf
    if kind == HUANG_WAND:
        value = -0.5 * (first + 2.0 * size) * logdet
        for i in range(size):
            value -= 0.5 * (first + size) * np.log(first * diagonal[i] + 1.0 / matrix[i, i] ** 2)
        return value
    if kind == LKJ:
        value = (first - 1.0) * logdet
        for i in range(size):
            tau = np.sqrt(omega[i, i])
            value += log_sd_density(int(matrix[i, 0]), matrix[i, 1], matrix[i, 2], tau)
            value -= (2.0 * (first - 1.0) + size) * np.log(tau)
        return value
    if kind == DECOV:
        value, total = (first - 1.0) * logdet, 0.0
        for i in range(size):
            total += omega[i, i]
            value -= (first - 1.0 + 0.5 * (size - 1.0)) * np.log(omega[i, i])
        mean_root = np.sqrt(total / size)
        return float(value - (size - 1.0) * np.log(total) - np.log(mean_root) - mean_root / matrix[0, 0])
    chol = omega.copy()
    cholesky(chol)
    return -0.5 * (first + size + 1.0) * logdet - 0.5 * _trace_of_ratio(chol, matrix, size)


@plain
def _trace_of_ratio(chol: Array, matrix: Array, size: int) -> float:
    """Return tr(M Ω⁻¹) of M = `matrix` and Ω = LLᵀ with L = `chol`."""
    lower = np.empty((size, size))
    _inverse_lower(chol, size, lower)
    trace = 0.0
    for h in range(size):
        for i in range(h + 1):
            for j in range(h + 1):
                trace += lower[h, i] * matrix[i, j] * lower[h, j]
    return trace


@plain
def _inverse_wishart(rng: np.random.Generator, df: float, scale: Array, size: int, omega: Array) -> None:
    """Fill Ω with a draw for which Ω⁻¹ ~ Wishart(df, scale⁻¹), by Bartlett's decomposition; `scale` is overwritten."""
    if not cholesky(scale):
        return
    bartlett, lower = np.zeros((size, size)), np.empty((size, size))
    for i in range(size):
        bartlett[i, i] = np.sqrt(2.0 * rng.standard_gamma(0.5 * (df - i)))
        for j in range(i):
            bartlett[i, j] = rng.standard_normal()
    _inverse_lower(bartlett, size, lower)
    root = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for h in range(min(i, j) + 1):
                root[i, j] += scale[i, h] * lower[j, h]
    for i in range(size):
        for j in range(size):
            total = 0.0
            for h in range(size):
                total += root[i, h] * root[j, h]
            omega[i, j] = total


@plain
def _log_root_density(
    kind: int, first: float, matrix: Array, count: int, sums: Array, root: Array, size: int
) -> float:
    """Return the logarithm of the density of Λ, log diagonal and rest, given the effects, up to a constant."""
    omega, value = np.zeros((size, size)), 0.0
    for i in range(size):
        if not (root[i, i] > 0.0 and root[i, i] < np.inf):
            return -np.inf
        value += (size - i + 1.0 - count) * np.log(root[i, i])
        for j in range(size):
            for h in range(min(i, j) + 1):
                omega[i, j] += root[i, h] * root[j, h]
    value += log_covariance_density(kind, first, matrix, omega, size)
    return value - 0.5 * _trace_of_ratio(root, sums, size) if value > -np.inf else value


@plain
def _slice_root(
    rng: np.random.Generator, kind: int, first: float, matrix: Array, count: int, sums: Array, root: Array
) -> None:
    """Update Λ by one step of slice sampling in each element, with the logarithm of those on the diagonal.

    Neal (2003), Ann. Statist. 31:705. The width of a step does not depend on the element itself.
    """
    size = root.shape[0]
    for i in range(size):
        for j in range(i + 1):
            at = np.log(root[i, i]) if i == j else root[i, j]
            height = _log_root_density(kind, first, matrix, count, sums, root, size) + np.log(
                1.0 - rng.random()
            )
            width = min(1.0, 4.0 / np.sqrt(max(count, 1)))
            if i != j:
                width *= root[i, i]
            left = at - width * rng.random()
            right = left + width
            steps = int(STEPS * rng.random())
            for _ in range(steps):
                root[i, j] = np.exp(left) if i == j else left
                if not _log_root_density(kind, first, matrix, count, sums, root, size) > height:
                    break
                left -= width
            for _ in range(STEPS - 1 - steps):
                root[i, j] = np.exp(right) if i == j else right
                if not _log_root_density(kind, first, matrix, count, sums, root, size) > height:
                    break
                right += width
            found = False
            for _ in range(STEPS):
                moved = left + (right - left) * rng.random()
                root[i, j] = np.exp(moved) if i == j else moved
                if _log_root_density(kind, first, matrix, count, sums, root, size) > height:
                    found = True
                    break
                if moved < at:
                    left = moved
                else:
                    right = moved
            if not found:
                root[i, j] = np.exp(at) if i == j else at


@plain
def _draw_by_steps(
    rng: np.random.Generator, kind: int, first: float, matrix: Array, count: int, sums: Array, omega: Array
) -> None:
    """Update Ω given the effects by a Metropolis step, proposed as if the prior were weak, and slice steps."""
    size = omega.shape[0]
    if count >= size:  # proposed from the conditional under p(Ω) ∝ |Ω|^−(k+1)/2
        proposal, scale = np.zeros((size, size)), sums.copy()
        _inverse_wishart(rng, float(count), scale, size, proposal)
        gain = log_covariance_density(kind, first, matrix, proposal, size)
        gain -= log_covariance_density(kind, first, matrix, omega, size)
        new, old = proposal.copy(), omega.copy()
        if cholesky(new) and cholesky(old):
            for i in range(size):
                gain += (size + 1.0) * np.log(new[i, i] / old[i, i])
            if np.log(rng.random()) < gain:
                for i in range(size):
                    for j in range(size):
                        omega[i, j] = proposal[i, j]
    root = omega.copy()
    if not cholesky(root):
        return
    for i in range(size):
        for j in range(i + 1, size):
            root[i, j] = 0.0
    _slice_root(rng, kind, first, matrix, count, sums, root)
    for i in range(size):
        for j in range(size):
            omega[i, j] = 0.0
            for h in range(min(i, j) + 1):
                omega[i, j] += root[i, h] * root[j, h]


@plain
def draw_covariance(
    rng: np.random.Generator, kind: int, first: float, matrix: Array, count: int, scale: Array, omega: Array
) -> None:
    """Replace Ω, shape (k, k), by a draw given the effects, whose sum of products is `scale` (overwritten)."""
    size = omega.shape[0]
    if kind == INVERSE_WISHART:
        for i in range(size):
            for j in range(size):
                scale[i, j] += matrix[i, j]
        _inverse_wishart(rng, first + count, scale, size, omega)
        return
    if kind in (LKJ, DECOV):
        _draw_by_steps(rng, kind, first, matrix, count, scale, omega)
        return
    diagonal = np.empty(size)
    if not np.isfinite(_precision_diagonal(omega, size, diagonal)):
        return
    for i in range(size):
        a = _inverse_gamma(rng, 0.5 * (first + size), first * diagonal[i] + 1.0 / matrix[i, i] ** 2)
        scale[i, i] += 2.0 * first / a
    _inverse_wishart(rng, first + size - 1.0 + count, scale, size, omega)
