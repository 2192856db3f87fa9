"""Letters for means that do not differ: insertion and absorption (Piepho 2004, J. Comput. Graph. Stat. 13:456)."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from .._types import Array, BoolArray

__all__ = ["letters"]


def letters(estimates: Array, differ: BoolArray) -> list[str]:
    """Return letters: two means share one if and only if they do not differ.

    Parameters
    ----------
    estimates : ndarray, shape (k,)
        Letters begin with the lowest.
    differ : ndarray of bool, shape (k(k − 1)/2,)
        Whether the pairs (0, 1), (0, 2), …, (k − 2, k − 1) differ.
    """
    k = len(estimates)
    groups = [frozenset(range(k))]
    for (i, j), apart in zip(combinations(range(k), 2), differ, strict=True):
        if not apart:
            continue
        split = []
        for group in groups:
            split += [group - {i}, group - {j}] if {i, j} <= group else [group]
        distinct = list(dict.fromkeys(split))
        groups = [g for g in distinct if not any(g < other for other in distinct)]
    rank = np.argsort(np.argsort(estimates))
    groups.sort(key=lambda group: sorted(rank[list(group)]))
    names = [chr(ord("a") + n) if n < 26 else f"({n + 1})" for n in range(len(groups))]
    return ["".join(name for name, group in zip(names, groups, strict=True) if i in group) for i in range(k)]
