"""Worker for gpboost; called with "exact", it factorises instead of iterating."""

from __future__ import annotations

import sys
from typing import Any

import gpboost
import numpy as np
import pandas as pd
from serve import Adapter, RefusalError, read_frame, serve

INVERSION = "cholesky" if sys.argv[1:] == ["exact"] else "default"


class Worker(Adapter):
    """gpboost's GPModel, with the fixed part's columns made by hand for want of formulas."""

    name = "gpboost"

    def read(self, problem: dict[str, Any]) -> Any:
        if problem["reml"]:
            raise RefusalError("maximum likelihood only")
        if any(effects != "1" for effects, _ in problem["terms"]):
            raise RefusalError("no correlation of intercepts and slopes")
        return read_frame(problem, codes=True)

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        response, predictors = problem["fixed"].split(" ~ ")
        columns = [c for c in predictors.split(" + ") if c != "1"]
        X = pd.get_dummies(data[columns], drop_first=True, dtype=float)
        X.insert(0, "Intercept", np.ones(len(data)))
        model = gpboost.GPModel(
            group_data=data[[group for _, group in problem["terms"]]],
            likelihood="gaussian",
            matrix_inversion_method=INVERSION,
        )
        model.fit(y=data[response].to_numpy(float), X=X)
        table = model.get_coef(std_err=True).to_numpy()
        return 2 * model.get_current_neg_log_likelihood(), table[0], table[1], model


if __name__ == "__main__":
    serve(Worker())
