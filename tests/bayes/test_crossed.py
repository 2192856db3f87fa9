"""Chains for large crossed factors, which draw one factor at a time: against dense algebra and joint chains."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gibbs_oracle import dense_z, normal_posterior

import mixedfit as mf
from mixedfit.bayes import distributions as ds
from mixedfit.bayes import priors as pr
from mixedfit.bayes.draws import convergence
from mixedfit.bayes.sampler import arrays as problem


@pytest.fixture
def any_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the chain that draws one factor at a time for every model."""
    monkeypatch.setattr(problem, "LARGEST_TAIL", 0)


def made() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"x": rng.standard_normal(60), "g": np.repeat(np.arange(12), 5)})
    frame["h"], frame["outer"] = np.tile(list("abcde"), 12), frame["g"] // 3
    frame["y"] = 30 + 2 * frame["x"] + rng.standard_normal(12)[frame["g"]] + rng.standard_normal(60)
    frame["w"], frame["o"] = rng.uniform(0.5, 2.0, 60), 5.0 * rng.standard_normal(60)
    return frame


FORMULAS = [
    "y ~ x + (1 | g) + (x || h)",
    "y ~ x + (x || g) + (x || outer)",
    "y ~ x + (1 | g) + (1 | h) + (1 | outer)",
]


@pytest.mark.everyday(1)
@pytest.mark.usefixtures("any_tail")
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("formula", FORMULAS)
def test_effects_must_have_the_dense_moments_when_variances_are_known(
    formula: str, weights: str | None
) -> None:
    model = mf.lmm(formula, made(), weights=weights, offset="o")
    design = model.design
    priors = {b.name: pr.Diagonal(pr.Known(0.8)) if b.k > 1 else pr.Known(0.8) for b in design.blocks}
    priors |= {"sigma": pr.Known(1.2), "fixed": pr.Normal([20.0, 0.0], covariance=[[9.0, 1.0], [1.0, 4.0]])}
    posterior = model.gibbs(priors, draws=1000, tune=100, seed=1)
    Z = np.hstack([dense_z(b.codes, b.z, b.levels) for b in design.blocks])
    noise = 1.44 / (np.ones(60) if design.weights is None else design.weights)
    precision = np.linalg.inv([[9.0, 1.0], [1.0, 4.0]])
    mean, covariance = normal_posterior(
        design.y, design.X, Z, 0.64 * np.eye(Z.shape[1]), noise, precision, np.array([20.0, 0.0])
    )
    drawn = [posterior.beta, *(e.reshape(*e.shape[:2], -1) for e in posterior.effects)]
    values, sd = np.concatenate(drawn, axis=2), np.sqrt(np.diag(covariance))
    for i in range(values.shape[2]):
        error = convergence.mcse_mean(values[:, :, i])
        assert abs(values[:, :, i].mean() - mean[i]) < 4.5 * error
        assert values[:, :, i].std() == pytest.approx(sd[i], rel=0.15)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
@pytest.mark.parametrize(
    "formula", ["y ~ x + (x | g) + (1 | h)", "y ~ x + (1 | g) + (1 | outer)", "y ~ 1 + (1 | g) + (x | outer)"]
)
def test_posterior_must_be_that_of_the_joint_chain(formula: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mf.lmm(formula, made())
    joint = model.gibbs(draws=2000, seed=1)
    monkeypatch.setattr(problem, "LARGEST_TAIL", 0)
    other = model.gibbs(draws=1000, tune=300, seed=2)
    assert other.names == joint.names
    for name in joint.names:
        first, second = joint[name], other[name]
        error = np.hypot(convergence.mcse_mean(first), convergence.mcse_mean(second))
        assert abs(first.mean() - second.mean()) < 4.5 * error, name
        assert second.std() == pytest.approx(first.std(), rel=0.3), name


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
@pytest.mark.usefixtures("any_tail")
@pytest.mark.slow
def test_chain_must_move_along_the_shared_part_of_nested_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 40 rows a level b_a + b_b is well determined, its parts are not; without the shift mixing is slow."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"a": np.arange(2400) // 40})
    frame["b"] = frame["a"] // 10
    frame["y"] = rng.standard_normal(60)[frame["a"]] + rng.standard_normal(6)[frame["b"]]
    frame["y"] += 0.5 * rng.standard_normal(2400)
    model = mf.lmm("y ~ 1 + (1 | a) + (1 | b)", frame)
    moving = model.gibbs(draws=500, tune=300, seed=1).effects[1][:, :, 0, 0]
    monkeypatch.setattr("mixedfit.bayes.sampler.crossed_chain.nested_shifts", lambda *_: ())
    crawling = model.gibbs(draws=500, tune=300, seed=1).effects[1][:, :, 0, 0]
    assert convergence.ess_bulk(moving) > 3 * convergence.ess_bulk(crawling)


@pytest.mark.slow
def test_many_crossed_effects_must_be_sampled() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.integers(0, 2500, 12000), "b": rng.integers(0, 1600, 12000)})
    frame["y"] = rng.standard_normal(2500)[frame["a"]] + 0.5 * rng.standard_normal(1600)[frame["b"]]
    frame["y"] += 3 + rng.standard_normal(12000)
    model = mf.lmm("y ~ 1 + (1 | a) + (1 | b)", frame)
    posterior = model.gibbs(draws=100, tune=100, chains=2, seed=1)
    for name, expected in (
        ("(Intercept)", 3.0),
        ("sd_(Intercept)|a", 1.0),
        ("sd_(Intercept)|b", 0.5),
        ("sigma", 1.0),
    ):
        assert abs(posterior[name].mean() - expected) < 4 * posterior[name].std()
        assert posterior[name].std() < 0.06
    assert (
        np.corrcoef(posterior.effects[0].mean(axis=(0, 1))[:, 0], model.fit().random_effects["a"].iloc[:, 0])[
            0, 1
        ]
        > 0.99
    )
    with pytest.raises(mf.ModelError, match=r"ε ~ Laplace\(0, σ²\)"):
        model.gibbs(errors=ds.Laplace())


@pytest.mark.usefixtures("any_tail")
def test_draws_must_depend_on_the_seed_alone() -> None:
    model = mf.lmm("y ~ x + (1 | g) + (1 | h)", made())
    first, again = (model.gibbs(draws=30, tune=20, seed=8, n_jobs=n) for n in (1, 4))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    third = model.gibbs(draws=10, tune=20, thin=3, seed=8)
    assert np.array_equal(first.sigma[:, 2::3], third.sigma)
