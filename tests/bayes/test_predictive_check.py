"""Predictive checks and draws from the prior: against numpy, scipy and exact normal distributions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedfit as mf
from mixedfit import plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

pr = mf.priors


@pytest.fixture(autouse=True)
def _no_figure_must_stay_open() -> Iterator[None]:
    yield
    plt.close("all")


@lru_cache
def sleep() -> mf.Posterior:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).gibbs(seed=1)


def seedlings() -> mf.LinearMixedModel:
    return mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))


TAU, SIGMA, MEAN, SPREAD = 3.0, 1.9, np.array([10.0, 1.0]), np.diag([25.0, 16.0])
KNOWN = {"fixed": pr.Normal(MEAN, [5.0, 4.0]), "Tray": pr.Known(TAU), "sigma": pr.Known(SIGMA)}


@lru_cache
def known() -> mf.Posterior:
    return seedlings().gibbs(KNOWN, draws=5000, tune=50, seed=1)


EVERY = ["mean", "median", "sd", "min", "max", "skewness", "kurtosis", "within_sd", "between_sd"]


def test_statistics_must_be_those_of_numpy_scipy_and_pandas() -> None:
    found = sleep().check(EVERY, draws=20, seed=1).table["observed"]
    data = mf.load_dataset("sleepstudy")
    y, groups = data["Reaction"], data.groupby("Subject", observed=True)["Reaction"]
    within = np.sqrt(((y - groups.transform("mean")) ** 2).sum() / (180 - 18))
    expected = [
        y.mean(),
        y.median(),
        y.std(),
        y.min(),
        y.max(),
        stats.skew(y),
        stats.kurtosis(y, fisher=False),
    ]
    np.testing.assert_allclose(found, [*expected, within, groups.mean().std()], rtol=1e-12)


def test_statistics_of_replicates_must_be_those_of_the_same_replicates() -> None:
    checked = sleep().check({"last": lambda y: y[-1], "mean": "mean"}, draws=70, seed=3)
    y = sleep().replicate(70, seed=3)
    np.testing.assert_array_equal(checked.replicated["last"], y[:, -1])
    np.testing.assert_allclose(checked.replicated["mean"], y.mean(axis=1))
    np.testing.assert_array_equal(checked.responses, y[:50])
    lower, upper = np.quantile(y.mean(axis=1), [0.025, 0.975])
    assert checked.table.loc["mean", ["lower", "upper"]].tolist() == pytest.approx([lower, upper])


def test_p_value_must_count_replicates_as_large_and_half_of_the_equal_ones() -> None:
    checked = sleep().check(lambda y: np.round(y.mean() / 5), draws=400, seed=1)
    drawn, observed = checked.replicated["statistic 1"], checked.table["observed"].iloc[0]
    expected = np.mean(drawn > observed) + np.mean(drawn == observed) / 2
    assert 0.1 < np.mean(drawn == observed) < 0.99
    assert checked.table["p_value"].iloc[0] == pytest.approx(expected)


def joint(new: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return exact mean and covariance of a replicate of the known-variance model, by dense algebra."""
    design = known().design
    Z = np.eye(8)[design.blocks[0].codes]
    W = np.hstack([design.X, Z])
    precision = np.diag([1 / 25, 1 / 16, *np.full(8, 1 / TAU**2)]) + W.T @ W / SIGMA**2
    linear = np.concatenate([np.linalg.solve(SPREAD, MEAN), np.zeros(8)]) + W.T @ design.y / SIGMA**2
    mean, cov = np.linalg.solve(precision, linear), np.linalg.inv(precision)
    if new:
        mean[2:], cov[2:], cov[:, 2:] = 0.0, 0.0, 0.0
        cov[2:, 2:] = TAU**2 * np.eye(8)
    return W @ mean, W @ cov @ W.T + SIGMA**2 * np.eye(design.n)


@pytest.mark.parametrize("groups", ["same", "new"])
def test_replicates_must_have_the_exact_distribution_where_variances_are_known(groups: Any) -> None:
    y = known().replicate(20_000, groups=groups, seed=2)
    mean, cov = joint(groups == "new")
    size = len(y)
    assert size == 20_000
    assert np.abs((y.mean(axis=0) - mean) / np.sqrt(np.diag(cov) / size)).max() < 5.0
    found = np.cov(y.T)
    error = np.sqrt((cov**2 + np.outer(np.diag(cov), np.diag(cov))) / size)
    assert np.abs((found - cov) / error).max() < 5.5
    # the rival: groups' effects drawn anew, or not
    assert np.abs((joint(groups != "new")[1] - cov) / error).max() > 50


