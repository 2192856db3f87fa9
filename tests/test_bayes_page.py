"""What docs/bayes.md shows is what happens, up to the Monte-Carlo error of its numbers."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np

PAGE = Path(__file__).resolve().parents[1] / "docs" / "bayes.md"
NUMBER = re.compile(r"-?\d+\.\d+")


class Near(doctest.OutputChecker):
    """Accepts decimal numbers near those shown: chains on another machine part ways at a rounding error."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        words = [" ".join(NUMBER.sub("#", text).split()) for text in (want, got)]
        if not super().check_output(*words, optionflags):
            return False
        shown, found = ([float(x) for x in NUMBER.findall(text)] for text in (want, got))
        if len(shown) != len(found):
            return False
        far = np.abs(np.subtract(found, shown))
        return bool(np.all(far < np.where(np.abs(shown) < 1.0, 0.03, 0.06 + 0.03 * np.abs(shown))))


def test_page_must_show_what_is_printed() -> None:
    text = re.sub(r"^```.*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, None, 0)
    runner = doctest.DocTestRunner(Near(), optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    runner.run(test)
    assert runner.failures == 0
    assert len(test.examples) > 10
