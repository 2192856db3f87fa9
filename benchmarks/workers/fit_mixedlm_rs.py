"""Worker for mixedlm-rs."""

from __future__ import annotations

from typing import Any

import mixedlm_rs
from serve import Adapter, RefusalError, numpy_blas, read_frame, serve


class Worker(Adapter):
    """mixedlm-rs; groups as integers, which it reads faster than categories."""

    name = "mixedlm-rs"

    def blas(self) -> str:
        return f"{numpy_blas()}; core compiled in"

    def read(self, problem: dict[str, Any]) -> Any:
        if len(problem["terms"]) > 1:
            raise RefusalError("one grouping factor only")
        return read_frame(problem, codes=True)

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        ((effects, group),) = problem["terms"]
        model = mixedlm_rs.mixedlm(problem["fixed"], data, groups=group, re_formula=f"~ {effects}")
        fit = model.fit(reml=problem["reml"])
        return -2 * fit.llf, fit.fe_params, fit.bse_fe, fit

    def report(self, fit: Any) -> dict[str, Any]:
        evaluations = fit.diagnostics["n_objective_evaluations"] + fit.diagnostics["n_criterion_evaluations"]
        return {"evaluations": int(evaluations), "converged": bool(fit.converged)}


if __name__ == "__main__":
    serve(Worker())
