"""Small models with several minima, without a minimum, or with a residual variance of 0: what is kept, what is said."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dense_search import DenseSearch
from families import FAMILIES, Case

import mixedfit as mf

SEVERAL_MINIMA = [
    ("tiny", 35, 2.3),
    ("weights", 61, 1.0),
    ("weights", 98, 3.0),
    ("far_weights", 16, 26.0),
    ("far_weights", 26, 38.0),
    ("far_weights", 56, 14.0),
    ("saturated", 15, 0.4),
    ("saturated", 21, 1.1),
    ("saturated", 59, 5.2),
    ("three_slopes", 5, 0.39),
    ("three_slopes", 49, 4.1),
    ("missing", 12, 0.8),
    ("missing", 57, 11.8),
    ("crossed", 16, 1.3),
    ("whole_numbers", 28, 0.06),
    ("outliers", 48, 0.39),
    ("outliers", 8197, 0.39),
    ("saturated", 8215, 0.057),
    ("outliers", 9363, 1.3),
    ("outliers", 10000, 1.1),
    ("far_weights", 7193, 5.5),
]
"""Families and numbers of designs, and how much higher a search from moment estimates alone ended."""


def case_of(family: str, seed: int) -> Case:
    return FAMILIES[family](np.random.default_rng([seed, list(FAMILIES).index(family)]))


def fitted(case: Case, **options: Any) -> mf.MixedResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return case.problem.fit(**case.options, **options)


def criterion(fit: mf.MixedResults, reml: bool) -> float:
    return fit.reml_criterion if reml else fit.deviance


@pytest.mark.everyday(3)
@pytest.mark.parametrize(("family", "seed", "excess"), SEVERAL_MINIMA)
def test_lowest_minimum_must_be_found_when_there_are_several(family: str, seed: int, excess: float) -> None:
    case = case_of(family, seed)
    reml = case.options["reml"]
    fit = fitted(case)
    best = DenseSearch(case.problem, reml).best(8, np.random.default_rng(seed))
    exact = case.problem.dense().criterion(case.problem.lams(fit.theta.to_numpy()), reml=reml)
    assert fit.converged
    assert criterion(fit, reml) == pytest.approx(exact, abs=1e-5)
    assert criterion(fit, reml) < best.value + min(1e-4, 0.01 * excess)


def test_optimum_must_be_chosen_when_the_limit_of_no_residual_variance_is_higher() -> None:
    """On the way from the optimum to σ = 0 the criterion rises by 1.003, to a limit that it approaches from above."""
    case = case_of("one_row_groups", 70315)
    fit = fitted(case)
    assert "Residual" not in fit.convergence.singular
    exact = case.problem.dense(exact=True)
    here, limit = (
        exact.criterion(case.problem.lams(t * fit.theta.to_numpy()), reml=True) for t in (1.0, 1e4)
    )
    assert fit.reml_criterion == pytest.approx(here, abs=1e-8)
    assert limit - here == pytest.approx(1.003, abs=1e-3)


def test_timing_must_tell_how_many_starts_reached_the_optimum() -> None:
    case = case_of("weights", 98)
    fit = fitted(case)
    assert fit.timing["starts"] > fit.timing["starts_agreed"] >= 1
    assert fitted(case, control=mf.Control(starts=1)).timing["starts"] == 1
    assert (
        mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit().timing["starts"]
        == 1
    )


def test_number_of_starts_must_be_refused_when_it_is_not_positive() -> None:
    with pytest.raises(mf.ModelError, match="starts"):
        mf.Control(starts=0)


def saturated_by_ml() -> pd.DataFrame:
    """Return six rows in three groups: with three fixed effects, intercepts and rows have as many dimensions."""
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {"y": rng.normal(size=6), "x": rng.normal(size=6), "z": rng.normal(size=6), "g": list("aabbcc")}
    )


@pytest.mark.parametrize("seed", range(6))
def test_likelihood_without_maximum_must_be_said_when_effects_and_columns_span_the_rows(seed: int) -> None:
    """By ML only; by REML the criterion is bounded, and the estimate of σ is 0 in the limit or positive."""
    rng = np.random.default_rng(seed)
    data = saturated_by_ml().assign(y=rng.normal(size=6))
    formula = "y ~ x + z + I(x * z) + (1 | g)"
    with pytest.warns(mf.ConvergenceWarning, match="no maximum"):
        fit = mf.lmm(formula, data).fit(reml=False)
    assert fit.convergence.status == "unbounded"
    assert not fit.converged
    assert "REML" in fit.convergence.message
    search = DenseSearch(_problem(data), reml=False)
    values = [search.at(np.array([t]))[0] for t in (1e2, 1e4, 1e6)]
    assert min(values[0] - values[1], values[1] - values[2]) > 5


def _problem(data: pd.DataFrame) -> Any:
    from problems import Problem, Term

    frame = data.rename(columns={"x": "x1", "z": "x2"})
    frame["x4"] = frame["x1"] * frame["x2"]
    return Problem(frame, "1 + x1 + x2 + x4", (Term("g", True, ()),))


@pytest.mark.parametrize(("family", "seed"), [("tiny", 20), ("tiny", 24)])
def test_residual_variance_of_zero_must_be_said_when_the_criterion_is_lowest_there(
    family: str, seed: int
) -> None:
    case = case_of(family, seed)
    fit = fitted(case)
    assert fit.convergence.status == "boundary"
    assert "Residual" in fit.convergence.singular
    assert "residual variance is 0" in fit.convergence.message
    exact = case.problem.dense()
    values = [
        exact.criterion([t * lam for lam in case.problem.lams(fit.theta.to_numpy())], reml=True)
        for t in (1.0, 10.0, 100.0)
    ]
    assert values == pytest.approx([values[0]] * 3, abs=2e-5)
    assert fit.reml_criterion == pytest.approx(values[0], abs=1e-6)


@pytest.mark.parametrize("seed", [20, 24])
def test_residual_variance_of_zero_must_be_said_whatever_the_order_of_rows_and_the_unit(seed: int) -> None:
    """Cross-products had few digits at the estimates: with some roundings the fit was refused."""
    case = case_of("tiny", seed)
    for k in range(10):
        frame = case.problem.frame.sample(frac=1.0, random_state=k).reset_index(drop=True)
        frame["y"] *= 3.0 ** (k - 5)
        fit = case.problem.fit_to(frame, **case.options)
        assert fit.convergence.status == "boundary"
        assert "Residual" in fit.convergence.singular


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4])
def test_nearly_perfect_fit_must_have_the_exact_criterion_and_standard_errors(noise: float) -> None:
    rng = np.random.default_rng(8)
    codes = np.repeat(np.arange(6), 4)
    data = pd.DataFrame({"g": [f"g{c}" for c in codes], "x1": rng.normal(size=24)})
    effects = rng.normal(size=(6, 2))
    data["y"] = effects[codes, 0] + effects[codes, 1] * data["x1"] + noise * rng.normal(size=24)
    from problems import Problem, Term

    problem = Problem(data, "1 + x1", (Term("g", True, ("x1",), True),))
    fit = problem.fit()
    solution = problem.dense().at(problem.lams(fit.theta.to_numpy()), reml=True)
    assert fit.reml_criterion == pytest.approx(float(solution.criterion), abs=1e-6)
    assert fit.sigma == pytest.approx(solution.sigma, rel=1e-7)
    errors = np.sqrt(np.diag(solution.beta_covariance))
    assert fit.bse.to_numpy() == pytest.approx(errors, rel=1e-6)


def test_covariate_far_from_its_origin_must_have_its_optimum_without_its_fixed_effect() -> None:
    """Shifted by 1e8 it was taken as spanned by the intercept, and the fit ended up to 45 too high."""
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(8), 6)
    x = np.tile(np.arange(6.0), 8)
    y = rng.normal(size=8)[codes] + rng.normal(size=8)[codes] * x + rng.normal(size=48)
    data = pd.DataFrame({"y": y, "x": x, "g": codes})
    near = mf.lmm("y ~ 1 + (1 + x | g)", data).fit()
    far = mf.lmm("y ~ 1 + (1 + x | g)", data.assign(x=x + 2.0**27)).fit()
    assert far.reml_criterion == pytest.approx(near.reml_criterion, abs=1e-6)


def test_likelihood_without_maximum_must_be_said_where_a_correlation_of_one_hides_a_row() -> None:
    """With that correlation a level with one row has no effect: ZΛ loses a rank that the fixed effects give back.

    The exact deviance falls by log 100 each time that the SDs are multiplied by 10.
    """
    case = case_of("crossed", 2145)
    fit = fitted(case)
    assert fit.convergence.status == "unbounded"
    problem = case.problem
    row = int(
        np.flatnonzero(problem.codes("h") == np.flatnonzero(np.bincount(problem.codes("h")) == 1)[0])[0]
    )
    hidden = np.array([[problem.frame["x1"].iloc[row], 0.0], [-1.0, 0.0]])
    roots = {"g": np.eye(1), "h": hidden}
    values = [
        problem.dense().criterion([t * roots[g] for g in problem.groups()], reml=False)
        for t in (1e6, 1e7, 1e8)
    ]
    assert -np.diff(values) == pytest.approx([2.0 * np.log(10.0)] * 2, rel=1e-6)


def test_minimum_beyond_rounding_must_not_be_called_no_maximum() -> None:
    """The exact criterion has its minimum where the residual variance is below 1e-13 of the response's."""
    with pytest.raises(mf.ModelError, match="rounding errors"):
        fitted(case_of("outliers", 2178))


