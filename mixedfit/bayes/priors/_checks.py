"""Checks of the numbers of a prior, and the text that all priors share."""

from __future__ import annotations

import inspect
import re
from functools import wraps
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest

__all__ = [
    "Distributed",
    "as_numbers",
    "check_covariance",
    "check_positive",
    "explain_arguments",
    "matrix_text",
]


class Distributed:
    """Base of the priors that are stated as ``name ~ prior``."""

    __slots__ = ()

    def about(self, name: str) -> str:
        """Return the prior stated for a parameter's name."""
        return f"{name} ~ {self}"


_ARGUMENTS = {
    "cov": ("covariance", "matrix"),
    "lam": ("mean",),
    "loc": ("mean", "median"),
    "mu": ("mean",),
    "n": ("eta", "df"),
    "nu": ("df",),
    "s": ("scale", "sd"),
    "scale": ("sd", "mean"),
    "sd": ("scale", "sds"),
    "sigma": ("sd", "scale"),
    "std": ("sd", "scale"),
}
"""Arguments of distributions elsewhere, and those of the priors."""


def explain_arguments(prior: type) -> None:
    """Make the constructor of a prior refuse wrong arguments with its own, and an example of a call."""
    init: Any = prior.__init__  # type: ignore[misc]
    signature = inspect.signature(init)
    names = list(signature.parameters)[1:]

    @wraps(init)
    def checked(self: Any, *values: Any, **named: Any) -> None:
        try:
            signature.bind(self, *values, **named)
        except TypeError as error:
            raise TypeError(_explained(prior.__name__, names, signature, named, str(error))) from None
        init(self, *values, **named)

    prior.__init__ = checked  # type: ignore[misc]


def _explained(prior: str, names: list[str], signature: inspect.Signature, named: Any, error: str) -> str:
    """Return the message for arguments that do not fit."""
    shown = ", ".join(
        f"{name}={p.default!r}" if p.default is not p.empty else str(p)
        for name, p in signature.parameters.items()
    ).removeprefix("self, ")
    shown = re.sub(r": [^,=]+", "", shown).removeprefix("self")
    unknown = next((name for name in named if name not in names), None)
    if unknown is None:
        return f"{prior}({shown}): {error}."
    said = f"{prior}({shown}) has no argument {unknown!r}"
    use = next((name for name in _ARGUMENTS.get(unknown.lower(), ()) if name in names), None)
    return f"{said}; use {use!r}." if use else f"{said}. {nearest(unknown, names)}".rstrip()


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
