"""Means, log-likelihoods and replicated responses of the rows of the fit, for every draw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.design.design import Design

from .record import PosteriorDraws
from .scale_draws import ScaleDraws, log_density

__all__ = ["log_likelihood", "pieces", "residual_draws", "row_log_density", "row_means", "row_scale"]

PIECE = 2**21
"""Numbers in one piece of a matrix of draws × rows, 16 MB."""

ALL = slice(None)


def row_log_density(posterior: PosteriorDraws, rows: slice = ALL) -> Array:
    """Return log p(y_i | β, b, σ) of every draw on some rows of the fit, shape (chains, draws, rows).

    Everything that judges a posterior by its rows asks here.
    """
    design = posterior.design
    response = design.y if design.offset is None else design.y + design.offset
    means = row_means(design, posterior.kept, posterior.beta, posterior.effects, rows)
    scales = posterior.scales
    return log_likelihood(response[rows], means, row_scale(design, posterior.sigma, scales, rows), scales)


def pieces(rows: int, draws: int) -> Iterator[slice]:
    """Yield slices of rows small enough for a matrix of draws × rows in memory."""
    size = max(1, PIECE // draws)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def row_means(
    design: Design, kept: IntArray, beta: Array, effects: tuple[Array, ...], rows: slice = ALL
) -> Array:
    """Return Xβ + Zb, offset included, of every draw on every row, shape (chains, draws, n)."""
    out = np.asarray(beta @ design.X[rows, kept].T)
    for block, values in zip(design.blocks, effects, strict=True):
        for a in range(block.k):
            out += values[:, :, block.codes[rows], a] * block.z[rows, a]
    return out if design.offset is None else out + design.offset[rows]


def row_scale(design: Design, sigma: Array, scales: ScaleDraws | None = None, rows: slice = ALL) -> Array:
    """Return the residual scale of every draw on every row, shape (chains, draws, n or 1): σ, or the row's σ_g.

    Raises
    ------
    ModelError
        If rows of weight 0 have none.
    """
    own = sigma[:, :, None]
    if scales is not None and scales.shape.groups is not None:
        own = scales.sigmas[:, :, scales.shape.groups.grouping.codes[rows]]
    if design.weights is None:
        return own
    if np.any(design.weights <= 0):
        raise ModelError("rows of weight 0 have no residual variance; leave them out of the data.")
    return np.asarray(own / np.sqrt(design.weights[rows]))


def log_likelihood(response: Array, means: Array, scale: Array, scales: ScaleDraws | None = None) -> Array:
    """Return the log density of the residuals of every draw on every row, shape (chains, draws, n)."""
    z = (response - means) / scale
    if scales is None:
        return np.asarray(-0.5 * (z * z + np.log(2.0 * np.pi)) - np.log(scale))
    return np.asarray(log_density(scales.shape.errors, scales.nu[0][:, :, None], z) - np.log(scale))


def residual_draws(
    shape: tuple[int, ...], scale: Array, rng: np.random.Generator, scales: ScaleDraws | None = None
) -> Array:
    """Return residuals drawn anew, shape (chains, draws, n)."""
    if scales is None:
        return np.asarray(scale * rng.standard_normal(shape))
    return np.asarray(scale * scales.standard_noise(shape[2], rng))
