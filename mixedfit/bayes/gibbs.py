"""The sampler: chains of `kernels.gibbs` side by side, and their draws turned back to the formula's units."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from time import perf_counter
from typing import Any, cast

import numpy as np

from .._linalg import inverse
from .._progress import Progress
from .._threads import blas_threads
from .._types import Array, IntArray
from ..crossprod import CrossProducts, cross_products
from ..design import Design, check_identifiable
from ..errors import ModelError, SamplingWarning
from ..kernels import gibbs_variances as kinds
from ..kernels.gibbs import run_sweeps
from .placement import Placement, place_priors, without_correlations
from .posterior import Posterior
from .priors import Known
from .problem import Problem, sampling_problem
from .propriety import check_proper
from .seeds import sequence

__all__ = ["gibbs"]

_run = cast(Callable[..., int], run_sweeps)

SLICE = 0.1
"""Seconds of sweeps between two looks at progress and interrupts."""


def gibbs(
    design: Design,
    priors: Mapping[str, Any] | None = None,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    thin: int = 1,
    seed: object = None,
    n_jobs: int | None = None,
    keep_effects: bool = True,
    progress: bool | None = None,
) -> Posterior:
    """Return draws from the posterior of a design's model; see `LinearMixedModel.gibbs`.

    Raises
    ------
    ModelError
        If a prior or an option is not valid, or the posterior is improper.
    """
    for name, value, least in [
        ("draws", draws, 4),
        ("tune", tune, 0),
        ("chains", chains, 1),
        ("thin", thin, 1),
    ]:
        _check_count(name, value, least)
    with blas_threads(1):
        cross = cross_products(design)
    placement = place_priors(design, cross, priors)
    check_identifiable(design, placement.sigma.sd if isinstance(placement.sigma, Known) else None)
    check_proper(design, cross, placement)
    restricted = without_correlations(design, placement.units)
    if restricted is not design:  # bases of terms without correlations are diagonal
        design = restricted
        with blas_threads(1):
            cross = cross_products(design)
    problem, order = sampling_problem(design, cross, placement)
    begun = perf_counter()
    places = np.full(tune + draws * thin, -1, np.int64)
    places[tune + thin - 1 :: thin] = np.arange(draws)
    runs = [
        _Chain(problem, placement, order, np.random.default_rng(child), places, draws, tune, keep_effects)
        for child in sequence(seed).spawn(chains)
    ]
    with blas_threads(1), Progress(progress) as shown:
        finished = _run_all(runs, min(chains, n_jobs or os.cpu_count() or 1), shown)
    kept = min(run.kept for run in runs)
    if not finished:
        if kept < 4:
            raise KeyboardInterrupt
        warnings.warn(
            f"stopped after {kept} of {draws} draws a chain; these are kept.", SamplingWarning, stacklevel=3
        )
    return _posterior(
        design,
        cross,
        placement,
        order,
        runs,
        kept,
        {"tune": tune, "thin": thin, "seconds": perf_counter() - begun},
    )


def _check_count(name: str, value: Any, least: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    if not whole or value < least:
        raise ModelError(f"{name} is {value!r}; expected a whole number of at least {least}.")


class _Chain:
    """One chain: its generator, its state, and what it has drawn."""

    def __init__(
        self,
        problem: Problem,
        placement: Placement,
        order: list[int],
        rng: np.random.Generator,
        places: IntArray,
        draws: int,
        tune: int,
        keep_effects: bool,
    ) -> None:
        self.problem, self.rng, self.places = problem, rng, places
        p, count = problem.fixed[1].size, problem.gram.shape[0] - 1
        self.state = _start(problem, rng, count)
        effects = problem.blocks.shape[:2] if keep_effects else (0, problem.blocks.shape[1])
        self.out = (
            np.empty((draws, *self.state[0].shape)),
            np.empty(draws),
            np.empty((draws, *effects)),
            np.empty((draws, p)),
        )
        self.walk, self.tune = _walk(problem.units), tune
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

    def run(self, stop: Event) -> None:
        """Run all sweeps, a slice at a time, until asked to stop."""
        size = 1
        while self.done < self.places.size and not stop.is_set():
            these = self.places[self.done : self.done + size]
            begun = perf_counter()
            ran = _run(self.rng, *self.problem.arguments, self.state, self.out, these, self.walk, self.tune)
            self.done += ran
            if ran < these.size:
                raise ModelError(
                    f"a chain broke off after {self.done} sweeps: a covariance matrix was no longer positive "
                    "definite to the machine's accuracy. Use a prior that keeps standard deviations away from 0."
                )
            seconds = perf_counter() - begun
            size = int(np.clip(size * SLICE / max(seconds, 1e-4), 1, 4 * size))


def _walk(units: IntArray) -> tuple[Array, Array, Array, Array]:
    """Return the state of a collapsed step that has learnt nothing yet."""
    sizes = units[units[:, 3] != kinds.KNOWN, 2]
    d = int(np.sum(sizes * (sizes + 1) // 2))
    scale = np.log(2.38 / np.sqrt(max(d, 1)))  # Gelman, Roberts & Gilks (1996)
    return np.array([0.0, 0.0, scale, 0.0]), np.zeros(d), np.zeros((d, d)), 0.1 * np.eye(d)


def _run_all(runs: list[_Chain], workers: int, shown: Progress) -> bool:
    """Run chains on threads; return False if the user stopped them."""
    stop = Event()
    total = sum(run.places.size for run in runs)
    with ThreadPoolExecutor(workers, thread_name_prefix="mixedfit-gibbs") as pool:
        pending: set[Future[None]] = set()
        try:
            pending = {pool.submit(run.run, stop) for run in runs}
            while pending:
                finished, pending = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                shown.count(sum(run.done for run in runs), total, "sweeps")
        except KeyboardInterrupt:
            stop.set()
        except BaseException:
            stop.set()
            raise
    return not stop.is_set()


def _start(problem: Problem, rng: np.random.Generator, count: int) -> tuple[Array, Array, Array, Array]:
    """Return a chain's first state: variances about those of the response, scattered."""
    omega = np.zeros_like(problem.bases)
    for (f, start, size, kind), hyper in zip(problem.units.tolist(), problem.hyper, strict=True):
        here = slice(start, start + size)
        own = problem.inverses[f, here, here]
        omega[f, here, here] = 0.3 * own @ own.T * np.exp(rng.standard_normal())
        omega[f, here, here] = _inside(kind, hyper, omega[f, here, here])
    kind = problem.residual[0]
    start = np.full((1, 1), 0.5 * np.exp(0.5 * rng.standard_normal()))
    variance = _inside(kind, np.array(problem.residual[1:]), start)[0]
    return omega, variance, np.zeros(problem.blocks.shape[:2]), np.zeros(count)


