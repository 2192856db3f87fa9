"""Number formats, mostly those of R, and helpers for sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from textwrap import fill

import numpy as np

__all__ = [
    "TABLE_WIDTH",
    "abbreviate",
    "coefficient_columns",
    "count_noun",
    "decimals_of_error",
    "decimals_of_size",
    "equals_p",
    "format_by_error",
    "format_column",
    "format_fixed",
    "format_numbers",
    "format_p_value",
    "format_p_values",
    "join_words",
    "number",
    "probability_text",
    "seconds_text",
    "share_text",
    "signed",
    "text_columns",
    "without_quotes",
    "wrapped",
    "zap_small",
]

MOST_DECIMALS = 5
"""Largest number of decimals of a column; beyond it numbers have a fixed number of significant digits."""

MOST_DIGITS = 1e15
"""Size from which a number is written with an exponent: floats know no further digits before the point."""

TABLE_WIDTH = 100
"""Characters in a line of a printed table, where its columns can be arranged to fit."""

NOTE_WIDTH = 88
"""Characters in a line of a printed note."""


def format_numbers(values: Sequence[float], digits: int, missing: str = "NA") -> list[str]:
    """Return values as text with common decimals, as R's ``format(x, digits)``.

    The decimals are the fewest that show every value to `digits` significant digits, without counting trailing
    zeros. Scientific notation is used if it is narrower.

    Examples
    --------
    >>> format_numbers([612.100158, 35.071714, 654.940008], 4)
    ['612.10', ' 35.07', '654.94']
    """
    finite = [float(v) for v in values if np.isfinite(v)]
    decimals, significant = 0, 1
    for value in finite:
        shown, exponent = _significant(value, digits)
        decimals = max(decimals, shown - 1 - exponent)
        significant = max(significant, shown)
    fixed = [f"{v:.{decimals}f}" for v in finite]
    scientific = [f"{v:.{significant - 1}e}" for v in finite]
    wide = max((len(t) for t in fixed), default=0) > max((len(t) for t in scientific), default=0)
    texts = iter(scientific if wide else fixed)
    out = [next(texts) if np.isfinite(v) else missing for v in values]
    width = max((len(t) for t in out), default=0)
    return [t.rjust(width) for t in out]


def _significant(value: float, digits: int) -> tuple[int, int]:
    """Return the number of significant digits (at most `digits`) that a value needs, and its decimal exponent."""
    if value == 0:
        return 1, 0
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return max(1, len(mantissa.lstrip("-").replace(".", "").rstrip("0"))), int(exponent)


def zap_small(values: Sequence[float], digits: int) -> list[float]:
    """Return values rounded to the decimals that show the largest to `digits` digits, as R's ``zapsmall``."""
    largest = max((abs(v) for v in values if np.isfinite(v)), default=0.0)
    places = max(0, digits - int(np.ceil(np.log10(largest)))) if largest > 0 else digits
    return [round(float(v), places) for v in values]


def coefficient_columns(
    estimates: Sequence[float], errors: Sequence[float], statistics: Sequence[float], digits: int = 4
) -> tuple[list[str], list[str], list[str]]:
    """Return the columns of a coefficient table as text, as R's ``printCoefmat``."""
    both = [abs(v) for v in [*estimates, *errors] if np.isfinite(v) and v != 0]
    least = 1 + int(np.floor(np.log10(min(both)))) if both else 0
    places = max(1, digits - least)
    pairs = format_numbers([round(v, places) for v in [*estimates, *errors]], digits)
    shown = format_numbers([round(v, max(1, min(5, digits - 1))) for v in statistics], digits)
    cut = len(estimates)
    return [t.strip() for t in pairs[:cut]], [t.strip() for t in pairs[cut:]], [t.strip() for t in shown]


