"""Labels of a factor that differ only in blanks, case or the composition of letters: often one level, misspelt."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .recipe import Recipe

__all__ = ["alike", "spelling_advice"]

MOST_LEVELS = 100_000
"""Factors with more levels are not looked through."""

SHOWN = 3
"""Largest number of pairs of labels that the warning names in each column."""


def alike(levels: Sequence[Any] | pd.Index[Any]) -> list[list[str]]:
    """Return the groups of labels that are the same but for blanks, case and the composition of letters.

    Examples
    --------
    >>> alike(["low", "Low ", "high", "hi gh", 1])
    [['low', 'Low ']]
    """
    labels = np.asarray(levels, dtype=object).tolist()
    if _plainly_different(labels):
        return []
    groups: dict[str, list[str]] = {}
    for label in labels:
        if isinstance(label, str):
            groups.setdefault(_key(label), []).append(label)
    return [own for own in groups.values() if len(own) > 1]


def _plainly_different(labels: list[Any]) -> bool:
    """Return whether texts without blanks and accents differ in more than case: the quick answer for most columns."""
    try:
        written = "\n".join(labels)
    except TypeError:  # not all are texts
        return False
    whole = written.lower()
    if not whole.isascii() or any(blank in whole for blank in _BLANKS):
        return False
    if whole == written:  # no capitals; the labels are distinct
        return whole.count("\n") == len(labels) - 1
    words = whole.split("\n")
    return len(words) == len(labels) == len(set(words))


_BLANKS = " \t\r\v\f\x1c\x1d\x1e\x1f"


def _key(label: str) -> str:
    return unicodedata.normalize("NFC", " ".join(label.split()).casefold())


def spelling_advice(recipe: Recipe) -> str:
    """Return a warning that names the columns with labels that are alike, and what to do; empty if there are none."""
    found = {name: groups for name, levels in _columns(recipe) if (groups := alike(levels))}
    if not found:
        return ""
    named = "; ".join(f"{name!r}: {_listed(groups)}" for name, groups in found.items())
    remedies = "; ".join(_remedy(name, groups[0]) for name, groups in found.items())
    return (
        "labels that differ only in blanks, in case or in how letters are composed are different levels, in "
        f"{'column' if len(found) == 1 else 'columns'} {named}. If they are meant to be one level, make them the same "
        f"before the fit: {remedies}."
    )


def _columns(recipe: Recipe) -> Iterator[tuple[str, pd.Index[Any]]]:
    """Yield each column of labels once, with its levels."""
    columns: dict[str, pd.Index[Any]] = {}
    for name, variable in recipe.variables.items():
        if variable.levels is not None:
            columns.setdefault(name, variable.levels)
    for many in recipe.many:
        columns.setdefault(many.column, many.levels)
    for group in recipe.groups:
        parts = tuple(part.unique() for part in group.parts) or (group.levels,)
        if len(parts) == len(group.columns):
            for name, part in zip(group.columns, parts, strict=True):
                columns.setdefault(name, part)
    yield from ((name, levels) for name, levels in columns.items() if len(levels) <= MOST_LEVELS)


def _listed(groups: list[list[str]]) -> str:
    texts = [" and ".join(map(_shown, labels)) for labels in groups[:SHOWN]]
    return ", ".join(texts) + (f" and {len(groups) - SHOWN} more" if len(groups) > SHOWN else "")


def _shown(label: str) -> str:
    """Return a label so that its blanks and composed letters can be seen."""
    return repr(label) if unicodedata.is_normalized("NFC", label) and label.isprintable() else ascii(label)


def _remedy(name: str, labels: list[str]) -> str:
    """Return the code that makes some labels the same."""
    steps, texts = "", labels
    if len({unicodedata.normalize("NFC", text) for text in texts}) < len(texts):
        steps += ".str.normalize('NFC')"
        texts = [unicodedata.normalize("NFC", text) for text in texts]
    if len({" ".join(text.split()) for text in texts}) < len(set(texts)):
        inside = any(" ".join(text.split()) != text.strip() for text in texts)
        steps += ".str.split().str.join(' ')" if inside else ".str.strip()"
        texts = [" ".join(text.split()) for text in texts]
    if len(set(texts)) > 1:
        steps += (
            ".str.strip().str.lower()" if not steps and any(t != t.strip() for t in texts) else ".str.lower()"
        )
    return f"data[{name!r}] = data[{name!r}].astype(str){steps}"
