"""The five extensions on the last page of the lecture note on seedlings (Niemi 2017) differ as theory says.

y_s = γ_g + τ_t + e_s, with half-Cauchy(0, 1) priors of all scales and a flat one of what is fixed.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.bayes import distributions as ds
from mixedfit.bayes import priors as pr
from mixedfit.bayes.draws import convergence

SCALE = pr.HalfCauchy(1)
NOTE = {"fixed": pr.Flat(), "Tray": SCALE, "sigma": SCALE}
FIXED = "SeedlingWeight ~ Genotype + (1 | Tray)"
RANDOM = "SeedlingWeight ~ 1 + (1 | Genotype) + (1 | Tray)"


@cache
def seedlings(outlier: bool = False) -> pd.DataFrame:
    """Return the data; with an outlier the first seedling of genotype B weighs 30 more."""
    data = mf.load_dataset("seedling_weight")
    data["SeedlingWeight"] = data["SeedlingWeight"].astype(float)
    if outlier:
        data.loc[data.index[data["Genotype"].eq("B")][0], "SeedlingWeight"] += 30
    return data


@cache
def sampled(formula: str, errors: Any = ds.Normal(), trays: Any = ds.Normal(), outlier: bool = False) -> Any:  # noqa: B008
    model = mf.lmm(formula, seedlings(outlier))
    return model.gibbs(NOTE, draws=4000, seed=1, errors=errors, random_effects={"Tray": trays})


def error(*draws: np.ndarray) -> float:
    """Return the Monte-Carlo error of a difference of means."""
    return float(np.hypot.reduce([convergence.mcse_mean(d) for d in draws]))


def genotypes(shape: ds.Distribution) -> np.ndarray:
    """Return draws of γ_B − γ_A with the genotypes' own distribution, of which μ and σ_γ are learnt."""
    model = mf.lmm(RANDOM, seedlings())
    priors = NOTE | {"Genotype": SCALE}
    posterior = model.gibbs(priors, draws=10_000, seed=2, random_effects={"Genotype": shape})
    effects = posterior.random_effects["Genotype"]
    return np.asarray(effects["B"] - effects["A"])


def reweighted(shape: ds.Distribution) -> tuple[float, float]:
    """Return E(δ | y) and its error from draws under the flat prior, weighted by p(δ) = ∫ p(δ | σ_γ) p(σ_γ) dσ_γ.

    With μ flat, δ is the difference of two effects: N(0, 2σ_γ²), or the difference of two Laplace variables, whose
    density is (1 + |δ|/σ_γ) exp(−|δ|/σ_γ)/(4σ_γ).
    """
    delta = mf.lmm(FIXED, seedlings()).gibbs(NOTE, draws=10_000, seed=3)["GenotypeB"].ravel()
    s = np.exp(np.linspace(-12, 9, 1500))
    step = s / (1 + s * s)  # half-Cauchy, on the logarithm
    logs = np.linspace(-9, 4, 400)
    t = np.exp(logs)[:, None]
    if isinstance(shape, ds.Laplace):
        density = (1 + t / s) * np.exp(-t / s) / (4 * s)
    else:
        density = np.exp(-((t / s) ** 2) / 4) / (s * np.sqrt(4 * np.pi))
    weights = np.interp(np.log(np.abs(delta)), logs, density @ step)
    mean = float(weights @ delta / weights.sum())
    return mean, float(np.sqrt(np.sum((weights * (delta - mean)) ** 2)) / weights.sum())


@pytest.mark.everyday(1)
@pytest.mark.parametrize("shape", [ds.Normal(), ds.Laplace()], ids=["normal", "Laplace"])
def test_genotypes_must_be_pulled_together_when_their_distribution_is_learnt(shape: ds.Distribution) -> None:
    """Extensions 1 and 3, γ_g ~ N(μ, σ_γ²) and La(μ, σ_γ²): the difference shrinks, by as much as its prior says."""
    delta, flat = genotypes(shape), sampled(FIXED)["GenotypeB"]
    assert flat.mean() + 10 * error(flat, delta) < delta.mean() < 0
    assert delta.std() < flat.std()
    expected, other = reweighted(shape)
    assert abs(delta.mean() - expected) < 4 * np.hypot(error(delta), other)


