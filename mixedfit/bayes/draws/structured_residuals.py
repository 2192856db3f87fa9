"""Residuals with a structure: replicates, density of a row given all others, and residuals of new rows.

Where rows are correlated, the density of y_i that leave-one-out needs is p(y_i | y_−i, β, b, σ, x): with P = R⁻¹/σ²,
e = y − Xβ − Zb and g = Pe it is normal with mean y_i − g_i/P_ii and variance 1/P_ii (Bürkner, Gabry & Vehtari 2021,
Computational Statistics 36:1243).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError, ModelError, shown
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.design.design import Design
from mixedfit.prediction.forecast import places_of_rows
from mixedfit.prediction.rows import level_codes

from .record import PosteriorDraws

__all__ = ["coloured", "log_density_given_others", "new_residuals", "refuse_structure"]

BATCH = 500
"""Draws for which the covariances of new rows are computed at a time."""


def refuse_structure(design: Design, what: str, instead: str) -> None:
    """Raise `ModelError` if residuals have a structure."""
    if design.residual is not None:
        raise ModelError(
            f"{what} not available for posteriors with a residual structure, here {design.residual.structure}. "
            f"{instead}"
        )


def _model(draws: PosteriorDraws) -> ResidualModel:
    assert draws.design.residual is not None
    return draws.design.residual


def _all_x(draws: PosteriorDraws) -> Array:
    """Return x of all chains, shape (chains × draws, parameters)."""
    assert draws.structure is not None
    x = draws.structure.x
    return x.reshape(-1, x.shape[-1])


def coloured(draws: PosteriorDraws, noise: Array) -> Array:
    """Return independent standard normal numbers, shape (chains, draws, n), as residuals of the rows of the fit."""
    model, weights = _model(draws), draws.design.weights
    flat = noise.reshape(-1, noise.shape[-1])
    out = np.empty_like(flat)
    for d, x in enumerate(_all_x(draws)):
        out[d] = model.root(x).colour(flat[d][:, None])[:, 0]
    out *= draws.sigma.reshape(-1, 1)
    return (out if weights is None else out / np.sqrt(weights)).reshape(noise.shape)


def log_density_given_others(draws: PosteriorDraws, means: Array) -> Array:
    """Return log p(y_i | y without i, β, b, σ, x) of every draw and row, shape (chains, draws, n).

    Parameters
    ----------
    draws : PosteriorDraws
    means : ndarray, shape (chains, draws, n)
        Xβ + Zb, offset included.
    """
    design = draws.design
    weights = np.ones(design.n) if design.weights is None else design.weights
    rest = (np.sqrt(weights) * (design.observed - means)).reshape(-1, design.n)
    out = np.empty_like(rest)
    for d, x in enumerate(_all_x(draws)):
        root = _model(draws).root(x)
        g, diagonal = root.back(root.whiten(rest[d][:, None]))[:, 0], root.precision_diagonal()
        variance = draws.sigma.reshape(-1)[d] ** 2
        out[d] = 0.5 * (np.log(weights * diagonal / (2.0 * np.pi * variance)) - g * g / (diagonal * variance))
    return out.reshape(means.shape)


def new_residuals(
    draws: PosteriorDraws, data: Any, scale: Array, index: pd.Index[Any], rng: np.random.Generator
) -> Array:
    """Return residuals of new rows given those of the fit, shape (chains, draws, rows).

    Rows of one group, of the fit or new, are correlated with each other. Of a group of the fit only the rows beside a
    new one count: AR1 and CAR1 have the Markov property.

    Parameters
    ----------
    draws : PosteriorDraws
    data : table
    scale : ndarray, shape (rows,)
        1/√weight.
    index : pandas.Index
        Labels of the new rows.
    rng : numpy.random.Generator

    Raises
    ------
    DataError
        If a row has the time of another row of its group, of the fit or new, or a level that the fit did not have.
    """
    model, n = _model(draws), scale.size
    groups, place = places_of_rows(model, data, n)
    logs = np.zeros((_all_x(draws).shape[0], n))
    for factor, law, here in zip(model.structure.variances, model.variances, model.slices[1:], strict=True):
        codes = level_codes(factor, law, data, model.structure.written(factor))
        if (codes < 0).any():
            raise DataError(
                f"{factor}: the level of row {shown(index[int(np.argmax(codes < 0))])} is missing."
            )
        logs += np.concatenate([np.zeros((len(logs), 1)), _all_x(draws)[:, here]], axis=1)[:, codes]
    sd = draws.sigma.reshape(-1, 1) * np.exp(logs) * scale
    noise = rng.standard_normal(sd.shape)
    out = np.empty_like(sd)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        out[:, rows] = sd[:, rows] * _of_group(draws, int(group), rows, place[:, 0], noise[:, rows], index)
    return out.reshape(*draws.sigma.shape, n)


def _of_group(
    draws: PosteriorDraws, group: int, rows: IntArray, place: Array, noise: Array, index: pd.Index[Any]
) -> Array:
    """Return residuals over their SD of the new rows of one group, shape (draws, rows)."""
    model, times = _model(draws), place[rows]
    assert model.layout is not None
    assert draws.structure is not None
    known = np.zeros(0, np.int64)
    if group < len(model.layout.groups):
        inside = np.arange(model.layout.start[group], model.layout.start[group + 1])
        known = inside[_beside(model.layout.place[inside, 0], times)]
    old = model.layout.place[known, 0]
    _check_times(model, old, times, index[rows])
    lags = np.abs(np.subtract.outer(np.concatenate([old, times]), np.concatenate([old, times])))
    white = _standardised(draws, model.layout.order[known])
    phi = draws.structure.values[..., 0].reshape(-1)
    out, m = np.empty((phi.size, rows.size)), known.size
    for start in range(0, phi.size, BATCH):
        some = slice(start, start + BATCH)
        root = np.linalg.cholesky(phi[some, None, None] ** lags)
        seen = np.linalg.solve(root[:, :m, :m], white[some, :, None])[:, :, 0]
        parts = np.concatenate([seen, noise[some]], axis=1)
        out[some] = np.einsum("dij,dj->di", root[:, m:], parts)
    return out


def _beside(old: Array, times: Array) -> IntArray:
    """Return positions of the old times that are next to a new one."""
    after = np.searchsorted(old, times)
    both = np.concatenate([after - 1, after, after + 1])  # the last in case of an equal time
    return np.unique(both[(both >= 0) & (both < old.size)])


def _check_times(model: ResidualModel, old: Array, times: Array, labels: pd.Index[Any]) -> None:
    """Raise `DataError` if a new row has the time of another row of its group."""
    same = np.isin(times, old)
    if same.any():
        raise DataError(
            f"{model.structure}: row {shown(labels[int(np.argmax(same))])} has the time of a row of its group in the "
            "fit, whose residual is not drawn anew. Give other times or a new group; .replicate() draws new responses "
            "for the rows of the fit, and kind='mean' their means."
        )
    if np.unique(times).size < times.size:
        raise DataError(f"{model.structure}: two of the new rows of a group are at the same time.")


def _standardised(draws: PosteriorDraws, rows: IntArray) -> Array:
    """Return e over its SD of some rows of the fit, shape (draws, rows)."""
    design, model = draws.design, _model(draws)
    if not rows.size:
        return np.zeros((draws.sigma.size, 0))
    draws.require_effects()
    means = draws.beta @ design.X[np.ix_(rows, draws.kept)].T
    for block, values in zip(design.blocks, draws.effects, strict=True):
        means = means + np.einsum("cdra,ra->cdr", values[:, :, block.codes[rows]], block.z[rows])
    rest = (design.y[rows] - means).reshape(-1, rows.size)
    if design.weights is not None:
        rest = rest * np.sqrt(design.weights[rows])
    logs = np.array(
        [model.log_sd(x)[rows] if model.variances else np.zeros(rows.size) for x in _all_x(draws)]
    )
    return np.asarray(rest / (np.exp(logs) * draws.sigma.reshape(-1, 1)))
