"""Checks of common options: names, counts, numbers of threads, coverage of intervals."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from .errors import MixedfitError, ModelError, nearest

__all__ = ["check_count", "check_level", "check_one_of", "threads_of"]


def check_one_of(
    name: str, value: object, known: Sequence[str], *, error: type[MixedfitError] = ModelError
) -> None:
    """Raise `error`, with the nearest name as a hint, unless an option is one of the names in `known`."""
    if not isinstance(value, str) or value not in known:
        *others, last = map(repr, known)
        expected = f"{', '.join(others)} or {last}" if others else last
        hint = nearest(str(value), known)
        raise error(f"{name}={value!r} is not known; expected {expected}. {hint}".rstrip())


def check_count(name: str, value: object, least: int) -> None:
    """Raise `ModelError` unless an option is a whole number of at least `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise ModelError(f"{name} is {value!r}; expected a whole number of at least {least}.")


def threads_of(n_jobs: int | None) -> int:
    """Return the number of threads for `n_jobs`; None and −1 mean one for each core."""
    whole = isinstance(n_jobs, int | np.integer) and not isinstance(n_jobs, bool | np.bool_)
    if n_jobs is None or (whole and n_jobs == -1):
        return os.cpu_count() or 1
    if not whole or n_jobs < 1:
        raise ModelError(f"n_jobs is {n_jobs!r}; expected a whole number of at least 1, or -1 for all cores.")
    return int(n_jobs)


def check_level(level: float) -> float:
    """Return the coverage of an interval as a float.

    Raises
    ------
    ModelError
        Unless 0.5 ≤ level < 1. A smaller number is almost always a significance level.
    """
    number = isinstance(level, int | float | np.number) and not isinstance(level, bool | np.bool_)
    if not (number and 0.5 <= float(level) < 1.0):
        advice = ""
        if number and 0.0 < float(level) < 0.5:
            advice = f" For a significance level of {level:g} give {1.0 - float(level):g}."
        elif number and 1.0 < float(level) < 100.0:
            advice = f" For {level:g} percent give {float(level) / 100:g}."
        raise ModelError(
            f"level is {level!r}, the coverage of an interval; expected at least 0.5 and below 1, such as 0.95.{advice}"
        )
    return float(level)
