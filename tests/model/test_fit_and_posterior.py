"""A fit beside a posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mixedfit as mf


@pytest.fixture(scope="module")
def sleep() -> tuple[mf.MixedResults, mf.Posterior]:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    return model.fit(), model.gibbs(seed=1)


def test_table_must_hold_what_fit_and_posterior_say(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    fit, posterior = sleep
    table = mf.compare(fit, posterior, level=0.9, methods=["wald", "profile"]).table
    assert list(table.index) == list(posterior.names)
    profile = fit.conf_int(0.9, "profile", names="long")
    assert table.loc["sigma", "profile_upper"] == profile.loc["sigma", "upper"]
    assert table.loc["Days", "std_error"] == fit.bse["Days"]
    sds = fit.varcorr["sdcor"].tolist()
    names = ["sd_(Intercept)|Subject", "sd_Days|Subject", "cor_Days.(Intercept)|Subject", "sigma"]
    assert np.allclose(table.loc[names, "estimate"], sds, rtol=1e-12)
    low, high = np.quantile(posterior["Days"], [0.05, 0.95])
    assert table.loc["Days", ["cred_lower", "cred_upper"]].tolist() == pytest.approx([low, high])


def test_printed_comparison_must_fit_a_screen_and_show_three_digits_of_the_sd(
    sleep: tuple[mf.MixedResults, mf.Posterior],
) -> None:
    fit, posterior = sleep
    lines = str(mf.compare(fit, posterior)).splitlines()
    assert max(map(len, lines)) <= 100
    row, of_posterior = [line.split() for line in lines if line.startswith("Days ")][:2]
    assert row[1:3] == [f"{fit.params['Days']:.2f}", f"{fit.bse['Days']:.2f}"]
    assert of_posterior[2] == f"{posterior['Days'].std(ddof=1):.2f}"
    correlation = [line.split() for line in lines if line.startswith("cor_")]
    assert [len(line) for line in correlation] == [1 + 1 + 2, 1 + 4]  # no standard error and no Wald interval


def test_blups_must_stand_beside_posterior_means(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    fit, posterior = sleep
    table = mf.compare(fit, posterior, methods=[]).random_effects["Subject"]
    assert table.loc[("308", "Days"), "mode"] == fit.random_effects["Subject"].loc["308", "Days"]
    assert table.loc[("308", "Days"), "mean"] == posterior.random_effects["Subject"].mean.loc["308", "Days"]


def test_notes_must_say_that_wald_intervals_take_the_variances_as_known(
    sleep: tuple[mf.MixedResults, mf.Posterior],
) -> None:
    notes = mf.compare(*sleep, methods=[]).notes
    assert any(note.startswith("Days") and "as known" in note for note in notes)


def test_notes_must_explain_a_variance_estimated_at_zero() -> None:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2"))
    side = mf.compare(model.fit(), model.gibbs(seed=1), methods=["profile"])
    assert any("the estimate is 0" in note for note in side.notes)
    assert "sd_(Intercept)|Batch" in str(side)


@pytest.mark.parametrize(
    ("priors", "says"),
    [
        ({}, "prefers correlations near 0 if SDs are small"),
        ({"Rat": mf.priors.LKJ(4)}, "prefers correlations near 0."),
    ],
)
def test_notes_must_name_the_prior_of_a_correlation_whose_mean_is_not_the_mode(
    priors: dict[str, Any], says: str
) -> None:
    model = mf.lmm("Weight ~ I(Day - 22) + (I(Day - 22) | Rat)", mf.load_dataset("rats"))
    posterior = model.gibbs(priors, seed=1, draws=500)
    side = mf.compare(model.fit(), posterior, methods="wald")
    name = "cor_I(Day - 22).(Intercept)|Rat"
    note = next(note for note in side.notes if note.startswith(name))
    assert f"{posterior[name].mean():.3f}, is below the estimate, 0.668" in note
    assert says in note


def test_other_data_must_be_refused(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    fit, posterior = sleep
    other = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
    with pytest.raises(mf.ModelError, match="same model"):
        mf.compare(other, posterior)
    with pytest.raises(mf.ModelError, match="in this order"):
        mf.compare(posterior, fit)
    with pytest.raises(mf.ModelError, match="walt"):
        mf.compare(fit, posterior, methods=["walt"])


# -- reasons -----------------------------------------------------------------------------------------

REASONS = ["prior adds", "pulled", "the mean follows", "as known", "averages over", "distributions differ"]
"""What may only be said where it is known."""


def without_reasons(side: mf.Comparison) -> bool:
    return not any(word in note for note in side.notes for word in REASONS)


def test_notes_must_name_a_prior_that_was_given_and_blame_nothing_else(
    sleep: tuple[mf.MixedResults, mf.Posterior],
) -> None:
    """The prior of β moves the estimate of the slopes' SD out of its credible interval: no skewness does that."""
    fit, _ = sleep
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    side = mf.compare(fit, model.gibbs({"Days": mf.priors.Normal(0, 0.5)}, seed=1), methods=[])
    assert any("Priors were given" in note and "β[Days] ~ N(0, 0.5²)" in note for note in side.notes)
    assert any(note.startswith("sd_Days|Subject") and "skewed" not in note for note in side.notes)
    assert without_reasons(side)


