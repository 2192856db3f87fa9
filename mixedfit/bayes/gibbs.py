"""The sampler: chains of `kernels.gibbs` side by side, and their draws turned back to the formula's units."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from time import perf_counter
from typing import Any

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
from .placement import Placement, Unit, place_priors, without_correlations
from .posterior import Posterior
from .priors import (
    Exponential,
    HalfCauchy,
    HalfNormal,
    HalfT,
    HuangWand,
    InverseGamma,
    InverseWishart,
    Jeffreys,
    Known,
    Prior,
    UniformSD,
)
from .propriety import check_proper
from .seeds import sequence

__all__ = ["gibbs"]

LARGEST_TAIL = 1500
"""Columns of all grouping factors but the largest that are drawn jointly."""

SLICE = 0.1
"""Seconds of sweeps between two looks at progress and interrupts."""


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """The arrays that `kernels.gibbs.run_sweeps` takes, in its order, the same for every chain."""

    first: tuple[Array, IntArray, IntArray, Array, Array]
    gram: Array
    blocks: Array
    fixed: tuple[Array, Array, float]
    factors: IntArray
    bases: Array
    inverses: Array
    units: IntArray
    hyper: Array
    matrices: Array
    rows: int
    residual: tuple[int, float, float]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """All of them."""
        return (
            self.first,
            self.gram,
            self.blocks,
            self.fixed,
            self.factors,
            self.bases,
            self.inverses,
            self.units,
            self.hyper,
            self.matrices,
            self.rows,
            self.residual,
        )


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
    problem, order = _problem(design, cross, placement)
    begun = perf_counter()
    places = np.full(tune + draws * thin, -1, np.int64)
    places[tune + thin - 1 :: thin] = np.arange(draws)
    runs = [
        _Chain(problem, placement, order, np.random.default_rng(child), places, draws, keep_effects)
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
        problem: _Problem,
        placement: Placement,
        order: list[int],
        rng: np.random.Generator,
        places: IntArray,
        draws: int,
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
        self.done = 0

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
            ran = run_sweeps(self.rng, *self.problem.arguments, self.state, self.out, these)
            self.done += ran
            if ran < these.size:
                raise ModelError(
                    f"a chain broke off after {self.done} sweeps: a covariance matrix was no longer positive definite to "
                    "the machine's accuracy. Use a prior that keeps standard deviations away from 0 and infinity."
                )
            seconds = perf_counter() - begun
            size = int(np.clip(size * SLICE / max(seconds, 1e-4), 1, 4 * size))


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


def _start(problem: _Problem, rng: np.random.Generator, count: int) -> tuple[Array, Array, Array, Array]:
    """Return a chain's first state: variances about those of the response, scattered."""
    omega = np.zeros_like(problem.bases)
    for (f, start, size, kind), hyper in zip(problem.units.tolist(), problem.hyper, strict=True):
        here = slice(start, start + size)
        own = problem.inverses[f, here, here]
        omega[f, here, here] = 0.3 * own @ own.T * np.exp(rng.standard_normal())
        omega[f, here, here] = _inside(kind, hyper, omega[f, here, here])
    kind, _, upper = problem.residual
    start = np.full((1, 1), 0.5 * np.exp(0.5 * rng.standard_normal()))
    variance = _inside(kind, np.array(problem.residual[1:]), start)[0]
    return omega, variance, np.zeros(problem.blocks.shape[:2]), np.zeros(count)


def _inside(kind: int, hyper: Array, variance: Array) -> Array:
    """Return a variance within the range of its prior."""
    if kind == kinds.KNOWN:
        return np.full_like(variance, hyper[0] ** 2)
    return np.minimum(variance, 0.5 * hyper[1] ** 2) if kind == kinds.UNIFORM else variance


def _problem(design: Design, cross: CrossProducts, placement: Placement) -> tuple[_Problem, list[int]]:
    """Return the sampler's arrays, and the design's blocks in the order of its factors."""
    if any(place.block < 0 for place in cross.tail):
        raise ModelError(
            f"the fixed factor {design.many[0].grouping.name!r} has too many levels for sampling; make it a grouping "
            "factor, (1 | factor), or leave it out."
        )
    if cross.q_tail > LARGEST_TAIL:
        raise ModelError(
            f"the grouping factors behind the largest have {cross.q_tail} effects; up to {LARGEST_TAIL} can be "
            "sampled. Leave a factor out, or use .fit() and its bootstrap."
        )
    order = [] if cross.first_block < 0 else [cross.first_block, *(place.block for place in cross.tail)]
    scale, widest = cross.fixed.scale, max((block.k for block in design.blocks), default=1)
    gram = _dense(cross)
    sizes = [design.blocks[f].levels for f in order]
    factors, blocks, at = [], np.zeros((sum(sizes), widest, widest)), 0
    for f in order:
        block = design.blocks[f]
        place = next((b for b in cross.tail if b.block == f), None)
        factors.append((at, -1 if place is None else place.offset, block.levels, block.k))
        own = blocks[at : at + block.levels, : block.k, : block.k]
        own[:] = (
            cross.first.gram if place is None else _level_blocks(gram, place.offset, block.levels, block.k)
        )
        at += block.levels
    bases = np.zeros((len(order), widest, widest))
    inverses = np.zeros_like(bases)
    for i, f in enumerate(order):
        k = design.blocks[f].k
        bases[i, :k, :k], inverses[i, :k, :k] = cross.basis[f], inverse(cross.basis[f])
    units, hyper, matrices = _unit_arrays(placement.units, order, widest, scale)
    kind, first, second = _numbers(placement.sigma, scale)
    first_arrays = cross.first
    problem = _Problem(
        first=(
            first_arrays.gram,
            first_arrays.indptr,
            first_arrays.indices,
            first_arrays.values,
            first_arrays.border,
        ),
        gram=gram,
        blocks=blocks,
        fixed=_fixed_prior(cross, placement),
        factors=np.array(factors, np.int64).reshape(len(order), 4),
        bases=bases,
        inverses=inverses,
        units=units,
        hyper=hyper,
        matrices=matrices,
        rows=cross.n,
        residual=(kind, first, second),
    )
    return problem, order


