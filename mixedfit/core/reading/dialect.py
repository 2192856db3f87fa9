"""How a text file is written: encoding, separator, decimal mark, and the line with the names of the columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixedfit.core.errors import DataError, shown
from mixedfit.core.format import count_noun

__all__ = ["Dialect", "check_names", "dialect_of", "encoding_of", "header_row", "separator_named"]

SEPARATORS = ("\t", ";", "|", ",")
"""Separators that are tried, in the order in which they are preferred where several fit equally well."""

BLANKS = r"\s+"
"""Separator of columns that are aligned by blanks."""

LOOKED_AT = 1000
"""Lines from which the separator is found."""

MOST = 0.6
"""Share of lines with the same number of values from which a separator is believed."""

ALIGNED = 0.9
"""Share of lines with the same number of values from which blanks are taken for separators."""

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")

_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?|[-+]?\d{1,3}(\.\d{3})+,\d+")

_POINT = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?|[-+]?\d{1,3}(,\d{3})+\.\d+")

_WORDS = {
    "tab": "\t",
    "\\t": "\t",
    "comma": ",",
    "semicolon": ";",
    "space": BLANKS,
    "blank": BLANKS,
    " ": BLANKS,
}

_SAID = {"\t": "tabs", BLANKS: "blanks", ";": "semicolons", "|": "bars", ",": "commas"}


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes
    ----------
    sep, decimal, encoding : str
    thousands : str or None
        Mark between thousands.
    skip : int
        Lines above the names of the columns.
    names : tuple of str
        The names of the columns, as written.
    row_names : bool
        Whether rows begin with a name of their own, above which there is none.
    notes : tuple of str
        What was found that is not the rule: another separator than the comma, and so on.
    """

    sep: str
    decimal: str
    encoding: str
    thousands: str | None
    skip: int
    names: tuple[str, ...]
    row_names: bool
    notes: tuple[str, ...]

    def options(self, *, encoding: str | None = None) -> dict[str, Any]:
        """Return the options with which `pandas.read_csv` reads such a file; another encoding if one is given."""
        return {
            "sep": self.sep,
            "decimal": self.decimal,
            "thousands": self.thousands,
            "encoding": encoding or self.encoding,
            "skiprows": self.skip,
            "skipinitialspace": True,
        }


def separator_named(sep: str) -> str:
    """Return the separator of a name: "tab", "space", "comma", "semicolon", or itself.

    Raises
    ------
    DataError
        If it is not one character.
    """
    found = _WORDS.get(sep.lower(), sep)
    if len(found) != 1 and found != BLANKS:
        raise DataError(
            f"sep={sep!r}; expected one character, or one of 'tab', 'space', 'comma', 'semicolon'."
        )
    return found


def encoding_of(head: bytes) -> str:
    """Return the encoding of the first bytes of a text: of its byte order mark, UTF-8, UTF-16 or Windows' Latin-1."""
    for mark, name in _BOMS.items():
        if head.startswith(mark):
            return name
    nulls = [head[start::2].count(0) for start in (0, 1)]
    if max(nulls) > 0.3 * len(head) / 2:
        return "utf-16-be" if nulls[0] > nulls[1] else "utf-16-le"
    try:
        head[: max(len(head) - 4, 0) if len(head) > 1000 else None].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def dialect_of(
    head: bytes,
    *,
    whole: bool,
    sep: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    skip: int = 0,
) -> Dialect:
    """Return how a file is written, given its first bytes; what is given is not looked for.

    Parameters
    ----------
    head : bytes
    whole : bool
        Whether these are all bytes of the file; otherwise the last line may be incomplete.
    sep, decimal, encoding, skip
        As in `mixedfit.read`.

    Raises
    ------
    DataError
        If there is no text in the file.
    """
    code = encoding or encoding_of(head)
    text = head.decode(code, errors="replace")
    lines = text.splitlines()
    lines = lines[skip:] if whole or len(lines) < 2 else lines[skip:-1]
    if not any(line.strip() for line in lines):
        raise DataError(
            f"there is no text below the first {count_noun(skip, 'line')}." if skip else "the file is blank."
        )
    found = _separator(lines[:LOOKED_AT])
    chosen = separator_named(sep) if sep is not None else found
    if chosen != found:
        _check_separator(lines[:LOOKED_AT], chosen, found)
    rows = _rows(lines, chosen)
    first = 0 if skip else header_row([fields for _, fields in rows])
    above = rows[first][0]
    cells = [cell for _, fields in rows[first + 1 :] for cell in fields]
    mark, thousands, example = _decimal(cells, decimal)
    notes = _notes(chosen if sep is None else ",", mark if decimal is None else ".", example, code, encoding)
    notes += _wrong_mark(cells, decimal)
    titles = [fields[0] for _, fields in rows[:first]]
    if titles:
        notes.append(f"{count_noun(len(titles), 'line')} above the names skipped ({shown(titles[0][:30])})")
    names = tuple(rows[first][1])
    own = any(len(fields) == len(names) + 1 for _, fields in rows[first + 1 : first + 2])
    return Dialect(chosen, mark, code, thousands, skip + above, names, own, tuple(notes))


