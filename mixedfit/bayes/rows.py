"""What draws say about the rows of the fit: means, log-likelihoods, replicated responses."""

from __future__ import annotations

import numpy as np

from .._types import Array, IntArray
from ..design import Design
from ..errors import ModelError
from .scale_draws import ScaleDraws, log_density

__all__ = ["log_likelihood", "residual_draws", "row_means", "row_scale"]


def row_means(design: Design, kept: IntArray, beta: Array, effects: tuple[Array, ...]) -> Array:
    """Return Xβ + Zb, offset included, of every draw on every row, shape (chains, draws, n)."""
    out = np.asarray(beta @ design.X[:, kept].T)
    for block, values in zip(design.blocks, effects, strict=True):
        for a in range(block.k):
            out += values[:, :, block.codes, a] * block.z[:, a]
    return out if design.offset is None else out + design.offset


def row_scale(design: Design, sigma: Array, scales: ScaleDraws | None = None) -> Array:
    """Return the residual scale of every draw on every row, shape (chains, draws, n or 1): σ, or the row's σ_g.

    Raises
    ------
    ModelError
        If rows of weight 0 have none.
    """
    own = sigma[:, :, None]
    if scales is not None and scales.shape.groups is not None:
        own = scales.sigmas[:, :, scales.shape.groups.grouping.codes]
    if design.weights is None:
        return own
    if np.any(design.weights <= 0):
        raise ModelError("rows of weight 0 have no residual variance; leave them out of the data.")
    return np.asarray(own / np.sqrt(design.weights))


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
