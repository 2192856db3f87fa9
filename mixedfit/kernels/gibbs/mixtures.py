"""Mixing variables λ of the rows and of a factor's levels; notation as in `weighted_sweep`."""

from __future__ import annotations

import math

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky, solve_lower

from .scales import block_of, change_basis
from .variances import log_sd_density

__all__ = [
    "DF",
    "GAMMA",
    "LAPLACE",
    "LARGEST",
    "LEVEL",
    "NORMAL",
    "NU0",
    "SIGMA",
    "SIGMA0",
    "STUDENT",
    "columns_of",
    "draw_lam",
    "draw_log",
    "draw_precision",
    "draw_sigma0",
    "draw_variances",
    "level_squares",
    "stretch_levels",
]


NORMAL, STUDENT, LAPLACE = range(3)

GAMMA = 9
"""Kind of a prior σ0² ~ Gamma(first, second), in addition to those of `variances`."""

DF, NU0, SIGMA0, SIGMA, LEVEL = 0.0, 1.0, 2.0, 3.0, 4.0
"""Densities that `draw_log` samples; floats, because numba would compile it anew for each integer constant."""

LARGEST = 1e10
"""Upper limit of λ: larger weights lose the other rows to rounding. Laplace residuals |e| < 1e-5 σ count as normal."""

LARGE = 1e100
"""Products beyond this are replaced by their logarithms, before they overflow."""

STEPS = 100
"""Largest number of widths by which a slice is extended."""


@plain
def level_squares(
    f: int, factors: IntArray, units: IntArray, bases: Array, omega: Array, effects: Array, out: Array
) -> bool:
    """Fill in b_jᵀΩ⁻¹b_j of every level of a factor, shape (levels,); return whether Ω is positive definite."""
    first = factors[f, 0]
    out[:] = 0.0
    for v in range(units.shape[0]):
        if units[v, 0] != f:
            continue
        start, size = units[v, 1], units[v, 2]
        root = change_basis(bases, f, start, block_of(omega, f, start, size))
        if not cholesky(root):
            return False
        u = np.empty(size)
        for j in range(out.size):
            for a in range(size):
                u[a] = effects[first + j, start + a]
            solve_lower(root, u, size)
            for a in range(size):
                out[j] += u[a] * u[a]
    return True


@plain
def columns_of(
    f: int, rows: tuple[IntArray, Array, IntArray, Array, IntArray, IntArray, Array, IntArray]
) -> tuple[IntArray, Array]:
    """Return the levels of a factor and its effects' columns."""
    if f == 0:
        return rows[0], rows[1]
    at = 0
    for g in range(f - 1):
        at += rows[4][g]
    size = rows[4][f - 1]
    codes, z = np.empty(rows[2].shape[0], np.int64), np.empty((rows[2].shape[0], size))
    for i in range(codes.size):
        codes[i] = rows[2][i, f - 1]
        for a in range(size):
            z[i, a] = rows[3][i, at + a]
    return codes, z


@plain
def stretch_levels(
    rng: np.random.Generator,
    kind: int,
    df: float,
    codes: IntArray,
    z: Array,
    weights: Array,
    rest: Array,
    lam: Array,
    effects: Array,
) -> None:
    """Draw 1/√λ of every level given c = √λ b and y, and update b = c/√λ; this mixes well also where b is near 0.

    `weights` are the rows' precisions over σ², `rest` their residuals; `lam` and `effects` are the factor's own.
    """
    levels, k = lam.size, z.shape[1]
    linear, precision = np.zeros(levels), np.zeros(levels)
    for i in range(codes.size):
        j = codes[i]
        part = 0.0
        for a in range(k):
            part += z[i, a] * effects[j, a]
        linear[j] += weights[i] * part * (rest[i] + part)
        precision[j] += weights[i] * part * part
    ratio = np.empty(levels)
    numbers = np.array([float(kind), df, 0.0, 0.0])
    for j in range(levels):  # of y less everything else on Z c = √λ Z b
        numbers[2], numbers[3] = np.sqrt(lam[j]) * linear[j], lam[j] * precision[j]
        s = math.exp(draw_log(rng, LEVEL, -0.5 * math.log(lam[j]), numbers, numbers[:1], numbers))
        ratio[j] = s * np.sqrt(lam[j])
        lam[j] = min(1.0 / s**2, LARGEST)
    for i in range(codes.size):
        part = 0.0
        for a in range(k):
            part += z[i, a] * effects[codes[i], a]
        rest[i] += part * (1.0 - ratio[codes[i]])
    for j in range(levels):
        for a in range(k):
            effects[j, a] *= ratio[j]


@plain
def draw_lam(
    rng: np.random.Generator,
    kind: int,
    prior: Array,
    df: float,
    count: float,
    squares: Array,
    lam: Array,
) -> float:
    """Draw ν unless the shape of its gamma prior is 0, then λ of every vector; return ν."""
    if prior[0] > 0.0:
        numbers = np.array([prior[0], prior[1], count])
        df = math.exp(draw_log(rng, DF, math.log(df), numbers, squares, squares))
    for i in range(lam.size):
        lam[i] = draw_precision(rng, kind, df, count, squares[i])
    return df


