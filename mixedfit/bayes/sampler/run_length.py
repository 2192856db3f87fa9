"""Number of draws: a fixed number, or as many as give a number of effective draws, within limits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from mixedfit.bayes.draws.convergence import ENOUGH, MIXED, Mixing
from mixedfit.core.errors import ModelError, SamplingWarning, warn
from mixedfit.core.linalg import blas_threads
from mixedfit.core.options import check_count
from mixedfit.core.progress import Progress
from mixedfit.tasks import Pool

from .chain import Chain

__all__ = ["DEFAULT_DRAWS", "Outcome", "RunLength", "run_chains", "run_length"]

DEFAULT_DRAWS = 1000
"""Draws of each chain if neither `draws` nor `ess` is given, or more, until there are `ENOUGH` effective ones."""

FIRST_CHECK = 250
"""Draws of each chain before the first look at effective sample sizes; with fewer these are too noisy."""

LAST_FIRST = 10_000
"""Most draws of each chain at the first look: room in memory is made for draws that may never come."""

MARGIN = 1.1
"""Factor on the draws that the effective draws so far predict, so that the next check is mostly the last."""


INTERRUPT = "an interrupt"


@dataclass(frozen=True, slots=True)
class RunLength:
    """When chains end.

    Attributes
    ----------
    draws : int
        Draws of each chain, with `ess` at the first check.
    ess : float or None
        Effective draws, of all chains together, that every parameter must have.
    max_draws : int
        Most draws of each chain.
    max_seconds : float
    """

    draws: int
    ess: float | None
    max_draws: int
    max_seconds: float

    def is_enough(self, mixing: Mixing, chains: int) -> bool:
        """Return whether no more draws are needed; R̂ counts if its estimate is reliable at so many draws."""
        if self.ess is None:
            return True
        return mixing.ess >= self.ess and (self.ess < ENOUGH * chains or mixing.rhat <= MIXED)

    def more(self, mixing: Mixing, drawn: int) -> int:
        """Return the number of further draws of each chain: as predicted, at most three times those so far."""
        factor = MARGIN * (self.ess or 0.0) / max(mixing.ess, 1.0)
        total = int(np.ceil(drawn * np.clip(factor, 1.25, 4.0)))
        return min(total, self.max_draws) - drawn


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    kept : int
        Draws kept of each chain.
    limit : str
        The limit that ended it early, such as "max_draws=10000" or "an interrupt"; otherwise empty.
    """

    kept: int
    limit: str


