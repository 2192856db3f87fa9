"""Comparison of the rows of designs, in memory or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from .design import Design
from .stream.digest import row_digest

__all__ = ["first_difference"]


def first_difference(designs: Sequence[Design]) -> Literal["", "rows", "response", "weights"]:
    """Return in what the rows of designs differ first; empty if they are the same.

    Rows that are not in memory are compared by number and by the sum of hashes of response and weight.
    """
    first = designs[0]
    for other in designs[1:]:
        if first.absent is not None or other.absent is not None:
            if first.n != other.n:
                return "rows"
            if _digest(first) != _digest(other):
                return "response"
            continue
        if not other.index.equals(first.index):
            return "rows"
        if not np.array_equal(other.observed, first.observed):
            return "response"
        one, two = (np.ones(1) if w is None else w for w in (first.weights, other.weights))
        if not np.array_equal(one, two):
            return "weights"
    return ""


def _digest(design: Design) -> int:
    if design.absent is not None:
        return design.absent.known_totals().digest
    y = design.observed
    return row_digest([y] if design.weights is None else [y, design.weights], design.n)
