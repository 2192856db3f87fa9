"""Files of a computation's state: nested values as JSON text and arrays in one npz file, without pickles."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from .errors import DataError
from .json_index import pack_index, pack_value, unpack_index, unpack_value
from .whole_file import whole_file

__all__ = ["read_state", "write_state"]


def write_state(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write a state to a file; a file that was there stays until the new one is complete.

    Parameters
    ----------
    path : str or Path
    state : mapping of str to values
        Numbers, text, arrays of numbers, sparse arrays, Series, frames and indexes, and mappings, lists, tuples and
        sets of these.

    Raises
    ------
    DataError
        If a value cannot be stored, or the file cannot be written.
    """
    arrays: dict[str, Any] = {}
    text = json.dumps(_packed(dict(state), arrays)).encode()
    try:
        with whole_file(path) as file:
            np.savez(file, state=np.frombuffer(text, dtype=np.uint8), **arrays)
    except OSError as error:
        raise DataError(f"cannot write {str(path)!r}: {error}") from None


def read_state(path: str | Path) -> dict[str, Any]:
    """Return the state in a file that `write_state` wrote.

    Raises
    ------
    DataError
        If the file is of another kind, or damaged.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        state: dict[str, Any] = _unpacked(json.loads(arrays["state"].tobytes()), arrays)
        return state
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        reason = "" if "pickle" in str(error) else f" ({error})"
        raise DataError(f"{str(path)!r} is no state saved by mixedfit, or is damaged{reason}.") from None


def _packed(value: Any, arrays: dict[str, Any]) -> Any:
    """Return a value as JSON; arrays of numbers go to `arrays`."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        name = f"a{len(arrays)}"
        arrays[name] = value
        return ["array", name]
    if sparse.issparse(value):
        own = sparse.csr_array(value)
        parts = [_packed(part, arrays) for part in (own.data, own.indices, own.indptr)]
        return ["sparse", parts, list(own.shape)]
    if isinstance(value, pd.Index):
        return ["index", pack_index(value)]
    if isinstance(value, pd.Series):
        return ["series", pack_index(value.index), _packed(value.to_numpy(), arrays)]
    if isinstance(value, pd.DataFrame):
        return ["frame", {str(name): pack_index(pd.Index(own)) for name, own in value.items()}]
    if isinstance(value, np.dtype):
        return ["dtype", value.str]
    for tag, kind in (("list", list), ("tuple", tuple), ("set", set)):
        if isinstance(value, kind):
            return [tag, [_packed(own, arrays) for own in value]]
    if isinstance(value, Mapping):
        return ["map", [[_packed(key, arrays), _packed(own, arrays)] for key, own in value.items()]]
    return ["value", pack_value(value)]


def _unpacked(stored: Any, arrays: Mapping[str, Any]) -> Any:
    tag, content, *rest = stored
    if tag == "array":
        return arrays[content]
    if tag == "sparse":
        return sparse.csr_array(tuple(_unpacked(own, arrays) for own in content), shape=tuple(rest[0]))
    if tag == "index":
        return unpack_index(content)
    if tag == "series":
        return pd.Series(_unpacked(rest[0], arrays), index=unpack_index(content))
    if tag == "frame":
        return pd.DataFrame({name: unpack_index(own) for name, own in content.items()})
    if tag == "dtype":
        return np.dtype(content)
    if tag in ("list", "tuple", "set"):
        own = [_unpacked(one, arrays) for one in content]
        return {"list": list, "tuple": tuple, "set": set}[tag](own)
    if tag == "map":
        return {_unpacked(key, arrays): _unpacked(own, arrays) for key, own in content}
    return unpack_value(content)
