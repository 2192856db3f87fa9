"""A residual structure on the rows of a design: groups, places in them, and checks that the data determine it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError, ModelError, shown
from mixedfit.core.format import count_noun
from mixedfit.covariance.residual.by_level import ByLevelLaw
from mixedfit.covariance.residual.correlation import CorrelationStructure
from mixedfit.covariance.residual.model import ResidualModel
from mixedfit.covariance.residual.parts import CorrelationLaw, Layout, VarianceLaw
from mixedfit.covariance.residual.structure import ResidualStructure, VarianceStructure
from mixedfit.covariance.residual.text import check_text
from mixedfit.covariance.residual.variance_by_level import VarianceByLevel

from .frames import DATES, category_codes, dates_of
from .grouping import Grouping, interact
from .label_order import check_order
from .model_frame import ModelFrame

__all__ = [
    "bind_residual",
    "bind_to_rows",
    "check_beside_random_terms",
    "check_covariates",
    "check_structure",
    "with_fitted",
]


def check_structure(residual: object) -> ResidualStructure | None:
    """Return the residual structure, read from text if it is that, or None.

    Raises
    ------
    FormulaError
        If the text is not a structure.
    ModelError
        If it is of another type.
    """
    residual = check_text(residual)
    if residual is None or isinstance(residual, ResidualStructure):
        return residual
    what = residual.__name__ if isinstance(residual, type) else repr(residual)
    raise ModelError(
        f"residual={what} is not a residual structure; expected a value of mixedfit.residuals, such as "
        'mf.residuals.AR1("time", "g").'
    )


def bind_residual(
    structure: ResidualStructure, frame: ModelFrame, groupings: Sequence[Grouping], n: int
) -> ResidualModel:
    """Return a residual structure on the rows of a model frame.

    Parameters
    ----------
    structure : ResidualStructure
    frame : ModelFrame
        With the columns of the structure.
    groupings : sequence of Grouping
        Of the random terms, by decreasing number of levels; the first is the default group.
    n : int
        Number of rows.

    Raises
    ------
    DataError
        If a column is of the wrong kind, or two rows of a group have the same time.
    ModelError
        If the data do not determine the structure, or groups of rows cross those of a random term.
    """
    if frame.weights is not None and np.any(frame.weights == 0):
        raise ModelError("weights of 0 cannot be combined with a residual structure; remove these rows.")
    own = structure.correlation
    layout = None if own is None else _layout(own, frame, groupings, n)
    if layout is not None and own is not None:
        for grouping in groupings:
            _check_nested(own, layout, grouping)
    variances = tuple(_variance_law(f, structure.written(f), frame, n) for f in structure.variances)
    law = None if own is None or layout is None else _law(own, layout, frame)
    default = own is not None and own.group_name is None
    columns = {name: frame.columns[name] for name in structure.columns}
    return ResidualModel(structure, layout, law, variances, default, columns=columns)


def _law(structure: CorrelationStructure, layout: Layout, frame: ModelFrame) -> CorrelationLaw:
    if structure.by_name is None:
        return structure.law(layout)
    levels = frame.grouping(structure.by_name).levels.tolist()
    if len(levels) < 2:
        raise ModelError(f"{structure}: {structure.by_name!r} has one level in the rows used; leave by= out.")

    def own(part: Layout) -> CorrelationLaw:
        if structure.kind == "visit":
            _check_visits(structure, part)
        return structure.law(part)

    return ByLevelLaw(layout, own, levels)


def _check_constant_level(structure: CorrelationStructure, codes: IntArray, level: Array) -> None:
    """Raise `ModelError` if a group has rows of several levels of `by`."""
    order = np.argsort(codes, kind="stable")
    change = (np.diff(codes[order]) == 0) & (np.diff(level[order]) != 0)
    if change.any():
        raise ModelError(
            f"{structure}: {structure.by_name!r} varies within groups of rows; each group has one matrix and so one "
            "level. For an SD that varies within groups take VarIdent."
        )


def _layout(
    structure: CorrelationStructure, frame: ModelFrame, groupings: Sequence[Grouping], n: int
) -> Layout:
    if structure.group_name is not None:
        grouping: Grouping | None = interact(
            structure.group_name, [frame.grouping(c) for c in structure.group_columns]
        )
    else:
        grouping = groupings[0] if groupings else None
    codes = np.zeros(n, np.int64) if grouping is None else grouping.codes
    place, labels = _place(structure, frame, codes)
    keys: tuple[Array, ...] = (*place.T[::-1], codes.astype(np.float64))
    if structure.by_name is not None:
        level = frame.grouping(structure.by_name).codes.astype(np.float64)
        place, keys = np.column_stack([place, level]), (*keys, level)
    order = np.lexsort(keys)
    ordered = codes[order]
    if structure.by_name is not None:
        _check_constant_level(structure, codes, place[:, -1])
    start = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1, [n]]).astype(np.int64)
    layout = Layout(
        order=order.astype(np.int64),
        start=start,
        place=place[order],
        labels=labels,
        groups=["all rows"] if grouping is None else grouping.levels[ordered[start[:-1]]].tolist(),
        group_name="" if grouping is None else grouping.name,
    )
    if layout.sizes.max() < 2:
        raise ModelError(
            f"{structure}: every group of {layout.group_name!r} has one row, so that there is no correlation within "
            "groups to estimate. Choose another group, or leave the structure out."
        )
    _check_duplicates(structure, layout, frame)
    if structure.kind == "visit" and structure.by_name is None:
        _check_visits(structure, layout)
    return layout


def _place(
    structure: CorrelationStructure, frame: ModelFrame, codes: IntArray
) -> tuple[Array, Sequence[Any]]:
    """Return the places of the rows, shape (n, d), and the labels of visits."""
    if not structure.place:
        by = np.argsort(codes, kind="stable")
        ordered = codes[by]
        first = np.concatenate([[0], np.flatnonzero(np.diff(ordered)) + 1])
        position = np.empty(codes.size)
        position[by] = np.arange(codes.size) - np.repeat(first, np.diff([*first, codes.size]))
        return position[:, None], ()
    name = structure.place[0]
    if type(structure).__name__ not in ("Unstructured", "Known"):
        check_order(structure, name, frame.columns[name], text=name in frame.text)
    if structure.kind == "visit":
        grouping = frame.grouping(structure.place[0])
        return grouping.codes[:, None].astype(float), grouping.levels.tolist()
    columns = [_numbers(structure, name, frame.columns[name]) for name in structure.place]
    return np.column_stack(columns), ()


def _numbers(structure: CorrelationStructure, name: str, column: pd.Series[Any]) -> Array:
    """Return a column of times or coordinates as numbers; ordered categories count 0, 1, 2, … for whole times."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        if structure.kind == "order":
            return np.asarray(category_codes(column).astype(float))
        raise DataError(
            f"{structure}: column {name!r} holds labels; expected numbers or dates. Convert it with pd.to_numeric, or "
            "take AR1, Toeplitz or Unstructured, which take visits with labels."
        )
    values = column.to_numpy().astype(float)
    if not np.all(np.isfinite(values)):
        raise DataError(f"{structure}: column {name!r} has infinite values; expected finite numbers.")
    if structure.kind == "order" and np.any(values != np.round(values)):
        wrong = values[np.flatnonzero(values != np.round(values))[0]]
        raise DataError(
            f"{structure}: column {name!r} has times that are not whole numbers, such as {wrong:g}. Take "
            f'CAR1("{name}", …), whose times may be any numbers, or number the times 1, 2, 3, ….'
        )
    return np.asarray(values)


