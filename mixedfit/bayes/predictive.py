"""Posterior predictive draws for further rows, in groups of the fit or in new ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .._types import Array, IntArray
from ..design import Design
from ..errors import DataError
from ..recipe import usable
from .seeds import generator

__all__ = ["predict"]

Parts = tuple[Array, Array, tuple[Array, ...], tuple[Array, ...]]


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
        Draws of β, σ, Ω and b.
    data : table
    kind : {"response", "mean"}
    seed : int, SeedSequence, Generator or None
    """
    beta, sigma, omega, effects = parts
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
        out += _group_part(effects[f], omega[f], rows.codes[f], rows.labels[f], z, rng)
    if kind == "response":
        out += sigma[:, :, None] * rng.standard_normal(out.shape)
    return rows.index, out


def _group_part(
    effects: Array, omega: Array, codes: IntArray, labels: Any, z: Array, rng: np.random.Generator
) -> Array:
    """Return Zb of one grouping factor; new labels share one draw of b from N(0, Ω)."""
    chains, draws, levels, k = effects.shape
    unseen = codes < 0
    if unseen.any():
        own, distinct = pd.factorize(np.asarray(labels, dtype=object)[unseen])
        root = np.linalg.cholesky(omega)
        new = np.einsum("cdab,cdjb->cdja", root, rng.standard_normal((chains, draws, len(distinct), k)))
        effects = np.concatenate([effects, new], axis=2)
        codes = codes.copy()
        codes[unseen] = levels + own
    return np.asarray(np.einsum("cdra,ra->cdr", effects[:, :, codes], z))
