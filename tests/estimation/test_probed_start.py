"""Searches of large models take fewer exact evaluations, and end where the others do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core.arrays import Array
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.estimation import estimate as estimation
from mixedfit.estimation import probed_start
from mixedfit.estimation.optimize import minimise
from mixedfit.estimation.starts import moment_start
from mixedfit.likelihood.criterion import Criterion


def rows(spread: float = 0.8, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = 6000
    frame = pd.DataFrame({"x": rng.normal(size=n), "a": rng.integers(0, 300, n)})
    frame["b"] = (200 * rng.random(n) ** 2).astype(int)
    effects = rng.normal(size=300)[frame["a"]] + spread * rng.normal(size=200)[frame["b"]]
    return frame.assign(y=frame["x"] + effects + rng.normal(size=n))


FORMULAS = ["y ~ x + (1 | a) + (1 | b)", "y ~ x + (1 | a) + (x | b)"]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the ways of large models for small ones."""
    monkeypatch.setattr(probed_start, "SMALLEST", 10)
    monkeypatch.setattr(probed_start, "WORTHWHILE", 0.0)
    monkeypatch.setattr(estimation, "LARGE_TAIL", 10)


@pytest.mark.everyday(2)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("formula", FORMULAS)
def test_fit_must_end_where_a_search_without_probes_ends(
    request: pytest.FixtureRequest, formula: str, reml: bool
) -> None:
    """Of one Newton step beyond the last evaluation neither verdict nor estimates tell; the criterion is that there."""
    model = mf.lmm(formula, rows(spread=0.8 if formula == FORMULAS[0] else 1.5))
    plain = model.fit(reml=reml)
    request.getfixturevalue("eager")
    quick = model.fit(reml=reml)
    assert quick.convergence.status == plain.convergence.status
    theta, curvature = plain._fit.theta, plain._fit.evaluation.curvature
    moved = quick._fit.theta - theta
    assert 0.5 * moved @ curvature @ moved < 1e-9
    assert quick._fit.evaluation.value == pytest.approx(plain._fit.evaluation.value, rel=1e-12)
    gradient = quick._fit.evaluation.gradient
    assert 0.5 * gradient @ np.linalg.solve(curvature, gradient) < 1e-9


def test_start_from_probes_must_be_near_the_optimum_and_leave_few_evaluations(eager: None) -> None:
    design = mf.lmm(FORMULAS[0], rows()).design
    criterion = Criterion(
        cross_products(design), tuple(b.structure for b in design.blocks), True, canonical=True
    )
    moment = moment_start(criterion)
    start, rate = probed_start.probed_start(criterion, moment)
    best = minimise(criterion, moment)

    def distance(x: Array) -> float:
        return float((x - best.x) @ best.point.curvature @ (x - best.x))

    assert rate is not None
    assert rate < 0.05
    assert distance(start) < min(0.05, 0.1 * distance(moment))
    assert mf.lmm(FORMULAS[0], rows()).fit().convergence.evaluations <= 3


def test_variance_of_zero_must_end_the_search_by_probes(eager: None) -> None:
    frame = rows()
    frame["y"] = np.random.default_rng(1).normal(size=len(frame))
    frame["y"] -= frame.groupby("b")["y"].transform("mean")
    fit = mf.lmm(FORMULAS[0], frame).fit()
    assert fit.convergence.status == "boundary"
    assert fit.convergence.singular == ("b",) or fit.convergence.singular == ("a", "b")


def bowl(x: Array) -> Any:
    """Return x⁴ + x² and its derivatives."""
    return SimpleNamespace(
        value=float(np.sum(x**4 + x**2)),
        gradient=4 * x**3 + 2 * x,
        curvature=np.diag(12 * x**2 + 2),
        exact_curvature=np.diag(12 * x**2 + 2),
        discard=lambda: None,
    )


def test_last_step_must_be_foreseen_only_where_that_is_allowed() -> None:
    start = np.array([0.3, 0.2])
    checked = minimise(bowl, start)
    ahead = minimise(bowl, start, ahead=lambda x: True)
    assert (checked.ahead, ahead.ahead) == (False, True)
    assert ahead.evaluations < checked.evaluations
    assert bowl(ahead.x).value < 1e-9
    assert not minimise(bowl, start, ahead=lambda x: False).ahead


def test_search_must_go_on_when_a_foreseen_step_was_wrong(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = mf.lmm(FORMULAS[0], rows()).fit(control=mf.Control(max_evaluations=60))
    search = estimation.boundary_search
    calls = []

    def wrong(*arguments: Any) -> Any:
        found = search(*arguments)
        calls.append(found.ahead)
        return found if len(calls) > 1 else estimation.replace(found, x=found.x + 0.2)

    monkeypatch.setattr(estimation, "boundary_search", wrong)
    fit = mf.lmm(FORMULAS[0], rows()).fit()
    assert calls == [True, False]
    np.testing.assert_allclose(fit._fit.theta, expected._fit.theta, atol=1e-6)
