"""What several test files share: the folder of reference data, and the account of the published fits."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import scipy.linalg  # noqa: F401  loads the BLAS whose threads are held to one
from hypothesis import settings
from paths import ROOT, SHARED_FOLDER
from published import published_fits
from threadpoolctl import threadpool_limits

from mixedfit.kernels import compiled

KERNELS = ROOT / "mixedfit" / "kernels"

settings.register_profile("same every day", derandomize=True, database=None)
settings.load_profile("same every day")


def pytest_configure() -> None:
    """Throw compiled kernels away if a source is newer: numba looks at a kernel's own file, not at those it calls."""
    kept = [*KERNELS.rglob("*.nbi"), *KERNELS.rglob("*.nbc")]
    newest = max(path.stat().st_mtime for path in KERNELS.rglob("*.py"))
    if any(path.stat().st_mtime < newest for path in kept):
        for path in kept:
            path.unlink(missing_ok=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all but n evenly spaced cases of each test that is marked ``everyday(n)``."""
    cases: dict[Any, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("everyday") and not item.get_closest_marker("slow"):
            cases[getattr(item, "function", None)].append(item)
    for own in cases.values():
        wanted = own[0].get_closest_marker("everyday").args[0]  # type: ignore[union-attr]
        kept = {round(i * (len(own) - 1) / max(wanted - 1, 1)) for i in range(wanted)}
        for i, item in enumerate(own):
            if i not in kept:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread, as fits do: with small matrices its threads cost three times the time they save."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels() -> Iterator[None]:
    """Compile all kernels, so that equal calls give equal digits whatever ran before."""
    with compiled():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data that do not ship with the project."""
    folder = SHARED_FOLDER / "data"
    if not folder.is_dir():
        pytest.skip(f"the reference data {folder.parent.name}/{folder.name} do not lie beside the project")
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures of a page out: drawing them takes most of its time."""
    from mixedfit.reporting.html import figures

    blank = b'<svg width="1pt" height="1pt"></svg>'
    monkeypatch.setattr(figures, "axes_svg", lambda *_: blank)
    monkeypatch.setattr(figures, "figure_svg", lambda *_: blank)


@pytest.fixture(autouse=True)
def no_figures_left() -> Iterator[None]:
    """Close the pictures that a test has left open: matplotlib warns of twenty."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many published fits ran, matched and were left out, and why."""
    outcomes: dict[str, set[str]] = defaultdict(set)
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            place, _, case = report.nodeid.rstrip("]").partition("[")
            if "test_published.py::test_fit_" in place and case:
                outcomes[case].add(outcome)
    if not outcomes:
        return
    left_out = published_fits()[1]
    matched = sum(seen == {"passed"} for seen in outcomes.values())
    terminalreporter.section("published fits")
    for count, what in [
        (len(published_fits()[0]) + sum(left_out.values()), "in the collection"),
        (len(outcomes), "ran"),
        (matched, "of them matched"),
        (len(outcomes) - matched, "of them did not match"),
        (sum(left_out.values()), "left out:"),
        *((count, f"    {reason}") for reason, count in left_out.most_common()),
    ]:
        terminalreporter.write_line(f"{count:5d} {what}")
