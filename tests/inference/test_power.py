"""Simulated responses and power of tests: moments, closed forms, names of parameters."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import nct, t

import mixedfit as mf
from mixedfit.inference.power import api as studies
from mixedfit.inference.power.record import Power, wilson
from mixedfit.inference.power.sizes import with_levels, with_rows
from mixedfit.inference.power.study import read_parameters, study_of
from mixedfit.model import results as predictions

FORMULA = "Reaction ~ Days + (Days | Subject)"
PARAMS = {
    "(Intercept)": 250.0,
    "Days": 3.0,
    "sd_(Intercept)|Subject": 25.0,
    "cor_Days.(Intercept)|Subject": -0.4,
    "sd_Days|Subject": 6.0,
    "sigma": 20.0,
}


def study(subjects: int = 3, days: int = 4) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"Subject": np.repeat(np.arange(subjects), days), "Days": np.tile(np.arange(days), subjects)}
    )
    return frame.set_axis([f"row {i}" for i in range(len(frame))])


def moments_must_be(drawn: pd.DataFrame, mean: Any, covariance: Any) -> None:
    """Compare with five standard errors of the moments of normal draws."""
    n, variances = drawn.shape[1], np.diag(covariance)
    assert np.all(np.abs(drawn.mean(axis=1) - mean) < 5 * np.sqrt(variances / n))
    error = np.sqrt((np.outer(variances, variances) + np.asarray(covariance) ** 2) / n)
    assert np.all(np.abs(np.cov(drawn.to_numpy()) - covariance) < 5 * error)


# -- simulate_lmm ----------------------------------------------------------------------------------


def test_draws_must_have_the_moments_of_the_parameters() -> None:
    frame = study()
    drawn = mf.simulate_lmm(FORMULA, frame, PARAMS, n=5000, seed=1)
    z = np.column_stack([np.ones(12), frame["Days"]])
    omega = np.array([[625.0, -60.0], [-60.0, 36.0]])
    same = frame["Subject"].to_numpy()[:, None] == frame["Subject"].to_numpy()
    moments_must_be(drawn, z @ [250.0, 3.0], np.where(same, z @ omega @ z.T, 0.0) + 400.0 * np.eye(12))
    assert drawn.index.equals(frame.index)
    assert list(drawn.columns[[0, -1]]) == ["sim_1", "sim_5000"]


def test_draws_must_have_weights_offset_and_factors_of_their_rows() -> None:
    frame = pd.DataFrame(
        {
            "f": list("abab"),
            "g": list("xxyy"),
            "h": list("pqpq"),
            "w": [1.0, 4.0, 1.0, 4.0],
            "o": [0.0, 9.0, 5.0, 1.0],
        }
    )
    params = {"(Intercept)": 1.0, "fb": 2.0, "sd_(Intercept)|g": 3.0, "sd_(Intercept)|h": 0.5, ".sigma": 2.0}
    drawn = mf.simulate_lmm(
        "y ~ f + offset(o) + (1 | g) + (1 | h)", frame, params, n=5000, seed=2, weights="w"
    )
    covariance = 9.0 * np.kron(np.eye(2), np.ones((2, 2))) + 0.25 * np.kron(np.ones((2, 2)), np.eye(2))
    moments_must_be(drawn, [1.0, 12.0, 6.0, 4.0], covariance + np.diag([4.0, 1.0, 4.0, 1.0]))


def test_parameters_may_be_named_in_several_ways() -> None:
    frame = study()
    expected = mf.simulate_lmm(FORMULA, frame, PARAMS, seed=3)
    lam = np.linalg.cholesky([[625.0, -60.0], [-60.0, 36.0]]) / 20.0
    ways: list[dict[str, Any]] = [
        {"(Intercept)": 250, "Days": 3, ".sig01": 25, ".sig02": -0.4, ".sig03": 6, ".sigma": 20},
        {
            "(Intercept)": 250,
            "Days": 3,
            "SD of (Intercept) | Subject": 25,
            "correlation of Days and (Intercept) | Subject": -0.4,
            "SD of Days | Subject": 6,
            "residual SD": 20,
        },
        {"beta": [250, 3], "theta": [lam[0, 0], lam[1, 0], lam[1, 1]], "sigma": 20},
        {"beta": {"Days": 3, "(Intercept)": 250}, "theta": [lam[0, 0], lam[1, 0], lam[1, 1]], "sigma": 20},
    ]
    for params in ways:
        pd.testing.assert_series_equal(mf.simulate_lmm(FORMULA, frame, params, seed=3), expected)
    without = {name: value for name, value in PARAMS.items() if not name.startswith("cor")}
    zero = {**without, "cor_Days.(Intercept)|Subject": 0.0}
    pd.testing.assert_series_equal(
        mf.simulate_lmm(FORMULA, frame, without, seed=3), mf.simulate_lmm(FORMULA, frame, zero, seed=3)
    )


def test_parameters_of_a_fit_must_serve_as_they_are_labelled() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm(FORMULA, data).fit()
    params = {"beta": fit.params.to_dict(), "theta": fit.theta.to_numpy(), "sigma": fit.sigma}
    drawn = mf.simulate_lmm(FORMULA, data, params, n=3, seed=4)
    np.testing.assert_allclose(drawn, fit.simulate(3, seed=4), rtol=1e-9)


def test_left_side_need_not_be_in_the_data_and_must_not_be_looked_at() -> None:
    frame = study()
    expected = mf.simulate_lmm(FORMULA, frame, PARAMS, seed=5)
    assert expected.name == "Reaction"
    filled = frame.assign(Reaction=np.nan)
    pd.testing.assert_series_equal(mf.simulate_lmm(FORMULA, filled, PARAMS, seed=5), expected)
    assert filled["Reaction"].isna().all()
    right = "~ Days + (Days | Subject)"
    pd.testing.assert_series_equal(mf.simulate_lmm(right, frame, PARAMS, seed=5), expected.rename("response"))
    logs = mf.simulate_lmm(f"log(Reaction) {right}", frame, PARAMS, seed=5)
    pd.testing.assert_series_equal(logs, expected.rename("log(Reaction)"))
    same = mf.simulate_lmm(FORMULA, pl.from_pandas(frame), PARAMS, seed=5)
    np.testing.assert_array_equal(same, expected)


def test_missing_predictor_must_give_a_missing_draw() -> None:
    frame = study().astype({"Days": float})
    frame.iloc[4, 1] = np.nan
    with pytest.warns(mf.MissingRowsWarning):
        drawn = mf.simulate_lmm(FORMULA, frame, PARAMS, seed=6)
    assert np.flatnonzero(drawn.isna()).tolist() == [4]


def test_covariance_without_full_rank_must_be_drawn() -> None:
    params = {**PARAMS, "cor_Days.(Intercept)|Subject": 1.0}
    drawn = mf.simulate_lmm(FORMULA, study(), params, n=2000, seed=7)
    z = np.array([1.0, 3.0])
    assert drawn.iloc[3].var() == pytest.approx(400 + (z @ [25.0, 6.0]) ** 2, rel=0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Days": None}, "params lacks 'Days'; expected {'\\(Intercept\\)': …, 'Days': …"),
        ({"sd_Days|Subject": None}, "params lacks 'sd_Days|Subject'"),
        ({"sd_Day|Subject": 1.0}, "Did you mean 'sd_Days|Subject'"),
        ({"sigma": 0.0}, "must be a positive number"),
        ({"sigma": "x"}, "expected a finite number"),
        ({"sd_Days|Subject": -1.0}, "not negative"),
        ({"cor_Days.(Intercept)|Subject": 1.5}, "belong to no covariance"),
        ({"theta": [1.0, 0.0, 1.0]}, "beside theta"),
        ({"beta": [1.0]}, "expected 2 finite numbers"),
    ],
)
def test_wrong_parameters_must_be_refused(change: dict[str, Any], message: str) -> None:
    params = {name: value for name, value in {**PARAMS, **change}.items() if value is not None}
    with pytest.raises(mf.ModelError, match=message.replace("|", "\\|")):
        mf.simulate_lmm(FORMULA, study(), params)


def test_column_that_is_not_there_must_be_named_among_those_that_are() -> None:
    with pytest.raises(mf.FormulaError, match=r"no column 'Subjekt' in the data \(columns: Subject, Days\)"):
        mf.simulate_lmm("y ~ Days + (1 | Subjekt)", study(), PARAMS)


# -- power -----------------------------------------------------------------------------------------


def noncentral(shift: float, df: float, alpha: float) -> float:
    """Return the exact power of a two-sided t test."""
    limit = t.isf(alpha / 2, df)
    return float(nct.sf(limit, df, shift) + nct.cdf(-limit, df, shift))


def contains(outcome: Power, exact: float) -> None:
    """Hold the power to four standard errors of its draws."""
    n = outcome.table["n"].iloc[0]
    assert abs(outcome.power - exact) < 4 * np.sqrt(exact * (1 - exact) / n)


def test_power_of_a_linear_model_must_be_that_of_the_noncentral_t() -> None:
    """The rival takes the normal distribution for the t."""
    frame = pd.DataFrame({"x": np.arange(6.0)})
    outcome = mf.power(
        "y ~ x", frame, {"(Intercept)": 0, "x": 0.7, "sigma": 1.0}, "x", n=2000, seed=1, alpha=0.02
    )
    shift = 0.7 * np.sqrt(np.sum((frame["x"] - 2.5) ** 2))
    contains(outcome, noncentral(shift, 4, 0.02))
    rival = mf.power(
        "y ~ x",
        frame,
        {"(Intercept)": 0, "x": 0.7, "sigma": 1.0},
        "x",
        n=500,
        seed=1,
        alpha=0.02,
        ddf="normal",
    )
    assert rival.power > outcome.power + 0.1


@pytest.mark.everyday(1)
@pytest.mark.parametrize("slope", [0.0, 4.0])
def test_power_of_a_balanced_growth_study_must_be_that_of_its_slopes(slope: float) -> None:
    """Balanced: the slopes of the subjects are a sample, N(β, ω² + σ²/Sxx); the test is their t test."""
    params = {**PARAMS, "Days": slope}
    outcome = mf.power(FORMULA, mf.load_dataset("sleepstudy"), params, "Days", n=600, seed=2)
    error = np.sqrt((36.0 + 400.0 / 82.5) / 18)
    contains(outcome, noncentral(slope / error, 17, 0.05))
    estimates = outcome.estimates.iloc[:, 0]
    assert abs(estimates.mean() - slope) < 4 * error / np.sqrt(600)
    assert estimates.std() == pytest.approx(error, rel=0.15)


def test_power_must_be_the_size_of_the_test_when_the_hypothesis_is_true() -> None:
    """Days = 5 holds; z for the exact t on 17 degrees of freedom rejects a little oftener than in 5%.

    The rival tests Days = 0, three standard errors away.
    """
    data, params = mf.load_dataset("sleepstudy"), {**PARAMS, "Days": 5.0}
    outcome = mf.power(FORMULA, data, params, "Days = 5", n=600, seed=2, ddf="normal")
    contains(outcome, 2 * t.sf(1.959964, 17))
    z = (outcome.estimates.iloc[:, 0] - 5.0) / np.sqrt((36.0 + 400.0 / 82.5) / 18)
    assert abs(z.mean()) < 4 / np.sqrt(600)
    rival = mf.power(FORMULA, data, params, "Days", n=100, seed=2, ddf="normal")
    assert rival.power > 0.8


def test_levels_must_be_added_along_a_factor() -> None:
    outcome = mf.power(FORMULA, study(), PARAMS, "Days = 1", n=20, seed=3, along={"Subject": [2, 3, 8]})
    assert outcome.table["Subject"].tolist() == [2, 3, 8]
    assert outcome.table["rows"].tolist() == [8, 12, 32]
    assert list(outcome.p_values.columns) == ["Subject = 2", "Subject = 3", "Subject = 8"]
    assert "Power of the test Days = 1 at level 0.05" in str(outcome)
    with pytest.raises(mf.ModelError, match="several rows"):
        _ = outcome.power


def test_copied_levels_must_keep_what_belongs_to_them() -> None:
    frame = pd.DataFrame(
        {
            "school": [1, 1, 2, 2],
            "class": ["a", "b", "c", "d"],
            "pupil": [1, 2, 1, 2],
            "arm": ["t", "t", "u", "u"],
        }
    )
    out = with_levels(frame, "school", 5, ["school", "class", "pupil"])
    assert out["school"].tolist() == ["1", "1", "2", "2", "1.2", "1.2", "2.2", "2.2", "1.3", "1.3"]
    assert out["class"].tolist() == ["a", "b", "c", "d", "a.2", "b.2", "c.2", "d.2", "a.3", "b.3"]
    assert out["pupil"].tolist() == [1, 2] * 5
    assert out["arm"].tolist() == list("ttuuttuutt")
    assert with_levels(study(8, 1), "Subject", 4, [])["Days"].size == 4
    arms = pd.DataFrame({"g": list("abcdefgh"), "arm": ["t"] * 4 + ["u"] * 4})
    assert with_levels(arms, "g", 4, ["g"])["arm"].tolist() == ["t", "t", "u", "u"]
    assert frame["school"].tolist() == [1, 1, 2, 2]


def test_name_of_a_term_must_stand_for_its_coefficients() -> None:
    cake = mf.load_dataset("cake")
    params = {
        "(Intercept)": 30,
        "recipeB": -3,
        "recipeC": 2,
        "sd_(Intercept)|recipe:replicate": 6,
        "sigma": 5,
    }
    formula = "angle ~ recipe + (1 | recipe:replicate)"
    term = mf.power(formula, cake, params, "recipe", n=20, seed=4)
    pd.testing.assert_frame_equal(
        mf.power(formula, cake, params, ["recipeB", "recipeC"], n=20, seed=4).p_values, term.p_values
    )
    pd.testing.assert_frame_equal(
        mf.power(formula, cake, params, "recipe", n=9, seed=4).p_values, term.p_values[:9]
    )
    threads = mf.power(formula, cake, params, "recipe", n=20, seed=4, n_jobs=2)
    pd.testing.assert_frame_equal(threads.p_values, term.p_values)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "normal"])
def test_p_values_must_be_those_of_fits_to_the_data_drawn(ddf: Any) -> None:
    """The data are drawn here again, by the documented seeds: one a setting, one a block of it."""
    data = mf.load_dataset("sleepstudy")
    outcome = mf.power(FORMULA, data, PARAMS, "Days", n=3, seed=5, ddf=ddf)
    block = np.random.SeedSequence(5, spawn_key=(0,)).spawn(1)[0]
    plan = study_of(FORMULA, data)
    drawn = read_parameters(plan.design, PARAMS).draw(plan.design, 3, np.random.default_rng(block))
    for r in range(3):
        test = mf.lmm(FORMULA, data.assign(Reaction=drawn[r])).fit().t_test("Days", ddf=ddf)
        assert outcome.p_values.iloc[r, 0] == pytest.approx(test.table["p_value"].iloc[0], rel=1e-4)
        assert outcome.estimates.iloc[r, 0] == pytest.approx(test.table["estimate"].iloc[0], rel=1e-6)


def test_multiple_of_a_coefficient_must_have_its_test() -> None:
    data = mf.load_dataset("sleepstudy")
    plain = mf.power(FORMULA, data, PARAMS, "Days = 1", n=30, seed=5, ddf="normal")
    scaled = mf.power(FORMULA, data, PARAMS, "-2 * Days = -2", n=30, seed=5, ddf="normal")
    np.testing.assert_allclose(scaled.p_values, plain.p_values, rtol=1e-12)
    np.testing.assert_allclose(scaled.estimates, -2 * plain.estimates, rtol=1e-12)


@pytest.mark.parametrize("k", [0, 3, 50, 97, 100])
def test_wilson_interval_must_solve_the_score_equation(k: int) -> None:
    """|k/n − p| = z √(p(1 − p)/n) at both ends."""
    for limit in wilson(k, 100):
        if 0 < limit < 1:
            assert abs(k / 100 - limit) == pytest.approx(
                1.959963984540054 * np.sqrt(limit * (1 - limit) / 100)
            )
    lower, upper = wilson(k, 100)
    assert lower <= k / 100 <= upper
    assert (lower == 0) == (k == 0)
    assert (upper == 1) == (k == 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "Day"}, "Did you mean 'Days'"),
        ({"alpha": 5}, "alpha is 5"),
        ({"n": 0}, "n is 0"),
        ({"along": {"Subjet": [3]}}, "Did you mean 'Subject'"),
        ({"along": {"Subject": [1]}}, "at least 2"),
        ({"along": {"Subject": 4}, "weights": np.ones(12)}, "weights as the name of a column"),
    ],
)
def test_wrong_options_of_power_must_be_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        mf.power(FORMULA, study(), PARAMS, **{"test": "Days", "n": 2, **options})


@pytest.mark.parametrize("module", [predictions, studies], ids=lambda module: module.__name__)
def test_examples_must_print_what_they_show(module: Any) -> None:
    outcome = doctest.testmod(module)
    assert outcome.attempted > 3
    assert outcome.failed == 0


def test_parameters_of_a_fit_must_serve_as_assumed_parameters() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    drawn = mf.simulate_lmm("Reaction ~ Days + (Days | Subject)", data, fit, n=400, seed=1)
    same = mf.simulate_lmm("Reaction ~ Days + (Days | Subject)", data, fit.parameters(), n=400, seed=1)
    pd.testing.assert_frame_equal(drawn, same)
    error = np.sqrt(np.trace(np.cov(drawn.to_numpy())) / 180 / 400)
    np.testing.assert_allclose(drawn.mean(axis=1).mean(), fit.fittedvalues.mean(), atol=10 * error)
    other = mf.simulate_lmm(
        "Reaction ~ Days + (Days | Subject)", data, {**fit.parameters(), "Days": 100.0}, seed=1
    )
    assert other.max() > 700


def test_a_fit_whose_variance_is_zero_must_serve_as_assumed_parameters() -> None:
    frame = mf.load_dataset("Dyestuff2").assign(x=1.0)
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("Yield ~ 1 + x + (1 | Batch)", frame).fit()
    assert np.isfinite(mf.simulate_lmm("Yield ~ 1 + x + (1 | Batch)", frame, fit, seed=1)).all()


def test_levels_must_have_the_requested_number_of_rows() -> None:
    data = mf.load_dataset("sleepstudy")
    params = {"(Intercept)": 250, "Days": 3, "sd_(Intercept)|Subject": 25, "sd_Days|Subject": 6, "sigma": 25}
    formula = "Reaction ~ Days + (Days | Subject)"
    options: dict[str, Any] = {"n": 20, "seed": 1}
    found = mf.power(
        formula, data, params, "Days", within={"Subject": [4, 25]}, along={"Subject": [9, 18]}, **options
    )
    assert found.table[["Subject", "rows per Subject"]].to_numpy().tolist() == [
        [9, 4],
        [9, 25],
        [18, 4],
        [18, 25],
    ]
    assert (found.table["rows"] == found.table["Subject"] * found.table["rows per Subject"]).all()
    with pytest.raises(mf.ModelError, match="within='Subjet' is not a grouping"):
        mf.power(formula, data, params, "Days", within={"Subjet": 3}, **options)


def test_power_must_have_its_test_and_three_decimals_in_every_markup() -> None:
    found = mf.power(
        FORMULA, mf.load_dataset("sleepstudy"), PARAMS, "Days", n=20, seed=1, along={"Subject": [9, 18]}
    )
    text = mf.to_markdown(found)
    assert "Power of the test Days = 0 at level 0.05" in text
    assert f"{found.table['power'].iloc[0]:.3f} |" in text
    assert "20 data sets drawn" in text


def test_more_rows_of_each_level_must_keep_the_range_of_what_varies_within() -> None:
    frame = pd.DataFrame({"g": list("aaaaabbb"), "x": [0, 1, 2, 3, 4, 0, 2, 4]})
    few = with_rows(frame, "g", 2)
    assert few["g"].tolist() == ["a", "a", "b", "b"]
    assert few["x"].tolist() == [0, 2, 0, 2]
    many = with_rows(frame, "g", 7)
    assert many["g"].value_counts().tolist() == [7, 7]
    assert many.loc[many["g"] == "b", "x"].tolist() == [0, 2, 4, 0, 2, 4, 0]
