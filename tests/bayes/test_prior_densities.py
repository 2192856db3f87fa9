"""Densities of priors against draws from them, and the picture of prior, likelihood and posterior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import mixedfit as mf
from mixedfit import plots
from mixedfit.bayes.priors.densities import prior_densities
from mixedfit.crossproducts.crossprod import cross_products

pr = mf.priors
SEEDLINGS = "SeedlingWeight ~ Genotype + (1 | Tray)"
SLEEP = "Reaction ~ Days + (Days | Subject)"


def model_of(formula: str) -> mf.LinearMixedModel:
    return mf.lmm(formula, mf.load_dataset("seedling_weight" if formula == SEEDLINGS else "sleepstudy"))


def densities_of(model: mf.LinearMixedModel, priors: Mapping[str, Any] | None) -> dict[str, Any]:
    return prior_densities(model.design, cross_products(model.design), priors)[1]


@pytest.mark.parametrize(
    ("formula", "priors", "number"),
    [
        (SEEDLINGS, {}, 4),
        (SEEDLINGS, {"GenotypeB": pr.Normal(1, 2), "Tray": pr.HalfCauchy(1), "sigma": pr.HalfNormal(3)}, 4),
        (SEEDLINGS, {"Tray": pr.InverseGamma(2, 5), "sigma": pr.Exponential(2)}, 4),
        (SEEDLINGS, {"Tray": pr.LogNormal(2, 0.5), "sigma": pr.UniformSD(4)}, 4),
        (SEEDLINGS, {"Tray": pr.HalfT(3, 2), "sigma": pr.Known(2)}, 3),
        (SLEEP, {}, 6),
        (SLEEP, {"Subject": pr.HuangWand((30, 5), df=4)}, 6),
        (SLEEP, {"Subject": pr.InverseWishart(5, [[600.0, 0.0], [0.0, 35.0]])}, 6),
        (SLEEP, {"Subject": pr.LKJ(3, pr.HalfT(3, 30), pr.HalfNormal(5))}, 6),
        (SLEEP, {"Subject": pr.InverseWishart(5, [[600.0, 40.0], [40.0, 35.0]])}, 5),
    ],
)
def test_density_must_be_that_of_draws_from_the_prior(
    formula: str, priors: dict[str, Any], number: int
) -> None:
    """Kolmogorov's distance to 4,000 draws; its 99.9% point is 0.031."""
    model = model_of(formula)
    drawn, densities = model.prior_predictive(priors, draws=4000, seed=1), densities_of(model, priors)
    assert len(densities) == number
    for name, density in densities.items():
        values = np.sort(drawn[name].ravel())
        places = np.unique(np.quantile(values, np.linspace(0.005, 0.995, 400)))
        below = integrate.cumulative_trapezoid(density.at(places), places, initial=0.0)
        shares = np.searchsorted(values, places) / values.size
        assert density.proper
        assert np.abs(below - (shares - shares[0])).max() < 0.035, name


def test_priors_of_other_parts_and_known_scales_must_have_no_density() -> None:
    model = model_of(SEEDLINGS)
    found = densities_of(model, {"sigma": pr.Known(2), "nu": pr.Gamma(2, 0.1)})
    assert set(found) == {"(Intercept)", "GenotypeB", "sd_(Intercept)|Tray"}


def test_improper_priors_must_be_flat_or_fall_like_one_over_sigma() -> None:
    found = densities_of(
        model_of(SEEDLINGS), {"fixed": pr.Flat(), "Tray": pr.UniformSD(), "sigma": pr.Jeffreys()}
    )
    assert not any(density.proper for density in found.values())
    at = np.array([1.0, 2.0, 4.0])
    for name, expected in (
        ("GenotypeB", [1, 1, 1]),
        ("sd_(Intercept)|Tray", [1, 1, 1]),
        ("sigma", [4, 2, 1]),
    ):
        height = found[name].at(at)
        np.testing.assert_allclose(height / height[-1], expected)
    assert found["sd_(Intercept)|Tray"].at(np.array([-1.0])).tolist() == [0.0]


def test_one_flat_coefficient_must_leave_the_others_their_prior() -> None:
    found = densities_of(model_of(SEEDLINGS), {"fixed": pr.Normal(0, 5), "GenotypeB": pr.Flat()})
    assert not found["GenotypeB"].proper
    at = np.array([-3.0, 0.0, 7.0])
    np.testing.assert_allclose(found["(Intercept)"].at(at), stats.norm(0, 5).pdf(at))


