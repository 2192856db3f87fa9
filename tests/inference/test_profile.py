"""Likelihood profiles against brute force in R and in a dense likelihood, and by invariances."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracles import DenseModel
from paths import REFERENCE_FOLDER
from published_cases import data_of
from scipy.optimize import minimize
from scipy.stats import chi2, multivariate_normal

import mixedfit as mf
from mixedfit.inference.profile.held_natural import HeldNatural

REFERENCE = json.loads((REFERENCE_FOLDER / "intervals.json").read_text(encoding="utf-8"))
NAMES = [name for name, case in REFERENCE.items() if "profile" in case]


@cache
def fitted(name: str) -> mf.MixedResults:
    return mf.lmm(REFERENCE[name]["formula"], data_of(name)).fit()


@pytest.mark.everyday(4)
@pytest.mark.parametrize("level", [0.95, 0.99])
@pytest.mark.parametrize("name", NAMES)
def test_profile_interval_must_be_that_of_constrained_fits_in_r(name: str, level: float) -> None:
    """R refits with the parameter held, to 1e-9; lme4's own interpolation, the rival, is off by up to 1e-2 SE."""
    ours = fitted(name).conf_int(level, method="profile")
    for parameter, case in REFERENCE[name]["profile"]["parameters"].items():
        expected = case[f"level_{round(100 * level)}"]
        for side in ("lower", "upper"):
            found = ours.loc[parameter, side]
            if expected[side] is None:
                assert found in (0.0, -1.0, 1.0), (parameter, side)
            else:
                assert found == pytest.approx(expected[side], rel=2e-6), (parameter, side)


@pytest.mark.everyday(6)
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("dyestuff2", "machines_slopes")])
def test_profile_interval_must_be_lme4s_up_to_its_interpolation(name: str) -> None:
    ours, theirs = fitted(name).conf_int(method="profile"), REFERENCE[name]["confint"]
    lower, upper = (np.array(theirs[side], dtype=float) for side in ("lower", "upper"))
    width = upper - lower
    finite = np.isfinite(width)
    assert theirs["rows"] == list(ours.index)
    assert np.all(np.abs(ours["lower"] - lower)[finite] < 2e-3 * width[finite])
    assert np.all(np.abs(ours["upper"] - upper)[finite] < 2e-3 * width[finite])


@pytest.mark.everyday(2)
@pytest.mark.parametrize("name", ["seedling_weight", "sleepstudy", "pastes", "penicillin", "dyestuff2"])
def test_zeta_must_be_that_of_constrained_fits_in_r(name: str) -> None:
    profile = fitted(name).profile()
    for parameter, case in REFERENCE[name]["profile"]["parameters"].items():
        for value, zeta in zip(case["values"], case["zeta"], strict=True):
            assert profile.held(parameter, value)["zeta"] == pytest.approx(zeta, abs=2e-6)
        interpolated = profile.zeta(parameter, case["values"]).to_numpy()
        assert interpolated == pytest.approx(np.array(case["zeta"]), abs=2e-3)


def test_seedlings_must_have_the_profile_intervals_of_the_note() -> None:
    """The numbers of the lecture note are lme4's interpolation: the exact limits lie within 2e-5 of them."""
    printed = [
        (1.837050, 5.379221),
        (1.560415, 2.332764),
        (11.926526, 18.637543),
        (-8.287734, 1.204894),
    ]
    ours = fitted("seedling_weight").conf_int(method="profile")
    assert list(ours.index) == [".sig01", ".sigma", "(Intercept)", "GenotypeB"]
    np.testing.assert_allclose(ours.to_numpy(), printed, rtol=0, atol=5e-5)


# -- the dense likelihood, minimised by brute force ----------------------------------------------------------------


def small_data(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(12), rng.integers(4, 8, 12))
    x = rng.normal(size=g.size)
    b = rng.normal(size=(12, 2)) @ np.array([[1.5, 0.3], [0.0, 1.2]])
    y = 1.0 + 0.5 * x + b[g, 0] + b[g, 1] * x + rng.normal(size=g.size)
    return pd.DataFrame({"y": y, "x": x, "g": g.astype(str)})


def dense_deviance(table: pd.DataFrame, sd: Any, rho: float, sigma: float, beta: Any) -> float:
    """−2 log N(y; Xβ, ZΩZᵀ + σ²I), written out."""
    omega = np.array([[sd[0] ** 2, rho * sd[0] * sd[1]], [rho * sd[0] * sd[1], sd[1] ** 2]])
    z = np.column_stack([np.ones(len(table)), table["x"]])
    same = table["g"].to_numpy()[:, None] == table["g"].to_numpy()[None, :]
    V = np.where(same, z @ omega @ z.T, 0.0) + sigma**2 * np.eye(len(table))
    r = table["y"].to_numpy() - z @ beta
    return float(np.linalg.slogdet(2 * np.pi * V)[1] + r @ np.linalg.solve(V, r))


