"""How time and memory of fits grow with rows, groups, crossed levels, columns, responses and workers.

python benchmarks/growth.py                       # about ten minutes; writes results-growth.csv and the picture
python benchmarks/growth.py --only rows,columns   # some dimensions; the CSV keeps the others
python benchmarks/growth.py --draw                # the picture and the exponents from the CSV alone
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scale import ENVIRONMENT, Meter, parquet_file, sleepstudy_responses, timed_fit, warm_frame, warm_up

HERE = Path(__file__).resolve().parent

PICTURE = HERE.parent / "docs" / "images" / "growth.png"

LARGEST = 4
"""Number of sizes, the largest ones, from which an exponent is estimated: fixed costs hide it at small ones."""

SLOPES = "y ~ x + (1 + x | g)"


@dataclass(frozen=True)
class Dimension:
    """What grows.

    Attributes
    ----------
    title : str
    measure : callable
        Figures at a size, in a process of its own.
    sizes : tuple of int
    clock : {"cpu", "seconds"}
        CPU seconds of all processes, which other work on the machine changes little, or seconds on an idle one.
    """

    title: str
    measure: Callable[[int], dict[str, Any]]
    sizes: tuple[int, ...]
    clock: str = "cpu"


def slopes(rows: int, groups: int) -> pd.DataFrame:
    """Return rows of groups with random intercepts and slopes."""
    rng = np.random.default_rng(1)
    effects = rng.normal(size=(groups, 2))
    g, x = rng.integers(0, groups, rows), rng.normal(3, 2, rows)
    y = 1 + 0.5 * x + effects[g, 0] + 0.3 * effects[g, 1] * x + rng.normal(size=rows)
    return pd.DataFrame({"y": y, "x": x, "g": g})


def of_rows(rows: int) -> dict[str, Any]:
    return timed_fit(SLOPES, slopes(rows, 10_000))


def of_file(rows: int) -> dict[str, Any]:
    import mixedfit as mf

    path, meter = parquet_file(rows, 10_000), Meter()
    mf.lmm(SLOPES, [warm_frame()]).fit()
    with meter:
        mf.lmm(SLOPES, path).fit()
    return meter.figures()


def of_groups(groups: int) -> dict[str, Any]:
    return timed_fit(SLOPES, slopes(2_000_000, groups))


def of_crossed(levels: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    rows, first = 300_000, 30_000
    a, b = rng.integers(0, first, rows), rng.integers(0, levels, rows)
    y = rng.normal(size=first)[a] + 0.5 * rng.normal(size=levels)[b] + rng.normal(size=rows)
    return timed_fit("y ~ 1 + (1 | a) + (1 | b)", pd.DataFrame({"y": y, "a": a, "b": b}))


def of_columns(columns: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100_000, columns))
    data = pd.DataFrame(X, columns=[f"x{i}" for i in range(columns)])
    data["g"] = rng.integers(0, 1_000, len(data))
    data["y"] = X.sum(axis=1) + rng.normal(size=1_000)[data["g"]] + rng.normal(size=len(data))
    return timed_fit(f"y ~ {' + '.join(f'x{i}' for i in range(columns))} + (1 | g)", data)


def of_responses(responses: int) -> dict[str, Any]:
    model, _, Y = sleepstudy_responses(responses)
    model.fit_many(Y[:, :20])
    meter = Meter()
    with meter:
        model.fit_many(Y)
    return meter.figures()


def of_workers(workers: int) -> dict[str, Any]:
    import dask
    from dask.distributed import Client, LocalCluster

    import mixedfit as mf

    dask.config.set({f"{ENVIRONMENT}.MALLOC_{name}_THRESHOLD_": 1 << 28 for name in ("TRIM", "MMAP")})

    path, meter, few = parquet_file(10_000_000, 10_000), Meter(children=True), warm_frame()
    options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        client.run(warm_up)
        mf.lmm(SLOPES, [few[i::8] for i in range(8)], executor=client).fit()
        with meter:
            mf.lmm(SLOPES, path, executor=client).fit()
    return meter.figures()


DIMENSIONS = {
    "rows": Dimension("rows in memory", of_rows, (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)),
    "file": Dimension("rows in a file", of_file, (300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)),
    "groups": Dimension("groups", of_groups, (1_000, 10_000, 30_000, 100_000, 300_000, 600_000)),
    "crossed": Dimension("crossed levels", of_crossed, (250, 500, 1_000, 2_000, 4_000)),
    "columns": Dimension("fixed columns", of_columns, (4, 8, 16, 32, 64, 128)),
    "responses": Dimension("responses", of_responses, (300, 1_000, 3_000, 10_000, 30_000)),
    "workers": Dimension("workers, two cores", of_workers, (1, 2, 3, 4)),
}

FIELDS = ["dimension", "size", "seconds", "cpu", "peak_mb", "added_mb"]


def measured(name: str, size: int) -> dict[str, Any]:
    """Return the figures of a size, from a new process."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", name, str(size)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} {size}: {done.stderr.strip()[-2000:]}")
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    return {key: {**figures, "dimension": name, "size": size}[key] for key in FIELDS}