def _inside(kind: int, hyper: Array, variance: Array) -> Array:
    """Return a variance within the range of its prior."""
    if kind == kinds.KNOWN:
        return np.full_like(variance, hyper[0] ** 2)
    return np.minimum(variance, 0.5 * hyper[1] ** 2) if kind == kinds.UNIFORM else variance


def _posterior(
    design: Design,
    cross: CrossProducts,
    placement: Placement,
    order: list[int],
    runs: list[_Chain],
    kept: int,
    settings: Mapping[str, float],
) -> Posterior:
    """Return the draws of all chains in the units of the formula."""
    fixed = cross.fixed
    omega, variance, effects, beta = (np.stack([run.out[i][:kept] for run in runs]) for i in range(4))
    omegas, modes, at = [], [], 0
    for i, f in enumerate(order):
        block = design.blocks[f]
        k, levels = block.k, block.levels
        omegas.append((f, fixed.scale**2 * omega[:, :, i, :k, :k]))
        if effects.shape[2]:
            own = effects[:, :, at : at + levels, :k]
            modes.append((f, fixed.scale * own @ inverse(cross.basis[f]).T))
        at += levels
    return Posterior(
        design=design,
        kept=fixed.kept,
        priors=placement.statements,
        beta=fixed.centre + fixed.scale * beta @ fixed.transform.T,
        sigma=fixed.scale * np.sqrt(variance),
        omega=tuple(value for _, value in sorted(omegas, key=lambda pair: pair[0])),
        effects=tuple(value for _, value in sorted(modes, key=lambda pair: pair[0])),
        tune=int(settings["tune"]),
        thin=int(settings["thin"]),
        seconds=float(settings["seconds"]),
        acceptance=np.array([run.acceptance for run in runs]),
    )
