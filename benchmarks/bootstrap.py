"""1,000 parametric bootstrap replicates of sleepstudy: mixedfit beside lme4's bootMer, in turns.

Run from the root of the repository: ``python benchmarks/bootstrap.py [replicates] [rounds]``. lme4 is found through
``Rscript``; without it only mixedfit is timed.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from time import perf_counter

import mixedfit as mf

R = """
suppressMessages(library(lme4))
fit <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
values <- function(m) c(as.data.frame(VarCorr(m), order = "lower.tri")$sdcor, fixef(m))
seconds <- system.time(bootMer(fit, values, nsim = {n}, seed = 1))[["elapsed"]]
cat(as.character(packageVersion("lme4")), basename(extSoftVersion()[["BLAS"]]), seconds)
"""


def ours(fit: mf.MixedResults, n: int, seed: int, n_jobs: int) -> float:
    """Return the seconds of one run."""
    begun = perf_counter()
    fit.bootstrap(n, seed=seed, n_jobs=n_jobs)
    return perf_counter() - begun


def theirs(n: int) -> tuple[str, float]:
    """Return lme4's version and BLAS, and the seconds of one run, R's start not counted."""
    command = ["Rscript", "-e", R.replace("{n}", str(n))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    version, blas, seconds = done.stdout.split()[-3:]
    return f"lme4 {version} ({blas})", float(seconds)


def main() -> None:
    """Print the seconds of every round and the ratio of medians."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    fit.bootstrap(50, seed=0)
    mine: list[float] = []
    others: list[float] = []
    program = "lme4"
    for number in range(rounds):
        mine.append(ours(fit, n, number, 1))
        print(f"mixedfit {mf.__version__}: {n} replicates in {mine[-1]:.3f} s; on two threads", end=" ")
        print(f"{ours(fit, n, number, 2):.3f} s")
        if shutil.which("Rscript"):
            program, seconds = theirs(n)
            others.append(seconds)
            print(f"{program}: {n} replicates in {seconds:.2f} s")
    if others:
        print(
            f"{program} takes {statistics.median(others) / statistics.median(mine):.0f} times mixedfit's time"
        )


if __name__ == "__main__":
    main()
