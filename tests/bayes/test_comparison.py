"""Comparison of posteriors by elpd: weights of the models, the table, and K-fold cross-validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import mixedfit as mf
from mixedfit.bayes.criticism.stacking import pseudo_bma_weights, stacking_weights

PRIORS = {
    "fixed": mf.priors.Normal(1500, 100),
    "Batch": mf.priors.HalfNormal(50),
    "sigma": mf.priors.HalfNormal(60),
}
FORMULA = "Yield ~ 1 + (1 | Batch)"


@pytest.mark.parametrize("seed", range(8))
def test_stacking_weights_must_be_the_optimum_of_another_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    models = int(rng.integers(2, 7))
    logs = rng.normal(-1.0, 1.0, (int(rng.integers(8, 150)), models)) * rng.uniform(0.2, 5.0)
    scaled = np.exp(logs - logs.max(axis=1, keepdims=True))
    found = optimize.minimize(
        lambda w: -np.mean(np.log(scaled @ w)),
        np.full(models, 1.0 / models),
        bounds=[(0.0, 1.0)] * models,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert stacking_weights(logs) == pytest.approx(found.x, abs=1e-5)


def test_pseudo_bma_weights_must_be_those_of_two_models_in_closed_form_when_their_difference_is_constant() -> (
    None
):
    first = np.random.default_rng(1).normal(size=30)
    weights = pseudo_bma_weights(np.column_stack([first, first - 0.05]), np.random.default_rng(2))
    assert weights == pytest.approx([1 / (1 + np.exp(-1.5)), 1 / (1 + np.exp(1.5))], abs=1e-12)


def test_comparison_must_be_in_order_of_elpd_with_the_differences_of_pairs() -> None:
    data = mf.load_dataset("sleepstudy")
    formulas = {"none": "Reaction ~ Days + (1 | Subject)", "slopes": "Reaction ~ Days + (Days | Subject)"}
    posteriors = {name: mf.lmm(formula, data).gibbs(draws=500, seed=1) for name, formula in formulas.items()}
    compared = mf.compare_models(posteriors)
    difference = posteriors["none"].loo() - posteriors["slopes"].loo()
    assert compared.table.index.tolist() == ["slopes", "none"]
    assert compared.table.loc["none", ["difference", "se_difference"]].tolist() == pytest.approx(
        [difference.elpd, difference.se]
    )
    assert compared.table[["stacking", "pseudo_bma"]].sum().tolist() == pytest.approx([1.0, 1.0])
    assert "slopes" in str(compared).splitlines()[2]
    with pytest.raises(mf.ModelError, match="posteriors and a str; expected posteriors"):
        mf.compare_models([posteriors["none"], formulas["none"]])
    with pytest.raises(mf.ModelError, match="at least two"):
        mf.compare_models([posteriors["none"]])


@pytest.mark.parametrize("by", [None, "Batch"])
def test_kfold_must_be_the_density_under_refits_by_hand(by: str | None) -> None:
    data = mf.load_dataset("Dyestuff")
    found = mf.lmm(FORMULA, data).gibbs(PRIORS, draws=2000, seed=1).kfold(3, by=by, seed=2)
    folds = found.folds if by is None else found.folds.loc[data["Batch"]].set_axis(data.index)
    for fold in range(3):
        left, kept = data[(folds == fold).to_numpy()], data[(folds != fold).to_numpy()]
        other = mf.lmm(FORMULA, kept).gibbs(PRIORS, draws=2000, seed=3 + fold)
        mean, sigma, tau = (other[name].ravel() for name in ("(Intercept)", "sigma", "sd_(Intercept)|Batch"))
        expected = {}
        if by is None:
            b = other.random_effects["Batch"].values[..., 0].reshape(mean.size, -1)
            places = {label: i for i, label in enumerate(other.random_effects["Batch"].levels)}
            for label, row in left.iterrows():
                own = stats.norm(mean + b[:, places[row["Batch"]]], sigma)
                expected[label] = np.log(own.pdf(row["Yield"]).mean())
        else:
            for label, rows in left.groupby("Batch", observed=True):
                rest, n = rows["Yield"].to_numpy()[None] - mean[:, None], len(rows)
                share = tau**2 / (sigma**2 + n * tau**2)
                squares = (rest**2).sum(axis=1) - share * rest.sum(axis=1) ** 2
                logdet = (n - 1) * np.log(sigma**2) + np.log(sigma**2 + n * tau**2)
                expected[label] = np.log(
                    np.mean(np.exp(-0.5 * (n * np.log(2 * np.pi) + logdet + squares / sigma**2)))
                )
        wanted = pd.Series(expected)
        assert found.pointwise.loc[wanted.index].to_numpy() == pytest.approx(wanted.to_numpy(), abs=0.1)
    assert str(found).startswith("K-fold: 3 parts")


def test_kfold_must_refuse_more_parts_than_units() -> None:
    posterior = mf.lmm(FORMULA, mf.load_dataset("Dyestuff")).gibbs(PRIORS, draws=100, tune=100, seed=1)
    with pytest.raises(mf.ModelError, match="there are 6 levels of Batch"):
        posterior.kfold(7, by="Batch")


def test_fits_and_posteriors_must_stand_side_by_side_with_the_criteria_of_each() -> None:
    data = mf.load_dataset("seedling_weight")
    model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", data)
    fit, posterior = model.fit(), model.gibbs(draws=300, chains=2, seed=1)
    robust = model.gibbs(draws=300, chains=2, seed=1, errors=mf.distributions.StudentT(4))
    found = mf.compare_models({"fit": fit, "normal": posterior, "t": robust})
    assert found.estimates.loc["GenotypeB"].tolist() == [fit.params["GenotypeB"], *(
        float(p["GenotypeB"].mean()) for p in (posterior, robust)
    )]  # fmt: skip
    assert found.std_errors.loc["GenotypeB", "normal"] == float(posterior["GenotypeB"].std(ddof=1))
    assert found.variances.loc["residual SD", "normal"] == float(posterior["sigma"].mean())
    assert found.facts["AIC"].notna().tolist() == [True, False, False]
    assert found.facts.loc["t", "elpd"] == robust.loo().elpd
    assert found.elpd is not None
    np.testing.assert_allclose(found.elpd.table.loc["t", "elpd"], robust.loo().elpd)
    assert "Compare fits with fits by AIC" in found.notes[0]
    assert "t: SeedlingWeight ~ Genotype + (1 | Tray); ε ~ t" in str(found)
    other = mf.lmm("SeedlingWeight ~ 1 + (1 | Tray)", data[:40]).fit()
    assert any("different rows" in note for note in mf.compare_models([other, posterior]).notes)
    with pytest.raises(mf.ModelError, match=r"fits and ExpectedDensity.*posterior itself"):
        mf.compare_models([fit, posterior.loo()])
