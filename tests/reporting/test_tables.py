"""Tables in LaTeX, Markdown and HTML, and models side by side."""

from __future__ import annotations

import re
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core.tables import Table, tables_of

DATA = mf.load_dataset("sleepstudy")


@lru_cache
def fitted(formula: str, reml: bool = True) -> mf.MixedResults:
    return mf.lmm(formula, DATA).fit(reml=reml)


SLOPES, INTERCEPTS = "Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)"


@lru_cache
def records() -> dict[str, Any]:
    fit = fitted(SLOPES)
    cake = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
    means = cake.emmeans("recipe")
    return {
        "fit": fit,
        "summary": fit.summary(correlation=True),
        "anova": cake.anova(),
        "emmeans": means,
        "contrasts": means.contrasts(),
        "t_test": fit.t_test("Days = 10"),
        "likelihood_ratio": mf.anova(fitted(INTERCEPTS), fit),
        "ranova": fit.ranova(),
        "bootstrap": fit.bootstrap(50, seed=1),
        "compare": mf.compare_models([fitted(INTERCEPTS), fit]),
        "tidy": fit.tidy(),
        "glance": fit.glance(),
        "frame": fit.varcorr,
        "series": fit.params,
    }


class Cells(HTMLParser):
    """Text of every cell, and tags that were opened and not closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.scopes: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "th":
            self.scopes.append(dict(attrs).get("scope"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def html_rows(text: str) -> list[list[str]]:
    parser = Cells()
    parser.feed(text)
    assert parser.open == []
    assert None not in parser.scopes
    return parser.rows


def markdown_rows(text: str) -> list[list[str]]:
    rows = []
    for line in text.split("\n"):
        if line.startswith("|") and not re.fullmatch(r"[|:\- ]+", line):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            rows.append([re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells])
    return rows


def latex_rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)&", line[: -len(r" \\")])]
        for line in text.split("\n")
        if line.endswith(r"\\")
    ]


@pytest.mark.parametrize("name", list(records()))
def test_table_must_have_the_same_cells_in_every_language(name: str) -> None:
    what = records()[name]
    expected = [list(row) for t in tables_of(what) for row in (t.heads, *t.rows)]
    width = [len(row) for row in expected]
    as_html = [[cell.replace("−", "-") for cell in row] for row in html_rows(mf.to_html(what))]
    assert [[c.replace("−", "-") for c in row] for row in expected] == as_html
    as_markdown = [
        [row[0].strip("*")] if n == 1 and len(row) > 1 else row
        for row, n in zip(markdown_rows(mf.to_markdown(what)), width, strict=True)
    ]
    assert as_markdown == expected
    assert [len(row) for row in latex_rows(mf.to_latex(what))] == width


def test_table_must_hold_the_numbers_of_the_record() -> None:
    (table,) = tables_of(records()["t_test"])
    source = records()["t_test"].table.iloc[0]
    assert table.heads[1:] == ("Estimate", "Std. Error", "df", "Statistic", "p", "Lower", "Upper")
    for text, name in zip(table.rows[0][1:], ["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"],
                          strict=True):  # fmt: skip
        assert float(text) == pytest.approx(source[name], rel=6e-3, abs=5e-4), name


def test_latex_must_escape_what_latex_reads() -> None:
    odd = Table("50% & more", ("a_b", "x^2"), (("C:\\dir{#1}$~", "-1.5"), ("<b>|", "1e-05")))
    text = mf.to_latex(odd, label="tab:odd")
    assert r"\caption{50\% \& more}" in text
    assert r"\label{tab:odd}" in text
    assert r"a\_b & x\textasciicircum{}2 \\" in text
    assert r"C:\textbackslash{}dir\{\#1\}\$\textasciitilde{} & $-$1.5 \\" in text
    assert r"\textless{}b\textgreater{}\textbar{} & 1e-05 \\" in text


def test_label_must_be_that_of_the_first_table_alone() -> None:
    """A fit has several tables; LaTeX refuses a label that is given twice."""
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    text = mf.to_latex(fit, caption="First", label="tab:fit")
    assert text.count(r"\begin{table}") > 1
    assert text.count(r"\label") == 1
    assert text.index(r"\label{tab:fit}") < text.index(r"\end{table}")
    assert text.count(r"\caption{First}") == 1


def test_markdown_must_escape_what_markdown_reads() -> None:
    odd = Table("*x*", ("a|b", "c_d"), (("`f` [1]", "<i>"),))
    text = mf.to_markdown(odd)
    assert text.startswith("**\\*x\\***")
    assert markdown_rows(text) == [["a|b", "c_d"], ["`f` [1]", "<i>"]]


def test_html_must_escape_what_a_browser_reads() -> None:
    odd = Table("<script>alert(1)</script>", ("a&b", '"'), (("<img src=x>", "1"),), notes=("<b>",))
    text = mf.to_html(odd)
    assert "<script" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert html_rows(text) == [["a&b", '"'], ["<img src=x>", "1"]]


def test_latex_must_leave_the_environment_out_without_a_caption() -> None:
    assert "begin{table}" not in mf.to_latex(fitted(SLOPES).params, caption="")
    assert "\\caption{Mine}" in mf.to_latex(fitted(SLOPES), caption="Mine")


def test_table_must_be_refused_of_what_has_none() -> None:
    with pytest.raises(mf.ModelError, match="a float has no table"):
        mf.to_html(3.0)


def test_compare_models_must_hold_each_models_numbers() -> None:
    one, two = fitted(INTERCEPTS), fitted(SLOPES)
    table = mf.compare_models({"one": one, "two": two})
    pd.testing.assert_series_equal(
        table.estimates["two"], two.params, check_names=False, check_index_type=False
    )
    pd.testing.assert_series_equal(
        table.std_errors["one"], one.bse, check_names=False, check_index_type=False
    )
    assert table.variances.loc["SD of (Intercept) | Subject", "two"] == pytest.approx(two.varcorr["sdcor"][0])
    assert np.isnan(table.variances.loc["SD of Days | Subject", "one"])
    assert table.variances.index[-1] == "residual SD"
    assert table.facts["AIC"].tolist() == [one.aic, two.aic]
    assert table.groups.loc["Subject"].tolist() == [18, 18]
    assert "251.41 (6.82)" in str(table)
    assert "10.467 (0.804)" in str(table)


def test_compare_models_must_warn_of_what_cannot_be_compared() -> None:
    null = fitted("Reaction ~ 1 + (1 | Subject)")
    assert "fit the models by ML" in str(mf.compare_models([null, fitted(SLOPES)]))
    assert "fit by ML" not in str(mf.compare_models([fitted(INTERCEPTS), fitted(SLOPES)]))
    assert "REML and ML" in str(mf.compare_models([null, fitted(SLOPES, False)]))
    fewer = mf.lmm(SLOPES, DATA.head(100)).fit()
    assert "different rows" in str(mf.compare_models([fewer, fitted(SLOPES)]))
    other = mf.lmm("np.log(Reaction) ~ Days + (Days | Subject)", DATA, context={"np": np}).fit()
    assert "different responses" in str(mf.compare_models([other, fitted(SLOPES)]))


def test_compare_models_must_refuse_names_that_do_not_fit() -> None:
    with pytest.raises(mf.ModelError, match="at least one"):
        mf.compare_models([])
    with pytest.raises(mf.ModelError, match="different name for each"):
        mf.compare_models([fitted(SLOPES), fitted(INTERCEPTS)], names=["a", "a"])


def test_compare_models_must_bear_a_linear_model_a_held_sigma_and_a_singular_fit() -> None:
    plain = fitted("Reaction ~ Days")
    held = mf.lmm(INTERCEPTS, DATA).fit(sigma=30.0)
    flat = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff2")).fit()
    table = mf.compare_models([plain, held, flat])
    assert table.variances.loc["residual SD"].round(2).tolist()[1] == 30.0
    assert "boundary" in str(table)