def test_notes_must_say_that_sigma_was_held(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    fit, _ = sleep
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    side = mf.compare(fit, model.gibbs({"sigma": mf.priors.Known(20)}, seed=1), methods=[])
    assert "The posterior holds σ = 20, which the fit estimates." in side.notes
    assert without_reasons(side)
    row = next(line.split() for line in str(side).splitlines() if line.startswith("sigma"))
    assert row == ["sigma", "25.59", "20.00", "0.00", "20.00", "20.00"]


@pytest.mark.filterwarnings("ignore::mixedfit.SamplingWarning")  # short chains on purpose
@pytest.mark.parametrize(
    "options",
    [
        {"errors": mf.distributions.StudentT("estimate")},
        {"random_effects": mf.distributions.Laplace()},
        {"sigma": "by:Sex"},
    ],
)
def test_notes_must_not_blame_default_priors_for_what_another_model_did(options: dict[str, Any]) -> None:
    model = mf.lmm("distance ~ age + (age | Subject)", mf.load_dataset("Orthodont"))
    side = mf.compare(model.fit(), model.gibbs(seed=1, draws=500, **options), methods=[])
    assert any("the posterior's model has" in note for note in side.notes)
    assert without_reasons(side)


def test_parameter_that_only_the_fit_has_must_keep_its_row() -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    fit = model.fit()
    apart = model.gibbs({"Subject": mf.priors.Diagonal(mf.priors.HalfT(3, 50))}, draws=100, seed=1)
    side = mf.compare(fit, apart, methods=[])
    name = "cor_Days.(Intercept)|Subject"
    assert side.table.loc[name, "estimate"] == pytest.approx(fit.varcorr["sdcor"].iloc[2])
    assert np.isnan(side.table.loc[name, "post_mean"])
    assert any(f"has no {name}" in note for note in side.notes)
    own = model.gibbs(sigma="by:Subject", draws=100, seed=1)
    side = mf.compare(fit, own, methods=[])
    assert side.table.loc["sigma", "estimate"] == fit.sigma
    assert list(side.table.index).index("sigma") < list(side.table.index).index("sigma[308]")
    assert "sigma" in str(side)


def test_skewness_must_be_that_of_the_draws(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    """Notes give the median, by which anyone can judge."""
    fit, posterior = sleep
    notes = mf.compare(fit, posterior, methods=[]).notes
    note = next(note for note in notes if note.startswith("sd_Days|Subject"))
    assert f"{np.median(posterior['sd_Days|Subject']):.4g}" in note


def test_draws_from_the_prior_must_be_refused(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    with pytest.raises(mf.ModelError, match="from the prior"):
        mf.compare(sleep[0], model.prior_predictive(seed=1))


def test_one_method_may_be_a_string(sleep: tuple[mf.MixedResults, mf.Posterior]) -> None:
    assert list(mf.compare(*sleep, methods="wald").table)[2:4] == ["wald_lower", "wald_upper"]
