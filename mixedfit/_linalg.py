"""numpy's factorisations under the types that they return, and zeros that take memory only where they are written."""

from __future__ import annotations

import mmap
from typing import Any, cast

import numpy as np

from ._types import Array

__all__ = ["inverse", "paged_zeros", "triangle"]

PAGED = 1 << 22
"""Bytes from which numpy asks Linux for pages of 2 MB, of which a few written numbers fill many."""


def triangle(matrix: Any) -> Array:
    """Return R of the QR factorisation, shape (min(rows, columns), columns)."""
    return cast(Array, np.linalg.qr(matrix, mode="r"))


def inverse(matrix: Any) -> Array:
    """Return the inverse of small square matrices, shape (…, k, k)."""
    return cast(Array, np.linalg.inv(matrix))


def paged_zeros(shape: tuple[int, int]) -> Array:
    """Return zeros of which only pages (4 KB) that are written take memory, where the system knows how."""
    size = 8 * shape[0] * shape[1]
    if size < PAGED or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros(shape)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        pages.madvise(mmap.MADV_NOHUGEPAGE)
    except OSError:
        return np.zeros(shape)
    return np.frombuffer(pages, dtype=np.float64).reshape(shape)
