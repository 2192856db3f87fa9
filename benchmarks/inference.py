"""Times what is asked of a fit, beside R: profile intervals, bootstrap, Satterthwaite, Kenward-Roger; see README.md."""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import sleep
from typing import Any

from measure import LOADING, PAUSE, SLOW
from problems import PROBLEMS, Problem, locate
from process import Worker, WorkerError
from programs import Program, start_of
from tables import count_rows, machine, short_blas

HERE = Path(__file__).resolve().parent
OUT = HERE / "results-inference.csv"
SHARE = 0.6
"""Part of the machine's memory that one worker may take."""

PROGRAMS = {
    program.name: program
    for program in (
        Program("mixedfit", ("ask_mixedfit.py",), compiles=True),
        Program("R-reference", ("ask_lme4.R",), blas="reference"),
        Program("R-openblas", ("ask_lme4.R",), blas="openblas"),
    )
}


@dataclass(frozen=True)
class Question:
    """What is asked of the fit of a problem.

    Attributes
    ----------
    problem : str
    what : {"profile", "bootstrap", "satterthwaite", "kenward-roger"}
    goal : str
        What the time is held to, in words.
    alone : str
        Why R is not asked, if it is not.
    replicates : int
        Of a bootstrap.
    reml : bool
        Criterion of the fit.
    """

    problem: str
    what: str
    goal: str
    alone: str = ""
    replicates: int = 0
    reml: bool = True

    @property
    def name(self) -> str:
        """Name of the question."""
        return f"{self.what}-{self.problem}"

    @property
    def model(self) -> Problem:
        """The model, by the criterion wanted."""
        return replace(PROBLEMS[self.problem], reml=self.reml)


TOO_LONG = "R would take hours"
NO_MEMORY = "R would need n × n matrices"
QUESTIONS = {
    question.name: question
    for question in (
        Question("sleepstudy", "satterthwaite", "as fast as may be"),
        Question("sleepstudy", "kenward-roger", "as fast as may be"),
        Question("sleepstudy", "profile", "50 times R's speed"),
        Question("sleepstudy", "bootstrap", "25 times R's speed", replicates=1000),
        Question("insteval", "profile", "60 fits' time", alone=TOO_LONG, reml=False),
        Question("slopes-1e6", "satterthwaite", "5 fits' time", alone=NO_MEMORY),
        Question("slopes-1e6", "kenward-roger", "5 fits' time", alone=NO_MEMORY),
    )
}


@dataclass(eq=False)
class Answer:
    """What one program answered.

    Attributes
    ----------
    seconds, fits : list of float
        Of the question, and of the fit before it, one for each round.
    numbers : list of float
        The answer: ends of intervals, degrees of freedom with p-values, or standard errors of a bootstrap.
    """

    program: Program
    version: str = ""
    blas: str = ""
    seconds: list[float] = field(default_factory=list)
    fits: list[float] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    reason: str = ""

    @property
    def median(self) -> float | None:
        """Median of the rounds, seconds."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def in_fits(self) -> float | None:
        """The same as a multiple of the program's own median fit."""
        return self.median / statistics.median(self.fits) if self.median is not None else None


def time_question(question: Question, path: Path, programs: Sequence[Program], options: Any) -> list[Answer]:
    """Return the answers: a warm-up round, then rounds in which the programs take turns."""
    answers, asked = [], []
    for program in programs:
        answer = Answer(program)
        answers.append(answer)
        worker = _start(answer, question, path, options)
        if worker is not None:
            asked.append((answer, worker))
    try:
        active = [(a, w) for a, w in asked if _ask(a, w, question, counts=a.program.blas != "")]
        for _ in range(options.rounds):
            active = [(a, w) for a, w in active if (a.median or 0.0) < SLOW and _ask(a, w, question)]
    finally:
        for _, worker in asked:
            worker.close()
    return answers


def _start(answer: Answer, question: Question, path: Path, options: Any) -> Worker | None:
    """Return a worker with the data loaded, or None after noting the reason."""
    if question.alone and answer.program.blas:
        answer.reason = question.alone
        return None
    start = start_of(answer.program)
    if isinstance(start, str):
        answer.reason = start
        return None
    worker = Worker(start, timeout=options.timeout, memory=1000 * options.memory)
    try:
        told = worker.ask({"do": "hello"}, LOADING)
        if "version" in told:
            answer.version, answer.blas = told["version"], told["blas"]
            told = worker.ask({"do": "load", "problem": question.model.request(path)}, LOADING)
        answer.reason = "" if "loaded" in told else str(told.get("failed", told))
    except WorkerError as end:
        answer.reason = str(end)
    if answer.reason:
        worker.close(at_once=True)
        return None
    return worker


def _ask(answer: Answer, worker: Worker, question: Question, *, counts: bool = True) -> bool:
    """Ask once; return whether there was an answer. R's first answer counts: it compiles nothing."""
    sleep(PAUSE)
    try:
        told = worker.ask({"do": "ask", "what": question.what, "replicates": question.replicates})
    except WorkerError as end:
        answer.reason = answer.reason or str(end)
        return False
    if "seconds" not in told:
        answer.reason = str(told.get("refused") or told.get("failed"))
        return False
    if counts:
        answer.seconds.append(float(told["seconds"]))
        answer.fits.append(float(told["fit_seconds"]))
    answer.numbers = [float("nan") if x is None else float(x) for x in told["numbers"]]
    return True


