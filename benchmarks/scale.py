"""Time and memory of large fits and predictions, each beside a simpler way; every measurement in a process of its own.

python benchmarks/scale.py --size small               # a quick trial, a minute
python benchmarks/scale.py --folder /tmp/rows         # everything; needs 4 GB of disk and 8 GB of memory
python benchmarks/scale.py --only parquet,ratings
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd

PACKAGES = ("mixedfit", "numpy", "scipy", "pandas", "numba", "pyarrow", "dask")

CHUNK = 1_000_000

Task = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes
    ----------
    what : str
    task, reference : callable or None
        Functions of the sizes, run in processes of their own.
    full, small : tuple of int
        Sizes.
    most : dict
        Goals: the largest ratio of seconds to those of the reference, seconds, CPU seconds, megabytes at the peak,
        megabytes beside the level before in units of the data (`times_data`), difference of the estimates.
    """

    what: str
    task: Task
    full: tuple[int, ...]
    small: tuple[int, ...]
    most: dict[str, float]
    reference: Task | None = None


class Meter:
    """Seconds, CPU seconds and peak memory of a block, with those of child processes that live on."""

    def __init__(self, children: bool = False) -> None:
        self.children = children

    def __enter__(self) -> Meter:
        self.before = self._memory("VmRSS")
        for process in self._processes():
            with open(f"/proc/{process}/clear_refs", "w") as file:
                file.write("5")  # sets the peak to the present level
        self.used, self.began = self._cpu(), perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.cpu = perf_counter() - self.began, self._cpu() - self.used
        self.peak = self._memory("VmHWM")

    def figures(self) -> dict[str, float]:
        """Return the figures; memory in MB."""
        return {
            "seconds": self.seconds,
            "cpu": self.cpu,
            "peak_mb": self.peak,
            "added_mb": self.peak - self.before,
        }

    def _processes(self) -> list[int]:
        if not self.children:
            return [os.getpid()]
        import psutil

        return [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]

    def _memory(self, field: str) -> float:
        total = 0.0
        for process in self._processes():
            with open(f"/proc/{process}/status") as file:
                total += next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))
        return total

    def _cpu(self) -> float:
        import psutil

        others = [psutil.Process(one).cpu_times() for one in self._processes() if one != os.getpid()]
        return process_time() + sum(times.user + times.system for times in others)


def estimates(fit: Any) -> dict[str, list[float]]:
    """Return what two fits are compared by."""
    return {"estimates": [*map(float, fit.params), *map(float, fit.varcorr["sdcor"])]}


def megabytes(data: pd.DataFrame) -> float:
    """Return the size of a frame."""
    return float(data.memory_usage(index=False).sum() / 2**20)


def timed_fit(formula: str, data: pd.DataFrame) -> dict[str, Any]:
    """Return the figures of a model and its fit, after one of a few rows that loads compiled code."""
    import mixedfit as mf

    few = data.iloc[:4000]
    mf.lmm(formula, few).fit()
    meter = Meter()
    with meter:
        began, used = perf_counter(), process_time()
        model = mf.lmm(formula, data)
        read, read_cpu = perf_counter() - began, process_time() - used
        fit = model.fit()
    out = {**meter.figures(), "model_seconds": read, "model_cpu": read_cpu, "data_mb": megabytes(data)}
    return {**out, **estimates(fit), "evaluations": fit.convergence.evaluations}


# Rows of a Parquet file.


def parquet_file(rows: int, groups: int) -> Path:
    """Return a Parquet file of groups with random intercepts and slopes, written in chunks unless it is there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(os.environ["SCALE_FOLDER"]) / f"rows-{rows}-{groups}.parquet"
    if path.exists():
        return path
    rng = np.random.default_rng(1)
    effects, writer, half = rng.normal(size=(groups, 2)), None, path.with_suffix(".part")
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        g, x = rng.integers(0, groups, n), rng.normal(3, 2, n)
        y = 1 + 0.5 * x + effects[g, 0] + 0.3 * effects[g, 1] * x + rng.normal(size=n)
        table = pa.table({"y": y, "x": x, "g": g})
        writer = writer or pq.ParquetWriter(half, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return half.rename(path)


SLOPES = "y ~ x + (1 + x | g)"


def warm_frame() -> pd.DataFrame:
    """Return a few rows with the columns of the Parquet files."""
    import mixedfit as mf

    return mf.load_dataset("sleepstudy").rename(columns={"Reaction": "y", "Days": "x", "Subject": "g"})


ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
"""Environment of Dask's workers, where memory that a batch frees is kept for the next one; see docs/scale.md."""


