"""Worker for mixedfit."""

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
        fit = mf.lmm(problem["formula"], data).fit(reml=problem["reml"])
        criterion = fit.reml_criterion if problem["reml"] else fit.deviance
        return criterion, fit.params, fit.bse, fit

    def report(self, fit: Any) -> dict[str, Any]:
        return {"evaluations": fit.convergence.evaluations, "converged": fit.converged}


if __name__ == "__main__":
    serve(Worker())
