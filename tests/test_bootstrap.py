"""The bootstrap against closed forms, refits from scratch, other programs and its own rivals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles import DenseModel
from scipy import stats

import mixedfit as mf
from mixedfit.inference.bootstrap_intervals import INTERVALS, acceleration_of
from mixedfit.inference.cases import LevelSource, RowSource
from mixedfit.inference.resampling import reflated
from mixedfit.simulate import simulate_response


def small_frame() -> pd.DataFrame:
    """Return 24 rows with two crossed factors, a covariate, weights (two of them 0) and an offset."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"g": np.repeat(list("abcdef"), 4), "h": np.tile(list("uvwx"), 6), "x": rng.normal(size=24)}
    )
    frame["w"] = rng.uniform(0.5, 2.0, 24)
    frame.loc[[3, 17], "w"] = 0.0
    frame["base"] = rng.normal(size=24) + 5.0
    effects = dict(zip("abcdef", rng.normal(size=6), strict=True))
    others = dict(zip("uvwx", rng.normal(size=4), strict=True))
    frame["y"] = frame["base"] + frame["g"].map(effects) + frame["h"].map(others) + rng.normal(size=24)
    return frame


def crossed_fit() -> mf.MixedResults:
    return mf.lmm("y ~ x + (x | g) + (1 | h)", small_frame(), weights="w", offset="base").fit()


