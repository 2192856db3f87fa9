"""More, or fewer, levels of a grouping factor: rows of the levels that there are, copied under new labels."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from .errors import ModelError

__all__ = ["with_levels", "with_rows"]


def with_levels(frame: pd.DataFrame, column: str, count: int, grouping: Collection[str]) -> pd.DataFrame:
    """Return rows with another number of levels of a grouping column.

    Levels are taken in turn in the order in which they occur; of a part of them, evenly spaced ones, so that arms of
    a study stay balanced. Labels of grouping columns nested in it become those of the copy too.

    Parameters
    ----------
    frame : pandas.DataFrame
    column : str
    count : int
    grouping : collection of str
        All columns that serve as grouping factors.

    Raises
    ------
    ModelError
        If there are no levels to copy.
    """
    codes, labels = pd.factorize(frame[column])
    if len(labels) == 0:
        raise ModelError(f"{column!r} has no levels to copy; all its values are missing.")
    whole, rest = divmod(count, len(labels))
    sources = np.concatenate(
        [np.tile(np.arange(len(labels)), whole), np.arange(rest) * len(labels) // max(rest, 1)]
    ).astype(np.int64)
    copies = np.concatenate([np.repeat(np.arange(whole), len(labels)), np.full(rest, whole)]).astype(np.int64)
    rows = [np.flatnonzero(codes == level) for level in range(len(labels))]
    taken = np.concatenate([rows[level] for level in sources])
    copy = np.repeat(copies, [len(rows[level]) for level in sources])
    out = frame.iloc[taken].reset_index(drop=True)
    for name in (c for c in grouping if c == column or _nested(frame[c], codes)):
        own = out[name]
        texts = [
            f"{label}.{number + 1}" if number else str(label) for label, number in zip(own, copy, strict=True)
        ]
        out[name] = pd.Series(texts, dtype=object).where(own.notna().to_numpy(), None)
    return out


def with_rows(frame: pd.DataFrame, column: str, count: int) -> pd.DataFrame:
    """Return rows with another number of rows in each level of a grouping column.

    Rows of a level are taken in turn in their order; of a part of them, evenly spaced ones, so that what varies within
    the level keeps its range. Rows without a level are left out.

    Parameters
    ----------
    frame : pandas.DataFrame
    column : str
    count : int
        Rows of each level.
    """
    codes, labels = pd.factorize(frame[column])
    if len(labels) == 0:
        raise ModelError(f"{column!r} has no levels; all its values are missing.")
    taken = []
    for level in range(len(labels)):
        own = np.flatnonzero(codes == level)
        whole, rest = divmod(count, own.size)
        taken += [np.tile(own, whole), own[np.arange(rest) * own.size // max(rest, 1)]]
    return frame.iloc[np.concatenate(taken)].reset_index(drop=True)


def _nested(inner: pd.Series, codes: np.ndarray) -> bool:
    """Return whether every label of a column occurs with one level only."""
    pairs = pd.DataFrame({"inner": inner.to_numpy(), "outer": codes}).dropna().drop_duplicates()
    return bool(pairs["inner"].is_unique)
