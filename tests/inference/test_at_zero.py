"""Terms that type III tests at the value 0 of a number are named, with what to do; others are not."""

from __future__ import annotations

import pytest
from experiments import priming, session_fit

import mixedfit as mf


def fitted(formula: str, **columns: object) -> mf.MixedResults:
    return mf.lmm(f"{formula} + (1 | Subject) + (1 | Item)", priming().assign(**columns)).fit()


def test_note_must_be_right_that_the_test_is_at_zero() -> None:
    """The simple effect among the rows with Session 0 has the same F; the main effect of emmeans has another."""
    table = session_fit().anova()
    (note,) = table.notes
    assert "SOA: tested at Session = 0" in note
    assert "C(Session)" in note
    at_zero = session_fit().joint_tests(at={"Session": [0]}).table.set_index("term")["statistic"]["SOA"]
    assert table.table["statistic"]["C(SOA, contr.sum)"] == pytest.approx(at_zero)
    main = session_fit().joint_tests().table.set_index("term")["statistic"]["SOA"]
    assert abs(main - at_zero) > 0.1


@pytest.mark.parametrize("advice", ["C(Session)", "half"])
def test_advice_must_give_the_main_effect(advice: str) -> None:
    fit = fitted(f"RT ~ C(SOA, contr.sum) * {advice}", half=priming()["Session"] - 0.5)
    assert fit.anova().notes == ()
    main = session_fit().joint_tests().table.set_index("term")["statistic"]["SOA"]
    assert fit.anova().table["statistic"]["C(SOA, contr.sum)"] == pytest.approx(main)


@pytest.mark.parametrize("type", [2, 3])
def test_sentence_must_say_at_which_value_a_term_is_tested(type: int) -> None:
    fit = session_fit()
    text = fit.sentence(fit.anova(type=type), "SOA")
    assert "a simple effect, tested at Session = 0" in text
    assert "Session = 0" not in fit.sentence(fit.anova(type=type), "SOA:Session")
    assert "Session = 0" not in fit.sentence(fit.anova(type=1), "SOA")


def test_values_must_be_named_when_zero_is_none_of_them() -> None:
    fit = fitted("RT ~ SOA * session", session=priming()["Session"] + 1)
    (note,) = fit.anova().notes
    assert "tested at session = 0, which is not one of its values 1 and 2" in note
    age = priming()["Subject"].str[1:].astype(float) + 20
    (note,) = fitted("RT ~ SOA * age", age=age).anova().notes
    assert "SOA: tested at age = 0, outside of its values (21 to 32)" in note
    assert "data['age'].mean()" in note


@pytest.mark.parametrize(
    "formula",
    ["RT ~ SOA + Session", "RT ~ SOA * age", "RT ~ SOA * scale(Session)", "RT ~ SOA * Prime", "RT ~ Session"],
)
def test_note_must_be_missing_when_terms_are_tested_where_they_should(formula: str) -> None:
    age = priming()["Subject"].str[1:].astype(float) - 6
    assert fitted(formula, age=age).anova().notes == ()


def test_factor_stored_as_codes_must_have_no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixedfit.design.model_matrix.MANY_LEVELS", 10)
    data = priming().assign(age=lambda d: d["Subject"].str[1:].astype(float) + 20)
    fit = mf.lmm("RT ~ age + Item + (1 | Subject)", data).fit()
    assert not [note for note in fit.anova().notes if "tested at" in note]
