"""What a fit says, against closed forms, the dense density and R's lm and optim (stored output)."""

from __future__ import annotations

from math import erfc, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from models import REFERENCE, few_students, gaps, sleepstudy
from oracles import DenseModel
from problems import computing
from scipy.special import ndtri

import mixedfit as mf


def reference(key: str) -> Any:
    """Return what R stored of the model with a fixed factor of many levels."""
    return np.array(REFERENCE["penicillin_fixed_plate"][key], dtype=float)


# -- closed forms ----------------------------------------------------------------------------------


def test_variances_must_equal_mean_squares_when_one_way_and_balanced() -> None:
    """REML: σ² = MSE, σ_b² = (MSB − MSE)/m; ML has (1 − 1/J) MSB, 17 % less."""
    frame = mf.load_dataset("Dyestuff")
    groups = frame.groupby("Batch", observed=True)["Yield"]
    within = groups.var().mean()
    between = 5 * groups.mean().var()
    variances = mf.lmm("Yield ~ 1 + (1 | Batch)", frame).fit().varcorr["vcov"]
    np.testing.assert_allclose(variances, [(between - within) / 5, within], rtol=1e-7)


@pytest.mark.parametrize("reml", [True, False])
def test_variance_must_be_the_excess_when_sigma_is_held_and_every_level_has_a_row(reml: bool) -> None:
    """y_j ~ N(μ, τ² + 1): τ² = Σ(y − ȳ)²/(J − 1) − 1, or with J for J − 1 by ML."""
    y = np.random.default_rng(3).normal(scale=2.0, size=12)
    fit = mf.lmm("y ~ 1 + (1 | g)", {"y": y, "g": np.arange(12)}).fit(reml=reml, sigma=1.0)
    assert fit.varcorr["vcov"][0] == pytest.approx(np.var(y, ddof=int(reml)) - 1, rel=1e-6)


def test_wald_interval_must_have_the_level_asked_for() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", sleepstudy()).fit()
    table = fit.conf_int(0.8, parameters="fixed")
    half = (table["upper"] - table["lower"]) / 2
    np.testing.assert_allclose(half, ndtri(0.9) * fit.bse, rtol=1e-12)


def test_p_values_of_ml_fits_must_be_two_sided_normal_tails() -> None:
    fit = mf.lmm("Reaction ~ Days * w + (1 | Subject)", sleepstudy()).fit(reml=False)
    expected = [2 * upper_tail(abs(t)) for t in fit.params / fit.bse]
    np.testing.assert_allclose(fit.pvalues, expected, rtol=1e-9)


def upper_tail(t: float) -> float:
    """Return P(Z > t) of a standard normal variable, by the error function."""
    return erfc(t / sqrt(2)) / 2


# -- meta-analysis ---------------------------------------------------------------------------------


def trials(reml: bool) -> tuple[mf.MixedResults, dict[str, Any]]:
    """Return the fit of 13 trials with known variances, and what a likelihood written out in R gives."""
    bcg = REFERENCE["bcg"]
    data = {"yi": np.array(bcg["yi"]), "trial": np.array(bcg["trial"])}
    model = mf.lmm("yi ~ 1 + (1 | trial)", data, weights=1 / np.array(bcg["vi"]))
    return model.fit(reml=reml, sigma=1.0), bcg["reml" if reml else "ml"]


@pytest.mark.parametrize("reml", [True, False])
def test_meta_analysis_must_find_the_variance_between_trials(reml: bool) -> None:
    """REML gives 0.3132 (as metafor prints), ML 0.2800."""
    fit, expected = trials(reml)
    assert fit.varcorr["vcov"][0] == pytest.approx(expected["tau2"], rel=1e-5)


@pytest.mark.parametrize("reml", [True, False])
def test_meta_analysis_must_find_the_mean_and_its_error(reml: bool) -> None:
    fit, expected = trials(reml)
    assert fit.params["(Intercept)"] == pytest.approx(expected["mu"], abs=1e-6)
    assert fit.bse["(Intercept)"] == pytest.approx(expected["se"], rel=1e-5)


