"""Sentences for a paper: their numbers are those of the tables after rounding."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


@lru_cache
def sleep() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()


@lru_cache
def cake() -> mf.MixedResults:
    return mf.lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()


@lru_cache
def logs() -> mf.MixedResults:
    return mf.lmm("log(angle) ~ recipe * temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()


NUMBER = r"(−?\d*\.?\d+)"


def read(text: str, pattern: str) -> list[tuple[float, int]]:
    """Return the numbers of a pattern, in which # stands for a number, with their decimals."""
    found = re.search(re.escape(pattern).replace(r"\#", NUMBER), text)
    assert found, (pattern, text)
    texts = [group.replace("−", "-") for group in found.groups()]
    return [(float(text), len(text.partition(".")[2])) for text in texts]


def assert_rounded(text: str, pattern: str, *values: float) -> None:
    """Assert that the numbers of a sentence are these values, rounded to as many decimals as are written."""
    shown = read(text, pattern)
    assert len(shown) == len(values)
    for (number, decimals), value in zip(shown, values, strict=True):
        assert abs(number - value) <= 0.5 * 10.0**-decimals * (1 + 1e-9), (pattern, value, text)
        assert decimals >= 2 or number == round(value, 10)


def assert_row(text: str, row: Any) -> None:
    """Assert that a sentence in APA style has the numbers of a row."""
    assert_rounded(text, "SE = #, 95% CI [#, #]", row["std_error"], row["lower"], row["upper"])
    if "p_value" in row:
        assert_rounded(text, "t(#) = #", row["df"], row["statistic"])
        assert_p(text, row["p_value"])


def assert_p(text: str, p: float) -> None:
    if p < 0.001 or p > 0.9995:
        assert ("p < .001" if p < 0.5 else "p > .999") in text
    else:
        assert f"p = {p:.3f}".replace("0.", ".") in text


TABLES: dict[str, Any] = {
    "t tests": lambda: cake().t_test(["recipeB", "recipeB - recipeC", "recipeC = 2"]),
    "Kenward-Roger": lambda: sleep().t_test("Days = 10", ddf="kenward-roger"),
    "means": lambda: cake().emmeans("~ temperature | recipe"),
    "pairs": lambda: cake().emmeans("recipe").contrasts(),
    "pairs within": lambda: cake().emmeans("recipe", by="temperature").contrasts("trt.vs.ctrl"),
    "polynomials": lambda: cake().emmeans("temperature").contrasts("poly"),
    "slopes": lambda: logs().emtrends("recipe", "temp"),
    "differences of slopes": lambda: logs().emtrends("recipe", "temp").contrasts("revpairwise"),
    "ratios": lambda: logs().emmeans("recipe", type="response").contrasts(),
    "medians": lambda: logs().emmeans("recipe", type="response"),
    "effect sizes": lambda: cake().emmeans("recipe").effect_sizes(),
}


@pytest.mark.everyday(5)
@pytest.mark.parametrize("name", TABLES)
def test_numbers_must_be_those_of_the_table(name: str) -> None:
    table = TABLES[name]()
    sentences = cake().sentence(table).split("\n")
    assert len(sentences) == len(table.table)
    for text, (_, row) in zip(sentences, table.table.iterrows(), strict=True):
        assert_row(text, row)
        assert_rounded(
            text, " #, SE" if "= " not in text.split(", SE")[0][-9:] else "= #, SE", row["estimate"]
        )
        assert text.endswith(").")


@pytest.mark.parametrize("name", ["t tests", "pairs", "polynomials"])
def test_plain_numbers_must_be_those_of_the_table(name: str) -> None:
    table = TABLES[name]()
    for text, (_, row) in zip(
        cake().sentence(table, style="plain").split("\n"), table.table.iterrows(), strict=True
    ):
        pattern = "a standard error of # and a 95% confidence interval from # to #; its test gives t = # on #"
        assert_rounded(text, pattern, *row[["std_error", "lower", "upper", "statistic", "df"]])


