"""Conversion of pandas indexes to and from JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

__all__ = ["pack_index", "unpack_index"]


def pack_index(index: pd.Index[Any]) -> dict[str, Any]:
    """Return an index as JSON values, with the kind that `unpack_index` needs."""
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
    """Return the index that `pack_index` stored."""
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