def warm_up() -> None:
    """Import the package and load compiled code, in a worker."""
    import mixedfit as mf

    mf.lmm(SLOPES, [warm_frame()]).fit()


def read_columns(rows: int, groups: int) -> dict[str, Any]:
    """Read the columns with pyarrow."""
    import pyarrow.parquet as pq

    path, meter = parquet_file(rows, groups), Meter()
    with meter:
        table = pq.read_table(path, columns=["y", "x", "g"])
    return {**meter.figures(), "data_mb": table.nbytes / 2**20}


def fit_from_file(rows: int, groups: int) -> dict[str, Any]:
    """Fit random slopes to the file."""
    import mixedfit as mf

    path, meter = parquet_file(rows, groups), Meter()
    mf.lmm(SLOPES, [warm_frame()]).fit()
    with meter:
        began = perf_counter()
        model = mf.lmm(SLOPES, path)
        read = perf_counter() - began
        fit = model.fit()
    return {**meter.figures(), "model_seconds": read, "rows_read": fit.nobs, **estimates(fit)}


def fit_by_dask(rows: int, groups: int) -> dict[str, Any]:
    """Fit random slopes to the file with two worker processes."""
    import dask
    from dask.distributed import Client, LocalCluster

    import mixedfit as mf

    dask.config.set({f"{ENVIRONMENT}.MALLOC_{name}_THRESHOLD_": 1 << 28 for name in ("TRIM", "MMAP")})
    path, meter, few = parquet_file(rows, groups), Meter(children=True), warm_frame()
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        client.run(warm_up)
        mf.lmm(SLOPES, [few[i::8] for i in range(8)], executor=client).fit()
        with meter:
            began = perf_counter()
            model = mf.lmm(SLOPES, path, executor=client)
            read = perf_counter() - began
            fit = model.fit()
    return {**meter.figures(), "model_seconds": read, **estimates(fit)}


# Rows in memory.


def crossed(rows: int, first: int, second: int) -> dict[str, Any]:
    """Fit two crossed factors with six fixed columns."""
    rng = np.random.default_rng(1)
    columns = {f"x{i}": rng.normal(size=rows) for i in range(1, 6)}
    a, b = rng.integers(0, first, rows), rng.integers(0, second, rows)
    y = sum(columns.values()) + rng.normal(size=first)[a] + 0.5 * rng.normal(size=second)[b]
    data = pd.DataFrame({"y": y + rng.normal(size=rows), **columns, "a": a, "b": b})
    del columns, a, b, y  # the frame has copies
    return timed_fit("y ~ x1 + x2 + x3 + x4 + x5 + (1 | a) + (1 | b)", data)


def ratings(rows: int, users: int, items: int) -> dict[str, Any]:
    """Fit ratings, of which popular items and busy users have many, exactly."""
    rng = np.random.default_rng(1)
    user = (users * rng.random(rows) ** 1.7).astype(np.int64)
    item = (items * rng.random(rows) ** 3).astype(np.int64)
    y = 3.5 + 0.4 * rng.normal(size=users)[user] + 0.5 * rng.normal(size=items)[item]
    data = pd.DataFrame({"y": y + 0.9 * rng.normal(size=rows), "user": user, "item": item})
    return timed_fit("y ~ 1 + (1 | user) + (1 | item)", data)


