"""Blocks of replicates as tasks for the workers of an executor.

A block has its own seed, spawned from the user's, and a number of replicates that depends on the data only. A task has
several blocks. Results do not depend on the number of tasks or workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Protocol

import numpy as np

from mixedfit.tasks import Pool

__all__ = ["Block", "Task", "bundles", "place_part", "run_on_pool"]

MOST_TASKS = 128
"""Largest number of tasks of one run; each has a cost of milliseconds."""

Block = tuple[np.random.SeedSequence, range]
"""Seed and positions of the replicates of a block."""


class Task(Protocol):
    """Work on replicates that can be sent to another process."""

    def empty(self, count: int) -> Any:
        """Return a record for some replicates, none of them done; its arrays have a row for each."""
        ...

    def fill(self, rng: np.random.Generator, these: range, out: Any, stop: Callable[[], bool]) -> None:
        """Fill in a range of replicates of a record; end when `stop` returns True."""
        ...


def bundles(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    """Yield consecutive blocks in at most `MOST_TASKS` bundles."""
    size = -(-len(blocks) // MOST_TASKS)
    for start in range(0, len(blocks), size):
        yield blocks[start : start + size]


def run_on_pool(pool: Pool, task: Task, out: Any, blocks: Sequence[Block], tick: Callable[[], None]) -> None:
    """Fill in all replicates of a record on the workers of a pool; those that are done are kept on interrupt.

    Parameters
    ----------
    pool : Pool
    task : Task
    out : record
        As `task.empty` returns it, for all replicates.
    blocks : sequence of (SeedSequence, range)
    tick : callable
        Called after each task, to show progress.
    """
    if not blocks:
        return
    parts = list(bundles(blocks))
    for number, part in pool.mapped(_fill, task, parts):
        place_part(out, part, parts[number][0][1].start)
        tick()


def _fill(task: Task, number: int, blocks: Sequence[Block]) -> Any:
    first = blocks[0][1].start
    out = task.empty(blocks[-1][1].stop - first)
    for seed, these in blocks:
        here = range(these.start - first, these.stop - first)
        task.fill(np.random.default_rng(seed), here, out, _never)
    return out


def _never() -> bool:
    return False


def place_part(whole: Any, part: Any, at: int) -> None:
    """Copy the arrays of a record, and its texts by position, into those of a longer record from a position on."""
    for own in fields(whole):
        target, value = getattr(whole, own.name), getattr(part, own.name)
        if isinstance(target, np.ndarray):
            target[at : at + len(value)] = value
        elif isinstance(target, dict):
            target.update({at + i: text for i, text in value.items()})