def _check_duplicates(structure: CorrelationStructure, layout: Layout, frame: ModelFrame) -> None:
    """Raise `DataError` if two rows of a group have the same time or visit."""
    if structure.kind not in ("order", "time", "visit") and len(structure.place) != 1:
        return
    if structure.kind in ("none",) or getattr(structure, "nugget", False):
        return
    same = (layout.gaps == 0) & ~layout.opens
    if not same.any():
        return
    at = int(np.flatnonzero(same)[0])
    rows = [frame.index[layout.order[at - 1]], frame.index[layout.order[at]]]
    group = layout.groups[int(np.searchsorted(layout.start, at, side="right")) - 1]
    value = frame.columns[structure.place[0]].iloc[int(layout.order[at])]
    advice = (
        "Give the group of the rows, such as the patient: group=."
        if structure.group_name is None and layout.sizes.size == 1
        else "Expected one row a time and group: check the group, average such rows, or take a law of distance with "
        "nugget=True."
    )
    repeat = f"{count_noun(int(same.sum()), 'row')} repeat{'s' * (int(same.sum()) == 1)}"
    raise DataError(
        f"{structure}: {repeat} a {structure.place[0]!r} of their group; the first are rows {shown(rows[0])} and "
        f"{shown(rows[1])}, both at {value!s} in group {group!s}. {advice}"
    )


