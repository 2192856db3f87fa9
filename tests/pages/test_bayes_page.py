"""What docs/bayes.md shows is what happens, up to the Monte-Carlo error of its numbers."""

from __future__ import annotations

import doctest
import re

from pages import OPTIONS, ROOT, Near

PAGE = ROOT / "docs" / "bayes.md"


def test_page_must_show_what_is_printed() -> None:
    text = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, None, 0)
    runner = doctest.DocTestRunner(Near(), optionflags=OPTIONS)
    runner.run(test)
    assert runner.failures == 0
    assert len(test.examples) > 10


def test_page_must_show_pictures_that_are_there_and_run_all_of_its_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in re.findall(r"!\[[^\]]{15,}\]\((images/\w+\.png)\)", text):
        assert (PAGE.parent / name).exists(), name
    assert text.count("![") == 12
