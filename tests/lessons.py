"""Lessons as their notebooks: the cells of each run once, in one namespace, and must print what the page shows."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import sys
import traceback
from collections.abc import Sequence
from doctest import TestResults
from functools import lru_cache
from types import ModuleType
from typing import Any

from pages import OPTIONS, Exact, Near
from paths import ROOT

LESSONS = ROOT / "docs" / "lessons"
PAGES = sorted(page.name for page in LESSONS.glob("0*.md"))
BORROWED = {"002-planting-density.md": "pdensity.csv", "003-schools-with-slopes.md": "nels.csv"}
"""Lessons whose data do not ship with the project."""


@lru_cache
def script(name: str) -> ModuleType:
    """Return a script of the lessons' folder as a module."""
    spec = importlib.util.spec_from_file_location(f"lesson_{name}", LESSONS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def cells_of(name: str) -> list[Any]:
    """Return the cells of a lesson."""
    cells: list[Any] = script("notebooks").cells_of((LESSONS / name).read_text(encoding="utf-8"))
    return cells


def run_cells(cells: Sequence[Any]) -> tuple[TestResults, dict[str, Any]]:
    """Return how many statements ran and how many cells failed, and the names that the cells have defined."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    failed = tried = 0
    with contextlib.chdir(ROOT):
        for cell in cells:
            if cell.kind == "code" and cell.source:
                tried += len(ast.parse(cell.source).body)
                failed += not _runs_as_shown(cell, scope)
    return TestResults(failed, tried), scope


def _runs_as_shown(cell: Any, scope: dict[str, Any]) -> bool:
    """Return whether a cell prints, or raises, what the page shows; if not, print the difference."""
    printed, error = _printed(cell.source, scope)
    checker = Near() if cell.draws else Exact()
    if error is None or cell.raises is None:
        wanted, found = (
            cell.shown,
            printed if error is None else printed + "".join(traceback.format_exception(error)),
        )
        same = cell.raises is None and error is None and checker.check_output(wanted, found, OPTIONS)
    else:
        names = (cell.raises.partition(":")[0].rpartition(".")[2], type(error).__name__)
        wanted, found = cell.raises.partition(": ")[2] + "\n", f"{error}\n"
        same = names[0] == names[1] and checker.check_output(wanted, found, OPTIONS)
    if not same:
        print(f"{cell.source}\n-- shown:\n{cell.raises or wanted}\n-- found:\n{found}")
    return same


def _printed(source: str, scope: dict[str, Any]) -> tuple[str, Exception | None]:
    """Run statements one at a time, as an interpreter does; return what they print and the error that ended them."""
    hook, stream = sys.displayhook, io.StringIO()
    try:
        sys.displayhook = sys.__displayhook__
        with contextlib.redirect_stdout(stream):
            for statement in ast.parse(source).body:
                exec(compile(ast.Interactive([statement]), "<cell>", "single"), scope)
    except Exception as error:
        return stream.getvalue(), error
    finally:
        sys.displayhook = hook
    return stream.getvalue(), None


@lru_cache
def ran(name: str) -> tuple[TestResults, dict[str, Any]]:
    """Return a lesson's outcome and the names it defined; each runs once."""
    return run_cells(cells_of(name))
