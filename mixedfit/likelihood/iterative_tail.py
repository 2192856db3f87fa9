"""The tail without factorisation: conjugate gradients, and traces and log-determinants from random probes.

Notation as in `dense_tail`. S = ΛᵀS̃Λ + I is only multiplied with vectors: S̃ = G − Σ_j (H_jC_j)ᵀH_jC_j has the first
factor eliminated, which leaves few and well separated eigenvalues. D are the diagonal blocks of S, D = KKᵀ. For
probes u of independent signs, z = Ku, x = S⁻¹z and y = K⁻ᵀu, E(xyᵀ) = S⁻¹, and log|S| = log|D| + E(uᵀ log(K⁻¹SK⁻ᵀ) u),
by Gauss quadrature with the Lanczos coefficients of the same solution (Kündig & Sigrist 2025, arXiv:2505.09552; Ubaru,
Chen & Saad 2017, SIAM J. Matrix Anal. Appl. 38:1075). The signs are the same at every θ, so that estimates of traces
change smoothly with θ. β̂, b̂, the residual sum of squares and log|XᵀV⁻¹X| need no probes: they are solved for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NoReturn

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.crossproducts.crossprod import CrossProducts, TailBlock
from mixedfit.kernels.iterative import (
    add_block_squares,
    half_levels,
    probe_sums,
    reduce_border,
    scale_cells,
    subtract_products,
)

from .conjugate_gradients import Solved, logarithms, solve
from .first_factor import cores, derive, project, run
from .first_sums import FirstSums

__all__ = ["IterativeTail"]

SEED = 20_240_607
"""Seed of the signs; the same for all models, so that fits to the same rows are comparable."""

PROBE_TOLERANCE = 1e-7

SOLUTION_TOLERANCE = 1e-11

ROUGH = 1e4
"""Factor of the tolerances of rough solutions."""


class IterativeTail:
    """The tail at one θ; methods without a docstring are those of `DenseTail`.

    Parameters
    ----------
    cross : CrossProducts
        With `pairs`.
    lams : sequence of ndarray, shape (k, k)
        λ̃ of each of the design's blocks.
    """

    def __init__(self, cross: CrossProducts, lams: Sequence[Array]) -> None:
        assert cross.pairs is not None
        self.cross, self.lams, self.own = cross, lams, cross.pairs
        self.q, self.size = cross.q_tail, cross.q_tail + cross.p
        logdet = self._eliminate()
        self.ok = bool(np.isfinite(logdet)) and self._factorise()
        if self.ok:
            self.logdet_random = logdet + self._block_logdet + float(np.mean(self._logarithms))

    def _eliminate(self) -> float:
        """Compute the scaled cells and what the first factor leaves of the products with [X y]."""
        first, lam = self.cross.first, self.lams[self.cross.first_block]
        halves, self.cells = np.empty_like(first.gram), np.empty_like(first.values)

        def work(start: int, stop: int) -> float:
            found = half_levels(lam, first.gram, halves, start, stop)
            scale_cells(halves, first.indptr, first.values, self.cells, start, stop)
            return float(found)

        logdet = sum(run(work, self._ranges))
        self.sides, self.corner = self.own.sides.copy(), self.cross.gram.copy()
        self.corner = np.tril(self.corner) + np.tril(self.corner, -1).T
        arrays = first.indptr, first.indices, self.cells
        reduce_border(halves, *arrays, first.border, self.sides, self.corner)
        heads, within, widest = self._layout
        blocks = self.own.blocks(heads, within, widest)
        add_block_squares(*arrays, within, blocks)
        self._precondition(blocks)
        return float(logdet)

    @property
    def _ranges(self) -> list[tuple[int, int]]:
        """Ranges of levels of the first factor with about as many cells each, one for each thread."""
        indptr = self.cross.first.indptr
        wanted = np.linspace(0, indptr[-1], cores() + 1)
        cuts = np.searchsorted(indptr, wanted)
        cuts[0], cuts[-1] = 0, indptr.size - 1
        return [(int(a), int(b)) for a, b in pairwise(np.maximum.accumulate(cuts)) if b > a] or [(0, 0)]

    @property
    def _layout(self) -> tuple[IntArray, IntArray, int]:
        """First column of each column's level, position in the level, and the largest number of effects."""
        heads, within = np.empty(self.q, np.int64), np.empty(self.q, np.int64)
        for place in self.cross.tail:
            here = slice(place.offset, place.stop)
            within[here] = np.tile(np.arange(place.k), place.levels)
            heads[here] = np.arange(place.offset, place.stop) - within[here]
        return heads, within, max(place.k for place in self.cross.tail)

    def _precondition(self, blocks: Array) -> None:
        """Factorise D = KKᵀ of every level, given the diagonal blocks of S̃."""
        self.roots: list[Array] = []
        self.inverse_roots: list[Array] = []
        self.wholes: list[Array] = []
        logdet = 0.0
        for place in self.cross.tail:
            own = blocks[place.offset : place.stop, : place.k].reshape(place.levels, place.k, place.k)
            whole = np.tril(own) + np.tril(own, -1).transpose(0, 2, 1)
            lam = self.lams[place.block]
            root = np.linalg.cholesky(lam.T @ whole @ lam + np.eye(place.k))
            logdet += 2.0 * float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())
            self.wholes.append(whole)
            self.roots.append(np.asarray(root, dtype=np.float64))
            self.inverse_roots.append(np.asarray(np.linalg.inv(root), dtype=np.float64))
        self._block_logdet = logdet

    def _by_level(self, vectors: Array, matrices: Callable[[int], Array]) -> Array:
        """Return the levels of every factor times matrices, shape (levels, k, k) or (k, k), of the factor."""
        out = np.empty_like(vectors)
        for f, place in enumerate(self.cross.tail):
            own, here = matrices(f), slice(place.offset, place.stop)
            if place.k == 1:
                out[here] = own.reshape(-1, 1) * vectors[here]
            else:
                out[here] = (own @ vectors[here].reshape(place.levels, place.k, -1)).reshape(out[here].shape)
        return out

    def _times_lam(self, vectors: Array, *, transposed: bool = False) -> Array:
        def lam(f: int) -> Array:
            own = self.lams[self.cross.tail[f].block]
            return own.T if transposed else own

        return self._by_level(vectors, lam)

    def _products(self, vectors: Array) -> Array:
        """Return S̃ times vectors, shape (q, t)."""
        first = self.cross.first
        vectors = np.ascontiguousarray(vectors)
        out = np.ascontiguousarray(self.own.pairs @ vectors)
        ranges = self._ranges
        parts = {start: out if i == 0 else np.zeros_like(out) for i, (start, _) in enumerate(ranges)}

        def work(start: int, stop: int) -> None:
            subtract_products(first.indptr, first.indices, self.cells, vectors, parts[start], start, stop)

        run(work, ranges)
        for part in list(parts.values())[1:]:
            out += part
        return out

    def _times(self, vectors: Array) -> Array:
        """Return S times vectors."""
        return vectors + self._times_lam(self._products(self._times_lam(vectors)), transposed=True)

    def _preconditioned(self, vectors: Array) -> Array:
        whole = self._by_level(vectors, lambda f: self.inverse_roots[f])
        return self._by_level(whole, lambda f: self.inverse_roots[f].transpose(0, 2, 1))

    def _solve(self, right: Array, tolerance: float | Array) -> Solved:
        factor = ROUGH if self.own.rough else 1.0
        return solve(self._times, self._preconditioned, right, factor * tolerance)

    def _factorise(self) -> bool:
        """Solve for [X y] and for the probes; return whether S and XᵀV⁻¹X are positive definite."""
        signs, width = self._signs, self.sides.shape[1]
        right = np.hstack(
            [self._times_lam(self.sides, transposed=True), self._by_level(signs, lambda f: self.roots[f])]
        )
        tolerance = np.repeat([SOLUTION_TOLERANCE, PROBE_TOLERANCE], [width, signs.shape[1]])
        found = self._solve(right, tolerance)
        self.slopes = self._times_lam(found.x[:, :width])
        y = self._by_level(signs, lambda f: self.inverse_roots[f].transpose(0, 2, 1))
        self._probes: tuple[Solved, Array] = found.columns(width, right.shape[1]), y
        try:
            root = cholesky(self.corner - self.sides.T @ self.slopes, lower=True)
        except np.linalg.LinAlgError:
            return False
        self.root = root
        self.logdet_fixed = float(2.0 * np.log(np.diag(root)[:-1]).sum())
        self.prss = float(root[-1, -1] ** 2)
        return found.converged

    @property
    def _signs(self) -> Array:
        """Random signs, the same at every θ, shape (q, t)."""
        drawn = np.random.default_rng(SEED).integers(0, 2, size=(self.q, self.own.probes))
        return np.asarray(2 * drawn - 1, dtype=np.float64)

    @lazy
    def _logarithms(self) -> Array:
        """Estimate of log|S| − log|D| by each probe, shape (t,)."""
        return logarithms(self._probes[0], np.full(self.own.probes, float(self.q)))

    @property
    def scaled(self) -> Array:
        """Raise `ModelError`."""
        _refuse("exact second derivatives")

    @property
    def logdet_error(self) -> float:
        """Monte-Carlo standard error of the log-determinant."""
        return float(np.std(self._logarithms, ddof=1) / np.sqrt(self.own.probes))

    @lazy
    def solution(self) -> Array:
        p = self.cross.p
        beta = (
            solve_triangular(self.root[:p, :p], self.root[p, :p], lower=True, trans=1) if p else np.zeros(0)
        )
        return np.concatenate([self.slopes[:, p] - self.slopes[:, :p] @ beta, beta])

    @lazy
    def _covariance(self) -> Array:
        p = self.cross.p
        return np.asarray(cho_solve((self.root[:p, :p], True), np.eye(p))) if p else np.zeros((0, 0))

    def prepare(self, reml: bool) -> None:
        self.reml = reml

    def release(self) -> None:
        """Do nothing: no inverse is held."""

    def discard(self) -> None:
        for name in ("_probes", "_images", "cells"):
            self.__dict__.pop(name, None)

    @lazy
    def _first_probes(self) -> tuple[Array, Array]:
        """Σ AλP⁻¹ and ΣW of the first factor, and Σ_j F_jΛxyᵀΛᵀF_jᵀ of each probe, shape (t, k, k)."""
        cross, first = self.cross, self.cross.first
        lam = self.lams[cross.first_block]
        found, right = self._probes
        left, right = self._times_lam(found.x), self._times_lam(right)
        k = lam.shape[0]
        ranges = self._ranges

        def work(start: int, stop: int) -> tuple[Array, Array]:
            exact, probes = np.zeros((2, k, k)), np.zeros((self.own.probes, k, k))
            arrays = first.gram, first.indptr, first.indices, first.values
            probe_sums(lam, *arrays, left, right, exact, probes, start, stop)
            return exact, probes

        parts = run(work, ranges)
        probes = np.asarray(sum(part[1] for part in parts))
        return np.asarray(sum(part[0] for part in parts)), 0.5 * (probes + probes.transpose(0, 2, 1))

    def _spread(self, scores: Array) -> Array:
        """Return Σ_j h_j Cov h_jᵀ of the scores of X, shape (levels, k, p), under REML; else 0."""
        if not (self.reml and self.cross.p):
            return np.zeros((scores.shape[1],) * 2)
        return np.asarray(np.einsum("jas,st,jbt->ab", scores, self._covariance, scores, optimize=True))

    def first_sums(self, directions: Array, with_traces: bool) -> FirstSums:
        del with_traces  # with a tail the traces are not sums over levels
        cross = self.cross
        out = derive(cross, self.lams, np.zeros((0, 0)), self.solution, directions, None)
        scores = project(cross, self.lams[cross.first_block], self.slopes)[:, :, :-1]
        out.sums[1] += self._first_probes[1].mean(axis=0) + self._spread(scores)
        return out

    @lazy
    def _images(self) -> Array:
        """S̃Λx of the probes, shape (q, t)."""
        return self._products(self._times_lam(self._probes[0].x))

    def _probe_sums(self, place: TailBlock) -> Array:
        """Return the estimate of Σ_j [S̃ΛT]_jj by each probe, T = S⁻¹, shape (t, k, k).

        What the diagonal blocks of S̃ and S alone give is known; the rest is estimated.
        """
        f, lam = self.cross.tail.index(place), self.lams[place.block]
        own = self.wholes[f] @ lam
        root, y = self.inverse_roots[f], self._of(place, self._probes[1])
        known = np.einsum("jac,jdc,jdb->ab", own, root, root, optimize=True)
        rest = self._of(place, self._images) - own @ y
        out = np.einsum("jat,jbt->tab", rest, y, optimize=True) + known
        out[:, :, ~np.any(lam, axis=0)] = 0.0  # S is the identity there
        return np.asarray(out)

    def _of(self, place: TailBlock, vectors: Array) -> Array:
        """Return the rows of one tail factor, shape (levels, k, t)."""
        return vectors[place.offset : place.stop].reshape(place.levels, place.k, -1)

    def tail_sums(self, place: TailBlock) -> Array:
        spread = self._spread(self.fixed_scores(place)[:, :, :-1])
        return np.asarray(self._probe_sums(place).mean(axis=0) - spread @ self.lams[place.block])

    def tail_information(self, place: TailBlock) -> Array:
        """Return Σ_j [ZᵀPZ]_jj of one tail factor, defined at any λ, shape (k, k); solves for further probes."""
        f, lam = self.cross.tail.index(place), self.lams[place.block]
        whole, root = self.wholes[f], self.inverse_roots[f]
        left = root @ lam.T @ whole
        known = whole - left.transpose(0, 2, 1) @ left
        signs = self._signs
        products = self._products(signs)
        solved = self._solve(self._times_lam(products, transposed=True), PROBE_TOLERANCE).x
        rest = products - self._products(self._times_lam(solved))
        own, signs = self._of(place, rest), self._of(place, signs)
        out = np.einsum("jat,jbt->ab", own - known @ signs, signs, optimize=True) / signs.shape[2]
        return np.asarray(
            0.5 * (out + out.T) + known.sum(axis=0) - self._spread(self.fixed_scores(place)[:, :, :-1])
        )

    def trace_errors(self, f: int) -> Array:
        """Return the deviations of the probes' estimates of Q of block f from their mean, shape (t, k, k)."""
        if f == self.cross.first_block:
            found = -self._first_probes[1] @ self.lams[f]
        else:
            found = self._probe_sums(self.cross.place(f))
        return np.asarray(found - found.mean(axis=0))

    def tail_scores(self, place: TailBlock) -> Array:
        return np.asarray(self._scores[place.offset : place.stop].reshape(place.levels, place.k))

    @lazy
    def _fixed(self) -> Array:
        """Products of the tail with V⁻¹[X y], shape (q, p + 1)."""
        return np.asarray(self.sides - self._products(self.slopes))

    @lazy
    def _scores(self) -> Array:
        """Products of the tail with V⁻¹r, shape (q,)."""
        p = self.cross.p
        return np.asarray(self._fixed[:, p] - self._fixed[:, :p] @ self.solution[self.q :])

    def fixed_scores(self, place: TailBlock) -> Array:
        return np.asarray(self._of(place, self._fixed))

    def times(self, coefficients: Array) -> Array:
        return np.hstack([self._products(coefficients.T).T, coefficients @ self.sides[:, :-1]])

    def project(self, crossed: Array) -> Array:
        """Return a matrix whose product with its own transpose is that of `DenseTail.project`, shape (m − 1, count)."""
        q, p, count = self.q, self.cross.p, len(crossed)
        top = self._times_lam(np.ascontiguousarray(crossed[:, :q].T), transposed=True)
        tolerance = PROBE_TOLERANCE if self.own.rough else SOLUTION_TOLERANCE
        products = top.T @ self._solve(top, tolerance).x
        values, vectors = np.linalg.eigh(0.5 * (products + products.T))
        out = np.zeros((q + p, count))
        out[:count] = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
        rest = crossed[:, q:].T - self.slopes[:, :p].T @ crossed[:, :q].T
        out[q:] = solve_triangular(self.root[:p, :p], rest, lower=True) if p else rest
        return out

    def fixed_covariance(self) -> Array:
        return self._covariance

    def fixed_root(self) -> Array:
        p = self.cross.p
        return (
            np.asarray(solve_triangular(self.root[:p, :p], np.eye(p), lower=True)) if p else np.zeros((0, 0))
        )

    def mode_blocks(self, f: int) -> NoReturn:
        del f
        _refuse("variances of single random effects")

    def whole_inverse(self) -> NoReturn:
        """Raise `ModelError`."""
        _refuse("standard errors of predictions")


def _refuse(what: str) -> NoReturn:
    raise ModelError(
        f"{what} need a factorisation, and this fit was computed by conjugate gradients, since its crossed factors are "
        'large. Fit with Control(solver="exact") if there is memory for a dense matrix of them. Estimates, fixed '
        "effects with their errors, random effects and predicted means are available."
    )
