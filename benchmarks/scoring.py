"""Time of predictions: one row by `fit.scorer()` and `fit.predict`, and many rows beside their matrix products, as CSV.

python benchmarks/scoring.py --rows 1e7 --groups 1e5 > scoring.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from time import perf_counter

import numpy as np
import pandas as pd

import mixedfit as mf

BATCH = 1 << 18


def rows(n: int, groups: int) -> pd.DataFrame:
    """Return rows of groups with random intercepts and slopes."""
    rng = np.random.default_rng(1)
    effects = rng.normal(size=(groups, 2))
    g, x = rng.integers(0, groups, n), rng.normal(3, 2, n)
    y = 1 + 0.5 * x + effects[g, 0] + 0.3 * effects[g, 1] * x + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g})


def products(fit: mf.MixedResults, data: pd.DataFrame) -> float:
    """Return seconds of Xβ + Zb in batches, from matrices and codes that are there."""
    effects, beta = fit.random_effects["g"].to_numpy(), fit.params.to_numpy()
    matrices = [
        (np.column_stack([np.ones(len(part)), part["x"]]), part["g"].to_numpy())
        for part in (data.iloc[a : a + BATCH] for a in range(0, len(data), BATCH))
    ]
    begun = perf_counter()
    for X, codes in matrices:
        X @ beta + (X * effects[codes]).sum(axis=1)
    return perf_counter() - begun


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--groups", type=float, default=1e5)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    data = rows(int(options.rows), int(options.groups))
    fit = mf.lmm("y ~ x + (1 + x | g)", [data[: 20 * int(options.groups)]]).fit()
    score, row = fit.scorer(), {"x": 2.0, "g": 7}
    frame = pd.DataFrame([row])
    out = csv.writer(sys.stdout)
    out.writerow(["what", "run", "rows", "seconds"])
    for run in range(options.repeat):
        times = []
        for _ in range(1000):
            begun = perf_counter()
            score(row)
            times.append(perf_counter() - begun)
        out.writerow(["one row, scorer", run, 1, f"{np.median(times):.3g}"])
        begun = perf_counter()
        fit.predict(frame)
        out.writerow(["one row, predict", run, 1, f"{perf_counter() - begun:.3g}"])
        out.writerow(["matrix products", run, len(data), f"{products(fit, data):.3g}"])
        begun = perf_counter()
        for _ in score.batches(data):
            pass
        out.writerow(["batches of the scorer", run, len(data), f"{perf_counter() - begun:.3g}"])
        begun = perf_counter()
        fit.predict(data)
        out.writerow(["predict", run, len(data), f"{perf_counter() - begun:.3g}"])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
