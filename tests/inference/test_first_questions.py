"""Questions about terms, custom contrasts, own functions, and runs that were stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfit as mf
from mixedfit.inference.power import api

CAKE = mf.load_dataset("cake")
FIT = mf.lmm("angle ~ recipe * temp + (1 | recipe:replicate)", CAKE).fit()


@pytest.mark.parametrize(
    ("term", "coefficients"),
    [
        ("recipe", "recipeB, recipeC"),
        ("recipe:temp", "recipeB:temp, recipeC:temp"),
        ("temp:recipe", "recipeB:temp, recipeC:temp"),
    ],
)
def test_name_of_a_term_must_stand_for_all_its_coefficients(term: str, coefficients: str) -> None:
    named, listed = FIT.f_test(term), FIT.f_test(coefficients)
    assert (named.statistic, named.df_num, named.df_denom) == (
        listed.statistic,
        listed.df_num,
        listed.df_denom,
    )
    assert not listed.notes
    assert coefficients in named.notes[0]
    assert ("anova()" in named.notes[0]) == (term == "recipe")
    assert FIT.wald_test(term, use_f=False).df == 2
    assert list(FIT.t_test(term).table.index) == coefficients.split(", ")


def test_term_of_one_coefficient_must_be_that_coefficient() -> None:
    assert not FIT.f_test("temp").notes
    with pytest.raises(mf.ModelError, match="Did you mean"):
        FIT.f_test("recip")


def test_contrast_by_labels_must_be_the_one_by_position() -> None:
    means = FIT.emmeans("recipe")
    by_label = means.contrasts({"A - C": {"A": 1, "C": -1}}).table
    pd.testing.assert_frame_equal(by_label, means.contrasts({"A - C": [1, 0, -1]}).table)


def test_contrast_of_numbers_must_be_labelled_by_their_text() -> None:
    means = FIT.emmeans("temp", at={"temp": [175.0, 200.5]})
    table = means.contrasts({"rise": {175: -1, 200.5: 1}}).table
    assert table["estimate"].iloc[0] == pytest.approx(np.diff(means.table["estimate"])[0])


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"x": {"a": 1, "c": -1}}, "'a', which is not one of the means .A, B, C.. Did you mean 'A'"),
        ({"x": {"A": "one"}}, "mapping of means to numbers such as {'A': 1, 'C': -1}"),
        ({"x": 3}, "a number for each mean"),
        ({"x": [1, -1]}, "2 weights for 3 means"),
        ([1, 0, -1], "mapping of names to weights such as {'first': .1, 0, -1.}"),
    ],
)
def test_wrong_contrast_must_say_what_is_accepted(method: Any, says: str) -> None:
    with pytest.raises(mf.ModelError, match=says):
        FIT.emmeans("recipe").contrasts(method)


@pytest.mark.parametrize(
    "formula", ["angle ~ halved(temp) + (1 | replicate)", "angle ~ 1 + (halved(temp) | replicate)"]
)
def test_unknown_function_must_be_answered_with_context(formula: str) -> None:
    with pytest.raises(mf.FormulaError, match=r"context={'halved': halved}"):
        mf.lmm(formula, CAKE)
    assert mf.lmm(formula, CAKE, context={"halved": lambda x: x / 2}).design.n == len(CAKE)


@pytest.mark.filterwarnings("ignore")
def test_means_must_say_that_kenward_roger_failed() -> None:
    rng = np.random.default_rng(11)
    groups = int(rng.integers(3, 6))
    n = groups * int(rng.integers(3, 7))
    data = pd.DataFrame(
        {"g": np.arange(n) % groups, "x": rng.normal(size=n), "A": rng.integers(0, 3, n).astype(str)}
    )
    data["y"] = rng.normal(size=n) + rng.normal(size=groups)[data["g"]]
    fit = mf.lmm("y ~ A + x + (A | g)", data).fit()
    found = [fit.emmeans("A", ddf="kenward-roger"), fit.joint_tests(ddf="kenward-roger")]
    found.append(found[0].contrasts())  # type: ignore[union-attr]
    lost = 0
    for record in found:
        column = "std_error" if "std_error" in record.table else "statistic"
        missing = bool(record.table[column].isna().any())
        lost += missing
        assert missing == any("Kenward-Roger has failed" in note for note in record.notes)
        assert sum("has failed" in note for note in record.notes) <= 1
    assert lost


PARAMS = {"(Intercept)": 250, "Days": 3, "sd_(Intercept)|Subject": 25, "sigma": 25}


def stopped_at(size: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a power study of two sizes that is interrupted in one of them."""
    own, calls = api.draw_and_test, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == size:
            raise KeyboardInterrupt
        return own(*arguments, **options)

    monkeypatch.setattr(api, "draw_and_test", interrupted)
    data = mf.load_dataset("sleepstudy")
    along = {"Subject": [6, 12]}
    return mf.power("Reaction ~ Days + (1 | Subject)", data, PARAMS, "Days", n=5, seed=1, along=along)


def test_power_that_was_stopped_must_say_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(mf.BootstrapWarning, match="0 of 5"):
        found = stopped_at(2, monkeypatch)
    assert list(found.table["Subject"]) == [6]
    assert found.left_out == ("Subject = 12",)
    text = str(found)
    assert "up to 5 data sets drawn" in text
    assert "Stopped by an interrupt: this row has 5 of 5 data sets; not begun: Subject = 12." in text


def test_power_stopped_before_the_first_data_set_must_be_an_interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped_at(1, monkeypatch)


def test_power_that_was_not_stopped_must_not_say_so() -> None:
    data = mf.load_dataset("sleepstudy")
    found = mf.power("Reaction ~ Days + (1 | Subject)", data, PARAMS, "Days", n=3, seed=1)
    assert "interrupt" not in str(found)
