"""Word tables fit A4 paper, have APA's rules and italics, and align numbers at the decimal point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from experiments import priming_fit, session_fit

import mixedfit as mf
from mixedfit.core.tables import Table
from mixedfit.reporting.word_layout import PORTRAIT, indents, layouts, points

docx = pytest.importorskip("docx")

RESULTS: dict[str, Any] = {
    "four models": lambda: mf.table([priming_fit(), session_fit()] * 2, caption="Times"),
    "one model": lambda: mf.table(priming_fit()),
    "anova": lambda: priming_fit().anova(),
    "means": lambda: session_fit().emmeans("SOA", "Session"),
    "contrasts": lambda: priming_fit().emmeans(["Prime", "Frequency"]).contrasts(),
    "effect sizes": lambda: priming_fit().emmeans("Prime").effect_sizes(),
    "eta": lambda: priming_fit().anova().effect_sizes(),
    "fit": lambda: priming_fit(),
    "slopes": lambda: session_fit().emtrends("SOA", "Session"),
}


def written(what: Any, path: Path, **options: Any) -> Any:
    mf.to_docx(what, path / "table.docx", **options)
    return docx.Document(str(path / "table.docx"))


def italics(paragraph: Any) -> list[str]:
    return [run.text for run in paragraph.runs if run.italic]


@pytest.mark.everyday(3)
@pytest.mark.parametrize("name", RESULTS)
def test_tables_must_fit_a4_in_portrait(name: str, tmp_path: Path) -> None:
    document = written(RESULTS[name](), tmp_path)
    section = document.sections[0]
    assert (round(section.page_width.cm, 1), round(section.page_height.cm, 1)) == (21.0, 29.7)
    room = (section.page_width - section.left_margin - section.right_margin) / 12700  # points
    assert room == pytest.approx(PORTRAIT, abs=1)
    for grid in document.tables:
        assert not grid.autofit
        assert sum(column.width.pt for column in grid.columns) <= room + 0.5
        for row in grid.rows:
            assert sum(cell.width.pt for cell in {c._tc: c for c in row.cells}.values()) <= room + 0.5


@pytest.mark.everyday(3)
@pytest.mark.parametrize("name", RESULTS)
def test_numbers_must_not_be_broken_and_points_be_aligned(name: str, tmp_path: Path) -> None:
    """A point's distance from the right side is the indent and half a letter's size for each decimal."""
    for grid in written(RESULTS[name](), tmp_path).tables:
        head = max(i for i, row in enumerate(grid.rows[:2]) if row.cells[-1].text)
        for column in range(1, len(grid.columns)):
            places = set()
            for row in grid.rows[head + 1 :]:
                paragraph = row.cells[column].paragraphs[0]
                text, indent = paragraph.text, paragraph.paragraph_format.right_indent
                if indent is None or not text:
                    continue
                size = paragraph.runs[0].font.size.pt
                assert points(text, size) + indent.pt <= grid.columns[column].width.pt
                if text[-1].isdigit():
                    decimals = len(text.partition(".")[2])
                    beside = 0.0 if "." in text else points(".", size)
                    places.add(round(indent.pt + decimals * 0.5 * size - beside))
            assert not places or max(places) - min(places) <= 1


def test_heads_must_be_symbols_of_apa_in_italics(tmp_path: Path) -> None:
    def heads(what: Any) -> list[tuple[str, list[str]]]:
        cells = written(what, tmp_path).tables[0].rows[0].cells
        return [(cell.text, italics(cell.paragraphs[0])) for cell in cells]

    anova = dict(heads(priming_fit().anova()))
    assert anova["F"] == ["F"]
    assert anova["p"] == ["p"]
    assert anova["Den. df"] == ["df"]
    assert anova["Term"] == []
    means = heads(priming_fit().emmeans("Prime"))
    assert means[1:] == [("M", ["M"]), ("SE", ["SE"]), ("df", ["df"]), ("95% CI", [])]
    contrasts = dict(heads(session_fit().emmeans("SOA").contrasts(level=0.9)))
    assert contrasts["t"] == ["t"]
    assert "90% CI" in contrasts
    assert "d" in dict(heads(priming_fit().emmeans("Prime").effect_sizes()))
    assert "b" in dict(heads(session_fit().emtrends("SOA", "Session")))
    assert "z" in dict(heads(session_fit().emmeans("SOA", ddf="normal").contrasts()))


def test_cells_must_have_the_numbers_of_the_table(tmp_path: Path) -> None:
    made = session_fit().emmeans("SOA").contrasts()
    rows = [[cell.text for cell in row.cells] for row in written(made, tmp_path).tables[0].rows[1:]]
    for found, (_, row) in zip(rows, made.table.iterrows(), strict=True):
        assert found[0] == row["contrast"].replace(" - ", " − ")
        low, high = (f"{row[side]:.1f}".replace("-", "−") for side in ("lower", "upper"))
        assert found[4] == f"[{low}, {high}]"
        assert found[-1] == f"{row['p_value']:.3f}".removeprefix("0")
    p = priming_fit().summary().coefficients["p_value"]
    grid = written(priming_fit(), tmp_path).tables[0]
    assert [row.cells[-1].text for row in grid.rows[1:]] == [
        "< .001" if value < 0.001 else f"{value:.3f}"[1:] for value in p
    ]


def test_labels_and_notes_must_have_italic_symbols(tmp_path: Path) -> None:
    document = written(RESULTS["one model"](), tmp_path)
    labels = {row.cells[0].text: italics(row.cells[0].paragraphs[0]) for row in document.tables[0].rows}
    assert labels["SD: Intercept | Item"] == ["SD"]
    assert labels["Marginal R²"] == ["R²"]
    assert labels["Prime 1"] == []
    note = next(p for p in document.paragraphs if p.text.startswith("Note."))
    assert italics(note) == ["Note. ", "p"]


def test_many_models_must_stand_in_blocks_with_all_their_rows(tmp_path: Path) -> None:
    table = RESULTS["four models"]()
    document = written(table, tmp_path)
    assert len(document.tables) == 2
    heads = [{cell.text for cell in grid.rows[0].cells} - {""} for grid in document.tables]
    assert heads == [{"model 1", "model 2"}, {"model 3", "model 4"}]
    for grid in document.tables:
        labels = [row.cells[0].text for row in grid.rows[2:]]
        assert labels == [row[0] for row in table.cells.rows]
    assert document.paragraphs[0].text == "Times"


def test_table_without_models_that_is_too_wide_must_turn_the_page(tmp_path: Path) -> None:
    wide = Table("", ("", *[f"a long head {i}" for i in range(9)]), (("x", *["123.45"] * 9),))
    section = written(wide, tmp_path).sections[0]
    assert section.page_width > section.page_height


def test_indents_must_align_whole_numbers_and_decimals() -> None:
    size, width = 10.0, 100.0
    one, two, none, text = indents(["1.5", "10.25", "3", "[1, 2]"], width, size)
    assert one - two == pytest.approx(0.5 * size)
    assert none - two == pytest.approx(size + points(".", size))
    assert text <= two


def test_long_labels_must_be_narrowed_before_letters_get_smaller() -> None:
    table = Table("", ("", "b"), (("a label of many words " * 6, "1.00"),))
    (layout,) = layouts(table)
    assert layout.size == 11
    assert sum(layout.widths) == pytest.approx(PORTRAIT)


# -- text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5])
def test_text_of_many_models_must_fit_100_letters_and_keep_every_number(count: int) -> None:
    table = mf.table([priming_fit(), session_fit(), priming_fit()][: min(count, 3)] * (1 + (count > 3)))
    lines = str(table).splitlines()
    assert max(map(len, lines)) <= 100
    shown = " ".join(lines)
    for row in table.cells.rows:
        for cell in row[1:]:
            assert cell in shown
    for number in range(1, len(table.coefficients) + 1):
        assert shown.count(f"model {number}") == 1


def test_text_of_one_model_must_stay_as_it_is() -> None:
    lines = str(mf.table(priming_fit())).splitlines()
    assert lines.count("Fixed effects") == 1
    assert any(line.startswith("Correlation: Intercept, Prime 1 | Subject") for line in lines)
