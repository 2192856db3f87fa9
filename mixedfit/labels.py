"""Bare arrays under their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ._types import Array
from .errors import ModelError

__all__ = ["check_level", "levels_table", "pack_index", "term_rows", "unpack_index"]


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


def pack_index(index: pd.Index[Any]) -> dict[str, Any]:
    """Return labels as JSON can hold them, with the kind needed to restore them."""
    if isinstance(index, pd.MultiIndex):
        parts = [pack_index(index.get_level_values(i)) for i in range(index.nlevels)]
        return {
            "kind": "multi",
            "values": parts,
            "names": [None if n is None else str(n) for n in index.names],
        }
    if isinstance(index, pd.DatetimeIndex):
        return {"kind": "datetime", "values": [stamp.isoformat() for stamp in index]}
    if isinstance(index, pd.RangeIndex):
        return {"kind": "range", "values": [index.start, index.stop, index.step]}
    values = index.tolist()
    if all(isinstance(v, bool | int | float) for v in values):
        return {"kind": str(index.dtype), "values": values}
    kind = "str" if str(index.dtype) == "str" else "object"
    return {"kind": kind, "values": [str(v) for v in values]}


def unpack_index(stored: Mapping[str, Any]) -> pd.Index[Any]:
    """Return the labels that `pack_index` packed."""
    if stored["kind"] == "range":
        start, stop, step = stored["values"]
        return pd.RangeIndex(start, stop, step)
    if stored["kind"] == "multi":
        return pd.MultiIndex.from_arrays(
            [unpack_index(part) for part in stored["values"]], names=stored["names"]
        )
    if stored["kind"] == "datetime":
        return pd.DatetimeIndex(stored["values"])
    out: pd.Index[Any] = pd.Index(
        stored["values"], dtype=object if stored["kind"] == "text" else stored["kind"]
    )
    return out
