"""Rows to predict: those of the fit, or further ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import DataError, ModelError
from mixedfit.design.design import Design
from mixedfit.design.frames import as_frame, column_names
from mixedfit.design.recipe import NewRows, usable
from mixedfit.estimation.fit import Fit

__all__ = [
    "NewLevels",
    "check_levels",
    "check_types",
    "fixed_mean",
    "further_offset",
    "further_weights",
    "residual_variance",
    "rows_of",
    "some_rows",
    "without_label",
]

NewLevels = Literal["error", "population", "marginal"]
"""What to do with levels that the fit did not see."""


def fixed_mean(fit: Fit, rows: NewRows) -> Array:
    """Return Xβ̂ plus offset, shape (n,); dropped columns count as 0."""
    design, beta = fit.design, np.nan_to_num(fit.beta)
    at = len(design.x_names)
    mean = rows.X @ beta[:at]
    for factor, codes in zip(design.many, rows.many, strict=True):
        own = np.concatenate([np.zeros(factor.first), beta[at : at + len(factor.names)], [np.nan]])
        mean += own[codes]
        at += len(factor.names)
    return mean if rows.offset is None else mean + rows.offset


def rows_of(
    fit: Fit, newdata: Any, taken: Sequence[BoolArray], *, offset: Any = None, every_effect: bool = False
) -> NewRows:
    """Return the rows to predict: those of the fit, or further ones by its recipe.

    Parameters
    ----------
    fit : Fit
    newdata : frame or None
    taken : sequence of ndarray of bool
        Effects whose levels are looked up.
    offset : str, number or array, optional
        Of further rows, where the fit's offset was an array.
    every_effect : bool
        Whether the columns of effects that are not taken in are needed too.
    """
    design = fit.design
    if newdata is None:
        if offset is not None:
            raise ModelError("offset= is for newdata; the rows of the fit have theirs.")
        return NewRows(
            X=design.X,
            many=tuple(factor.grouping.codes for factor in design.many),
            offset=design.offset,
            z=tuple(block.z for block in design.blocks),
            codes=tuple(block.codes for block in design.blocks),
            labels=(),
            index=design.index,
        )
    own = [f for f, effects in enumerate(taken) if effects.any()]
    given = further_offset(design, newdata, offset)
    return usable(design.recipe).rows(
        newdata, levels_of=own, effects_of=None if every_effect else own, offset=given
    )


def further_offset(design: Design, newdata: Any, offset: Any) -> Array | None:
    """Return the offset of further rows, shape (n,), where that of the fit was an array.

    Raises
    ------
    ModelError
        If it is given, but the model finds the offset in the data, or has none.
    """
    if offset is None:
        return None
    if usable(design.recipe).offset is not True:
        raise ModelError(
            "offset= is for fits whose offset was an array; this one finds the offset in the data, or has none."
        )
    count = len(next(iter(as_frame(newdata, column_names(newdata)[:1]).items()))[1])
    return per_row("offset", offset, newdata, count)


def per_row(what: str, value: Any, newdata: Any, n: int) -> Array | None:
    """Return a column, one number a row, or one number for all, as floats."""
    if value is None:
        return None
    if isinstance(value, str):
        value = as_frame(newdata, [value])[value]
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers, one a row, or the name of a column.") from None
    if array.ndim > 1 or array.size not in (1, n):
        raise DataError(
            f"{what} has shape {array.shape} for {n} rows; give one number a row, or one for all."
        )
    return np.array(np.broadcast_to(array, (n,)))


def some_rows(rows: NewRows, these: BoolArray) -> NewRows:
    """Return the rows that a mask, shape (n,), selects."""
    if these.all():
        return rows
    return replace(
        rows,
        X=rows.X[these],
        many=tuple(codes[these] for codes in rows.many),
        offset=None if rows.offset is None else rows.offset[these],
        z=tuple(z[these] for z in rows.z),
        codes=tuple(codes[these] for codes in rows.codes),
        labels=tuple(labels[these] for labels in rows.labels),
        index=rows.index[these],
    )


def without_label(rows: NewRows, taken: Sequence[BoolArray]) -> BoolArray:
    """Return which rows lack the label of a grouping factor that is taken in."""
    out = np.zeros(len(rows.X), dtype=bool)
    for own, labels, codes in zip(taken, rows.labels, rows.codes, strict=False):
        if own.any():
            out[codes < 0] |= np.array([label is None for label in labels[codes < 0]], dtype=bool)
    return out


def check_levels(fit: Fit, rows: NewRows, taken: Sequence[BoolArray], new_levels: NewLevels) -> None:
    """Refuse levels that the fit did not have, where they are to be an error."""
    if new_levels != "error":
        return
    for own, block, labels, codes in zip(taken, fit.design.blocks, rows.labels, rows.codes, strict=False):
        if not own.any():
            continue
        unseen = [label for label in pd.unique(labels[codes < 0]).tolist() if label is not None]
        if unseen:
            raise _unseen(block.name, unseen, block.grouping.levels)


def _unseen(name: str, unseen: Sequence[Any], known: pd.Index[Any]) -> DataError:
    """Return the error that names levels which the fit did not see."""
    shown = ", ".join(map(repr, unseen[:10])) + (f", … ({len(unseen)})" if len(unseen) > 10 else "")
    check_types(name, unseen, known)
    return DataError(
        f"{name!r} has levels that the fit did not see: {shown}. Take new_levels='marginal' to predict for a group "
        "drawn at random, with its variance in the errors, 'population' to set its random effects to 0, or leave "
        "these rows out."
    )


def check_types(name: str, unseen: Sequence[Any], known: pd.Index[Any]) -> None:
    """Refuse labels that are those of the fit but for their type, such as 308 for '308'."""
    if not len(unseen):
        return
    texts = {str(level): level for level in known.tolist()}
    for label in unseen:
        twin = texts.get(str(label))
        if twin is not None:
            shown = ", ".join(map(repr, unseen[:10])) + (f", … ({len(unseen)})" if len(unseen) > 10 else "")
            raise DataError(
                f"{name!r} has levels that the fit did not see: {shown}. It has {twin!r} of type "
                f"{type(twin).__name__}, where this is of type {type(label).__name__}: convert the column."
            )


def residual_variance(fit: Fit, newdata: Any, weights: Any, n: int) -> Array:
    """Return Var(ε) = σ²/w of every row, shape (n,); NaN where the weight is 0.

    Raises
    ------
    ModelError
        If the fit has weights and those of further rows are not given.
    """
    own = fit.design.weights
    w = own if newdata is None and weights is None else further_weights(fit.design, newdata, weights, n)
    if w is None:
        return np.full(n, fit.sigma**2)
    return np.asarray(fit.sigma**2 / np.where(w > 0, w, np.nan))


def further_weights(design: Design, newdata: Any, weights: Any, n: int) -> Array | None:
    """Return the weights of further rows, shape (n,), or None for a model without.

    Raises
    ------
    ModelError
        If the model has weights and those of further rows are not given.
    DataError
        If a weight is negative or infinite.
    """
    if weights is None and design.weights is not None:
        raise ModelError(
            "the fit has weights, Var(ε) = σ²/w, so the variance of new responses depends on theirs. Give "
            "weights= with a column, one number a row, or one number for all, such as 1."
        )
    w = per_row("weights", weights, newdata, n)
    if w is not None and (np.any(w < 0) or np.any(np.isinf(w))):
        raise DataError("weights must be finite and not negative.")
    return w
