"""Fixed factors with many levels in sums over batches: projection off them after the last row.

While rows are added up, every level has a column M in the tail, dependent or not, and B̃, the basis of [X y], is not
projected. With W, the least-squares coefficients of B̃ on the linearly independent columns of M, the products of
B₀ = B̃ − MW follow from sums: B₀ᵀB₀ = B̃ᵀB̃ − WᵀMᵀB̃ − B̃ᵀMW + WᵀMᵀMW and ZᵀB₀ = ZᵀB̃ − ZᵀMW.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import symmetric
from mixedfit.design.design import Design

from .crossprod import tail_layout
from .level_span import LevelSpan, level_solver, span_of_products
from .product_sums import ProductSums
from .running_basis import RunningBasis

__all__ = ["Projection", "project", "with_intercept", "within_levels"]

INTERCEPT = "(Intercept)"

WITHIN = 1e-14
"""A column of X depends on earlier ones if this share of its squared norm is left: the sums have sixteen digits."""

WEAK = 1e-6
"""Share of the squared norm left within the levels below which the rows are read again, less their level means."""


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """[X y] projected off the many-level factors.

    Attributes
    ----------
    span : LevelSpan
    upper : ndarray, shape (any, p + 1)
        R of the projected [X y].
    means : ndarray, shape (columns of M, p + 1)
        Coefficients of [X y] on M.
    weak : bool
        Whether sums lose digits because little of a column is left within the levels; see `WEAK`.
    """

    span: LevelSpan
    upper: Array
    means: Array
    weak: bool


def with_intercept(design: Design) -> Design:
    """Return a design whose X begins with the intercept, about which sums keep their digits, if levels span it."""
    if not design.many or design.many[0].first:
        return design
    X = design.X
    if design.absent is not None:
        own = design.absent.array(design.n, X.shape[1] + 1)
    else:
        own = np.column_stack([np.ones(len(X)), X])
    return replace(design, X=own, x_names=(INTERCEPT, *design.x_names))


def project(sums: ProductSums, running: RunningBasis, design: Design) -> Projection:
    """Return [X y] projected off the many-level factors, and leave the projected products in `sums`.

    Parameters
    ----------
    sums : ProductSums
        Of a design `with_intercept`; changed in place.
    running : RunningBasis
        With the basis of `sums`.
    design : Design
        Without that intercept.
    """
    at = next(b.offset for b in sums.tail if b.block < 0)
    gram, sides = _tail(sums)
    own, right = sparse.csr_array(gram[at:, at:]), sides[at:]
    span = span_of_products(design, own)
    kept = _kept(design, span)
    coefficients = np.zeros_like(right)
    coefficients[kept] = _least_squares(design, span, own, right)
    if design.many[0].first:
        coefficients[:, 0] = 0.0
    cross = coefficients.T @ right
    border = sums.border - cross - cross.T + coefficients.T @ (own @ coefficients)
    _set(sums, design, span, at, kept, (gram, sides, coefficients, border))
    lead = 0 if design.many[0].first else 1
    root, share = _root(border, float(max(running.count, 1)))
    upper, means = root @ running.border, coefficients[kept] @ running.border
    return Projection(span, upper[lead:, lead:], means[:, lead:], bool(np.any(share[lead:] < WEAK)))


def within_levels(batch: Design, found: Projection) -> Design:
    """Return the rows of a batch with X and y less their coefficients on the levels."""
    span = replace(found.span, codes=tuple(factor.grouping.codes for factor in batch.many))
    own = span.times(found.means, slice(0, batch.n))
    return replace(batch, X=batch.X - own[:, :-1], y=batch.y - own[:, -1])


def _tail(sums: ProductSums) -> tuple[sparse.csr_array, Array]:
    """Return the products of the tail with itself and with [X̃ ỹ]."""
    if not sums.is_dense:
        return sparse.csr_array(sums.pairs), sums.sides
    whole = symmetric(sums.dense)
    return sparse.csr_array(whole[: sums.q, : sums.q]), whole[: sums.q, sums.q :]


def _kept(design: Design, span: LevelSpan) -> IntArray:
    """Return the linearly independent columns among those of all levels of all factors."""
    starts = np.cumsum([0, *(len(factor.grouping.levels) for factor in design.many)])
    columns = [
        start + factor.first + own for start, factor, own in zip(starts, design.many, span.kept, strict=False)
    ]
    return np.concatenate(columns).astype(np.int64)


def _least_squares(design: Design, span: LevelSpan, gram: sparse.csr_array, right: Array) -> Array:
    """Return the coefficients of the columns kept, without those of the intercept; see `LevelSpan.coefficients`."""
    kept = _kept(design, span)
    first = span.kept[0].size
    levels = kept if span.base < 0 else np.insert(kept, np.searchsorted(kept[:first], span.base), span.base)
    first += int(span.base >= 0)
    own = sparse.csr_array(gram[levels][:, levels])
    solve, sides = level_solver(own, first), right[levels]
    solved = solve(sides)
    solved += solve(sides - own @ solved)
    if span.base < 0:
        return solved
    at = int(np.flatnonzero(levels[:first] == span.base)[0])
    constant = np.array(solved[at])
    solved[:first] -= constant
    return np.delete(solved, at, axis=0)


def _set(
    sums: ProductSums,
    design: Design,
    span: LevelSpan,
    at: int,
    kept: IntArray,
    products: tuple[sparse.csr_array, Array, Array, Array],
) -> None:
    """Put projected products of the columns kept in place of those of all levels."""
    gram, sides, coefficients, border = products
    columns = np.concatenate([np.arange(at), at + kept])
    beside = (sides - gram[:, at:] @ coefficients)[columns]
    if sums.first_block >= 0:
        _project_first(sums, at, coefficients)
    own = sparse.csr_array(gram[columns][:, columns])
    sums.border = border
    if sums.is_dense:
        sums.dense = np.block([[own.toarray(), beside], [beside.T, border]])
    else:
        sums.pairs, sums.sides = own, beside
    _choose_cells(sums, columns)
    sums.q, sums.tail = columns.size, tail_layout(design, sums.first_block, span)


def _project_first(sums: ProductSums, at: int, coefficients: Array) -> None:
    shape = (sums.levels, sums.q)
    for a in range(sums.gram.shape[1]):
        cells = sparse.csr_array((sums.values[:, a], sums.indices, sums.indptr), shape=shape)
        sums.first_border[:, a] -= cells[:, at:] @ coefficients


def _choose_cells(sums: ProductSums, columns: IntArray) -> None:
    """Keep the products of the first factor with some columns of the tail."""
    place = np.full(sums.q, -1, np.int64)
    place[columns] = np.arange(columns.size)
    here = place[sums.indices] >= 0 if sums.indices.size else np.zeros(0, dtype=bool)
    rows = np.repeat(np.arange(sums.levels), np.diff(sums.indptr))[here]
    sums.indices, sums.values = place[sums.indices[here]], sums.values[here]
    sums.keys = rows * np.int64(columns.size) + sums.indices
    sums.indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=sums.levels))]).astype(np.int64)


def _root(gram: Array, size: float) -> tuple[Array, Array]:
    """Return R with RᵀR = G, row 0 for a dependent column, and the share of each column left after earlier ones."""
    rest, out, share = np.array(gram), np.zeros_like(gram), np.zeros(len(gram))
    for j in range(len(gram)):
        share[j] = rest[j, j] / max(size, gram[j, j])
        if share[j] > WITHIN:
            out[j, j:] = rest[j, j:] / np.sqrt(rest[j, j])
            rest -= np.outer(out[j], out[j])
    return out, share
