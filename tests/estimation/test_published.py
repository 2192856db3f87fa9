"""Published fits of other programs, and lme4's of the same models, come out.

Criteria are compared one-sidedly: a program may stop short of the optimum, none can be better than it. Estimates are
compared with lme4's under a tight tolerance (`r_recomputed`) where the collection has them, else with the published
digits. The rivals are ML for REML, a neighbouring random part, another contrast: they differ in the third digit.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from paths import REFERENCE_FOLDER
from published import PublishedFit, dense_criterion, published_fits, relative_covariance

import mixedfit as mf

pytestmark = pytest.mark.filterwarnings("ignore::mixedfit.IdentifiabilityWarning")
"""MixedModels.jl fits some models with an effect for every row."""

DEPTH = 1e-6
"""Amount, in units of deviance, by which our criterion may lie above another program's."""

IMPLAUSIBLE = 1e-4
"""Amount below another program's criterion from which the n × n density has to bear ours out."""

PRECISION = 1e-5
"""Relative precision of another program's estimates at its optimum."""

LOOSE = 3e-4
"""The same of what depends on variances, by programs that stop within 1e-7 of the optimum: √1e-7 of its size."""

ZERO = 1e-4
"""Share of σ below which lme4's standard deviation stands for an exact 0."""

OTHER_CONSTANT = "SASmixed_Multilocation-2"
"""S-PLUS coded the fixed factors differently, which moves its REML criterion by 2 log 3."""

FITS = published_fits()[0]
BY_LME4 = [case for case in FITS if case.lme4]
NOT_BY_LME4 = [case for case in FITS if not case.lme4]
STOPPED_SHORT = [case for case in FITS if "stopped short" in case.record.get("notes", "")]


def each(cases: Any) -> Any:
    """Run a test once for each case."""
    absent = pytest.mark.skip(reason="the published fits (shared/references) do not lie beside the project")
    rows = [pytest.param(case, id=case.id) for case in cases] or [pytest.param(None, marks=absent)]
    return pytest.mark.parametrize("case", rows)


# -- against lme4 with a tight tolerance -------------------------------------------------------------------------


@pytest.mark.everyday(60)
@each(BY_LME4)
def test_fit_must_be_as_deep_as_lme4s(case: PublishedFit) -> None:
    check_depth(case, case.lme4["criterion"], DEPTH)


@pytest.mark.everyday(60)
@each(BY_LME4)
def test_fit_must_use_the_rows_that_lme4_uses(case: PublishedFit) -> None:
    assert case.fit.nobs == case.lme4["n"]


@each(BY_LME4)
def test_fit_must_give_the_fixed_effects_of_lme4(case: PublishedFit) -> None:
    theirs, errors = (np.array(list(case.lme4[key].values())) for key in ("beta", "se"))
    difference = np.abs(in_order_of_lme4(case, case.fit.params) - theirs)
    assert np.all(difference <= tolerance(case) * np.maximum(np.abs(theirs), errors))


@each(BY_LME4)
def test_fit_must_give_the_standard_errors_of_lme4(case: PublishedFit) -> None:
    theirs = np.array(list(case.lme4["se"].values()))
    np.testing.assert_allclose(in_order_of_lme4(case, case.fit.bse), theirs, rtol=tolerance(case))


@each(BY_LME4)
def test_fit_must_give_the_variance_components_of_lme4(case: PublishedFit) -> None:
    ours = components(case.fit.varcorr.to_dict("records"))
    sigma = case.lme4["sigma"]
    for place, theirs in components(case.lme4["vc"]).items():
        size = 1.0 if len(place[1]) > 1 else theirs if theirs > ZERO * sigma else sigma
        assert abs(ours[place] - theirs) <= tolerance(case) * size, place


@each(BY_LME4)
def test_fit_must_be_called_singular_when_a_variance_of_lme4_is_zero(case: PublishedFit) -> None:
    deviations = [row["sdcor"] for row in case.lme4["vc"] if not row["var2"]]
    zero = min(deviations) < ZERO * case.lme4["sigma"]
    assert case.fit.singular == bool(zero or case.record["expected"].get("singular"))


# -- against the published digits --------------------------------------------------------------------------------


