"""Widths of columns and places of numbers in Word tables, from the widths of letters in Times New Roman."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mixedfit.core.tables import Table

from .blocks import in_blocks

__all__ = ["LANDSCAPE", "PORTRAIT", "Layout", "indents", "layouts", "points"]

PORTRAIT, LANDSCAPE = 451.0, 698.0
"""Width of the text on A4 paper with margins of 2.54 cm, in points."""

SIZES = (11.0, 10.0, 9.0, 8.0)
"""Sizes of letters that are tried, in points."""

PADDING = 5.0
"""Space on each side of a cell's text, in points."""

SLACK = 2.0
"""Further space in a cell, since the widths of letters are rounded."""

LABELS = 105.0
"""Width of a column of labels, in points, below which labels are not broken into lines."""

_WIDTHS = {
    **dict.fromkeys(".,:; |!/’'()[]ijltfI", 0.31),
    **dict.fromkeys(" .,", 0.25),
    **dict.fromkeys("−<>+=×±~", 0.57),
    **dict.fromkeys("mwMW%&@", 0.86),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZÄÖÜ", 0.69),
}
"""Widths of letters over their size; other letters have 0.5, as digits have exactly."""

_NUMBER = re.compile(r"^[<>]? ?[-−]?\d*(?P<point>\.?)(?P<decimals>\d*)$")


def points(text: str, size: float) -> float:
    """Return the approximate width of a text in Times New Roman, in points."""
    return size * sum(_WIDTHS.get(letter, 0.5) for letter in text)


@dataclass(frozen=True)
class Layout:
    """A table on a page.

    Attributes
    ----------
    table : Table
    size : float
        Size of the letters, in points.
    widths : tuple of float
        Width of each column, in points.
    landscape : bool
        Whether it is too wide for a page in portrait.
    """

    table: Table
    size: float
    widths: tuple[float, ...]
    landscape: bool


def layouts(table: Table) -> list[Layout]:
    """Return a table with the largest letters at which it fits the width of a page; of many models, in blocks.

    Long labels are broken into lines, numbers never.
    """
    for size in SIZES:
        if (widths := _fitted(table, size, PORTRAIT)) is not None:
            return [Layout(table, size, widths, False)]
    sizes = _natural(table, SIZES[-1])
    sizes[0] = min(sizes[0], LABELS * SIZES[-1] / SIZES[0])
    blocks = in_blocks(table, sizes, PORTRAIT, gap=0.0)
    if len(blocks) > 1:
        return [layout for block in blocks for layout in layouts(block)]
    widths = _fitted(table, SIZES[-1], LANDSCAPE)
    return [Layout(table, SIZES[-1], tuple(_natural(table, SIZES[-1])) if widths is None else widths, True)]


def _fitted(table: Table, size: float, room: float) -> tuple[float, ...] | None:
    """Return the widths of the columns if they fit, the labels in several lines if need be; else None."""
    widths = _natural(table, size)
    left = widths[: table.left]
    excess = sum(widths) - room
    if excess <= 0:
        return tuple(widths)
    least = [min(width, LABELS * size / SIZES[0]) for width in left]
    spare = sum(left) - sum(least)
    if excess > spare or not left:
        return None
    shrunk = [width - (width - small) * excess / spare for width, small in zip(left, least, strict=True)]
    return (*shrunk, *widths[table.left :])


def _natural(table: Table, size: float) -> list[float]:
    """Return the widths of the columns without line breaks."""
    out = []
    for column, head in enumerate(table.heads):
        texts = [row[column] for row in table.rows if len(row) == len(table.heads)]
        inside = max((points(text, size) for text in [head, *texts]), default=0.0)
        if column >= table.left:
            inside = max(inside, _block(texts, size)[0])
        out.append(inside + 2 * PADDING + SLACK)
    first = 0
    for text, columns in table.spans:
        lacking = points(text, size) + 2 * PADDING - sum(out[first : first + columns])
        for column in range(first, first + columns):
            out[column] += max(lacking, 0.0) / columns
        first += columns
    return out


def _block(texts: Sequence[str], size: float) -> tuple[float, int]:
    """Return the width of numbers that are aligned at the point, and their largest number of decimals."""
    found = [m for text in texts if text and (m := _NUMBER.match(text))]
    most = max((len(m["decimals"]) for m in found), default=0)
    whole = max((points(m.string[: m.start("point")], size) for m in found), default=0.0)
    return whole + (points(".", size) + most * 0.5 * size if most else 0.0), most


def indents(texts: Sequence[str], width: float, size: float) -> list[float]:
    """Return the space to the right of each text that aligns decimal points and centres the column, in points.

    Texts that are no numbers, such as intervals, are centred as one block.
    """
    block, most = _block(texts, size)
    others = max((points(t, size) for t in texts if t and not _NUMBER.match(t)), default=0.0)
    inside = width - 2 * PADDING
    centred = max((inside - max(block, others)) / 2, 0.0)
    out = []
    for text in texts:
        found = _NUMBER.match(text) if text else None
        lacking = 0.0
        if found and most:
            lacking = (most - len(found["decimals"])) * 0.5 * size
            lacking += 0.0 if found["point"] else points(".", size)
        out.append(centred + (lacking if block <= inside else 0.0))
    return out
