"""Refits without each case near θ̂, in models with one factor, by a polynomial for the sums over all levels.

All cases share the log-determinant and the products of the full data as functions of θ; these are replaced by a
polynomial that is accurate to rounding in a small box around θ̂. Each refit is then a Newton search over one level.
With 1,000 levels of 10 rows, `influence(group, refit=True)` takes 18 ms in place of 460 ms for random intercepts (a
factor of 25) and 37 ms in place of 650 ms for intercepts and slopes (a factor of 18), compared with a compiled search
over all levels for every case. With 100 levels of slopes no polynomial is accurate enough in the larger box,
and nothing is gained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement
from math import comb

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.linalg import blas_threads
from mixedfit.estimation.batch import BatchSearch
from mixedfit.estimation.boundary import SMALL
from mixedfit.likelihood.compiled import SmallTail

from .level_cases import LevelCases, Point, directions_at
from .removal import DeletionEstimates, full_rank

__all__ = ["refit_nearby"]

DEGREES = {1: (4, 8), 2: (4, 6, 8), 3: (4, 6, 8), 4: (4, 6), 5: (4, 5), 6: (4, 5)}
"""Degrees of the polynomials that are tried, by the number of variables."""

NODES_PER_TERM = 1.5
"""Evaluations of the function for each coefficient."""

CHECKS = 6
"""Number of further points where the polynomial is compared with the function."""

ACCURATE = 3e-13
"""Largest error accepted at these points, relative to the largest value of any of the functions."""

LARGEST_STEP = 0.15
"""Largest first Newton step of an element of θ, in units in which effects have unit root mean square."""

MOST_STEPS = 60
"""Largest number of Newton steps."""

STEP_TOLERANCE = 1e-11
"""Largest element of the Newton step of a case at its minimum."""


def refit_nearby(search: BatchSearch, cases: LevelCases, out: DeletionEstimates) -> BoolArray:
    """Fill in the estimates of cases whose minimum lies in the box; return a mask of them, shape (cases,).

    Parameters
    ----------
    search : BatchSearch
        Of the fit.
    cases : LevelCases
    out : DeletionEstimates
        Filled in place.
    """
    none = np.zeros(cases.levels.size, dtype=bool)
    centre = search.start
    if not saves_time(centre.size, none.size) or np.any(centre[search.criterion.diagonal] <= 0.1):
        return none
    with blas_threads(1):
        first = _first_steps(search, cases, centre)
        near = np.all(np.abs(first) <= LARGEST_STEP, axis=1)
        half = 1.5 * np.abs(first[near]).max(axis=0, initial=1e-9)
        model = polynomial_around(partial(_sums, search), centre, half, none.size)
        if model is None:
            return none
        return _search(search, cases, model, np.flatnonzero(near), out)


def _first_steps(search: BatchSearch, cases: LevelCases, centre: Array) -> Array:
    """Return each case's first Newton step from θ̂, shape (cases, n_theta)."""
    lams, directions = directions_at(search, centre[None])
    point = cases.whole(lams[0], directions[0]) + cases.change(lams, directions)
    gradient = _Minimum(cases, point).gradient
    return np.asarray(-np.linalg.solve(_hessian(cases, centre), gradient.T).T)


def _hessian(cases: LevelCases, centre: Array) -> Array:
    evaluation = cases.criterion(centre)
    exact = evaluation.exact_curvature
    return evaluation.curvature if exact is None else exact


