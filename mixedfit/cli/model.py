"""Data and model of a command. Formulas of the command line call no functions but plain transforms."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from mixedfit.core.datasets import dataset_names, load_dataset
from mixedfit.core.errors import DataError, nearest
from mixedfit.core.reading.files import read
from mixedfit.formula.safety import check_is_plain
from mixedfit.model.lmm import LinearMixedModel, lmm
from mixedfit.model.results import MixedResults

from .arguments import READING

__all__ = ["data_of", "fitted", "fitted_all", "model_of", "model_on", "new_rows", "read_data"]


def fitted(options: argparse.Namespace) -> MixedResults:
    """Return the fit of a command's model."""
    return model_of(options).fit(reml=not options.ml, sigma=options.sigma)


def fitted_all(options: argparse.Namespace) -> list[MixedResults]:
    """Return the fits of a command's formulas to one data set."""
    data = data_of(options)
    models = [model_on(formula, data, options) for formula in options.formulas]
    return [model.fit(reml=not options.ml, sigma=options.sigma) for model in models]


def model_of(options: argparse.Namespace) -> LinearMixedModel:
    """Return a command's model."""
    return model_on(options.formula, data_of(options), options)


def model_on(formula: str, data: pd.DataFrame, options: argparse.Namespace) -> LinearMixedModel:
    """Return the model of a formula on a command's data."""
    check_is_plain(formula, [str(c) for c in data.columns])
    expand: Any = getattr(options, "expand", "levels")
    return lmm(formula, data, weights=options.weights, expand=expand, residual=options.residual)


def data_of(options: argparse.Namespace, source: str | None = None) -> pd.DataFrame:
    """Return the data of a command, or of another file of the same kind, with its columns of labels.

    Raises
    ------
    DataError
        If the file cannot be read, or a name of --factors is not a column of the command's data.
    """
    given = {name: getattr(options, name) for name in READING}
    data = read_data(options.data if source is None else source, **given)
    for name in (name.strip() for name in options.factors.split(",") if name.strip()):
        if name in data.columns:
            data[name] = data[name].astype("category")
        elif source is None:
            raise DataError(
                f"--factors names {name!r}, which is not a column. {nearest(name, data.columns)}".rstrip()
            )
    return data


def new_rows(options: argparse.Namespace, data: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are to be predicted; numbers in a column that holds text in the data are text."""
    rows = data_of(options, options.new).reset_index(drop=True)
    for name in rows.columns.intersection(data.columns):
        known, own = data[name], rows[name]
        labels = known.cat.categories if isinstance(known.dtype, pd.CategoricalDtype) else known
        values = own.astype(own.cat.categories.dtype) if isinstance(own.dtype, pd.CategoricalDtype) else own
        if not pd.api.types.is_numeric_dtype(labels) and pd.api.types.is_numeric_dtype(values):
            rows[name] = values.map(str, na_action="ignore")
    return rows


def read_data(source: str, **options: Any) -> pd.DataFrame:
    """Return the data of a file, or a data set of the package; options as in `mixedfit.read`.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.
    """
    if not Path(source).exists():
        if source in dataset_names():
            return load_dataset(source)
        place = Path(source)
        beside = [path.name for path in place.parent.iterdir()] if place.parent.is_dir() else []
        near = nearest(place.name, beside) or nearest(source, dataset_names())
        advice = [near, "'mixedfit datasets' lists the data sets of the package."]
        raise DataError(f"no file {source!r}, and no data set of that name. {' '.join(filter(None, advice))}")
    return read(source, **options)
