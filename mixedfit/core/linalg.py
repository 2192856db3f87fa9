"""Small factorisations with types, limits on BLAS threads, and large arrays of zeros."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import numpy as np
from scipy.linalg import solve_triangular
from threadpoolctl import ThreadpoolController

from .arrays import Array

__all__ = ["blas_threads", "inverse", "paged_zeros", "row_basis", "symmetric", "triangle", "upper_inverse"]

PAGED = 1 << 22
"""Size in bytes from which numpy asks Linux for pages of 2 MB; a few scattered numbers then take much memory."""


def triangle(matrix: Any) -> Array:
    """Return R of the QR factorisation of a matrix, shape (min(rows, columns), columns)."""
    return cast(Array, np.linalg.qr(matrix, mode="r"))


def inverse(matrix: Any) -> Array:
    """Return the inverse of small square matrices, shape (…, k, k)."""
    return cast(Array, np.linalg.inv(matrix))


def upper_inverse(upper: Array) -> Array:
    """Return the inverse of an upper triangular matrix, by back substitution."""
    return np.asarray(solve_triangular(upper, np.eye(len(upper)))) if len(upper) else np.zeros((0, 0))


def paged_zeros(shape: tuple[int, int]) -> Array:
    """Return zeros, on Linux in pages of 4 KB, so that only the pages written to take memory."""
    size = 8 * shape[0] * shape[1]
    if size < PAGED or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros(shape)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    except OSError:
        return np.zeros(shape)
    return np.frombuffer(pages, dtype=np.float64).reshape(shape)


SMALL = 4096
"""Elements of a matrix below which OpenBLAS uses one thread; its own limits are at least twice as large."""


@lru_cache(maxsize=1)
def _controller() -> Any:
    return ThreadpoolController()


@contextmanager
def blas_threads(threads: int, elements: float = np.inf) -> Iterator[None]:
    """Limit BLAS to `threads` threads in a with statement.

    The limit is not set if the largest matrix has at most `SMALL` elements (`elements`), since BLAS then uses one
    thread and setting the limit takes time.
    """
    if elements <= SMALL:
        yield
        return
    with _controller().limit(limits=threads, user_api="blas"):
        yield


def row_basis(rows: Array) -> Array:
    """Return an orthonormal basis of the span of linearly independent rows, shape (q, p)."""
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    return cast(Array, np.linalg.qr((rows / np.where(sizes > 0, sizes, 1.0)).T)[0].T)


def symmetric(lower: Array) -> Array:
    """Return the symmetric matrix with a given lower triangle."""
    return np.tril(lower) + np.tril(lower, -1).T
