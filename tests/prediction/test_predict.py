"""Predictions, their errors and intervals: lme4's predict, closed forms, and what happens to odd rows."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from models import sleepstudy
from paths import REFERENCE_FOLDER
from scipy.stats import t

import mixedfit as mf
from mixedfit.design import model_matrix as matrices

REFERENCE = json.loads((REFERENCE_FOLDER / "predict.json").read_text(encoding="utf-8"))
NAMES = sorted(set(REFERENCE) - {"made_by"})
CLOSE = 1e-6
"""Share of σ. At lme4's θ only rounding is left; the rivals below differ by more than 1e-3."""


@cache
def fitted(name: str) -> mf.MixedResults:
    """Return the fit at the θ where lme4's optimiser stopped."""
    kind = name.split("_")[0]
    expected = REFERENCE[name]
    data = sleepstudy() if kind == "sleepstudy" else mf.load_dataset(kind.capitalize())
    weights = "w" if name.endswith("weights") else None
    fit = mf.lmm(expected["formula"], data, weights=weights).fit(reml=expected["reml"])
    own, theta = fit._fit, np.atleast_1d(np.array(expected["theta"]))
    np.testing.assert_allclose(own.theta, theta, rtol=1e-3)
    return mf.MixedResults(replace(own, theta=theta, evaluation=own.criterion(own.reml)(theta)))


def new_rows(name: str) -> pd.DataFrame:
    return pd.DataFrame(REFERENCE[name]["newdata"])


def agree(name: str, ours: Any, key: str) -> None:
    sigma = REFERENCE[name]["sigma"]
    np.testing.assert_allclose(ours, np.array(REFERENCE[name][key], dtype=float), rtol=0, atol=CLOSE * sigma)


@pytest.mark.everyday(5)
@pytest.mark.parametrize("name", NAMES)
def test_predictions_must_be_lme4s_for_known_and_new_levels(name: str) -> None:
    fit, new = fitted(name), new_rows(name)
    agree(name, fit.predict(), "own")
    for new_levels in ("population", "marginal"):
        agree(name, fit.predict(new, new_levels=new_levels), "all")
    agree(name, fit.predict(new, re_form="none"), "none")


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in NAMES for form in REFERENCE[name]["partial"]]
)
def test_predictions_must_be_lme4s_for_some_random_effects(name: str, form: str) -> None:
    expected = np.array(REFERENCE[name]["partial"][form])
    for re_form in (form, [form.removeprefix("~")]):
        ours = fitted(name).predict(new_rows(name), re_form=re_form, new_levels="population")
        np.testing.assert_allclose(ours, expected, rtol=0, atol=CLOSE * REFERENCE[name]["sigma"])
    assert np.abs(expected - REFERENCE[name]["all"]).max() > 1e-3 * REFERENCE[name]["sigma"]


@pytest.mark.parametrize("name", NAMES)
def test_errors_must_be_those_of_lme4s_joint_covariance(name: str) -> None:
    """The rivals: only the conditional variances, and these added to the errors of β as if independent."""
    fit, new = fitted(name), new_rows(name)
    known = new[REFERENCE[name]["known"]]
    agree(name, fit.predict(se=True)["se"], "se_own")
    agree(name, fit.predict(known, se=True)["se"], "se")
    agree(name, fit.predict(new, re_form="none", se=True)["se"], "se_none")
    own = fit._fit
    conditional = sum(
        np.einsum("ik,ikl,il->i", block.z, cov[block.codes], block.z)
        for block, cov in zip(own.design.blocks, own.mode_covariance, strict=True)
    )
    expected = np.array(REFERENCE[name]["se_own"])
    for rival in (conditional, conditional + fit.predict(re_form="none", se=True)["se"] ** 2):
        assert np.abs(np.sqrt(rival) - expected).max() > 1e-3 * REFERENCE[name]["sigma"]


@pytest.mark.parametrize("name", [n for n in NAMES if any(v for v in REFERENCE[n]["postVar"].values())])
def test_conditional_variances_must_be_lme4s(name: str) -> None:
    for group, expected in REFERENCE[name]["postVar"].items():
        found = next(
            block
            for block in fitted(name)._fit.design.blocks
            if set(block.name.split(":")) == set(group.split(":"))
        )
        ours = fitted(name).random_effects_cov[found.name].to_numpy().ravel()
        order = np.array(expected, dtype=float).ravel()
        np.testing.assert_allclose(np.sort(ours), np.sort(order), rtol=0, atol=CLOSE * fitted(name).scale)


