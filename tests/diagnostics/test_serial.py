"""Autocorrelations and semivariograms of residuals, against sums over pairs of rows and against nlme."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.diagnostics import serial

R = mf.residuals


@lru_cache
def sleep() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy"), residual=R.AR1("Days", "Subject")).fit()


@lru_cache
def gaps() -> tuple[pd.DataFrame, mf.MixedResults]:
    """Return rows in random order of groups that miss some of eight times, and a fit with an SD by arm."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        [(g, t) for g in range(12) for t in range(8) if rng.random() < 0.7], columns=["g", "t"]
    )
    frame["arm"], frame["y"] = np.where(frame.g % 2, "a", "b"), rng.normal(size=len(frame))
    frame = frame.sample(frac=1.0, random_state=3).reset_index(drop=True)
    return frame, mf.lmm("y ~ t", frame, residual=R.AR1("t", "g") * R.VarIdent("arm")).fit()


def pairs(frame: pd.DataFrame, values: Any) -> list[tuple[int, float, float]]:
    """Return |s − t| and both residuals of all pairs of rows of one group, by loops."""
    rows = list(zip(frame.g, frame.t, values, strict=True))
    return [(abs(s - t), a, b) for i, (g, s, a) in enumerate(rows) for h, t, b in rows[:i] if g == h]


@pytest.mark.parametrize("kind", ["scaled", "normalised"])
def test_autocorrelation_must_be_the_mean_product_of_pairs_at_a_time_lag(kind: Any) -> None:
    """Lags count times, not rows: gaps would make the rival's pairs others."""
    frame, fit = gaps()
    values = fit.scaled_resid if kind == "scaled" else fit.normalised_resid
    table = fit.diagnostics.autocorrelation(kind, lags=6)
    for lag in table.index:
        products = [a * b for apart, a, b in pairs(frame, values) if apart == lag]
        assert table.pairs[lag] == len(products)
        assert table.autocorrelation[lag] == pytest.approx(np.mean(products) / np.mean(values**2))
        assert table.limit[lag] == pytest.approx(1.959964 / np.sqrt(len(products)))


def test_autocorrelation_must_be_that_of_nlme() -> None:
    """nlme 3.1-162: ACF(gls(…, correlation = corAR1(form = ~ 1 | Mare)), resType = "p", form = ~ 1 | Mare)."""
    waves = "follicles ~ sin(2*np.pi*Time) + cos(2*np.pi*Time)"
    fit = mf.lmm(waves, mf.load_dataset("Ovary"), residual=R.AR1(group="Mare")).fit()
    found = fit.diagnostics.autocorrelation("scaled", lags=3)["autocorrelation"]
    np.testing.assert_allclose(found, [0.7313452, 0.6399263, 0.5658891], rtol=1e-5)


def test_autocorrelation_without_a_structure_must_count_rows_of_the_innermost_factor() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    rest = fit.scaled_resid.to_numpy().reshape(18, 10)
    found = fit.diagnostics.autocorrelation(lags=1)["autocorrelation"][1]
    assert found == pytest.approx(np.mean(rest[:, 1:] * rest[:, :-1]) / np.mean(rest**2))


@pytest.mark.parametrize("kind", ["scaled", "normalised"])
def test_semivariance_must_be_the_mean_of_half_squared_differences(kind: Any) -> None:
    frame, fit = gaps()
    values = fit.scaled_resid if kind == "scaled" else fit.normalised_resid
    table = fit.diagnostics.variogram(kind).set_index("distance")
    phi = fit.residual_params.estimate["phi"]
    for apart in table.index:
        squares = [0.5 * (a - b) ** 2 for d, a, b in pairs(frame, values) if d == apart]
        assert table.pairs[apart] == len(squares)
        assert table.semivariance[apart] == pytest.approx(np.mean(squares))
        expected = 1.0 if kind == "normalised" else 1.0 - phi**apart
        assert table.fitted[apart] == pytest.approx(expected)


