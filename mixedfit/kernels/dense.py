"""Symmetric dense matrices, written once in each triangle."""

from __future__ import annotations

from .._types import Array
from ._compile import kernel

__all__ = ["mirror", "scale_symmetric"]

_BLOCK = 32


@kernel
def mirror(matrix: Array, from_upper: bool) -> None:
    """Copy the lower triangle to the upper one (or the upper to the lower), block by block."""
    n = matrix.shape[0]
    for top in range(0, n, _BLOCK):
        for left in range(0, top + 1, _BLOCK):
            for i in range(top, min(top + _BLOCK, n)):
                for j in range(left, min(left + _BLOCK, i)):
                    if from_upper:
                        matrix[i, j] = matrix[j, i]
                    else:
                        matrix[j, i] = matrix[i, j]


@kernel
def scale_symmetric(matrix: Array, scale: Array, shift: Array, out: Array) -> None:
    """out = diag(scale) matrix diag(scale) + diag(shift)."""
    n = matrix.shape[0]
    for i in range(n):
        at = scale[i]
        for j in range(n):
            out[i, j] = at * matrix[i, j] * scale[j]
        out[i, i] += shift[i]
