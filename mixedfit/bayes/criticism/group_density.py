"""Log density of all rows of a group with its random effects integrated out.

y_j | β, b_shared, Ω, σ ~ N(X_jβ + Z_shared b_shared, Z_jΩZ_jᵀ + σ²W_j⁻¹). Levels of other factors that occur in this
group only (cask within batch) would be new with the group, so that their effects are integrated out as well. Levels
that are shared with other groups (crossed factors) are conditioned on. Given their effects, groups are independent, so
that the importance ratio of leaving one out is 1/p(y_j | …).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.draws.row_density import PIECE, row_scale
from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.design.design import Design

__all__ = ["group_log_densities"]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Rows of a group, and the columns of the effects that are integrated out.

    The factor with the most levels is eliminated level by level, since its levels have no rows in common.

    Attributes
    ----------
    rows : ndarray of int64, shape (r,)
    weights : ndarray, shape (r,)
    first : int
        The factor that is eliminated.
    z : ndarray, shape (r, L, k)
        Columns of its L levels in the group.
    rest : ndarray, shape (r, q)
        Columns of all other effects.
    places : list of (int, int)
        Factor and first column in `rest` of each of their levels.
    """

    rows: IntArray
    weights: Array
    first: int
    z: Array
    rest: Array
    places: list[tuple[int, int]]


def group_log_densities(posterior: PosteriorDraws, block: int) -> Callable[[slice], Array]:
    """Return a function of a slice that returns log densities of these levels, shape (levels, chains × draws)."""
    design = posterior.design
    row_scale(design, posterior.sigma[:, :1])  # raises for rows of weight 0
    own = [_in_one_group(design, block, f) for f in range(len(design.blocks))]
    codes = design.blocks[block].codes
    order = np.argsort(codes, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=design.blocks[block].levels))])

    def densities(some: slice) -> Array:
        bounds = zip(ends[:-1][some], ends[1:][some], strict=True)
        return np.stack([_density(posterior, order[start:stop], own) for start, stop in bounds])

    return densities


def _in_one_group(design: Design, block: int, other: int) -> BoolArray:
    """Return whether each level of a factor occurs in one level of `block` only, shape (levels,)."""
    codes, inner = design.blocks[block].codes, design.blocks[other]
    low = np.full(inner.levels, design.blocks[block].levels)
    high = np.full(inner.levels, -1)
    np.minimum.at(low, inner.codes, codes)
    np.maximum.at(high, inner.codes, codes)
    return np.asarray(low == high, dtype=bool)


def _group(design: Design, rows: IntArray, own: list[BoolArray]) -> _Group:
    """Return the rows of a group with the columns of the effects of its `own` levels."""
    weights = np.ones(rows.size) if design.weights is None else design.weights[rows]
    inner = []
    for f, block in enumerate(design.blocks):
        codes = block.codes[rows]
        levels = np.unique(codes[own[f][codes]])
        inner.append((codes[:, None] == levels)[:, :, None] * block.z[rows][:, None, :])
    first = int(np.argmax([z.shape[1] for z in inner]))
    rest, places, width = [np.zeros((rows.size, 0))], [], 0
    for f, z in enumerate(inner):
        if f == first:
            continue
        rest.append(z.reshape(rows.size, -1))
        places += [(f, width + z.shape[2] * level) for level in range(z.shape[1])]
        width += z.shape[1] * z.shape[2]
    return _Group(rows, weights, first, inner[first], np.concatenate(rest, axis=1), places)


