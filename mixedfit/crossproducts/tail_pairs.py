"""Products of a tail that is too large to be factorised: a sparse matrix, without fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError

__all__ = ["LARGEST_DENSE", "Solver", "TailPairs", "rows_of_tail", "summed_pairs"]

LARGEST_DENSE = 10_000
"""Most columns of a tail that is stored as a dense matrix: 0.8 GB for each of about four copies."""

LARGEST_SPARSE = 1 << 27
"""Most elements of the factor of a sparse tail: 1 GB for each of about four copies."""


@dataclass(frozen=True, eq=False)
class TailPairs:
    """Products of a tail with itself and with [X y], for iterative solution.

    Attributes
    ----------
    pairs : sparse array, shape (q, q)
        G, symmetric.
    sides : ndarray, shape (q, p + 1)
    probes : int
        Number of random vectors from which log-determinants and traces are estimated.
    rough : bool
        Whether a few digits are enough, as on the way to a start.
    """

    pairs: sparse.csr_array
    sides: Array
    probes: int
    rough: bool = False

    def diagonal(self) -> Array:
        """Return the squared norms of the columns, shape (q,)."""
        return np.asarray(self.pairs.diagonal())

    def blocks(self, heads: IntArray, within: IntArray, widest: int) -> Array:
        """Return the diagonal blocks up to the diagonal, shape (q, widest); see `kernels.iterative`."""
        out = np.zeros((heads.size, widest))
        every = np.arange(heads.size)
        for b in range(widest):
            rows = every[within >= b]
            out[rows, b] = np.asarray(self.pairs[rows, heads[rows] + b]).ravel()
        return out


@dataclass(frozen=True, slots=True)
class Solver:
    """How systems of the tail's size are solved.

    Attributes
    ----------
    kind : {"auto", "exact", "iterative"}
    probes : int
        Number of random vectors of an iterative solution.
    """

    kind: Literal["auto", "exact", "iterative"] = "auto"
    probes: int = 20

    def is_iterative(self, tail: Sequence[Any], pattern: Any, blocks: Sequence[Any]) -> bool:
        """Return whether a tail is solved iteratively; `pattern` is that of its factor, None for a dense one.

        Raises
        ------
        ModelError
            If that is asked for and not available.
        """
        if self.kind == "exact":
            return False
        reason = None
        if not tail:
            reason = "there is one grouping factor, which needs no solver"
        elif any(place.block < 0 for place in tail):
            reason = "a fixed factor has many levels"
        elif any(block.known is not None for block in blocks):
            reason = "levels have known relationships"
        if self.kind == "iterative" and reason:
            raise ModelError(f'Control(solver="iterative"): {reason}. Leave out solver=.')
        if reason:
            return False
        columns = tail[-1].stop
        large = columns > LARGEST_DENSE if pattern is None else pattern.length > LARGEST_SPARSE
        return self.kind == "iterative" or bool(large)


def summed_pairs(parts: Iterable[sparse.csr_array], q: int) -> sparse.csr_array:
    """Return the sum of RᵀR of the rows of Z of each part, added up in pairs of like size."""
    stack: list[tuple[int, sparse.csr_array]] = []
    for part in parts:
        stack.append((1, sparse.csr_array(part.T @ part)))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            (size, last), (_, before) = stack.pop(), stack.pop()
            stack.append((2 * size, sparse.csr_array(before + last)))
    total = sparse.csr_array((q, q))
    for _, part in stack:
        total = sparse.csr_array(total + part)
    return total


def rows_of_tail(codes: IntArray, z: Array, layout: Sequence[tuple[int, int]], q: int) -> sparse.csr_array:
    """Return some rows of Z, shape (rows, q), from levels and effects; `layout` has offset and k of each factor."""
    columns = np.concatenate(
        [offset + codes[:, [f]] * k + np.arange(k, dtype=np.int64) for f, (offset, k) in enumerate(layout)],
        axis=1,
    )
    n, width = columns.shape
    pointers = np.arange(n + 1, dtype=np.int64) * width
    return sparse.csr_array((z.ravel(), columns.ravel(), pointers), shape=(n, q))
