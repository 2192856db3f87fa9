"""The columns a formula needs, without missing rows, and the matrices formulaic makes of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from formulaic import Formula
from formulaic.errors import FormulaicError

from ._types import AnyArray, Array
from .errors import DataError, FormulaError, ModelError, nearest
from .formula import ParsedFormula, random_key
from .frames import as_frame, check_column, column_names
from .grouping import Grouping, encode

__all__ = ["Matrices", "ModelFrame", "build_frame", "evaluate"]

MANY_LEVELS = 200
"""A fixed main effect with more levels than this is kept as codes, not as columns of X."""

CONTEXT: dict[str, Any] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "pi": np.pi,
}
"""What a formula may use beyond formulaic's own transforms."""

_BACKTICK = re.compile(r"`([^`]*)`")
_LEVEL = re.compile(r"\[(?:[TSHD]\.)?([^\]]*)\](?=:|$)")
_FACTOR_CALL = re.compile(r"C\(\s*`?([^\W\d][\w.]*)`?\s*\)")


@dataclass(frozen=True, slots=True, eq=False)
class ModelFrame:
    """The rows and columns that a model uses.

    Attributes
    ----------
    table : pandas.DataFrame
        Needed columns on the rows kept, unused categories removed.
    weights, offset : ndarray, shape (n,), or None
        As given, on the rows kept.
    dropped : int
        Rows left out for missing values.
    """

    table: pd.DataFrame
    weights: Array | None
    offset: Array | None
    dropped: int
    _groupings: dict[str, Grouping] = field(default_factory=dict)

    def grouping(self, column: str) -> Grouping:
        """Return the codes and levels of a column, computed once."""
        if column not in self._groupings:
            self._groupings[column] = encode(column, self.table[column])
        return self._groupings[column]


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """What formulaic makes of a frame.

    Attributes
    ----------
    y : ndarray, shape (n,)
    X : ndarray, shape (n, p)
    x_names : tuple of str, length p
    random : mapping of str to (names, ndarray of shape (n, k))
        Keyed by `formula.random_key`.
    offsets : list of ndarray, shape (n,)
    many : list of (Grouping, int)
        Many-level fixed factors and the number of reference levels (0 or 1).
    """

    y: Array
    X: Array
    x_names: tuple[str, ...]
    random: dict[str, tuple[tuple[str, ...], Array]]
    offsets: list[Array]
    many: list[tuple[Grouping, int]]


def build_frame(
    parsed: ParsedFormula, data: Any, *, weights: Any, offset: Any, missing: Literal["drop", "raise"]
) -> ModelFrame:
    """Return the needed columns of `data` on complete rows.

    Raises
    ------
    FormulaError
        If the formula names a column that is not there.
    DataError
        If a column, the weights or the offset cannot be used, or no row is complete.
    """
    if missing not in ("drop", "raise"):
        raise DataError(f"missing={missing!r} is not known; expected 'drop' or 'raise'.")
    names = column_names(data)
    needed = _needed_columns(parsed, names)
    extra = [v for v in (weights, offset) if isinstance(v, str)]
    table = as_frame(data, [*needed, *extra])
    rows = len(table)
    weight_values = _per_row("weights", weights, table, rows)
    offset_values = _per_row("offset", offset, table, rows)
    absent = np.zeros(rows, dtype=bool) if offset_values is None else np.isnan(offset_values)
    per_column = _missing_by_column(table, [*needed, *extra], absent)
    count = int(absent.sum())
    if count and missing == "raise":
        first = table.index[np.flatnonzero(absent)[0]]
        raise DataError(
            f"{count} rows have missing values (by column: {per_column}; first row: {first!r}) and "
            "missing='raise' was asked for. Fill or remove them, or use missing='drop'."
        )
    if count == rows:
        what = "the data have no rows" if rows == 0 else f"none of the {rows} rows is complete"
        raise DataError(f"{what} in the columns {', '.join(needed)}; a model needs at least one row.")
    if count:
        table = table.loc[~absent, needed] if table.index.is_unique else table[~absent]
        weight_values = None if weight_values is None else weight_values[~absent]
        offset_values = None if offset_values is None else offset_values[~absent]
    _check_weights(weight_values)
    return ModelFrame(_without_unused_levels(table, needed), weight_values, offset_values, count)


