"""What tests send to the worker processes of executors; workers import this module."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def process_pool(workers: int = 2) -> ProcessPoolExecutor:
    """Return a pool of new processes; those of a fork would share the threads' locks of this one."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@dataclass(frozen=True)
class DiesOnce:
    """A function that kills the process that calls it, the first time of all processes; then it returns its argument.

    Parameters
    ----------
    mark : str
        Path of a file that says that a process was killed.
    here : int
        The process of the test, which lives.
    """

    mark: str
    here: int

    def __call__(self, value: Any) -> Any:
        if os.getpid() != self.here:
            try:
                Path(self.mark).touch(exist_ok=False)
            except FileExistsError:
                return value
            os.kill(os.getpid(), signal.SIGKILL)
        return value


@dataclass(frozen=True)
class SlopeOrDeath:
    """A statistic of a refit, whose first call in a worker kills it."""

    dies: DiesOnce

    def __call__(self, fit: Any) -> float:
        return float(self.dies(fit).params["Days"])


def always_dies(value: Any) -> Any:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def double(shared: int, number: int, item: int) -> int:
    """Return a number that shows the shared object, the place and the item."""
    return shared * item + number


def die_at_three(shared: DiesOnce, number: int, item: int) -> int:
    """Return an item; the worker dies at item 3."""
    return int(shared(item)) if item == 3 else item


def die(shared: object, number: int, item: int) -> int:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def joined(shared: object, one: str, other: str) -> str:
    """Return the tree of a reduction as text."""
    return f"({one}{other})"


def text(shared: object, number: int, item: int) -> str:
    """Return an item as text."""
    return str(item)


def fails(shared: object, number: int, item: int) -> int:
    """Raise an error at item 2."""
    if item == 2:
        raise ValueError("item 2")
    return item


def counted(limit: int, taken: list[int]) -> Iterator[int]:
    """Yield numbers, and note those that were taken."""
    for i in range(limit):
        taken.append(i)
        yield i
