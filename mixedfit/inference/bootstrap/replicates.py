"""Refits of replicates in blocks, on one or several threads, with stop on interrupt.

Each block has its own seed, spawned from the user's, and a number of replicates that depends on the data only.
Results therefore do not depend on the number of threads or their order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from time import sleep
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import BootstrapWarning, MixedfitError, ModelError, warn
from mixedfit.core.linalg import blas_threads
from mixedfit.core.progress import Progress
from mixedfit.covariance import BlockDiagonal, ScaledCorrelation
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.estimation.batch import BatchSearch
from mixedfit.estimation.estimate import Control, estimate
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.fitting import fit_design
from mixedfit.estimation.parameters import Parameter
from mixedfit.estimation.structures import has_structures
from mixedfit.tasks import pool_of

from .blocks import Block, Task, run_on_pool
from .sources import Sample
from .statistic import Statistic

__all__ = [
    "REFIT_ERRORS",
    "Replicates",
    "Stopped",
    "blocks_of",
    "count_reasons",
    "natural_values",
    "reason_of",
    "refit_block",
    "refit_one",
    "refitted",
    "refitted_structure",
    "residual_values",
    "run",
    "run_with_progress",
    "stoppable",
    "warn_stopped",
]

UNDONE, REGULAR, SINGULAR, FAILED = range(4)
"""Status of a replicate."""

REFIT_ERRORS = (MixedfitError, FloatingPointError, np.linalg.LinAlgError)
"""Errors of a refit that make a replicate fail."""

LARGEST_BLOCK = 64
"""Largest number of replicates in a block."""

BLOCK_NUMBERS = 2**18
"""Numbers drawn for a block: they fit into the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """Results of the replicates; NaN where one failed.

    Attributes
    ----------
    status : ndarray of int64, shape (n,)
    criterion, sigma : ndarray, shape (n,)
    theta : ndarray, shape (n, n_theta)
    beta, errors : ndarray, shape (n, p)
        Fixed effects and their standard errors.
    statistic : ndarray, shape (n, count)
    reasons : dict of int to str
        Reasons of failed replicates, by position.
    residual : ndarray, shape (n, count)
        Parameters of the residual structure.
    """

    status: IntArray
    criterion: Array
    sigma: Array
    theta: Array
    beta: Array
    errors: Array
    statistic: Array
    reasons: dict[int, str] = field(default_factory=dict)
    undefined: dict[int, str] = field(default_factory=dict)
    residual: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @classmethod
    def empty(cls, n: int, fit: Fit, count: int) -> Replicates:
        """Return n replicates, none of them done, with `count` statistics each."""
        p = len(fit.coefficient_names)
        return cls(
            np.full(n, UNDONE, np.int64),
            np.full(n, np.nan),
            np.full(n, np.nan),
            np.full((n, fit.theta.size), np.nan),
            np.full((n, p), np.nan),
            np.full((n, p), np.nan),
            np.full((n, count), np.nan),
            residual=np.full((n, len(residual_values(fit))), np.nan),
        )

    def fail(self, i: int, reason: str) -> None:
        """Mark a replicate as failed."""
        self.status[i] = FAILED
        self.reasons[i] = reason

    def done(self) -> IntArray:
        """Return the positions of completed replicates."""
        return np.flatnonzero(self.status != UNDONE)


class Stopped(Exception):  # noqa: N818 (no error: the user ended the run)
    """A refit that was left because the run was stopped."""


def refitted(fit: Fit, cross: CrossProducts, design: Design, stop: Callable[[], bool] = lambda: False) -> Fit:
    """Return the refit of a model to other cross-products.

    `stop` is asked after each evaluation, of which one takes seconds in large models.

    Raises
    ------
    ModelError
        If there is no optimum, or the search does not converge.
    Stopped
        If `stop` returns True.
    """
    outcome = estimate(
        cross,
        [block.structure for block in design.blocks],
        reml=fit.reml,
        sigma=fit.held_sigma,
        start=warm_start(fit),
        control=Control(starts=1),
        names=[block.name for block in design.blocks],
        report=partial(_leave, stop),
    )
    if not outcome.convergence.converged:
        raise ModelError("no optimum was reached")
    return Fit(
        design, cross, outcome.theta, fit.reml, fit.held_sigma, outcome.convergence, outcome.evaluation
    )


