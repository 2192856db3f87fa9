"""What the pages show is what is printed."""

from __future__ import annotations

import doctest
import re

import pytest
from paths import DOCS

PAGES = sorted(
    page.name
    for page in DOCS.glob("*.md")
    if "```python\n>>>" in page.read_text(encoding="utf-8") and page.name != "bayes.md"
)
"""All but the page of random draws, which `test_bayes_page` holds to their Monte-Carlo error."""


NEEDS = {"sklearn.md": "sklearn"}
"""Optional packages of pages."""


@pytest.mark.parametrize("name", PAGES)
def test_page_must_show_what_is_printed(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    page = (DOCS / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    text = "\n".join(block.replace("\n\n", "\n<BLANKLINE>\n") for block in blocks)
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS).run(test)
    assert outcome.attempted > 5
    assert outcome.failed == 0
