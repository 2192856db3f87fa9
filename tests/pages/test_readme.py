"""What the README shows is what the package prints."""

from __future__ import annotations

import re

from paths import ROOT

import mixedfit as mf

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_must_show_the_summary_that_is_printed() -> None:
    shown = re.search(r"```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    printed = str(mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit().summary())
    without_verdict = shown.group(1).strip().split("\n")[:-1]
    assert without_verdict == printed.split("\n")[:-1]


def test_readme_must_run() -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    exec(compile(code.group(1), "README.md", "exec"), {})


def test_readme_must_name_only_what_exists() -> None:
    fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    last_cells = [line.rstrip("|").split("|")[-1] for line in README.split("\n") if line.startswith("| `")]
    attributes = [name for cell in last_cells for name in re.findall(r"`\.(\w+)", cell) if name != "fit"]
    assert len(attributes) > 15
    for name in attributes + re.findall(r"`fit\.(\w+)", README):
        assert hasattr(fit, name), name
    for name in re.findall(r"(?<!\w)mf\.(\w+)", README):
        assert hasattr(mf, name), name
