"""One dict of labels serves every table, sentence and picture; names are the variables, not the calls."""

from __future__ import annotations

from typing import Any

import pytest
from experiments import priming, priming_fit, session_fit

import mixedfit as mf
from mixedfit.core.names import plain_name
from mixedfit.reporting.relabelled import document_tables

LABELS = {
    "Prime": "Priming",
    "related": "verwandt",
    "unrelated": "unverwandt",
    "high": "häufig",
    "low": "selten",
    "Frequency": "Häufigkeit",
    "Subject": "Person",
    "RT": "Reaktionszeit",
    "(Intercept)": "Achsenabschnitt",
}
"""Names of variables, levels, a grouping factor, the response and a coefficient."""


def treatment() -> mf.MixedResults:
    return mf.lmm("RT ~ Prime * Frequency + (Prime | Subject) + (1 | Item)", priming()).fit()


PLACES: dict[str, Any] = {
    "mf.table": lambda fit, labels: str(mf.table(fit, labels=labels)),
    "fit": lambda fit, labels: mf.to_latex(fit, labels=labels),
    "anova": lambda fit, labels: mf.to_markdown(fit.anova(), labels=labels),
    "joint tests": lambda fit, labels: mf.to_html(fit.joint_tests(), labels=labels),
    "means": lambda fit, labels: mf.to_markdown(fit.emmeans("Prime", by="Frequency"), labels=labels),
    "contrasts": lambda fit, labels: mf.to_markdown(
        fit.emmeans(["Prime", "Frequency"]).contrasts(), labels=labels
    ),
    "effect sizes": lambda fit, labels: mf.to_markdown(fit.emmeans("Prime").effect_sizes(), labels=labels),
    "ranova": lambda fit, labels: mf.to_markdown(fit.ranova(), labels=labels),
    "t tests": lambda fit, labels: mf.to_markdown(fit.t_test(list(fit.params.index[1:2])), labels=labels),
    "sentence of a term": lambda fit, labels: fit.sentence(fit.anova(), "Prime", labels=labels),
    "sentences of contrasts": lambda fit, labels: fit.sentence(
        fit.emmeans("Prime", by="Frequency").contrasts(), labels=labels
    ),
    "sentence of the model": lambda fit, labels: fit.sentence(labels=labels),
}


@pytest.mark.everyday(4)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("coding", ["sum", "treatment"])
def test_one_dict_must_serve_everywhere_when_its_keys_are_of_any_kind(place: str, coding: str) -> None:
    fit = priming_fit() if coding == "sum" else treatment()
    text = PLACES[place](fit, LABELS)
    assert "Priming" in text or "verwandt" in text
    for old in ("Prime", "related", "contr.sum"):
        assert old not in text.replace("verwandt", "")


@pytest.mark.everyday(6)
@pytest.mark.parametrize("place", PLACES)
def test_unknown_label_must_raise_with_the_nearest_name(place: str) -> None:
    with pytest.raises(mf.ModelError, match=r"labels has 'Prme'.*Did you mean 'Prime'"):
        PLACES[place](priming_fit(), {"Prme": "Priming"})


@pytest.mark.everyday(6)
@pytest.mark.parametrize("place", PLACES)
def test_calls_that_code_factors_must_not_stand_in_papers(place: str) -> None:
    text = PLACES[place](priming_fit(), None)
    assert "contr.sum" not in text
    assert "C(" not in text


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("C(Prime, contr.sum)", "X 1"),
        ("C(Prime, contr.sum)1", "X"),
        ("Prime", "X 1"),
        ("Prime 1", "X"),
        ("Prime 1 × Frequency 1", "X"),
        ("C(Prime, contr.sum)1:C(Frequency, contr.sum)1", "X"),
        ("Observations", "X"),
        ("SD: residual", "X"),
    ],
)
def test_names_as_written_and_as_printed_must_both_be_keys(key: str, row: str) -> None:
    table = mf.table(priming_fit(), labels={key: "X"})
    assert row in [cells[0] for cells in table.cells.rows]


def test_label_of_a_variable_must_reach_its_random_effect() -> None:
    rows = [row[0] for row in mf.table(priming_fit(), labels=LABELS).cells.rows]
    assert "SD: Priming 1 | Person" in rows
    assert "SD: Achsenabschnitt | Item" in rows
    rows = [row[0] for row in mf.table(treatment(), labels=LABELS).cells.rows]
    assert "SD: Priming unverwandt | Person" in rows
    assert "Priming unverwandt × Häufigkeit selten" in rows


def test_label_of_a_variable_must_reach_calls_on_it() -> None:
    model = mf.lmm("Weight ~ I(Day - 22) + (I(Day - 22) | Rat)", mf.load_dataset("rats"))
    text = str(mf.table([model.fit()], labels={"Day": "Age"}))
    assert text.count("I(Age - 22)") == 3
    assert "Day" not in text


def test_levels_that_are_numbers_must_take_labels_and_numbered_columns_must_not() -> None:
    """1 is a level of Session; that of the contrast SOA 1 is no level."""
    labels: Any = {0: "first", 1: "second"}
    text = mf.to_markdown(session_fit().emmeans("SOA", by="Session"), labels=labels)
    assert text.count("first") == text.count("second") == 3
    assert "SOA second" not in str(mf.table(session_fit(), labels=labels))


