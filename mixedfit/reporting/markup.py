"""Tables as LaTeX, Markdown and HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import Any

from .table import Table, tables_of

__all__ = ["html_table", "to_html", "to_latex", "to_markdown"]

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
"""Between notes, which are no sentences where they are formulas."""

_NEGATIVE = re.compile(r"^-(?=[\d.])")


def _latex_text(text: str) -> str:
    flat = " ".join(text.split())
    return "".join(_LATEX.get(letter, letter) for letter in _NEGATIVE.sub("−", flat))


def to_latex(what: Any, *, caption: str | None = None, label: str = "") -> str:
    r"""Return the tables of a record as LaTeX, in booktabs' style.

    Parameters
    ----------
    what : fit or record
        A fit, a summary, or anything with a table: `anova`, `emmeans`, `compare_models`, a DataFrame.
    caption : str, optional
        Replaces the table's own (of the first, if there are several). With "" there is none, and no table environment.
    label : str
        Of the first table, for ``\ref``.

    Raises
    ------
    ModelError
        If there is no table.

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
    parts = []
    for number, table in enumerate(tables_of(what)):
        own = table.caption if caption is None or number else caption
        parts.append(_latex(table, own, label if number == 0 else ""))
    return "\n\n".join(parts)


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


def to_markdown(what: Any, *, caption: str | None = None) -> str:
    """Return the tables of a record as Markdown, aligned so that the text can be read too.

    Parameters
    ----------
    what, caption
        As in `to_latex`.

    Raises
    ------
    ModelError
        If there is no table.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    >>> print(mf.to_markdown(fit.params))
    |             | Estimate |
    | :---------- | -------: |
    | (Intercept) |   1527.5 |
    """
    parts = []
    for number, table in enumerate(tables_of(what)):
        own = table.caption if caption is None or number else caption
        parts.append(_markdown(table, own))
    return "\n\n".join(parts)


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


def to_html(what: Any, *, caption: str | None = None) -> str:
    """Return the tables of a record as HTML: captions, and headers with their scope, for screen readers too.

    Parameters
    ----------
    what, caption
        As in `to_latex`.

    Raises
    ------
    ModelError
        If there is no table.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    >>> "<th scope=\\"row\\"" in mf.to_html(fit.params)
    True
    """
    parts = []
    for number, table in enumerate(tables_of(what)):
        own = table.caption if caption is None or number else caption
        parts.append(html_table(table, own))
    return "\n".join(parts)


def html_table(table: Table, caption: str) -> str:
    """Return one table as HTML, its notes below."""
    escape: Callable[[str], str] = html.escape
    lines = ["<table>"]
    if caption:
        lines.append(f'<caption style="text-align:left">{escape(caption)}</caption>')
    cells = [
        f'<th scope="col" style="text-align:{"left" if j < table.left else "right"}">{escape(head)}</th>'
        if head
        else "<td></td>"
        for j, head in enumerate(table.heads)
    ]
    lines.append(f"<thead><tr>{''.join(cells)}</tr></thead>")
    lines.append("<tbody>")
    for row in table.rows:
        if len(row) == 1 and len(table.heads) > 1:
            lines.append(
                f'<tr><th scope="rowgroup" colspan="{len(table.heads)}" style="text-align:left">'
                f"<em>{escape(row[0])}</em></th></tr>"
            )
            continue
        shown = [
            f'<th scope="row" style="text-align:left">{escape(cell)}</th>'
            if j < table.left
            else f'<td style="text-align:right">{escape(_NEGATIVE.sub("−", cell.strip()))}</td>'
            for j, cell in enumerate(row)
        ]
        lines.append(f"<tr>{''.join(shown)}</tr>")
    lines += ["</tbody>", "</table>"]
    return "\n".join([*lines, *(f"<p>{escape(note)}</p>" for note in table.notes)])
