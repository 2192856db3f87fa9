"""Factorisation of the tail, the columns left after elimination of the first factor, as one dense matrix.

Notation: S̃ are the products of [tail, X, y] left by the first factor; Λ = blockdiag(I ⊗ λ_f) over the
tail, identity on fixed columns; S = ΛᵀS̃Λ + D with D = I on random columns, A⁻¹ ⊗ I on those of a factor whose levels
have the known relationships A, 0 on fixed ones. S = L Lᵀ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.linalg import blas, lapack

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.crossproducts.crossprod import CrossProducts, TailBlock
from mixedfit.crossproducts.tail_blocks import lower_copy
from mixedfit.kernels.dense_tail import mirror, pair_sums, scale_lower

from .first_factor import conditional, derive, eliminate
from .first_sums import FirstSums

__all__ = ["LARGE_TAIL", "DenseTail", "prior_logdet"]

SMALL_SHARE = 0.7
"""Share of columns to invert below which the inverse is computed in a separate matrix."""

CHUNK = 64
"""Levels whose columns are multiplied at a time."""

LARGE_TAIL = 500
"""Number of columns above which the inverse overwrites the factor."""


class DenseTail:
    """Factorised tail at one θ.

    One square matrix holds S̃ in its strict upper triangle and L in its lower triangle. In large tails `prepare`
    overwrites L with ΛTΛᵀ, and L is recomputed when it is needed again; small tails keep both.

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
    matrix : ndarray, shape (m, m)
    diagonal : ndarray, shape (m,)
        Diagonal of S̃.
    frugal : bool
        Whether the inverse overwrites the factor.
    """

    def __init__(self, cross: CrossProducts, lams: Sequence[Array]) -> None:
        self.cross = cross
        self.lams = lams
        self.size = cross.gram.shape[0] - 1
        self.frugal = cross.q_tail > 0 and self.size > LARGE_TAIL
        self.places = [place for place in cross.tail if place.block >= 0]
        self.matrix = lower_copy(cross)
        logdet = eliminate(cross, lams, self.matrix) if cross.first_block >= 0 else 0.0
        mirror(self.matrix, False)
        self.diagonal = self._own.copy()
        self.ok = self._factorise() and bool(np.isfinite(logdet))
        if self.ok:
            logs = np.log(self._own[:-1])
            self.logdet_random = float(logdet + 2.0 * logs[: cross.q_random].sum() + prior_logdet(cross))
            self.logdet_fixed = float(2.0 * logs[cross.q_random :].sum())
            self.prss = float(self.matrix[-1, -1] ** 2)

    @property
    def _own(self) -> Array:
        """Writable view of the matrix's diagonal."""
        return self.matrix.reshape(-1)[:: self.size + 2]

    @lazy
    def _layout(self) -> tuple[IntArray, IntArray, IntArray, Array]:
        """Columns, effects and λ (padded to one shape) of the random factors, as the kernels take them."""
        start, stop, width = _columns(tuple(self.places))
        widest = int(width.max())
        lams = np.zeros((len(self.places), widest, widest))
        for f, place in enumerate(self.places):
            lams[f, : place.k, : place.k] = self.lams[place.block]
        return start, stop, width, lams

    def _factorise(self) -> bool:
        """Replace S̃ in the lower triangle by L; return whether S is positive definite."""
        if self.places:
            start, stop, width, lams = self._layout
            scale_lower(self.matrix, start, stop, width, lams, False)
            self._add_prior()
        # LAPACK stores by columns, so it sees the transpose: `lower=0` is the lower triangle here
        _, info = lapack.dpotrf(self.matrix.T, lower=0, clean=0, overwrite_a=1)
        return bool(info == 0)

    def _add_prior(self) -> None:
        """Add D to the lower triangle."""
        for place in self.places:
            known = self.cross.known[place.block]
            if known is None:
                self._own[place.offset : place.stop] += 1.0
                continue
            lower = np.tril(known.precision)
            for a in range(place.k):
                here = slice(place.offset + a, place.stop, place.k)
                self.matrix[here, here] += lower

    def set_factor(self, factor: Array) -> None:
        """Replace L, shape (m, m), lower triangular, by a more precise one before anything is solved with it."""
        below = np.tril_indices(self.size + 1)
        self.matrix[below] = factor[below]
        self.prss = float(factor[-1, -1] ** 2)

    def _restore_factor(self) -> None:
        """Recompute L if the inverse has overwritten it."""
        if self.__dict__.get("inverse") is self.matrix:
            del self.inverse
            mirror(self.matrix, True)
            self._own[:] = self.diagonal
            self._factorise()

    def _solve(self, right: Array, transposed: bool) -> Array:
        """Return L⁻¹ or L⁻ᵀ times right sides, shape (m, …)."""
        self._restore_factor()
        out, _ = lapack.dtrtrs(self.matrix.T, right, lower=0, trans=0 if transposed else 1)
        return np.asarray(out)

    def _times_products(self, vectors: Array) -> Array:
        """Return S̃ times vectors, shape (m, columns)."""
        own = self._own
        lower = own.copy()
        own[:] = self.diagonal
        out = blas.dsymm(1.0, self.matrix.T, vectors, lower=1)
        own[:] = lower
        return np.asarray(out)

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
        """Return Λ times `vectors`, shape (m, columns) or (m,); `vectors` may hold the first rows only."""
        return self._times(vectors, transposed=False)

    def _times_lam_transposed(self, vectors: Array) -> Array:
        return self._times(vectors, transposed=True)

    @lazy
    def solution(self) -> Array:
        """Coefficients b and β of all tail columns but y, shape (m − 1,)."""
        last = np.zeros(self.size + 1)
        last[-1] = 1.0
        unit = self._solve(last, transposed=True)  # proportional to the solution of −L₁₁ᵀx = l_y
        return self._times_lam(unit[:-1] / -unit[-1])

    def prepare(self, reml: bool) -> None:
        """Compute ΛTΛᵀ, T the inverse over the random columns (under REML over the fixed ones too), and its sums."""
        self._restore_factor()
        self.inverse = self.matrix if self.frugal else self.matrix.copy()
        self.inner = self.size if reml else self.cross.q_random
        self._invert()
        self.__dict__.pop("scaled", None)
        if self.places:
            start, stop, width, lams = self._layout
            self._sums = self._pair_sums()
            scale_lower(self.inverse, start, stop, width, lams, True)

    def _invert(self) -> None:
        """Replace the first `inner` columns of L by T."""
        if self.inner < SMALL_SHARE * self.size:
            block = self.inverse[: self.inner, : self.inner].copy()
            if self.inner:
                lapack.dpotri(block.T, lower=0, overwrite_c=1)
            for i in range(self.inner):
                self.inverse[i, : i + 1] = block[i, : i + 1]
            return
        for i in range(self.inner, self.size + 1):  # identity below T
            self.inverse[i, :i] = 0.0
            self.inverse[i, i] = 1.0
        lapack.dpotri(self.inverse.T, lower=0, overwrite_c=1)

    def _pair_sums(self) -> Array:
        """Return Σ_j [S̃ΛT]_jj of every random factor, shape (factors, k, k) padded."""
        start, stop, width, lams = self._layout
        fixed = np.zeros((1, *lams.shape[1:]))
        fixed[0, 0, 0] = 1.0
        out = np.zeros((len(self.places) + 1, *lams.shape[1:]))
        pair_sums(
            self.inverse,
            self.diagonal,
            np.append(start, self.cross.q_random),
            np.append(stop, self.inner),
            np.append(width, 1),
            np.concatenate([lams, fixed]),
            out,
        )
        return out[:-1]

    def release(self) -> None:
        """Free the inverse if it is a separate matrix."""
        self.__dict__.pop("scaled", None)
        if self.__dict__.get("inverse") is not self.__dict__.get("matrix"):  # neither after `discard`
            self.__dict__.pop("inverse", None)

    def discard(self) -> None:
        """Free the matrices; log-determinants and the residual sum of squares remain."""
        for name in ("matrix", "inverse", "scaled"):
            self.__dict__.pop(name, None)

    @lazy
    def scaled(self) -> Array:
        """ΛTΛᵀ with both triangles; for small models."""
        out = self.inverse[: self.inner, : self.inner].copy()
        mirror(out, False)
        return out

    def first_variates(self, directions: Array) -> FirstSums:
        """Return the part of `first_sums` that does not need the inverse: scores, products and crossed."""
        return derive(self.cross, self.lams, np.zeros((0, 0)), self.solution, directions, None)

    def first_sums(self, directions: Array, with_traces: bool) -> FirstSums:
        """Return the sums over levels of the first factor that gradient and curvature need."""
        covariance = self.scaled if with_traces else None
        return derive(
            self.cross, self.lams, self.inverse[: self.inner], self.solution, directions, covariance
        )

    def tail_sums(self, place: TailBlock) -> Array:
        """Return Σ_j [S̃ΛT]_jj of one tail factor, shape (k, k)."""
        return np.asarray(self._sums[self.places.index(place), : place.k, : place.k])

    def tail_information(self, place: TailBlock) -> Array:
        """Return Σ_jl A_jl [S̃ − S̃ΛTΛᵀS̃]_lj of one tail factor, defined at any λ, shape (k, k).

        A is the identity for independent levels.
        """
        out = np.zeros((place.k, place.k))
        known = self.cross.known[place.block]
        for first in range(0, place.levels, CHUNK):
            count = min(CHUNK, place.levels - first)
            columns = place.offset + first * place.k + np.arange(count * place.k)
            unit = np.zeros((self.size + 1, columns.size))
            unit[columns, np.arange(columns.size)] = 1.0
            products = self._times_products(unit)
            if known is not None:
                out += self._related_information(place, products, known.values[:, first : first + count])
                continue
            left = products.copy()
            left[self.inner :] = 0.0
            solved = blas.dsymm(1.0, self.inverse.T, left, lower=0)  # rows after `inner` are not needed
            shape = (self.size + 1, count, place.k)
            out -= np.einsum("tja,tjb->ab", left.reshape(shape), solved.reshape(shape))
            own = products[columns].reshape(count, place.k, count, place.k)
            out += np.einsum("jajb->ab", own)
        return out

    def _related_information(self, place: TailBlock, products: Array, related: Array) -> Array:
        """Return the part of `tail_information` of some levels of a factor with known relationships, shape (k, k).

        Parameters
        ----------
        place : TailBlock
        products : ndarray, shape (m, count k)
            Columns of S̃ of these levels.
        related : ndarray, shape (levels, count)
            Columns of A.
        """
        left = products.copy()
        left[self.inner :] = 0.0
        solved = blas.dsymm(1.0, self.inverse.T, left, lower=0)
        solved[self.inner :] = 0.0
        own = (products - self._times_products(solved))[place.offset : place.stop]
        shaped = own.reshape(place.levels, place.k, related.shape[1], place.k)
        return np.asarray(np.einsum("lajb,lj->ab", shaped, related, optimize=True))

    @lazy
    def _scores(self) -> Array:
        """Products of all tail columns with V⁻¹r."""
        return self._times_products(np.append(-self.solution, 1.0)[:, None])[:, 0]

    def tail_scores(self, place: TailBlock) -> Array:
        """Return Z_jᵀV⁻¹r of one tail factor, shape (levels, k)."""
        return np.asarray(self._scores[place.offset : place.stop].reshape(place.levels, place.k))

    def project(self, crossed: Array) -> Array:
        """Return L⁻¹Λᵀ of working variates' products with the tail, shape (m − 1, count)."""
        right = np.zeros((self.size + 1, crossed.shape[0]))
        right[:-1] = self._times_lam_transposed(crossed.T)
        return self._solve(right, transposed=False)[:-1]

    def fixed_covariance(self) -> Array:
        """Return (XᵀV⁻¹X)⁻¹ over all fixed columns, many-level factors first."""
        q = self.cross.q_random
        if self.size == q:
            return np.zeros((0, 0))
        self._restore_factor()
        block = self.matrix[q:-1, q:-1].copy()
        lapack.dpotri(block.T, lower=0, overwrite_c=1)
        mirror(block, False)
        return block

    def fixed_root(self) -> Array:
        """Return R with RᵀR = (XᵀV⁻¹X)⁻¹: the inverse of L over all fixed columns.

        Variances of combinations that are many decades smaller than those of their parts keep their digits in it.
        """
        q = self.cross.q_random
        if self.size == q:
            return np.zeros((0, 0))
        self._restore_factor()
        return np.tril(lapack.dtrtri(self.matrix[q:-1, q:-1], lower=1)[0])

    @lazy
    def slopes(self) -> Array:
        """Λ S⁻¹ ΛᵀS̃ of the columns [X y]: their best predictions from the tail, shape (q, p + 1)."""
        q = self.cross.q_tail
        if q == 0:
            return np.zeros((0, self.size + 1))
        self._restore_factor()
        right = np.zeros((self.size + 1, self.size + 1 - q))
        right[:q] = self.matrix[q:, :q].T
        return self._times_lam(self._solve(right, transposed=True)[:q])

    def fixed_scores(self, place: TailBlock) -> Array:
        """Return Z_jᵀV⁻¹[X y] of one tail factor, shape (levels, k, p + 1)."""
        count = self.size + 1 - self.cross.q_tail
        rows = self._times_products(np.vstack([-self.slopes, np.eye(count)]))[place.offset : place.stop]
        return np.asarray(rows.reshape(place.levels, place.k, -1))

    def times(self, coefficients: Array) -> Array:
        """Return coefficients (count, q) times the products with [tail X], shape (count, m − 1)."""
        vectors = np.zeros((self.size + 1, coefficients.shape[0]), order="F")
        vectors[: coefficients.shape[1]] = coefficients.T
        return self._times_products(vectors)[:-1].T

    def mode_blocks(self, f: int) -> Array:
        """Return the diagonal blocks of Λ (ΛᵀZᵀZΛ + I)⁻¹ Λᵀ of a block of random effects."""
        self.prepare(reml=False)
        if f == self.cross.first_block:
            return conditional(self.cross, self.lams[f], self.inverse[: self.inner])
        place = self.cross.place(f)
        rows = place.offset + np.arange(place.levels * place.k).reshape(place.levels, place.k)
        blocks = np.tril(self.inverse[rows[:, :, None], rows[:, None, :]])
        return np.asarray(blocks + np.tril(blocks, -1).transpose(0, 2, 1))

    def whole_inverse(self) -> Array:
        """Return ΛTΛᵀ over all tail columns (many-level fixed factors included, X not), its lower triangle."""
        q, random = self.cross.q_tail, self.cross.q_random
        fixed_part: Array | float = 0.0
        if q > random and self.size > q:  # the inverse then includes X: subtract its part
            covariance = self.fixed_covariance()[q - random :, q - random :]
            fixed_part = self.slopes[:, :-1] @ covariance @ self.slopes[:, :-1].T
        self.prepare(reml=q > random)
        return np.asarray(np.tril(self.inverse[:q, :q]) - fixed_part)

    def psi(self) -> Array:
        """Return ZᵀPZ (ZᵀV⁻¹Z under ML) of all random effects: first factor, then tail; for small models.

        Z of a factor with known relationships A = LLᵀ is ZL here, whose effects are independent.
        """
        cross, first = self.cross, self.cross.first
        levels, k = first.gram.shape[:2]
        lam = self.lams[cross.first_block] if cross.first_block >= 0 else np.eye(k)
        left = first.gram @ lam
        inverse = np.linalg.inv(lam.T @ left + np.eye(k))
        dense = np.zeros((levels, k, self.size))
        rows = np.repeat(np.arange(levels), np.diff(first.indptr))
        dense[rows, :, first.indices] = first.values
        dense[:, :, cross.q_tail :] = first.border[:, :, :-1]
        within = first.gram - left @ inverse @ left.transpose(0, 2, 1)
        crossed = (dense - left @ inverse @ (lam.T @ dense)).reshape(levels * k, self.size)
        size, q = self.inner, cross.q_random
        products = np.triu(self.matrix, 1)
        products += products.T + np.diag(self.diagonal)
        stacked = np.vstack([crossed[:, :size], products[:q, :size]])
        psi = -stacked @ self.scaled @ stacked.T
        psi[levels * k :, levels * k :] += products[:q, :q]
        psi[: levels * k, levels * k :] += crossed[:, :q]
        psi[levels * k :, : levels * k] += crossed[:, :q].T
        for j in range(levels):
            psi[j * k : (j + 1) * k, j * k : (j + 1) * k] += within[j]
        return self._to_independent(psi, levels * k)

    def _to_independent(self, psi: Array, at: int) -> Array:
        """Return LᵀΨL over the columns, from `at` on, of tail factors with known relationships A = LLᵀ."""
        for place in self.places:
            known = self.cross.known[place.block]
            if known is None:
                continue
            for a in range(place.k):
                here = slice(at + place.offset + a, at + place.stop, place.k)
                psi[here] = known.root.T @ psi[here]
                psi[:, here] = psi[:, here] @ known.root
        return np.asarray(psi)

    def pair_traces(self, directions: Sequence[Array], slices: Sequence[slice]) -> Array:
        """Return tr(P V_a P V_b), with V⁻¹ for P under ML, of all θ from `psi`; for small models."""
        psi = self.psi()
        own = self.cross.first.gram.shape[0] * self.cross.first.gram.shape[1]
        columns = {place.block: slice(own + place.offset, own + place.stop) for place in self.places}
        columns[self.cross.first_block] = slice(0, own)
        traces = np.zeros((slices[-1].stop, slices[-1].stop))
        for f, here in enumerate(slices):
            for g, there in enumerate(slices[: f + 1]):
                block = _pair_traces(psi[columns[f], columns[g]], directions[f], directions[g])
                traces[here, there] = block
                traces[there, here] = block.T
        return traces