def worst_moment(drawn: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> float:
    """Return the largest deviation of means and covariances of draws (rows, n), in their own standard errors."""
    n = drawn.shape[1]
    scale = np.sqrt(np.diag(cov))
    means = np.abs(drawn.mean(axis=1) - mean) / (scale / np.sqrt(n))
    errors = np.sqrt((cov**2 + np.outer(scale**2, scale**2)) / n)
    covariances = np.abs(np.cov(drawn) - cov) / errors
    return float(max(means.max(), covariances.max()))


def dense_moments(fit: mf.MixedResults) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows that count with mean and covariance of the fitted marginal distribution."""
    own = fit._fit
    design = own.design
    model = DenseModel(
        design.y,
        design.X,
        [(block.codes, block.z) for block in design.blocks],
        weights=design.weights,
        exact=False,
    )
    rows = np.asarray(model.rows)
    mean = (design.X @ fit.params.to_numpy() + (0.0 if design.offset is None else design.offset))[rows]
    return rows, mean, fit.sigma**2 * model.marginal_covariance(own.lam)


def test_simulated_responses_must_have_the_fitted_marginal_moments() -> None:
    fit = crossed_fit()
    rows, mean, cov = dense_moments(fit)
    drawn = simulate_response(fit._fit, 40_000, np.random.default_rng(1))
    assert worst_moment(drawn[rows], mean, cov) < 4.8


def test_simulation_about_the_blups_must_be_told_from_the_marginal_one() -> None:
    fit = crossed_fit()
    rows, mean, cov = dense_moments(fit)
    weights = fit._fit.design.weights[rows]
    noise = np.random.default_rng(1).standard_normal((rows.size, 40_000))
    conditional = fit.fittedvalues.to_numpy()[rows, None] + fit.sigma / np.sqrt(weights)[:, None] * noise
    assert worst_moment(conditional, mean, cov) > 48


def nested_frame() -> pd.DataFrame:
    frame = mf.load_dataset("Pastes")
    frame["x"] = np.arange(len(frame)) % 7 / 3.0
    frame["twice"] = 2.0 * frame["x"] - 1.0
    frame["w"] = 1.0 + np.arange(len(frame)) % 3
    return frame


def many_frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"f": np.tile(np.arange(210), 3), "g": rng.integers(12, size=630)})
    frame["x"] = rng.normal(size=630)
    frame["y"] = frame["x"] + 0.1 * frame["f"] + rng.normal(size=12)[frame["g"]] + rng.normal(size=630)
    frame["f"] = frame["f"].map("f{:03d}".format)
    return frame


def sparse_frame() -> pd.DataFrame:
    rng = np.random.default_rng(12)
    frame = pd.DataFrame({"a": np.repeat(np.arange(420), 4), "b": np.tile([0, 0, 1, 1], 420)})
    frame["y"] = rng.normal(size=420)[frame["a"]] + rng.normal(size=840)[np.repeat(np.arange(840), 2)]
    frame["y"] += rng.normal(size=len(frame))
    return frame


FITS: dict[str, Callable[[], mf.MixedResults]] = {
    "slopes": lambda: mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit(),
    "ml": lambda: mf.lmm("Reaction ~ Days + (Days || Subject)", mf.load_dataset("sleepstudy")).fit(False),
    "crossed, weights, offset": crossed_fit,
    "nested": lambda: mf.lmm("strength ~ x + (1 | batch/cask)", nested_frame()).fit(),
    "rank": lambda: mf.lmm("strength ~ x + twice + (1 | batch)", nested_frame(), weights="w").fit(),
    "held sigma": lambda: mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit(sigma=50.0),
    "singular": lambda: mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit(),
    "sparse tail": lambda: mf.lmm("y ~ 1 + (1 | a/b)", sparse_frame()).fit(),
    "many": lambda: mf.lmm("y ~ x + f + (1 | g)", many_frame()).fit(),
    "no random effects": lambda: mf.lmm("strength ~ x", nested_frame()).fit(),
}


@pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")
@pytest.mark.parametrize("name", FITS)
def test_replicates_must_equal_refits_of_the_responses_drawn(name: str) -> None:
    fit = FITS[name]()
    drawn = fit.bootstrap(4, seed=3, statistic=lambda refit: refit._fit.response)
    plain = fit.bootstrap(4, seed=3)
    assert not drawn.failed.any()
    for i, y in enumerate(drawn.statistic.to_numpy()):
        again = fit.refit(y)
        expected = [again.llf * -2.0, again.sigma, *again.theta, *again.params, *again.bse]
        for record in (drawn, plain):
            found = [record.criterion[i], record.sigma[i], *record.theta.loc[i], *record.beta.loc[i]]
            np.testing.assert_allclose([*found, *record.std_errors.loc[i]], expected, rtol=1e-7, atol=1e-7)
        assert drawn.singular[i] == again.singular


@pytest.mark.parametrize("type", ["parametric", "residual", "cases"])
def test_same_seed_must_give_same_numbers_when_threads_differ(type: Any) -> None:
    fit = FITS["slopes"]()
    alone = fit.bootstrap(150, seed=8, type=type)
    pair = fit.bootstrap(150, seed=8, type=type, n_jobs=2)
    fewer = fit.bootstrap(70, seed=np.random.SeedSequence(8), type=type)
    pd.testing.assert_frame_equal(alone.replicates, pair.replicates)
    pd.testing.assert_frame_equal(alone.replicates.iloc[:70], fewer.replicates)
    assert not np.array_equal(alone.replicates, fit.bootstrap(150, seed=9, type=type).replicates)


def test_natural_values_must_be_those_of_the_refits_table() -> None:
    fit = FITS["slopes"]()
    drawn = fit.bootstrap(3, seed=2, statistic=lambda refit: refit.varcorr["sdcor"].to_numpy())
    ours = drawn.replicates[[".sig01", ".sig03", ".sig02", ".sigma"]]
    np.testing.assert_allclose(ours, drawn.statistic, rtol=1e-10)


def unbalanced_sleepstudy() -> pd.DataFrame:
    frame = mf.load_dataset("sleepstudy").iloc[5:-3].reset_index(drop=True)
    frame["w"] = 1.0 + np.arange(len(frame)) % 4
    frame.loc[[20, 21], "w"] = 0.0
    frame.loc[frame["Subject"] == "335", "w"] = 0.0
    return frame


@pytest.mark.parametrize("by_rows", [False, True], ids=["sums over levels", "rows"])
def test_cases_must_equal_a_fit_to_the_rows_drawn(by_rows: bool) -> None:
    frame = unbalanced_sleepstudy()
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", frame, weights="w").fit()
    own = fit._fit
    source = RowSource(own, own.design.blocks[0].codes) if by_rows else LevelSource(own)
    sample = source.draw(np.random.default_rng(4), 3)
    groups = [rows for _, rows in frame.groupby("Subject", observed=True)]
    if by_rows:
        groups = [rows for rows in groups if rows["w"].any()]
    for r in range(3):
        parts = [groups[j].assign(Subject=f"draw {place:02d}") for place, j in enumerate(sample.drawn[r])]
        assert len(set(sample.drawn[r])) < len(parts)
        again = mf.lmm("Reaction ~ Days + (Days | Subject)", pd.concat(parts), weights="w").fit()
        outcome = mf.estimate.estimate(
            sample.cross_products(r), [b.structure for b in own.design.blocks], reml=True
        )
        np.testing.assert_allclose(outcome.evaluation.value, again.reml_criterion, rtol=1e-10)
        np.testing.assert_allclose(outcome.theta, again.theta, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(outcome.evaluation.sigma, again.sigma, rtol=1e-7)


def test_cases_of_nested_factors_must_draw_the_outermost() -> None:
    frame = nested_frame()
    fit = mf.lmm("strength ~ 1 + (1 | batch/cask)", frame).fit()
    drawn = fit.bootstrap(
        3,
        seed=6,
        type="cases",
        statistic=lambda refit: [*refit.ngroups.values(), refit.nobs, *refit._fit.response],
    )
    for i in range(3):
        inner, outer, rows = drawn.statistic.iloc[i, :3]
        assert (inner, outer, rows) == (30, 10, 60)
        y = drawn.statistic.iloc[i, 3:].to_numpy()
        built = pd.DataFrame({"y": y, "batch": np.arange(60) // 6, "cask": np.arange(60) // 2 % 3})
        again = mf.lmm("y ~ 1 + (1 | batch/cask)", built).fit()
        np.testing.assert_allclose(drawn.criterion[i], again.reml_criterion, rtol=1e-9)


def test_reflated_effects_must_have_the_estimated_covariance() -> None:
    rng = np.random.default_rng(2)
    modes = rng.normal(size=(9, 2)) @ np.array([[1.0, 0.4], [0.0, 0.3]]) + 3.0
    omega = np.array([[4.0, 1.0], [1.0, 2.0]])
    out = reflated(modes, omega)
    np.testing.assert_allclose(out.T @ out / 9, omega, rtol=1e-10)
    np.testing.assert_allclose(out.mean(axis=0), 0.0, atol=1e-12)
    line = np.outer(rng.normal(size=9), [1.0, -2.0])
    flat = np.outer([1.0, -1.0], [1.0, -1.0])
    out = reflated(line, flat)
    np.testing.assert_allclose(out.T @ out / 9, flat, rtol=1e-8)
    assert not reflated(modes, np.zeros((2, 2))).any()


def one_way_draws(fit: mf.MixedResults, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return σ̂² and τ̂² by REML of a balanced one-way layout, drawn from the chi-squares of its mean squares."""
    rng = np.random.default_rng(77)
    levels, rows = next(iter(fit.ngroups.values())), fit.nobs
    m = rows // levels
    tau = fit.varcorr["vcov"][0]
    between = (fit.scale + m * tau) * rng.chisquare(levels - 1, n)
    within = fit.scale * rng.chisquare(rows - levels, n)
    inside = between / (levels - 1) > within / (rows - levels)
    sigma = np.where(inside, within / (rows - levels), (between + within) / (rows - 1))
    return sigma, np.where(inside, (between / (levels - 1) - sigma) / m, 0.0)


def test_replicates_must_follow_chi_squares_in_a_balanced_one_way_layout() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    drawn = fit.bootstrap(2000, seed=12)
    sigma, tau = one_way_draws(fit, 400_000)
    assert stats.ks_2samp(drawn.sigma**2, sigma).pvalue > 1e-3
    assert stats.ks_2samp(drawn.replicates[".sig01"] ** 2, tau).pvalue > 1e-3
    tau_hat = fit.varcorr["vcov"][0]
    zero = stats.f(5, 24).cdf(fit.scale / (fit.scale + 5 * tau_hat))
    assert stats.binomtest(int(drawn.singular.sum()), 2000, zero).pvalue > 1e-3
    spread = np.sqrt((fit.scale + 5 * tau_hat) / 30)
    assert stats.kstest(drawn.beta["(Intercept)"], stats.norm(fit.params.iloc[0], spread).cdf).pvalue > 1e-3


# -- intervals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", INTERVALS)
def test_interval_must_be_the_normal_one_for_normal_replicates(kind: str) -> None:
    replicates = stats.norm.ppf(np.arange(1, 40_000) / 40_000)
    limits = INTERVALS[kind](0.0, replicates, 0.9, 0.0)
    np.testing.assert_allclose(limits, [-1.644854, 1.644854], atol=2e-3)


def test_intervals_must_differ_as_theory_says_for_skewed_replicates() -> None:
    replicates = stats.expon.ppf(np.arange(1, 40_000) / 40_000)
    lower, upper = stats.expon.ppf([0.025, 0.975])
    np.testing.assert_allclose(INTERVALS["percentile"](1.0, replicates, 0.95, 0.0), [lower, upper], rtol=1e-3)
    np.testing.assert_allclose(
        INTERVALS["basic"](1.0, replicates, 0.95, 0.0), [2 - upper, 2 - lower], rtol=1e-3
    )
    np.testing.assert_allclose(
        INTERVALS["shortest"](1.0, replicates, 0.95, 0.0), [0, -np.log(0.05)], atol=1e-3
    )
    z0 = stats.norm.ppf(1.0 - np.exp(-1.0))  # DiCiccio & Efron (1996), equation 2.3, with a = 0.1
    shifted = z0 + np.array([-1.959964, 1.959964])
    expected = stats.expon.ppf(stats.norm.cdf(z0 + shifted / (1.0 - 0.1 * shifted)))
    np.testing.assert_allclose(INTERVALS["bca"](1.0, replicates, 0.95, 0.1), expected, rtol=2e-3)


def test_bca_must_agree_with_scipy_on_an_independent_sample() -> None:
    data = np.random.default_rng(3).gamma(2.0, size=40)
    other = stats.bootstrap((data,), np.var, n_resamples=20_000, method="BCa", random_state=1)
    left_out = np.array([[np.var(np.delete(data, i))] for i in range(40)])
    acceleration = float(acceleration_of(left_out)[0])
    replicates = other.bootstrap_distribution
    found = INTERVALS["bca"](float(np.var(data)), replicates, 0.95, acceleration)
    width = np.diff(other.confidence_interval)[0]
    np.testing.assert_allclose(found, other.confidence_interval, atol=0.002 * width)
    rival = INTERVALS["percentile"](float(np.var(data)), replicates, 0.95, acceleration)
    assert np.abs(np.array(rival) - other.confidence_interval).max() > 0.02 * width


def test_bca_must_work_on_a_fit() -> None:
    fit = FITS["slopes"]()
    drawn = fit.bootstrap(300, seed=1)
    frame = mf.load_dataset("sleepstudy")
    kept = [frame[frame["Subject"] != s] for s in frame["Subject"].cat.categories]
    again = [mf.lmm("Reaction ~ Days + (Days | Subject)", rows).fit() for rows in kept]
    np.testing.assert_allclose(drawn.jackknife.values[:, 3], [a.sigma for a in again], rtol=1e-6)
    limits = drawn.conf_int(kind="bca")
    assert np.all(limits["lower"] < drawn.estimates)
    assert np.all(drawn.estimates < limits["upper"])


def test_conf_int_must_name_and_bound_parameters() -> None:
    fit = FITS["singular"]()
    drawn = fit.bootstrap(200, seed=1)
    table = drawn.conf_int(0.9, "basic", parameters=["SD of (Intercept) | Batch", "fixed"])
    assert list(table.index) == [".sig01", "(Intercept)"]
    assert table.loc[".sig01", "meaning"] == "SD of (Intercept) | Batch"
    assert table.loc[".sig01", "lower"] == 0.0
    assert drawn.conf_int(parameters=".sig01", names="long").index[0] == "sd_(Intercept)|Batch"


def test_table_must_hold_bias_and_standard_error_of_the_replicates() -> None:
    drawn = FITS["slopes"]().bootstrap(100, seed=1)
    table = drawn.table
    np.testing.assert_allclose(table["bias"], drawn.replicates.mean() - drawn.estimates, rtol=1e-9)
    np.testing.assert_allclose(table["std_error"], drawn.replicates.std(ddof=1), rtol=1e-9)


def test_monte_carlo_error_must_be_that_of_the_quantiles() -> None:
    from mixedfit.inference.bootstrap_intervals import monte_carlo_error

    draws = np.random.default_rng(1).normal(size=(400, 2000))
    met = np.quantile(draws, 0.975, axis=1).std()
    np.testing.assert_allclose(np.median([monte_carlo_error(row, 0.95) for row in draws]), met, rtol=0.25)


# -- the statistic, and runs that end early ------------------------------------------------------------


def test_statistic_must_keep_the_names_of_its_series() -> None:
    fit = FITS["slopes"]()
    drawn = fit.bootstrap(3, seed=1, statistic=lambda refit: refit.params)
    assert list(drawn.statistic.columns) == ["statistic.(Intercept)", "statistic.Days"]
    np.testing.assert_array_equal(drawn.statistic.to_numpy(), drawn.beta.to_numpy())
    number = fit.bootstrap(3, seed=1, statistic=lambda refit: refit.sigma**2)
    np.testing.assert_allclose(number.replicates["statistic"], number.sigma**2)


class Unwell:
    """A statistic that does something else at its n-th call."""

    def __init__(self, at: int, act: Callable[[], Any]) -> None:
        self.at, self.act, self.calls = at, act, 0

    def __call__(self, refit: mf.MixedResults) -> Any:
        self.calls += 1
        return self.act() if self.calls == self.at else refit.sigma


def raise_error(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_statistic_that_raises_must_be_named_with_its_replicate(n_jobs: int) -> None:
    statistic = Unwell(4, lambda: raise_error(KeyError("nothing")))
    with pytest.raises(mf.ModelError, match=r"raised KeyError on replicate \d+: 'nothing'") as caught:
        FITS["slopes"]().bootstrap(9, seed=1, statistic=statistic, n_jobs=n_jobs)
    assert isinstance(caught.value.__cause__, KeyError)


def test_statistic_that_changes_length_must_be_refused() -> None:
    with pytest.raises(mf.ModelError, match="returned 2 numbers on replicate 1 and 1 on the fit itself"):
        FITS["slopes"]().bootstrap(9, seed=1, statistic=Unwell(3, lambda: [1.0, 2.0]))
    with pytest.raises(mf.ModelError, match="returned str on the fit itself"):
        FITS["slopes"]().bootstrap(9, seed=1, statistic=lambda refit: "text")


def test_statistic_that_is_nan_must_count_as_failed() -> None:
    with pytest.warns(mf.BootstrapWarning, match="1 of 9 replicates failed"):
        drawn = FITS["slopes"]().bootstrap(9, seed=1, statistic=Unwell(3, lambda: float("nan")))
    assert drawn.failed.tolist() == [i == 1 for i in range(9)]
    assert drawn.replicates.loc[1].isna().all()
    assert "the statistic is NaN" in str(drawn)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupt_must_keep_what_was_done(n_jobs: int) -> None:
    fit = FITS["slopes"]()
    whole = fit.bootstrap(200, seed=1)
    statistic = Unwell(31, lambda: raise_error(KeyboardInterrupt()))
    with pytest.warns(mf.BootstrapWarning, match="stopped after"):
        drawn = fit.bootstrap(200, seed=1, statistic=statistic, n_jobs=n_jobs)
    assert 29 <= drawn.n < 200
    pd.testing.assert_frame_equal(drawn.replicates.iloc[:, :6], whole.replicates.loc[drawn.replicates.index])
    assert f"Stopped after {drawn.n} of 200" in str(drawn)


def test_groups_that_determine_too_little_must_count_as_failed() -> None:
    frame = mf.load_dataset("sleepstudy")
    frame["old"] = (frame["Subject"].cat.codes < 2).astype(float)
    fit = mf.lmm("Reaction ~ old + Days + (1 | Subject)", frame).fit()
    with pytest.warns(mf.BootstrapWarning, match="the groups drawn cannot determine all fixed effects"):
        drawn = fit.bootstrap(100, seed=1, type="cases")
    expected = 100 * (1 - 2 / 18) ** 18
    assert abs(drawn.failed.sum() - expected) < 4 * np.sqrt(expected)
    assert drawn.criterion[drawn.failed].isna().all()
    assert "left out" in str(drawn)


def test_progress_must_be_shown_when_asked_for(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("mixedfit._progress.PATIENCE", -1.0)
    FITS["slopes"]().bootstrap(70, seed=1, progress=True)
    shown = capsys.readouterr().err
    assert "of 70 replicates" in shown
    assert shown.endswith("\n")


# -- bad input -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0; expected a whole number of at least 1"),
        ({"n": 2.5}, r"n is 2\.5"),
        ({"n": True}, "n is True"),
        ({"type": "parametrc"}, "Did you mean 'parametric'"),
        ({"seed": 1.5}, r"seed=1\.5 is a float"),
        ({"seed": -1}, "whole number of at least 0"),
        ({"seed": np.random.RandomState(1)}, "numpy Generator"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"resample": "Subject"}, "it has no use here"),
        ({"type": "cases", "resample": "Subjekt"}, "Did you mean 'Subject'"),
    ],
)
def test_bootstrap_must_refuse_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        FITS["slopes"]().bootstrap(**{"n": 3, **options})