def test_fitted_semivariance_of_visits_must_be_that_of_their_pairs() -> None:
    frame, _ = gaps()
    own = frame.assign(visit=frame.t.clip(upper=3), y=frame.y).drop_duplicates(["g", "visit"])
    fit = mf.lmm("y ~ 1", own, residual=R.Unstructured("visit", "g")).fit()
    table = fit.diagnostics.variogram().set_index("distance")
    cors = fit.residual_params.estimate.filter(like="cor(")
    n01, n12, n23 = (
        int(own.groupby("g").visit.agg(lambda v, a=a: {a, a + 1} <= set(v)).sum()) for a in range(3)
    )
    cor = [cors["cor(0,1)"], cors["cor(1,2)"], cors["cor(2,3)"]]
    assert table.fitted[1.0] == pytest.approx(1 - np.average(cor, weights=[n01, n12, n23]))


def test_many_distances_must_be_classes_of_equal_numbers_of_pairs() -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"g": np.repeat(np.arange(30), 6), "t": rng.uniform(0, 9, 180), "y": rng.normal(size=180)}
    )
    fit = mf.lmm("y ~ 1", frame, residual=R.Exponential("t", "g", nugget=True)).fit()
    table = fit.diagnostics.variogram(bins=10)
    assert len(table) == 10
    assert table.pairs.sum() == 30 * 15
    assert table.pairs.min() >= 44
    assert table.distance.is_monotonic_increasing
    r, nugget = fit.residual_params.estimate["range"], fit.residual_params.estimate["nugget"]
    expected = 1 - (1 - nugget) * np.exp(-table.distance / r)
    np.testing.assert_allclose(table.fitted, expected, atol=0.02)


def test_a_sample_of_pairs_must_be_of_rows_of_the_same_group(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = np.repeat(np.arange(5), [1, 2, 3, 40, 7])
    all_pairs = serial._pairs(groups)
    assert all_pairs[0].size == 1 + 3 + 780 + 21
    monkeypatch.setattr(serial, "MOST_PAIRS", 500)
    one, other = serial._pairs(groups)
    assert one.size == 500
    assert np.array_equal(groups[one], groups[other])
    assert np.all(one < other)
    known = set(zip(*(side.tolist() for side in all_pairs), strict=True))
    assert set(zip(one.tolist(), other.tolist(), strict=True)) <= known


def test_coordinates_in_two_dimensions_must_have_a_variogram_and_no_autocorrelation() -> None:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"u": rng.uniform(0, 5, 60), "v": rng.uniform(0, 5, 60), "y": rng.normal(size=60)})
    fit = mf.lmm("y ~ 1", frame, residual=R.Exponential(("u", "v"), metric="manhattan")).fit()
    apart = np.abs(frame.u[0] - frame.u[1]) + np.abs(frame.v[0] - frame.v[1])
    assert apart <= fit.diagnostics.variogram(bins=2000)["distance"].max() + 1e-9
    with pytest.raises(mf.ModelError, match="several dimensions"):
        fit.diagnostics.autocorrelation()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda d: d.autocorrelation("raw"), "expected 'normalised' or 'scaled'"),
        (lambda d: d.autocorrelation(lags=0), "at least 1"),
        (lambda d: d.autocorrelation(level=0.05), "level"),
        (lambda d: d.variogram(bins=0), "at least 1"),
        (lambda d: d.variogram("pearson"), "expected 'normalised' or 'scaled'"),
    ],
)
def test_wrong_options_must_be_refused_in_words(ask: Any, words: str) -> None:
    with pytest.raises(mf.ModelError, match=words):
        ask(sleep().diagnostics)


def test_groups_of_one_row_must_have_no_semivariogram() -> None:
    frame = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "k": ["a", "a", "b", "b"], "id": range(4)})
    fit = mf.lmm("y ~ 1", frame, residual=R.VarIdent("k")).fit()
    assert len(fit.diagnostics.variogram()) == 3  # all rows are one group


