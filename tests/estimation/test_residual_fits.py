"""Fits with a residual structure: the n × n density, exact gradient, special cases, invariances, bad input."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from residual_oracle import dense_criterion, residual_covariance

import mixedfit as mf
from mixedfit.estimation.estimate import Control
from mixedfit.estimation.whitening import WhitenedSearch
from mixedfit.inference.bootstrap.cases import rows_of_design

R = mf.residuals


def panel(seed: int = 1, groups: int = 24, *, phi: float = 0.6, missing: float = 0.2) -> pd.DataFrame:
    """Return rows of groups nested in sites, with autocorrelated residuals, missing visits, in random order."""
    rng = np.random.default_rng(seed)
    rows = []
    for g in range(groups):
        b, e = rng.normal(), rng.normal()
        for t in range(1, 7):
            e = phi * e + np.sqrt(1 - phi**2) * rng.normal()
            if rng.random() > missing or t <= 2:
                rows.append((g, g // 4, t, rng.normal(), b + (1 + 0.5 * (g % 2)) * e))
    frame = pd.DataFrame(rows, columns=["g", "site", "t", "x", "y"])
    frame["y"] += 2 + 0.5 * frame["x"] + 0.3 * frame["t"]
    frame["arm"] = np.where(frame["g"] % 2 == 0, "a", "b")
    frame["visit"] = "v" + frame["t"].astype(str)
    frame["w"] = rng.uniform(0.5, 2, len(frame))
    return frame.sample(frac=1.0, random_state=seed).reset_index(drop=True)


MODELS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "gls": ("y ~ x + t", R.AR1("t", "g"), {}),
    "no fixed effects": ("y ~ 0", R.AR1("t", "g"), {}),
    "intercepts": ("y ~ x + t + (1 | g)", R.AR1("t", "g"), {}),
    "default group": ("y ~ x + (1 | g)", R.AR1("t"), {}),
    "slopes": ("y ~ x + t + (t | g)", R.AR1("t", "g") * R.VarIdent("arm"), {}),
    "nested": ("y ~ x + t + (1 | site/g)", R.CAR1("t", "g:site"), {}),
    "nested slopes": ("y ~ x + t + (x | site) + (1 | g)", R.AR1("t", "g"), {}),
    "crossed, unequal variances": ("y ~ x + (1 | g) + (1 | visit)", R.VarIdent("arm") * R.VarExp("x"), {}),
    "coarser random term": ("y ~ x + (1 | site)", R.CompoundSymmetry("g") * R.VarIdent("visit"), {}),
    "weights": ("y ~ x + (1 | g)", R.AR1("t", "g"), {"weights": "w"}),
    "offset": ("y ~ x + (1 | g)", R.AR1("t", "g"), {"offset": "t"}),
    "dependent columns": ("y ~ x + I(2*x) + t", R.Toeplitz("visit", "g"), {}),
    "unstructured": ("y ~ x + t", R.Unstructured("visit", "g"), {}),
    "by arm": ("y ~ x + t + (1 | site)", R.AR1("t", "g", by="arm"), {}),
}


def fitted(name: str, reml: bool, data: pd.DataFrame | None = None) -> tuple[mf.MixedResults, Any]:
    formula, structure, options = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = mf.lmm(formula, panel() if data is None else data, residual=structure, **options).fit(reml=reml)
    return fit, structure


def dense_matrix(fit: mf.MixedResults, structure: Any, data: pd.DataFrame) -> Any:
    own = fit._fit.residual
    assert own is not None
    p = {n.name: float(n.value) for n in own.model.natural(own.x)}
    correlation = structure.correlation
    group = None if correlation is None else (correlation.group_name or "g").split(":")[0]
    return residual_covariance(structure, data, group, p)


@pytest.mark.everyday(4)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", list(MODELS))
def test_criterion_must_be_that_of_the_dense_density(name: str, reml: bool) -> None:
    fit, structure = fitted(name, reml)
    value = fit.reml_criterion if reml else fit.deviance
    assert value == pytest.approx(dense_criterion(fit, dense_matrix(fit, structure, panel())), rel=1e-10)


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", [name for name in MODELS if name != "no fixed effects"])
def test_coefficients_must_be_generalised_least_squares(name: str) -> None:
    fit, structure = fitted(name, True)
    design, V = fit._fit.design, dense_matrix(fit, structure, panel())
    if design.weights is not None:
        V = V / np.sqrt(np.outer(design.weights, design.weights))
    for block, omega in zip(design.blocks, fit._fit.omega, strict=True):
        same = block.codes[:, None] == block.codes
        V = V + np.where(same, block.z @ omega @ block.z.T, 0.0) / fit.sigma**2
    X = design.X[:, np.flatnonzero(fit._fit.kept)]
    information = X.T @ np.linalg.solve(V, X)
    beta = np.linalg.solve(information, X.T @ np.linalg.solve(V, design.y))
    errors = fit.sigma * np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(fit.params.dropna(), beta, rtol=1e-7)
    np.testing.assert_allclose(fit.bse.dropna(), errors, rtol=1e-7)
    for block, omega in zip(design.blocks, fit._fit.omega, strict=True):  # BLUPs
        solved = np.linalg.solve(V, design.y - X @ beta) / fit.sigma**2
        sums = np.array([block.z[block.codes == j].T @ solved[block.codes == j] for j in range(block.levels)])
        np.testing.assert_allclose(fit.random_effects[block.name], sums @ omega, rtol=1e-5, atol=1e-6)


@pytest.mark.everyday(8)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("sigma", [None, 1.3])
@pytest.mark.parametrize("name", list(MODELS))
def test_gradient_must_equal_a_difference_quotient(name: str, sigma: float | None, reml: bool) -> None:
    formula, structure, options = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = mf.lmm(formula, panel(), residual=structure, **options).design
    assert design.residual is not None
    search = WhitenedSearch(design, design.residual, reml, sigma, Control())
    x = design.residual.start + np.random.default_rng(2).uniform(-0.3, 0.3, design.residual.start.size)
    found = search(x).gradient
    for a in range(x.size):
        h = 1e-4 * np.eye(x.size)[a]
        quotient = (search(x + h).value - search(x - h).value) / 2e-4
        assert found[a] == pytest.approx(quotient, rel=1e-4, abs=2e-4)


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", list(MODELS))
def test_optimum_must_be_stationary(name: str) -> None:
    fit, _ = fitted(name, True)
    own = fit._fit.residual
    assert own is not None
    assert fit.converged
    search = WhitenedSearch(fit._fit.design, own.model, True, None, Control())
    centre = search(own.x).value
    for a in range(own.x.size):
        for h in (-0.01, 0.01):
            assert search(own.x + h * np.eye(own.x.size)[a]).value >= centre - 1e-7


def test_permuted_rows_must_give_the_same_fit() -> None:
    data = panel()
    one, _ = fitted("slopes", True, data)
    other, _ = fitted("slopes", True, data.sample(frac=1.0, random_state=9))
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-7)
    np.testing.assert_allclose(one.params, other.params, rtol=1e-6)


@pytest.mark.parametrize(
    "structure", [R.CAR1("t", "g"), R.Gaussian("t", "g"), R.Matern("t", "g", nugget=True)]
)
def test_units_of_time_must_not_matter(structure: Any) -> None:
    data = panel(groups=30)
    hours = data.assign(t=data["t"] * 24.0)
    days, other = (mf.lmm("y ~ x", d, residual=structure).fit() for d in (data, hours))
    assert days.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-6)


# -- special cases ----------------------------------------------------------------------------------------------


def test_autoregression_of_independent_rows_must_be_near_an_ordinary_fit() -> None:
    data = panel(groups=60, phi=0.0)
    plain = mf.lmm("y ~ x", data).fit(reml=False)
    structured = mf.lmm("y ~ x", data.assign(g=np.arange(len(data)) // 2, t=np.arange(len(data)) % 2)).fit(
        reml=False
    )
    assert structured.deviance == pytest.approx(plain.deviance, abs=1e-9)


def test_fitted_values_must_include_the_offset_when_variances_depend_on_them() -> None:
    """An offset of 3x moves the coefficient of x by 3, and no fitted value. Rival: |fitted less offset|^δ."""
    data = panel().assign(y=lambda d: d["y"] + 4 * d["x"] + 20, o=lambda d: 3 * d["x"])
    plain, shifted = (
        mf.lmm("y ~ x + (1 | g)", data, residual=R.VarPower("fitted"), offset=offset).fit()
        for offset in (None, "o")
    )
    assert shifted.reml_criterion == pytest.approx(plain.reml_criterion, abs=1e-6)
    np.testing.assert_allclose(shifted.residual_params, plain.residual_params, rtol=1e-4)
    np.testing.assert_allclose(shifted.params + np.array([0.0, 3.0]), plain.params, rtol=1e-6)


def test_unstructured_of_two_visits_must_equal_heterogeneous_compound_symmetry() -> None:
    data = panel().query("t <= 2")
    one = mf.lmm("y ~ x", data, residual=R.Unstructured("visit", "g")).fit()
    other = mf.lmm("y ~ x", data, residual=R.CompoundSymmetry("g") * R.VarIdent("visit")).fit()
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-7)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-5)


def test_continuous_autoregression_at_whole_times_must_equal_the_discrete() -> None:
    one = mf.lmm("y ~ x + (1 | site)", panel(), residual=R.CAR1("t", "g")).fit()
    other = mf.lmm("y ~ x + (1 | site)", panel(), residual=R.AR1("t", "g")).fit()
    assert other.residual_params.loc["phi", "estimate"] > 0
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-7)
    assert one.residual_params.loc["phi", "estimate"] == pytest.approx(
        other.residual_params.loc["phi", "estimate"], rel=1e-4
    )


def test_compound_symmetry_must_equal_a_random_intercept_where_it_is_positive() -> None:
    data = panel(phi=0.0)
    one = mf.lmm("y ~ x", data, residual=R.CompoundSymmetry("g")).fit()
    other = mf.lmm("y ~ x + (1 | g)", data).fit()
    rho = one.residual_params.loc["rho", "estimate"]
    between = float(other.cov_re["g"].iloc[0, 0])
    assert rho > 0
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-7)
    assert rho == pytest.approx(between / (between + other.scale), rel=1e-4)
    assert one.scale == pytest.approx(between + other.scale, rel=1e-4)


def test_fixed_variances_must_equal_weights() -> None:
    data = panel()
    one = mf.lmm("y ~ x + (1 | g)", data, residual=R.VarFixed("w")).fit()
    other = mf.lmm("y ~ x + (1 | g)", data, weights=1 / data["w"]).fit()
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-8)
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-7)


def test_parameters_must_be_counted() -> None:
    fit = mf.lmm("y ~ x + (1 | g)", panel(), residual=R.AR1("t", "g") * R.VarIdent("arm")).fit(reml=False)
    assert fit.n_parameters == 2 + 1 + 1 + 2
    assert fit.aic == pytest.approx(fit.deviance + 2 * fit.n_parameters)


def test_estimates_must_recover_the_truth() -> None:
    data = panel(3, groups=1500, phi=0.7, missing=0.1)
    fit = mf.lmm("y ~ x + t + (1 | g)", data, residual=R.AR1("t", "g") * R.VarIdent("arm")).fit()
    found = fit.residual_params["estimate"]
    assert found["phi"] == pytest.approx(0.7, abs=0.05)
    assert found["ratio(b)"] == pytest.approx(1.5, abs=0.06)
    assert float(fit.cov_re["g"].iloc[0, 0]) == pytest.approx(1.0, abs=0.25)


def test_matrices_by_arm_must_equal_separate_fits_where_nothing_is_shared() -> None:
    data = panel(groups=60).query("t <= 4")
    whole = mf.lmm("y ~ 0 + arm + arm:x", data, residual=R.Unstructured("visit", "g", by="arm")).fit(
        reml=False
    )
    parts = [
        mf.lmm("y ~ x", part, residual=R.Unstructured("visit", "g")).fit(reml=False)
        for _, part in data.groupby("arm")
    ]
    assert whole.deviance == pytest.approx(sum(fit.deviance for fit in parts), abs=1e-6)
    assert whole.n_parameters == sum(fit.n_parameters for fit in parts)


# -- after the fit ----------------------------------------------------------------------------------------------


def test_simulated_responses_must_have_the_marginal_covariance() -> None:
    fit, structure = fitted("slopes", True)
    design = fit._fit.design
    V = fit.sigma**2 * dense_matrix(fit, structure, panel())
    block, omega = design.blocks[0], fit._fit.omega[0]
    V = V + np.where(block.codes[:, None] == block.codes, block.z @ omega @ block.z.T, 0.0)
    drawn = fit.simulate(20_000, seed=4).to_numpy()
    error = np.abs(np.cov(drawn) - V) / np.sqrt(np.outer(np.diag(V), np.diag(V)) + V**2)
    assert error.max() < 5.5 / np.sqrt(20_000)


def test_normalised_residuals_must_be_the_whitened_ones() -> None:
    fit, structure = fitted("slopes", True)
    matrix = fit.sigma**2 * dense_matrix(fit, structure, panel())
    own = fit.normalised_resid.to_numpy()
    assert own @ own == pytest.approx(fit.resid @ np.linalg.solve(matrix, fit.resid), rel=1e-8)


def test_residual_covariance_must_be_that_of_the_group() -> None:
    fit, structure = fitted("slopes", True)
    shown = fit.residual_cov(5)
    own = panel().query("g == 5").sort_values("t")
    rows = own.index.to_numpy()
    assert shown.index.to_list() == own["t"].to_list()
    whole = fit.sigma**2 * dense_matrix(fit, structure, panel())
    np.testing.assert_allclose(shown, whole[np.ix_(rows, rows)], rtol=1e-10)
    with pytest.raises(mf.ModelError, match="not a group"):
        fit.residual_cov("nobody")


def test_prediction_interval_of_new_rows_must_use_their_standard_deviation() -> None:
    fit, _ = fitted("slopes", True)
    new = pd.DataFrame({"x": [0.0, 0.0], "t": [3, 3], "g": [99, 99], "arm": ["a", "b"]})
    table = fit.predict(new, interval="prediction", re_form="none")
    z = np.array([1.0, 3.0])
    between = float(z @ fit.cov_re["g"].to_numpy() @ z)
    ratio = fit.residual_params.loc["ratio(b)", "estimate"]
    expected = np.sqrt(table["se"] ** 2 + between + fit.scale * np.array([1.0, ratio**2]))
    np.testing.assert_allclose((table["upper"] - table["mean"]) / 1.959964, expected, rtol=1e-6)
    with pytest.raises(mf.DataError, match="not a level of the fit"):
        fit.predict(new.assign(arm="c"), interval="prediction", re_form="none")


def test_refit_must_equal_a_fit_to_the_new_response() -> None:
    data = panel()
    fit, structure = fitted("intercepts", True, data)
    y = data["y"] + np.random.default_rng(1).normal(size=len(data))
    again = mf.lmm("y ~ x + t + (1 | g)", data.assign(y=y), residual=structure).fit()
    assert fit.refit(y).reml_criterion == pytest.approx(again.reml_criterion, abs=1e-7)


def test_likelihood_ratio_must_compare_nested_structures_only() -> None:
    data = panel()
    plain = mf.lmm("y ~ x", data).fit()
    ar1, cs, un = (
        mf.lmm("y ~ x", data, residual=s).fit()
        for s in (R.AR1("t", "g"), R.CompoundSymmetry("g"), R.Unstructured("visit", "g"))
    )
    table = mf.anova(plain, ar1, un).table
    assert table["df"].tolist()[1:] == [1, 19]
    assert table["p_value"].notna().tolist() == [False, True, True]
    assert np.isnan(mf.anova(ar1, cs).table["p_value"].iloc[1])


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", ["slopes", "weights", "nested", "by arm", "fitted"])
def test_saved_fit_must_load_with_its_residual_structure(name: str, tmp_path: Any) -> None:
    if name == "fitted":
        fit = mf.lmm(
            "y ~ x + (1 | g)", panel().assign(y=lambda d: d["y"] + 20), residual=R.VarPower("fitted")
        ).fit()
    else:
        fit, _ = fitted(name, True)
    fit.save(tmp_path / "fit.npz")
    again = mf.load(tmp_path / "fit.npz")
    assert again.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-9)
    np.testing.assert_allclose(again.residual_params, fit.residual_params, rtol=1e-12)
    assert str(again.summary()) == str(fit.summary())
    np.testing.assert_allclose(again.normalised_resid, fit.normalised_resid, rtol=1e-8)


@pytest.mark.slow
def test_parametric_bootstrap_must_vary_as_the_delta_method_says() -> None:
    data = panel(groups=40)
    fit = mf.lmm("y ~ x", data, residual=R.AR1("t", "g") * R.VarIdent("arm")).fit()
    drawn = fit.bootstrap(200, seed=1)
    assert not drawn.failed.any()
    expected = np.sqrt(np.diag(fit.vcov_varpar()))
    found = drawn.replicates[[".sigma", "phi", "ratio(b)"]].std()
    np.testing.assert_allclose(found, expected, rtol=0.25)
    np.testing.assert_allclose(drawn.replicates[list(fit.params.index)].std(), fit.bse, rtol=0.25)
    again = fit.bootstrap(5, seed=1)
    np.testing.assert_array_equal(again.replicates, drawn.replicates[:5])


REFUSED = {
    "picture": lambda fit: mf.plots.within_group_correlation(fit),
    "Cholesky scale": lambda fit: fit.vcov_varpar(scale="cholesky"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_ignores_the_structure_must_be_refused_in_words(name: str) -> None:
    fit, _ = fitted("slopes", True)
    with pytest.raises(mf.ModelError, match="not available yet for models with a residual structure"):
        REFUSED[name](fit)


def test_bootstraps_must_draw_from_the_structure() -> None:
    data = panel(groups=40)
    fit = mf.lmm("y ~ x", data, residual=R.AR1("t", "g") * R.VarIdent("arm")).fit()
    errors = np.sqrt(np.diag(fit.vcov_varpar()))
    for kind in ("residual", "cases"):
        drawn = fit.bootstrap(60, type=kind, seed=1)
        assert not drawn.failed.any()
        ratio = drawn.replicates[[".sigma", "phi", "ratio(b)"]].std() / errors
        assert ratio.between(0.6, 1.7).all()  # independent rows would give phi 0
        assert drawn.replicates["phi"].mean() == pytest.approx(
            fit.residual_params.loc["phi", "estimate"], abs=0.06
        )
    assert np.all(np.isfinite(drawn.conf_int(kind="bca")))


def test_bootstrap_test_must_compare_structures() -> None:
    data = panel(groups=20, phi=0.0)
    plain, ar1 = mf.lmm("y ~ x", data), mf.lmm("y ~ x", data, residual=R.AR1("t", "g"))
    test = mf.parametric_bootstrap_test(plain.fit(), ar1.fit(), n=40, seed=1)
    assert test.df == 1
    assert test.n == 40
    assert "residual AR1" in str(test)


def test_threads_must_not_change_a_bootstrap() -> None:
    fit, _ = fitted("gls", True)
    one, two = (fit.bootstrap(12, seed=3, n_jobs=jobs).replicates for jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.everyday(1)
@pytest.mark.parametrize("name", ["slopes", "by arm", "weights"])
def test_new_rows_must_be_drawn_with_the_covariance_of_the_old(name: str) -> None:
    fit, structure = fitted(name, True)
    data, design = panel(), fit._fit.design
    options = {"weights": "w"} if name == "weights" else {}
    drawn = fit.simulate(6000, seed=4, newdata=data, **options).to_numpy()
    V = fit.sigma**2 * dense_matrix(fit, structure, data)
    if design.weights is not None:
        V = V / np.sqrt(np.outer(design.weights, design.weights))
    for block, omega in zip(design.blocks, fit._fit.omega, strict=True):
        V = V + np.where(block.codes[:, None] == block.codes, block.z @ omega @ block.z.T, 0.0)
    error = np.abs(np.cov(drawn) - V) / np.sqrt(np.outer(np.diag(V), np.diag(V)) + V**2)
    assert error.max() < 5.5 / np.sqrt(6000)
    again = data.head(2).assign(g=77, t=1)
    with pytest.raises(mf.DataError, match="at the same time or place"):
        fit.simulate(newdata=again, **options)


def test_sampler_must_refuse_a_structure_that_it_does_not_know() -> None:
    model = mf.lmm("y ~ x + (1 | g)", panel(), residual=R.ARMA(1, 1, "t", "g"))
    for draw in (model.gibbs, model.prior_predictive):
        with pytest.raises(mf.ModelError, match="not available yet"):
            draw(draws=2)


def test_correlation_must_be_within_the_factor_of_most_levels_when_no_group_is_given() -> None:
    """Rival: the factor of fewest levels, the sites."""
    for formula in ("y ~ x + (1 | site) + (1 | g)", "y ~ x + (1 | g) + (1 | site)"):
        model = mf.lmm(formula, panel(), residual=R.AR1()).design.residual
        assert model is not None
        assert model.layout is not None
        assert model.layout.group_name == "g"


def test_spread_of_a_new_row_must_be_missing_when_its_level_is() -> None:
    """Rival: the ratio of the last level, which stands at place −1."""
    fit, _ = fitted("slopes", True)
    new = pd.DataFrame({"x": 0.0, "t": 3, "g": 99, "arm": ["b", None]})
    table = fit.predict(new, interval="prediction", re_form="none")
    assert table["mean"].notna().all()
    assert table["lower"].isna().tolist() == [False, True]


@pytest.mark.parametrize("function", [R.VarPower("fitted"), R.VarIdent("arm")])
def test_rows_drawn_must_keep_their_deviations(function: Any) -> None:
    """Rival: the deviations of the first rows."""
    data = panel().assign(y=lambda d: d["y"] + 20)
    fit = mf.lmm("y ~ x + (1 | g)", data, residual=function).fit()._fit
    rows = np.random.default_rng(2).choice(fit.design.n, 80)
    assert fit.residual is not None
    drawn = rows_of_design(replace(fit.design, residual=fit.residual.model), rows).residual
    assert drawn is not None
    x = fit.residual.x
    np.testing.assert_allclose(drawn.log_sd(x), fit.residual.model.log_sd(x)[rows], rtol=1e-12)


def test_forecast_must_place_rows_after_those_of_their_group_when_there_is_no_time() -> None:
    """Rival: new rows at the start of their group. Rows of a new group begin at the start."""
    data = panel(missing=0.0).sort_values(["g", "t"], ignore_index=True)
    last = (data["t"] >= 5) & (data["g"] % 3 == 0)
    past, new = data[~last], pd.concat([data[last], data[:3].assign(g=99)])
    timed, bare = (mf.lmm("y ~ x", past, residual=s).fit() for s in (R.AR1("t", "g"), R.AR1(group="g")))
    assert bare.reml_criterion == pytest.approx(timed.reml_criterion, abs=1e-9)
    np.testing.assert_allclose(bare.forecast(new), timed.forecast(new), rtol=1e-7)


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    "name",
    [
        "gls",
        "slopes",
        "nested",
        "unstructured",
        "by arm",
        "coarser random term",
        "weights",
        "crossed, unequal variances",
    ],
)
def test_forecast_must_be_the_conditional_distribution_of_the_dense_density(name: str) -> None:
    data = panel()
    last = (data["t"] >= 5) & (data["g"] % 3 == 0)
    past, new = data[~last], data[last].assign(y=np.nan)
    formula, structure, options = MODELS[name]
    fit = mf.lmm(formula, past, residual=structure, **options).fit()
    table = fit.forecast(new, **options)
    whole = mf.lmm(formula, pd.concat([past, new.assign(y=0.0)]), residual=structure).design
    own = fit._fit.residual
    assert own is not None
    assert whole.residual is not None
    # the whole data have the same levels and visits, so that x means the same but for units of gaps and covariates
    x = own.x.copy()
    if name == "nested":
        x += np.log(whole.residual.correlation.unit / own.model.correlation.unit)  # type: ignore[union-attr]
    if "crossed" in name:
        x[-1] *= np.std(data["x"]) / np.std(past["x"])
    V = fit.scale * whole.residual.matrix(x, np.arange(whole.n))
    if options:
        w = np.concatenate([past["w"], new["w"]])
        V = V / np.sqrt(np.outer(w, w))
    for block, omega in zip(whole.blocks, fit._fit.omega, strict=True):
        V = V + np.where(block.codes[:, None] == block.codes, block.z @ omega @ block.z.T, 0.0)
    n = len(past)
    X, solved = whole.X, np.linalg.solve(V[:n, :n], V[:n, n:])
    mean = X[n:] @ fit.params + solved.T @ (past["y"] - X[:n] @ fit.params)
    d = X[n:] - solved.T @ X[:n]
    variance = np.diag(V[n:, n:] - V[n:, :n] @ solved + d @ fit.cov_params() @ d.T)
    np.testing.assert_allclose(table["mean"], mean, rtol=1e-7)
    np.testing.assert_allclose(table["se"], np.sqrt(variance), rtol=1e-7)


# -- bad input --------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[str, Any, Any, str]] = {
    "no column": ("y ~ x", R.AR1("tt", "g"), None, "no column 'tt'"),
    "no group": ("y ~ x", R.AR1("t", "gg"), None, "no column 'gg'"),
    "repeated times": ("y ~ x", R.AR1("t", "site"), None, "repeat a 't'"),
    "repeated visits": ("y ~ x", R.Unstructured("visit", "site"), None, "unstructured|repeat|more than"),
    "fractional times": ("y ~ x", R.AR1("x", "g"), None, "not whole numbers"),
    "labels as times": ("y ~ x", R.CAR1("visit", "g"), None, "expected numbers or dates"),
    "one row a group": ("y ~ x", R.AR1("t", "row"), None, "one row"),
    "one visit": ("y ~ x", R.Toeplitz("one", "g"), None, "repeat|one visit"),
    "constant covariate": ("y ~ x", R.VarPower("one"), None, "constant"),
    "zero covariate": ("y ~ x", R.VarPower("zero"), None, "0"),
    "negative variance": ("y ~ x", R.VarFixed("x"), None, "positive"),
    "alphabetical visits": (
        "y ~ x",
        R.AR1("week", "g"),
        None,
        "alphabetical order puts 'week 18' before 'week 3'",
    ),
    "labels as covariate": ("y ~ x", R.VarExp("visit"), None, "VarIdent"),
    "one level": ("y ~ x", R.VarIdent("one"), None, "one level"),
    "too many visits": ("y ~ x", R.Unstructured("visit", "g"), "g < 5", "more than"),
    "same place": ("y ~ x", R.Exponential(("t", "site")), None, "nugget=True"),
    "crossed terms": ("y ~ x + (1 | visit)", R.AR1("t", "g"), None, "several levels"),
    "beside an intercept": ("y ~ x + (1 | g)", R.CompoundSymmetry("g"), None, "not identified"),
    "unstructured beside slopes": (
        "y ~ x + (0 + t | g)",
        R.Unstructured("visit", "g"),
        None,
        "not identified",
    ),
    "two rows beside an intercept": ("y ~ x + (1 | g)", R.AR1("t", "g"), "t <= 2", "not identified"),
    "level within groups": ("y ~ x", R.AR1("t", "g", by="visit"), None, "varies within groups"),
    "one level of by": ("y ~ x", R.AR1("t", "g", by="one"), None, "one level"),
    "not a structure": ("y ~ x", 1, None, "not a residual structure"),
    "a class": ("y ~ x", R.AR1, None, "not a residual structure"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_data_that_do_not_determine_a_structure_must_be_refused_in_words(name: str) -> None:
    formula, structure, rows, words = BAD[name]
    data = panel().assign(one=1, row=lambda d: np.arange(len(d)), zero=lambda d: (d["t"] > 2) * 1.0)
    data["week"] = "week " + (3 * data["t"]).astype(str)
    with pytest.raises((mf.DataError, mf.ModelError), match=words):
        mf.lmm(formula, data if rows is None else data.query(rows), residual=structure).fit()


def test_rows_without_a_time_must_be_dropped_with_a_warning() -> None:
    data = panel().assign(t=lambda d: d["t"].astype(float).where(d.index != 3))
    with pytest.warns(mf.MissingRowsWarning, match="1 of"):
        fit = mf.lmm("y ~ x", data, residual=R.AR1("t", "g")).fit()
    assert fit.nobs == len(data) - 1


@pytest.mark.parametrize("step", [2, 365])
def test_autoregression_at_distant_times_must_equal_the_continuous_one(step: int) -> None:
    data = panel(groups=60).assign(t=lambda d: d["t"] * step)
    one = mf.lmm("y ~ x", data, residual=R.AR1("t", "g")).fit()
    other = mf.lmm("y ~ x", data, residual=R.CAR1("t", "g")).fit()
    assert one.reml_criterion == pytest.approx(other.reml_criterion, abs=1e-6)
    with pytest.raises(mf.DataError, match="no two rows of a group are neighbours"):
        mf.lmm("y ~ x", data, residual=R.ARMA(1, 1, "t", "g"))


def test_group_too_large_for_a_dense_matrix_must_be_refused() -> None:
    data = pd.DataFrame({"y": np.arange(6000.0) % 7, "a": np.arange(6000.0), "b": np.arange(6000.0) % 31})
    with pytest.raises(mf.ModelError, match="linear in rows"):
        mf.lmm("y ~ 1", data, residual=R.Spherical(("a", "b")))


def test_start_of_the_wrong_length_must_be_refused() -> None:
    with pytest.raises((mf.ModelError, ValueError)):
        mf.lmm("y ~ x + (1 | g)", panel(), residual=R.AR1("t", "g")).fit(start=[1.0, 2.0, 3.0])


def test_correlation_at_its_limit_must_be_a_verdict() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 4), "t": np.tile(np.arange(4), 20)})
    data["y"] = rng.normal(size=20)[data["g"]] + 1e-5 * rng.normal(size=80)
    fit = mf.lmm("y ~ 1", data, residual=R.CompoundSymmetry("g")).fit()
    assert fit.convergence.status == "boundary"
    assert "rho is at its upper limit" in fit.convergence.message


def test_summary_must_say_structure_group_and_baseline() -> None:
    fit, _ = fitted("slopes", True)
    text = str(fit.summary())
    for part in (
        "AR1(time='t', group='g') * VarIdent(by='arm')",
        "phi^|s - t|",
        "within g",
        "arm = a",
        "ratio(b)",
    ):
        assert part in text
    default, _ = fitted("default group", True)
    assert "the innermost grouping factor" in str(default.summary())


def strata(seed: int, groups: int, visits: int) -> pd.DataFrame:
    """Return groups whose first row has no residual."""
    rng = np.random.default_rng(seed)
    g, v = np.repeat(np.arange(groups), visits), np.tile(np.arange(visits), groups)
    noise = np.where(v == 0, 0.0, 1.0) * rng.normal(size=g.size)
    first = np.where(v == 0, "z", "o")
    return pd.DataFrame(
        {"g": g, "s": first, "x": rng.normal(size=g.size), "y": 1 + rng.normal(size=groups)[g] + noise}
    )


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x | g)"])
@pytest.mark.parametrize(("seed", "groups", "visits"), [(1, 20, 6), (2, 60, 3)])
def test_ratio_that_goes_to_0_must_be_a_verdict_after_few_evaluations(
    formula: str, seed: int, groups: int, visits: int
) -> None:
    """The residual variance of a stratum is 0: rounding hid the end of the search, in minutes or with an error."""
    fit = mf.lmm(formula, strata(seed, groups, visits), residual=R.VarIdent("s")).fit()
    assert fit.convergence.status == "boundary"
    assert "ratio(z) goes to 0" in fit.convergence.message
    assert fit._fit.convergence.evaluations < 60


def test_small_ratio_that_the_data_determine_must_be_found() -> None:
    """Two rows a group in the stratum: its SD, 2e-4 of the others', is well determined and no boundary."""
    rng = np.random.default_rng(3)
    g, v = np.repeat(np.arange(60), 6), np.tile(np.arange(6), 60)
    sd = np.where(v < 2, 2e-4, 1.0)
    frame = pd.DataFrame(
        {"g": g, "s": np.where(v < 2, "z", "o"), "y": rng.normal(size=60)[g] + sd * rng.normal(size=g.size)}
    )
    fit = mf.lmm("y ~ 1 + (1 | g)", frame, residual=R.VarIdent("s")).fit()
    within = frame[frame["s"] == "z"].groupby("g")["y"].var(ddof=1).mean()
    ratio = fit.residual_params.loc["ratio(z)", "estimate"]
    assert (ratio * fit.sigma) ** 2 == pytest.approx(within, rel=1e-3)
    assert fit.convergence.status == "converged"
