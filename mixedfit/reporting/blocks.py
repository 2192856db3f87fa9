"""Wide tables of several models in blocks of fewer models, for a terminal or a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mixedfit.core.tables import Table

__all__ = ["in_blocks"]


def in_blocks(table: Table, sizes: Sequence[float], room: float, *, gap: float) -> list[Table]:
    """Return a table whose columns are too wide for the room as tables of fewer models; else the table alone.

    Parameters
    ----------
    table : Table
        With `spans` of several models; other tables stay as they are.
    sizes : sequence of float
        Width of each column.
    room, gap : float
        Width of a line, and of the space between columns.

    Returns
    -------
    list of Table
        Each has the rows that its models have. The first has the caption, the last the notes.
    """
    if sum(sizes) + gap * (len(sizes) - 1) <= room or len([text for text, _ in table.spans if text]) < 2:
        return [table]
    blocks: list[list[int]] = []
    left = list(range(table.left))
    used = room
    for columns in _models(table):
        width = sum(sizes[c] for c in columns) + gap * len(columns)
        if used + width > room:
            blocks.append([])
            used = sum(sizes[c] for c in left) + gap * (len(left) - 1)
        blocks[-1] += columns
        used += width
    last = len(blocks) - 1
    return [
        _with_columns(table, left, columns, first=at == 0, last=at == last)
        for at, columns in enumerate(blocks)
    ]


def _models(table: Table) -> list[list[int]]:
    """Return the columns of each model."""
    out, at = [], 0
    for text, columns in table.spans:
        if text:
            out.append(list(range(at, at + columns)))
        at += columns
    return out


def _with_columns(table: Table, left: list[int], columns: list[int], *, first: bool, last: bool) -> Table:
    own = [*left, *columns]
    spans, at = [], 0
    for text, count in table.spans:
        if not text or at in columns:
            spans.append((text, count))
        at += count
    return replace(
        table,
        caption=table.caption if first else "",
        heads=tuple(table.heads[c] for c in own),
        rows=tuple(
            row if len(row) == 1 else tuple(row[c] for c in own)
            for row in table.rows
            if len(row) == 1 or any(row[c] for c in columns)
        ),
        spans=tuple(spans),
        notes=table.notes if last else (),
    )