def apart(answer: Answer, other: Answer) -> float | None:
    """Return the greatest relative difference between two answers' numbers."""
    if not answer.numbers or len(answer.numbers) != len(other.numbers):
        return None
    pairs = zip(answer.numbers, other.numbers, strict=True)
    return max((abs(a - b) / max(abs(b), 1e-12) for a, b in pairs if a == a and b == b), default=None)


HEADER = ("program", "seconds", "rounds", "ratio", "in fits", "apart", "")


def table(question: Question, answers: Sequence[Answer]) -> str:
    """Return the answers as text."""
    lines = [HEADER, *(_line(answer, answers[0]) for answer in answers)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER) - 1)]
    model = question.model
    text = [f"{question.name}: {model.formula}, {model.criterion}; goal: {question.goal}"]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [value.rjust(width) for value, width in zip(line[1:-1], widths[1:], strict=True)]
        text.append("  ".join([*cells, line[-1]]).rstrip())
    return "\n".join(text)


def _line(answer: Answer, ours: Answer) -> tuple[str, ...]:
    if answer.median is None:
        return (answer.program.name, *[""] * (len(HEADER) - 2), answer.reason or "no time")
    ratio = answer.median / ours.median if ours.median else None
    gap = None if answer is ours else apart(ours, answer)
    return (
        answer.program.name,
        f"{answer.median:.4g}",
        str(len(answer.seconds)),
        "" if ratio is None else f"{ratio:.2f}",
        f"{answer.in_fits:.2f}",
        "" if gap is None else f"{gap:.1e}",
        f"{answer.version}; {short_blas(answer.blas)}",
    )


COLUMNS = (
    "question",
    "formula",
    "criterion",
    "rows",
    "replicates",
    "program",
    "version",
    "blas",
    "median_seconds",
)
COLUMNS += ("all_seconds", "median_fit_seconds", "in_fits", "ratio_to_mixedfit", "apart", "numbers", "reason")


def append_rows(path: Path, question: Question, rows: int, answers: Sequence[Answer], *, new: bool) -> None:
    """Write the answers to the CSV file, with a header if it is new."""
    facts = machine()
    with open(path, "w" if new else "a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([*COLUMNS, *facts])
        for answer in answers:
            writer.writerow([*_values(question, rows, answer, answers[0]), *facts.values()])


def _values(question: Question, rows: int, answer: Answer, ours: Answer) -> list[object]:
    model, median = question.model, answer.median
    ratio = median / ours.median if median is not None and ours.median else None
    numbers: list[float | None] = [median, ratio, answer.in_fits, apart(ours, answer)]
    said = ["" if value is None else f"{value:.6g}" for value in numbers]
    fit = f"{statistics.median(answer.fits):.6g}" if answer.fits else ""
    return [
        question.name, model.formula, model.criterion, rows, question.replicates, answer.program.name, answer.version,
        short_blas(answer.blas), said[0], " ".join(f"{x:.6g}" for x in answer.seconds), fit, said[2], said[1], said[3],
        " ".join(f"{x:.8g}" for x in answer.numbers), answer.reason,
    ]  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time what is asked of a fit, with mixedfit and R in turns.")
    parser.add_argument("--questions", metavar="A,B", help=f"some of {', '.join(QUESTIONS)}; by default all")
    parser.add_argument("--programs", metavar="A,B", help=f"some of {', '.join(PROGRAMS)}; by default all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after the warm-up (5)")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for one answer (900)")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    parser.add_argument(
        "--memory", type=float, default=SHARE * total, help="GB for one worker (0.6 of the machine's)"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="CSV", help="results file (results-inference.csv here)"
    )
    return parser.parse_args()


def _chosen(text: str | None, known: Sequence[str], what: str) -> list[str]:
    names = list(known) if text is None else [name.strip() for name in text.split(",") if name.strip()]
    strange = [name for name in names if name not in known]
    if strange:
        sys.exit(f"no {what} {', '.join(strange)}; there are {', '.join(known)}")
    return names


def main() -> int:
    """Run the command line; return the exit code."""
    options = _options()
    programs = [PROGRAMS[name] for name in _chosen(options.programs, list(PROGRAMS), "program")]
    print("  ".join(f"{key}: {value}" for key, value in machine().items()) + "\n", flush=True)
    new = True
    for name in _chosen(options.questions, list(QUESTIONS), "question"):
        question = QUESTIONS[name]
        path = locate(question.model)
        if isinstance(path, str):
            print(f"{name}: skipped: {path}\n", flush=True)
            continue
        answers = time_question(question, path, programs, options)
        print(table(question, answers) + "\n", flush=True)
        append_rows(options.out, question, count_rows(path), answers, new=new)
        new = False
    return 0


if __name__ == "__main__":
    sys.exit(main())