@pytest.fixture(scope="module")
def narrow() -> tuple[mf.Posterior, dict[str, Any], Any]:
    """Posterior under a doubtful prior of the genotypes' difference, with the fit's profile."""
    model, priors = model_of(SEEDLINGS), {"GenotypeB": pr.Normal(0, 2), "Tray": pr.HalfCauchy(1)}
    return model.gibbs(priors, draws=500, seed=1), priors, model.fit().profile()


def test_picture_must_have_prior_likelihood_and_posterior(narrow: tuple[Any, ...]) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    posterior, priors, profile = narrow
    figure = plots.prior_and_posterior(posterior, priors, profile=profile, columns=2)
    assert [ax.get_label() for ax in figure.axes] == list(posterior.names)
    ax = figure.axes[1]
    likelihood, prior = ax.get_lines()[:2]
    x, y = prior.get_data()
    np.testing.assert_allclose(y, stats.norm(0, 2).pdf(x))
    heights, edges, _ = ax.patches[0].get_data()
    assert np.sum(heights * np.diff(edges)) == pytest.approx(1.0, abs=0.01)
    at = likelihood.get_xdata()[np.argmax(likelihood.get_ydata())]
    middle = edges[np.searchsorted(np.cumsum(heights * np.diff(edges)), 0.5)]
    assert at < middle < 0.0  # the posterior is a compromise
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "prior", "likelihood profile", "posterior",
    ]  # fmt: skip
    plt.close("all")


def test_picture_must_fit_into_given_axes_and_say_that_heights_are_arbitrary() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    flat = {"fixed": pr.Flat(), "Tray": pr.UniformSD()}
    posterior = model_of(SEEDLINGS).gibbs(flat, draws=300, seed=2)
    ax = plt.subplots()[1]
    assert plots.prior_and_posterior(posterior, flat, "GenotypeB", ax=ax) is ax
    assert ax.get_legend().get_texts()[0].get_text() == "prior (height arbitrary)"
    assert np.ptp(ax.get_lines()[0].get_ydata()) == 0.0
    with pytest.raises(mf.ModelError, match="ax is for one parameter"):
        plots.prior_and_posterior(posterior, flat, ax=ax)
    plt.close("all")


@pytest.mark.parametrize("bar", ["|", "||"])
def test_picture_must_take_separate_priors_of_standard_deviations(bar: str) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    model = model_of(f"Reaction ~ Days + (Days {bar} Subject)")
    one, two = pr.HalfNormal(30), pr.HalfNormal(8)
    priors = (
        {"Subject": pr.Diagonal(one, two)}
        if bar == "|"
        else {"sd_(Intercept)|Subject": one, "sd_Days|Subject": two}
    )
    posterior = model.gibbs(priors, draws=200, chains=1, seed=3)
    figure = plots.prior_and_posterior(posterior, priors, ["sd_(Intercept)|Subject", "sd_Days|Subject"])
    for ax, scale in zip(figure.axes, (30, 8), strict=True):
        x, y = ax.get_lines()[0].get_data()
        np.testing.assert_allclose(y, 2 * stats.norm(0, scale).pdf(x))
    plt.close("all")


def test_picture_must_take_the_range_of_its_axis(narrow: tuple[Any, ...]) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    posterior, priors, profile = narrow
    figure = plots.prior_and_posterior(posterior, priors, "GenotypeB", profile=profile, range=(-9, 30))
    assert figure.axes[0].get_xlim() == (-9, 30)
    x = figure.axes[0].get_lines()[1].get_xdata()
    assert x.min() < -9
    assert x.max() > 30
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x1 <= figure.bbox.x1
    for wrong, parameters in (((3, 1), "GenotypeB"), (5, "GenotypeB"), ((0, 1), None)):
        with pytest.raises(mf.ModelError, match="range is"):
            plots.prior_and_posterior(posterior, priors, parameters, range=wrong)
    plt.close("all")


def test_picture_must_refuse_priors_that_are_not_the_posteriors(narrow: tuple[Any, ...]) -> None:
    posterior, priors, _ = narrow
    other = priors | {"Tray": pr.HalfCauchy(5)}
    with pytest.raises(mf.ModelError, match=r"half-Cauchy\(5\) is not among the priors of this posterior"):
        plots.prior_and_posterior(posterior, other)
    with pytest.raises(mf.ModelError, match="Genotypeb"):
        plots.prior_and_posterior(posterior, priors, "Genotypeb")