def brute_force(table: pd.DataFrame, held: str, value: float, start: Any) -> float:
    """Minimise the dense likelihood over the other five of (two SDs, ρ, σ, two β), by Nelder-Mead and BFGS."""
    names = [".sig01", ".sig03", ".sig02", ".sigma", "(Intercept)", "x"]
    at = names.index(held)

    def deviance(free: Any) -> float:
        whole = np.insert(np.asarray(free, dtype=float), at, value)
        sd = np.abs(whole[:2])
        if held != ".sig02":
            whole[2] = np.tanh(whole[2])
        return dense_deviance(table, sd, float(whole[2]), float(abs(whole[3])), whole[4:])

    first = np.array([start[n] if n != ".sig02" else np.arctanh(start[n]) for n in names if n != held])
    for method in ("Nelder-Mead", "BFGS", "Nelder-Mead", "BFGS"):
        options = {"xatol": 1e-8, "fatol": 1e-11, "maxfev": 8000} if method == "Nelder-Mead" else {}
        first = minimize(deviance, first, method=method, options=options).x
    return float(deviance(first))


@pytest.mark.everyday(1)
@pytest.mark.parametrize("parameter", [".sig01", ".sig02", ".sig03", ".sigma", "(Intercept)", "x"])
def test_profile_must_equal_a_brute_force_constrained_fit(parameter: str) -> None:
    """The rival holds the other variances at their estimates: its deviance is higher."""
    table = small_data(11)
    fit = mf.lmm("y ~ x + (x | g)", table).fit(reml=False)
    profile = fit.profile(parameter, levels=(0.8,))
    low, high = profile.conf_int(0.8, parameter).iloc[0]
    for value in (low if np.isfinite(low) and low > -1 else 0.5 * high, 0.5 * (low + high), high):
        held = profile.held(parameter, value)
        assert held[parameter] == pytest.approx(value, rel=1e-9)
        dense = brute_force(table, parameter, value, held)
        assert held["deviance"] == pytest.approx(dense, abs=2e-6)
        own = dense_deviance(
            table,
            held[[".sig01", ".sig03"]].to_numpy(),
            held[".sig02"],
            held[".sigma"],
            held[["(Intercept)", "x"]].to_numpy(),
        )
        assert own == pytest.approx(held["deviance"], abs=1e-5)


def test_profile_must_use_the_dense_likelihood_of_crossed_factors() -> None:
    rng = np.random.default_rng(2)
    a, b = np.repeat(np.arange(5), 8), np.tile(np.arange(4), 10)
    y = rng.normal(size=5)[a] + rng.normal(size=4)[b] + 0.5 * rng.normal(size=40)
    table = pd.DataFrame({"y": y, "a": a, "b": b})
    fit = mf.lmm("y ~ 1 + (1 | a) + (1 | b)", table).fit(reml=False)
    held = fit.profile(".sig02", levels=(0.8,)).held(".sig02", 0.4)
    dense = DenseModel(y, np.ones((40, 1)), [(a, np.ones((40, 1))), (b, np.ones((40, 1)))], exact=False)
    lams = [np.array([[held[".sig01"] / held[".sigma"]]]), np.array([[0.4 / held[".sigma"]]])]
    V = held[".sigma"] ** 2 * dense.marginal_covariance(lams)
    r = y - held["(Intercept)"]
    value = np.linalg.slogdet(2 * np.pi * V)[1] + r @ np.linalg.solve(V, r)
    assert held["deviance"] == pytest.approx(value, abs=1e-5)


# -- what must hold for all data -----------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_profile_interval_must_contain_the_estimate(seed: int) -> None:
    fit = mf.lmm("y ~ x + (x || g)", small_data(seed)).fit(reml=False)
    profile = fit.profile(levels=(0.9,))
    table = profile.conf_int(0.9)
    estimates = profile.estimates
    assert np.all((table["lower"] <= estimates + 1e-9) | table["lower"].isna())
    assert np.all((table["upper"] >= estimates - 1e-9) | table["upper"].isna())
    assert not table.loc[[".sigma", "(Intercept)", "x"]].isna().any().any()


