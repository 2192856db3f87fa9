"""Names of the variables of marginal means, from formulas such as ``~ prime | frequency``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mixedfit.core.errors import ModelError

__all__ = ["OVERALL", "read_specs"]

OVERALL = "1"
"""Column of the mean over the whole grid, as in R's emmeans; its value is "overall"."""

_NAME = re.compile(r"`([^`]+)`|([^\W\d][\w.]*)(\s*\()?|(\b1\b)|(\S)")

_BETWEEN = set("+*:/(),")


def read_specs(
    specs: str | Sequence[str], by: str | Sequence[str], known: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the variables whose cells are listed, and those within which means are compared.

    Parameters
    ----------
    specs : str or sequence of str
        Names, or a formula: ``"~ a"``, ``"~ a * b"`` or ``"~ a:b"`` (cells of both), ``"~ a | b"`` (a within b),
        ``"~ 1"`` (the mean of the grid). The tilde may be left out: ``"a * b"``.
    by : str or sequence of str
        Further variables within which means are compared.
    known : sequence of str
        Variables of the fixed part; one of them is taken as it is, whatever its letters.

    Raises
    ------
    ModelError
        If nothing is named, or a formula cannot be read.
    """
    within = [by] if isinstance(by, str) else list(by)
    if not isinstance(specs, str):
        names = list(specs)
    elif specs in known or not re.search(r"[~|]" if "(" in specs else r"[~|*:+]", specs):
        names = [specs]
    else:
        names, bar = _formula(specs)
        within = list(dict.fromkeys([*bar, *within]))
        return names, within
    if not names:
        raise ModelError(
            "specs names no variable; give the factor whose means you want, such as 'recipe', or '~ 1' for the "
            "mean of the whole grid."
        )
    return names, within


def _formula(text: str) -> tuple[list[str], list[str]]:
    left, tilde, right = text.rpartition("~")
    if left.strip():
        raise ModelError(
            f"specs={text!r} has a left side; the means come first and their contrasts after. Write "
            f"fit.emmeans({'~' + right!r}).contrasts({left.strip().strip('~').strip()!r})."
        )
    parts = (right if tilde else text).split("|")
    if len(parts) > 2 or not parts[0].strip():
        raise ModelError(
            f"specs={text!r} cannot be read; expected a formula such as '~ a', '~ a * b', '~ a | b' or '~ 1'."
        )
    names, within = (_names(part, text) for part in (*parts, "")[:2])
    return [name for name in names if name != OVERALL], [name for name in within if name != OVERALL]


def _names(part: str, text: str) -> list[str]:
    """Return the variables of one side of the bar; calls such as ``factor(x)`` stand for their variable."""
    out = []
    for found in _NAME.finditer(part):
        quoted, plain, call, one, other = found.groups()
        if other is not None and other not in _BETWEEN:
            raise ModelError(
                f"specs={text!r} cannot be read at {other!r}; expected names of variables joined by +, * or :, such "
                "as '~ a * b | c'."
            )
        if quoted or one or (plain and not call):
            out.append(quoted or one or plain)
    return list(dict.fromkeys(out))
