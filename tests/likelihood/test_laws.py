"""What must hold for every model and all data: the criterion against the dense density, and what a fit is.

Each law runs on a few random models; `-m slow` runs all of them on many more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oracles import DenseModel, curvature_along, gradient
from problems import WAYS, Problem, Term, computing
from scipy.linalg import null_space
from scipy.stats import multivariate_normal
from strategies import fittable, is_determined, problems, thetas

import mixedfit as mf

SETTINGS: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

LAWS: dict[str, Callable[[Any], None]] = {}


def law(examples: int) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Make a function of drawn data a test of a few models, and list it for the slow test of many.

    The models are the same in every run; the slow test draws new ones.
    """

    def register(function: Callable[[Any], None]) -> Callable[[], None]:
        def check(data: Any) -> None:
            with computing(data.draw(st.sampled_from(list(WAYS)), label="way")):
                function(data)

        check.__name__ = function.__name__
        LAWS[function.__name__] = check
        return settings(max_examples=examples, derandomize=True, **SETTINGS)(given(data=st.data())(check))

    return register


# -- the oracle itself -----------------------------------------------------------------------------


@pytest.fixture
def dense() -> tuple[DenseModel, list[Any]]:
    """A small weighted model with two factors, in float64, and its λ."""
    rng = np.random.default_rng(20)
    z = np.column_stack([np.ones(12), rng.normal(size=12)])
    groups = [(np.arange(12) % 4, z), (np.arange(12) // 6, z[:, :1])]
    model = DenseModel(rng.normal(size=12), z, groups, rng.choice([0.5, 2.0], 12), exact=False)
    return model, [np.array([[0.8, 0.0], [-0.4, 0.6]]), np.array([[1.3]])]


def test_oracle_must_equal_scipys_normal_density_when_maximum_likelihood(dense: Any) -> None:
    model, lams = dense
    solution = model.at(lams, reml=False)
    V = model.marginal_covariance(lams)
    density = multivariate_normal(model.X @ solution.beta, solution.sigma**2 * V).logpdf(model.y)
    assert solution.criterion == pytest.approx(-2 * density, abs=1e-10)


def test_oracle_must_equal_the_density_of_contrasts_when_reml(dense: Any) -> None:
    """lme4's criterion exceeds that of orthonormal contrasts by log|XᵀX| (Harville 1974)."""
    model, lams = dense
    solution = model.at(lams, reml=True)
    K = null_space(model.X.T)
    contrasts = multivariate_normal(cov=solution.sigma**2 * K.T @ model.marginal_covariance(lams) @ K)
    expected = -2 * contrasts.logpdf(K.T @ model.y) + np.linalg.slogdet(model.X.T @ model.X)[1]
    assert solution.criterion == pytest.approx(expected, abs=1e-10)


def test_oracle_must_be_the_same_in_decimals_as_in_floats(dense: Any) -> None:
    model, lams = dense
    exact = replace(model, exact=True).at(lams, reml=True)
    assert float(exact.criterion) == pytest.approx(model.at(lams, reml=True).criterion, abs=1e-10)


# -- the criterion ---------------------------------------------------------------------------------


def held_sigma(data: Any, problem: Problem) -> float | None:
    """Draw whether σ is held fixed."""
    return data.draw(st.sampled_from([None, None, 1.7]), label="sigma") and 1.7 * problem.scales["y"][0]


def determined(dense: DenseModel, reml: bool) -> None:
    """Leave out models with no residual degrees of freedom."""
    assume(dense.n > (len(dense.kept) if reml else 0))


@law(15)
def test_value_must_equal_the_dense_density(data: Any) -> None:
    problem = data.draw(problems())
    theta, reml, sigma = data.draw(thetas(problem)), data.draw(st.booleans()), held_sigma(data, problem)
    dense, lams = problem.dense(), problem.lams(theta)
    determined(dense, True)
    expected = dense.criterion(lams, reml=reml, sigma=sigma)
    value = problem.criterion(reml=reml, sigma=sigma)(theta).value
    tolerance = 3e-8 * (1 + abs(expected))
    rivals = [] if not dense.kept else [dense.criterion(lams, reml=not reml, sigma=sigma)]
    if problem.weights is not None:
        rivals.append(replace(dense, weights=None).criterion(lams, reml=reml, sigma=sigma))
    assume(all(abs(expected - rival) > 10 * tolerance for rival in rivals))
    assert abs(value - expected) <= tolerance


@law(9)
def test_gradient_must_equal_differences_of_the_dense_density(data: Any) -> None:
    problem = data.draw(problems(rows=(10, 15)))
    theta, reml, sigma = data.draw(thetas(problem)), data.draw(st.booleans()), held_sigma(data, problem)
    dense = problem.dense()
    determined(dense, reml)
    expected = gradient(lambda t: dense.at(problem.lams(t), reml=reml, sigma=sigma).criterion, theta)
    units = np.maximum(np.abs(theta), problem.units())
    error = units * (problem.criterion(reml=reml, sigma=sigma)(theta).gradient - expected)
    assert np.max(np.abs(error)) <= 1e-7 * (1 + np.max(np.abs(units * expected)))


@law(9)
def test_exact_curvature_must_equal_second_differences_of_the_dense_density(data: Any) -> None:
    problem = data.draw(problems(rows=(10, 15)))
    theta, reml, sigma = data.draw(thetas(problem)), data.draw(st.booleans()), held_sigma(data, problem)
    dense = problem.dense()
    determined(dense, reml)
    curvature = problem.criterion(reml=reml, sigma=sigma)(theta).exact_curvature
    assume(curvature is not None)
    units = np.maximum(np.abs(theta), problem.units())
    largest = np.max(np.abs(curvature) * np.outer(units, units))
    for seed in range(2):
        direction = units * np.random.default_rng(seed).normal(size=theta.size)
        expected = curvature_along(
            lambda t: dense.at(problem.lams(t), reml=reml, sigma=sigma).criterion, theta, direction
        )
        assert abs(direction @ curvature @ direction - expected) <= 1e-6 * (1 + abs(expected) + largest)


@law(5)
def test_criterion_must_agree_with_replicated_rows_when_weights_are_counts(data: Any) -> None:
    """At a given θ counts as weights and copies of rows give the same Σ w r²; they differ in n, so in σ."""
    problem = data.draw(problems(wild=False))
    counts = np.random.default_rng(len(problem.frame)).integers(0, 4, len(problem.frame))
    theta, reml = data.draw(thetas(problem)), data.draw(st.booleans())
    weighted = replace(problem, weights=counts.astype(float))
    copies = replace(problem, frame=problem.frame.loc[problem.frame.index.repeat(counts)], weights=None)
    determined(weighted.dense(), reml)
    assume(set(weighted.groups()) == set(copies.groups()) and all_levels_counted(problem, counts))
    one, other = weighted.criterion(reml=reml), copies.criterion(reml=reml)
    # the sum is what pivots of size θ² leave of Σ w y²: rounding of that is all that may be in it
    rounding = 1e-15 * (1 + np.max(theta**2, initial=0.0)) * float(np.sum(counts * weighted.frame["y"] ** 2))
    expected = other(theta).sigma ** 2 * other.nu
    assert one(theta).sigma ** 2 * one.nu == pytest.approx(expected, rel=1e-9, abs=rounding)


def all_levels_counted(problem: Problem, counts: Any) -> bool:
    """Return whether every level of every factor has a row of positive count."""
    codes = [problem.codes(g) for g in problem.groups()] + [
        np.unique(problem.frame["m"], return_inverse=True)[1]
    ]
    codes.append(np.unique(problem.frame["f"], return_inverse=True)[1])
    return all(np.bincount(c, counts).min() > 0 for c in codes)


# -- the fit ---------------------------------------------------------------------------------------


@law(7)
def test_fit_must_be_a_minimum_of_the_dense_density(data: Any) -> None:
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    dense, theta = problem.dense(), problem.fit(reml=reml).theta.to_numpy()
    lowest = dense.criterion(problem.lams(theta), reml=reml)
    rng = np.random.default_rng(1)
    units = np.maximum(np.abs(theta), problem.units())
    for _ in range(12):
        step = (
            10 ** rng.uniform(-4, -0.7) * units * rng.normal(size=theta.size) * (rng.random(theta.size) < 0.6)
        )
        assert dense.criterion(problem.lams(theta + step), reml=reml) > lowest - 1e-7


@law(6)
def test_gradient_must_vanish_at_a_fit(data: Any) -> None:
    """No Newton step along one θ promises more than 10⁻⁷ of deviance."""
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    dense, theta = problem.dense(), problem.fit(reml=reml).theta.to_numpy()

    def criterion(t: Any) -> Any:
        return dense.at(problem.lams(t), reml=reml).criterion

    slopes = gradient(criterion, theta)
    curvatures = [curvature_along(criterion, theta, direction) for direction in np.eye(theta.size)]
    promised = [0.5 * g * g / h for g, h in zip(slopes, curvatures, strict=True) if h > 0]
    assert max(promised, default=0.0) <= 1e-7


@law(7)
def test_verdict_must_be_singular_exactly_when_a_pivot_is_zero(data: Any) -> None:
    problem = data.draw(fittable())
    fit = problem.fit(reml=data.draw(st.booleans()))
    assert fit.singular == any((np.diag(lam) == 0).any() for lam in problem.lams(fit.theta.to_numpy()))


@law(7)
def test_estimates_must_equal_generalised_least_squares(data: Any) -> None:
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    fit = problem.fit(reml=reml)
    solution = problem.dense().at(problem.lams(fit.theta.to_numpy()), reml=reml)
    error = np.sqrt(np.diag(solution.beta_covariance))
    np.testing.assert_array_equal(np.isnan(fit.params), np.isnan(solution.beta))
    np.testing.assert_allclose((fit.params - solution.beta) / error, 0 * error, atol=1e-6)
    units = np.outer(error, error)
    np.testing.assert_allclose(fit.cov_params() / units, solution.beta_covariance / units, atol=1e-6)
    assert fit.sigma == pytest.approx(solution.sigma, rel=1e-7)


@law(5)
def test_fitted_values_must_be_the_fixed_part_and_the_blups(data: Any) -> None:
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    fit = problem.fit(reml=reml)
    expected = problem.dense().at(problem.lams(fit.theta.to_numpy()), reml=reml).fitted
    np.testing.assert_allclose(fit.fittedvalues, expected, rtol=1e-10, atol=1e-6 * fit.sigma)


@law(7)
def test_random_effects_must_equal_blups_with_their_conditional_covariance(data: Any) -> None:
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    fit = problem.fit(reml=reml)
    lams = problem.lams(fit.theta.to_numpy())
    solution = problem.dense().at(lams, reml=reml)
    for f, group in enumerate(problem.groups()):
        sd = solution.sigma * np.linalg.norm(lams[f], axis=1)
        units = np.where(sd > 0, sd, 1.0)
        modes, cov = fit.random_effects[group].to_numpy(), fit.random_effects_cov[group].to_numpy()
        np.testing.assert_allclose(modes / units, solution.random_effects[f] / units, atol=1e-6)
        blocks = cov.reshape(-1, sd.size, sd.size) / np.outer(units, units)
        expected = solution.random_effects_covariance[f] / np.outer(units, units)
        np.testing.assert_allclose(blocks, expected, atol=1e-6)


# -- invariances of the fit ------------------------------------------------------------------------


def criterion_of(fit: mf.MixedResults) -> float:
    """Return what the fit minimised."""
    return -2 * fit.llf


def counted(problem: Problem) -> Any:
    """Return labels of the rows of positive weight."""
    return problem.frame.index[problem.dense().rows]


def check_same(problem: Problem, other: Problem, *, difference: float = 0.0, **options: Any) -> None:
    """Check that two ways to write a model have the same optimum and fitted values.

    Where the likelihood has several minima, rounding may lead them to different ones: then each also starts
    from the other's estimates, and the lowest that each finds must agree.
    """
    fits = [p.fit(**options) for p in (problem, other)]
    lowest = [criterion_of(fit) for fit in fits]
    if abs(lowest[1] - lowest[0] - difference) > 1e-6:
        starts = [fits[1].theta[fits[0].theta.index], fits[0].theta[fits[1].theta.index]]
        again = [p.fit(start=s.to_numpy(), **options) for p, s in zip((problem, other), starts, strict=True)]
        lowest = [min(low, criterion_of(fit)) for low, fit in zip(lowest, again, strict=True)]
    else:
        rows = counted(problem).intersection(counted(other))
        values = [fit.fittedvalues.groupby(level=0).first()[rows] for fit in fits]
        np.testing.assert_allclose(values[1], values[0], atol=1e-2 * fits[0].sigma)
    assert lowest[1] - lowest[0] == pytest.approx(difference, abs=1e-6)


@law(5)
def test_fit_must_stay_when_levels_are_relabelled(data: Any) -> None:
    problem, reml = data.draw(fittable(wild=False)), data.draw(st.booleans())
    columns = {name for group in problem.groups() for name in group.split(":")}
    new = {}
    for name in columns:
        levels = sorted(set(problem.frame[name]))
        shuffled = np.random.default_rng(len(levels)).permutation(len(levels))
        new[name] = problem.frame[name].map(dict(zip(levels, shuffled.tolist(), strict=True)))
    check_same(problem, problem.with_columns(**new), reml=reml)


@law(5)
def test_fit_must_stay_when_rows_are_permuted(data: Any) -> None:
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    order = np.random.default_rng(0).permutation(len(problem.frame))
    weights = None if problem.weights is None else problem.weights[order]
    check_same(problem, replace(problem, frame=problem.frame.iloc[order], weights=weights), reml=reml)


@law(5)
def test_fit_must_stay_when_terms_change_places(data: Any) -> None:
    problem, reml = data.draw(fittable(wild=False)), data.draw(st.booleans())
    check_same(problem, replace(problem, terms=problem.terms[::-1]), reml=reml)


@law(6)
def test_criterion_must_change_by_the_jacobian_when_y_is_scaled_and_shifted(data: Any) -> None:
    problem = data.draw(fittable(fixed=("1", "1 + x1", "1 + x1 + x2 + x4 + f", "1 + x1 + m")))
    reml, sigma = data.draw(st.booleans()), data.draw(st.sampled_from([None, 0.8]))
    factor, shift = data.draw(st.sampled_from([(1e8, 0.0), (1e-8, 0.0), (3.0, 1e6), (0.1, -5.0)]))
    unit, own = problem.scales["y"]
    problem = problem.with_columns(y=problem.y / unit - own)
    held = None if sigma is None else factor * sigma
    fit = problem.fit(reml=reml, sigma=sigma)
    other = problem.with_columns(y=factor * (problem.y + shift)).fit(reml=reml, sigma=held)
    dense = problem.dense()
    nu = dense.n - (len(dense.kept) if reml else 0)
    assert criterion_of(other) == pytest.approx(criterion_of(fit) + 2 * nu * np.log(factor), abs=1e-6)
    assert other.sigma == pytest.approx(factor * fit.sigma, rel=1e-5)


@law(6)
def test_criterion_must_stay_when_the_covariate_of_an_unstructured_term_is_scaled_and_shifted(
    data: Any,
) -> None:
    """Under REML the fixed column's scale remains, as log|XᵀV⁻¹X| counts it."""
    problem = data.draw(fittable(wild=False, fixed=("1 + x1", "1 + x1 + x2", "1 + x1 + f", "1 + x1 + m")))
    problem = replace(problem, terms=tuple(Term(g, True, ("x1",)) for g in problem.groups()))
    assume(is_determined(problem))
    factor, shift = data.draw(st.sampled_from([(1e8, 0.0), (1e-8, 0.0), (1.0, 1e6), (0.1, -5.0)]))
    reml = data.draw(st.booleans())
    other = problem.with_columns(x1=factor * (problem.frame["x1"] + shift)).fit(reml=reml)
    expected = criterion_of(problem.fit(reml=reml)) + 2 * reml * np.log(factor)
    assert criterion_of(other) == pytest.approx(expected, abs=1e-6)


@law(5)
def test_fit_must_equal_that_of_replicated_rows_when_weights_are_counts_and_sigma_is_held(data: Any) -> None:
    problem, reml = data.draw(fittable(wild=False)), data.draw(st.booleans())
    counts = np.random.default_rng(len(problem.frame)).integers(0, 4, len(problem.frame))
    assume(all_levels_counted(problem, counts))
    weighted = replace(problem, weights=counts.astype(float))
    assume(is_determined(weighted))
    copies = replace(problem, frame=problem.frame.loc[problem.frame.index.repeat(counts)], weights=None)
    used = counts[counts > 0]
    constant = np.sum((1 - used) * np.log(2 * np.pi * 0.9**2) - np.log(used))
    check_same(copies, weighted, difference=constant, reml=reml, sigma=0.9)


# -- the record of a fit ---------------------------------------------------------------------------


@law(5)
def test_refit_must_equal_a_new_fit_to_the_response(data: Any) -> None:
    """Both start from the first fit's θ."""
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    y = problem.y[::-1] + problem.y.mean() * np.linspace(0, 1, problem.y.size)
    fit = problem.fit(reml=reml)
    again, new = fit.refit(y), problem.with_columns(y=y).fit(reml=reml, start=fit.theta.to_numpy())
    assert criterion_of(again) == pytest.approx(criterion_of(new), abs=1e-6)
    rows = counted(problem)
    np.testing.assert_allclose(again.fittedvalues[rows], new.fittedvalues[rows], atol=1e-2 * new.sigma)


@law(5)
def test_tables_must_stay_when_a_fit_is_saved_and_loaded(data: Any) -> None:
    fit = data.draw(fittable()).fit(reml=data.draw(st.booleans()))
    with TemporaryDirectory() as folder:
        fit.save(Path(folder) / "fit.npz")
        loaded = mf.load(Path(folder) / "fit.npz")
    same = {"check_exact": False, "rtol": 1e-9}
    for name in ("params", "bse", "theta", "fittedvalues", "resid"):
        pd.testing.assert_series_equal(getattr(loaded, name), getattr(fit, name), **same)
    pd.testing.assert_frame_equal(loaded.varcorr, fit.varcorr, **same)
    for group, table in fit.random_effects.items():
        pd.testing.assert_frame_equal(
            loaded.random_effects[group], table, check_exact=False, rtol=1e-6, atol=1e-9
        )
    assert (loaded.aic, loaded.nobs, loaded.df_resid) == (pytest.approx(fit.aic), fit.nobs, fit.df_resid)


@law(5)
def test_data_must_stay_unchanged_by_a_fit(data: Any) -> None:
    problem = data.draw(fittable())
    frame = problem.frame.assign(g=pd.Categorical(problem.frame["g"]))
    weights = None if problem.weights is None else problem.weights.copy()
    replace(problem, frame=frame).fit()
    pd.testing.assert_frame_equal(frame, problem.frame.assign(g=pd.Categorical(problem.frame["g"])))
    np.testing.assert_array_equal(problem.weights, weights)


@law(5)
def test_fit_must_be_the_same_from_pandas_polars_arrow_and_a_mapping(data: Any) -> None:
    problem, reml = data.draw(fittable()), data.draw(st.booleans())
    fit, columns = problem.fit(reml=reml), problem.frame.to_dict("list")
    for frame in (pl.DataFrame(columns), pa.table(columns), {k: np.array(v) for k, v in columns.items()}):
        other = problem.fit_to(frame, reml=reml)
        pd.testing.assert_series_equal(other.params, fit.params)
        pd.testing.assert_frame_equal(other.varcorr, fit.varcorr)
        for group in problem.groups():
            pd.testing.assert_frame_equal(
                other.random_effects[group], fit.random_effects[group], check_index_type=False
            )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LAWS))
def test_law_must_hold_on_many_models(name: str) -> None:
    settings(max_examples=200, derandomize=False, **SETTINGS)(given(data=st.data())(LAWS[name]))()
