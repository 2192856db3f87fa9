"""Degrees of freedom with residual structures: SAS's and mmrm's published tables, and laws.

The rivals are the expected information for the observed one (2% in the degrees of freedom), mmrm's logarithmic
parameters for SAS's natural ones (0.6% of the standard error), first order for second (1e-3), and degrees of freedom
that count the residual parameters as known.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from residual_references import FOLDER, SAME_OPTIMUM, ReferenceFit, data_of, reference_fits

import mixedfit as mf

R = mf.residuals
VISIT = ("AVISIT", "USUBJID")


def published(name: str) -> list[dict[str, Any]]:
    path = FOLDER / name
    return json.loads(path.read_text())["cases"] if path.exists() else []


def each(cases: Any) -> Any:
    absent = pytest.mark.skip(reason="the published fits (shared/references) do not lie beside the project")
    rows = [pytest.param(case, id=case["id"]) for case in cases] or [pytest.param(None, marks=absent)]
    return pytest.mark.parametrize("case", rows)


STRUCTURES: dict[str, Any] = {
    "us": R.Unstructured(*VISIT),
    "log": R.Unstructured(*VISIT),
    "log_simple": R.Unstructured(*VISIT),
    "ar1": R.AR1(*VISIT),
    "arh1": R.AR1(*VISIT) * R.VarIdent("AVISIT"),
    "ar1h": R.AR1(*VISIT) * R.VarIdent("AVISIT"),
    "cs": R.CompoundSymmetry("USUBJID"),
    "csh": R.CompoundSymmetry("USUBJID") * R.VarIdent("AVISIT"),
    "toep": R.Toeplitz(*VISIT),
    "toeph": R.Toeplitz(*VISIT) * R.VarIdent("AVISIT"),
    "adh": R.AnteDependence(*VISIT) * R.VarIdent("AVISIT"),
    "resid_spatial": R.CAR1("VISITN", "USUBJID"),
    "spexp": R.Exponential(("VISITN", "VISITN2"), "USUBJID"),
    "sp_exp": R.Exponential("VISITN", "USUBJID"),
    "sp_exp2": R.Exponential(("VISITN", "VISITN2"), "USUBJID"),
    "sp_gau": R.Gaussian("VISITN", "USUBJID"),
    "sp_gau2": R.Gaussian(("VISITN", "VISITN2"), "USUBJID"),
}

OWN_MODEL = "sas-sp_gau_kr"
"""The record names another model: its two effects, criterion and range are those of FEV1 ~ ARMCD in two coordinates."""

SAS = [case for case in published("sas_published_dev.json") if case["id"] != OWN_MODEL]
SAS_KR = [case for case in SAS if case["id"].startswith("sas-kr_")]
SAS_TABLES = [case for case in SAS if not case["id"].startswith("sas-kr_")]


@cache
def sas_fit(id: str) -> mf.MixedResults:
    case = next(c for c in SAS if c["id"] == id)
    key = id.removeprefix("sas-").removeprefix("kr_").removesuffix("_reml")
    formula = case["model"].split(",")[0].split(" (")[0]
    data = data_of("fev_data").dropna(subset=["FEV1"])
    return mf.lmm(formula, data, residual=STRUCTURES[key]).fit(reml=case["method"] == "REML")


@each(SAS)
def test_criterion_must_be_that_of_sas(case: Any) -> None:
    fit = sas_fit(case["id"])
    ours = fit.reml_criterion if case["method"] == "REML" else fit.deviance
    assert ours <= case["criterion_minus2loglik"] + 1e-6
    assert ours == pytest.approx(case["criterion_minus2loglik"], abs=2e-4)


@each(SAS_KR)
def test_kenward_roger_must_be_that_of_sas(case: Any) -> None:
    row = sas_fit(case["id"]).t_test("ARMCDTRT", ddf="kenward-roger").table.iloc[0]
    assert row["estimate"] == pytest.approx(case["estimate"], rel=2e-4)
    assert row["std_error"] == pytest.approx(
        case["se"], rel=2e-4
    )  # SAS stops early: its criterion is 1e-5 above
    assert row["df"] == pytest.approx(case["df"], rel=1e-3)


@each([case for case in published("sas_published_dev.json") if case["id"] == OWN_MODEL])
def test_kenward_roger_of_a_law_of_distance_must_be_that_of_sas(case: Any) -> None:
    """The first two rows are Satterthwaite's, the others Kenward and Roger's, of first order for such laws."""
    data = data_of("fev_data").dropna(subset=["FEV1"])
    data = data.assign(ARMCD=pd.Categorical(data["ARMCD"].astype(str), categories=["TRT", "PBO"]))
    fit = mf.lmm("FEV1 ~ ARMCD", data, residual=STRUCTURES["sp_gau2"]).fit()
    assert fit.reml_criterion == pytest.approx(case["criterion_minus2loglik"], abs=1e-5)
    assert fit.residual_params.loc["range", "estimate"] == pytest.approx(1.3379, abs=1e-4)
    rows = case["fixed"]
    for ddf, own in (("satterthwaite", rows[:2]), ("kenward-roger", rows[2:])):
        table = fit.t_test(np.eye(2), ddf=ddf).table
        for found, row in zip(table.to_dict("records"), own, strict=True):
            assert found["std_error"] == pytest.approx(
                row["se"], abs=1.2e-4
            )  # printed digits; SAS stops early
            assert found["df"] == pytest.approx(row["df"], abs=0.6)


@each(SAS_TABLES)
def test_satterthwaite_must_be_that_of_sas(case: Any) -> None:
    fit = sas_fit(case["id"])
    table = fit.t_test(np.eye(len(fit.params)), ddf="satterthwaite").table
    for row in case["fixed"]:
        name = row["effect"].replace("Intercept", "(Intercept)").replace(" | ", "")
        if "*" in name or name not in table.index:
            continue
        own = table.loc[name]
        assert own["std_error"] == pytest.approx(row["se"], abs=2e-4), name
        assert own["df"] == pytest.approx(row["df"], abs=0.6), name


@each(published("kr_sas_convention_dev.json"))
def test_kenward_roger_of_both_orders_must_be_sas_convention(case: Any) -> None:
    fit = next(c for c in reference_fits() if c.id == case["id"].removeprefix("kr-")).fit
    every = np.eye(len(fit.params))
    for order, key in ((2, "kr_se"), (1, "kr_firstorder_se")):
        table = fit.t_test(every, ddf=mf.KenwardRoger(order=order)).table
        np.testing.assert_allclose(table["std_error"], list(case[key].values()), rtol=1e-5)
        np.testing.assert_allclose(table["df"], list(case["satterthwaite_df"].values()), rtol=1e-4)


@pytest.mark.everyday(10)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=c.id)
        for c in reference_fits()
        if c.expected.get("satterthwaite_df") and c.id in SAME_OPTIMUM
    ]
    or [pytest.param(None, marks=pytest.mark.skip(reason="no references"))],
)
def test_satterthwaite_must_count_residual_parameters(case: ReferenceFit) -> None:
    table = case.fit.t_test(np.eye(len(case.fit.params)), ddf="satterthwaite").table
    np.testing.assert_allclose(table["df"], list(case.expected["satterthwaite_df"].values()), rtol=1e-2)


def test_structure_that_is_an_ordinary_model_must_have_its_degrees_of_freedom() -> None:
    data = mf.load_dataset("sleepstudy")
    plain = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    structured = mf.lmm("Reaction ~ Days", data, residual=R.CompoundSymmetry("Subject")).fit()
    np.testing.assert_allclose(structured.df, plain.df, rtol=1e-4)
    exact = mf.KenwardRoger("observed")
    one, other = (f.anova(ddf=exact).table for f in (plain, structured))
    np.testing.assert_allclose(
        one["df_den" if "df_den" in one else one.columns[3]], other.iloc[:, 3], rtol=1e-3
    )


def test_printout_must_name_the_convention() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days", data, residual=R.AR1("Days", "Subject")).fit()
    assert "SAS's: observed information, natural parameters" in str(fit.summary(ddf="kenward-roger"))
    assert "first order" in str(fit.summary(ddf=mf.KenwardRoger(order=1)))
    assert "Satterthwaite (observed information)" in str(fit.summary())


def test_maximum_likelihood_must_refuse_kenward_roger() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days", data, residual=R.AR1("Days", "Subject")).fit(reml=False)
    with pytest.raises(mf.ModelError, match="REML"):
        fit.t_test("Days", ddf="kenward-roger")


def test_delta_method_must_not_depend_on_how_a_structure_is_written() -> None:
    data = mf.load_dataset("sleepstudy").query("Days < 2")
    one = mf.lmm("Reaction ~ Days", data, residual=R.Unstructured("Days", "Subject")).fit()
    other = mf.lmm("Reaction ~ Days", data, residual=R.CompoundSymmetry("Subject") * R.VarIdent("Days")).fit()
    np.testing.assert_allclose(one.vcov_varpar(), other.vcov_varpar(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.conf_int(delta=True), other.conf_int(delta=True), rtol=1e-5)


def test_errors_of_residual_parameters_must_come_from_the_curvature_of_the_profiled_criterion() -> None:
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data, residual=R.AR1("Days", "Subject")).fit()
    own = fit._fit.residual
    assert own is not None

    def value(x: float) -> float:
        from mixedfit.estimation.estimate import Control
        from mixedfit.estimation.whitening import WhitenedSearch

        return WhitenedSearch(fit._fit.design, own.model, True, None, Control())(np.array([x])).value

    x, h = float(own.x[0]), 1e-3
    curvature = (value(x + h) - 2 * value(x) + value(x - h)) / h**2
    expected = np.sqrt(2 / curvature) * (1 - np.tanh(x) ** 2)
    assert np.sqrt(fit.vcov_varpar().loc["phi", "phi"]) == pytest.approx(expected, rel=1e-3)


def test_intervals_must_stay_within_the_parameter_space() -> None:
    data = mf.load_dataset("sleepstudy").query("Days < 3")
    table = (
        mf.lmm("Reaction ~ Days", data, residual=R.Unstructured("Days", "Subject")).fit().conf_int(delta=True)
    )
    correlations = table[[str(name).startswith("cor") for name in table.index]]
    assert np.all(correlations.abs().to_numpy() < 1)
    assert np.all(table.loc[["ratio(1)", "ratio(2)"]].to_numpy() > 0)


def test_profile_of_a_residual_parameter_must_end_where_the_deviance_has_risen_by_chi_square() -> None:
    data = mf.load_dataset("sleepstudy")
    structure = R.AR1("Days", "Subject") * R.VarExp("Days")
    fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data, residual=structure).fit(reml=False)
    limits = fit.conf_int(method="profile", parameters=["phi", "expon"])
    own = fit._fit.residual
    assert own is not None
    for phi in limits.loc["phi"]:
        best = min(_deviance_at(fit, np.array([np.arctanh(phi), x])) for x in np.linspace(-1, 1.5, 251))
        assert best - fit.deviance == pytest.approx(3.841459, abs=2e-2)
    wald = fit.conf_int(delta=True).loc[["phi", "expon"]]
    np.testing.assert_allclose(limits, wald, atol=0.12)


def _deviance_at(fit: mf.MixedResults, x: Any) -> float:
    from mixedfit.estimation.estimate import Control
    from mixedfit.estimation.whitening import WhitenedSearch

    assert fit._fit.residual is not None
    return WhitenedSearch(fit._fit.design, fit._fit.residual.model, False, None, Control())(x).value
