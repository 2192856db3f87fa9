"""Cells as a table to read and as rows of a CSV file."""

from __future__ import annotations

import csv
import gzip
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from measure import Cell
from problems import Problem

__all__ = ["append_rows", "count_rows", "machine", "table"]

HEADER = ("program", "seconds", "min", "rounds", "ratio", "evals", "peak MB", "+MB", "above best", "")

THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def count_rows(path: Path) -> int:
    """Return the number of rows of a CSV file."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        return sum(1 for _ in file) - 1


def machine() -> dict[str, str]:
    """Return the facts of the machine and of this checkout that bear on the times."""
    return {
        "date": date.today().isoformat(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": " ".join(f"{name}={os.environ[name]}" for name in THREADS if name in os.environ)
        or "defaults",
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found.group(1) if found else platform.processor()


def _commit() -> str:
    """Return the short commit of mixedfit, with a + if files differ from it."""
    here = Path(__file__).resolve().parent.parent
    try:
        told = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return told.stdout.strip()


def best_criterion(cells: Sequence[Cell]) -> float | None:
    """Return the lowest criterion of all programs that compute it exactly."""
    values = [
        c.criterion for c in cells if c.criterion is not None and c.seconds and not c.program.approximate
    ]
    return min(values, default=None)


def ratio(cell: Cell, cells: Sequence[Cell]) -> float | None:
    """Return the cell's time over mixedfit's."""
    ours = next((c.median for c in cells if c.program.name == "mixedfit"), None)
    return None if ours is None or cell.median is None else cell.median / ours


def above(cell: Cell, cells: Sequence[Cell]) -> float | None:
    """Return how far the cell's criterion lies above the best."""
    best = best_criterion(cells)
    return None if best is None or cell.criterion is None or not cell.seconds else cell.criterion - best


def table(problem: Problem, rows: int, cells: Sequence[Cell], title: str = "") -> str:
    """Return the cells as text."""
    lines: list[tuple[str, ...]] = [HEADER, *(_line(cell, cells) for cell in cells)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER) - 1)]
    text = [f"{title or problem.name}: {problem.formula}, {problem.criterion}, {rows:,} rows"]
    for line in lines:
        padded = [
            line[0].ljust(widths[0]),
            *(v.rjust(w) for v, w in zip(line[1:-1], widths[1:], strict=True)),
        ]
        text.append("  ".join([*padded, line[-1]]).rstrip())
    return "\n".join(text)


def _line(cell: Cell, cells: Sequence[Cell]) -> tuple[str, ...]:
    if not cell.seconds:
        return (cell.program.name, *[""] * (len(HEADER) - 2), cell.reason or "no time")
    rise = above(cell, cells)
    said = [f"{cell.version}; {short_blas(cell.blas)}"]
    said += ["NOT CONVERGED"] if cell.converged is False else []
    said += [f"[{cell.note[:60]}]"] if cell.note else []
    said += [f"later: {cell.reason}"] if cell.reason else []
    return (
        cell.program.name,
        _seconds(cell.median),
        _seconds(min(cell.seconds)),
        str(len(cell.seconds)),
        _number(ratio(cell, cells), ".2f"),
        _number(cell.evaluations, "d"),
        _number(cell.peak, ".0f"),
        _number(cell.increase, ".0f"),
        ("~" if cell.program.approximate else "") + _number(rise, ".1e"),
        " ".join(said),
    )


def short_blas(blas: str) -> str:
    """Return the BLAS as folder and file where R gives a path, with OpenBLAS's version beside it."""
    if not blas.startswith("/"):
        return blas
    path = Path(blas)
    beside = sorted(found.name for found in path.parent.glob("libopenblas*-r*.so"))
    version = f" ({beside[0].removesuffix('.so')})" if beside else ""
    return f"{path.parent.name}/{path.name}{version}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if value < 1 else f"{value:.2f}"


def _number(value: float | int | None, form: str) -> str:
    return "" if value is None else format(value, form)


COLUMNS = (
    "problem", "formula", "criterion_kind", "rows", "program", "version", "blas", "median_seconds", "min_seconds",
    "all_seconds", "ratio_to_mixedfit", "evaluations", "criterion", "above_best", "converged", "peak_mb",
    "increase_mb", "reason", "note",
)  # fmt: skip


def append_rows(
    path: Path, problem: Problem, rows: int, cells: Sequence[Cell], *, name: str, new: bool
) -> None:
    """Write the cells to the CSV file, with a header if it is new."""
    facts = machine()
    with open(path, "w" if new else "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([*COLUMNS, *facts])
        for cell in cells:
            writer.writerow([*_values(problem, name, rows, cell, cells), *facts.values()])


def _values(problem: Problem, name: str, rows: int, cell: Cell, cells: Sequence[Cell]) -> list[object]:
    return [
        name, problem.formula, problem.criterion, rows, cell.program.name, cell.version, short_blas(cell.blas),
        _exact(cell.median), _exact(min(cell.seconds, default=None)), " ".join(map(_exact, cell.seconds)),
        _exact(ratio(cell, cells)), cell.evaluations, cell.criterion, above(cell, cells), cell.converged,
        _number(cell.peak, ".1f"), _number(cell.increase, ".1f"), cell.reason, cell.note,
    ]  # fmt: skip


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
