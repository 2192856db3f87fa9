"""The criterion by rows: equal to the one of cross-products, and exact where these have lost their digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from families import FAMILIES
from problems import Problem, Term

from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.likelihood import compiled
from mixedfit.likelihood.by_rows import RowCriterion, rows_of
from mixedfit.likelihood.criterion import Criterion


def both(problem: Problem, reml: bool, sigma: float | None = None) -> tuple[Criterion, RowCriterion]:
    design = problem.design()
    cross = cross_products(design)
    structures = tuple(block.structure for block in design.blocks)
    return (
        Criterion(cross, structures, reml, sigma, canonical=True),
        RowCriterion(cross, structures, reml, sigma, canonical=True, rows=rows_of(design, cross)),
    )


@pytest.mark.everyday(4)
@pytest.mark.parametrize("sigma", [None, 0.7])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("family", ["plain", "crossed", "far_weights", "three_slopes", "scaled"])
def test_value_gradient_and_slope_must_be_those_of_cross_products(
    family: str, reml: bool, sigma: float | None
) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        ours, theirs = reversed(both(FAMILIES[family](rng).problem, reml, sigma))
        theta = rng.normal(size=ours.n_theta)
        a, b = ours(theta), theirs(theta)
        assert a.value == pytest.approx(b.value, rel=1e-12)
        assert a.gradient == pytest.approx(b.gradient, rel=1e-9, abs=1e-9 * np.abs(b.gradient).max())
        assert b.exact_curvature is not None
        scale = np.abs(b.exact_curvature).max()
        assert a.curvature == pytest.approx(b.exact_curvature, abs=1e-9 * scale)
        for f in range(len(ours.structures)):
            assert a.slope(f) == pytest.approx(b.slope(f), abs=1e-9 * np.abs(b.slope(f)).max())


def nearly_perfect(noise: float) -> Problem:
    """Return groups of which two have one row, whose lines explain the response but for a share of `noise`."""
    rng = np.random.default_rng(3)
    codes = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 4])
    frame = pd.DataFrame({"g": [f"g{c}" for c in codes], "x1": rng.normal(size=13)})
    effects: Any = rng.normal(size=(5, 2))
    frame["y"] = effects[codes, 0] + effects[codes, 1] * frame["x1"] + noise * rng.normal(size=13)
    return Problem(frame, "1 + x1", (Term("g", True, ("x1",), True),))


@pytest.mark.parametrize("reml", [True, False])
def test_criterion_must_keep_its_digits_when_the_residual_is_a_tiny_share(reml: bool) -> None:
    """At relative SDs of 1e6 cross-products are off by more than 0.001 where rows are right to 1e-6."""
    problem = nearly_perfect(1e-6)
    ours, theirs = reversed(both(problem, reml))
    basis = ours.cross.basis[0]
    lam = 1e6 * np.array([[1.0, 0.0], [0.3, 0.8]])
    structure = ours.structures[0]
    exact = problem.dense().criterion([np.linalg.solve(basis, lam)], reml=reml)
    theta = structure.theta_from_root(lam)
    assert ours(theta).value == pytest.approx(exact, abs=1e-6)
    assert not abs(theirs(theta).value - exact) < 1e-3


@pytest.mark.parametrize("sigma", [None, 1e-5])
@pytest.mark.parametrize("reml", [True, False])
def test_curvature_must_be_that_of_the_gradient_when_the_residual_is_a_tiny_share(
    reml: bool, sigma: float | None
) -> None:
    """With effects 1e5 times as large as the residual, differences of the gradient need steps of their own size."""
    ours = both(nearly_perfect(1e-5), reml, sigma)[1]
    theta = 1e5 * np.array([1.0, 0.3, 0.8])
    steps = np.diag(1e-4 * theta)
    expected = [
        (ours(theta + h).gradient - ours(theta - h).gradient) / (2.0 * size)
        for h, size in zip(steps, np.diag(steps), strict=True)
    ]
    curvature = ours(theta).curvature
    assert curvature == pytest.approx(np.array(expected), abs=1e-6 * np.abs(curvature).max())


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("family", ["plain", "crossed", "far_weights", "three_slopes"])
def test_factor_must_be_that_of_the_tail_of_cross_products(
    family: str, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In regular data; solution and covariance of the fixed effects stay when it replaces the tail's own."""
    if not small:
        monkeypatch.setattr(compiled, "SMALL_COLUMNS", 0)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        ours, theirs = reversed(both(FAMILIES[family](rng).problem, True))
        theta = rng.normal(size=ours.n_theta)
        evaluation, rows = theirs(theta), ours(theta)
        before = evaluation.tail.solution.copy(), evaluation.tail.fixed_covariance()
        other = theirs(theta)
        other.set_precise(rows.value, rows.tail_factor())
        assert other.tail.prss == pytest.approx(evaluation.tail.prss, rel=1e-10)
        assert other.tail.solution == pytest.approx(before[0], rel=1e-8, abs=1e-9)
        assert other.tail.fixed_covariance() == pytest.approx(before[1], rel=1e-8, abs=1e-12)
        assert isinstance(other.tail, compiled.SmallTail) == small