def _check_visits(structure: CorrelationStructure, layout: Layout) -> None:
    """Raise `ModelError` if the data do not determine the correlations of visits."""
    visits = len(layout.labels)
    if visits < 2:
        raise ModelError(
            f"{structure}: {structure.place[0]!r} has one visit in the rows used; expected at least two."
        )
    if type(structure).__name__ != "Unstructured":
        return
    if visits * (visits + 1) // 2 >= layout.n or layout.sizes.size <= visits:
        raise ModelError(
            f"{structure}: {visits} visits have {visits * (visits + 1) // 2} variances and correlations, more than "
            f"{layout.sizes.size} groups with {layout.n} rows determine. Take fewer visits, or a structure with fewer "
            "parameters, such as AR1 or Toeplitz."
        )
    here = np.zeros((layout.sizes.size, visits))
    here[np.repeat(np.arange(layout.sizes.size), layout.sizes), layout.place[:, 0].astype(np.int64)] = 1.0
    together = here.T @ here
    if np.any(together < 2):
        i, j = (int(v[0]) for v in np.nonzero(together < 2))
        raise ModelError(
            f"{structure}: visits {layout.labels[i]!s} and {layout.labels[j]!s} occur together in "
            f"{int(together[i, j])} groups, so that their correlation is not determined. Take a structure with fewer "
            "parameters, such as AR1 or Toeplitz."
        )


def _check_nested(structure: CorrelationStructure, layout: Layout, grouping: Grouping) -> None:
    """Raise `ModelError` if a group of correlated rows has rows of several levels of a random term."""
    ordered = grouping.codes[layout.order]
    low = np.minimum.reduceat(ordered, layout.start[:-1])
    high = np.maximum.reduceat(ordered, layout.start[:-1])
    if np.array_equal(low, high):
        return
    group = layout.groups[int(np.flatnonzero(low != high)[0])]
    raise ModelError(
        f"{structure}: rows of group {group!s} belong to several levels of the random term of {grouping.name!r}. "
        "Residual correlations are fitted within levels of all random terms; random terms that cross these groups are "
        f"not available yet. Take {grouping.name!r} as the group, or leave its term out."
    )


def check_covariates(structure: ResidualStructure, response: str) -> None:
    """Raise `ModelError` if the response, as the formula writes it, is the covariate of a variance function."""
    for factor in structure.variances:
        for name in factor.own_columns:
            if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", response):
                raise ModelError(
                    f"{structure.written(factor)}: {name!r} is the response, whose variance cannot be a function "
                    'of itself. For a variance that grows with the mean take VarPower(of="fitted").'
                )


def _variance_law(structure: VarianceStructure, words: str, frame: ModelFrame, n: int) -> VarianceLaw:
    """Return the multipliers of the rows; `words` is what the user wrote, for messages."""
    if type(structure).__name__ == "VarIdent":
        columns = structure.own_columns
        grouping = interact(":".join(columns), [_with_dates(frame, c) for c in columns])
        counts = np.bincount(grouping.codes, minlength=len(grouping.levels))
        if counts.min() < 2:
            level = grouping.levels[int(counts.argmin())]
            raise ModelError(
                f"{words}: level {level!s} of {':'.join(columns)} has {int(counts.min())} row; an SD of its own "
                "needs at least two. Merge levels, or remove the row."
            )
        return structure.law((grouping.codes, grouping.levels.tolist()))
    if getattr(structure, "of_labels", False):
        grouping = frame.grouping(structure.own_columns[0])
        return structure.law((grouping.codes, grouping.levels.tolist()))
    if getattr(structure, "of_fitted", False):
        return structure.law(np.exp(np.linspace(0.0, 1.0, n)))
    name = structure.own_columns[0]
    column = frame.columns[name]
    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == bool:
        raise DataError(
            f"{words}: column {name!r} holds labels; expected numbers. For a factor take VarIdent."
        )
    values = column.to_numpy().astype(float)
    by = getattr(structure, "by", None)
    if by is None:
        return structure.law(values)
    grouping = frame.grouping(by)
    parts = [structure.law(values[grouping.codes == k]) for k in range(len(grouping.levels))]
    return VarianceByLevel(grouping.codes, grouping.levels.tolist(), parts)


