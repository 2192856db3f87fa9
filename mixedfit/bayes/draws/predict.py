"""Posterior predictive draws for new rows, in groups of the fit or in new groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray, Array, BoolArray, IntArray
from mixedfit.core.errors import DataError, ModelError, shown
from mixedfit.core.format import count_noun
from mixedfit.core.seeds import generator
from mixedfit.design.design import Design
from mixedfit.design.recipe import NewRows, usable
from mixedfit.prediction.rows import check_types, further_offset, further_weights

from .draws import Draws, listed, row_names
from .record import PosteriorDraws
from .row_density import residual_draws
from .scale_draws import new_effects
from .structured_residuals import new_residuals

__all__ = ["predict"]


def predict(
    posterior: PosteriorDraws, data: Any, *, kind: str, weights: Any, offset: Any, seed: object
) -> Draws:
    """Return draws of the response or its mean on new rows; see `Posterior.predict`."""
    design, scales = posterior.design, posterior.scales
    rows = usable(design.recipe).rows(data, offset=further_offset(design, data, offset))
    noise = None if kind == "mean" else _inverse_root_weights(design, data, weights, len(rows.X))
    new = {
        block.name: _new_labels(block.name, codes, labels, block.grouping.levels)
        for block, codes, labels in zip(design.blocks, rows.codes, rows.labels, strict=True)
    }
    X = rows.X[:, posterior.kept]
    _check_complete(rows, X)
    rng = generator(seed)
    out = np.asarray(posterior.beta @ X.T)
    if rows.offset is not None:
        out = out + rows.offset
    for f in range(len(design.blocks)):
        out += _effects_part(posterior, f, rows, rng)
    if noise is not None:
        scale = posterior.sigma[:, :, None]
        if scales is not None and (groups := scales.error_model.groups) is not None:
            codes, labels = groups.codes_of(data)
            new[groups.name] = _new_labels(groups.name, codes, labels, groups.levels)
            scale = scales.row_sigma(codes, labels, rng)
        if posterior.structure is None:
            out += residual_draws(out.shape, scale * noise, rng, scales)
        else:
            out += new_residuals(posterior, data, noise, rows.index, rng)
    notes = (
        f"{name} {listed(list(map(shown, labels)), 5)}: not in the fit, drawn anew from the distribution of groups."
        for name, labels in new.items()
        if labels
    )
    return Draws(row_names(rows.index), out, rows.index, tuple(notes))


def _check_complete(rows: NewRows, X: Array) -> None:
    """Raise if a row has missing values in variables of the model."""
    missing = ~np.isfinite(X).all(axis=1)
    for z, labels in zip(rows.z, rows.labels, strict=True):
        missing |= ~np.isfinite(z).all(axis=1) | np.array([label is None for label in labels], dtype=bool)
    if missing.any():
        raise DataError(
            f"missing values in variables of the model in {count_noun(int(missing.sum()), 'row')}, the first with "
            f"index {shown(rows.index[int(np.argmax(missing))])}; leave them out."
        )


def _inverse_root_weights(design: Design, data: Any, weights: Any, n: int) -> Array:
    """Return 1/√w of new rows, shape (n,)."""
    w = further_weights(design, data, weights, n)
    if w is None:
        return np.ones(n)
    if not np.all(w > 0):
        without = count_noun(int(np.sum(~(w > 0))), "row")
        raise DataError(
            f"a weight of 0, or none, and so no residual variance in {without}; leave them out, or ask "
            "for kind='mean'."
        )
    return np.asarray(1.0 / np.sqrt(w))


def _new_labels(name: str, codes: IntArray, labels: AnyArray, levels: pd.Index[Any]) -> list[Any]:
    """Return the labels that were not in the fit; raise if one equals a label of the fit but for its type."""
    unseen = [label for label in pd.unique(labels[codes < 0]).tolist() if label is not None]
    check_types(name, unseen, levels)
    return unseen


def _effects_part(posterior: PosteriorDraws, f: int, rows: NewRows, rng: np.random.Generator) -> Array:
    """Return Zb of one grouping factor, shape (chains, draws, rows); rows of one new label share its effects."""
    codes, omega = rows.codes[f], posterior.omega[f]
    unseen = codes < 0
    if len(posterior.effects) <= f:
        _require_new(posterior, f, unseen, rows)
    effects = posterior.effects[f] if posterior.effects else np.zeros((*omega.shape[:2], 0, omega.shape[2]))
    if unseen.any():
        own, distinct = pd.factorize(np.asarray(rows.labels[f], dtype=object)[unseen])
        new = new_effects(omega, f, len(distinct), rng, posterior.scales)
        codes = codes.copy()
        codes[unseen] = effects.shape[2] + own
        effects = np.concatenate([effects, new], axis=2)
    return np.asarray(np.einsum("cdra,ra->cdr", effects[:, :, codes], rows.z[f]))


def _require_new(posterior: PosteriorDraws, f: int, unseen: BoolArray, rows: NewRows) -> None:
    """Raise if a row has a level of the fit, whose draws of effects were not kept."""
    if unseen.all():
        return
    first = int(np.argmax(~unseen))
    level, name = shown(rows.labels[f][first]), posterior.design.blocks[f].name
    raise ModelError(
        f"{name} {level} (row with index {shown(rows.index[first])}) is in the fit, and the draws of its effects were "
        "not kept; sample with keep_effects=True. Rows of new groups can be predicted."
    )
