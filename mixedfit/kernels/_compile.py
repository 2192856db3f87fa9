"""One place that says how kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

__all__ = ["kernel"]

_F = TypeVar("_F", bound=Callable[..., object])
_FAST = {"reassoc", "contract", "nsz", "arcp"}  # not nnan/ninf: a failed computation must stay visible


def kernel(function: _F) -> _F:
    """Compile on first use and keep the machine code on disk."""
    return cast(_F, numba.njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)(function))
