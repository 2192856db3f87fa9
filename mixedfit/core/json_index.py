"""Conversion of labels to and from JSON values with their types, for files; reading executes nothing."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from .errors import DataError

__all__ = ["pack_index", "pack_labels", "pack_value", "unpack_index", "unpack_value"]

_Codec = tuple[type[Any], Callable[[Any], Any], Callable[[Any], Any]]


def _stamp(stored: list[Any]) -> pd.Timestamp:
    text, zone = stored
    stamp = pd.Timestamp(text)
    return stamp if zone is None else stamp.tz_convert(zone)


def _interval(stored: list[Any]) -> pd.Interval[Any]:
    left, right, closed = stored
    return pd.Interval(unpack_value(left), unpack_value(right), closed=closed)


_TYPES: dict[str, _Codec] = {
    "interval": (pd.Interval, lambda v: [pack_value(v.left), pack_value(v.right), v.closed], _interval),
    "period": (pd.Period, lambda v: [v.ordinal, v.freqstr], lambda s: pd.Period(ordinal=s[0], freq=s[1])),
    "timestamp": (pd.Timestamp, lambda v: [v.isoformat(), None if v.tz is None else str(v.tz)], _stamp),
    "timedelta": (pd.Timedelta, lambda v: v.isoformat(), pd.Timedelta),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "tuple": (tuple, lambda v: [pack_value(one) for one in v], lambda s: tuple(map(unpack_value, s))),
    "frozenset": (
        frozenset,
        lambda v: [pack_value(one) for one in v],
        lambda s: frozenset(map(unpack_value, s)),
    ),
    "decimal": (Decimal, str, Decimal),
    "fraction": (Fraction, str, Fraction),
    "uuid": (UUID, str, UUID),
    "complex": (complex, lambda v: [v.real, v.imag], lambda s: complex(*s)),
    "list": (list, lambda v: [pack_value(one) for one in v], lambda s: [unpack_value(one) for one in s]),
    "map": (
        dict,
        lambda v: [[pack_value(key), pack_value(one)] for key, one in v.items()],
        lambda s: {unpack_value(key): unpack_value(one) for key, one in s},
    ),
    "array": (
        np.ndarray,
        lambda v: {"dtype": v.dtype.str, "values": v.tolist()},
        lambda s: np.array(s["values"], dtype=s["dtype"]) if isinstance(s, dict) else np.array(s),
    ),
}
"""For each tag in a file: the type, and how a value becomes JSON and a value again; the first type that fits."""

_MISSING = {"NA": pd.NA, "NaT": pd.NaT}


def pack_value(value: Any) -> Any:
    """Return a value as JSON, with its type where JSON does not have it.

    Raises
    ------
    DataError
        If the type has no place in a file: only numbers, text, times, intervals and collections of these have.
    """
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    for name, one in _MISSING.items():
        if value is one:
            return {"missing": name}
    for tag, (kind, pack, _) in _TYPES.items():
        if type(value) is kind or (tag == "interval" and isinstance(value, kind)):
            if isinstance(value, np.ndarray) and value.dtype.kind not in "iufb":
                break
            packed = {tag: pack(value)}
            if tag not in ("array", "map", "list") and unpack_value(packed) != value:
                break  # a zone without a name, a fold
            return packed
    raise DataError(f"{value!r} of type {type(value).__name__} has no place in a file of numbers and text")


def unpack_value(stored: Any) -> Any:
    """Return the value that `pack_value` packed."""
    if not isinstance(stored, dict):
        return stored
    ((tag, content),) = stored.items()
    return _MISSING[content] if tag == "missing" else _TYPES[tag][2](content)


def pack_labels(what: str, labels: pd.Index[Any], advice: str) -> dict[str, Any]:
    """Return labels as `pack_index` does; where they cannot be saved, say what they are and what to do."""
    try:
        return pack_index(labels)
    except DataError as error:
        raise DataError(
            f"the fit cannot be saved: {what} have {error}. {advice}, or pickle the fit."
        ) from None


def pack_index(index: pd.Index[Any]) -> dict[str, Any]:
    """Return an index as JSON values, with the kind that `unpack_index` needs.

    Raises
    ------
    DataError
        If a file cannot hold a label.
    """
    if isinstance(index, pd.MultiIndex):
        parts = [pack_index(index.get_level_values(i)) for i in range(index.nlevels)]
        return {"kind": "multi", "values": parts, "names": [pack_value(name) for name in index.names]}
    out = _pack_values(index)
    if index.name is not None:
        out["name"] = pack_value(index.name)
    return out


def _pack_values(index: pd.Index[Any]) -> dict[str, Any]:
    kind = str(index.dtype)
    if isinstance(index, pd.RangeIndex):
        return {"kind": "range", "values": [index.start, index.stop, index.step]}
    if isinstance(index, pd.CategoricalIndex):
        codes, ordered = index.codes.tolist(), bool(index.ordered)
        return {"kind": "category", "values": [codes, pack_index(index.categories), ordered]}
    if isinstance(index, pd.IntervalIndex):
        ends = [pack_index(index.left), pack_index(index.right)]
        return {"kind": "interval", "values": [*ends, index.closed]}
    if isinstance(index, pd.PeriodIndex):
        return {"kind": kind, "values": index.asi8.tolist()}
    if isinstance(index, pd.DatetimeIndex | pd.TimedeltaIndex):
        zone = _zone(index)
        return {
            "kind": "times",
            "dtype": f"{index.dtype.kind}8[{index.unit}]",
            "zone": zone,
            "freq": index.freqstr,
            "values": index.asi8.tolist(),
        }
    values = index.tolist()
    if isinstance(index.dtype, np.dtype) and index.dtype.kind in "biuf":
        return {"kind": kind, "values": values}
    if kind in ("object", "str") and all(type(value) is str for value in values):
        return {"kind": kind, "values": values}
    return {"kind": "values", "dtype": kind, "values": [pack_value(value) for value in values]}


def _zone(index: Any) -> str | None:
    """Return the name of an index's time zone, None if it has none."""
    zone = getattr(index, "tz", None)
    if zone is None:
        return None
    try:
        if index.equals(index.tz_convert(str(zone))):
            return str(zone)
    except (ValueError, TypeError, LookupError):
        pass
    raise DataError(f"the time zone {zone!r} has no name that a file could hold")


