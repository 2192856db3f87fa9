"""Refits without each of many cases, at the price of a few dozen evaluations of the criterion.

Leaving out one case of many moves θ a little, and the sums over all levels (log-determinant, [X y]ᵀV⁻¹[X y]) are
smooth functions of θ that all cases share. They are computed at some hundred points of a small box around θ̂ and
represented by a polynomial, whose error is measured at further points; each case then adds the exact contribution of
its own level, and is minimised by Newton's method with the curvature of the fit. Cases that move too far, and models
whose polynomial is not accurate enough, are left to a search of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb

import numpy as np

from .._threads import blas_threads
from .._types import Array, BoolArray
from ..estimate import SMALL
from ..inference.batch import BatchSearch
from .deleted import Deleted
from .levels import LevelCases, Point, directions_at

__all__ = ["refit_nearby"]

DEGREES = {1: 8, 2: 7, 3: 6, 4: 5, 5: 5, 6: 5}
"""Degree of the polynomial by the number of θ."""

FARTHEST = 0.15
"""Largest change of an element of θ, in units in which effects have unit root mean square, that is tried here."""

ACCURATE = 2e-12
"""Error of the polynomial, as a share of what it represents, at points that it was not fitted to."""

ROUNDS = 60
"""Newton steps at most."""

ARRIVED = 1e-11
"""Step at which a case has arrived."""


def refit_nearby(search: BatchSearch, cases: LevelCases, out: Deleted) -> BoolArray:
    """Fill in the estimates of cases that a polynomial around θ̂ serves; return which, shape (cases,).

    Parameters
    ----------
    search : BatchSearch
        Of the fit.
    cases : LevelCases
    out : Deleted
        Filled where it can be.
    """
    count, d = cases.levels.size, search.start.size
    none = np.zeros(count, dtype=bool)
    degree = DEGREES.get(d)
    centre = search.start
    if degree is None or count < 2 * comb(d + degree, d) or np.any(centre[search.criterion.diagonal] <= 0.1):
        return none
    with blas_threads(1):
        first = _first_steps(search, cases, centre)
        near = np.all(np.abs(first) <= FARTHEST, axis=1)
        model = _Polynomial.around(search, centre, 1.5 * np.abs(first[near]).max(axis=0, initial=1e-9), degree)
        if model is None:
            return none
        return _search(search, cases, model, np.flatnonzero(near), out)


def _first_steps(search: BatchSearch, cases: LevelCases, centre: Array) -> Array:
    """Return each case's first Newton step from θ̂, shape (cases, n_theta)."""
    lams, directions = directions_at(search, centre[None])
    point = cases.whole(lams[0], directions[0]) + cases.change(lams, directions)
    gradient = _Minimum(cases, point).gradient
    return np.asarray(-np.linalg.solve(_curvature(cases, centre), gradient.T).T)


def _curvature(cases: LevelCases, centre: Array) -> Array:
    evaluation = cases.criterion(centre)
    exact = evaluation.exact_curvature
    return evaluation.curvature if exact is None else exact


class _Minimum:
    """The criterion of each case, profiled over β and σ, from what the products leave."""

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
        """Return what basis, units and weights add to the criterion of each case."""
        criterion, fixed = cases.criterion, cases.fit.cross.fixed
        value = cases.log_weights - cases.fit.cross.log_weights
        if criterion.sigma is None:
            value = value + 2.0 * nu * np.log(fixed.scale)
        if criterion.reml:
            value = value - 2.0 * np.log(np.abs(np.diag(fixed.transform))).sum()
        return np.asarray(value)


def _search(
    search: BatchSearch, cases: LevelCases, model: _Polynomial, these: Array, out: Deleted
) -> BoolArray:
    """Minimise every case among `these` inside the model's box."""
    settled = np.zeros(cases.levels.size, dtype=bool)
    inverse = np.linalg.inv(_curvature(cases, model.centre))
    x = np.repeat(model.centre[None], these.size, axis=0)
    left = np.arange(these.size)
    for _ in range(ROUNDS):
        own = cases.subset(these[left])
        found = _Minimum(own, _at(search, own, model, x[left]))
        step = -found.gradient @ inverse
        arrived = np.abs(step).max(axis=1) <= ARRIVED
        _write(search, found, these[left], x[left], arrived, out, settled)
        x[left] += step
        inside = np.all(np.abs(x[left] - model.centre) <= model.half, axis=1)
        left = left[~arrived & inside]
        if left.size == 0:
            break
    return settled


