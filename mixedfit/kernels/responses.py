"""Many responses at once: random effects spread over rows, and rows summed by level.

Notation: row i has level `codes[i]` of a factor with effects z_i (k,); replicate r has the response y_r, a row
of `responses`, and random effects b_rj (k,) of level j.
"""

from __future__ import annotations

from .._types import Array, IntArray
from ._compile import kernel

__all__ = ["add_effects", "sum_levels"]


@kernel
def add_effects(codes: IntArray, z: Array, effects: Array, responses: Array) -> None:
    """Add z_iᵀb_rj, `effects` (replicates, levels, k), to `responses` (replicates, rows)."""
    replicates, n = responses.shape
    k = z.shape[1]
    for r in range(replicates):
        for i in range(n):
            total = 0.0
            for a in range(k):
                total += z[i, a] * effects[r, codes[i], a]
            responses[r, i] += total


@kernel
def sum_levels(codes: IntArray, z: Array, responses: Array, sums: Array) -> None:
    """Add Z_jᵀy_r to `sums` (replicates, levels, k); rows of code −1 belong to no level."""
    replicates, n = responses.shape
    k = z.shape[1]
    for r in range(replicates):
        for i in range(n):
            j = codes[i]
            if j < 0:
                continue
            for a in range(k):
                sums[r, j, a] += z[i, a] * responses[r, i]
