"""Files as sources of rows: CSV and Parquet, one or several, folders of Parquet files and patterns of names."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfit.core.errors import DataError, ReadingWarning, nearest, warn
from mixedfit.core.format import count_noun
from mixedfit.core.reading.files import text_dialect

from .pieces import CsvRows, ParquetRows, file_parts
from .row_source import RowSource

__all__ = ["EXTRA", "arrow_dataset", "count_rows", "source_of_paths"]

PARQUET = (".parquet", ".pq")

CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")

EXTRA = "Install the extra: pip install 'mixedfit[stream]'."


def source_of_paths(paths: str | Path | Sequence[str | Path], size: int) -> RowSource:
    """Return a source of the rows of files, one file after the other.

    Parameters
    ----------
    paths : str, Path or sequence of these
        A CSV or Parquet file, several, a folder with Parquet files, or a pattern such as ``"rows/*.parquet"``.
    size : int
        Largest number of rows of a batch.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.
    """
    several = not isinstance(paths, str | Path)
    given = list(paths) if not isinstance(paths, str | Path) else [paths]
    if not several and Path(given[0]).is_dir():
        return _of_parquet(str(given[0]), _files_of_folder(Path(given[0])), size, base=Path(given[0]))
    files = [file for one in given for file in _files(one)]
    twice = next((file for i, file in enumerate(files) if file in files[:i]), None)
    if twice is not None:
        raise DataError(
            f"the file {str(twice)!r} is given twice, and its rows would count twice. Give it once."
        )
    name = str(given[0]) if len(given) == 1 else f"{count_noun(len(files), 'file')} ({given[0]}, …)"
    kinds = {_kind(file) for file in files}
    if kinds == {"parquet"}:
        return _of_parquet(name, files, size)
    if kinds == {"csv"}:
        return _of_csv(name, files, size)
    raise DataError(f"{name}: some files are CSV and others Parquet. Give files of one kind.")


def _files(path: str | Path) -> list[Path]:
    """Return the files of a path or a pattern."""
    place = Path(path)
    if place.is_file():
        return [place]
    if place.is_dir():
        raise DataError(f"{str(path)!r} in the list is a folder. Give files, or one folder alone.")
    if any(mark in str(path) for mark in "*?["):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        found = [file for file in found if file.is_file()]
        if found:
            return found
        raise DataError(f"no file matches {str(path)!r}.")
    folder = place.parent
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    hint = nearest(place.name, names)
    raise DataError(
        f"there is no file or folder {str(path)!r}. {hint or 'Give the path of a CSV or Parquet file.'}"
    )


def _kind(file: Path) -> str:
    name = file.name.lower()
    if name.endswith(PARQUET):
        return "parquet"
    if name.endswith(CSV):
        return "csv"
    raise DataError(
        f"{str(file)!r}: files of this kind are not read in batches; expected one of {', '.join((*CSV, *PARQUET))} or "
        "a folder of Parquet files. mf.read reads workbooks and files of other programs into a frame."
    )


# -- Parquet -----------------------------------------------------------------------------------------


def arrow_dataset() -> Any:
    """Return the module pyarrow.dataset.

    Raises
    ------
    DataError
        If pyarrow is not installed.
    """
    try:
        from pyarrow import dataset
    except ImportError:
        raise DataError(f"Parquet files and datasets are read with pyarrow. {EXTRA}") from None
    return dataset


def _files_of_folder(folder: Path) -> list[Path]:
    """Return the Parquet files below a folder, sorted; those without an ending if none has one.

    Names that begin with a dot or an underscore are passed over, as Spark's marks of success are.
    """
    below = (file.relative_to(folder) for file in folder.rglob("*"))
    seen = sorted(
        folder / file
        for file in below
        if not any(part.startswith((".", "_")) for part in file.parts) and (folder / file).is_file()
    )
    named = [file for file in seen if file.name.lower().endswith(PARQUET)]
    found = named or [file for file in seen if not file.suffix]
    if found:
        return found
    if not seen:
        raise DataError(f"the folder {str(folder)!r} has no files. Give a folder with Parquet files.")
    texts = [file for file in seen if file.name.lower().endswith(CSV)]
    if texts:
        pattern = str(folder / f"*{''.join(texts[0].suffixes)}")
        raise DataError(
            f"the folder {str(folder)!r} has no Parquet files, and {count_noun(len(texts), 'text file')}. Give them as "
            f"a list or a pattern: {pattern!r}."
        )
    raise DataError(
        f"the folder {str(folder)!r} has no Parquet files (among {count_noun(len(seen), 'file')}, such as "
        f"{seen[0].name!r})."
    )


def _of_parquet(name: str, files: Sequence[Path], size: int, base: Path | None = None) -> RowSource:
    """Return a source of Parquet files, read one after the other; a scan of a dataset reads ahead of its batches.

    Parameters
    ----------
    name : str
    files : sequence of Path
    size : int
    base : Path, optional
        Folder below which names of folders such as ``year=2020`` are columns.
    """
    module = arrow_dataset()
    opened = _opened(module, name, files, base)
    columns = tuple(opened.schema.names)
    paths = tuple(map(str, files))
    total = count_rows(name, opened)
    of_folders = _columns_of_folders(module, opened, base)

    def split(names: Sequence[str]) -> Iterator[Any]:
        for rows in file_parts(paths, size, of_folders):
            shown = rows.pieces[0][0] if len(rows.pieces) == 1 else f"{name}, from {rows.pieces[0][0]} on"
            yield RowSource(shown, columns, rows, None, size, appended=True)

    rows = ParquetRows(tuple((path, None) for path in paths), size, of_folders)
    return RowSource(name, columns, rows, total, size, appended=True, split=split, files=paths)


def _opened(module: Any, name: str, files: Sequence[Path], base: Path | None) -> Any:
    """Return the dataset of Parquet files, with the columns of their folders' names."""
    paths = [str(file) for file in files]
    hive = base is not None and any("=" in part for file in files for part in _folders(file, base))
    ways: list[dict[str, Any]] = [{"partitioning": "hive", "partition_base_dir": str(base)}] if hive else []
    for options in (*ways, {}):
        try:
            return module.dataset(paths, format="parquet", **options)
        except Exception as error:
            if options:  # a column of the files may be in the folders' names too, as another type
                continue
            raise DataError(
                f"{name} cannot be read as Parquet: {_at_fault(module, paths)}{error}".rstrip(".")
                + ". Write the file again."
            ) from error
    raise AssertionError("not reached")


