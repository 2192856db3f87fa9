"""Bare arrays under their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._types import Array
from .errors import ModelError

__all__ = ["check_level", "levels_table", "term_rows"]


def levels_table(levels: pd.Index[Any], effects: tuple[str, ...], values: Array) -> pd.DataFrame:
    """Return a table of levels × effects."""
    return pd.DataFrame(values.copy(), index=levels, columns=list(effects))


def term_rows(
    name: str, effects: tuple[str, ...], omega: Array, correlated: bool
) -> list[tuple[str, str | None, str | None, float, float]]:
    """Return one term's rows of `varcorr`: variances, then covariances column by column."""
    sd = np.sqrt(np.diag(omega))
    rows: list[tuple[str, str | None, str | None, float, float]] = [
        (name, effect, None, float(omega[i, i]), float(sd[i])) for i, effect in enumerate(effects)
    ]
    if correlated:
        for j in range(len(effects)):
            for i in range(j + 1, len(effects)):
                product = sd[i] * sd[j]
                correlation = float(omega[i, j] / product) if product > 0 else float("nan")
                rows.append((name, effects[j], effects[i], float(omega[i, j]), correlation))
    return rows


def check_level(level: float) -> float:
    """Return the coverage of an interval if it can be one.

    Raises
    ------
    ModelError
        Unless 0.5 ≤ level < 1: less is almost always a significance level given by mistake.
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
