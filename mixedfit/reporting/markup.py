"""Tables of results as LaTeX, Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mixedfit.core.notebook import html_table, minus
from mixedfit.core.other_programs import hinted
from mixedfit.core.tables import Table, tables_of

__all__ = ["to_html", "to_latex", "to_markdown"]


def _captioned(what: Any, caption: str | None) -> Iterator[tuple[Table, str]]:
    """Yield the tables of a result with their captions; `caption` replaces the first."""
    for number, table in enumerate(tables_of(what)):
        yield table, table.caption if caption is None or number else caption


# -- LaTeX -----------------------------------------------------------------------------------------

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
    "²": r"\textsuperscript{2}",
    "χ": r"$\chi$",
    "σ": r"$\sigma$",
    "β": r"$\beta$",
    "θ": r"$\theta$",
    "−": r"$-$",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "…": r"\dots{}",
}

BREAK = r"\par "
"""Separator of notes; each has its own line, because some are formulas and not sentences."""


def _latex_text(text: str) -> str:
    flat = " ".join(text.split())
    return "".join(_LATEX.get(letter, letter) for letter in minus(flat))


@hinted
def to_latex(what: Any, *, caption: str | None = None, label: str = "") -> str:
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

    Returns
    -------
    str

    Raises
    ------
    ModelError
        If `what` has no table.

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
    tables = enumerate(_captioned(what, caption))
    return "\n\n".join(_latex(table, own, "" if number else label) for number, (table, own) in tables)


def _latex(table: Table, caption: str, label: str) -> str:
    columns = "l" * table.left + "r" * (len(table.heads) - table.left)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [" & ".join(map(_latex_text, table.heads)) + r" \\", r"\midrule"]
    for number, row in enumerate(table.rows):
        if len(row) == 1 and len(table.heads) > 1:
            lines += [r"\addlinespace"] if number else []
            lines.append(rf"\multicolumn{{{len(table.heads)}}}{{l}}{{\textit{{{_latex_text(row[0])}}}}} \\")
        else:
            lines.append(" & ".join(map(_latex_text, row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines += ["", rf"{{\footnotesize {BREAK.join(map(_latex_text, table.notes))}\par}}"]
    if not caption:
        return "\n".join(lines)
    head = [r"\begin{table}", r"\centering", rf"\caption{{{_latex_text(caption)}}}"]
    head += [rf"\label{{{label}}}"] if label else []
    return "\n".join([*head, *lines, r"\end{table}"])


# -- Markdown --------------------------------------------------------------------------------------

_MARKDOWN = re.compile(r"([\\`*_\[\]|<>~])")


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


@hinted
def to_markdown(what: Any, *, caption: str | None = None) -> str:
    """Return the tables of a result as Markdown, with aligned columns.

    Parameters
    ----------
    what, caption
        As in `to_latex`.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        If `what` has no table.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    >>> print(mf.to_markdown(fit.params))
    |             | Estimate |
    | :---------- | -------: |
    | (Intercept) |   1527.5 |
    """
    return "\n\n".join(_markdown(table, own) for table, own in _captioned(what, caption))


def _markdown(table: Table, caption: str) -> str:
    width = len(table.heads)
    rows = [
        [f"*{_markdown_text(row[0])}*", *[""] * (width - 1)]
        if len(row) == 1 and width > 1
        else [_markdown_text(cell) for cell in row]
        for row in table.rows
    ]
    heads = [_markdown_text(head) for head in table.heads]
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
def to_html(what: Any, *, caption: str | None = None) -> str:
    """Return the tables of a result as HTML, with captions, and header scopes for screen readers.

    Parameters
    ----------
    what, caption
        As in `to_latex`.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        If `what` has no table.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    >>> "<th scope=\\"row\\"" in mf.to_html(fit.params)
    True
    """
    return "\n".join(html_table(table, own) for table, own in _captioned(what, caption))
