"""Criterion and derivatives of small models by compiled code.

With few tail columns, compiled loops are many times faster than calls of LAPACK from Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.covariance import BlockDiagonal
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.kernels.small_criterion import derive_small, evaluate_small, solve_small

from .dense_tail import DenseTail

__all__ = ["Derived", "SmallModel", "SmallTail", "small_data", "small_model"]

SMALL_COLUMNS = 64
"""Columns of [tail, X, y] up to which a model is small."""

SMALL_EFFECTS = 6
"""Effects per level up to which a model is small: the work per level grows with their fourth power."""

SMALL_CELLS = 100_000_000
"""Levels of the first factor times columns up to which a model is small; its arrays have twice as many numbers."""
# 600,000 levels of 2 effects and 3 columns: a search takes 0.6 s, that of the general code 4.2 s (two cores)

EXACT_SUMS = 240
"""Columns times effects per level up to which the exact curvature is computed; beyond, its sums cost too much."""


@dataclass(frozen=True, slots=True, eq=False)
class SmallModel:
    """A model as the arrays that compiled code takes.

    Attributes
    ----------
    static : tuple of int
        k zeros if the first factor has one or two effects per level, else empty.
    data : tuple of ndarray
        Gram, indptr, indices, values, border of the first factor, and the tail's products.
    layout : ndarray of int64, shape (blocks, 5)
        Effects, levels, first tail column, first θ and number of θ of each block, first factor first. θ are
        numbered in this order.
    order : tuple of int
        The blocks in that order, as the design numbers them.
    places : ndarray of int64, shape (n_theta,)
        The design's number of each of the layout's θ.
    widest : int
        Most effects per level of any block.
    exact : bool
        Whether the exact curvature is computed.
    """

    static: tuple[int, ...]
    data: tuple[Any, ...]
    layout: IntArray
    order: tuple[int, ...]
    places: IntArray
    widest: int
    exact: bool

    def padded(self, lams: Sequence[Array]) -> Array:
        """Return λ of all blocks in the layout's order, shape (blocks, widest, widest)."""
        out = np.zeros((len(self.order), self.widest, self.widest))
        for row, f in enumerate(self.order):
            k = lams[f].shape[0]
            out[row, :k, :k] = lams[f]
        return out

    def padded_slopes(self, derivatives: Sequence[Array]) -> Array:
        """Return ∂λ/∂θ of all θ in the layout's order, shape (n_theta, widest, widest)."""
        out = np.zeros((self.places.size, self.widest, self.widest))
        for (k, _, _, at, count), f in zip(self.layout.tolist(), self.order, strict=True):
            out[at : at + count, :k, :k] = derivatives[f]
        return out

    def design_order(self, values: Array) -> Array:
        """Return a vector (n_theta,) in the design's order of θ."""
        out = np.empty_like(values)
        out[self.places] = values
        return out

    def design_orders(self, matrix: Array) -> Array:
        """Return a matrix (n_theta, n_theta) in the design's order of θ."""
        out = np.empty_like(matrix)
        out[self.places[:, None], self.places] = matrix
        return out


def small_model(cross: CrossProducts, structures: Sequence[BlockDiagonal], reml: bool) -> SmallModel | None:
    """Return the arrays of a model, or None if it is not small."""
    m = cross.gram.shape[0]
    apart = cross.sparse is not None or cross.pairs is not None
    if apart or cross.has_known or cross.first_block < 0 or m > SMALL_COLUMNS:
        return None
    levels, k, _ = cross.first.border.shape
    widest = max(s.k for s in structures)
    if widest > SMALL_EFFECTS or levels * m > SMALL_CELLS:
        return None
    order = [cross.first_block, *(place.block for place in cross.tail if place.block >= 0)]
    sizes = [(k, levels, -1), *((b.k, b.levels, b.offset) for b in cross.tail if b.block >= 0)]
    counts = [structures[f].n_theta for f in order]
    starts = list(accumulate((s.n_theta for s in structures), initial=0))
    own = list(accumulate(counts, initial=0))
    return SmallModel(
        static=(0,) * k if k <= 2 else (),
        data=small_data(cross),
        layout=np.array([(*size, own[i], counts[i]) for i, size in enumerate(sizes)], np.int64),
        order=tuple(order),
        places=np.array([i for f in order for i in range(starts[f], starts[f + 1])], np.int64),
        widest=widest,
        exact=(m - 1 if reml else cross.q_random) * k <= EXACT_SUMS,
    )