def abbreviate(name: str, length: int) -> str:
    """Return a shortened name, as R's ``abbreviate``: lower-case vowels are dropped first, then lower-case letters.

    Examples
    --------
    >>> abbreviate("(Intercept)", 6), abbreviate("flp.nels:ses.nels", 11)
    ('(Intr)', 'flp.nls:ss.')
    """
    letters = list(name)
    for removable in ("aeiou", "abcdefghijklmnopqrstuvwxyz"):
        position = len(letters) - 1
        while len(letters) > length and position > 0:
            first_of_word = letters[position - 1] == " "
            if letters[position] in removable and not first_of_word:
                del letters[position]
            position -= 1
    if len(letters) > length:
        letters = [c for c in letters if c != " "]
    return "".join(letters)


def text_columns(heads: Sequence[str], columns: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Return the lines of a table: heads, then right-aligned columns; the first `left` columns are left-aligned."""
    widths = [max(len(h), *(len(t) for t in c)) if c else len(h) for h, c in zip(heads, columns, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.ljust(w) if i < left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        return " ".join(aligned).rstrip()

    return [line(heads), *(line(row) for row in zip(*columns, strict=True))]


def format_p_value(p: float, missing: str = "NA") -> str:
    """Return a p-value as text: four decimals, below 1e-4 three significant digits, at least ``<2e-16``.

    Examples
    --------
    >>> format_p_value(0.04321), format_p_value(3.2638e-6), format_p_value(1e-30)
    ('0.0432', '3.26e-06', '<2e-16')
    """
    if not np.isfinite(p):
        return missing
    if p < 2.2e-16:
        return "<2e-16"
    return f"{p:.2e}" if p < 1e-4 else f"{p:.4f}"


def equals_p(p: float) -> str:
    """Return a p-value as a clause.

    Examples
    --------
    >>> equals_p(0.04321), equals_p(0.0)
    ('p = 0.0432', 'p < 2e-16')
    """
    text = format_p_value(p, "NaN")
    return f"p {text[0]} {text[1:]}" if text.startswith("<") else f"p = {text}"


def format_fixed(
    values: Sequence[float],
    decimals: int,
    *,
    whole: bool = False,
    missing: str = "NaN",
    infinite: str = "Inf",
) -> list[str]:
    """Return values with `decimals` decimals, or none if `whole` is true and all are whole numbers.

    `missing` and `infinite` are the text for NaN and infinity.

    Examples
    --------
    >>> format_fixed([41.97, 42.0], 2, whole=True), format_fixed([42.0, float("inf")], 2, whole=True)
    (['41.97', '42.00'], ['42', 'Inf'])
    >>> format_fixed([-0.001, 1.0], 2)
    ['0.00', '1.00']
    """
    rounded = [round(float(v), decimals) + 0.0 for v in values]  # + 0.0 turns -0.0 into 0.0
    if whole and all(v == np.floor(v) for v in rounded if np.isfinite(v)):
        decimals = 0
    words = {np.inf: infinite, -np.inf: f"-{infinite}"}
    return [
        (f"{v:.{decimals}f}" if abs(v) < MOST_DIGITS else f"{v:.3e}")
        if np.isfinite(v)
        else words.get(v, missing)
        for v in rounded
    ]


def decimals_of_error(errors: Iterable[float], most: int = 12) -> int | None:
    """Return the decimals that show the smallest standard error to three digits; None if no error is positive."""
    known = [float(e) for e in errors if np.isfinite(e) and e > 0]
    return int(np.clip(2 - np.floor(np.log10(min(known))), 0, most)) if known else None


def decimals_of_size(values: Iterable[float], digits: int, least: int = 0, most: int = 12) -> int:
    """Return the decimals, between `least` and `most`, that show the largest absolute value to `digits` digits."""
    largest = max((abs(float(v)) for v in values if np.isfinite(v)), default=0.0)
    return int(np.clip(digits - 1 - np.floor(np.log10(largest or 1.0)), least, most))


def format_by_error(values: Sequence[float], errors: Iterable[float], missing: str = "NaN") -> list[str]:
    """Return values with the decimals that show the smallest standard error to three digits.

    If these are more than `MOST_DECIMALS`, all values have five significant digits.

    Examples
    --------
    >>> format_by_error([251.4051, 10.46729], [6.8246, 1.5458])
    ['251.41', '10.47']
    """
    found = decimals_of_error(errors)
    decimals = 4 if found is None else found
    if decimals > MOST_DECIMALS:
        return [f"{v:.5g}" if np.isfinite(v) else missing if v != v else "Inf" for v in values]
    return format_fixed(values, decimals, missing=missing)


def format_column(values: Sequence[float], digits: int) -> list[str]:
    """Return values with the decimals that show the largest to `digits` digits: at least two, none if all are whole.

    NaN is an empty string.

    Examples
    --------
    >>> format_column([42.1393, 0.021, float("nan")], 5)
    ['42.139', '0.021', '']
    >>> format_column([1794.4639, 3.0], 5), format_column([2.0, 1.0], 5)
    (['1794.46', '3.00'], ['2', '1'])
    """
    decimals = decimals_of_size(values, digits, 2, digits)
    return format_fixed(values, decimals, whole=True, missing="")


def format_p_values(values: Sequence[float], missing: str = "") -> list[str]:
    """Return p-values as `format_p_value`, with `missing` for NaN."""
    return [format_p_value(p, missing) for p in values]


def wrapped(notes: Sequence[str]) -> list[str]:
    """Return notes broken into lines of at most `NOTE_WIDTH` characters."""
    return [fill(note, NOTE_WIDTH, break_long_words=False, break_on_hyphens=False) for note in notes]


_QUOTED = re.compile(r"""Q\(\s*(['"])(?P<name>.*?)\1\s*\)(?P<level>(?=[^\W_]))?|`(?P<tick>[^`]+)`""")


def without_quotes(name: str) -> str:
    """Return a name or expression without the quotes (``Q('…')`` or backticks) that formulas need around some names.

    Examples
    --------
    >>> without_quotes("log(Q('body mass'))"), without_quotes("Time:Q('vitamin.E')Evit100")
    ('log(body mass)', 'Time:vitamin.E Evit100')
    """
    return _QUOTED.sub(
        lambda found: found["tick"] or found["name"] + ("" if found["level"] is None else " "), name
    )


def join_words(names: Sequence[str]) -> str:
    """Return names joined by commas and a final "and"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def count_noun(count: int, word: str) -> str:
    """Return a count with its noun, in the plural unless the count is 1."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def number(value: float, digits: int = 4) -> str:
    """Return a number with `digits` significant digits and the sign −; all digits before the point are kept.

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


def share_text(value: float, missing: str = "") -> str:
    """Return a share such as η² or R² in APA style: two decimals without the zero before the point, never ".00".

    Examples
    --------
    >>> share_text(0.1997), share_text(0.0006), share_text(0.9999), share_text(float("nan"))
    ('.20', '< .01', '> .99', '')
    """
    if np.isnan(value):
        return missing
    if 0 <= value < 0.005:
        return "< .01"
    return "> .99" if 0.995 <= value < 1 else f"{value:.2f}".removeprefix("0")


def seconds_text(seconds: float) -> str:
    """Return a time in seconds with two significant digits, from 100 seconds on in whole seconds.

    Examples
    --------
    >>> seconds_text(0.524), seconds_text(12.3), seconds_text(134.2)
    ('0.52 s', '12 s', '134 s')
    """
    return f"{seconds:.0f} s" if seconds >= 99.5 else f"{seconds:.2g} s"


def signed(value: float) -> str:
    """Return a number with one decimal and a sign (+ or −)."""
    return f"{value:+.1f}".replace("-", "−")


def probability_text(log_odds: float) -> str:
    """Return a probability as text, one near 0 or 1 by its distance from there.

    Examples
    --------
    >>> probability_text(0.0), probability_text(-15.0), probability_text(15.0), probability_text(700.0)
    ('0.500', '3.1e-07', '1 - 3.1e-07', '1 - exp(-700)')
    """
    size = abs(log_odds)
    if size < 7.0:
        return f"{1.0 / (1.0 + math.exp(-log_odds)):.3f}"
    if math.isinf(size):
        return "0" if log_odds < 0.0 else "1"
    rest = f"{math.exp(-size):.1e}" if size < 600.0 else f"exp(-{number(size, 4)})"
    return rest if log_odds < 0.0 else f"1 - {rest}"
