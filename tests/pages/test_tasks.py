"""The tasks of the page: every line of ours runs, and none needs more than two."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from paths import DOCS

import mixedfit as mf

PAGE = (DOCS / "tasks.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+)\. (.+?) \| (.+) \| (`.+`) \|$", PAGE, re.MULTILINE)
NEEDS = {"t.docx": "docx", "plot": "matplotlib", "report": "matplotlib"}
"""Optional packages, by a word of the code."""


def lines_of(cell: str) -> list[str]:
    """Return the lines of code of a cell."""
    return [line.replace("\\|", "|") for line in re.findall(r"`([^`]+)`", cell)]


@lru_cache
def names() -> dict[str, Any]:
    """Return what the block at the top of the page defines."""
    scope: dict[str, Any] = {}
    block = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    exec(block[1], scope)
    return scope


def test_page_must_have_forty_tasks_in_order_of_one_or_two_lines() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 40
    assert all(1 <= len(lines_of(row[3])) <= 2 for row in ROWS)


@pytest.mark.parametrize(("number", "task", "there", "here"), ROWS, ids=[row[0] for row in ROWS])
def test_task_must_run(number: str, task: str, there: str, here: str, tmp_path: Path) -> None:
    for word, package in NEEDS.items():
        if word in here:
            pytest.importorskip(package)
    if "plot" in here or "report" in here:
        import matplotlib

        matplotlib.use("Agg")
    scope = {**names(), "folder": tmp_path}
    if "mf.read" in here:
        mf.load_dataset("sleepstudy").to_csv(tmp_path / "sleep.csv", index=False)
        here = here.replace('"sleep.csv"', 'folder / "sleep.csv"')
    for line in lines_of(here):
        value = eval(compile(ast.parse(line, mode="eval"), f"task {number}", "eval"), scope)
    made = list(tmp_path.iterdir())
    assert value is not None or made
    if "plot" in here:
        import matplotlib.pyplot as plt

        plt.close("all")
