"""Tables as a Word document, by python-docx."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixedfit.core.errors import ModelError
from mixedfit.core.notebook import minus
from mixedfit.core.tables import Table

from .word_layout import Layout, indents, layouts

__all__ = ["write_tables"]

RULE = "8"
"""Width of rules in eighths of a point."""


def write_tables(tables: Sequence[tuple[Table, str]], path: Path) -> None:
    """Write tables, each below its caption and above its notes.

    Raises
    ------
    ModelError
        If python-docx is not installed.
    """
    try:
        import docx
    except ImportError as error:
        raise ModelError(
            'Word documents need python-docx, which is not installed: pip install "mixedfit[word]"'
        ) from error
    document = docx.Document()
    made = [(layouts(table), caption) for table, caption in tables]
    _page(document, landscape=any(layout.landscape for own, _ in made for layout in own))
    for own, caption in made:
        if caption:
            title = document.add_paragraph()
            title.paragraph_format.keep_with_next = True
            title.add_run(_allowed(caption)).italic = True
        for number, layout in enumerate(own):
            if number:
                document.add_paragraph()
            _write(document, layout)
            for note in layout.table.notes:
                _note(document, note)
    document.save(str(path))


def _page(document: Any, *, landscape: bool) -> None:
    """Set the font and A4 paper."""
    from docx.enum.section import WD_ORIENT
    from docx.shared import Cm, Pt

    document.styles["Normal"].font.name = "Times New Roman"
    document.styles["Normal"].font.size = Pt(11)
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21.0), Cm(29.7)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Cm(2.54)
    if landscape:
        section.orientation = WD_ORIENT.LANDSCAPE
        section.page_width, section.page_height = section.page_height, section.page_width


def _write(document: Any, layout: Layout) -> None:
    table, width = layout.table, len(layout.table.heads)
    top = 1 if table.spans else 0
    grid = document.add_table(rows=top + 1 + len(table.rows), cols=width)
    _set_widths(grid, layout)
    cells = [list(row.cells) for row in grid.rows]  # once: to look up one cell, python-docx walks through all
    if table.spans:
        _spans(cells[0], layout)
    for column, head in enumerate(table.heads):
        _text(cells[top][column], head, layout, "CENTER" if column >= table.left else "LEFT", symbols=True)
    for number, line in enumerate(table.rows, start=top + 1):
        if len(line) == 1 < width:
            cell = cells[number][0].merge(cells[number][width - 1])
            _text(cell, line[0], layout, "LEFT", italic=True)
            continue
        for column in range(table.left):
            _text(cells[number][column], line[column], layout, "LEFT", label=True)
    _numbers(cells[top + 1 :], layout)
    _rule(grid, 0, "top")
    _rule(grid, top, "bottom")
    _rule(grid, len(grid.rows) - 1, "bottom")
    for number in range(top + 1):
        _repeat(grid.rows[number])


def _set_widths(grid: Any, layout: Layout) -> None:
    """Give each column its width; Word reads those of the grid, other programs those of the cells."""
    from docx.shared import Pt

    grid.autofit = False
    for column, width in zip(grid.columns, layout.widths, strict=True):
        column.width = Pt(width)
    for row in grid.rows:
        for cell, width in zip(row.cells, layout.widths, strict=True):
            cell.width = Pt(width)


def _numbers(cells: Sequence[Sequence[Any]], layout: Layout) -> None:
    """Write the columns of numbers, aligned at the decimal point below the middle of their heads."""
    from docx.shared import Pt

    table = layout.table
    places = [at for at, row in enumerate(table.rows) if len(row) == len(table.heads)]
    for column in range(table.left, len(table.heads)):
        texts = [minus(table.rows[at][column].strip()) for at in places]
        for at, text, indent in zip(
            places, texts, indents(texts, layout.widths[column], layout.size), strict=True
        ):
            paragraph = _text(cells[at][column], text, layout, "RIGHT")
            paragraph.paragraph_format.right_indent = Pt(round(indent, 1))


def _spans(cells: Sequence[Any], layout: Layout) -> None:
    """Write the row above the heads, with a rule below each text."""
    first = 0
    for text, columns in layout.table.spans:
        cell = cells[first]
        cell = cell.merge(cells[first + columns - 1]) if columns > 1 else cell
        _text(cell, text, layout, "CENTER")
        if text:
            _border(cell, "bottom", "4")
        first += columns


_SYMBOL = re.compile(r"(?<![\w.])(?:SE|SD|df|R²|χ²|[bdtFzpMNn])(?![\w²])")
"""Symbols of statistics in heads, which APA sets in italics."""

_LABEL = re.compile(r"^SD(?=: )|R²$")
"""Symbols in labels of rows."""

_IN_NOTES = re.compile(r"(?<!\w)(?:[pP](?=-values?)|df(?!\w)|R²|d(?= is)|SE(?!\w)|SD(?!\w))")
"""Symbols in notes."""


def _text(
    cell: Any,
    text: str,
    layout: Layout,
    side: str,
    *,
    italic: bool = False,
    symbols: bool = False,
    label: bool = False,
) -> Any:
    """Write a text into a cell; return its paragraph."""
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    paragraph = cell.paragraphs[0]
    paragraph.alignment = getattr(WD_ALIGN_PARAGRAPH, side)
    paragraph.paragraph_format.space_after = Pt(2)
    if label:  # further lines of a long label stand to the right of the first
        paragraph.paragraph_format.left_indent, paragraph.paragraph_format.first_line_indent = Pt(8), Pt(-8)
    pattern = _SYMBOL if symbols else _LABEL if label else None
    for run in _runs(paragraph, text, pattern):
        run.italic = run.italic or italic
        run.font.size = Pt(layout.size)
    return paragraph


def _runs(paragraph: Any, text: str, symbols: re.Pattern[str] | None) -> list[Any]:
    """Add a text to a paragraph, its symbols in italics; return the runs."""
    out, at, own = [], 0, _allowed(text)
    for found in [] if symbols is None else symbols.finditer(own):
        out += [paragraph.add_run(own[at : found.start()])] if found.start() > at else []
        out.append(paragraph.add_run(found.group()))
        out[-1].italic = True
        at = found.end()
    return [*out, paragraph.add_run(own[at:])] if at < len(own) or not out else out


def _allowed(text: str) -> str:
    """Return text without the control characters that XML forbids."""
    return "".join(letter for letter in text if letter >= " " or letter in "\t\n")


def _note(document: Any, note: str) -> None:
    from docx.shared import Pt

    paragraph = document.add_paragraph()
    paragraph.paragraph_format.space_after = Pt(0)
    begin = "Note. "
    if note.startswith(begin):
        paragraph.add_run(begin).italic = True
    _runs(paragraph, note.removeprefix(begin), _IN_NOTES)
    for run in paragraph.runs:
        run.font.size = Pt(10)


def _rule(grid: Any, row: int, side: str) -> None:
    for cell in grid.rows[row].cells:
        _border(cell, side, RULE)


def _border(cell: Any, side: str, width: str) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    properties = cell._tc.get_or_add_tcPr()
    borders = properties.find(qn("w:tcBorders"))
    if borders is None:
        borders = OxmlElement("w:tcBorders")
        properties.append(borders)
    line = OxmlElement(f"w:{side}")
    for name, value in (("val", "single"), ("sz", width), ("space", "0"), ("color", "000000")):
        line.set(qn(f"w:{name}"), value)
    old = borders.find(qn(f"w:{side}"))
    if old is not None:
        borders.remove(old)
    borders.insert(0 if side == "top" else len(borders), line)  # the order that the format prescribes


def _repeat(row: Any) -> None:
    """Repeat a row of heads on each page."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    row._tr.get_or_add_trPr().append(mark)
