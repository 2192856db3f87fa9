"""t, Cauchy, Laplace and LKJ priors: densities, posteriors against integration, evidence, calibration, keys."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from calibration import p_values, ranks
from evidence_oracle import log_normal_density, panels
from gibbs_oracle import dense_z
from scipy import special, stats

import mixedfit as mf
from mixedfit.bayes import priors as pr
from mixedfit.bayes.draws import convergence
from mixedfit.bayes.evidence.constants import log_constant
from mixedfit.bayes.priors import mixtures
from mixedfit.kernels.gibbs import variances as kinds

RNG = np.random.default_rng(4)
FRAME = pd.DataFrame({"x": RNG.standard_normal(20), "g": np.repeat(list("abcde"), 4)})
FRAME["y"] = 1 + 1.5 * FRAME["x"] + np.repeat(RNG.standard_normal(5), 4) + RNG.standard_normal(20)
FRAME["x2"] = FRAME["x"] - 3.0

FIXED: dict[str, tuple[Any, Any]] = {
    "t": (pr.StudentT(3, 0.2, 0.5), stats.t(3, 0.2, 0.5)),
    "Cauchy": (pr.Cauchy(0.2, 0.5), stats.cauchy(0.2, 0.5)),
    "Laplace": (pr.Laplace(0.2, 0.5), stats.laplace(0.2, 0.5)),
}


def close(draws: np.ndarray, expected: float) -> bool:
    return abs(draws.mean() - expected) < 4 * convergence.mcse_mean(draws)


# -- scale mixtures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIXED)
def test_mixture_must_have_the_density_of_scipy(name: str) -> None:
    prior, law = FIXED[name]
    u, w = panels(-30.0, 30.0, 120)
    for value in (-1.0, 0.2001, 3.0):
        logs = mixtures.log_precision_density(prior, u) + stats.norm(0.2, 0.5 * np.exp(-u / 2)).logpdf(value)
        mixed = special.logsumexp(logs + np.log(w))
        assert mixed == pytest.approx(law.logpdf(value), abs=1e-6)
        assert mixtures.log_density(prior, (value - 0.2) / 0.5) - np.log(0.5) == pytest.approx(
            law.logpdf(value)
        )


@pytest.mark.parametrize("name", FIXED)
def test_conditional_of_the_mixing_variable_must_be_that_of_the_joint_density(name: str) -> None:
    prior, z = FIXED[name][0], 1.3
    draws = np.log(mixtures.draw_precisions(prior, np.full(40_000, z), np.random.default_rng(1)))
    u, w = panels(-30.0, 30.0, 120)
    p = w * np.exp(mixtures.log_precision_density(prior, u) + 0.5 * u - 0.5 * np.exp(u) * z * z)
    mean = p @ u / p.sum()
    assert abs(draws.mean() - mean) < 4 * draws.std() / 200


def grid(prior: Any, law: Any) -> tuple[float, float, float]:
    """Return mean and SD of the slope and log p(y), by integration over slope and τ with σ known."""
    design = mf.lmm("y ~ x + (1 | g)", FRAME).design
    Z = dense_z(design.blocks[0].codes, design.blocks[0].z, 5)
    (b, wb), (t, wt) = panels(-2.0, 4.0, 60), panels(-8.0, 4.0, 24)
    V = 4.0 * np.ones((20, 20)) + np.exp(2 * t)[:, None, None] * (Z @ Z.T) + np.eye(20)
    tau = stats.halfnorm(scale=1.5).logpdf(np.exp(t)) + t + np.log(wt)
    logs = np.stack([log_normal_density(design.y, 1.0 + s * design.X[:, 1], V) + tau for s in b])
    by_slope = special.logsumexp(logs, axis=1) + law.logpdf(b) + np.log(wb)
    total = special.logsumexp(by_slope)
    p = np.exp(by_slope - total)
    return float(p @ b), float(np.sqrt(p @ b**2 - (p @ b) ** 2)), float(total)


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_posterior_and_evidence_must_equal_integration_under_a_mixture(name: str) -> None:
    prior, law = FIXED[name]
    mean, sd, log_y = grid(prior, law)
    priors = {"(Intercept)": pr.Normal(1, 2), "x": prior, "g": pr.HalfNormal(1.5), "sigma": pr.Known(1.0)}
    posterior = mf.lmm("y ~ x + (1 | g)", FRAME).gibbs(priors, draws=4000, seed=3)
    slope = posterior["x"]
    assert close(slope, mean)
    assert abs(slope.std() - sd) < 0.03 * sd
    evidence = posterior.log_evidence(method="bridge", seed=1)
    assert evidence.error < 0.05
    assert abs(evidence.value - log_y) < 4 * evidence.error
    ratio = posterior.savage_dickey("x = 0.5")
    assert ratio.prior_density == pytest.approx(law.pdf(0.5))


@pytest.mark.slow
def test_savage_dickey_must_equal_the_ratio_of_evidences_under_a_cauchy_prior() -> None:
    priors = {"(Intercept)": pr.Normal(0, 3), "g": pr.HalfNormal(1), "sigma": pr.HalfNormal(1)}
    full = mf.lmm("y ~ x2 + (1 | g)", FRAME).gibbs(priors | {"x2": pr.Cauchy(0, 0.7)}, draws=4000, seed=1)
    null = mf.lmm("y ~ 1 + (1 | g)", FRAME).gibbs(priors, seed=1)
    ratio, factor = full.savage_dickey("x2"), mf.bayes_factor(null, full.log_evidence(seed=2))
    assert abs(ratio.log - factor.log) < 4 * np.hypot(ratio.error, factor.error)
    with pytest.raises(mf.ModelError, match="not known in closed form"):
        full.savage_dickey("x2 = (Intercept)")


def test_prior_of_all_coefficients_must_equal_priors_of_each() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    one = model.gibbs({"fixed": pr.StudentT(4, [1, 0], [2, 0.5])}, draws=300, seed=2)
    each = model.gibbs({"(Intercept)": pr.StudentT(4, 1, 2), "x": pr.StudentT(4, 0, 0.5)}, draws=300, seed=2)
    assert np.allclose(one["x"], each["x"], atol=1e-6)


@pytest.mark.slow
def test_mixture_prior_must_serve_heavy_tails_and_autoregressive_residuals() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    tight = {"x": pr.Laplace(0, 0.01)}
    robust = model.gibbs(tight, errors=mf.distributions.StudentT(4), draws=300, seed=1)
    series = mf.lmm("y ~ x + (1 | g)", FRAME, residual=mf.residuals.AR1(group="g")).gibbs(
        tight, draws=300, seed=1
    )
    assert abs(robust["x"]).mean() < 0.1
    assert abs(series["x"]).mean() < 0.1


def test_centred_intercept_must_be_the_mean_response_at_the_means_of_the_predictors() -> None:
    law = {"fixed": pr.Flat(), "centred (Intercept)": pr.Normal(7, 1e-3)}
    posterior = mf.lmm("y ~ x2 + (1 | g)", FRAME).gibbs(law, draws=200, seed=1)
    centre = posterior["(Intercept)"] + FRAME["x2"].mean() * posterior["x2"]
    assert np.allclose(centre, 7.0, atol=0.01)
    assert "β[(Intercept)] + Σ β x̄ ~ N(7, 0.001²)" in posterior.priors
    american = mf.lmm("y ~ x2 + (1 | g)", FRAME).gibbs(
        {"fixed": pr.Flat(), "centered (Intercept)": pr.Normal(7, 1e-3)}, draws=200, seed=1
    )
    assert np.array_equal(american["x2"], posterior["x2"])


def test_default_slopes_must_keep_their_prior_beside_a_centred_intercept() -> None:
    model = mf.lmm("y ~ x2 + (1 | g)", FRAME)
    y = model.design.y
    same = {"centred (Intercept)": pr.Normal(float(f"{y.mean():.3g}"), float(f"{2.5 * y.std():.3g}"))}
    default, given = model.gibbs(draws=200, seed=1), model.gibbs(same, draws=200, seed=1)
    assert np.allclose(default["x2"], given["x2"], atol=1e-6)


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"(Intercept)": pr.Normal(0, 1), "centred (Intercept)": pr.Normal(0, 1)}, "give one prior"),
        ({"x": pr.StudentT(3, [0, 1], 1)}, "expected one mean and one scale"),
        ({"fixed": pr.Cauchy(0, [1, 2, 3])}, "has 3 numbers; the model has 2"),
        ({"g": pr.Cauchy(0, 1)}, "expected one of a standard deviation"),
        ({"x": pr.HalfCauchy(1)}, r"expected Flat\(\), Normal\(mean, sd\), StudentT"),
    ],
)
def test_mixture_prior_that_does_not_fit_must_be_refused(priors: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        mf.lmm("y ~ x + (1 | g)", FRAME).gibbs(priors)


@pytest.mark.parametrize(
    "make", [lambda: pr.StudentT(0, 0, 1), lambda: pr.Cauchy(0, -1), lambda: pr.Laplace("a", 1)]
)
def test_impossible_numbers_must_be_refused(make: Any) -> None:
    with pytest.raises(mf.ModelError):
        make()


# -- LKJ ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.7, 1.0, 4.0])
def test_density_of_lkj_must_integrate_to_one_over_two_effects(eta: float) -> None:
    matrix = np.array([[kinds.HALF_T, 3.0, 2.0], [kinds.EXPONENTIAL, 0.0, 0.7]])
    s, t, rho = 1.3, 0.4, np.tanh(panels(-12.0, 12.0, 40)[0])
    logs = []
    for r in rho:
        omega = np.array([[s * s, r * s * t], [r * s * t, t * t]])
        logs.append(kinds.log_covariance_density(kinds.LKJ, eta, matrix, omega, 2) + np.log(4 * s**2 * t**2))
    weights = panels(-12.0, 12.0, 40)[1] * (1 - rho**2)
    total = special.logsumexp(np.array(logs) + log_constant(kinds.LKJ, eta, 0.0, matrix), b=weights)
    expected = np.log(2) + stats.t(3, scale=2).logpdf(s) + stats.expon(scale=0.7).logpdf(t)
    assert total == pytest.approx(expected, abs=1e-6)


def test_constant_of_lkj_must_be_the_volume_of_correlation_matrices() -> None:
    """η = 1: that of 3 × 3 correlation matrices is π²/2; Joe (2006), J. Multivar. Anal. 97:2177."""
    matrix = np.tile([kinds.HALF_NORMAL, 0.0, 1.0], (3, 1))
    sds = 3 * log_constant(kinds.HALF_NORMAL, 0.0, 1.0, np.eye(1))
    constant = log_constant(kinds.LKJ, 1.0, 0.0, matrix) - sds + 3 * np.log(2)
    assert constant == pytest.approx(-np.log(np.pi**2 / 2))


def test_full_conditional_under_lkj_must_be_that_of_a_grid() -> None:
    rng, matrix = (
        np.random.default_rng(1),
        np.array([[kinds.HALF_T, 3.0, 1.2], [kinds.HALF_NORMAL, 0.0, 0.2]]),
    )
    b = rng.multivariate_normal([0, 0], [[0.3, 0.03], [0.03, 0.02]], 8)
    sums, omega, out = b.T @ b, np.diag([0.3, 0.02]), []
    for _ in range(8000):
        kinds.draw_covariance(rng, kinds.LKJ, 2.0, matrix, 8, sums.copy(), omega)
        out.append(
            (np.sqrt(omega[0, 0]), np.sqrt(omega[1, 1]), omega[0, 1] / np.sqrt(omega[0, 0] * omega[1, 1]))
        )
    s, t, r = np.meshgrid(
        np.linspace(0.05, 3, 90), np.linspace(0.01, 0.8, 90), np.linspace(-0.99, 0.99, 81), indexing="ij"
    )
    logdet = np.log(s**2 * t**2 * (1 - r**2))
    trace = (sums[0, 0] / s**2 + sums[1, 1] / t**2 - 2 * r * sums[0, 1] / (s * t)) / (1 - r**2)
    logs = (
        -4 * logdet - 0.5 * trace + np.log1p(-(r**2)) - 2 * np.log1p(s**2 / 3 / 1.44) - 0.5 * (t / 0.2) ** 2
    )
    p = np.exp(logs - logs.max())
    for values, points in zip(np.array(out).T, (s, t, r), strict=True):
        assert close(values[None], float((p * points).sum() / p.sum()))


def test_prior_draws_of_lkj_must_have_its_marginals() -> None:
    frame = FRAME.assign(z=np.random.default_rng(2).standard_normal(20))
    priors = {"g": pr.LKJ(1.5, pr.HalfNormal(2)), "sigma": pr.HalfNormal(1)}
    prior = mf.lmm("y ~ x + (x + z | g)", frame).prior_predictive(priors, draws=4000, seed=1)
    beta = stats.beta(1.5 + 0.5, 1.5 + 0.5, loc=-1, scale=2)  # η + k/2 − 1, of every correlation
    for name in [n for n in prior.names if n.startswith("cor_")]:
        assert stats.kstest(prior[name][0], beta.cdf).pvalue > 1e-3
    assert stats.kstest(prior["sd_z|g"][0], stats.halfnorm(scale=2).cdf).pvalue > 1e-3


def test_each_sd_must_take_its_own_prior_beside_lkj() -> None:
    model = mf.lmm("y ~ x + (x | g)", FRAME)
    keys = {"g": pr.LKJ(2, pr.HalfT(3, 4)), "sd_x|g": pr.HalfNormal(0.5)}
    posterior = model.gibbs(keys, draws=50, tune=50, seed=1)
    assert "Ω[(Intercept), x | g] ~ LKJ(2) with SDs half-t(3, 4), half-normal(0.5)" in posterior.priors
    both = model.gibbs({"g": pr.LKJ(2, pr.HalfT(3, 4), pr.HalfNormal(0.5))}, draws=50, tune=50, seed=1)
    assert np.array_equal(both["x"], posterior["x"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: pr.LKJ(0), "eta is 0"),
        (lambda: pr.LKJ(1, pr.Jeffreys()), "expected a proper one"),
        (lambda: pr.LKJ(1, pr.Known(2)), "expected a proper one"),
        (
            lambda: mf.lmm("y ~ x + (x | g)", FRAME).gibbs({"g": pr.LKJ(1, *[pr.HalfT(3, 1)] * 3)}),
            "has 2 effects",
        ),
        (lambda: mf.lmm("y ~ x + (1 | g)", FRAME).gibbs({"g": pr.LKJ(1)}), "one of a standard deviation"),
        (lambda: mf.lmm("y ~ x + (x | g)", FRAME).gibbs({"sd_x|g": pr.HalfT(3, 1)}), "LKJ"),
        (
            lambda: mf.lmm("y ~ x + (x | g)", FRAME).gibbs(
                {"g": pr.LKJ(1, *[pr.HalfT(3, 1)] * 2), "sd_x|g": pr.HalfT(3, 2)}
            ),
            "'sd_x.g' has two priors",
        ),
        (
            lambda: mf.lmm("y ~ x + (x | g)", FRAME).gibbs(
                {"g": pr.Diagonal(*[pr.HalfT(3, 1)] * 2), "sd_x|g": pr.HalfT(3, 2)}
            ),
            "'sd_x.g' has two priors",
        ),
    ],
)
def test_lkj_that_does_not_fit_must_be_refused(make: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        make()


# -- presets -----------------------------------------------------------------------------------------


def test_priors_of_brms_must_have_median_and_mad_of_the_response() -> None:
    """brms writes ``student_t(3, 289, 59)`` on the centred intercept and σ into its Stan code of sleepstudy."""
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    priors = pr.like("brms", model)
    assert [str(prior) for prior in priors.values()] == [
        "p(β) ∝ 1",
        "t(3, 288.7, 59.3)",
        "LKJ(1) with SDs half-t(3, 59.3)",
        "half-t(3, 59.3)",
    ]
    posterior = model.gibbs(priors, draws=50, tune=50, seed=1)
    assert posterior.priors[1] == "β[(Intercept)] + Σ β x̄ ~ t(3, 288.7, 59.3)"


def test_priors_of_bambi_must_be_those_it_prints_for_sleepstudy() -> None:
    """Bambi's notebook on sleepstudy: Normal(298.5079, 261.0092), 48.8915, HalfStudentT(4, 56.1721)."""
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    priors = pr.like("bambi", model)
    centre, slope = priors["centred (Intercept)"], priors["Days"]
    assert (centre.mean, centre.sd, slope.sd) == pytest.approx((298.5079, 261.0092, 48.8915), abs=1e-4)
    assert [p.scale for p in priors["Subject"].priors] == pytest.approx([261.0092, 48.8915], abs=1e-4)
    assert (priors["sigma"].df, priors["sigma"].scale) == (4, pytest.approx(56.1721, abs=1e-4))
    assert "τ[Days | Subject] ~ half-normal(48.89)" in model.gibbs(priors, draws=50, tune=50, seed=1).priors


