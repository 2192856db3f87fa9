"""`FuturesPool`: tasks on a `concurrent.futures.Executor`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from functools import partial
from typing import Any

from mixedfit.core.errors import ModelError

from .payload import Payload, call
from .tree import Tree

__all__ = ["RETRIES", "FuturesPool"]

RETRIES = 3
"""Number of times that dead workers are replaced in one call."""


class FuturesPool:
    """Tasks on a `concurrent.futures.Executor`.

    A process pool is broken for good when one of its workers dies. The tasks that were not done then go to a new pool
    with the same options, which is closed at the end of the call.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.limit = 4 * int(getattr(executor, "_max_workers", None) or os.cpu_count() or 1)

    def mapped(
        self, function: Callable[[Any, int, Any], Any], shared: Any, items: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number and the result of each item; see `Pool`."""
        run = _Run(
            self.executor, partial(call, function, Payload.of(shared)), self.limit, iter(enumerate(items))
        )
        try:
            yield from run.results()
        finally:
            run.close()

    def reduced(
        self,
        function: Callable[[Any, int, Any], Any],
        combine: Callable[[Any, Any, Any], Any],
        shared: Any,
        items: Iterable[Any],
        report: Callable[[int], None],
    ) -> Any:
        """Return the results combined in a tree, here; see `Pool`."""
        tree = Tree(partial(combine, shared))
        for done, (number, value) in enumerate(self.mapped(function, shared, items), 1):
            tree.add(number, value)
            report(done)
        return tree.result()


class _Run:
    """The tasks of one call."""

    def __init__(
        self,
        executor: Executor,
        task: Callable[[int, Any], Any],
        limit: int,
        items: Iterator[tuple[int, Any]],
    ) -> None:
        self.executor, self.task, self.limit, self.items = executor, task, limit, items
        self.lost: deque[tuple[int, Any]] = deque()
        self.running: dict[Future[Any], tuple[int, Any]] = {}
        self.own: list[Executor] = []

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield the number and the result of each task as it is done."""
        while self._fill():
            broken = False
            for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                item = self.running.pop(future)
                try:
                    result = future.result()
                except BrokenExecutor:
                    broken = True
                    self.lost.append(item)
                    continue
                yield item[0], result
            if broken:
                self._renew()

    def _fill(self) -> bool:
        """Submit tasks up to the limit; return whether any are running."""
        while len(self.running) < self.limit:
            item = self.lost.popleft() if self.lost else next(self.items, None)
            if item is None:
                break
            try:
                self.running[self.executor.submit(self.task, *item)] = item
            except BrokenExecutor:
                self.lost.append(item)
                self._renew()
        return bool(self.running)

    def _renew(self) -> None:
        """Replace a pool that is broken; its unfinished tasks are lost."""
        for future, item in list(self.running.items()):
            if not future.done() or future.cancelled() or isinstance(future.exception(), BrokenExecutor):
                self.lost.append(self.running.pop(future) if future in self.running else item)
        if len(self.own) == RETRIES or not isinstance(self.executor, ProcessPoolExecutor):
            raise ModelError(
                f"worker processes of the executor died {len(self.own) + 1} times; perhaps they were killed because "
                "memory ran out. Use fewer workers, smaller batches (batch_rows=) or machines with more memory."
            )
        old: Any = self.executor
        self.executor = ProcessPoolExecutor(
            getattr(old, "_max_workers", None),
            mp_context=getattr(old, "_mp_context", None),
            initializer=getattr(old, "_initializer", None),
            initargs=getattr(old, "_initargs", ()),
        )
        self.own.append(self.executor)

    def close(self) -> None:
        """Cancel what is not done, and end the pools that replaced broken ones."""
        for future in self.running:
            future.cancel()
        for pool in self.own:
            pool.shutdown(wait=True, cancel_futures=True)
