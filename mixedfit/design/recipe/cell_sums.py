"""Cells of rows that are read in batches."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import AnyArray, Array
from mixedfit.design.model_frame import names_by_part

from .cells import CALLED, Cells, count_cells
from .recipe import Recipe

__all__ = ["CellSums"]


class CellSums:
    """Numbers of rows of each combination of fixed factors, added up over batches.

    Parameters
    ----------
    recipe : Recipe
    values : mapping of str to ndarray
        Distinct values, sorted, of columns of numbers that the formula makes factors of.
    """

    def __init__(self, recipe: Recipe, values: Mapping[str, AnyArray]) -> None:
        names = names_by_part(recipe.parsed)["X"]
        self.variables = [recipe.variables[name] for name in names if name in recipe.variables]
        states = {} if recipe.specs is None else recipe.specs["X"].encoder_state
        self.called = {found.group(1) for e in states if (found := re.match(CALLED, e))}
        self.values = values
        self.counts: Counter[tuple[int, ...]] = Counter()
        self.names: tuple[str, ...] = ()
        self.levels: tuple[pd.Index[Any], ...] = ()

    def add(self, columns: Mapping[str, pd.Series[Any]], weights: Array | None) -> None:
        """Add the rows of a batch."""
        own = count_cells(self.variables, columns, called=self.called, weights=weights)
        codes, levels = own.codes.copy(), list(own.values)
        for i, name in enumerate(own.names):
            variable = next(v for v in self.variables if v.name == name)
            if variable.levels is None and not variable.two_valued and name in self.values:
                places = np.searchsorted(self.values[name], own.values[i].to_numpy())
                codes[:, i] = places[own.codes[:, i]]
                levels[i] = pd.Index(self.values[name])
        self.names, self.levels = own.names, tuple(levels)
        for row, count in zip(codes.tolist(), own.counts.tolist(), strict=True):
            self.counts[tuple(row)] += count

    def state(self) -> dict[str, Any]:
        """Return the counts, for a file."""
        return {"counts": dict(self.counts), "names": self.names, "levels": self.levels}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the counts from a file."""
        self.counts, self.names, self.levels = Counter(state["counts"]), state["names"], state["levels"]

    def cells(self) -> Cells:
        """Return the cells of all rows."""
        found = sorted(row for row, count in self.counts.items() if count > 0)
        codes = np.array(found, dtype=np.int64).reshape(len(found), len(self.names))
        return Cells(self.names, self.levels, codes, np.array([float(self.counts[row]) for row in found]))
