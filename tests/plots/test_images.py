"""The pictures of docs/images against the same pictures drawn now: what a reader sees, block by block of pixels.

`python docs/pictures.py` draws them anew; look at them before they are kept.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_text import cut_texts
from paths import DOCS

import mixedfit as mf

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
if tuple(int(part) for part in matplotlib.__version__.split(".")[:2]) < (3, 10):
    pytest.skip("the images were drawn by a newer matplotlib, whose lines differ", allow_module_level=True)
import matplotlib.image as mpimg  # noqa: E402
import matplotlib.pyplot as plt  # noqa: E402

SPEC = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
assert SPEC is not None
assert SPEC.loader is not None
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)

BLOCK = 6
"""Pixels of a block's side: letters of another version of the fonts blur, lines that move by 6 pixels do not."""

TOLERANCE = 0.008
"""Root mean square difference of the blocks' darkness, white 0 and black 1."""


@pytest.fixture(autouse=True)
def _no_figure_must_stay_open() -> Iterator[None]:
    yield
    plt.close("all")


def blocks(image: Any) -> Any:
    """Return the mean darkness of blocks of pixels, by colour."""
    rows, columns = (size // BLOCK * BLOCK for size in image.shape[:2])
    cut = 1.0 - image[:rows, :columns, :3]
    return cut.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK, 3).mean(axis=(1, 3))


@lru_cache(maxsize=64)
def kept(name: str) -> Any:
    return blocks(mpimg.imread(DOCS / "images" / f"{name}.png"))


def drawn(made: Any) -> Any:
    """Return the blocks of a figure, or of that of axes."""
    file = io.BytesIO()
    pictures.figure_of(made).savefig(file, dpi=pictures.DPI)
    file.seek(0)
    return blocks(mpimg.imread(file))


def difference(one: Any, other: Any) -> float:
    """Return the root mean square difference of pictures of one size; of others what lies outside both counts fully."""
    rows, columns = (min(a, b) for a, b in zip(one.shape[:2], other.shape[:2], strict=True))
    square = np.sum((one[:rows, :columns] - other[:rows, :columns]) ** 2) / 3
    outside = max(one.shape[0] * one.shape[1], other.shape[0] * other.shape[1]) - rows * columns
    return float(np.sqrt((square + outside) / (rows * columns + outside)))


def test_cut_text_must_be_found() -> None:
    figure, ax = plt.subplots(figsize=(3, 3))
    ax.text(0.5, 0.5, "inside")
    ax.text(0.9, 0.2, "beyond the edge of the figure")
    ax.text(0.98, 0.9, "clipped", clip_on=True)
    figure.canvas.draw()
    assert set(cut_texts(figure)) == {"beyond the edge of the figure", "clipped"}


@pytest.mark.everyday(3)
@pytest.mark.parametrize("name", list(pictures.SHIPPED))
def test_picture_must_look_as_in_the_documentation_and_cut_no_text(name: str) -> None:
    made = pictures.SHIPPED[name]()
    now = drawn(made)
    assert cut_texts(made) == []
    assert difference(now, kept(name)) < TOLERANCE
    for other in pictures.SHIPPED:
        if other != name:
            assert difference(now, kept(other)) > 4 * TOLERANCE, other


@pytest.mark.everyday(1)
@pytest.mark.parametrize("name", list(pictures.DRAWN))
def test_picture_of_random_draws_must_look_more_like_its_own_than_like_any_other(name: str) -> None:
    made = pictures.DRAWN[name]()
    now = drawn(made)
    assert cut_texts(made) == []
    own = difference(now, kept(name))
    assert own < 12 * TOLERANCE  # other draws make 5 to 9 times
    assert all(
        difference(now, kept(other)) > 2 * own
        for other in (pictures.SHIPPED | pictures.DRAWN)
        if other != name
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", list(pictures.FROM_NELS))
def test_picture_of_schools_must_look_as_in_the_documentation(name: str, shared_data: Path) -> None:
    assert (shared_data / "nels.csv").exists()
    assert difference(drawn(pictures.FROM_NELS[name]()), kept(name)) < TOLERANCE


def without_two(made: Any) -> Any:
    figure = pictures.figure_of(made)
    for ax in figure.axes:
        for artist in [*ax.lines, *ax.collections][:2]:
            artist.remove()
    return figure


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    "name", ["caterpillar", "shrinkage", "residuals_fitted", "qq_residuals", "spaghetti", "within_group"]
)
def test_a_picture_that_lacks_two_of_its_artists_must_not_pass(name: str) -> None:
    assert difference(drawn(without_two(pictures.SHIPPED[name]())), kept(name)) > TOLERANCE


def test_a_picture_of_another_effect_must_not_pass() -> None:
    fit = pictures.sleep()
    assert difference(drawn(fit.plot.caterpillar(effect="(Intercept)")), kept("caterpillar")) > TOLERANCE
    part = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")[:100]).fit()
    assert difference(drawn(part.plot.residuals_fitted()), kept("residuals_fitted")) > TOLERANCE
