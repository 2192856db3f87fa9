"""Directions of the effects that reproduce a response, exactly or nearly, beside exact arithmetic and closed forms."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from problems import Problem, Term

import mixedfit as mf
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.design.design import build_design
from mixedfit.estimation.boundary import boundary_search
from mixedfit.estimation.optimize import minimise
from mixedfit.estimation.reproducing import could_reproduce, reproducing_roots
from mixedfit.formula.parse import parse_formula
from mixedfit.likelihood.by_rows import RowCriterion, Rows, rows_of
from mixedfit.likelihood.criterion import Criterion


def drawn(sizes: list[int], fixed: str, slopes: tuple[str, ...], seed: int) -> Problem:
    """Return groups of given sizes, normal covariates and an unrelated response."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"g": np.repeat([f"g{i}" for i in range(len(sizes))], sizes)})
    for name in ("x1", "x2", "y"):
        frame[name] = rng.normal(size=len(frame))
    return Problem(frame, fixed, (Term("g", True, slopes),))


def model_of(problem: Problem, reml: bool) -> tuple[Criterion, Rows]:
    design = problem.design()
    cross = cross_products(design)
    structures = tuple(block.structure for block in design.blocks)
    rows = rows_of(design, cross)
    assert rows is not None
    return Criterion(cross, structures, reml, canonical=True), rows


UNBOUNDED = {
    "any plane of two levels": (drawn([3, 3], "1 + x1", ("x1", "x2"), 3), True),
    "a line": (drawn([2, 3, 2, 1], "1 + x1 + x2", ("x1", "x2"), 4), True),
    "a plane around what one level does not see": (drawn([2, 2, 3, 2], "1 + x1 + x2", ("x1", "x2"), 3), True),
    "the same, whatever the response is": (drawn([2, 2, 2, 2], "1", ("x1", "x2"), 12), False),
    "all effects, whatever the response is": (drawn([3, 2, 2], "1 + x2", ("x1",), 2), False),
}


@pytest.mark.everyday(2)
@pytest.mark.parametrize("case", UNBOUNDED)
def test_verdict_must_be_unbounded_where_some_direction_reproduces_the_response(case: str) -> None:
    """By exact arithmetic the criterion falls by the same multiple of log 100 each time that SDs grow tenfold."""
    problem, reml = UNBOUNDED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        verdict = problem.fit(reml=reml).convergence
    assert verdict.status == "unbounded"
    assert ("REML may have" in verdict.message) != reml
    criterion, rows = model_of(problem, reml)
    roots = reproducing_roots(criterion, rows)
    assert roots is not None
    lam = np.linalg.solve(criterion.cross.basis[0], roots[0])
    exact = problem.dense()
    values = [exact.criterion([size * lam], reml=reml) for size in (1e4, 1e5, 1e6)]
    multiple = (values[0] - values[1]) / np.log(100.0)
    assert round(multiple) >= 1
    assert multiple == pytest.approx(round(multiple), abs=1e-2)
    assert values[1] - values[2] == pytest.approx(values[0] - values[1], rel=1e-2)


@pytest.mark.parametrize(
    ("sizes", "reml"), [([4, 4, 4], True), ([4, 4, 4], False), ([2, 3, 3], True), ([3, 3, 2], True)]
)
def test_no_direction_must_be_found_where_more_equations_than_coordinates_remain(
    sizes: list[int], reml: bool
) -> None:
    """Of lines with one coordinate, that leave two equations or more; planes leave no rank under REML."""
    criterion, rows = model_of(drawn(sizes, "1", ("x1",), 5), reml)
    assert reproducing_roots(criterion, rows) is None


def test_designs_with_few_effects_must_not_be_looked_at() -> None:
    design = build_design(parse_formula("Reaction ~ Days + (Days | Subject)"), mf.load_dataset("sleepstudy"))
    structures = tuple(block.structure for block in design.blocks)
    assert not could_reproduce(Criterion(cross_products(design), structures, True))


