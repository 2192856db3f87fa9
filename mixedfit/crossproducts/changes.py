"""Changes of covariances of random effects that their structures allow, and the products of what they do to V."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.linalg import inverse, triangle
from mixedfit.covariance import CovarianceStructure, ScaledCorrelation
from mixedfit.design.columns import effect_columns
from mixedfit.design.design import Design, RandomBlock

__all__ = [
    "CLEAR",
    "DEPENDENT",
    "Change",
    "Coordinates",
    "allowed_changes",
    "changes_of_terms",
    "coordinates",
    "products_in_levels",
]

CLEAR = 1e-6
"""Columns are independent if the smallest eigenvalue of their correlations is above this; otherwise by rank."""

DEPENDENT = 1e-12
"""Relative singular value below which columns of unit length are linearly dependent."""


class Change(NamedTuple):
    """A change of a term's covariance that its structure allows, scaled so that its image has norm 1.

    `image` is the change seen on orthonormal columns that span those of all blocks.
    """

    block: int
    effects: slice
    matrix: Array
    image: Array


class Coordinates(NamedTuple):
    """Orthonormal coordinates of the columns of several blocks, and the changes of their covariances in them.

    Attributes
    ----------
    columns : ndarray, shape (any, k)
        The stacked columns of Z on the counted rows, or others with the same products.
    turn : ndarray, shape (k, r)
        ``columns @ turn`` is orthonormal.
    changes : list of Change
    """

    columns: Array
    turn: Array
    changes: list[Change]

    @property
    def images(self) -> Array:
        """The changes seen on the orthonormal columns, shape (count, r, r)."""
        return np.array([change.image for change in self.changes])


def coordinates(design: Design, members: Sequence[int]) -> Coordinates | None:
    """Return the coordinates of some blocks; None where a column is 0."""
    blocks = [design.blocks[f] for f in members]
    columns = np.hstack([effect_columns(design, f) for f in members])
    norms = np.linalg.norm(columns, axis=0)
    if not norms.all():
        return None
    if any(not block.structure.linear for block in blocks):
        norms = np.full(norms.size, norms.max())  # these structures depend on the scale of each column
    _, values, vectors = np.linalg.svd(triangle(columns / norms))
    rank = int(np.sum(values > DEPENDENT * values[0]))
    turn = (vectors[:rank].T / values[:rank]) / norms[:, None]
    return Coordinates(columns, turn, changes_of_terms(blocks, values[:rank, None] * vectors[:rank]))


def changes_of_terms(blocks: Sequence[RandomBlock], reduced: Array) -> list[Change]:
    """Return the changes of all terms; `reduced` has the columns of all blocks in orthonormal coordinates."""
    out, at = [], 0
    for b, block in enumerate(blocks):
        for part, _, here in block.structure.slices():
            own, back = _own_basis(reduced[:, at + here.start : at + here.stop], part)
            for change in allowed_changes(part):
                image = own @ change @ own.T
                size = max(float(np.linalg.norm(image)), 1e-300)
                out.append(Change(b, here, back @ change @ back.T / size, image / size))
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


def products_in_levels(images: Array, grams: Array) -> Array:
    """Return Σ_j tr(S_e M_j S_f M_j) of symmetric S, shape (count, r, r), with M_j of `grams`, shape (levels, r, r)."""
    pairs = np.tensordot(grams, grams, axes=([0], [0]))  # Σ_j M_ab M_cd
    return np.asarray(np.einsum("eab,fcd,bcda->ef", images, images, pairs, optimize=True))


def allowed_changes(part: CovarianceStructure) -> Iterator[Array]:
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
