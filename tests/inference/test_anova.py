"""F tests by term against lmerTest (stored output), SAS and published tables; invariances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from published import FOLDER
from published_cases import RECORDS, needs_published, numbers, published_fit
from r_reference import data_of, fitted, formula_of, records

import mixedfit as mf

STORED = records()["anova"]
IDS = [f"{formula_of(r)}-{r['data']}" for r in STORED]
COLUMNS = ["sum_sq", "mean_sq", "df_num", "df_denom", "statistic", "p_value"]

pytestmark = pytest.mark.filterwarnings("ignore::mixedfit.RankWarning")


@pytest.mark.everyday(4)
@pytest.mark.parametrize("record", STORED, ids=IDS)
def test_f_tests_must_be_those_of_lmertest(record: dict[str, Any]) -> None:
    fit = fitted(formula_of(record), record["data"])
    for test in record["tests"]:
        ours = fit.anova(type=test["type"], ddf=test["ddf"]).table
        if record["contrasts"] and test["type"] == 2:  # lmerTest's df depend on contrasts, ours do not
            test = under_treatment_contrasts(record, test)
        for column in COLUMNS:
            # lmerTest differentiates numerically for Satterthwaite's method
            assert ours[column].to_numpy() == pytest.approx(numbers(test[column]), rel=2e-5, abs=1e-14), (
                column
            )


def under_treatment_contrasts(record: dict[str, Any], test: dict[str, Any]) -> dict[str, Any]:
    """Return lmerTest's test of the same model in R's default coding."""
    plain = next(
        r
        for r in STORED
        if not r["contrasts"] and (r["formula"], r["data"]) == (record["formula"], record["data"])
    )
    return next(t for t in plain["tests"] if (t["type"], t["ddf"]) == (test["type"], test["ddf"]))


def test_types_and_methods_must_differ_where_the_reference_says_so() -> None:
    record = next(r for r in STORED if r["data"] == "uneven" and "* temperature" in r["formula"])
    fit = fitted(formula_of(record), "uneven")
    f = {kind: fit.anova(type=kind).table.loc["recipe", "statistic"] for kind in (1, 2, 3)}
    assert min(abs(f[1] - f[2]), abs(f[2] - f[3]), abs(f[1] - f[3])) > 1e-3
    satterthwaite, kr = (fit.anova(ddf=d).table["df_denom"] for d in ("satterthwaite", "kenward-roger"))
    assert (satterthwaite - kr).abs().min() > 1e-3


@pytest.mark.parametrize("type_", [1, 2, 3])
def test_f_must_not_depend_on_contrasts(type_: Any) -> None:
    formula = "angle ~ {} * {} + (1 | recipe:replicate)"
    plain = fitted(formula.format("recipe", "temperature"), "last").anova(type=type_, ddf="residual").table
    for coded in (
        ("C(recipe, contr.sum)", "C(temperature, contr.helmert)"),
        ("C(recipe, contr.SAS)", "C(temperature, contr.poly)"),
        ("C(recipe, contr.treatment(base='B'))", "temperature"),
    ):
        other = fitted(formula.format(*coded), "last").anova(type=type_, ddf="residual").table
        assert other["statistic"].to_numpy() == pytest.approx(plain["statistic"].to_numpy(), rel=1e-6)


def test_type_3_of_a_nested_factor_must_compare_equally_weighted_means() -> None:
    nested = fitted("angle ~ recipe + recipe:temperature + (1 | recipe:replicate)", "uneven")
    crossed = fitted("angle ~ recipe * temperature + (1 | recipe:replicate)", "uneven")
    one, other = (fit.anova().table.loc["recipe"] for fit in (nested, crossed))
    assert one.to_numpy() == pytest.approx(other.to_numpy(), rel=1e-6)
    assert abs(nested.anova(type=1).table.loc["recipe", "statistic"] - one["statistic"]) > 0.01


def test_type_3_must_be_the_f_test_of_equally_weighted_means_over_cells() -> None:
    fit = fitted("angle ~ recipe * temperature + (1 | recipe:replicate)", "uneven")
    recipe = np.zeros((2, 18))
    names = list(fit.params.index)
    for row, level in enumerate("BC"):
        recipe[row, names.index(f"recipe{level}")] = 1
        for other in (185, 195, 205, 215, 225):
            recipe[row, names.index(f"recipe{level}:temperature{other}")] = 1 / 6
    test = fit.f_test(recipe)
    assert fit.anova().table.loc["recipe", "statistic"] == pytest.approx(test.statistic, rel=1e-8)


def test_saved_fit_must_give_the_same_table(tmp_path: Any) -> None:
    fit = fitted("angle ~ recipe * temperature + (1 | recipe:replicate)", "uneven")
    fit.save(tmp_path / "fit.npz")
    pd.testing.assert_frame_equal(mf.load(tmp_path / "fit.npz").anova().table, fit.anova().table, rtol=1e-9)


def test_many_level_factor_must_be_one_term_of_type_3(monkeypatch: pytest.MonkeyPatch) -> None:
    formula = "angle ~ temp * recipe + replicate + (1 | recipe:replicate)"
    dense = mf.lmm(formula, data_of("cake")).fit().anova(ddf="residual").table
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    fit = mf.lmm(formula, data_of("cake")).fit()
    sparse = fit.anova(ddf="residual").table
    assert fit._fit.design.many
    for term in dense.index:
        assert sparse.loc[term, "statistic"] == pytest.approx(dense.loc[term, "statistic"], rel=1e-6)
    with pytest.raises(mf.ModelError, match="type=3"):
        fit.anova(type=1)


def test_rows_of_weight_0_must_not_count() -> None:
    data = data_of("uneven")
    weights = np.where(np.arange(len(data)) % 5 == 0, 0.0, 1.0)
    formula = "angle ~ recipe * temperature + (1 | recipe:replicate)"
    for kind in (1, 2, 3):
        weighted = mf.lmm(formula, data, weights=weights).fit().anova(type=kind).table
        shorter = mf.lmm(formula, data[weights > 0]).fit().anova(type=kind).table
        assert weighted["statistic"].to_numpy() == pytest.approx(shorter["statistic"].to_numpy(), rel=1e-5)


def test_table_must_print_as_lmertest_prints_it() -> None:
    fit = fitted("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake")
    assert str(fit.anova()).splitlines() == [
        "Type III Analysis of Variance Table with Satterthwaite's method",
        "                    Sum Sq Mean Sq NumDF DenDF F value Pr(>F)",
        "recipe               10.19    5.09     2    42   0.249 0.7809",
        "temperature        2100.30  420.06     5   210  20.520 <2e-16",
        "recipe:temperature  205.98   20.60    10   210   1.006 0.4393",
    ]
    empty = mf.lmm("angle ~ 1 + (1 | recipe)", data_of("cake")).fit().anova()
    assert "no terms" in str(empty)
    holes = fitted("angle ~ recipe * temperature + (1 | recipe:replicate)", "holes").anova()
    assert "with care" in str(holes)


def test_unknown_type_or_method_must_be_refused() -> None:
    fit = fitted("angle ~ recipe * temperature + (1 | recipe:replicate)", "cake")
    with pytest.raises(mf.ModelError, match="expected 1, 2 or 3"):
        fit.anova(type=4)  # type: ignore[arg-type]
    with pytest.raises(mf.ModelError, match="satterthwaite"):
        fit.anova(ddf="kenward-rogers")  # type: ignore[arg-type]


# -- published ---------------------------------------------------------------------------------------


@needs_published
@pytest.mark.parametrize("kind", ["kr", "sw"])
def test_type_3_tests_must_be_those_of_sas(kind: str) -> None:
    name = f"sas-bioequivalence_homogeneous-sas_tests3_{kind}"
    data = pd.read_csv(FOLDER / RECORDS[name]["csv"])
    for column in ("sequence", "period", "formulation", "subject"):
        data[column] = data[column].astype(str)
    fit = mf.lmm(RECORDS[name]["formula"].replace("|", " | "), data).fit()
    observed = mf.KenwardRoger(information="observed")
    ours, rival = (
        fit.anova(ddf=d).table
        for d in ((observed, "satterthwaite") if kind == "kr" else ("satterthwaite", observed))
    )
    for row in RECORDS[name]["expected"]["rows"]:
        got = ours.loc[row["Effect"]]
        assert got["df_num"] == row["NumDF"]
        assert got["statistic"] == pytest.approx(row["FValue"], rel=2e-6)
        assert got["df_denom"] == pytest.approx(row["DenDF"], rel=2e-6)
        assert got["p_value"] == pytest.approx(row["ProbF"], rel=2e-5)
    assert abs(ours.loc["period", "statistic"] / rival.loc["period", "statistic"] - 1) > 2e-5


@pytest.mark.everyday(2)
@needs_published
@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("lmertest-carrots-anova2", {2: 3}),
        ("lmertest-carrots-noint", {1: 3, 3: 1}),
        ("lmertest-ham-anova2", {2: 1}),
        ("lmertest-carrots-type23", {2: 3, 3: 2}),
        ("lmertest-glm101", {2: 3}),
    ],
)
def test_f_tests_must_be_those_of_sas_and_of_no_other_type(name: str, types: dict[Any, Any]) -> None:
    record = RECORDS[name]
    fit = published_fit(name)
    for own, rival in types.items():
        expected = np.array(record["expected"][f"F_type{own}"])
        ours = fit.anova(type=own).table["statistic"].to_numpy()
        assert ours == pytest.approx(expected, rel=7e-5, abs=1e-5)  # SAS stopped 6e-5 short in one of them
        other = fit.anova(type=rival).table["statistic"].to_numpy()
        assert np.abs(other / expected - 1).max() > 7e-4


@needs_published
def test_p_values_of_carrots_must_be_those_of_sas() -> None:
    record = RECORDS["lmertest-carrots-anova3"]
    ours = published_fit("lmertest-carrots-anova3").anova().table
    assert ours["p_value"].to_numpy() == pytest.approx(np.array(record["expected"]["p_type3"]), abs=1.1e-5)
    first = published_fit("lmertest-carrots-anova3").anova(type=1).table["p_value"]
    assert np.abs(first.to_numpy() - record["expected"]["p_type3"]).max() > 0.01


@needs_published
def test_television_sets_must_have_the_tests_of_lmertests_paper() -> None:
    record = RECORDS["lmertest-paper-8.2"]
    for ddf in ("satterthwaite", "kenward-roger"):
        ours = published_fit("lmertest-paper-8.2").anova(ddf=ddf).table  # type: ignore[arg-type]
        for row in record["expected"]["type3"]:
            got = ours.loc[row["term"]]
            assert got["statistic"] == pytest.approx(row["F"], rel=1e-4)
            assert got["df_denom"] == pytest.approx(row["df2"], rel=1e-4)
            assert got["sum_sq"] == pytest.approx(row["ss"], rel=1e-4)
            assert got["p_value"] == pytest.approx(row["p"], rel=1e-3)
