"""Checks of the numbers of a prior, and the text that all priors share."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError

__all__ = ["Distributed", "as_numbers", "check_covariance", "check_positive", "matrix_text"]


class Distributed:
    """Base of the priors that are stated as ``name ~ prior``."""

    __slots__ = ()

    def about(self, name: str) -> str:
        """Return the prior stated for a parameter's name."""
        return f"{name} ~ {self}"


def check_positive(owner: object, **numbers: Any) -> None:
    """Raise unless all numbers are positive and finite."""
    for name, value in numbers.items():
        good = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        if not (good and np.isfinite(value) and value > 0):
            units = (
                ""
                if name in ("df", "rate", "eta")
                else " Scales are standard deviations in the units of the response."
            )
            raise ModelError(
                f"{type(owner).__name__}: {name} is {value!r}; expected a positive finite number.{units}"
            )


def as_numbers(name: str, values: Any) -> Array:
    """Return a user's value as an array of numbers."""
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"{name} is {values!r}; expected numbers.") from None


def check_covariance(name: str, matrix: Array) -> None:
    """Raise unless a matrix is symmetric and positive definite."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ModelError(f"{name} has shape {matrix.shape}; expected a square matrix.")
    is_symmetric = np.all(np.isfinite(matrix)) and np.allclose(matrix, matrix.T, rtol=1e-8, atol=0.0)
    if not is_symmetric or np.linalg.eigvalsh(matrix)[0] <= 0:
        raise ModelError(f"{name} must be symmetric and positive definite.")


def matrix_text(matrix: Any) -> str:
    """Return a matrix as nested lists of numbers with four digits."""
    rows = (", ".join(f"{value:.4g}" for value in row) for row in np.atleast_2d(matrix))
    return f"[{', '.join(f'[{row}]' for row in rows)}]"