def test_linear_model_must_give_rs_predict_lm() -> None:
    """predict(lm(Reaction ~ Days), data.frame(Days = c(0, 10)), interval = ..., level = .9), with normal quantiles."""
    frame = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days", frame).fit()
    x = frame["Days"].to_numpy(dtype=float)
    new = np.array([0.0, 10.0])
    leverage = 1 / len(x) + (new - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    table = fit.predict({"Days": new}, interval="prediction", level=0.9)
    np.testing.assert_allclose(table["se"], fit.sigma * np.sqrt(leverage), rtol=1e-10)
    half = 1.6448536269514722 * fit.sigma * np.sqrt(1 + leverage)
    np.testing.assert_allclose(table["upper"] - table["mean"], half, rtol=1e-10)
    np.testing.assert_allclose(table["mean"] - table["lower"], half, rtol=1e-10)


def test_balanced_one_way_errors_must_have_their_closed_form() -> None:
    """Known batch: σ²/m (1 − (1 − h)(1 − 1/k)) with h = kₘΩ/(kₘΩ + σ²); Searle, Casella & McCulloch (1992), 3.4."""
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    omega, residual, a, m = float(fit.varcorr["vcov"][0]), fit.scale, 6, 5
    shrink = m * omega / (m * omega + residual)
    grand = (omega + residual / m) / a
    known = omega * (1 - shrink) + (1 - shrink) ** 2 * grand
    table = fit.predict({"Batch": ["A", "new"]}, new_levels="marginal", se=True)
    np.testing.assert_allclose(table["se"] ** 2, [known, omega + grand], rtol=1e-9)
    population = fit.predict({"Batch": ["A", "new"]}, new_levels="population", se=True)
    np.testing.assert_allclose(population["se"] ** 2, [known, grand], rtol=1e-9)


def test_degrees_of_freedom_of_a_new_batch_must_have_their_closed_form() -> None:
    """Variances are sums of mean squares, c₁ MSB + c₂ MSE, whose degrees of freedom Satterthwaite (1946) gives.

    Balanced, k batches of m rows: Ω = (MSB − MSE)/m; the mean of all batches has variance MSB/(km).
    """
    data = mf.load_dataset("Dyestuff")
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", data).fit()
    means = data.groupby("Batch", observed=True)["Yield"].transform("mean")
    between = float(np.sum((means - data["Yield"].mean()) ** 2)) / 5
    within = float(np.sum((data["Yield"] - means) ** 2)) / 24
    for interval, c in (("confidence", (1 / 5 + 1 / 30, -1 / 5)), ("prediction", (1 / 5 + 1 / 30, 4 / 5))):
        options: dict[str, Any] = {"interval": interval, "ddf": "satterthwaite", "new_levels": "marginal"}
        row = fit.predict({"Batch": ["new"]}, **options).iloc[0]
        variance = c[0] * between + c[1] * within
        df = variance**2 / ((c[0] * between) ** 2 / 5 + (c[1] * within) ** 2 / 24)
        assert row["df"] == pytest.approx(df, rel=1e-5)
        assert row["upper"] - row["mean"] == pytest.approx(t.ppf(0.975, df) * np.sqrt(variance), rel=1e-5)


@pytest.mark.parametrize("name", ["sleepstudy", "sleepstudy_weights", "penicillin", "machines"])
def test_degrees_of_freedom_of_population_means_must_be_those_of_their_t_tests(name: str) -> None:
    fit, new = fitted(name), new_rows(name)
    table = fit.predict(new, re_form="none", interval="confidence", ddf="satterthwaite", level=0.9)
    X = np.array([row.X[0] for row in [fit._fit.design.recipe.rows(new.iloc[[i]]) for i in range(len(new))]])
    tests = fit.t_test(X, ddf="satterthwaite", level=0.9).table
    np.testing.assert_allclose(table["df"], tests["df"], rtol=1e-4)
    np.testing.assert_allclose(table["upper"] - table["lower"], tests["upper"] - tests["lower"], rtol=1e-5)


def test_degrees_of_freedom_of_a_linear_model_must_be_residual() -> None:
    """predict.lm's intervals."""
    fit = mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy")).fit()
    for ddf in ("satterthwaite", "residual"):
        table = fit.predict({"Days": [0, 5]}, interval="prediction", ddf=ddf)
        assert table["df"].tolist() == [178.0, 178.0]
        half = t.ppf(0.975, 178) * np.sqrt(table["se"] ** 2 + fit.scale)
        np.testing.assert_allclose(table["upper"] - table["mean"], half)


def test_degrees_of_freedom_must_not_feel_the_units_of_a_covariate() -> None:
    frame = mf.load_dataset("sleepstudy")
    options: dict[str, Any] = {"interval": "prediction", "ddf": "satterthwaite"}
    plain = mf.lmm("Reaction ~ Days + (Days | Subject)", frame).fit().predict(**options)
    scaled = frame.assign(Days=frame["Days"] * 1e6)
    moved = mf.lmm("Reaction ~ Days + (Days | Subject)", scaled).fit().predict(**options)
    pd.testing.assert_frame_equal(moved, plain, rtol=1e-4)


def test_prediction_interval_must_add_what_a_response_varies_by() -> None:
    fit = fitted("sleepstudy")
    new = pd.DataFrame({"Days": [2.0, 9.0], "Subject": ["308", "309"]})
    z = np.column_stack([np.ones(2), new["Days"]])
    omega = fit._fit.omega[0]
    spread = {
        "all": np.zeros(2),
        "~(1 | Subject)": omega[1, 1] * new["Days"] ** 2,
        "none": np.einsum("ik,kl,il->i", z, omega, z),
    }
    for re_form, left_out in spread.items():
        table = fit.predict(new, re_form=re_form, interval="prediction")
        half = 1.959963984540054 * np.sqrt(table["se"] ** 2 + fit.scale + left_out)
        np.testing.assert_allclose(table["upper"] - table["mean"], half)
        without = fit.predict(new, re_form=re_form, interval="prediction", new_levels="population")
        half = 1.959963984540054 * np.sqrt(table["se"] ** 2 + fit.scale)
        np.testing.assert_allclose(without["upper"] - without["mean"], half)
        mean = fit.predict(new, re_form=re_form, interval="confidence")
        np.testing.assert_allclose(mean["upper"] - mean["mean"], 1.959963984540054 * mean["se"])


def test_new_level_with_some_effects_left_out_must_have_its_whole_variance() -> None:
    fit = fitted("sleepstudy")
    new = {"Days": [4.0], "Subject": ["new"]}
    options: dict[str, Any] = {"new_levels": "marginal", "interval": "prediction"}
    whole, part = fit.predict(new, **options), fit.predict(new, re_form="~ (1 | Subject)", **options)
    assert part["upper"][0] == pytest.approx(whole["upper"][0], rel=1e-12)
    assert part["se"][0] < whole["se"][0]


def test_weights_must_scale_the_variance_of_new_responses() -> None:
    fit = fitted("sleepstudy_weights")
    new = new_rows("sleepstudy_weights").assign(w=[1.0, 2.0, 4.0, 0.5, 0.0])
    with pytest.raises(mf.ModelError, match="Give weights="):
        fit.predict(new, re_form="none", interval="prediction")
    given = fit.predict(new, re_form="none", new_levels="population", interval="prediction", weights="w")
    half = 1.959963984540054 * np.sqrt(given["se"] ** 2 + fit.scale / new["w"].replace(0.0, np.nan))
    np.testing.assert_allclose(given["upper"] - given["mean"], half)
    one = fit.predict(new[:2], interval="prediction", weights=[1.0, 2.0])
    pd.testing.assert_frame_equal(one, fit.predict(new[:2], interval="prediction", weights="w"))
    own = fit.predict(interval="prediction")
    half = 1.959963984540054 * np.sqrt(own["se"] ** 2 + fit.scale / sleepstudy()["w"])
    np.testing.assert_allclose(own["upper"] - own["mean"], half)
    with pytest.raises(mf.DataError, match="not negative"):
        fit.predict(new[:2], interval="prediction", weights=-1)


def test_offset_given_as_an_array_must_be_given_for_new_rows_too() -> None:
    frame = sleepstudy()
    base = frame["base"].to_numpy()
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", frame, offset=base).fit()
    new = frame.iloc[:7]
    with pytest.raises(mf.ModelError, match="offset="):
        fit.predict(new)
    np.testing.assert_allclose(fit.predict(new, offset=base[:7]), fit.fittedvalues[:7])
    np.testing.assert_allclose(fit.predict(new, offset="base"), fit.fittedvalues[:7])
    column = mf.lmm("Reaction ~ Days + (1 | Subject)", frame, offset="base").fit()
    np.testing.assert_allclose(column.predict(new), fit.fittedvalues[:7])
    with pytest.raises(mf.ModelError, match="finds the offset in the data"):
        column.predict(new, offset=1.0)


def test_index_and_missing_values_of_new_rows_must_be_kept() -> None:
    fit = fitted("sleepstudy")
    new = pd.DataFrame(
        {"Days": [1.0, np.nan, 3.0, 4.0], "Subject": ["308", "309", None, "310"]}, index=list("wxyz")
    )
    before = new.copy()
    for options in ({}, {"se": True}, {"interval": "prediction"}):
        table = pd.DataFrame(fit.predict(new, **options))
        assert list(table.index) == list("wxyz")
        assert table.isna().all(axis=1).tolist() == [False, True, True, False]
        assert not table.loc[["w", "z"]].isna().any(axis=None)
    assert fit.predict(new, re_form="none").isna().tolist() == [False, True, False, False]
    pd.testing.assert_frame_equal(new, before)


def test_columns_that_a_prediction_does_not_need_must_not_be_asked_for() -> None:
    fit = mf.lmm("Reaction ~ 1 + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    mean = fit.predict({"x": [1, 2]}, re_form="none")
    np.testing.assert_allclose(mean, [fit.params.iloc[0]] * 2)
    with pytest.raises(mf.DataError, match="'Days'"):
        fit.predict({"Subject": ["308"]}, re_form="none", interval="prediction")
    with pytest.raises(mf.DataError, match="'Subject'"):
        fit.predict({"Days": [1]})


def test_kinds_of_frames_must_give_the_same_table() -> None:
    fit, new = fitted("sleepstudy"), new_rows("sleepstudy").iloc[:3].reset_index(drop=True)
    expected = fit.predict(new, interval="confidence")
    for other in (pl.from_pandas(new), new.to_dict("list"), new.astype({"Subject": "category"})):
        pd.testing.assert_frame_equal(fit.predict(other, interval="confidence"), expected)


@pytest.mark.parametrize("name", ["sleepstudy_poly", "sleepstudy_spline", "pastes"])
def test_loaded_fit_must_predict_the_same(name: str, tmp_path: Path) -> None:
    fit = mf.lmm(
        REFERENCE[name]["formula"], sleepstudy() if "sleep" in name else mf.load_dataset("Pastes")
    ).fit()
    fit.save(tmp_path / "fit.npz")
    new = new_rows(name)
    options: dict[str, Any] = {"new_levels": "marginal", "interval": "prediction"}
    pd.testing.assert_frame_equal(
        mf.load(tmp_path / "fit.npz").predict(new, **options), fit.predict(new, **options)
    )


def test_rows_that_the_data_do_not_determine_must_be_missing_with_a_warning() -> None:
    cake = mf.load_dataset("cake")
    holes = cake[~((cake["recipe"] == "B") & (cake["temperature"] == "205"))]
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("angle ~ recipe * temperature + (1 | replicate)", holes).fit()
    with pytest.warns(mf.PredictionWarning, match="45 of 270|15 of 270"):
        table = fit.predict(cake, se=True)
    lost = (cake["recipe"] == "B") & (cake["temperature"] == "205")
    assert table.isna().all(axis=1).tolist() == lost.tolist()
    np.testing.assert_allclose(table["mean"][~lost], fit.fittedvalues)


def test_unseen_category_of_a_fixed_factor_must_be_named() -> None:
    fit = mf.lmm("angle ~ recipe + (1 | replicate)", mf.load_dataset("cake")).fit()
    with pytest.raises(mf.DataError, match="'recipe' has values that the fit did not have: 'D'"):
        fit.predict({"recipe": ["A", "D"], "replicate": [1, 2]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "levels that the fit did not see: '999', '1000'"),
        ({"re_form": "some"}, "re_form='some' is not known"),
        ({"re_form": None}, "lme4's NULL"),
        ({"re_form": []}, "list of"),
        ({"re_form": "~ (1 | Subjekt)"}, "Did you mean 'Subject'"),
        ({"re_form": "~ (Day | Subject)"}, "Did you mean 'Days'"),
        ({"re_form": "~ Days + (1 | Subject)"}, "re_form may hold random terms only, not .Days"),
        ({"re_form": "~ Days"}, "names no random effects"),
        ({"new_levels": "populaton"}, "Did you mean 'population'"),
        ({"interval": "predict"}, "Did you mean 'prediction'"),
        ({"interval": "prediction", "level": 0.05}, "give 0.95"),
    ],
)
def test_wrong_options_must_be_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mf.MixedfitError, match=message):
        fitted("sleepstudy").predict(new_rows("sleepstudy"), **options)


