"""Standard deviations, correlations, σ and fixed effects of all replicates at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._types import Array
from ..covariance import BlockDiagonal
from ..parameters import Parameter
from .replicates import Replicates

__all__ = ["natural_values"]


def natural_values(
    parameters: Sequence[Parameter],
    structures: Sequence[tuple[BlockDiagonal, slice]],
    replicates: Replicates,
) -> Array:
    """Return the values of all parameters in every replicate, shape (n, parameters).

    Parameters
    ----------
    parameters : sequence of Parameter
    structures : sequence of (BlockDiagonal, slice)
        Structure of each block and its place in θ.
    replicates : Replicates
    """
    out = np.full((replicates.sigma.size, len(parameters)), np.nan)
    omegas = [
        _covariances(structure, replicates.theta[:, here], replicates.sigma) for structure, here in structures
    ]
    for column, parameter in zip(out.T, parameters, strict=True):
        column[:] = _column(parameter, omegas, replicates)
    return out


def _covariances(structure: BlockDiagonal, theta: Array, sigma: Array) -> Array:
    """Return Ω of one block in every replicate, shape (n, k, k)."""
    lams = np.array([structure.factor(row) for row in theta]).reshape(-1, structure.k, structure.k)
    roots = sigma[:, None, None] * lams
    return np.asarray(roots @ roots.transpose(0, 2, 1))


def _column(parameter: Parameter, omegas: Sequence[Array], replicates: Replicates) -> Array:
    if parameter.kind == "sigma":
        return replicates.sigma
    if parameter.kind == "fixed":
        return replicates.beta[:, parameter.first]
    omega, i, j = omegas[parameter.block], parameter.first, parameter.second
    if parameter.kind == "sd":
        return np.sqrt(omega[:, i, i])
    below = np.sqrt(omega[:, i, i] * omega[:, j, j])
    return np.where(below > 0, omega[:, i, j] / np.where(below > 0, below, 1.0), np.nan).clip(-1.0, 1.0)
