"""Variants of priors side by side, and power-scaling sensitivity against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from evidence_oracle import log_normal_density
from gibbs_oracle import dense_z
from scipy import integrate, stats

import mixedfit as mf
from mixedfit.bayes import priors as pr
from mixedfit.bayes.evidence.collapsed import collapsed_posterior
from mixedfit.bayes.sensitivity.power_scaling import cumulative_distance, log_prior

RNG = np.random.default_rng(6)
FRAME = pd.DataFrame({"x": RNG.standard_normal(24), "g": np.repeat(list("abcdef"), 4)})
FRAME["y"] = 2 + 0.5 * FRAME["x"] + np.repeat(RNG.standard_normal(6), 4) + RNG.standard_normal(24)


def centred(logs: np.ndarray) -> np.ndarray:
    return logs - logs.mean()


# -- variants ----------------------------------------------------------------------------------------


def test_table_must_have_what_each_posterior_says() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    variants = {"default": None, "narrow": {"x": pr.Normal(0, 0.1)}}
    found = model.sensitivity(variants, "x > 0.2", "x / sigma", seed=3, draws=300, level=0.9)
    assert found.table.index.tolist() == [
        (name, quantity) for name in variants for quantity in ("x > 0.2", "x / sigma")
    ]
    alone = model.gibbs({"x": pr.Normal(0, 0.1)}, seed=3, draws=300)
    assert np.array_equal(alone["x"], found.posteriors["narrow"]["x"])
    row, own = found.table.loc[("narrow", "x > 0.2")], alone.hypothesis("x > 0.2", level=0.9).iloc[0]
    assert row[["mean", "sd", "lower", "upper"]].tolist() == pytest.approx(
        own[["difference", "sd", "lower", "upper"]].tolist()
    )
    assert row[["probability", "mcse"]].tolist() == pytest.approx(own[["probability", "mcse"]].tolist())
    ratio = alone.derive("x / sigma").summary(quantiles=(0.05, 0.95)).iloc[0]
    other = found.table.loc[("narrow", "x / sigma")]
    assert other[["mean", "lower", "upper"]].tolist() == pytest.approx(ratio[["mean", "5%", "95%"]].tolist())
    assert np.isnan(other["probability"])
    assert "those of the difference x − 0.2." in " ".join(str(found).split())
    summary = alone.summary()
    assert row["rhat"] == summary["rhat"].max()
    assert row["ess"] == summary[["ess_bulk", "ess_tail"]].min().min()


def test_printed_table_must_name_priors_and_warn_of_chains_that_did_not_mix() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    few = model.sensitivity({"a": {}, "b": {"x": pr.Laplace(0, 1)}}, "x", seed=1, draws=40, tune=200)
    text = str(few)
    assert "Sensitivity to the priors of x, 95% intervals" in text
    assert "b: β[x] ~ Laplace(0, 1)." in text
    assert "a: the default priors." in text
    assert "Warning, b:" in text
    assert "probability" not in text
    assert few.table.index.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("variants", "quantities", "message"),
    [
        ({}, ("x",), "mapping of names to mappings"),
        ([{}], ("x",), "mapping of names to mappings"),
        ({"a": pr.Flat()}, ("x",), "'a' is a Flat"),
        ({"a": {}}, (), "no quantity"),
        ({"a": {}}, ("z > 0",), "z"),
        ({"a": {"z": pr.Flat()}}, ("x",), "'z', which is not in the model"),
    ],
)
def test_variants_that_cannot_be_read_must_be_refused(variants: Any, quantities: Any, message: str) -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    with pytest.raises(mf.ModelError, match=message):
        model.sensitivity(variants, *quantities, draws=50, tune=50, seed=1)


# -- power scaling -----------------------------------------------------------------------------------


def normal_distance(one: stats.rv_continuous, two: stats.rv_continuous) -> float:
    """Return the distance of two distributions by quadrature; the distribution functions end at ±12."""

    def part(P: Any, Q: Any) -> float:
        def integrand(x: float) -> float:
            p, q = P(x), Q(x)
            return sum(v * np.log2(2 * v / (p + q)) for v in (p, q) if v > 0)

        top = integrate.quad(integrand, -12, 12, limit=200)[0]
        return top / integrate.quad(lambda x: P(x) + Q(x), -12, 12, limit=200)[0]

    return float(np.sqrt(max(part(one.cdf, two.cdf), part(one.sf, two.sf))))


def test_distance_must_be_that_of_the_distributions() -> None:
    """Draws at all quantiles up to those of ±12, with weights exp(0.3 x), which make N(0, 1) N(0.3, 1)."""
    x = np.linspace(-12, 12, 40_001)
    base = stats.norm.pdf(x)
    P, Q = np.cumsum(base) / base.sum(), np.cumsum(stats.norm(0.3).pdf(x))
    Q /= Q[-1]
    steps = np.diff(x)
    expected = normal_distance(stats.norm(), stats.norm(0.3))
    from mixedfit.bayes.sensitivity.power_scaling import _distance

    got = max(_distance(P[:-1], Q[:-1], steps), _distance(1 - P[:-1], 1 - Q[:-1], steps))
    assert got == pytest.approx(expected, rel=1e-3)


def test_distance_must_be_zero_for_equal_weights_and_not_change_under_scale_and_sign() -> None:
    x, w = RNG.standard_normal(500), RNG.uniform(0.5, 1.5, 500)
    w /= w.sum()
    assert cumulative_distance(x, np.full(500, 1 / 500)) == pytest.approx(0.0, abs=1e-7)
    assert 0 < cumulative_distance(x, w) < 1
    assert cumulative_distance(5 * x + 3, w) == pytest.approx(cumulative_distance(x, w))
    assert cumulative_distance(-x, w) == pytest.approx(cumulative_distance(x, w))


def test_likelihood_must_be_the_dense_one_with_effects_integrated_out() -> None:
    priors = {"x": pr.Cauchy(0, 1), "(Intercept)": pr.Flat(), "g": pr.LKJ(2), "sigma": pr.UniformSD(5)}
    posterior = mf.lmm("y ~ x + (x | g)", FRAME).gibbs(priors, draws=30, tune=100, chains=2, seed=1)
    collapsed = collapsed_posterior(posterior, "this")
    x = collapsed.coordinates(posterior, np.random.default_rng(1))
    ours = collapsed.log_likelihood(posterior, x.reshape(-1, x.shape[2]))
    design = posterior.design
    Z = dense_z(design.blocks[0].codes, design.blocks[0].z, 6)
    dense = []
    for beta, omega, sigma in zip(
        posterior.beta.reshape(-1, 2),
        posterior.omega[0].reshape(-1, 2, 2),
        posterior.sigma.ravel(),
        strict=True,
    ):
        V = Z @ np.kron(np.eye(6), omega) @ Z.T + sigma**2 * np.eye(24)
        dense.append(log_normal_density(design.y, design.X @ beta, V[None])[0])
    assert np.allclose(centred(ours), centred(np.array(dense)), atol=1e-7)


def test_prior_must_be_that_of_scipy() -> None:
    priors = {
        "(Intercept)": pr.Normal(1, 2),
        "x": pr.Laplace(0.2, 0.5),
        "g": pr.LKJ(2, pr.HalfNormal(2), pr.Exponential(0.5)),
        "sigma": pr.InverseGamma(2, 1),
    }
    posterior = mf.lmm("y ~ x + (x | g)", FRAME).gibbs(priors, draws=40, tune=100, chains=2, seed=1)
    assert posterior.placement is not None
    p = {name: posterior[name].ravel() for name in posterior.names}
    expected = stats.norm(1, 2).logpdf(p["(Intercept)"]) + stats.laplace(0.2, 0.5).logpdf(p["x"])
    expected += stats.halfnorm(scale=2).logpdf(p["sd_(Intercept)|g"]) + stats.expon(scale=0.5).logpdf(
        p["sd_x|g"]
    )
    expected += np.log1p(-(p["cor_x.(Intercept)|g"] ** 2)) + stats.invgamma(2, scale=1).logpdf(
        p["sigma"] ** 2
    )
    expected += np.log(p["sigma"])  # the density of σ, not of σ²
    assert np.allclose(centred(log_prior(posterior, posterior.placement)), centred(expected), atol=1e-9)


def log_volume(sds: np.ndarray, cor: float) -> float:
    """Return log |∂(Ω₁₁, Ω₂₁, Ω₂₂)/∂(τ₁, ρ, τ₂)| by differences."""

    def omega(t: np.ndarray) -> np.ndarray:
        return np.array([t[0] ** 2, t[0] * t[1] * t[2], t[2] ** 2])

    at = np.array([sds[0], cor, sds[1]])
    columns = [(omega(at + h) - omega(at - h)) / 2e-5 for h in 1e-5 * np.eye(3)]
    return float(np.log(abs(np.linalg.det(np.array(columns)))))


def test_prior_of_a_covariance_must_be_the_density_of_its_sds_and_correlation() -> None:
    scale = np.array([[1.0, 0.2], [0.2, 0.5]])
    model = mf.lmm("y ~ x + (x | g)", FRAME)
    flat = {"fixed": pr.Flat(), "sigma": pr.UniformSD(50)}
    posterior = model.gibbs(flat | {"g": pr.InverseWishart(4, scale)}, draws=20, tune=100, chains=2, seed=1)
    assert posterior.placement is not None
    omegas = posterior.omega[0].reshape(-1, 2, 2)
    sds = np.sqrt(np.diagonal(omegas, axis1=1, axis2=2))
    volume = np.array([log_volume(s, o[0, 1] / s.prod()) for s, o in zip(sds, omegas, strict=True)])
    expected = stats.invwishart(4, scale).logpdf(np.moveaxis(omegas, 0, 2)) + volume
    assert np.allclose(centred(log_prior(posterior, posterior.placement)), centred(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("prior", "squared"),
    [
        (pr.HalfNormal(1.0), pr.HalfNormal(0.5**0.5)),
        (pr.HalfT(3, 1.0), pr.HalfT(7, (3 / 7) ** 0.5)),
        (pr.InverseGamma(2, 1), pr.InverseGamma(4.5, 2)),
    ],
)
def test_draws_weighted_by_a_prior_of_an_sd_must_be_those_under_its_square(prior: Any, squared: Any) -> None:
    """p(τ)² is a prior of the same family in τ: exp(−τ²/s²), (1 + τ²/(νs²))^−(ν+1), τ^−2(2a+1) exp(−2b/τ²)."""
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    rest = {"fixed": pr.Flat(), "sigma": pr.UniformSD(50)}
    one = model.gibbs(rest | {"g": prior}, draws=4000, seed=1)
    two = model.gibbs(rest | {"g": squared}, draws=4000, seed=2)
    assert one.placement is not None
    weights = np.exp(centred(log_prior(one, one.placement)))
    name = "sd_(Intercept)|g"
    weighted = np.average(one[name].ravel(), weights=weights)
    assert weighted == pytest.approx(two[name].mean(), rel=0.02)
    assert abs(one[name].mean() - two[name].mean()) > 0.05 * two[name].mean()


def test_sensitivity_must_be_that_of_the_conjugate_posterior() -> None:
    """β ~ N(3, 0.4²) and known variances: prior^α is N(3, 0.4²/α), likelihood^α has α times the information."""
    priors = {
        "(Intercept)": pr.Normal(2, 1e-4),
        "x": pr.Normal(3, 0.4),
        "g": pr.Known(1.0),
        "sigma": pr.Known(1.0),
    }
    posterior = mf.lmm("y ~ x + (1 | g)", FRAME).gibbs(priors, draws=10_000, seed=1)
    design = posterior.design
    Z = dense_z(design.blocks[0].codes, design.blocks[0].z, 6)
    inverse = np.linalg.inv(Z @ Z.T + np.eye(24))
    x, rest = design.X[:, 1], design.y - 2.0
    information, score = x @ inverse @ x, x @ inverse @ rest

    def law(prior: float, likelihood: float) -> Any:
        precision = prior / 0.16 + likelihood * information
        return stats.norm((prior * 3 / 0.16 + likelihood * score) / precision, precision**-0.5)

    found = posterior.power_scaling("x").table.loc["x"]
    for name, powers in (("prior", [(1.01, 1), (1 / 1.01, 1)]), ("likelihood", [(1, 1.01), (1, 1 / 1.01)])):
        base = law(1, 1)
        shift, scale = base.mean(), base.std()
        exact = np.mean(
            [
                normal_distance(
                    stats.norm(0, 1), stats.norm((law(*p).mean() - shift) / scale, law(*p).std() / scale)
                )
                for p in powers
            ]
        )
        # both are divided by ∫(P + Q) over their own ranges: ±12 here, that of the draws there
        values = (posterior["x"] - shift) / scale
        exact *= np.sqrt(24.0 / (np.ptp(values))) / np.log2(1.01)
        assert found[name] == pytest.approx(exact, rel=0.15)
    assert found["diagnosis"] == "potential prior-data conflict"


def test_flat_prior_must_have_no_sensitivity() -> None:
    priors = {"fixed": pr.Flat(), "g": pr.UniformSD(8), "sigma": pr.UniformSD(8)}
    table = mf.lmm("y ~ x + (1 | g)", FRAME).gibbs(priors, draws=300, seed=1).power_scaling().table
    assert (table["prior"] == 0.0).all()
    assert (table["likelihood"] > 0.0).all()
    assert (table["diagnosis"] == "").all()


def test_power_scaling_must_be_refused_without_a_density() -> None:
    model = mf.lmm("y ~ x + (1 | g)", FRAME)
    with pytest.raises(mf.ModelError, match="draws from the prior"):
        model.prior_predictive(seed=1).power_scaling()
    with pytest.raises(mf.ModelError, match="at least 100 draws"):
        model.gibbs(draws=20, tune=50, seed=1).power_scaling()
