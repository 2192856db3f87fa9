"""`mf.report` of a posterior, and of a fit with a posterior."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixedfit as mf
from mixedfit.reporting.html import posterior_html
from mixedfit.reporting.html.posterior_words import priors_in_words

pytest.importorskip("matplotlib").use("Agg")
pr = mf.priors


def read(page: str) -> str:
    """Return the text of a page, without its tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page.split("</style>")[1])))


@pytest.fixture(scope="module")
def model() -> mf.LinearMixedModel:
    return mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))


@pytest.fixture(scope="module")
def posterior(model: mf.LinearMixedModel) -> mf.Posterior:
    return model.gibbs(draws=500, chains=2, seed=1)


@pytest.mark.usefixtures("undrawn")
def test_page_must_have_the_numbers_of_the_summary(posterior: mf.Posterior) -> None:
    text = read(posterior_html(posterior, labels={"GenotypeB": "B minus A"}))
    row = posterior.summary().loc["GenotypeB"]
    numbers = [row["50%"], row["2.5%"], row["97.5%"], row["mean"], row["sd"]]
    median, low, high, mean, sd = (f"{v:.2f}".replace("-", "−") for v in numbers)
    direction = max(float(np.mean(posterior["GenotypeB"] < 0)), float(np.mean(posterior["GenotypeB"] > 0)))
    assert f"B minus A {median} {low} to {high} {mean} {sd} {direction:.3f}" in text
    assert f"negative with a probability of {100 * direction:.1f}%" in text
    assert f"B minus A {row['rhat']:.3f} {row['ess_bulk']:,.0f} {row['ess_tail']:,.0f}" in text
    check = posterior.check(seed=1).table.loc["mean"]
    assert f"{check['p_value']:.3f}" in text
    scaled = posterior.power_scaling().table.loc["sigma"]
    assert f"Residual SD {scaled['prior']:.3f} {scaled['likelihood']:.3f}" in text
    assert "The SD of (Intercept) between levels of Tray has a half-t prior with 3 degrees of freedom" in text
    assert "The chains have mixed" in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")
def test_all_models_must_have_a_page_that_says_what_they_are(model: mf.LinearMixedModel) -> None:
    ds = mf.distributions
    tails = model.gibbs(
        errors=ds.StudentT("estimate"),
        random_effects=ds.Laplace(),
        sigma="by:Genotype",
        draws=60,
        chains=2,
        seed=1,
    )
    text = read(posterior_html(tails))
    assert (
        "t-distributed with estimated degrees of freedom, robust to outliers, with an SD for each level"
        in text
    )
    assert "The random effects of Tray are Laplace-distributed." in text
    assert "Residual SD, B" in text
    assert "The draws do not suffice" in text
    oats = mf.load_dataset("Oats").assign(
        w=1.0, t=lambda d: d.groupby(["Block", "Variety"], observed=True).cumcount()
    )
    series = mf.lmm("yield ~ Variety + (1 | Block)", oats, residual=mf.residuals.AR1("t", "Block:Variety"))
    text = read(posterior_html(series.gibbs(draws=60, chains=1, seed=1, keep_effects=False)))
    assert "The autocorrelation φ of residuals has a uniform prior between -1 and 1." in text
    assert "The draws of the random effects were not kept." in text
    weighted = mf.lmm("yield ~ 1 + (1 | Block/Variety)", oats, weights="w")
    text = read(posterior_html(weighted.gibbs({"sigma": pr.Known(12)}, draws=60, chains=2, seed=1)))
    assert "The residual SD is known: 12." in text
    assert "Residual SD (known) 12.0 –" in text


def test_priors_must_be_said_in_words(model: mf.LinearMixedModel) -> None:
    given = {"fixed": pr.Flat(), "Tray": pr.HalfCauchy(1), "sigma": pr.HalfNormal(2)}
    assert priors_in_words(model.gibbs(given, draws=20, seed=1)) == [
        "The fixed effects have a flat prior: every value is as plausible.",
        "The SD of (Intercept) between levels of Tray has a half-Cauchy prior with scale 1.",
        "The residual SD has a half-normal prior with scale 2.",
    ]


def test_page_with_a_fit_must_compare_both(
    model: mf.LinearMixedModel, posterior: mf.Posterior, undrawn: None, tmp_path: Path
) -> None:
    fit: Any = model.fit()
    text = read(mf.report(fit, tmp_path / "b.html", posterior=posterior, profile=False).read_text("utf-8"))
    side = mf.compare(fit, posterior, methods="wald").table.loc["GenotypeB"]
    keys = ("estimate", "wald_lower", "wald_upper", "post_mean", "cred_lower", "cred_upper")
    estimate, low, high, mean, lower, upper = (f"{side[key]:.2f}".replace("-", "−") for key in keys)
    assert f"{estimate} {low} to {high} {mean} {lower} to {upper}" in text
    assert "Fit and posterior side by side" in text
    assert "Posterior: have the chains mixed?" in text


def test_what_cannot_be_reported_must_be_refused_in_words(
    model: mf.LinearMixedModel, posterior: mf.Posterior, tmp_path: Path
) -> None:
    with pytest.raises(mf.ModelError, match="draws from the prior"):
        mf.report(model.prior_predictive(seed=1), tmp_path / "p.html")
    with pytest.raises(mf.ModelError, match="two posteriors; give the fit first"):
        mf.report(posterior, tmp_path / "p.html", posterior=posterior)
    other = mf.lmm("SeedlingWeight ~ 1 + (1 | Tray)", mf.load_dataset("seedling_weight")).fit()
    with pytest.raises(mf.ModelError, match="compare two of the same model"):
        mf.report(other, tmp_path / "p.html", posterior=posterior, profile=False)
