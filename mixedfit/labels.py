"""Bare arrays under their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ._types import Array

__all__ = ["levels_table", "term_rows"]


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
