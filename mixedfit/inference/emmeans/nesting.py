"""Nested factors of a reference grid, as R's emmeans finds them.

A factor is nested in others if each of its levels occurs with one level of theirs only, or if the model has it only in
interactions with them (``a/b`` is ``a + a:b``: b is nested in a).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from mixedfit.core.arrays import BoolArray, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.recipe import FixedTerm

__all__ = ["Nesting", "find_nesting", "nesting_note", "read_nesting"]

Nesting: TypeAlias = Mapping[str, tuple[str, ...]]
"""The factors in which each nested factor is nested."""


def find_nesting(
    names: Sequence[str], codes: IntArray, occurs: BoolArray, terms: Sequence[FixedTerm]
) -> dict[str, tuple[str, ...]]:
    """Return the nested factors.

    Parameters
    ----------
    names : sequence of str
        Factors with at least two levels in the grid.
    codes : ndarray, shape (cells, factors)
        Their levels in every cell of the grid.
    occurs : ndarray of bool, shape (cells,)
        Whether the cell has rows of the fit.
    terms : sequence of FixedTerm
        Terms of the fixed part, the intercept among them.
    """
    by_terms = _by_terms(names, terms)
    found = _by_levels(names, codes[occurs], by_terms)
    for name, parents in by_terms.items():
        found[name] = [*found.get(name, []), *(p for p in parents if p not in found.get(name, []))]
    for name, parents in found.items():
        above = [p for parent in parents for p in found.get(parent, [])]
        found[name] = list(dict.fromkeys([*above, *parents]))
    return {name: tuple(parents) for name, parents in found.items() if name not in parents}


def _by_levels(
    names: Sequence[str], codes: IntArray, by_terms: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Return the factors each of whose levels occurs with one level of others only; the formula goes first."""
    out: dict[str, list[str]] = {}
    for j, name in enumerate(names):
        parents = []
        for i, other in enumerate(names):
            if i == j or name in out.get(other, []) or name in by_terms.get(other, []):
                continue
            pairs = np.unique(codes[:, [j, i]], axis=0)
            if len(pairs) and len(pairs) == len(np.unique(pairs[:, 0])):
                parents.append(other)
        if parents:
            out[name] = parents
    return out


def _by_terms(names: Sequence[str], terms: Sequence[FixedTerm]) -> dict[str, list[str]]:
    """Return the factors that occur in interactions only; their parents there are coded by indicators of all levels."""
    every = {frozenset(term.variables) for term in terms}
    out = {}
    for name in names:
        if frozenset([name]) in every:
            continue
        own = [term for term in every if name in term]
        reduced = [term for term in own if term - {name} in every] or own
        sets = [
            frozenset(v for v in term if v in names and v != name and term - {v} not in every)
            for term in reduced
        ]
        least = [one for one in sets if one and not any(other < one for other in sets if other)]
        parents = [other for other in names if any(other in one for one in least)]
        if parents:
            out[name] = parents
    return out


def read_nesting(given: Any, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the user's nested factors: False or {} for none, a mapping, or text such as ``"site %in% status"``.

    Raises
    ------
    ModelError
        If it cannot be read, or names an unknown variable.
    """
    if given is False or given is None:
        return {}
    if isinstance(given, str):
        parts = [part.split("%in%") for part in given.split(",")]
        if any(len(part) != 2 for part in parts):
            raise ModelError(f"nesting={given!r} cannot be read; expected such as 'site %in% status'.")
        given = {own.strip(): [p.strip() for p in above.split("*")] for own, above in parts}
    if not isinstance(given, Mapping):
        raise ModelError(
            f"nesting is {given!r}; expected a mapping such as {{'site': ['status']}}, or False for no nesting."
        )
    out = {
        str(name): (parents,) if isinstance(parents, str) else tuple(parents)
        for name, parents in given.items()
    }
    for name in [*out, *(p for parents in out.values() for p in parents)]:
        if name not in names:
            raise ModelError(
                f"nesting names {name!r}, which is no factor of the grid with several values ({', '.join(names)}). "
                f"{nearest(name, names)}".rstrip()
            )
    return out


def nesting_note(nesting: Nesting) -> str:
    """Return the note on nested factors, or an empty string."""
    if not nesting:
        return ""
    pairs = ", ".join(f"{name} within {' and '.join(parents)}" for name, parents in nesting.items())
    return f"Nested factors: {pairs}."