def _leave(stop: Callable[[], bool], *_: object) -> None:
    """Raise `Stopped` between two evaluations if the run was stopped."""
    if stop():
        raise Stopped


def residual_values(fit: Fit) -> list[float]:
    """Return the natural parameters of the residual structure."""
    own = fit.residual
    return [] if own is None else [float(p.value) for p in own.model.natural(own.x)]


def _refit(fit: Fit, sample: Sample, r: int, stop: Callable[[], bool]) -> Fit:
    if fit.residual is None:
        return refitted(fit, sample.cross_products(r), sample.design(r), stop)
    return refitted_structure(fit, sample.design(r), stop)


def refitted_structure(
    fit: Fit, design: Design, stop: Callable[[], bool] = lambda: False, start: Array | None = None
) -> Fit:
    """Return the refit of a model with a residual structure to other responses or rows.

    The search starts from the estimates, or from `start`, unconstrained parameters of the structure.

    Raises
    ------
    ModelError
        If there is no optimum, or the search does not converge.
    Stopped
        If `stop`, which is asked after each evaluation, returns True.
    """
    assert fit.residual is not None
    refit = fit_design(
        design,
        reml=fit.reml,
        start=warm_start(fit),
        start_residual=fit.residual.x if start is None else start,
        sigma=fit.held_sigma,
        report=partial(_leave, stop),
    )
    if not refit.convergence.converged:
        raise ModelError("no optimum was reached")
    if not np.array_equal(refit.kept, fit.kept):
        raise ModelError("the groups drawn cannot determine all fixed effects")
    return refit


def warm_start(fit: Fit) -> Array | None:
    """Return θ̂ as start, or None if it lies on the boundary, where gradients vanish."""
    inside = all(
        np.all(np.diag(lam) > 1e-3)
        for lam, b in zip(fit.lam, fit.design.blocks, strict=True)
        if b.structure.linear
    )
    inside = inside and not (has_structures(fit.design) and fit.convergence.singular)
    return fit.theta if inside else None


def refit_block(
    search: BatchSearch, sample: Sample, these: range, out: Replicates, stop: Callable[[], bool]
) -> None:
    """Refit a block by the compiled search; replicates for which it does not converge stay undone."""
    found = search.empty(len(these))
    try:
        for r, i in stoppable(these, stop):
            try:
                search.refit(sample.cross_products(r), found, r)
            except MixedfitError as error:
                out.fail(i, reason_of(error))
    finally:
        done = found.settled
        here = np.arange(these.start, these.stop)[done]
        out.criterion[here] = found.criterion[done]
        out.sigma[here] = found.scale[done] * np.sqrt(found.variance[done])
        out.theta[here] = search.thetas(found.x[done])
        out.beta[here], out.errors[here] = search.fixed_effects(found, done)
        out.status[here] = REGULAR


def count_reasons(reasons: Mapping[int, str]) -> dict[str, int]:
    """Return the reasons with their counts, the most frequent first."""
    return dict(Counter(reasons[i] for i in sorted(reasons)).most_common())


def reason_of(error: Exception) -> str:
    """Return an error's message without its advice."""
    return str(error).split(":")[0].rstrip(".")


