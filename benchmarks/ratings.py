"""Ratings of many items by many users, simulated and skewed: an exact fit, or one by conjugate gradients.

python benchmarks/ratings.py 25e6 160000 59000 [auto|exact|iterative]
"""

from __future__ import annotations

import resource
import sys
from time import perf_counter, process_time

import numpy as np
import pandas as pd

import mixedfit as mf


def ratings(n: int, users: int, items: int) -> pd.DataFrame:
    """Return simulated ratings; popular items and busy users have many more than others."""
    rng = np.random.default_rng(1)
    user = (users * rng.random(n) ** 1.7).astype(np.int32)
    item = (items * rng.random(n) ** 3).astype(np.int32)
    x = rng.normal(size=n)
    y = 3.5 + 0.1 * x + 0.4 * rng.normal(size=users)[user] + 0.5 * rng.normal(size=items)[item]
    return pd.DataFrame({"y": y + 0.9 * rng.normal(size=n), "x": x, "user": user, "item": item})


def main() -> None:
    """Fit, and print seconds, memory and estimates."""
    n, users, items = (int(float(text)) for text in sys.argv[1:4])
    solver = sys.argv[4] if len(sys.argv) > 4 else "auto"
    frame = ratings(n, users, items)
    begun, used = perf_counter(), process_time()
    fit = mf.lmm("y ~ x + (1 | user) + (1 | item)", frame).fit(control=mf.Control(solver=solver))
    seconds, cpu = perf_counter() - begun, process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{n:,} rows, {users:,} users, {items:,} items: {seconds:.1f} s, {cpu:.1f} s of CPU, peak {peak:.2f} GB"
    )
    print(f"verdict {fit.convergence.status}, {fit.convergence.evaluations} evaluations, {dict(fit.timing)}")
    print("simulated 3.5, 0.1 and SDs 0.4, 0.5, 0.9; estimated", fit.params.round(4).tolist())
    print(fit.varcorr["sdcor"].round(4).tolist(), "standard errors", fit.bse.round(5).tolist())


if __name__ == "__main__":
    main()