@each([case for case in FITS if case.published_criteria and case not in STOPPED_SHORT])
def test_fit_must_reach_the_published_criterion(case: PublishedFit) -> None:
    shift = -2.0 * np.log(3.0) if case.id == OTHER_CONSTANT else 0.0
    for key, published in case.published_criteria.items():
        rounding = case.record["expected"].get("_round", half_unit(published))
        times = -2.0 if key == "logLik" else 1.0
        check_depth(case, times * published + shift, abs(times) * rounding + DEPTH)


@each(STOPPED_SHORT)
def test_fit_must_be_deeper_than_published_when_that_stopped_short(case: PublishedFit) -> None:
    assert case.criterion < case.record["expected"]["reml_criterion"] - 1e-3


@each([case for case in NOT_BY_LME4 if case.estimates])
def test_fit_must_give_the_published_estimates_when_lme4_was_not_run(case: PublishedFit) -> None:
    ours = our_estimates(case)
    for key, theirs in case.estimates.items():
        precision = LOOSE if key in ("sd", "corr", "theta", "var", "vcov") else PRECISION
        rounding = case.record["expected"].get("_round", 0.0) if key in ("aic", "bic") else 0.0
        size = np.maximum(rounding, np.vectorize(half_unit)(theirs)) + precision * np.abs(theirs)
        assert np.all(np.abs(ours[key].reshape(theirs.shape) - theirs) <= size), key


@each([case for case in NOT_BY_LME4 if "random_printed" in case.record["expected"]])
def test_fit_must_give_the_printed_deviations_of_nlme(case: PublishedFit) -> None:
    lines = [line.split() for line in case.record["expected"]["random_printed"].splitlines()]
    rows = [line[1:] for line in lines if line and re.fullmatch(r"StdDev:|Machine.|Residual", line[0])]
    theirs = {float(word) for row in rows for word in row if re.fullmatch(r"[\d.e-]+", word)}
    ours = case.fit.varcorr["sdcor"].to_numpy()
    for number in theirs:
        assert np.min(np.abs(ours - number)) <= max(half_unit(number), ZERO)
    assert len(theirs) == len(ours)


@each([case for case in FITS if case.id in ("mmjl-sleepstudy-dummy-us", "mmjl-sleepstudy-fulldummy")])
def test_fit_must_be_the_closed_form_when_the_covariance_is_saturated(case: PublishedFit) -> None:
    # Any covariance of the ten days is possible: −2 log-likelihood is m log|S| + m d (1 + log 2π) with S the
    # covariance of the m = 18 subjects' rows, divided by m.
    rows = case.table.pivot(index="Subject", columns="Days", values="Reaction").to_numpy()
    m, d = rows.shape
    closed = m * np.linalg.slogdet(np.cov(rows.T, bias=True))[1] + m * d * (1 + np.log(2 * np.pi))
    assert case.criterion == pytest.approx(closed, abs=DEPTH)


# -- the hard ones -----------------------------------------------------------------------------------------------

CUBIC = "1 + Days + I(Days**2) + I(Days**3)"
HARD = [(fixed, reml) for fixed in ("cubic", "linear") for reml in (True, False)]


@pytest.fixture(scope="module", params=HARD, ids=lambda p: f"{p[0]}-{'reml' if p[1] else 'ml'}")
def hard(request: pytest.FixtureRequest) -> dict[str, Any]:
    """sleepstudy with a random cubic: the model, its fit, and what lme4 and glmmTMB reach."""
    fixed, reml = request.param
    path = REFERENCE_FOLDER / "hard_cubic.json"
    values = json.loads(path.read_text(encoding="utf-8"))[f"{fixed}_{'reml' if reml else 'ml'}"]
    text = f"Reaction ~ {CUBIC if fixed == 'cubic' else 'Days'} + ({CUBIC} | Subject)"
    model = mf.lmm(text, mf.load_dataset("sleepstudy"))
    fit = model.fit(reml=reml)
    value = fit.reml_criterion if reml else fit.deviance
    reached = {key: x for key, x in values.items() if key != "smallest_direction" and x is not None}
    return {
        "model": model,
        "fit": fit,
        "value": value,
        "reached": reached,
        "small": values["smallest_direction"],
    }


def test_cubic_must_converge(hard: dict[str, Any]) -> None:
    assert hard["fit"].converged


