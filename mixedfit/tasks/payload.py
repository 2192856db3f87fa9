"""`Payload`: the object that all tasks of a call share, sent as bytes and unpacked once in each process."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import uuid4

from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import blas_threads
from mixedfit.kernels import compiled

__all__ = ["Payload", "call", "call_both", "run_here"]

KEPT = 2
"""Number of unpacked objects that a process keeps."""

_unpacked: OrderedDict[str, Any] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True, slots=True)
class Payload:
    """An object as bytes.

    Attributes
    ----------
    token : str
        Name of the object, unique among all payloads.
    content : bytes
    """

    token: str
    content: bytes

    @classmethod
    def of(cls, value: Any) -> Payload:
        """Return an object as bytes; functions that cannot be imported need cloudpickle, which Dask installs.

        Raises
        ------
        ModelError
            If the object cannot be sent to another process.
        """
        try:
            from cloudpickle import dumps
        except ImportError:
            dumps = pickle.dumps
        try:
            return cls(uuid4().hex, dumps(value))
        except Exception as error:
            raise ModelError(
                f"executor: the model cannot be sent to other processes ({type(error).__name__}: {error}). Define "
                "functions of the formula, or the statistic, in a module that the workers can import, or install "
                "cloudpickle."
            ) from error

    def value(self) -> Any:
        """Return the object, the same one for all tasks in a process."""
        with _lock:
            if self.token not in _unpacked:
                _unpacked[self.token] = pickle.loads(self.content)
                while len(_unpacked) > KEPT:
                    _unpacked.popitem(last=False)
            return _unpacked[self.token]


def call(function: Callable[[Any, int, Any], Any], payload: Payload, number: int, item: Any) -> Any:
    """Return a function of the shared object and a numbered item, by compiled kernels: they give the same digits."""
    return run_here(function, payload.value(), number, item)


def run_here(function: Callable[[Any, int, Any], Any], shared: Any, number: int, item: Any) -> Any:
    """Return a function of a shared object and a numbered item, by compiled kernels with one thread of BLAS."""
    with blas_threads(1), compiled():
        return function(shared, number, item)


def call_both(function: Callable[[Any, Any, Any], Any], payload: Payload, one: Any, other: Any) -> Any:
    """Return a function of the shared object and two results."""
    with blas_threads(1):
        return function(payload.value(), one, other)
