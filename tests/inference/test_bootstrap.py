"""Bootstrap replicates against dense moments, closed forms and refits from scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from bootstrapped import FITS, crossed_fit, nested_frame
from oracles import DenseModel
from scipy import stats

import mixedfit as mf
from mixedfit.estimation.estimate import estimate
from mixedfit.estimation.simulate import simulate_response
from mixedfit.inference.bootstrap.cases import LevelSource, RowSource
from mixedfit.inference.bootstrap.sources import ResidualSource, reflated


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


def test_simulation_about_the_blups_must_differ_from_the_marginal_one() -> None:
    fit = crossed_fit()
    rows, mean, cov = dense_moments(fit)
    weights = fit._fit.design.weights[rows]
    noise = np.random.default_rng(1).standard_normal((rows.size, 40_000))
    conditional = fit.fittedvalues.to_numpy()[rows, None] + fit.sigma / np.sqrt(weights)[:, None] * noise
    assert worst_moment(conditional, mean, cov) > 48


@pytest.mark.everyday(3)
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
        outcome = estimate(sample.cross_products(r), [b.structure for b in own.design.blocks], reml=True)
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


def test_residuals_must_be_centred_and_have_the_estimated_variance_when_they_are_resampled() -> None:
    """Without an intercept residuals have a mean, which Carpenter et al. (2003) take off before they reflate."""
    rng = np.random.default_rng(5)
    x, group, w = rng.uniform(1, 2, 60), np.repeat(np.arange(12), 5), rng.uniform(0.5, 2.0, 60)
    y = 4.0 + x + rng.normal(size=12)[group] + rng.normal(size=60) / np.sqrt(w)
    fit = mf.lmm("y ~ 0 + x + (0 + x | g)", {"y": y, "x": x, "g": group}, weights=w).fit()
    left = (y - fit.fittedvalues.to_numpy()) * np.sqrt(w)
    assert abs(left.mean()) > 0.1 * left.std()
    drawn = ResidualSource(fit._fit).residuals
    np.testing.assert_allclose(drawn, (left - left.mean()) / left.std(), rtol=1e-9)


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


# -- the test of nested models -------------------------------------------------------------------------


@pytest.mark.slow
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