def _dense(cross: CrossProducts) -> Array:
    """Return the symmetric products of [tail, X, y]."""
    if cross.sparse is None:
        return np.tril(cross.gram) + np.tril(cross.gram, -1).T
    q, width = cross.q_tail, cross.p + 1
    gram = np.zeros((q + width, q + width))
    indptr, indices, source = cross.sparse.layout
    rows = np.repeat(np.arange(q), np.diff(indptr))
    gram[rows, indices] = cross.sparse.blocks[source]
    gram[:q, q:], gram[q:, :q] = cross.sparse.sides, cross.sparse.sides.T
    gram[q:, q:] = np.tril(cross.gram) + np.tril(cross.gram, -1).T
    return gram


def _level_blocks(gram: Array, offset: int, levels: int, k: int) -> Array:
    at = offset + np.arange(levels)[:, None] * k + np.arange(k)
    return gram[at[:, :, None], at[:, None, :]]


def _fixed_prior(cross: CrossProducts, placement: Placement) -> tuple[Array, Array, float]:
    """Return the prior of β̃, where β = centre + scale T β̃: precision, precision × mean, meanᵀ precision mean."""
    fixed = cross.fixed
    half = fixed.scale * fixed.transform
    precision = half.T @ placement.precision @ half
    mean = np.linalg.solve(half, placement.mean - fixed.centre) if half.size else np.zeros(0)
    linear = precision @ mean
    return np.ascontiguousarray(precision), linear, float(mean @ linear)


def _unit_arrays(
    units: tuple[Unit, ...], order: list[int], widest: int, scale: float
) -> tuple[IntArray, Array, Array]:
    """Return places and kinds, numbers and matrices of the variances' priors, in units of the response's scale."""
    rows, hyper, matrices = [], [], np.zeros((len(units), widest, widest))
    for v, unit in enumerate(sorted(units, key=lambda u: (order.index(u.block), u.start))):
        kind, first, second = _numbers(unit.prior, scale)
        rows.append((order.index(unit.block), unit.start, unit.size, kind))
        hyper.append((first, second))
        if isinstance(unit.prior, InverseWishart):
            matrices[v, : unit.size, : unit.size] = np.asarray(unit.prior.matrix, dtype=float) / scale**2
        elif isinstance(unit.prior, HuangWand):
            scales = np.broadcast_to(np.asarray(unit.prior.scale, dtype=float), unit.size) / scale
            matrices[v, range(unit.size), range(unit.size)] = scales
    # a unit of one effect has a prior of numbers, so that matrices of several effects alone are read
    return (
        np.array(rows, np.int64).reshape(len(units), 4),
        np.array(hyper, dtype=float).reshape(len(units), 2),
        matrices,
    )


def _numbers(prior: Prior, scale: float) -> tuple[int, float, float]:
    """Return a prior's kind and two numbers, in units of the response's scale."""
    match prior:
        case Known(sd):
            return kinds.KNOWN, sd / scale, 0.0
        case InverseGamma(shape, rate):
            return kinds.INVERSE_GAMMA, shape, rate / scale**2
        case HalfT(df, size):
            return kinds.HALF_T, df, size / scale
        case HalfCauchy(size):
            return kinds.HALF_T, 1.0, size / scale
        case UniformSD(upper):
            return kinds.UNIFORM, 0.0, upper / scale
        case HalfNormal(size):
            return kinds.HALF_NORMAL, 0.0, size / scale
        case Exponential(mean):
            return kinds.EXPONENTIAL, 0.0, mean / scale
        case Jeffreys():
            return kinds.JEFFREYS, 0.0, 0.0
        case InverseWishart():
            return kinds.INVERSE_WISHART, float(prior.df), 0.0
        case HuangWand():
            return kinds.HUANG_WAND, float(prior.df), 0.0
    raise AssertionError(f"{prior} is about fixed effects")


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
    )
