"""Times models with residual structures, beside nlme, glmmTMB and mmrm and at growing numbers of rows: README.md."""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
from measure import Limits, time_problem
from problems import locate
from programs import Program
from run import chosen, limits_of
from structure_problems import SCALED, STRUCTURED
from tables import append_rows, count_rows, machine, table

HERE = Path(__file__).resolve().parent
OUT = HERE / "results-structures.csv"
SCALING = HERE / "results-structures-scaling.csv"

PROGRAMS = {
    program.name: program
    for program in (
        Program("mixedfit", ("fit_structure.py",), compiles=True),
        Program("mmrm", ("fit_structure.R", "mmrm"), blas="reference"),
        Program("glmmTMB", ("fit_structure.R", "glmmTMB"), blas="reference"),
        Program("gls", ("fit_structure.R", "gls"), blas="reference"),
    )
}

ROWS = (30_000, 100_000, 300_000, 1_000_000)
"""Numbers of rows over which the exponent of the cost is fitted."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time models with residual structures, in turns.")
    parser.add_argument("--problems", metavar="A,B", help=f"some of {', '.join(STRUCTURED)}; by default all")
    parser.add_argument("--programs", metavar="A,B", help=f"some of {', '.join(PROGRAMS)}; by default all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after the warm-up (5)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one fit (300)")
    parser.add_argument("--memory", type=float, help="GB for one worker (0.6 of the machine's)")
    parser.add_argument(
        "--scaling", action="store_true", help="time mixedfit at growing numbers of rows instead"
    )
    parser.add_argument("--out", type=Path, metavar="CSV", help="results file")
    return parser.parse_args()


def _compare(options: argparse.Namespace, limits: Limits) -> None:
    programs = [PROGRAMS[name] for name in chosen(options.programs, list(PROGRAMS), "program")]
    out, new = options.out or OUT, True
    for name in chosen(options.problems, list(STRUCTURED), "problem"):
        problem = STRUCTURED[name]
        path = locate(problem)
        assert isinstance(path, Path)  # simulated
        cells = time_problem(problem, path, programs, limits)
        rows = count_rows(path)
        print(table(problem, rows, cells, name) + f"\ngoal: {problem.goal}\n", flush=True)
        append_rows(out, problem, rows, cells, name=name, new=new)
        new = False


def exponent(rows: tuple[int, ...], seconds: list[float]) -> float:
    """Return the slope of log seconds on log rows."""
    return float(np.polyfit(np.log(rows), np.log(seconds), 1)[0])


def _scaling(out: Path, rounds: int) -> None:
    sys.path.insert(0, str(HERE.parent))
    import mixedfit as mf

    facts = machine()
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["structure", *(f"seconds_{rows}" for rows in ROWS), "exponent", *facts])
        for name, (spelled, data_of) in SCALED.items():
            structure = getattr(mf.residuals, name)(
                *spelled.rstrip(")").split("(")[1].replace('"', "").split(", ")
            )
            medians = []
            for rows in ROWS:
                data, seconds = data_of(rows), []
                for _ in range(rounds + 1):
                    begun = perf_counter()
                    mf.lmm("y ~ x", data, residual=structure).fit()
                    seconds.append(perf_counter() - begun)
                medians.append(statistics.median(seconds[1:]))
            slope = exponent(ROWS, medians)
            told = "  ".join(f"{rows:,}: {s:.3f} s" for rows, s in zip(ROWS, medians, strict=True))
            print(f"{name}: {told}; exponent {slope:.2f}", flush=True)
            writer.writerow([name, *(f"{s:.6g}" for s in medians), f"{slope:.3f}", *facts.values()])


def main() -> int:
    """Run the command line; return the exit code."""
    options = _options()
    print("  ".join(f"{key}: {value}" for key, value in machine().items()) + "\n", flush=True)
    if options.scaling:
        _scaling(options.out or SCALING, options.rounds)
    else:
        _compare(options, limits_of(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
