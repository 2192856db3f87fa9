"""The inverse of the additive relationship matrix of a pedigree.

With A = LDLᵀ as in `kernels.pedigree`, A⁻¹ = (I − ½P)ᵀD⁻¹(I − ½P), where P_ij is 1 if j is a parent of i (Henderson
1976, Biometrics 32:69; Quaas 1976, Biometrics 32:949). It has nonzero elements between parents and offspring, and
between the two parents of an animal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError, nearest, shown
from mixedfit.kernels.pedigree import inbreeding

__all__ = ["pedigree_inverse"]


def pedigree_inverse(
    pedigree: Any, animal: str, sire: str, dam: str
) -> tuple[pd.Index[Any], sparse.csc_array, Array]:
    """Return the labels of all animals, A⁻¹, and the inbreeding coefficients; see `Known.from_pedigree`."""
    labels, sires, dams = _parents(_columns(pedigree, animal, sire, dam), (animal, sire, dam))
    order = _generations(labels, sires, dams)
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    own = [np.where(parent < 0, -1, place[parent])[order] for parent in (sires, dams)]
    coefficients, sampling = np.empty(order.size), np.empty(order.size)
    inbreeding(own[0], own[1], coefficients, sampling)
    return labels, _inverse(sires, dams, sampling[place]), coefficients[place]


def _inverse(sires: IntArray, dams: IntArray, sampling: Array) -> sparse.csc_array:
    """Return A⁻¹ from the parents and the Mendelian sampling variance of each animal."""
    n = sires.size
    rows, columns, values = [np.arange(n)], [np.arange(n)], [np.ones(n)]
    for parent in (sires, dams):
        known = np.flatnonzero(parent >= 0)
        rows.append(known)
        columns.append(parent[known])
        values.append(np.full(known.size, -0.5))
    own = (np.concatenate(rows), np.concatenate(columns))
    gap = sparse.csc_array((np.concatenate(values), own), shape=(n, n))
    return sparse.csc_array(gap.T @ sparse.diags_array(1.0 / sampling) @ gap)


def _columns(pedigree: Any, *names: str) -> list[pd.Series[Any]]:
    table = pedigree if isinstance(pedigree, pd.DataFrame) else pd.DataFrame(_as_mapping(pedigree))
    out = []
    for name in names:
        if name not in table.columns:
            have = [str(column) for column in table.columns]
            raise DataError(
                f"the pedigree has no column {name!r} (columns: {', '.join(have)}). {nearest(name, have)} "
                "Name its columns: from_pedigree(frame, animal=..., sire=..., dam=...)."
            )
        out.append(table[name].reset_index(drop=True).astype(object))
    return out


def _as_mapping(pedigree: Any) -> Any:
    """Return a polars frame or an arrow table as a mapping of columns; others as they are."""
    if hasattr(pedigree, "columns") and hasattr(pedigree, "to_dict") and not isinstance(pedigree, dict):
        return pedigree.to_dict(as_series=False)
    return pedigree.to_pydict() if hasattr(pedigree, "to_pydict") else pedigree


UNKNOWN = frozenset({"", "0", ".", "*", "-", "?", "na", "n/a", "nan", "none", "null", "unknown", "<na>"})
"""Texts that stand for an unknown parent, in small letters: those of R, SAS, ASReml and pandas."""


def _unknown(values: pd.Series[Any]) -> Array:
    """Return whether each value stands for an unknown animal: missing, 0, or a text that says so."""
    return np.asarray(values.isna() | values.map(_says_unknown), dtype=bool)


def _says_unknown(value: Any) -> bool:
    if not isinstance(value, str):
        return bool(value == 0)
    text = value.strip().lower()
    return text in UNKNOWN or (text.strip("0") in ("", ".") and "0" in text)  # 00, 0.0


def _parents(
    columns: list[pd.Series[Any]], names: tuple[str, str, str]
) -> tuple[pd.Index[Any], IntArray, IntArray]:
    """Return the labels of all animals, founders without a row first, and the places of their parents, −1 unknown."""
    animals, *parents = columns
    empty = _unknown(animals)
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        raise DataError(
            f"row {row} of the pedigree has no animal ({names[0]!r} is {shown(animals[row])}); missing values, 0, "
            "'', '.', 'NA' and the like stand for unknown parents, and cannot be the label of an animal."
        )
    twice = animals[animals.duplicated()].tolist()
    if twice:
        raise DataError(f"the pedigree has more than one row for {shown(twice[0])}; give each animal one.")
    own = pd.Index(animals.tolist())
    given = [parent.mask(pd.Series(_unknown(parent)), None) for parent in parents]
    named = pd.Index(pd.unique(pd.concat([p[p.notna()] for p in given])).tolist())
    founders = named[own.get_indexer(named) < 0].tolist()
    _check_types(own, founders)
    labels = pd.Index([*founders, *own.tolist()])
    extra = np.full(len(founders), -1, np.int64)
    places = []
    for parent in given:
        at = np.full(len(parent), -1, np.int64)
        known = parent.notna().to_numpy()
        at[known] = labels.get_indexer(pd.Index(parent[known].tolist()))
        places.append(np.concatenate([extra, at]))
    return labels, places[0], places[1]


def _check_types(own: pd.Index[Any], founders: list[Any]) -> None:
    """Raise for parents that differ from animals in type only, such as 4 for '4'."""
    texts = {str(label): label for label in own.tolist()}
    for label in founders:
        twin = texts.get(str(label))
        if twin is not None:
            raise DataError(
                f"the parent {label!r} is of type {type(label).__name__}, the animal {twin!r} of type "
                f"{type(twin).__name__}: convert one of the columns of the pedigree."
            )


def _generations(labels: pd.Index[Any], sires: IntArray, dams: IntArray) -> IntArray:
    """Return an order of the animals with parents before their offspring.

    Raises
    ------
    DataError
        If an animal is its own ancestor; the message names the loop.
    """
    n = sires.size
    left = (sires >= 0).astype(np.int64) + (dams >= 0)
    offspring: list[list[int]] = [[] for _ in range(n)]
    for parent in (sires, dams):
        for child in np.flatnonzero(parent >= 0).tolist():
            offspring[parent[child]].append(child)
    order = np.flatnonzero(left == 0).tolist()
    for animal in order:  # grows while it is read
        for child in offspring[animal]:
            left[child] -= 1
            if left[child] == 0:
                order.append(child)
    if len(order) < n:
        raise DataError(_loop(labels, sires, dams, left))
    return np.array(order, dtype=np.int64)


def _loop(labels: pd.Index[Any], sires: IntArray, dams: IntArray, left: IntArray) -> str:
    """Return the message that names a loop among the animals that are left."""
    at = int(np.flatnonzero(left > 0)[0])
    path: list[int] = []
    while at not in path:
        path.append(at)
        at = next(int(p) for p in (sires[at], dams[at]) if p >= 0 and left[p] > 0)
    circle = [*path[path.index(at) :], at]
    if len(circle) == 2:
        return f"the pedigree has {shown(labels[at])} as its own parent."
    words = " is an offspring of ".join(shown(labels[i]) for i in circle)
    return f"the pedigree has a loop: {words}. No animal can be its own ancestor; correct one of these rows."
