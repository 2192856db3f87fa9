"""Printed tables must fit 100 columns where their columns can be arranged so, with p-values in one format."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.core.format import equals_p, format_p_value

SLEEP = mf.load_dataset("sleepstudy")
FIT = mf.lmm("Reaction ~ Days + (Days | Subject)", SLEEP).fit()


def test_p_values_must_have_one_format_in_all_tables() -> None:
    days = format_p_value(float(FIT.pvalues["Days"]))
    assert days == "3.26e-06"
    for printed in (FIT.summary(), FIT.anova(), FIT.t_test("Days"), FIT.f_test("Days"), FIT.joint_tests()):
        assert days in str(printed)
        assert days in printed._repr_html_()
    assert equals_p(1e-20) == "p < 2e-16"
    assert [format_p_value(p) for p in (0.5, 1.0, 9.9e-5, float("nan"))] == [
        "0.5000",
        "1.0000",
        "9.90e-05",
        "NA",
    ]


@pytest.mark.parametrize("conf_int", [False, True])
def test_tidy_table_must_show_all_its_columns(conf_int: bool) -> None:
    table = FIT.tidy(conf_int=conf_int)
    text = repr(table)
    assert all(name in text for name in table.columns)
    assert max(map(len, text.splitlines())) <= 100
    assert all(name in str(FIT.glance()) for name in FIT.glance().columns)


def test_what_is_made_of_a_tidy_table_must_be_a_plain_frame() -> None:
    table = FIT.tidy()
    assert type(table.round(2)) is type(table[["term"]]) is type(table.copy()) is pd.DataFrame
    loaded = pickle.loads(pickle.dumps(table))
    assert type(loaded) is pd.DataFrame
    pd.testing.assert_frame_equal(loaded, pd.DataFrame(table))


def test_long_formulas_must_stand_above_the_table_of_likelihood_ratios() -> None:
    long = "Reaction ~ I(Days - 4.5) + I((Days - 4.5)**2) + I((Days - 4.5)**3) + (1 | Subject)"
    text = str(mf.anova(mf.lmm("Reaction ~ Days + (1 | Subject)", SLEEP).fit(), mf.lmm(long, SLEEP).fit()))
    lines = text.splitlines()
    assert lines[1] == f"model 2: {long}"
    assert lines[4].startswith("model 2 ")
    assert max(map(len, lines)) <= 100


def test_correlations_must_be_folded_and_leave_out_dropped_columns() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"f": np.repeat(list("abcdefghijklmnopqrst"), 6), "g": np.arange(120) % 8})
    data["twin"] = (data["f"] == "b") * 1.0
    data["y"] = rng.normal(size=120)
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("y ~ f + twin + (1 | g)", data).fit()
    summary = fit.summary(correlation=True)
    text = str(summary).split("Correlation of Fixed Effects:")[1]
    assert max(map(len, text.split("Degrees")[0].splitlines())) <= 100
    assert "nan" not in text
    shown = {word for line in text.split("Degrees")[0].splitlines() for word in line.split()}
    assert {"fb", "ft"} <= shown
    assert summary.correlation is not None
    count = sum(
        len(line.split()) - 1 for line in text.split("Degrees")[0].splitlines() if line[:1] in "f(" and line
    )
    assert count >= 20 * 19 / 2


@pytest.mark.parametrize(("missing", "says"), [(1, "1 row dropped"), (2, "2 rows dropped")])
def test_notes_must_count_in_the_singular_and_plural(missing: int, says: str) -> None:
    data = SLEEP.copy()
    data.loc[: missing - 1, "Reaction"] = np.nan
    with pytest.warns(mf.MissingRowsWarning):
        fit = mf.lmm("Reaction ~ Days + (1 | Subject)", data).fit()
    assert says in str(fit.summary())
