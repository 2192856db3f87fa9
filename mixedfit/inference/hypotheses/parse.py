"""Linear hypotheses Lβ = r about fixed effects, written as text, mappings, Series or matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.names import plain_name, same_effect
from mixedfit.design.recipe import FixedTerm
from mixedfit.estimation.fit import Fit

from .equations import position, read_equations

__all__ = ["find_term", "read_hypotheses", "term_coefficients"]


def read_hypotheses(fit: Fit, hypotheses: Any) -> tuple[Array, Array, list[str]]:
    """Return L, shape (q, p), r, shape (q,), and a name for each row.

    Parameters
    ----------
    fit : Fit
    hypotheses : str, sequence, mapping, Series, DataFrame or array
        The name of a coefficient, or of a term for all its estimated coefficients; text such as ``"Days = 10"``,
        ``"(recipeB + recipeC)/2"`` or ``"a = b = 0"`` (several separated by commas); a mapping or Series from
        coefficients to weights; a sequence of these; or a matrix with a column for each coefficient, or a DataFrame
        whose columns name coefficients.

    Raises
    ------
    ModelError
        If there are no fixed effects or no hypotheses, a name is not a coefficient, a text is no linear equation, or a
        matrix has the wrong shape or holds no numbers.
    """
    names = list(fit.coefficient_names)
    if not names:
        raise ModelError(
            "the model has no fixed effects, so that there are no hypotheses about them to test."
        )
    if isinstance(hypotheses, str) and (own := term_coefficients(fit, hypotheses)):
        hypotheses = own
    if isinstance(hypotheses, str):
        found = read_equations(hypotheses, names, [plain_name(term.name) for term in _terms(fit)])
        return (
            np.array([row for _, row, _ in found]),
            np.array([r for *_, r in found]),
            [n for n, *_ in found],
        )
    if isinstance(hypotheses, pd.DataFrame) and _are_names(hypotheses.columns):
        labels = [str(i) for i in hypotheses.index] if _are_names(hypotheses.index) else None
        rows = [
            _read_mapping(list(zip(hypotheses.columns, row, strict=True)), names)
            for row in hypotheses.to_numpy()
        ]
        return _matrix(fit, np.array(rows).reshape(-1, len(names)), labels)
    if isinstance(hypotheses, Mapping) or (
        isinstance(hypotheses, pd.Series) and _are_names(hypotheses.index)
    ):
        weights = list(hypotheses.items())
        return _read_mapping(weights, names)[None], np.zeros(1), [_text(weights)]
    if isinstance(hypotheses, pd.Series | pd.Index | np.ndarray) and _are_names(hypotheses):
        hypotheses = list(hypotheses)
    if isinstance(hypotheses, Sequence) and hypotheses and all(isinstance(h, _ROWS) for h in hypotheses):
        read = [read_hypotheses(fit, h) for h in hypotheses]
        return (
            np.concatenate([L for L, _, _ in read]),
            np.concatenate([r for _, r, _ in read]),
            [label for _, _, labels in read for label in labels],
        )
    return _matrix(fit, hypotheses, None)


def term_coefficients(fit: Fit, name: str) -> list[str]:
    """Return the estimated coefficients of a term of the fixed part; none of a coefficient's name or another text."""
    term = find_term(fit, name)
    columns = () if term is None else term.columns
    return [fit.coefficient_names[column] for column in columns if fit.kept[column]]


def find_term(fit: Fit, name: str) -> FixedTerm | None:
    """Return the term of this name, as written or by its variables; None of a coefficient's name or another text.

    Variables stand for the calls that code them: ``prime`` for ``C(prime, contr.sum)``.
    """
    if name.strip() in fit.coefficient_names:
        return None
    wanted, terms = same_effect(name.strip().replace(" × ", ":")), _terms(fit)
    written = [term for term in terms if same_effect(term.name) == wanted]
    plain = [term for term in terms if same_effect(plain_name(term.name)) == wanted]
    return next(iter([*written, *(plain if len(plain) == 1 else [])]), None)


def _terms(fit: Fit) -> list[FixedTerm]:
    """Return the terms of the fixed part without the intercept; none if they are not known."""
    recipe = fit.design.recipe
    return [] if recipe is None or recipe.refusal else [term for term in recipe.terms if term.variables]


_ROWS = (str, Mapping, pd.Series)


def _are_names(values: Iterable[Any]) -> bool:
    """Return whether all of some values are text, and there are any."""
    return len(own := list(values)) > 0 and all(isinstance(value, str) for value in own)


def _matrix(fit: Fit, values: Any, labels: list[str] | None) -> tuple[Array, Array, list[str]]:
    names = list(fit.coefficient_names)
    try:
        L = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(
            f"hypotheses {values!r} are neither text, weights by name, nor a matrix of numbers with {len(names)} "
            f"columns: {names}."
        ) from None
    L = np.atleast_2d(L)
    if L.size == 0:
        raise ModelError("no hypotheses are given; name a coefficient, or write an equation such as 'a = b'.")
    if L.ndim != 2 or L.shape[1] != len(names):
        raise ModelError(
            f"a matrix of hypotheses has shape {L.shape}; expected {len(names)} columns: {names}."
        )
    if not np.isfinite(L).all():
        row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(L)))
        raise ModelError(
            f"the weight of {names[column]!r} in row {row + 1} of the hypotheses is {L[row, column]}; expected a "
            "finite number."
        )
    return L, np.zeros(len(L)), labels or [_row_label(i, row, names) for i, row in enumerate(L, start=1)]


def _read_mapping(weights: Sequence[tuple[Any, Any]], names: Sequence[str]) -> Array:
    row = np.zeros(len(names))
    for name, weight in weights:
        at = position(str(name), names)
        try:
            row[at] += float(weight)
        except (TypeError, ValueError):
            raise ModelError(f"the weight of {name!r} is {weight!r}; expected a number.") from None
    if not weights:
        raise ModelError(
            "a mapping of hypotheses is empty; give weights by coefficient, such as {'Days': 1}."
        )
    if not np.isfinite(row).all():
        raise ModelError(f"the weights {dict(weights)} are not all finite numbers.")
    return row


def _text(weights: Sequence[tuple[Any, Any]]) -> str:
    """Return a linear combination of coefficients as text, such as ``A - 2*B``."""
    text = ""
    for name, weight in weights:
        size = abs(float(weight))
        term = str(name) if size == 1 else f"{size:g}*{name}"
        text += (" - " if text else "-") + term if weight < 0 else (" + " if text else "") + term
    return text


def _row_label(number: int, row: Array, names: Sequence[str]) -> str:
    """Return the label of a row of a matrix: its only coefficient, or the number of the row."""
    at = np.flatnonzero(row)
    return _text([(names[at[0]], row[at[0]])]) if at.size == 1 else f"row {number}"