def test_minimum_near_rounding_must_be_found_and_not_be_called_no_maximum() -> None:
    """The best of eight dense searches is 20 higher, and a local minimum at a large residual variance 85."""
    case = case_of("nearly_perfect", 2038)
    fit = fitted(case)
    exact = case.problem.dense().criterion(case.problem.lams(fit.theta.to_numpy()), reml=True)
    assert fit.converged
    assert fit.reml_criterion == pytest.approx(exact, abs=1e-6)
    assert exact < -104.0


def test_further_starts_must_be_searched_when_the_model_is_not_small() -> None:
    rng = np.random.default_rng(6)
    n = 1500
    data = pd.DataFrame({"g": rng.integers(0, 120, n), "h": rng.integers(0, 90, n), "x": rng.normal(size=n)})
    data["y"] = rng.normal(size=120)[data["g"]] + rng.normal(size=90)[data["h"]] + rng.normal(size=n)
    fit = mf.lmm("y ~ x + (1 | g) + (1 | h)", data).fit(control=mf.Control(starts=3))
    assert fit.timing["starts"] > 3
    assert fit.timing["starts_agreed"] > 3


@pytest.mark.parametrize("seed", [8000, 8039])
def test_standard_errors_decades_smaller_than_others_must_keep_their_digits(seed: int) -> None:
    """Slopes that vary make their own errors a million times that of the intercept, which was off by up to 6e-4."""
    case = case_of("nearly_perfect", seed)
    fit = fitted(case)
    lams = case.problem.lams(fit.theta.to_numpy())
    exact = case.problem.dense(exact=True).at(lams, reml=case.options["reml"])
    errors = np.sqrt(np.diag(exact.beta_covariance).astype(float))
    assert errors.max() > 1e5 * errors.min()
    assert fit.bse.to_numpy() == pytest.approx(errors, rel=1e-7)
    tests = fit.t_test(np.eye(len(errors)), ddf="normal")
    assert tests.table["std_error"].to_numpy() == pytest.approx(errors, rel=1e-7)


def test_flat_criterion_must_not_be_followed_to_sizes_at_which_rounding_makes_it_fall() -> None:
    case = case_of("missing", 10349)
    fit = fitted(case)
    exact = case.problem.dense().criterion(case.problem.lams(fit.theta.to_numpy()), reml=True)
    assert fit.reml_criterion == pytest.approx(exact, abs=1e-6)
    assert np.abs(fit.theta).max() < 1e3