def test_conf_int_must_refuse_bad_options() -> None:
    drawn = FITS["slopes"]().bootstrap(100, seed=np.random.default_rng(1))
    for level in (0.0, 1.0, 95, "0.95", float("nan")):
        with pytest.raises(mf.ModelError, match="the coverage of the interval"):
            drawn.conf_int(level)  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="Did you mean 'percentile'"):
        drawn.conf_int(kind="percentil")  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match=r"Did you mean '\.sigma'"):
        drawn.conf_int(parameters=".sigm")
    with pytest.warns(mf.BootstrapWarning, match="too few for intervals"):
        drawn.conf_int(0.999)


def test_crossed_factors_must_not_be_drawn_unless_one_is_named() -> None:
    fit = crossed_fit()
    with pytest.raises(mf.ModelError, match=r"the factors g, h are crossed.*resample='g'"):
        fit.bootstrap(3, type="cases")
    drawn = fit.bootstrap(3, type="cases", resample="g", seed=1, statistic=lambda refit: refit.ngroups["h"])
    assert drawn.statistic["statistic"].tolist() == [4.0] * 3
    with pytest.raises(mf.ModelError, match="'f' has many levels"):
        FITS["many"]().bootstrap(3, type="cases")


# -- the test of nested models -------------------------------------------------------------------------


