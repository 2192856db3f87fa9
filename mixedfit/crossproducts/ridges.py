"""Ridges of the likelihood: covariances of random effects that are not identified by the design.

Consider grouping factors with the same groups of rows, such as id and name of the same subjects. Their covariances Ω
enter the likelihood only through z Ω zᵀ, where z has the columns of all their effects. If these columns are linearly
dependent, there may be changes E ≠ 0 of Ω with z E zᵀ = 0. The likelihood is constant along them. Factors of which one
has known relationships between its levels are told apart by these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import inverse, triangle
from mixedfit.covariance import CovarianceStructure, ScaledCorrelation
from mixedfit.design.columns import counted_rows, effect_columns
from mixedfit.design.design import Design, RandomBlock

__all__ = ["confounded_with_residual", "unidentified_elements"]

CLEAR = 1e-6
"""Columns are independent if the smallest eigenvalue of their correlations is above this; otherwise by rank."""

DEPENDENT = 1e-12
"""Relative singular value below which columns of unit length are linearly dependent."""

MOST_EFFECTS = 16
"""Effects of a level up to which each level is looked at: the work grows with their fourth power."""

UNSEEN = 1e-13
"""Share of the largest squared change of ZΩZᵀ below which a change of Ω leaves it the same."""


def unidentified_elements(design: Design) -> tuple[BoolArray, ...]:
    """Return which elements of the covariance Ω of each block are not identified, shape (k, k) each."""
    out = tuple(np.zeros((block.k, block.k), dtype=bool) for block in design.blocks)
    for members in _partitions(design):
        blocks = [design.blocks[f] for f in members]
        if sum(block.k for block in blocks) > 1:
            columns = [effect_columns(design, f) for f in members]
            codes = None
            if design.absent is None and not any(block.known for block in blocks):
                codes = blocks[0].codes if design.weights is None else blocks[0].codes[design.counted]
            for f, elements in zip(members, _unidentified(blocks, columns, codes), strict=True):
                out[f][:] = elements
    for elements, own in zip(out, confounded_with_residual(design), strict=True):
        elements |= own
    return out


def confounded_with_residual(design: Design) -> tuple[BoolArray, ...]:
    """Return the elements of the covariance Ω of each block that a change of the residual variance moves.

    That is so if ZEZᵀ = W⁻¹ for a change E of Ω that the structure allows, as with ``(0 + visit | id)`` and one row a
    visit: the likelihood depends only on the sums of each visit's variance and σ². All elements of a structure that is
    not linear count as moved. Shape (k, k) each.
    """
    out = tuple(np.zeros((block.k, block.k), dtype=bool) for block in design.blocks)
    if design.absent is not None:
        for block in design.blocks:
            if not block.structure.linear and block.known is None:
                _refuse_few_rows(design, block)
        return out
    n = design.n if design.weights is None else int(np.count_nonzero(design.counted))
    rows = None
    for members in _partitions(design):
        blocks = [design.blocks[f] for f in members]
        effects = sum(block.k for block in blocks)
        if any(block.known for block in blocks) or n > effects * blocks[0].levels:
            continue
        rows = np.flatnonzero(design.counted) if rows is None else rows
        codes = blocks[0].codes[rows]
        if np.bincount(codes).max(initial=0) > effects:
            continue
        along = _along_residual(design, blocks, rows, codes)
        for f, block, own in zip(members, blocks, along, strict=True):
            for part, _, here in block.structure.slices():
                moved = own[here, here]
                out[f][here, here] = moved.any() if isinstance(part, ScaledCorrelation) else moved
    return out


def _along_residual(
    design: Design, blocks: Sequence[RandomBlock], rows: IntArray, codes: IntArray
) -> list[BoolArray]:
    """Return the elements of E in ZEZᵀ = W⁻¹, for blocks of one partition of which no level has more rows than effects.

    With S_e the changes in orthonormal coordinates and M_j = R_jᵀR_j of the rows of level j, times roots of weights, E
    is the projection of the identity, from Σ_f tr(S_e M_j S_f M_j) a_f = tr(S_e M_j), summed over j.
    """
    none = [np.zeros((block.k, block.k), dtype=bool) for block in blocks]
    if sum(block.k for block in blocks) > MOST_EFFECTS:
        return [_own_effects(design, block, rows) for block in blocks]
    columns = np.hstack([block.z[rows] for block in blocks])
    if design.weights is not None:
        columns = columns * np.sqrt(design.weights[rows])[:, None]
    norms = np.linalg.norm(columns, axis=0)
    if not norms.all():
        return none
    if any(not block.structure.linear for block in blocks):
        norms = np.full(norms.size, norms.max())  # these structures depend on the scale of each column
    _, values, vectors = np.linalg.svd(triangle(columns / norms))
    rank = int(np.sum(values > DEPENDENT * values[0]))
    changes = _changes_of_terms(blocks, values[:rank, None] * vectors[:rank])
    reduced = (columns / norms) @ (vectors[:rank].T / values[:rank])
    images = np.array([change.image for change in changes])
    products = _products_in_levels(images, reduced, codes)
    products /= (int(codes.max()) + 1) ** 2
    target = np.tensordot(images, reduced.T @ reduced, axes=([1, 2], [0, 1]))
    size = np.sqrt(np.diag(products))
    size = np.where(size > 0, size, 1.0)
    shares = (
        np.linalg.pinv(products / np.outer(size, size), rcond=1e-11, hermitian=True) @ (target / size) / size
    )
    if rows.size - target @ shares > CLEAR * rows.size:
        return none
    moved = [np.zeros((block.k, block.k)) for block in blocks]
    for change, share in zip(changes, shares, strict=True):
        moved[change.block][change.effects, change.effects] += share * change.matrix
    largest = max(float(np.abs(own).max()) for own in moved)
    return [np.abs(own) > CLEAR * largest for own in moved]


def _own_effects(design: Design, block: RandomBlock, rows: IntArray) -> BoolArray:
    """Return the diagonal of parts with an effect of its own for each row, if the identity is among their changes."""
    out = np.zeros((block.k, block.k), dtype=bool)
    if design.weights is not None and np.ptp(design.weights[rows]) > 0.0:
        return out
    for part, _, here in block.structure.slices():
        z = block.z[rows, here]
        if np.any((z != 0.0).sum(axis=1) != 1) or np.any(z.sum(axis=1) != 1.0):
            continue
        cells = block.codes[rows] * np.int64(part.k) + z.argmax(axis=1)
        if np.unique(cells).size == rows.size and _allows_identity(part):
            out[here, here] = np.eye(part.k, dtype=bool)
    return out


def _allows_identity(part: CovarianceStructure) -> bool:
    if not isinstance(part, ScaledCorrelation):
        return True
    changes = np.array(list(_changes(part))).reshape(part.n_theta, -1).T
    identity = np.eye(part.k).reshape(-1)
    left = identity - changes @ np.linalg.lstsq(changes, identity, rcond=None)[0]
    return bool(np.linalg.norm(left) < 1e-8 * np.sqrt(part.k))


def _refuse_few_rows(design: Design, block: RandomBlock) -> None:
    """Refuse structures that may have an effect for each row, if the rows are not in memory to check it."""
    most = max(part.k for part in block.structure.parts)
    if counted_rows(design) <= block.levels * most:
        raise ModelError(
            f"{block.name!r} has as many effects as rows, and whether each row has an effect of its own cannot be seen "
            "without the rows. Give the rows as one frame."
        )


def _partitions(design: Design) -> list[list[int]]:
    """Return the positions of blocks in lists, one for each distinct partition of the counted rows into groups."""
    if design.absent is None:
        rows = slice(None) if design.weights is None else np.flatnonzero(design.counted)
        return _same_partitions(design.blocks, rows)
    same = design.absent.known_totals().same
    classes: list[list[int]] = []
    for f in range(len(design.blocks)):
        known = next((own for own in classes if same[own[0], f]), None)
        if known is None:
            classes.append([f])
        else:
            known.append(f)
    return classes


def _same_partitions(blocks: Sequence[RandomBlock], rows: slice | IntArray) -> list[list[int]]:
    """Return the positions of blocks in lists, one for each distinct partition of the rows into groups."""
    if len(blocks) == 1:
        return [[0]]
    classes: list[list[int]] = []
    used = [np.count_nonzero(np.bincount(block.codes[rows], minlength=1)) for block in blocks]
    for f, block in enumerate(blocks):
        for known in classes:
            first = blocks[known[0]]
            if used[f] != used[known[0]]:
                continue
            pairs = np.unique(first.codes[rows] * np.int64(block.levels) + block.codes[rows])
            if pairs.size == used[f] and _same_relationships(first, block, *np.divmod(pairs, block.levels)):
                known.append(f)
                break
        else:
            classes.append([f])
    return classes


def _same_relationships(one: RandomBlock, other: RandomBlock, places: IntArray, others: IntArray) -> bool:
    """Return whether levels `places` of one block are related as levels `others` of another, whatever their labels.

    That is seen from the product of both relationship matrices with one vector of random numbers.
    """
    if one.known is None and other.known is None:
        return True
    values = np.random.default_rng(0).normal(size=places.size)
    products = []
    for block, own in ((one, places), (other, others)):
        vector = np.zeros(block.levels)
        vector[own] = values
        products.append((vector if block.known is None else block.known.times(vector))[own])
    size = max(float(np.abs(products[0]).max()), float(np.abs(products[1]).max()))
    return bool(np.abs(products[0] - products[1]).max() <= 1e-8 * size)


def _unidentified(
    blocks: Sequence[RandomBlock], parts: Sequence[Array], codes: IntArray | None
) -> list[BoolArray]:
    """Return the elements of Ω that differ from 0 in some E that leaves ZΩZᵀ the same, for blocks of one partition.

    `parts` are the columns of each block on the counted rows, or others with the same inner products; `codes` are the
    levels of these rows: then Z_j E Z_jᵀ = 0 for every level j is asked, which also finds effects that do not vary
    within levels, such as those of an indicator x: the data tell of Ω_00 and Ω_00 + 2Ω_01 + Ω_11, the variances of two
    kinds of levels, not of three numbers. Without codes it is asked of all rows together.
    """
    out = [np.zeros((block.k, block.k), dtype=bool) for block in blocks]
    columns = parts[0] if len(parts) == 1 else np.hstack(parts)
    if codes is not None and _has_clear_level(columns, codes):
        return out
    gram = columns.T @ columns
    norms = np.sqrt(np.diag(gram))
    if not norms.all():
        return out  # the variance of a column of zeros is reported elsewhere
    if codes is None and _smallest_eigenvalue(gram / np.outer(norms, norms)) > CLEAR:
        return out
    _, values, vectors = np.linalg.svd(triangle(columns / norms))
    rank = int(np.sum(values > DEPENDENT * values[0]))
    if codes is None and rank == norms.size:
        return out
    changes = _changes_of_terms(blocks, values[:rank, None] * vectors[:rank])
    images = np.array([change.image for change in changes])
    if codes is None or rank > MOST_EFFECTS:
        products = np.tensordot(images, images, axes=([1, 2], [1, 2]))
    else:
        rows = (columns / norms) @ (vectors[:rank].T / values[:rank])
        products = _products_in_levels(images, rows, codes)
    values, vectors = np.linalg.eigh(products)
    for along in vectors[:, values <= UNSEEN * values[-1]].T:
        moved = [np.zeros((block.k, block.k)) for block in blocks]
        for change, share in zip(changes, along, strict=True):
            moved[change.block][change.effects, change.effects] += share * change.matrix
        largest = max(float(np.abs(own).max()) for own in moved)
        for elements, own in zip(out, moved, strict=True):
            elements |= np.abs(own) > 1e-6 * largest
    return out


class _Change(NamedTuple):
    """A change of a term's covariance that its structure allows, scaled so that its image has norm 1.

    `image` is the change seen on orthonormal columns that span those of all blocks.
    """

    block: int
    effects: slice
    matrix: Array
    image: Array


def _changes_of_terms(blocks: Sequence[RandomBlock], reduced: Array) -> list[_Change]:
    """Return the changes of all terms; `reduced` has the columns of all blocks in orthonormal coordinates."""
    out, at = [], 0
    for b, block in enumerate(blocks):
        for part, _, here in block.structure.slices():
            own, back = _own_basis(reduced[:, at + here.start : at + here.stop], part)
            for change in _changes(part):
                image = own @ change @ own.T
                size = max(float(np.linalg.norm(image)), 1e-300)
                out.append(_Change(b, here, back @ change @ back.T / size, image / size))
        at += block.k
    return out


def _own_basis(columns: Array, part: CovarianceStructure) -> tuple[Array, Array]:
    """Return columns with the span of a term's, and B with columns = `columns` B for the effects b = B c of both.

    For unstructured terms they are orthogonal, since any basis has the same changes of Ω; otherwise those given.
    """
    upper = triangle(columns) if part.invariance == "linear" else np.zeros((0, 0))
    size = np.abs(np.diag(upper))
    if upper.shape[0] != columns.shape[1] or not size.min(initial=np.inf) > 1e-9 * size.max(initial=0.0):
        return columns, np.eye(columns.shape[1])
    back = inverse(upper)
    return np.asarray(columns @ back), np.asarray(back)


def _has_clear_level(columns: Array, codes: IntArray) -> bool:
    """Return whether one of the largest levels tells all effects apart by its own rows."""
    sizes = np.bincount(codes)
    for _ in range(min(3, sizes.size)):
        level = int(np.argmax(sizes))
        sizes[level] = 0
        own = columns[codes == level]
        gram = own.T @ own
        norms = np.sqrt(np.diag(gram))
        if norms.all() and _smallest_eigenvalue(gram / np.outer(norms, norms)) > CLEAR:
            return True
    return False


def _products_in_levels(images: Array, rows: Array, codes: IntArray) -> Array:
    """Return Σ_j tr(S_e M_j S_f M_j) of symmetric S, shape (count, r, r), with M_j = R_jᵀR_j of the rows of level j."""
    rank = rows.shape[1]
    levels = int(codes.max(initial=-1)) + 1
    grams = np.empty((levels, rank, rank))
    for a in range(rank):
        for b in range(a + 1):
            grams[:, a, b] = grams[:, b, a] = np.bincount(codes, rows[:, a] * rows[:, b], minlength=levels)
    grams *= levels
    pairs = np.tensordot(grams, grams, axes=([0], [0]))  # Σ_j M_ab M_cd
    return np.asarray(np.einsum("eab,fcd,bcda->ef", images, images, pairs, optimize=True))


def _smallest_eigenvalue(correlations: Array) -> float:
    if len(correlations) == 2:
        return 1.0 - abs(float(correlations[0, 1]))
    return float(np.linalg.eigvalsh(correlations)[0])


def _changes(part: CovarianceStructure) -> Iterator[Array]:
    """Yield the changes of a term's covariance, shape (k, k), that its structure allows.

    For a structure that is not linear, at a θ like any other.
    """
    if isinstance(part, ScaledCorrelation):
        yield from part.directions(part.start + 0.1 * np.cos(np.arange(part.n_theta)))
        return
    for i in range(part.k):
        for j in range(i + 1):
            if i == j or part.invariance == "linear":
                change = np.zeros((part.k, part.k))
                change[i, j] += 1.0
                change[j, i] += 1.0
                yield change