def test_laplace_genotypes_must_be_pulled_less_than_normal_ones() -> None:
    """The Laplace distribution's tails leave a large difference more of itself: −1.35 for −1.20 of −3.6."""
    laplace, normal = genotypes(ds.Laplace()), genotypes(ds.Normal())
    assert laplace.mean() < normal.mean() - 3 * error(laplace, normal)


def test_laplace_trays_must_pull_a_genotype_mean_towards_the_median_of_its_trays() -> None:
    """Extension 2, τ_t ~ La(0, σ_τ²): one tray of A is far below the three others, and counts for less."""
    data, normal, laplace = seedlings(), sampled(FIXED), sampled(FIXED, trays=ds.Laplace())
    trays = data[data["Genotype"].eq("A")].groupby("Tray", observed=True)["SeedlingWeight"].mean()
    assert trays.median() > trays.mean() + 0.5
    before, after = normal["(Intercept)"], laplace["(Intercept)"]
    assert before.mean() + 4 * error(before, after) < after.mean() < trays.median()


def test_new_laplace_trays_must_have_longer_tails() -> None:
    """A new tray's effect over its scale: P(|τ| > 3σ_τ) is exp(−3) = 0.0498 for Laplace, 0.0027 for the normal."""
    share = {}
    for shape in (ds.Normal(), ds.Laplace()):
        posterior = sampled(FIXED, trays=shape)
        row = posterior.predict({"Genotype": ["A"], "Tray": ["new"]}, kind="mean", seed=4).values[:, :, 0]
        size = np.abs(row - posterior["(Intercept)"]) / posterior["sd_(Intercept)|Tray"]
        share[type(shape)] = float(np.mean(size > 3))
    assert share[ds.Normal] == pytest.approx(0.0027, abs=0.002)
    assert share[ds.Laplace] == pytest.approx(np.exp(-3), abs=0.008)


@pytest.mark.everyday(1)
@pytest.mark.parametrize("errors", [ds.Laplace(), ds.StudentT(4), ds.StudentT("estimate")], ids=str)
def test_an_outlying_seedling_must_move_the_genotypes_less_when_errors_have_long_tails(
    errors: ds.Distribution,
) -> None:
    """Extensions 4 and 5, e_s ~ La(0, σ_e²) and t_ν(0, σ_e²): a residual's influence is bounded, or goes back to 0."""
    moved = {}
    for shape in (ds.Normal(), errors):
        before, after = (sampled(FIXED, errors=shape, outlier=o)["GenotypeB"] for o in (False, True))
        moved[shape] = (after.mean() - before.mean(), error(before, after))
    normal, other = moved[ds.Normal()], moved[errors]
    assert other[0] + 4 * np.hypot(normal[1], other[1]) < 0.5 * normal[0]


def test_scale_must_be_smaller_than_the_standard_deviation_when_errors_have_long_tails() -> None:
    """For normal residuals of SD s the Laplace scale that fits best is E|e| = 0.80 s, that of t₄ is 0.80 s as well."""
    sd = sampled(FIXED)["sigma"]
    for errors in (ds.Laplace(), ds.StudentT(4), ds.StudentT("estimate")):
        sigma = sampled(FIXED, errors=errors)["sigma"]
        assert sigma.mean() + 4 * error(sd, sigma) < sd.mean()
        assert sigma.mean() > 0.6 * sd.mean()


def test_degrees_of_freedom_must_fall_when_a_seedling_is_an_outlier() -> None:
    errors = ds.StudentT("estimate")
    before, after = (sampled(FIXED, errors=errors, outlier=o)["nu"] for o in (False, True))
    assert after.mean() + 4 * error(before, after) < 0.5 * before.mean()
