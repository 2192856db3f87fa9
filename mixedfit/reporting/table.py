"""Tables of results as text cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.errors import ModelError
from mixedfit.core.format import format_p_value
from mixedfit.inference.power.record import Power

from .compare_models import ModelComparison
from .summary import Summary, correlation_cells, fixed_cells, random_cells

__all__ = ["Table", "tables_of"]


@dataclass(frozen=True, eq=False)
class Table:
    """A table of text.

    Attributes
    ----------
    caption : str
    heads : tuple of str
    rows : tuple of tuple of str
        A row of one cell is a title that spans the table.
    left : int
        Leading columns that are labels.
    notes : tuple of str
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    notes: tuple[str, ...] = ()


_HEADS = {
    "estimate": "Estimate",
    "std_error": "Std. Error",
    "std.error": "Std. Error",
    "df": "df",
    "statistic": "Statistic",
    "p_value": "p",
    "p.value": "p",
    "lower": "Lower",
    "upper": "Upper",
    "conf.low": "Lower",
    "conf.high": "Upper",
    "sum_sq": "Sum Sq",
    "mean_sq": "Mean Sq",
    "df_num": "Num. df",
    "df_denom": "Den. df",
    "npar": "Parameters",
    "aic": "AIC",
    "bic": "BIC",
    "llf": "logLik",
    "deviance": "Deviance",
    "chisq": "χ²",
    "bias": "Bias",
    "mc_error": "MC error",
}

_SHARED = (
    "estimate",
    "std_error",
    "std.error",
    "lower",
    "upper",
    "conf.low",
    "conf.high",
    "bias",
    "mc_error",
)
"""Columns in one unit, which get the same decimals."""


def tables_of(what: Any) -> list[Table]:
    """Return a record's tables as text.

    Parameters
    ----------
    what : Summary, MixedResults, ModelComparison, record with a `table`, or DataFrame

    Raises
    ------
    ModelError
        If it holds no table.
    """
    if isinstance(what, Table):
        return [what]
    if isinstance(what, Summary):
        return _of_summary(what)
    if isinstance(what, ModelComparison):
        return [_of_comparison(what)]
    if isinstance(what, Power):
        cells = what.cells()
        rows = tuple(tuple(row) for row in cells.itertuples(index=False))
        return [Table(f"{what.title}: {what.formula}", tuple(cells.columns), rows, 1, what.notes)]
    if isinstance(what, pd.Series):
        what = what.to_frame()
    if isinstance(what, pd.DataFrame):
        return [_of_frame(what, "", ())]
    if isinstance(getattr(what, "table", None), pd.DataFrame):
        notes = tuple(str(note) for note in getattr(what, "notes", ()))
        method = getattr(what, "method", "")
        if isinstance(method, str) and method and not any("egrees of freedom" in note for note in notes):
            notes = (f"Degrees of freedom: {method}.", *notes)
        return [_of_frame(what.table, _caption(what), notes)]
    if callable(getattr(what, "summary", None)):
        return tables_of(what.summary())
    raise ModelError(
        f"a {type(what).__name__} holds no table; expected a fit, a summary, a record with a table such as "
        "fit.anova(), or a DataFrame."
    )


def _caption(what: Any) -> str:
    names = {
        "AnovaTable": "Tests of the terms of the fixed part",
        "LikelihoodRatioTable": "Likelihood-ratio tests",
        "MarginalMeans": "Estimated marginal means",
        "MarginalContrasts": "Contrasts of marginal means",
        "TTest": "Tests of contrasts",
        "Bootstrap": "Bootstrap",
        "Profile": "Likelihood profiles",
    }
    return names.get(type(what).__name__, "")