def _with_dates(frame: ModelFrame, column: str) -> Grouping:
    """Return the levels of a column; a time in days that was a date has dates as labels."""
    own = frame.grouping(column)
    marked = frame.columns[column].attrs.get(DATES)
    return replace(own, levels=dates_of(own.levels)) if marked == "dates" else own


def with_fitted(model: ResidualModel, fitted: Array) -> ResidualModel:
    """Return the model with these fitted values as the covariate of variance functions of them, shape (n,)."""
    laws = tuple(
        factor.law(fitted) if getattr(factor, "of_fitted", False) else law
        for factor, law in zip(model.structure.variances, model.variances, strict=True)
    )
    return replace(model, variances=laws)


def bind_to_rows(
    model: ResidualModel,
    rows: IntArray,
    groupings: Sequence[Grouping],
    weights: Array | None = None,
    groups: IntArray | None = None,
) -> ResidualModel:
    """Return the structure on some of the rows, or on rows drawn several times.

    Parameters
    ----------
    model : ResidualModel
    rows : ndarray of int64, shape (m,)
    groupings : sequence of Grouping
        Of the random terms, on these rows.
    weights : ndarray, shape (m,), optional
    groups : ndarray of int64, shape (m,), optional
        Groups of correlated rows in place of the original ones, for groups that were drawn several times.

    Raises
    ------
    ModelError
        If the rows do not determine all parameters of the structure.
    """
    columns = {name: column.iloc[rows].reset_index(drop=True) for name, column in model.columns.items()}
    own = model.structure.correlation
    if groups is not None and own is not None and own.group_name is not None:
        columns[own.group_columns[0]] = pd.Series(groups)
    frame = ModelFrame(columns, pd.RangeIndex(rows.size), weights, None, 0)
    out = bind_residual(model.structure, frame, groupings, rows.size)
    for factor, law in zip(model.structure.variances, model.variances, strict=True):
        if getattr(factor, "of_fitted", False):
            out = with_fitted(out, law.values[rows])  # type: ignore[attr-defined]
    if [p.name for p in out.natural(out.start)] != [p.name for p in model.natural(model.start)]:
        raise ModelError("a level or visit of the residual structure is left out")
    return replace(out, tied=model.tied, tied_reml=model.tied_reml)


def check_beside_random_terms(model: ResidualModel, blocks: Sequence[tuple[Grouping, Sequence[str]]]) -> None:
    """Raise `ModelError` if a random intercept of the same groups does what the residual correlation does.

    Parameters
    ----------
    model : ResidualModel
    blocks : sequence of (Grouping, sequence of str)
        Each grouping factor and its effects.
    """
    own, layout = model.structure.correlation, model.layout
    if own is None or layout is None:
        return
    name = type(own).__name__
    general = name in ("CompoundSymmetry", "Unstructured", "Toeplitz")
    two = layout.sizes.max() == 2 and not model.structure.variances
    for grouping, effects in blocks:
        same = len(grouping.levels) == layout.sizes.size
        if same and "(Intercept)" in effects and (general or two):
            why = "covers" if general else "has two rows a group at most and then equals"
            raise ModelError(
                f"{own} beside a random intercept of {grouping.name!r} is not identified: the residual correlation "
                f"{why} that of the intercept. Leave one of them out."
            )
        if same and name == "Unstructured":
            raise ModelError(
                f"{own} beside random effects of {grouping.name!r} is not identified: its covariances are free "
                "already. Leave one of them out."
            )
