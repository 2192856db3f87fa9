"""Residuals and leverages equal those from n × n matrices, SAS's and lme4's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dense_diagnostics import DESIGNS, dense, factors_of, fitted
from paths import REFERENCE_FOLDER, SHARED_FOLDER
from published import records

import mixedfit as mf

SHARED = SHARED_FOLDER / "data" / "seedling_weight_sas_residuals.csv"

SAS = {
    "ResidMar": "marginal",
    "StudentResidMar": "marginal_studentized",
    "PearsonResidMar": "marginal_pearson",
    "ResidCond": "conditional",
    "StudentResidCond": "conditional_studentized",
    "PearsonResidCond": "conditional_pearson",
}

everywhere = pytest.mark.parametrize("name", DESIGNS)


def test_designs_must_be_what_their_names_say() -> None:
    assert fitted("singular").convergence.singular
    assert not fitted("slopes").convergence.singular
    assert fitted("nested, sparse")._fit.cross.sparse is not None
    assert fitted("many levels, sparse")._fit.cross.sparse is not None
    assert len(fitted("many levels")._fit.design.many) == 1
    assert fitted("rank-deficient").params.isna().sum() == 1
    assert [set(fitted(name).ngroups) == set(factors_of(name)) for name in DESIGNS] == [True] * len(DESIGNS)


@pytest.mark.everyday(8)
@everywhere
def test_leverages_must_be_the_diagonals_of_the_hat_matrices(name: str) -> None:
    slow, table = dense(name), fitted(name).diagnostics.leverages.iloc[dense(name).rows]
    np.testing.assert_allclose(table["overall"], np.diag(slow.hat), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(table["fixed"], np.diag(slow.fixed_hat), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(table["random"], np.diag(slow.hat - slow.fixed_hat), rtol=1e-8, atol=1e-9)


@everywhere
def test_trace_of_the_fixed_leverages_must_be_the_number_of_fixed_effects(name: str) -> None:
    fit = fitted(name)
    assert fit.diagnostics.leverages["fixed"].sum() == pytest.approx(fit._fit.cross.p_total, abs=1e-8)
    assert fit.diagnostics.effective_parameters == pytest.approx(np.trace(dense(name).hat), rel=1e-8)


@everywhere
def test_residuals_must_be_those_of_the_marginal_covariance(name: str) -> None:
    slow, table = dense(name), fitted(name).diagnostics.residuals
    assert list(table.columns) == sorted(table.columns)
    for column, values in slow.residuals.items():
        np.testing.assert_allclose(
            table[column].iloc[slow.rows], values, rtol=1e-6, atol=1e-7, err_msg=column
        )


@everywhere
def test_scaled_residuals_must_be_the_cholesky_ones(name: str) -> None:
    slow, fit = dense(name), fitted(name)
    found = fit.diagnostics.scaled_residuals.iloc[slow.rows]
    order = slow.everything
    if len(fit._fit.design.blocks) == 1:  # levels do not predict each other: any order of levels will do
        order = np.argsort(fit._fit.design.blocks[0].codes[slow.rows], kind="stable")
    root = np.linalg.cholesky(slow.V[np.ix_(order, order)])
    wanted = np.linalg.solve(root, slow.residuals["marginal"][order]) / fit.sigma
    np.testing.assert_allclose(found.to_numpy()[order], wanted, rtol=1e-7, atol=1e-8)


def test_rows_of_weight_0_must_have_no_pearson_and_studentized_residuals() -> None:
    table = fitted("weights of zero").diagnostics.residuals
    gone = fitted("weights of zero")._fit.design.weights == 0
    assert gone.sum() > 3
    assert table.loc[gone, ["conditional", "marginal"]].notna().all(axis=None)
    assert table.loc[gone].drop(columns=["conditional", "marginal"]).isna().all(axis=None)
    assert np.all(fitted("weights of zero").diagnostics.leverages["overall"][gone] == 0.0)


def test_studentized_residual_must_be_missing_where_the_row_is_fitted_exactly() -> None:
    table = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0, 5.0, 9.0], "d": [0, 0, 0, 0, 0, 1], "g": list("aabbcc")})
    diagnostics = mf.lmm("y ~ d + (1 | g)", table).fit().diagnostics
    assert diagnostics.leverages["overall"].iloc[5] == pytest.approx(1.0, abs=1e-12)
    missing = diagnostics.residuals.isna()  # the marginal residual is the group's effect, which is not 0 of 0
    assert missing["conditional_studentized"].tolist() == [False] * 5 + [True]
    assert not missing.drop(columns="conditional_studentized").any(axis=None)


@pytest.fixture(scope="module")
def seedlings() -> mf.MixedResults:
    return mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight")).fit()


@pytest.mark.skipif(not SHARED.is_file(), reason="the residuals of SAS are not at hand")
@pytest.mark.parametrize(("theirs", "ours"), SAS.items())
def test_residuals_must_be_those_of_sas(theirs: str, ours: str, seedlings: mf.MixedResults) -> None:
    expected = pd.read_csv(SHARED)[theirs].to_numpy()
    found = seedlings.diagnostics.residuals
    np.testing.assert_allclose(found[ours], expected, rtol=0, atol=1e-5)
    for (
        other
    ) in SAS.values():  # each of the other five kinds is another number by at least a thousand tolerances
        if other != ours:
            assert np.abs(found[other] - expected).max() > 1e-2


REFERENCE = json.loads((REFERENCE_FOLDER / "diagnostics.json").read_text(encoding="utf-8"))


def model_of(name: str) -> mf.MixedResults:
    record = REFERENCE["models"][name]
    table = mf.load_dataset(record["data"])
    return mf.lmm(record["formula"], table).fit(reml=record["reml"])


MODELS = list(REFERENCE["models"])


@pytest.mark.parametrize("name", MODELS)
def test_leverages_and_distances_must_be_those_of_lme4(name: str) -> None:
    expected, found = REFERENCE["models"][name], model_of(name).diagnostics
    np.testing.assert_allclose(found.leverages["overall"], expected["hatvalues"], rtol=1e-6)
    np.testing.assert_allclose(found.cooks_distance, expected["cooks_distance"], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(
        found.residuals["conditional_studentized"], expected["rstudent"], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", MODELS)
def test_components_must_be_those_of_lme4(name: str) -> None:
    expected, found = REFERENCE["models"][name]["rePCA"], model_of(name).diagnostics
    for group, values in expected.items():
        own = found.random_effects_pca.loc[group]
        np.testing.assert_allclose(own["relative_sd"], np.atleast_1d(values), rtol=2e-5)


needs_published = pytest.mark.skipif(
    not records(), reason="the collection of published results is not at hand"
)


def sleepstudy(*, reml: bool) -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit(reml=reml)


@needs_published
def test_cooks_distances_must_be_the_published_ones_of_ml() -> None:
    expected = np.array(records()["mmjl-sleepstudy-cooks-ml"]["expected"]["cooks_first10"])
    np.testing.assert_allclose(sleepstudy(reml=False).diagnostics.cooks_distance[:10], expected, rtol=1e-6)
    rival = sleepstudy(reml=True).diagnostics.cooks_distance[:10]  # REML differs by a thousand tolerances
    assert np.all(np.abs(rival / expected - 1) > 1e-3)
    fixed = (
        sleepstudy(reml=False).diagnostics.influence().table["cooks_distance"][:10]
    )  # of the fixed effects alone
    assert np.all(np.abs(fixed / expected - 1) > 0.1)


@needs_published
def test_leverages_and_studentized_residuals_must_be_the_published_ones() -> None:
    expected = records()["lme4-sleepstudy-influence-reml"]["expected"]
    found = sleepstudy(reml=True).diagnostics
    np.testing.assert_allclose(found.leverages["overall"][:6], expected["hat_first6"], rtol=1e-6)
    np.testing.assert_allclose(found.cooks_distance[:6], expected["cooks_first6"], rtol=1e-6)
    wanted = np.array(expected["rstudent_first6"])
    np.testing.assert_allclose(found.residuals["conditional_studentized"][:6], wanted, rtol=1e-6)
    rivals = (
        found.leverages["fixed"],
        found.residuals["conditional_pearson"],
    )  # of β alone; not over its own spread
    assert np.all(np.abs(rivals[0][:6] / np.array(expected["hat_first6"]) - 1) > 0.5)
    assert np.all(np.abs(rivals[1][:6] / wanted - 1) > 0.01)


def test_simulated_residuals_must_be_uniform_when_the_model_is_true() -> None:
    from scipy.stats import kstest

    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(300), 5)
    table = pd.DataFrame({"y": rng.normal(size=300)[g] + rng.normal(size=1500), "g": g})
    fit = mf.lmm("y ~ 1 + (1 | g)", table).fit()
    for conditional in (False, True):
        u = fit.diagnostics.simulated_residuals(200, seed=1, conditional=conditional)
        every_fifth = u[::5] if not conditional else u  # rows of one group share what was drawn for it
        assert kstest(every_fifth, "uniform").pvalue > 0.01
    table["y"] = rng.standard_t(1.5, size=1500)
    heavy = (
        mf.lmm("y ~ 1 + (1 | g)", table).fit().diagnostics.simulated_residuals(200, seed=1, conditional=True)
    )
    assert kstest(heavy, "uniform").pvalue < 1e-6


def test_simulated_residuals_must_be_the_ranks_among_simulated_responses() -> None:
    fit = fitted("weights")
    found = fit.diagnostics.simulated_residuals(40, seed=3)
    again = fit.diagnostics.simulated_residuals(40, seed=3)
    assert found.equals(again)
    assert not found.equals(fit.diagnostics.simulated_residuals(40, seed=4))
    from mixedfit.core.seeds import seed_sequence
    from mixedfit.estimation.simulate import simulate_response

    drawn = simulate_response(fit._fit, 40, np.random.default_rng(seed_sequence(3)))
    below = (drawn < fit._fit.response[:, None]).sum(axis=1)
    assert np.all(np.floor(found * 41) == below)


def test_simulated_residuals_must_be_spread_evenly_when_draws_equal_the_observation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of 19 draws equal: u is uniform on (0, 1); 9 lower and 10 equal: on (0.45, 1). The rival has widths 1/20."""
    from scipy.stats import kstest

    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", mf.load_dataset("sleepstudy")).fit()
    y = fit._fit.response
    for lower in (0, 9):
        drawn = np.where(np.arange(19) < lower, y[:, None] - 1.0, y[:, None])
        monkeypatch.setattr("mixedfit.diagnostics.residuals._draw", lambda *_, d=drawn: d)
        found = fit.diagnostics.simulated_residuals(19, seed=1)
        assert kstest(found, "uniform", args=(lower / 20, 1 - lower / 20)).pvalue > 1e-3


