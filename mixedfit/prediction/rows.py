"""Rows to predict or simulate: those of a fit, or new ones built by its recipe, with offsets, weights and levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import DataError, ModelError, shown
from mixedfit.design.design import Design
from mixedfit.design.frames import as_frame, column_names, date_labels, days
from mixedfit.design.recipe import NewRows, usable
from mixedfit.design.wrong_values import not_numbers
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.whitening import Whitened

from .re_form import HasDesign

__all__ = [
    "NewLevels",
    "check_levels",
    "check_related",
    "check_types",
    "fixed_mean",
    "further_offset",
    "further_weights",
    "label_kind",
    "level_codes",
    "multiplier_slopes",
    "residual_variance",
    "rows_of",
    "some_rows",
    "without_label",
]

NewLevels = Literal["error", "population", "marginal"]
"""Treatment of levels that are not in the fit."""


class HasMeans(HasDesign, Protocol):
    """A design with estimates."""

    @property
    def beta(self) -> Array:
        """Fixed effects, NaN where dropped, shape (p,)."""


def fixed_mean(fit: HasMeans, rows: NewRows) -> Array:
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
    fit: HasDesign,
    newdata: Any,
    included: Sequence[BoolArray],
    *,
    offset: Any = None,
    every_effect: bool = False,
) -> NewRows:
    """Return the rows to predict: those of the fit, or new ones built by its recipe.

    Parameters
    ----------
    fit : Fit or Means
    newdata : frame or None
    included : sequence of ndarray of bool
        Effects that need the level of each row.
    offset : str, number or array, optional
        Of new rows, if the fit's offset was an array.
    every_effect : bool
        Whether the columns of excluded effects are needed too.
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
    related = [
        every_effect and block.known is not None for block in design.blocks
    ]  # variances differ by level
    own = [f for f, effects in enumerate(included) if effects.any() or related[f]]
    given = further_offset(design, newdata, offset)
    return usable(design.recipe).rows(
        newdata, levels_of=own, effects_of=None if every_effect else own, offset=given
    )


