"""Errors and warnings. Messages state what is wrong and where, what was expected, and what to do."""

from __future__ import annotations

import difflib
import inspect
import os
import re
import warnings
from collections.abc import Iterable

import numpy as np

__all__ = [
    "EXACT_FIT",
    "BootstrapWarning",
    "ConvergenceWarning",
    "DataError",
    "FormulaError",
    "FormulaWarning",
    "GroupingWarning",
    "IdentifiabilityWarning",
    "MemoryWarning",
    "MissingRowsWarning",
    "MixedfitError",
    "ModelError",
    "PredictionWarning",
    "PriorWarning",
    "RankWarning",
    "ReadingWarning",
    "SamplingWarning",
    "a_type",
    "nearest",
    "shown",
    "warn",
]

EXACT_FIT = (
    "the random effects reproduce the response exactly or up to rounding: the residual variance is 0, or too small a "
    "share of the response's for the digits of the numbers to determine it. "
    "Check for a predictor or a group computed from the response."
)
"""Message for models with a perfect fit."""


LOST_RESIDUAL = (
    "rounding errors hide the minimum of the criterion: the residual variance is too small a share of the response's, "
    "or weights are many decades apart, for the digits of the numbers. Check for a predictor or a group computed from "
    "the response, and for outliers and weights many decades away from the others."
)


class MixedfitError(Exception):
    """Base class of the errors of mixedfit."""


class DataError(MixedfitError, ValueError):
    """A column, value, shape or type in the data is not valid."""


class ModelError(MixedfitError, ValueError):
    """The model cannot be fitted to these data, or an option is not valid for the model."""


class FormulaError(MixedfitError, ValueError):
    """The formula is not valid; the message marks the place in its text.

    Parameters
    ----------
    message : str
        What is wrong and what was expected.
    source : str
        The formula's text.
    start, end : int
        First and one-past-last character of the part that is wrong.
    advice : str
        What to do, on a separate line.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str = "",
        start: int | None = None,
        end: int | None = None,
        advice: str = "",
    ) -> None:
        lines = [message]
        if source and start is not None:
            stop = max(start + 1, end if end is not None else start + 1)
            lines += [f"  {source}", "  " + " " * start + "^" * (stop - start)]
        elif source:
            lines.append(f"  {source}")
        if advice:
            lines.append(f"  {advice}")
        super().__init__("\n".join(lines))
        self.source = source
        self.span = None if start is None else (start, end)


class BootstrapWarning(UserWarning):
    """A bootstrap was interrupted, has failed refits, or has too few replicates."""


class ConvergenceWarning(UserWarning):
    """A fit ended at a point that could not be confirmed as an optimum."""


class FormulaWarning(UserWarning):
    """A part of a formula has no effect, or another one than it seems to have."""


class GroupingWarning(UserWarning):
    """A column of labels seems to hold measurements, or several spellings of the same labels."""


class IdentifiabilityWarning(UserWarning):
    """There are so many random effects that their variance is confounded with the residual variance."""


class MemoryWarning(UserWarning):
    """A fit needs more memory than is free."""


class MissingRowsWarning(UserWarning):
    """Rows were left out of the fit."""


class PredictionWarning(UserWarning):
    """Rows could not be predicted."""


class PriorWarning(UserWarning):
    """A prior makes the posterior nearly improper, or dominates the data."""


class SamplingWarning(UserWarning):
    """Draws from a posterior are too few, were interrupted, or have not mixed."""


class ReadingWarning(UserWarning):
    """A file was read with options that were found in it, or has values that were taken as missing."""


class RankWarning(UserWarning):
    """Columns of the fixed-effects matrix were dropped."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" with the closest of `choices`, or an empty string."""
    if re.fullmatch(r"[-+]?[\d.]+", name.strip()):  # another number is no guess
        return ""
    known = [text for text in map(str, choices) if text != name]
    close = [c for c in known if c.lower() == name.lower()] or _alike(name, known) or _made_of(name, known)
    return f"Did you mean {close[0]!r}?" if close else ""


def _alike(name: str, known: list[str]) -> list[str]:
    """Return the closest name of as many parts, an interaction's in any order; none for texts with operators."""
    if any(sign in name and not any(sign in c for c in known) for sign in "~|"):
        return []
    parts = {c: ":".join(sorted(c.split(":"))) for c in known if c.count(":") == name.count(":")}
    close = difflib.get_close_matches(":".join(sorted(name.split(":"))), parts.values(), n=1, cutoff=0.6)
    return [c for c, text in parts.items() if text in close][:1]


def _made_of(name: str, known: list[str]) -> list[str]:
    """Return the only name that is a call on a variable, as ``I(day - 22)`` on ``day``; none if there are more."""
    call = re.compile(rf"\w+\(.*(?<![\w.]){re.escape(name.strip())}(?![\w.]).*\)")
    found = [text for text in known if "|" not in text and call.fullmatch(text)] if name.strip() else []
    return found if len(found) == 1 else []


def a_type(value: object) -> str:
    """Return the type of a value with its article.

    Examples
    --------
    >>> a_type(3), a_type("x")
    ('an int', 'a str')
    """
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def shown(value: object) -> str:
    """Return a label or value as a user would write it: numpy's and pandas' scalars without their types.

    Examples
    --------
    >>> import numpy as np
    >>> shown(np.int64(3)), shown("n/a"), shown((np.float64(0.5), "b"))
    ('3', "'n/a'", "(0.5, 'b')")
    """
    if isinstance(value, tuple):
        inside = ", ".join(map(shown, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, np.generic):
        return repr(value.item()) if not isinstance(value, np.datetime64 | np.timedelta64) else str(value)
    return f"'{value}'" if type(value).__module__.startswith(("pandas", "datetime")) else repr(value)


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning at the innermost line outside this package."""
    here = os.path.dirname(os.path.dirname(__file__)) + os.sep
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(here):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


for _class in [
    value for value in list(globals().values()) if isinstance(value, type) and value.__module__ == __name__
]:
    _class.__module__ = "mixedfit"  # the module that users import from, shown in tracebacks
