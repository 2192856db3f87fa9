"""Sparse factor of the inverse Q of a relationship matrix: PQPᵀ = LDLᵀ, from SuperLU with diagonal pivots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu, spsolve_triangular

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError

from .checks import SINGULAR, singular_inverse

__all__ = ["SparseFactor"]


@dataclass(frozen=True, eq=False)
class SparseFactor:
    """The factor of Q, scaled to unit diagonal.

    Attributes
    ----------
    size : ndarray, shape (levels,)
        Roots of Q's diagonal.
    lu : SuperLU
        Factor of Q over the products of `size`.
    upper : sparse array
        DLᵀ.
    pivots : ndarray, shape (levels,)
        Diagonal of D.
    order : ndarray of int64, shape (levels,)
        Place of each level in the order of elimination.
    """

    size: Array
    lu: Any
    upper: Any
    pivots: Array
    order: IntArray

    @classmethod
    def of(cls, matrix: sparse.csc_array) -> SparseFactor:
        """Return the factor of a symmetric sparse matrix.

        Raises
        ------
        ModelError
            If it is not positive definite.
        """
        diagonal = matrix.diagonal()
        if np.all(diagonal > 0):
            size = np.sqrt(diagonal)
            scale = sparse.diags_array(1.0 / size)
            scaled = sparse.csc_matrix(scale @ matrix @ scale)
            try:
                lu = splu(
                    scaled,
                    permc_spec="MMD_AT_PLUS_A",
                    diag_pivot_thresh=0.0,
                    options={"SymmetricMode": True},
                )
            except RuntimeError:  # an exact zero
                raise ModelError(singular_inverse("a pivot is 0")) from None
            upper = sparse.csr_array(lu.U)
            pivots = upper.diagonal()
            if np.all(pivots > SINGULAR):
                return cls(size, lu, upper, pivots, np.asarray(lu.perm_c, dtype=np.int64))
            found = f"a pivot of its factor is {pivots.min():.3g}"
            if pivots.min() > -SINGULAR:
                raise ModelError(singular_inverse(found))
        else:
            found = f"a diagonal element is {diagonal.min():.3g}"
        raise ModelError(
            f"Known: the inverse is not positive definite ({found}), so that it is the inverse of no covariance "
            "matrix. Check how it was computed."
        )

    @property
    def log_determinant(self) -> float:
        """log|Q|."""
        return float(np.log(self.pivots).sum() + 2.0 * np.log(self.size).sum())

    def solve(self, values: Array) -> Array:
        """Return Q⁻¹ values, shape (levels, columns)."""
        return np.asarray(self.lu.solve(values / self.size[:, None]) / self.size[:, None])

    def root_times(self, values: Array) -> Array:
        """Return M values, shape (levels, columns), with MMᵀ = Q⁻¹: M = PᵀL⁻ᵀD^(−1/2)."""
        solved = spsolve_triangular(self.upper, np.sqrt(self.pivots)[:, None] * values, lower=False)
        return np.asarray(solved[self.order] / self.size[:, None])
