"""`Recipe`: X, Z and offset of new rows.

A recipe holds the state of transforms (means, knots, levels), not the rows of the fit.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.parser.types import Factor

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.lazy import lazy
from mixedfit.design.frames import as_frame, column_names, days
from mixedfit.design.grouping import Grouping
from mixedfit.design.model_frame import ModelFrame, names_by_part
from mixedfit.design.model_matrix import CONTEXT, Matrices, plain_matrices
from mixedfit.formula.parse import GroupingFactor, ParsedFormula, random_key

from .cells import CALLED, Cells, count_cells
from .terms import FixedTerm, GroupRecipe, ManyRecipe, NewRows, fixed_terms
from .variables import Variable, column_values, group_codes, level_codes, summarise, unseen_levels

__all__ = ["Recipe", "evaluate_spec", "make_recipe", "usable"]


@dataclass(frozen=True, eq=False)
class Recipe:
    """Builds the matrices of new rows, with the state of the transforms of the fit.

    Attributes
    ----------
    parsed : ParsedFormula
    formula : formulaic formula
        The parts of the formula, without many-level factors.
    x_names : tuple of str, length p
    variables : dict of str to Variable
        Variables of the fixed part, of random effects and of offsets.
    groups : tuple of GroupRecipe
        In the order of the design's blocks.
    many : tuple of ManyRecipe
    offset : str, True or None
        Column of the ``offset`` argument; True if it was an array; None without one.
    specs : dict of str to formulaic model specification, or None
        None where every term is a product of numeric columns or a label.
    context : mapping
        Functions and constants of the user.
    refusal : str
        The reason why the recipe cannot be used; empty if it can.
    cells : Cells or None
        Combinations of fixed factors that occur; None in files of versions that did not count them.
    """

    parsed: ParsedFormula
    formula: Any
    x_names: tuple[str, ...]
    variables: Mapping[str, Variable]
    groups: tuple[GroupRecipe, ...]
    many: tuple[ManyRecipe, ...]
    offset: str | bool | None
    specs: Mapping[str, Any] | None
    context: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""
    cells: Cells | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, without functions of the user that cannot be pickled."""
        state = dict(self.__dict__)
        try:
            pickle.dumps(self.context)
        except (pickle.PicklingError, AttributeError, TypeError):
            state["context"] = {}
            state["refusal"] = self.without_context
        return state

    @property
    def own_names(self) -> list[str]:
        """Names of the user's functions and constants that the formula uses."""
        return [n for n in self.context if re.search(rf"(?<![\w.]){re.escape(n)}\b", self.parsed.source)]

    @property
    def without_context(self) -> str:
        """The `refusal` of a recipe without the functions of the user; empty if the formula uses none."""
        if not self.own_names:
            return ""
        return (
            f"the formula uses functions or constants of your own ({', '.join(self.own_names)}), which do not go with "
            "a copy of the fit. Build the model again with mixedfit.lmm to ask about further rows."
        )

    def rows(
        self,
        data: Any,
        *,
        levels_of: Collection[int] | None = None,
        effects_of: Collection[int] | None = None,
        offset: Array | None = None,
    ) -> NewRows:
        """Return the matrices of new rows.

        Parameters
        ----------
        data : pandas or polars frame, pyarrow table or mapping of arrays
            Not changed; the response is not needed.
        levels_of, effects_of : collection of int, optional
            Blocks whose grouping columns are read, and blocks whose effects are computed; all by default. Other
            blocks have levels −1 and effects 0, and the data need not have their columns.
        offset : ndarray, shape (n,), optional
            For a fit whose offset was an array.

        Returns
        -------
        NewRows

        Raises
        ------
        DataError
            If a column is missing or has another type than in the fit, or a fixed factor has a new level.
        ModelError
            If the recipe cannot be used.
        """
        every = range(len(self.groups))
        looked = [f for f in every if levels_of is None or f in levels_of]
        built = [f for f in every if effects_of is None or f in effects_of]
        grouping = [column for f in looked for column in self.groups[f].columns]
        own = [self.offset] if isinstance(self.offset, str) else []
        table, columns = self._columns(data, self.needed(built), [*grouping, *own])
        n = len(table)
        nothing = np.full(n, -1, dtype=np.int64), np.full(n, None, dtype=object)
        levels = [
            group_codes(g.columns, g.kinds, g.levels, g.parts, table) if f in looked else nothing
            for f, g in enumerate(self.groups)
        ]
        z = [
            self._effects(g, columns, n) if f in built else np.zeros((n, self.widths[f]))
            for f, g in enumerate(self.groups)
        ]
        return NewRows(
            X=self._fixed(columns, n),
            many=self._many_codes(columns),
            offset=self._offsets(columns, table, offset),
            z=tuple(z),
            codes=tuple(codes for codes, _ in levels),
            labels=tuple(labels for _, labels in levels),
            index=table.index,
        )

    def needed(self, blocks: Iterable[int]) -> list[str]:
        """Return the variables of the fixed part, of offsets and of the effects of some blocks."""
        offsets = [f"O{i}" for i in range(len(self.parsed.offsets))]
        return self._names(["X", *offsets, *(key for f in blocks for key in self.groups[f].keys)])

    def _names(self, keys: Iterable[str]) -> list[str]:
        """Return the variables of some parts of the formula."""
        parts = names_by_part(self.parsed)
        used = {name for key in keys for name in parts.get(key, parts["X"])}
        return [name for name in self.variables if name in used]

    def effect_terms(self, block: int) -> tuple[FixedTerm, ...]:
        """Return the terms of a block's effects; their `columns` are positions among the block's effects."""
        out: list[FixedTerm] = []
        at = 0
        for key in self.groups[block].keys:
            key = key if key in self.formula._to_dict() else "X"
            spec = None if self.specs is None else self.specs[key]
            part = self.formula._to_dict()[key]
            for term in fixed_terms(part, spec, self.variables, cut=False, power=self._power):
                out.append(term.after(at))
            at = max((c + 1 for term in out for c in term.columns), default=0)
        return tuple(out)

    @lazy
    def widths(self) -> tuple[int, ...]:
        """Number of effects per level of each block."""
        return tuple(sum(len(term.columns) for term in self.effect_terms(f)) for f in range(len(self.groups)))

    def fixed_rows(self, data: Any) -> tuple[Array, tuple[IntArray, ...]]:
        """Return `X` and `many` of `NewRows` only."""
        table, columns = self._columns(data, self.fixed_names, [])
        return self._fixed(columns, len(table)), self._many_codes(columns)

    def effect_rows(self, block: int, data: Any) -> Array:
        """Return `z` of `NewRows` for one block only, shape (n, k)."""
        table, columns = self._columns(data, self.effect_names(block), [])
        return self._effects(self.groups[block], columns, len(table))

    def effect_names(self, block: int) -> tuple[str, ...]:
        """Return the variables of a block's effects."""
        return tuple(self._names(self.groups[block].keys))

    @lazy
    def fixed_names(self) -> tuple[str, ...]:
        """Variables of the fixed part."""
        return tuple(name for name in names_by_part(self.parsed)["X"] if name in self.variables)

    @lazy
    def terms(self) -> tuple[FixedTerm, ...]:
        """Terms of the fixed part, the intercept included, with their columns; many-level factors come last."""
        spec = None if self.specs is None else self.specs["X"]
        terms = list(fixed_terms(self.formula.X, spec, self.variables, cut=self._cut, power=self._power))
        at = len(self.x_names)
        for factor in self.many:
            count = len(factor.levels) - factor.first
            terms.append(FixedTerm(factor.name, (), (factor.column,), tuple(range(at, at + count)), ()))
            at += count
        return tuple(terms)

    @property
    def _cut(self) -> bool:
        """Whether a many-level factor spans the intercept, so that X has no column for it."""
        return bool(self.many) and self.many[0].first == 0

    @property
    def _power(self) -> bool:
        return "^" in self.parsed.source and "**" not in self.parsed.source

    def _columns(
        self, data: Any, names: Sequence[str], others: Sequence[str]
    ) -> tuple[pd.DataFrame, dict[str, pd.Series[Any]]]:
        """Return the data as a frame, and the named variables converted to the types and levels of the fit."""
        usable(self)
        wanted = [*names, *others] or column_names(data)[:1]  # at least one column, for the number of rows
        table = as_frame(data, wanted)
        dated = {name for term in self.parsed.random for name in term.places}
        own = {
            name: days(table[name], self._by_calendar(name)) if name in dated else table[name]
            for name in names
        }
        return table, {name: column_values(self.variables[name], column) for name, column in own.items()}

    def _by_calendar(self, name: str) -> bool:
        """Return whether days of a time were those of a calendar, rather than elapsed since 1970 in universal time."""
        own = self.variables[name]
        return own.levels is not None or (float(own.low).is_integer() and float(own.high).is_integer())

    def _fixed(self, columns: Mapping[str, pd.Series[Any]], n: int) -> Array:
        X = self._part("X", columns, n)
        return np.ascontiguousarray(X[:, 1:]) if self._cut else X

    def _effects(self, group: GroupRecipe, columns: Mapping[str, pd.Series[Any]], n: int) -> Array:
        return np.concatenate([self._part(key, columns, n) for key in group.keys], axis=1)

    def _many_codes(self, columns: Mapping[str, pd.Series[Any]]) -> tuple[IntArray, ...]:
        return tuple(level_codes(columns[factor.column], factor.levels) for factor in self.many)

    def _offsets(
        self, columns: Mapping[str, pd.Series[Any]], table: pd.DataFrame, given: Array | None
    ) -> Array | None:
        parts = [self._part(f"O{i}", columns, len(table))[:, 0] for i in range(len(self.parsed.offsets))]
        if self.offset is True and given is None:
            raise ModelError(
                "the fit has an offset that was given as an array; the offset of further rows is not known. Give "
                "it as offset=, or as the name of a column when the model is built."
            )
        if given is not None:
            parts.append(given)
        elif isinstance(self.offset, str):
            parts.append(table[self.offset].to_numpy(dtype=np.float64, na_value=np.nan))
        return np.sum(parts, axis=0) if parts else None

    def _part(self, key: str, columns: Mapping[str, pd.Series[Any]], n: int) -> Array:
        """Return the matrix of one part of the formula; NaN in rows in which one of its variables is missing."""
        if key not in self.formula._to_dict():
            key = "X"
        parts = names_by_part(self.parsed)
        names = parts[key] if key in parts else parts["X"]
        used = {name: columns[name] for name in names if name in columns}
        missing = np.zeros(n, dtype=bool)
        for values in used.values():
            missing |= values.isna().to_numpy()
        if not missing.any():
            return self._evaluated(key, used, n)
        complete = {name: values[~missing] for name, values in used.items()}
        part = self._evaluated(key, complete, int((~missing).sum()))
        out = np.full((n, part.shape[1]), np.nan)
        out[~missing] = part
        return out

    def _evaluated(self, key: str, columns: dict[str, pd.Series[Any]], n: int) -> Array:
        part = self.formula._to_dict()[key]
        if self.specs is None:
            made = plain_matrices(_Single(key, part), columns, n)
            assert made is not None, "the same terms were products of numbers in the fit"
            return made[key][1]
        spec = self.specs[key]
        if n == 0:
            return np.empty((0, len(spec.column_names)))
        _check_called(spec, columns)
        index = next(iter(columns.values())).index if columns else pd.RangeIndex(n)
        frame = pd.DataFrame(columns, index=index, copy=False)
        return evaluate_spec(spec, frame, {**CONTEXT, **self.context}, self.parsed)


