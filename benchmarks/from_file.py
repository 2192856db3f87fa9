"""Time and memory of a fit from a Parquet file, beside reading its columns with pyarrow; each in a process of its own.

python benchmarks/from_file.py --rows 1e7 --groups 1e5
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 1_000_000

PEAK = """
import time
def peak():
    with open("/proc/self/status") as file:  # ru_maxrss would have the peak of the process that started this one
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
import pyarrow.parquet as pq
"""

READ = "T = pq.read_table(path, columns=['y', 'x', 'g'])"

TASKS = {
    "pyarrow reads the columns": ("", READ),
    "fit from the file": ("fit([data])", "fit(path)"),
    "fit from a table in memory": ("fit(data)", f"{READ}; fit(T)"),
}

FIT = """
import mixedfit as mf
data = mf.load_dataset("sleepstudy").rename(columns={"Reaction": "y", "Days": "x", "Subject": "g"})
def fit(rows): return mf.lmm("y ~ x + (1 + x | g)", rows).fit()
"""


def write(path: Path, rows: int, groups: int) -> None:
    """Write rows of groups with random intercepts and slopes."""
    rng = np.random.default_rng(1)
    effects, writer = rng.normal(size=(groups, 2)), None
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        g, x = rng.integers(0, groups, n), rng.normal(3, 2, n)
        y = 1 + 0.5 * x + effects[g, 0] + 0.3 * effects[g, 1] * x + rng.normal(size=n)
        table = pa.table({"y": y, "x": x, "g": g, "other": rng.normal(size=n)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def measured(warm_up: str, task: str, path: Path) -> str:
    """Return seconds and megabytes beside the imports of a task."""
    code = f"{PEAK}{FIT if warm_up else ''}path = {str(path)!r}\n{warm_up}\n"
    code += "before, began = peak(), time.perf_counter()\n"
    code += f"{task}\nprint(f'{{time.perf_counter() - began:.2f}} s, {{peak() - before:.0f}} MB')"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=1e7)
    parser.add_argument("--groups", type=float, default=1e5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write(path, int(options.rows), int(options.groups))
        for _ in range(options.rounds):
            for name, (warm_up, task) in TASKS.items():
                print(f"{name:30s} {measured(warm_up, task, path)}", flush=True)


if __name__ == "__main__":
    main()