def unpack_index(stored: Mapping[str, Any]) -> pd.Index[Any]:
    """Return the index that `pack_index` stored."""
    if stored["kind"] == "multi":
        parts, names = [unpack_index(part) for part in stored["values"]], map(unpack_value, stored["names"])
        return pd.MultiIndex.from_arrays(parts, names=list(names))
    out: pd.Index[Any] = _unpack_values(stored)
    if "name" in stored:
        out.name = unpack_value(stored["name"])
    return out


def _unpack_values(stored: Mapping[str, Any]) -> Any:
    kind, values = stored["kind"], stored["values"]
    if kind == "range":
        return pd.RangeIndex(*values)
    if kind == "category":
        codes, categories, ordered = values
        known = unpack_index(categories)
        return pd.CategoricalIndex(pd.Categorical.from_codes(codes, categories=known, ordered=ordered))
    if kind == "interval":
        left, right, closed = values
        return pd.IntervalIndex.from_arrays(unpack_index(left), unpack_index(right), closed=closed)
    if kind.startswith("period["):
        ordinals = np.array(values, dtype=np.int64)
        return pd.PeriodIndex(pd.arrays.PeriodArray(ordinals, dtype=pd.PeriodDtype(kind[7:-1])))
    if kind == "times":
        return _unpack_times(stored)
    if kind == "datetime":
        return pd.DatetimeIndex(values)
    if kind == "values":
        found = [unpack_value(value) for value in values]
        if stored["dtype"] != "object":
            return pd.Index(found, dtype=stored["dtype"])
        return pd.Index(_objects(found), dtype=object)
    return pd.Index(values, dtype=object if kind == "text" else kind)


def _objects(values: list[Any]) -> Any:
    """Return an array of objects, of which tuples stay one each."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _unpack_times(stored: Mapping[str, Any]) -> Any:
    numbers = np.array(stored["values"], dtype=np.int64).view(stored["dtype"])
    out: Any = pd.DatetimeIndex(numbers) if numbers.dtype.kind == "M" else pd.TimedeltaIndex(numbers)
    if stored["zone"] is not None:
        out = out.tz_localize("UTC").tz_convert(stored["zone"])
    if stored["freq"] is not None:
        out.freq = stored["freq"]
    return out
