"""Cross-products after projection of Z, X and y off a fixed factor with many levels, for the search of REML.

With Q = I − M(MᵀM)⁻¹Mᵀ, log|V| + log|[M X]ᵀV⁻¹[M X]| and the residual sum of squares are those of QZ, QX and Qy with
n − rank M rows, but for a constant (Harville 1974, Biometrika 61:383: REML is the likelihood of error contrasts). M
has a column for each level of one factor, so that MᵀM is diagonal.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array

from .crossprod import CrossProducts, FirstFactor, TailBlock

__all__ = ["absorbed"]

LARGEST_SHARE = 0.6
"""Largest share of the tail's columns that may be left for the search to be worth it; its cost is their cube."""

FEWEST = 200
"""Fewest columns of a tail that is worth it."""


def absorbed(cross: CrossProducts) -> CrossProducts | None:
    """Return cross-products without the columns of the largest many-level fixed factor.

    They have the same REML criterion in θ, but for a constant. The first factor's effects become part of the dense
    tail, since the projection ties its levels to each other. None if that would save nothing.
    """
    fixed = [place for place in cross.tail if place.block < 0]
    if not fixed or cross.first_block < 0 or cross.sparse is not None or cross.pairs is not None:
        return None
    chosen = max(fixed, key=lambda place: place.levels)
    levels, k = cross.first.gram.shape[:2]
    left = levels * k + cross.q_tail - chosen.levels
    if cross.q_tail < FEWEST or left > LARGEST_SHARE * cross.q_tail or cross.has_known:
        return None
    tail, at = [TailBlock(cross.first_block, 0, levels, k)], levels * k
    for place in cross.tail:
        if place is not chosen:
            tail.append(replace(place, offset=at))
            at = tail[-1].stop
    width = cross.first.border.shape[2]
    none = np.zeros(0, np.int64)
    empty = FirstFactor(
        np.zeros((0, 1, 1)), np.zeros(1, np.int64), none, np.zeros((0, 1)), np.zeros((0, 1, width))
    )
    return replace(
        cross,
        n=cross.n - chosen.levels,
        first_block=-1,
        first=empty,
        tail=tuple(tail),
        gram=_projected(cross, chosen),
    )


def _projected(cross: CrossProducts, chosen: TailBlock) -> Array:
    """Return the products of [first factor, tail without M, X, y] less their projection on M, shape (m, m)."""
    first = cross.first
    levels, k = first.gram.shape[:2]
    size, m = levels * k, len(cross.gram)
    start, stop = chosen.offset, chosen.stop
    others = np.concatenate([np.arange(start), np.arange(stop, m)])
    rows = np.repeat(np.arange(levels), np.diff(first.indptr))[:, None] * k + np.arange(k)
    columns = np.repeat(first.indices[:, None], k, axis=1)
    where = (rows.ravel(), columns.ravel())
    cells = sparse.csc_array((first.values.ravel(), where), shape=(size, cross.q_tail))
    out = np.zeros((size + others.size,) * 2)
    for j in range(levels):
        own = slice(j * k, (j + 1) * k)
        out[own, own] = first.gram[j]
    inner = others[others < cross.q_tail]
    out[size : size + inner.size, :size] = cells[:, inner].T.toarray()
    out[size + inner.size :, :size] = first.border.reshape(size, -1).T
    out[size:, size:] = cross.gram[np.ix_(others, others)]  # the lower triangle of products is filled
    crossed = np.concatenate([cross.gram[start:stop, :start].T, cross.gram[stop:, start:stop]])
    beside = sparse.vstack([cells[:, start:stop], sparse.csr_array(crossed)], format="csr")
    scaled = sparse.csr_array(beside @ sparse.diags_array(1.0 / np.diagonal(cross.gram)[start:stop]))
    return np.asarray(np.tril(out) - np.tril((scaled @ beside.T).toarray()))