def test_notes_must_have_the_labels_of_variables() -> None:
    text = mf.to_markdown(session_fit().emmeans("SOA"), labels={"Session": "Sitzung"})
    assert "Averaged over the levels of: Sitzung." in text


def test_calls_must_stay_where_rows_would_be_the_same_without_them() -> None:
    data = priming().assign(x=lambda d: d["Session"] + 1.0 + d["Item"].str[1:].astype(int) % 3)
    fit = mf.lmm("RT ~ x + C(x, contr.helmert) + (1 | Subject)", data)
    with pytest.warns(mf.RankWarning):
        text = mf.to_markdown(fit.fit().anova())
    assert "C(x, contr.helmert)" in text


def test_pictures_must_have_labels_of_levels() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    ax = priming_fit().plot.means("Prime", by="Frequency", labels=LABELS)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["verwandt", "unverwandt"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"häufig", "selten"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Priming", "Reaktionszeit")
    forest = priming_fit().plot.forest(labels=LABELS)
    assert "Priming 1" in [text.get_text() for text in forest.get_yticklabels()]
    for draw in (priming_fit().plot.forest, lambda **own: priming_fit().plot.means("Prime", **own)):
        with pytest.raises(mf.ModelError, match=r"labels has 'relatd'.*Did you mean 'related'"):
            draw(labels={"relatd": "x"})
    plt.close("all")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("C(f, contr.treatment(base='a, b)'))x:C(g)", "f x:g"),
        ("log(C(f))", "log(f)"),
        ("ABC(f, 2)", "ABC(f, 2)"),
        ("x.C(f)", "x.C(f)"),
        ("C(`a, b`)1", "a, b 1"),
        ("C(f", "f"),
    ],
)
def test_plain_name_must_drop_whole_calls_only(name: str, plain: str) -> None:
    assert plain_name(name) == plain


# -- terms in sentences --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("Prime", "C(Prime, contr.sum)"),
        ("Frequency:Prime", "C(Prime, contr.sum):C(Frequency, contr.sum)"),
        ("Prime × Frequency", "C(Prime, contr.sum):C(Frequency, contr.sum)"),
    ],
)
def test_sentence_must_take_the_variables_of_a_coded_term(name: str, term: str) -> None:
    assert priming_fit().sentence(name) == priming_fit().sentence(term)
    assert priming_fit().sentence(name) == priming_fit().sentence(priming_fit().anova(), term)
    assert priming_fit().f_test(name).statistic == pytest.approx(priming_fit().f_test(term).statistic)


def test_variable_must_be_the_numeric_term_when_a_factor_is_made_of_it_too() -> None:
    data = priming().assign(x=lambda d: d["Item"].str[1:].astype(int) % 4)
    with pytest.warns(mf.RankWarning):
        fit = mf.lmm("RT ~ x + C(x) + (1 | Subject)", data).fit()
    assert fit.sentence("x").startswith("The coefficient of x ")


def test_unknown_term_must_list_the_terms_with_the_nearest() -> None:
    with pytest.raises(
        mf.ModelError, match=r"neither a term \(Prime, Frequency, Prime:Frequency\).*mean 'Prime'"
    ):
        priming_fit().sentence("Prme")
    with pytest.raises(
        mf.ModelError, match=r"\(Prime, Frequency, Prime:Frequency\).*Did you mean 'Frequency'"
    ):
        priming_fit().sentence(priming_fit().anova(), "Freqency")


def test_one_dict_must_serve_tables_of_several_fits_and_of_no_fit() -> None:
    oats = mf.load_dataset("Oats")
    small = mf.lmm("yield ~ nitro + (1 | Block)", oats).fit()
    large = mf.lmm("yield ~ nitro * Variety + (1 | Block)", oats).fit()
    labels = {"nitro": "Nitrogen", "Variety": "Sort", "Block": "Field", "Victory": "Winner", "yield": "Crop"}
    assert "(1" in mf.to_markdown(mf.anova(small, large, refit=True), labels=labels)
    assert "SD of (Intercept) \\| Field" in mf.to_markdown(mf.compare_models([small, large]), labels=labels)
    assert "| Nitrogen × Sort |" in mf.to_markdown(large.anova().effect_sizes(), labels=labels)
    assert "Nitrogen" in mf.to_markdown(
        large.anova(), labels={**labels, "dose": "Dose", "placebo": "Placebo"}
    )
    for wrong in ({"Nitro": "Nitrogen"}, {**labels, "Varety": "Sort"}, {"dose": "Dose"}):
        with pytest.raises(
            mf.ModelError, match=f"labels has '{next(key for key in wrong if key not in labels)}'"
        ):
            mf.to_markdown(large.anova(), labels=wrong)
    with pytest.raises(mf.ModelError, match=r"given an AnovaTable.*mf\.to_docx"):
        mf.table(large.anova())


def test_tests_must_have_two_decimals_and_words_in_apa_style() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    (ranova,) = document_tables(fit.ranova(), None, apa=True)
    assert ranova.heads == ("", "Parameters", "logLik", "χ²", "df", "p", "p (χ²)")
    assert [row[0] for row in ranova.rows] == ["Model as fitted", "Days | Subject"]
    cells = [document_tables(own, None, apa=True)[0].rows[-1] for own in (fit, fit.anova(), fit.ranova())]
    assert {"6.77", "45.85", "42.84"} <= {cell for row in cells for cell in row}  # lmerTest 3.1-3