class _Minimum:
    """The criterion of each case, profiled over β and σ, with its gradient in θ."""

    def __init__(self, cases: LevelCases, point: Point) -> None:
        criterion = cases.criterion
        p = cases.fit.cross.p
        nu = cases.nu()
        own, side = point.products[:, :p, :p], point.products[:, :p, p]
        self.information = own
        self.solution = np.linalg.solve(own, side[..., None])[..., 0] if p else side
        self.prss = point.products[:, p, p] - np.einsum("cs,cs->c", side, self.solution)
        last = np.concatenate([-self.solution, np.ones((nu.size, 1))], axis=1)
        rises = np.einsum("cs,cdst,ct->cd", last, point.slopes, last, optimize=True)
        logdet, self.gradient = point.logdet, point.logdet_slopes.copy()
        if criterion.reml and p:
            logdet = logdet + np.linalg.slogdet(own)[1]
            self.gradient += np.einsum("cst,cdst->cd", np.linalg.inv(own), point.slopes[:, :, :p, :p])
        if criterion.sigma is None:
            self.variance = self.prss / nu
            self.value = logdet + nu * (1.0 + np.log(2.0 * np.pi * self.variance))
        else:
            held = (criterion.sigma / cases.fit.cross.fixed.scale) ** 2
            self.variance = np.full(nu.size, held)
            self.value = logdet + nu * np.log(2.0 * np.pi * criterion.sigma**2) + self.prss / held
        self.gradient += rises / self.variance[:, None]
        self.value += self._constant(cases, nu)

    @staticmethod
    def _constant(cases: LevelCases, nu: Array) -> Array:
        """Return the constants of the criterion due to basis, units and weights, shape (cases,)."""
        criterion, fixed = cases.criterion, cases.fit.cross.fixed
        value = cases.log_weights - cases.fit.cross.log_weights
        if criterion.sigma is None:
            value = value + 2.0 * nu * np.log(fixed.scale)
        if criterion.reml:
            value = value - 2.0 * np.log(np.abs(np.diag(fixed.transform))).sum()
        return np.asarray(value)


def _search(
    search: BatchSearch, cases: LevelCases, model: Polynomial, these: IntArray, out: DeletionEstimates
) -> BoolArray:
    """Minimise the criteria of some cases inside the box of the polynomial; return a mask of those that converged."""
    settled = np.zeros(cases.levels.size, dtype=bool)
    inverse = np.linalg.inv(_hessian(cases, model.centre))
    x = np.repeat(model.centre[None], these.size, axis=0)
    left = np.arange(these.size)
    for _ in range(MOST_STEPS):
        own = cases.subset(these[left])
        found = _Minimum(own, _at(search, own, model, x[left]))
        step = -found.gradient @ inverse
        arrived = np.abs(step).max(axis=1) <= STEP_TOLERANCE
        _write(search, found, these[left], x[left], arrived, out, settled)
        x[left] += step
        inside = np.all(np.abs(x[left] - model.centre) <= model.half, axis=1)
        left = left[~arrived & inside]
        if left.size == 0:
            break
    return settled


def _at(search: BatchSearch, cases: LevelCases, model: Polynomial, x: Array) -> Point:
    """Return log-determinant and products without each case, at its own θ."""
    values, slopes = model(x)
    width = cases.fit.cross.p + 1
    whole = Point(
        values[:, 0], slopes[:, :, 0], _square(values[:, 1:], width), _square(slopes[:, :, 1:], width)
    )
    return whole + cases.change(*directions_at(search, x))


def _square(lower: Array, width: int) -> Array:
    """Return symmetric matrices from their lower triangles."""
    rows, columns = np.tril_indices(width)
    out = np.empty((*lower.shape[:-1], width, width))
    out[..., rows, columns] = lower
    out[..., columns, rows] = lower
    return out


def _write(
    search: BatchSearch,
    found: _Minimum,
    these: IntArray,
    x: Array,
    arrived: BoolArray,
    out: DeletionEstimates,
    settled: BoolArray,
) -> None:
    """Store the estimates of cases that have converged, unless they lie at the boundary."""
    inside = np.all(x[:, search.criterion.diagonal] > SMALL, axis=1)
    good = arrived & inside & (found.prss > 0.0) & full_rank(found.information)
    here = these[good]
    out.solution[here], out.information[here] = found.solution[good], found.information[good]
    out.variance[here], out.criterion[here] = found.variance[good], found.value[good]
    out.theta[here] = search.thetas(x[good])
    settled[here] = True


