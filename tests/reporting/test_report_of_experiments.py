"""The report of an experiment with two levels of every factor: F tests, clean names, and what its intervals are."""

from __future__ import annotations

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
