"""`read`: a file of data as a data frame, whatever its format."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pandas as pd

from mixedfit.core.errors import DataError, ReadingWarning, nearest, shown, warn
from mixedfit.core.options import check_count, check_one_of
from mixedfit.core.other_programs import hinted

from .dialect import Dialect, check_names, dialect_of, header_row
from .missing import counted, marks_of, mend, said

__all__ = ["Reading", "read", "read_table", "text_dialect"]

HEAD = 1 << 16
"""Bytes of a text file from which its dialect is found."""

HEAD_ROWS = 50
"""Rows of a sheet among which the names of the columns are looked for."""

_TEXT = (".csv", ".tsv", ".txt", ".dat", ".tab", ".asc", "")

_PACKED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    ".gz": ("gzip", gzip.open),
    ".bz2": ("bz2", bz2.open),
    ".xz": ("xz", lzma.open),
}

_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ": ".xz"}

_BOOKS = (".xlsx", ".xlsm")


@dataclass(frozen=True, eq=False)
class Reading:
    """A file as read.

    Attributes
    ----------
    frame : pandas.DataFrame
    notes : tuple of str
        What was found: separator, decimal mark, encoding, lines skipped, values taken as missing.
    missing : dict of str to dict of str to int
        For each column with missing values the marks in the file, with their counts; "" for empty cells.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    missing: dict[str, dict[str, int]] = field(default_factory=dict)


@hinted
def read(
    path: str | Path,
    sep: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    na: str | Sequence[str] | None = None,
    skip: int = 0,
    sheet: str | int | None = None,
) -> pd.DataFrame:
    """Return the data of a file: text, a workbook, or a file of another program.

    Separator, decimal mark, encoding and the line with the names of the columns are found, and a warning says what was
    found where that is not a comma, a point, UTF-8 and the first line. It also counts what was taken as missing.

    Parameters
    ----------
    path : str or Path
        Text (csv, tsv, txt, dat; also gz, bz2, xz, zip), Parquet or Feather (extra ``stream``), Excel (xlsx, extra
        ``excel``), SPSS (sav, extra ``spss``), Stata (dta), SAS (sas7bdat, xpt), R (rds, RData, extra ``rdata``).
    sep : str, optional
        Separator of values in text: one character, "tab" or "space".
    decimal : {".", ","}, optional
        Decimal mark in text.
    encoding : str, optional
        Of text, such as "latin-1".
    na : str or sequence of str, optional
        Values that are missing, besides empty cells. By default NA, N/A, n/a, NaN, NULL, ``.`` and the like; among
        numbers also ``-``, ``?``, ``None``; ``-`` among labels too, unless ``+`` is one of them.
    skip : int
        Lines or rows above the names of the columns; 0 to find them.
    sheet : str or int, optional
        Sheet of a workbook, by name or position from 0, or object of an RData file; the first by default.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        If there is no such file, it cannot be read, or several columns have the same name.

    Warns
    -----
    ReadingWarning
        How the file was read, where that was not the rule.

    Examples
    --------
    >>> import tempfile, warnings
    >>> import mixedfit as mf
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", mf.ReadingWarning)
    ...     path = Path(folder, "weights.csv")
    ...     written = path.write_text("Weights of 2020\\npig;weight\\n1;20,5\\n2;.\\n")
    ...     data = mf.read(path)
    >>> data["weight"].tolist()
    [20.5, nan]
    """
    found = read_table(path, sep=sep, decimal=decimal, encoding=encoding, na=na, skip=skip, sheet=sheet)
    if found.notes:
        warn(f"{Path(path).name}: {'; '.join(found.notes)}.", ReadingWarning)
    return found.frame


