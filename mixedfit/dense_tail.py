"""The tail as one dense matrix: what remains after the first factor has been eliminated.

Notation: S̃ are the products of [tail, X, y] left by the first factor; Λ = blockdiag(I ⊗ λ_f) over the
tail, identity on fixed columns; S = ΛᵀS̃Λ + D with D = I on random columns, 0 on fixed ones. S = L Lᵀ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack

from ._lazy import lazy
from ._types import Array
from .crossprod import CrossProducts, TailBlock
from .first import FirstSums, derive, eliminate
from .kernels.dense import mirror, scale_symmetric
from .kernels.elimination import conditional_blocks

__all__ = ["DenseTail"]


class DenseTail:
    """Factorised tail at one θ.

    Parameters
    ----------
    cross : CrossProducts
    lams : sequence of ndarray, shape (k, k)
        λ̃ of each of the design's blocks.

    Attributes
    ----------
    ok : bool
        False if a matrix was not positive definite; nothing else is defined then.
    logdet_random, logdet_fixed : float
        Log-determinants: of all random effects, and of the fixed effects given them.
    prss : float
        Penalised residual sum of squares.
    products : ndarray, shape (m, m)
        S̃.
    """

    def __init__(self, cross: CrossProducts, lams: Sequence[Array]) -> None:
        self.cross = cross
        self.lams = lams
        self.size = cross.gram.shape[0] - 1
        self.places = [place for place in cross.tail if place.block >= 0]
        self.products = cross.gram.copy()
        logdet = eliminate(cross, lams, self.products) if cross.first_block >= 0 else 0.0
        mirror(self.products, False)
        # products are symmetric, so their transpose is the same matrix in the order that LAPACK wants
        self.chol, info = lapack.dpotrf(self._scaled().T, lower=1, clean=0, overwrite_a=1)
        diagonal = np.diagonal(self.chol)
        self.ok = bool(info == 0 and np.isfinite(logdet))
        if self.ok:
            logs = np.log(diagonal[:-1])
            self.logdet_random = float(logdet + 2.0 * logs[: cross.q_random].sum())
            self.logdet_fixed = float(2.0 * logs[cross.q_random :].sum())
            self.prss = float(diagonal[-1] ** 2)

    @lazy
    def _diagonal(self) -> Array | None:
        """Λ as a vector over all columns where every tail factor has one effect, else None."""
        if any(place.k > 1 for place in self.places):
            return None
        scale = np.ones(self.size + 1)
        for place in self.places:
            scale[place.offset : place.stop] = self.lams[place.block][0, 0]
        return scale

    def _scaled(self) -> Array:
        """Return S."""
        if not self.places:
            return self.products.copy()
        ridge = np.zeros(self.size + 1)
        ridge[: self.cross.q_random] = 1.0
        if self._diagonal is not None:
            out = np.empty_like(self.products)
            scale_symmetric(self.products, self._diagonal, ridge, out)
            return out
        scaled = self._times_lam_transposed(self._times_lam_transposed(self.products).T)
        scaled[np.diag_indices_from(scaled)] += ridge
        return scaled

    def _times(self, vectors: Array, transposed: bool) -> Array:
        out = np.array(vectors)
        for place in self.places:
            here = slice(place.offset, place.stop)
            lam = self.lams[place.block].T if transposed else self.lams[place.block]
            if place.k == 1:
                out[here] *= lam[0, 0]
            else:
                part = out[here].reshape(place.levels, place.k, -1)
                out[here] = (lam @ part).reshape(out[here].shape)
        return out

    def _times_lam(self, vectors: Array) -> Array:
        """Return Λ times `vectors`, shape (m, columns) or (m,); fewer rows are taken to be the first."""
        return self._times(vectors, transposed=False)

    def _times_lam_transposed(self, vectors: Array) -> Array:
        return self._times(vectors, transposed=True)

    @lazy
    def solution(self) -> Array:
        """Coefficients b and β of all tail columns but y, shape (m − 1,)."""
        last = np.zeros(self.size + 1)
        last[-1] = -self.chol[-1, -1]
        x, _ = lapack.dtrtrs(self.chol, last, lower=1, trans=1)  # bordered: its head solves L₁₁ᵀx = l_y
        return self._times_lam(x[:-1])

    def prepare(self, reml: bool) -> None:
        """Compute T (over the random columns; under REML over the fixed ones too) and Λ T Λᵀ."""
        size = self.size if reml else self.cross.q_random
        self.inner = _inverse_of(self.chol[:size, :size]) if size else np.zeros((0, 0))
        self.scaled = self._scaled_inverse()

    def release(self) -> None:
        """Forget what `prepare` made."""
        self.__dict__.pop("inner", None)
        self.__dict__.pop("scaled", None)

    def discard(self) -> None:
        """Forget the matrices; only log-determinants and the residual sum of squares remain."""
        for name in ("products", "chol"):
            self.__dict__.pop(name, None)

    def _scaled_inverse(self) -> Array:
        if self._diagonal is not None:
            out = np.empty_like(self.inner)
            size = out.shape[0]
            scale_symmetric(self.inner, self._diagonal[:size], np.zeros(size), out)
            return out
        return np.ascontiguousarray(self._times_lam(self._times_lam(self.inner).T))

    def first_sums(self, directions: Array, with_traces: bool) -> FirstSums:
        """Return what gradient and curvature need of the first factor."""
        covariance = self.scaled if with_traces else None
        return derive(self.cross, self.lams, self.scaled, self.solution, directions, covariance)

    def tail_sums(self, place: TailBlock) -> Array:
        """Return Σ_j [S̃ΛT]_jj of one tail factor, shape (k, k)."""
        inverse = self.inner
        size = inverse.shape[0]
        here = slice(place.offset, place.stop)
        if self._diagonal is not None:
            total = np.einsum("ij,ij,j->", self.products[here, :size], inverse[here], self._diagonal[:size])
            return np.array([[total]])
        left = self._times_lam_transposed(self.products[:size, here])
        shape = (size, place.levels, place.k)
        return np.asarray(
            np.einsum("tja,tjb->ab", left.reshape(shape), inverse[:, here].reshape(shape), optimize=False)
        )

    def tail_information(self, place: TailBlock) -> Array:
        """Return Σ_j [S̃ − S̃ΛTΛᵀS̃]_jj of one tail factor, defined at any λ, shape (k, k)."""
        inverse = self.inner
        size = inverse.shape[0]
        here = slice(place.offset, place.stop)
        left = self._times_lam_transposed(self.products[:size, here])
        solved = inverse @ left
        shape = (size, place.levels, place.k)
        reduced = np.einsum("tja,tjb->ab", left.reshape(shape), solved.reshape(shape), optimize=False)
        own = self.products[here, here].reshape(place.levels, place.k, place.levels, place.k)
        return np.asarray(np.einsum("jajb->ab", own) - reduced)

    def tail_scores(self, place: TailBlock) -> Array:
        """Return Z_jᵀV⁻¹r of one tail factor, shape (levels, k)."""
        rows = self.products[place.offset : place.stop]
        return np.asarray((rows[:, -1] - rows[:, :-1] @ self.solution).reshape(place.levels, place.k))

    def project(self, crossed: Array) -> Array:
        """Return L⁻¹Λᵀ of working variates' products with the tail, shape (m − 1, count)."""
        right = np.zeros((self.size + 1, crossed.shape[0]))
        right[:-1] = self._times_lam_transposed(crossed.T)
        solved, _ = lapack.dtrtrs(self.chol, right, lower=1, trans=0)
        return np.asarray(solved[:-1])

    def fixed_covariance(self) -> Array:
        """Return (XᵀV⁻¹X)⁻¹ over all fixed columns, many-level factors first."""
        q = self.cross.q_random
        if self.size == q:
            return np.zeros((0, 0))
        return _inverse_of(self.chol[q:-1, q:-1])

    @lazy
    def slopes(self) -> Array:
        """Λ S⁻¹ ΛᵀS̃ of the columns [X y]: their best predictions from the tail, shape (q, p + 1)."""
        q = self.cross.q_tail
        if q == 0:
            return np.zeros((0, self.size + 1))
        x, _ = lapack.dtrtrs(self.chol[:q, :q], self.chol[q:, :q].T, lower=1, trans=1)
        return self._times_lam(x)

    def fixed_scores(self, place: TailBlock) -> Array:
        """Return Z_jᵀV⁻¹[X y] of one tail factor, shape (levels, k, p + 1)."""
        q = self.cross.q_tail
        rows = self.products[place.offset : place.stop]
        return np.asarray((rows[:, q:] - rows[:, :q] @ self.slopes).reshape(place.levels, place.k, -1))

    def times(self, coefficients: Array) -> Array:
        """Return coefficients (count, q) times the products with [tail X], shape (count, m − 1)."""
        return np.asarray(coefficients @ self.products[: coefficients.shape[1], :-1])

    def mode_blocks(self, f: int) -> Array:
        """Return the diagonal blocks of Λ (ΛᵀZᵀZΛ + I)⁻¹ Λᵀ of a block of random effects."""
        self.prepare(reml=False)
        place = next((b for b in self.places if b.block == f), None)
        if place is None:
            first = self.cross.first
            out = np.empty_like(first.gram)
            conditional_blocks(
                self.lams[f], first.gram, first.indptr, first.indices, first.values, self.scaled, out
            )
            return out
        here = slice(place.offset, place.stop)
        blocks = self.scaled[here, here].reshape(place.levels, place.k, place.levels, place.k)
        return np.asarray(np.einsum("jajb->jab", blocks))

    def psi(self) -> Array:
        """Return ZᵀPZ (ZᵀV⁻¹Z under ML) of all random effects: first factor, then tail; for small models."""
        cross, first = self.cross, self.cross.first
        lam = self.lams[cross.first_block]
        levels, k = first.gram.shape[:2]
        left = first.gram @ lam
        inverse = np.linalg.inv(lam.T @ left + np.eye(k))
        dense = np.zeros((levels, k, self.size))
        rows = np.repeat(np.arange(levels), np.diff(first.indptr))
        dense[rows, :, first.indices] = first.values
        dense[:, :, cross.q_tail :] = first.border[:, :, :-1]
        within = first.gram - left @ inverse @ left.transpose(0, 2, 1)
        crossed = (dense - left @ inverse @ (lam.T @ dense)).reshape(levels * k, -1)
        size, q = self.inner.shape[0], cross.q_random
        stacked = np.vstack([crossed[:, :size], self.products[:q, :size]])
        psi = -stacked @ self.scaled @ stacked.T
        psi[levels * k :, levels * k :] += self.products[:q, :q]
        psi[: levels * k, levels * k :] += crossed[:, :q]
        psi[levels * k :, : levels * k] += crossed[:, :q].T
        for j in range(levels):
            psi[j * k : (j + 1) * k, j * k : (j + 1) * k] += within[j]
        return np.asarray(psi)


def _inverse_of(chol: Array) -> Array:
    """Return (L Lᵀ)⁻¹ of a lower factor, symmetric and in C order."""
    lower, _ = lapack.dpotri(np.array(chol, order="F"), lower=1, overwrite_c=1)
    out = lower.T
    mirror(out, True)
    return np.asarray(out)
