"""Tests, degrees of freedom, Wald intervals and information criteria that SAS, JMP, lmerTest and lme4 published.

`test_inference.py` has the sleep studies, the pastry dough, the wind tunnel and the beets; here is the rest of the
collection that t tests, F tests, Wald intervals and information criteria can answer. Coefficients are matched by
name. A comment names the rival of each comparison, at least ten tolerances away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from published import read, records
from published_cases import BATTERY, battery, bioequivalence

import mixedfit as mf

RECORDS = records()
pytestmark = pytest.mark.skipif(
    not RECORDS, reason="the published results (shared/references) do not lie beside the project"
)

PRINTED = 2.5e-7
"""Relative amount by which fourteen printed digits of SAS differ from those at the exact optimum."""

OBSERVED = mf.KenwardRoger(information="observed")


def rows_of(name: str) -> pd.DataFrame:
    """Return estimate, std_error, df and statistic of a published table, rows named as ours, zeros left out."""
    table = pd.DataFrame(RECORDS[name]["expected"]["rows"])
    table.columns = pd.Index([str(c).replace("coefficients.", "") for c in table.columns])
    rename = {"StdErr": "std_error", "Std Error": "std_error", "Std..Error": "std_error", "DF": "df"}
    rename |= {"DFDen": "df", "Estimate": "estimate", "tValue": "statistic", "t.value": "statistic"}
    table = table[table.get("StdErr", pd.Series(1.0, table.index)) != ""]
    names = [row_name(row) for row in table.to_dict("records")]
    numbers = table.rename(columns=rename).reindex(columns=["estimate", "std_error", "df", "statistic"])
    return numbers.set_axis(names, axis=0).astype(float)


def row_name(row: dict[str, Any]) -> str:
    """Return our name of a coefficient of SAS, JMP or R."""
    text = str(row.get("Effect", row.get("Term", row.get(""))))
    if text in ("period", "formulation", "sequence"):
        level = row[text]
        return f"C({text}, contr.SAS){level if isinstance(level, str) else int(level)}"
    return {"Intercept": "(Intercept)"}.get(text, text.replace("*", ":"))


def check(name: str, fit: mf.MixedResults, ddf: Any, relative: float) -> None:
    """Compare a published table of coefficients with ours, row by row."""
    ours, theirs = fit.summary(ddf=ddf).coefficients, rows_of(name)
    assert sorted(ours.index) == sorted(theirs.index)
    for column in theirs.columns[theirs.notna().all()]:
        size = theirs["std_error"] if column == "estimate" else theirs[column]
        if column == "statistic":
            size = 1.0 + theirs[column].abs()
        gap = ((ours[column].reindex(theirs.index) - theirs[column]) / size).abs()
        assert gap.max() <= relative, f"{column} of {gap.idxmax()}: off by {gap.max():.1e}"


@pytest.mark.parametrize(
    ("kind", "ddf", "relative"),
    [
        ("jmp", OBSERVED, 1e-8),
        ("sas_kr", OBSERVED, 2e-4),  # SAS stopped short: it lies 1.5e-4 from JMP
        ("sas_sw", "satterthwaite", 2e-4),
        ("lmertest", "kenward-roger", 2e-6),
    ],
)
def test_battery_cells_must_have_the_published_degrees_of_freedom_and_standard_errors(
    kind: str, ddf: Any, relative: float
) -> None:
    # Rivals: Satterthwaite for Kenward-Roger, 5 % in the standard error of X5; expected for observed information,
    # 4 % in the degrees of freedom of the intercept.
    check(f"sas-battery_cell-{kind}", mf.lmm(BATTERY, battery()).fit(), ddf, relative)


@pytest.mark.parametrize(("kind", "ddf"), [("sas_sw", "satterthwaite"), ("sas_kr", OBSERVED)])
def test_bioequivalence_must_have_the_degrees_of_freedom_of_sas(kind: str, ddf: Any) -> None:
    check(f"sas-bioequivalence_homogeneous-{kind}", bioequivalence("homogeneous"), ddf, PRINTED)


def test_bioequivalence_must_distinguish_kenward_roger_from_satterthwaite() -> None:
    # The adjusted standard errors differ from the plain ones by 3e-6 to 3e-5 only: ten times the tolerance above.
    both = [rows_of(f"sas-bioequivalence_homogeneous-{kind}")["std_error"] for kind in ("sas_kr", "sas_sw")]
    assert (both[0] / both[1] - 1).min() > 10 * PRINTED


def test_satterthwaite_of_an_ml_fit_must_be_that_of_sas() -> None:
    # Rival: REML, whose degrees of freedom of the intercept are 91.5 for 94.1.
    name = "sas-bioequivalence_homogeneous-sas_sw_ml"
    check(name, bioequivalence("homogeneous", reml=False), "satterthwaite", PRINTED)


@pytest.mark.parametrize(("kind", "ddf"), [("sw", "satterthwaite"), ("kr", OBSERVED)])
def test_f_tests_of_bioequivalence_must_be_those_of_sas(kind: str, ddf: Any) -> None:
    # Without interactions a test of type 3 is that of the term's coefficients. Rival of kr: sw, 3e-5 in F of period.
    fit = bioequivalence("homogeneous")
    for row in RECORDS[f"sas-bioequivalence_homogeneous-sas_tests3_{kind}"]["expected"]["rows"]:
        names = [name for name in fit.params.index if name.startswith(f"C({row['Effect']},")]
        test = fit.f_test([{name: 1.0} for name in names], ddf=ddf)
        assert test.df_num == row["NumDF"]
        assert test.df_denom == pytest.approx(row["DenDF"], rel=2e-7)
        assert test.statistic == pytest.approx(row["FValue"], rel=1e-6)
        assert test.p_value == pytest.approx(row["ProbF"], rel=1e-5)


def test_satterthwaite_must_be_that_of_sas_when_a_covariance_is_singular() -> None:
    # SAS stops at a Cholesky element of 3e-18 and leaves it out of the parameters, as we do.
    fit = bioequivalence("intermediate")
    assert fit.singular
    check("sas-bioequivalence_intermediate-sas_sw", fit, "satterthwaite", 5e-6)


def test_variances_must_be_those_of_sas_when_a_covariance_is_singular() -> None:
    rows = RECORDS["sas-bioequivalence_intermediate-sas_covparms"]["expected"]["rows"]
    expected = {row["CovParm"]: row["Estimate"] for row in rows}
    fit = bioequivalence("intermediate")
    cholesky = fit.theta.to_numpy() * fit.sigma
    assert np.abs(cholesky[:2]) == pytest.approx([expected["FA(1,1)"], expected["FA(2,1)"]], rel=5e-6)
    assert cholesky[2] == pytest.approx(0.0, abs=1e-6)
    assert fit.scale == pytest.approx(expected["Residual"], rel=5e-6)


def test_satterthwaite_must_not_depend_on_the_parametrisation() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    theirs = rows_of("sas-sleep_study_fa0-sas_sw")
    ours = fit.summary(ddf="satterthwaite").coefficients
    for column in ("estimate", "std_error", "df"):
        assert ours[column].to_numpy() == pytest.approx(theirs[column].to_numpy(), rel=1e-6)


def test_wald_interval_of_an_ml_fit_must_be_that_of_mixedmodels_jl() -> None:
    # Rival: REML, 238.029.
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit(reml=False)
    lower = RECORDS["mmjl-sleepstudy-wald-ci-ml"]["expected"]["lower"]
    assert fit.conf_int(ddf="normal").loc[["(Intercept)", "Days"], "lower"].to_numpy() == pytest.approx(
        lower, rel=1e-6
    )


def test_wald_interval_of_a_reml_fit_must_be_that_of_lme4() -> None:
    # Rivals: ML, 238.406; t quantiles of Satterthwaite, 237.007.
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    expected = RECORDS["lme4-sleepstudy-wald-ci"]["expected"]
    ours = fit.conf_int(ddf="normal").loc[["(Intercept)", "Days"]].to_numpy()
    assert ours == pytest.approx(np.array([expected["intercept"], expected["Days"]]), rel=1e-6)


def test_information_criteria_must_be_those_of_lme4() -> None:
    # Rivals: the number of random effects or of fixed effects as the count, 2 and more away; n - p for n in BIC, 0.07.
    expected = RECORDS["lme4-sleepstudy-aic"]["expected"]
    data = mf.load_dataset("sleepstudy")
    fits = [
        mf.lmm(f"Reaction ~ Days + {r}", data).fit(reml=False)
        for r in ("(Days | Subject)", "(Days || Subject)")
    ]
    assert [fit.aic for fit in fits] == pytest.approx(expected["aic"], abs=6e-3)
    assert [fit.bic for fit in fits] == pytest.approx(expected["bic"], abs=6e-3)


def type_three(fit: mf.MixedResults, term: str) -> Any:
    """Return the joint test of a term's coefficients: type 3, where every factor is coded to sum to zero."""
    wanted = frozenset(term.split(":"))
    rows = [i for i, name in enumerate(fit.params.index) if factors_in(name) == wanted]
    return fit.f_test(np.eye(len(fit.params))[rows], ddf="satterthwaite")