def test_replicates_must_have_the_weights_and_offset_of_the_data() -> None:
    data = mf.load_dataset("Dyestuff").assign(w=np.linspace(0.1, 4.0, 30), shift=1000.0)
    priors = {"fixed": pr.Normal(0, 1e-3), "Batch": pr.Known(1e-3), "sigma": pr.Known(2.0)}
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", data, weights="w", offset="shift")
    y = model.gibbs(priors, draws=2500, tune=10, seed=1).replicate(10_000, seed=1)
    np.testing.assert_allclose(y.mean(axis=0), 1000.0, atol=0.3)
    np.testing.assert_allclose(y.std(axis=0) * np.sqrt(data["w"]), 2.0, rtol=0.04)
    assert model.gibbs(priors, draws=10, tune=10, seed=1).check("mean").table["observed"].iloc[0] == 1527.5


def test_same_seed_must_give_the_same_check() -> None:
    first, second = (sleep().check(seed=5, groups="new").replicated for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_printout_must_name_statistics_in_the_tails_of_the_replicates() -> None:
    data = mf.load_dataset("sleepstudy")
    data["Reaction"] = np.exp(data["Reaction"] / 60)
    text = str(mf.lmm("Reaction ~ Days + (1 | Subject)", data).gibbs(seed=1).check(seed=1))
    assert "max" in text.splitlines()[-2] + text.splitlines()[-1]
    assert "larger than in nearly all replicates" in " ".join(text.split())
    assert "< 0.001" in text
    assert "The data look like the replicates" in str(sleep().check(["mean", "sd"], seed=1))


def test_check_of_a_prior_must_say_what_the_prior_allows_and_not_that_the_data_look_like_it() -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    wide = model.prior_predictive(seed=1, draws=200).check(seed=1)
    text = " ".join(str(wide).split())
    assert "The data lie within what the prior allows in all of these." in text
    row, observed = wide.table.loc["max"], wide.response
    widths = {n: wide.table.loc[n, "upper"] - wide.table.loc[n, "lower"] for n in ("mean", "min", "max")}
    name = max(widths, key=widths.__getitem__)
    assert f"95% range of the {name}" in text
    assert f"is {widths[name] / np.ptp(observed):.2g} times as wide" in text
    assert row["upper"] > observed.max()
    narrow = {"fixed": mf.priors.Normal(0, 1), "Subject": mf.priors.LKJ(2, mf.priors.HalfNormal(1))}
    narrow |= {"sigma": mf.priors.HalfNormal(1)}
    text = " ".join(str(model.prior_predictive(narrow, seed=1, draws=200).check(["mean"], seed=1)).split())
    assert "the prior has little room for this" in text
    assert "times as wide" not in text


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda p: p.check("maxx"), "Did you mean 'max'"),
        (lambda p: p.check(["mean", 3]), "not a known statistic"),
        (lambda p: p.check([]), "expected names"),
        (lambda p: p.check(lambda y: y[:2]), "expected one number"),
        (lambda p: p.check(lambda y: "high"), "expected one number"),
        (lambda p: p.check(lambda y: np.log(y.min() - 194.4)), "not a finite number"),
        (lambda p: p.check(group="subject"), "Did you mean 'Subject'"),
        (lambda p: p.check(groups="old"), "'same'"),
        (lambda p: p.check(draws=0), "at least 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_invalid_check_must_raise(ask: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        ask(sleep())


def test_model_without_groups_must_have_no_statistics_of_groups() -> None:
    posterior = mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy")).gibbs(seed=1)
    assert list(posterior.check(seed=1).table.index) == ["mean", "sd", "min", "max", "skewness"]
    assert "groups" not in str(posterior.check(seed=1))
    with pytest.raises(mf.ModelError, match="needs a grouping factor"):
        posterior.check("between_sd")


def test_effects_that_were_not_kept_must_be_asked_for_unless_groups_are_new() -> None:
    lean = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).gibbs(
        draws=50, tune=20, seed=1, keep_effects=False
    )
    with pytest.raises(mf.ModelError, match="keep_effects=True"):
        lean.check()
    assert lean.check(groups="new", seed=1).table.shape == (7, 6)


# -- the prior ---------------------------------------------------------------------------------------


def prior_of(prior: Any) -> mf.Posterior:
    return seedlings().prior_predictive({**KNOWN, "Tray": prior}, draws=20_000, seed=1)


