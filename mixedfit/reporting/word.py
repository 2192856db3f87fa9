"""Tables as a Word document, by python-docx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixedfit.core.errors import ModelError
from mixedfit.core.notebook import minus
from mixedfit.core.tables import Table

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
    _page(document, max(len(table.heads) for table, _ in tables))
    for table, caption in tables:
        if caption:
            document.add_paragraph().add_run(caption).italic = True
        _write(document, table)
        for note in table.notes:
            _note(document, note)
    document.save(str(path))


def _page(document: Any, columns: int) -> None:
    """Set the font, and turn the page if there are many columns."""
    from docx.enum.section import WD_ORIENT
    from docx.shared import Pt

    document.styles["Normal"].font.name = "Times New Roman"
    document.styles["Normal"].font.size = Pt(11)
    if columns > 7:
        section = document.sections[0]
        section.orientation = WD_ORIENT.LANDSCAPE
        section.page_width, section.page_height = section.page_height, section.page_width


def _write(document: Any, table: Table) -> None:
    width = len(table.heads)
    lines = [*([()] if table.spans else []), table.heads, *table.rows]
    grid = document.add_table(rows=len(lines), cols=width)
    grid.autofit = True
    top = 1 if table.spans else 0
    if table.spans:
        _spans(grid, table)
    for number, line in enumerate(lines[top:], start=top):
        if len(line) == 1 < width:
            _text(grid.cell(number, 0).merge(grid.cell(number, width - 1)), line[0], left=True, italic=True)
            continue
        for column, text in enumerate(line):
            _text(
                grid.cell(number, column),
                text if column < table.left else minus(text),
                left=column < table.left,
            )
    _rule(grid, 0, "top")
    _rule(grid, top, "bottom")
    _rule(grid, len(lines) - 1, "bottom")
    for number in range(top + 1):
        _repeat(grid.rows[number])


def _spans(grid: Any, table: Table) -> None:
    """Write the row above the heads, with a rule below each text."""
    first = 0
    for text, columns in table.spans:
        cell = grid.cell(0, first)
        cell = cell.merge(grid.cell(0, first + columns - 1)) if columns > 1 else cell
        _text(cell, text, left=False, centre=True)
        if text:
            _border(cell, "bottom", "4")
        first += columns


def _text(cell: Any, text: str, *, left: bool, italic: bool = False, centre: bool = False) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    paragraph = cell.paragraphs[0]
    side = "CENTER" if centre else "LEFT" if left else "RIGHT"
    paragraph.alignment = getattr(WD_ALIGN_PARAGRAPH, side)
    paragraph.paragraph_format.space_after = Pt(2)
    paragraph.add_run(_allowed(text)).italic = italic


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
    paragraph.add_run(_allowed(note.removeprefix(begin)))
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
