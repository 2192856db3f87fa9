"""The report of an experiment with two levels of every factor: F tests, clean names, and what its intervals are."""

from __future__ import annotations

import html
import re

import numpy as np
import pandas as pd
import pytest
from experiments import priming, priming_fit

import mixedfit as mf
from mixedfit.reporting.html import page
from mixedfit.reporting.html.page import report_html

pytestmark = pytest.mark.usefixtures("undrawn")


def test_factors_with_two_levels_must_have_f_tests_under_their_names() -> None:
    text = report_html(priming_fit(), profile=False)
    assert "Tests of the terms" in text
    table = priming_fit().anova().table
    tests = text[text.index("Tests of the terms") :]
    for name, row in zip(["Prime", "Frequency", "Prime × Frequency"], table.to_numpy(), strict=True):
        cells = re.search(rf">{name}</th>(.*?)</tr>", tests)
        assert cells is not None
        assert f">{row[4]:.3f}<" in cells[1]
    formula, _, rest = text.partition("</code>")
    assert "contr.sum" in formula
    assert "contr.sum" not in rest
    assert "The test of the effect of Prime gave F(1, " in text


@pytest.mark.parametrize(
    ("reml", "head"), [(True, "95% interval (Wald, t by Satterthwaite)"), (False, "95% interval (Wald, z)")]
)
def test_intervals_must_say_by_which_distribution_they_are(reml: bool, head: str) -> None:
    fit = mf.lmm("RT ~ Prime + (1 | Subject)", priming()).fit(reml=reml)
    assert head in report_html(fit, profile=False)


def test_limit_that_is_not_known_must_be_explained() -> None:
    limits = pd.DataFrame({"lower": [0.5, 0.5], "upper": [np.nan, 1.0]}, index=["a", "b"])
    rows = [(name, page._interval(limits, name, 2)) for name in ("a", "b")]
    assert rows == [("a", "0.50 to …"), ("b", "0.50 to 1.00")]
    (note,) = page._limit_note(rows)
    assert "does not reach this limit" in note
    assert page._limit_note(rows[1:]) == []


def test_labels_must_stand_everywhere_but_in_the_description_of_the_model() -> None:
    labels = {
        "Days": "Nights",
        "Subject": "Driver",
        "Reaction": "RT",
        "308": "Driver A",
        "(Intercept)": "Start",
    }
    data = mf.load_dataset("sleepstudy")
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", data).fit()
    text = html.unescape(report_html(fit, profile=False, labels=labels))
    begin, end = text.index('<section id="model"'), text.index('<section id="fixed"')
    rest = re.sub("<code>.*?</code>", "", re.sub('base64,[^"]*', "", text[:begin] + text[end:]))
    for name in ("Days", "Subject", "Reaction", "(Intercept)"):
        assert name not in rest, rest[rest.index(name) - 100 : rest.index(name) + 40]
    for words in ("SD of Nights | Driver", "Correlation of Nights and Start | Driver", "ICC of Driver"):
        assert words in rest
    variances = fit.plot.within_group(labels=labels).axes[0]
    assert variances.get_xlabel() == "Nights"
    assert "levels of Driver" in variances.texts[0].get_text()
    influence = fit.diagnostics.influence("Subject")
    cases = mf.plots.influence(influence, labels={"Subject": "Driver", "308": "Driver A"})
    assert cases.get_xlabel() == "18 levels of Driver"
    assert "Driver A" in {text.get_text() for text in cases.texts}
    with pytest.raises(mf.ModelError, match=r"'Sbject'.*Did you mean 'Subject'"):
        mf.plots.influence(influence, labels={"Sbject": "x"})


def test_labels_must_stand_in_tables_means_and_sentences() -> None:
    labels = {"Prime": "Priming", "related": "verwandt", "RT": "Reaktionszeit", "Frequency": "Häufigkeit"}
    text = report_html(priming_fit(), profile=False, labels=labels)
    assert "<h1>Reaktionszeit: a mixed model</h1>" in text
    assert ">Priming × Häufigkeit</th>" in text
    assert ">Priming 1</th>" in text
    assert ">verwandt</th>" in text
    assert "The test of the effect of Priming gave F(1, " in text
    assert "A linear mixed model of Reaktionszeit with fixed effects of Priming, Häufigkeit and" in text
    with pytest.raises(mf.ModelError, match=r"labels has 'Prme'.*Did you mean 'Prime'"):
        report_html(priming_fit(), profile=False, labels={"Prme": "x"})
