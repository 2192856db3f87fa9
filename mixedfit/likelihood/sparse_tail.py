"""Factorisation of the tail as a block-sparse matrix with a dense border [X y]; notation as in `dense_tail`.

Z is the inverse of S over the random nodes (ML), or over random and many-level fixed nodes (REML), on the
pattern of the factor. The contribution of the columns of X under REML follows from H = [Z X]ᵀV⁻¹X and (XᵀV⁻¹X)⁻¹.
With known relationships, whose sparse inverses are in S, there is no first factor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve, cholesky, solve_triangular

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.crossproducts.crossprod import CrossProducts, TailBlock
from mixedfit.crossproducts.sparse_products import column_order
from mixedfit.kernels.block_sparse import block_cholesky, scale_blocks, selected_inverse, solve_blocks
from mixedfit.kernels.first_factor_sparse import (
    conditional_blocks_sparse,
    derive_first_sparse,
    eliminate_first_sparse,
)

from .dense_tail import prior_logdet
from .first_sums import FirstSums

__all__ = ["SparseTail"]


class SparseTail:
    """Factorised sparse tail at one θ; methods without a docstring are those of `DenseTail`.

    Parameters
    ----------
    cross : CrossProducts
        With a sparse tail.
    lams : sequence of ndarray, shape (k, k)
        λ̃ of each of the design's blocks.
    """

    def __init__(self, cross: CrossProducts, lams: Sequence[Array]) -> None:
        assert cross.sparse is not None
        self.cross, self.lams, self.pattern = cross, lams, cross.sparse.pattern
        self.size = cross.q_tail + cross.p
        self.order = column_order(self.pattern)
        self.blocks, self.sides = cross.sparse.blocks.copy(), cross.sparse.sides.copy()
        self.corner = cross.gram.copy()
        first, pattern = cross.first, self.pattern
        logdet = prior_logdet(cross) + eliminate_first_sparse(
            lams[cross.first_block] if cross.first_block >= 0 else np.eye(1),
            first.gram,
            first.indptr,
            first.indices,
            first.values,
            first.border,
            pattern.cell_ptr,
            pattern.cells,
            pattern.slot_ptr,
            pattern.slots,
            pattern.size,
            pattern.start,
            self.blocks,
            self.sides,
            self.corner,
        )
        self.ok = self._factorise(logdet)

    @lazy
    def stacked(self) -> Array:
        """λ of every tail factor, padded to one shape; the identity for fixed factors."""
        widest = max(place.k for place in self.cross.tail)
        out = np.zeros((len(self.cross.tail), widest, widest))
        for f, place in enumerate(self.cross.tail):
            out[f, : place.k, : place.k] = self.lams[place.block] if place.block >= 0 else np.eye(place.k)
        return out

    def _factorise(self, logdet: float) -> bool:
        pattern = self.pattern
        self.chol = np.empty_like(self.blocks)
        self._scale(self.blocks, True, self.chol)
        diagonal = self._diagonal_places
        random = int(np.sum(pattern.size[: pattern.random_nodes]))
        if pattern.prior is None:
            self.chol[diagonal[:random]] += 1.0
        else:
            places, values = pattern.prior
            self.chol[places] += values
        if not block_cholesky(pattern.ptr, pattern.rows, pattern.start, pattern.size, self.chol):
            return False
        self.half = self._times(self.sides, transposed=True)[self.order]
        self._solve(self.half, transposed=False)
        try:
            root = cholesky(self.corner - self.half.T @ self.half, lower=True)
        except np.linalg.LinAlgError:
            return False
        self.root = root
        logs = np.log(self.chol[diagonal])
        self.logdet_random = float(logdet + 2.0 * logs[:random].sum())
        self.logdet_fixed = float(2.0 * logs[random:].sum() + 2.0 * np.log(np.diag(root)[:-1]).sum())
        self.prss = float(root[-1, -1] ** 2)
        return bool(np.isfinite(logdet))

    @lazy
    def _diagonal_places(self) -> IntArray:
        """Index of each column's diagonal element among the values, in elimination order."""
        pattern = self.pattern
        base = np.repeat(pattern.start[pattern.ptr[:-1]], pattern.size)
        within = np.arange(base.size) - np.repeat(np.cumsum(pattern.size) - pattern.size, pattern.size)
        return base + within * (np.repeat(pattern.size, pattern.size) + 1)

    def _scale(self, values: Array, transposed: bool, out: Array) -> None:
        p = self.pattern
        scale_blocks(p.ptr, p.rows, p.start, p.size, p.factor, self.stacked, transposed, values, out)

    @lazy
    def _offsets(self) -> IntArray:
        """First position of each node in elimination order."""
        return np.cumsum(self.pattern.size) - self.pattern.size

    def _solve(self, right: Array, transposed: bool) -> None:
        p = self.pattern
        solve_blocks(p.ptr, p.rows, p.start, p.size, self._offsets, self.chol, transposed, right)

    def _times(self, vectors: Array, transposed: bool) -> Array:
        """Return Λ or Λᵀ times the tail's rows of `vectors`, shape (q, columns)."""
        out = np.array(vectors)
        for place in self.cross.tail:
            if place.block >= 0:
                here = slice(place.offset, place.stop)
                lam = self.lams[place.block].T if transposed else self.lams[place.block]
                part = out[here].reshape(place.levels, place.k, -1)
                out[here] = (lam @ part).reshape(out[here].shape)
        return out

    @lazy
    def slopes(self) -> Array:
        """Λ S⁻¹ ΛᵀS̃ of the columns [X y], shape (q, p + 1): their best predictions from the tail."""
        out = self.half.copy()
        self._solve(out, transposed=True)
        natural = np.empty_like(out)
        natural[self.order] = out
        return self._times(natural, transposed=False)

    @lazy
    def solution(self) -> Array:
        p = self.cross.p
        beta = (
            solve_triangular(self.root[:p, :p], self.root[p, :p], lower=True, trans=1) if p else np.zeros(0)
        )
        return np.concatenate([self.slopes[:, p] - self.slopes[:, :p] @ beta, beta])

    @lazy
    def _covariance(self) -> Array:
        """(XᵀV⁻¹X)⁻¹ of the columns of X, many-level factors projected out."""
        p = self.cross.p
        return np.asarray(cho_solve((self.root[:p, :p], True), np.eye(p))) if p else np.zeros((0, 0))

    def _nodes(self, reml: bool) -> int:
        return int(self.pattern.size.size) if reml else self.pattern.random_nodes

    def prepare(self, reml: bool) -> None:
        """Compute Z and Λ Z Λᵀ, which the sums need."""
        p = self.pattern
        self.reml = reml
        self.inner = np.zeros_like(self.chol)
        selected_inverse(p.ptr, p.rows, p.start, p.size, self.chol, self._nodes(reml), self.inner)
        self.scaled = np.empty_like(self.inner)
        self._scale(self.inner, False, self.scaled)

    def release(self) -> None:
        """Free the matrices that `prepare` computed."""
        self.__dict__.pop("inner", None)
        self.__dict__.pop("scaled", None)

    def discard(self) -> None:
        for name in ("blocks", "chol", "half", "slopes", "_products", "_slope_products"):
            self.__dict__.pop(name, None)

    def first_sums(self, directions: Array, with_traces: bool) -> FirstSums:
        del with_traces  # with a tail the traces are not sums over levels
        cross, first, pattern = self.cross, self.cross.first, self.pattern
        levels, k = first.gram.shape[:2]
        out = FirstSums.zeros(levels, k, directions.shape[0], self.size, 0)
        derive_first_sparse(
            self.lams[cross.first_block],
            first.gram,
            first.indptr,
            first.indices,
            first.values,
            first.border,
            pattern.cell_ptr,
            pattern.cells,
            pattern.slot_ptr,
            pattern.slots,
            pattern.size,
            pattern.start,
            self._nodes(self.reml),
            self.scaled,
            np.ascontiguousarray(self.slopes[:, : cross.p]),
            self._covariance if self.reml else np.zeros((0, 0)),
            self.solution,
            directions,
            out.scores,
            out.sums,
            out.products,
            out.crossed,
        )
        return out

    def _matrix(self, blocks: Array) -> sparse.csr_array:
        """Return a symmetric matrix on the pattern, in natural order."""
        indptr, indices, source = self._layout
        return sparse.csr_array((blocks[source], indices, indptr), shape=(self.order.size,) * 2)

    @property
    def _layout(self) -> tuple[IntArray, IntArray, IntArray]:
        assert self.cross.sparse is not None
        return self.cross.sparse.layout

    @lazy
    def _products(self) -> sparse.csr_array:
        return self._matrix(self.blocks)

    @lazy
    def _slope_products(self) -> Array:
        """H: products of the tail with the part of X that the tail does not predict, shape (q, p)."""
        p = self.cross.p
        return np.asarray(self.sides[:, :p] - self._products @ self.slopes[:, :p])

    def tail_sums(self, place: TailBlock) -> Array:
        """Return Σ_j [S̃ΛT]_jj of one tail factor, shape (k, k)."""
        stacked = zip(self.cross.tail, self.stacked, strict=True)
        big = sparse.block_diag(
            [sparse.kron(sparse.eye_array(b.levels), lam[: b.k, : b.k]) for b, lam in stacked], format="csr"
        )
        left, right = self._products @ big, self._matrix(self.inner)
        out = np.empty((place.k, place.k))
        for a in range(place.k):
            for b in range(place.k):
                rows_a = left[place.offset + a : place.stop : place.k]
                rows_b = right[place.offset + b : place.stop : place.k]
                out[a, b] = rows_a.multiply(rows_b).sum()
        if self.reml and self.cross.p:
            h = self._slope_products[place.offset : place.stop].reshape(place.levels, place.k, -1)
            related = self.cross.related(place.block, h) if place.block >= 0 else h
            spread = np.einsum("jas,st,jbt->ab", h, self._covariance, related, optimize=True)
            out -= spread @ self.lams[place.block]
        return out

    def tail_information(self, place: TailBlock) -> Array:
        """Return Σ_j [ZᵀPZ]_jj of one tail factor, shape (k, k); at singular λ from a nearby regular one."""
        u, values, vt = np.linalg.svd(self.lams[place.block])
        regular = u * np.maximum(values, 1e-4 * max(1.0, float(values.max()))) @ vt
        lams = list(self.lams)
        lams[place.block] = regular
        near = SparseTail(self.cross, lams)
        near.prepare(self.reml)
        return np.asarray(np.linalg.solve(regular.T, near.tail_sums(place).T).T)

    def tail_scores(self, place: TailBlock) -> Array:
        """Return Z_jᵀV⁻¹r of one tail factor, shape (levels, k)."""
        return np.asarray(self._scores[place.offset : place.stop].reshape(place.levels, place.k))

    @lazy
    def _scores(self) -> Array:
        q = self.cross.q_tail
        fitted = self._products @ self.solution[:q] + self.sides[:, :-1] @ self.solution[q:]
        return np.asarray(self.sides[:, -1] - fitted)

    def fixed_scores(self, place: TailBlock) -> Array:
        rows = (self.sides - self._products @ self.slopes)[place.offset : place.stop]
        return np.asarray(rows.reshape(place.levels, place.k, -1))

    def times(self, coefficients: Array) -> Array:
        return np.hstack([(self._products @ coefficients.T).T, coefficients @ self.sides[:, :-1]])

    def project(self, crossed: Array) -> Array:
        """Return L⁻¹Λᵀ of working variates' products with [tail X], shape (m − 1, count)."""
        q, p = self.cross.q_tail, self.cross.p
        top = self._times(crossed[:, :q].T, transposed=True)[self.order]
        self._solve(top, transposed=False)
        rest = crossed[:, q:].T - self.half[:, :p].T @ top
        bottom = solve_triangular(self.root[:p, :p], rest, lower=True) if p else rest
        return np.vstack([top, bottom])

    def fixed_covariance(self) -> Array:
        q, random, p = self.cross.q_tail, self.cross.q_random, self.cross.p
        unit = np.zeros((q, q - random))
        natural = np.arange(random, q)
        position = np.empty(q, np.int64)
        position[self.order] = np.arange(q)
        unit[position[natural], np.arange(q - random)] = 1.0
        self._solve(unit, transposed=False)
        slopes = self.slopes[random:, :p]
        own = unit.T @ unit + slopes @ self._covariance @ slopes.T
        side = -slopes @ self._covariance
        return np.block([[own, side], [side.T, self._covariance]])

    def fixed_root(self) -> Array:
        """Return R with RᵀR = (XᵀV⁻¹X)⁻¹ over all fixed columns."""
        return np.asarray(np.linalg.cholesky(self.fixed_covariance()).T)

    def whole_inverse(self) -> sparse.csr_array:
        """Return ΛTΛᵀ over all tail columns (many-level fixed factors included, X not) on its pattern."""
        self.prepare(reml=self.cross.q_tail > self.cross.q_random)
        return self._matrix(self.scaled)

    def mode_blocks(self, f: int) -> Array:
        self.prepare(reml=False)
        if f == self.cross.first_block:
            first, pattern = self.cross.first, self.pattern
            out = np.empty_like(first.gram)
            conditional_blocks_sparse(
                self.lams[f],
                first.gram,
                first.indptr,
                first.values,
                pattern.cell_ptr,
                pattern.cells,
                pattern.slot_ptr,
                pattern.slots,
                pattern.size,
                pattern.start,
                self._nodes(False),
                self.scaled,
                out,
            )
            return out
        place, matrix = self.cross.place(f), self._matrix(self.scaled)
        out = np.empty((place.levels, place.k, place.k))
        for a in range(place.k):
            for b in range(place.k):
                rows = np.arange(place.offset, place.stop, place.k)
                out[:, a, b] = matrix[rows + a, rows + b]
        return out
