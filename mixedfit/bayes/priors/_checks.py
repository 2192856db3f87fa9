"""Checks of the numbers of a prior."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

__all__ = ["check_covariance", "check_positive", "numbers_of"]


def check_positive(owner: object, **numbers: Any) -> None:
    """Refuse numbers that are not positive and finite."""
    for name, value in numbers.items():
        good = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        if not (good and np.isfinite(value) and value > 0):
            units = (
                ""
                if name in ("df", "rate")
                else " Scales are standard deviations in the units of the response."
            )
            raise ModelError(
                f"{type(owner).__name__}: {name} is {value!r}; expected a positive finite number.{units}"
            )


def numbers_of(name: str, values: Any) -> Array:
    """Return the values as an array of numbers."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"{name} is {values!r}; expected numbers.") from None


def check_covariance(what: str, matrix: Array) -> None:
    """Refuse a matrix that is not symmetric and positive definite."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ModelError(f"{what} has shape {matrix.shape}; expected a square matrix.")
    symmetric = np.all(np.isfinite(matrix)) and np.allclose(matrix, matrix.T, rtol=1e-8, atol=0.0)
    if not symmetric or np.linalg.eigvalsh(matrix)[0] <= 0:
        raise ModelError(f"{what} must be symmetric and positive definite.")
