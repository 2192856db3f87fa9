"""Memory of a fit, estimated from the sizes of its cross-products before they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixedfit.core.memory import check_memory

from .sparse_products import SparsePattern
from .tail_pairs import TailPairs

__all__ = ["check_fit_memory", "fit_bytes"]

COPIES = 4
"""Matrices of the size of the tail's products that a search has at its peak."""


def fit_bytes(
    first: Any, q: int, width: int, pattern: SparsePattern | None, pairs: TailPairs | None = None
) -> int:
    """Return the bytes that cross-products and their factorisation take.

    Parameters
    ----------
    first : FirstFactor
    q : int
        Number of columns of the tail.
    width : int
        Number of columns of [X y].
    pattern : SparsePattern or None
        None for a dense tail.
    pairs : TailPairs, optional
        Of a tail that is solved iteratively.
    """
    if pairs is not None:
        columns = 6 * (pairs.probes + width) * q
        return 8 * int(
            4 * first.values.size + 3 * (first.gram.size + first.border.size) + columns + 2 * pairs.pairs.nnz
        )
    tail = (q + width) ** 2 if pattern is None else int(pattern.start[-1]) + q * width
    return 8 * int(2 * first.values.size + 3 * (first.gram.size + first.border.size) + COPIES * tail)


def check_fit_memory(
    first: Any, tail: Sequence[Any], width: int, pattern: SparsePattern | None, pairs: TailPairs | None = None
) -> None:
    """Warn if a fit needs more memory than is free."""
    q = tail[-1].stop if tail else 0
    kind = f"a dense matrix of {q + width:,} columns" if pattern is None else "a sparse matrix"
    if pairs is not None:
        kind = f"{pairs.probes} random vectors"
    check_memory(
        fit_bytes(first, q, width, pattern, pairs),
        f"the fit, with {kind} for the factors behind the largest,",
        "Leave out a factor or effects, or use a machine with more memory.",
    )
