"""Groups with separate residual variances: the levels of a column, on the rows of the fit and on new rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray, IntArray
from mixedfit.core.errors import DataError, GroupingWarning, ModelError, nearest, shown, warn
from mixedfit.core.format import count_noun
from mixedfit.design.design import Design
from mixedfit.design.frames import as_frame, check_column, column_names, plain_column
from mixedfit.design.grouping import Grouping, encode, interact
from mixedfit.design.recipe.variables import group_codes

__all__ = ["ResidualGroups", "residual_groups"]

FEW = 5
"""Number of distinct numbers up to which a column counts as labels, such as periods 1 to 4 or answers 1 to 5."""


@dataclass(frozen=True, slots=True, eq=False)
class ResidualGroups:
    """Groups with separate residual variances.

    Attributes
    ----------
    columns : tuple of str
    kinds : tuple of str
        numpy's kind of each column's type in the fit, "O" for labels.
    grouping : Grouping
        Levels, and the level of each row of the fit.
    """

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    grouping: Grouping

    @property
    def name(self) -> str:
        """Name of the column, or names of the columns joined by colons."""
        return self.grouping.name

    @property
    def levels(self) -> pd.Index[Any]:
        """Labels."""
        return self.grouping.levels

    def codes_of(self, data: Any) -> tuple[IntArray, AnyArray]:
        """Return level, −1 if it was not in the fit, and label of each row of new data.

        Raises
        ------
        DataError
            If a column is absent or has missing values.
        """
        codes, labels = group_codes(
            self.columns,
            self.kinds,
            self.levels,
            self.grouping.parts,
            as_frame(data, self.columns)[list(self.columns)],
        )
        missing = [label is None for label in labels]
        if any(missing):
            raise DataError(
                f"{self.name!r} is missing in {count_noun(sum(missing), 'row')}, whose residual variance depends on it "
                f"(first: row {missing.index(True)}); leave them out, or ask for kind='mean'."
            )
        return codes, labels


def residual_groups(design: Design, sigma: Any, data: Any) -> ResidualGroups | None:
    """Return the groups of the option ``sigma="by:g"``, None for "common".

    Parameters
    ----------
    design : Design
    sigma : str
    data : table or None
        The data of the design.

    Raises
    ------
    ModelError
        If the option or the column is not known, or the column has one level, or most levels have one row.
    DataError
        If the column has missing values.
    """
    if sigma == "common":
        return None
    name = sigma[3:].strip() if isinstance(sigma, str) and sigma.startswith("by:") else ""
    if not name:
        raise ModelError(
            f"sigma={sigma!r} is not known; expected 'common' or 'by:g' with the name of a column g."
        )
    if name == design.formula.response.strip():
        raise ModelError(
            f"sigma='by:{name}': {name!r} is the response, of which σ cannot depend; expected a column that says which "
            "rows are alike, such as a grouping factor."
        )
    columns = next((t.group.columns for t in design.formula.random if t.group.name == name), None)
    table = _rows(design, tuple(columns or name.split(":")), name, data)
    kinds = tuple(getattr(table[column].dtype, "kind", "O") for column in table)
    grouping = interact(name, [encode(str(column), table[column]) for column in table])
    if len(grouping.levels) < 2:
        raise ModelError(
            f"{name!r} has one level in the rows used, so that there is one residual variance; use sigma='common'."
        )
    _check_sizes(design, name, grouping)
    known = {column for term in design.formula.random for column in term.group.columns}
    if len(table.columns) == 1 and name not in known and kinds[0] in "iufc" and len(grouping.levels) > FEW:
        warn(
            f"sigma='by:{name}': {name!r} holds numbers, and each of its {len(grouping.levels)} values gets a σ of its "
            "own. If these are labels, make it a category; if not, take a column that sums it up.",
            GroupingWarning,
        )
    return ResidualGroups(tuple(map(str, table.columns)), kinds, grouping)


def _check_sizes(design: Design, name: str, grouping: Grouping) -> None:
    """Raise if more than half of the levels have one row."""
    single = int(np.sum(np.bincount(grouping.codes) == 1))
    if 2 * single > len(grouping.levels):
        raise ModelError(
            f"sigma='by:{name}': {name!r} has {len(grouping.levels)} levels in {design.n} rows, {single} of them with "
            "one row. Take a column with several rows a level; for a σ of each row, which is a t distribution, "
            "errors=mf.distributions.StudentT('estimate')."
        )


def _rows(design: Design, columns: tuple[str, ...], name: str, data: Any) -> pd.DataFrame:
    """Return columns of the data on the rows of the design, as numbers, booleans or categories."""
    known = [] if data is None else column_names(data)
    for column in columns:
        if column not in known:
            listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise ModelError(
                f"sigma='by:{name}': no column {column!r} in the data (columns: {listed}). "
                f"{nearest(column, known)}".rstrip()
            )
    table = as_frame(data, columns)[list(columns)]
    if len(table) != design.n:
        if not table.index.is_unique:
            raise ModelError(
                f"rows were dropped for missing values, and the data's index repeats labels, so that {name!r} cannot "
                "be matched to the rows kept; call .reset_index(drop=True) first."
            )
        table = table.loc[design.index]
    for column in columns:
        check_column(column, table[column])
    absent = table.isna().any(axis=1)
    if absent.any():
        raise DataError(
            f"{name!r} is missing in {int(absent.sum())} of the rows used, the first with index "
            f"{shown(table.index[int(np.argmax(absent))])}; drop them from the data."
        )
    return pd.DataFrame({column: plain_column(table[column]) for column in columns})
