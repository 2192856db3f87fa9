"""`DaskPool`: tasks on a Dask cluster, which runs those of dead workers again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mixedfit.core.errors import ModelError

from .payload import Payload, call, call_both
from .tree import Tree

__all__ = ["DaskPool"]


class DaskPool:
    """Tasks on a Dask cluster. Items may be or hold `dask.delayed.Delayed`, which are computed on the cluster.

    Parameters
    ----------
    client : dask.distributed.Client

    Raises
    ------
    ModelError
        If the client is asynchronous.
    """

    def __init__(self, client: Any) -> None:
        if client.asynchronous:
            raise ModelError("executor is an asynchronous Dask client; make one with asynchronous=False.")
        self.client = client

    def mapped(
        self, function: Callable[[Any, int, Any], Any], shared: Any, items: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number and the result of each item; see `Pool`."""
        payload = self._sent(shared)
        numbers: dict[str, int] = {}
        with _in_words():
            for number, future in self._completed(function, payload, items, numbers):
                yield number, future.result()

    def reduced(
        self,
        function: Callable[[Any, int, Any], Any],
        combine: Callable[[Any, Any, Any], Any],
        shared: Any,
        items: Iterable[Any],
        report: Callable[[int], None],
    ) -> Any:
        """Return the results combined in a tree on the cluster; see `Pool`."""
        payload = self._sent(shared)
        tree = Tree(lambda one, other: self._submit(call_both, combine, payload, one, other))
        numbers: dict[str, int] = {}
        with _in_words():
            completed = self._completed(function, payload, items, numbers, tree.add)
            for done, _ in enumerate(completed, 1):
                report(done)
            last = tree.result()
            return None if last is None else last.result()

    def _completed(
        self,
        function: Callable[[Any, int, Any], Any],
        payload: Any,
        items: Iterable[Any],
        numbers: dict[str, int],
        submitted: Callable[[int, Any], None] = lambda *_: None,
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number and the future of each task that is done; as many run as there are threads for."""
        from distributed import as_completed

        queue = enumerate(items)
        done = as_completed([])
        running: dict[str, Any] = {}
        limit = 4 * max(sum(self.client.nthreads().values()), 1)

        def fill() -> None:
            while len(running) < limit and (item := next(queue, None)) is not None:
                future = self._started(function, payload, *item)
                running[future.key], numbers[future.key] = future, item[0]
                submitted(item[0], future)
                done.add(future)

        try:
            fill()
            while running:
                future = next(done)
                del running[future.key]
                if future.status != "finished":
                    future.result()
                yield numbers[future.key], future
                fill()
        finally:
            self.client.cancel(list(running.values()))

    def _started(self, function: Callable[[Any, int, Any], Any], payload: Any, number: int, item: Any) -> Any:
        if not _holds_delayed(item):
            return self._submit(call, function, payload, number, item)
        from dask import delayed

        return self.client.compute(delayed(call, pure=False)(function, payload, number, item))

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self.client.submit(function, *arguments, pure=False)

    def _sent(self, shared: Any) -> Any:
        """Return the future of the shared object: a task, so that it is sent again if a worker that has it dies."""
        return self._submit(_same, Payload.of(shared))


def _holds_delayed(item: Any) -> bool:
    """Return whether an item is, or is a list or tuple with, one that the cluster computes first."""
    if isinstance(item, list | tuple):
        return any(map(_holds_delayed, item))
    return type(item).__module__.split(".")[0] == "dask"


def _same(payload: Payload) -> Payload:
    return payload


@contextmanager
def _in_words() -> Iterator[None]:
    """Raise `ModelError` for tasks whose workers died again and again."""
    from distributed import KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise ModelError(
            f"workers of the Dask cluster died again and again at one task ({error}); perhaps they were killed because "
            "memory ran out. Use smaller batches (batch_rows=) or partitions, or machines with more memory."
        ) from error
