"""Tables of the page: rows beside each other where there is room, on a phone each row's cells under its name."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ..tables import Table
from .naming import plain

__all__ = ["list_of", "paragraphs", "scrolled", "stacked"]


NARROW = 3
"""Columns that a phone has room for, names among them."""


def paragraphs(sentences: Sequence[str]) -> str:
    """Return a paragraph for each sentence."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in sentences)


def list_of(items: Sequence[str]) -> str:
    """Return a list, or nothing if it would be empty."""
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in items)}</ul>" if items else ""


def scrolled(body: str, label: str) -> str:
    """Return what may be wider than the window, so that it scrolls by itself and by the keyboard."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(label)}">{body}</div>'


def stacked(table: Table, caption: str) -> str:
    """Return a table whose cells know their heads, with its notes.

    A phone shows each row as a block, unless there are few columns; roles keep it a table for a screen reader there.
    """
    heads = [_head(head, at < table.left) for at, head in enumerate(table.heads)]
    rows = [_row(table, row) for row in table.rows]
    shape = ' class="stacked"' if len(table.heads) > NARROW else ""
    body = (
        f'<table role="table"{shape}><caption>{html.escape(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{"".join(heads)}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )
    return scrolled(body, caption) + paragraphs(table.notes)


def _head(text: str, is_label: bool) -> str:
    if not text:
        return '<td role="cell"></td>'
    side = "left" if is_label else "right"
    return f'<th role="columnheader" scope="col" style="text-align:{side}">{html.escape(text)}</th>'


def _row(table: Table, row: Sequence[str]) -> str:
    shown = html.escape(plain(row[0])).replace(":", ":<wbr>")
    name = f'<th role="rowheader" scope="row">{shown}</th>'
    cells = "".join(
        f'<td role="cell" data-head="{html.escape(head)}">{html.escape(text.strip().replace("-", "−"))}</td>'
        for head, text in zip(table.heads[1:], row[1:], strict=True)
    )
    return f'<tr role="row">{name}{cells}</tr>'