@given(
    st.integers(0, 1000),
    st.floats(-50, 50),
    st.sampled_from([1e-4, 0.3, 1e4]),
    st.floats(-1e3, 1e3),
    st.sampled_from([1e-3, 7.0]),
)
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_profile_must_follow_shifts_and_scales_of_x_and_y(
    seed: int, shift: float, scale: float, shift_y: float, scale_y: float
) -> None:
    """Slope, its SD and σ only change units. (The intercept's SD is another quantity after a shift of x.)"""
    table = small_data(seed)
    moved = table.assign(x=scale * (table["x"] + shift), y=scale_y * (table["y"] + shift_y))
    names = [".sig03", ".sigma", "x"]
    one = mf.lmm("y ~ x + (x | g)", table).fit().profile(names, levels=(0.95,)).conf_int(0.95, names)
    other = mf.lmm("y ~ x + (x | g)", moved).fit().profile(names, levels=(0.95,)).conf_int(0.95, names)
    units = np.array([scale_y / scale, scale_y, scale_y / scale])
    np.testing.assert_allclose(other.to_numpy() / units[:, None], one.to_numpy(), rtol=2e-5, atol=1e-6)


def test_curve_must_increase_between_points_and_give_its_density() -> None:
    profile = fitted("sleepstudy").profile()
    for name in profile.curves:
        zeta = profile.zeta(name)
        assert np.all(np.diff(zeta) > 0)
        density = profile.density(name, 2001)
        mass = np.trapezoid(density["density"], density["value"])
        assert mass == pytest.approx(0.999, abs=2e-3)


def test_variance_at_zero_must_be_an_end_of_the_interval_not_a_failure() -> None:
    profile = fitted("dyestuff2").profile()
    table = profile.conf_int()
    assert table.loc[".sig01", "lower"] == 0.0
    assert table.loc[".sig01", "upper"] == pytest.approx(2.084, abs=1e-3)


def test_correlation_must_take_all_values_where_one_of_its_variances_may_be_zero() -> None:
    """At SD 0 every correlation has one deviance: if that is less than 3.84 above, all belong to the interval.

    The rival follows the branch on which the SD is positive: -0.97 or -0.91.
    """
    data = mf.load_dataset("Orthodont")
    fit = mf.lmm("distance ~ Sex * age + (age | Subject)", data).fit(reml=False)
    without = mf.lmm("distance ~ Sex * age + (1 | Subject)", data).fit(reml=False)
    rise = without.deviance - fit.deviance
    assert 0 < rise < 3.84
    profile = fit.profile()
    for table in (fit.conf_int(method="profile"), profile.conf_int()):
        assert tuple(table.loc[".sig02"]) == (-1.0, 1.0)
    zeta = profile.zeta(".sig02", [-1.0, -0.99, 0.999, 1.0])
    assert zeta.abs().max() <= np.sqrt(rise) + 1e-6
    assert not zeta.isna().any()
    assert profile.held(".sig02", -0.9999)["zeta"] == pytest.approx(-np.sqrt(rise), abs=1e-5)


@pytest.mark.parametrize("seed", range(1, 5))
def test_ends_of_a_correlation_must_lie_where_the_deviance_has_risen_enough(seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(12), 8), np.tile(np.arange(8.0), 12)
    b = rng.normal(size=(12, 2)) * [1.0, 0.15]
    y = b[g, 0] + b[g, 1] * x + rng.normal(size=96)
    fit = mf.lmm("y ~ x + (x | g)", {"y": y, "x": x, "g": g}).fit(reml=False)
    assert not fit.singular
    profile = fit.profile(".sig02")
    for end in profile.conf_int(0.95, ".sig02").iloc[0]:
        zeta = abs(profile.held(".sig02", end)["zeta"])
        assert zeta == pytest.approx(1.959964, abs=1e-4) if abs(end) < 1 else zeta <= 1.96


