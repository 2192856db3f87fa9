"""What all Python workers share: requests in, answers out, one JSON object a line.

Requests: {"do": "hello"}, {"do": "load", "problem": ...}, {"do": "fit"}, {"do": "quit"}.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import warnings
from importlib.metadata import version
from time import perf_counter
from typing import Any

__all__ = ["Adapter", "RefusalError", "numpy_blas", "read_frame", "serve"]


class RefusalError(Exception):
    """Says why a program cannot fit a model; raised before anything is timed."""


class Adapter:
    """A program behind the four calls that a worker makes.

    Attributes
    ----------
    name : str
        Distribution whose version is reported.
    """

    name: str

    def version(self) -> str:
        """Return the program's version."""
        return version(self.name)

    def blas(self) -> str:
        """Return the linear algebra that the program runs on, in words."""
        return "compiled in"

    def read(self, problem: dict[str, Any]) -> Any:
        """Return the data as the program likes them best, or raise RefusalError. Not timed."""
        return read_frame(problem)

    def fit(self, problem: dict[str, Any], data: Any) -> tuple[Any, ...]:
        """Return criterion, fixed effects, their standard errors, and the fit. This is timed."""
        raise NotImplementedError

    def report(self, fit: Any) -> dict[str, Any]:
        """Return evaluations and converged, both None if unknown. Not timed."""
        return {"evaluations": None, "converged": None}


def serve(adapter: Adapter) -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    state: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "quit":
            return
        try:
            answer = _answer(adapter, request, state)
        except RefusalError as refusal:
            answer = {"refused": str(refusal)}
        except BaseException as error:  # Rust's panics are no Exception
            answer = {"failed": _one_line(f"{type(error).__name__}: {error}")}
        gc.collect()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _answer(adapter: Adapter, request: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "hello":
        return {"version": adapter.version(), "blas": adapter.blas()}
    if request["do"] == "load":
        state["problem"] = request["problem"]
        state["data"] = adapter.read(request["problem"])
        return {"loaded": True}
    return _timed(adapter, state["problem"], state["data"])


def _timed(adapter: Adapter, problem: dict[str, Any], data: Any) -> dict[str, Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        begun = perf_counter()
        criterion, beta, standard_errors, fit = adapter.fit(problem, data)
        seconds = perf_counter() - begun
    return {
        "seconds": seconds,
        "criterion": float(criterion),
        "beta": [float(b) for b in beta],
        "standard_errors": [float(s) for s in standard_errors],
        "note": _one_line(str(caught[0].message)) if caught else "",
        **adapter.report(fit),
    }


def _one_line(text: str, limit: int = 160) -> str:
    return " ".join(text.split())[:limit]


def read_frame(problem: dict[str, Any], codes: bool = False) -> Any:
    """Return the data as a pandas frame, factors as categories or as integer codes."""
    import pandas as pd

    factors = problem["factors"]
    frame = pd.read_csv(problem["path"], dtype=dict.fromkeys(factors, "str"), float_precision="round_trip")
    frame = frame.astype(dict.fromkeys(factors, "category"))
    if codes:
        for _, group in problem["terms"]:
            for column in group.split(":"):
                frame[column] = frame[column].cat.codes.astype("int64")
    return frame


def numpy_blas() -> str:
    """Return the name and version of the BLAS that numpy was built with."""
    import numpy as np

    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{built['name']} {built['version']} (numpy)"
