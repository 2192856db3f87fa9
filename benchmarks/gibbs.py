"""Effective draws of the Gibbs sampler: bulk and tail ESS of the worst parameter, their share, and a CPU second.

    python benchmarks/gibbs.py
    python benchmarks/gibbs.py grass kb07 --draws 500

`share` is the bulk ESS of the worst parameter over the number of draws; `per second` divides it by the CPU seconds of
the sweeps after tuning, on one core. Problems whose data may not be shipped are read from `--data`, by default
../shared/data, and left out without them. Beside it `Rscript benchmarks/gibbs.R` prints the effective draws a second of
rstanarm's stan_lmer (Debian: r-cran-rstanarm), with that package's default priors. Run them one after the other on a
quiet machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import mixedfit as mf

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SEED = 20


@dataclass(frozen=True)
class Problem:
    """A model and its data: a shipped or shared data set, or a function that simulates one.

    Attributes
    ----------
    draws, tune : int
        Of each chain.
    """

    formula: str
    source: str | Callable[[], pd.DataFrame]
    priors: dict[str, Any] = field(default_factory=dict)
    draws: int = 4000
    tune: int = 1000
    chains: int = 4


def groups_with_slopes(groups: int, rows: int, sds: tuple[float, ...], sigma: float = 1.0) -> pd.DataFrame:
    """Return rows of groups with correlated intercepts and slopes of `sds`, and residuals of SD `sigma`."""
    rng = np.random.default_rng(SEED)
    k = len(sds)
    g, x = np.repeat(np.arange(groups), rows), rng.standard_normal((groups * rows, k - 1))
    correlation = 0.3 + 0.7 * np.eye(k)
    b = rng.standard_normal((groups, k)) @ np.linalg.cholesky(correlation).T * np.array(sds)
    y = 1.0 + x.sum(axis=1) + b[g, 0] + np.einsum("ia,ia->i", x, b[g, 1:])
    data = pd.DataFrame({"y": y + sigma * rng.standard_normal(len(g)), "g": g})
    return data.assign(**{f"x{a + 1}": x[:, a] for a in range(k - 1)})


PROBLEMS = {
    "seedlings": Problem("SeedlingWeight ~ Genotype + (1 | Tray)", "seedling_weight"),
    "sleepstudy": Problem("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "dyestuff2": Problem("Yield ~ 1 + (1 | Batch)", "Dyestuff2"),
    "schools": Problem("mathscore ~ 1 + (1 | school)", "school_mathscore"),
    "penicillin": Problem("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    "grass": Problem("yield ~ density + I(density^2) + (density + I(density^2) | plot)", "pdensity"),
    "three, one small": Problem(
        "y ~ x1 + x2 + (x1 + x2 | g)", lambda: groups_with_slopes(30, 10, (1.0, 0.5, 0.05))
    ),
    "far prior": Problem(
        "Reaction ~ Days + (Days | Subject)", "sleepstudy", {"(Intercept)": mf.priors.Normal(0, 5)}
    ),
    "nels": Problem("mscore ~ ses + (ses | school)", "nels", draws=1000),
    "kb07": Problem(
        "RTtrunc ~ S*P*C + (S + P + C | subj) + (S + P + C | item)", "kb07", draws=1000, chains=2
    ),
    "10,000 groups": Problem(
        "y ~ x1 + (x1 | g)", lambda: groups_with_slopes(10_000, 5, (1.0, 0.5)), draws=500, tune=300, chains=2
    ),
}


def frame_of(problem: Problem, folder: Path) -> pd.DataFrame | None:
    """Return the data; None if they are neither shipped nor in the folder."""
    if not isinstance(problem.source, str):
        return problem.source()
    if problem.source in mf.dataset_names():
        return mf.load_dataset(problem.source)
    path = folder / f"{problem.source}.csv"
    return pd.read_csv(path) if path.exists() else None


def sampled(problem: Problem, data: pd.DataFrame, draws: int) -> tuple[mf.Posterior, float]:
    """Return the posterior, and the CPU seconds of the sweeps after tuning."""
    model = mf.lmm(problem.formula, data)
    model.gibbs(problem.priors, draws=4, tune=4, chains=1, seed=1)  # compiles
    options = {"draws": draws, "tune": problem.tune, "chains": problem.chains, "seed": 1, "n_jobs": 1}
    begun, used = perf_counter(), process_time()
    posterior = model.gibbs(problem.priors, **options)
    share = (process_time() - used) / (perf_counter() - begun)
    return posterior, share * posterior.seconds * draws / (draws + problem.tune)


def line(name: str, problem: Problem, draws: int, folder: Path) -> str:
    """Return one line of the table."""
    data = frame_of(problem, folder)
    if data is None:
        return f"{name:<18}left out: {problem.source}.csv is not in {folder}"
    posterior, seconds = sampled(problem, data, draws)
    table = posterior.summary()
    bulk, tail = table["ess_bulk"].min(), table["ess_tail"].min()
    count = posterior.chains * posterior.draws
    return (
        f"{name:<18}{count:>8,}{bulk:>10,.0f}{tail:>10,.0f}{100 * bulk / count:>8.1f} %{seconds:>10.2f}"
        f"{bulk / seconds:>12,.0f}  {table['ess_bulk'].idxmin()}"
    )


def main() -> None:
    """Print one line a problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problems", nargs="*", help=f"of {', '.join(PROBLEMS)}; all by default")
    parser.add_argument("--draws", type=int, help="draws of each chain")
    parser.add_argument("--data", type=Path, default=SHARED, help="folder of data that may not be shipped")
    options = parser.parse_args()
    print(
        f"{'problem':<18}{'draws':>8}{'bulk ESS':>10}{'tail ESS':>10}{'share':>10}{'CPU s':>10}"
        f"{'per second':>12}  worst parameter"
    )
    with threadpool_limits(1):
        for name in options.problems or PROBLEMS:
            problem = PROBLEMS[name]
            print(line(name, problem, options.draws or problem.draws, options.data), flush=True)


if __name__ == "__main__":
    main()
