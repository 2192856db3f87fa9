"""Holds BLAS to one thread where matrices are small: on a busy machine its threads cost more than they save."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["few_threads"]

LARGE = 400
"""Order of a dense matrix from which several threads pay."""


@lru_cache(maxsize=1)
def _controller() -> Any:
    return ThreadpoolController()


@contextmanager
def few_threads(order: int) -> Iterator[None]:
    """Run with one BLAS thread if the largest dense matrix has fewer than `LARGE` rows."""
    if order >= LARGE:
        yield
        return
    with _controller().limit(limits=1, user_api="blas"):
        yield