def test_cubic_must_be_as_deep_as_every_optimiser_of_lme4_and_glmmtmb(hard: dict[str, Any]) -> None:
    assert hard["value"] <= min(hard["reached"].values()) + DEPTH


def test_cubic_must_be_the_density_at_its_covariance(hard: dict[str, Any]) -> None:
    assert hard["value"] == pytest.approx(dense_criterion(hard["model"], hard["fit"]), abs=DEPTH)


def test_cubic_must_say_whether_it_is_singular(hard: dict[str, Any]) -> None:
    # lme4's deepest fit gives the smallest standard deviation in any direction of orthonormal polynomials.
    singular = hard["small"] < ZERO * hard["fit"].sigma
    assert hard["fit"].singular == singular
    assert hard["fit"].convergence.status == ("boundary" if singular else "converged")


# -- how numbers are compared ------------------------------------------------------------------------------------


def check_depth(case: PublishedFit, theirs: float, rounding: float) -> None:
    """Assert that our criterion is not above another program's, and not below it without a witness."""
    assert case.criterion <= theirs + rounding
    if case.criterion < theirs - max(rounding, IMPLAUSIBLE):
        assert case.criterion == pytest.approx(case.dense_criterion(), abs=DEPTH)


def our_estimates(case: PublishedFit) -> dict[str, np.ndarray]:
    """Return our counterparts of a case's estimates."""
    fit, table = case.fit, case.fit.varcorr
    variances, pairs = table[table["var2"].isna()], table[~table["var2"].isna()]
    block = case.model.design.blocks[0]
    omega = relative_covariance(fit, block.name, block.effects) * fit.scale
    ours = {
        "beta": fit.params,
        "se": fit.bse,
        "sigma": fit.sigma,
        "theta": fit.theta,
        "sd": variances["sdcor"][:-1],
        "corr": pairs["sdcor"],
        "var": variances["vcov"] if isinstance(case.record["expected"].get("var"), dict) else omega,
        "vcov": fit.cov_params(),
        "aic": fit.aic,
        "bic": fit.bic,
        "fitted_first": fit.fittedvalues.iloc[0],
        "resid_first": fit.resid.iloc[0],
        "n": fit.nobs,
        "nobs": fit.nobs,
        "sizes": [fit.nobs, len(fit.params), sum(modes.size for modes in fit.random_effects.values())],
    }
    return {key: np.asarray(value, float) for key, value in ours.items()}


def half_unit(number: float) -> float:
    """Return half a unit of the last decimal place of a number as printed."""
    mantissa, _, exponent = repr(float(number)).partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - decimals)


def tolerance(case: PublishedFit) -> float:
    """Return the relative tolerance of lme4's estimates.

    Where lme4 stops δ above the optimum, an estimate is off by at most √δ of its standard error (the criterion is
    quadratic there), and so, for a standard error below the estimate, by √δ of its size.
    """
    return float(PRECISION + np.sqrt(max(case.lme4["criterion"] - case.criterion, 0.0)))


def in_order_of_lme4(case: PublishedFit, ours: pd.Series[float]) -> np.ndarray:
    """Return our coefficients in lme4's order: by name, or by place where R numbers Helmert contrasts."""
    names = list(case.lme4["beta"])
    assert len(names) == len(ours)
    if case.record["contrasts"] == "helmert":
        return ours.to_numpy()
    return np.array(
        [{plain(str(name)): value for name, value in ours.items()}[plain(name)] for name in names]
    )


def plain(name: str) -> frozenset[str]:
    """Return a column's name without its contrast's call, spaces and order of factors."""
    bare = re.sub(r"C\(([\w.]+)(, contr\.\w+)?\)", r"\1", name)
    return frozenset(bare.replace(" ", "").replace("**", "^").split(":"))


def components(rows: list[dict[str, Any]]) -> dict[tuple[frozenset[str], frozenset[frozenset[str]]], float]:
    """Return standard deviations and correlations by grouping factors and effects."""
    out = {}
    for row in rows:
        factors = {part for part in re.split(r"[:.()]", row["grp"]) if part and not part.isdigit()}
        factors = {"batch", "cask"} if factors == {"sample"} else factors
        effects = frozenset(plain(row[key]) for key in ("var1", "var2") if isinstance(row[key], str))
        out[frozenset(factors), effects] = float(row["sdcor"])
    return out