def _missing_by_column(table: pd.DataFrame, columns: list[str], absent: AnyArray) -> dict[str, int]:
    """Check the columns' types, mark rows with missing values, and return how many each column has."""
    counts = {}
    for name in dict.fromkeys(columns):
        column = table[name]
        check_column(name, column)
        if column.hasnans:
            missing = column.isna().to_numpy()
            counts[name] = int(missing.sum())
            absent |= missing
    return counts


def _needed_columns(parsed: ParsedFormula, columns: list[str]) -> list[str]:
    """Return the columns that the formula names, in order; refuse names that nothing defines."""
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
                advice=nearest(name, columns),
            )
    return list(needed)


_NAMES: dict[str, tuple[tuple[str, bool], ...]] = {}


def names_of(parsed: ParsedFormula) -> tuple[tuple[str, bool], ...]:
    """Return every name in the formula and whether it must be a column of the data."""
    if parsed.source not in _NAMES:
        found: dict[str, bool] = {}
        for _, formula in parsed.matrices._to_dict().items():
            for term in formula:
                for factor in term.factors:
                    for name, must in _names_in_factor(factor):
                        found[name] = found.get(name, False) or must
        for random in parsed.random:
            found.update(dict.fromkeys(random.group.columns, True))
        if len(_NAMES) > 1000:
            _NAMES.clear()
        _NAMES[parsed.source] = tuple(found.items())
    return _NAMES[parsed.source]


def _names_in_factor(factor: Any) -> list[tuple[str, bool]]:
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
            f"the call '{factor.expr}' is not a valid expression: {error.msg}.", source=factor.expr
        ) from None
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in called:
            found.append((node.id, False))
        elif isinstance(node, ast.Attribute):
            found.append((ast.unparse(node), False))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Q":
            found += [(str(a.value), True) for a in node.args if isinstance(a, ast.Constant)]
    return found


def _per_row(what: str, value: Any, table: pd.DataFrame, rows: int) -> Array | None:
    """Return weights or offset as floats, one a row."""
    if value is None:
        return None
    source = table[value] if isinstance(value, str) else value
    try:
        array = np.asarray(source, dtype=float).reshape(-1)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers, one a row, or the name of a column.") from None
    if array.size != rows:
        raise DataError(f"{what} has {array.size} values for {rows} rows of data; give one a row.")
    return array


def _check_weights(weights: Array | None) -> None:
    if weights is None:
        return
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"weights must be finite and not negative; {int(bad.sum())} are not (first: {weights[row]} in row {row}). "
            "A weight of 0 leaves a row out of the fit."
        )
    if not weights.any():
        raise DataError("all weights are 0; at least one row needs a positive weight.")


