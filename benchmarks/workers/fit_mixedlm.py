"""Worker for mixedlm."""

from __future__ import annotations

from typing import Any

import mixedlm
import numpy as np
from serve import Adapter, numpy_blas, serve


class Worker(Adapter):
    """mixedlm's lmer."""

    name = "mixedlm"

    def blas(self) -> str:
        return f"{numpy_blas()}; core compiled in"

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        fit = mixedlm.lmer(problem["formula"], data, REML=problem["reml"])
        return fit.deviance, fit.beta, np.sqrt(np.diag(fit.vcov())), fit

    def report(self, fit: Any) -> dict[str, Any]:
        return {"evaluations": int(fit.function_evals), "converged": bool(fit.converged)}


if __name__ == "__main__":
    serve(Worker())
