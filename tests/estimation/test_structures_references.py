"""Fits of glmmTMB and nlme with covariance structures of random effects, from the references beside the project.

`expected` in the records is the optimum of a dense likelihood; the criterion must be within 1e-6 of it or below. Where
ours is clearly below, theirs is a local optimum, and the estimates are not compared.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import SHARED_FOLDER

import mixedfit as mf

FOLDER = SHARED_FOLDER / "references" / "structures"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the references are not beside the project")


def diet(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(Diet=frame.Diet.astype(str))


FORMULAS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "sleepstudy-tmb-ar1": (
        "Reaction ~ Days + ar1(0 + fDays | Subject)",
        lambda d: d.assign(fDays=pd.Categorical(d.Days)),
    ),
    "sleepstudy-tmb-ar1-intercept-ml": (
        "Reaction ~ Days + (1 | Subject) + ar1(0 + factor(Days) | Subject)",
        lambda d: d,
    ),
    "sleepstudy-tmb-diag": ("Reaction ~ Days + diag(1 + Days | Subject)", lambda d: d),
    "sleepstudy-tmb-us-ml": ("Reaction ~ Days + us(1 + Days | Subject)", lambda d: d),
    "machines-tmb-cs": ("score ~ Machine + cs(0 + Machine | Worker)", lambda d: d),
    "machines-lme-pdcompsymm": ("score ~ Machine + homcs(0 + Machine | Worker)", lambda d: d),
    "bodyweight-tmb-ou": ("weight ~ Time * Diet + ou(0 + Time | Rat)", diet),
    "bodyweight-tmb-exp": ("weight ~ Time * Diet + exp(numFactor(Time) + 0 | Rat)", diet),
    "bodyweight-tmb-mat": ("weight ~ Time * Diet + mat(0 + Time | Rat)", diet),
    "topo-tmb-gau": ("z ~ x + y + gau(0 + numFactor(x, y) | grp)", lambda d: d.assign(grp=1)),
}
"""How each is written here."""

LEFT_OUT = {
    "dispformula": "unequal residual variances: a residual structure",
    "dispformula = ~0": "no residual beside the structure: a residual structure",
    "known": "a known relationship of the levels",
}
"""Reasons for leaving out others with a structure of random effects."""

BETTER = {"sleepstudy-tmb-ar1"}
"""Those of which a lower criterion was found here, equal to the dense likelihood at these estimates."""


def cases() -> dict[str, dict[str, Any]]:
    """Return the records by name; empty without the references."""
    if not FOLDER.exists():
        return {}
    with open(FOLDER / "refs_dev.json") as file:
        return {case["id"]: case for case in json.load(file)["cases"]}


def reason_left_out(case: Mapping[str, Any]) -> str | None:
    """Return why a record with a structure of random effects is left out, or None."""
    if "known" in str(case["structures"]):
        return LEFT_OUT["known"]
    if "dispformula = ~0" in case["call"]:
        return LEFT_OUT["dispformula = ~0"]
    return LEFT_OUT["dispformula"] if "dispformula" in case["call"] else None


FITS: dict[str, mf.MixedResults] = {}


def fit_of(name: str) -> tuple[mf.MixedResults, dict[str, Any]]:
    """Return the fit of a record, made once, and its expected numbers."""
    case = cases()[name]
    if name not in FITS:
        formula, prepared = FORMULAS[name]
        frame = prepared(pd.read_csv(FOLDER / "data" / f"{case['data']}.csv"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            FITS[name] = mf.lmm(formula, frame).fit(reml=case["method"] == "REML")
    return FITS[name], case["expected"]


def test_every_reference_must_be_fitted_or_left_out_with_a_reason() -> None:
    """glmmTMB's and pdCompSymm's records: how many run, and why the others do not."""
    found = {
        name: reason_left_out(case)
        for name, case in cases().items()
        if case.get("engine") == "glmmTMB" or "pdCompSymm" in str(case["structures"])
    }
    assert {name for name, reason in found.items() if reason is None} == set(FORMULAS)
    assert sum(reason is not None for reason in found.values()) == 4


@pytest.mark.everyday(4)
@pytest.mark.parametrize("name", list(FORMULAS))
def test_criterion_must_be_that_of_the_reference_or_below(name: str) -> None:
    fit, expected = fit_of(name)
    found = fit.reml_criterion if fit.reml else fit.deviance
    assert fit.converged
    if name in BETTER:
        assert found < expected["criterion"] - 1.0
    else:
        assert found == pytest.approx(expected["criterion"], abs=1e-6)


@pytest.mark.everyday(4)
@pytest.mark.parametrize("name", sorted(set(FORMULAS) - BETTER))
def test_estimates_and_standard_errors_must_be_those_of_the_reference(name: str) -> None:
    fit, expected = fit_of(name)
    np.testing.assert_allclose(fit.params, list(expected["beta"].values()), rtol=1e-4)
    np.testing.assert_allclose(fit.bse, list(expected["se"].values()), rtol=1e-4)
    assert fit.sigma == pytest.approx(expected["sigma"], rel=1e-4)


KINDS = {"rho": "correlation", "range": "range", "decay": "decay", "smooth": "smoothness"}


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - BETTER))
def test_variance_parameters_must_be_those_of_the_reference(name: str) -> None:
    fit, expected = fit_of(name)
    table = fit.varcorr
    for number, term in enumerate(expected["random"]):
        group = term["term"].split(".")[0] if number == 0 else term["term"]
        own = table[table["grp"] == group]
        sds = list(term["sd"].values()) if isinstance(term["sd"], dict) else [term["sd"]]
        np.testing.assert_allclose(own[own["var2"].isna()]["sdcor"], sds, rtol=2e-4)
        for key, kind in KINDS.items():
            if key in term:
                (value,) = own[own["var2"].astype(str).str.startswith(kind)]["sdcor"]
                assert value == pytest.approx(term[key], rel=1e-3)


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - BETTER))
def test_degrees_of_freedom_must_be_those_of_the_reference(name: str) -> None:
    fit, expected = fit_of(name)
    if not expected["satterthwaite_df"]:
        pytest.skip("the reference has none")
    np.testing.assert_allclose(fit.df, list(expected["satterthwaite_df"].values()), atol=1e-2)


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - BETTER))
def test_random_effects_must_be_those_of_the_reference(name: str) -> None:
    fit, expected = fit_of(name)
    if name == "topo-tmb-gau":
        pytest.skip("the reference numbers the points otherwise")
    tables = fit.random_effects
    for term, levels in zip(expected["random"], expected["ranef_first_levels"], strict=True):
        table = tables[term["term"].split(".")[0]]
        table.index = table.index.astype(str)
        for level, effects in levels.items():
            start = len(table.columns) - len(effects) if "." in term["term"] else 0
            found = table.loc[level].to_numpy()[start : start + len(effects)]
            np.testing.assert_allclose(found, list(effects.values()), rtol=2e-3, atol=2e-3)
