"""Formulas as R users write them: read alike, or refused with what to write instead."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf


@pytest.fixture(scope="module")
def oats() -> pd.DataFrame:
    return mf.load_dataset("Oats")


def test_fixed_factor_of_fractions_must_not_warn(oats: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mf.lmm("yield ~ Variety*C(nitro) + C(nitro) + (1|Block/Variety)", oats)
    with pytest.warns(mf.GroupingWarning, match="'nitro' holds fractional"):
        mf.lmm("yield ~ Variety + (1|nitro)", oats)


@pytest.mark.everyday(6)
@pytest.mark.parametrize(
    "formula",
    [
        "log({}) ~ Variety + (1|Block)",
        "1000/{} ~ Variety + (1|Block)",
        "nitro ~ log({}) * Variety + I({}^2) + (0 + log({}) | Block)",
        "nitro ~ Variety + offset(0.01 * {}) + (1|Block)",
    ],
)
@pytest.mark.parametrize("keyword", ["yield", "lambda", "class"])
def test_column_named_by_a_keyword_must_work_inside_calls(
    oats: pd.DataFrame, formula: str, keyword: str
) -> None:
    expected = mf.lmm(formula.replace("{}", "outcome"), oats.rename(columns={"yield": "outcome"})).fit()
    data = oats.rename(columns={"yield": keyword})
    fit = mf.lmm(formula.replace("{}", keyword), data).fit()
    assert fit.reml_criterion == pytest.approx(expected.reml_criterion, abs=1e-9)
    assert list(fit.params.index) == [n.replace("outcome", keyword) for n in expected.params.index]
    assert fit.predict(data.head(5)).to_numpy() == pytest.approx(expected.fittedvalues[:5].to_numpy())
    assert list(fit.anova(type=1).table.index) == [
        n.replace("outcome", keyword) for n in expected.anova(type=1).table.index
    ]


def test_random_term_of_a_keyword_must_be_found_by_its_name(oats: pd.DataFrame) -> None:
    fit = mf.lmm("nitro ~ log(yield) + (0 + log(yield) | Block)", oats).fit()
    some = fit.predict(oats, re_form="~ (0 + log(yield) | Block)")
    assert some.to_numpy() == pytest.approx(fit.fittedvalues.to_numpy())


@pytest.mark.parametrize("name", ["factor", "as.factor"])
def test_factor_must_be_c_everywhere(oats: pd.DataFrame, name: str) -> None:
    formula = "yield ~ F(nitro) * Variety + (F(Variety) | F(Block))"
    expected = mf.lmm(formula.replace("F(Block)", "Block").replace("F(", "C("), oats).fit()
    fit = mf.lmm(formula.replace("F(", f"{name}("), oats).fit()
    pd.testing.assert_series_equal(fit.params, expected.params)
    pd.testing.assert_series_equal(fit.theta.reset_index(drop=True), expected.theta.reset_index(drop=True))


@pytest.mark.parametrize(
    ("formula", "instead"),
    [
        ("cbind(yield, nitro) ~ Variety + (1|Block)", "one response"),
        ("yield ~ poly(nitro, 2, raw=TRUE) + (1|Block)", "raw=True"),
        ("yield ~ scale(nitro, scale=FALSE) + (1|Block)", "True and False"),
        ("yield ~ rcs(nitro, 4) + (1|Block)", r"ns\(x, knots=\[b, c\], Boundary.knots=\[a, d\]\)"),
        ("yield ~ nitro + (rcs(nitro, 4) | Block)", r"quantiles of x"),
        ("yield ~ log(nitro + 1, 10) + (1|Block)", r"log10\(x\)"),
        ("yield ~ te(nitro) + (1|Block)", r"has a penalty, which makes another model"),
        ("yield ~ I(Variety %in% c('Victory')) + (1|Block)", r"I\(x\.isin\(\['a', 'b'\]\)\)"),
        ("yield ~ as.integer(nitro) + (1|Block)", r"astype\(int\)"),
        ("yield ~ s(nitro) + (1|Block)", r"bs\(x, df=5\)"),
        ("yield ~ ifelse(nitro > 0.3, 1, 0) + (1|Block)", r"I\(x > 2\)"),
        ("yield ~ cut(nitro, 3) + (1|Block)", r"pd\.cut"),
        ("yield ~ relevel(Variety, 'Victory') + (1|Block)", r"contr\.treatment"),
        ("yield ~ interaction(Variety, nitro) + (1|Block)", "a:b"),
        ("yield ~ nitro %in% Variety + (1|Block)", "a:b"),
        ("yield ~ ordered(nitro) + (1|Block)", r"contr\.poly"),
        ("yield ~ as.numeric(nitro) + (1|Block)", "astype"),
        ("yield ~ . + (1|Block)", "name the predictors"),
        ("yield ~ poly(yield, 2) + (1|Block)", "another name"),
        ("yield ~ I(nitro %% 2) + (1|Block)", r"as in I\(x % 2\)"),
        ("yield ~ nitro %/% 2 + (1|Block)", r"as in I\(x // 2\)"),
        ("yield ~ Variety == 'Victory' + (1|Block)", r"comparison in I\(\.\.\.\)"),
        ("yield ~ C(Variety, contr.treatment(base=2)) + (1|Block)", "named by its label"),
        ("yield ~ C(Variety, contr.treatment(2)) + (1|Block)", "named by its label"),
        ("yield ~ poly(nitro, other, degree=2) + (1|Block)", "takes one variable"),
    ],
)
def test_idiom_of_r_must_be_answered_with_what_to_write(
    oats: pd.DataFrame, formula: str, instead: str
) -> None:
    with pytest.raises(mf.FormulaError, match=instead):
        mf.lmm(formula, oats)


@pytest.mark.parametrize(
    "term",
    [
        "log10(nitro + 1)",
        "I(log(nitro + 1) / log(3))",
        "ns(nitro, df=3)",
        "ns(nitro, knots=[0.1, 0.3], Boundary.knots=[0, 0.5])",
        "I(Variety.isin(['Victory', 'Marvellous']))",
        "bs(nitro, df=5)",
        'C(Variety, contr.treatment(base="Victory"))',
        "C(nitro, contr.poly)",
        "I(nitro > 0.3)",
        "I(10 * nitro % 4)",
        "I(10 * nitro // 4)",
        "poly(nitro, 2, raw=True)",
        "nitro:Variety",
        "Q('nitro')",
    ],
)
def test_what_the_advice_says_must_work(oats: pd.DataFrame, term: str) -> None:
    assert np.isfinite(mf.lmm(f"yield ~ 0 + {term} + (1|Block)", oats).design.X).all()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Reaction ~ Days + 1|Subject", "Reaction ~ Days + (1 | Subject)"),
        ("Reaction ~ Days|Subject", "Reaction ~ Days + (Days | Subject)"),
        ("Reaction ~ 1 + Days || Subject", "Reaction ~ 1 + Days + (1 + Days || Subject)"),
    ],
)
def test_forgotten_brackets_must_be_refused_with_the_formula_meant(written: str, meant: str) -> None:
    sleep = mf.load_dataset("sleepstudy")
    with pytest.raises(mf.FormulaError) as caught:
        mf.lmm(written, sleep)
    assert f"Write '{meant}'." in str(caught.value)
    assert len(mf.lmm(meant, sleep).fit().params) == 2


def test_bar_without_brackets_must_be_read_where_it_loses_nothing() -> None:
    data = mf.load_dataset("Dyestuff")
    fit, expected = (mf.lmm(f, data).fit() for f in ("Yield ~ 1|Batch", "Yield ~ 1 + (1 | Batch)"))
    assert fit.reml_criterion == expected.reml_criterion


def test_warning_must_point_at_the_users_line() -> None:
    sleep = mf.load_dataset("sleepstudy").astype({"Reaction": float})
    sleep["twice"], sleep["part"] = 2 * sleep["Days"], sleep["Days"] + 0.5
    sleep.loc[3, "Reaction"] = np.nan
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mf.lmm("Reaction ~ Days + twice + (1 | part)", sleep).fit(control=mf.Control(max_evaluations=1))
    kinds = {warning.category for warning in caught}
    assert {mf.MissingRowsWarning, mf.GroupingWarning, mf.RankWarning} <= kinds
    assert {Path(warning.filename) for warning in caught} == {Path(__file__)}
