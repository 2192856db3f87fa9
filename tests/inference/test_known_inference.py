"""Inference, prediction and diagnostics of fits with known relationships, against n × n matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from known_data import animals
from known_oracle import RelatedModel, model_of
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

import mixedfit as mf
from mixedfit.core.linalg import blas_threads
from mixedfit.inference.bootstrap.jackknife import Jackknife, jackknife_groups
from mixedfit.inference.bootstrap.sources import ResidualSource

FORMULAS = ["y ~ x + (1 | animal)", "y ~ x + (1 + x | animal) + (1 | herd)"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with blas_threads(1):
        yield


def known_animals() -> dict[str, mf.Known]:
    pedigree, _, A = animals()
    return {"animal": mf.Known(A, pedigree.animal.tolist())}


@cache
def fitted(formula: str, reml: bool = True) -> mf.MixedResults:
    return mf.lmm(formula, animals()[1], known=known_animals()).fit(reml=reml)


def dense(fit: mf.MixedResults) -> RelatedModel:
    return model_of(fit, {"animal": animals()[2]})


@pytest.mark.parametrize("formula", FORMULAS)
def test_satterthwaite_and_kenward_roger_must_be_those_of_the_dense_model(formula: str) -> None:
    """Rivals: sums over levels without the relationships between them."""
    fit = fitted(formula)
    model = dense(fit)
    table = fit.summary(ddf="satterthwaite").coefficients
    assert table["df"].to_numpy() == pytest.approx([model.satterthwaite(j) for j in range(2)], rel=1e-4)
    adjusted = np.sqrt(np.diag(model.kenward_roger()))
    errors = fit.summary(ddf="kenward-roger").coefficients["std_error"].to_numpy()
    assert errors == pytest.approx(adjusted, rel=1e-6)
    assert np.all(np.abs(adjusted / np.sqrt(np.diag(model.phi)) - 1.0) > 1e-5)


def test_covariance_of_variances_must_be_the_inverse_of_the_observed_information() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    own = fit.vcov_varpar(scale="variance").to_numpy()
    assert own == pytest.approx(dense(fit).parameter_covariance("observed"), rel=1e-5)


def test_profile_limits_must_lie_where_the_dense_deviance_has_risen_enough() -> None:
    fit = fitted("y ~ x + (1 | animal)", reml=False)
    record = fit._fit
    A = animals()[2]

    def deviance(sd: float, sigma: float) -> float:
        changed = model_of(fit, {"animal": A}).factors[0]
        factor = type(changed)(changed.codes, changed.z, A, np.array([[sd**2]]))
        return RelatedModel(record.design.y, record.design.X, [factor], sigma).criterion(False)

    limits = fit.conf_int(method="profile", parameters="sd_(Intercept)|animal").iloc[0]
    for limit in (limits["lower"], limits["upper"]):
        low = minimize_scalar(lambda s, at=limit: deviance(at, s), bounds=(0.3, 4.0), method="bounded")
        assert low.fun - fit.deviance == pytest.approx(chi2.ppf(0.95, 1), abs=2e-3)


def test_simulated_responses_must_have_the_marginal_covariance() -> None:
    """Rival: independent levels."""
    fit = fitted("y ~ x + (1 + x | animal) + (1 | herd)")
    V = dense(fit).V
    mean = fit.predict(re_form="none").to_numpy()[:, None]
    drawn = fit.simulate(4000, seed=1).to_numpy() - mean
    new = fit.simulate(4000, seed=2, newdata=animals()[1]).to_numpy() - mean
    apart = animals()[1].animal.to_numpy()[:, None] != animals()[1].animal.to_numpy()
    for values in (drawn, new):
        found = values @ values.T / 4000
        error = np.sqrt((V**2 + np.outer(np.diag(V), np.diag(V))) / 4000)
        assert np.mean(np.abs(found - V) < 3.0 * error) > 0.97
        related = apart & (V > 0.3)
        assert np.mean(found[related]) == pytest.approx(np.mean(V[related]), rel=0.1)


def test_bootstrap_must_refit_with_the_relationships() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    replicates = fit.bootstrap(3, seed=1)
    first = fit.refit(fit.simulate(1, seed=7)["sim_1"])
    again = mf.lmm(
        "y ~ x + (1 | animal)",
        animals()[1].assign(y=fit.simulate(1, seed=7)["sim_1"].to_numpy()),
        known=known_animals(),
    ).fit()
    assert first.reml_criterion == pytest.approx(again.reml_criterion, abs=1e-7)
    assert first.theta.to_numpy() == pytest.approx(again.theta.to_numpy(), abs=1e-5)
    assert np.all(np.isfinite(replicates.replicates.to_numpy(dtype=float)))


def test_fits_to_many_responses_must_have_the_relationships() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    responses = fit.simulate(2, seed=5)
    many = mf.lmm("y ~ x + (1 | animal)", animals()[1], known=known_animals()).fit_many(responses)
    for name in responses:
        assert many.table.loc[name, "criterion"] == pytest.approx(
            fit.refit(responses[name]).reml_criterion, abs=1e-6
        )


def test_models_must_be_nested_only_with_the_same_relationships() -> None:
    frame = animals()[1]
    smaller = fitted("y ~ x + (1 | animal)", reml=False)
    larger = fitted("y ~ x + (1 + x | animal) + (1 | herd)", reml=False)
    table = mf.anova(smaller, larger)
    unrelated = mf.lmm("y ~ x + (1 | animal)", frame).fit(reml=False)
    assert "is no chi-square" in str(mf.anova(unrelated, larger))
    assert "is no chi-square" not in str(table)
    dropped = str(fitted("y ~ x + (1 + x | animal) + (1 | herd)").ranova())
    assert "x | animal" in dropped


@pytest.mark.parametrize("formula", FORMULAS)
def test_errors_of_blups_must_be_those_of_the_dense_model(formula: str) -> None:
    """Of levels with and without rows."""
    fit = fitted(formula)
    block = [b.name for b in fit._fit.design.blocks].index("animal")
    expected = dense(fit).error_covariance(block)
    k = fit._fit.design.blocks[block].k
    own = fit.blup_cov("animal").to_numpy()
    assert own == pytest.approx(expected, rel=1e-6, abs=1e-8)
    pedigree, frame, A = animals()
    ancestor = next(label for label in pedigree.animal if label not in set(frame.animal))
    place = pedigree.animal.tolist().index(ancestor)
    at = pd.DataFrame({"x": [0.0], "animal": [ancestor], "herd": [0]})
    table = fit.predict(at, se=True)
    model = dense(fit)
    b = model.blups(block)[place, 0]
    herd = 0.0 if len(fit._fit.design.blocks) == 1 else float(fit.random_effects["herd"].iloc[0, 0])
    assert table["mean"].iloc[0] == pytest.approx(model.beta[0] + b + herd, rel=1e-7)
    if k == 1:
        factor = model.factors[block]
        z = np.zeros(len(A))
        z[place] = 1.0
        c = z @ factor.G @ factor.Z.T
        gap = np.array([1.0, 0.0]) - c @ model.Vi @ model.X
        variance = z @ factor.G @ z - c @ model.Vi @ c + gap @ model.phi @ gap
        assert table["se"].iloc[0] == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_prediction_interval_of_excluded_effects_must_have_the_variance_of_the_level() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    pedigree, _, A = animals()
    inbred = int(np.argmax(np.diag(A)))
    new = pd.DataFrame({"x": [0.0], "animal": [pedigree.animal[inbred]]})
    table = fit.predict(new, re_form="none", interval="prediction")
    omega = float(fit.varcorr["vcov"][0])
    model = dense(fit)
    variance = model.phi[0, 0] + A[inbred, inbred] * omega + fit.sigma**2
    assert A[inbred, inbred] > 1.1
    half = 1.959964 * np.sqrt(variance)
    assert table["upper"].iloc[0] - table["mean"].iloc[0] == pytest.approx(half, rel=1e-6)


def test_unseen_level_must_be_refused_unless_its_effects_are_set_to_zero() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    new = pd.DataFrame({"x": [0.0], "animal": ["stranger"]})
    for options in ({}, {"new_levels": "marginal"}):
        with pytest.raises(mf.DataError, match="'stranger', and their relationships"):
            fit.predict(new, **options)
        with pytest.raises(mf.DataError, match="'stranger', and their relationships"):
            fit.simulate(newdata=new, **options)
    assert fit.predict(new, new_levels="population").iloc[0] == pytest.approx(fit.params.iloc[0])


@pytest.mark.everyday(1)
@pytest.mark.parametrize("formula", FORMULAS)
def test_leverages_and_residuals_must_be_those_of_the_dense_model(formula: str) -> None:
    fit = fitted(formula)
    model = dense(fit)
    hat = np.eye(len(model.y)) - fit.sigma**2 * model.R @ model.P
    assert fit.diagnostics.leverages.iloc[:, 0].to_numpy() == pytest.approx(np.diag(hat), rel=1e-6)
    rest = model.y - model.X @ model.beta
    decorrelated = np.linalg.solve(np.linalg.cholesky(model.V), rest)
    assert fit.diagnostics.scaled_residuals.to_numpy() == pytest.approx(decorrelated, rel=1e-6, abs=1e-8)
    marginal = rest / np.sqrt(np.diag(model.V))
    assert fit.diagnostics.residuals["marginal_pearson"].to_numpy() == pytest.approx(marginal, rel=1e-6)


def test_fit_without_a_row_must_be_that_of_the_other_rows() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    frame = animals()[1]
    without = mf.lmm("y ~ x + (1 | animal)", frame.drop(index=5), known=known_animals()).fit()
    sets = fit.diagnostics.influence(sets=[[5]], refit=True)
    assert sets.params.iloc[0].to_numpy() == pytest.approx(without.params.to_numpy(), rel=1e-5)


def test_saved_fit_must_answer_as_before(tmp_path: Path) -> None:
    pedigree, frame, _ = animals()
    for known in (known_animals()["animal"], mf.Known.from_pedigree(pedigree)):
        fit = mf.lmm("y ~ x + (1 | animal)", frame, known={"animal": known}).fit()
        fit.save(tmp_path / "fit.npz")
        loaded = mf.load(tmp_path / "fit.npz")
        assert loaded.reml_criterion == pytest.approx(fit.reml_criterion, abs=1e-9)
        pd.testing.assert_frame_equal(loaded.random_effects["animal"], fit.random_effects["animal"])
        new = pd.DataFrame({"x": [1.0], "animal": ["a0"]})
        assert loaded.predict(new, se=True).to_numpy() == pytest.approx(fit.predict(new, se=True).to_numpy())
        assert str(loaded.summary()) == str(fit.summary())


def test_heritability_must_follow_from_the_matrix_of_prediction_errors() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    A = animals()[2]
    omega = float(fit.varcorr["vcov"][0])
    errors = dense(fit).error_covariance(0)
    reliability = 1.0 - np.mean(np.diag(errors) / (omega * np.diag(A)))
    own = fit.heritability("animal")
    assert own["mean_reliability"] == pytest.approx(reliability, rel=1e-6)
    m = len(A)
    mean = [2.0 * (np.trace(C) / m - (C.sum() - np.trace(C)) / (m * (m - 1))) for C in (errors, omega * A)]
    assert own["cullis"] == pytest.approx(1.0 - mean[0] / mean[1], rel=1e-6)
    icc = fit.diagnostics.icc()
    assert icc.loc["animal", "estimate"] == pytest.approx(omega / (omega + fit.sigma**2), rel=1e-9)


def test_summary_must_say_that_levels_are_related() -> None:
    text = str(fitted("y ~ x + (1 | animal)").summary())
    assert "animal: 40 levels with a known relationship matrix A, 30 of them with rows" in text


@pytest.mark.parametrize(
    "ask",
    [
        lambda fit: fit.bootstrap(5, type="cases"),
        lambda fit: mf.lmm("y ~ x + (1 | animal)", animals()[1], known=known_animals()).gibbs(draws=2),
        lambda fit: mf.lmm("y ~ x + (1 | animal)", animals()[1], known=known_animals()).prior_predictive(),
    ],
)
def test_what_is_not_available_must_be_refused_with_the_factor(ask: Callable[[Any], Any]) -> None:
    with pytest.raises(mf.ModelError, match="known relationships between levels, here of 'animal'"):
        ask(fitted("y ~ x + (1 | animal)"))


def test_residual_bootstrap_must_have_the_relationships() -> None:
    """Effects drawn without the relationships would have no covariance between levels."""
    fit = fitted("y ~ x + (1 | animal)")
    source = ResidualSource(fit._fit)
    y = source.draw(np.random.default_rng(1), 3000).y
    block, A = fit._fit.design.blocks[0], animals()[2]
    expected = fit._fit.omega[0][0, 0] * A[np.ix_(block.codes, block.codes)] + fit.scale * np.eye(fit.nobs)
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / 3000)
    assert np.abs((np.cov(y.T) - expected) / error).max() < 6.0
    drawn = fit.bootstrap(20, type="residual", seed=1)
    assert not drawn.failed.any()


def test_bca_intervals_must_come_from_refits_with_the_relationships() -> None:
    fit = fitted("y ~ x + (1 | animal)")
    groups = jackknife_groups(fit._fit)
    rows = animals()[1][groups != 3]
    other = mf.lmm("y ~ x + (1 | animal)", rows, known=known_animals()).fit()
    own = Jackknife(fit._fit, None).values[3]
    np.testing.assert_allclose(own[-2:], other.params, rtol=1e-5)
    assert np.isfinite(fit.bootstrap(60, seed=1).conf_int(kind="bca")).all(axis=None)


def test_report_must_say_that_levels_are_related(tmp_path: Path) -> None:
    fit = fitted("y ~ x + (1 | animal)")
    text = mf.report(fit, tmp_path / "page.html", profile=False).read_text(encoding="utf-8")
    assert "Levels of animal are related" in text
    assert "<mi>A</mi>" in text
    assert "towards those of relatives" in text
    model = mf.lmm("y ~ x + (1 | animal)", animals()[1], known=known_animals())
    assert "A[j, k]" in str(model.explain())
