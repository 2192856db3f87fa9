"""Posterior predictive draws for further rows, in groups of the fit or in new ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError
from mixedfit.core.seeds import generator
from mixedfit.design.design import Design
from mixedfit.design.recipe import NewRows, usable
from mixedfit.prediction.rows import check_types, further_offset, further_weights

from .row_density import residual_draws
from .scale_draws import ScaleDraws

__all__ = ["Further", "predict"]

Parts = tuple[Array, Array, tuple[Array, ...], tuple[Array, ...], ScaleDraws | None]


@dataclass(frozen=True, slots=True)
class Further:
    """Rows to predict, and the options of the prediction.

    Attributes
    ----------
    data : table
    kind : {"response", "mean"}
    weights, offset : str, number, array or None
        Of these rows; needed where the model has weights, and where its offset was an array.
    """

    data: Any
    kind: str
    weights: Any = None
    offset: Any = None


def predict(
    design: Design, kept: IntArray, parts: Parts, further: Further, seed: object
) -> tuple[pd.Index[Any], Array, tuple[str, ...]]:
    """Return the index of the rows, draws of shape (chains, draws, rows), and notes on new labels.

    Parameters
    ----------
    design : Design
    kept : ndarray of int64
        Columns of X that have a coefficient.
    parts : tuple
        Draws of β, σ, Ω and b, and of the scales of a model that is not normal with one σ.
    further : Further
    seed : int, SeedSequence, Generator or None
    """
    beta, sigma, omega, effects, scales = parts
    rows = usable(design.recipe).rows(
        further.data, offset=further_offset(design, further.data, further.offset)
    )
    noise = _noise(design, further, len(rows.X))
    new = _new_labels(design, rows)
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
    if noise is not None:
        scale = sigma[:, :, None]
        if scales is not None and scales.shape.groups is not None:
            scale = scales.new_row_sigma(further.data, rng)
            new |= scales.shape.groups.new_labels(further.data)
        out += residual_draws(out.shape, scale * noise, rng, scales)
    return rows.index, out, tuple(_said(name, labels) for name, labels in new.items())


def _noise(design: Design, further: Further, n: int) -> Array | None:
    """Return 1/√w of the rows to predict, shape (n,), or None for predictions of means."""
    if further.kind == "mean":
        return None
    w = further_weights(design, further.data, further.weights, n)
    if w is None:
        return np.ones(n)
    if not np.all(w > 0):
        raise DataError(
            f"{int(np.sum(~(w > 0)))} rows have a weight of 0, or none, and so no residual variance; leave them out, "
            "or ask for kind='mean'."
        )
    return np.asarray(1.0 / np.sqrt(w))


def _new_labels(design: Design, rows: NewRows) -> dict[str, list[Any]]:
    """Return the labels of every grouping factor that the fit did not have; labels of another type are refused."""
    out = {}
    for block, codes, labels in zip(design.blocks, rows.codes, rows.labels, strict=True):
        unseen = [label for label in pd.unique(labels[codes < 0]).tolist() if label is not None]
        check_types(block.name, unseen, block.grouping.levels)
        if unseen:
            out[block.name] = unseen
    return out


def _said(name: str, labels: list[Any]) -> str:
    """Return a sentence about new labels."""
    shown = ", ".join(map(repr, labels[:5])) + (f", … ({len(labels)})" if len(labels) > 5 else "")
    return f"{name} {shown}: not in the fit, drawn anew from the distribution of groups."


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