@plain
def _inverse_gaussian(rng: np.random.Generator, mean: float) -> float:
    """Return a draw of shape 1; Michael, Schucany & Haas (1976), with the smaller root written without cancellation."""
    y = rng.standard_normal() ** 2
    root = mean / (1.0 + 0.5 * mean * y + 0.5 * np.sqrt(mean * y * (4.0 + mean * y)))
    return float(root if rng.random() * (mean + root) <= mean else mean * (mean / root))


@plain
def _generalised_inverse_gaussian(rng: np.random.Generator, p: float, omega: float) -> float:
    """Return a draw with density ∝ x^(p−1) exp(−ω(x + 1/x)/2), p ≥ 0; Devroye (2014), Stat. Comput. 24:239."""
    alpha = np.sqrt(omega**2 + p**2) - p
    if p > 0.0:
        alpha = omega**2 / (np.sqrt(omega**2 + p**2) + p)

    right = alpha * (math.cosh(1.0) - 1.0) + p * (math.e - 2.0)
    t = 1.0
    if right > 2.0:
        t = np.sqrt(2.0 / (alpha + p))
    elif right < 0.5:
        t = np.log(4.0 / (alpha + 2.0 * p))
    left = alpha * (math.cosh(1.0) - 1.0) + p * math.exp(-1.0)
    s = 1.0
    if left > 2.0:
        s = np.sqrt(4.0 / (alpha * math.cosh(1.0) + p))
    elif left < 0.5:
        s = np.log(1.0 + 1.0 / alpha + np.sqrt(1.0 / alpha**2 + 2.0 / alpha))
        if p > 0.0:
            s = min(1.0 / p, s)
    eta = alpha * (math.cosh(t) - 1.0) + p * (math.exp(t) - t - 1.0)
    zeta = alpha * math.sinh(t) + p * (math.exp(t) - 1.0)
    theta = alpha * (math.cosh(s) - 1.0) + p * (math.exp(-s) + s - 1.0)
    xi = alpha * math.sinh(s) + p * (1.0 - math.exp(-s))
    above, below = t - eta / zeta, s - theta / xi
    total = above + below + 1.0 / zeta + 1.0 / xi
    for _ in range(10_000):  # one or two are usual; none is accepted where ω is not a number
        u, v, w = rng.random(), 1.0 - rng.random(), rng.random()
        hat = 0.0
        if u < (above + below) / total:
            x = -below + (above + below) * v
        elif u < (above + below + 1.0 / zeta) / total:
            x = above - np.log(v) / zeta
            hat = -eta - zeta * (x - t)
        else:
            x = -below + np.log(v) / xi
            hat = -theta + xi * (x + s)
        if np.log(w) + hat <= -alpha * (math.cosh(x) - 1.0) - p * (math.exp(x) - x - 1.0):
            return float((p / omega + np.sqrt(1.0 + (p / omega) ** 2)) * math.exp(x))
    return np.nan


@plain
def draw_precision(rng: np.random.Generator, kind: int, df: float, count: float, q: float) -> float:
    """Return λ given a vector: Gamma((ν + count)/2, (ν + q)/2), or 1/λ generalised inverse Gaussian(1 − count/2, 1, q).

    For one element of a Laplace distribution λ is inverse Gaussian with mean 1/√q and shape 1.
    """
    if kind == NORMAL:
        return 1.0
    if kind == STUDENT:
        return 2.0 * rng.standard_gamma(0.5 * (df + count)) / (df + q)
    root = np.sqrt(max(q, 1e-200))
    if count == 1.0:
        value = _inverse_gaussian(rng, 1.0 / root)
    else:
        value = _generalised_inverse_gaussian(rng, 0.5 * count - 1.0, root) / root
    return min(value, LARGEST)


@plain
def _log_prior(numbers: Array, sigma: float) -> float:
    """Return the logarithm of a prior density of σ or σ0: kind and two numbers."""
    if int(numbers[0]) == GAMMA:
        return float((2.0 * numbers[1] - 1.0) * math.log(sigma) - numbers[2] * sigma**2)
    return float(log_sd_density(int(numbers[0]), numbers[1], numbers[2], sigma))


@plain
def _sum_of_logs(squares: Array, factor: float) -> float:
    """Return Σ log(1 + factor q), by logarithms of products that stay within the range of floats."""
    total, product = 0.0, 1.0
    for i in range(squares.size):
        term = 1.0 + factor * squares[i]
        if term > LARGE:
            total += math.log(term)
            continue
        product *= term
        if product > LARGE:
            total += math.log(product)
            product = 1.0
    return float(total + math.log(product))


@plain
def _log_df(nu: float, numbers: Array, squares: Array) -> float:
    """Return the logarithm of Π t_ν, of vectors of length k with squared lengths q."""
    k = numbers[2]
    total = -0.5 * (nu + k) * _sum_of_logs(squares, 1.0 / nu)
    each = math.lgamma(0.5 * (nu + k)) - math.lgamma(0.5 * nu) - 0.5 * k * math.log(nu)
    return float(total + squares.size * each)


