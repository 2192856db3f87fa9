"""Priors: printing, placement in a model, and improper posteriors."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.bayes import priors as pr
from mixedfit.bayes.sampler.gibbs import gibbs

ADVICE = "UniformSD|HalfCauchy"


def schools(formula: str = "mathscore ~ 1 + (1 | school)") -> mf.LinearMixedModel:
    return mf.lmm(formula, mf.load_dataset("school_mathscore"))


def sleep(formula: str = "Reaction ~ Days + (Days | Subject)") -> mf.LinearMixedModel:
    return mf.lmm(formula, mf.load_dataset("sleepstudy"))


def few(groups: int, formula: str = "y ~ 1 + (1 | g)") -> mf.LinearMixedModel:
    rng = np.random.default_rng(1)
    g = np.repeat([f"g{i}" for i in range(groups)], 6)
    frame = pd.DataFrame({"g": g, "y": rng.standard_normal(g.size), "x": np.repeat(np.arange(groups), 6)})
    return mf.lmm(formula, frame)


def run(model: mf.LinearMixedModel, **given: object) -> mf.Posterior:
    return gibbs(model.design, given.pop("priors", None), draws=10, tune=5, chains=1, seed=1, **given)


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (pr.Flat(), "p(β) ∝ 1"),
        (pr.Normal(50, 5), "N(50, 5²)"),
        (pr.HalfCauchy(1), "half-Cauchy(1)"),
        (pr.HalfT(3, 2.5), "half-t(3, 2.5)"),
        (pr.HuangWand((50, 10)), "Huang–Wand(2; 50, 10)"),
        (pr.UniformSD(), "U(0, ∞)"),
        (pr.InverseWishart(4, np.eye(2)), "inverse-Wishart(4, [[1, 0], [0, 1]]⁻¹)"),
        (pr.Diagonal(pr.HalfNormal(2)), "diag(half-normal(2))"),
    ],
)
def test_prior_must_print_as_mathematics(prior: object, text: str) -> None:
    assert str(prior) == text


def test_priors_of_the_schools_must_be_stated_as_the_lecture_writes_them() -> None:
    """μ ~ N(50, 5²), 1/σ² ~ Gamma(1/2, 100/2), 1/τ² ~ Gamma(1/2, 100/2)."""
    guess = pr.InverseGamma.guess(100, weight=1)
    assert (guess.shape, guess.scale) == (0.5, 50.0)
    posterior = run(schools(), priors={"(Intercept)": pr.Normal(50, 5), "school": guess, "sigma": guess})
    assert posterior.priors == (
        "β[(Intercept)] ~ N(50, 5²)",
        "τ[(Intercept) | school]² ~ inverse-gamma(0.5, 50)",
        "σ² ~ inverse-gamma(0.5, 50)",
    )


@pytest.mark.parametrize(
    "bad",
    [
        lambda: pr.HalfCauchy(0),
        lambda: pr.HalfT(-1, 2),
        lambda: pr.HalfNormal(float("inf")),
        lambda: pr.Exponential("two"),
        lambda: pr.InverseGamma(1, -1),
        lambda: pr.InverseGamma.guess(-1, 1),
        lambda: pr.UniformSD(0),
        lambda: pr.Known(True),
        lambda: pr.Normal(0),
        lambda: pr.Normal(0, -1),
        lambda: pr.Normal([0, 0, 0], covariance=np.eye(2)),
        lambda: pr.Normal([0, 0], covariance=[[1, 2], [2, 1]]),
        lambda: pr.InverseWishart(1, np.eye(2)),
        lambda: pr.InverseWishart(4, [[1, 2], [0, 1]]),
        lambda: pr.HuangWand((1, -1)),
        lambda: pr.Diagonal(),
        lambda: pr.Diagonal(pr.HuangWand(1)),
    ],
)
def test_impossible_numbers_must_be_refused(bad: object) -> None:
    with pytest.raises(mf.ModelError):
        bad()


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ({"Subjct": pr.HalfCauchy(1)}, "Did you mean 'Subject'"),
        ({"(Days | Subj)": pr.HalfCauchy(1)}, "not in the model"),
        ({"sigma": pr.Flat()}, "standard deviation"),
        ({"sigma": pr.HuangWand(1)}, "standard deviation"),
        ({"Subject": pr.HalfCauchy(1)}, "correlated"),
        ({"Subject": pr.HuangWand((1, 2, 3))}, "2 effects"),
        ({"Subject": pr.InverseWishart(4, np.eye(3))}, "2 effects"),
        ({"sd_Days|Subject": pr.HalfCauchy(1)}, "correlated"),
        ({"fixed": pr.HalfCauchy(1)}, "Flat"),
        ({"Days": pr.Normal([1, 2], 3)}, "one mean"),
        ({"fixed": pr.Normal([1, 2, 3], 3)}, "2 fixed effects"),
        ({"sigma": 1.0}, "mf.priors"),
        ([pr.Flat()], "mapping"),
    ],
)
def test_prior_that_does_not_fit_must_be_refused(priors: object, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        run(sleep(), priors=priors)


@pytest.mark.parametrize(
    "options",
    [{"draws": 0}, {"draws": 2.5}, {"tune": -1}, {"chains": 0}, {"thin": 0}, {"seed": -1}, {"seed": "a"}],
)
def test_impossible_options_must_be_refused(options: dict[str, object]) -> None:
    with pytest.raises(mf.ModelError, match=next(iter(options))):
        sleep().gibbs(**options)


def test_constant_response_must_be_refused() -> None:
    frame = mf.load_dataset("sleepstudy").assign(Reaction=1.0)
    with pytest.raises(mf.ModelError, match="constant"):
        mf.lmm("Reaction ~ Days + (1 | Subject)", frame).gibbs()


@pytest.mark.parametrize("key", ["Subject", "(Days | Subject)", "Days|Subject"])
def test_prior_must_be_found_by_factor_and_by_term(key: str) -> None:
    posterior = run(sleep(), priors={key: pr.HuangWand(7)})
    assert "Ω[(Intercept), Days | Subject] ~ Huang–Wand(2; 7)" in posterior.priors


def test_each_term_must_have_its_own_prior() -> None:
    model = sleep("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)")
    priors = {"(1 | Subject)": pr.HalfCauchy(30), "sd_Days|Subject": pr.HalfNormal(8)}
    statements = run(model, priors=priors).priors
    assert "τ[(Intercept) | Subject] ~ half-Cauchy(30)" in statements
    assert "τ[Days | Subject] ~ half-normal(8)" in statements


def test_default_priors_must_follow_the_units_of_the_response() -> None:
    """Draws in milliseconds and in seconds differ by the unit alone."""
    frame = mf.load_dataset("sleepstudy")
    first = mf.lmm("Reaction ~ Days + (1 | Subject)", frame).gibbs(draws=20, tune=5, seed=1)
    other = mf.lmm("Reaction ~ Days + (1 | Subject)", frame.assign(Reaction=frame["Reaction"] / 1000))
    second = other.gibbs(draws=20, tune=5, seed=1)
    assert np.allclose(first["sigma"], 1000 * second["sigma"], rtol=0.02)
    assert np.allclose(first["Days"], 1000 * second["Days"], rtol=0.2, atol=1.0)


def test_coefficients_must_be_able_to_have_a_prior_each() -> None:
    """A tight prior for one coefficient holds it; the other keeps its own."""
    posterior = sleep().gibbs({"fixed": pr.Flat(), "Days": pr.Normal(5, 1e-4)}, draws=500, seed=1)
    assert abs(posterior["Days"].mean() - 5) < 1e-3
    assert abs(posterior["(Intercept)"].mean() - 251.4) > 2  # moved, as the two are correlated


# -- improper posteriors -----------------------------------------------------------------------------


def test_jeffreys_prior_between_groups_must_be_refused_with_the_reason() -> None:
    with pytest.raises(mf.ModelError, match=r"improper.*cannot refute"):
        run(schools(), priors={"school": pr.Jeffreys()})


def test_vague_inverse_gamma_must_be_warned_about() -> None:
    with pytest.warns(mf.PriorWarning, match="nearly"):
        run(schools(), priors={"school": pr.InverseGamma(0.001, 0.001)})


def test_informative_inverse_gamma_must_not_be_warned_about() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(schools(), priors={"school": pr.InverseGamma(0.5, 50)})


@pytest.mark.parametrize(
    ("groups", "formula", "fixed"),
    [(2, "y ~ 1 + (1 | g)", pr.Flat()), (3, "y ~ x + (1 | g)", pr.Flat())],
)
def test_unbounded_uniform_prior_must_be_refused_with_too_few_groups(
    groups: int, formula: str, fixed: pr.Flat
) -> None:
    """∫ τ^−(J − r) dτ diverges at infinity for J − r ≤ 1, with r flat directions between groups."""
    with pytest.raises(mf.ModelError, match="improper"):
        run(few(groups, formula), priors={"fixed": fixed, "g": pr.UniformSD()})


@pytest.mark.parametrize(("groups", "fixed"), [(3, pr.Flat()), (2, pr.Normal(0, 10)), (5, pr.Flat())])
def test_unbounded_uniform_prior_must_be_warned_about_with_few_groups(
    groups: int, fixed: pr.FixedPrior
) -> None:
    with pytest.warns(mf.PriorWarning, match="more than 5"):
        run(few(groups), priors={"fixed": fixed, "g": pr.UniformSD()})


def test_two_priors_of_the_same_effects_must_be_refused() -> None:
    """One of the two was taken without a word."""
    wide, cauchy = pr.HuangWand((100, 10)), pr.HalfCauchy(1)
    same = {
        "Subject.*Days . Subject": (sleep(), {"Subject": wide, "(Days | Subject)": wide}),
        "school.*sd_": (schools(), {"school": cauchy, "sd_(Intercept)|school": cauchy}),
        "Subject.*Days .. Subject": (
            sleep("Reaction ~ Days + (Days || Subject)"),
            {"Subject": cauchy, "(Days || Subject)": cauchy},
        ),
    }
    for text, (model, priors) in same.items():
        with pytest.raises(mf.ModelError, match=f"{text}.* are the same in this model; give one prior"):
            run(model, priors=priors)


def test_prior_of_one_term_must_replace_that_of_its_factor() -> None:
    model = sleep("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)")
    priors = {"Subject": pr.HalfCauchy(1), "(0 + Days | Subject)": pr.HalfNormal(2)}
    statements = run(model, priors=priors).priors
    assert "τ[(Intercept) | Subject] ~ half-Cauchy(1)" in statements
    assert "τ[Days | Subject] ~ half-normal(2)" in statements


def test_names_of_priors_must_not_depend_on_spaces() -> None:
    model = sleep("Reaction ~ I(Days - 2) + (I(Days - 2) | Subject)")
    statements = run(
        model, priors={"I(Days-2)": pr.Normal(0, 5), "(I(Days-2)|Subject)": pr.HuangWand((9, 9))}
    )
    assert "β[I(Days - 2)] ~ N(0, 5²)" in statements.priors
    assert "Ω[(Intercept), I(Days - 2) | Subject] ~ Huang–Wand(2; 9, 9)" in statements.priors
    with pytest.raises(mf.ModelError, match="are the same"):
        run(model, priors={"I(Days-2)": pr.Flat(), "I(Days - 2)": pr.Flat()})