def run_length(
    draws: int | None, ess: float | None, max_draws: int, max_seconds: float | None, chains: int
) -> RunLength:
    """Return the run length for the options of `LinearMixedModel.gibbs`.

    Raises
    ------
    ModelError
        If both `draws` and `ess` are given, or an option is not valid.
    """
    seconds = np.inf if max_seconds is None else max_seconds
    if not _is_number(seconds) or not seconds > 0:
        raise ModelError(f"max_seconds is {max_seconds!r}; expected a positive number of seconds, or None.")
    if ess is None and draws is not None:
        check_count("draws", draws, 4)
        return RunLength(draws, None, draws, float(seconds))
    if draws is not None:
        raise ModelError(
            f"draws={draws!r} and ess={ess!r} are both given; give draws for a fixed number, or ess, with max_draws as "
            "the limit."
        )
    if ess is None:
        check_count("max_draws", max_draws, 4)
        return RunLength(min(max_draws, DEFAULT_DRAWS), ENOUGH * chains, int(max_draws), float(seconds))
    if not _is_number(ess) or not 1 <= ess < np.inf:
        raise ModelError(f"ess is {ess!r}; expected a number of effective draws of at least 1, such as 400.")
    check_count("max_draws", max_draws, 4)
    first = min(max_draws, max(FIRST_CHECK, min(LAST_FIRST, int(np.ceil(ess / chains)))))
    return RunLength(first, float(ess), int(max_draws), float(seconds))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def run_chains(
    runs: list[Chain],
    length: RunLength,
    mixing: Callable[[int], Mixing],
    *,
    workers: int,
    progress: bool | None,
    keep_partial: bool,
    pool: Pool | None = None,
) -> Outcome:
    """Run the chains to the end that `length` sets; chains go on from their states, so the draws do not depend on it.

    Parameters
    ----------
    runs : list of Chain
    length : RunLength
    mixing : callable
        Takes a number of draws, and returns the convergence of the first so many draws of all chains.
    workers : int
        Number of threads.
    progress : bool or None
    keep_partial : bool
        Whether an interrupt keeps the draws so far; otherwise it is raised.
    pool : Pool, optional
        Whose workers run the chains, in place of threads; the list then gets the chains that they return.

    Raises
    ------
    ModelError
        If `max_seconds` pass before there are draws.
    """
    deadline = perf_counter() + length.max_seconds
    with blas_threads(1), Progress(progress) as shown:
        try:
            while _run_all(runs, workers, shown, deadline) if pool is None else _run_on(pool, runs, deadline):
                drawn = runs[0].kept
                if length.ess is None or length.is_enough(found := mixing(drawn), len(runs)):
                    return Outcome(drawn, "")
                if drawn >= length.max_draws:
                    return Outcome(drawn, f"max_draws={length.max_draws}")
                for run in runs:
                    run.extend(length.more(found, drawn))
            limit = f"max_seconds={length.max_seconds:g}"
        except KeyboardInterrupt:
            limit = INTERRUPT
    return Outcome(_kept_early(runs, length, limit, keep_partial), limit)


def _kept_early(runs: list[Chain], length: RunLength, limit: str, keep_partial: bool) -> int:
    """Return the number of draws kept of each chain after an interrupt or `max_seconds`, with a warning."""
    kept = min(run.kept for run in runs)
    if limit == INTERRUPT and (kept < 4 or not keep_partial):
        raise KeyboardInterrupt
    if kept < 4:
        done = min(run.done for run in runs)
        raise ModelError(
            f"{limit} passed after {done} sweeps of the slowest chain, of which {runs[0].tune} are tuning, so that "
            "there are no draws; give more time. The first call on a machine also compiles the sampler."
        )
    of = "" if length.ess is not None else f" of {length.draws}"
    why = "" if limit == INTERRUPT else f" by {limit}"
    warn(f"stopped after {kept}{of} draws a chain{why}; these are kept.", SamplingWarning)
    return kept


def _run_on(pool: Pool, runs: list[Chain], deadline: float) -> bool:
    """Run the chains on the workers of a pool until all are done; return False if the deadline passes before."""
    seconds = deadline - perf_counter()
    for number, run in pool.mapped(_run_one, seconds, list(runs)):
        runs[number] = run
    return all(run.done == run.places.size for run in runs)


def _run_one(seconds: float, number: int, run: Chain) -> Chain:
    deadline = perf_counter() + seconds
    while run.done < run.places.size and run.advance():
        if perf_counter() > deadline:
            break
    return run


def _run_all(runs: list[Chain], workers: int, shown: Progress, deadline: float) -> bool:
    """Advance chains in turn on threads until all are done; return False if the deadline passes before."""
    total = sum(run.places.size for run in runs)
    pending: dict[Future[bool], Chain] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="mixedfit-gibbs") as pool:
        try:
            pending |= {pool.submit(run.advance): run for run in runs}
            while pending:
                for future in wait(pending, timeout=0.1, return_when=FIRST_COMPLETED).done:
                    run = pending.pop(future)
                    if future.result():
                        pending[pool.submit(run.advance)] = run
                shown.count(sum(run.done for run in runs), total, "sweeps")
                if pending and perf_counter() > deadline:
                    return False
        finally:
            for future in pending:
                future.cancel()
    return True
