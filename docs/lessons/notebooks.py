"""Write the lessons as Jupyter notebooks: ``python docs/lessons/notebooks.py [folder]``.

``--outputs page`` stores the outputs that the pages print, ``--outputs run`` those of an execution (needs nbclient and
ipykernel). ``--without-answers`` leaves the answers of the exercises out, and names of lessons (``005``) select some.
The files are valid in nbformat 4.5; writing them needs nothing but Python.
"""

from __future__ import annotations

import argparse
import base64
import doctest
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

LESSONS = Path(__file__).resolve().parent
ROOT = LESSONS.parents[1]

BLOCK = re.compile(r"^```python( draws)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+\.png)\)")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)")
OFFER = re.compile(r"^\[This lesson as a notebook\].*\n+", re.MULTILINE)
"""The line of a page that leads to its notebook, which a notebook does not need."""
EXERCISES = "## Exercises\n"
WRAPPING = re.compile(r"^</?details>$|^<summary>.*</summary>$", re.MULTILINE)
QUESTION = re.compile(r"^(?=\d+\. )", re.MULTILINE)

Outputs = Literal["none", "page", "run"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a notebook, and what the page shows as its output.

    Attributes
    ----------
    kind : {"markdown", "code"}
    source : str
    shown : str
        The output on the page, with ``<BLANKLINE>`` for its empty lines; empty if it shows none.
    raises : str, optional
        The last line of the traceback, if the page shows one.
    draws : bool
        Whether the output has random draws.
    answer : bool
        Whether the cell belongs to the answers of the exercises.
    """

    kind: Literal["markdown", "code"]
    source: str
    shown: str = ""
    raises: str | None = None
    draws: bool = False
    answer: bool = False


# -- a page as cells -------------------------------------------------------------------------------------------


def lesson_pages() -> list[Path]:
    """Return the pages of the lessons, in their order."""
    return sorted(LESSONS.glob("0*.md"))


def cells_of(page: str) -> list[Cell]:
    """Return the cells of a page: text, statements up to each output, and the exercises with their answers."""
    body, exercises, rest = OFFER.sub("", page).partition(EXERCISES)
    questions, _, answers = rest.partition("<details>")
    cells = list(_text_and_code(body))
    if exercises:
        cells += _questions(questions)
        cells.append(Cell("markdown", "## Answers", answer=True))
        cells += (replace(cell, answer=True) for cell in _text_and_code(WRAPPING.sub("", answers)))
    return cells


def _text_and_code(text: str) -> Iterator[Cell]:
    """Yield the cells of text with blocks of code."""
    end = 0
    for block in BLOCK.finditer(text):
        yield from _sections(text[end : block.start()])
        yield from _statements(block[2], draws=bool(block[1]))
        end = block.end()
    yield from _sections(text[end:])


def _sections(text: str) -> Iterator[Cell]:
    """Yield a cell for each heading with what follows it."""
    for section in re.split(r"^(?=##+ )", text, flags=re.MULTILINE):
        if section.strip():
            yield Cell("markdown", section.strip())


def _questions(text: str) -> Iterator[Cell]:
    """Yield a cell for each exercise, with an empty one for the reader's code."""
    heading, *questions = QUESTION.split(text)
    yield Cell("markdown", f"{EXERCISES}\n{heading.strip()}".strip())
    for question in questions:
        yield Cell("markdown", question.strip())
        yield Cell("code", "")


def _statements(code: str, *, draws: bool) -> Iterator[Cell]:
    """Yield the statements of a block, up to each output in one cell: notebooks show the last value of a cell."""
    text = re.sub(r"\n\n(?!>>>)", "\n<BLANKLINE>\n", code)  # an empty line before ">>>" ends the output
    sources: list[str] = []
    for example in doctest.DocTestParser().get_examples(text):
        sources.append(example.source.rstrip("\n"))
        if example.want:
            raised = (example.exc_msg or "").strip() or None
            shown = "" if raised else example.want
            yield Cell("code", _joined(sources), shown, raised, draws)
            sources = []
    if sources:
        yield Cell("code", _joined(sources), draws=draws)


def _joined(statements: Sequence[str]) -> str:
    """Return statements as the text of a cell, functions and loops apart from the rest by empty lines."""
    text = ""
    for before, statement in zip(("", *statements), statements, strict=False):
        compound = any(
            re.search(r":\n +\S", part) and not part.endswith((")", "]")) for part in (before, statement)
        )
        text += ("\n\n" if compound else "\n") * bool(text) + statement
    return text


# -- cells as a notebook ---------------------------------------------------------------------------------------


def notebook(name: str, cells: Sequence[Cell], outputs: Literal["none", "page"] = "none") -> dict[str, Any]:
    """Return the cells of the lesson `name` as a notebook in nbformat 4.5."""
    title, *others = cells
    told = Cell("markdown", _how_to_run(name, cells))
    records = [_record(cell, outputs) for cell in (title, told, *others)]
    for number, record in enumerate(records):
        record["id"] = f"{name[:3]}-{number:03d}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python", "file_extension": ".py"}}
    return {"cells": records, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _how_to_run(name: str, cells: Sequence[Cell]) -> str:
    text = (
        f"*From `docs/lessons/{name}.md` of mixedfit. Install the package from its folder with `pip install -e "
        '".[plot]"`, and run the cells from top to bottom.*'
    )
    if any("../shared/" in cell.source for cell in cells if cell.kind == "code"):
        text += " *The data are not part of the project: put their file at the path that the code reads.*"
    return text


def _record(cell: Cell, outputs: str) -> dict[str, Any]:
    """Return a cell as JSON writes it."""
    if cell.kind == "markdown":
        text, attached = _with_pictures(LINK.sub(_link, cell.source))
        record = {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}
        return record | ({"attachments": attached} if attached else {})
    tags = ["answer"] * cell.answer + ["raises-exception"] * bool(cell.raises)
    hidden = {"jupyter": {"source_hidden": True}} if cell.answer else {}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": hidden | ({"tags": tags} if tags else {}),
        "outputs": _shown(cell) if outputs == "page" else [],
        "source": cell.source.splitlines(keepends=True),
    }


