"""Marginal likelihoods against dense quadrature; bridge sampling; Savage–Dickey ratios; what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from evidence_oracle import dense_evidence, log_normal_density, panels
from gibbs_oracle import dense_z
from scipy import special, stats

import mixedfit as mf
from mixedfit.bayes import priors as pr
from mixedfit.bayes.draws import convergence
from mixedfit.bayes.evidence.constants import log_constant
from mixedfit.bayes.evidence.heavy_tails import _log_standard
from mixedfit.bayes.evidence.quadrature import log_integral
from mixedfit.bayes.sampler.arrays import prior_numbers
from mixedfit.kernels.gibbs import variances as kinds

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {"x": RNG.standard_normal(24), "g": np.repeat(list("abcdef"), 4), "w": RNG.uniform(0.5, 2, 24)}
)
FRAME["y"] = 2 + 0.5 * FRAME["x"] + np.repeat(RNG.standard_normal(6), 4) + RNG.standard_normal(24)

BETA = pr.Normal([1.0, 0.0], covariance=[[4.0, 0.5], [0.5, 1.0]])

SD_PRIORS: dict[str, tuple[Any, Any]] = {
    "half-t": (pr.HalfT(3, 2), lambda t: np.log(2) + stats.t(3, scale=2).logpdf(t)),
    "half-Cauchy": (pr.HalfCauchy(1.5), stats.halfcauchy(scale=1.5).logpdf),
    "half-normal": (pr.HalfNormal(2), stats.halfnorm(scale=2).logpdf),
    "exponential": (pr.Exponential(2), stats.expon(scale=2).logpdf),
    "log-normal": (pr.LogNormal(1.2, 0.7), stats.lognorm(0.7, scale=1.2).logpdf),
    "inverse-gamma": (
        pr.InverseGamma(2, 1.5),
        lambda t: stats.invgamma(2, scale=1.5).logpdf(t**2) + np.log(2 * t),
    ),
    "uniform": (pr.UniformSD(5), lambda t: np.where(t <= 5, -np.log(5.0), -np.inf)),
}


def sampled(
    formula: str, priors: dict[str, Any], frame: pd.DataFrame = FRAME, **options: Any
) -> mf.Posterior:
    weights = options.pop("weights", None)
    return mf.lmm(formula, frame, weights=weights).gibbs(priors, seed=1, **({"draws": 500} | options))


# -- constants and rules -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SD_PRIORS)
def test_density_of_a_standard_deviation_must_be_that_of_scipy(name: str) -> None:
    prior, log_density = SD_PRIORS[name]
    kind, first, second = prior_numbers(prior, 1.0)
    assert type(first) is type(second) is float  # an integer would have the sampler compiled once more
    tau = np.array([0.2, 1.0, 3.3])
    ours = [kinds.log_sd_density(kind, first, second, t) for t in tau]
    assert np.allclose(
        np.array(ours) + log_constant(kind, first, second, np.eye(1)), log_density(tau), atol=1e-12
    )


def test_density_of_an_inverse_wishart_must_be_that_of_scipy() -> None:
    scale, omega = np.array([[2.0, 0.4, 0.1], [0.4, 1.0, 0.2], [0.1, 0.2, 3.0]]), np.diag([1.0, 2.0, 0.5])
    omega[0, 1] = omega[1, 0] = 0.6
    ours = kinds.log_covariance_density(kinds.INVERSE_WISHART, 5.0, scale, omega, 3)
    ours += log_constant(kinds.INVERSE_WISHART, 5.0, 0.0, scale)
    assert ours == pytest.approx(stats.invwishart(5.0, scale).logpdf(omega), abs=1e-12)


@pytest.mark.parametrize("df", [2.0, 3.5])
def test_density_of_huang_and_wand_must_be_its_mixture_of_inverse_wisharts(df: float) -> None:
    scales, omega = np.array([1.5, 0.7]), np.array([[1.0, 0.3], [0.3, 0.4]])
    inverse, (u, w) = np.linalg.inv(omega), panels(-12.0, 20.0, 40)
    # log density of IW(df + 1, 2 df diag(1/a)): what does not depend on a, and a factor for each a_i
    exact = -0.5 * (df + 4) * np.log(np.linalg.det(omega)) - special.multigammaln(0.5 * (df + 1), 2)
    for i in (0, 1):
        a = np.exp(u)
        logs = 0.5 * (df + 1) * np.log(df / a) - df * inverse[i, i] / a
        logs += stats.invgamma(0.5, scale=1 / scales[i] ** 2).logpdf(a) + u
        exact += special.logsumexp(logs + np.log(w))
    ours = kinds.log_covariance_density(kinds.HUANG_WAND, df, np.diag(scales), omega, 2)
    assert ours + log_constant(kinds.HUANG_WAND, df, 0.0, np.diag(scales)) == pytest.approx(exact, abs=1e-9)


def test_quadrature_must_integrate_skewed_and_correlated_densities() -> None:
    gumbel = log_integral(lambda x: stats.gumbel_r.logpdf(x[:, 0]), np.zeros(1), np.ones(1))
    assert gumbel[0] == pytest.approx(0.0, abs=1e-9)
    law = stats.multivariate_normal([1.0, -2.0], [[1.0, 0.9], [0.9, 1.0]])
    value, error = log_integral(law.logpdf, np.array([0.5, -1.0]), np.array([0.4, 2.0]))
    assert value == pytest.approx(0.0, abs=1e-8)
    assert error < 1e-7


# -- quadrature --------------------------------------------------------------------------------------


@pytest.mark.everyday(2)
@pytest.mark.parametrize(
    ("tau", "sigma", "weights"),
    [("half-t", "half-Cauchy", None), ("uniform", "inverse-gamma", "w"), ("log-normal", "exponential", None)],
)
def test_evidence_must_equal_dense_quadrature(tau: str, sigma: str, weights: str | None) -> None:
    posterior = sampled(
        "y ~ x + (1 | g)",
        {"fixed": BETA, "g": SD_PRIORS[tau][0], "sigma": SD_PRIORS[sigma][0]},
        weights=weights,
    )
    design = posterior.design
    Z = dense_z(design.blocks[0].codes, design.blocks[0].z, 6)
    noise = np.eye(24) if weights is None else np.diag(1 / FRAME["w"].to_numpy())
    mean, covariance = np.array([1.0, 0.0]), np.array([[4.0, 0.5], [0.5, 1.0]])
    highest = np.log(5.0) if tau == "uniform" else 7.0
    exact = dense_evidence(
        design.y,
        design.X,
        mean,
        covariance,
        [Z @ Z.T, noise],
        [SD_PRIORS[tau][1], SD_PRIORS[sigma][1]],
        [(-22.0, highest, 24), (-2.0, 2.5, 9)],
    )
    evidence = posterior.log_evidence()
    assert evidence.method == "quadrature"
    assert evidence.error < 1e-6
    assert evidence.value == pytest.approx(exact, abs=1e-6)


def test_evidence_of_a_linear_model_must_equal_dense_quadrature() -> None:
    posterior = sampled("y ~ x", {"fixed": BETA, "sigma": pr.HalfNormal(2)})
    design = posterior.design
    exact = dense_evidence(
        design.y,
        design.X,
        np.array([1.0, 0.0]),
        np.array([[4.0, 0.5], [0.5, 1.0]]),
        [np.eye(24)],
        [SD_PRIORS["half-normal"][1]],
        [(-3.0, 3.0, 20)],
    )
    assert posterior.log_evidence().value == pytest.approx(exact, abs=1e-8)


def test_evidence_must_be_a_normal_density_when_all_variances_are_known() -> None:
    posterior = sampled("y ~ x + (1 | g)", {"fixed": BETA, "g": pr.Known(0.8), "sigma": pr.Known(1.1)})
    design = posterior.design
    Z = dense_z(design.blocks[0].codes, design.blocks[0].z, 6)
    V = 0.64 * Z @ Z.T + 1.21 * np.eye(24) + design.X @ np.array([[4.0, 0.5], [0.5, 1.0]]) @ design.X.T
    exact = log_normal_density(design.y, design.X @ [1.0, 0.0], V[None])[0]
    evidence = posterior.log_evidence()
    assert evidence.value == pytest.approx(exact, abs=1e-9)
    assert evidence.method == "exact"


def test_evidence_must_follow_the_unit_of_the_response() -> None:
    def value(factor: float) -> float:
        priors = {"fixed": pr.Normal(0, 3 * factor), "g": pr.HalfT(3, factor), "sigma": pr.HalfCauchy(factor)}
        return sampled("y ~ x + (1 | g)", priors, FRAME.assign(y=factor * FRAME["y"])).log_evidence().value

    assert value(1000.0) == pytest.approx(value(1.0) - 24 * np.log(1000.0), abs=1e-7)


def test_evidence_must_not_depend_on_the_draws() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    values = [
        model.gibbs(seed=seed, draws=draws).log_evidence().value for seed, draws in ((1, 200), (2, 900))
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-7)


def test_evidence_of_many_rows_must_be_precise() -> None:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"g": np.repeat(np.arange(400), 50)})
    frame["y"] = np.repeat(rng.standard_normal(400), 50) + 3 * rng.standard_normal(20_000)
    evidence = sampled("y ~ 1 + (1 | g)", {}, frame, draws=200, tune=300).log_evidence()
    assert evidence.error < 1e-6


# -- bridge sampling ---------------------------------------------------------------------------------


def test_bridge_sampling_must_agree_with_quadrature_within_its_error() -> None:
    posterior = sampled("y ~ x + (1 | g)", {"fixed": BETA}, draws=2000)
    exact, bridge = posterior.log_evidence(), posterior.log_evidence(method="bridge", seed=1)
    assert bridge.method == "bridge"
    assert 0 < bridge.error < 0.03
    assert abs(bridge.value - exact.value) < 4 * bridge.error


@pytest.mark.slow
@pytest.mark.parametrize(
    "prior",
    [
        pr.InverseWishart(4, [[2.0, 0.3], [0.3, 1.0]]),
        pr.HuangWand((2.0, 1.0)),
        pr.LKJ(2.5, pr.HalfNormal(2), pr.Exponential(2)),
    ],
)
def test_evidence_of_correlated_effects_must_equal_dense_quadrature_within_its_error(prior: Any) -> None:
    posterior = sampled("y ~ x + (x | g)", {"fixed": BETA, "g": prior, "sigma": pr.Known(1.0)}, draws=3000)
    design = posterior.design
    Z = dense_z(design.blocks[0].codes, design.blocks[0].z, 6)
    mean, covariance = np.array([1.0, 0.0]), np.array([[4.0, 0.5], [0.5, 1.0]])
    rest = design.X @ covariance @ design.X.T + np.eye(24)
    (a, wa), (c, wc) = panels(-7.0, 3.5, 6, 5), panels(-7.0, 3.5, 6, 5)
    b, wb = panels(-5.0, 5.0, 6, 5)  # correlation tanh b
    A, B, C = (v.ravel() for v in np.meshgrid(a, b, c, indexing="ij"))
    weights = np.einsum("i,j,k->ijk", wa, wb, wc).ravel()
    s, t, rho = np.exp(A), np.exp(C), np.tanh(B)
    omegas = np.stack([np.stack([s * s, rho * s * t], -1), np.stack([rho * s * t, t * t], -1)], -2)
    # dΩ = 4 s² t² ds dt dρ, ds = s dA, dρ = (1 − ρ²) dB
    logs = np.log(weights) + np.log(4) + 3 * A + 3 * C - 2 * np.log(np.cosh(B))
    if isinstance(prior, pr.InverseWishart):
        law = stats.invwishart(4, np.array(prior.matrix))
        logs += np.array([law.logpdf(omega) for omega in omegas])
    elif isinstance(prior, pr.LKJ):  # (ρ + 1)/2 ~ beta(η, η)
        logs += stats.beta(2.5, 2.5, loc=-1, scale=2).logpdf(rho) - np.log(4 * s**2 * t**2)
        logs += SD_PRIORS["half-normal"][1](s) + SD_PRIORS["exponential"][1](t)
    else:
        numbers = (kinds.HUANG_WAND, 2.0, np.diag([2.0, 1.0]))
        logs += np.array([kinds.log_covariance_density(*numbers, omega, 2) for omega in omegas])
        logs += log_constant(kinds.HUANG_WAND, 2.0, 0.0, numbers[2])
    levels = Z.reshape(24, 6, 2)
    V = rest + np.einsum("ajk,skl,bjl->sab", levels, omegas, levels, optimize=True)
    logs += log_normal_density(design.y, design.X @ mean, V)
    exact = special.logsumexp(logs)
    for name, values in (("cor_x.(Intercept)|g", rho), ("sd_x|g", t)):
        error = convergence.mcse_mean(posterior[name])
        assert abs(posterior[name].mean() - np.exp(logs - exact) @ values) < 4 * error
    evidence = posterior.log_evidence(seed=2)
    assert evidence.method == "bridge"
    assert evidence.error < 0.03
    assert abs(evidence.value - exact) < 4 * evidence.error + 0.002


def test_evidence_of_crossed_factors_must_equal_dense_quadrature_within_its_error() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"g": np.repeat(list("abcd"), 3), "h": np.tile(list("xyz"), 4)})
    frame["y"] = rng.standard_normal(12) + np.repeat(rng.standard_normal(4), 3)
    half = pr.HalfNormal(2)
    priors = {"fixed": pr.Normal(0, 2), "g": half, "h": half, "sigma": half}
    posterior = sampled("y ~ 1 + (1 | g) + (1 | h)", priors, frame, draws=4000)
    design = posterior.design
    parts = [dense_z(b.codes, b.z, b.levels) for b in design.blocks]
    exact = dense_evidence(
        design.y,
        design.X,
        np.zeros(1),
        np.array([[4.0]]),
        [*(Z @ Z.T for Z in parts), np.eye(12)],
        [SD_PRIORS["half-normal"][1]] * 3,
        [(-9.0, 2.5, 6), (-9.0, 2.5, 6), (-2.0, 2.0, 4)],
    )
    evidence = posterior.log_evidence(seed=1)
    assert evidence.parameters == 3
    assert abs(evidence.value - exact) < 4 * evidence.error + 0.001


def test_bridge_sampling_must_agree_with_quadrature_under_a_bounded_prior() -> None:
    posterior = sampled("y ~ x + (1 | g)", {"fixed": BETA, "g": pr.UniformSD(1.5)}, draws=2000)
    exact, bridge = posterior.log_evidence(), posterior.log_evidence(method="bridge", seed=1)
    assert abs(bridge.value - exact.value) < 4 * bridge.error


@pytest.mark.slow
def test_error_of_bridge_sampling_must_be_its_spread_over_runs() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    runs = [model.gibbs(seed=i, draws=500).log_evidence(method="bridge", seed=i) for i in range(40)]
    spread = np.std([run.value for run in runs], ddof=1)
    assert 0.6 < spread / np.mean([run.error for run in runs]) < 1.6


# -- Bayes factors -----------------------------------------------------------------------------------


def test_savage_dickey_must_equal_the_ratio_of_evidences_of_nested_models() -> None:
    full, null = sampled("y ~ x + (1 | g)", {}, draws=2000), sampled("y ~ 1 + (1 | g)", {})
    factor, ratio = mf.bayes_factor(null, full), full.savage_dickey("x")
    assert ratio.hypothesis == "x = 0"
    assert 0 < ratio.error < 0.02
    assert abs(ratio.log - factor.log) < 4 * ratio.error
    assert ratio.probability == pytest.approx(1 / (1 + np.exp(-ratio.log)))


def test_savage_dickey_of_two_equations_must_equal_the_ratio_of_evidences() -> None:
    frame = FRAME.assign(z=np.random.default_rng(5).standard_normal(24))
    priors = {"fixed": pr.Normal(0, [5.0, 1.0, 1.0]), "g": pr.HalfNormal(1), "sigma": pr.HalfNormal(1)}
    full = sampled("y ~ x + z + (1 | g)", priors, frame, draws=2000)
    null = sampled("y ~ 1 + (1 | g)", priors | {"fixed": pr.Normal(0, 5.0)}, frame)
    ratio = full.savage_dickey("x = z = 0")
    assert abs(ratio.log - mf.bayes_factor(null, full).log) < 4 * ratio.error + 1e-6


def test_savage_dickey_must_be_defined_where_only_other_coefficients_are_flat() -> None:
    priors = {"fixed": pr.Flat(), "x": pr.Normal(0, 1), "g": pr.HalfNormal(1), "sigma": pr.HalfNormal(1)}
    posterior = sampled("y ~ x + (1 | g)", priors)
    assert posterior.savage_dickey("x").prior_density == pytest.approx(stats.norm.pdf(0))
    with pytest.raises(mf.ModelError, match=r"flat.*Give the coefficient a proper prior"):
        posterior.savage_dickey("(Intercept) = 1")


def test_bayes_factor_must_print_factor_probability_and_words_with_their_source() -> None:
    one, two = sampled("y ~ x + (1 | g)", {}), sampled("y ~ 1 + (1 | g)", {})
    factor = mf.bayes_factor(one, two.log_evidence())
    assert float(factor) == pytest.approx(np.exp(one.log_evidence().value - two.log_evidence().value))
    assert "Kass & Raftery 1995" in str(factor)
    assert "against y ~ 1 + (1 | g)" in str(factor)
    assert factor.posterior_probability(0.5) == pytest.approx(factor.probability)
    odds = factor.value * 0.2 / 0.8
    assert factor.posterior_probability(0.2) == pytest.approx(odds / (1 + odds))
    back = mf.bayes_factor(two, one)
    assert back.log == pytest.approx(-factor.log)
    far = replace(factor, log=15.0)
    assert "prior odds: 1 - 3.1e-07" in str(far)
    assert "prior odds: 3.1e-07" in str(replace(far, log=-15.0))


# -- heavy tails ------------------------------------------------------------------------------------


TINY = pd.DataFrame({"y": [0.3, 1.4, -0.6, 2.0, 2.2, 6.5, -1.0, 0.1, -0.4], "g": np.repeat(list("abc"), 3)})

Rule = tuple[np.ndarray, np.ndarray]

ONE: Rule = (np.ones(1), np.ones(1))


def integrated(errors: Any, effects: Any, tau: Rule, sigma: Rule, df: Rule) -> float:
    """Return log p(y) of TINY, μ ~ N(1, 2²), over μ and the rules' τ, σ and ν, and b of each group inside.

    `errors` and `effects` take (ν, z) and return the log density at scale 1; rules have the priors in their weights.
    """
    narrow = sigma[0].size == 1  # the integrand is that of one small σ
    (mu, wm), (u, wu) = panels(-6.0, 8.0, 30 if narrow else 5), panels(-14.0, 14.0, 16)
    if narrow:
        u, wu = panels(-30.0, 30.0, 200)
    wm = wm * stats.norm(1, 2).pdf(mu)
    y, out = TINY["y"].to_numpy().reshape(3, 3), []
    for t, wt in zip(*tau, strict=True):
        for s, ws in zip(*sigma, strict=True):
            for v, wv in zip(*df, strict=True):
                z = (y[:, :, None, None] - mu[:, None] - t * u) / s
                inner = errors(v, z).sum(axis=1) - 3 * np.log(s) + effects(v, u)
                groups = special.logsumexp(inner, b=wu, axis=2).sum(axis=0)
                out.append(special.logsumexp(groups, b=wm) + np.log(wt * ws * wv))
    return float(special.logsumexp(out))


def over(low: float, high: float, law: Any, count: int = 3) -> Rule:
    """Return nodes and weights in the logarithm of a parameter, its prior in the weights."""
    x, w = panels(low, high, count)
    return np.exp(x), w * law.pdf(np.exp(x)) * np.exp(x)


def t_log(v: float, z: np.ndarray) -> np.ndarray:
    constant = special.gammaln(0.5 * v + 0.5) - special.gammaln(0.5 * v) - 0.5 * np.log(v * np.pi)
    return np.asarray(constant - 0.5 * (v + 1.0) * np.log1p(z * z / v))


def laplace_log(v: float, z: np.ndarray) -> np.ndarray:
    return np.asarray(-np.abs(z) - np.log(2.0))


def normal_log(v: float, z: np.ndarray) -> np.ndarray:
    return np.asarray(-0.5 * (z * z + np.log(2.0 * np.pi)))


HALF = stats.halfnorm(scale=2)

FREE = (over(-7.0, 2.5, HALF, 3), over(-4.0, 2.5, HALF, 3), ONE)

HEAVY: dict[str, tuple[Any, Any, dict[str, Any], Any, tuple[Rule, Rule, Rule]]] = {
    "Laplace errors and effects": (
        laplace_log,
        laplace_log,
        {"errors": mf.distributions.Laplace(), "random_effects": mf.distributions.Laplace()},
        {},
        FREE,
    ),
    "t errors": (
        t_log,
        normal_log,
        {"errors": mf.distributions.StudentT(4)},
        {},
        (FREE[0], FREE[1], (np.full(1, 4.0), np.ones(1))),
    ),
    "t errors with ν estimated, known τ": (
        t_log,
        normal_log,
        {"errors": mf.distributions.StudentT(pr.Gamma(2, 0.3))},
        {"g": pr.Known(1)},
        (ONE, FREE[1], over(-4.0, 4.5, stats.gamma(2, scale=1 / 0.3), 4)),
    ),
    "t effects with ν estimated, known τ and σ": (
        normal_log,
        t_log,
        {"random_effects": mf.distributions.StudentT("estimate")},
        {"sigma": pr.Known(0.5), "g": pr.Known(0.3), "nu|g": pr.Gamma(2, 2)},
        (
            (np.full(1, 0.3), np.ones(1)),
            (np.full(1, 0.5), np.ones(1)),
            over(-6.0, 3.0, stats.gamma(2, scale=0.5), 6),
        ),
    ),
}


@pytest.mark.everyday(1)
@pytest.mark.parametrize("name", HEAVY)
def test_evidence_of_heavy_tails_must_equal_quadrature_within_its_error(name: str) -> None:
    """Rival: the model with normal errors and effects, whose evidence differs by 0.7 or more."""
    errors, effects, options, priors, rules = HEAVY[name]
    priors = {"(Intercept)": pr.Normal(1, 2), "g": pr.HalfNormal(2), "sigma": pr.HalfNormal(2)} | priors
    posterior = mf.lmm("y ~ 1 + (1 | g)", TINY).gibbs(priors, draws=5000, seed=1, **options)
    found, expected = posterior.log_evidence(seed=2), integrated(errors, effects, *rules)
    print(name, found.value, found.error, expected)
    assert found.error < 0.05
    assert abs(found.value - expected) < 4 * found.error
    assert "effects included" in str(found)


def test_density_of_several_effects_must_be_that_of_the_mixture() -> None:
    """∫ N(u; 0, I/λ) p(λ) dλ by quadrature in log λ."""
    u, (x, w) = np.array([[[0.7, -1.9]]]), panels(-30.0, 30.0, 120)
    normal = 2 * 0.5 * x - np.log(2 * np.pi) - 0.5 * np.exp(x) * np.sum(u**2)
    laws = {
        mf.distributions.StudentT(5): stats.gamma(2.5, scale=1 / 2.5).logpdf(np.exp(x)) + x,
        mf.distributions.Laplace(): -np.log(2) - x - 0.5 * np.exp(-x),
    }
    for law, logs in laws.items():
        expected = special.logsumexp(normal + logs, b=w)
        assert _log_standard(law, np.array([5.0]), u)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_evidence_with_many_degrees_of_freedom_must_be_that_of_the_normal_model() -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    heavy = model.gibbs(errors=mf.distributions.StudentT(1e6), draws=2000, seed=1).log_evidence(seed=1)
    normal = model.gibbs(seed=2).log_evidence(seed=1)
    assert abs(heavy.value - normal.value) < 4 * np.hypot(heavy.error, normal.error)


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"fixed": pr.Flat()}, r"p\(β\) ∝ 1 is improper.*mf.priors.Normal"),
        ({"x": pr.Flat()}, r"p\(β\[x\]\) ∝ 1 is improper"),
        ({"sigma": pr.Jeffreys()}, r"p\(σ²\) ∝ 1/σ² is improper.*HalfCauchy"),
        ({"g": pr.UniformSD()}, r"τ\[\(Intercept\) \| g\] ~ U\(0, ∞\) is improper"),
    ],
)
def test_evidence_must_be_refused_under_improper_priors(priors: dict[str, Any], message: str) -> None:
    posterior = sampled("y ~ x + (1 | g)", priors, draws=100, tune=200)
    with pytest.raises(mf.ModelError, match=message):
        posterior.log_evidence()


def test_bayes_factor_must_be_refused_for_different_rows_or_responses() -> None:
    one = sampled("y ~ 1 + (1 | g)", {}, draws=100)
    fewer = sampled("y ~ 1 + (1 | g)", {}, FRAME.iloc[:20], draws=100)
    log = sampled("y ~ 1 + (1 | g)", {}, FRAME.assign(y=FRAME["y"] ** 3), draws=100)
    for other, what in ((fewer, "rows"), (log, "response")):
        with pytest.raises(mf.ModelError, match=f"differ in their {what}"):
            mf.bayes_factor(one, other)
    with pytest.raises(mf.ModelError, match="LinearMixedModel is neither"):
        mf.bayes_factor(one, mf.lmm("y ~ 1 + (1 | g)", FRAME))  # type: ignore[arg-type]


def test_evidence_must_be_refused_for_models_that_have_no_collapsed_density(tmp_path: Path) -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    with pytest.raises(mf.ModelError, match="draws from the prior"):
        model.prior_predictive(seed=1).log_evidence()
    by_group = model.gibbs(sigma="by:g", draws=100, tune=100, seed=1)
    with pytest.raises(mf.ModelError, match=r"one σ and independent residuals.*loo\(\)"):
        by_group.log_evidence()
    heavy = model.gibbs(errors=mf.distributions.StudentT(4), draws=200, tune=100, seed=1)
    with pytest.raises(mf.ModelError, match="quadrature is for models with normal"):
        heavy.log_evidence(method="quadrature")
    with pytest.raises(mf.ModelError, match=r"normal residuals and effects.*loo\(\)"):
        heavy.savage_dickey("x")
    posterior = model.gibbs(draws=100, tune=100, seed=1)
    posterior.save(tmp_path / "p.npz")
    with pytest.raises(mf.ModelError, match="read from a file"):
        mf.load(tmp_path / "p.npz").savage_dickey("x")
    with pytest.raises(mf.ModelError, match="at least 100 draws"):
        model.gibbs(draws=20, chains=1, seed=1).log_evidence(method="bridge")
    with pytest.raises(mf.ModelError, match="not known"):
        posterior.log_evidence(method="laplace")  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="savage_dickey"):
        posterior.hypothesis("x = 0")
