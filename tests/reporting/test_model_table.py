"""Fits side by side for a paper: the numbers are those of the fits, in every kind of document."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

import mixedfit as mf
from mixedfit.core.tables import Table

SLEEP = mf.load_dataset("sleepstudy")
LABELS = {"Days": "Days awake (β₁)", "Subject": "person_id"}


@lru_cache
def intercepts() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (1 | Subject)", SLEEP).fit()


@lru_cache
def slopes() -> mf.MixedResults:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", SLEEP).fit()


@lru_cache
def oats() -> mf.MixedResults:
    return mf.lmm("yield ~ nitro * Variety + (1 | Block/Variety)", mf.load_dataset("Oats")).fit()


def cells(table: mf.ModelTable) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table.cells.rows if len(row) > 1}


def test_table_must_have_the_numbers_of_each_fit_below_its_name() -> None:
    table = mf.table({"one": intercepts(), "two": slopes()})
    assert table.cells.spans == (("", 1), ("one", 4), ("two", 4))
    assert table.cells.heads == ("", *("b", "SE", "95% CI", "p") * 2)
    days = cells(table)["Days"]
    for fit, own in ((intercepts(), days[:4]), (slopes(), days[4:])):
        limits = fit.conf_int(ddf="satterthwaite").loc["Days"]
        assert own[:2] == (f"{fit.params['Days']:.2f}", f"{fit.bse['Days']:.2f}")
        assert own[2] == f"[{limits['lower']:.2f}, {limits['upper']:.2f}]"
        assert own[3] == "< .001"
    variances = cells(table)
    assert variances["SD: Days | Subject"] == ("", "", "", "", "5.92", "", "", "")
    assert variances["SD: residual"][::4] == ("30.99", "25.59")
    r = slopes().diagnostics.r_squared()["estimate"]
    assert variances["Conditional R²"][4] == f"{r['conditional']:.2f}".removeprefix("0")


def test_p_values_must_be_those_of_the_degrees_of_freedom_that_are_chosen() -> None:
    row = cells(mf.table(oats(), ddf="residual", show=["p"]))["Variety Marvellous"]
    expected = oats().t_test("VarietyMarvellous", ddf="residual").table["p_value"].iloc[0]
    assert row == (f"{expected:.3f}"[1:],)
    other = cells(mf.table(oats(), show=["p"]))["Variety Marvellous"]
    assert other != row
    plain = mf.table(oats(), style="plain", ddf="residual")
    assert any("residual" in note for note in plain.cells.notes)
    assert cells(plain)["Variety Marvellous"][2] == "66"


def test_coefficient_that_a_model_lacks_must_have_empty_cells_and_rows_keep_their_order() -> None:
    null = mf.lmm("Reaction ~ 1 + (1 | Subject)", SLEEP).fit()
    found = cells(mf.table([null, slopes()], show=["estimate", "p"]))
    assert found["Days"] == ("", "", "10.47", "< .001")
    assert list(found)[:2] == ["Intercept", "Days"]


def test_labels_must_stand_in_interactions_levels_and_random_effects() -> None:
    own = {"nitro": "N", "Variety": "Sort", "VarietyVictory": "Victory oats", "Block": "field"}
    found = cells(mf.table(oats(), labels=own))
    assert {"N", "Sort Marvellous", "Victory oats", "N × Sort Marvellous", "N × Victory oats"} <= set(found)
    assert {"SD: Intercept | Sort:field", "SD: Intercept | field", "Levels of field"} <= set(found)


def test_label_of_an_unknown_name_must_raise_with_the_nearest_name() -> None:
    with pytest.raises(mf.ModelError, match=r"Dayz.*[Dd]id you mean 'Days'"):
        mf.table(slopes(), labels={"Dayz": "x"})


@lru_cache
def posterior() -> mf.Posterior:
    return mf.lmm("Reaction ~ Days + (Days | Subject)", SLEEP).gibbs(seed=1, draws=200)


def test_posterior_must_have_means_sds_and_credible_intervals_beside_a_fit() -> None:
    table = mf.table({"fit": slopes(), "draws": posterior()}, labels={"Days": "Days awake"})
    assert table.cells.spans == (("", 1), ("fit", 4), ("draws", 3))
    assert table.cells.heads[5:] == ("Mean", "SD", "95% CrI")
    found, summary = cells(table), posterior().summary()
    rows = {"Days awake": "Days", "SD: Days awake | Subject": "sd_Days|Subject", "SD: residual": "sigma"}
    for label, name in rows.items():
        own = summary.loc[name]
        expected = (f"{own['mean']:.2f}", f"{own['sd']:.2f}", f"[{own['2.5%']:.2f}, {own['97.5%']:.2f}]")
        assert found[label][4:] == expected
    assert found["AIC"] == (f"{slopes().aic:.1f}", *[""] * 6)
    assert found["Observations"][::4] == ("180", "180")
    loo = posterior().loo()
    assert found["elpd (SE)"][4] == f"−{-loo.elpd:.1f} ({loo.se:.1f})"
    assert any(note.startswith("draws: posterior means") for note in table.cells.notes)
    frame = table.coefficients["draws"]
    assert frame["p_value"].isna().all()


def test_posterior_alone_must_give_the_same_table_in_a_list_and_in_all_documents(tmp_path: Path) -> None:
    pytest.importorskip("docx")
    alone, listed = mf.table(posterior()), mf.table([posterior()])
    assert str(alone) == str(listed)
    assert listed.cells.heads == ("", "Mean", "SD", "95% CrI")
    for end in ("docx", "tex", "html", "md", "txt"):
        mf.table([posterior(), slopes()]).save(tmp_path / f"table.{end}")
        assert (tmp_path / f"table.{end}").stat().st_size > 500


def test_table_of_p_values_alone_must_be_refused_for_a_posterior() -> None:
    with pytest.raises(mf.ModelError, match=r"show=\['p'\].*'std_error' \(the posterior SD\)"):
        mf.table(posterior(), show=["p"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style": "ieee"}, "style='ieee'"),
        ({"show": ["beta"]}, "show='beta'"),
        ({"show": []}, "show is empty"),
    ],
)
def test_option_that_is_not_known_must_raise(options: dict[str, object], words: str) -> None:
    with pytest.raises(mf.ModelError, match=re.escape(words)):
        mf.table(slopes(), **options)  # type: ignore[arg-type]


def test_invalid_comparison_must_be_noted() -> None:
    other = mf.lmm("Reaction ~ Days + (1 | Subject)", SLEEP[:150]).fit()
    assert any("different rows" in note for note in mf.table([slopes(), other]).cells.notes)


def test_text_must_have_lines_of_one_width_and_names_above_their_columns() -> None:
    lines = str(mf.table([intercepts(), slopes()], names=["with intercepts alone", "B"], show=["p"])).split(
        "\n"
    )
    assert lines[0].index("with intercepts alone") < lines[1].index("p") < lines[0].index("B") + 3
    table = str(mf.table([intercepts(), slopes()])).split("\n\n")[0].split("\n")
    days = next(line for line in table if line.startswith("Days "))
    assert len(days) == len(table[1])


def test_html_must_group_the_columns_of_a_model() -> None:
    html = mf.to_html(mf.table([intercepts(), slopes()]))
    assert html.count('scope="colgroup" colspan="4"') == 2


def test_markdown_must_name_the_model_in_each_head() -> None:
    assert "| model 2: b |" in mf.to_markdown(mf.table([intercepts(), slopes()]))


def test_word_document_must_have_the_cells_of_the_table(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    table = mf.table([intercepts(), slopes()], labels=LABELS, caption="Reaction times")
    table.save(tmp_path / "table.docx")
    document = docx.Document(str(tmp_path / "table.docx"))
    (grid,) = document.tables
    rows = [[cell.text for cell in row.cells] for row in grid.rows]
    assert rows[0] == ["", *["model 1"] * 4, *["model 2"] * 4]
    assert tuple(rows[1]) == table.cells.heads
    for found, expected in zip(rows[2:], table.cells.rows, strict=True):
        assert found == list(expected) or (len(expected) == 1 and set(found) == set(expected))
    texts = [paragraph.text for paragraph in document.paragraphs]
    assert texts[0] == "Reaction times"
    assert table.cells.notes[0] in texts
    for borders in grid._tbl.iter("{http://schemas.openxmlformats.org/wordprocessingml/2006/main}tcBorders"):
        sides = [line.tag.split("}")[1] for line in borders]
        assert sides in (["top"], ["bottom"], ["top", "bottom"])  # the order that Word requires


@pytest.mark.parametrize("end", ["tex", "html", "md", "txt"])
def test_file_must_have_what_the_function_returns(end: str, tmp_path: Path) -> None:
    table = mf.table(slopes())
    functions = {"tex": mf.to_latex, "html": mf.to_html, "md": mf.to_markdown, "txt": str}
    table.save(tmp_path / f"table.{end}")
    assert (tmp_path / f"table.{end}").read_text(encoding="utf-8").rstrip() == functions[end](table)


def test_file_of_an_unknown_kind_must_raise(tmp_path: Path) -> None:
    with pytest.raises(mf.ModelError, match=r"\.pdf"):
        mf.table(slopes()).save(tmp_path / "table.pdf")


ODD = "αβγδεζηθικλμνξοπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩΑΒ ⁰¹²³⁻¹ x₁₀ −∞×≤≥≈±→·√°≠′–… é ü ß ~^_#%&${}\\<>|\"'[*]"


def test_latex_must_have_no_letter_that_its_fonts_lack() -> None:
    text = mf.to_latex(Table("", ("a",), ((ODD,),)))
    assert set(text) - {"é", "ü", "ß"} <= set(map(chr, range(128)))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_must_compile(tmp_path: Path) -> None:
    tables = [
        mf.to_latex(mf.table([intercepts(), slopes()], labels=LABELS, caption=ODD), label="tab:one"),
        mf.to_latex(Table("50% & more", ("a_b", ODD), (("[1em] x", ODD), ("* y", "-1.5")), notes=(ODD,))),
        mf.to_latex(slopes().summary(correlation=True)),
        mf.to_latex(oats().anova(), labels={"nitro": "N_2 (χ²)"}),
    ]
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "a.tex").write_text("\n".join([head, *tables, r"\end{document}"]), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
    assert run.returncode == 0, run.stdout.decode(errors="replace")[-1500:]


@pytest.mark.parametrize("name", ["tab_model", "modelsummary", "stargazer"])
def test_name_of_another_package_must_lead_to_the_table(name: str) -> None:
    with pytest.raises(AttributeError, match=r"table"):
        getattr(mf, name)


def test_labels_must_stand_in_every_table() -> None:
    rows = mf.to_markdown(oats().anova(), labels={"nitro": "N", "Variety": "Sort"})
    assert "| N × Sort " in rows
    assert "nitro" not in rows
    assert "Sort" in mf.to_html(oats().emmeans("Variety"), labels={"Variety": "Sort"})


def test_pictures_must_have_labels() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    own = {"nitro": "nitrogen", "Variety": "sort", "yield": "bushels"}
    ax = oats().plot.forest(labels=own)
    assert {text.get_text() for text in ax.get_yticklabels()} >= {"nitrogen", "nitrogen × sort Victory"}
    assert ax.get_xlabel() == "difference in bushels"
    means = oats().plot.effect("nitro", by="Variety", labels=own)
    assert (means.get_xlabel(), means.get_ylabel()) == ("nitrogen", "bushels")
    assert means.get_legend().get_title().get_text() == "sort"
    assert oats().plot.means("Variety", labels=own).get_xlabel() == "sort"
    plt.close("all")
