"""Residual structures beside structures of random effects: the n × n density, gradients, information, special cases."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from residual_oracle import dense_criterion, residual_covariance
from structured_oracle import natural_covariance

import mixedfit as mf
from mixedfit.core.linalg import blas_threads
from mixedfit.estimation.estimate import Control
from mixedfit.estimation.parameters import is_identified, parameters_of, values_of
from mixedfit.estimation.whitening import WhitenedSearch
from mixedfit.likelihood.criterion import Criterion

R = mf.residuals


@cache
def measured(seed: int = 4, groups: int = 20, times: int = 4, per: int = 3, phi: float = 0.5) -> pd.DataFrame:
    """Return rows with an autoregressive effect of time by group and autocorrelated residuals, some missing."""
    rng = np.random.default_rng(seed)
    lags = np.abs(np.subtract.outer(np.arange(times), np.arange(times)))
    effects = rng.multivariate_normal(np.zeros(times), 2.0 * 0.7**lags, size=groups)
    frame = pd.DataFrame(
        [(g, t, r) for g in range(groups) for t in range(times) for r in range(per)],
        columns=["g", "t", "r"],
    )
    frame["order"] = frame["t"] * per + frame["r"]
    noise = rng.multivariate_normal(
        np.zeros(times * per), phi ** np.abs(np.subtract.outer(*2 * [np.arange(times * per)])), size=groups
    )
    frame["arm"] = np.where(frame["g"] % 2 == 0, "a", "b")
    scale = np.where(frame["arm"] == "b", 1.4, 1.0)
    frame["x"], frame["site"] = rng.normal(size=len(frame)), frame["g"] % 5
    frame["y"] = 3 + 0.5 * frame["x"] + effects[frame["g"], frame["t"]]
    frame["y"] += rng.normal(size=5)[frame["site"]]
    frame["y"] += scale * noise[frame["g"], frame["order"]]
    frame["w"] = rng.uniform(0.5, 2.0, len(frame))
    kept = frame.drop(index=rng.choice(len(frame), len(frame) // 8, replace=False))
    return kept.sample(frac=1.0, random_state=seed).reset_index(drop=True)


MODELS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "ar1": ("y ~ x + ar1(0 + t | g)", R.AR1("order", "g"), {}),
    "cs": ("y ~ x + cs(0 + factor(t) | g)", R.VarIdent("arm"), {}),
    "hetar1": ("y ~ x + hetar1(0 + t | g)", R.AR1("order", "g") * R.VarIdent("arm"), {"weights": "w"}),
    "homdiag": ("y ~ x + homdiag(0 + factor(t) | g)", R.CAR1("order", "g"), {}),
    "slope": ("y ~ x + (0 + x | g) + ou(0 + t | g)", R.AR1("order", "g"), {}),
    "crossed": ("y ~ 1 + ar1(0 + t | g) + (1 | site)", R.VarIdent("arm"), {}),
    "toep": ("y ~ x + homtoep(0 + t | g)", R.VarExp("x"), {}),
}


@cache
def fitted(name: str, reml: bool) -> mf.MixedResults:
    formula, structure, options = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mf.lmm(formula, measured(), residual=structure, **options).fit(reml=reml)


def dense_residual(fit: mf.MixedResults, structure: Any) -> Any:
    own = fit._fit.residual
    assert own is not None
    p = {n.name: float(n.value) for n in own.model.natural(own.x)}
    return residual_covariance(structure, measured(), "g" if structure.correlation else None, p)


@pytest.mark.everyday(2)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", list(MODELS))
def test_criterion_must_be_that_of_the_dense_density(name: str, reml: bool) -> None:
    fit = fitted(name, reml)
    value = fit.reml_criterion if reml else fit.deviance
    assert fit.converged
    assert value == pytest.approx(dense_criterion(fit, dense_residual(fit, MODELS[name][1])), rel=1e-10)


def search_of(name: str, reml: bool, sigma: float | None) -> tuple[WhitenedSearch, Any]:
    fit = fitted(name, reml)._fit
    assert fit.residual is not None
    search = WhitenedSearch(fit.design, fit.residual.model, reml, sigma, Control())
    search.theta = fit.theta
    return search, fit.residual.x


@pytest.mark.everyday(4)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("sigma", [None, 1.3])
@pytest.mark.parametrize("name", list(MODELS))
def test_gradients_must_equal_difference_quotients(name: str, sigma: float | None, reml: bool) -> None:
    search, x = search_of(name, reml, sigma)
    x = x + np.random.default_rng(2).uniform(-0.3, 0.3, x.size)
    point = search(x)
    for a in range(x.size):  # of the residual parameters
        h = 1e-4 * np.eye(x.size)[a]
        quotient = (search(x + h).value - search(x - h).value) / 2e-4
        assert point.gradient[a] == pytest.approx(quotient, rel=1e-4, abs=2e-4)
    criterion = Criterion(point.cross, search.structures, reml, sigma)
    theta = point.estimate.theta + np.random.default_rng(3).uniform(-0.1, 0.1, criterion.n_theta)
    found = criterion(theta).gradient
    for a in range(theta.size):  # of θ, in the whitened rows
        h = 1e-5 * np.eye(theta.size)[a]
        quotient = (criterion(theta + h).value - criterion(theta - h).value) / 2e-5
        assert found[a] == pytest.approx(quotient, rel=1e-4, abs=2e-4)


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", list(MODELS))
def test_covariance_of_parameters_must_be_the_inverse_of_a_dense_second_derivative(name: str) -> None:
    fit = fitted(name, True)
    table, own, rows = fit.vcov_varpar(), fit._fit.residual, np.arange(fit.nobs)
    assert own is not None
    names = [n for n in table.index if str(n).startswith(".")]
    weights = np.ones(fit.nobs) if fit._fit.design.weights is None else fit._fit.design.weights

    def criterion(values: Any) -> float:
        p, design = dict(zip(names, values, strict=False)), fit._fit.design
        V = (
            p[".sigma"] ** 2
            * own.model.matrix(values[len(names) :], rows)
            / np.sqrt(np.outer(weights, weights))
        )
        root = np.linalg.cholesky(V + natural_covariance(fit, p))
        X, y = np.linalg.solve(root, design.X), np.linalg.solve(root, design.y)
        rest = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
        return float(2 * np.log(np.diag(root)).sum() + np.linalg.slogdet(X.T @ X)[1] + rest @ rest)

    every = {p.name: p for p in parameters_of(fit._fit)}
    centre = np.concatenate([values_of(fit._fit, [every[name] for name in names]), own.x])
    with blas_threads(1):
        expected = np.sqrt(np.diag(2 * np.linalg.inv(hessian(criterion, centre))))
    expected[len(names) :] *= np.abs(np.diag(own.model.natural_slopes(own.x)))
    np.testing.assert_allclose(np.sqrt(np.diag(table)), expected, rtol=2e-3)


def hessian(function: Callable[[Any], float], centre: Any, step: float = 2e-3) -> Any:
    count = centre.size
    moves = step * np.eye(count)
    out = np.zeros((count, count))
    for a in range(count):
        for b in range(a + 1):
            corners = [
                i * j * function(centre + i * moves[a] + j * moves[b]) for i in (1, -1) for j in (1, -1)
            ]
            out[a, b] = out[b, a] = sum(corners) / (4 * step**2)
    return out


# -- what the data cannot tell apart, and limits ----------------------------------------------------------------

UNIDENTIFIED = {
    "compound symmetry twice": ("y ~ x + homcs(0 + factor(order) | g)", R.CompoundSymmetry("g")),
    "independent effects of rows": ("y ~ x + homdiag(0 + factor(order) | g)", R.VarIdent("arm")),
    "levels of which one never varies": ("y ~ x + (0 + arm | g)", R.CompoundSymmetry("g")),
    "variances twice": ("y ~ x", R.VarIdent("arm") * R.VarIdent("g")),
}

IDENTIFIED = {
    "nugget and autoregression": ("y ~ x + homdiag(0 + factor(order) | g)", R.AR1("order", "g")),
    "two autoregressions": ("y ~ x + ar1(0 + order | g)", R.AR1("order", "g")),
    "intercept beside autoregression": ("y ~ x + (1 | g)", R.AR1("order", "g")),
    "short range": ("y ~ x", R.Gaussian("order", "g", nugget=True)),
}


def tied_in(formula: str, structure: Any) -> list[str]:
    model = mf.lmm(formula, measured(), residual=structure).design.residual
    assert model is not None
    return [tie.words for tie in model.tied[0]]


@pytest.mark.parametrize("name", list(UNIDENTIFIED))
def test_parameters_with_the_same_effect_must_be_a_verdict(name: str) -> None:
    formula, structure = UNIDENTIFIED[name]
    assert tied_in(formula, structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mf.lmm(formula, measured(), residual=structure).fit()
    assert fit.convergence.status == "unidentified"
    assert not all(is_identified(fit._fit, p) for p in parameters_of(fit._fit))


@pytest.mark.parametrize("name", list(IDENTIFIED))
def test_parameters_with_different_effects_must_not_be_tied(name: str) -> None:
    assert not tied_in(*IDENTIFIED[name])


def test_covariance_with_a_random_intercept_must_be_compound_symmetry() -> None:
    data = measured().query("r == 0")
    one = mf.lmm("y ~ x", data, residual=R.CompoundSymmetry("g")).fit()
    other = mf.lmm("y ~ x + homcs(0 + factor(t) | g)", data, residual=R.VarFixed("w")).fit(sigma=1e-3)
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-2)


def test_a_ratio_that_goes_to_0_must_be_a_likelihood_without_maximum() -> None:
    data = measured().assign(y=lambda d: np.where(d["arm"] == "b", 0.0, d["y"]))
    with pytest.warns(mf.ConvergenceWarning, match="no maximum"):
        fit = mf.lmm("y ~ 0 + arm", data, residual=R.VarIdent("arm")).fit()
    assert fit.convergence.status == "unbounded"
    assert "ratio(b) goes to its lower limit 0" in fit.convergence.message


@pytest.mark.parametrize("formula", ["y ~ 0 + arm", "y ~ 0 + arm + (1 | g)"])
def test_a_baseline_that_goes_to_0_must_be_a_likelihood_without_maximum(formula: str) -> None:
    data = measured().assign(y=lambda d: np.where(d["arm"] == "a", 2.0, d["y"]))
    with pytest.warns(mf.ConvergenceWarning, match="no maximum"):
        fit = mf.lmm(formula, data, residual=R.VarIdent("arm")).fit()
    assert fit.convergence.status == "unbounded"
    assert "sigma, the residual SD of a, goes to its lower limit 0" in fit.convergence.message


def test_correlation_near_1_must_be_on_the_boundary() -> None:
    rng = np.random.default_rng(1)
    data = measured().assign(y=lambda d: rng.normal(size=20)[d["g"]] + 1e-4 * rng.normal(size=len(d)))
    fit = mf.lmm("y ~ 1", data, residual=R.AR1("order", "g")).fit()
    assert fit.convergence.status == "boundary"
    assert "phi is at its upper limit 1" in fit.convergence.message


def test_likelihood_ratio_must_count_the_parameters_of_both_structures() -> None:
    fits = [
        mf.lmm(formula, measured(), residual=residual).fit(reml=False)
        for formula, residual in [
            ("y ~ x + homcs(0 + factor(t) | g)", None),
            ("y ~ x + homcs(0 + factor(t) | g)", R.AR1("order", "g")),
            ("y ~ x + homcs(0 + factor(t) | g)", R.AR1("order", "g") * R.VarIdent("arm")),
        ]
    ]
    table = mf.anova(*fits).table
    assert table["npar"].tolist() == [5.0, 6.0, 7.0]
    assert table["df"].tolist()[1:] == [1, 1]
    assert table["p_value"].notna().tolist() == [False, True, True]


# -- after the fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ar1", "hetar1", "slope"])
def test_predictions_and_their_errors_must_be_those_of_the_dense_equations(name: str) -> None:
    fit, design = fitted(name, True), fitted(name, True)._fit.design
    between = np.zeros((fit.nobs, fit.nobs))
    for block, omega in zip(design.blocks, fit._fit.omega, strict=True):
        between += np.where(block.codes[:, None] == block.codes, block.z @ omega @ block.z.T, 0.0)
    V = fit.sigma**2 * dense_residual(fit, MODELS[name][1])
    if design.weights is not None:
        V = V / np.sqrt(np.outer(design.weights, design.weights))
    V = V + between
    solved = np.linalg.solve(V, np.column_stack([design.X, between]))
    inner, X = np.linalg.inv(design.X.T @ solved[:, :2]), design.X
    beta = inner @ X.T @ np.linalg.solve(V, design.y)
    left = X - between @ solved[:, :2]
    error = between - between @ solved[:, 2:] + left @ inner @ left.T
    found = fit.predict(interval="confidence")
    expected = X @ beta + between @ np.linalg.solve(V, design.y - X @ beta)
    np.testing.assert_allclose(found["mean"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["se"], np.sqrt(np.diag(error)), rtol=1e-5)


@pytest.mark.parametrize("name", ["hetar1", "slope"])
def test_saved_fit_must_load_with_both_structures(name: str, tmp_path: Any) -> None:
    fit = fitted(name, True)
    fit.save(tmp_path / "fit.npz")
    again = mf.load(tmp_path / "fit.npz")
    assert str(again.summary()) == str(fit.summary())
    np.testing.assert_allclose(again.vcov_varpar(), fit.vcov_varpar(), rtol=1e-6)


def test_tables_must_name_the_residual_structure() -> None:
    one, other = fitted("ar1", True), mf.lmm("y ~ x + ar1(0 + t | g)", measured()).fit()
    assert "residual AR1(time='order', group='g')" in str(mf.compare_models([one, other]))
    tidy = one.tidy()
    assert "residual__phi" in tidy["term"].tolist()
    assert one.glance()["df.residual"].iloc[0] == one.nobs - 6


def test_random_terms_must_be_dropped_beside_the_residual_structure() -> None:
    fit = fitted("slope", True)
    smaller = mf.lmm("y ~ x + ou(0 + t | g)", measured(), residual=MODELS["slope"][1]).fit()
    table = fit.ranova().table
    at = next(i for i, name in enumerate(table.index) if "x" in str(name))
    assert table["llf"].iloc[at] == pytest.approx(smaller.llf, abs=1e-5)
