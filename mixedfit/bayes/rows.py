"""What draws say about the rows of the fit: means, log-likelihoods, replicated responses."""

from __future__ import annotations

import numpy as np

from .._types import Array, IntArray
from ..design import Design
from ..errors import ModelError

__all__ = ["log_likelihood", "row_means", "row_scale"]


def row_means(design: Design, kept: IntArray, beta: Array, effects: tuple[Array, ...]) -> Array:
    """Return Xβ + Zb, offset included, of every draw on every row, shape (chains, draws, n)."""
    out = np.asarray(beta @ design.X[:, kept].T)
    for block, values in zip(design.blocks, effects, strict=True):
        for a in range(block.k):
            out += values[:, :, block.codes, a] * block.z[:, a]
    return out if design.offset is None else out + design.offset


def row_scale(design: Design, sigma: Array) -> Array:
    """Return the residual SD of every draw on every row, shape (chains, draws, n or 1).

    Raises
    ------
    ModelError
        If rows of weight 0 have none.
    """
    if design.weights is None:
        return sigma[:, :, None]
    if np.any(design.weights <= 0):
        raise ModelError("rows of weight 0 have no residual variance; leave them out of the data.")
    return np.asarray(sigma[:, :, None] / np.sqrt(design.weights))


def log_likelihood(response: Array, means: Array, scale: Array) -> Array:
    """Return log N(y_i; mean, scale²) of every draw on every row, shape (chains, draws, n)."""
    z = (response - means) / scale
    return np.asarray(-0.5 * (z * z + np.log(2.0 * np.pi)) - np.log(scale))
