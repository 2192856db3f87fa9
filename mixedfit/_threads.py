"""Holds BLAS to the threads that were asked for, by default one.

On small matrices, and on a machine whose cores are busy with other work, BLAS threads that wait for each
other make a fit many times slower; on a quiet machine they save less than half of a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["blas_threads"]


@lru_cache(maxsize=1)
def _controller() -> Any:
    return ThreadpoolController()


@contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    """Run with at most `threads` BLAS threads."""
    with _controller().limit(limits=threads, user_api="blas"):
        yield
