"""Times mixedfit and its peers; see README.md."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from measure import Limits, time_problem, time_startup
from problems import PROBLEMS, STARTUPS, locate
from programs import PROGRAMS, Program, set_up
from tables import append_rows, count_rows, machine, table

HERE = Path(__file__).resolve().parent
OUT = HERE / "results.csv"

SHARE = 0.6
"""Part of the machine's memory that one worker may take."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Time mixedfit and its peers on the same problems, in turns."
    )
    problems, programs = ", ".join([*PROBLEMS, *STARTUPS]), ", ".join(PROGRAMS)
    parser.add_argument("--problems", metavar="A,B", help=f"some of {problems}; by default all")
    parser.add_argument("--programs", metavar="A,B", help=f"some of {programs}; by default all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after the warm-up (5)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one fit (300)")
    parser.add_argument("--memory", type=float, help="GB for one worker (0.6 of the machine's)")
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="CSV", help="results file (results.csv here)"
    )
    parser.add_argument(
        "--setup", action="store_true", help="make the programs' virtual environments, then end"
    )
    return parser


def chosen(text: str | None, known: Sequence[str], what: str) -> list[str]:
    """Return the names asked for, in the order of `known`."""
    if text is None:
        return list(known)
    names = [name.strip() for name in text.split(",") if name.strip()]
    strange = [name for name in names if name not in known]
    if strange:
        sys.exit(f"no {what} {', '.join(strange)}; there are {', '.join(known)}")
    return [name for name in known if name in names]


def limits_of(options: argparse.Namespace) -> Limits:
    if options.rounds < 1:
        sys.exit("--rounds must be at least 1")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    memory = SHARE * total if options.memory is None else 1000 * options.memory
    return Limits(options.rounds, options.timeout, memory)


def _run(name: str, programs: Sequence[Program], limits: Limits, *, out: Path, new: bool) -> bool:
    """Time one problem, print its table and write its rows; return whether there was anything to time."""
    problem = PROBLEMS.get(name) or STARTUPS[name]
    path = locate(problem)
    if isinstance(path, str):
        print(f"{name}: skipped: {path}\n", flush=True)
        return False
    cells = (time_problem if name in PROBLEMS else time_startup)(problem, path, programs, limits)
    rows = count_rows(path)
    print(table(problem, rows, cells, name) + "\n", flush=True)
    append_rows(out, problem, rows, cells, name=name, new=new)
    return True


def main() -> int:
    """Run the command line; return the exit code."""
    options = _parser().parse_args()
    programs = [PROGRAMS[name] for name in chosen(options.programs, list(PROGRAMS), "program")]
    if options.setup:
        set_up(programs)
        return 0
    limits = limits_of(options)
    names = chosen(options.problems, [*STARTUPS, *PROBLEMS], "problem")
    print("  ".join(f"{key}: {value}" for key, value in machine().items()) + "\n", flush=True)
    new = True
    for name in names:
        new = not _run(name, programs, limits, out=options.out, new=new) and new
    if not new:
        print(f"written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
