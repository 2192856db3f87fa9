"""Degrees of freedom, adjusted covariances, contrasts and likelihood-ratio tests against published results."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from published_cases import RECORDS, SLEEP, model_of, needs_published, table_of

import mixedfit as mf
from mixedfit.design.design import Design, build_design
from mixedfit.formula.parse import parse_formula
from mixedfit.inference.likelihood_ratio.smaller_models import not_nested


def rows_of(name: str) -> pd.DataFrame:
    """Return estimate, standard error and degrees of freedom as published."""
    found = pd.DataFrame(RECORDS[name]["expected"]["rows"])
    found.columns = [str(c).replace("coefficients.", "") for c in found.columns]
    rename = {"StdErr": "std_error", "Std Error": "std_error", "Std..Error": "std_error"}
    rename |= {"DF": "df", "DFDen": "df", "Estimate": "estimate"}
    found = found.rename(columns=rename)
    return found[["estimate", "std_error", "df"]].astype(float)


def studies(kind: str) -> list[str]:
    names = [f"{s}-{kind}" for s in [*SLEEP, "pastry_dough", "wind_tunnel"]]
    return [f"sas-{n}" for n in names if f"sas-{n}" in RECORDS]


def match(name: str, ddf: Any, relative: float) -> None:
    """Compare a published table with ours, coefficient by coefficient (matched by their estimates)."""
    formula, data = model_of(name)
    fit = mf.lmm(formula, data).fit()
    ours = fit.summary(ddf=ddf).coefficients
    theirs = rows_of(name)
    assert len(ours) == len(theirs)
    for _, row in theirs.iterrows():
        nearest = (ours["estimate"] - row["estimate"]).abs().idxmin()
        assert ours.loc[nearest, "estimate"] == pytest.approx(row["estimate"], rel=1e-5, abs=1e-8)
        assert ours.loc[nearest, "std_error"] == pytest.approx(row["std_error"], rel=relative)
        assert ours.loc[nearest, "df"] == pytest.approx(row["df"], rel=relative)


@needs_published
@pytest.mark.parametrize("name", studies("sas_sw"))
def test_satterthwaite_must_be_that_of_sas(name: str) -> None:
    match(name, "satterthwaite", 2e-5)


@needs_published
@pytest.mark.parametrize("name", studies("sas_kr"))
def test_kenward_roger_with_observed_information_must_be_that_of_sas(name: str) -> None:
    match(name, mf.KenwardRoger(information="observed"), 2e-5)


@needs_published
@pytest.mark.parametrize("name", studies("jmp"))
def test_kenward_roger_with_observed_information_must_be_that_of_jmp(name: str) -> None:
    match(name, mf.KenwardRoger(information="observed"), 5e-5)


@needs_published
@pytest.mark.parametrize("name", studies("lmertest"))
def test_kenward_roger_with_expected_information_must_be_that_of_lmertest(name: str) -> None:
    match(name, "kenward-roger", 5e-5)


@needs_published
@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("local-sleepstudy-unbalanced-satt-kr", "Reaction ~ Days + (Days | Subject)"),
        ("local-pastes-unbalanced-satt-kr", "strength ~ 1 + (1 | batch/cask)"),
    ],
)
def test_unbalanced_data_must_distinguish_kenward_roger_from_satterthwaite_and_from_no_adjustment(
    name: str, formula: str
) -> None:
    expected = RECORDS[name]["expected"]
    fit = mf.lmm(formula, table_of(name)).fit()
    for ddf, key in (("satterthwaite", "satterthwaite"), ("kenward-roger", "kenward_roger")):
        ours = fit.summary(ddf=ddf).coefficients
        assert ours["df"].to_numpy() == pytest.approx(expected[key]["df"], rel=5e-6)
        assert ours["std_error"].to_numpy() == pytest.approx(expected[key]["se"], rel=5e-6)
    gap = np.array(expected["kenward_roger"]["df"]) - expected["satterthwaite"]["df"]
    assert np.all(np.abs(gap) > 0.2)


@needs_published
def test_satterthwaite_must_be_that_of_lmertests_paper_with_a_crossed_factor() -> None:
    case = RECORDS["lmertest-paper-8.3"]
    data = table_of("lmertest-paper-8.3").dropna(subset=["Preference", "sens1", "sens2"])
    fit = mf.lmm("Preference ~ sens1 + sens2 + (1 + sens1 + sens2 | Consumer) + (1 | Product)", data).fit()
    ours = fit.summary(ddf="satterthwaite").coefficients
    for name, row in case["expected"]["coef"].items():
        assert ours.loc[name, "estimate"] == pytest.approx(row["est"], rel=1e-4)
        assert ours.loc[name, "std_error"] == pytest.approx(row["se"], rel=1e-4)
        assert ours.loc[name, "df"] == pytest.approx(row["df"], rel=1e-3)


@needs_published
def test_f_test_of_the_beets_must_be_the_exact_split_plot_test() -> None:
    data = table_of("pbkrtest-beets")
    data["harvest"] = data["harvest"].astype(str)
    fit = mf.lmm("sugpct ~ block + sow + harvest + (1 | block:harvest)", data).fit()
    name = next(n for n in fit.params.index if n.startswith("harvest"))
    test = fit.f_test(name, ddf="kenward-roger")
    assert (test.df_num, test.df_denom) == (1, pytest.approx(2.0, abs=1e-6))
    assert test.statistic == pytest.approx(15.21053, rel=1e-6)
    assert test.p_value == pytest.approx(0.05989785, rel=1e-5)


def test_balanced_one_way_data_must_give_the_exact_f_test() -> None:
    rng = np.random.default_rng(5)
    treatment = np.repeat(np.arange(3), 4)
    y = treatment + rng.normal(size=12)
    data = pd.DataFrame({"y": np.repeat(y, 5) + rng.normal(size=60)})
    data["t"] = np.repeat(treatment, 5).astype(str)
    data["g"] = np.repeat(np.arange(12), 5)
    fit = mf.lmm("y ~ t + (1 | g)", data).fit()
    means = data.groupby("g")["y"].mean().to_numpy()
    groups = [means[treatment == t] for t in range(3)]
    between = sum(len(g) * (g.mean() - means.mean()) ** 2 for g in groups) / 2
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / 9
    test = fit.f_test("t1, t2", ddf="kenward-roger")
    assert fit.singular is False
    assert test.statistic == pytest.approx(between / within, rel=1e-8)
    assert test.df_denom == pytest.approx(9.0, abs=1e-6)
    assert fit.f_test("t1, t2", ddf="satterthwaite").df_denom == pytest.approx(9.0, abs=1e-6)


def test_model_without_random_effects_must_have_the_residual_degrees_of_freedom() -> None:
    fit = mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy")).fit()
    for ddf in ("satterthwaite", "kenward-roger", "residual"):
        assert fit.t_test("Days", ddf=ddf).table["df"].tolist() == pytest.approx([178.0])


def test_hypotheses_must_be_readable_in_every_way() -> None:
    fit = mf.lmm("angle ~ recipe * temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
    row = np.zeros(6)
    row[[1, 2]] = 1, -1
    reference = fit.t_test(row[None]).table.iloc[0]
    for written in (
        "recipeB - recipeC",
        "recipeB = recipeC",
        {"recipeB": 1, "recipeC": -1},
        "-recipeC + recipeB",
    ):
        same = fit.t_test(written).table.iloc[0]
        assert same.to_numpy() == pytest.approx(reference.to_numpy())
    shifted = fit.t_test("recipeB - recipeC = 2").table.iloc[0]
    assert shifted["estimate"] == pytest.approx(reference["estimate"])
    assert shifted["statistic"] == pytest.approx((reference["estimate"] - 2) / reference["std_error"])
    interaction = fit.t_test("2 * recipeB:temp / 4").table.iloc[0]
    assert interaction["estimate"] == pytest.approx(fit.params["recipeB:temp"] / 2)


@pytest.mark.parametrize(
    "bad", ["recpeB", "temp * temp", "recipeB >", "temp +", "__import__('os')", "temp / 0"]
)
def test_hypothesis_that_is_not_linear_must_be_refused(bad: str) -> None:
    fit = mf.lmm("angle ~ recipe * temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
    with pytest.raises(mf.ModelError, match=r"not a linear equation|neither a term"):
        fit.t_test(bad)


def test_redundant_hypotheses_must_count_once() -> None:
    fit = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
    both = fit.f_test("recipeB, recipeC")
    assert fit.f_test("recipeB, recipeC, recipeB - recipeC").statistic == pytest.approx(both.statistic)
    assert fit.f_test("recipeB, recipeC, recipeB - recipeC").df_num == 2


def test_one_contrast_must_give_f_equal_to_t_squared() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    for ddf in ("satterthwaite", "kenward-roger", "residual", "normal"):
        t = fit.t_test("Days", ddf=ddf).table.iloc[0]
        f = fit.f_test("Days", ddf=ddf)
        assert f.statistic == pytest.approx(t["statistic"] ** 2)
        assert f.p_value == pytest.approx(t["p_value"], rel=1e-4)


def test_kenward_roger_must_be_refused_for_ml_and_for_too_many_crossed_effects() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit(reml=False)
    with pytest.raises(mf.ModelError, match="REML"):
        fit.summary(ddf="kenward-roger")
    rng = np.random.default_rng(0)
    n = 20_000
    data = pd.DataFrame({"a": rng.integers(0, 4500, n), "b": rng.integers(0, 20, n), "y": rng.normal(size=n)})
    data["y"] += rng.normal(size=4500)[data["a"]] + rng.normal(size=20)[data["b"]]
    crossed = mf.lmm("y ~ 1 + (1 | a) + (1 | b)", data).fit()
    with pytest.raises(mf.ModelError, match="satterthwaite"):
        crossed.summary(ddf="kenward-roger")
    assert 15 < crossed.t_test("(Intercept)", ddf="satterthwaite").table["df"].iloc[0] < 25


def test_kenward_roger_must_name_a_many_level_fixed_factor_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    data = mf.load_dataset("cake").assign(replicate=lambda d: d["replicate"].astype(str))
    fit = mf.lmm("angle ~ temp + replicate + (1 | recipe:replicate)", data).fit()
    monkeypatch.setattr("mixedfit.inference.ddf.Information", None)
    with pytest.raises(mf.ModelError, match=r"'replicate' has 15"):
        fit.t_test("temp", ddf="kenward-roger")


def test_likelihood_ratio_must_be_the_published_one() -> None:
    data = mf.load_dataset("Pastes")
    small = mf.lmm("strength ~ 1 + (1 | batch:cask)", data).fit(reml=False)
    large = mf.lmm("strength ~ 1 + (1 | batch:cask) + (1 | batch)", data).fit(reml=False)
    row = mf.anova(large, small).table.iloc[1]
    assert row["chisq"] == pytest.approx(0.4072, abs=5e-5)
    assert row["df"] == 1
    assert row["p_value"] == pytest.approx(0.5233767965780878, rel=1e-5)


def test_reml_fits_with_different_fixed_effects_must_be_refitted_and_say_so() -> None:
    data = mf.load_dataset("sleepstudy")
    null, model = (mf.lmm(f"Reaction ~ {f} + (Days | Subject)", data) for f in ("1", "Days"))
    table = mf.anova(null.fit(), model.fit(), refit=False)
    expected = null.fit(reml=False).deviance - model.fit(reml=False).deviance
    naive = null.fit().reml_criterion - model.fit().reml_criterion
    assert table.table["chisq"].iloc[1] == pytest.approx(expected, abs=1e-7)
    assert abs(expected - naive) > 1
    assert "refitted by maximum likelihood" in str(table)


def test_models_on_different_rows_responses_or_weights_must_not_be_compared() -> None:
    data = mf.load_dataset("sleepstudy")
    full = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    for formula, frame, options, says in (
        ("Reaction ~ 1 + (1 | Subject)", data[data["Days"] > 1], {}, "different rows"),
        ("log(Reaction) ~ 1 + (1 | Subject)", data, {}, "different responses"),
        ("Reaction ~ 1 + (1 | Subject)", data, {"weights": np.arange(1.0, 181.0)}, "different weights"),
    ):
        with pytest.raises(mf.ModelError, match=says):
            mf.anova(full, mf.lmm(formula, frame, **options).fit())
    with pytest.raises(mf.ModelError, match="at least two"):
        mf.anova(full)


def test_random_effects_must_be_dropped_in_turn_with_the_boundary_mixture() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    row = fit.ranova().table.loc["Days | Subject"]
    assert row["chisq"] == pytest.approx(42.8371, abs=1e-3)  # lmerTest 3.1-3, ranova(fm1): 42.837 on 2 df
    assert row["df"] == 2
    assert row["p_naive"] == pytest.approx(4.99e-10, rel=1e-3)
    one = 3.0 * row["p_value"]
    assert row["p_value"] < row["p_naive"] < one


def test_dropping_the_only_random_effect_must_leave_the_linear_model() -> None:
    fit = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).fit()
    null = mf.lmm("Yield ~ 1", mf.load_dataset("Dyestuff")).fit()
    row = fit.ranova().table.loc["(Intercept) | Batch"]
    assert row["chisq"] == pytest.approx(null.reml_criterion - fit.reml_criterion, abs=1e-9)
    assert row["p_value"] == pytest.approx(row["p_naive"] / 2)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_satterthwaite_must_not_depend_on_the_units_of_x(scale: float) -> None:
    data = mf.load_dataset("sleepstudy").iloc[:150]
    one = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    other = mf.lmm("Reaction ~ Days + (Days | Subject)", data.assign(Days=data["Days"] * scale)).fit()
    assert other.df.to_numpy() == pytest.approx(one.df.to_numpy(), rel=1e-6)
    same = [".sig01", ".sigma"]
    ours, theirs = one.vcov_varpar().loc[same, same], other.vcov_varpar().loc[same, same]
    assert theirs.to_numpy() == pytest.approx(ours.to_numpy(), rel=1e-6)


def machines(random: str) -> pd.DataFrame:
    return mf.lmm(f"score ~ Machine + {random}", mf.load_dataset("Machines")).fit().ranova().table


@pytest.mark.parametrize("random", ["(Machine | Worker)", "(0 + Machine | Worker)"])
def test_factor_left_of_the_bar_must_be_dropped_whole(random: str) -> None:
    table = machines(random)
    assert list(table.index) == ["<none>", "Machine | Worker"]
    row = table.loc["Machine | Worker"]
    assert row["chisq"] == pytest.approx(78.56698256, abs=1e-5)  # lmerTest 3.1-3, by REML, for both formulas
    assert row["df"] == 5  # by its indicators it would be 3, twice
    assert row["p_naive"] == pytest.approx(1.673210e-15, rel=1e-4)
    assert row["p_value"] == row["p_naive"]


def test_polynomial_and_interaction_left_of_the_bar_must_be_dropped_whole() -> None:
    data = mf.load_dataset("sleepstudy").assign(f=lambda d: np.where(d["Days"] > 4, "late", "early"))
    table = mf.lmm("Reaction ~ Days + (poly(Days, 2) | Subject)", data).fit().ranova().table
    row = table.loc["poly(Days, 2) | Subject"]
    assert len(table) == 2
    assert (row["chisq"], row["df"]) == pytest.approx((56.45739916, 5), abs=1e-5)  # lmerTest 3.1-3
    table = mf.lmm("Reaction ~ Days + (0 + f + Days | Subject)", data).fit().ranova().table
    assert table["chisq"].tolist()[1:] == pytest.approx([25.524528, 8.703014], abs=1e-4)  # lmerTest 3.1-3
    assert table["df"].tolist()[1:] == [5, 3]
    assert list(mf.lmm("Reaction ~ Days + (f * Days | Subject)", data).fit().ranova().table.index) == [
        "<none>",
        "flate:Days | Subject",
    ]  # lmerTest: f:Days only, since it contains the others


def test_ranova_must_know_the_terms_of_a_saved_fit(tmp_path: Any) -> None:
    fit = mf.lmm("score ~ Machine + (Machine | Worker)", mf.load_dataset("Machines")).fit()
    fit.save(tmp_path / "fit")
    again = mf.load(tmp_path / "fit").ranova()
    assert list(again.table.index) == ["<none>", "Machine | Worker"]
    assert "several variances are dropped at once" in str(again)
    assert max(map(len, str(again).splitlines())) <= 90


def design_of(formula: str, data: pd.DataFrame) -> Design:
    return build_design(parse_formula(formula), data)


@pytest.mark.parametrize(
    ("smaller", "larger", "lacks"),
    [
        ("score ~ 1 + (1 | Worker)", "score ~ Machine + (1 | Worker)", ""),
        ("score ~ 0 + (1 | Worker)", "score ~ x + (1 | Worker)", ""),
        ("score ~ 1 + (1 | Worker)", "score ~ 0 + (1 | Worker)", "fixed effects"),
        ("score ~ Machine + (1 | Worker)", "score ~ 0 + Machine + (0 + Machine | Worker)", ""),
        ("score ~ Machine + (1 | Worker/Machine)", "score ~ Machine + (Machine | Worker)", ""),
        ("score ~ Machine + (x || Worker)", "score ~ Machine + (x | Worker)", ""),
        ("score ~ 1 + (1 | Worker)", "score ~ 1 + (1 | Worker) + (1 | Machine:Worker)", ""),
        ("score ~ x + (1 | Worker)", "score ~ Machine + (1 | Worker)", "fixed effects"),
        ("score ~ x + (1 | Worker)", "score ~ poly(x, 2) + (1 | Worker)", ""),
        ("score ~ 1 + (1 | Worker)", "score ~ Machine + (1 | Machine:Worker)", "random effects of Worker"),
        ("score ~ 1 + (x | Worker)", "score ~ Machine + (x || Worker)", "random effects of Worker"),
        ("score ~ 1 + (1 | Machine:Worker)", "score ~ 1 + (x | Worker)", "random effects of Machine:Worker"),
        ("score ~ 1 + (1 | Machine)", "score ~ Worker", "random effects of Machine"),
    ],
)
def test_models_that_are_not_nested_must_be_detected(smaller: str, larger: str, lacks: str) -> None:
    data = mf.load_dataset("Machines")
    data["x"] = np.random.default_rng(1).normal(size=len(data))
    one, other = (design_of(formula, data) for formula in (smaller, larger))
    assert not_nested(one, other) == lacks


def test_models_that_are_not_nested_must_have_no_p_value_and_a_note() -> None:
    data = mf.load_dataset("cake")
    one = mf.lmm("angle ~ temp + (1 | recipe:replicate)", data).fit(reml=False)
    other = mf.lmm("angle ~ recipe + (1 | recipe:replicate)", data).fit(reml=False)
    table = mf.anova(one, other)
    assert np.isnan(table.table["p_value"]).all()
    assert table.table["df"].iloc[1] == 1
    assert "Not nested" in str(table)
    assert "lacks fixed effects" in " ".join(str(table).split())


def test_many_level_factor_must_count_among_the_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    data = mf.load_dataset("cake").assign(
        replicate=lambda d: d["replicate"].astype(str), one=lambda d: (d["replicate"] == "1") * 1.0
    )
    small = design_of("angle ~ one + (1 | recipe:replicate)", data)
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    many = design_of("angle ~ replicate + temp + (1 | recipe:replicate)", data)
    assert many.many
    assert not not_nested(small, many)
    assert not_nested(many, small) == "fixed effects"


def test_printed_columns_must_have_common_decimals() -> None:
    data = mf.load_dataset("sleepstudy")
    fits = [
        mf.lmm(f"Reaction ~ Days + ({r} | Subject)", data).fit() for r in ("1", "Days", "Days + I(Days**2)")
    ]
    for table in (mf.anova(*fits), fits[1].ranova()):
        lines = str(table).splitlines()[1 : len(table.table) + 1]
        numbers = [re.findall(r" (-?\d+\.\d+)", line.split(")", 1)[-1]) for line in lines]
        for column in zip(*(row for row in numbers if len(row) == max(map(len, numbers))), strict=True):
            assert len({len(text.split(".")[1]) for text in column}) == 1
    assert "42.139  2 7.07e-10" in str(mf.anova(*fits[:2]))
    printed = str(fits[1].bootstrap(20, seed=1)).splitlines()
    rows = [line for line in printed if line.startswith((".sig", "(Int", "Days"))]
    assert len(rows) == 6
    assert {len(text.split(".")[1]) for row in rows for text in re.findall(r"-?\d+\.\d+", row[12:])} == {3}
