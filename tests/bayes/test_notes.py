"""The Bayesian numbers of the lecture notes on planting density, the schools and NELS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.bayes import priors as pr

BLOCKS = [
    (3.245, 1.783, -0.156),
    (3.911, 1.524, -0.154),
    (2.215, 2.061, -0.163),
    (2.958, 1.858, -0.164),
    (3.478, 1.660, -0.158),
    (1.757, 2.139, -0.161),
    (3.225, 1.745, -0.156),
    (2.534, 1.995, -0.172),
    (2.838, 1.871, -0.159),
    (2.240, 2.054, -0.165),
]
"""Printed posterior means of the ten blocks' coefficients."""


@pytest.fixture(scope="module")
def density(shared_data: Path) -> mf.LinearMixedModel:
    frame = pd.read_csv(shared_data / "pdensity.csv").rename(columns={"yield": "grass"})
    return mf.lmm("grass ~ density + I(density^2) + (density + I(density^2) | plot)", frame)


def test_empirical_priors_must_be_the_notes(density: mf.LinearMixedModel) -> None:
    """θ̂, Σ̂ and σ̂² of the ten least-squares fits, as printed."""
    priors = pr.empirical(density)
    theta, sigma = priors["fixed"].moments(3)
    assert np.allclose(theta, [2.869, 1.855, -0.159], atol=6e-4)
    printed = [[2.001, -0.693, 0.044], [-0.693, 0.276, -0.021], [0.044, -0.021, 0.002]]
    assert np.allclose(sigma, printed, atol=6e-4)
    assert (priors["plot"].df, priors["sigma"].shape) == (4, 1.0)
    assert np.allclose(priors["plot"].matrix, sigma)
    assert priors["sigma"].scale == pytest.approx(0.4924, abs=6e-5)


def test_posterior_means_must_be_the_notes_on_planting_density(density: mf.LinearMixedModel) -> None:
    """10,000 correlated draws there (first lag up to 0.8: worth about 1,100): Monte-Carlo errors of SD/√1100."""
    posterior = density.gibbs(pr.empirical(density), draws=5000, seed=1)
    means, sds = posterior.beta.mean(axis=(0, 1)), posterior.beta.std(axis=(0, 1))
    error = sds / np.sqrt(1100)
    assert np.all(np.abs(means - [2.841, 1.869, -0.161]) < 3 * error + 5e-4)
    printed = np.array([[1.211, -0.411, 0.023], [-0.411, 0.157, -0.011], [0.023, -0.011, 0.001]])
    omega = posterior.omega[0]
    error = omega.std(axis=(0, 1)) / np.sqrt(1100)
    assert np.all(np.abs(omega.mean(axis=(0, 1)) - printed) < 3 * error + 5e-4)
    assert np.mean(posterior.sigma**2) == pytest.approx(0.715, abs=0.01)
    blocks = posterior.effects[0] + posterior.beta[:, :, None, :]
    error = blocks.std(axis=(0, 1)) / np.sqrt(1100)
    assert np.all(np.abs(blocks.mean(axis=(0, 1)) - BLOCKS) < 3 * error + 5e-4)


def test_schools_must_have_nearly_the_same_posterior_under_informative_and_default_priors() -> None:
    """With 100 schools the data decide; the informative prior pulls the variances towards 100 and μ towards 50."""
    model = mf.lmm("mathscore ~ 1 + (1 | school)", mf.load_dataset("school_mathscore"))
    guess = pr.InverseGamma.guess(variance=100, weight=1)
    informative = model.gibbs(
        {"fixed": pr.Normal(50, 5), "school": guess, "sigma": guess}, draws=4000, seed=1
    )
    flat = {"fixed": pr.Flat(), "school": pr.UniformSD(), "sigma": pr.Jeffreys()}
    default = model.gibbs(flat, draws=4000, seed=2)
    shift = informative.beta.mean() - default.beta.mean()
    assert 0 < shift < 0.06
    assert 0 < (informative["sd_(Intercept)|school"] - default["sd_(Intercept)|school"]).mean() < 0.15
    fit = model.fit()
    assert default.beta.mean() == pytest.approx(fit.params.iloc[0], abs=0.02)
    assert default.sigma.mean() == pytest.approx(fit.sigma, abs=0.02)


def test_nels_must_be_beside_its_maximum_likelihood_fit(shared_data: Path) -> None:
    """The ML fit of the note on hierarchical linear models, random slopes of ses."""
    model = mf.lmm("mscore ~ ses + (ses | school)", pd.read_csv(shared_data / "nels.csv"))
    fit = model.fit(reml=False)
    posterior = model.gibbs(seed=1, keep_effects=False)
    table = posterior.summary()
    assert np.all(np.abs(table.loc[fit.params.index, "mean"] - fit.params) < 0.1 * fit.bse)
    assert table.loc["sigma", "mean"] == pytest.approx(fit.sigma, abs=0.02)
    sd = fit.varcorr["sdcor"].iloc[0]
    assert table.loc["sd_(Intercept)|school", "mean"] == pytest.approx(sd, abs=0.05)