LAWS = [
    (pr.HalfT(3, 2.0), stats.t(3, scale=2.0), abs),
    (pr.HalfCauchy(1.5), stats.halfcauchy(scale=1.5), abs),
    (pr.HalfNormal(2.5), stats.halfnorm(scale=2.5), abs),
    (pr.Exponential(2.0), stats.expon(scale=2.0), abs),
    (pr.LogNormal(2.0, 0.7), stats.lognorm(0.7, scale=2.0), abs),
    (pr.UniformSD(4.0), stats.uniform(0, 4.0), abs),
    (pr.InverseGamma(2.0, 3.0), stats.invgamma(2.0, scale=3.0), lambda tau: tau**2),
]


@pytest.mark.everyday(3)
@pytest.mark.parametrize(
    ("prior", "law", "turned"), LAWS, ids=lambda x: str(x) if hasattr(x, "about") else ""
)
def test_draws_from_a_prior_must_have_its_distribution(prior: Any, law: Any, turned: Any) -> None:
    drawn = turned(prior_of(prior)["sd_(Intercept)|Tray"][0])
    folded = (lambda x: 2 * law.cdf(x) - 1) if isinstance(prior, pr.HalfT) else law.cdf
    assert stats.kstest(drawn, folded).pvalue > 1e-3
    sigma = seedlings().prior_predictive({**KNOWN, "sigma": prior}, draws=20_000, seed=2)["sigma"][0]
    assert stats.kstest(turned(sigma), folded).pvalue > 1e-3


def slopes_prior(prior: Any) -> mf.Posterior:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    return model.prior_predictive({"Subject": prior}, draws=20_000, seed=1)


def test_inverse_wishart_draws_must_have_its_marginals() -> None:
    scale = np.array([[3.0, 1.0], [1.0, 2.0]])
    omega = slopes_prior(pr.InverseWishart(6, scale)).omega[0][0]
    # Ω_ii ~ inverse-gamma((η₀ − k + 1)/2, S_ii/2); E Ω = S/(η₀ − k − 1)
    for i in range(2):
        law = stats.invgamma(2.5, scale=scale[i, i] / 2)
        assert stats.kstest(omega[:, i, i], law.cdf).pvalue > 1e-3
    np.testing.assert_allclose(omega.mean(axis=0), scale / 3, rtol=0.05)
    other = stats.invwishart(6, scale).rvs(20_000, random_state=1)
    correlations = [o[:, 0, 1] / np.sqrt(o[:, 0, 0] * o[:, 1, 1]) for o in (omega, other)]
    assert stats.ks_2samp(*correlations).pvalue > 1e-3


