"""What a fit says, against R's lme4: one test an attribute, run over every model that R fitted."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from models import REFERENCE, few_students, gaps, sleepstudy

import mixedfit as mf

CLOSE = 1e-5
"""Agreement with lme4, whose optimisers stop at about 1e-6 of θ; rivals differ by 1e-3 and more."""


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sleepstudy": (sleepstudy, {}),
    "sleepstudy_ml": (sleepstudy, {}),
    "sleepstudy_independent": (sleepstudy, {}),
    "sleepstudy_weights": (sleepstudy, {"weights": "w"}),
    "sleepstudy_without_days": (sleepstudy, {"weights": "counted"}),
    "sleepstudy_offset": (sleepstudy, {"offset": "base"}),
    "sleepstudy_offset_term": (sleepstudy, {}),
    "sleepstudy_missing": (gaps, {}),
    "sleepstudy_rank": (sleepstudy, {}),
    "pastes": (lambda: mf.load_dataset("Pastes"), {}),
    "pastes_ml": (lambda: mf.load_dataset("Pastes"), {}),
    "penicillin": (lambda: mf.load_dataset("Penicillin"), {}),
    "penicillin_fixed_plate": (lambda: mf.load_dataset("Penicillin"), {}),
    "dyestuff2": (lambda: mf.load_dataset("Dyestuff2"), {}),
    "machines": (lambda: mf.load_dataset("Machines"), {}),
    "machines_without_intercept": (lambda: mf.load_dataset("Machines"), {}),
    "machines_nested": (lambda: mf.load_dataset("Machines"), {}),
    "cake": (lambda: mf.load_dataset("cake"), {}),
    "insteval": (lambda: few_students(150), {}),
}


@cache
def fitted(name: str) -> mf.MixedResults:
    """Return the package's fit of a model that R fitted."""
    expected = REFERENCE[name]
    data, options = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mf.RankWarning)
        warnings.simplefilter("ignore", mf.MissingRowsWarning)
        return mf.lmm(expected["formula"], data(), **options).fit(reml=expected["reml"])


def values(name: str, key: str) -> Any:
    """Return what R stored, as an array of at least one element, missing values as NaN."""
    return np.atleast_1d(np.array(REFERENCE[name][key], dtype=float))


def having(key: str) -> Any:
    """Run a test over the models for which R stored something."""
    return pytest.mark.parametrize("name", [name for name in MODELS if key in REFERENCE[name]])


# -- lme4: fixed effects ---------------------------------------------------------------------------


@pytest.mark.everyday(9)
@having("params")
def test_params_must_equal_lme4s(name: str) -> None:
    """In standard errors; lme4 leaves dropped columns out."""
    params = fitted(name).params.dropna()
    assert list(params.index) == list(np.atleast_1d(REFERENCE[name]["names"]))
    np.testing.assert_allclose(
        (params - values(name, "params")) / values(name, "bse"), 0 * params, atol=CLOSE
    )


@having("params")
def test_standard_errors_must_equal_lme4s(name: str) -> None:
    """Rival: n for n − p in σ², a factor of at least 1.003."""
    np.testing.assert_allclose(fitted(name).bse.dropna(), values(name, "bse"), rtol=CLOSE)


@having("params")
def test_covariance_of_params_must_equal_lme4s(name: str) -> None:
    table = fitted(name).cov_params()
    kept = table.dropna(how="all").index
    expected = np.array(REFERENCE[name]["cov_params"], dtype=float).reshape(kept.size, kept.size)
    units = np.outer(values(name, "bse"), values(name, "bse"))
    np.testing.assert_allclose(table.loc[kept, kept] / units, expected / units, atol=3 * CLOSE)


@having("params")
def test_wald_intervals_must_equal_lme4s(name: str) -> None:
    """Rival: quantiles of t, wider by 0.1 % of a standard error and more."""
    table = fitted(name).conf_int().dropna()
    for column in ("lower", "upper"):
        error = (table[column] - values(name, column)) / values(name, "bse")
        np.testing.assert_allclose(error, 0 * error, atol=3 * CLOSE)


# -- lme4: variances -------------------------------------------------------------------------------


@having("params")
def test_sigma_must_equal_lme4s(name: str) -> None:
    assert fitted(name).sigma == pytest.approx(REFERENCE[name]["sigma"], rel=CLOSE)