def read_table(
    path: str | Path,
    *,
    sep: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    na: str | Sequence[str] | None = None,
    skip: int = 0,
    sheet: str | int | None = None,
) -> Reading:
    """Return a file's data and what was found in it; options as in `read`.

    Raises
    ------
    DataError
        As `read`.
    """
    place = Path(path)
    check_count("skip", skip, 0)
    if decimal is not None:
        check_one_of("decimal", decimal, (".", ","), error=DataError)
    _check_file(place)
    if not place.is_file():  # a pipe, which can be read once only
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, place.name)
            copy.write_bytes(place.read_bytes())
            return read_table(
                copy, sep=sep, decimal=decimal, encoding=encoding, na=na, skip=skip, sheet=sheet
            )
    kind = _kind(place)
    try:
        if kind in _BOOKS:
            return _book(place, na=na, skip=skip, sheet=sheet)
        if kind in _READERS:
            return _of_other_program(place, kind, sheet)
        return _text(place, sep=sep, decimal=decimal, encoding=encoding, na=na, skip=skip)
    except DataError as error:
        raise DataError(f"{place}: {error}") from None
    except (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile, lzma.LZMAError) as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        advice = " Check the separators and quotes of that line." if "tokenizing" in words else ""
        if isinstance(error, UnicodeDecodeError) and encoding is not None:
            advice = " Without encoding= the encoding is found."
        raise DataError(f"{place} cannot be read: {words}.{advice}") from None


def _check_file(place: Path) -> None:
    """Refuse what is not a file, with the nearest name of the folder."""
    if place.is_dir():
        raise DataError(f"{str(place)!r} is a folder; expected a file.")
    if not place.exists():
        folder = place.parent
        names = [file.name for file in folder.iterdir() if file.is_file()] if folder.is_dir() else []
        raise DataError(f"no file {str(place)!r}. {nearest(place.name, names)}".rstrip())
    if place.is_file() and place.stat().st_size == 0:
        raise DataError(f"{place} is empty.")


def _kind(place: Path) -> str:
    """Return the ending that says how a file is read: by its first bytes where these say it, else by its name."""
    suffixes = [suffix.lower() for suffix in place.suffixes]
    last = suffixes[-1] if suffixes else ""
    with open(place, "rb") as file:
        head = file.read(512)
    if head[:4] == b"PAR1":
        return ".parquet"
    if head[:4] == b"PK\x03\x04" and last != ".zip":
        return ".xlsx"
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" or last == ".xls":
        raise DataError(f"{place} is a workbook of an old Excel (xls); save it as .xlsx or as csv.")
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        raise DataError(f"{place} is a web page, not a table of data; download the file itself.")
    if last in (*_TEXT, *_PACKED, *_READERS, ".zip", *_BOOKS):
        return last
    if head[:4] == b"RDX3" or (b"\x00" in head.replace(b"\xff\xfe", b"") and not _is_wide_text(head)):
        known = ", ".join(s for s in (*_TEXT, *_BOOKS, *_READERS) if s)
        raise DataError(
            f"{place} is not text, and its ending {last!r} is not known; expected one of {known}."
        )
    return ".csv"


def _is_wide_text(head: bytes) -> bool:
    """Return whether bytes are UTF-16: every second one is 0."""
    return max(head[0::2].count(0), head[1::2].count(0)) > 0.3 * len(head) / 2


# -- text --------------------------------------------------------------------------------------------


def _text(
    place: Path,
    *,
    sep: str | None,
    decimal: str | None,
    encoding: str | None,
    na: str | Sequence[str] | None,
    skip: int,
) -> Reading:
    dialect, compression = text_dialect(place, sep=sep, decimal=decimal, encoding=encoding, skip=skip)

    def load(code: str, **options: Any) -> pd.DataFrame:
        frame: pd.DataFrame = pd.read_csv(
            place,
            **dialect.options(encoding=code),
            keep_default_na=False,
            compression=cast(Any, compression),
            low_memory=False,
            **options,
        )
        return frame

    frame, notes, missing, code = _both(load, dialect, na, other=encoding is None)
    if code != dialect.encoding:
        notes.append("encoding Latin-1 (cp1252)")
    return _reading(frame, [*dialect.notes, *notes], missing)


def text_dialect(
    place: Path,
    *,
    sep: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    skip: int = 0,
) -> tuple[Dialect, str | None]:
    """Return how a text file is written, and pandas' name of its compression.

    Parameters
    ----------
    place : Path
    sep, decimal, encoding, skip
        As in `read`; what is given is not looked for.

    Raises
    ------
    DataError
        If it is no text, or several columns have the same name.
    """
    with open(place, "rb") as file:
        start = file.read(6)
    packed = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), "")
    compression, head, whole = _head(place, packed)
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        raise DataError("this is a web page, not a table of data; download the file itself.")
    dialect = dialect_of(head, whole=whole, sep=sep, decimal=decimal, encoding=encoding, skip=skip)
    check_names(dialect.names)
    return dialect, compression