@pytest.mark.parametrize("reml", [True, False])
def test_meta_analysis_must_find_the_criterion(reml: bool) -> None:
    fit, expected = trials(reml)
    assert -2 * fit.llf == pytest.approx(expected["criterion"], abs=1e-7)


def test_meta_analysis_must_shrink_the_trials() -> None:
    fit, expected = trials(True)
    np.testing.assert_allclose(fit.fittedvalues, expected["blup"], atol=1e-5)


def test_held_sigma_must_not_count_as_a_parameter() -> None:
    """Mean and one variance: AIC = criterion + 4, where an estimated σ would make it + 6."""
    fit, expected = trials(True)
    assert fit.aic == pytest.approx(expected["criterion"] + 4, abs=1e-6)
    assert fit.df_resid == 13 - 2


def test_held_sigma_must_be_reported() -> None:
    assert trials(True)[0].sigma == pytest.approx(1.0, rel=1e-12)


# -- information criteria --------------------------------------------------------------------------


def test_aicc_must_be_that_of_hurvich_and_tsai() -> None:
    """n log(2πσ̂²) + n(n + p)/(n − p − 2) of a regression: Hurvich & Tsai (1989). Rivals: n − k for n − k − 1, AIC."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(9, 2))
    y = x @ [1.0, 2.0] + rng.normal(size=9)
    fit = mf.lmm("y ~ a + b", {"y": y, "a": x[:, 0], "b": x[:, 1]}).fit(reml=False)
    X = np.column_stack([np.ones(9), x])
    variance = np.mean((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2)
    expected = 9 * np.log(2 * np.pi * variance) + 9 * (9 + 3) / (9 - 3 - 2)
    assert fit.aicc == pytest.approx(expected, abs=1e-9)
    assert min(abs(fit.aic - expected), abs(fit.aic + 2 * 4 * 5 / (9 - 4) - expected)) > 1


# -- no random terms -------------------------------------------------------------------------------

ORDINARY = {
    "cake": (lambda: mf.load_dataset("cake"), "angle ~ recipe * temp"),
    "sleepstudy": (sleepstudy, "Reaction ~ Days"),
}


@pytest.mark.parametrize("name", list(ORDINARY))
def test_fit_without_random_terms_must_equal_rs_lm(name: str) -> None:
    data, formula = ORDINARY[name]
    fit, expected = mf.lmm(formula, data()).fit(), REFERENCE["lm"][name]
    np.testing.assert_allclose(fit.params, expected["params"], rtol=1e-9)
    np.testing.assert_allclose(fit.bse, expected["bse"], rtol=1e-9)
    assert fit.sigma == pytest.approx(expected["sigma"], rel=1e-10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", list(ORDINARY))
def test_likelihood_without_random_terms_must_equal_rs_lm(name: str, reml: bool) -> None:
    data, formula = ORDINARY[name]
    expected = REFERENCE["lm"][name]["reml_criterion" if reml else "deviance"]
    assert -2 * mf.lmm(formula, data()).fit(reml=reml).llf == pytest.approx(expected, abs=1e-8)


def test_weighted_fit_without_random_terms_must_equal_weighted_least_squares() -> None:
    frame = sleepstudy()
    root = np.sqrt(frame["counted"].to_numpy())[:, None]
    X = np.column_stack([np.ones(180), frame["Days"]])
    expected, rss = np.linalg.lstsq(root * X, root[:, 0] * frame["Reaction"], rcond=None)[:2]
    fit = mf.lmm("Reaction ~ Days", frame, weights="counted").fit()
    np.testing.assert_allclose(fit.params, expected, rtol=1e-10)
    assert fit.scale == pytest.approx(rss[0] / (126 - 2), rel=1e-10)


# -- the dense density -----------------------------------------------------------------------------


@pytest.mark.everyday(3)
@pytest.mark.parametrize("way", ["dense", "sparse", "threads"])
@pytest.mark.parametrize("reml", [True, False])
def test_fit_must_equal_the_dense_density_when_partly_crossed(way: str, reml: bool) -> None:
    """InstEval's first students: three factors, most lecturers with one row."""
    frame = few_students(25)
    with computing(way):
        fit = mf.lmm("y ~ service + (1 | s) + (1 | d) + (1 | dept)", frame).fit(reml=reml)
    codes = [pd.Categorical(frame[name].astype(str)).codes.astype(int) for name in ("s", "d", "dept")]
    X = np.column_stack([np.ones(len(frame)), frame["service"].astype(str) == "1"])
    dense = DenseModel(frame["y"].to_numpy(float), X, [(c, X[:, :1]) for c in codes], exact=False)
    theta = [fit.theta[f"{name}.(Intercept)"] for name in ("s", "d", "dept")]
    solution = dense.at([np.array([[t]]) for t in theta], reml=reml)
    assert -2 * fit.llf == pytest.approx(float(solution.criterion), abs=1e-7)
    np.testing.assert_allclose(fit.params, solution.beta, rtol=1e-8)
    np.testing.assert_allclose(fit.cov_params(), solution.beta_covariance, rtol=1e-7)
    np.testing.assert_allclose(fit.fittedvalues, solution.fitted, atol=1e-7)