@having("params")
def test_theta_must_equal_lme4s_by_name(name: str) -> None:
    theta = fitted(name).theta
    assert list(theta.index) == list(np.atleast_1d(REFERENCE[name]["theta_names"]))
    np.testing.assert_allclose(theta, values(name, "theta"), atol=3 * CLOSE * max(1.0, theta.abs().max()))


@having("params")
def test_varcorr_must_equal_lme4s_row_by_row(name: str) -> None:
    """Rival: ML for REML, at least 1 % of a variance."""
    table, expected = fitted(name).varcorr, pd.DataFrame(REFERENCE[name]["varcorr"])
    for column in ("grp", "var1", "var2"):
        assert table[column].fillna("").tolist() == expected[column].fillna("").tolist()
    scale = expected["vcov"].abs().max()
    np.testing.assert_allclose(table["vcov"], expected["vcov"], rtol=1e-4, atol=CLOSE * scale)
    np.testing.assert_allclose(table["sdcor"], expected["sdcor"], rtol=1e-4, atol=1e-4 * np.sqrt(scale))


@having("params")
def test_singular_must_equal_lme4s_verdict(name: str) -> None:
    assert fitted(name).singular == REFERENCE[name]["singular"]


# -- lme4: likelihood ------------------------------------------------------------------------------


@having("params")
@pytest.mark.parametrize("what", ["llf", "aic", "bic", "deviance", "reml_criterion"])
def test_likelihood_must_equal_lme4s(name: str, what: str) -> None:
    """Rivals: ML for REML, and information criteria that do not count σ or count dropped columns."""
    assert getattr(fitted(name), what) == pytest.approx(REFERENCE[name][what], abs=1e-6)


@having("params")
@pytest.mark.parametrize("what", ["nobs", "df_resid"])
def test_counts_must_equal_lme4s(name: str, what: str) -> None:
    assert getattr(fitted(name), what) == REFERENCE[name][what]


# -- lme4: rows ------------------------------------------------------------------------------------


@having("fitted")
@pytest.mark.parametrize("what", ["fitted", "resid", "scaled_resid", "fixed_part"])
def test_rows_must_equal_lme4s(name: str, what: str) -> None:
    """In residual standard deviations; rival: fitted values without the random effects, or without offset."""
    fit = fitted(name)
    unit = 1.0 if what == "scaled_resid" else fit.sigma
    row = {"fitted": fit.fittedvalues, "fixed_part": fit.predict(re_form="none")}.get(what)
    row = getattr(fit, what) if row is None else row
    np.testing.assert_allclose(row / unit, values(name, what) / unit, atol=1e-4)


# -- lme4: random effects --------------------------------------------------------------------------


LEVELS = [(name, group) for name in MODELS for group in REFERENCE[name].get("levels", {})]


@pytest.mark.parametrize(("name", "group"), LEVELS)
def test_random_effects_must_equal_lme4s(name: str, group: str) -> None:
    """In residual standard deviations; rival: effects that are not shrunk, or spherical ones."""
    expected = REFERENCE[name]["levels"][group]
    table = fitted(name).random_effects[group].loc[expected["levels"]]
    assert list(table.columns) == list(np.atleast_1d(expected["effects"]))
    modes = np.array(expected["modes"]).reshape(table.shape)
    np.testing.assert_allclose(table / fitted(name).sigma, modes / fitted(name).sigma, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "group"), [pair for pair in LEVELS if "postVar" in REFERENCE[pair[0]]["levels"][pair[1]]]
)
def test_conditional_covariances_must_equal_lme4s(name: str, group: str) -> None:
    """Rival: the marginal covariance Ω of the effects, larger by 10 % and more."""
    expected = REFERENCE[name]["levels"][group]
    table = fitted(name).random_effects_cov[group].loc[expected["levels"]]
    blocks = np.array(expected["postVar"]).reshape(table.shape)
    np.testing.assert_allclose(table, blocks, rtol=1e-4, atol=3 * CLOSE * np.abs(blocks).max())


@pytest.mark.parametrize(
    ("name", "group"), [pair for pair in LEVELS if "coef" in REFERENCE[pair[0]]["levels"][pair[1]]]
)
def test_coefficients_of_groups_must_equal_lme4s(name: str, group: str) -> None:
    expected = REFERENCE[name]["levels"][group]
    columns = list(np.atleast_1d(expected["coef_names"]))
    table = fitted(name).group_coefs[group].loc[expected["levels"], columns]
    coefs = np.array(expected["coef"]).reshape(table.shape)
    np.testing.assert_allclose(table / fitted(name).sigma, coefs / fitted(name).sigma, atol=1e-4)