@pytest.mark.parametrize(("n", "seed"), [(0, None), (2.5, None), (10, "one")])
def test_simulated_residuals_must_refuse_what_is_not_a_number_of_draws(n: Any, seed: Any) -> None:
    with pytest.raises(mf.ModelError, match=r"n is|seed="):
        fitted("slopes").diagnostics.simulated_residuals(n, seed=seed)


def test_shape_must_tell_skewed_and_uneven_residuals_from_normal_ones() -> None:
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(40), 10), rng.normal(size=400)
    effects = rng.exponential(size=40) * 4
    even = pd.DataFrame({"x": x, "g": g, "y": x + effects[g] + rng.normal(size=400)})
    uneven = even.assign(y=x + effects[g] + rng.normal(size=400) * np.exp(x))
    good, bad = (mf.lmm("y ~ x + (1 | g)", table).fit().diagnostics for table in (even, uneven))
    assert good.normality.loc["residual", "p_value"] > 0.05
    assert good.normality.loc["(Intercept) | g", "skewness"] > 1.0
    assert good.normality["count"].tolist() == [400, 40]
    assert good.spread["p_value"].min() > 0.01
    assert bad.normality.loc["residual", "p_value"] < 1e-6
    assert bad.normality.loc["residual", "excess_kurtosis"] > 1.0
    assert bad.spread.loc["x", "spearman"] > 0.3
    assert list(bad.spread.index) == ["fitted values", "x"]  # nothing goes with a constant
    assert (
        mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2"))
        .fit()
        .diagnostics.normality.loc["(Intercept) | Batch", "skewness":]
        .isna()
        .all()
    )


def test_loaded_fit_must_have_the_same_diagnostics(tmp_path: Path) -> None:
    for name in ("weights of zero", "many levels"):
        fit = fitted(name)
        fit.save(tmp_path / "fit.npz")
        loaded = mf.load(tmp_path / "fit.npz")
        pd.testing.assert_frame_equal(loaded.diagnostics.leverages, fit.diagnostics.leverages, rtol=1e-8)
        ours, theirs = (f.diagnostics.influence("g", refit=True) for f in (fit, loaded))
        pd.testing.assert_frame_equal(ours.table, theirs.table, rtol=1e-6)


def test_tables_must_be_copies() -> None:
    diagnostics = fitted("slopes").diagnostics
    table = diagnostics.residuals
    table["conditional"] = 0.0
    assert diagnostics.residuals["conditional"].abs().min() > 0.0
    assert list(diagnostics.residuals.index[:2]) == ["row 0", "row 1"]


def test_diagnostics_must_list_what_they_have() -> None:
    diagnostics = fitted("slopes").diagnostics
    lines = str(diagnostics).split("\n")[1:]
    assert len(lines) == 16
    for line in lines:
        assert hasattr(diagnostics, line.split()[0].removesuffix("()"))
