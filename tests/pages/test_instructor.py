"""The instructor's page: every lesson has its parts, and what it tells to type runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from lessons import LESSONS, PAGES, script
from paths import ROOT

PAGE = (LESSONS / "instructor.md").read_text(encoding="utf-8")
SECTIONS = {part[:3]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:] if part[0] == "0"}
ROWS = [
    pytest.param(number, code, id=f"{number}: {code}")
    for number, section in SECTIONS.items()
    for code in re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", section, re.MULTILINE)
]


def test_each_lesson_must_have_all_parts_in_order() -> None:
    assert [f"{number}" for number in SECTIONS] == [page[:3] for page in PAGES]
    for section in SECTIONS.values():
        parts = re.findall(r"^\*\*([A-Z]\w+)\.\*\*", section, re.MULTILINE)
        assert parts == ["Aim", "Time", "Show", "Ask", "Mistakes", "Project", "Variants"]


def test_lecture_must_last_ninety_minutes_and_the_course_two_days() -> None:
    lecture, course = PAGE.split("## A course of two days")
    minutes = re.findall(r"^\| (\d+) \|", lecture.split("## A lecture of 90 minutes")[1], re.MULTILINE)
    assert sum(map(int, minutes)) == 90
    days = course.split("| **Second day** ")
    assert [len(re.findall(r"\| 1 \|", day)) for day in days] == [6, 6]


def test_instructor_must_be_pointed_to_what_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (LESSONS / target).exists(), target
    for number, exercise in re.findall(r"^## (\d{3})|exercise (\d)", PAGE, re.MULTILINE):
        if number:
            page = (LESSONS / next(p for p in PAGES if p.startswith(number))).read_text(encoding="utf-8")
        else:
            assert f"\n{exercise}. " in page.split("## Exercises")[1]


@pytest.mark.everyday(1)
@pytest.mark.parametrize(("number", "code"), ROWS)
def test_picture_of_the_page_must_be_drawn(
    number: str, code: str, lesson: Callable[[str], dict[str, Any]]
) -> None:
    """Code runs after the lesson; a command names a script and a picture of it."""
    if code.startswith("python "):
        _, path, *names = code.split()
        assert (ROOT / path).is_file()
        pictures = script("pictures")
        assert set(names) <= set(pictures.PICTURES | pictures.FROM_GRASS)
        return
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with contextlib.chdir(ROOT):
        drawn = eval(code, dict(lesson(number)))
    figure = drawn if hasattr(drawn, "savefig") else drawn.figure
    assert any(ax.has_data() for ax in figure.axes)
    plt.close("all")
