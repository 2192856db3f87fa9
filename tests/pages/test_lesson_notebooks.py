"""Notebooks of the lessons: valid files with the statements, outputs and pictures of the pages.

That their cells run and print what the pages show is tested in `test_lessons`, which runs each lesson once.
"""

from __future__ import annotations

import ast
import base64
import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest
from lessons import BORROWED, LESSONS, PAGES, cells_of, script
from pages import BLOCK

notebooks = script("notebooks")

CELL_KEYS = {
    "markdown": ({"cell_type", "id", "metadata", "source"}, {"attachments"}),
    "code": ({"cell_type", "id", "metadata", "source", "outputs", "execution_count"}, set()),
}
"""Required and optional keys of cells in nbformat 4.5."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All lessons as their files hold them, with the outputs of the pages."""
    folder = tmp_path_factory.mktemp("lessons") / "new"
    paths = notebooks.write(folder, outputs="page")
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def sources(book: dict[str, Any], kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == kind]


def test_each_lesson_must_become_a_notebook(written: dict[str, Any]) -> None:
    assert [f"{name}.md" for name in written] == PAGES


@pytest.mark.parametrize("name", [page.removesuffix(".md") for page in PAGES])
def test_notebook_must_have_the_fields_of_its_format(name: str, written: dict[str, Any]) -> None:
    book = written[name]
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) for text in ids)
    for cell in book["cells"]:
        required, optional = CELL_KEYS[cell["cell_type"]]
        assert required <= set(cell) <= required | optional
        assert all(isinstance(line, str) for line in cell["source"])
        for output in cell.get("outputs", []):
            assert output["output_type"] in {"stream", "error"}


@pytest.mark.parametrize("name", [page.removesuffix(".md") for page in PAGES])
def test_notebook_must_be_valid_when_nbformat_checks_it(name: str, written: dict[str, Any]) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.from_dict(written[name]))


@pytest.mark.parametrize("name", PAGES)
def test_cells_must_be_the_statements_of_the_page(name: str, written: dict[str, Any]) -> None:
    """The rival drops, doubles or reorders statements, or keeps a prompt."""
    text = (LESSONS / name).read_text(encoding="utf-8")
    examples = [
        ast.dump(statement)
        for block in BLOCK.finditer(text)
        for example in doctest.DocTestParser().get_examples(block[2])
        for statement in ast.parse(example.source).body
    ]
    code = sources(written[name.removesuffix(".md")], "code")
    assert [ast.dump(s) for source in code for s in ast.parse(source).body] == examples
    assert not any(re.search(r"^(>>>|\.\.\.)", source, re.MULTILINE) for source in code)


@pytest.mark.parametrize("name", PAGES)
def test_only_the_last_statement_of_a_cell_may_have_a_value_to_show(name: str) -> None:
    """A notebook shows the last value; `print`, and methods that return None, may stand anywhere."""
    for cell in cells_of(name):
        if cell.kind == "code" and cell.shown:
            assert isinstance(ast.parse(cell.source).body[-1], ast.Expr | ast.For | ast.With), cell.source


@pytest.mark.parametrize("name", [page.removesuffix(".md") for page in PAGES])
def test_text_must_carry_its_pictures_and_lead_to_notebooks_only(name: str, written: dict[str, Any]) -> None:
    page = (LESSONS / f"{name}.md").read_text(encoding="utf-8")
    found = {}
    for cell in written[name]["cells"]:
        found |= cell.get("attachments", {})
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            assert "<details>" not in text
            assert set(re.findall(r"\(attachment:([^)]+)\)", text)) == set(cell.get("attachments", {}))
            links = re.findall(r"\]\((?!attachment:|https?:)([^)]+)\)", text)
            assert all(link.partition("#")[0] in {f"{other}.ipynb" for other in written} for link in links)
    pictures = re.findall(r"\]\((\.\./images/[^)]+)\)", page)
    assert set(found) == {Path(path).name for path in pictures}
    for path in pictures:
        assert base64.b64decode(found[Path(path).name]["image/png"]) == (LESSONS / path).read_bytes()


@pytest.mark.parametrize("name", PAGES)
def test_lesson_must_end_with_exercises_and_an_answer_to_each(name: str, written: dict[str, Any]) -> None:
    page = (LESSONS / name).read_text(encoding="utf-8")
    _, _, exercises = page.partition("## Exercises\n")
    questions, _, answers = exercises.partition("<details>\n<summary>Answers</summary>\n")
    numbers = re.findall(r"^(\d+)\. ", questions, re.MULTILINE)
    assert 3 <= len(numbers) <= 5
    assert re.findall(r"^\*\*(\d+)\.\*\* ", answers, re.MULTILINE) == numbers
    assert answers.rstrip().endswith("</details>")
    assert ">>>" in answers
    book = written[name.removesuffix(".md")]
    assert sources(book, "code").count("") == len(numbers)
    hidden = [cell for cell in book["cells"] if cell["metadata"].get("jupyter", {}).get("source_hidden")]
    assert hidden
    assert all("answer" in cell["metadata"]["tags"] for cell in hidden)


def test_answers_must_be_left_out_when_asked(tmp_path: Path) -> None:
    (path,) = notebooks.write(tmp_path, ["000"], answers=False)
    book = json.loads(path.read_text(encoding="utf-8"))
    assert not any("## Answers" in text for text in sources(book, "markdown"))
    assert not any("answer" in cell["metadata"].get("tags", []) for cell in book["cells"])
    assert any("## Exercises" in text for text in sources(book, "markdown"))


def test_outputs_must_be_those_of_the_page_or_none() -> None:
    text = "# T\n\n```python\n>>> a = 2\n>>> print(a)\n2\n\n>>> print('x\\n\\ny')\nx\n\ny\n\n>>> 1 / 0\n"
    text += "Traceback (most recent call last):\nZeroDivisionError: division by zero\n```\n"
    cells = notebooks.cells_of(text)
    assert [cell.source for cell in cells[1:]] == ["a = 2\nprint(a)", "print('x\\n\\ny')", "1 / 0"]
    shown = [cell["outputs"] for cell in notebooks.notebook("T", cells, "page")["cells"][2:]]
    streams = [output[0]["text"] for output in shown[:2]]
    assert streams == [["2\n"], ["x\n", "\n", "y\n"]]
    assert (shown[2][0]["ename"], shown[2][0]["evalue"]) == ("ZeroDivisionError", "division by zero")
    assert not any(cell.get("outputs") for cell in notebooks.notebook("T", cells)["cells"])


def test_command_must_write_the_lessons_that_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebooks.main([str(tmp_path / "a"), "--lessons", "000", "004"])
    assert [path.name[:3] for path in sorted((tmp_path / "a").iterdir())] == ["000", "004"]
    assert len(capsys.readouterr().out.splitlines()) == 2
    with pytest.raises(SystemExit, match="no lesson '9'; there are 000-one"):
        notebooks.main([str(tmp_path), "--lessons", "9"])


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_notebook_must_run_in_a_kernel(
    name: str, request: pytest.FixtureRequest, written: dict[str, Any]
) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    if name in BORROWED:
        request.getfixturevalue("shared_data")
    made = notebooks.executed(written[name.removesuffix(".md")])
    for cell, shown in zip(made["cells"], written[name.removesuffix(".md")]["cells"], strict=True):
        assert bool(cell.get("outputs")) >= bool(shown.get("outputs"))
