"""The tail as one dense matrix: what remains after the first factor has been eliminated.

Notation: S̃ are the products of [tail, X, y] left by the first factor; Λ = blockdiag(I ⊗ λ_f) over the
tail, identity on fixed columns; S = ΛᵀS̃Λ + D with D = I on random columns, 0 on fixed ones. S = L Lᵀ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import lapack

from ._types import Array
from .crossprod import CrossProducts, TailBlock
from .kernels.elimination import eliminate_first, gradient_first

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
    """

    def __init__(self, cross: CrossProducts, lams: Sequence[Array]) -> None:
        self.cross = cross
        self.lams = lams
        first = cross.first
        products = cross.gram.copy()
        logdet = 0.0
        if cross.first_block >= 0:
            logdet = eliminate_first(
                lams[cross.first_block],
                first.gram,
                first.indptr,
                first.indices,
                first.values,
                first.border,
                products,
            )
        self.products = products if not cross.q_tail else _mirror(products)
        chol, info = lapack.dpotrf(self._scaled(), lower=1, clean=0, overwrite_a=1)
        self.chol = chol
        diagonal = np.diagonal(chol)
        self.ok = bool(info == 0 and np.isfinite(logdet))
        if self.ok:
            q = cross.q_random
            logs = np.log(diagonal[:-1])
            self.logdet_random = float(logdet + 2.0 * logs[:q].sum())
            self.logdet_fixed = float(2.0 * logs[q:].sum())
            self.prss = float(diagonal[-1] ** 2)

    def _scaled(self) -> Array:
        """Return S in Fortran order (its lower triangle serves)."""
        scaled = np.array(self.products, order="F")
        for place in self._random():
            lam, here = self.lams[place.block], slice(place.offset, place.stop)
            if place.k == 1:
                scaled[:, here] *= lam[0, 0]
                scaled[here, :] *= lam[0, 0]
            else:
                shape = (-1, place.levels, place.k)
                scaled[:, here] = (scaled[:, here].reshape(shape) @ lam).reshape(-1, here.stop - here.start)
                rows = np.ascontiguousarray(scaled[here, :].T).reshape(shape) @ lam
                scaled[here, :] = rows.reshape(-1, here.stop - here.start).T
            where = np.arange(place.offset, place.stop)
            scaled[where, where] += 1.0
        return scaled

    def _random(self) -> list[TailBlock]:
        return [place for place in self.cross.tail if place.block >= 0]

    def _times_lam(self, vectors: Array) -> Array:
        """Return Λ times the rows of `vectors`, shape (m, columns) or (m,)."""
        out = np.array(vectors)
        for place in self._random():
            here = slice(place.offset, place.stop)
            lam = self.lams[place.block]
            part = out[here].reshape(place.levels, place.k, -1)
            out[here] = (lam @ part).reshape(out[here].shape)
        return out

    def _times_lam_transposed(self, vectors: Array) -> Array:
        out = np.array(vectors)
        for place in self._random():
            here = slice(place.offset, place.stop)
            part = out[here].reshape(place.levels, place.k, -1)
            out[here] = (self.lams[place.block].T @ part).reshape(out[here].shape)
        return out

    def solution(self) -> Array:
        """Return the coefficients b and β of all tail columns but y, shape (m − 1,)."""
        size = self.chol.shape[0] - 1
        if size == 0:
            return np.zeros(0)
        x, _ = lapack.dtrtrs(self.chol[:size, :size], self.chol[size, :size], lower=1, trans=1)
        return self._times_lam(x)

    def inverse(self, size: int) -> Array:
        """Return the first `size` rows and columns of S⁻¹'s leading block inverse, symmetric."""
        if size == 0:
            return np.zeros((0, 0))
        lower, _ = lapack.dpotri(np.array(self.chol[:size, :size], order="F"), lower=1, overwrite_c=1)
        return _mirror(np.ascontiguousarray(lower))

    def scale_inverse(self, inverse: Array) -> Array:
        """Return Λ T Λᵀ."""
        return self._times_lam(self._times_lam(inverse).T)

    def first_factor_sums(self, inverse: Array, solution: Array) -> tuple[Array, Array]:
        """Return scores (levels, k) and sums (4, k, k) of the first factor; see `gradient_first`."""
        cross, first = self.cross, self.cross.first
        lam = self.lams[cross.first_block]
        scores = np.empty((first.gram.shape[0], lam.shape[0]))
        sums = np.empty((4, *lam.shape))
        gradient_first(
            lam,
            first.gram,
            first.indptr,
            first.indices,
            first.values,
            first.border,
            self.scale_inverse(inverse),
            solution,
            scores,
            sums,
        )
        return scores, sums

    def tail_sums(self, place: TailBlock, inverse: Array) -> Array:
        """Return Σ_j [S̃ΛT]_jj of one tail factor, shape (k, k)."""
        size = inverse.shape[0]
        here = slice(place.offset, place.stop)
        left = self._times_lam_transposed(self.products[:size, here]).T
        shape = (place.levels, place.k, size)
        if place.k == 1:
            return np.array([[np.einsum("ij,ij->", left, inverse[here])]])
        return np.einsum("jat,jbt->ab", left.reshape(shape), inverse[here].reshape(shape))

    def tail_information(self, place: TailBlock, inverse: Array) -> Array:
        """Return Σ_j [S̃ − S̃ΛTΛᵀS̃]_jj of one tail factor, defined at any λ, shape (k, k)."""
        size = inverse.shape[0]
        here = slice(place.offset, place.stop)
        left = self._times_lam_transposed(self.products[:size, here])
        reduced = left.T @ (inverse @ left)
        blocks = (self.products[here, here] - reduced).reshape(place.levels, place.k, place.levels, place.k)
        return np.asarray(np.einsum("jajb->ab", blocks))

    def tail_scores(self, place: TailBlock, solution: Array) -> Array:
        """Return Z_jᵀV⁻¹r of one tail factor, shape (levels, k)."""
        rows = self.products[place.offset : place.stop]
        return (rows[:, -1] - rows[:, :-1] @ solution).reshape(place.levels, place.k)

    def project(self, crossed: Array) -> Array:
        """Return L⁻¹Λᵀ of working variates' products with the tail, shape (m − 1, count)."""
        size = self.chol.shape[0] - 1
        if size == 0:
            return np.zeros((0, crossed.shape[0]))
        solved, _ = lapack.dtrtrs(
            self.chol[:size, :size], self._times_lam_transposed(crossed.T), lower=1, trans=0
        )
        return np.asarray(solved)

    def fixed_covariance(self) -> Array:
        """Return (X̃ᵀV⁻¹X̃)⁻¹ over all fixed columns, many-level factors first."""
        q = self.cross.q_random
        size = self.chol.shape[0] - 1
        if size == q:
            return np.zeros((0, 0))
        block = np.array(self.chol[q:size, q:size], order="F")
        lower, _ = lapack.dpotri(block, lower=1, overwrite_c=1)
        return _mirror(np.ascontiguousarray(lower))


def _mirror(lower: Array) -> Array:
    """Return the symmetric matrix of a lower triangle."""
    if lower.shape[0] < 2:
        return lower
    out = np.tril(lower)
    out += np.tril(lower, -1).T
    return out