def one_far_row(noise: float) -> Problem:
    """Return a group of one row, far away, and another of seven rows near a line."""
    rng = np.random.default_rng(3)
    x = np.array([-3.0, -2.0, -1.0, 0.0, 0.0, 1.0, 2.0, 2.5])
    y = 1.0 + 0.5 * x + noise * rng.normal(size=8)
    y[0] += 20.0
    return Problem(
        pd.DataFrame({"g": ["a"] + ["b"] * 7, "x1": x, "y": y}), "1 + x1", (Term("g", True, ("x1",)),)
    )


def test_covariance_must_be_that_of_the_best_direction_where_one_level_has_one_row() -> None:
    """λλᵀ = vvᵀ, v ∝ G⁻¹z, minimises vᵀGv/(zᵀv)², G of the level with many rows and z of the other row.

    That follows from log|V| ≈ log(zᵀv)² + log vᵀGv at large v with (zᵀv)² fixed by the far row.
    """
    problem = one_far_row(1e-4)
    fit = problem.fit(reml=False)
    Z = np.column_stack([np.ones(8), problem.frame["x1"]])
    v = np.linalg.solve(Z[1:].T @ Z[1:], Z[0])
    lam = Term("g", True, ("x1",)).lam(fit.theta.to_numpy())
    cov = lam @ lam.T
    assert cov / np.trace(cov) == pytest.approx(np.outer(v, v) / (v @ v), abs=1e-6)


@pytest.mark.parametrize("second", [1.0, -1.0])
def test_search_must_leave_a_covariance_factor_that_hides_the_slope(second: float) -> None:
    """At λ = [0 0; 0 c] the derivative of the covariance is that of no parameter; c is best for this direction."""
    problem = one_far_row(1e-4)
    criterion, rows = model_of(problem, False)
    by_rows = RowCriterion(criterion.cross, criterion.structures, False, canonical=True, rows=rows)
    held = partial(minimise, by_rows)
    sizes = np.geomspace(1e2, 1e7, 300)
    c = min(sizes, key=lambda c: by_rows(np.array([0.0, 0.0, second * c])).value)
    best = boundary_search(by_rows, held, by_rows_start(by_rows), 500)
    found = boundary_search(by_rows, held, np.array([0.0, 0.0, second * c]), 500)
    assert found.point.value == pytest.approx(best.point.value, abs=1e-7)
    assert found.point.value < by_rows(np.array([0.0, 0.0, second * c])).value - 1e-3


def by_rows_start(criterion: RowCriterion) -> Any:
    """Return θ of the direction of `test_covariance_must_be…`, at a size near the best."""
    problem = one_far_row(1e-4)
    Z = np.column_stack([np.ones(8), problem.frame["x1"]])
    v = np.linalg.solve(Z[1:].T @ Z[1:], Z[0])
    root = criterion.cross.basis[0] @ np.column_stack([1e5 * v, 0 * v])
    return criterion.structures[0].theta_from_root(root)


@pytest.mark.slow
@pytest.mark.parametrize("reml", [True, False])
def test_fit_must_be_the_one_in_which_the_neighbour_of_an_outlier_has_no_effect(reml: bool) -> None:
    """The outlier is one of two rows of its level; the line with no effect on the other row explains it alone."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=14)
    y = rng.normal(size=14)
    y[0] += 3e5  # at 1e6 rounding decides whether the fit is refused
    frame = pd.DataFrame({"g": ["a"] * 2 + ["b"] * 4 + ["c"] * 4 + ["d"] * 4, "x1": x, "y": y})
    problem = Problem(frame, "1", (Term("g", True, ("x1",)),))
    fit = problem.fit(reml=reml)
    exact = problem.dense()
    line = np.array([[-x[1], 0.0], [1.0, 0.0]])
    least = min(exact.criterion([size * line], reml=reml) for size in 10.0 ** np.arange(4.0, 8.0, 0.5))
    assert (fit.reml_criterion if reml else fit.deviance) < least + 1e-6
