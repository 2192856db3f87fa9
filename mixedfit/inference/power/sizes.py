"""Frames of studies of other sizes: levels and rows are copied or thinned, each arm keeps its share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from mixedfit.core.arrays import IntArray
from mixedfit.core.errors import ModelError
from mixedfit.design.model_frame import names_by_part

from .study import Study

__all__ = ["arm_counts", "arms_of", "with_levels", "with_rows"]

FEW = 6
"""Distinct numbers up to which a column counts as a factor where the sample size changes."""


def with_levels(
    frame: pd.DataFrame, column: str, count: int, grouping: Collection[str], factors: Sequence[str] = ()
) -> pd.DataFrame:
    """Return data with another number of levels of a grouping column.

    All levels are copied as often as `count` allows. The remaining ones are copies of evenly spaced levels of each arm,
    so that every arm keeps its share. Each copy has new labels of the column and of grouping columns nested in it.

    Parameters
    ----------
    frame : pandas.DataFrame
    column : str
    count : int
        Number of levels.
    grouping : collection of str
        All columns of grouping factors.
    factors : sequence of str
        Columns whose combinations are the arms; see `arms_of`.

    Raises
    ------
    ModelError
        If there are no levels to copy.
    """
    codes, labels = pd.factorize(frame[column])
    if len(labels) == 0:
        raise ModelError(f"{column!r} has no levels to copy; all its values are missing.")
    first = np.array([int(np.argmax(codes == level)) for level in range(len(labels))])
    arms = _arm_codes(frame.iloc[first], factors)
    if count <= arms.max(initial=0):
        raise ModelError(
            f"{count} levels of {column!r} are too few for the {arms.max() + 1} combinations of {', '.join(factors)} "
            "that its levels have; each needs one at least."
        )
    sources, copies = _by_arm(arms, count)
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


def with_rows(frame: pd.DataFrame, column: str, count: int, factors: Sequence[str] = ()) -> pd.DataFrame:
    """Return data with another number of rows in each level of a grouping column.

    All rows of a level are copied as often as `count` allows. The remaining ones are copies of evenly spaced rows
    of each condition, which keeps the conditions' shares and the range of variables within the level. Rows with a
    missing level are left out.

    Parameters
    ----------
    frame : pandas.DataFrame
    column : str
    count : int
        Number of rows of each level.
    factors : sequence of str
        Columns whose combinations are the conditions; see `arms_of`.
    """
    codes, labels = pd.factorize(frame[column])
    if len(labels) == 0:
        raise ModelError(f"{column!r} has no levels; all its values are missing.")
    taken = []
    for level in range(len(labels)):
        own = np.flatnonzero(codes == level)
        taken.append(own[_by_arm(_arm_codes(frame.iloc[own], factors), count)[0]])
    return frame.iloc[np.concatenate(taken)].reset_index(drop=True)


def arms_of(study: Study, frame: pd.DataFrame, column: str, *, within: bool) -> list[str]:
    """Return the fixed factors that are constant in each level of a grouping column, or that vary `within` levels.

    Factors are columns of labels, booleans, or numbers with at most `FEW` values.
    """
    fixed = names_by_part(study.design.formula).get("X", ())
    out = []
    for name in fixed:
        if name in frame and name != column and frame[name].nunique() > 1:
            values = frame[name]
            few = not pd.api.types.is_numeric_dtype(values) or values.nunique() <= FEW
            constant = int(frame.groupby(column, observed=True)[name].nunique().max()) <= 1
            if few and constant != within:
                out.append(name)
    return out


def arm_counts(study: Study, size: Mapping[tuple[str, str], int]) -> dict[str, str]:
    """Return the numbers of levels, or of rows, of each arm of a resized study, under the name of a column."""
    out = {}
    for option, column in size:
        factors = arms_of(study, study.frame, column, within=option == "within")
        if factors:
            frame = study.frame if option == "within" else study.frame.drop_duplicates(column)
            counts = frame.groupby(factors, observed=True, sort=False).size()
            keys = [key if isinstance(key, tuple) else (key,) for key in counts.index]
            text = ", ".join(f"{' '.join(map(str, key))} {n}" for key, n in zip(keys, counts, strict=True))
            out[f"{'rows' if option == 'within' else column} by {', '.join(factors)}"] = text
    return out


def _arm_codes(frame: pd.DataFrame, factors: Sequence[str]) -> IntArray:
    """Return the arm of each row, in order of appearance."""
    if not factors:
        return np.zeros(len(frame), dtype=np.int64)
    return (
        frame.groupby(list(factors), observed=True, sort=False, dropna=False)
        .ngroup()
        .to_numpy()
        .astype(np.int64)
    )


def _by_arm(arms: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Return `count` positions with the arms' shares kept, and the number of the copy of each; copy by copy."""
    members = [np.flatnonzero(arms == arm) for arm in range(int(arms.max(initial=0)) + 1)]
    sources, copies = [], []
    for own, number in zip(members, _apportioned(count, [own.size for own in members]), strict=True):
        sources.append(own[_in_turn(own.size, number)])
        copies.append(np.arange(number) // own.size)
    positions, copy = np.concatenate(sources), np.concatenate(copies)
    order = np.lexsort((positions, copy))
    return positions[order], copy[order]


def _apportioned(count: int, sizes: Sequence[int]) -> list[int]:
    """Return `count` parted in proportion to sizes: largest remainders, at least 1 each if there are enough."""
    shares = count * np.array(sizes) / sum(sizes)
    out = np.floor(shares).astype(np.int64)
    if count >= len(sizes):
        out = np.maximum(out, 1)
    while out.sum() != count:
        gaps = shares - out
        out[int(np.argmax(gaps))] += 1 if out.sum() < count else 0
        if out.sum() > count:
            out[int(np.argmin(np.where(out > 1, gaps, np.inf)))] -= 1
    return [int(number) for number in out]


def _in_turn(size: int, count: int) -> IntArray:
    """Return `count` positions among `size`: all as often as possible, then evenly spaced ones."""
    whole, rest = divmod(count, size)
    return np.concatenate([np.tile(np.arange(size), whole), np.arange(rest) * size // max(rest, 1)])


def _nested(inner: pd.Series, codes: np.ndarray) -> bool:
    """Return whether every label of a column occurs with one level only."""
    pairs = pd.DataFrame({"inner": inner.to_numpy(), "outer": codes}).dropna().drop_duplicates()
    return bool(pairs["inner"].is_unique)