def _both(
    load: Callable[..., pd.DataFrame], dialect: Dialect, na: str | Sequence[str] | None, *, other: bool
) -> tuple[pd.DataFrame, list[str], dict[str, dict[str, int]], str]:
    """Return the frame, notes, the marks of missing values, and the encoding with which it could be read.

    Where the text is not UTF-8 all through, Windows' Latin-1 is tried if `other` encodings may be.
    """
    always, weak = marks_of(na)
    code = dialect.encoding
    try:
        raw = load(code, na_values=always)
    except UnicodeDecodeError:
        if code != "utf-8" or not other:
            raise
        code = "cp1252"
        raw = load(code, na_values=always)
    frame, notes = _without_empty(raw)
    mended = mend(frame, weak, decimal=dialect.decimal, thousands=dialect.thousands)
    names = [name for name in mended.columns if mended[name].isna().any()]
    if not names:
        return mended, notes, {}, code
    if not dialect.row_names:
        places = [list(raw.columns).index(name) for name in names]
        texts = load(code, dtype=str, usecols=places, na_values=[]).set_axis(names, axis=1)
    else:  # the names of the rows have no name, and count as a column of the file
        texts = load(code, dtype=str, na_values=[])[names]
    return mended, notes, counted(mended, texts), code


def _without_empty(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return a frame without empty columns that have no name, such as those of separators at the ends of lines."""
    empty = [c for c in frame.columns if str(c).startswith("Unnamed:") and frame[c].isna().all()]
    return (frame.drop(columns=empty), []) if empty else (frame, [])


def _reading(frame: pd.DataFrame, notes: list[str], missing: dict[str, dict[str, int]]) -> Reading:
    if not len(frame):
        raise DataError("there are names of columns, but no rows below them.")
    note = said(missing)
    return Reading(frame, (*notes, *_footer(frame), *([note] if note else [])), missing)


def _footer(frame: pd.DataFrame) -> list[str]:
    """Return the note that the last row may be a remark below the table."""
    last = frame.iloc[-1]
    if (
        len(frame) > 1
        and frame.shape[1] > 1
        and last.notna().tolist() == [True] + [False] * (frame.shape[1] - 1)
    ):
        return [f"the last row has a value in the first column only, {shown(last.iloc[0])}: a remark?"]
    return []


def _head(place: Path, packed: str) -> tuple[str | None, bytes, bool]:
    """Return pandas' name of the compression, the first bytes, and whether these are all."""
    if place.suffix.lower() == ".zip":
        with zipfile.ZipFile(place) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise DataError(f"a zip file with {len(names)} files; expected one. Unpack it.")
            with archive.open(names[0]) as inner:
                return ("zip", *_first(cast(BinaryIO, inner)))
    if packed:
        compression, opened = _PACKED[packed]
        with opened(place) as file:
            return (compression, *_first(file))
    with open(place, "rb") as file:
        return (None, *_first(file))


def _first(file: BinaryIO) -> tuple[bytes, bool]:
    head = file.read(HEAD)
    return head, not file.read(1)


# -- workbooks and files of other programs ------------------------------------------------------------------


def _book(place: Path, *, na: str | Sequence[str] | None, skip: int, sheet: str | int | None) -> Reading:
    _needs("openpyxl", "excel", "Excel workbooks")
    with pd.ExcelFile(place, engine="openpyxl") as book:
        names = [str(name) for name in book.sheet_names]
        chosen = _sheet(names, sheet)
        always, weak = marks_of(na)

        def load(**options: Any) -> pd.DataFrame:
            frame: pd.DataFrame = pd.read_excel(book, sheet_name=chosen, keep_default_na=False, **options)
            return frame

        top = load(header=None, nrows=HEAD_ROWS + skip, dtype=str, na_values=[""]).fillna("")
        rows = [[cell.strip() for cell in row] for row in top.astype(str).to_numpy().tolist()]
        at = skip or _names_of_sheet(rows)
        if at >= len(rows):
            raise DataError(f"the sheet {chosen!r} has no rows.")
        check_names(rows[at])
        frame, notes = _without_empty(load(skiprows=at, na_values=always))
        frame = mend(frame, weak)
        lost = [name for name in frame.columns if frame[name].isna().any()]
        texts = load(skiprows=at, dtype=str, na_values=[])[lost] if lost else frame[lost]
    if len(names) > 1 and sheet is None:
        notes.append(f"sheet {chosen!r}, the first of {len(names)} ({', '.join(names[:6])})")
    if at and not skip:
        notes.append(f"{at} row{'s' * (at > 1)} above the names skipped")
    return _reading(frame, notes, counted(frame, texts))


def _names_of_sheet(rows: Sequence[Sequence[str]]) -> int:
    """Return the row with the names of the columns: as `header_row` of the filled cells."""
    filled = [(i, [cell for cell in row if cell]) for i, row in enumerate(rows)]
    used = [(i, row) for i, row in filled if row]
    return used[header_row([row for _, row in used])][0] if used else len(rows)


def _sheet(names: Sequence[str], sheet: str | int | None) -> str:
    if isinstance(sheet, str) and sheet not in names and sheet.isdecimal():
        sheet = int(sheet)
    if isinstance(sheet, int) and not isinstance(sheet, bool) and -len(names) <= sheet < len(names):
        return names[sheet]
    if sheet is None or sheet in names:
        return names[0] if sheet is None else str(sheet)
    raise DataError(
        f"there is no sheet {shown(sheet)} ({', '.join(names)}). {nearest(str(sheet), names)}".rstrip()
    )


def _of_other_program(place: Path, kind: str, sheet: str | int | None) -> Reading:
    try:
        frame = _READERS[kind](place, sheet)
    except DataError:
        raise
    except Exception as error:  # each reader has errors of its own
        raise ValueError(str(error) or type(error).__name__) from None
    check_names([str(name) for name in frame.columns])
    if frame.index.name == "rownames" and [str(v) for v in frame.index] == [
        str(i + 1) for i in range(len(frame))
    ]:
        frame = frame.reset_index(drop=True)
    return Reading(frame)


def _needs(module: str, extra: str, what: str) -> None:
    """Raise an error that names the extra of a reader that is not installed."""
    try:
        __import__(module)
    except ImportError:
        raise DataError(f'{what} need {module}: pip install "mixedfit[{extra}]"') from None


def _parquet(place: Path, _: str | int | None) -> pd.DataFrame:
    _needs("pyarrow", "stream", "Parquet files")
    return pd.read_parquet(place)


def _feather(place: Path, _: str | int | None) -> pd.DataFrame:
    _needs("pyarrow", "stream", "Feather files")
    return pd.read_feather(place)


def _spss(place: Path, _: str | int | None) -> pd.DataFrame:
    _needs("pyreadstat", "spss", "SPSS files")
    return pd.read_spss(place)


def _stata(place: Path, _: str | int | None) -> pd.DataFrame:
    return pd.read_stata(place)


def _sas(place: Path, _: str | int | None) -> pd.DataFrame:
    return pd.read_sas(place, encoding="utf-8")


def _rdata(place: Path, sheet: str | int | None) -> pd.DataFrame:
    _needs("pyreadr", "rdata", "R's data files")
    import pyreadr

    found = pyreadr.read_r(str(place))
    frames = {str(name): value for name, value in found.items() if isinstance(value, pd.DataFrame)}
    if not frames:
        raise DataError("there is no data frame in it.")
    if sheet is None and len(frames) > 1:
        raise DataError(
            f"there are {len(frames)} data frames in it; choose one by sheet= ({', '.join(frames)})."
        )
    return frames[_sheet(list(frames), sheet)]


_READERS: dict[str, Callable[[Path, str | int | None], pd.DataFrame]] = {
    ".parquet": _parquet,
    ".pq": _parquet,
    ".feather": _feather,
    ".sav": _spss,
    ".zsav": _spss,
    ".dta": _stata,
    ".sas7bdat": _sas,
    ".xpt": _sas,
    ".rds": _rdata,
    ".rdata": _rdata,
    ".rda": _rdata,
}
