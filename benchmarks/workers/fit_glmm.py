"""Worker for glmm."""

from __future__ import annotations

import csv
import os
from typing import Any

import glmm
import numpy as np
from serve import Adapter, read_frame, serve

SMALL_FILE = 1_000_000
"""Bytes up to which pandas, which glmm does not need, is not imported to read a file."""


class Worker(Adapter):
    """glmm without Satterthwaite's degrees of freedom, which the other programs do not compute either."""

    name = "glmm"

    def read(self, problem: dict[str, Any]) -> Any:
        path = problem["path"]
        if path.endswith(".gz") or os.path.getsize(path) > SMALL_FILE:
            return read_frame(problem)
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            name: [row[name] for row in rows]
            if name in problem["factors"]
            else np.array([float(row[name]) for row in rows])
            for name in rows[0]
        }

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        fit = glmm.fit(data, problem["formula"], reml=problem["reml"], satterthwaite=False, anova_test="Wald")
        return -2 * fit.loglik, fit.beta, fit.se, fit

    def report(self, fit: Any) -> dict[str, Any]:
        return {"evaluations": int(fit.n_eval), "converged": bool(fit.converged)}


if __name__ == "__main__":
    serve(Worker())
