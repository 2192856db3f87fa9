"""Tables of results as LaTeX, Markdown, HTML, text and Word documents."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixedfit.core.format import TABLE_WIDTH
from mixedfit.core.notebook import html_table, minus
from mixedfit.core.other_programs import hinted
from mixedfit.core.tables import Table, tables_of

from .blocks import in_blocks
from .relabelled import document_tables

__all__ = ["to_docx", "to_html", "to_latex", "to_markdown", "to_text"]


def _captioned(
    what: Any, caption: str | None, labels: Mapping[str, str] | None, *, apa: bool = False
) -> Iterator[tuple[Table, str]]:
    """Yield the tables of a result with their captions; `caption` replaces the first."""
    for number, table in enumerate(document_tables(what, labels, apa=apa)):
        yield table, table.caption if caption is None or number else caption


# -- LaTeX -----------------------------------------------------------------------------------------

_GREEK = [
    "alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
    "xi", "o", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "varphi", "chi", "psi", "omega",
]  # fmt: skip
"""Names from α to ω in the order of Unicode; ο is a Latin letter."""

_CAPITALS = {
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Υ": "Upsilon",
    "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip

_SIGNS = {
    "−": "-", "∞": r"\infty", "×": r"\times", "≤": r"\leq", "≥": r"\geq", "≈": r"\approx", "±": r"\pm", "≠": r"\neq",
    "→": r"\rightarrow", "·": r"\cdot", "√": r"\surd", "°": r"^\circ", "∂": r"\partial", "⁻": "^-", "′": "'",
    "µ": r"\mu", "ϕ": r"\phi", "ϵ": r"\epsilon", "∈": r"\in", "∑": r"\sum",
}  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "…": r"\dots{}",
    **{digit: rf"\textsuperscript{{{k}}}" for k, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{digit: rf"\textsubscript{{{k}}}" for k, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    **{chr(ord("α") + k): "o" if name == "o" else rf"$\{name}$" for k, name in enumerate(_GREEK)},
    **{letter: rf"$\{name}$" for letter, name in _CAPITALS.items()},
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)),
    **{sign: f"${code}$" for sign, code in _SIGNS.items()},
}
"""What LaTeX reads otherwise, or what its standard fonts lack, by what prints it."""

BREAK = r"\par "
"""Separator of notes; each has its own line, because some are formulas and not sentences."""


def _latex_text(text: str) -> str:
    flat = " ".join(text.split())
    return "".join(_LATEX.get(letter, letter) for letter in minus(flat))


@hinted
def to_latex(
    what: Any, *, caption: str | None = None, label: str = "", labels: Mapping[str, str] | None = None
) -> str:
    r"""Return the tables of a result as LaTeX, for the package booktabs.

    Parameters
    ----------
    what : fit, result or DataFrame
        A fit, a summary, a DataFrame, or a result with a table, such as those of `anova`, `emmeans` and
        `compare_models`.
    caption : str, optional
        Replaces the caption of the first table. With "" there is no caption and no table environment.
    label : str
        Label of the first table, for ``\ref``.
    labels : mapping of str to str, optional
        Texts in place of names of coefficients, terms, variables, levels and random effects, and of other texts in
        heads and labels of rows; interactions take those of their parts.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        If `what` has no table, or a key of labels is not a name in it or in its fit.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    >>> print(mf.to_latex(fit.t_test("(Intercept) = 1500"), caption=""))
    \begin{tabular}{lrrrrrrr}
    \toprule
     & Estimate & Std. Error & df & Statistic & p & Lower & Upper \\
    \midrule
    (Intercept) = 1500 & 1527.5 & 19.4 & 5 & 1.419 & 0.2152 & 1477.7 & 1577.3 \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    {\footnotesize Degrees of freedom: Satterthwaite.\par}
    """
    tables = enumerate(_captioned(what, caption, labels))
    return "\n\n".join(_latex(table, own, "" if number else label) for number, (table, own) in tables)


def _latex(table: Table, caption: str, label: str) -> str:
    columns = "l" * table.left + "r" * (len(table.heads) - table.left)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [*_latex_spans(table), _latex_row(table.heads), r"\midrule"]
    for number, row in enumerate(table.rows):
        if len(row) == 1 and len(table.heads) > 1:
            lines += [r"\addlinespace"] if number else []
            lines.append(rf"\multicolumn{{{len(table.heads)}}}{{l}}{{\textit{{{_latex_text(row[0])}}}}} \\")
        else:
            lines.append(_latex_row(row))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines += ["", rf"{{\footnotesize {BREAK.join(map(_latex_text, table.notes))}\par}}"]
    if not caption:
        return "\n".join(lines)
    head = [r"\begin{table}", r"\centering", rf"\caption{{{_latex_text(caption)}}}"]
    head += [rf"\label{{{label}}}"] if label else []
    return "\n".join([*head, *lines, r"\end{table}"])


def _latex_row(cells: Sequence[str]) -> str:
    first = (
        "{}" if cells[0].startswith(("[", "*")) else ""
    )  # after the end of a row they would be its options
    return first + " & ".join(map(_latex_text, cells)) + r" \\"


def _latex_spans(table: Table) -> list[str]:
    """Return the row above the heads, with a rule below each text."""
    cells, rules, first = [], [], 1
    for text, columns in table.spans:
        cells.append(
            rf"\multicolumn{{{columns}}}{{c}}{{{_latex_text(text)}}}" if text else " & " * (columns - 1)
        )
        rules += [rf"\cmidrule(lr){{{first}-{first + columns - 1}}}"] if text else []
        first += columns
    return [" & ".join(cells) + r" \\", " ".join(rules)] if cells else []


# -- Markdown --------------------------------------------------------------------------------------

_MARKDOWN = re.compile(r"([\\`*_\[\]|<>~])")


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


@hinted
def to_markdown(what: Any, *, caption: str | None = None, labels: Mapping[str, str] | None = None) -> str:
    """Return the tables of a result as Markdown, with aligned columns.

    Parameters
    ----------
    what, caption, labels
        As in `to_latex`.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        If `what` has no table, or a key of labels is not a name in it or in its fit.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    >>> print(mf.to_markdown(fit.params))
    |             | Estimate |
    | :---------- | -------: |
    | (Intercept) |   1527.5 |
    """
    return "\n\n".join(_markdown(table, own) for table, own in _captioned(what, caption, labels))


def _markdown(table: Table, caption: str) -> str:
    width = len(table.heads)
    rows = [
        [f"*{_markdown_text(row[0])}*", *[""] * (width - 1)]
        if len(row) == 1 and width > 1
        else [_markdown_text(cell) for cell in row]
        for row in table.rows
    ]
    heads = [_markdown_text(head) for head in table.one_line_heads()]
    sizes = [max([3, len(heads[j]), *(len(row[j]) for row in rows)]) for j in range(width)]

    def line(cells: Sequence[str]) -> str:
        left = table.left
        padded = [cells[j].ljust(sizes[j]) if j < left else cells[j].rjust(sizes[j]) for j in range(width)]
        return f"| {' | '.join(padded)} |"

    rule = [":" + "-" * (w - 1) if j < table.left else "-" * (w - 1) + ":" for j, w in enumerate(sizes)]
    lines = [f"**{_markdown_text(caption)}**", ""] if caption else []
    lines += [line(heads), line(rule), *(line(row) for row in rows)]
    for note in table.notes:
        lines += ["", _markdown_text(note)]
    return "\n".join(lines)


# -- HTML ------------------------------------------------------------------------------------------


@hinted
def to_html(what: Any, *, caption: str | None = None, labels: Mapping[str, str] | None = None) -> str:
    """Return the tables of a result as HTML, with captions, and header scopes for screen readers.

    Parameters
    ----------
    what, caption, labels
        As in `to_latex`.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        If `what` has no table, or a key of labels is not a name in it or in its fit.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    >>> "<th scope=\\"row\\"" in mf.to_html(fit.params)
    True
    """
    return "\n".join(html_table(table, own) for table, own in _captioned(what, caption, labels))


# -- text ------------------------------------------------------------------------------------------


def to_text(what: Any) -> str:
    """Return the tables of a result as text in columns, wide ones of several models in blocks of fewer."""
    return "\n\n".join(_text(block) for table in tables_of(what) for block in _blocks(table))


def _blocks(table: Table) -> list[Table]:
    """Return a table in blocks that fit a line, with labels in several lines where that is needed."""
    sizes = _sizes(table)
    if table.left != 1 or not table.spans or sum(sizes) + 2 * (len(sizes) - 1) <= TABLE_WIDTH:
        return [table]
    return [
        _narrow(block)
        for block in in_blocks(table, [min(sizes[0], SHORTEST), *sizes[1:]], TABLE_WIDTH, gap=2)
    ]


SHORTEST = 14
"""Letters in a line of a label, at least."""


def _narrow(table: Table) -> Table:
    """Return a table with long labels in several lines; the numbers stand beside the last."""
    letters = max(TABLE_WIDTH - sum(_sizes(table)[1:]) - 2 * (len(table.heads) - 1), SHORTEST)
    rows: list[tuple[str, ...]] = []
    for row in table.rows:
        lines = [row[0]] if len(row) == 1 else textwrap.wrap(row[0], letters, subsequent_indent="  ")
        rows += [(line, *[""] * (len(row) - 1)) for line in lines[:-1]]
        rows.append((lines[-1] if lines else "", *row[1:]))
    return replace(table, rows=tuple(rows))


def _sizes(table: Table) -> list[int]:
    """Return the width of each column in letters."""
    width = len(table.heads)
    full = [row for row in table.rows if len(row) == width]
    sizes = [max([len(head), *(len(row[j]) for row in full)]) for j, head in enumerate(table.heads)]
    first = 0
    for text, columns in table.spans:
        room = sum(sizes[first : first + columns]) + 2 * (columns - 1)
        sizes[first + columns - 1] += max(len(text) - room, 0)
        first += columns
    return sizes


def _text(table: Table) -> str:
    width, sizes = len(table.heads), _sizes(table)
    above, first = "", 0
    for text, columns in table.spans:
        room = sum(sizes[first : first + columns]) + 2 * (columns - 1)
        above += text.center(room) + "  "
        first += columns

    def line(cells: Sequence[str]) -> str:
        padded = [
            c.ljust(s) if j < table.left else c.rjust(s)
            for j, (c, s) in enumerate(zip(cells, sizes, strict=True))
        ]
        return "  ".join(padded).rstrip()

    lines = [table.caption] if table.caption else []
    lines += [above.rstrip()] if above else []
    lines += [line(table.heads)]
    lines += [row[0] if len(row) == 1 < width else line(row) for row in table.rows]
    return "\n".join([*lines, *(["", *table.notes] if table.notes else [])])


# -- Word ------------------------------------------------------------------------------------------


@hinted
def to_docx(
    what: Any, path: str | Path, *, caption: str | None = None, labels: Mapping[str, str] | None = None
) -> None:
    """Write the tables of a result to a Word document in APA style, on A4 paper.

    Tables have three horizontal rules, symbols are italic, numbers are aligned at the decimal point. Tables of many
    models are written in blocks; a table that is too wide for the page turns it.

    Parameters
    ----------
    what, caption, labels
        As in `to_latex`.
    path : str or Path
        A new .docx file; an existing one is replaced.

    Raises
    ------
    ModelError
        If `what` has no table, or python-docx is not installed (extra "word").
    """
    from .word import write_tables

    write_tables(list(_captioned(what, caption, labels, apa=True)), Path(path))
