"""Comparison of many posteriors by elpd: table with differences from the best, and weights of the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import text_columns, wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.seeds import generator
from mixedfit.core.tables import Table

from .elpd import ExpectedDensity
from .stacking import pseudo_bma_weights, stacking_weights

__all__ = ["ElpdComparison", "compare_densities"]


@dataclass(frozen=True, eq=False)
class ElpdComparison(NotebookTable):
    """Posteriors of the same data in decreasing order of elpd. Made by `mixedfit.compare_models`.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each model: elpd and se; difference from the best model and se_difference; p, the effective number of
        parameters; the weights stacking and pseudo_bma; unreliable, the number of rows or groups without a reliable
        estimate.
    densities : dict of str to ExpectedDensity
        In the order of the table.
    """

    table: pd.DataFrame
    densities: dict[str, ExpectedDensity]

    def _cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the heads and the rows of the printed table."""
        heads = ("", "elpd", "SE", "difference", "SE", "p", "stacking", "pseudo-BMA+")
        rows = []
        for name, row in zip(self.table.index, self.table.to_dict("records"), strict=True):
            sizes = [f"{row[c]:.1f}" for c in ("elpd", "se", "difference", "se_difference", "p")]
            rows.append((str(name), *sizes, *(f"{row[c]:.2f}" for c in ("stacking", "pseudo_bma"))))
        return heads, rows

    @property
    def _title(self) -> str:
        first = next(iter(self.densities.values()))
        unit = "rows" if first.unit == "row" else f"groups of {first.unit}"
        return f"Models by elpd_{first.method}, {first.pointwise.size:,} {unit}"

    def _notes(self) -> list[str]:
        """Return a note on models with unreliable estimates."""
        doubtful = self.table["unreliable"][self.table["unreliable"] > 0]
        if doubtful.empty:
            return []
        counts = ", ".join(f"{name} {count:,}" for name, count in doubtful.items())
        return [
            f"Rows or groups without a reliable estimate: {counts}. Compare .loo(refit=True), or .kfold(), of these "
            "posteriors."
        ]

    def _tables(self) -> list[Table]:
        heads, rows = self._cells()
        return [Table(self._title, heads, tuple(rows), 1, tuple(self._notes()))]

    def __str__(self) -> str:
        heads, rows = self._cells()
        columns = [list(column) for column in zip(*rows, strict=True)]
        return "\n".join([self._title, *text_columns(list(heads), columns, left=1), *wrapped(self._notes())])

    __repr__ = __str__


def compare_densities(densities: Mapping[str, ExpectedDensity], seed: object = 0) -> ElpdComparison:
    """Return the comparison of estimates of elpd of the same data.

    Parameters
    ----------
    densities : mapping of str to ExpectedDensity
        At least two, all by the same method and of the same units.
    seed : int, SeedSequence, Generator or None
        Seed of the Bayesian bootstrap of pseudo-BMA+.

    Raises
    ------
    ModelError
        If there are fewer than two, or they differ in method, unit or data.
    """
    if len(densities) < 2:
        raise ModelError("a comparison by elpd needs at least two posteriors.")
    order = sorted(densities, key=lambda name: -densities[name].elpd)
    best = densities[order[0]]
    differences = {name: densities[name] - best for name in order}
    logs: Array = np.column_stack([densities[name].pointwise.to_numpy(dtype=np.float64) for name in order])
    table = pd.DataFrame(
        {
            "elpd": [densities[name].elpd for name in order],
            "se": [densities[name].se for name in order],
            "difference": [differences[name].elpd for name in order],
            "se_difference": [differences[name].se for name in order],
            "p": [densities[name].p for name in order],
            "stacking": stacking_weights(logs),
            "pseudo_bma": pseudo_bma_weights(logs, generator(seed)),
            "unreliable": [densities[name].high.size for name in order],
        },
        index=pd.Index(order, name="model"),
    )
    return ElpdComparison(table, {name: densities[name] for name in order})