@dataclass(frozen=True, slots=True)
class _Single:
    """One part of a formula, with the interface of a structured formula."""

    key: str
    part: Any

    def _to_dict(self) -> dict[str, Any]:
        return {self.key: self.part}


def evaluate_spec(spec: Any, frame: pd.DataFrame, context: Mapping[str, Any], parsed: ParsedFormula) -> Array:
    """Return the matrix of a part on complete rows, with the state of its transforms."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", DataMismatchWarning)
            made = spec.get_model_matrix(frame, context=dict(context))
    except (FormulaicError, DataMismatchWarning, ValueError, TypeError) as error:
        text = str(error).splitlines()[0]
        raise DataError(
            _beyond(spec, text) or f"the formula {parsed.source!r} cannot be evaluated on these rows: {text}"
        ) from None
    return np.ascontiguousarray(np.asarray(made.__wrapped__), dtype=np.float64)


def _beyond(spec: Any, text: str) -> str:
    """Return the error message for rows outside the range of a spline, or an empty string for other errors."""
    call = re.search(r"`(.+)\)`", text)
    if call is None or "extrapolation" not in text:
        return ""
    state = spec.transform_state.get(f"{call[1]})", {})
    low, high = state.get("lower_bound"), state.get("upper_bound")
    known = "" if low is None or high is None else f", from {low:g} to {high:g}"
    return (
        f"rows lie beyond the range that the spline {call[1]}) was learnt on{known}. To extend it, fit with "
        f'{call[1]}, extrapolation="extend") in the formula; else leave these rows out.'
    )


def _check_called(spec: Any, columns: Mapping[str, pd.Series[Any]]) -> None:
    """Raise `DataError` for numbers in ``C(…)`` that are not levels of the fit."""
    for expression, (kind, state) in spec.encoder_state.items():
        found = CALLED.match(expression)
        if kind is not Factor.Kind.CATEGORICAL or found is None or "categories" not in state:
            continue
        values = columns.get(found.group(1))
        if values is None or isinstance(values.dtype, pd.CategoricalDtype):
            continue
        known = list(state["categories"])
        unseen = [value for value in pd.unique(values).tolist() if value not in known]
        if unseen:
            raise unseen_levels(found.group(1), unseen, known)


def make_recipe(
    parsed: ParsedFormula,
    frame: ModelFrame,
    values: Matrices,
    groups: Iterable[tuple[GroupingFactor, Grouping, Sequence[Any]]],
    *,
    offset: Any,
    context: Mapping[str, Any],
) -> Recipe:
    """Return the recipe of a design.

    Parameters
    ----------
    parsed, frame, values
        Formula, rows and matrices of the fit.
    groups : iterable of (GroupingFactor, Grouping, parts)
        The blocks of the design, in order, with the formula parts of their effects.
    offset : None, str or array
        The argument of `build_design`.
    context : mapping
    """
    names = {name for key, part in names_by_part(parsed).items() if key != "y" for name in part}
    variables = {n: summarise(n, column) for n, column in frame.columns.items() if n in names}
    return Recipe(
        parsed=parsed,
        formula=values.formula,
        x_names=values.x_names,
        variables=variables,
        groups=tuple(_group(frame, *group) for group in groups),
        many=tuple(
            ManyRecipe(grouping.name, grouping.levels, first, prefix)
            for grouping, first, prefix in values.many
        ),
        offset=offset if offset is None or isinstance(offset, str) else True,
        specs=values.specs,
        context=context,
        cells=_cells(parsed, frame, values, variables),
    )


def _cells(
    parsed: ParsedFormula, frame: ModelFrame, values: Matrices, variables: Mapping[str, Variable]
) -> Cells:
    """Return the combinations that occur of the fixed factors that are not stored as codes."""
    many = {grouping.name for grouping, _, _ in values.many}
    fixed = [variables[n] for n in names_by_part(parsed)["X"] if n in variables and n not in many]
    states = {} if values.specs is None else values.specs["X"].encoder_state
    called = {found.group(1) for expression in states if (found := CALLED.match(expression))}
    return count_cells(fixed, frame.columns, called=called, weights=frame.weights)


def _group(frame: ModelFrame, group: GroupingFactor, grouping: Grouping, parts: Sequence[Any]) -> GroupRecipe:
    kinds = tuple(getattr(frame.columns[column].dtype, "kind", "O") for column in group.columns)
    keys = tuple(random_key(part) for part in parts)
    return GroupRecipe(group.name, group.columns, kinds, grouping.levels, keys, grouping.parts)


def usable(recipe: Recipe | None) -> Recipe:
    """Return a recipe that can be used.

    Raises
    ------
    ModelError
        If there is no recipe, or it cannot be used.
    """
    if recipe is None:
        raise ModelError(
            "the fit does not know how its columns were made. Build the model with mixedfit.lmm."
        )
    if recipe.refusal:
        raise ModelError(recipe.refusal)
    return recipe
