"""A chain of models with normal errors and effects: generator, state and stored draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import cast

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.kernels.gibbs import variances as kinds
from mixedfit.kernels.gibbs.sweep import run_sweeps

from .arrays import Problem
from .fixed_mixtures import MixtureUpdate

__all__ = ["Chain", "Plan", "initial_state", "initial_walk"]

_run = cast(Callable[..., int], run_sweeps)

SLICE = 0.1
"""Seconds of sweeps between two checks of progress and interrupts."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Length of the chains, and which states are stored.

    Attributes
    ----------
    places : ndarray of int64, shape (sweeps,)
        Index of the draw at which the state after each sweep is stored, −1 for states that are not.
    draws, tune : int
    keep_effects : bool
    thin : int
        Sweeps for each draw.
    """

    places: IntArray
    draws: int
    tune: int
    keep_effects: bool
    thin: int = 1

    @classmethod
    def of(cls, draws: int, tune: int, thin: int, keep_effects: bool) -> Plan:
        """Return the plan that stores every `thin`-th state after `tune` sweeps."""
        places = np.full(tune + draws * thin, -1, np.int64)
        places[tune + thin - 1 :: thin] = np.arange(draws)
        return cls(places, draws, tune, keep_effects, thin)


class Chain:
    """A chain of models with normal errors and effects: generator, state and stored draws."""

    pace: int = 1
    """Sweeps in the next call of `advance`."""

    mixtures: MixtureUpdate | None = None
    """Update of the scale mixtures that are priors of fixed effects."""

    def __init__(self, problem: Problem, plan: Plan, rng: np.random.Generator) -> None:
        self.problem, self.rng, self.places = problem, rng, plan.places
        self.tune, self.thin = plan.tune, plan.thin
        p, count = problem.fixed[1].size, problem.gram.shape[0] - 1
        self.state = initial_state(problem, rng, count)
        effects = problem.blocks.shape[:2] if plan.keep_effects else (0, problem.blocks.shape[1])
        self.out: tuple[Array, ...] = (
            np.empty((plan.draws, *self.state[0].shape)),
            np.empty(plan.draws),
            np.empty((plan.draws, *effects)),
            np.empty((plan.draws, p)),
        )
        self.walk = initial_walk(problem.units)
        self.done = 0

    @property
    def acceptance(self) -> float:
        """Share of collapsed steps accepted after tuning; NaN if there were none."""
        steps, accepted = self.walk[0][3:]
        return float(accepted / steps) if steps > 0 else float("nan")

    @property
    def kept(self) -> int:
        """Number of stored draws."""
        return int(np.sum(self.places[: self.done] >= 0))

    def extend(self, draws: int) -> None:
        """Make room for further draws after those planned so far."""
        before = len(self.out[1])
        further = np.full(draws * self.thin, -1, np.int64)
        further[self.thin - 1 :: self.thin] = before + np.arange(draws)
        self.places = np.concatenate([self.places, further])
        self.out = tuple(np.concatenate([out, np.zeros((draws, *out.shape[1:]))]) for out in self.out)

    def sweep(self, places: IntArray) -> int:
        """Run one sweep for each of `places`; return the number of sweeps that succeeded."""
        return _run(self.rng, *self.problem.arguments, self.state, self.out, places, self.walk, self.tune)

    def run(self, places: IntArray) -> int:
        """Run one sweep for each of `places`, each with the fixed effects' mixtures updated after it."""
        if self.mixtures is None:
            return self.sweep(places)
        for i in range(places.size):
            if not self.sweep(places[i : i + 1]):
                return i
            fixed = self.mixtures.drawn(self.state[3], self.rng)
            self.problem = replace(self.problem, fixed=fixed)
        return places.size

    def advance(self) -> bool:
        """Run sweeps for about `SLICE` seconds; return whether any are left."""
        places = self.places[self.done : self.done + self.pace]
        begun = perf_counter()
        succeeded = self.run(places)
        self.done += succeeded
        if succeeded < places.size:
            raise ModelError(
                f"a chain broke off after {self.done} sweeps: a covariance matrix was no longer positive "
                "definite to the machine's accuracy. Use a prior that keeps standard deviations away from 0."
            )
        seconds = perf_counter() - begun
        self.pace = int(np.clip(self.pace * SLICE / max(seconds, 1e-4), 1, 4 * self.pace))
        return self.done < self.places.size


def initial_walk(units: IntArray) -> tuple[Array, Array, Array, Array]:
    """Return the initial state of the adaptive Metropolis step of all covariances."""
    sizes = units[units[:, 3] != kinds.KNOWN, 2]
    d = int(np.sum(sizes * (sizes + 1) // 2))
    scale = np.log(2.38 / np.sqrt(max(d, 1)))  # Gelman, Roberts & Gilks (1996)
    return np.array([0.0, 0.0, scale, 0.0, 0.0]), np.zeros(d), np.zeros((d, d)), 0.1 * np.eye(d)


def initial_state(
    problem: Problem, rng: np.random.Generator, count: int
) -> tuple[Array, Array, Array, Array]:
    """Return the first state of a chain: random variances of the size of the response's, effects 0."""
    omega = np.zeros_like(problem.bases)
    for v, (f, at, size, kind) in enumerate(problem.units.tolist()):
        here, hyper = slice(at, at + size), problem.hyper[v]
        own = problem.inverses[f, here, here]
        omega[f, here, here] = 0.3 * own @ own.T * np.exp(rng.standard_normal())
        if kind == kinds.LKJ:
            omega[f, here, here] *= _shrinkage(problem.matrices[v, :size], np.diag(omega[f, here, here]))
        else:
            omega[f, here, here] = _inside(kind, hyper, omega[f, here, here])
    kind = problem.residual[0]
    first = np.full((1, 1), 0.5 * np.exp(0.5 * rng.standard_normal()))
    variance = _inside(kind, np.array(problem.residual[1:]), first)[0]
    return omega, variance, np.zeros(problem.blocks.shape[:2]), np.zeros(count)


def _shrinkage(numbers: Array, variances: Array) -> float:
    """Return a factor of Ω that brings its variances within the ranges of their priors, rows of kind and numbers."""
    bounded = numbers[:, 0] == kinds.UNIFORM
    return float(np.min(0.5 * numbers[bounded, 2] ** 2 / variances[bounded], initial=1.0))


def _inside(kind: int, hyper: Array, variance: Array) -> Array:
    """Return a variance within the range of its prior."""
    if kind == kinds.KNOWN:
        return np.full_like(variance, hyper[0] ** 2)
    return np.minimum(variance, 0.5 * hyper[1] ** 2) if kind == kinds.UNIFORM else variance