def exponent(sizes: Any, values: Any) -> float:
    """Return the slope of log values on log sizes of the largest sizes."""
    x, y = (np.log(np.asarray(own, dtype=float)[-LARGEST:]) for own in (sizes, np.maximum(values, 1e-3)))
    return float(np.polyfit(x, y, 1)[0])


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Return the exponents of time and memory for each dimension."""
    rows = {}
    for name, own in results.groupby("dimension", sort=False):
        own = own.sort_values("size")
        clock = DIMENSIONS[str(name)].clock
        rows[name] = {
            "time": exponent(own["size"], own[clock]),
            "memory": exponent(own["size"], own["added_mb"]),
            "largest": int(own["size"].iloc[-1]),
            "seconds there": own[clock].iloc[-1],
            "MB there": own["added_mb"].iloc[-1],
        }
    return pd.DataFrame(rows).T


def draw(results: pd.DataFrame, path: Path) -> None:
    """Draw a column of two small panels for each dimension: time and memory, on logarithmic axes."""
    import matplotlib.pyplot as plt

    from mixedfit.plots.style import BLUE, FAINT, GREY, INK, ORANGE

    names = [name for name in DIMENSIONS if name in set(results["dimension"])]
    figure, axes = plt.subplots(2, len(names), figsize=(1.75 * len(names), 4.2), sharey="row", squeeze=False)
    found = table(results)
    for column, name in enumerate(names):
        own = results[results["dimension"] == name].sort_values("size")
        for row, (field, colour, marker, kind) in enumerate(
            ((DIMENSIONS[name].clock, BLUE, "o", "time"), ("added_mb", ORANGE, "s", "memory"))
        ):
            ax, power = axes[row, column], found.loc[name, kind]
            ax.loglog(own["size"], np.maximum(own[field], 1e-2), marker, color=colour, ms=4)
            line = own["size"].to_numpy(dtype=float)[-LARGEST:]
            middle = np.exp(np.log(np.maximum(own[field], 1e-3)).to_numpy()[-LARGEST:].mean())
            ax.loglog(line, middle * (line / np.exp(np.log(line).mean())) ** power, color=colour, lw=1)
            ax.set_title(f"exponent {power:.2f}", fontsize=8, color=INK)
            ax.grid(True, color=FAINT, lw=0.5)
            ax.tick_params(labelsize=7, colors=GREY, which="both")
            ax.minorticks_off()
            for side in ("top", "right"):
                ax.spines[side].set_visible(False)
            if name == "workers":
                ax.set_xticks(own["size"], [str(size) for size in own["size"]])
        axes[1, column].set_xlabel(DIMENSIONS[name].title, fontsize=8, color=INK)
    axes[0, 0].set_ylabel("seconds", fontsize=8, color=INK)
    axes[1, 0].set_ylabel("MB beside the data", fontsize=8, color=INK)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measure, write the CSV, print the exponents and draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(DIMENSIONS), help="dimensions, separated by commas")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--folder", type=Path, help="where Parquet files are written and kept")
    parser.add_argument("--out", type=Path, default=HERE / "results-growth.csv")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    options = parser.parse_args()
    lines: list[dict[str, Any]] = []
    chosen = [] if options.draw else options.only.split(",")
    if options.out.exists():
        lines = [one for one in csv.DictReader(options.out.open()) if one["dimension"] not in chosen]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCALE_FOLDER"] = str(options.folder or folder)
        for name in chosen:
            for size in DIMENSIONS[name].sizes:
                lines.append(measured(name, size))
                print("  ".join(f"{key} {lines[-1][key]}" for key in FIELDS), flush=True)
    results = pd.DataFrame(lines).astype(dict.fromkeys(FIELDS[1:], float)).round(4)
    results["dimension"] = pd.Categorical(results["dimension"], list(DIMENSIONS))
    results = results.sort_values(["dimension", "size"]).astype({"dimension": str, "size": int})
    results.to_csv(options.out, index=False)
    print(table(results).round(2).to_string())
    draw(results, options.picture)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--child":
        warnings.simplefilter("ignore")
        print(json.dumps(DIMENSIONS[sys.argv[2]].measure(int(sys.argv[3]))))
    else:
        main()
