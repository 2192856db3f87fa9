"""Tests of fixed effects, of random effects and of pairs of models are those of lmerTest, pbkrtest and lme4.

Expected values: `reference/intervals.R`, which optimises at tight tolerances. lmerTest differentiates numerically,
and so its Satterthwaite degrees of freedom carry six digits.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER

import mixedfit as mf

R: dict[str, Any] = json.loads((REFERENCE_FOLDER / "intervals.json").read_text(encoding="utf-8"))
DATA = {
    "seedling_weight": "seedling_weight",
    "sleepstudy": "sleepstudy",
    "sleepstudy_independent": "sleepstudy",
    "sleepstudy_intercepts": "sleepstudy",
    "pastes": "Pastes",
    "penicillin": "Penicillin",
    "dyestuff": "Dyestuff",
    "dyestuff2": "Dyestuff2",
    "cake": "cake",
    "orthodont": "Orthodont",
    "machines": "Machines",
    "oats": "Oats",
    "rail": "Rail",
}
MODELS = [name for name in (*DATA, "sleepstudy_unbalanced") if "tests" in R[name]]
NUMERICAL = 1e-5
"""Relative precision of lmerTest's numerical derivatives."""

EXACT = 2e-7
"""Relative precision of what depends on the variances alone, where both programs are at the optimum."""


def table_of(name: str) -> pd.DataFrame:
    """Return the rows of a model."""
    if name == "sleepstudy_unbalanced":
        sleep = mf.load_dataset("sleepstudy")
        return sleep[(3 * (sleep["Subject"].cat.codes + 1) + sleep["Days"]) % 5 != 0]
    return mf.load_dataset(DATA[name])


@lru_cache
def fitted(name: str, reml: bool = True) -> mf.MixedResults:
    """Return our fit of a model."""
    return mf.lmm(R[name]["formula"], table_of(name)).fit(reml=reml)


def check_coefficients(ours: pd.DataFrame, theirs: dict[str, Any], relative: float) -> None:
    """Compare a table of coefficients with one of lmerTest, in lmerTest's order."""
    ours = ours.loc[np.atleast_1d(theirs["rows"]).tolist()]
    size = np.atleast_1d(theirs["Std. Error"])
    assert np.all(np.abs(ours["estimate"] - np.atleast_1d(theirs["Estimate"])) < 1e-6 * size)
    np.testing.assert_allclose(ours["std_error"], size, rtol=EXACT)
    np.testing.assert_allclose(ours["df"], np.atleast_1d(theirs["df"]), rtol=relative)
    np.testing.assert_allclose(ours["p_value"], np.atleast_1d(theirs["Pr(>|t|)"]), rtol=40 * relative)


@pytest.mark.parametrize("name", MODELS)
def test_satterthwaite_must_be_that_of_lmertest(name: str) -> None:
    # Rival: Kenward-Roger, the same where data are balanced, 1 % away in the unbalanced sleep study.
    ours = fitted(name).summary(ddf="satterthwaite").coefficients
    check_coefficients(ours, R[name]["tests"]["satterthwaite"], NUMERICAL)


@pytest.mark.parametrize("name", MODELS)
def test_satterthwaite_of_an_ml_fit_must_be_that_of_lmertest(name: str) -> None:
    # Rival: REML, whose degrees of freedom are lower by about p.
    ours = fitted(name, reml=False).summary(ddf="satterthwaite").coefficients
    check_coefficients(ours, R[name]["tests"]["ml"]["satterthwaite"], NUMERICAL)


