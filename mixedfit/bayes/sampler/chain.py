"""One chain of the sampler: its generator, state and draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.kernels.gibbs import variances as kinds
from mixedfit.kernels.gibbs.sweep import run_sweeps

from .arrays import Problem

__all__ = ["Chain", "Plan", "start", "walk"]

_run = cast(Callable[..., int], run_sweeps)

SLICE = 0.1
"""Seconds of sweeps between two looks at progress and interrupts."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Settings that all chains share.

    Attributes
    ----------
    places : ndarray of int64, shape (sweeps,)
        Where the state after each sweep is written down, −1 for nowhere.
    draws, tune : int
    keep_effects : bool
    """

    places: IntArray
    draws: int
    tune: int
    keep_effects: bool


class Chain:
    """One chain: its generator, state and draws."""

    pace: int = 1
    """Sweeps of the next slice."""

    def __init__(self, problem: Problem, plan: Plan, rng: np.random.Generator) -> None:
        self.problem, self.rng, self.places, self.tune = problem, rng, plan.places, plan.tune
        p, count = problem.fixed[1].size, problem.gram.shape[0] - 1
        self.state = start(problem, rng, count)
        effects = problem.blocks.shape[:2] if plan.keep_effects else (0, problem.blocks.shape[1])
        self.out: tuple[Array, ...] = (
            np.empty((plan.draws, *self.state[0].shape)),
            np.empty(plan.draws),
            np.empty((plan.draws, *effects)),
            np.empty((plan.draws, p)),
        )
        self.walk = walk(problem.units)
        self.done = 0

    @property
    def acceptance(self) -> float:
        """Share of collapsed steps accepted after tuning; NaN if there were none."""
        sweeps, accepted = self.walk[0][0] - self.tune, self.walk[0][3]
        return float(accepted / sweeps) if sweeps > 0 else float("nan")

    @property
    def kept(self) -> int:
        """Draws that have been written down."""
        return int(np.sum(self.places[: self.done] >= 0))

    def sweep(self, places: IntArray) -> int:
        """Run one sweep for each of `places`; return how many were run."""
        return _run(self.rng, *self.problem.arguments, self.state, self.out, places, self.walk, self.tune)

    def advance(self) -> bool:
        """Run sweeps for about `SLICE` seconds; return whether some are left."""
        these = self.places[self.done : self.done + self.pace]
        begun = perf_counter()
        ran = self.sweep(these)
        self.done += ran
        if ran < these.size:
            raise ModelError(
                f"a chain broke off after {self.done} sweeps: a covariance matrix was no longer positive "
                "definite to the machine's accuracy. Use a prior that keeps standard deviations away from 0."
            )
        seconds = perf_counter() - begun
        self.pace = int(np.clip(self.pace * SLICE / max(seconds, 1e-4), 1, 4 * self.pace))
        return self.done < self.places.size


def walk(units: IntArray) -> tuple[Array, Array, Array, Array]:
    """Return the state of a collapsed step that has learnt nothing yet."""
    sizes = units[units[:, 3] != kinds.KNOWN, 2]
    d = int(np.sum(sizes * (sizes + 1) // 2))
    scale = np.log(2.38 / np.sqrt(max(d, 1)))  # Gelman, Roberts & Gilks (1996)
    return np.array([0.0, 0.0, scale, 0.0]), np.zeros(d), np.zeros((d, d)), 0.1 * np.eye(d)


def start(problem: Problem, rng: np.random.Generator, count: int) -> tuple[Array, Array, Array, Array]:
    """Return a chain's first state: variances about those of the response, scattered."""
    omega = np.zeros_like(problem.bases)
    for (f, at, size, kind), hyper in zip(problem.units.tolist(), problem.hyper, strict=True):
        here = slice(at, at + size)
        own = problem.inverses[f, here, here]
        omega[f, here, here] = 0.3 * own @ own.T * np.exp(rng.standard_normal())
        omega[f, here, here] = _inside(kind, hyper, omega[f, here, here])
    kind = problem.residual[0]
    first = np.full((1, 1), 0.5 * np.exp(0.5 * rng.standard_normal()))
    variance = _inside(kind, np.array(problem.residual[1:]), first)[0]
    return omega, variance, np.zeros(problem.blocks.shape[:2]), np.zeros(count)


def _inside(kind: int, hyper: Array, variance: Array) -> Array:
    """Return a variance within the range of its prior."""
    if kind == kinds.KNOWN:
        return np.full_like(variance, hyper[0] ** 2)
    return np.minimum(variance, 0.5 * hyper[1] ** 2) if kind == kinds.UNIFORM else variance