def test_fit_of_more_rows_than_a_chunk_must_equal_that_of_counts_as_weights() -> None:
    """With σ held, 200 copies of every row and a weight of 200 are the same information on θ and β."""
    frame = sleepstudy()
    many = pd.concat([frame] * 200, ignore_index=True)
    formula = "Reaction ~ Days + (Days | Subject)"
    copies = mf.lmm(formula, many).fit(sigma=300.0)
    counts = mf.lmm(formula, frame, weights=np.full(180, 200.0)).fit(sigma=300.0)
    np.testing.assert_allclose(copies.theta, counts.theta, rtol=1e-6)
    np.testing.assert_allclose(copies.params, counts.params, rtol=1e-8)


# -- what goes in ----------------------------------------------------------------------------------


def test_dropped_column_must_be_the_later_one_and_missing_in_the_tables() -> None:
    with pytest.warns(mf.RankWarning, match=r"I\(2 \* Days\)"):
        fit = mf.lmm("Reaction ~ Days + I(2 * Days) + (1 | Subject)", sleepstudy()).fit()
    assert fit.params.isna().tolist() == [False, False, True]
    assert fit.bse.isna().tolist() == [False, False, True]
    assert fit.cov_params().isna().to_numpy().sum() == 5


def test_fit_must_be_that_of_the_columns_kept_when_one_is_dropped() -> None:
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("Reaction ~ Days + I(2 * Days) + (1 | Subject)", sleepstudy()).fit()
    expected = mf.lmm("Reaction ~ Days + (1 | Subject)", sleepstudy()).fit()
    assert fit.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-9)
    assert (fit.aic, fit.df_resid) == (pytest.approx(expected.aic, abs=1e-9), expected.df_resid)


def test_offset_must_be_the_same_from_column_array_and_formula() -> None:
    frame = sleepstudy()
    fits = [
        mf.lmm("Reaction ~ Days + (1 | Subject)", frame, offset="base").fit(),
        mf.lmm("Reaction ~ Days + (1 | Subject)", frame, offset=frame["base"].to_numpy()).fit(),
        mf.lmm("Reaction ~ Days + offset(base) + (1 | Subject)", frame).fit(),
    ]
    for fit in fits[1:]:
        pd.testing.assert_series_equal(fit.params, fits[0].params)
        pd.testing.assert_series_equal(fit.fittedvalues, fits[0].fittedvalues)