def _pair_traces(psi: Array, one: Array, other: Array) -> Array:
    """Return Σ_jl tr(E_x Ψ_jl E_y Ψ_lj) for the directions of two factors, shape (len(one), len(other))."""
    k, m = one.shape[1], other.shape[1]
    if k == m == 1:
        return np.asarray(np.outer(one[:, 0, 0], other[:, 0, 0]) * np.vdot(psi, psi))
    part = psi.reshape(-1, k, psi.shape[1] // m, m)
    pairs = np.tensordot(part, part, axes=([0, 2], [0, 2]))
    left = np.tensordot(one, pairs, axes=([1, 2], [0, 2]))
    return np.asarray(np.tensordot(left, other, axes=([1, 2], [1, 2])))


def prior_logdet(cross: CrossProducts) -> float:
    """Return log|A ⊗ I| of all factors with known relationships A, which is −log|D|."""
    places = [(place.k, cross.known[place.block]) for place in cross.tail if place.block >= 0]
    return sum(k * known.log_determinant for k, known in places if known is not None)


@lru_cache
def _columns(places: tuple[TailBlock, ...]) -> tuple[IntArray, IntArray, IntArray]:
    """Return first columns, ends and effects per level of tail factors."""
    return (
        np.array([place.offset for place in places], np.int64),
        np.array([place.stop for place in places], np.int64),
        np.array([place.k for place in places], np.int64),
    )
