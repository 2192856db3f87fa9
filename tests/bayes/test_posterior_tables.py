"""Intervals, tidy tables, hypotheses and marginal means of a posterior, beside those of a fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf

SHORT: dict[str, Any] = {"draws": 60, "tune": 20, "seed": 1}

MODELS = {
    "correlated": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "separate terms": ("sleepstudy", "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"),
    "crossed": ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "interaction": ("cake", "angle ~ recipe * temperature + (1 | recipe:replicate)"),
}


def model_of(name: str) -> mf.LinearMixedModel:
    dataset, formula = MODELS[name]
    return mf.lmm(formula, mf.load_dataset(dataset))


@pytest.mark.parametrize("name", MODELS)
def test_tidy_table_must_have_the_terms_of_the_fit(name: str) -> None:
    """So that tables of both can be joined; parameters in another order would be joined wrongly by position."""
    model = model_of(name)
    posterior, fit = model.gibbs(**SHORT), model.fit()
    own, expected = posterior.tidy(conf_int=True), fit.tidy()
    for column in ("effect", "group", "term"):
        assert own[column].tolist() == expected[column].tolist()
    assert list(own.columns[3:]) == ["estimate", "std.error", "conf.low", "conf.high"]
    means = posterior.summary()["mean"]
    fixed = own[own["effect"] == "fixed"]
    np.testing.assert_allclose(fixed["estimate"], means[fixed["term"]])
    assert own["estimate"].iloc[0] == pytest.approx(
        means[next(n for n in means.index if n.startswith("sd_"))]
    )


def test_tidy_table_must_have_parameters_that_a_fit_does_not_have() -> None:
    model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
    table = model.gibbs(errors=mf.distributions.StudentT("estimate"), **SHORT).tidy("ran_pars")
    assert table["term"].tolist() == ["sd__(Intercept)", "sd__Observation", "nu"]
    with pytest.raises(mf.ModelError, match="effects='random' is not known"):
        model.gibbs(**SHORT).tidy("random")


@pytest.mark.parametrize("interval", ["quantiles", "hpd", "hdi"])
def test_intervals_must_be_those_of_the_summary(interval: Any) -> None:
    posterior = model_of("correlated").gibbs(**SHORT)
    table = posterior.summary(interval=interval, level=0.8, quantiles=(0.1, 0.9))
    expected = table.iloc[:, 3:5].set_axis(["lower", "upper"], axis=1)
    found = posterior.conf_int(0.8, interval=interval)
    pd.testing.assert_frame_equal(found, expected)
    fixed, variances = (posterior.conf_int(0.8, k, interval=interval) for k in ("fixed", "variances"))
    pd.testing.assert_frame_equal(pd.concat([fixed, variances]), expected)
    assert posterior.conf_int(parameters=["sigma", "Days"]).index.tolist() == ["sigma", "Days"]
    with pytest.raises(mf.ModelError, match="Did you mean 'Days'"):
        posterior.conf_int(parameters="days")
    with pytest.raises(mf.ModelError, match=r"For 95 percent give 0\.95"):
        posterior.conf_int(95)


def test_hypotheses_must_be_probabilities_with_the_difference_of_their_sides() -> None:
    posterior = model_of("correlated").gibbs(**SHORT)
    texts = ["Days / sigma > 0.4", "sd_(Intercept)|Subject <= sigma", "Days > 100"]
    table = posterior.hypothesis(texts, level=0.9)
    assert table.index.tolist() == texts
    ratio = posterior["Days"] / posterior["sigma"] - 0.4
    row = table.loc[texts[0]]
    assert row["difference"] == pytest.approx(ratio.mean())
    assert (row["lower"], row["upper"]) == pytest.approx(np.quantile(ratio, [0.05, 0.95]))
    share = np.mean(ratio > 0)
    assert (row["probability"], row["odds"]) == pytest.approx((share, share / (1 - share)))
    assert table.loc[texts[1], "probability"] == pytest.approx(
        np.mean(posterior["sd_(Intercept)|Subject"] <= posterior["sigma"])
    )
    assert table.loc["Days > 100", ["probability", "odds"]].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Days = 0", "posterior probability 0"),
        ("Days", "not one comparison"),
        ("0 < Days < 20", "not one comparison"),
        ("days > 0", "Did you mean 'Days'"),
        (3, "expected text"),
    ],
)
def test_hypotheses_that_cannot_be_read_must_be_refused(text: Any, message: str) -> None:
    posterior = model_of("correlated").gibbs(**SHORT)
    with pytest.raises(mf.ModelError, match=message):
        posterior.hypothesis([text])


@pytest.mark.everyday(2)
@pytest.mark.parametrize(
    ("specs", "options"),
    [
        ("recipe", {}),
        ("recipe", {"by": "temperature"}),
        ("~ recipe | temperature", {}),
        (["recipe", "temperature"], {}),
        ("temperature", {"weights": "proportional"}),
    ],
)
def test_marginal_means_must_be_those_of_the_fit_at_its_estimates(specs: Any, options: Any) -> None:
    """Draws that all equal the estimates have their marginal means, in the same order, and their contrasts."""
    model = model_of("interaction")
    fit, posterior = model.fit(), model.gibbs(**SHORT)
    same = replace(posterior, beta=np.tile(fit.params.to_numpy(), (4, 60, 1)))
    expected = fit.emmeans(specs, **options)
    means = same.emmeans(specs, **options)
    np.testing.assert_allclose(means.values.mean(axis=(0, 1)), expected.table["estimate"])
    pd.testing.assert_frame_equal(means.cells, expected.table[means.cells.columns], check_dtype=False)
    assert len(set(means.names)) == len(means.names)
    for method in ("pairwise", "trt.vs.ctrl", "eff"):
        contrasts, table = means.contrasts(method), expected.contrasts(method, adjust="none").table
        np.testing.assert_allclose(contrasts.values.mean(axis=(0, 1)), table["estimate"], atol=1e-9)
        own = [name.split(", ")[0] for name in contrasts.names]
        assert own == table["contrast"].tolist()


def test_marginal_means_must_find_their_coefficients_when_a_column_before_them_was_dropped() -> None:
    """Rival: the coefficient of x for that of f, by position."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(3, 1, 60), "f": np.tile(list("ab"), 30), "g": np.arange(60) // 10})
    frame["y"] = frame.x + 5.0 * (frame.f == "b") + rng.normal(size=60)
    posterior = mf.lmm("y ~ x + I(2 * x) + f + (1 | g)", frame).gibbs(**SHORT)
    assert posterior.kept.tolist() == [0, 1, 3]
    means = posterior.emmeans("f", at={"x": 2.0})
    expected = posterior["(Intercept)"] + 2.0 * posterior["x"]
    np.testing.assert_allclose(means.values[:, :, 0], expected)
    np.testing.assert_allclose(means.values[:, :, 1], expected + posterior["fb"])