def test_normalised_autocorrelations_must_be_nlmes_for_sorted_data() -> None:
    """nlme 3.1-162 on rows sorted by Mare: ACF(lme(…, ~ 1 | Mare, correlation = corAR1()), resType = "normalized").

    Marginal residuals, or lags that cross from one mare to the next, would differ in the second digit.
    """
    waves = "follicles ~ sin(2*np.pi*Time) + cos(2*np.pi*Time) + (1 | Mare)"
    fit = mf.lmm(waves, mf.load_dataset("Ovary"), residual=mf.residuals.AR1()).fit()
    found = fit.diagnostics.autocorrelation(lags=3)["autocorrelation"]
    np.testing.assert_allclose(found, [-0.11450874214, 0.04513150490, -0.03828224902], atol=2e-7)


def test_icc_must_be_that_of_the_random_intercept_when_residuals_have_compound_symmetry() -> None:
    """rho is the intercept's share of the variance. Rivals: 0, and one number for correlations that fall with time."""
    data = mf.load_dataset("sleepstudy")
    R = mf.residuals
    intercept = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit().diagnostics.icc()["estimate"]
    same = (
        mf.lmm("Reaction ~ Days", data, residual=R.CompoundSymmetry("Subject"))
        .fit()
        .diagnostics.icc()["estimate"]
    )
    assert same.to_dict() == pytest.approx(intercept.to_dict(), abs=1e-6)
    falling = mf.lmm("Reaction ~ Days", data, residual=R.AR1("Days", "Subject")).fit().diagnostics.icc()
    assert falling["estimate"].isna().all()
    unequal = mf.lmm("Reaction ~ Days", data, residual=R.VarExp("Days")).fit().diagnostics.icc()
    assert unequal["estimate"].to_list() == [0.0, 0.0]


def test_forecast_must_warn_of_rows_that_are_in_the_data() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days", data, residual=mf.residuals.AR1("Days", "Subject")).fit()
    rows = {"Days": [3.0, 12.0], "Subject": ["308", "308"]}
    with pytest.warns(mf.PredictionWarning, match="1 of 2 rows have a group and time"):
        found = fit.forecast(rows)
    assert found["mean"][0] == pytest.approx(data["Reaction"][3])
    assert found["se"][0] == pytest.approx(0.0, abs=1e-6)
    assert fit.predict(rows, interval="confidence")["mean"][0] != pytest.approx(data["Reaction"][3], rel=1e-3)


def test_dates_must_be_labels_of_visits_in_parameters_and_new_rows() -> None:
    """The rival prints days since 1970, and does not know the dates of new rows."""
    data = mf.load_dataset("sleepstudy")
    data = data[data["Days"] < 3].assign(
        day=lambda d: pd.Timestamp("2024-01-30") + pd.to_timedelta(d["Days"], "D")
    )
    R = mf.residuals
    fit = mf.lmm("Reaction ~ Days", data, residual=R.Unstructured("day", "Subject")).fit()
    twin = mf.lmm("Reaction ~ Days", data, residual=R.Unstructured("Days", "Subject")).fit()
    assert fit.residual_params.index[0] == "cor(2024-01-30,2024-01-31)"
    assert fit.residual_params.index[-1] == "ratio(2024-02-01)"
    np.testing.assert_allclose(fit.residual_params["estimate"], twin.residual_params["estimate"], rtol=1e-6)
    assert fit.residual_cov().index.to_list() == ["2024-01-30", "2024-01-31", "2024-02-01"]
    new = {"Days": [2], "day": [pd.Timestamp("2024-02-01")], "Subject": ["new"]}
    np.testing.assert_allclose(fit.forecast(new), twin.forecast(new), rtol=1e-6)
    for law in (R.VarIdent("day"), R.AR1("day", "Subject") * R.VarIdent("day")):
        own = mf.lmm("Reaction ~ Days", data, residual=law).fit()
        assert np.isfinite(own.predict(new, interval="prediction").to_numpy(dtype=float)).all()