def _at(search: BatchSearch, cases: LevelCases, model: _Polynomial, x: Array) -> Point:
    return model(x) + cases.change(*directions_at(search, x))


def _write(
    search: BatchSearch,
    found: _Minimum,
    these: Array,
    x: Array,
    arrived: BoolArray,
    out: Deleted,
    settled: BoolArray,
) -> None:
    """Write down cases that have arrived, unless they lie at the boundary."""
    inside = np.all(x[:, search.criterion.diagonal] > SMALL, axis=1)
    good = arrived & inside & (found.prss > 0.0)
    here = these[good]
    out.solution[here], out.information[here] = found.solution[good], found.information[good]
    out.variance[here], out.criterion[here] = found.variance[good], found.value[good]
    out.theta[here] = search.thetas(x[good])
    settled[here] = True


@dataclass(frozen=True, slots=True, eq=False)
class _Polynomial:
    """Sums over all levels as polynomials of t = (θ − centre)/half.

    Attributes
    ----------
    centre, half : ndarray, shape (n_theta,)
    powers : ndarray of int64, shape (terms, n_theta)
    coefficients : ndarray, shape (terms, 1 + (p + 1)(p + 2)/2)
        Of the log-determinant and the lower triangle of the products.
    width : int
        p + 1.
    """

    centre: Array
    half: Array
    powers: Array
    coefficients: Array
    width: int

    @classmethod
    def around(cls, search: BatchSearch, centre: Array, half: Array, degree: int) -> _Polynomial | None:
        """Return the polynomial on a box, or None if none is accurate enough."""
        d = centre.size
        chosen = [c for total in range(degree + 1) for c in combinations_with_replacement(range(d), total)]
        powers = np.array([[c.count(a) for a in range(d)] for c in chosen], np.int64)
        rng = np.random.default_rng(len(powers))
        nodes = np.cos(np.pi * rng.random((2 * len(powers) + 8, d)))  # dense at the ends, as Chebyshev's
        checks = rng.uniform(-1.0, 1.0, (8, d))
        values = np.array([_sums(search, centre + half * t) for t in np.vstack([nodes, checks])])
        if not np.all(np.isfinite(values)):
            return None
        fitted, wanted = values[: len(nodes)], values[len(nodes) :]
        coefficients = np.linalg.lstsq(_monomials(nodes, powers), fitted, rcond=None)[0]
        error = np.abs(_monomials(checks, powers) @ coefficients - wanted).max()
        if error > ACCURATE * np.abs(wanted).max():
            return None
        return cls(centre, half, powers, coefficients, int(search.fit.cross.p) + 1)

    def __call__(self, x: Array) -> Point:
        """Return the sums at θ of each case, shape (cases, n_theta)."""
        t = (x - self.centre) / self.half
        values = _monomials(t, self.powers) @ self.coefficients
        slopes = np.empty((x.shape[0], x.shape[1], values.shape[1]))
        for a in range(x.shape[1]):
            lower = self.powers.copy()
            factor = lower[:, a].astype(float)
            lower[:, a] = np.maximum(lower[:, a] - 1, 0)
            slopes[:, a] = (_monomials(t, lower) * factor) @ self.coefficients / self.half[a]
        return Point(values[:, 0], slopes[:, :, 0], self._square(values[:, 1:]), self._square(slopes[:, :, 1:]))

    def _square(self, lower: Array) -> Array:
        rows, columns = np.tril_indices(self.width)
        out = np.empty((*lower.shape[:-1], self.width, self.width))
        out[..., rows, columns] = lower
        out[..., columns, rows] = lower
        return out


def _monomials(t: Array, powers: Array) -> Array:
    """Return Π_a t_a^power for every point and term."""
    top = int(powers.max(initial=0))
    table = t[:, :, None] ** np.arange(top + 1)
    out = np.ones((t.shape[0], powers.shape[0]))
    for a in range(t.shape[1]):
        out *= table[:, a, powers[:, a]]
    return out


def _sums(search: BatchSearch, x: Array) -> Array:
    """Return log-determinant and lower triangle of [X y]ᵀV⁻¹[X y] of all data at θ."""
    tail = search.criterion(x).tail
    width = search.fit.cross.p + 1
    if not tail.ok:
        return np.full(1 + width * (width + 1) // 2, np.nan)
    root = np.tril(tail.chol)
    return np.concatenate([[tail.logdet_random], (root @ root.T)[np.tril_indices(width)]])
