"""`SiteRecipe`: levels and moments of a model's columns in one place, and what several places agree on.

Sites that do not share rows need the same columns of X and the same transforms. Each gives the levels of its factors
and the moments of its numbers; the union and the pooled moments are what all of them then use.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.errors import DataError, ModelError, a_type, shown
from mixedfit.core.json_index import pack_labels, pack_value, unpack_index, unpack_value
from mixedfit.core.whole_file import whole_file
from mixedfit.formula.parse import ParsedFormula

from .column_scan import ColumnScan
from .scan import Scan
from .states import find_transforms

__all__ = ["ColumnRecipe", "SiteRecipe", "agreed", "applied", "recipe_of", "with_recipe"]

FORMAT = "mixedfit recipe 1"


@dataclass(frozen=True, slots=True, eq=False)
class ColumnRecipe:
    """One column of a model.

    Attributes
    ----------
    kind : {"labels", "numbers"}
    levels : pandas.Index or None
        Levels of labels, or distinct values of numbers that are levels.
    is_ordered : bool
        Whether the order of the levels is that of categories; otherwise they are sorted.
    count : int
    mean, deviations : float
        Mean, and sum of squared deviations from it, of numbers.
    """

    kind: str
    levels: pd.Index[Any] | None
    is_ordered: bool
    count: int
    mean: float
    deviations: float


@dataclass(frozen=True, eq=False)
class SiteRecipe:
    """Levels, moments and states of transforms of a model's columns; no rows.

    Attributes
    ----------
    formula : str
    columns : dict of str to ColumnRecipe
    states : dict
        States of transforms other than scale and center, by call.
    """

    formula: str
    columns: Mapping[str, ColumnRecipe]
    states: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<SiteRecipe: {self.formula!r}, columns {', '.join(self.columns)}>"

    def save(self, path: str | Path) -> None:
        """Write the recipe to a JSON file: names, levels, numbers of rows, means and variances of columns.

        Raises
        ------
        DataError
            If levels are of a type that a file cannot hold, or the file cannot be written.
        """
        columns = {
            name: {
                "kind": own.kind,
                "levels": None
                if own.levels is None
                else pack_labels(f"the levels of {name!r}", own.levels, "Make them text"),
                "ordered": own.is_ordered,
                "numbers": [own.count, own.mean, own.deviations],
            }
            for name, own in self.columns.items()
        }
        stored = {
            "format": FORMAT,
            "formula": self.formula,
            "columns": columns,
            "states": pack_value(dict(self.states)),
        }
        try:
            with whole_file(path) as file:
                file.write(json.dumps(stored, indent=1).encode("utf-8"))
        except OSError as error:
            raise DataError(f"cannot write {str(path)!r}: {error}") from None

    @classmethod
    def read(cls, path: str | Path) -> SiteRecipe:
        """Return the recipe in a file that `save` wrote.

        Raises
        ------
        DataError
            If the file is not one, or is damaged.
        """
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            if stored["format"] != FORMAT:
                raise DataError(f"{path}: format {stored['format']!r} is not known; expected {FORMAT!r}.")
            columns = {str(name): _unpacked(own) for name, own in stored["columns"].items()}
            return cls(str(stored["formula"]), columns, unpack_value(stored["states"]))
        except FileNotFoundError:
            raise DataError(f"there is no file {str(path)!r}.") from None
        except (KeyError, ValueError, TypeError, OSError, AttributeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path} is not a recipe saved by mixedfit, or is damaged ({error}).") from None


def _unpacked(stored: Mapping[str, Any]) -> ColumnRecipe:
    count, mean, deviations = stored["numbers"]
    levels = None if stored["levels"] is None else unpack_index(stored["levels"])
    return ColumnRecipe(
        str(stored["kind"]), levels, bool(stored["ordered"]), int(count), float(mean), float(deviations)
    )


def with_recipe(recipe: Any) -> SiteRecipe | None:
    """Return the recipe given as a value or path."""
    if recipe is None or isinstance(recipe, SiteRecipe):
        return recipe
    if isinstance(recipe, str | Path):
        return SiteRecipe.read(recipe)
    raise DataError(
        f"recipe is {a_type(recipe)}; expected the result of mixedfit.agree, or the path of its file."
    )


def recipe_of(parsed: ParsedFormula, scan: Scan) -> SiteRecipe:
    """Return the recipe of a source from its first pass."""
    columns = {}
    for name, own in scan.columns.items():
        if own.labels:
            ordered = own.order is not None and not own.mixed and not own.text
            columns[name] = ColumnRecipe("labels", own.categories, ordered, scan.rows, math.nan, math.nan)
        else:
            levels = pd.Index(own.distinct_values) if own.distinct else None
            columns[name] = ColumnRecipe("numbers", levels, False, own.count, own.mean, own.deviations)
    moments = find_transforms(parsed, set(scan.columns), {}).moments
    states = {call: state for call, state in scan.states.items() if call not in moments}
    return SiteRecipe(parsed.source, columns, states)


def agreed(recipes: Sequence[SiteRecipe]) -> SiteRecipe:
    """Return the recipe for all sites: the union of levels, and pooled means and variances.

    Raises
    ------
    ModelError
        If formulas or kinds of columns differ, or polynomials or splines have learnt different states.
    """
    first = recipes[0]
    for i, other in enumerate(recipes[1:], 2):
        if other.formula != first.formula or other.columns.keys() != first.columns.keys():
            raise ModelError(
                f"recipe {i} is of {other.formula!r} with the columns {', '.join(other.columns)}, the first of "
                f"{first.formula!r} with {', '.join(first.columns)}. Make the recipes of one model."
            )
        for call, state in first.states.items():
            if repr(state) != repr(other.states.get(call)):
                raise ModelError(
                    f"{call} has learnt otherwise in recipe {i} than in the first, and what it learns from all rows "
                    "cannot be pooled. Write poly(x, 2, raw=True) for polynomials; give knots= and Boundary_knots= of "
                    "splines."
                )
    columns = {name: _pooled(name, [recipe.columns[name] for recipe in recipes]) for name in first.columns}
    return replace(first, columns=columns)


def _pooled(name: str, parts: Sequence[ColumnRecipe]) -> ColumnRecipe:
    first = parts[0]
    kinds = {part.kind for part in parts}
    if len(kinds) > 1:
        raise ModelError(
            f"column {name!r} holds numbers in one place and labels in another. Give it one type."
        )
    count = sum(part.count for part in parts)
    levels, ordered = _united(parts)
    if first.kind == "labels":
        return replace(first, levels=levels, is_ordered=ordered, count=count)
    mean = sum(part.count * part.mean for part in parts) / count
    deviations = sum(part.deviations + part.count * (part.mean - mean) ** 2 for part in parts)
    return replace(first, levels=levels, count=count, mean=mean, deviations=deviations)


def _united(parts: Sequence[ColumnRecipe]) -> tuple[pd.Index[Any] | None, bool]:
    """Return the levels of all parts, and whether their order is that of categories."""
    levels = parts[0].levels
    if levels is None:
        return None, False
    every = levels
    for part in parts[1:]:
        assert part.levels is not None
        every = every.append(part.levels[~part.levels.isin(every)])
    longest = max(parts, key=lambda part: 0 if part.levels is None else len(part.levels)).levels
    if all(part.is_ordered for part in parts) and longest is not None and len(longest) == len(every):
        return longest, True
    sorted_levels: pd.Index[Any] = pd.Series(every).astype("category").cat.categories
    return sorted_levels, False


def applied(recipe: SiteRecipe, parsed: ParsedFormula, scan: Scan) -> Scan:
    """Return what a first pass has learnt with the levels and states that were agreed on.

    Raises
    ------
    ModelError
        If the recipe is of another model.
    DataError
        If a column has another kind, or levels that the recipe does not have.
    """
    if recipe.formula != parsed.source:
        raise ModelError(
            f"the recipe is of {recipe.formula!r}, the model of {parsed.source!r}. Use one formula."
        )
    for name, own in scan.columns.items():
        column = recipe.columns.get(name)
        if column is None:
            raise ModelError(f"the recipe has no column {name!r}. Make it again with this model.")
        _apply(own, column)
    states = dict(scan.states) | dict(recipe.states)
    for call, (function, name) in find_transforms(parsed, set(scan.columns), {}).moments.items():
        column = recipe.columns[name]
        deviation = np.float64(math.sqrt(column.deviations / (column.count - 1)))
        states[call] = {
            "ddof": 1,
            "center": np.float64(column.mean),
            "scale": None if function == "center" else deviation,
        }
    return replace(scan, states=states)


def _apply(own: ColumnScan, column: ColumnRecipe) -> None:
    if (column.kind == "labels") != bool(own.labels):
        raise DataError(
            f"column {own.name!r} holds {column.kind} in the recipe and not here. Give it one type."
        )
    if column.levels is None:
        return
    known = set(column.levels.tolist())
    present = own.categories.tolist() if own.labels else own.distinct_values.tolist()
    new = [value for value in present if value not in known]
    if new:
        raise DataError(
            f"column {own.name!r} has {shown(new[0])}, which the recipe does not have (one of {len(new)} such values). "
            "Make the recipe again from all places."
        )
    own.values = column.levels if own.labels else column.levels.to_numpy()
    own.order, own.mixed, own.text = column.levels, False, False