def test_offsets_of_argument_and_formula_must_add_up() -> None:
    frame = sleepstudy().assign(twice=2 * sleepstudy()["base"])
    both = mf.lmm("Reaction ~ Days + offset(base) + (1 | Subject)", frame, offset="base").fit()
    once = mf.lmm("Reaction ~ Days + (1 | Subject)", frame, offset="twice").fit()
    np.testing.assert_allclose(both.params, once.params, rtol=1e-12)


def test_refit_must_take_the_response_with_its_offset() -> None:
    frame = sleepstudy()
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", frame, offset="base")
    y = frame["Reaction"].to_numpy()[::-1]
    again = model.fit().refit(y)
    new = mf.lmm("Reaction ~ Days + (1 | Subject)", frame.assign(Reaction=y), offset="base").fit()
    np.testing.assert_allclose(again.params, new.params, rtol=1e-6)
    np.testing.assert_allclose(again.fittedvalues, new.fittedvalues, rtol=1e-6)


def test_rows_must_keep_their_labels_when_some_are_dropped() -> None:
    with pytest.warns(mf.MissingRowsWarning, match="3 of 180"):
        fit = mf.lmm("Reaction ~ Days + (1 | Subject)", gaps()).fit()
    assert list(fit.resid.index) == [i for i in range(180) if i not in (2, 49, 116)]


def test_missing_values_must_be_refused_when_asked() -> None:
    with pytest.raises(mf.DataError, match="3 rows have missing values"):
        mf.lmm("Reaction ~ Days + (1 | Subject)", gaps(), missing="raise")


def test_columns_outside_the_model_may_be_missing() -> None:
    frame = sleepstudy().assign(other=np.nan)
    assert mf.lmm("Reaction ~ Days + (1 | Subject)", frame, missing="raise").fit().nobs == 180


# -- a fixed factor with many levels ---------------------------------------------------------------


@pytest.fixture(scope="module")
def by_codes() -> mf.MixedResults:
    """Penicillin's plates as a fixed factor that goes by codes."""
    with computing("dense"):
        return mf.lmm("diameter ~ plate + (1 | sample)", mf.load_dataset("Penicillin")).fit()


@pytest.mark.parametrize("what", ["params", "bse"])
def test_fixed_factor_by_codes_must_equal_lme4s(by_codes: mf.MixedResults, what: str) -> None:
    series = getattr(by_codes, what)
    assert list(series.index) == REFERENCE["penicillin_fixed_plate"]["names"]
    np.testing.assert_allclose(series, reference(what), atol=1e-5)


@pytest.mark.parametrize("what", ["aic", "bic", "deviance", "reml_criterion", "df_resid", "sigma"])
def test_fixed_factor_by_codes_must_not_change_the_fit(by_codes: mf.MixedResults, what: str) -> None:
    assert getattr(by_codes, what) == pytest.approx(reference(what), abs=1e-5)


def test_covariate_constant_within_a_fixed_factor_by_codes_must_be_dropped() -> None:
    """As among columns: the factor's levels span it."""
    frame = mf.load_dataset("Penicillin")
    frame["kind"] = frame["plate"].cat.codes.astype(float) % 5
    with computing("dense"), pytest.warns(mf.RankWarning, match="kind"):
        fit = mf.lmm("diameter ~ kind + plate + (1 | sample)", frame).fit()
    assert fit.deviance == pytest.approx(reference("deviance"), abs=1e-5)


def test_covariance_of_effects_must_hold_the_variances_and_the_correlation_of_the_table() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    omega, table = fit.cov_re["Subject"], fit.varcorr
    assert list(omega.index) == list(omega.columns) == ["(Intercept)", "Days"]
    np.testing.assert_allclose(np.diag(omega), table["vcov"][:2])
    assert omega.loc["Days", "(Intercept)"] == pytest.approx(table["sdcor"][:3].prod(), rel=1e-12)
