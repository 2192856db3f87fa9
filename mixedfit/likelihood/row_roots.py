"""Rows whose squares are the derivative of the criterion by the residual covariance.

In units where σ = 1, V = R + ZΛΛᵀZᵀ and M the mixed-model equations (under REML with X, under ML without), the
criterion is log|R| + log|M| + ν log PRSS. With R = LLᵀ and raw rows C = [Z X], log|M| changes by 2 tr(A L̇…) and PRSS
by 2eᵀė; so for rows B = [C M^(−1/2), e/σ] of raw (not whitened) data

    ∂d/∂x = ∂(log|R| + Σ|L⁻¹B|²)/∂x   with B held.

Rows of one group of R lie in one level of every random factor, so only blocks of M⁻¹ of levels that occur together
are needed: C M⁻¹ Cᵀ = z W zᵀ + X̂ Φ X̂ᵀ with W the conditional covariance of the random effects at known β, X̂ = X less
the BLUPs of its columns, Φ = (XᵀV⁻¹X)⁻¹.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse, symmetric
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design

from .criterion import Evaluation

__all__ = ["row_roots"]


def row_roots(design: Design, cross: CrossProducts, evaluation: Evaluation, residual: Array) -> Array:
    """Return B, shape (n, columns).

    Parameters
    ----------
    design : Design
        Raw rows: multiplied by roots of weights, not whitened.
    cross : CrossProducts
        Of the whitened rows.
    evaluation : Evaluation
        Of the criterion of `cross`; its factorisation is used up.
    residual : ndarray, shape (n,)
        y − Xβ̂ − Zb̂ of the raw rows, in units of y.
    """
    tail = evaluation.tail
    fixed = cross.fixed
    parts: list[Array] = []
    X = design.X[:, fixed.kept] @ fixed.transform
    reml = evaluation.criterion.reml and X.shape[1] > 0
    phi = tail.fixed_covariance() if reml else None
    if design.blocks:
        z = [block.z @ inverse(basis) for block, basis in zip(design.blocks, cross.basis, strict=True)]
        parts.append(_random_rows(design, cross, tail, z))
        if reml:
            X = X - _blups_of_columns(design, cross, tail, z)
    if phi is not None:
        parts.append(X @ np.linalg.cholesky(phi))
    parts.append(residual[:, None] / evaluation.sigma)
    return np.concatenate(parts, axis=1)


def _first_roots(cross: CrossProducts, tail: Any) -> Array:
    """Return T with TTᵀ = λ(λᵀZ_jᵀZ_jλ + I)⁻¹λᵀ for every level of the first factor, shape (levels, k, k)."""
    lam = tail.lams[cross.first_block]
    k = lam.shape[0]
    factor = np.linalg.cholesky(np.eye(k) + lam.T @ cross.first.gram @ lam)
    if k == 1:
        return np.asarray(lam / factor)
    return np.asarray(lam @ inverse(factor).transpose(0, 2, 1))


def _random_rows(design: Design, cross: CrossProducts, tail: Any, z: list[Array]) -> Array:
    """Return z W^(1/2) of every row, shape (n, effects)."""
    first = [] if cross.first_block < 0 else [cross.first_block]
    roots = _first_roots(cross, tail) if first else None
    if roots is not None and not cross.tail:
        codes = design.blocks[cross.first_block].codes
        return np.asarray(np.einsum("ik,ikl->il", z[cross.first_block], roots[codes]))
    combos, which = _combinations(design, cross)
    whole = tail.whole_inverse()
    tail.release()
    local = [
        _tail_root(cross, whole, combo)
        if roots is None
        else _local_root(cross, whole, roots[combo[0]], combo)
        for combo in combos
    ]
    stacked = np.concatenate([z[f] for f in [*first, *(place.block for place in cross.tail)]], axis=1)
    return np.asarray(np.einsum("ik,ikl->il", stacked, np.array(local)[which]))


def _combinations(design: Design, cross: CrossProducts) -> tuple[IntArray, IntArray]:
    """Return the combinations of levels (first factor, if any, then tail) that occur, and that of each row."""
    first = [] if cross.first_block < 0 else [cross.first_block]
    codes = [design.blocks[f].codes for f in [*first, *(p.block for p in cross.tail)]]
    combos, which = np.unique(np.column_stack(codes), axis=0, return_inverse=True)
    return combos, which.reshape(-1)


def _local_root(cross: CrossProducts, whole: Any, root: Array, combo: IntArray) -> Array:
    """Return a root of the conditional covariance of the effects of one combination of levels."""
    first, level = cross.first, combo[0]
    here = slice(first.indptr[level], first.indptr[level + 1])
    columns, products = first.indices[here], first.values[here]
    at = np.searchsorted(columns, _tail_columns(cross, combo[1:]))
    inner = _block(whole, columns)
    own = root @ root.T
    side = own @ products.T
    first_part = own + side @ inner @ side.T
    crossed = -(side @ inner)[:, at]
    return _root_of(np.block([[first_part, crossed], [crossed.T, inner[np.ix_(at, at)]]]))


def _tail_root(cross: CrossProducts, whole: Any, combo: IntArray) -> Array:
    """Return a root of the conditional covariance of the effects of one combination, if there is no first factor."""
    columns = _tail_columns(cross, combo)
    order = np.argsort(columns)
    out = np.empty((columns.size, columns.size))
    out[np.ix_(order, order)] = _block(whole, columns[order])
    return _root_of(out)


def _tail_columns(cross: CrossProducts, combo: IntArray) -> IntArray:
    """Return the tail columns of a combination of levels."""
    own = [p.offset + c * p.k + np.arange(p.k) for p, c in zip(cross.tail, combo, strict=True)]
    return np.concatenate(own)


def _root_of(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _block(whole: Any, columns: IntArray) -> Array:
    """Return a block of a symmetric matrix of which a lower triangle or sparse rows are stored."""
    if sparse.issparse(whole):
        return np.asarray(whole[columns][:, columns].toarray())
    return symmetric(whole[np.ix_(columns, columns)])


def _blups_of_columns(design: Design, cross: CrossProducts, tail: Any, z: list[Array]) -> Array:
    """Return the BLUPs of the columns of X on every row, shape (n, p)."""
    first, p = cross.first, cross.p
    out = np.zeros((design.n, p))
    slopes = tail.slopes[:, :p] if cross.tail else None
    for place in cross.tail:
        assert slopes is not None
        own = slopes[place.offset : place.stop].reshape(place.levels, place.k, p)
        out += np.einsum("ik,ikp->ip", z[place.block], own[design.blocks[place.block].codes])
    if cross.first_block < 0:
        return out
    roots, border = _first_roots(cross, tail), first.border[:, :, :-1].copy()
    if slopes is not None:
        levels = np.repeat(np.arange(len(border)), np.diff(first.indptr))
        np.subtract.at(border, levels, first.values[:, :, None] * slopes[first.indices][:, None, :])
    effects = roots @ (roots.transpose(0, 2, 1) @ border)
    codes = design.blocks[cross.first_block].codes
    out += np.einsum("ik,ikp->ip", z[cross.first_block], effects[codes])
    return out
