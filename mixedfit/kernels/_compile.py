"""Decorators that compile kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

__all__ = ["kernel", "plain"]

_F = TypeVar("_F", bound=Callable[..., object])

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # not nnan/ninf: a failed computation must stay visible


def kernel(function: _F) -> _F:
    """Compile on first use and keep the machine code on disk."""
    return cast(_F, numba.njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)(function))


def plain(function: _F) -> _F:
    """Compile like `kernel`, but with sums in the order written: short loops gain nothing from vectors.

    It also takes a third of the time to compile.
    """
    return cast(_F, numba.njit(cache=True, error_model="numpy", nogil=True)(function))