def _shown(cell: Cell) -> list[dict[str, Any]]:
    """Return the output of the page."""
    if cell.raises:
        error, _, message = cell.raises.partition(": ")
        return [{"output_type": "error", "ename": error, "evalue": message, "traceback": [cell.raises]}]
    text = cell.shown.replace("<BLANKLINE>", "").rstrip("\n")
    lines = f"{text}\n".splitlines(keepends=True)
    return [{"output_type": "stream", "name": "stdout", "text": lines}] if text else []


def _link(match: re.Match[str]) -> str:
    """Return a link to another lesson as one to its notebook, and one to another page as its text and path."""
    path, _, heading = match[2].partition("#")
    target = (LESSONS / path).resolve()
    if target in lesson_pages():
        return f"[{match[1]}]({target.stem}.ipynb{'#' * bool(heading)}{heading})"
    return f"{match[1]} (`{target.relative_to(ROOT).as_posix()}`)" if path else match[1]


def _with_pictures(text: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Return text that shows its pictures from the attachments, and the attachments."""
    attached: dict[str, dict[str, str]] = {}

    def found(match: re.Match[str]) -> str:
        path = LESSONS / match[2]
        attached[path.name] = {"image/png": base64.b64encode(path.read_bytes()).decode("ascii")}
        return f"![{match[1]}](attachment:{path.name})"

    return PICTURE.sub(found, text), attached


def executed(written: dict[str, Any], *, timeout: int = 600) -> dict[str, Any]:
    """Return a notebook with the outputs of its execution in the project's folder; needs nbclient and ipykernel."""
    try:
        import ipykernel  # noqa: F401
        import nbclient
        import nbformat
    except ImportError as missing:
        raise SystemExit(
            f"{missing.name} is not installed, which executes notebooks: pip install nbclient ipykernel"
        ) from missing
    node = nbformat.reads(json.dumps(written), as_version=4)  # joins the lines of sources
    resources = {"metadata": {"path": str(ROOT)}}
    nbclient.NotebookClient(node, timeout=timeout, kernel_name="python3", resources=resources).execute()
    found: dict[str, Any] = json.loads(nbformat.writes(node))
    return found


def write(
    folder: Path, names: Sequence[str] = (), *, outputs: Outputs = "none", answers: bool = True
) -> list[Path]:
    """Write the lessons whose names start with one of `names`, all by default, and return the paths.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    names : sequence of str
        Beginnings of names, such as "005".
    outputs : {"none", "page", "run"}
        No outputs, those of the page, or those of an execution.
    answers : bool
        Whether the answers of the exercises are written.

    Raises
    ------
    SystemExit
        If no lesson has one of the names, or if outputs="run" and nbclient is not installed.
    """
    pages = lesson_pages()
    for name in names:
        if not any(page.stem.startswith(name) for page in pages):
            raise SystemExit(f"no lesson {name!r}; there are {', '.join(page.stem for page in pages)}")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for page in pages:
        if names and not page.stem.startswith(tuple(names)):
            continue
        cells = cells_of(page.read_text(encoding="utf-8"))
        kept = [cell for cell in cells if answers or not cell.answer]
        made = notebook(page.stem, kept, "page" if outputs == "page" else "none")
        paths.append(folder / f"{page.stem}.ipynb")
        text = json.dumps(executed(made) if outputs == "run" else made, ensure_ascii=False, indent=1)
        paths[-1].write_text(f"{text}\n", encoding="utf-8")
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the notebooks that the command line asks for."""
    parser = argparse.ArgumentParser(description="Write the lessons as Jupyter notebooks.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("notebooks"), help="default: notebooks")
    parser.add_argument("--lessons", nargs="+", default=(), metavar="NAME", help="some lessons, such as 005")
    parser.add_argument("--outputs", choices=("none", "page", "run"), default="none", help="stored outputs")
    parser.add_argument("--without-answers", action="store_true", help="leave the answers of exercises out")
    given = parser.parse_args(arguments)
    for path in write(given.folder, given.lessons, outputs=given.outputs, answers=not given.without_answers):
        print(path)


if __name__ == "__main__":
    main()
