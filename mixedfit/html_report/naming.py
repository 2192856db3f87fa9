"""Names, numbers and lists as they stand in sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

__all__ = ["counted", "joined", "number", "plain", "signed"]

_QUOTED = re.compile(r"""Q\(\s*(['"])(?P<name>.*?)\1\s*\)(?P<level>(?=[^\W_]))?|`(?P<tick>[^`]+)`""")


def plain(name: str) -> str:
    """Return a name or an expression without the quotes that a formula needs around odd names.

    Examples
    --------
    >>> plain("log(Q('body mass'))"), plain("Time:Q('vitamin.E')Evit100")
    ('log(body mass)', 'Time:vitamin.E Evit100')
    """
    return _QUOTED.sub(
        lambda found: found["tick"] or found["name"] + ("" if found["level"] is None else " "), name
    )


def joined(names: Sequence[str]) -> str:
    """Return names as a list in a sentence."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def counted(count: int, word: str) -> str:
    """Return a number with its word, in the plural where it is not one."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def number(value: float, digits: int = 4) -> str:
    """Return a number with so many significant digits and a true minus sign; all digits before the point are kept.

    Examples
    --------
    >>> number(91170.3), number(-0.012345, 3), number(2.0), number(3.2e-7, 2)
    ('91,170', '−0.0123', '2', '3.2e−07')
    """
    size = abs(value)
    if not np.isfinite(value):
        return "not defined" if np.isnan(value) else "∞" if value > 0 else "−∞"
    if size == 0 or (value == round(value) and size < 1e12):
        return f"{value + 0.0:,.0f}".replace("-", "−")
    if not 1e-5 <= size < 1e12:
        return f"{value:.{digits - 1}e}".replace("-", "−").replace("e+", "e")
    decimals = max(0, digits - 1 - int(np.floor(np.log10(size))))
    return f"{value:,.{decimals}f}".replace("-", "−")


def signed(value: float) -> str:
    """Return a number with one decimal and its sign."""
    return f"{value:+.1f}".replace("-", "−")