@pytest.mark.parametrize("name", MODELS)
def test_kenward_roger_must_be_that_of_pbkrtest(name: str) -> None:
    ours = fitted(name).summary(ddf="kenward-roger").coefficients
    check_coefficients(ours, R[name]["tests"]["kenward_roger"], 1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_adjusted_covariance_must_be_that_of_pbkrtest(name: str) -> None:
    # Off the diagonal too: through the standard errors of sums and differences of neighbouring coefficients.
    expected = np.atleast_2d(R[name]["tests"]["vcov_kenward_roger"])
    p = len(expected)
    rows = np.eye(p) + np.eye(p, k=1)
    order = [list(fitted(name).params.index).index(n) for n in np.atleast_1d(R[name]["tests"]["names"])]
    ours = fitted(name).t_test(rows[:, np.argsort(order)], ddf="kenward-roger").table["std_error"]
    np.testing.assert_allclose(ours, np.sqrt(np.diag(rows @ expected @ rows.T)), rtol=EXACT)


@pytest.mark.everyday(13)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reml", [True, False])
def test_random_effects_must_be_dropped_as_lmertest_drops_them(name: str, reml: bool) -> None:
    theirs = R[name]["tests"]["ranova" if reml else "ranova_ml"]
    ours = fitted(name, reml).ranova().table
    expected = {(round(x, 6), k) for x, k in zip(theirs["LRT"][1:], theirs["npar"][1:], strict=True)}
    found = [(row.chisq, row.npar) for row in ours.iloc[1:].itertuples()]
    for chisq, npar in expected:
        assert any(abs(chisq - x) < 2e-6 and npar == k for x, k in found), (chisq, npar, found)
    naive = ours["p_naive"].iloc[1:].to_numpy()
    for p_value in theirs["Pr(>Chisq)"][1:]:
        assert np.any(np.abs(naive / p_value - 1) < 1e-5)


@pytest.mark.parametrize("name", [*MODELS, "dyestuff2"])
@pytest.mark.parametrize("reml", [True, False])
def test_information_criteria_must_be_those_of_lme4(name: str, reml: bool) -> None:
    theirs = R[name]["criteria"]["reml" if reml else "ml"]
    fit = fitted(name, reml)
    ours = [fit.llf, fit.aic, fit.bic]
    assert ours == pytest.approx([theirs["llf"], theirs["aic"], theirs["bic"]], abs=1e-6)


PAIRS = {
    "sleepstudy_days": "sleepstudy",
    "sleepstudy_correlation": "sleepstudy",
    "sleepstudy_slope": "sleepstudy",
    "pastes_batch": "pastes",
    "cake_interaction": "cake",
    "penicillin_plate": "penicillin",
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("refit", [True, False])
def test_likelihood_ratio_must_be_that_of_lme4(pair: str, refit: bool) -> None:
    # Rival: REML criteria for ML's, which differ by more than 0.01.
    case = R["lrt"][pair]
    theirs = case["refitted" if refit else "by_reml"] or case["refitted"]
    data = table_of(PAIRS[pair])
    table = mf.anova(*(mf.lmm(case[key], data).fit() for key in ("small", "large")), refit=refit).table
    names = {"npar": "npar", "aic": "AIC", "bic": "BIC", "llf": "logLik", "deviance": "deviance"}
    for ours, key in names.items():
        assert table[ours].tolist() == pytest.approx(theirs[key], abs=1e-6)
    assert table["chisq"].iloc[1] == pytest.approx(theirs["Chisq"][1], abs=1e-6)
    assert table["df"].iloc[1] == theirs["Df"][1]
    assert table["p_value"].iloc[1] == pytest.approx(theirs["Pr(>Chisq)"][1], rel=1e-5)


def rows_of_f_test(name: str) -> pd.DataFrame:
    """Return the rows of a Kenward-Roger F test."""
    data = mf.load_dataset(name.split("_")[0] if name.startswith("cake") else name.split("_")[0].capitalize())
    if name == "machines_unbalanced":
        return data.drop(index=[0, 1, 8, 19, 20, 21, 39])
    return data.iloc[5:] if name == "oats_variety" else data


F_TESTS = {
    "cake_recipe": "recipe",
    "cake_temperature": "temperature",
    "machines_slopes": "Machine",
    "machines_unbalanced": "Machine",
    "oats_variety": "Variety",
}


@pytest.mark.parametrize("name", F_TESTS)
def test_scaled_f_must_be_that_of_pbkrtest(name: str) -> None:
    # Rival: the F that is not scaled, 25 % larger where three correlated effects of six workers are estimated.
    case = R["kenward_roger_f"][name]
    formula = case["large"].replace("+ temperature", "+ C(temperature, contr.treatment)")
    fit = mf.lmm(formula, rows_of_f_test(name)).fit()
    test = fit.f_test([{n: 1.0} for n in fit.params.index if F_TESTS[name] in n], ddf="kenward-roger")
    table = case["table"]
    assert test.df_num == table["ndf"][0]
    assert test.df_denom == pytest.approx(table["ddf"][0], rel=1e-6)
    assert test.statistic == pytest.approx(table["stat"][0], rel=1e-6)
    assert test.p_value == pytest.approx(table["p.value"][0], rel=2e-5)


def test_reference_must_distinguish_scaled_f_and_kenward_roger_from_their_rivals() -> None:
    table = R["kenward_roger_f"]["machines_slopes"]["table"]
    assert table["stat"][1] / table["stat"][0] == pytest.approx(1.25, abs=1e-6)
    tests = R["sleepstudy_unbalanced"]["tests"]
    gap = np.array(tests["kenward_roger"]["df"]) / tests["satterthwaite"]["df"] - 1
    assert np.abs(gap).min() > 10 * NUMERICAL
