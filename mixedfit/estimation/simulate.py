"""New responses from a fitted model: y* = Xβ̂ + Zb* + ε*, with b* and ε* drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.covariance.known import Known
from mixedfit.covariance.residual.model import ResidualRoot
from mixedfit.design.design import Design
from mixedfit.kernels.accumulate import add_effects

from .fit import Fit

__all__ = ["colour_by", "colour_of", "marginal_draws", "residual_scale", "response_from", "simulate_response"]


def simulate_response(fit: Fit, n: int, rng: np.random.Generator, *, offset: bool = True) -> Array:
    """Return draws from the fitted marginal distribution, N(Xβ̂, ZΩ̂Zᵀ + σ̂²W⁻¹), shape (rows, n).

    Random effects are drawn too: the draws are not conditional on the BLUPs. Rows of weight 0, whose variance is
    not defined, get no residual. Random numbers are drawn column by column, so that the first columns do not
    depend on `n`.

    Parameters
    ----------
    fit : Fit
    n : int
        Number of responses.
    rng : numpy.random.Generator
    offset : bool
        Whether to include the offset, as in the response observed.
    """
    mean = _fixed_part(fit, offset)
    roots = [fit.sigma * lam for lam in fit.lam]
    return marginal_draws(fit.design, mean, roots, residual_scale(fit), n=n, rng=rng, colour=colour_of(fit))


def colour_of(fit: Fit) -> Callable[[Array], Array] | None:
    """Return the map of independent draws, shape (n, rows), to correlated ones; None without a residual correlation.

    The variance functions of a residual structure are in it too; `residual_scale` has σ̂ and the weights.
    """
    return None if fit.residual is None else colour_by(fit.residual.root)


def colour_by(root: ResidualRoot) -> Callable[[Array], Array]:
    """Return the map of independent draws, shape (n, rows), to draws with covariance R = root rootᵀ."""
    return lambda drawn: np.ascontiguousarray(root.colour(drawn.T).T)


def _fixed_part(fit: Fit, offset: bool) -> Array:
    """Return Xβ̂ on the rows of the fit, with or without the offset, shape (rows,)."""
    if offset or fit.design.offset is None:
        return fit.fixed_part
    return fit.fixed_part - fit.design.offset


def marginal_draws(
    design: Design,
    mean: Array,
    roots: Sequence[Array],
    scale: Array,
    *,
    n: int,
    rng: np.random.Generator,
    colour: Callable[[Array], Array] | None = None,
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
    colour : callable, optional
        As `colour_of` returns it.
    """
    blocks = design.blocks
    sizes = [block.levels * block.k for block in blocks]
    drawn = rng.standard_normal((n, sum(sizes) + design.n))
    effects, at = [], 0
    for block, root, size in zip(blocks, roots, sizes, strict=True):
        own = drawn[:, at : at + size].reshape(n, block.levels, block.k) @ root.T
        effects.append(own if block.known is None else _related(block.known, own))
        at += size
    noise = drawn[:, at:]
    out = (noise if colour is None else colour(noise)) * scale
    out += mean
    for block, b in zip(blocks, effects, strict=True):
        add_effects(block.codes, np.ascontiguousarray(block.z), np.ascontiguousarray(b), out)
    return out.T


def _related(known: Known, drawn: Array) -> Array:
    """Return independent draws, shape (n, levels, k), with the relationships of the levels."""
    return np.moveaxis(known.root_times(np.moveaxis(drawn, 1, 0)), 0, 1)


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
        ε; overwritten.
    offset : bool
    """
    residuals += _fixed_part(fit, offset)
    for block, b in zip(fit.design.blocks, effects, strict=True):
        add_effects(block.codes, np.ascontiguousarray(block.z), np.ascontiguousarray(b), residuals)
    return residuals
