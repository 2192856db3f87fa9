"""Ridges of the likelihood: covariances of random effects that are not identified by the design.

Consider grouping factors with the same groups of rows, such as id and name of the same subjects. Their covariances Ω
enter the likelihood only through z Ω zᵀ, where z has the columns of all their effects. If these columns are linearly
dependent, there may be changes E ≠ 0 of Ω with z E zᵀ = 0. The likelihood is constant along them. Factors of which one
has known relationships between its levels are told apart by these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.linalg import triangle
from mixedfit.covariance import CovarianceStructure, ScaledCorrelation
from mixedfit.design.columns import counted_rows, effect_columns
from mixedfit.design.design import Design, RandomBlock

from .changes import CLEAR, DEPENDENT, allowed_changes, changes_of_terms, coordinates, products_in_levels
from .level_products import LevelProducts, Levels
from .nested_ridges import nested_ridges
from .partitions import partitions

__all__ = ["Ridges", "ridges"]

MOST_EFFECTS = 16
"""Effects of a level up to which each level is looked at: the work grows with their fourth power."""

LESS_THAN_A_ROW = 0.5
"""Squared distance of ZEZᵀ from W⁻¹, in rows, above which some row has a residual variance of its own."""

UNSEEN = 1e-13
"""Share of the largest squared change of ZΩZᵀ below which a change of Ω leaves it the same."""


class Ridges(NamedTuple):
    """Which elements of the covariance Ω of each block are not identified, shape (k, k) each.

    Attributes
    ----------
    elements : tuple of ndarray of bool
        All of them.
    with_residual : tuple of ndarray of bool
        Those that a change of the residual variance moves: ZEZᵀ = W⁻¹ for a change E of Ω that the structure allows, as
        with ``(0 + visit | id)`` and one row a visit, where the likelihood depends only on the sums of each visit's
        variance and σ². All elements of a structure that is not linear count as moved.
    """

    elements: tuple[BoolArray, ...]
    with_residual: tuple[BoolArray, ...]


def ridges(design: Design, products: LevelProducts) -> Ridges:
    """Return the elements of covariances that are not identified.

    Parameters
    ----------
    design : Design
    products : LevelProducts
        Of the columns of Z, level by level.
    """
    elements = tuple(np.zeros((block.k, block.k), dtype=bool) for block in design.blocks)
    for members in partitions(design):
        blocks = [design.blocks[f] for f in members]
        if sum(block.k for block in blocks) > 1:
            columns = [effect_columns(design, f) for f in members]
            levels = None if any(block.known for block in blocks) else products.of(members, weighted=False)
            for f, own in zip(members, _unidentified(blocks, columns, levels), strict=True):
                elements[f][:] = own
    for own, across in zip(elements, nested_ridges(design), strict=True):
        own |= across
    shared = _confounded_with_residual(design, products)
    for own, with_residual in zip(elements, shared, strict=True):
        own |= with_residual
    return Ridges(elements, shared)


def _confounded_with_residual(design: Design, products: LevelProducts) -> tuple[BoolArray, ...]:
    """Return `Ridges.with_residual`."""
    out = tuple(np.zeros((block.k, block.k), dtype=bool) for block in design.blocks)
    n, levels = counted_rows(design), products.used_levels()
    for members in partitions(design):
        blocks = [design.blocks[f] for f in members]
        effects = sum(block.k for block in blocks)
        if any(block.known for block in blocks) or n > effects * levels[members[0]]:
            continue
        along = _along_residual(design, members, products)
        for f, block, own in zip(members, blocks, along, strict=True):
            for part, _, here in block.structure.slices():
                moved = own[here, here]
                out[f][here, here] = moved.any() if isinstance(part, ScaledCorrelation) else moved
    return out


def _along_residual(design: Design, members: Sequence[int], products: LevelProducts) -> list[BoolArray]:
    """Return the elements of E in ZEZᵀ = W⁻¹, for blocks of one partition.

    With S_e the changes in orthonormal coordinates and M_j = R_jᵀR_j of the rows of level j, times roots of weights, E
    is the projection of the identity, from Σ_f tr(S_e M_j S_f M_j) a_f = tr(S_e M_j), summed over j.
    """
    blocks, n = [design.blocks[f] for f in members], counted_rows(design)
    if sum(block.k for block in blocks) > MOST_EFFECTS:
        return [_own_effects(design.blocks[f], products.of([f], weighted=True), n) for f in members]
    none = [np.zeros((block.k, block.k), dtype=bool) for block in blocks]
    levels = products.of(members, weighted=True)
    if levels.largest_count() > sum(block.k for block in blocks):
        return none
    found = coordinates(design, members)
    if found is None:
        return none
    changes, images, grams = found.changes, found.images, levels.grams(found.turn)
    own = products_in_levels(images, grams)
    target = np.tensordot(images, grams.sum(axis=0), axes=([1, 2], [0, 1]))
    size = np.sqrt(np.diag(own))
    size = np.where(size > 0, size, 1.0)
    shares = np.linalg.pinv(own / np.outer(size, size), rcond=1e-11, hermitian=True) @ (target / size) / size
    if n - target @ shares > min(CLEAR * n, LESS_THAN_A_ROW):
        return none
    moved = [np.zeros((block.k, block.k)) for block in blocks]
    for change, share in zip(changes, shares, strict=True):
        moved[change.block][change.effects, change.effects] += share * change.matrix
    largest = max(float(np.abs(own).max()) for own in moved)
    return [np.abs(own) > CLEAR * largest for own in moved]


def _own_effects(block: RandomBlock, levels: Levels, n: int) -> BoolArray:
    """Return the diagonal of parts with ZZᵀ = cW⁻¹, if the identity is among their changes.

    With G_j the products of level j, the squared distance of W^½ZZᵀW^½ from cI is Σ tr(G_j²) − 2c Σ tr(G_j) + c²n.
    """
    out = np.zeros((block.k, block.k), dtype=bool)
    for part, _, here in block.structure.slices():
        grams = levels.grams(np.eye(block.k)[:, here])
        total, squares = float(np.einsum("jaa->", grams)), float(np.sum(grams**2))
        distance = squares - total**2 / n
        if total > 0 and distance <= min(CLEAR, LESS_THAN_A_ROW / n) * squares and _allows_identity(part):
            out[here, here] = np.eye(part.k, dtype=bool)
    return out


def _allows_identity(part: CovarianceStructure) -> bool:
    if not isinstance(part, ScaledCorrelation):
        return True
    changes = np.array(list(allowed_changes(part))).reshape(part.n_theta, -1).T
    identity = np.eye(part.k).reshape(-1)
    left = identity - changes @ np.linalg.lstsq(changes, identity, rcond=None)[0]
    return bool(np.linalg.norm(left) < 1e-8 * np.sqrt(part.k))


def _unidentified(
    blocks: Sequence[RandomBlock], parts: Sequence[Array], levels: Levels | None
) -> list[BoolArray]:
    """Return the elements of Ω that differ from 0 in some E that leaves ZΩZᵀ the same, for blocks of one partition.

    `parts` are the columns of each block on the counted rows, or others with the same inner products. With `levels`,
    Z_j E Z_jᵀ = 0 for every level j is asked, which also finds effects that do not vary within levels, such as those of
    an indicator x: the data tell of Ω_00 and Ω_00 + 2Ω_01 + Ω_11, the variances of two kinds of levels, not of three
    numbers. Otherwise it is asked of all rows together.
    """
    out = [np.zeros((block.k, block.k), dtype=bool) for block in blocks]
    columns = parts[0] if len(parts) == 1 else np.hstack(parts)
    if levels is not None and any(map(_is_clear, levels.largest())):
        return out
    gram = columns.T @ columns
    norms = np.sqrt(np.diag(gram))
    if not norms.all():
        return out  # the variance of a column of zeros is reported elsewhere
    if levels is None and _smallest_eigenvalue(gram / np.outer(norms, norms)) > CLEAR:
        return out
    _, values, vectors = np.linalg.svd(triangle(columns / norms))
    rank = int(np.sum(values > DEPENDENT * values[0]))
    if levels is None and rank == norms.size:
        return out
    changes = changes_of_terms(blocks, values[:rank, None] * vectors[:rank])
    images = np.array([change.image for change in changes])
    if levels is None or rank > MOST_EFFECTS:
        products = np.tensordot(images, images, axes=([1, 2], [1, 2]))
    else:
        products = products_in_levels(
            images, levels.grams((vectors[:rank].T / values[:rank]) / norms[:, None])
        )
    values, vectors = np.linalg.eigh(products)
    for along in vectors[:, values <= UNSEEN * values[-1]].T:
        moved = [np.zeros((block.k, block.k)) for block in blocks]
        for change, share in zip(changes, along, strict=True):
            moved[change.block][change.effects, change.effects] += share * change.matrix
        largest = max(float(np.abs(own).max()) for own in moved)
        for elements, own in zip(out, moved, strict=True):
            elements |= np.abs(own) > 1e-6 * largest
    return out


def _is_clear(gram: Array) -> bool:
    """Return whether a level tells all effects apart by its own rows."""
    norms = np.sqrt(np.diag(gram))
    return bool(norms.all()) and _smallest_eigenvalue(gram / np.outer(norms, norms)) > CLEAR


def _smallest_eigenvalue(correlations: Array) -> float:
    if len(correlations) == 2:
        return 1.0 - abs(float(correlations[0, 1]))
    return float(np.linalg.eigvalsh(correlations)[0])