def test_labels_of_another_type_must_be_told_apart_from_new_levels() -> None:
    frame = mf.load_dataset("sleepstudy").assign(Subject=lambda d: d["Subject"].astype(str).astype(int))
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", frame).fit()
    words = "The fit has 308 of type int, and '308' here is of type str: convert the column"
    with pytest.raises(mf.DataError, match=words):
        fit.predict({"Days": [1], "Subject": ["308"]})
    assert not fit.predict({"Days": [1, 2], "Subject": [308.0, np.nan]}).isna()[0]


def test_contrasts_must_not_be_taken_in_without_their_intercept() -> None:
    fit = fitted("machines")
    new = {"Machine": ["A", "B"], "Worker": ["1", "2"]}
    with pytest.raises(mf.ModelError, match=r"\(1 \+ Machine \| Worker\)"):
        fit.predict(new, re_form="~ (0 + Machine | Worker)")
    pd.testing.assert_series_equal(fit.predict(new, re_form="~ (Machine | Worker)"), fit.predict(new))
    modes = fit.random_effects["Worker"]
    intercepts = fit.predict(new, re_form="none") + modes.loc[["1", "2"], "(Intercept)"].to_numpy()
    np.testing.assert_allclose(fit.predict(new, re_form="~ (1 | Worker)"), intercepts)