def nested(rows: int, first: int, second: int, third: int) -> dict[str, Any]:
    """Fit three nested factors; the rows are the fourth level."""
    rng = np.random.default_rng(1)
    a = rng.integers(0, first, rows)
    b = a // (first // second)
    c = b // (second // third)
    x = rng.normal(size=rows)
    y = 1 + 0.5 * x + rng.normal(size=first)[a] + rng.normal(size=second)[b] + rng.normal(size=third)[c]
    data = pd.DataFrame({"y": y + rng.normal(size=rows), "x": x, "a": a, "b": b, "c": c})
    return timed_fit("y ~ x + (1 | c) + (1 | b) + (1 | a)", data)


def fixed_levels(rows: int, levels: int, groups: int) -> dict[str, Any]:
    """Fit a fixed factor with many levels beside a random one."""
    rng = np.random.default_rng(1)
    firm, g, x = rng.integers(0, levels, rows), rng.integers(0, groups, rows), rng.normal(size=rows)
    y = x + rng.normal(size=levels)[firm] + 0.5 * rng.normal(size=groups)[g] + rng.normal(size=rows)
    labels = pd.Categorical.from_codes(firm, [f"f{i:07d}" for i in range(levels)])
    return timed_fit("y ~ x + firm + (1 | g)", pd.DataFrame({"y": y, "x": x, "firm": labels, "g": g}))


def plants(rows: int, firms: int, per_firm: int) -> dict[str, Any]:
    """Fit a fixed factor of firms beside random plants within them."""
    rng = np.random.default_rng(1)
    plant, x = rng.integers(0, firms * per_firm, rows), rng.normal(size=rows)
    firm = plant // per_firm
    y = x + rng.normal(size=firms)[firm] + 0.5 * rng.normal(size=firms * per_firm)[plant]
    data = pd.DataFrame({"y": y + rng.normal(size=rows), "x": x, "firm": firm, "plant": plant})
    return timed_fit("y ~ x + C(firm) + (1 | plant)", data)


# Responses and predictions.


def sleepstudy_responses(responses: int) -> tuple[Any, Any, Any]:
    """Return a model, its fit and simulated responses."""
    import mixedfit as mf

    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    fit = model.fit()
    return model, fit, fit.simulate(responses, seed=1).to_numpy().copy()


def many_responses(responses: int) -> dict[str, Any]:
    """Fit all responses in one call."""
    model, _, Y = sleepstudy_responses(responses)
    model.fit_many(Y[:, :20])
    meter = Meter()
    with meter:
        many = model.fit_many(Y)
    return {**meter.figures(), "estimates": [float(many.table["criterion"].iloc[:100].mean())]}


def refits(responses: int) -> dict[str, Any]:
    """Refit a hundredth of the responses one by one; seconds are those of all in proportion."""
    _, fit, Y = sleepstudy_responses(responses)
    few = max(responses // 100, 100)
    fit.refit(Y[:, 0])
    meter = Meter()
    with meter:
        criteria = [fit.refit(Y[:, i]).reml_criterion for i in range(few)]
    out = meter.figures()
    scale = responses / few
    return {
        **out,
        "seconds": out["seconds"] * scale,
        "cpu": out["cpu"] * scale,
        "estimates": [float(np.mean(criteria[:100]))],
    }


def fit_of_slopes(groups: int) -> Any:
    """Return a fit of random slopes."""
    import mixedfit as mf

    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(groups), 10), rng.normal(3, 2, 10 * groups)
    effects = rng.normal(size=(groups, 2))
    y = 1 + 0.5 * x + effects[g, 0] + 0.3 * effects[g, 1] * x + rng.normal(size=10 * groups)
    return mf.lmm(SLOPES, pd.DataFrame({"y": y, "x": x, "g": g})).fit()


def score_one(groups: int) -> dict[str, Any]:
    """Score single rows; seconds are those of one."""
    score, row, times = fit_of_slopes(groups).scorer(), {"x": 2.0, "g": 7}, 1000
    score(row)
    meter = Meter()
    with meter:
        for _ in range(times):
            score(row)
    out = meter.figures()
    return {**out, "seconds": out["seconds"] / times, "cpu": out["cpu"] / times}


