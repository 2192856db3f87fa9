"""Several grouping factors behind one bar: read as lme4 2 and glmmTMB read them, as R's terms."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from random_terms import REFERENCE, assert_lme4s, rows

import mixedfit as mf
from mixedfit.formula.parse import parse_formula


@pytest.mark.everyday(6)
@pytest.mark.parametrize("record", REFERENCE["groupings"], ids=lambda r: r["short"])
def test_grouping_expression_must_fit_as_the_terms_written_out(
    record: dict[str, object], tmp_path: Path
) -> None:
    data = rows()
    fit = mf.lmm(f"y ~ x + {record['short']}", data).fit()
    assert_lme4s(fit, record)
    kept = fit.predict(data, re_form=f"~ {record['short']}").to_numpy()
    assert kept == pytest.approx(fit.fittedvalues.to_numpy())
    fit.save(tmp_path / "fit.npz")
    assert mf.load(tmp_path / "fit.npz").predict(data).to_numpy() == pytest.approx(kept)


@pytest.mark.parametrize(
    ("written", "factors"),
    [
        ("a + b", "a b"),
        ("b + a", "b a"),
        ("a*b", "a b a:b"),
        ("(a/b)/c", "a b:a c:b:a"),
        ("a/(b + c)", "a b:a c:a"),
        ("a:b + c", "c a:b"),
        ("(a + b)/c", "a b c:b:a"),
        ("a/(b*c)", "a b:a c:a b:c:a"),
        ("a*b*c", "a b c a:b a:c b:c a:b:c"),
        ("a/b + a", "a b:a"),
        ("a:b + b:a", "a:b"),
        ("a:b/c", "a:b c:a:b"),
        ("a/b:c", "a b:c:a"),
        ("a:(b/c)", "a:b a:c:b"),
        ("(a + b + c)^2", "a b c a:b a:c b:c"),
        ("a*b - a", "b a:b"),
        ("C(a)/(`b` + factor(c))", "a b:a c:a"),
        ("((a))", "a"),
    ],
)
def test_factors_must_be_the_terms_of_r(written: str, factors: str) -> None:
    """Checked with attr(terms(~ …), "term.labels"); nested factors have lme4's names, the inner one first."""
    assert [t.group.name for t in parse_formula(f"y ~ x + (x | {written})").random] == factors.split()


@pytest.mark.parametrize(
    "written", ["a +", "+ a", "a b", "a - a", "a^b", "(a + b)^0", "1", "0 + a", "a//b", "a*", "a + (b"]
)
def test_grouping_expression_that_cannot_be_read_must_be_refused(written: str) -> None:
    with pytest.raises(mf.FormulaError, match=r"a grouping factor is|never closed"):
        parse_formula(f"y ~ x + (1 | {written})")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("(x1 + x2) | g", "x1 + x2 + (x1 + x2 | g)"),
        ("x1 + (x2 + x3) | g", "x1 + (x2 + x3 | g)"),
        ("x | a + (1 | b)", "x + (x | a) + (1 | b)"),
        ("(1 | a) + x | b", "(1 | a) + (x | b)"),
        ("1 | a + b", "(1 | a) + b"),
        ("1 | a + 1 | b", "(1 | a) + (1 | b)"),
        ("x + 1 | a + z", "x + (1 | a) + z"),
        ("x + log(z + 1) | g", "x + (log(z + 1) | g)"),
        ("x - 1 | g", "x - 1 + (x - 1 | g)"),
        ("x*(a + b) || g/h", "x*(a + b) + (x*(a + b) || g/h)"),
        ("poly(x, 2) | g", "poly(x, 2) + (poly(x, 2) | g)"),
        ("(a + b):(c + d) | g", "(a + b):(c + d) + ((a + b):(c + d) | g)"),
    ],
)
def test_advice_on_forgotten_brackets_must_be_a_formula(written: str, meant: str) -> None:
    with pytest.raises(mf.FormulaError) as caught:
        parse_formula(f"y ~ {written}")
    assert f"Write 'y ~ {meant}'." in str(caught.value)
    assert parse_formula(f"y ~ {meant}").random


@pytest.mark.parametrize(
    "effects", ["poly(x, 2)", "log(x + 9)", "1 + poly(x, 2)", "0 + I(x**2)", "(x + I(x**2))", "ns(x, df=2)"]
)
def test_re_form_of_calls_must_be_read_with_and_without_brackets(effects: str) -> None:
    data = rows()
    with np.errstate(all="ignore"):
        fit = mf.lmm(f"y ~ x + ({effects} | a) + (1 | b)", data).fit()
    expected = fit.predict(data, re_form=f"~ ({effects} | a)").to_numpy()
    whole = fit.predict(data, re_form="a").to_numpy()
    for text in (f"~ {effects} | a", f"{effects} | a", f"~{effects}|a"):
        assert fit.predict(data, re_form=text).to_numpy() == pytest.approx(expected)
    assert expected == pytest.approx(whole)
    assert not np.allclose(expected, fit.fittedvalues)


def test_re_form_with_open_brackets_must_be_refused() -> None:
    fit = mf.lmm("y ~ x + (1 | a)", rows()).fit()
    with pytest.raises(mf.FormulaError, match=re.escape("'('")):
        fit.predict(re_form="~ (1 | a")
