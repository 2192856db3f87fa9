"""The programs that are timed: how each is installed, found and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROGRAMS", "Program", "Start", "set_up", "start_of"]

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / ".envs"
COMPILED = ENVIRONMENTS / "numba"


@dataclass(frozen=True)
class Program:
    """A program that fits mixed models.

    Attributes
    ----------
    name : str
    worker : str
        File in ``workers/``, with its arguments.
    packages : tuple of str
        What its virtual environment holds; none for mixedfit and R.
    blas : str
        For R: "reference" or "openblas".
    compiles : bool
        Whether kernels are compiled on first use, so that a first fit says nothing of later ones.
    approximate : bool
        Whether its criterion is an approximation, not to be taken for the best of all.
    """

    name: str
    worker: tuple[str, ...]
    packages: tuple[str, ...] = ()
    blas: str = ""
    compiles: bool = False
    approximate: bool = False


PROGRAMS = {
    program.name: program
    for program in (
        Program("mixedfit", ("fit_mixedfit.py",), compiles=True),
        Program("lme4-reference", ("fit_lme4.R",), blas="reference"),
        Program("lme4-openblas", ("fit_lme4.R",), blas="openblas"),
        Program("glmm", ("fit_glmm.py",), ("glmm==0.6.2", "pandas")),
        Program("mixedlm", ("fit_mixedlm.py",), ("mixedlm",)),
        Program("mixedlm-rs", ("fit_mixedlm_rs.py",), ("mixedlm-rs",)),
        Program("lme-python", ("fit_lme_python.py",), ("lme-python",)),
        Program("gpboost", ("fit_gpboost.py",), ("gpboost",), approximate=True),
        Program("gpboost-exact", ("fit_gpboost.py", "exact"), ("gpboost",)),
        Program("statsmodels", ("fit_statsmodels.py",), ("statsmodels",)),
    )
}


@dataclass(frozen=True)
class Start:
    """How to start a worker.

    Attributes
    ----------
    command : tuple of str
    environment : dict of str to str
        On top of the driver's own.
    """

    command: tuple[str, ...]
    environment: dict[str, str]


def start_of(program: Program) -> Start | str:
    """Return how the program's worker is started, or the reason why it cannot be."""
    worker = (str(HERE / "workers" / program.worker[0]), *program.worker[1:])
    if program.blas:
        return _start_of_r(program, worker)
    if program.packages:
        python, failure = _python(program), _failure_file(program)
        if failure.is_file():
            return f"not installed: {failure.read_text(encoding='utf-8').strip()}"
        if not python.is_file():
            return "not installed: run with --setup"
        return Start((str(python), *worker), {})
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return Start(
        (sys.executable, *worker), {"PYTHONPATH": os.pathsep.join(paths), "NUMBA_CACHE_DIR": str(COMPILED)}
    )


def _start_of_r(program: Program, worker: tuple[str, ...]) -> Start | str:
    """Return how R is started with the wanted BLAS and LAPACK, loaded before its own."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return "R is not installed"
    if sys.platform != "linux":
        return "the BLAS is switched on Linux only"
    libraries = _libraries(program.blas)
    if libraries is None:
        return f"no {program.blas} BLAS with its LAPACK is installed"
    return Start((rscript, "--vanilla", *worker), {"LD_PRELOAD": " ".join(map(str, libraries))})


def _libraries(blas: str) -> tuple[Path, Path] | None:
    """Return the wanted libblas.so.3 and liblapack.so.3: Debian keeps each in a folder of its own."""
    folders = {"reference": ("blas", "lapack"), "openblas": ("openblas-pthread", "openblas-pthread")}[blas]
    for root in sorted(Path("/usr").glob("lib*/")) + sorted(Path("/usr/lib").glob("*-linux-gnu*/")):
        found = (root / folders[0] / "libblas.so.3", root / folders[1] / "liblapack.so.3")
        if all(path.is_file() for path in found):
            return found
    return None


def _environment(program: Program) -> Path:
    return ENVIRONMENTS / Path(program.worker[0]).stem.removeprefix("fit_")


def _python(program: Program) -> Path:
    return _environment(program) / "bin" / "python"


def _failure_file(program: Program) -> Path:
    return _environment(program).with_suffix(".failed")


def set_up(programs: Iterable[Program]) -> None:
    """Make the virtual environments of the programs; keep the reason where that fails."""
    made: set[Path] = set()
    for program in programs:
        if not program.packages or _environment(program) in made:
            continue
        made.add(_environment(program))
        reason = _install(program)
        if reason:
            _failure_file(program).write_text(reason + "\n", encoding="utf-8")
        else:
            _failure_file(program).unlink(missing_ok=True)
        print(f"{program.name}: {reason or 'installed'}", flush=True)


def _install(program: Program) -> str:
    """Install the program's packages; return why that failed, or nothing."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    try:
        venv.create(_environment(program), with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no virtual environment: {error}"
    done = subprocess.run(
        [
            str(_python(program)),
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "-q",
            *program.packages,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return lines[-1] if lines else f"pip ended with code {done.returncode}"
