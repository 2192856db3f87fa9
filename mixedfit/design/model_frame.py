"""Model frame: the complete rows of the variables of a formula."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray, Array
from mixedfit.core.errors import DataError, FormulaError, nearest, shown
from mixedfit.core.format import count_noun
from mixedfit.core.options import check_one_of
from mixedfit.formula.parse import ParsedFormula
from mixedfit.formula.r_syntax import hint

from .excluded import Excluded
from .frames import (
    as_frame,
    category_codes,
    check_column,
    column_names,
    date_labels,
    days,
    in_index,
    marked_days,
    plain_column,
)
from .grouping import Grouping, encode
from .wrong_values import listed_counts, not_numbers

__all__ = [
    "Missing",
    "ModelFrame",
    "build_frame",
    "check_weight_range",
    "check_weight_values",
    "missing_by_column",
    "missing_values",
    "names_by_part",
    "names_in_factor",
    "names_of",
    "needed_columns",
    "no_rows",
    "per_row",
]

Missing: TypeAlias = Literal["drop", "raise", "exclude"]
"""What to do with rows in which a variable of the model is missing."""

NAMESPACES = ("contr", "np")
"""Namespaces in formulas, as in ``contr.sum``."""

_BACKTICK = re.compile(r"`([^`]*)`")


@dataclass(frozen=True, slots=True, eq=False)
class ModelFrame:
    """The rows and columns that a model uses.

    Attributes
    ----------
    columns : dict of str to pandas.Series
        Needed columns on the rows kept, without unused categories.
    index : pandas.Index
        Labels of the rows kept.
    weights, offset : ndarray, shape (n,), or None
        On the rows kept.
    dropped : int
        Number of rows dropped for missing values.
    excluded : Excluded or None
        All rows, if those left out stay in row-wise answers.
    whole : dict of str to pandas.Series
        The needed columns of all rows, as given.
    missing : dict of str to int
        Number of missing values of each column that has some.
    lost : dict of str to list
        Levels of grouping columns that only rows with missing values have.
    text : frozenset of str
        Columns of text, which have become categories.
    place : str
        Where the rows of a batch were read, such as the name of a file.
    """

    columns: dict[str, pd.Series[Any]]
    index: pd.Index[Any]
    weights: Array | None
    offset: Array | None
    dropped: int
    excluded: Excluded | None = None
    whole: dict[str, pd.Series[Any]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    lost: dict[str, list[Any]] = field(default_factory=dict)
    text: frozenset[str] = frozenset()
    place: str = ""
    _groupings: dict[str, Grouping] = field(default_factory=dict)

    def grouping(self, column: str) -> Grouping:
        """Return the codes and levels of a column, computed once."""
        if column not in self._groupings:
            self._groupings[column] = encode(column, self.columns[column])
        return self._groupings[column]


def build_frame(
    parsed: ParsedFormula,
    data: Any,
    *,
    weights: Any,
    offset: Any,
    missing: Missing,
    further: Sequence[str] = (),
    labelled: Sequence[str] = (),
) -> ModelFrame:
    """Return the needed columns of `data` on complete rows; see `build_design` for the arguments.

    `further` are columns of a residual structure, whose dates become days, or labels in those of `labelled`.

    Raises
    ------
    FormulaError
        If a column of the formula is not in the data.
    DataError
        If a column, the weights or the offset are not valid, or no row is complete.
    """
    check_one_of("missing", missing, get_args(Missing), error=DataError)
    names = column_names(data)
    needed = needed_columns(parsed, names, getattr(data, "index", None))
    extra = [v for v in (weights, offset) if isinstance(v, str)]
    extra += [name for name in further if name not in needed]
    table = as_frame(data, [*needed, *extra])
    rows = len(table)
    weight_values = per_row("weights", weights, table, rows)
    offset_values = per_row("offset", offset, table, rows)
    absent = np.zeros(rows, dtype=bool) if offset_values is None else np.isnan(offset_values)
    columns = {name: table[name] for name in dict.fromkeys([*needed, *extra])}
    for name in (own for own in further if own not in needed):
        columns[name] = date_labels(table[name]) if name in labelled else marked_days(table[name])
    columns.update({name: days(columns[name]) for term in parsed.random for name in term.places})
    per_column = missing_by_column(columns, absent)
    whole = columns
    if offset_values is not None and not isinstance(offset, str) and np.isnan(offset_values).any():
        per_column["offset"] = int(np.isnan(offset_values).sum())
    count = int(absent.sum())
    if count and missing == "raise":
        raise _incomplete(table.index[absent], per_column)
    if count == rows:
        raise no_rows(rows, needed, per_column)
    lost = {}
    if count:
        lost = _lost_levels(parsed, columns, absent) if missing == "drop" else {}
        columns = {name: column[~absent] for name, column in columns.items()}
        weight_values = None if weight_values is None else weight_values[~absent]
        offset_values = None if offset_values is None else offset_values[~absent]
    given = columns
    columns = {name: plain_column(column) for name, column in given.items()}
    text = frozenset(
        name for name, own in columns.items() if own is not given[name] and _is_labels(own, given[name])
    )
    index = table.index if not count else table.index[~absent]
    _check_weights(weight_values, index)
    kept = Excluded(table.index, np.flatnonzero(~absent)) if count and missing == "exclude" else None
    return ModelFrame(
        columns,
        index,
        weight_values,
        offset_values,
        count,
        kept,
        whole,
        missing=per_column,
        lost=lost,
        text=text,
    )


def _lost_levels(
    parsed: ParsedFormula, columns: Mapping[str, pd.Series[Any]], absent: AnyArray
) -> dict[str, list[Any]]:
    """Return the levels of each grouping column of which no row is left without the `absent` rows."""
    out = {}
    for name in dict.fromkeys(name for term in parsed.random for name in term.group.columns):
        kept = set(columns[name][~absent].unique())
        lost = [level for level in columns[name][absent].dropna().unique() if level not in kept]
        if lost:
            out[name] = lost
    return out


def _is_labels(own: pd.Series[Any], given: pd.Series[Any]) -> bool:
    return isinstance(own.dtype, pd.CategoricalDtype) and not isinstance(given.dtype, pd.CategoricalDtype)


def _incomplete(labels: pd.Index[Any], missing: dict[str, int]) -> DataError:
    """Return the error for rows with missing values where none are allowed."""
    count = len(labels)
    return DataError(
        f"{count_noun(count, 'row')} {'has' if count == 1 else 'have'} missing values (by column: "
        f"{listed_counts(missing)}; first row: {shown(labels[0])}) and missing='raise' was asked for. Fill or remove "
        "them, or use missing='drop'."
    )


def no_rows(rows: int, needed: list[str], missing: Mapping[str, int]) -> DataError:
    """Return the error for data without a complete row, with the columns at fault."""
    if rows == 0:
        return DataError(
            f"the data have no rows in the columns {', '.join(needed)}; a model needs at least one row."
        )
    empty = [repr(name) for name, count in missing.items() if count == rows]
    if empty:
        return DataError(
            f"none of the {rows} rows is complete: {', '.join(empty)} {'is' if len(empty) == 1 else 'are'} missing in "
            f"every row. Fill {'it' if len(empty) == 1 else 'them'}, or leave {'it' if len(empty) == 1 else 'them'} "
            "out of the formula."
        )
    return DataError(
        f"none of the {rows} rows is complete in the columns {', '.join(needed)} (missing values by column: "
        f"{listed_counts(missing)}); a model needs at least one row."
    )


def missing_by_column(columns: dict[str, pd.Series[Any]], absent: AnyArray) -> dict[str, int]:
    """Check the types of columns, set `absent` in rows with missing values, and return their number by column."""
    counts = {}
    for name, column in columns.items():
        check_column(name, column)
        missing = missing_values(column)
        if missing is not None and missing.any():
            counts[name] = int(missing.sum())
            absent |= missing
    return counts


def missing_values(column: pd.Series[Any]) -> AnyArray | None:
    """Return a mask of missing values, or None if the type cannot have any; faster than pandas for small data."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return np.asarray(category_codes(column) < 0)
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return None
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return np.asarray(np.isnan(column.to_numpy()))
    return column.isna().to_numpy()


