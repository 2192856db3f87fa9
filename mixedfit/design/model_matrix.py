"""Model matrices of a formula, from formulaic or, for simple terms, computed directly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import FormulaicError

from mixedfit.core.arrays import Array
from mixedfit.core.errors import DataError, FormulaError, ModelError, nearest, shown
from mixedfit.core.format import count_noun
from mixedfit.formula.parse import ParsedFormula, random_key
from mixedfit.formula.r_syntax import hint

from .grouping import Grouping
from .materializer import Materializer
from .model_frame import ModelFrame, names_by_part
from .one_level import OneLevelError, check_coded_columns, one_level_factor
from .places import numFactor
from .r_names import r_names
from .splines import bs, ns
from .wrong_values import argument_error, response_error

__all__ = ["MANY_LEVELS", "Matrices", "check_finite", "evaluate", "plain_matrices"]

MANY_LEVELS = 200
"""Largest number of levels of a fixed main effect in X; one with more levels is stored as codes."""

CONTEXT: dict[str, Any] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "pi": np.pi,
    "bs": bs,
    "ns": ns,
    "numFactor": numFactor,
}
"""Functions and constants of formulas beside formulaic's own transforms."""

_FACTOR_CALL = re.compile(r"C\(\s*`?([^\W\d][\w.]*)`?\s*\)")


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """Model matrices of a frame.

    Attributes
    ----------
    y : ndarray, shape (n,)
    X : ndarray, shape (n, p)
    x_names : tuple of str, length p
    random : mapping of str to (names, ndarray of shape (n, k))
        Keyed by `formula.random_key`.
    offsets : list of ndarray, shape (n,)
    many : list of (Grouping, int, str)
        Many-level fixed factors, the number of reference levels (0 or 1), and the prefix of their names.
    formula : formulaic formula
        The formula evaluated, without many-level factors.
    specs : dict of str to formulaic model specification, or None
        State of each part's transforms; None if the matrices were computed directly.
    columns : mapping of str to pandas.Series
        Columns of the frame.
    """

    y: Array
    X: Array
    x_names: tuple[str, ...]
    random: dict[str, tuple[tuple[str, ...], Array]]
    offsets: list[Array]
    many: list[tuple[Grouping, int, str]]
    formula: Any
    specs: dict[str, Any] | None
    columns: Mapping[str, pd.Series[Any]]

    def sources(self, part: Any) -> list[str]:
        """Return the term of each column of a part of the formula, such as ``poly(x, 2)`` for two columns."""
        names, _ = self.random[random_key(part)]
        if self.specs is not None:
            key = random_key(part) if random_key(part) in self.specs else "X"
            return [str(row.term) for row in self.specs[key].structure for _ in row.columns]
        terms = list(part)
        factors = [term for term in terms if _label_column(term, self.columns) is not None]
        spare = len(names) - (len(terms) - len(factors))
        widths = _factor_widths(factors, self.columns, spare)
        return [str(term) for term in terms for _ in range(widths.get(str(term), 1))]


def _factor_widths(
    factors: Sequence[Any], columns: Mapping[str, pd.Series[Any]], total: int
) -> dict[str, int]:
    """Return the number of columns of each factor's main effect, given their total.

    Each factor has one column less than levels, except that the first has all if there is no intercept.
    """
    widths = {str(term): len(columns[str(term).strip("`")].cat.categories) - 1 for term in factors}
    if factors:
        widths[str(factors[0])] += total - sum(widths.values())
    return widths


def evaluate(
    parsed: ParsedFormula,
    frame: ModelFrame,
    context: Mapping[str, Any],
    states: Mapping[str, Any] | None = None,
) -> Matrices:
    """Return the matrices of a formula on a model frame.

    Parameters
    ----------
    parsed : ParsedFormula
    frame : ModelFrame
    context : mapping
        Additional functions and constants for the formula.
    states : mapping, optional
        State of transforms by call, if it is not learnt from these rows.

    Raises
    ------
    FormulaError
        If an expression cannot be evaluated.
    DataError
        If the response or an offset is not one numeric column, or a column is not finite.
    """
    _check_response(parsed, frame)
    check_coded_columns(parsed, frame)
    formula, many = _split_many(parsed, frame)
    matrices, specs = plain_matrices(formula, frame.columns, len(frame.index)), None
    if matrices is None:
        matrices, specs = _by_formulaic(parsed, formula, frame, context, states)
    y_names, y = matrices["y"]
    if y.shape[1] != 1:
        raise DataError(
            f"the response {parsed.response!r} gives {y.shape[1]} columns; expected one column of numbers."
        )
    x_names, X = matrices["X"]
    if many and not many[0][1]:
        x_names, X = x_names[1:], np.ascontiguousarray(X[:, 1:])
    random = {key: value for key, value in matrices.items() if key.startswith("Z:")}
    if not many:
        random[random_key(parsed.matrices.X)] = (x_names, X)
    check_finite(y_names, y, frame, "the response")
    check_finite(x_names, X, frame, "a fixed-effect column")
    for names, z in random.values():
        check_finite(names, z, frame, "a random effect's column")
    offsets = [value for key, value in matrices.items() if key.startswith("O")]
    for names, values in offsets:
        if values.shape[1] != 1:
            raise DataError(
                f"an offset gives {values.shape[1]} columns ({', '.join(names)}); expected one column of numbers."
            )
        check_finite(names, values, frame, "an offset")
    return Matrices(
        y=np.ascontiguousarray(y[:, 0]),
        X=X,
        x_names=x_names,
        random=random,
        offsets=[values[:, 0] for _, values in offsets],
        many=many,
        formula=formula,
        specs=specs,
        columns=frame.columns,
    )


