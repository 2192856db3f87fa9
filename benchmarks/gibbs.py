"""Effective draws per second of the Gibbs sampler: the worst parameter's bulk ESS, sampling time only, one core.

    python benchmarks/gibbs.py

Beside it `Rscript benchmarks/gibbs.R` prints the same of rstanarm's stan_lmer (Debian: r-cran-rstanarm), with that
package's default priors. Run them one after the other on a quiet machine.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import mixedfit as mf

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DRAWS, TUNE = 4000, 1000
PROBLEMS = {
    "seedlings": ("SeedlingWeight ~ Genotype + (1 | Tray)", "seedling_weight"),
    "sleepstudy": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "schools": ("mathscore ~ 1 + (1 | school)", "school_mathscore"),
    "nels": ("mscore ~ ses + (ses | school)", SHARED / "nels.csv"),
}


def main() -> None:
    """Print one line a problem."""
    for name, (formula, source) in PROBLEMS.items():
        if isinstance(source, Path) and not source.exists():
            print(f"{name:<12}left out: {source.name} does not lie beside the project")
            continue
        data = pd.read_csv(source) if isinstance(source, Path) else mf.load_dataset(source)
        model = mf.lmm(formula, data)
        model.gibbs(draws=4, tune=4, seed=1)  # compiles
        posterior = model.gibbs(draws=DRAWS, tune=TUNE, seed=1, n_jobs=1)
        seconds = posterior.seconds * DRAWS / (DRAWS + TUNE)
        table = posterior.summary()
        worst = table["ess_bulk"].idxmin()
        ess = table.loc[worst, "ess_bulk"]
        print(f"{name:<12}{seconds:8.3f} s  bulk ESS {ess:7.0f} ({worst})  {ess / seconds:10.0f} per second")


if __name__ == "__main__":
    main()