def _density(posterior: PosteriorDraws, rows: IntArray, own: list[BoolArray]) -> Array:
    """Return the log density of the rows of a group, shape (chains × draws,)."""
    design = posterior.design
    group = _group(design, rows, own)
    _, levels, k = group.z.shape
    q = group.rest.shape[1]
    draws = posterior.sigma.size
    out = np.empty(draws)
    beta, sigma = posterior.beta.reshape(draws, -1), posterior.sigma.reshape(draws)
    size = max(1, PIECE // max(rows.size, 2 * levels * k * (k + q), 3 * q * q))
    for start in range(0, draws, size):
        some = slice(start, start + size)
        residual = design.y[rows] - beta[some] @ design.X[np.ix_(rows, posterior.kept)].T
        for f, values in enumerate(posterior.effects):
            residual -= _shared_part(design, f, values, rows, own[f], some)
        omegas = [omega.reshape(draws, *omega.shape[2:])[some] for omega in posterior.omega]
        out[some] = _marginal(residual, group, omegas, sigma[some] ** 2)
    constant = np.sum(np.log(group.weights)) - rows.size * np.log(2.0 * np.pi)
    return np.asarray(out + 0.5 * constant)


def _shared_part(design: Design, f: int, values: Array, rows: IntArray, own: BoolArray, some: slice) -> Array:
    """Return Zb of one factor over the levels that are shared with other groups, shape (draws, rows)."""
    block = design.blocks[f]
    codes = block.codes[rows]
    shared = ~own[codes]
    if not shared.any():
        return np.zeros((1, rows.size))
    draws = values.reshape(-1, *values.shape[2:])[some]
    out = np.zeros((draws.shape[0], rows.size))
    out[:, shared] = np.einsum("drk,rk->dr", draws[:, codes[shared]], block.z[rows[shared]])
    return out


def _marginal(residual: Array, group: _Group, omegas: list[Array], variance: Array) -> Array:
    """Return log N(r; 0, ZΩZᵀ + σ²W⁻¹) up to constants, shape (draws,).

    For the levels l of the first factor, with G_l = Z_lᵀWZ_l, M_l = I + ΩG_l/σ² and S_l = M_l⁻¹Ω/σ²:
    V₀ = σ²W⁻¹ + Σ Z_lΩZ_lᵀ has log|V₀| = n log σ² − log|W| + Σ log|M_l| and σ² xᵀV₀⁻¹y = xᵀWy − Σ xᵀWZ_l S_l Z_lᵀWy.
    The rest, Z_r, then follows in the same way: V = V₀ + Z_rΩ_rZ_rᵀ, A = Z_rᵀV₀⁻¹Z_r, a = Z_rᵀV₀⁻¹r,
    log|V| = log|V₀| + log|I + Ω_rA|, rᵀV⁻¹r = rᵀV₀⁻¹r − aᵀ(I + Ω_rA)⁻¹Ω_ra.
    """
    z, rest, omega = group.z, group.rest, omegas[group.first]
    weighted = residual * group.weights
    gram = np.einsum("rla,r,rlb->lab", z, group.weights, z)
    inner = np.eye(z.shape[2]) + omega[:, None] @ gram / variance[:, None, None, None]
    S = np.linalg.solve(inner, np.broadcast_to(omega[:, None], inner.shape)) / variance[:, None, None, None]
    c = (weighted @ z.reshape(len(z), -1)).reshape(-1, *z.shape[1:])
    Sc = np.einsum("dlab,dlb->dla", S, c)
    squares = np.einsum("dr,dr->d", weighted, residual) - np.einsum("dla,dla->d", c, Sc)
    logs = np.linalg.slogdet(inner)[1].sum(axis=1) + residual.shape[1] * np.log(variance)
    if rest.shape[1]:
        cross = np.einsum("rla,r,rq->laq", z, group.weights, rest)
        rest_gram = (rest.T * group.weights) @ rest
        S_cross = np.einsum("dlab,lbq->dlaq", S, cross)
        A = (rest_gram - np.einsum("lap,dlaq->dpq", cross, S_cross, optimize=True)) / variance[:, None, None]
        a = (weighted @ rest - np.einsum("dlaq,dla->dq", S_cross, c)) / variance[:, None]
        omega_a, system = np.empty_like(a), np.empty_like(A)
        for f, start in group.places:
            here = slice(start, start + omegas[f].shape[1])
            system[:, here] = omegas[f] @ A[:, here]
            omega_a[:, here] = np.einsum("dab,db->da", omegas[f], a[:, here])
        system += np.eye(rest.shape[1])
        solved = np.linalg.solve(system, omega_a[:, :, None])[:, :, 0]
        squares = squares - variance * np.einsum("dq,dq->d", a, solved)
        logs = logs + np.linalg.slogdet(system)[1]
    return np.asarray(-0.5 * (logs + squares / variance))
