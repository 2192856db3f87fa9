"""Sweeps of the Gibbs sampler on cross-products.

(β, b) is drawn jointly given the variances: the levels of the first factor are eliminated one at a time as in the fit,
S = [tail X y]ᵀ[tail X y] − Σ B_jᵀB_j is factored, the tail and β are drawn from it, and b_j of each level given those.
Then σ² given the residual sum of squares, which the same products give; each Ω given its b; and, interwoven with it,
Λ given u = Λ⁻¹b and y, which moves freely where Ω is near 0 (`roots`; Yu & Meng 2011, J. Comput. Graph. Statist.
20:531). Before (β, b) are drawn, all Ω together try steps with both integrated out, and then σ and the roots of all Ω
are multiplied by one factor (`collapsed`).

Everything is in the units of the cross-products but Ω, which is in the effects' own basis over the response's scale.
Arrays over the levels of all factors, (N, K), hold one factor after another and are padded to the widest.
`factors` has a row (first level, first tail column or −1, levels, k) for each factor, the eliminated one in front;
`units` a row (factor, first effect, size, prior's kind) for each variance or covariance matrix.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky

from .coefficients import (
    draw_tail,
    fill_roots,
    scale_tail,
    tail_partial,
    tail_squares,
    to_coefficients,
)
from .collapsed import adapt, draw_common_scale, log_marginal, pack, propose, unpack
from .first_factor import draw_first, eliminate
from .relative import draw_residual_variance, put_sigma
from .roots import rescale_term
from .scales import draw_unit, rescale
from .variances import KNOWN

STEPS = 3
"""Collapsed steps of a sweep of one factor, whose elimination takes a small part of the sweep's time."""

__all__ = ["factor_system", "run_sweeps", "store_draw"]


@plain
def _fill_system(gram: Array, fixed: tuple[Array, Array, float], variance: float, system: Array) -> None:
    """Fill `system` with the products of [tail X y] plus σ² times the prior of β."""
    m, p = gram.shape[0], fixed[1].size
    for i in range(m):
        for j in range(m):
            system[i, j] = gram[i, j]
    q = m - 1 - p
    for i in range(p):
        for j in range(p):
            system[q + i, q + j] += variance * fixed[0][i, j]
        system[m - 1, q + i] += variance * fixed[1][i]
    system[m - 1, m - 1] += variance * fixed[2]


@plain
def factor_system(
    omega: Array,
    sigma: float,
    first: tuple[Array, IntArray, IntArray, Array, Array],
    gram: Array,
    fixed: tuple[Array, Array, float],
    factors: IntArray,
    bases: Array,
    units: IntArray,
    lams: Array,
    chols: Array,
    system: Array,
) -> bool:
    """Factor the system at the given variances; return whether it is positive definite."""
    if not fill_roots(omega, bases, factors, units, lams):
        return False
    _fill_system(gram, fixed, sigma**2, system)
    if factors.shape[0] > 0 and not eliminate(lams, sigma, first, chols, system):
        return False
    if gram.shape[0] > fixed[1].size + 1:
        scale_tail(lams, sigma, factors, system)
    return cholesky(system)


@plain
def store_draw(
    at: int, state: tuple[Array, Array, Array, Array], p: int, out: tuple[Array, Array, Array, Array]
) -> None:
    """Store the state as draw number `at`."""
    omega, variance, effects, coefficients = state
    for f in range(omega.shape[0]):
        for a in range(omega.shape[1]):
            for b in range(omega.shape[1]):
                out[0][at, f, a, b] = omega[f, a, b]
    out[1][at] = variance[0]
    for j in range(out[2].shape[1]):
        for a in range(effects.shape[1]):
            out[2][at, j, a] = effects[j, a]
    for i in range(p):
        out[3][at, i] = coefficients[coefficients.size - p + i]


