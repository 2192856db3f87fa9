"""Refits without each of many cases, at the price of a few dozen evaluations of the criterion.

Leaving out one case of many moves θ a little, and the sums over all levels (log-determinant, [X y]ᵀV⁻¹[X y]) are
smooth functions of θ that all cases share. They are computed at some hundred points of a small box around θ̂ and
represented by a polynomial, whose error is measured at further points; each case then adds the exact contribution of
its own level, and is minimised by Newton's method with the curvature of the fit. Cases that move too far, and models
whose polynomial is not accurate enough, are left to a search of their own.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .._threads import blas_threads
from .._types import Array, BoolArray, IntArray
from ..estimate import SMALL
from ..inference.batch import BatchSearch
from ..small import SmallTail
from .deleted import Deleted
from .levels import LevelCases, Point, directions_at
from .polynomial import Polynomial, polynomial_around, worth_it
from .removal import full_rank

__all__ = ["refit_nearby"]

FARTHEST = 0.15
"""Largest change of an element of θ, in units in which effects have unit root mean square, that is tried here."""

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
    none = np.zeros(cases.levels.size, dtype=bool)
    centre = search.start
    if not worth_it(centre.size, none.size) or np.any(centre[search.criterion.diagonal] <= 0.1):
        return none
    with blas_threads(1):
        first = _first_steps(search, cases, centre)
        near = np.all(np.abs(first) <= FARTHEST, axis=1)
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
    search: BatchSearch, cases: LevelCases, model: Polynomial, these: IntArray, out: Deleted
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


def _at(search: BatchSearch, cases: LevelCases, model: Polynomial, x: Array) -> Point:
    """Return what each case's products of [X y] leave at its own θ."""
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
    out: Deleted,
    settled: BoolArray,
) -> None:
    """Write down cases that have arrived, unless they lie at the boundary."""
    inside = np.all(x[:, search.criterion.diagonal] > SMALL, axis=1)
    good = arrived & inside & (found.prss > 0.0) & full_rank(found.information)
    here = these[good]
    out.solution[here], out.information[here] = found.solution[good], found.information[good]
    out.variance[here], out.criterion[here] = found.variance[good], found.value[good]
    out.theta[here] = search.thetas(x[good])
    settled[here] = True


def _sums(search: BatchSearch, x: Array) -> Array:
    """Return log-determinant and lower triangle of [X y]ᵀV⁻¹[X y] of all data at θ."""
    tail = search.criterion(x).tail
    width = search.fit.cross.p + 1
    if not (tail.ok and isinstance(tail, SmallTail)):
        return np.full(1 + width * (width + 1) // 2, np.nan)
    root = np.tril(tail.chol)
    return np.concatenate([[tail.logdet_random], (root @ root.T)[np.tril_indices(width)]])