def test_bootstrap_test_must_agree_with_the_exact_f_test_of_a_variance() -> None:
    data = mf.load_dataset("Dyestuff")
    data["Yield"] = data["Yield"] + 24.0 * np.random.default_rng(0).normal(size=30)
    null = mf.lmm("Yield ~ 1", data).fit()
    larger = mf.lmm("Yield ~ 1 + (1 | Batch)", data).fit()
    test = mf.parametric_bootstrap_test(null, larger, 1500, seed=5)
    groups = [rows["Yield"] for _, rows in data.groupby("Batch", observed=True)]
    exact = stats.f_oneway(*groups).pvalue
    assert abs(test.p_value - exact) < 4 * test.mc_error
    assert abs(test.p_chisq - exact) > 4 * test.mc_error
    zeros = np.mean(test.replicates < 1e-6)
    assert stats.binomtest(int(zeros * 1500), 1500, stats.f(5, 24).cdf(1.0)).pvalue > 1e-3
    assert test.statistic == pytest.approx(null.reml_criterion - larger.reml_criterion)
    assert "REML criteria are compared" in str(test)


def blocks_frame() -> pd.DataFrame:
    rng = np.random.default_rng(21)
    frame = pd.DataFrame({"block": np.repeat(np.arange(6), 4), "treat": np.tile(list("abcd"), 6)})
    frame["y"] = (
        5.0 * rng.normal(size=6)[frame["block"]] + rng.normal(size=24) + 1.1 * (frame["treat"] == "a")
    )
    return frame