def test_priors_of_rstanarm_must_have_the_sample_sds_and_units_of_sigma() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    priors, s = pr.like("rstanarm", model), FRAME["y"].std()
    assert (priors["x"].mean, priors["x"].sd) == (0.0, pytest.approx(2.5 * s / FRAME["x"].std()))
    centre = priors["centred (Intercept)"]
    assert (centre.mean, centre.sd) == (pytest.approx(FRAME["y"].mean()), pytest.approx(2.5 * s))
    assert priors["sigma"].mean == pytest.approx(s)
    statements = model.gibbs(priors, draws=50, tune=50, seed=1).priors
    assert "τ[(Intercept) | g]/σ ~ exponential(mean 1)" in statements


def test_posterior_and_evidence_in_units_of_sigma_must_equal_integration_over_both_sds() -> None:
    """Rival: τ ~ exponential(1) whatever σ, whose mean of τ differs by 40 %."""
    model, s = mf.lmm("y ~ x + (1 | g)", FRAME.assign(y=4 * FRAME["y"])), 4 * FRAME["y"].std()
    design, (lt, wt), (ls, ws) = model.design, panels(-8.0, 3.0, 12), panels(-0.6, 3.9, 10)
    Z, X = dense_z(design.blocks[0].codes, design.blocks[0].z, 5), design.X
    ratio, sigma = np.exp(np.repeat(lt, ls.size)), np.exp(np.tile(ls, lt.size))
    V = (ratio * sigma)[:, None, None] ** 2 * (Z @ Z.T) + sigma[:, None, None] ** 2 * np.eye(20)
    logs = log_normal_density(design.y, X @ [4.0, 0.0], V + X @ np.diag([64.0, 16.0]) @ X.T)
    logs += stats.expon.logpdf(ratio) + stats.expon(scale=s).logpdf(sigma) + np.log(ratio * sigma)
    logs += np.log(np.outer(wt, ws).ravel())
    p = np.exp(logs - special.logsumexp(logs))
    priors = {
        "(Intercept)": pr.Normal(4, 8),
        "x": pr.Normal(0, 4),
        "g": pr.Decov(),
        "sigma": pr.Exponential(s),
    }
    posterior = model.gibbs(priors, draws=4000, seed=2)
    for name, values in (("sd_(Intercept)|g", ratio * sigma), ("sigma", sigma)):
        assert close(posterior[name], float(p @ values))
        assert posterior[name].std() == pytest.approx(np.sqrt(p @ values**2 - (p @ values) ** 2), rel=0.05)
    assert posterior.log_evidence().value == pytest.approx(special.logsumexp(logs), abs=1e-4)


