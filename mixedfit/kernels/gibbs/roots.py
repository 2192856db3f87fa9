"""Updates of one term's covariance matrix given u = Λ⁻¹b and y, with β integrated out.

Given u the mean of y is linear in β and in Λ, so that the likelihood of a change D of Λ is exp(gᵀd − ½ dᵀHd) with
d = vec(D) row by row. Two kinds of moves use it, both slices without tuning:

- the triangle of Λ, on an ellipse of the normal likelihood; Murray, Adams & MacKay (2010), AISTATS 9:541;
- the standard deviation τ_i of each effect at the same correlations, on the scale of its logarithm. Priors of matrices
  have much mass near τ_i = 0, in a corner of the triangles that ellipses seldom hit.

Then β is drawn given Λ, and b = Λu. The moves interweave with draws of Ω given b; Yu & Meng (2011), J. Comput. Graph.
Statist. 20:531. Notation and layouts as in `sweep`; v is the unit's row in `units`.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.kernels._compile import plain
from mixedfit.kernels.triangle import cholesky, solve_lower, solve_upper

from .root_likelihood import cross_product, integrate, regression
from .scaled import log_scaled_density, matrix_parts
from .scales import block_of, change_basis, put_block, times_transpose
from .variances import log_covariance_density

__all__ = ["rescale_term"]

SHRINKS = 100
"""Largest number of times that a slice is shrunk."""

WIDTH, WIDTHS = 2.0, 20
"""Width of a step of log τ, and the largest number of them."""

RIDGE = 1e-4
"""Share of the mean curvature that is added to all, and taken from the density: few levels leave directions free."""


@plain
def rescale_term(
    rng: np.random.Generator,
    v: int,
    layout: tuple[IntArray, IntArray, Array, Array],
    priors: tuple[Array, Array],
    products: tuple[tuple[Array, IntArray, IntArray, Array, Array], Array, Array, tuple[Array, Array, float]],
    state: tuple[Array, Array, Array, Array],
    partial: Array,
) -> None:
    """Draw Ω of one term given u and y, then β; update b, β and `partial`.

    Parameters
    ----------
    layout : tuple
        Units, factors, bases and inverses.
    priors : tuple
        Numbers and matrices.
    products : tuple
        Those of the first factor, of [tail X y], of every level, and the prior of β.
    state : tuple
        As in `sweep.run_sweeps`.
    partial : ndarray, shape (N, K)
        Zᵀ(y less everything but the factor's own effects).
    """
    units, factors, bases, inverses = layout
    omega, variance, effects, coefficients = state
    f, start, size = units[v, 0], units[v, 1], units[v, 2]
    root = change_basis(bases, f, start, block_of(omega, f, start, size))
    if not cholesky(root):
        return
    for a in range(size):
        for c in range(a + 1, size):
            root[a, c] = 0.0
    p, levels = products[3][1].size, factors[f, 2]
    u, moved = np.empty((levels, size)), np.zeros(size * size)
    curvature, slope = np.zeros((size * size, size * size)), np.zeros(size * size)
    half, chol, rest = np.zeros((size * size, p)), np.empty((p, p)), np.empty(p)
    regression(v, layout, root, products, partial, effects, u, curvature, slope, half)
    if not integrate(variance[0], products, state, curvature, slope, half, chol, rest):
        return
    kind, first, matrix = units[v, 3], priors[0][v, 0], priors[1][v]
    own, back = (
        bases[f, start : start + size, start : start + size],
        inverses[f, start : start + size, start : start + size],
    )
    _move_triangle(rng, kind, first, matrix, back, root, curvature, slope, moved)
    for i in range(size):
        _move_sd(rng, kind, first, matrix, own, back, i, root, curvature, slope, moved)
    _add(root, moved, root)
    put_block(omega, f, start, _sandwich(back, root))
    for e in range(size * size):
        for s in range(p):
            rest[s] -= half[e, s] * moved[e]
    for s in range(p):
        rest[s] += rng.standard_normal()
    solve_upper(chol, rest, p)
    for s in range(p):
        coefficients[coefficients.size - p + s] += rest[s]
    _update_levels(v, layout, products, root, u, rest, effects, partial)


@plain
def _sandwich(inverse: Array, root: Array) -> Array:
    """Return R⁻¹ΛΛᵀR⁻ᵀ, the covariance matrix in the effects' own basis."""
    size = root.shape[0]
    half = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for h in range(size):
                half[i, j] += inverse[i, h] * root[h, j]
    return times_transpose(half)


@plain
def _add(root: Array, change: Array, out: Array) -> None:
    """Fill `out` with Λ + D."""
    for a in range(root.shape[0]):
        for c in range(root.shape[0]):
            out[a, c] = root[a, c] + change[a * root.shape[0] + c]


@plain
def _log_triangle(kind: int, first: float, matrix: Array, inverse: Array, root: Array) -> float:
    """Return the logarithm of the prior density of a triangle Λ."""
    size = root.shape[0]
    value = log_covariance_density(kind, first, matrix, _sandwich(inverse, root), size)
    for a in range(size):  # the Jacobian of ΛΛᵀ
        value += (size - a) * np.log(abs(root[a, a]))
    return value


@plain
def _move_triangle(
    rng: np.random.Generator,
    kind: int,
    first: float,
    matrix: Array,
    inverse: Array,
    root: Array,
    curvature: Array,
    slope: Array,
    moved: Array,
) -> None:
    """Replace D = 0 by a triangle of an elliptical slice."""
    size = root.shape[0]
    count, at = size * (size + 1) // 2, 0
    places = np.empty(count, np.int64)
    for a in range(size):
        for c in range(a + 1):
            places[at] = a * size + c
            at += 1
    chol, centre, other = np.empty((count, count)), np.empty(count), np.empty(count)
    ridge = 0.0
    for e in range(count):
        centre[e], other[e] = slope[places[e]], rng.standard_normal()
        ridge += RIDGE / count * curvature[places[e], places[e]]
        for g in range(count):
            chol[e, g] = curvature[places[e], places[g]]
    for e in range(count):
        chol[e, e] += ridge
    if not cholesky(chol):
        return
    solve_lower(chol, centre, count)
    solve_upper(chol, centre, count)
    solve_upper(chol, other, count)
    trial, new = np.zeros(size * size), np.empty((size, size))
    height = _log_triangle(kind, first, matrix, inverse, root) + np.log(1.0 - rng.random())
    angle = 2.0 * np.pi * rng.random()
    low, high = angle - 2.0 * np.pi, angle
    for _ in range(SHRINKS):
        cosine, sine, squares = np.cos(angle), np.sin(angle), 0.0
        for e in range(count):
            trial[places[e]] = centre[e] * (1.0 - cosine) + other[e] * sine
            squares += trial[places[e]] ** 2
        _add(root, trial, new)
        if _log_triangle(kind, first, matrix, inverse, new) + 0.5 * ridge * squares > height:
            moved[:] = trial
            return
        if angle < 0.0:
            low = angle
        else:
            high = angle
        angle = low + (high - low) * rng.random()


@plain
def _log_ratio(
    x: float,
    kind: int,
    first: float,
    matrix: Array,
    sds: Array,
    inverse: Array,
    i: int,
    curve: float,
    line: float,
) -> float:
    """Return the logarithm of the density of x, by whose exponential τ_i is multiplied, up to a constant."""
    value = log_scaled_density(kind, first, matrix, sds, inverse, i, x) + (sds.size + 1.0) * x
    change = np.expm1(x)
    return float(value + line * change - 0.5 * curve * change**2)


@plain
def _move_sd(
    rng: np.random.Generator,
    kind: int,
    first: float,
    matrix: Array,
    basis: Array,
    inverse: Array,
    i: int,
    root: Array,
    curvature: Array,
    slope: Array,
    moved: Array,
) -> None:
    """Multiply τ_i, and so b_i, by a factor: D becomes D + (factor − 1) w_i w̃_iᵀ(Λ + D), w_i a column of the basis."""
    size = root.shape[0]
    n, now = size * size, np.empty((size, size))
    _add(root, moved, now)
    omega, direction = _sandwich(inverse, now), np.empty(n)
    for c in range(size):
        own = 0.0
        for h in range(size):
            own += inverse[i, h] * now[h, c]
        for a in range(size):
            direction[a * size + c] = basis[a, i] * own
    line, curve = 0.0, 0.0
    for e in range(n):
        left, bent = slope[e], 0.0
        for g in range(n):
            left -= curvature[e, g] * moved[g]
            bent += curvature[e, g] * direction[g]
        line += left * direction[e]
        curve += bent * direction[e]
    sds, back = np.empty(size), np.empty((size, size))
    if not np.isfinite(matrix_parts(omega, sds, back)):
        return
    height = np.log(1.0 - rng.random())
    height += _log_ratio(0.0, kind, first, matrix, sds, back, i, curve, line)
    left = -WIDTH * rng.random()
    right, steps = left + WIDTH, int(WIDTHS * rng.random())
    for _ in range(steps):
        if not _log_ratio(left, kind, first, matrix, sds, back, i, curve, line) > height:
            break
        left -= WIDTH
    for _ in range(WIDTHS - 1 - steps):
        if not _log_ratio(right, kind, first, matrix, sds, back, i, curve, line) > height:
            break
        right += WIDTH
    for _ in range(SHRINKS):
        x = left + (right - left) * rng.random()
        if _log_ratio(x, kind, first, matrix, sds, back, i, curve, line) > height:
            for e in range(n):
                moved[e] += np.expm1(x) * direction[e]
            return
        if x < 0.0:
            left = x
        else:
            right = x


@plain
def _update_levels(
    v: int,
    layout: tuple[IntArray, IntArray, Array, Array],
    products: tuple[tuple[Array, IntArray, IntArray, Array, Array], Array, Array, tuple[Array, Array, float]],
    root: Array,
    u: Array,
    change: Array,
    effects: Array,
    partial: Array,
) -> None:
    """Set b = Λu, and take the change of β from `partial` if the factor has other terms."""
    units, factors = layout[0], layout[1]
    f, start, size = units[v, 0], units[v, 1], units[v, 2]
    at, levels, k = factors[f, 0], factors[f, 2], factors[f, 3]
    p = change.size
    for j in range(levels):
        for a in range(size):
            total = 0.0
            for c in range(size):
                total += root[a, c] * u[j, c]
            effects[at + j, start + a] = total
        if k == size:
            continue
        for a in range(k):
            for s in range(p):
                partial[at + j, a] -= (
                    cross_product(f, j, a, s, factors, products[0][4], products[1], p) * change[s]
                )
