"""The result of a simulation of coverage: shares of intervals that contain the truth, and widths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.tables import Table
from mixedfit.inference.power.record import wilson

__all__ = ["METHODS", "Coverage", "IntervalMethod"]

IntervalMethod = Literal["wald", "satterthwaite", "kenward-roger", "profile", "bootstrap", "credible"]

METHODS: tuple[IntervalMethod, ...] = get_args(IntervalMethod)


@dataclass(frozen=True, eq=False)
class Coverage(NotebookTable):
    """Simulated coverage and width of intervals, a row for each parameter and method.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns parameter, method, true, coverage, lower, upper (95% Monte-Carlo interval of the coverage), width (mean
        of the intervals), n (number of intervals).
    intervals : pandas.DataFrame
        Every interval: columns data_set, method, parameter, lower, upper; NaN where there is none.
    level : float
        Nominal coverage.
    formula : str
    reml : bool
    requested : int
        Requested number of data sets; fewer were drawn if the run was stopped.
    seed
        Seed that reproduces the data.
    reasons : mapping of str to int
        Reasons of methods that failed, with their counts.
    residual : str
        The residual structure, empty without one.
    """

    table: pd.DataFrame
    intervals: pd.DataFrame
    level: float
    formula: str
    reml: bool
    requested: int
    seed: Any
    reasons: Mapping[str, int]
    residual: str = ""

    @classmethod
    def of(
        cls,
        intervals: Array,
        truth: pd.Series[float],
        methods: tuple[IntervalMethod, ...],
        applies: BoolArray,
        **about: Any,
    ) -> Coverage:
        """Return the record of intervals, shape (data sets, methods, parameters, 2)."""
        rows = [
            {"parameter": name, "method": method, **_row(intervals[:, m, p], float(true))}
            for p, (name, true) in enumerate(truth.items())
            for m, method in enumerate(methods)
            if applies[m, p]
        ]
        sets, _, _, _ = intervals.shape
        index = pd.MultiIndex.from_product(
            [range(sets), methods, truth.index], names=["data_set", "method", "parameter"]
        )
        every = pd.DataFrame(intervals.reshape(-1, 2), index=index, columns=["lower", "upper"]).reset_index()
        kept = np.broadcast_to(applies, intervals.shape[:3]).reshape(-1)
        return cls(pd.DataFrame(rows), every[kept].reset_index(drop=True), **about)

    @property
    def title(self) -> str:
        """Title of the table."""
        return f"Coverage of {100 * self.level:.4g}% intervals"

    @property
    def model(self) -> str:
        """The formula, and the residual structure if there is one."""
        return f"{self.formula}; residuals: {self.residual}" if self.residual else self.formula

    @property
    def notes(self) -> tuple[str, ...]:
        """Method of the simulation, and meaning of the columns."""
        done = int(self.intervals["data_set"].nunique())
        drawn = f"{done} data set{'s' * (done != 1)}"
        out = [f"{drawn} drawn and fitted by {'REML' if self.reml else 'ML'}"]
        if done < self.requested:
            out.append(f"Stopped by an interrupt: {done} of {self.requested} data sets.")
        out.append("lower, upper: 95% interval (Wilson) for what more data sets would show; width: mean.")
        missing = self.intervals[["lower", "upper"]].isna().any(axis=1)
        if missing.any():
            why = "; ".join(f"{count} × {reason}" for reason, count in self.reasons.items())
            out.append(
                f"{int(missing.sum())} intervals have no value and are left out{f' ({why})' * bool(why)}."
            )
        return tuple(out)

    def cells(self) -> pd.DataFrame:
        """Return the table as text."""
        shown = self.table.copy()
        for column in ("coverage", "lower", "upper"):
            shown[column] = [f"{v:.3f}" for v in shown[column]]
        for column in ("true", "width"):
            shown[column] = [f"{v:.4g}" for v in shown[column]]
        again = shown["parameter"].eq(shown["parameter"].shift())
        shown["parameter"] = shown["parameter"].where(~again, "")
        shown["true"] = shown["true"].where(~again, "")
        return shown.astype(str)

    def plot(self, *, ax: Any = None) -> Any:
        """Draw the coverage of every method, a panel for each parameter, with Monte-Carlo intervals and widths.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            For one parameter.

        Returns
        -------
        matplotlib Figure, or `ax`

        Raises
        ------
        ModelError
            If matplotlib is not installed, or `ax` is given for several parameters.
        """
        from mixedfit.plots import coverage

        return coverage(self.table, level=self.level, ax=ax)

    def _tables(self) -> list[Table]:
        cells = self.cells()
        rows = tuple(tuple(row) for row in cells.itertuples(index=False))
        return [Table(f"{self.title}: {self.model}", tuple(cells.columns), rows, 2, self.notes)]

    def __str__(self) -> str:
        cells = self.cells()
        for column in ("parameter", "method"):
            width = max(map(len, [column, *cells[column]]))
            cells[column] = cells[column].str.ljust(width)
            cells = cells.rename(columns={column: column.ljust(width)})
        how, *notes = self.notes
        return "\n".join([self.title, self.model, how, "", cells.to_string(index=False), "", *notes])

    __repr__ = __str__


def _row(intervals: Array, true: float) -> dict[str, float]:
    """Return the coverage and mean width of intervals, shape (data sets, 2)."""
    known = intervals[~np.isnan(intervals).any(axis=1)]
    inside = int(np.sum((known[:, 0] <= true) & (true <= known[:, 1])))
    lower, upper = wilson(inside, len(known))
    return {
        "true": true,
        "coverage": inside / len(known) if len(known) else float("nan"),
        "lower": lower,
        "upper": upper,
        "width": float(np.mean(known[:, 1] - known[:, 0])) if len(known) else float("nan"),
        "n": len(known),
    }
