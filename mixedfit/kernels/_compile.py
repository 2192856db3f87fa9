"""Decorators that compile a function with numba, on first use and with the machine code cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

__all__ = ["kernel", "plain"]

_F = TypeVar("_F", bound=Callable[..., object])

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # not nnan/ninf: NaN must mark a failed computation


def kernel(function: _F) -> _F:
    """Compile with reassociated sums, so that loops over arrays use vector instructions."""
    return cast(_F, numba.njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)(function))


def plain(function: _F) -> _F:
    """Compile with sums in the order written: as fast for short loops, in a third of the time to compile."""
    return cast(_F, numba.njit(cache=True, error_model="numpy", nogil=True)(function))
