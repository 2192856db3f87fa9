"""A smooth function of a few variables in a small box, as a polynomial fitted to its values there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb

import numpy as np

from .._types import Array, IntArray

__all__ = ["Polynomial", "polynomial_around", "worth_it"]

DEGREES = {1: (4, 8), 2: (4, 6, 8), 3: (4, 6, 8), 4: (4, 6), 5: (4, 5), 6: (4, 5)}
"""Degrees that are tried, by the number of variables."""

NODES_A_TERM = 1.5
"""Points at which the function is computed, for each coefficient."""

CHECKS = 6
"""Further points at which the polynomial is compared with the function."""

ACCURATE = 3e-13
"""Largest error there, as a share of the function's largest value in the same column, that is accepted."""


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """Values and slopes of several functions of t = (x − centre)/half.

    Attributes
    ----------
    centre, half : ndarray, shape (d,)
    coefficients : ndarray, shape (d + 1, terms, functions)
        Of the functions, then of their derivatives along each variable.
    parents, steps : ndarray of int64, shape (terms,)
        Each term but the first is an earlier one times a variable.
    """

    centre: Array
    half: Array
    coefficients: Array
    parents: IntArray
    steps: IntArray

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Return values (points, functions) and slopes (points, d, functions) at points, shape (points, d)."""
        terms = _terms((x - self.centre) / self.half, self.parents, self.steps)
        slopes = np.stack([terms.T @ own for own in self.coefficients[1:]], axis=1)
        return terms.T @ self.coefficients[0], slopes


def worth_it(d: int, points: int) -> bool:
    """Return whether so many evaluations of a function of d variables could be saved by a polynomial."""
    return d in DEGREES and points >= 2 * comb(d + DEGREES[d][0], d)


def polynomial_around(
    function: Callable[[Array], Array], centre: Array, half: Array, points: int
) -> Polynomial | None:
    """Return a polynomial that represents functions in the box centre ± half, or None if none is accurate enough.

    Parameters
    ----------
    function : callable
        x (d,) → values (functions,).
    centre, half : ndarray, shape (d,)
    points : int
        Number of evaluations that it is to save: degrees that need more nodes are not tried.
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
        more = np.cos(np.pi * rng.random((int(NODES_A_TERM * len(chosen)) + 4 - len(nodes), d)))
        values = np.vstack([values, [function(centre + half * t) for t in more]])
        nodes = np.vstack([nodes, more])  # dense at the ends, as Chebyshev's
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