@pytest.mark.parametrize("type", [1, 3])
def test_terms_must_have_f_p_and_partial_eta_squared_of_the_table(type: Any) -> None:
    table = cake().anova(type=type)
    sizes = table.effect_sizes()["partial_eta_sq"]
    for name, row in table.table.iterrows():
        text = cake().sentence(table, name)
        values = (row["df_num"], row["df_denom"], row["statistic"])
        assert_rounded(text, "F(#, #) = #", *values)
        assert_rounded(text, "partial η² = #", sizes[name])
        assert_p(text, row["p_value"])
        assert f"(type {'I' * type} test; Satterthwaite's degrees of freedom)" in text
        plain = cake().sentence(table, name, style="plain")
        assert_rounded(plain, "F = # on # and # degrees", row["statistic"], row["df_num"], row["df_denom"])


def test_term_must_be_tested_by_its_type_iii_test() -> None:
    """The rival, the joint test of the coefficients of a factor with interactions, depends on the coding."""
    assert cake().sentence("recipe") == cake().sentence(cake().anova(), "recipe")
    rival = cake().f_test("recipe")
    assert f"{rival.statistic:.2f}" not in cake().sentence("recipe")
    assert cake().sentence("temperature:recipe") == cake().sentence(cake().anova(), "recipe:temperature")
    kr = cake().sentence("recipe", ddf="kenward-roger")
    assert "Kenward–Roger degrees of freedom, expected information" in kr


def test_joint_tests_must_name_the_cell() -> None:
    table = cake().joint_tests(by="recipe")
    texts = cake().sentence(table, "temperature").split("\n")
    assert len(texts) == 3
    for text, (_, row) in zip(texts, table.table.iterrows(), strict=True):
        assert f"temperature at recipe = {row['recipe']} gave" in text
        assert_rounded(text, "F(#, #) = #", row["df_num"], row["df_denom"], row["statistic"])


def test_coefficient_must_be_written_in_apa_style() -> None:
    assert sleep().sentence("Days") == (
        "The coefficient of Days was b = 10.47, SE = 1.55, 95% CI [7.21, 13.73], t(17) = 6.77, p < .001 "
        "(Satterthwaite's degrees of freedom)."
    )
    wide = sleep().sentence("Days", level=0.9, ddf="normal")
    row = sleep().t_test("Days", level=0.9, ddf="normal").table.iloc[0]
    assert_rounded(wide, "90% CI [#, #], z = #", row["lower"], row["upper"], row["statistic"])
    assert "normal approximation" in wide


def test_hypothesis_must_have_the_test_of_its_right_side() -> None:
    """t of Days = 10 is 0.30; the rival tests 0."""
    text = sleep().sentence("Days = 10")
    assert text.startswith("For the hypothesis Days = 10, the estimate was 10.47, ")
    assert "t(17) = 0.30, p = .766" in text


def test_differences_of_means_must_have_the_d_of_effect_sizes() -> None:
    means = cake().emmeans("recipe")
    sizes = means.effect_sizes().table["estimate"]
    for at, size in enumerate(sizes):
        text = cake().sentence(means.contrasts(), at)
        assert_rounded(text, "d = #", size)
        assert "d is the difference over the total standard deviation" in text
    assert "d = " not in cake().sentence(cake().emmeans("temperature").contrasts("poly"))
    assert "d = " not in logs().sentence(TABLES["ratios"]())
    assert "d = " not in logs().sentence(TABLES["differences of slopes"]())


def test_rows_must_be_counted_from_the_end_when_their_number_is_negative() -> None:
    contrasts = cake().emmeans("recipe").contrasts()
    assert cake().sentence(contrasts, -1) == cake().sentence(contrasts, "B - C")
    assert cake().sentence(contrasts, 1) == cake().sentence(contrasts, "A - C")
    with pytest.raises(mf.ModelError, match="not a row of the table"):
        cake().sentence(contrasts, 3)


