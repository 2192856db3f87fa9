"""Worker that fits with mixedfit and asks the fit; requests as in serve.py."""

from __future__ import annotations

import gc
import inspect
import json
import os
import sys
import warnings
from time import perf_counter
from typing import Any

from serve import RefusalError, numpy_blas, read_frame

import mixedfit as mf

LEVELS = (0.025, 0.975)


def profile(fit: Any, request: dict[str, Any]) -> list[float]:
    """Return the ends of the profile intervals of all parameters, lower ends first."""
    if "method" not in inspect.signature(fit.conf_int).parameters:
        raise RefusalError("profile intervals are not available in this version")
    found = fit.conf_int(method="profile")
    return [float(x) for side in ("lower", "upper") for x in found[side]]


def bootstrap(fit: Any, request: dict[str, Any]) -> list[float]:
    """Return the standard deviations of the fixed effects over the replicates."""
    if not hasattr(fit, "bootstrap"):
        raise RefusalError("the bootstrap is not available in this version")
    beta = fit.bootstrap(n=request["replicates"], seed=1).beta
    return [float(x) for x in beta.std(axis=0)]


def degrees(fit: Any, request: dict[str, Any]) -> list[float]:
    """Return the standard errors, degrees of freedom and t values of the fixed effects."""
    table = fit.summary(ddf=request["what"]).coefficients
    return [float(x) for column in ("std_error", "df", "statistic") for x in table[column]]


ASKED = {"profile": profile, "bootstrap": bootstrap, "satterthwaite": degrees, "kenward-roger": degrees}


def ask(problem: dict[str, Any], data: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Fit anew, lest something be remembered, and time the fit and the question apart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = perf_counter()
        fit = mf.lmm(problem["formula"], data).fit(reml=problem["reml"])
        fitted = perf_counter()
        numbers = ASKED[request["what"]](fit, request)
        return {"seconds": perf_counter() - fitted, "fit_seconds": fitted - begun, "numbers": numbers}


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    problem: dict[str, Any] = {}
    data: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            return
        try:
            if request["do"] == "hello":
                answer: dict[str, Any] = {"version": mf.__version__, "blas": numpy_blas()}
            elif request["do"] == "load":
                problem = request["problem"]
                data = read_frame(problem)
                answer = {"loaded": True}
            else:
                answer = ask(problem, data, request)
        except RefusalError as refusal:
            answer = {"refused": str(refusal)}
        except Exception as error:
            answer = {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:160]}
        gc.collect()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