def rows_to_predict(rows: int, groups: int) -> pd.DataFrame:
    """Return rows of random groups."""
    rng = np.random.default_rng(2)
    return pd.DataFrame({"x": rng.normal(3, 2, rows), "g": rng.integers(0, groups, rows)})


def score_rows(rows: int, groups: int) -> dict[str, Any]:
    """Score rows in batches, all means kept."""
    score, data, meter = fit_of_slopes(groups).scorer(), rows_to_predict(rows, groups), Meter()
    score(data.iloc[:1000])
    with meter:
        means = np.concatenate(list(score.batches(data)))
    return {**meter.figures(), "estimates": [float(means.mean()), float(means.std())]}


def predict_rows(rows: int, groups: int) -> dict[str, Any]:
    """Predict rows by one call."""
    fit, data, meter = fit_of_slopes(groups), rows_to_predict(rows, groups), Meter()
    fit.predict(data.iloc[:1000])
    with meter:
        means = fit.predict(data).to_numpy()
    return {**meter.figures(), "estimates": [float(means.mean()), float(means.std())]}


def products_alone(rows: int, groups: int) -> dict[str, Any]:
    """Compute Xβ + Zb from matrices and codes that are there."""
    fit, data, meter = fit_of_slopes(groups), rows_to_predict(rows, groups), Meter()
    effects, beta = fit.random_effects["g"].to_numpy(), fit.params.to_numpy()
    X, codes = np.column_stack([np.ones(rows), data["x"]]), data["g"].to_numpy()
    with meter:
        parts = [slice(a, a + (1 << 18)) for a in range(0, rows, 1 << 18)]
        means = np.concatenate([X[a] @ beta + (X[a] * effects[codes[a]]).sum(axis=1) for a in parts])
    return {**meter.figures(), "estimates": [float(means.mean()), float(means.std())]}


ROWS = {
    "parquet": Row(
        "random slopes from Parquet, beside pyarrow reading its columns",
        fit_from_file,
        (100_000_000, 1_000_000),
        (1_000_000, 10_000),
        {"ratio": 3, "peak_mb": 4096},
        read_columns,
    ),
    "dask": Row(
        "the same through Dask, two worker processes, beside the stream",
        fit_by_dask,
        (100_000_000, 1_000_000),
        (1_000_000, 10_000),
        {"ratio": 1, "apart": 1e-10},
        fit_from_file,
    ),
    "crossed": Row(
        "crossed factors in memory, six fixed columns",
        crossed,
        (5_000_000, 200_000, 5_000),
        (100_000, 4_000, 300),
        {"cpu": 35, "peak_mb": 967},
    ),
    "ratings": Row(
        "ratings in memory, exact",
        ratings,
        (1_000_000, 6_040, 3_706),
        (50_000, 600, 300),
        {"seconds": 3.4, "peak_mb": 500},
    ),
    "nested": Row(
        "nested factors in memory",
        nested,
        (2_000_000, 400_000, 40_000, 4_000),
        (50_000, 10_000, 1_000, 100),
        {"seconds": 30, "times_data": 3},
    ),
    "fixed-3000": Row(
        "fixed factor of many levels beside a random one",
        fixed_levels,
        (60_000, 3_000, 200),
        (20_000, 1_000, 100),
        {"seconds": 0.5},
    ),
    "firms": Row(
        "fixed firms, random plants within them",
        plants,
        (10_000_000, 1_000_000, 2),
        (100_000, 10_000, 2),
        {"seconds": 60},
    ),
    "responses": Row(
        "responses of the sleepstudy design, beside a loop of refits",
        many_responses,
        (10_000,),
        (500,),
        {"seconds": 3, "apart": 1e-7},
        refits,
    ),
    "score-one": Row("one row scored", score_one, (100_000,), (1_000,), {"seconds": 1e-3}),
    "score": Row(
        "rows scored in batches, beside the matrix products",
        score_rows,
        (10_000_000, 100_000),
        (300_000, 3_000),
        {"ratio": 3, "apart": 1e-9},
        products_alone,
    ),
    "predict": Row(
        "rows predicted by one call, beside the matrix products",
        predict_rows,
        (10_000_000, 100_000),
        (300_000, 3_000),
        {"ratio": 3, "apart": 1e-9},
        products_alone,
    ),
}