def needed_columns(parsed: ParsedFormula, columns: list[str], index: Any) -> list[str]:
    """Return the columns in the formula, in order of appearance.

    Raises
    ------
    FormulaError
        If a name that must be a column is not in the data.
    """
    present = set(columns)
    needed: dict[str, None] = {}
    for name, must_exist in names_of(parsed):
        if name in present:
            needed[name] = None
        elif must_exist:
            span = parsed.locate(name) or (None, None)
            listed = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
            raise FormulaError(
                f"no column {name!r} in the data (columns: {listed}).",
                source=parsed.source,
                start=span[0],
                end=span[1],
                advice=in_index(name, index) or nearest(name, columns),
            )
    return list(needed)


_NAMES: dict[tuple[str, str], tuple[tuple[str, bool], ...]] = {}


def names_of(parsed: ParsedFormula) -> tuple[tuple[str, bool], ...]:
    """Return the names in the formula, each with whether it must be a column of the data."""
    key = (parsed.source, parsed.expand)
    if key not in _NAMES:
        found: dict[str, bool] = {}
        for _, formula in parsed.matrices._to_dict().items():
            for term in formula:
                for factor in term.factors:
                    for name, must in names_in_factor(factor):
                        found[name] = found.get(name, False) or must
        for random in parsed.random:
            found.update(dict.fromkeys((*random.group.columns, *random.places), True))
        if len(_NAMES) > 1000:
            _NAMES.clear()
        _NAMES[key] = tuple(found.items())
    return _NAMES[key]