def factors_in(name: str) -> frozenset[str]:
    """Return the variables of a coefficient such as ``C(TVset, contr.sum)1:sens2``."""
    return frozenset(part.removeprefix("C(").split(",")[0] for part in name.split(":"))


def test_type_three_must_be_that_of_lmertests_paper() -> None:
    # Three crossed random terms. Rival: treatment contrasts, whose main effects test other hypotheses.
    case = RECORDS["lmertest-paper-8.2"]
    fit = mf.lmm(
        "Sharpnessofmovement ~ C(TVset, contr.sum) * C(Picture, contr.sum) + (1 | Assessor)"
        " + (1 | Assessor:TVset) + (1 | Assessor:Picture)",
        read(case["csv"]),
    ).fit()
    for row in case["expected"]["type3"]:
        test = type_three(fit, row["term"])
        assert test.df_num == row["df1"]
        assert test.df_denom == pytest.approx(row["df2"], rel=1e-4)
        assert test.statistic == pytest.approx(row["F"], rel=1e-4)
        assert test.p_value == pytest.approx(row["p"], rel=1e-3)


def test_terms_without_an_intercept_must_have_the_f_of_sas() -> None:
    # Rival: Homesize on one degree of freedom, as with an intercept.
    case = RECORDS["lmertest-carrots-noint"]
    with pytest.warns(mf.MissingRowsWarning):
        model = mf.lmm("Preference ~ 0 + sens2 + Homesize + (1 + sens2 | Consumer)", read(case["csv"]))
    fit = model.fit()
    expected = case["expected"]["F_type3"]
    assert fit.f_test("sens2").statistic == pytest.approx(expected[0], rel=2e-6)
    homes = fit.f_test("Homesize1, Homesize3")
    assert homes.df_num == 2
    assert homes.statistic == pytest.approx(expected[1], rel=2e-6)