def test_name_of_a_factor_must_stand_for_all_its_effects() -> None:
    fit = fitted("sleepstudy")
    pd.testing.assert_series_equal(fit.predict(re_form=["Subject"]), fit.predict())


def test_factor_by_codes_must_predict_like_the_same_factor_by_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame = mf.load_dataset("Penicillin")
    formula = "diameter ~ plate + (1 | sample)"
    columns = mf.lmm(formula, frame).fit().predict(frame[:9], interval="prediction")
    monkeypatch.setattr(matrices, "MANY_LEVELS", 5)
    codes = mf.lmm(formula, frame).fit()
    assert codes._fit.design.many
    pd.testing.assert_frame_equal(codes.predict(frame[:9], interval="prediction"), columns)


def test_rows_beyond_a_splines_range_must_be_told_what_to_write() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ bs(Days, df=4) + (1 | Subject)", data).fit()
    words = r'learnt on, from 0 to 9. .*bs\(Days, df=4, extrapolation="extend"\)'
    with pytest.raises(mf.DataError, match=words):
        fit.predict({"Days": [12.0], "Subject": ["308"]})
    wider = mf.lmm('Reaction ~ bs(Days, df=4, extrapolation="extend") + (1 | Subject)', data).fit()
    assert np.isfinite(wider.predict({"Days": [12.0], "Subject": ["308"]})[0])


def test_single_values_of_a_mapping_must_stand_for_every_row() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    one = fit.predict({"Days": 3, "Subject": "308"})
    assert one.tolist() == fit.predict({"Days": [3], "Subject": ["308"]}).tolist()
    several = fit.predict({"Days": [3, 4], "Subject": "308"})
    assert several.tolist() == fit.predict({"Days": [3, 4], "Subject": ["308", "308"]}).tolist()


def test_the_name_of_a_factor_must_stand_for_its_effects() -> None:
    fit = mf.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", mf.load_dataset("Penicillin")).fit()
    assert fit.predict(re_form="plate").equals(fit.predict(re_form=["plate"]))
    assert not fit.predict(re_form="plate").equals(fit.predict(re_form="sample"))
    with pytest.raises(mf.ModelError, match="Did you mean 'plate'"):
        fit.predict(re_form="plat")


def test_dates_must_be_told_apart_as_predictor_and_as_label() -> None:
    frame = mf.load_dataset("sleepstudy")
    frame["when"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(frame["Days"], unit="D")
    with pytest.raises(
        mf.DataError, match=r"as a grouping factor, into labels: data\['when'\].astype\(str\)"
    ):
        mf.lmm("Reaction ~ 1 + (1 | when)", frame)
