"""Worker for mixedfit with a residual structure."""

from __future__ import annotations

from typing import Any

from serve import Adapter, numpy_blas, serve

import mixedfit as mf


class Worker(Adapter):
    """mixedfit, as a user calls it."""

    name = "mixedfit"

    def version(self) -> str:
        return mf.__version__

    def blas(self) -> str:
        return numpy_blas()

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        name, arguments = problem["spelled_by"]["mixedfit"].rstrip(")").split("(")
        columns = [part.strip(' "') for part in arguments.split(",")]
        structure = getattr(mf.residuals, name)(*columns)
        fit = mf.lmm(problem["formula"], data, residual=structure).fit(reml=problem["reml"])
        return fit.reml_criterion, fit.params, fit.bse, fit

    def report(self, fit: Any) -> dict[str, Any]:
        return {"evaluations": fit.convergence.evaluations, "converged": fit.converged}


if __name__ == "__main__":
    serve(Worker())