def small_data(cross: CrossProducts) -> tuple[Any, ...]:
    """Return `SmallModel.data` of cross-products."""
    first = cross.first
    return first.gram, first.indptr, first.indices, first.values, first.border, cross.gram


class SmallTail(DenseTail):
    """A dense tail factorised by compiled code.

    Parameters
    ----------
    cross : CrossProducts
    lams : sequence of ndarray, shape (k, k)
        λ̃ of each of the design's blocks.
    model : SmallModel
    """

    def __init__(self, cross: CrossProducts, lams: Sequence[Array], model: SmallModel) -> None:
        m = cross.gram.shape[0]
        self.cross = cross
        self.lams = lams
        self.size = m - 1
        self.frugal = False
        self.model = model
        self.places = [place for place in cross.tail if place.block >= 0]
        self.padded = model.padded(lams)
        self.products, self.chol, pieces = np.empty((m, m)), np.empty((m, m)), np.empty(3)
        self.ok = evaluate_small(
            model.static, model.data, model.layout, self.padded, self.products, self.chol, pieces
        )
        if self.ok:
            self.logdet_random, self.logdet_fixed, self.prss = pieces.tolist()
            self.solution = np.empty(m - 1)
            solve_small(model.layout, self.padded, self.chol, self.solution)

    def set_factor(self, factor: Array) -> None:
        """Replace L, lower triangular, by a more precise one, and what follows from it."""
        self.chol = factor
        self.prss = float(factor[-1, -1] ** 2)
        solve_small(self.model.layout, self.padded, self.chol, self.solution)

    @lazy
    def matrix(self) -> Array:
        """S̃ above the diagonal, L on and below it, as in `DenseTail`."""
        return np.tril(self.chol) + np.tril(self.products, -1).T

    @lazy
    def diagonal(self) -> Array:
        """Diagonal of S̃."""
        return np.diagonal(self.products).copy()

    def release(self) -> None:
        """Do nothing: the matrices are small."""

    def derive(self, derivatives: Sequence[Array], options: tuple[bool, float, bool]) -> Derived:
        """Return scores, gradient and curvatures, given ∂λ̃/∂θ of every block.

        Parameters
        ----------
        derivatives : sequence of ndarray, shape (n_theta_f, k, k)
        options : (bool, float, bool)
            Whether REML; σ² in units of the cross-products; whether it is profiled.
        """
        model = self.model
        slopes = model.padded_slopes(derivatives)
        count = len(slopes)
        scores = (np.empty(self.cross.first.gram.shape[:2]), np.empty(self.cross.q_random))
        gradient, curvatures = np.empty(count), np.empty((2, count, count))
        reml, variance, profiled = options
        derive_small.py_func(  # type: ignore[attr-defined]
            model.static,
            model.data,
            model.layout,
            (reml, model.exact, variance, profiled),
            self.padded,
            slopes,
            self.products,
            self.chol,
            self.solution,
            scores,
            gradient,
            curvatures,
        )
        parts: list[Array] = [scores[0]] * len(self.lams)
        for place in self.places:
            parts[place.block] = scores[1][place.offset : place.stop].reshape(place.levels, place.k)
        return Derived(
            tuple(parts),
            model.design_order(gradient),
            model.design_orders(curvatures[0]),
            model.design_orders(curvatures[1]) if model.exact else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """Scores Z_jᵀV⁻¹r of every block, gradient and curvatures of the criterion."""

    scores: tuple[Array, ...]
    gradient: Array
    curvature: Array
    exact_curvature: Array | None
