"""Data sets of the package, with ordered factor levels."""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import pandas as pd

from .errors import DataError, nearest
from .other_programs import hinted

__all__ = ["dataset_names", "load_dataset"]


@lru_cache(maxsize=1)
def _folder() -> Path:
    """Return the data folder: inside the installed package, or beside the package in a source checkout."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "_data", here.parent / "data"):
        if (folder / "LEVELS.tsv").is_file():
            return folder
    raise DataError(
        "the data sets of mixedfit are missing from this installation; install the package again."
    )


@lru_cache(maxsize=1)
def _levels() -> dict[tuple[str, str], list[str]]:
    """Return the ordered levels of every factor column."""
    with open(_folder() / "LEVELS.tsv", encoding="utf-8", newline="") as file:
        return {
            (row["dataset"], row["column"]): row["levels"].split("|")
            for row in csv.DictReader(file, delimiter="\t")
        }


def dataset_names() -> list[str]:
    """Return the names of the data sets of the package, sorted.

    Returns
    -------
    list of str

    Examples
    --------
    >>> "sleepstudy" in dataset_names()
    True
    """
    return sorted({path.name.split(".")[0] for path in _folder().glob("*.csv*")}, key=str.lower)


@hinted
def load_dataset(name: str) -> pd.DataFrame:
    """Return a data set of the package, with factors as categories in the order of the source.

    Parameters
    ----------
    name : str
        One of `dataset_names`; ``data/README.md`` lists sources and units.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        If there is no such data set.

    Examples
    --------
    >>> load_dataset("sleepstudy").shape
    (180, 3)
    """
    paths = {path.name.split(".")[0]: path for path in _folder().glob("*.csv*")}
    if name not in paths:
        raise DataError(
            f"no data set {name!r} (available: {', '.join(dataset_names())}). {nearest(name, paths)}".rstrip()
        )
    columns = {column: levels for (dataset, column), levels in _levels().items() if dataset == name}
    frame = pd.read_csv(paths[name], dtype=dict.fromkeys(columns, "str"))
    for column, levels in columns.items():
        order = levels if levels != [""] else sorted(frame[column].unique(), key=_numeric_first)
        frame[column] = pd.Categorical(frame[column], categories=order)
    return frame


def _numeric_first(label: str) -> tuple[int, float, str]:
    """Return a sort key: labels that are numbers by value, then other labels by text."""
    return (0, float(label), "") if label.replace(".", "", 1).isdigit() else (1, 0.0, label)