def _check_separator(lines: Sequence[str], given: str, found: str) -> None:
    """Refuse a separator at which the lines fall apart, where another gives all of them the same number of values.

    Raises
    ------
    DataError
        With both.
    """
    wrong, right = _rows(lines, given), _rows(lines, found)
    if len({len(fields) for _, fields in right}) > 1 or len(right[0][1]) < 2:
        return
    counts = Counter(len(fields) for _, fields in wrong)
    usual = counts.most_common(1)[0][0]
    if len(counts) == 1 and usual > 1:
        return
    numbers = " and ".join(map(str, sorted(counts)[:3]))
    does = "leaves each line in one piece" if usual == 1 else f"gives lines of {numbers} values"
    said = {"\t": "'tab'", BLANKS: "'space'"}
    raise DataError(
        f"sep={said.get(given, repr(given))} {does}; separated by {_SAID[found]} all lines have {len(right[0][1])} "
        f"values. Leave out sep, or give sep={said.get(found, repr(found))}."
    )


def _wrong_mark(cells: Sequence[str], given: str | None) -> list[str]:
    """Return a note on numbers with another decimal mark than the one that is given, which stay text."""
    if given is None:
        return []
    own, other = (_POINT, _COMMA) if given == "." else (_COMMA, _POINT)
    strays = [cell for cell in cells if other.fullmatch(cell) and not own.fullmatch(cell)]
    if not strays or any(own.fullmatch(cell) for cell in cells):
        return []
    mark = "," if given == "." else "."
    written = f"numbers are written with {mark!r}, such as {shown(strays[0])}"
    return [f"decimal={given!r} was given, but {written}; they stay text"]


def _notes(sep: str, decimal: str, example: str, code: str, given: str | None) -> list[str]:
    """Return what was found that is not the rule."""
    notes = []
    if sep not in (",", "\t"):
        notes.append(f"values separated by {_SAID.get(sep, shown(sep))}")
    if decimal == ",":
        notes.append(
            f"decimal comma ({shown(example)} is {float(example.replace('.', '').replace(',', '.')):g})"
        )
    if given is None and not code.startswith("utf-8"):
        notes.append(f"encoding {'Latin-1 (cp1252)' if code == 'cp1252' else code.upper()}")
    return notes


def _rows(lines: Sequence[str], sep: str) -> list[tuple[int, list[str]]]:
    """Return the number of lines above each row, and its values; without blank lines."""
    if sep == BLANKS:
        lines, sep = [line.strip().replace("\t", " ") for line in lines], " "
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=sep, skipinitialspace=True)
    out, above = [], 0
    for fields in reader:
        if any(field.strip() for field in fields):
            out.append((above, [field.strip() for field in fields]))
        above = reader.line_num
    return out


def _separator(lines: Sequence[str]) -> str:
    """Return the separator that gives most lines the same number of values, a comma if none gives several."""
    best, share = ",", 0.0
    for sep in SEPARATORS:
        own = _agreement(_rows(lines, sep))
        if own > share + 0.05:
            best, share = sep, own
    blanks = _rows(lines, BLANKS)
    below = max(_agreement(blanks), _agreement(blanks[1:]))  # names of rows may have no name
    return BLANKS if share < MOST and below >= ALIGNED else best


def _agreement(rows: Sequence[tuple[int, Sequence[str]]]) -> float:
    """Return the share of rows with the most frequent number of values, 0 if that is 1."""
    counts = Counter(len(fields) for _, fields in rows)
    number, often = counts.most_common(1)[0] if counts else (1, 0)
    return often / len(rows) if number > 1 else 0.0


def header_row(rows: Sequence[Sequence[str]]) -> int:
    """Return the position of the row with the names of the columns, below titles of fewer values.

    Examples
    --------
    >>> header_row([["Survey of 2020"], ["y", "x"], ["1", "2"], ["3", "4"]])
    1
    """
    counts = Counter(len(fields) for fields in rows)
    usual = max(n for n, often in counts.items() if often == max(counts.values()))
    first = next(i for i, fields in enumerate(rows) if len(fields) == usual)
    above = rows[first - 1] if first else ()
    if usual > 2 and len(above) == usual - 1 and _are_names(above) and not _are_names(rows[first]):
        return first - 1  # R's write.table: no name above the names of the rows
    below = rows[first + 1] if first + 1 < len(rows) else ()
    if len(below) == usual and not _are_names(rows[first]) and _are_names(below):
        return first + 1
    return first


def _are_names(fields: Sequence[str]) -> bool:
    """Return whether values can be names of columns: none is a number or empty."""
    return all(field and not _NUMBER.fullmatch(field) and not _COMMA.fullmatch(field) for field in fields)


def _decimal(cells: Sequence[str], given: str | None) -> tuple[str, str | None, str]:
    """Return the decimal mark, the mark between thousands, and an example of a number with a comma."""
    commas = [cell for cell in cells if _COMMA.fullmatch(cell)]
    points = [cell for cell in cells if _POINT.fullmatch(cell)]
    mark = given or ("," if commas and len(commas) >= len(points) else ".")
    long = [cell for cell in (commas if mark == "," else points) if "." in cell and "," in cell]
    return mark, ("." if mark == "," else ",") if long else None, commas[0] if commas else ""


def check_names(names: Sequence[str]) -> None:
    """Refuse columns of the same name.

    Raises
    ------
    DataError
        With the names.
    """
    twice = [name for name, often in Counter(name for name in names if name).items() if often > 1]
    if twice:
        places = {n: [i + 1 for i, name in enumerate(names) if name == n] for n in twice[:3]}
        where = "; ".join(f"{shown(n)}: columns {', '.join(map(str, at))}" for n, at in places.items())
        raise DataError(f"several columns have the same name ({where}). Give each a name of its own.")
