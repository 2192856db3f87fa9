"""Text in pictures: names shortened, labels moved apart, categories along an axis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array

from .style import sized

__all__ = [
    "label_points",
    "legend_above",
    "level_word",
    "level_words",
    "moved_apart",
    "name_categories",
    "points_high",
    "points_wide",
    "set_categories",
    "width_in_points",
    "wrapped_title",
]

LONGEST = 18
"""Largest number of letters of a name that is not shortened."""


def level_word(label: Any) -> str:
    """Return a label as text: whole numbers without a decimal point, parts of a tuple separated by commas."""
    if isinstance(label, tuple):
        return ", ".join(level_word(part) for part in label)
    if isinstance(label, float):
        return f"{label:.10g}".replace("-", "−")
    return str(label)


def level_words(labels: pd.Index[Any] | Sequence[Any]) -> list[str]:
    """Return labels as text; long ones without the words that all begin with, or without their middle."""
    texts = [level_word(label) for label in labels]
    longest = max(map(len, texts), default=0)
    if longest > LONGEST and len(set(texts)) > 1:
        first, last = min(texts), max(texts)
        same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        common = first[: max(map(first[:same].rfind, " ,:_-./")) + 1]
        if len(common) > 3:
            texts = [f"…{text[len(common) :]}" for text in texts]
    half = LONGEST // 2
    return [text if len(text) <= LONGEST else f"{text[: half - 1]}…{text[-half:]}" for text in texts]


def width_in_points(text: str, size: float) -> float:
    """Return the approximate width in points of a text of font size `size`."""
    return 0.6 * size * max((len(line) for line in text.split("\n")), default=0)


def wrapped_title(figure: Any, title: str) -> str:
    """Return a title in lines that fit the width of a figure."""
    return textwrap.fill(title, max(30, int(12 * figure.get_figwidth() / sized(1.0))))


def legend_above(figure: Any, handles: Sequence[Any], most: int, size: float) -> None:
    """Put a legend above the panels of a figure, in rows of up to `most` entries that fit its width."""
    widths = [width_in_points(handle.get_label(), sized(size)) + 4.5 * sized(size) for handle in handles]
    most = max(1, min(most, len(handles)))
    while (
        most > 1
        and most * max(widths) > 72.0 * figure.get_figwidth()
        and sum(widths) > 72.0 * figure.get_figwidth()
    ):
        most -= 1
    figure.legend(handles=handles, loc="outside upper left", ncols=most, frameon=False, fontsize=sized(size))


def moved_apart(wanted: Array, gap: float, low: float, high: float) -> Array:
    """Return the places nearest to those wanted that are at least `gap` apart and between `low` and `high`, shape (m,).

    They solve a least-squares problem under an order, by pooling adjacent violators (Barlow et al. 1972) of the places
    less `gap` times their ranks.
    """
    order = np.argsort(wanted, kind="stable")
    ranks = gap * np.arange(order.size)
    pools: list[list[float]] = []
    for value in np.asarray(wanted, dtype=float)[order] - ranks:
        pools.append([float(value), 1.0])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            mean, count = pools.pop()
            pools[-1] = [
                (pools[-1][0] * pools[-1][1] + mean * count) / (pools[-1][1] + count),
                pools[-1][1] + count,
            ]
    level = np.repeat([mean for mean, _ in pools], [int(count) for _, count in pools])
    out = np.empty(order.size)
    room = max(high - low - (ranks[-1] if order.size else 0.0), 0.0)
    out[order] = np.clip(level, low, low + room) + ranks
    return out


def set_categories(
    ax: Any, axis: str, labels: Sequence[str], *, size: float = 9.0, room: float = 4.0
) -> None:
    """Label 0, 1, … of an axis ("x" or "y") with categories, turned if they need more than `room` inches in a row."""
    words, size = level_words(list(labels)), sized(size)
    turned = axis == "x" and sum(width_in_points(word, size) + 6.0 for word in words) > 72.0 * room
    most = 72.0 * room / (size + 2.0) if turned else 30
    places = range(0, len(words), int(np.ceil(len(words) / most)))
    shown = [words[i] for i in places]
    if axis == "y":
        ax.set_yticks(places, shown, fontsize=size)
        return
    ax.set_xticks(places, shown, fontsize=size, rotation=90 if turned else 0)
    ax.set_xlim(-0.5, len(words) - 0.5)


def name_categories(ax: Any, labels: Sequence[str], *, size: float = 9.0) -> None:
    """Label 0, 1, … of the horizontal axis with categories, in several lines where one is too long.

    Words that are too long for that are shortened and turned by `set_categories`.
    """
    wide = points_wide(ax)
    letters = int((wide / max(len(labels), 1) - 6.0) / (0.6 * sized(size)))
    longest = max((len(word) for label in labels for word in label.split()), default=0)
    if longest > letters:
        set_categories(ax, "x", labels, size=size, room=wide / 72.0)
        return
    lines = [textwrap.fill(label, letters, break_on_hyphens=False) for label in labels]
    ax.set_xticks(range(len(labels)), lines, fontsize=sized(size))
    ax.set_xlim(-0.5, len(labels) - 0.5)


def points_wide(ax: Any) -> float:
    """Return the approximate width of axes in points."""
    return float(ax.get_window_extent().width / ax.figure.dpi * 72.0)


def points_high(ax: Any) -> float:
    """Return the approximate height of axes in points; a layout engine enlarges them by an eighth."""
    grown = 1.12 if ax.figure.get_layout_engine() is not None else 1.0
    return float(grown * ax.get_window_extent().height / ax.figure.dpi * 72.0)


def label_points(
    ax: Any, x: Array, y: Array, words: Sequence[str], *, size: float = 8.0, colour: str
) -> None:
    """Name the ends of stems from 0, above positive and below negative ones, moved apart, with lines to them.

    The horizontal limits must be set before; the vertical limits are widened to hold the names.
    """
    if not len(words):
        return
    size = sized(size)
    wide, high = ax.get_window_extent().width / ax.figure.dpi * 72.0, points_high(ax)
    left, right = ax.get_xlim()
    across = (x - left) * wide / (right - left)
    widths = np.array([width_in_points(word, size) + 4.0 for word in words])
    up = np.sign(y) + (y == 0)
    span = (max(0.0, float(y.max())) - min(0.0, float(y.min()))) or 1.0
    shifts, scale = np.zeros((y.size, 2)), 0.7 * high / span
    for _ in range(4):  # names need room, which shortens the stems
        for side in (1.0, -1.0):
            mine = up == side
            stems = np.column_stack([across[mine], scale * np.abs(y[mine])])
            shifts[mine] = _free_places(stems, widths[mine], 1.3 * size, wide)
        tops = np.abs(y) + (shifts[:, 1] + 1.3 * size + 8.0) / scale
        above, below = (max(tops[up == side].max(initial=0.0), 0.02 * span) for side in (1.0, -1.0))
        scale = high / (above + below)
    line = {"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 0, "shrinkB": 2}
    for i, word in enumerate(words):
        ax.annotate(
            word, (x[i], y[i]), xytext=(shifts[i, 0], up[i] * (4.0 + shifts[i, 1])), textcoords="offset points",
            fontsize=size, color=colour, ha="center", va="bottom" if up[i] > 0 else "top",
            arrowprops=line if shifts[i, 1] > 0 else None,
        )  # fmt: skip
    ax.set_ylim(-below, above)


def _free_places(points: Array, widths: Array, height: float, wide: float) -> Array:
    """Return horizontal and vertical shifts in points that keep names off each other, off stems and inside the axes."""
    taken = [(x - 3.0, x + 3.0, 0.0, y + 3.0) for x, y in points.tolist()]
    out = np.zeros((len(points), 2))
    for i in np.argsort(points[:, 1], kind="stable").tolist():
        (x, y), w = points[i].tolist(), float(widths[i])
        across = np.clip([0.0, -0.5 * w, 0.5 * w], 0.5 * w - x, max(wide - 0.5 * w, 0.5 * w) - x).tolist()
        for up, shift in product(0.5 * height * np.arange(60.0), across):
            name = (x + shift - 0.5 * w, x + shift + 0.5 * w, y + 4.0 + up, y + 4.0 + up + height)
            if not any(_overlap(name, other) for other in taken):
                taken.append(name)
                out[i] = shift, up
                break
    return out


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two boxes (left, right, bottom, top) overlap."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
