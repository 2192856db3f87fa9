"""`Scorer`: predictions of single rows in microseconds, and of many rows in batches.

Most formulas are sums of products of columns of numbers and indicators of levels. For these the coefficients of each
combination of levels are looked up, and a row takes a few multiplications. Other formulas, and rows with anything
unusual, such as a new level, take the way of `Predictor.predict`, which has the errors in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.errors import DataError
from mixedfit.core.whole_file import whole_file
from mixedfit.design.frames import as_frame
from mixedfit.design.recipe import FixedTerm, Product, Recipe, usable
from mixedfit.design.recipe.cells import CALLED
from mixedfit.design.stream.levels import ColumnCoder
from mixedfit.design.stream.source import RowSource, is_source, open_source
from mixedfit.estimation.fit import Fit

from .predict import Predictor
from .re_form import ReForm, included_effects
from .rows import NewLevels, label_kind

__all__ = ["Scorer"]

MOST_COMBINATIONS = 100_000
"""Largest number of combinations of levels of a term whose coefficients are looked up."""


class _OtherWayError(Exception):
    """The row has something for which `Predictor.predict` is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Columns that are products of numbers and indicators of labels.

    Attributes
    ----------
    numbers, labels : tuple of str
        Columns of the data.
    table : dict
        Coefficient, or columns' values, of each combination of labels.
    """

    numbers: tuple[str, ...]
    labels: tuple[str, ...]
    table: dict[tuple[Any, ...], Any]

    def value(self, row: Mapping[str, Any]) -> Any:
        """Return the table's entry of a row times its numbers."""
        out = self.table[tuple([_label(row[name]) for name in self.labels])]
        for name in self.numbers:
            out = out * _number(row[name])
        return out


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """A grouping factor with included effects.

    Attributes
    ----------
    columns : tuple of str
    places : dict
        Position of each level, or combination of labels of several columns.
    pieces : tuple of (_Piece, slice or ndarray)
        With the effects that they make.
    effects : ndarray, shape (levels, k)
        BLUPs; 0 for effects that are not included.
    coder : ColumnCoder or None
        Looks up levels that are numbers.
    kinds : tuple of frozenset
        For each column the types of its levels, one for all numbers.
    """

    columns: tuple[str, ...]
    places: dict[Any, int]
    pieces: tuple[tuple[_Piece, Any], ...]
    effects: Array
    coder: ColumnCoder | None
    kinds: tuple[frozenset[type], ...]

    def value(self, row: Mapping[str, Any], new: bool) -> float:
        """Return zb of a row; 0 for a new level if those are allowed and it is of the type of the others."""
        labels = [_label(row[name]) for name in self.columns]
        place = self.places.get(labels[0] if len(labels) == 1 else tuple(labels))
        if place is None and not (new and self._of_the_type(labels)):
            raise _OtherWayError
        z = np.empty(self.effects.shape[1])
        for piece, at in self.pieces:
            z[at] = piece.value(row)
        return 0.0 if place is None else float(z @ self.effects[place])

    def _of_the_type(self, labels: Sequence[Any]) -> bool:
        """Return whether each label has the one type of its column's levels."""
        return all(kinds == {label_kind(label)} for label, kinds in zip(labels, self.kinds, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Products of a model whose predictions are sums of them."""

    fixed: tuple[_Piece, ...]
    groups: tuple[_Group, ...]
    offset: str | None
    new: bool

    def mean(self, row: Mapping[str, Any]) -> float:
        """Return the prediction of a row."""
        total = 0.0 if self.offset is None else _number(row[self.offset])
        for piece in self.fixed:
            total += piece.value(row)
        for group in self.groups:
            total += group.value(row, self.new)
        return float(total)


def _number(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise _OtherWayError
    return float(value)


def _label(value: Any) -> Any:
    if isinstance(value, bool | np.bool_) or value is None or value != value:
        raise _OtherWayError
    return value


class Scorer:
    """Predictions of rows by a fit, without standard errors.

    Made by `MixedResults.scorer`.

    Parameters
    ----------
    predictor : Predictor
    re_form : str or sequence of str
    new_levels : {"error", "population", "marginal"}
    """

    def __init__(self, predictor: Predictor, re_form: ReForm, new_levels: NewLevels) -> None:
        self._predictor = predictor
        self._options: dict[str, Any] = {"re_form": re_form, "new_levels": new_levels}
        included = included_effects(predictor.fit, re_form)
        self._needed = _needed(predictor.fit, included)
        self._plan = _plan(predictor, included, new_levels)

    def __repr__(self) -> str:
        return f"<Scorer: {self._predictor.fit.formula!r}, columns {', '.join(self._needed)}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a row must have."""
        return self._needed

    def __call__(self, rows: Any) -> Any:
        """Return the prediction of one row, or those of several.

        Parameters
        ----------
        rows : mapping of str to values, sequence of these, frame, or mapping of str to arrays
            A row is a mapping of columns to single values; the numbers are those of `MixedResults.predict`.

        Returns
        -------
        float or ndarray, shape (rows,)
        """
        if isinstance(rows, Mapping) and all(
            np.ndim(rows[name]) == 0 for name in self._needed if name in rows
        ):
            return self._one(rows)
        if isinstance(rows, Sequence) and not isinstance(rows, str):
            return np.array([self._one(row) for row in rows])
        return self._many(rows)

    def _one(self, row: Mapping[str, Any]) -> float:
        if self._plan is not None:
            try:
                return self._plan.mean(row)
            except (_OtherWayError, KeyError, TypeError, ValueError):
                pass
        if not isinstance(row, Mapping):
            raise DataError(f"a row is a {type(row).__name__}; expected a mapping of columns to values.")
        frame = pd.DataFrame({name: [row[name]] for name in self._needed if name in row}, index=[0])
        return float(self._predicted(frame)[0])

    def _many(self, frame: Any) -> Array:
        fast = self._fast(frame)
        return self._predicted(frame) if fast is None else fast

    def _predicted(self, frame: Any) -> Array:
        """Return the predictions of `Predictor.predict`."""
        means: Any = self._predictor.predict(frame, **self._options)
        return np.asarray(means, dtype=float)

    def _fast(self, frame: Any) -> Array | None:
        """Return the predictions of rows whose levels are numbers that the fit has; None for others."""
        plan, fit = self._plan, self._predictor.fit
        if plan is None or any(group.coder is None for group in plan.groups):
            return None
        table, recipe = as_frame(frame, list(self._needed)), usable(fit.design.recipe)
        coded = []
        for group in plan.groups:
            column = table[group.columns[0]]
            assert group.coder is not None
            if not isinstance(column.dtype, np.dtype) or column.dtype.kind != "i":
                return None
            try:
                coded.append(group.coder.codes(column))
            except DataError:  # a new level
                return None
        X, _ = recipe.fixed_rows(table)
        mean = X @ np.nan_to_num(fit.beta)
        if plan.offset is not None:
            mean += table[plan.offset].to_numpy(dtype=np.float64, na_value=np.nan)
        for group, codes in zip(plan.groups, coded, strict=True):
            mean += _product(group, X, codes, partial(_effects, recipe, group, table))
        return np.asarray(mean)

    def batches(self, source: Any, *, batch_rows: int | None = None) -> Iterator[Array]:
        """Yield the predictions of a source's rows, an array for each batch.

        Parameters
        ----------
        source : path, dataset, lazy frame, iterable of frames or frame
            As in `lmm`; read once, the needed columns only.
        batch_rows : int, optional
            Rows of a batch; by default 262,144.
        """
        rows = _opened(source, batch_rows)
        for batch in rows.batches(list(self._needed) or list(rows.columns[:1])):
            yield self._many(batch)

    def to_parquet(
        self, source: Any, path: str | Path, *, keep: Sequence[str] = (), batch_rows: int | None = None
    ) -> None:
        """Write the predictions of a source's rows to a Parquet file, column "mean", one batch after the other.

        Parameters
        ----------
        source, batch_rows
            As in `batches`.
        path : str or Path
        keep : sequence of str
            Columns of the source that are written beside, such as keys.

        Raises
        ------
        DataError
            If pyarrow is not installed, or the file cannot be written.
        """
        try:
            import pyarrow as pa
            from pyarrow.parquet import ParquetWriter
        except ImportError:
            raise DataError(
                "Parquet files are written with pyarrow: pip install 'mixedfit[stream]'."
            ) from None
        rows = _opened(source, batch_rows)
        names = list(dict.fromkeys([*self._needed, *keep])) or list(rows.columns[:1])
        try:
            with whole_file(path) as file:
                writer: Any = None
                for batch in rows.batches(names):
                    own = (
                        as_frame(batch, list(keep))[list(keep)]
                        if keep
                        else pd.DataFrame(index=range(len(batch)))
                    )
                    table = pa.Table.from_pandas(own.assign(mean=self._many(batch)), preserve_index=False)
                    writer = writer or ParquetWriter(file, table.schema, write_page_checksum=True)
                    writer.write_table(table.cast(writer.schema))
                if writer is not None:
                    writer.close()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot write {str(path)!r}: {error}") from None


def _opened(source: Any, batch_rows: int | None) -> RowSource:
    return open_source(source if is_source(source) else [source], batch_rows)


def _effects(recipe: Recipe, group: _Group, table: pd.DataFrame) -> Array:
    f = next(f for f, own in enumerate(recipe.groups) if own.columns == group.columns)
    return recipe.effect_rows(f, table)


def _product(group: _Group, X: Array, codes: Any, effects: Callable[[], Array]) -> Array:
    """Return zb of each row, shape (n,)."""
    if group.effects.shape[1] == 1 and not group.pieces[0][0].numbers and not group.pieces[0][0].labels:
        return np.asarray(group.effects[codes, 0] * group.pieces[0][0].table[()])
    z = effects()
    out = z[:, 0] * group.effects[codes, 0]
    for j in range(1, z.shape[1]):
        out += z[:, j] * group.effects[codes, j]
    return np.asarray(out)


def _needed(fit: Fit, included: Sequence[BoolArray]) -> tuple[str, ...]:
    """Return the columns that predictions need."""
    recipe = usable(fit.design.recipe)
    own = [f for f, effects in enumerate(included) if effects.any()]
    names = [*recipe.needed(own), *(column for f in own for column in recipe.groups[f].columns)]
    if isinstance(recipe.offset, str):
        names.append(recipe.offset)
    return tuple(dict.fromkeys(names))


def _plan(predictor: Predictor, included: Sequence[BoolArray], new_levels: NewLevels) -> _Plan | None:
    """Return the products of a model, or None if its predictions are no sums of such."""
    fit = predictor.fit
    design, recipe = fit.design, usable(fit.design.recipe)
    odd = design.many or recipe.parsed.offsets or recipe.offset is True or predictor.space.dropped.size
    if odd or any(block.known is not None for block in design.blocks):
        return None
    beta = np.nan_to_num(fit.beta)
    fixed = _pieces(recipe, recipe.terms, lambda frame: recipe.fixed_rows(frame)[0])
    if fixed is None:
        return None
    groups = []
    for f, (own, modes) in enumerate(zip(included, fit.modes, strict=True)):
        if not own.any():
            continue
        group = _group(recipe, f, np.where(own, modes, 0.0))
        if group is None:
            return None
        groups.append(group)
    scalars = tuple(
        _Piece(piece.numbers, piece.labels, {k: float(v @ beta[at]) for k, v in piece.table.items()})
        for piece, at in fixed
    )
    offset = recipe.offset if isinstance(recipe.offset, str) else None
    return _Plan(scalars, tuple(groups), offset, new_levels != "error")


def _group(recipe: Recipe, f: int, effects: Array) -> _Group | None:
    group = recipe.groups[f]
    pieces = _pieces(recipe, recipe.effect_terms(f), lambda frame: recipe.effect_rows(f, frame))
    if pieces is None or (len(group.columns) > 1 and not group.parts):
        return None
    several = len(group.columns) > 1
    labels = (
        list(zip(*(part.tolist() for part in group.parts), strict=True)) if several else group.levels.tolist()
    )
    whole = isinstance(group.levels.dtype, np.dtype) and group.levels.dtype.kind == "i"
    coder = ColumnCoder(group.name, group.levels) if whole and not several else None
    columns = zip(*labels, strict=True) if several else [labels]
    kinds = tuple(frozenset(map(label_kind, column)) for column in columns)
    return _Group(group.columns, {label: i for i, label in enumerate(labels)}, pieces, effects, coder, kinds)


def _pieces(
    recipe: Recipe, terms: Sequence[FixedTerm], evaluate: Callable[[pd.DataFrame], Array]
) -> tuple[tuple[_Piece, Any], ...] | None:
    """Return the products of some terms, each with its columns; None if a term is no product of columns."""
    out = []
    for term in terms:
        if not term.products and term.columns:
            return None
        for own in term.products:
            at = np.array(own.columns)
            piece = _piece(recipe, own, partial(_columns_of, evaluate, at))
            if piece is None:
                return None
            out.append((piece, at))
    return tuple(out)


def _columns_of(evaluate: Callable[[pd.DataFrame], Array], at: Any, frame: pd.DataFrame) -> Array:
    return np.asarray(evaluate(frame)[:, at])


def _piece(recipe: Recipe, own: Product, evaluate: Callable[[pd.DataFrame], Array]) -> _Piece | None:
    variables = recipe.variables
    if any(name not in variables or variables[name].kind != "number" for name in own.numbers):
        return None
    labels = [found.group(1) if (found := CALLED.match(e)) else e for e, _ in own.labels]
    if any(name not in variables or variables[name].levels is None for name in labels):
        return None
    levels = {name: variables[name].levels for name in variables if variables[name].levels is not None}
    chosen = [levels[name] for name in labels]
    count = math.prod(len(one) for one in chosen if one is not None)
    if count > MOST_COMBINATIONS or len(set(labels)) < len(labels):
        return None
    combinations = list(product(*(one.tolist() for one in chosen if one is not None)))
    frame = pd.DataFrame(index=range(count))
    for name, variable in variables.items():
        frame[name] = 1.0 if variable.kind == "number" else _repeated(variable, count)
    for i, name in enumerate(labels):
        frame[name] = pd.Series([row[i] for row in combinations], dtype=object)
    values = evaluate(frame)
    return _Piece(own.numbers, tuple(labels), dict(zip(combinations, values, strict=True)))


def _repeated(variable: Any, count: int) -> Any:
    value = True if variable.levels is None else variable.levels[0]
    return pd.Series([value] * count, dtype=bool if variable.levels is None else object)