def test_bootstrap_test_must_agree_with_the_exact_f_test_of_treatments() -> None:
    frame = blocks_frame()
    null, larger = (mf.lmm(f"y ~ {x} + (1 | block)", frame).fit() for x in ("1", "treat"))
    test = mf.parametric_bootstrap_test(null, larger, 1500, seed=5, n_jobs=2)
    wide = frame.pivot(index="block", columns="treat", values="y")
    centred = wide - wide.mean(axis=0) - wide.mean(axis=1).to_numpy()[:, None] + wide.to_numpy().mean()
    ratio = 6 * wide.mean().var() / ((centred**2).to_numpy().sum() / 15)
    exact = stats.f(3, 15).sf(ratio)
    assert abs(test.p_value - exact) < 4 * test.mc_error
    assert abs(test.p_chisq - exact) > 4 * test.mc_error
    assert test.df == 3
    assert "refitted by maximum likelihood" in str(test)
    again = mf.parametric_bootstrap_test(null, larger, 100, seed=5)
    np.testing.assert_array_equal(again.replicates, test.replicates[:100])


def test_bootstrap_test_must_refuse_models_that_cannot_be_compared() -> None:
    data = mf.load_dataset("sleepstudy")
    null = mf.lmm("Reaction ~ 1 + (1 | Subject)", data).fit()
    larger = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    with pytest.raises(mf.ModelError, match="the first must be the smaller one"):
        mf.parametric_bootstrap_test(larger, null, 5)
    fewer = mf.lmm("Reaction ~ Days + (1 | Subject)", data.iloc[:-1]).fit()
    with pytest.raises(mf.ModelError, match="different rows"):
        mf.parametric_bootstrap_test(null, fewer, 5)
    held = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit(sigma=25.0)
    with pytest.raises(mf.ModelError, match="hold it in both or none"):
        mf.parametric_bootstrap_test(null, held, 5)
    with pytest.raises(mf.ModelError, match="n is 0"):
        mf.parametric_bootstrap_test(null, larger, 0)