def test_adjustment_must_be_said() -> None:
    means = cake().emmeans("recipe")
    text = cake().sentence(means.contrasts(), "A - B")
    assert "p and interval adjusted by Tukey's method for all pairs of 3 means" in text
    assert "p adjusted by Holm's method for 3 tests; intervals: Bonferroni's" in cake().sentence(
        means.contrasts(adjust="holm")
    )
    assert "adjusted" not in cake().sentence(means.contrasts(adjust="none"))


def test_p_values_must_have_no_zero_before_the_point_nor_be_one() -> None:
    from mixedfit.reporting.sentence import _apa_p

    shown = [_apa_p(p) for p in (0.0, 0.00099, 0.001, 0.0496, 0.9994, 0.99951, 1.0, np.nan)]
    assert shown == [
        "p < .001", "p < .001", "p = .001", "p = .050", "p = .999", "p > .999", "p > .999", "p not known"
    ]  # fmt: skip


def test_model_must_be_described_with_its_shares_of_variance() -> None:
    text = sleep().sentence()
    r = sleep().diagnostics.r_squared()["estimate"]
    assert_rounded(text, "marginal R² = #, conditional R² = #", r["marginal"], r["conditional"])
    assert text.startswith(
        "A linear mixed model of Reaction with a fixed effect of Days and random intercepts and effects of Days for "
        "Subject (18 levels) was fitted by restricted maximum likelihood (REML) to 180 observations; "
    )
    assert "marginal R² = 0." in sleep().sentence(style="plain")
    flat = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit(reml=False)
    assert "no fixed effects but the intercept" in flat.sentence()
    assert "by maximum likelihood to 30 observations; the fit is singular in Batch" in flat.sentence()
    data = mf.load_dataset("sleepstudy")
    series = mf.lmm("Reaction ~ Days", data, residual=mf.residuals.AR1("Days", "Subject")).fit()
    assert series.sentence().startswith(
        "A linear model of Reaction with a fixed effect of Days, with correlated residuals,"
    )
    assert (
        "residuals within a level of Subject had a first-order autoregressive correlation over Days"
        in series.sentence()
    )
    by_day = mf.residuals.VarIdent("Days")
    unequal = mf.lmm("Reaction ~ Days + (1 | Subject)", data, residual=by_day).fit().sentence()
    assert unequal.startswith("A linear mixed model of Reaction")
    assert "(18 levels), with unequal residual variances, was fitted" in unequal
    assert "the residual SD differed between levels of Days" in unequal
    known = {"Subject": mf.Known(np.eye(18), sorted(data["Subject"].unique()))}
    related = mf.lmm("Reaction ~ Days + (1 | Subject)", data, known=known).fit().sentence()
    assert "different levels of Subject were correlated by known relationships" in related
    streamed = mf.lmm("Reaction ~ Days + (1 | Subject)", [data[:100], data[100:]]).fit()
    assert streamed.sentence().endswith("to 180 observations.")


def test_what_is_not_estimable_must_be_said() -> None:
    data = mf.load_dataset("cake")
    few = data[~((data["recipe"] == "B") & (data["temperature"] == "205"))]
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("angle ~ recipe * temperature + (1 | recipe:replicate)", few).fit()
    texts = fit.sentence(fit.emmeans("recipe")).split("\n")
    assert texts[1] == "The estimated marginal mean for recipe = B is not estimable from these data."


def test_quotes_of_formulas_must_be_left_out() -> None:
    data = mf.load_dataset("sleepstudy").rename(columns={"Days": "days awake"})
    fit = mf.lmm("Reaction ~ `days awake` + (1 | Subject)", data).fit()
    assert fit.sentence("`days awake`").startswith("The coefficient of days awake was b = 10.47")
    assert "a fixed effect of days awake" in fit.sentence()