def _without_unused_levels(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    dtypes = table.dtypes
    for name in columns:
        if isinstance(dtypes[name], pd.CategoricalDtype):
            column = table[name]
            counts = np.bincount(column.cat.codes.to_numpy(), minlength=len(column.cat.categories))
            if (counts == 0).any():
                table = table.assign(**{str(name): column.cat.remove_unused_categories()})
    return table


def evaluate(parsed: ParsedFormula, frame: ModelFrame, context: Mapping[str, Any]) -> Matrices:
    """Return the formula's matrices on a frame, in one pass of formulaic.

    Raises
    ------
    FormulaError
        If an expression cannot be evaluated.
    DataError
        If the response is not one numeric column, or a column is not finite.
    """
    formula, many = _split_many(parsed, frame)
    try:
        with np.errstate(all="ignore"):
            made = formula.get_model_matrix(
                frame.table, context={**CONTEXT, **context}, output="numpy", na_action="ignore"
            )
    except FormulaicError as error:
        raise _evaluation_error(parsed, error) from None
    except (ModelError, DataError):
        raise
    except Exception as error:
        raise FormulaError(
            f"the formula cannot be evaluated on these data: {type(error).__name__}: {error}",
            source=parsed.source,
        ) from error
    matrices = made._to_dict()
    y_names, y = _array(matrices["y"])
    if y.shape[1] != 1:
        raise DataError(
            f"the response {parsed.response!r} gives {y.shape[1]} columns; expected one column of numbers. Convert "
            "labels to numbers first."
        )
    x_names, X = _array(matrices["X"])
    random = {key: _array(value) for key, value in matrices.items() if key.startswith("Z:")}
    if not many:
        random[random_key(parsed.matrices.X)] = (x_names, X)
    for names, z in random.values():
        _check_finite(names, z, frame, "a random effect's column")
    _check_finite(y_names, y, frame, "the response")
    _check_finite(x_names, X, frame, "a fixed-effect column")
    offsets = [_array(value) for key, value in matrices.items() if key.startswith("O")]
    for names, values in offsets:
        _check_finite(names, values, frame, "an offset")
    return Matrices(
        y=np.ascontiguousarray(y[:, 0]),
        X=X,
        x_names=x_names,
        random=random,
        offsets=[values[:, 0] for _, values in offsets],
        many=many,
    )


def _split_many(parsed: ParsedFormula, frame: ModelFrame) -> tuple[Any, list[tuple[Grouping, int]]]:
    """Take main effects with very many levels out of the fixed part."""
    fixed = list(parsed.matrices.X)
    uses = [str(f) for term in fixed for f in term.factors]
    many: list[tuple[Grouping, int]] = []
    kept = []
    intercept = any(term.degree == 0 for term in fixed)
    for term in fixed:
        column = _label_column(term, frame.table)
        if column is not None and uses.count(str(term)) == 1:
            grouping = frame.grouping(column)
            if len(grouping.levels) > MANY_LEVELS:
                many.append((grouping, int(intercept or bool(many))))
                continue
        kept.append(term)
    if not many:
        return parsed.matrices, many
    parts = {random_key(part): part for term in parsed.random for part in term.parts}
    return Formula(**{**parsed.matrices._to_dict(), **parts, "X": Formula(kept)}), many


def _label_column(term: Any, table: pd.DataFrame) -> str | None:
    """Return the column of a main effect of labels, or None."""
    if len(term.factors) != 1:
        return None
    text = str(term)
    called = _FACTOR_CALL.fullmatch(text)
    name = called.group(1) if called else text.strip("`")
    if name not in table.columns:
        return None
    dtype = table[name].dtype
    labels = isinstance(dtype, pd.CategoricalDtype) or not (
        pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    )
    return name if called or labels else None


def _array(matrix: Any) -> tuple[tuple[str, ...], Array]:
    names = tuple(r_name(str(name)) for name in matrix.model_spec.column_names)
    return names, np.ascontiguousarray(np.asarray(matrix.__wrapped__), dtype=np.float64)


def r_name(name: str) -> str:
    """Return a column's name as R writes it: ``(Intercept)``, ``GenotypeB`` for ``Genotype[T.B]``."""
    return "(Intercept)" if name == "Intercept" else _LEVEL.sub(r"\1", name)


def _check_finite(names: tuple[str, ...], values: Array, frame: ModelFrame, what: str) -> None:
    if np.isfinite(np.sum(values)):
        return
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    row, column = (int(i[0]) for i in np.nonzero(bad))
    raise DataError(
        f"{what}, {names[column]!r}, is {values[row, column]} in {int(bad.any(axis=1).sum())} rows (first: row "
        f"{frame.table.index[row]!r}); expected finite numbers. Check the transformation or remove these rows."
    )


def _evaluation_error(parsed: ParsedFormula, error: Exception) -> FormulaError:
    message = str(error).split("\n")[0]
    found = re.search(r"factor `(.*)`\.", message)
    span = parsed.locate(found.group(1)) if found else None
    missing = re.search(r"name '(\w+)' is not defined", message)
    known = [*CONTEXT, "log", "exp", "poly", "bs", "scale", "center", "C", "I", "Q"]
    return FormulaError(
        f"the formula cannot be evaluated: {message}",
        source=parsed.source,
        start=span[0] if span else None,
        end=span[1] if span else None,
        advice=nearest(missing.group(1), known) if missing else "",
    )
