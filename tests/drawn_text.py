"""Texts of a picture that are cut off."""

from __future__ import annotations

from typing import Any


def shown_texts(figure: Any) -> list[Any]:
    """Return the texts of a figure that are drawn: not those of ticks beyond the limits of an axis."""
    from matplotlib.text import Text

    beyond = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            room = 1e-9 * (high - low)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low - room <= tick.get_loc() <= high + room or not ax.axison:
                    beyond |= {tick.label1, tick.label2}
    texts = figure.findobj(lambda artist: isinstance(artist, Text))
    return [text for text in texts if text.get_visible() and text.get_text().strip() and text not in beyond]


def cut_texts(made: Any) -> list[str]:
    """Return the texts that the figure's edge, or the edge of the axes that clips them, cuts by more than a pixel."""
    figure = made if hasattr(made, "savefig") else made.figure
    cut = []
    for text in shown_texts(figure):
        box = text.get_window_extent()
        frames = [figure.bbox]
        if text.get_clip_on() and text.get_clip_box() is not None:
            frames.append(text.get_clip_box())
        for frame in frames:
            inside = frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1
            if not (inside and frame.y0 - 1 <= box.y0 and box.y1 <= frame.y1 + 1):
                cut.append(text.get_text())
    return cut