def log_decov(tau: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Return log p(τ₁, τ₂ | σ), τ_i² = 2 r² π_i, r/σ ~ exponential(1), π uniform: the Jacobian is 2 τ₁τ₂/(T r)."""
    total = np.sum(tau**2, axis=0)
    r = np.sqrt(total / 2)
    return np.log(tau.prod(axis=0) / (total * r)) - r / sigma - np.log(sigma)


def test_two_effects_in_units_of_sigma_must_equal_draws_under_lkj_with_weights() -> None:
    frame = FRAME.assign(y=FRAME["y"] + FRAME["x"] * np.repeat([-1.0, 0.5, 1.0, -0.5, 0.2], 4))
    model = mf.lmm("y ~ x + (x | g)", frame)
    base = {"fixed": pr.Normal([1, 1], [2, 2]), "sigma": pr.HalfNormal(2)}
    half = stats.halfnorm(scale=1.5)
    wide = model.gibbs({**base, "g": pr.LKJ(1, pr.HalfNormal(1.5))}, draws=6000, seed=1)
    own = model.gibbs({**base, "g": pr.Decov()}, draws=3000, seed=2)
    tau = np.stack([wide["sd_(Intercept)|g"], wide["sd_x|g"]])
    w = np.exp(log_decov(tau, wide["sigma"]) - half.logpdf(tau).sum(axis=0))
    for name in ("sd_(Intercept)|g", "sd_x|g", "cor_x.(Intercept)|g", "sigma"):
        mean = float(np.sum(w * wide[name]) / w.sum())
        error = float(np.sqrt(np.sum((w * (wide[name] - mean)) ** 2)) / w.sum())
        assert abs(own[name].mean() - mean) < 4 * np.hypot(convergence.mcse_mean(own[name]), 2 * error)
    gain = own.log_evidence(seed=3).value - wide.log_evidence(seed=3).value
    assert gain == pytest.approx(np.log(np.mean(w)), abs=0.05)


def test_prior_draws_in_units_of_sigma_must_have_their_density() -> None:
    """Weights that turn them into half-normal SDs have the mean 1."""
    model = mf.lmm("y ~ x + (x | g)", FRAME)
    priors = {"fixed": pr.Normal([0, 0], [1, 1]), "g": pr.Decov(), "sigma": pr.Exponential(1)}
    drawn = model.prior_predictive(priors, draws=20_000, seed=1)
    tau = np.stack([drawn["sd_(Intercept)|g"], drawn["sd_x|g"]])
    w = np.exp(stats.halfnorm(scale=drawn["sigma"]).logpdf(tau).sum(axis=0) - log_decov(tau, drawn["sigma"]))
    assert abs(w.mean() - 1.0) < 4 * w.std() / np.sqrt(w.size)
    assert abs(drawn["cor_x.(Intercept)|g"].var() - 1 / 3) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g) + (1 | h)", "y ~ x + (x | g)"])
def test_ranks_must_be_uniform_in_units_of_sigma(formula: str) -> None:
    frame = FRAME.assign(h=np.tile(list("vwxy"), 5))
    priors = {"fixed": pr.Normal([1, 1], [2, 2]), "g": pr.Decov(), "sigma": pr.HalfNormal(2)}
    priors |= {"h": pr.Decov(1, 0.5)} if "h" in formula else {}
    found = mf.lmm(formula, frame).calibration(priors, simulations=300, seed=4)
    assert found.table["adjusted"].min() > 1e-3, str(found)


@pytest.mark.parametrize(
    ("priors", "options"),
    [
        ({"sigma": pr.Decov()}, {}),
        ({"g": pr.LKJ(1), "sd_x|g": pr.Decov()}, {}),
        ({"g": pr.Decov()}, {"errors": mf.distributions.StudentT()}),
    ],
)
def test_units_of_sigma_must_be_refused_where_they_are_not_sampled(priors: Any, options: Any) -> None:
    with pytest.raises(mf.ModelError, match=r"of a standard deviation|units of σ"):
        mf.lmm("y ~ x + (x | g)", FRAME).gibbs(priors, **options)


def test_priors_that_cannot_be_written_must_be_refused() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    with pytest.raises(mf.ModelError, match="not known"):
        pr.like("jags", model)  # type: ignore[arg-type]


# -- calibration -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "priors",
    [
        {"fixed": pr.StudentT(3, [1, 0], [2, 0.5]), "g": pr.LKJ(2, pr.HalfNormal(1), pr.Exponential(0.5))},
        {"fixed": pr.Laplace([1, 0], [2, 0.5]), "g": pr.LKJ(1, pr.HalfT(5, 1), pr.LogNormal(0.5, 0.5))},
    ],
)
def test_ranks_must_be_uniform_under_the_new_priors(priors: dict[str, Any]) -> None:
    table = ranks("y ~ x + (x | g)", priors | {"sigma": pr.HalfNormal(1)}, 150, 11)
    assert p_values(table).min() > 0.001
