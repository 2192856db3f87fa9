"""Pages whose code runs: what they show must be what is printed.

A block that starts with ```` ```python ```` must print what it shows, digit by digit. One that starts with
```` ```python draws ```` shows random draws: chains part ways at a rounding error of another machine, and so its
numbers may differ by what is small beside their spread.
"""

from __future__ import annotations

import contextlib
import doctest
import re
from pathlib import Path
from typing import Any

from paths import ROOT

BLOCK = re.compile(r"^```python( draws)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"(?<![\wΑ-ω])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
DECIMAL = re.compile(r"-?\d+\.\d+")
RUN = re.compile(r"(?<=Newton decrement )[\d.e-]+|\d+(?= evaluations)|(?<=of tuning, )[\d.e-]+(?= s)")
"""What differs from run to run: seconds, and the last step of a search."""
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


class Exact(doctest.OutputChecker):
    """Accepts what is shown."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(
            *(_without_blanks(RUN.sub("#", text)) for text in (want, got)), optionflags
        )


class Near(doctest.OutputChecker):
    """Accepts decimal numbers near those shown, and large counts of the same size."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        want, got = (RUN.sub("#", text.replace("<BLANKLINE>", "")) for text in (want, got))
        numbers = DECIMAL if "..." in want else NUMBER  # what "..." stands for may hold counts
        words = [" ".join(numbers.sub("#", text).split()) for text in (want, got)]
        if not super().check_output(*words, optionflags):
            return False
        shown, found = (numbers.findall(text) for text in (want, got))
        return len(shown) == len(found) and all(map(near, shown, found))


def near(shown: str, found: str) -> bool:
    """Return whether a number is what was shown, but for its Monte-Carlo error."""
    a, b = float(shown), float(found)
    if "." not in shown:
        return a == b or (abs(a) >= 100 and abs(b - a) < 0.5 * abs(a))
    return abs(b - a) < (0.03 if abs(a) < 1.0 else 0.06 + 0.03 * abs(a))


def _without_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


def run_page(page: Path) -> tuple[doctest.TestResults, dict[str, Any]]:
    """Return how many examples of a page failed, and the names that it has defined; it runs in the project's folder."""
    text = page.read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    failed = tried = 0
    with contextlib.chdir(ROOT):
        for block in BLOCK.finditer(text):
            code = re.sub(
                r"\n\n(?!>>>)", "\n<BLANKLINE>\n", block[2]
            )  # between output and code it ends the output
            line = text.count("\n", 0, block.start(2))
            test = doctest.DocTestParser().get_doctest(code, scope, page.name, str(page), line)
            test.globs = scope
            runner = doctest.DocTestRunner(Near() if block[1] else Exact(), optionflags=OPTIONS)
            outcome = runner.run(test, clear_globs=False)
            failed, tried = failed + outcome.failed, tried + outcome.attempted
    return doctest.TestResults(failed, tried), scope
