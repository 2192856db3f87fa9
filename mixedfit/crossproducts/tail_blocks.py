"""The products of a dense tail as blocks: those of one factor's columns with each other are of the same level only.

A row of the data has one level of each factor. The rest of the tail's triangle is 0, and its memory was never touched
where `paged_zeros` made it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array

from .crossprod import CrossProducts
from .tail_pairs import TailPairs

__all__ = ["lower_copy", "rough_pairs"]

ROWS = 256
"""Rows that are searched for nonzero elements at a time."""


def lower_copy(cross: CrossProducts) -> Array:
    """Return a copy of the lower triangle of the products of a dense tail, with numbers or zeros above it."""
    if cross.first_block < 0:  # what was absorbed before has filled the blocks
        return cross.gram.copy()
    gram, q = cross.gram, cross.q_tail
    out = np.zeros(gram.shape)  # pages that stay untouched take no time
    out[q:] = gram[q:]
    for place in cross.tail:
        rows = slice(place.offset, place.stop)
        out[rows, : place.offset] = gram[rows, : place.offset]
        for a in range(place.k):
            at = np.arange(place.offset + a, place.stop, place.k)
            for b in range(a + 1):
                out[at, at - a + b] = gram[at, at - a + b]
    return out


def rough_pairs(cross: CrossProducts, probes: int) -> TailPairs:
    """Return the products of a dense tail beside a first factor, for iterative solutions with a few digits."""
    q = cross.q_tail
    lower = sparse.csr_array(sparse.vstack([*_rows(cross)]))
    strict = sparse.tril(lower, k=-1)
    pairs = sparse.csr_array(lower + strict.T)
    return TailPairs(pairs, cross.gram[q:, :q].T.copy(), probes, rough=True)


def _rows(cross: CrossProducts) -> Iterator[sparse.csr_array]:
    """Yield the lower triangle of the tail's products, some rows at a time."""
    gram, q = cross.gram, cross.q_tail
    for place in cross.tail:
        step = ROWS * place.k
        for start in range(place.offset, place.stop, step):
            stop = min(start + step, place.stop)
            before = gram[start:stop, : place.offset]
            found = np.nonzero(before)
            rows, columns, values = [found[0]], [found[1]], [before[found]]
            for a in range(place.k):
                at = np.arange(start + a, stop, place.k)
                for b in range(a + 1):
                    rows.append(at - start)
                    columns.append(at - a + b)
                    values.append(gram[at, at - a + b])
            own = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
            yield sparse.csr_array(own, shape=(stop - start, q))
