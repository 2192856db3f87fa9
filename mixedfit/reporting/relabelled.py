"""Tables with names in words, and with texts of the user in place of names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.names import factors_of, plain_name
from mixedfit.core.notebook import minus
from mixedfit.core.tables import Table, tables_of
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import (
    FitNames,
    by_name,
    check_labels,
    label_of,
    names_of,
    term_label,
    text_with_labels,
)

from .apa import p_text

__all__ = ["document_tables", "relabelled", "texts_of"]


def document_tables(what: Any, labels: Mapping[Any, str] | None, *, apa: bool = False) -> list[Table]:
    """Return the tables of a result for a document: names in words, then labels in place of names.

    With `apa`, heads are APA's symbols, p-values are as in `p_text`, and intervals are one column.

    Raises
    ------
    ModelError
        If `what` has no table, or a key of labels is neither a name of its fit nor a text of its tables.
    """
    names = _names(what)
    if apa and names is not None and callable(getattr(what, "summary", None)):
        what = what.summary()
    tables = tables_of(what, p_format=p_text if apa else None)
    if labels and (names is not None or type(what) in (pd.DataFrame, pd.Series)):
        known = {text for table in tables for text in texts_of(table)} | (names.all if names else frozenset())
        check_labels(labels, known, names.variables if names else ())
    made = [relabelled(table, by_name(labels), names) for table in tables]
    return [_in_apa_style(table, what) for table in made] if apa else made


def _in_apa_style(table: Table, what: Any) -> Table:
    """Return a table with APA's symbols in its heads and limits in one column of intervals."""
    symbols = {**_SYMBOLS, **_statistic(table, what)}
    heads = [symbols.get(head, head) for head in table.heads]
    rows = [list(row) for row in table.rows]
    coefficients = getattr(what, "coefficients", None)
    if isinstance(coefficients, pd.DataFrame) and "p" in heads:
        for row, p in zip(rows, coefficients["p_value"], strict=False):
            row[heads.index("p")] = "" if np.isnan(p) else p_text(float(p))
    _round_statistics(heads, rows, what)
    for row in rows:
        row[0] = "Model as fitted" if row[0] == "<none>" else row[0]
    if heads[0] == "Contrast":
        rows = [[row[0].replace(" - ", " − "), *row[1:]] for row in rows]
    if "Lower" in heads and heads[heads.index("Lower") :][1:2] == ["Upper"]:
        at = heads.index("Lower")
        heads[at : at + 2] = [f"{100 * getattr(what, 'level', 0.95):g}% CI"]
        for row in rows:
            if len(row) > 1:
                low, high = (minus(text) for text in row[at : at + 2])
                row[at : at + 2] = [f"[{low}, {high}]" if low and high else ""]
    notes = tuple(note.replace("p_value:", "p:").replace("p_naive:", "p (χ²):") for note in table.notes)
    return replace(table, heads=tuple(heads), rows=tuple(map(tuple, rows)), notes=notes)


def _round_statistics(heads: Sequence[str], rows: Sequence[list[str]], what: Any) -> None:
    """Write the test statistics of a table with two decimals."""
    frame = getattr(what, "coefficients", getattr(what, "table", None))
    if not isinstance(frame, pd.DataFrame) or len(frame) != len(rows):
        return
    for name in frame.columns.intersection(["statistic", "t_value", "z_value", "F", "chisq"]):
        at = next((heads.index(head) for head in ("t", "z", "F", "χ²") if head in heads), None)
        for row, value in zip(rows, frame[name], strict=True):
            if at is not None and np.isfinite(value) and len(row) == len(heads):
                row[at] = f"{value:,.2f}"


_SYMBOLS = {
    "Std. Error": "SE",
    "Std. Dev.": "SD",
    "t value": "t",
    "z value": "z",
    "Pr(>|t|)": "p",
    "Pr(>|z|)": "p",
    "contrast": "Contrast",
    "term": "Term",
    "p_naive": "p (χ²)",
}


def _statistic(table: Table, what: Any) -> dict[str, str]:
    """Return the symbols of the estimates and of the test statistic of a result."""
    frame = getattr(what, "table", None)
    columns = [] if frame is None else [str(name) for name in frame.columns]
    if "df_num" in columns:
        return {"Statistic": "F"}
    slopes = any(note.startswith("Slopes of") for note in table.notes)
    kind = type(what).__name__
    estimate = {"MarginalMeans": "b" if slopes else "M", "TTest": "b"}.get(kind, "Estimate")
    if any(note.startswith("Cohen's d") for note in table.notes):
        estimate = "d"
    normal = "df" in columns and bool(np.isinf(frame["df"]).all()) if frame is not None else False
    return {"Statistic": "z" if normal else "t", "Estimate": estimate}


def _names(what: Any) -> FitNames | None:
    """Return the names of the fit of a result; None of frames and of tables of several fits."""
    names = getattr(what, "_names", None)
    if isinstance(names, FitNames):
        return names
    fit = getattr(what, "_fit", what)
    return names_of(fit) if isinstance(fit, Fit) else None


def _note(note: str, labels: Mapping[str, str]) -> str:
    """Return a note with labels in place of variables, if it is one that lists variables."""
    begins = ("Averaged over", "Held at", "Beware of", "Slopes of", "Nested")
    return text_with_labels(note, labels) if note.startswith(begins) or ": tested at " in note else note


def texts_of(table: Table) -> set[str]:
    """Return the texts of a table that labels may stand for: heads, labels of rows, subtitles and their parts."""
    rows = [cell for row in table.rows for cell in row[: max(table.left, len(row) == 1)]]
    texts = {text for text in (*table.heads, *rows, *(text for text, _ in table.spans)) if text}
    texts |= {part for text in texts for part in text.split(" | ")}
    texts |= {part for text in texts for part in factors_of(text)}
    return texts | {plain_name(text) for text in texts}


def relabelled(table: Table, labels: Mapping[str, str], names: FitNames | None = None) -> Table:
    """Return a table with names in words and labels in place of names, in heads, subtitles and labels of rows.

    Calls that code factors give way to their variables where the rows stay different.
    """
    levels = {key: text for key, text in labels.items() if names is not None and key in names.levels}
    others = {key: text for key, text in labels.items() if key not in levels}
    words = {} if names is None else names.words(labels)

    def head(text: str) -> str:
        return labels.get(text, text) if names is None else label_of(text, others)

    def cell(text: str) -> str:
        if text in labels:
            return labels[text]
        if text in words and (labels or plain_name(text) != text or len(factors_of(text)) > 1):
            return words[text]
        if " × " in text:
            return " × ".join(map(cell, text.split(" × ")))
        if " | " in text:
            return " | ".join(map(cell, text.split(" | ")))
        if any(label_of(part, others) != plain_name(part) for part in factors_of(text)):
            return term_label(text, others)
        return text if names is None else text_with_labels(plain_name(text), levels)

    own = cell if _stay_different(table) else lambda text: labels.get(text, text)
    rows = [
        (*map(own, row[: table.left]), *row[table.left :]) if len(row) > 1 else (own(row[0]),)
        for row in table.rows
    ]
    return replace(
        table,
        heads=tuple(map(head, table.heads)),
        rows=tuple(rows),
        notes=tuple(_note(note, others) for note in table.notes),
        spans=tuple((head(text), columns) for text, columns in table.spans),
    )


def _stay_different(table: Table) -> bool:
    """Return whether rows that differ in their labels still do when variables stand for the calls that code them."""
    written = {row[: table.left] for row in table.rows}
    return len({tuple(map(plain_name, row)) for row in written}) == len(written)