Columns: TypeAlias = tuple[tuple[str, ...], Array]
"""Names of a matrix's columns, and the matrix."""


def _by_formulaic(
    parsed: ParsedFormula,
    formula: Any,
    frame: ModelFrame,
    context: Mapping[str, Any],
    states: Mapping[str, Any] | None,
) -> tuple[dict[str, Columns], dict[str, Any]]:
    try:
        with np.errstate(all="ignore"):
            parts = _materialized(formula, frame, {**CONTEXT, **context}, states)
    except FormulaicError as error:
        raise _evaluation_error(parsed, error, frame) from None
    except OneLevelError as found:
        raise one_level_factor(found, frame) from None
    except (ModelError, DataError):
        raise
    except Exception as error:
        raise FormulaError(
            f"the formula cannot be evaluated on these data: {type(error).__name__}: {error}",
            source=parsed.source,
            advice=hint(parsed.source),
        ) from error
    power = "^" in parsed.source and "**" not in parsed.source
    specs = {key: matrix.model_spec for key, matrix in parts.items()}
    return {key: _array(matrix, specs, power) for key, matrix in parts.items()}, specs


def _materialized(
    formula: Any, frame: ModelFrame, context: Mapping[str, Any], states: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return formulaic's matrix of each part of a formula."""
    data = pd.DataFrame(frame.columns, copy=False)
    if states is None:
        options = {"materializer": Materializer, "output": "numpy", "na_action": "ignore"}
        made = formula.get_model_matrix(data, context=context, **options)
        return dict(made._to_dict())
    out = {}
    for key, part in formula._to_dict().items():
        texts = [factor.expr for term in part for factor in term.factors]
        own = {call: deepcopy(states[call]) for call in states if any(call in text for text in texts)}
        spec = ModelSpec(formula=part, output="numpy", na_action="ignore", transform_state=own)
        out[key] = spec.get_model_matrix(data, context=context, materializer=Materializer)
    return out


def plain_matrices(
    formula: Any, columns: Mapping[str, pd.Series[Any]], rows: int
) -> dict[str, Columns] | None:
    """Return the matrices of a formula, or None if it has terms other than these.

    Terms are products of numeric columns and main effects of factors. The matrices equal those of formulaic, whose
    overhead is most of the time of a small fit.
    """
    known: dict[str, Array] = {}
    out = {}
    for key, part in formula._to_dict().items():
        names: list[str] = []
        arrays: list[Array | float] = []
        terms = list(part)
        spanned = any(str(term) == "1" for term in terms)
        for term in terms:
            factor = _plain_factor(term, columns, spanned)
            if factor is not None:
                names += factor[0]
                arrays += factor[1]
                spanned = True
                continue
            name, product = _plain_term(term, columns, known)
            if product is None:
                return None
            names.append(name)
            arrays.append(product)
        matrix = np.empty((rows, len(arrays)))
        for j, array in enumerate(arrays):
            matrix[:, j] = array
        out[key] = (tuple(names), matrix)
    return out


def _plain_factor(
    term: Any, columns: Mapping[str, pd.Series[Any]], spanned: bool
) -> tuple[list[str], list[Array]] | None:
    """Return the names and indicators of a factor's main effect, or None if the term is not one.

    The first level has no column if `spanned`: the intercept or another factor spans it.
    """
    if len(term.factors) != 1 or term.factors[0].eval_method.value != "lookup":
        return None
    name = term.factors[0].expr
    if name not in columns or not isinstance(columns[name].dtype, pd.CategoricalDtype):
        return None
    values = columns[name].cat
    levels = [str(level) for level in values.categories]
    if any("[" in text or "]" in text for text in (name, *levels)):
        return None
    codes = values.codes.to_numpy()
    kept = range(int(spanned), len(levels))
    return [f"{name}{levels[i]}" for i in kept], [(codes == i).astype(np.float64) for i in kept]


def _plain_term(
    term: Any, columns: Mapping[str, pd.Series[Any]], known: dict[str, Array]
) -> tuple[str, Array | float | None]:
    """Return the name and values of a product of numeric columns (1 for the intercept), or None for other terms."""
    product: Array | float | None = None
    for factor in term.factors:
        name = factor.expr
        if name == "1" and len(term.factors) == 1:
            return "(Intercept)", 1.0
        if factor.eval_method.value != "lookup" or name not in columns:
            return "", None
        if name not in known:
            values = columns[name]
            if not (isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf"):
                return "", None
            known[name] = values.to_numpy(dtype=np.float64)
        product = known[name] if product is None else product * known[name]
    return ":".join(factor.expr for factor in term.factors), product


def _check_response(parsed: ParsedFormula, frame: ModelFrame) -> None:
    """Raise an error if the response is categorical, or stands among its own predictors."""
    if any(str(term) == parsed.response for term in parsed.matrices.X):
        raise FormulaError(
            f"the response {parsed.response!r} also stands on the right of '~'.", source=parsed.source
        )
    if re.search(r"[=!]=|\bC\(", parsed.response):
        return
    for name in names_by_part(parsed)["y"]:
        column = frame.columns.get(name)
        if column is not None and isinstance(column.dtype, pd.CategoricalDtype):
            raise DataError(response_error(name, column))


def _split_many(parsed: ParsedFormula, frame: ModelFrame) -> tuple[Any, list[tuple[Grouping, int, str]]]:
    """Return the formula without fixed main effects of more than `MANY_LEVELS` levels, and these as groupings."""
    fixed = list(parsed.matrices.X)
    uses = [str(f) for term in fixed for f in term.factors]
    many: list[tuple[Grouping, int, str]] = []
    kept = []
    intercept = any(term.degree == 0 for term in fixed)
    for term in fixed:
        column = _label_column(term, frame.columns)
        if column is not None and uses.count(str(term)) == 1:
            grouping = frame.grouping(column)
            if len(grouping.levels) > MANY_LEVELS:
                many.append((grouping, int(intercept or bool(many)), str(term).strip("`")))
                continue
        kept.append(term)
    if not many:
        return parsed.matrices, many
    parts = {random_key(part): part for term in parsed.random for part in term.parts}
    # the factor spans the intercept: with it in place, formulaic codes the others by contrasts
    coded = Formula(kept if intercept else ["1", *kept])
    return Formula(**{**parsed.matrices._to_dict(), **parts, "X": coded}), many


def _label_column(term: Any, columns: Mapping[str, pd.Series[Any]]) -> str | None:
    """Return the column of a factor's main effect, or None for other terms."""
    if len(term.factors) != 1:
        return None
    text = str(term)
    called = _FACTOR_CALL.fullmatch(text)
    name = called.group(1) if called else text.strip("`")
    if name not in columns:
        return None
    dtype = columns[name].dtype
    labels = isinstance(dtype, pd.CategoricalDtype) or not (
        pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    )
    return name if called or labels else None


def _array(matrix: Any, specs: Mapping[str, Any], power: bool) -> Columns:
    names = r_names(matrix.model_spec, specs.values())
    if power:
        names = tuple(name.replace(" ** ", "^").replace("**", "^") for name in names)
    return names, np.ascontiguousarray(np.asarray(matrix.__wrapped__), dtype=np.float64)


def check_finite(names: tuple[str, ...], values: Array, frame: ModelFrame, what: str) -> None:
    """Raise `DataError` if a column, `what` in words, is not finite."""
    if np.isfinite(np.sum(values)):
        return
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    row, column = (int(i[0]) for i in np.nonzero(bad))
    raise DataError(
        f"{what}, {names[column]!r}, is {values[row, column]} in {count_noun(int(bad.any(axis=1).sum()), 'row')} "
        f"(first: row {shown(frame.index[row])}); expected finite numbers. Check the transformation or "
        "remove these rows."
    )


def _evaluation_error(parsed: ParsedFormula, error: Exception, frame: ModelFrame) -> FormulaError:
    own = error.__cause__ if isinstance(error.__cause__, FormulaError) else None
    message = str(own or error).split("\n")[0]
    found = re.search(r"factor `(.*)`\.", str(error))
    span = parsed.locate(found.group(1)) if found else None
    missing = re.search(r"name '(\w+)' is not defined", message)
    known = [*CONTEXT, "log", "exp", "poly", "bs", "ns", "scale", "center", "C", "I", "Q"]
    advice = hint(found.group(1)) if found else ""
    if missing:
        name = missing.group(1)
        message = f"{name!r} is not a column of the data, nor a known function."
        advice = advice or (f"{nearest(name, known)} " if nearest(name, known) else "") + (
            f"A function or constant of your own is given to lmm as context={{{name!r}: {name}}}."
        )
    text = [
        name for name in frame.text if found and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", found[1])
    ]
    if found and text and not missing and not advice and own is None and not found[1].startswith("C("):
        message, advice = argument_error(found[1], text[0], frame.columns[text[0]]), ""
    return FormulaError(
        f"the formula cannot be evaluated: {message}",
        source=parsed.source,
        start=span[0] if span else None,
        end=span[1] if span else None,
        advice=advice,
    )