def refit_one(
    fit: Fit,
    sample: Sample,
    r: int,
    i: int,
    out: Replicates,
    *,
    statistic: Statistic | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Refit replicate i, the r-th of its block, and store the results; it stays undone if `stop` returns True."""
    try:
        refit = _refit(fit, sample, r, stop)
        beta, errors = refit.beta, np.sqrt(np.diag(refit.beta_covariance))
    except Stopped:
        return
    except REFIT_ERRORS as error:
        out.fail(i, reason_of(error))
        return
    if statistic is not None:
        out.statistic[i], reason = statistic.of_refit(refit, f"replicate {i}")
        if reason:
            out.undefined[i] = reason
    out.criterion[i], out.sigma[i] = refit.evaluation.value, refit.sigma
    out.theta[i], out.beta[i], out.errors[i] = refit.theta, beta, errors
    if refit.residual is not None:
        out.residual[i] = residual_values(refit)
    out.status[i] = SINGULAR if refit.convergence.singular else REGULAR


def block_size(rows: int) -> int:
    """Return the number of replicates in a block for data with so many rows."""
    return int(np.clip(BLOCK_NUMBERS // max(rows, 1), 1, LARGEST_BLOCK))


Work = Callable[[np.random.Generator, range, Callable[[], bool]], None]
"""Function (generator, range, stop) that fills a range of replicates, and ends when `stop` returns True."""


def blocks_of(n: int, rows: int, seed: np.random.SeedSequence) -> list[Block]:
    """Return the blocks of n replicates for data with so many rows."""
    size = block_size(rows)
    ranges = [range(i, min(i + size, n)) for i in range(0, n, size)]
    return list(zip(seed.spawn(len(ranges)), ranges, strict=True))


def run(
    task: Task,
    out: Any,
    n: int,
    *,
    rows: int,
    seed: np.random.SeedSequence,
    n_jobs: int,
    tick: Callable[[], None],
    executor: Any = None,
) -> bool:
    """Run n replicates in blocks; return False if the user interrupted them.

    Parameters
    ----------
    task : Task
    out : record
        Of all replicates, to be filled in.
    n : int
    rows : int
        Number of rows of the data.
    seed : numpy.random.SeedSequence
    n_jobs : int
        Number of threads.
    tick : callable
        Function called often, to show progress.
    executor : optional
        Whose workers do the work, in place of threads.
    """
    blocks = blocks_of(n, rows, seed)
    if executor is not None:
        try:
            run_on_pool(pool_of(executor), task, out, blocks, tick)
        except KeyboardInterrupt:
            return False
        return True
    return _run_here(lambda rng, these, stop: task.fill(rng, these, out, stop), blocks, n_jobs, tick)


def _run_here(work: Work, blocks: Sequence[Block], n_jobs: int, tick: Callable[[], None]) -> bool:
    """Run blocks in this process; return False if the user interrupted them."""
    stopped = Event()

    def between() -> bool:
        tick()
        return False

    with blas_threads(1):
        try:
            if n_jobs == 1:
                for child, these in blocks:
                    work(np.random.default_rng(child), these, between)
            else:
                _on_threads(work, blocks, n_jobs, stopped, tick)
        except KeyboardInterrupt:
            stopped.set()
    return not stopped.is_set()


def run_with_progress(
    task: Task,
    out: Any,
    n: int,
    *,
    rows: int,
    seed: np.random.SeedSequence,
    n_jobs: int,
    progress: bool | None,
    done: Callable[[], int],
    executor: Any = None,
) -> None:
    """Run n replicates as `run`, with a line of progress, and warn if the user interrupted them.

    `done` returns the number of completed replicates.
    """
    with Progress(progress) as shown:

        def tick() -> None:
            if shown.wanted:
                shown.count(done(), n, "replicates")

        finished = run(task, out, n, rows=rows, seed=seed, n_jobs=n_jobs, tick=tick, executor=executor)
    if not finished:
        warn_stopped(done(), n)


def warn_stopped(done: int, requested: int) -> None:
    """Warn that the user interrupted a run."""
    warn(
        f"stopped after {done} of {requested} replicates, which are kept. The same seed reproduces them and the "
        "others.",
        BootstrapWarning,
    )


def _on_threads(
    work: Work,
    blocks: Sequence[Block],
    n_jobs: int,
    stopped: Event,
    tick: Callable[[], None],
) -> None:
    """Run blocks on threads; after an error or interrupt each thread leaves its current replicate.

    Each thread takes the next block when it is done with one. Futures of all blocks would take long to cancel, and an
    interrupt in the middle of that could leave one of them locked.
    """
    left = deque(blocks)

    def take_blocks() -> None:
        while not stopped.is_set():
            try:
                child, these = left.popleft()
            except IndexError:
                return
            work(np.random.default_rng(child), these, stopped.is_set)

    with ThreadPoolExecutor(n_jobs, thread_name_prefix="mixedfit-bootstrap") as pool:
        try:
            pending = [pool.submit(take_blocks) for _ in range(n_jobs)]
            while not all(future.done() for future in pending):
                sleep(0.05)
                tick()
                for future in pending:
                    if future.done():
                        future.result()
        except BaseException:
            stopped.set()
            raise
        for future in pending:
            future.result()


def stoppable(these: range, stop: Callable[[], bool]) -> Iterator[tuple[int, int]]:
    """Yield each replicate's position in the block and in the run, until `stop` returns True."""
    for r, i in enumerate(these):
        if stop():
            return
        yield r, i


def natural_values(
    parameters: Sequence[Parameter],
    structures: Sequence[tuple[BlockDiagonal, slice]],
    replicates: Replicates,
) -> Array:
    """Return the values of all parameters in every replicate, shape (n, parameters).

    Parameters
    ----------
    parameters : sequence of Parameter
    structures : sequence of (BlockDiagonal, slice)
        Structure of each block, and the positions of its parameters in θ.
    replicates : Replicates
    """
    out = np.full((replicates.sigma.size, len(parameters)), np.nan)
    omegas = [
        _covariances(structure, replicates.theta[:, here], replicates.sigma) for structure, here in structures
    ]
    for column, parameter in zip(out.T, parameters, strict=True):
        if parameter.place >= 0:
            structure, here = structures[parameter.block]
            column[:] = _natural_column(parameter, structure, replicates.theta[:, here], replicates.sigma)
        else:
            column[:] = _column(parameter, omegas, replicates)
    return out


def _natural_column(parameter: Parameter, structure: BlockDiagonal, theta: Array, sigma: Array) -> Array:
    """Return a natural parameter of a structure such as ``ar1`` in every replicate, shape (n,)."""
    for part, t, _ in structure.slices():
        if t.start <= parameter.place < t.stop and isinstance(part, ScaledCorrelation):
            at = parameter.place - t.start
            values = np.array([part.natural(row[t])[0][at] for row in theta]).reshape(-1)
            return np.asarray(sigma * values if parameter.kind == "sd" else values)
    raise AssertionError("a natural parameter belongs to a structure")


def _covariances(structure: BlockDiagonal, theta: Array, sigma: Array) -> Array:
    """Return Ω of one block in every replicate, shape (n, k, k)."""
    lams = np.array([structure.factor(row) for row in theta]).reshape(-1, structure.k, structure.k)
    roots = sigma[:, None, None] * lams
    return np.asarray(roots @ roots.transpose(0, 2, 1))


def _column(parameter: Parameter, omegas: Sequence[Array], replicates: Replicates) -> Array:
    if parameter.kind == "sigma":
        return replicates.sigma
    if parameter.kind == "fixed":
        return replicates.beta[:, parameter.first]
    if parameter.kind == "residual":
        return replicates.residual[:, parameter.first]
    omega, i, j = omegas[parameter.block], parameter.first, parameter.second
    if parameter.kind == "sd":
        return np.sqrt(omega[:, i, i])
    below = np.sqrt(omega[:, i, i] * omega[:, j, j])
    return np.where(below > 0, omega[:, i, j] / np.where(below > 0, below, 1.0), np.nan).clip(-1.0, 1.0)
