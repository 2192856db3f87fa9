"""Times the programs on a problem, in turns."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from problems import Problem
from process import Worker, WorkerError
from programs import Program, Start, start_of

__all__ = ["Cell", "Limits", "time_problem", "time_startup"]

PAUSE = 0.1
"""Seconds between two fits, so that idle threads of one program do not spin into the other's."""

SLOW = 30.0
"""Seconds from which a fit is not repeated, its warm-up counting as the only round."""

LOADING = 600.0
"""Seconds in which a worker must have started and read its data."""

MANY = 4
"""Factor on the rounds of problems whose fits take milliseconds."""


@dataclass(frozen=True)
class Limits:
    """Rounds for each problem, seconds for each fit, MB for each worker."""

    rounds: int
    timeout: float
    memory: float


@dataclass(eq=False)
class Cell:
    """What one program did with one problem.

    Attributes
    ----------
    seconds : list of float
        One for each round.
    before, peak : float or None
        Resident memory just before the first fit, and greatest in any fit, MB.
    first_peak : float or None
        Greatest resident memory in the first fit, MB.
    reason : str
        Why there is no time.
    """

    program: Program
    version: str = ""
    blas: str = ""
    seconds: list[float] = field(default_factory=list)
    criterion: float | None = None
    evaluations: int | None = None
    converged: bool | None = None
    note: str = ""
    before: float | None = None
    first_peak: float | None = None
    peak: float | None = None
    reason: str = ""

    @property
    def median(self) -> float | None:
        """Median of the rounds, seconds."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def increase(self) -> float | None:
        """Memory that the first fit added, MB."""
        return None if self.before is None or self.first_peak is None else self.first_peak - self.before


@dataclass(eq=False)
class Runner:
    """A worker with the cell that it fills."""

    cell: Cell
    worker: Worker

    def fit(self, counts: bool) -> float | None:
        """Fit once; return the seconds, or None after noting the reason in the cell."""
        cell = self.cell
        sleep(PAUSE)
        level = self.worker.resident()
        self.worker.reset_peak()
        try:
            answer = self.worker.ask({"do": "fit"})
        except WorkerError as end:
            self._give_up(str(end))
            return None
        if "seconds" not in answer:
            self._give_up(_reason(answer))
            return None
        peak = self.worker.peak()
        if cell.before is None:
            cell.before, cell.first_peak = level, peak
        cell.peak = max((p for p in (cell.peak, peak) if p is not None), default=None)
        cell.criterion, cell.evaluations = answer["criterion"], answer["evaluations"]
        cell.converged, cell.note = answer["converged"], answer["note"]
        seconds = float(answer["seconds"])
        if counts:
            cell.seconds.append(seconds)
        return seconds

    def _give_up(self, reason: str) -> None:
        self.cell.reason = self.cell.reason or reason
        self.worker.close(at_once=True)


def time_problem(problem: Problem, path: Path, programs: Sequence[Program], limits: Limits) -> list[Cell]:
    """Return what every program did: a warm-up round, then rounds in which the programs take turns."""
    cells, runners = [], []
    try:
        for program in programs:
            cell = Cell(program)
            cells.append(cell)
            runner = _start(cell, problem, path, limits)
            if runner is not None:
                runners.append(runner)
        active = [runner for runner in runners if _warm_up(runner)]
        for _ in range(limits.rounds * (MANY if problem.small else 1)):
            active = [runner for runner in active if (runner.fit(counts=True) or SLOW) < SLOW]
    finally:
        for runner in runners:
            runner.worker.close()
    return cells


def _warm_up(runner: Runner) -> bool:
    """Fit once and say whether more rounds are wanted."""
    seconds = runner.fit(counts=False)
    if seconds is not None and seconds >= SLOW and not runner.cell.program.compiles:
        runner.cell.seconds.append(seconds)
        runner.worker.close()
        return False
    return seconds is not None


def _start(cell: Cell, problem: Problem, path: Path, limits: Limits) -> Runner | None:
    """Return a worker with the data loaded, or None after noting the reason in the cell."""
    start = start_of(cell.program)
    if isinstance(start, str):
        cell.reason = start
        return None
    if cell.program.compiles:  # a process of its own compiles, lest that count as the fit's memory
        _compile(start, problem, path, limits)
    worker = Worker(start, timeout=limits.timeout, memory=limits.memory)
    try:
        cell.reason = _greet(cell, worker) or _load(worker, problem, path)
    except WorkerError as end:
        cell.reason = str(end)
    if cell.reason:
        worker.close(at_once=True)
        return None
    return Runner(cell, worker)


def _compile(start: Start, problem: Problem, path: Path, limits: Limits) -> None:
    start = replace(start, environment={**start.environment, "MIXEDFIT_COMPILE": "always"})
    worker = Worker(start, timeout=limits.timeout, memory=limits.memory)
    try:
        if not _load(worker, problem, path):
            worker.ask({"do": "fit"})
    except WorkerError:
        pass  # the measured worker will meet the same end and say why
    finally:
        worker.close()


def _greet(cell: Cell, worker: Worker) -> str:
    """Note version and BLAS; return the reason why the worker is of no use, if so."""
    answer = worker.ask({"do": "hello"}, LOADING)
    if "version" not in answer:
        return _reason(answer)
    cell.version, cell.blas = answer["version"], answer["blas"]
    if cell.program.blas and cell.program.blas != _kind(cell.blas):
        folder, file = Path(cell.blas).parts[-2:]
        return f"R runs on {folder}/{file}, not on the {cell.program.blas} BLAS"
    return ""


def _kind(blas: str) -> str:
    """Return the kind of BLAS that R reports the file of."""
    real = str(Path(blas).resolve())
    names = [name for name in ("openblas", "atlas", "blis", "mkl") if name in real.lower()]
    return names[0] if names else "reference"


def _load(worker: Worker, problem: Problem, path: Path) -> str:
    answer = worker.ask({"do": "load", "problem": problem.request(path)}, LOADING)
    return "" if "loaded" in answer else _reason(answer)


def _reason(answer: dict[str, Any]) -> str:
    return f"cannot: {answer['refused']}" if "refused" in answer else f"failed: {answer['failed']}"


def time_startup(problem: Problem, path: Path, programs: Sequence[Program], limits: Limits) -> list[Cell]:
    """Return the times from the start of a process to its first fit, imports and reading included.

    A compiling program is timed twice: with its compiled code on disk, and with none.
    """
    cells = [Cell(program) for program in programs]
    cold = [Cell(replace(p, name=f"{p.name}, nothing compiled")) for p in programs if p.compiles]
    for round_number in range(limits.rounds + 1):
        for cell in (*cells, *(cold if round_number else ())):
            if not cell.reason:
                _time_process(cell, problem, path, limits, counts=round_number > 0, cold=cell in cold)
    return [*cells, *cold]


def _time_process(
    cell: Cell, problem: Problem, path: Path, limits: Limits, *, counts: bool, cold: bool
) -> None:
    """Time one process from its start to its first fit."""
    start = start_of(cell.program)
    if isinstance(start, str):
        cell.reason = start
        return
    sleep(PAUSE)
    with tempfile.TemporaryDirectory() as folder:
        if cold:
            start = replace(start, environment={**start.environment, "NUMBA_CACHE_DIR": folder})
        begun = perf_counter()
        runner = Runner(cell, Worker(start, timeout=limits.timeout, memory=limits.memory))
        try:
            cell.reason = _load(runner.worker, problem, path)
            fitted = not cell.reason and runner.fit(counts=False) is not None
            seconds = perf_counter() - begun - PAUSE
            if fitted and not cell.version:
                cell.reason = _greet(cell, runner.worker)
            if fitted and counts:
                cell.seconds.append(seconds)
        except WorkerError as end:
            cell.reason = str(end)
        finally:
            runner.worker.close()
