"""Means, log densities and new residuals of every draw on the rows of the fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixedfit.bayes.distributions import Distribution, Normal
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.design.design import Design

from .record import PosteriorDraws
from .scale_draws import ScaleDraws, log_density
from .structured_residuals import coloured, log_density_given_others

__all__ = [
    "log_likelihood",
    "pieces",
    "replicated_residuals",
    "residual_draws",
    "row_log_density",
    "row_means",
    "row_scale",
]

PIECE = 2**21
"""Elements of one piece of a matrix of draws × rows, 16 MB."""

ALL = slice(None)


def row_log_density(posterior: PosteriorDraws, rows: slice = ALL) -> Array:
    """Return log p(y_i | β, b, σ) of every draw on some rows of the fit, shape (chains, draws, rows).

    With a residual structure the density is given the other rows too.
    """
    design, scales = posterior.design, posterior.scales
    if posterior.structure is not None:
        means = row_means(design, posterior.kept, posterior.beta, posterior.effects)
        return log_density_given_others(posterior, means)[:, :, rows]
    means = row_means(design, posterior.kept, posterior.beta, posterior.effects, rows)
    scale = row_scale(design, posterior.sigma, scales, rows)
    return log_likelihood(design.observed[rows], means, scale, scales)


def pieces(rows: int, draws: int) -> Iterator[slice]:
    """Yield slices of rows for which a matrix of draws × rows has at most `PIECE` elements."""
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
        If there are rows of weight 0, whose residual variance is not defined.
    """
    own = sigma[:, :, None]
    if scales is not None and scales.error_model.groups is not None:
        own = scales.sigmas[:, :, scales.error_model.groups.grouping.codes[rows]]
    if design.weights is None:
        return own
    if np.any(design.weights <= 0):
        raise ModelError("rows of weight 0 have no residual variance; leave them out of the data.")
    return np.asarray(own / np.sqrt(design.weights[rows]))


def log_likelihood(response: Array, means: Array, scale: Array, scales: ScaleDraws | None = None) -> Array:
    """Return the log density of the residuals of every draw on every row, shape (chains, draws, n)."""
    errors: Distribution = Normal() if scales is None else scales.error_model.errors
    nu = scale if scales is None else scales.nu[0][:, :, None]
    return np.asarray(log_density(errors, nu, (response - means) / scale) - np.log(scale))


def replicated_residuals(
    posterior: PosteriorDraws, shape: tuple[int, ...], rng: np.random.Generator, scales: ScaleDraws | None
) -> Array:
    """Return new draws of residuals on the rows of the fit, shape (chains, draws, n), under `scales`."""
    if posterior.structure is not None:
        return coloured(posterior, rng.standard_normal(shape))
    return residual_draws(shape, row_scale(posterior.design, posterior.sigma, scales), rng, scales)


def residual_draws(
    shape: tuple[int, ...], scale: Array, rng: np.random.Generator, scales: ScaleDraws | None = None
) -> Array:
    """Return new draws of residuals, shape (chains, draws, n)."""
    if scales is None:
        return np.asarray(scale * rng.standard_normal(shape))
    return np.asarray(scale * scales.standard_noise(shape[2], rng))
