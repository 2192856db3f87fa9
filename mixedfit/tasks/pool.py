"""`Pool`: what runs tasks, and the one for an executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Protocol

from mixedfit.core.errors import ModelError, a_type

from .dask_pool import DaskPool
from .futures_pool import FuturesPool
from .payload import run_here

__all__ = ["Pool", "check_executor", "mapped", "pool_of"]


class Pool(Protocol):
    """Runs tasks; those of workers that die are run again."""

    def mapped(
        self, function: Callable[[Any, int, Any], Any], shared: Any, items: Iterable[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number and the result ``function(shared, number, item)`` of each item, as they are completed.

        Items are taken when workers are free for them. Tasks that are not done when the iterator is closed are
        cancelled.

        Raises
        ------
        ModelError
            If workers die again and again, or `shared` cannot be sent; and what a task raises.
        """
        ...

    def reduced(
        self,
        function: Callable[[Any, int, Any], Any],
        combine: Callable[[Any, Any, Any], Any],
        shared: Any,
        items: Iterable[Any],
        report: Callable[[int], None],
    ) -> Any:
        """Return the results of all items, combined in a tree by ``combine(shared, left, right)``; None without items.

        `report` is called with the number of tasks done.
        """
        ...


def check_executor(executor: Any) -> None:
    """Raise `ModelError` unless `executor` is None, a Dask client or a `concurrent.futures.Executor`."""
    if executor is not None:
        pool_of(executor)


def pool_of(executor: Any) -> Pool:
    """Return the pool for an executor.

    Raises
    ------
    ModelError
        If it is no Dask client and no `concurrent.futures.Executor`.
    """
    if isinstance(executor, Executor):
        return FuturesPool(executor)
    if type(executor).__module__.split(".")[0] == "distributed" and hasattr(executor, "scheduler_info"):
        return DaskPool(executor)
    raise ModelError(
        f"executor is {a_type(executor)}; expected a dask.distributed.Client or a concurrent.futures.Executor "
        "such as ProcessPoolExecutor(4)."
    )


def mapped(
    executor: Any, function: Callable[[Any, int, Any], Any], shared: Any, items: Iterable[Any]
) -> Iterator[tuple[int, Any]]:
    """Yield the number and the result ``function(shared, number, item)`` of each item as it is done.

    The tasks run on the workers of an executor, or in this thread, one after the other, if it is None. The results are
    the same.

    Raises
    ------
    ModelError
        As `Pool.mapped`, and if `executor` is neither None nor an executor.
    """
    if executor is not None:
        yield from pool_of(executor).mapped(function, shared, items)
        return
    for number, item in enumerate(items):
        yield number, run_here(function, shared, number, item)