def test_profile_must_reach_its_end_where_the_residual_variance_goes_to_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At ρ below 0.6 the process alone explains the rows. Rival: 2,800 evaluations on the way to σ = 0."""
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (1 | Subject) + ar1(0 + Days | Subject)", data).fit(reml=False)
    evaluations: list[float] = []
    evaluate = HeldNatural.evaluate

    def counted(self: HeldNatural, value: float, x: Any) -> Any:
        evaluations.append(value)
        return evaluate(self, value, x)

    monkeypatch.setattr(HeldNatural, "evaluate", counted)
    low = float(fit.conf_int(method="profile", parameters=["cor_ar1|Subject"]).iloc[0, 0])
    assert len(evaluations) < 600
    y, X = data.Reaction.to_numpy().reshape(18, 10), np.column_stack([np.ones(10), np.arange(10)])
    lags = np.abs(np.subtract.outer(np.arange(10), np.arange(10)))

    def deviance(logs: Any) -> float:
        V = np.exp(2 * logs[0]) + np.exp(2 * logs[1]) * low**lags
        beta = np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, y.mean(axis=0)))
        return float(sum(-2 * multivariate_normal.logpdf(own, X @ beta, V) for own in y))

    least = minimize(deviance, [3.0, 3.5], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).fun
    assert abs(least + 2 * fit.llf - chi2.ppf(0.95, 1)) < 1e-3


def test_linear_model_must_have_profiles_of_sigma_and_coefficients() -> None:
    """Exact: d(β) = n log(RSS(β)), d(σ) = n log σ² + RSS/σ²."""
    table = small_data(5)
    fit = mf.lmm("y ~ x", table).fit(reml=False)
    limits = fit.conf_int(method="profile")
    n, error = len(table), fit.bse["x"]
    half = error * np.sqrt(n * np.expm1(3.841458820694124 / n))
    assert limits.loc["x", "upper"] - fit.params["x"] == pytest.approx(half, rel=1e-7)
    for end in limits.loc[".sigma"]:
        ratio = (fit.sigma / end) ** 2
        assert n * (ratio - 1 - np.log(ratio)) == pytest.approx(3.841458820694124, rel=1e-6)


def test_fit_that_did_not_converge_must_be_improved_with_a_warning() -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    with pytest.warns(mf.ConvergenceWarning, match="Not converged"):
        early = model.fit(reml=False, control=mf.Control(max_evaluations=2))
    with pytest.warns(mf.ConvergenceWarning, match="deviance lower by"):
        profile = early.profile("Days", levels=(0.95,))
    assert profile.improved
    assert profile.deviance == pytest.approx(1751.939344, abs=1e-5)


def test_lower_deviance_found_by_profiling_must_replace_the_fit_with_a_warning() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit(reml=False)._fit
    theta = fit.theta * np.array([1.6, 1.0, 0.7])
    short = replace(fit, theta=theta, evaluation=fit.criterion(False)(theta))
    assert short.evaluation.value > fit.evaluation.value + 1.0
    with pytest.warns(mf.ConvergenceWarning, match="deviance lower by"):
        profile = mf.MixedResults(short).profile("Days")
    assert profile.improved
    assert profile.deviance == pytest.approx(1751.939344, abs=1e-5)
    assert profile.conf_int(0.95, "Days").iloc[0, 0] == pytest.approx(7.358652, abs=1e-5)


def test_interrupt_must_keep_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    from mixedfit.inference.profile import profile as module

    original = module._traced

    def interrupted(tracer: Any, *rest: Any) -> Any:
        if tracer.parameter.name == ".sig02":
            raise KeyboardInterrupt
        return original(tracer, *rest)

    monkeypatch.setattr(module, "_traced", interrupted)
    with pytest.warns(mf.ConvergenceWarning, match="not profiled"):
        profile = fitted("penicillin").profile(levels=(0.9,))
    assert list(profile.curves) == [".sig01"]
    assert np.isnan(profile.conf_int(0.9).loc["(Intercept)", "lower"])


# -- names and bad input -------------------------------------------------------------------------------------------


def test_parameters_must_be_found_by_all_their_names() -> None:
    fit = fitted("sleepstudy")
    by = [
        fit.conf_int(0.9, "profile", name).to_numpy()
        for name in (".sig03", "sd_Days|Subject", "SD of Days | Subject")
    ]
    assert by[0] == pytest.approx(by[1])
    assert by[0] == pytest.approx(by[2])
    words = fit.conf_int(names="words").index
    assert list(words[:2]) == ["SD of (Intercept) | Subject", "correlation of Days and (Intercept) | Subject"]
    assert list(fit.conf_int(parameters="variances").index) == [".sig01", ".sig02", ".sig03", ".sigma"]


def test_unknown_parameter_must_be_refused_with_the_nearest_name() -> None:
    with pytest.raises(mf.ModelError, match=r"Did you mean '\.sig01'"):
        fitted("sleepstudy").profile(".sig1")
    with pytest.raises(mf.ModelError, match="Did you mean 'Days'"):
        fitted("sleepstudy").conf_int(parameters=["days"])


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, 0.05, 95, "0.95", float("nan")])
def test_level_that_is_no_coverage_must_be_refused(level: Any) -> None:
    for method in ("wald", "profile"):
        with pytest.raises(mf.ModelError, match="coverage"):
            fitted("sleepstudy").conf_int(level, method=method)  # type: ignore[arg-type]


def test_unknown_method_and_value_out_of_range_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="Did you mean 'profile'"):
        fitted("sleepstudy").conf_int(method="profil")  # type: ignore[arg-type]
    profile = fitted("sleepstudy").profile(".sig02", levels=(0.8,))
    with pytest.raises(mf.ModelError, match="range is from -1 to 1"):
        profile.held(".sig02", 1.2)
    with pytest.raises(mf.ModelError, match="has no profile"):
        profile.zeta("Days")
