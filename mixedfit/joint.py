"""The joint covariance of (β̂ − β, b̂ − b) given the variances, seen through rows: Henderson's inverse.

Henderson (1975), Biometrics 31:423: Var = σ²C⁻¹, C the matrix of the mixed-model equations. No row costs more than
the tail columns that occur with its level of the first factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._lazy import lazy
from ._linalg import inverse
from ._threads import blas_threads
from ._types import Array, IntArray
from .crossprod import CrossProducts
from .dense_tail import DenseTail
from .fit import Fit
from .kernels.prediction import quadratic_dense, quadratic_sparse
from .sparse_tail import SparseTail

__all__ = ["JointCovariance"]


@dataclass(frozen=True, eq=False)
class JointCovariance:
    """Covariance of the errors of fixed and random effects together.

    Parameters
    ----------
    fit : Fit
    theta : ndarray, shape (n_theta,)
    """

    fit: Fit
    theta: Array

    @lazy
    def tail(self) -> DenseTail | SparseTail:
        """The factorisation at θ, apart from the fit's own; the inverse over [tail X] if it is dense."""
        with blas_threads(1):
            tail = self.fit.criterion(True)(self.theta).tail
            if isinstance(tail, DenseTail):
                tail.prepare(reml=True)
        return tail

    @lazy
    def conditional(self) -> Array:
        """K_j = λ(λᵀZ_jᵀZ_jλ + I)⁻¹λᵀ of the first factor's levels, shape (levels, k, k)."""
        cross = self.fit.cross
        if cross.first_block < 0:
            return np.zeros((0, 1, 1))
        lam = self.tail.lams[cross.first_block]
        inner = lam.T @ cross.first.gram @ lam + np.eye(lam.shape[0])
        return np.ascontiguousarray(lam @ np.linalg.solve(inner, np.broadcast_to(lam.T, inner.shape)))

    def variances(
        self, X: Array, many: Sequence[IntArray], z: Sequence[Array], codes: Sequence[IntArray]
    ) -> Array:
        """Return Var(x(β̂ − β) + z(b̂ − b)) of rows over σ², shape (n,).

        Parameters
        ----------
        X : ndarray, shape (n, p)
        many : sequence of ndarray, shape (n,)
            Levels of the many-level fixed factors.
        z, codes : sequences of ndarray, shapes (n, k) and (n,)
            Effects and level of every block; a level of −1 leaves the block out.
        """
        cross = self.fit.cross
        n, at = X.shape[0], cross.first_block
        places, columns, effects = self._many(many), [], []
        for block in cross.tail:
            if block.block >= 0:
                here = np.arange(block.k) + block.offset + block.k * codes[block.block][:, None]
                columns.append(np.where(codes[block.block][:, None] >= 0, here, -1))
                effects.append(z[block.block] @ inverse(cross.basis[block.block]))
        for place in places:
            columns.append(np.where(place >= 0, cross.q_random + place, -1)[:, None])
            effects.append(np.ones((n, 1)))
        first = cross.first
        shared = (
            codes[at] if at >= 0 else np.full(n, -1, np.int64),
            np.ascontiguousarray(z[at] @ inverse(cross.basis[at])) if at >= 0 else np.zeros((n, 1)),
            self.conditional,
            (first.indptr, first.indices, first.values, first.border),
            np.hstack(columns) if columns else np.zeros((n, 0), np.int64),
            np.hstack(effects) if effects else np.zeros((n, 0)),
            self._fixed(X, places),
        )
        out = np.empty(n)
        if isinstance(self.tail, SparseTail):
            quadratic_sparse(*shared, *_sparse_parts(self.tail, cross), out)
        else:
            quadratic_dense(*shared, self.tail.inverse[: self.tail.inner, : self.tail.inner], out)
        return np.maximum(out, 0.0)

    def _many(self, many: Sequence[IntArray]) -> list[IntArray]:
        """Return the column of every row among the many-level factors' kept ones, −1 for none."""
        span = self.fit.cross.fixed.span
        if span is None:
            return []
        return [np.append(place, -1)[codes] for place, codes in zip(span.places, many, strict=True)]

    def _fixed(self, X: Array, places: Sequence[IntArray]) -> Array:
        """Return the rows' columns of X̃, what many-level factors explain of X taken off."""
        fixed = self.fit.cross.fixed
        own = X[:, fixed.kept]
        padded = np.vstack([fixed.within, np.zeros((1, fixed.within.shape[1]))])
        for place in places:
            own = own - padded[place]
        return np.ascontiguousarray(own @ fixed.transform)


def _sparse_parts(
    tail: SparseTail, cross: CrossProducts
) -> tuple[
    tuple[IntArray, IntArray, IntArray, IntArray, IntArray],
    tuple[IntArray, IntArray, IntArray],
    Array,
    tuple[Array, Array, Array],
]:
    """Return pattern, layout, λ and factor as the kernel takes them."""
    p = tail.pattern
    position = np.empty(tail.order.size, np.int64)
    position[tail.order] = np.arange(tail.order.size)
    nodes = np.repeat(np.arange(p.size.size), p.size)
    offsets = np.cumsum(p.size) - p.size
    half = np.ascontiguousarray(tail.half[:, : cross.p])
    root = np.ascontiguousarray(tail.root[: cross.p, : cross.p])
    return (
        (p.ptr, p.rows, p.start, p.size, p.factor),
        (position, nodes, offsets),
        tail.stacked,
        (tail.chol, half, root),
    )