@plain
def _log_groups(nu0: float, variance: float, squares: Array, counts: Array) -> float:
    """Return the logarithm of the residuals' density given ν0 and σ0², the σ_g integrated out."""
    half, total = 0.5 * nu0, 0.0
    prior = half * variance
    for g in range(squares.size):
        more = 0.5 * counts[g]
        total += math.lgamma(half + more) - math.lgamma(half) - more * math.log(prior)
        total -= (half + more) * np.log1p(0.5 * squares[g] / prior)
    return total


@plain
def _log_errors(kind: int, nu: float, factor: float, squares: Array, sums: Array) -> float:
    """Return the logarithm of the density of residuals of scale `factor`, the λ integrated out; `sums` has Σ√q."""
    if kind == LAPLACE:
        total = -sums[0] / factor
    else:
        total = -0.5 * (nu + 1.0) * _sum_of_logs(squares, 1.0 / (nu * factor**2))
    return float(total - squares.size * math.log(factor))


@plain
def _log_density(which: float, x: float, numbers: Array, squares: Array, counts: Array) -> float:
    """Return the logarithm of a density in x = log ν, log ν0, log σ0, log σ or log s, up to a constant."""
    value = math.exp(x)
    if which == DF:
        return float(_log_df(value, numbers, squares) + numbers[0] * x - numbers[1] * value)
    if which == NU0:
        total = _log_groups(value, numbers[2], squares, counts)
        return float(total + numbers[0] * x - numbers[1] * value)
    if which == SIGMA0:
        return _log_groups(numbers[3], value**2, squares, counts) + _log_prior(numbers, value) + x
    if which == LEVEL:
        own = 2.0 * x - 0.5 * value**2 if int(numbers[0]) == LAPLACE else -numbers[1] * (x + 0.5 / value**2)
        return float(own + numbers[2] * value - 0.5 * numbers[3] * value**2)
    total = _log_errors(int(numbers[4]), numbers[3], value / numbers[5], squares, counts)
    return total + _log_prior(numbers, value) + x


@plain
def draw_log(
    rng: np.random.Generator, which: float, x: float, numbers: Array, squares: Array, counts: Array
) -> float:
    """Return a step of slice sampling (Neal 2003, Ann. Statist. 31:705) from x.

    Parameters
    ----------
    which : float
        DF: log ν given `squares` q of vectors of length k; numbers (shape and rate of ν's gamma prior, k).
        NU0: log ν0 given σ0² and weighted sums of squares of `counts` residuals a group; numbers (shape, rate, σ0²).
        SIGMA0: log σ0 given ν0 and the same; numbers (kind and two numbers of the prior, ν0).
        SIGMA: log σ given residuals in units of its present value, squared, the λ integrated out; numbers (kind and two
        numbers of the prior, ν, distribution, present value), counts (Σ√q). Where σ differs by group, σ0, which scales
        all σ_g.
        LEVEL: log s of one level's b = s c, s = 1/√λ, given c and y, whose density in s is normal; numbers
        (distribution, ν, precision times mean, precision).
    """
    height = _log_density(which, x, numbers, squares, counts) + np.log(1.0 - rng.random())
    width = min(1.0, 4.0 / np.sqrt(squares.size))  # about the spread that so many vectors leave
    left = x - width * rng.random()
    right = left + width
    steps = int(STEPS * rng.random())  # random share of the limit, which keeps the step reversible
    for _ in range(steps):
        if not _log_density(which, left, numbers, squares, counts) > height:
            break
        left -= width
    for _ in range(STEPS - 1 - steps):
        if not _log_density(which, right, numbers, squares, counts) > height:
            break
        right += width
    for _ in range(100):
        moved = left + (right - left) * rng.random()
        if _log_density(which, moved, numbers, squares, counts) > height:
            return float(moved)
        if moved < x:
            left = moved
        else:
            right = moved
    return x


@plain
def draw_variances(
    rng: np.random.Generator, nu0: float, sigma0: float, squares: Array, counts: Array, variances: Array
) -> None:
    """Fill in σ_g²: 1/σ_g² ~ Gamma((ν0 + n_g)/2, (ν0σ0² + SS_g)/2); `sigma0` is σ0."""
    for g in range(variances.size):
        scale = 0.5 * (nu0 * sigma0**2 + squares[g])
        variances[g] = scale / rng.standard_gamma(0.5 * (nu0 + counts[g]))


@plain
def draw_sigma0(rng: np.random.Generator, shape: float, rate: float, nu0: float, variances: Array) -> float:
    """Return σ0 given ν0 and the σ_g², where σ0² ~ Gamma(a, b): σ0² | … ~ Gamma(a + mν0/2, b + ν0 Σσ_g⁻²/2)."""
    inverses = 0.0
    for g in range(variances.size):
        inverses += 1.0 / variances[g]
    drawn = rng.standard_gamma(shape + 0.5 * variances.size * nu0) / (rate + 0.5 * nu0 * inverses)
    return float(np.sqrt(drawn))
