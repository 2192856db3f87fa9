"""Conjugate gradients for several right sides at once, with the Lanczos coefficients that they compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from mixedfit.core.arrays import Array

__all__ = ["Solved", "logarithms", "solve"]

MOST_STEPS = 1000
"""Steps after which a system counts as not solvable."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Solutions of S x = r.

    Attributes
    ----------
    x : ndarray, shape (q, t)
    steps, ratios : ndarray, shape (steps, t)
        α and β of each step; NaN after a column has converged.
    converged : bool
    """

    x: Array
    steps: Array
    ratios: Array
    converged: bool

    def columns(self, start: int, stop: int) -> Solved:
        """Return the solutions of some right sides."""
        here = slice(start, stop)
        return Solved(self.x[:, here], self.steps[:, here], self.ratios[:, here], self.converged)


def solve(
    times: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    right: Array,
    tolerance: float | Array,
) -> Solved:
    """Solve S x = r by preconditioned conjugate gradients, for all columns of `right`, shape (q, t).

    Golub & Van Loan (2013), Matrix Computations, algorithm 11.5.1. A column stops when its residual, in the norm of
    the inverse preconditioner, has fallen by `tolerance`; then it takes no further part.

    Parameters
    ----------
    times, precondition : callable
        S and the inverse of the preconditioner times columns.
    right : ndarray, shape (q, t)
    tolerance : float or ndarray, shape (t,)
    """
    x = np.zeros_like(right)
    active = np.arange(right.shape[1])
    residual = np.array(right)
    scaled = precondition(residual)
    direction = scaled.copy()
    energy = _dots(residual, scaled)
    goal = tolerance**2 * energy
    steps: list[Array] = []
    ratios: list[Array] = []
    while active.size and len(steps) < MOST_STEPS:
        image = times(direction)
        curvature = _dots(direction, image)
        moving = (energy > goal) & (curvature > 0)
        if not moving.all():
            active, goal, energy, curvature = active[moving], goal[moving], energy[moving], curvature[moving]
            residual, direction, image = residual[:, moving], direction[:, moving], image[:, moving]
            if not active.size:
                break
        alpha = energy / curvature
        x[:, active] += alpha * direction
        residual -= alpha * image
        scaled = precondition(residual)
        following = _dots(residual, scaled)
        beta = following / energy
        energy = following
        direction *= beta
        direction += scaled
        for store, values in ((steps, alpha), (ratios, beta)):
            row = np.full(right.shape[1], np.nan)
            row[active] = values
            store.append(row)
    return Solved(x, _stacked(steps, right.shape[1]), _stacked(ratios, right.shape[1]), not active.size)


def _stacked(rows: list[Array], columns: int) -> Array:
    return np.array(rows) if rows else np.zeros((0, columns))


def _dots(one: Array, other: Array) -> Array:
    return np.asarray(np.einsum("qt,qt->t", one, other))


def logarithms(solved: Solved, squares: Array) -> Array:
    """Return uᵀ log(A) u of each right side, A the preconditioned matrix and u the preconditioned right side.

    Gauss quadrature by the Lanczos coefficients (Golub & Meurant 2010, Matrices, Moments and Quadrature, chapter 7).

    Parameters
    ----------
    solved : Solved
    squares : ndarray, shape (t,)
        uᵀu.
    """
    out = np.zeros(squares.size)
    for s in range(squares.size):
        alpha, beta = solved.steps[:, s], solved.ratios[:, s]
        count = int(np.sum(~np.isnan(alpha)))
        if not count:
            continue
        alpha, beta = alpha[:count], beta[:count]
        diagonal = 1.0 / alpha
        diagonal[1:] += beta[:-1] / alpha[:-1]
        values, vectors = eigh_tridiagonal(diagonal, np.sqrt(beta[:-1]) / alpha[:-1])
        out[s] = squares[s] * float(vectors[0] ** 2 @ np.log(np.maximum(values, 1e-300)))
    return out