def test_small_numbers_must_keep_their_digits() -> None:
    data = mf.load_dataset("sleepstudy").assign(Reaction=lambda d: d["Reaction"] / 1e7)
    text = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit().sentence("Days")
    assert "b = 1.05e−06, SE = 8.04e−08" in text


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: sleep().sentence("Day"), "Days"),
        (lambda: sleep().sentence("Days", style="APA"), "style"),
        (lambda: cake().sentence(cake().anova(), "recip"), "'recip' is not a row .*Did you mean 'recipe'"),
        (lambda: cake().sentence(cake().anova(), 7), "7 is not a row"),
        (lambda: cake().sentence(cake().anova(), ddf="normal"), "those of the table"),
        (lambda: cake().sentence("recipe", 1), "chooses a row of a table"),
        (lambda: sleep().sentence("Days", level=95), "level"),
        (lambda: sleep().sentence(pd.DataFrame({"no": [1]})), "no"),
    ],
)
def test_wrong_queries_must_be_refused_in_words(ask: Any, message: str) -> None:
    with pytest.raises(mf.ModelError, match=message):
        ask()


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        (
            "angle ~ recipe * temp",
            ["(Intercept)", "recipe B", "recipe C", "temp", "recipe B × temp", "recipe C × temp"],
        ),
        ("angle ~ 0 + `the recipe`", ["the recipe A", "the recipe B", "the recipe C"]),
        ("angle ~ poly(temp, 2)", ["(Intercept)", "poly(temp, 2) 1", "poly(temp, 2) 2"]),
        ("angle ~ C(temp > 200) : log(temp)", None),
        ("angle ~ I(temp**2) + np.log(temp)", ["(Intercept)", "I(temp ** 2)", "np.log(temp)"]),
    ],
)
def test_names_of_coefficients_must_have_factor_and_level_apart(
    formula: str, names: list[str] | None
) -> None:
    from mixedfit.estimation.labels import readable_names

    data = mf.load_dataset("cake").assign(**{"the recipe": lambda d: d["recipe"]})
    fit = mf.lmm(f"{formula} + (1 | recipe:replicate)", data).fit()
    found = readable_names(fit._fit)
    assert len(found) == len(fit.params)
    assert len(set(found)) == len(found)
    assert names is None or found == names


def test_comparison_of_models_and_dropped_effects_must_have_sentences() -> None:
    oats = mf.load_dataset("Oats")
    small = mf.lmm("yield ~ nitro + (1 | Block)", oats).fit(reml=False)
    large = mf.lmm("yield ~ nitro * Variety + (1 | Block)", oats).fit(reml=False)
    table = mf.anova(small, large)
    chisq, p = table.table["chisq"].iloc[1], table.table["p_value"].iloc[1]
    said = large.sentence(table)
    assert f"gave χ²(4) = {chisq:.2f}, p = {f'{p:.3f}'[1:]}." in said
    assert "yield ~ nitro + (1 | Block) against yield ~ nitro * Variety + (1 | Block)" in said
    assert "χ² = 8.28 on 4 degrees of freedom" in large.sentence(table, style="plain")
    dropped = large.sentence(large.ranova(), labels={"Block": "Field"})
    assert dropped.startswith("The likelihood-ratio test of (Intercept) | Field gave χ²(1) = 31.79, p < .001")
    with pytest.raises(mf.ModelError, match="no likelihood-ratio test"):
        large.sentence(table, 0)


def test_contrast_of_one_group_must_be_chosen_by_its_whole_name() -> None:
    fit = mf.lmm("yield ~ nitro * Variety + (1 | Block)", mf.load_dataset("Oats")).fit()
    contrasts = fit.emmeans("Variety", by="nitro", at={"nitro": [0, 0.2]}).contrasts("pairwise")
    both = fit.sentence(contrasts, "Golden Rain - Victory").split("\n")
    assert len(both) == 2
    assert fit.sentence(contrasts, "Golden Rain − Victory at nitro = 0.2") == both[1]
    with pytest.raises(mf.ModelError, match=r"Golden Rain - Victory at nitro = 0\.2"):
        fit.sentence(contrasts, "Golden Rain - Victory at nitro = 3")
