"""Draws of what nested factors share: the outer level's effects move, those of its inner levels move against them.

The sum Z_a b_a + Z_b b_b does not change, nor does the likelihood, and the shift has a normal full conditional from the
effects' distributions alone. Without it, chains that go from factor to factor crawl along this ridge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import Array, IntArray
from ..design import RandomBlock

__all__ = ["NestedShift", "nested_shifts"]


@dataclass(frozen=True, slots=True, eq=False)
class NestedShift:
    """An inner and an outer factor with effects in common.

    Attributes
    ----------
    inner, outer : int
        Places among the sampler's factors.
    parent : ndarray of int64, shape (inner levels,)
        Outer level of each inner one.
    children : ndarray, shape (outer levels,)
        Inner levels of each outer one.
    inner_basis, outer_basis : ndarray, shape (k, shared)
        The shared effects in the basis of the cross-products.
    """

    inner: int
    outer: int
    parent: IntArray
    children: Array
    inner_basis: Array
    outer_basis: Array

    def draw(
        self,
        rng: np.random.Generator,
        covariances: tuple[Array, Array],
        effects: tuple[Array, Array],
    ) -> None:
        """Move the effects of the inner and the outer factor, (levels, k); `covariances` in the same basis.

        δ_j ~ N(Λ⁻¹l, Λ⁻¹) with Λ = M_bᵀΩ_b⁻¹M_b + m_j M_aᵀΩ_a⁻¹M_a and l = M_aᵀΩ_a⁻¹ Σ b_a − M_bᵀΩ_b⁻¹ b_b.
        """
        own = np.linalg.solve(covariances[0], self.inner_basis)
        other = np.linalg.solve(covariances[1], self.outer_basis)
        precision = self.children[:, None, None] * (self.inner_basis.T @ own) + self.outer_basis.T @ other
        columns = [np.bincount(self.parent, column, len(self.children)) for column in effects[0].T]
        sums = np.stack(columns, axis=1)
        linear = sums @ own - effects[1] @ other
        root = np.linalg.cholesky(precision)
        noise = rng.standard_normal(linear.shape)
        half = np.linalg.solve(root, linear[:, :, None])[:, :, 0] + noise
        delta = np.linalg.solve(np.swapaxes(root, 1, 2), half[:, :, None])[:, :, 0]
        effects[1][:] += delta @ self.outer_basis.T
        effects[0][:] -= delta[self.parent] @ self.inner_basis.T


def nested_shifts(blocks: list[RandomBlock], bases: list[Array]) -> tuple[NestedShift, ...]:
    """Return the shifts of all pairs of nested factors, given R of each with Z = Z̃ R."""
    out = []
    for a, inner in enumerate(blocks):
        for b, outer in enumerate(blocks):
            shared = [name for name in inner.effects if name in outer.effects]
            if a == b or inner.levels <= outer.levels or not shared:
                continue
            parent = np.zeros(inner.levels, np.int64)
            parent[inner.codes] = outer.codes
            if np.any(parent[inner.codes] != outer.codes):
                continue
            children = np.bincount(parent, minlength=outer.levels).astype(float)
            columns = [[block.effects.index(name) for name in shared] for block in (inner, outer)]
            out.append(NestedShift(a, b, parent, children, bases[a][:, columns[0]], bases[b][:, columns[1]]))
    return tuple(out)
