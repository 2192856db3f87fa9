"""Predictions and their errors against n × n matrices, on random models and by every way to compute them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prediction_oracle import Target, predicted
from problems import WAYS, Problem, computing
from strategies import fittable

import mixedfit as mf

SETTINGS: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def new_rows(problem: Problem, rng: np.random.Generator) -> tuple[pd.DataFrame, Any]:
    """Return rows whose fixed part, effects and levels come from different rows of the fit, and their X.

    So X is estimable, pairs of levels meet that did not, and some levels are new.
    """
    counted = problem.dense().rows
    n = len(problem.frame)
    rows = rng.choice(counted, n)
    frame = problem.frame.iloc[rows].reset_index(drop=True)
    for name in {part for term in problem.terms for part in term.group.split(":")}:
        labels = problem.frame[name].to_numpy()[rng.permutation(n)]
        frame[name] = np.where(rng.random(n) < 0.15, "new", labels)
    return frame, problem.X[rows]


def target_of(problem: Problem, frame: pd.DataFrame, X: Any, keep: Any) -> Target:
    """Return rows as the oracle takes them, effects that are not kept at 0."""
    moved, groups = problem.with_columns(), []
    object.__setattr__(moved, "frame", frame)
    for group, own in zip(problem.groups(), keep, strict=True):
        known = joined(problem.frame, group)
        codes = dict(zip(known, problem.codes(group), strict=True))
        here = np.array([codes.get(label, -1) for label in joined(frame, group)])
        groups.append((here, np.where(own, moved.z(group), 0.0)))
    return Target(X, groups)


def joined(frame: pd.DataFrame, group: str) -> list[str]:
    parts = [frame[name].astype(str) for name in group.split(":")]
    return [":".join(labels) for labels in zip(*parts, strict=True)]


def omegas_of(fit: mf.MixedResults) -> list[Any]:
    """Return Ω of every block, the smallest variance a little above 0, where a matrix must have a root."""
    return [omega + 1e-14 * fit.scale * np.eye(len(omega)) for omega in fit._fit.omega]


def check(data: Any) -> None:
    with computing(data.draw(st.sampled_from(list(WAYS)), label="way")):
        problem = data.draw(fittable(wild=False))
        fit = problem.fit(reml=data.draw(st.booleans()))
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        frame, X = new_rows(problem, rng)
        new_levels = data.draw(st.sampled_from(["marginal", "population"]))
        groups = problem.groups()
        taken = [g for g in groups if data.draw(st.booleans(), label=f"take {g}")]
        re_form: Any = taken or "none"
        keep = [np.full(problem.z(g).shape[1], g in taken) for g in groups]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            options: dict[str, Any] = {"re_form": re_form, "new_levels": new_levels, "weights": 2.0}
            table = fit.predict(frame, interval="prediction", level=0.9, **options)
            plain = fit.predict(frame, **{**options, "weights": None})
    model = problem.dense(exact=False)
    target = target_of(problem, frame, X, keep)
    marginal = new_levels == "marginal"
    mean, errors = predicted(model, omegas_of(fit), fit.sigma, target, marginal=marginal)
    size = fit.sigma + np.abs(mean).max()
    np.testing.assert_allclose(table["mean"], mean, atol=1e-6 * size)
    np.testing.assert_allclose(plain, mean, atol=1e-6 * size)
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(errors)), rtol=1e-5, atol=1e-6 * fit.sigma)
    rest = [z for (_, z) in target_of(problem, frame, X, [~own for own in keep]).groups]
    left = sum(np.diag(z @ o @ z.T) for z, o in zip(rest, omegas_of(fit), strict=True)) if marginal else 0.0
    half = 1.6448536269514722 * np.sqrt(np.diag(errors) + fit.scale / 2.0 + left)
    np.testing.assert_allclose(table["upper"], mean + half, rtol=1e-5, atol=1e-5 * size)
    np.testing.assert_allclose(table["lower"], mean - half, rtol=1e-5, atol=1e-5 * size)


test_errors_must_be_those_of_dense_matrices = settings(max_examples=16, derandomize=True, **SETTINGS)(
    given(data=st.data())(check)
)


@pytest.mark.slow
def test_errors_must_be_those_of_dense_matrices_on_many_models() -> None:
    settings(max_examples=500, derandomize=False, **SETTINGS)(given(data=st.data())(check))()
