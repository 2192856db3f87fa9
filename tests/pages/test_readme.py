"""What the README shows is what the package prints."""

from __future__ import annotations

import re

import pytest
from paths import ROOT

import mixedfit as mf

README = (ROOT / "README.md").read_text(encoding="utf-8")
START = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
COMING = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [README, START], ids=["README", "start"])
def test_page_must_show_the_summary_that_is_printed(page: str) -> None:
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    printed = str(mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit().summary())
    without_verdict = shown.group(1).strip().split("\n")[:-1]
    assert without_verdict == printed.split("\n")[:-1]


@pytest.mark.parametrize("page", [README, START], ids=["README", "start"])
def test_page_must_run(page: str) -> None:
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code is not None
    exec(compile(code.group(1), "README.md", "exec"), {})


@pytest.mark.parametrize("page", [README, START, COMING], ids=["README", "start", "coming_from"])
def test_page_must_name_only_what_exists(page: str) -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    last_cells = [line.rstrip("|").split("|")[-1] for line in page.split("\n") if line.startswith("| `")]
    attributes = [name for cell in last_cells for name in re.findall(r"`\.(\w+)", cell) if name != "fit"]
    assert page != COMING or len(attributes) > 15
    for name in attributes + re.findall(r"`fit\.(\w+)", page):
        assert hasattr(fit, name), name
    for name in re.findall(r"(?<!\w)mf\.(\w+)", page):
        assert hasattr(mf, name), name