def test_huang_wand_draws_must_have_half_t_deviations_and_uniform_correlations() -> None:
    prior = slopes_prior(pr.HuangWand((50.0, 10.0)))
    for name, scale in (("(Intercept)", 50.0), ("Days", 10.0)):
        law = stats.t(2, scale=scale)
        assert stats.kstest(prior[f"sd_{name}|Subject"][0], lambda x, t=law: 2 * t.cdf(x) - 1).pvalue > 1e-3
    correlation = prior["cor_Days.(Intercept)|Subject"][0]
    assert stats.kstest(correlation, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_prior_without_correlations_must_have_none() -> None:
    prior = slopes_prior(pr.Diagonal(pr.HalfNormal(50), pr.HalfNormal(10)))
    assert "cor_Days.(Intercept)|Subject" not in prior
    assert np.all(prior.omega[0][0, :, 0, 1] == 0)
    assert stats.kstest(prior["sd_Days|Subject"][0], stats.halfnorm(scale=10).cdf).pvalue > 1e-3


def test_responses_of_a_prior_must_have_its_moments() -> None:
    y = seedlings().prior_predictive(KNOWN, draws=20_000, seed=1).replicate(20_000, seed=2)
    design = known().design
    Z = np.eye(8)[design.blocks[0].codes]
    cov = design.X @ SPREAD @ design.X.T + TAU**2 * Z @ Z.T + SIGMA**2 * np.eye(design.n)
    error = np.sqrt((cov**2 + np.outer(np.diag(cov), np.diag(cov))) / len(y))
    assert np.abs((y.mean(axis=0) - design.X @ MEAN) / np.sqrt(np.diag(cov) / len(y))).max() < 5.0
    assert np.abs((np.cov(y.T) - cov) / error).max() < 5.5


def test_default_prior_must_be_about_the_mean_response() -> None:
    prior = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).prior_predictive(seed=1)
    means = prior.derive("(Intercept) + 4.5 * Days").values
    assert means.std() == pytest.approx(140.0, rel=0.08)
    assert prior["(Intercept)"].std() > 200
    assert "N(299, 140²)" in str(prior)
    assert "rhat" not in str(prior)
    assert prior.check("mean", seed=1).kind == "prior"


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"fixed": pr.Flat()}, r"p\(β\) ∝ 1 is improper"),
        ({"GenotypeB": pr.Flat()}, r"p\(β\[GenotypeB\]\) ∝ 1 is improper"),
        ({"sigma": pr.Jeffreys()}, r"p\(σ²\) ∝ 1/σ² is improper"),
        ({"Tray": pr.UniformSD()}, "UniformSD\\(upper\\)"),
        ({"tray": pr.HalfCauchy(1)}, "Did you mean 'Tray'"),
    ],
)
def test_improper_prior_must_have_no_draws(priors: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        seedlings().prior_predictive(priors)


def test_prior_must_have_no_loo_and_waic() -> None:
    prior = seedlings().prior_predictive(seed=1)
    for ask in (prior.loo, prior.waic):
        with pytest.raises(mf.ModelError, match="from the prior"):
            ask()
    with pytest.raises(mf.ModelError, match="at least 4"):
        seedlings().prior_predictive(draws=1)


# -- pictures ----------------------------------------------------------------------------------------


def test_picture_of_responses_must_show_data_over_replicates() -> None:
    checked = sleep().check("mean", seed=1)
    figure, axes = plt.subplots()
    assert plots.predictive_responses(checked, kind="ecdf", ax=axes) is axes
    data = next(line for line in axes.lines if line.get_label() == "data")
    y = np.sort(mf.load_dataset("sleepstudy")["Reaction"])
    np.testing.assert_array_equal(data.get_xdata()[1::2], y)
    np.testing.assert_allclose(data.get_ydata()[1::2], np.arange(1, 181) / 180)
    assert len(axes.lines) == 51
    assert axes.get_xlabel() == "Reaction"
    density = plots.predictive_responses(checked)
    x, height = density.lines[-1].get_data()
    assert np.trapezoid(height, x) == pytest.approx(1.0, abs=0.01)
    figure.canvas.draw()
    with pytest.raises(mf.ModelError, match="ecdf"):
        plots.predictive_responses(checked, kind="box")


def test_picture_of_statistics_must_have_a_panel_with_the_data_for_each() -> None:
    checked = sleep().check(seed=1)
    figure = plots.predictive_statistics(checked)
    assert [ax.get_label() for ax in figure.axes] == list(checked.table.index)
    for ax in figure.axes:
        assert ax.lines[0].get_xdata()[0] == checked.table.loc[ax.get_label(), "observed"]
        inside = checked.replicated[ax.get_label()].between(*ax.get_xlim()).sum()
        assert sum(bar.get_height() for bar in ax.patches) == inside >= 985
    assert len(plots.predictive_statistics(checked, "max").axes) == 1
    with pytest.raises(mf.ModelError, match="Did you mean 'skewness'"):
        plots.predictive_statistics(checked, ["skewnes"])


# -- t and Laplace, and variances by group -------------------------------------------------------------


SHAPES = {
    "t": {"errors": mf.distributions.StudentT(5), "random_effects": mf.distributions.Laplace()},
    "by": {"sigma": "by:Tray"},
}


@lru_cache
def shaped(name: str) -> mf.Posterior:
    priors = {key: prior for key, prior in KNOWN.items() if name == "t" or key != "sigma"}
    return seedlings().gibbs(priors, draws=2500, tune=200, seed=1, **SHAPES[name])


def test_replicates_of_new_groups_must_have_the_tails_of_their_distributions() -> None:
    y = shaped("t").replicate(10_000, groups="new", seed=1)
    design = shaped("t").design
    mean = (shaped("t").beta.reshape(-1, 2) @ design.X.T).mean(axis=0)
    spread = design.X @ np.cov(shaped("t").beta.reshape(-1, 2).T) @ design.X.T
    first, second = 0, 1  # two plants of one tray
    assert design.blocks[0].codes[first] == design.blocks[0].codes[second]
    # variance of t is ν/(ν − 2) σ², of Laplace 2τ²
    own = 2 * TAU**2 + spread[0, 0]
    assert np.var(y[:, 0] - mean[0]) == pytest.approx(own + 5 / 3 * SIGMA**2, rel=0.1)
    assert np.cov(y[:, first], y[:, second])[0, 1] == pytest.approx(own, rel=0.1)


def test_replicates_of_new_groups_must_have_new_residual_variances_where_these_are_by_group() -> None:
    posterior = shaped("by")
    assert posterior.scales is not None
    same, new = (posterior.replicate(10_000, groups=g, seed=1) for g in ("same", "new"))
    design = posterior.design
    rows = np.flatnonzero(design.blocks[0].codes == 3)[:2]
    expected = 2 * np.mean(posterior.scales.sigmas[:, :, 3] ** 2)
    assert np.var(same[:, rows[0]] - same[:, rows[1]]) == pytest.approx(expected, rel=0.06)
    fresh = np.abs(new[:, rows[0]] - new[:, rows[1]])
    rng = np.random.default_rng(1)
    nu0, sigma0 = (v.ravel() for v in (posterior.scales.nu0, posterior.scales.sigma0))
    drawn = sigma0 * np.sqrt(nu0 / rng.chisquare(nu0)) * np.sqrt(2) * np.abs(rng.standard_normal(nu0.size))
    assert stats.ks_2samp(fresh, drawn).pvalue > 1e-3


def test_prior_of_other_distributions_must_be_drawn_from() -> None:
    d = mf.distributions
    prior = seedlings().prior_predictive(
        KNOWN, draws=20_000, seed=1, errors=d.StudentT("estimate"), random_effects=d.Laplace()
    )
    assert stats.kstest(prior["nu"][0], stats.gamma(2, scale=10).cdf).pvalue > 1e-3
    b = prior.effects[0][0, :, 2, 0]
    assert stats.kstest(b, stats.laplace(scale=TAU).cdf).pvalue > 1e-3
    y = prior.replicate(20_000, seed=3)
    means = prior.beta[0] @ prior.design.X[0] + prior.effects[0][0, :, prior.design.blocks[0].codes[0], 0]
    residual = (y[:, 0] - means) / SIGMA
    assert stats.kstest(stats.t(prior["nu"][0]).cdf(residual), "uniform").pvalue > 1e-3


def test_prior_of_residual_variances_by_group_must_be_drawn_from() -> None:
    priors = {key: prior for key, prior in KNOWN.items() if key != "sigma"}
    priors |= {"nu0": pr.Gamma(8.0, 1.0), "sigma0": pr.HalfNormal(2.0)}
    prior = seedlings().prior_predictive(priors, draws=20_000, seed=1, sigma="by:Tray")
    assert stats.kstest(prior["nu0"][0], stats.gamma(8).cdf).pvalue > 1e-3
    assert stats.kstest(prior["sigma0"][0], stats.halfnorm(scale=2).cdf).pvalue > 1e-3
    level = next(name for name in prior if name.startswith("sigma["))
    ratio = prior["nu0"] * prior["sigma0"] ** 2 / prior[level] ** 2  # χ² with ν₀ degrees of freedom
    assert stats.kstest(stats.chi2(prior["nu0"][0]).cdf(ratio[0]), "uniform").pvalue > 1e-3
    assert prior.check("sd", seed=1).kind == "prior"
    with pytest.raises(mf.ModelError, match="improper"):
        seedlings().prior_predictive({"sigma0": pr.Jeffreys()}, sigma="by:Tray")


def test_printout_must_show_the_median_of_replicates_with_far_tails() -> None:
    """Under a t distribution with ν near 0 the mean of replicates is that of the farthest one."""
    model = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy"))
    prior = model.prior_predictive(seed=1, errors=mf.distributions.StudentT("estimate"))
    checked = prior.check(["sd", "max"], seed=1)
    np.testing.assert_allclose(checked.table["median"], checked.replicated.median())
    assert max(map(len, str(checked).splitlines())) < 88
    assert f"{checked.replicated['sd'].median():.0f}" in str(checked)


def test_picture_of_statistics_must_show_the_bulk_and_count_the_replicates_beyond() -> None:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    checked = model.gibbs(draws=100, seed=1).check(["sd"], seed=1)
    checked.replicated.loc[:2, "sd"] = 1e6  # three far out, fewer than one in a hundred
    checked.replicated.loc[3:5, "sd"] = -1e6
    (ax,) = plots.predictive_statistics(checked).axes
    assert ax.get_xlim()[1] < 1000
    assert ax.get_title(loc="right").startswith("6 beyond; P = ")
    (other,) = plots.predictive_statistics(model_check()).axes
    assert other.get_title(loc="right").startswith("P = ")


def model_check() -> Any:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    return model.gibbs(draws=100, seed=1).check(["mean"], seed=1)
