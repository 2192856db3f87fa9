"""New responses from a fitted model: y* = Xβ̂ + Zb* + ε*, with b* and ε* drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ._types import Array, BoolArray, IntArray
from .design import Design
from .fit import Fit
from .kernels.responses import add_effects
from .recipe import NewRows
from .rows import NewLevels, check_levels, fixed_mean, residual_variance, rows_of, without_label

__all__ = ["marginal_draws", "residual_scale", "response_from", "simulate_response", "simulate_rows"]


def simulate_response(fit: Fit, n: int, rng: np.random.Generator, *, offset: bool = True) -> Array:
    """Return draws from the fitted marginal distribution, N(Xβ̂, ZΩ̂Zᵀ + σ̂²W⁻¹), shape (rows, n).

    Random effects are drawn, not predicted: nothing is conditional on the BLUPs. Rows of weight 0, whose
    variance is not defined, get no residual. A column's numbers follow each other in the stream, so that
    the first columns are the same whatever `n`.

    Parameters
    ----------
    fit : Fit
    n : int
        Number of responses.
    rng : numpy.random.Generator
    offset : bool
        Whether to include the offset, as in the response observed.
    """
    mean = fit.fixed_part
    if fit.design.offset is not None and not offset:
        mean = mean - fit.design.offset
    roots = [fit.sigma * lam for lam in fit.lam]
    return marginal_draws(fit.design, mean, roots, residual_scale(fit), n=n, rng=rng)


def marginal_draws(
    design: Design, mean: Array, roots: Sequence[Array], scale: Array, *, n: int, rng: np.random.Generator
) -> Array:
    """Return draws of mean + Zb + ε on the rows of a design, shape (rows, n).

    Parameters
    ----------
    design : Design
    mean, scale : ndarray, shape (rows,)
        Mean of each row, and standard deviation of its residual.
    roots : sequence of ndarray, shape (k, k)
        For every block a matrix with root rootᵀ = Ω.
    n : int
    rng : numpy.random.Generator
    """
    blocks = design.blocks
    sizes = [block.levels * block.k for block in blocks]
    drawn = rng.standard_normal((n, sum(sizes) + design.n))
    effects, at = [], 0
    for block, root, size in zip(blocks, roots, sizes, strict=True):
        effects.append(drawn[:, at : at + size].reshape(n, block.levels, block.k) @ root.T)
        at += size
    out = drawn[:, at:] * scale
    out += mean
    for block, b in zip(blocks, effects, strict=True):
        add_effects(block.codes, np.ascontiguousarray(block.z), np.ascontiguousarray(b), out)
    return out.T


def simulate_rows(
    fit: Fit,
    n: int,
    rng: np.random.Generator,
    *,
    newdata: Any,
    taken: Sequence[BoolArray],
    new_levels: NewLevels,
    weights: Any = None,
    offset: Any = None,
) -> pd.DataFrame:
    """Return responses drawn for rows of a fit or for new ones, given its estimates and some of its BLUPs.

    Parameters
    ----------
    fit : Fit
    n : int
    rng : numpy.random.Generator
    newdata : frame or None
    taken : sequence of ndarray of bool, shape (k,)
        Effects of every block that are held at their BLUPs; the others are drawn, once a level.
    new_levels : {"error", "population", "marginal"}
        Of effects that are held: what becomes of levels that the fit did not see.
    weights, offset
        As in `residual_variance` and `rows_of`.
    """
    every = [np.ones(block.k, dtype=bool) for block in fit.design.blocks]
    rows = rows_of(fit, newdata, every, offset=offset)
    check_levels(fit, rows, taken, new_levels)
    # as in `residual_scale`: no residual where the weight is 0
    scale = np.sqrt(np.nan_to_num(residual_variance(fit, newdata, weights, len(rows.X))))
    mean = fixed_mean(fit, rows)
    mean[without_label(rows, every)] = np.nan
    groups = [_levels(rows, f, block.levels) for f, block in enumerate(fit.design.blocks)]
    sizes = [(count, block.k) for (_, count), block in zip(groups, fit.design.blocks, strict=True)]
    out = np.empty((n, len(rows.X)))
    for r in range(n):
        out[r] = mean
        for f, (codes, _) in enumerate(groups):
            b = fit.sigma * rng.standard_normal(sizes[f]) @ fit.lam[f].T
            if taken[f].any():
                known = len(fit.modes[f])
                b[:known, taken[f]] = fit.modes[f][:, taken[f]]
                if new_levels == "population":
                    b[known:, taken[f]] = 0.0
            out[r] += np.einsum("ik,ik->i", rows.z[f], b[codes])
        out[r] += scale * rng.standard_normal(len(rows.X))
    return pd.DataFrame(out.T, index=rows.index, columns=[f"sim_{r + 1}" for r in range(n)])


def _levels(rows: NewRows, f: int, known: int) -> tuple[IntArray, int]:
    """Return the level of each row in one block, new labels numbered after the fit's, and how many there are."""
    codes = rows.codes[f]
    if not rows.labels or not (codes < 0).any():
        return codes, known
    new = codes < 0
    numbers, labels = pd.factorize(rows.labels[f][new])
    out = codes.copy()
    out[new] = np.where(numbers >= 0, known + numbers, 0)  # a missing label: its row is NaN already
    return out, known + len(labels)


def residual_scale(fit: Fit) -> Array:
    """Return the standard deviation of each row's residual, σ̂/√w, 0 where the weight is 0, shape (rows,)."""
    weights = fit.design.weights
    if weights is None:
        return np.full(fit.design.n, fit.sigma)
    counted = weights > 0
    return np.where(counted, fit.sigma / np.sqrt(np.where(counted, weights, 1.0)), 0.0)


def response_from(fit: Fit, effects: Sequence[Array], residuals: Array, *, offset: bool = False) -> Array:
    """Return Xβ̂ + Zb + ε for given effects and residuals.

    Parameters
    ----------
    fit : Fit
    effects : sequence of ndarray, shape (n, levels, k)
        b of each block.
    residuals : ndarray, shape (n, rows)
        ε; used up.
    offset : bool
    """
    mean = fit.fixed_part
    if fit.design.offset is not None and not offset:
        mean = mean - fit.design.offset
    residuals += mean
    for block, b in zip(fit.design.blocks, effects, strict=True):
        add_effects(block.codes, np.ascontiguousarray(block.z), np.ascontiguousarray(b), residuals)
    return residuals
