"""Worker for statsmodels."""

from __future__ import annotations

from typing import Any

import numpy as np
import statsmodels.formula.api as smf
from serve import Adapter, RefusalError, numpy_blas, read_frame, serve

DENSE = 5_000
"""Rows up to which all of the data can be one group, whose covariance is a dense matrix."""


class Worker(Adapter):
    """statsmodels' MixedLM; several factors as variance components within the first, or within one group."""

    name = "statsmodels"

    def blas(self) -> str:
        return numpy_blas()

    def read(self, problem: dict[str, Any]) -> Any:
        terms = problem["terms"]
        if len(terms) > 1 and any(effects != "1" for effects, _ in terms):
            raise RefusalError("no correlated effects of several grouping factors")
        frame = read_frame(problem)
        if len(terms) > 1 and not _nested(terms) and len(frame) > DENSE:
            raise RefusalError(
                f"crossed factors are one group with a dense {len(frame)} x {len(frame)} matrix"
            )
        return frame

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        fit = smf.mixedlm(problem["fixed"], data, **_random(problem["terms"], data)).fit(reml=problem["reml"])
        return -2 * fit.llf, fit.fe_params, fit.bse_fe, fit

    def report(self, fit: Any) -> dict[str, Any]:
        return {"evaluations": None, "converged": bool(fit.converged)}


def _nested(terms: list[list[str]]) -> bool:
    first = terms[0][1]
    return all(group.startswith(f"{first}:") for _, group in terms[1:])


def _random(terms: list[list[str]], data: Any) -> dict[str, Any]:
    """Return the random part as MixedLM takes it."""
    if len(terms) == 1:
        return {"groups": terms[0][1], "re_formula": f"~ {terms[0][0]}"}
    if _nested(terms):
        inner = [group.split(":")[1] for _, group in terms[1:]]
        return {"groups": terms[0][1], "re_formula": "1", "vc_formula": {c: f"0 + C({c})" for c in inner}}
    return {"groups": np.ones(len(data)), "vc_formula": {group: f"0 + C({group})" for _, group in terms}}


if __name__ == "__main__":
    serve(Worker())
