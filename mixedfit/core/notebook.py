"""HTML of tables: what a notebook shows of a record, and what `mixedfit.to_html` writes."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from .other_programs import Hinted
from .tables import Table, tables_of

__all__ = ["NotebookTable", "html_table", "minus"]

_NEGATIVE = re.compile(r"^-(?=[\d.∞])")


def minus(text: str) -> str:
    """Return the text of a number with a minus sign for its hyphen."""
    return _NEGATIVE.sub("−", text)


def html_table(table: Table, caption: str) -> str:
    """Return one table as HTML, its notes below; all text is escaped."""
    sides = ["left" if j < table.left else "right" for j in range(len(table.heads))]

    def cell(tag: str, text: str, side: str) -> str:
        return f'<{tag} style="text-align:{side};white-space:nowrap">{html.escape(text)}</{tag.split()[0]}>'

    def line(row: Sequence[str]) -> str:
        if len(row) == 1 < len(sides):
            title = f"<em>{html.escape(row[0])}</em>"
            return f'<th scope="rowgroup" colspan="{len(sides)}" style="text-align:left">{title}</th>'
        labels = [cell('th scope="row"', text, "left") for text in row[: table.left]]
        numbers = [cell("td", minus(text.strip()), "right") for text in row[table.left :]]
        return "".join(labels + numbers)

    heads = [
        cell('th scope="col"' if head else "td", head, side)
        for head, side in zip(table.heads, sides, strict=True)
    ]
    lines = ["<table>"]
    if caption:
        lines.append(f'<caption style="text-align:left;white-space:nowrap">{html.escape(caption)}</caption>')
    lines += [f"<thead>{_spans(table)}<tr>{''.join(heads)}</tr></thead>", "<tbody>"]
    lines += [f"<tr>{line(row)}</tr>" for row in table.rows]
    lines += ["</tbody>", "</table>"]
    return "\n".join([*lines, *(f"<p>{html.escape(note)}</p>" for note in table.notes)])


def _spans(table: Table) -> str:
    """Return the row above the heads."""
    cells = [
        f'<th scope="colgroup" colspan="{columns}" style="text-align:center">{html.escape(text)}</th>'
        if text
        else f'<td colspan="{columns}"></td>'
        for text, columns in table.spans
    ]
    return f"<tr>{''.join(cells)}</tr>" if cells else ""


class NotebookTable(Hinted):
    """A record that notebooks show as HTML tables.

    The tables are those of `tables_of`; a record whose tables are too long for the screen, or whose print says more,
    overrides `_notebook_tables`.
    """

    __slots__ = ()

    def _notebook_tables(self) -> list[Table]:
        return tables_of(self)

    def _repr_html_(self) -> str:
        tables = (html_table(table, table.caption) for table in self._notebook_tables())
        return "\n".join(['<div class="mixedfit">', *tables, "</div>"])