def measured(name: str, kind: str, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return the figures of a task in a new process; `error` if it failed."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", name, kind, *map(str, sizes)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def compared(own: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return figures with ratio of seconds and largest relative difference of estimates from the reference's."""
    out = {name: value for name, value in own.items() if name != "estimates"}
    if "data_mb" in own:
        out["times_data"] = own["added_mb"] / own["data_mb"]
    if "seconds" in other:
        out |= {"ratio": own["seconds"] / other["seconds"], "cpu_ratio": own["cpu"] / max(other["cpu"], 1e-9)}
        out |= {f"reference_{key}": other[key] for key in ("seconds", "cpu", "peak_mb")}
    if "estimates" in own and "estimates" in other:
        one, two = np.array(own["estimates"]), np.array(other["estimates"])
        out["apart"] = float(np.max(np.abs(one - two) / np.maximum(np.abs(two), 1e-3)))
    return out


def run(name: str, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Return the figures of a row, with the goals that it missed."""
    row = ROWS[name]
    other = {} if row.reference is None else measured(name, "reference", sizes)
    own = measured(name, "task", sizes)
    if "error" in own | other:
        return {"row": name, "sizes": " ".join(map(str, sizes)), "missed": (own | other)["error"]}
    out = compared(own, other)
    missed = [f"{key} {out[key]:.3g} > {most:g}" for key, most in row.most.items() if out[key] > most]
    figures = {key: value if isinstance(value, str | int) else f"{value:.4g}" for key, value in out.items()}
    return {"row": name, "sizes": " ".join(map(str, sizes)), "missed": "; ".join(missed), **figures}


FIELDS = ["row", "sizes", "round", "seconds", "cpu", "peak_mb", "added_mb", "ratio", "cpu_ratio", "apart"]
FIELDS += ["times_data", "data_mb", "model_seconds", "model_cpu", "evaluations"]
FIELDS += ["reference_seconds", "reference_cpu", "reference_peak_mb", "missed", "when", "versions"]


def main() -> None:
    """Measure rows of the table, print them and write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(ROWS), help="names of rows, separated by commas")
    parser.add_argument("--size", choices=["full", "small"], default="full")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where Parquet files are written and kept")
    parser.add_argument("--out", type=Path, help="CSV; benchmarks/results-scale.csv for full sizes")
    options = parser.parse_args()
    out = options.out or (Path(__file__).with_name("results-scale.csv") if options.size == "full" else None)
    facts = {"when": f"{datetime.now(UTC):%Y-%m-%d}", "versions": _versions()}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCALE_FOLDER"] = str(options.folder or folder)
        results = []
        for name in options.only.split(","):
            for round_ in range(options.rounds):
                result = {"round": round_, **run(name, getattr(ROWS[name], options.size)), **facts}
                print("  ".join(f"{key} {result[key]}" for key in FIELDS[:-2] if key in result), flush=True)
                results.append(result)
    if out is not None:
        _write(out, results)


def _versions() -> str:
    names = [f"{name} {version(name)}" if name != "mixedfit" else f"mixedfit {_own()}" for name in PACKAGES]
    return ", ".join([f"python {platform.python_version()}", *names, f"{os.cpu_count()} cores"])


def _own() -> str:
    import mixedfit as mf

    return str(mf.__version__)


def _write(path: Path, results: list[dict[str, Any]]) -> None:
    """Write results; rows of the table that were not measured now keep their former results."""
    now = {result["row"] for result in results}
    kept = []
    if path.exists():
        with path.open(newline="") as file:
            kept = [line for line in csv.DictReader(file) if line["row"] not in now]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(sorted([*kept, *results], key=lambda one: list(ROWS).index(one["row"])))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--child":
        name, kind, *sizes = sys.argv[2:]
        warnings.simplefilter("ignore")
        task = ROWS[name].reference if kind == "reference" else ROWS[name].task
        assert task is not None
        print(json.dumps(task(*map(int, sizes))))
    else:
        main()
