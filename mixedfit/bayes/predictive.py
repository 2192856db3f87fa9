"""Posterior predictive draws for further rows, in groups of the fit or in new ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from .._types import Array, IntArray
from ..design import Design
from ..errors import DataError
from ..recipe import usable
from .rows import residual_draws
from .scale_draws import ScaleDraws
from .seeds import generator

__all__ = ["predict"]

Parts = tuple[Array, Array, tuple[Array, ...], tuple[Array, ...], ScaleDraws | None]


def predict(
    design: Design, kept: IntArray, parts: Parts, data: Any, kind: str, seed: object
) -> tuple[pd.Index[Any], Array]:
    """Return the rows' index and draws of shape (chains, draws, rows).

    Parameters
    ----------
    design : Design
    kept : ndarray of int64
        Columns of X that have a coefficient.
    parts : tuple
        Draws of β, σ, Ω and b, and of the scales of a model that is not normal with one σ.
    data : table
    kind : {"response", "mean"}
    seed : int, SeedSequence, Generator or None
    """
    beta, sigma, omega, effects, scales = parts
    rows = usable(design.recipe).rows(data)
    X = rows.X[:, kept]
    missing = ~np.isfinite(X).all(axis=1)
    for z, labels in zip(rows.z, rows.labels, strict=True):
        missing |= ~np.isfinite(z).all(axis=1) | np.array([label is None for label in labels], dtype=bool)
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} rows have missing values in variables of the model, the first with index "
            f"{rows.index[int(np.argmax(missing))]!r}; leave them out."
        )
    rng = generator(seed)
    out = np.asarray(beta @ X.T)
    if rows.offset is not None:
        out = out + rows.offset
    for f, z in enumerate(rows.z):
        draw = None if scales is None else partial(scales.effect_scale, f)
        out += _group_part(effects[f], omega[f], (rows.codes[f], rows.labels[f]), z, rng, draw)
    if kind == "response":
        scale = sigma[:, :, None]
        if scales is not None and scales.shape.groups is not None:
            scale = scales.new_row_sigma(data, rng)
        out += residual_draws(out.shape, scale, rng, scales)
    return rows.index, out


def _group_part(
    effects: Array,
    omega: Array,
    where: tuple[IntArray, Any],
    z: Array,
    rng: np.random.Generator,
    scale: Callable[[int, np.random.Generator], Array] | None,
) -> Array:
    """Return Zb of one grouping factor; new labels share one draw of b from N(0, Ω), times a scale if there is one."""
    chains, draws, levels, k = effects.shape
    codes, labels = where
    unseen = codes < 0
    if unseen.any():
        own, distinct = pd.factorize(np.asarray(labels, dtype=object)[unseen])
        root = np.linalg.cholesky(omega)
        new = np.einsum("cdab,cdjb->cdja", root, rng.standard_normal((chains, draws, len(distinct), k)))
        if scale is not None:
            new *= scale(len(distinct), rng)[:, :, :, None]
        effects = np.concatenate([effects, new], axis=2)
        codes = codes.copy()
        codes[unseen] = levels + own
    return np.asarray(np.einsum("cdra,ra->cdr", effects[:, :, codes], z))
