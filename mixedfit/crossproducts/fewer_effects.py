"""Cross-products of a model with fewer random effects, from those of a larger one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array
from mixedfit.design.design import Design

from .running_basis import ColumnPlaces
from .summed import SummedRows

__all__ = ["with_fewer_effects"]


def with_fewer_effects(summed: SummedRows, design: Design, f: int, change: Array) -> SummedRows:
    """Return the cross-products of a model whose block f has the columns ZC in place of Z.

    With Z = Z̃P and PC = QR the new columns are Z̃Q in the basis R, so that no digits are lost.

    Parameters
    ----------
    summed : SummedRows
    design : Design
        The smaller model; it lacks block f if C has no columns.
    f : int
    change : ndarray, shape (k, columns)
        C.
    """
    blocks = summed.design.blocks
    Q, R = np.linalg.qr(summed.P[f] @ change)
    rotation = _rotation(summed, f, Q) if change.shape[1] else _without_block(summed, f)
    P = [R if g == f else own for g, own in enumerate(summed.P)]
    columns = _column_change(summed, design, f, change)
    kept = [g for g in range(len(blocks)) if g != f or change.shape[1]]
    return replace(
        summed,
        design=design,
        plain=summed.plain @ columns,
        own=summed.own @ columns,
        P=tuple(P[g] for g in kept),
        pairs=sparse.csr_array(rotation.T @ summed.pairs @ rotation),
        sides=rotation.T @ summed.sides,
        used=tuple(summed.used[g] for g in kept),
    )


def _rotation(summed: SummedRows, f: int, Q: Array) -> sparse.csr_array:
    """Return the change of the columns of all blocks, Q for each level of block f."""
    parts = [
        sparse.kron(sparse.eye_array(block.levels), Q if g == f else np.eye(block.k))
        for g, block in enumerate(summed.design.blocks)
    ]
    return sparse.csr_array(sparse.block_diag(parts))


def _without_block(summed: SummedRows, f: int) -> sparse.csr_array:
    """Return the matrix that leaves out the columns of a block."""
    starts = np.cumsum([0, *(block.levels * block.k for block in summed.design.blocks)])
    others = np.concatenate([np.arange(starts[f]), np.arange(starts[f + 1], starts[-1])])
    shape = (int(starts[-1]), others.size)
    return sparse.csr_array(sparse.coo_array((np.ones(others.size), (others, np.arange(others.size))), shape))


def _column_change(summed: SummedRows, design: Design, f: int, change: Array) -> Array:
    """Return M with C_new = C_old M for the distinct columns of both models."""
    old, new = summed.places, ColumnPlaces.of(design)
    out = np.zeros((old.size, new.size))
    out[0, 0] = out[-1, -1] = 1.0
    out[list(old.fixed), list(new.fixed)] = 1.0
    names = [block.name for block in design.blocks]
    for g, block in enumerate(summed.design.blocks):
        if g != f:
            out[list(old.effects[g]), list(new.effects[names.index(block.name)])] = 1.0
        elif change.shape[1]:
            for j, place in enumerate(new.effects[names.index(block.name)]):
                out[:, place] = 0.0
                out[list(old.effects[g]), place] = change[:, j]
    return out