def _sums(search: BatchSearch, x: Array) -> Array:
    """Return the log-determinant and the lower triangle of [X y]ᵀV⁻¹[X y] of the full data at θ."""
    tail = search.criterion(x).tail
    width = search.fit.cross.p + 1
    if not (tail.ok and isinstance(tail, SmallTail)):
        return np.full(1 + width * (width + 1) // 2, np.nan)
    root = np.tril(tail.chol)
    return np.concatenate([[tail.logdet_random], (root @ root.T)[np.tril_indices(width)]])


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """Polynomials for several functions of t = (x − centre)/half, with their derivatives.

    Attributes
    ----------
    centre, half : ndarray, shape (d,)
    coefficients : ndarray, shape (d + 1, terms, functions)
        Of the functions, then of their derivatives along each variable.
    parents, steps : ndarray of int64, shape (terms,)
        Each term but the first is the product of an earlier term (parent) and a variable (step).
    """

    centre: Array
    half: Array
    coefficients: Array
    parents: IntArray
    steps: IntArray

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Return values (points, functions) and derivatives (points, d, functions) at points (points, d)."""
        terms = _terms((x - self.centre) / self.half, self.parents, self.steps)
        slopes = np.stack([terms.T @ own for own in self.coefficients[1:]], axis=1)
        return terms.T @ self.coefficients[0], slopes


def saves_time(d: int, points: int) -> bool:
    """Return whether a polynomial in d variables needs fewer than half of a number of evaluations."""
    return d in DEGREES and points >= 2 * comb(d + DEGREES[d][0], d)


def polynomial_around(
    function: Callable[[Array], Array], centre: Array, half: Array, points: int
) -> Polynomial | None:
    """Return a polynomial for several functions in the box centre ± half, or None if none is accurate enough.

    Parameters
    ----------
    function : callable
        x (d,) → values (functions,).
    centre, half : ndarray, shape (d,)
    points : int
        Number of evaluations that the polynomial replaces; degrees that need more than half of them are not tried.
    """
    d = centre.size
    rng = np.random.default_rng(d)
    checks = rng.uniform(-1.0, 1.0, (CHECKS, d))
    wanted = np.array([function(centre + half * t) for t in checks])
    nodes, values = np.zeros((0, d)), np.zeros((0, wanted.shape[1]))
    for degree in DEGREES[d]:
        chosen = [c for total in range(degree + 1) for c in combinations_with_replacement(range(d), total)]
        if 2 * len(chosen) > points:
            break
        more = np.cos(np.pi * rng.random((int(NODES_PER_TERM * len(chosen)) + 4 - len(nodes), d)))
        values = np.vstack([values, [function(centre + half * t) for t in more]])
        nodes = np.vstack([nodes, more])  # denser towards the ends, like Chebyshev nodes
        if not (np.all(np.isfinite(values)) and np.all(np.isfinite(wanted))):
            return None
        place = {c: i for i, c in enumerate(chosen)}
        parents = np.array([0, *(place[c[:-1]] for c in chosen[1:])], np.int64)
        steps = np.array([0, *(c[-1] for c in chosen[1:])], np.int64)
        coefficients = np.asarray(
            np.linalg.lstsq(_terms(nodes, parents, steps).T, values, rcond=None)[0], float
        )
        error = np.abs(_terms(checks, parents, steps).T @ coefficients - wanted)
        if np.all(error <= ACCURATE * np.abs(values).max()):
            slopes = [_derivative(coefficients, chosen, place, a) / half[a] for a in range(d)]
            return Polynomial(centre, half, np.stack([coefficients, *slopes]), parents, steps)
    return None


def _terms(t: Array, parents: IntArray, steps: IntArray) -> Array:
    """Return all monomials at points, shape (terms, points)."""
    out = np.ones((parents.size, t.shape[0]))
    for i in range(1, parents.size):
        np.multiply(out[parents[i]], t[:, steps[i]], out=out[i])
    return out


def _derivative(
    coefficients: Array, chosen: list[tuple[int, ...]], place: dict[tuple[int, ...], int], a: int
) -> Array:
    """Return the coefficients of the derivative along variable a, in the same terms."""
    out = np.zeros_like(coefficients)
    for i, c in enumerate(chosen):
        if a in c:
            lower = list(c)
            lower.remove(a)
            out[place[tuple(lower)]] += c.count(a) * coefficients[i]
    return out
