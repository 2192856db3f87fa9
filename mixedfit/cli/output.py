"""What commands print or write: text, JSON, HTML pages, warnings in words."""

from __future__ import annotations

import html as markup
import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.format import text_columns
from mixedfit.core.notebook import html_table
from mixedfit.core.tables import Table, frame_table
from mixedfit.plots.style import pyplot
from mixedfit.reporting.markup import to_docx, to_html, to_text
from mixedfit.reporting.relabelled import document_tables
from mixedfit.reporting.summary import Summary

__all__ = [
    "Limits",
    "check_folder",
    "check_picture",
    "format_of",
    "labels_of",
    "rendered",
    "table",
    "warnings_in_words",
    "write",
    "write_frame",
]

PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".eps", ".ps", ".tif", ".tiff", ".webp")
"""Endings of files that matplotlib writes."""


def check_picture(path: str) -> None:
    """Refuse a picture that could not be written, before anything is sampled."""
    pyplot()
    if Path(path).suffix.lower() not in PICTURES:
        raise DataError(f"--plot names {path!r}; expected a file that ends in {', '.join(PICTURES)}.")
    check_folder("--plot", path)


def check_folder(option: str, path: str | None) -> None:
    """Raise `DataError` if the folder of a file that an option names is not there."""
    if path is not None and not Path(path).resolve().parent.is_dir():
        raise DataError(f"{option} names {path!r}, but there is no folder {str(Path(path).parent)!r}.")


@contextmanager
def warnings_in_words() -> Iterator[None]:
    """Print warnings as sentences, each once, before the output, unless an error is printed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"mixedfit: {message}", file=sys.stderr)


def format_of(out: str | None) -> str:
    """Return the format that a file's name asks for."""
    suffix = Path(out).suffix.lower() if out else ""
    return {".json": "json", ".html": "html", ".htm": "html", ".csv": "csv"}.get(suffix, "text")


@dataclass(frozen=True)
class Limits:
    """Intervals of parameters.

    Attributes
    ----------
    caption : str
    frame : pandas.DataFrame
        Columns estimate, lower, upper.
    """

    caption: str
    frame: pd.DataFrame

    @property
    def table(self) -> Table:
        """The intervals as text."""
        return frame_table(self.frame, self.caption, ())

    def __str__(self) -> str:
        table = self.table
        columns = list(zip(*table.rows, strict=True))
        return "\n".join([f"{self.caption}:", *text_columns(list(table.heads), columns, left=table.left)])


def rendered(summary: Summary, how: str, limits: Limits | None = None) -> str:
    """Return a summary, and intervals, as text, JSON or an HTML page."""
    if how == "json":
        record = summary.to_dict()
        if limits is not None:
            record["intervals"] = {"method": limits.caption, "parameters": _rows(limits.frame)}
        return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    if how == "html":
        return _page(
            summary._repr_html_() + ("" if limits is None else html_table(limits.table, limits.caption))
        )
    return str(summary) if limits is None else f"{summary}\n\n{limits}"


def _rows(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the rows of a table by their labels, as JSON has them."""
    return {str(name): {str(k): _number(v) for k, v in row.items()} for name, row in frame.iterrows()}


def labels_of(pairs: Sequence[str]) -> dict[str, str]:
    """Return the labels that ``--label NAME=TEXT`` gives; a name may hold signs of equality in brackets.

    Raises
    ------
    ModelError
        If one has no sign of equality, or no name before it.
    """
    out = {}
    for pair in pairs:
        name, sign, text = pair.rpartition("=")
        if not (sign and name.strip()):
            raise ModelError(
                f"--label {pair!r} is not of the form NAME=TEXT, such as --label prime='Related prime'."
            )
        out[name.strip()] = text.strip()
    return out


def write_frame(
    record: Any, frame: pd.DataFrame, out: str | None, labels: Mapping[str, str] | None = None
) -> None:
    """Write a result: its print, or by the ending of the file its table as JSON, CSV, Word or an HTML page.

    Labels stand in place of names in Word, HTML and text; JSON and CSV keep the names of the data.
    """
    how = format_of(out)
    if out is not None and Path(out).suffix.lower() == ".docx":
        to_docx(record, out, labels=labels)
        print(f"Written to {out}", file=sys.stderr)
    elif how == "csv":
        named = frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)
        write(frame.to_csv(index=named).rstrip(), out)
    elif how == "html":
        write(_page(to_html(record, labels=labels) if labels else record._repr_html_()), out)
    elif how == "json":
        index = frame.index.name or "row"
        rows = [
            {**({} if isinstance(frame.index, pd.RangeIndex) else {str(index): str(label)}),
             **{str(k): _number(v) for k, v in row.items()}}
            for label, row in frame.iterrows()
        ]  # fmt: skip
        notes = list(getattr(record, "notes", ()))
        write(json.dumps({"rows": rows, "notes": notes}, indent=2, ensure_ascii=False, allow_nan=False), out)
    else:
        made = document_tables(record, labels) if labels else []
        write("\n\n".join(map(to_text, made)) or str(record), out)


def _page(body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>mixedfit</title>'
        "<style>body{font-family:system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse;margin:1em 0}caption{text-align:left;font-weight:bold}"
        "th,td{padding:.2em .6em;border-bottom:1px solid #ccc}</style></head>\n"
        f"<body>{body}</body></html>"
    )


def table(table: pd.DataFrame, facts: dict[str, Any], text: str, how: str) -> str:
    """Return a table of parameters with further facts as JSON, or the printed text as an HTML page."""
    if how == "html":
        return _page(f"<pre>{markup.escape(text)}</pre>")
    return json.dumps({**facts, "parameters": _rows(table)}, indent=2, ensure_ascii=False, allow_nan=False)


def _number(value: Any) -> Any:
    """Return a value as JSON has it: null for NaN, the text "Infinity" or "-Infinity" for infinite numbers."""
    if isinstance(value, float | np.floating):
        if np.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return None if np.isnan(value) else float(value)
    return value.item() if isinstance(value, np.generic) else value


def write(text: str, out: str | None) -> None:
    """Write text to a file and say so on standard error, or print it."""
    if out is None:
        print(text)
        return
    try:
        Path(out).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from None
    print(f"Written to {out}", file=sys.stderr)
