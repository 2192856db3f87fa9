"""Decorators that compile a function with numba, on first use and with the machine code cached on disk.

Compiling takes a hundred times as long as a small fit by Python. While no compiled version of a kernel is cached,
Python runs calls with few numbers from the same source; after `BUDGET` seconds of this in a process, kernels are
compiled. With the environment variable MIXEDFIT_COMPILE=always they are compiled at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar, cast

import numba
import numpy as np

__all__ = ["Kernel", "compiled", "kernel", "plain"]

_F = TypeVar("_F", bound=Callable[..., object])

_FAST = {"reassoc", "contract", "nsz", "arcp"}  # not nnan/ninf: NaN must mark a failed computation

FEW = 20_000
"""Elements of all arguments together up to which Python may run a kernel: about 20 ms."""

BUDGET = 0.25
"""Seconds in which Python may run kernels, in each process."""


class _Mode(threading.local):
    """Whether Python runs a kernel at present, so that it also runs those that the kernel calls."""

    inside = False


class _Account:
    """Seconds in which Python may still run kernels, in all threads."""

    left = 0.0 if os.environ.get("MIXEDFIT_COMPILE") == "always" else BUDGET


_mode = _Mode()


class Kernel:
    """A function of arrays and numbers that numba compiles, or that Python runs while that is quicker.

    Compiled kernels call it like any function compiled by numba.

    Attributes
    ----------
    py_func : callable
        The function as written.
    dispatcher : callable
        What numba made of it.
    """

    def __init__(self, function: Callable[..., Any], dispatcher: Any) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self.dispatcher = dispatcher
        self._decided = not hasattr(dispatcher, "stats")  # numba is switched off
        self._looked = False

    @property
    def _numba_type_(self) -> Any:
        """Type by which numba knows a compiled function."""
        return self.dispatcher._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        if self._decided:
            return self.dispatcher(*arguments)
        if _mode.inside:
            return self.py_func(*arguments)
        if _Account.left > 0.0 and _elements(arguments) <= FEW and not self.is_ready():
            return self._interpreted(arguments)
        self._decided = True
        return self.dispatcher(*arguments)

    def is_ready(self) -> bool:
        """Return whether a call needs no compilation; the disk is looked at once in a process."""
        if not self._looked:
            self._looked = True
            self._decided = self._decided or self.is_cached()
        return self._decided

    def is_cached(self) -> bool:
        """Return whether a compiled version, newer than the source, is on disk."""
        folder = self.dispatcher.stats.cache_path
        if folder is None:
            return False
        code = self.py_func.__code__
        source = Path(code.co_filename)
        pattern = f"*{self.py_func.__name__}-{code.co_firstlineno}.py*.nbi"
        try:
            written = [path.stat().st_mtime for path in Path(folder).glob(pattern)]
            return bool(written) and max(written) >= source.stat().st_mtime
        except OSError:
            return False

    def _interpreted(self, arguments: tuple[Any, ...]) -> Any:
        start = perf_counter()
        _mode.inside = True
        try:
            with np.errstate(all="ignore"):  # as compiled code
                return self.py_func(*arguments)
        finally:
            _mode.inside = False
            _Account.left -= perf_counter() - start


def _elements(arguments: tuple[Any, ...]) -> float:
    """Return the number of elements of all arrays; infinite with a random generator, since loops draw from it."""
    total = 0.0
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            total += argument.size
        elif isinstance(argument, tuple):
            total += _elements(argument)
        elif isinstance(argument, np.random.Generator):
            return np.inf
    return total


@contextmanager
def compiled() -> Iterator[None]:
    """Compile every kernel that is called."""
    left, _Account.left = _Account.left, 0.0
    try:
        yield
    finally:
        _Account.left = left


def kernel(function: _F) -> _F:
    """Compile with reassociated sums, so that loops over arrays use vector instructions."""
    return _made(function, fastmath=_FAST)


def plain(function: _F) -> _F:
    """Compile with sums in the order written: as fast for short loops, in a third of the time to compile."""
    return _made(function)


def _made(function: _F, **options: Any) -> _F:
    made = numba.njit(cache=True, error_model="numpy", nogil=True, **options)(function)
    return cast(_F, Kernel(function, made))