@plain
def run_sweeps(
    rng: np.random.Generator,
    first: tuple[Array, IntArray, IntArray, Array, Array],
    gram: Array,
    blocks: Array,
    fixed: tuple[Array, Array, float],
    factors: IntArray,
    bases: Array,
    inverses: Array,
    units: IntArray,
    hyper: Array,
    matrices: Array,
    rows: int,
    residual: tuple[int, float, float],
    state: tuple[Array, Array, Array, Array],
    out: tuple[Array, Array, Array, Array],
    places: IntArray,
    walk: tuple[Array, Array, Array, Array],
    tune: int,
) -> int:
    """Run one sweep for each of `places`, and store the state of sweeps whose place is ≥ 0.

    Returns the number of sweeps run; fewer than `places.size` means that a matrix was not positive definite.

    Parameters
    ----------
    rng : numpy.random.Generator
    first : tuple
        gram (J, k, k), indptr, indices, values (cells, k), border (J, k, p + 1) of the first factor.
    gram : ndarray, shape (m, m)
        Products of [tail, X, y], symmetric.
    blocks : ndarray, shape (N, K, K)
        Z_jᵀZ_j of every level of every factor.
    fixed : tuple
        Prior precision P of β, P times its mean, and meanᵀP mean.
    factors, bases, inverses, units, hyper, matrices
        Layout and priors; see the module's docstring.
    rows : int
        Rows with a positive weight.
    residual : tuple
        Prior of σ: kind and two numbers.
    state : tuple
        Ω (F, K, K), σ² (1,), effects (N, K), coefficients of [tail X] (m − 1,).
    out : tuple
        Ω (keep, F, K, K), σ² (keep,), effects (keep, N, K), β (keep, p).
    places : ndarray of int64
    walk : tuple
        Of the collapsed Metropolis step: numbers (5,), mean (d,), spread (d, d) and root (d, d); see `collapsed.adapt`.
    tune : int
        Sweeps in which the walk is adapted.
    """
    omega, variance, effects, coefficients = state
    lams, chols, system = np.zeros_like(omega), np.zeros_like(first[0]), np.empty_like(gram)
    other_lams, other_chols, other_system = np.zeros_like(omega), np.zeros_like(first[0]), np.empty_like(gram)
    other, partial = omega.copy(), np.zeros_like(effects)
    hyper, matrices = hyper.copy(), matrices.copy()  # chains share those of the caller
    put_sigma(np.sqrt(variance[0]), units, hyper, matrices)
    layout, priors = (units, factors, bases, inverses), (hyper, matrices)
    products = (first, gram, blocks, fixed)
    numbers, mean, spread, root = walk
    phi, moved = np.zeros_like(mean), np.zeros_like(mean)
    steps = STEPS if gram.shape[0] == fixed[1].size + 1 else 1
    for sweep in range(places.size):
        sigma = np.sqrt(variance[0])
        if not factor_system(omega, sigma, first, gram, fixed, factors, bases, units, lams, chols, system):
            return sweep
        if phi.size > 0 and pack(omega, units, bases, phi):
            now = log_marginal(chols, system, variance[0])
            now += unpack(phi, units, hyper, matrices, inverses, omega)
            for _ in range(steps):
                propose(rng, phi, root, np.exp(numbers[2]), moved)
                value = unpack(moved, units, hyper, matrices, inverses, other)
                accepted = False
                if np.isfinite(value) and factor_system(
                    other,
                    sigma,
                    first,
                    gram,
                    fixed,
                    factors,
                    bases,
                    units,
                    other_lams,
                    other_chols,
                    other_system,
                ):
                    value += log_marginal(other_chols, other_system, variance[0])
                    accepted = np.log(rng.random()) < value - now
                if accepted:
                    now = value
                    phi, moved = moved, phi
                    lams, other_lams = other_lams, lams
                    chols, other_chols = other_chols, chols
                    system, other_system = other_system, system
                if numbers[0] < steps * tune:
                    adapt(phi, accepted, steps * tune, numbers, mean, spread, root)
                else:
                    numbers[3] += 1.0
                    numbers[4] += accepted
                numbers[0] += 1.0
            unpack(phi, units, hyper, matrices, inverses, omega)
        draw_common_scale(rng, rows, residual, omega, variance, units, hyper, matrices, fixed, lams, system)
        sigma = np.sqrt(variance[0])
        draw_tail(rng, lams, sigma, factors, system, effects, coefficients)
        squares = tail_squares(gram, coefficients)
        if factors.shape[0] > 0:
            squares += draw_first(rng, lams, sigma, first, chols, coefficients, partial, effects)
        variance[0] = draw_residual_variance(rng, residual, rows, squares, variance[0], units, hyper, omega)
        put_sigma(np.sqrt(variance[0]), units, hyper, matrices)
        for v in range(units.shape[0]):
            if units[v, 3] != KNOWN:
                draw_unit(rng, v, units, hyper, matrices, factors, inverses, omega, effects)
        sigma, last = np.sqrt(variance[0]), 0
        for v in range(units.shape[0]):
            f = units[v, 0]
            if units[v, 3] == KNOWN:
                continue
            if f != last:
                tail_partial(f, factors, first, gram, blocks, coefficients, effects, partial)
                last = f
            if units[v, 2] == 1:
                rescale(rng, v, units, hyper, factors, sigma, blocks, partial, omega, effects)
            else:
                rescale_term(rng, v, layout, priors, products, state, partial)
            if f > 0:
                to_coefficients(f, factors, effects, coefficients)
        if places[sweep] >= 0:
            store_draw(places[sweep], state, fixed[1].size, out)
    return places.size