def further_offset(design: Design, newdata: Any, offset: Any) -> Array | None:
    """Return the offset of new rows, shape (n,), or None where the recipe finds it.

    Raises
    ------
    ModelError
        If `offset` is given, but the model takes its offset from the data or has none.
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
    """Return a column of the data, an array or a single number as an array of floats, shape (n,)."""
    if value is None:
        return None
    if isinstance(value, str):
        value = as_frame(newdata, [value])[value]
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        clause = not_numbers(value) if np.ndim(value) == 1 else ""
        raise DataError(
            f"{what} must be numbers, one a row, or the name of a column{f'; {clause}' if clause else ''}."
        ) from None
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


def without_label(rows: NewRows, included: Sequence[BoolArray]) -> BoolArray:
    """Return which rows lack the label of an included grouping factor, shape (n,)."""
    out = np.zeros(len(rows.X), dtype=bool)
    for own, labels, codes in zip(included, rows.labels, rows.codes, strict=False):
        if own.any():
            out[codes < 0] |= np.array([label is None for label in labels[codes < 0]], dtype=bool)
    return out


def check_levels(fit: HasDesign, rows: NewRows, included: Sequence[BoolArray], new_levels: NewLevels) -> None:
    """Raise `DataError` for new labels of included factors.

    Those that are the fit's labels but for their type are always refused, others if `new_levels` is "error".
    """
    for own, block, labels, codes in zip(included, fit.design.blocks, rows.labels, rows.codes, strict=False):
        if not own.any():
            continue
        unseen = [label for label in pd.unique(labels[codes < 0]).tolist() if label is not None]
        if not unseen:
            continue
        check_types(block.name, unseen, block.grouping.levels)
        if new_levels == "error":
            related = block.known is not None
            raise (_unrelated if related else _unseen)(block.name, unseen)


def _unseen(name: str, unseen: Sequence[Any]) -> DataError:
    """Return the error that lists new levels."""
    return DataError(
        f"{_new_levels(name, unseen)}. Take new_levels='marginal' to predict for a group "
        "drawn at random, with its variance in the errors, 'population' to set its random effects to 0, or leave "
        "these rows out."
    )


def check_related(fit: HasDesign, rows: NewRows, new_levels: NewLevels) -> None:
    """Raise `DataError` for new levels of factors with known relationships, unless `new_levels` is "population"."""
    if new_levels == "population":
        return
    for block, labels, codes in zip(fit.design.blocks, rows.labels, rows.codes, strict=False):
        if block.known is not None:
            unseen = [label for label in pd.unique(labels[codes < 0]).tolist() if label is not None]
            if unseen:
                check_types(block.name, unseen, block.grouping.levels)
                raise _unrelated(block.name, unseen)


def _unrelated(name: str, unseen: Sequence[Any]) -> DataError:
    """Return the error for new levels of a factor with known relationships."""
    return DataError(
        f"{_new_levels(name, unseen)}, and their relationships to its levels are not known. Fit the model with a "
        "matrix that has them: levels without rows are predicted. new_levels='population' sets their random effects "
        "to 0."
    )


def check_types(name: str, unseen: Sequence[Any], known: pd.Index[Any]) -> None:
    """Raise `DataError` for new labels that are labels of the fit but for their type, such as 308 for '308'.

    So are 308.0 for '308', '308.0' for 308, and the text of a date for the date.
    """
    levels = known.tolist()
    kinds = {label_kind(level) for level in levels}
    if len(kinds) == 1 and {label_kind(label) for label in unseen} == kinds:
        return
    twins: dict[Any, list[Any]] = {}
    for level in levels:
        twins.setdefault(_value_of(level), []).append(level)
    for label in unseen:
        own = label_kind(label)
        twin = next((one for one in twins.get(_value_of(label), ()) if label_kind(one) is not own), None)
        if twin is not None:
            raise DataError(
                f"{_new_levels(name, unseen)}. The fit has {shown(twin)} of type {type(twin).__name__}, and "
                f"{shown(label)} here is of type {type(label).__name__}: convert the column."
            )


def label_kind(label: Any) -> type:
    """Return the type of a label; one for all numbers."""
    if isinstance(label, int | float | np.integer | np.floating) and not isinstance(label, bool):
        return float
    return str if isinstance(label, str) else type(label)


def _value_of(label: Any) -> Any:
    """Return what a label says, whatever its type: a number if it is written as one, else its text."""
    text = str(label)
    try:
        return float(text)
    except ValueError:
        return text.removesuffix(" 00:00:00")


def _new_levels(name: str, unseen: Sequence[Any]) -> str:
    listed = ", ".join(map(shown, unseen[:10])) + (f", … ({len(unseen)})" if len(unseen) > 10 else "")
    return f"{name!r} has levels that the fit did not see: {listed}"


def residual_variance(fit: Fit, newdata: Any, weights: Any, n: int) -> Array:
    """Return Var(ε) = σ²/w of every row, shape (n,); NaN where the weight is 0.

    Raises
    ------
    ModelError
        If the fit has weights and those of new rows are not given.
    """
    own = newdata is None and weights is None
    if fit.residual is not None:
        return _structured_variance(fit, newdata, weights, n)
    w = fit.design.weights if own else further_weights(fit.design, newdata, weights, n)
    if w is None:
        return np.full(n, fit.sigma**2)
    return np.asarray(fit.sigma**2 / np.where(w > 0, w, np.nan))


def _structured_variance(fit: Fit, newdata: Any, weights: Any, n: int) -> Array:
    """Return Var(ε) = σ²s²/w of every row, s from the variance functions, shape (n,)."""
    assert fit.residual is not None
    own = newdata is None and weights is None
    w = fit.design.weights if own else further_weights(fit.design, newdata, weights, n)
    s = fit.residual.multipliers if newdata is None else further_multipliers(fit.residual, newdata, n)
    variance = fit.sigma**2 * s**2
    return np.asarray(variance if w is None else variance / np.where(w > 0, w, np.nan))


def further_multipliers(residual: Whitened, newdata: Any, n: int) -> Array:
    """Return the SD multipliers of new rows, shape (n,); NaN where a value is missing.

    Raises
    ------
    DataError
        If a column of a variance function is missing, or has a level that the fit did not have.
    ModelError
        If the variance depends on the fitted values.
    """
    model, logs = residual.model, np.zeros(n)
    for factor, law, here in zip(model.structure.variances, model.variances, model.slices[1:], strict=True):
        if getattr(factor, "of_fitted", False):
            raise ModelError(
                f"{factor}: the variance of new rows depends on their fitted values, for which prediction intervals "
                "are not available yet."
            )
        table = as_frame(newdata, factor.own_columns)
        if getattr(law, "levels", None) is None:
            values: Any = per_row(factor.own_columns[0], table[factor.own_columns[0]], newdata, n)
        else:
            values = level_codes(factor, law, newdata, model.structure.written(factor))
        logs = logs + law.further(values, residual.x[here])
    return np.asarray(np.exp(logs))


def multiplier_slopes(fit: Fit, newdata: Any, n: int) -> Array:
    """Return the derivatives of the log SD multipliers of rows in the variance functions' parameters, shape (n, …).

    By central differences of closed formulas.
    """
    residual = fit.residual
    assert residual is not None
    start = residual.model.slices[0].stop
    out = np.zeros((n, residual.x.size - start))
    for a in range(out.shape[1]):
        step = 1e-5 * np.eye(residual.x.size)[start + a]
        ends = [replace(residual, x=residual.x + sign * step) for sign in (1, -1)]
        logs = [
            np.log(own.multipliers if newdata is None else further_multipliers(own, newdata, n))
            for own in ends
        ]
        out[:, a] = (logs[0] - logs[1]) / 2e-5
    return out


def level_codes(factor: Any, law: Any, newdata: Any, words: str) -> IntArray:
    """Return the level of each new row for a variance function of levels, −1 where it is missing, shape (n,).

    `words` is the structure as the user wrote it, for messages.

    Raises
    ------
    DataError
        If the column is missing, or a row has a level that the fit did not have.
    """
    table, levels = as_frame(newdata, factor.own_columns), law.levels
    for of_column in (date_labels, days):  # a column that is also a time of the structure has dates as days
        labels = of_column(table[factor.own_columns[0]]).astype(object)
        for name in factor.own_columns[1:]:
            labels = labels.astype(str) + ":" + of_column(table[name]).astype(str)
        values = pd.Index(levels).get_indexer(pd.Index(labels))
        if not np.any((values < 0) & labels.notna().to_numpy()):
            break
    lost = labels[(values < 0) & labels.notna().to_numpy()]
    if len(lost):
        check_types(":".join(factor.own_columns), lost.unique().tolist(), pd.Index(levels))
        raise DataError(
            f"{words}: {lost.iloc[0]!r} is not a level of the fit ({', '.join(map(str, levels[:10]))}), so "
            "that its residual SD is not known. Leave these rows out."
        )
    return np.asarray(values, dtype=np.int64)


def further_weights(design: Design, newdata: Any, weights: Any, n: int) -> Array | None:
    """Return the weights of new rows, shape (n,), or None for a model without weights.

    Raises
    ------
    ModelError
        If the model has weights and those of new rows are not given.
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
