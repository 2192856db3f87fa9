"""Residual structures as text: what is read, and that nothing is run."""

from __future__ import annotations

import pytest

import mixedfit as mf
from mixedfit.covariance.residual.text import read_residual

R = mf.residuals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AR1(visit, id) * VarIdent(arm)", R.AR1("visit", "id") * R.VarIdent("arm")),
        ("AR1('visit', group=\"id\")", R.AR1("visit", "id")),
        ("AR1(`a visit`, a:b)", R.AR1("a visit", "a:b")),
        ("us(AVISIT | USUBJID)", R.Unstructured("AVISIT", "USUBJID")),
        ("Unstructured(v, g, homogeneous=True)", R.Unstructured("v", "g", homogeneous=True)),
        ("us(v | g, by=arm)", R.Unstructured("v", "g", by="arm")),
        ("cs(v | g)", R.CompoundSymmetry("g")),
        ("csh(v | g)", R.CompoundSymmetry("g") * R.VarIdent("v")),
        ("ar1h(v | g, by=arm)", R.AR1("v", "g", "arm") * R.VarIdent("arm:v")),
        ("sp_exp(x, y | g)", R.Exponential(("x", "y"), "g")),
        ("corExp(form = ~ x + y | g, nugget = TRUE)", R.Exponential(("x", "y"), "g", nugget=True)),
        ("Matern((x, y), g, nu=2.5)", R.Matern(("x", "y"), "g", nu=2.5)),
        ("corARMA(form = ~ t | g, p = 1, q = 2)", R.ARMA(1, 2, "t", "g")),
        ("corAR1(form = ~ 1 | g)", R.AR1(group="g")),
        ("varIdent(form = ~ 1 | arm)", R.VarIdent("arm")),
        ("AR1(t, g) * VarPower(fitted)", R.AR1("t", "g") * R.VarPower("fitted")),
    ],
)
def test_text_must_be_the_structure_that_python_makes(text: str, expected: R.ResidualStructure) -> None:
    assert read_residual(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("AR2(t, g)", "Did you mean 'AR1'"),
        ("unstr(t | g)", "Did you mean 'Unstructured'"),
        ("AR1(t, tim=g)", "Did you mean 'time'"),
        ("AR1(t, g", "expected ','; the text ends"),
        ("AR1(t, g) + VarIdent(a)", "put \\* between them"),
        ("AR1(__import__('os'), g)", "'__import__' is called as a function"),
        ("AR1(t, g).__class__", "'.' has no meaning"),
        ("us(0 + v | g)", "Write \\(time \\| group\\)"),
        ("us(v | arm / g)", "two meanings"),
        ("Known(V, row)", "a matrix"),
        ("csh(g)", "needs its column"),
        ("", "empty"),
        ("AR1(3, g)", "time is 3"),
        ("us()", "visit is ''"),
    ],
)
def test_other_text_must_be_refused_in_words(text: str, words: str) -> None:
    with pytest.raises((mf.FormulaError, mf.ModelError), match=words):
        mf.lmm("Reaction ~ Days", mf.load_dataset("sleepstudy"), residual=text)
