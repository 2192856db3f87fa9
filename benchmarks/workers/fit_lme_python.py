"""Worker for lme-python."""

from __future__ import annotations

from typing import Any

import lme_python
import polars as pl
from serve import Adapter, RefusalError, serve


class Worker(Adapter):
    """lme-python's lmer on polars frames, grouping factors as categories."""

    name = "lme-python"

    def read(self, problem: dict[str, Any]) -> Any:
        groups = {column for _, group in problem["terms"] for column in group.split(":")}
        slopes = {effect for effects, _ in problem["terms"] for effect in effects.split(" + ")}
        if slopes & (set(problem["factors"]) - groups):
            raise RefusalError("no factor as a random slope")
        factors = problem["factors"]
        frame = pl.read_csv(problem["path"], schema_overrides=dict.fromkeys(factors, pl.String))
        return frame.with_columns(pl.col(list(factors)).cast(pl.Categorical))

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        formula = problem["spelled"] or problem["formula"]
        fit = lme_python.lmer(formula, data=data, reml=problem["reml"])
        criterion = fit.reml_criterion if problem["reml"] else fit.deviance
        return criterion, fit.coefficients, fit.std_errors, fit

    def report(self, fit: Any) -> dict[str, Any]:
        # its iterations are not evaluations of the criterion
        return {"evaluations": None, "converged": bool(fit.converged)}


if __name__ == "__main__":
    serve(Worker())