_PARTS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}


def names_by_part(parsed: ParsedFormula) -> dict[str, tuple[str, ...]]:
    """Return the names in each part of `ParsedFormula.matrices`; some may not be columns."""
    known = (parsed.source, parsed.expand)
    if known not in _PARTS:
        if len(_PARTS) > 1000:
            _PARTS.clear()
        _PARTS[known] = {
            key: tuple(
                dict.fromkeys(name for term in part for f in term.factors for name, _ in names_in_factor(f))
            )
            for key, part in parsed.matrices._to_dict().items()
        }
    return _PARTS[known]


def names_in_factor(factor: Any) -> list[tuple[str, bool]]:
    """Return the names in one factor of a term, each with whether it must be a column."""
    method = factor.eval_method.value
    if method == "lookup":
        return [(factor.expr, True)]
    if method == "literal":
        return []
    found = [(name, True) for name in _BACKTICK.findall(factor.expr)]
    try:
        tree = ast.parse(_BACKTICK.sub("0", factor.expr.strip()), mode="eval")
    except SyntaxError as error:
        raise FormulaError(
            f"the call '{factor.expr}' is not a valid expression: {error.msg}.",
            source=factor.expr,
            advice=hint(factor.expr),
        ) from None
    functions = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    functions |= {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in NAMESPACES
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node not in functions:
            found.append((node.id, False))
        elif isinstance(node, ast.Attribute):
            found.append((ast.unparse(node), False))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Q":
            found += [(str(a.value), True) for a in node.args if isinstance(a, ast.Constant)]
    return found


def per_row(what: str, value: Any, table: pd.DataFrame, rows: int) -> Array | None:
    """Return weights or offset as floats, shape (rows,)."""
    if value is None:
        return None
    source = _aligned(what, table[value] if isinstance(value, str) else value, table)
    try:
        array = np.asarray(source, dtype=float).reshape(-1)
    except (TypeError, ValueError):
        raise DataError(
            f"{what} must be numbers, one a row, or the name of a column{_because(source)}."
        ) from None
    if array.size != rows:
        raise DataError(f"{what} has {array.size} values for {rows} rows of data; give one a row.")
    if what == "offset" and np.isinf(array).any():
        row = table.index[int(np.flatnonzero(np.isinf(array))[0])]
        raise DataError(f"offset is infinite in row {shown(row)}; expected finite numbers.")
    return array


def _because(values: Any) -> str:
    clause = not_numbers(values) if np.ndim(values) == 1 else ""
    return f"; {clause}" if clause else ""


def _aligned(what: str, values: Any, table: pd.DataFrame) -> Any:
    """Return values in the order of the rows of the data: a Series is matched by its index."""
    if not isinstance(values, pd.Series) or values.index.equals(table.index):
        return values
    if isinstance(values.index, pd.RangeIndex) and len(values) == len(table) and not table.index.is_unique:
        return values
    if len(values) != len(table) or not values.index.is_unique or not table.index.isin(values.index).all():
        raise DataError(
            f"{what} is a Series whose index is not that of the data; give it the data's index, or pass "
            f"{what}.to_numpy() to go by position."
        )
    return values.loc[table.index]


def _check_weights(weights: Array | None, index: pd.Index[Any]) -> None:
    if weights is not None:
        check_weight_values(weights, index)
        check_weight_range(float(weights[weights > 0].min(initial=np.inf)), float(weights.max()))


def check_weight_values(weights: Array, index: pd.Index[Any]) -> None:
    """Raise `DataError` for weights that are not finite or are negative."""
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"weights must be finite and not negative; {int(bad.sum())} are not (first: {weights[row]} in row "
            f"{shown(index[row])}). A weight of 0 leaves a row out of the fit."
        )


def check_weight_range(low: float, high: float) -> None:
    """Raise `DataError` if no weight is positive, or the lowest positive and the highest are beyond 1e±100."""
    if high == 0.0:
        raise DataError("all weights are 0; at least one row needs a positive weight.")
    if high > 1e100 or low < 1e-100:
        raise DataError("weights are beyond 1e±100; divide them by their mean.")
