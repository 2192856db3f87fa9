"""Log density of all rows of a group with its random effects integrated out.

y_j | β, Ω, σ ~ N(X_jβ + what other factors add, Z_jΩZ_jᵀ + σ²W_j⁻¹). Levels of other factors that occur in no other
group (cask within batch) would be new with the group, so that their effects are integrated out as well; those that it
shares with other groups (crossed factors) are given. Given them, groups are independent, so that the ratio that leaves
one out is 1/p(y_j | …).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._types import Array, BoolArray, IntArray
from .rows import PIECE, row_scale

if TYPE_CHECKING:
    from ..design import Design
    from .posterior import Posterior

__all__ = ["group_log_densities"]


@dataclass(frozen=True, slots=True)
class _Inner:
    """Effects of a group that go with it.

    Attributes
    ----------
    block : int
    start : int
        First column among those of the group.
    """

    block: int
    start: int


def group_log_densities(posterior: Posterior, block: int) -> Callable[[slice], Array]:
    """Return a function that gives the log densities of some levels of a factor, shape (levels, chains × draws)."""
    design = posterior.design
    row_scale(design, posterior.sigma[:, :1])  # refuses rows of weight 0
    own = [_goes_with(design, block, f) for f in range(len(design.blocks))]
    codes = design.blocks[block].codes
    order = np.argsort(codes, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=design.blocks[block].levels))])

    def densities(some: slice) -> Array:
        bounds = zip(ends[:-1][some], ends[1:][some], strict=True)
        return np.stack([_density(posterior, order[start:stop], own) for start, stop in bounds])

    return densities


def _goes_with(design: Design, block: int, other: int) -> BoolArray:
    """Return whether each level of another factor occurs in one group only, shape (levels,)."""
    codes, inner = design.blocks[block].codes, design.blocks[other]
    low = np.full(inner.levels, design.blocks[block].levels)
    high = np.full(inner.levels, -1)
    np.minimum.at(low, inner.codes, codes)
    np.maximum.at(high, inner.codes, codes)
    return np.asarray(low == high, dtype=bool)


def _density(posterior: Posterior, rows: IntArray, own: list[BoolArray]) -> Array:
    """Return the log density of a group's rows, shape (chains × draws,)."""
    design = posterior.design
    columns, places = _columns(design, rows, own)
    weights = np.ones(rows.size) if design.weights is None else design.weights[rows]
    gram = columns.T @ (weights[:, None] * columns)
    out = np.empty(posterior.sigma.size)
    constant = 0.5 * np.sum(np.log(weights)) - 0.5 * rows.size * np.log(2.0 * np.pi)
    size = max(1, PIECE // max(rows.size, 3 * gram.size))
    draws = out.size
    beta = posterior.beta.reshape(draws, -1)
    sigma = posterior.sigma.reshape(draws)
    for first in range(0, draws, size):
        some = slice(first, first + size)
        residual = design.y[rows] - beta[some] @ design.X[np.ix_(rows, posterior.kept)].T
        for f, values in enumerate(posterior.effects):
            residual -= _given(design, f, values, rows, own[f], some)
        variance = sigma[some] ** 2
        omegas = [omega.reshape(draws, *omega.shape[2:])[some] for omega in posterior.omega]
        out[some] = constant + _marginal(residual, weights, columns, gram, places, omegas, variance)
    return out


def _given(design: Design, f: int, values: Array, rows: IntArray, own: BoolArray, some: slice) -> Array:
    """Return Zb of one factor over the levels that are given, shape (draws, rows)."""
    block = design.blocks[f]
    codes = block.codes[rows]
    given = ~own[codes]
    out = np.zeros((1, rows.size))
    if not given.any():
        return out
    draws = values.reshape(-1, *values.shape[2:])[some]
    out = np.zeros((draws.shape[0], rows.size))
    out[:, given] = np.einsum("drk,rk->dr", draws[:, codes[given]], block.z[rows[given]])
    return out


def _columns(design: Design, rows: IntArray, own: list[BoolArray]) -> tuple[Array, list[_Inner]]:
    """Return Z of the effects that go with a group, shape (rows, q), and where each level's begin."""
    parts: list[Array] = []
    places: list[_Inner] = []
    width = 0
    for f, block in enumerate(design.blocks):
        codes = block.codes[rows]
        for level in np.unique(codes[own[f][codes]]).tolist():
            parts.append(np.where((codes == level)[:, None], block.z[rows], 0.0))
            places.append(_Inner(f, width))
            width += block.k
    return np.concatenate(parts, axis=1), places


def _marginal(
    residual: Array,
    weights: Array,
    columns: Array,
    gram: Array,
    places: list[_Inner],
    omegas: list[Array],
    variance: Array,
) -> Array:
    """Return log N(r; 0, ZΩZᵀ + σ²W⁻¹) up to constants.

    With G = ZᵀWZ, c = ZᵀWr and M = I + ΩG/σ²: log|V| = log|M| + n log σ² − log|W|,
    rᵀV⁻¹r = (rᵀWr − cᵀM⁻¹Ωc/σ²)/σ².
    """
    weighted = residual * weights
    c = weighted @ columns
    q = gram.shape[0]
    matrix = np.broadcast_to(np.eye(q), (variance.size, q, q)).copy()
    moved = np.empty_like(c)
    for place in places:
        omega = omegas[place.block]
        here = slice(place.start, place.start + omega.shape[1])
        matrix[:, here] += omega @ gram[here] / variance[:, None, None]
        moved[:, here] = np.einsum("dab,db->da", omega, c[:, here])
    solved = np.linalg.solve(matrix, moved[:, :, None])[:, :, 0]
    squares = np.einsum("dr,dr->d", weighted, residual) - np.einsum("dq,dq->d", c, solved) / variance
    logs = np.linalg.slogdet(matrix)[1] + residual.shape[1] * np.log(variance)
    return np.asarray(-0.5 * (logs + squares / variance))
