"""Inbreeding coefficients of a pedigree by the algorithm of Meuwissen & Luo (1992), Genet. Sel. Evol. 24:305.

A = LDLᵀ, with L_ij the share of the genes of animal i that come from j, and D_jj the variance of animal j given its
parents (Mendelian sampling). The inbreeding of i is F_i = A_ii − 1 = Σ_j L_ij² D_jj − 1 over i and its ancestors, which
are visited from the youngest to the oldest.
"""

from __future__ import annotations

import numpy as np

from mixedfit.core.arrays import Array, IntArray

from ._compile import plain

__all__ = ["inbreeding"]


@plain
def inbreeding(sire: IntArray, dam: IntArray, coefficients: Array, sampling: Array) -> None:
    """Fill in the inbreeding coefficients and the Mendelian sampling variances of all animals.

    Parameters
    ----------
    sire, dam : ndarray of int64, shape (n,)
        Parents of each animal, −1 for an unknown one; parents come before their offspring.
    coefficients, sampling : ndarray, shape (n,)
        Filled in place with F and the diagonal of D.
    """
    share = np.zeros(sire.size)
    older = np.full(sire.size, -1, np.int64)  # next older ancestor in the list of those to visit
    for i in range(sire.size):
        s, d = sire[i], dam[i]
        known = int(s >= 0) + int(d >= 0)  # numpy adds booleans as "or" where Python runs this
        lost = (coefficients[s] if s >= 0 else 0.0) + (coefficients[d] if d >= 0 else 0.0)
        sampling[i] = 1.0 - 0.25 * known - 0.25 * lost
        if known < 2:
            coefficients[i] = 0.0
            continue
        if i > 0 and s == sire[i - 1] and d == dam[i - 1]:  # full sibs
            coefficients[i] = coefficients[i - 1]
            continue
        total, j = 0.0, i
        share[i] = 1.0
        while j >= 0:
            total += share[j] * share[j] * sampling[j]
            for side in range(2):
                parent = sire[j] if side == 0 else dam[j]
                if parent >= 0:
                    if share[parent] == 0.0:
                        at = j
                        while older[at] > parent:
                            at = older[at]
                        if older[at] != parent:  # a share can only be 0 after a thousand generations
                            older[parent] = older[at]
                            older[at] = parent
                    share[parent] += 0.5 * share[j]
            share[j] = 0.0
            following = older[j]
            older[j] = -1
            j = following
        coefficients[i] = total - 1.0
