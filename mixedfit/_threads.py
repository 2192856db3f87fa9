"""Holds BLAS to the threads that were asked for, by default one.

On small matrices, and on a machine whose cores are busy with other work, BLAS threads that wait for each
other make a fit many times slower; on a quiet machine they save less than half of a large one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

__all__ = ["blas_threads"]

SMALL = 4096
"""OpenBLAS's routines stay on one thread up to twice as many elements or more."""


@lru_cache(maxsize=1)
def _controller() -> Any:
    return ThreadpoolController()


@contextmanager
def blas_threads(threads: int, elements: float = np.inf) -> Iterator[None]:
    """Run with at most `threads` BLAS threads.

    Nothing is done where no matrix has more than `SMALL` elements: no BLAS starts threads for so few.
    """
    if elements <= SMALL:
        yield
        return
    with _controller().limit(limits=threads, user_api="blas"):
        yield