def _of_summary(s: Summary) -> list[Table]:
    heads, cells = fixed_cells(s.coefficients)
    rows = [(str(name), *row) for name, *row in zip(s.coefficients.index, *cells, strict=True)]
    notes = (f"Degrees of freedom: {s.ddf}.",) if s.ddf else ()
    groups = "; ".join(f"{name}, {count}" for name, count in s.ngroups.items())
    size = f"Rows: {s.nobs}" + (f"; levels: {groups}." if groups else ".")
    out = [Table("Fixed effects", ("", *heads), tuple(rows), 1, notes)]
    random = tuple(tuple(row) for row in random_cells(s.varcorr))
    heads = ["Group", "Effect", "Variance", "Std. Dev.", "Corr."]
    out.append(Table("Random effects", tuple(heads), random, 2, (size, s.verdict, *s.notes)))
    if s.correlation is not None and len(s.correlation) > 1:
        names, body = correlation_cells(s.correlation)
        out.append(Table("Correlation of fixed effects", ("", *names), tuple(tuple(row) for row in body)))
    return out


def _of_comparison(what: ModelComparison) -> Table:
    rows: list[tuple[str, ...]] = []
    for title, part in what.sections():
        rows.append((title,))
        rows += [tuple(row) for row in part]
    legend = tuple(f"{n}: {f}" for n, f in zip(what.names, what.formulas, strict=True) if n != f)
    return Table("Models side by side", ("", *what.names), tuple(rows), 1, (*legend, *what.notes))


def _of_frame(frame: pd.DataFrame, caption: str, notes: tuple[str, ...]) -> Table:
    """Return a frame as text: its index (if it says anything) and columns of text in front, as labels."""
    labels: list[tuple[str, list[str]]] = []
    if not isinstance(frame.index, pd.RangeIndex):
        for i in range(frame.index.nlevels):
            values = frame.index.get_level_values(i)
            labels.append(("" if values.name is None else str(values.name), [str(v) for v in values]))
    texts = _numbers(frame, [str(c) for c in frame.columns if _is_number(frame[c])])
    for name in map(str, frame.columns):
        if name not in texts:
            labels.append((_HEADS.get(name, name), ["" if _missing(v) else str(v) for v in frame[name]]))
    columns = [*labels, *((_HEADS.get(name, name), cells) for name, cells in texts.items())]
    rows = tuple(zip(*(cells for _, cells in columns), strict=True)) if len(frame) else ()
    return Table(caption, tuple(head for head, _ in columns), rows, max(len(labels), 1), notes)


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    shared = [name for name in names if name in _SHARED]
    errors = next((frame[name] for name in ("std_error", "std.error") if name in shared), None)
    decimals = None
    if errors is not None:
        known = [float(e) for e in errors if np.isfinite(e) and e > 0]
        decimals = int(np.clip(2 - np.floor(np.log10(min(known))), 0, 12)) if known else None
    out = {}
    for name in names:
        values = [float(v) for v in frame[name]]
        if name.startswith(("p_", "p.")):
            out[name] = [
                "" if np.isnan(v) else f"{v:.4f}" if v >= 1e-4 else format_p_value(v) for v in values
            ]
        elif pd.api.types.is_integer_dtype(frame[name]) or _whole(values):
            out[name] = [_fixed(v, 0) for v in values]
        elif name in ("df", "df_denom"):
            out[name] = [_fixed(v, 2) for v in values]
        elif name in ("statistic", "chisq"):
            out[name] = [_fixed(v, 3) for v in values]
        elif name in shared and decimals is not None:
            out[name] = [_fixed(v, decimals) for v in values]
        else:
            out[name] = [_fixed(v, _decimals(values)) for v in values]
    return out


def _whole(values: list[float]) -> bool:
    finite = [v for v in values if np.isfinite(v)]
    return bool(finite) and all(
        (abs(v - round(v)) < 1e-6 * abs(v) and abs(v) < 1e9) or v == 0 for v in finite
    )


def _decimals(values: list[float]) -> int:
    """Return the decimals that show the largest value to five digits, at least two below 1,000."""
    largest = max((abs(v) for v in values if np.isfinite(v)), default=0.0)
    return int(np.clip(4 - np.floor(np.log10(largest)), 1, 10)) if largest > 0 else 1


def _fixed(value: float, decimals: int) -> str:
    if np.isnan(value):
        return ""
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{decimals}f}"
