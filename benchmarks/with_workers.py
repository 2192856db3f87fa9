"""Time of a fit from a Parquet file by this process and by the workers of a Dask cluster on this machine, as CSV.

python benchmarks/with_workers.py --rows 1e7 --groups 1e5 --workers 2 --repeat 3 > with_workers.csv
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

from from_file import write

import mixedfit as mf

FORMULA = "y ~ x + (1 + x | g)"

WARM = mf.load_dataset("sleepstudy").rename(columns={"Reaction": "y", "Days": "x", "Subject": "g"})


def timed(path: Path, executor: Any) -> tuple[dict[str, float], Any]:
    """Return seconds of reading and of the fit, and the fit."""
    begun = perf_counter()
    model = mf.lmm(FORMULA, path, executor=executor)
    read = perf_counter()
    fit = model.fit()
    return {"read": read - begun, "fit": perf_counter() - read, "total": perf_counter() - begun}, fit


def main() -> None:
    """Print a row for each run, the kinds in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--groups", type=float, default=1e5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    from dask.distributed import Client, LocalCluster

    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=options.workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
        ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool,
    ):
        path = Path(folder) / "rows.parquet"
        write(path, int(options.rows), int(options.groups))
        kinds = {"stream": None, "dask": client, "processes": pool}
        for executor in kinds.values():  # starts workers, compiles
            mf.lmm(FORMULA, [WARM[:90], WARM[90:]], executor=executor).fit()
        out = csv.DictWriter(
            sys.stdout,
            [
                "kind",
                "run",
                "rows",
                "groups",
                "workers",
                "cores",
                "read",
                "fit",
                "total",
                "largest_difference",
            ],
        )
        out.writeheader()
        for run in range(options.repeat):
            expected = None
            for kind, executor in kinds.items():
                seconds, fit = timed(path, executor)
                expected = fit.params if expected is None else expected
                out.writerow(
                    {
                        "kind": kind,
                        "run": run,
                        "rows": int(options.rows),
                        "groups": int(options.groups),
                        "workers": 1 if executor is None else options.workers,
                        "cores": os.cpu_count(),
                        **{name: round(value, 2) for name, value in seconds.items()},
                        "largest_difference": float(abs(fit.params - expected).max()),
                    }
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