def _folders(file: Path, base: Path) -> tuple[str, ...]:
    return file.relative_to(base).parts[:-1]


def _at_fault(module: Any, paths: Sequence[str]) -> str:
    """Return the first file that cannot be opened, for a message."""
    for path in paths:
        try:
            module.dataset(path, format="parquet").count_rows()
        except Exception:
            return f"{path}: "
    return ""


def _columns_of_folders(module: Any, opened: Any, base: Path | None) -> dict[str, dict[str, Any]]:
    """Return, for each file, the values of the columns that are names of its folders, as Arrow's scalars."""
    from pyarrow import scalar

    out: dict[str, dict[str, Any]] = {}
    if base is None:
        return out
    for fragment in opened.get_fragments():
        keys = module.get_partition_keys(fragment.partition_expression)
        own = set(fragment.physical_schema.names) if keys else set()
        values = {
            name: scalar(value, type=opened.schema.field(name).type)
            for name, value in keys.items()
            if name not in own
        }
        if values:
            out[fragment.path] = values
    return out


def count_rows(name: str, dataset: Any) -> int:
    """Return the number of rows of a dataset, from the ends of its files.

    Raises
    ------
    DataError
        If a file cannot be read, with its name.
    """
    try:
        return int(dataset.count_rows())
    except Exception as error:
        at_fault = _at_fault(arrow_dataset(), list(getattr(dataset, "files", ())))
        words = str(error).rstrip(".")
        raise DataError(
            f"{name} cannot be read: {at_fault}{words}. Check that the file is complete."
        ) from error


# -- CSV ---------------------------------------------------------------------------------------------


def _of_csv(name: str, files: Sequence[Path], size: int) -> RowSource:
    """Return a source of CSV files with the same columns, written as the first is."""
    first = files[0]
    try:
        dialect, packed = text_dialect(first, sep="tab" if ".tsv" in first.name.lower() else None)
        options = {**dialect.options(), **({"compression": packed} if len(files) == 1 else {})}
        columns = tuple(str(name) for name in pd.read_csv(first, nrows=0, **options).columns)
    except DataError as error:
        raise DataError(f"{str(first)!r} cannot be read as CSV: {error}") from None
    except (OSError, EOFError, ValueError, LookupError) as error:
        words = str(error).rstrip(".")
        raise DataError(
            f"{str(first)!r} cannot be read as CSV: {words}. Check the file and its encoding."
        ) from error
    if dialect.notes:
        warn(f"{first.name}: {'; '.join(dialect.notes)}.", ReadingWarning)
    paths = tuple(map(str, files))
    return RowSource(name, columns, CsvRows(paths, options, size), None, size, files=paths)