def test_contrasts_must_be_named_by_the_cells_of_their_own_family() -> None:
    """Sites are nested in regions, two or three in each. Rivals: the names and the region of the first family."""
    rng = np.random.default_rng(1)
    sites = {"N": ["n1", "n2"], "S": ["s1", "s2", "s3"]}
    rows = [(r, s) for r, own in sites.items() for s in own for _ in range(8)]
    frame = pd.DataFrame(rows, columns=["region", "site"])
    frame["block"], frame["y"] = np.tile(np.arange(8), 5), rng.normal(size=40)
    posterior = mf.lmm("y ~ region / site + (1 | block)", frame).gibbs(**SHORT)
    nested = posterior.emmeans("~ site | region").contrasts("consec").names
    assert nested == ("n2 - n1, region = N", "s2 - s1, region = S", "s3 - s2, region = S")
    crossed = model_of("interaction").gibbs(**SHORT).emmeans("recipe", by="temperature").contrasts("consec")
    assert crossed.names[1:3] == ("C - B, temperature = 175", "B - A, temperature = 185")
    assert len(set(crossed.names)) == 12


def test_marginal_means_must_have_their_posterior_spread_and_notes() -> None:
    posterior = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).gibbs(**SHORT)
    mean = posterior.emmeans("~ 1", at={"Days": 3})
    np.testing.assert_allclose(mean.values[:, :, 0], posterior["(Intercept)"] + 3 * posterior["Days"])
    assert "Held at: Days = 3" in str(mean)
    with pytest.raises(mf.ModelError, match="Subject"):
        posterior.emmeans("Subject")


def test_mean_of_a_cell_that_the_data_lack_must_be_refused() -> None:
    """Its draws would be those of other cells, since the dropped column counts as 0."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": np.tile(list("pqq"), 20), "b": np.tile(list("uuv"), 20)})
    frame["g"], frame["y"] = np.repeat(np.arange(6), 10), rng.standard_normal(60)
    posterior = mf.lmm("y ~ a * b + (1 | g)", frame).gibbs(**SHORT)
    assert posterior.dropped
    assert posterior.emmeans(["a", "b"], at={"a": ["q"]}).names == ("q u", "q v")
    with pytest.raises(mf.ModelError, match="'p v' is not estimable"):
        posterior.emmeans(["a", "b"])


def test_sentences_must_state_the_numbers_of_the_draws() -> None:
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    posterior = model.gibbs({"sigma": mf.priors.Known(2)}, draws=400, chains=2, seed=1)
    draws = posterior["GenotypeB"]
    median, low, high = (f"{v:.2f}".replace("-", "−") for v in np.quantile(draws, [0.5, 0.05, 0.95]))
    share = f"{np.mean(draws < 0):.3f}"[1:]
    assert posterior.sentence("GenotypeB", level=0.9, labels={"GenotypeB": "B minus A"}) == (
        f"The coefficient of B minus A had a posterior median of {median}, 90% credible interval [{low}, {high}]; it "
        f"was negative with a probability of {share}."
    )
    lines = posterior.sentence("variances", centre="mean", interval="hdi").split("\n")
    shortest = posterior.conf_int(parameters="variances", interval="hdi").iloc[0]
    sd = posterior["sd_(Intercept)|Tray"].mean()
    interval = f"highest-density interval [{shortest['lower']:.2f}, {shortest['upper']:.2f}]"
    assert lines[0] == f"The SD of (Intercept) | Tray had a posterior mean of {sd:.2f}, 95% {interval}."
    assert lines[1] == "The residual SD was known: 2."
    below = f"{np.mean(draws < -1):.3f}"[1:]
    assert (
        posterior.sentence("GenotypeB < -1") == f"The posterior probability that GenotypeB < −1 was {below}."
    )
    assert posterior.sentence("GenotypeB / sigma").startswith(
        "The quantity GenotypeB / sigma had a posterior median"
    )
    contrast = posterior.emmeans("Genotype").contrasts("pairwise")
    assert posterior.sentence(contrast).startswith("The quantity A - B had")
    with pytest.raises(mf.ModelError, match="GenotypeC"):
        posterior.sentence("GenotypeC")
