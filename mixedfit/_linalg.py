"""numpy's factorisations under the types that they return."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ._types import Array

__all__ = ["inverse", "triangle"]


def triangle(matrix: Any) -> Array:
    """Return R of the QR factorisation, shape (min(rows, columns), columns)."""
    return cast(Array, np.linalg.qr(matrix, mode="r"))


def inverse(matrix: Any) -> Array:
    """Return the inverse of small square matrices, shape (…, k, k)."""
    return cast(Array, np.linalg.inv(matrix))
