"""Ridges of the likelihood: covariances of random effects that a design cannot tell apart.

Terms whose grouping factors part the rows alike, such as id and name of the same subjects, enter the likelihood through
Σ z E zᵀ alone. Where their columns z are linearly dependent, some change of the covariances E leaves that sum as it is,
whatever the response.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixedfit.core.arrays import BoolArray, IntArray
from mixedfit.core.linalg import triangle
from mixedfit.design.design import Design, RandomBlock

__all__ = ["unidentified_elements"]

CLEAR = 1e-6
"""Smallest eigenvalue of the columns' correlations from which they are independent without a closer look."""

DEPENDENT = 1e-12
"""Singular value below which columns of unit length are linearly dependent."""


def unidentified_elements(design: Design) -> tuple[BoolArray, ...]:
    """Return which elements of each block's Ω a ridge moves, shape (k, k) each."""
    out = tuple(np.zeros((block.k, block.k), dtype=bool) for block in design.blocks)
    rows = np.flatnonzero(design.counted)
    for members in _same_partitions(design.blocks, rows):
        blocks = [design.blocks[f] for f in members]
        if sum(block.k for block in blocks) > 1:
            for f, moved in zip(members, _moved(blocks, rows), strict=True):
                out[f][:] = moved
    return out


def _same_partitions(blocks: Sequence[RandomBlock], rows: IntArray) -> list[list[int]]:
    """Return the blocks in classes of equal partitions of the rows."""
    if len(blocks) == 1:
        return [[0]]
    classes: list[list[int]] = []
    used = [np.count_nonzero(np.bincount(block.codes[rows], minlength=1)) for block in blocks]
    for f, block in enumerate(blocks):
        for known in classes:
            first = blocks[known[0]]
            if used[f] == used[known[0]]:
                pairs = first.codes[rows] * np.int64(block.levels) + block.codes[rows]
                if np.unique(pairs).size == used[f]:
                    known.append(f)
                    break
        else:
            classes.append([f])
    return classes


def _moved(blocks: Sequence[RandomBlock], rows: IntArray) -> list[BoolArray]:
    """Return the elements that some E with z E zᵀ = 0 moves, for blocks with the same partition."""
    out = [np.zeros((block.k, block.k), dtype=bool) for block in blocks]
    columns = np.hstack([block.z if rows.size == len(block.z) else block.z[rows] for block in blocks])
    gram = columns.T @ columns
    norms = np.sqrt(np.diag(gram))
    if not norms.all():
        return out  # a column of zeros is reported as an undetermined variance
    if np.linalg.eigvalsh(gram / np.outer(norms, norms))[0] > CLEAR:
        return out
    _, values, vectors = np.linalg.svd(triangle(columns / norms))
    rank = int(np.sum(values > DEPENDENT * values[0]))
    if rank == norms.size:
        return out
    reduced = values[:rank, None] * vectors[:rank]
    places, images, at = [], [], 0
    for b, block in enumerate(blocks):
        for part, _, here in block.structure.slices():
            for i in range(here.start, here.stop):
                for j in range(here.start, i + 1):
                    if i == j or part.invariance == "linear":
                        u, v = reduced[:, at + i], reduced[:, at + j]
                        places.append((b, i, j))
                        images.append((np.outer(u, v) + np.outer(v, u)).ravel())
        at += block.k
    image = np.array(images).T
    sizes = np.linalg.norm(image, axis=0)
    _, values, vectors = np.linalg.svd(image / sizes)
    rank = int(np.sum(values > 1e-8 * values[0]))
    for (b, i, j), along in zip(places, vectors[rank:].T, strict=True):
        out[b][i, j] = out[b][j, i] = bool(np.abs(along).max(initial=0.0) > 1e-6)
    return out
