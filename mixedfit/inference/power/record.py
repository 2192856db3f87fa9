"""The result of a simulation of power, with Monte-Carlo intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from mixedfit.core.errors import ModelError
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.tables import Table

__all__ = ["Power", "wilson"]


@dataclass(frozen=True, eq=False)
class Power(NotebookTable):
    """Simulated power of a test, a row for each sample size.

    Attributes
    ----------
    table : pandas.DataFrame
        Numbers of levels (columns of `along`), rows, power, lower, upper (95% Monte-Carlo interval), n (number of
        tests), singular, failed.
    p_values : pandas.DataFrame
        A row for each data set, a column for each row of `table`; NaN if a refit failed.
    estimates : pandas.DataFrame
        The tested contrast in each data set (the first of several), columns as in `p_values`.
    test, formula : str
    alpha : float
    method : str
        Method for the degrees of freedom.
    requested : int
        Requested number of data sets; fewer were drawn if the run was stopped.
    reml : bool
    seed
        Seed that reproduces the data.
    reasons : mapping of str to int
        Reasons of failed refits, with their counts.
    left_out : tuple of str
        Sample sizes that a run that was stopped did not begin.
    residual : str
        The residual structure, empty without one.
    """

    table: pd.DataFrame
    p_values: pd.DataFrame
    estimates: pd.DataFrame
    test: str
    formula: str
    alpha: float
    method: str
    requested: int
    reml: bool
    seed: Any
    reasons: Mapping[str, int]
    left_out: tuple[str, ...] = ()
    residual: str = ""

    @property
    def power(self) -> float:
        """The power, if the table has one row."""
        if len(self.table) != 1:
            raise ModelError("the table has several rows; see .table['power'].")
        return float(self.table["power"].iloc[0])

    @property
    def title(self) -> str:
        """Title of the table."""
        return f"Power of the test {self.test} at level {self.alpha:g}"

    @property
    def model(self) -> str:
        """The formula, and the residual structure if there is one."""
        return f"{self.formula}; residuals: {self.residual}" if self.residual else self.formula

    @property
    def notes(self) -> tuple[str, ...]:
        """Method of the simulation, and meaning of the columns."""
        stopped = self._interrupted()
        draws = f"{'up to ' if stopped else ''}{self.requested} data set{'s' * (self.requested != 1)}"
        how = f"{draws} drawn and refitted by {'REML' if self.reml else 'ML'}; degrees of freedom: {self.method}"
        out = [
            how,
            *self._interrupted(),
            "lower, upper: 95% interval (Wilson) for what more data sets would show.",
        ]
        if self.table["singular"].any():
            out.append("singular: refits with a variance of 0 or a correlation of ±1; they count.")
        if self.table["failed"].any():
            why = "; ".join(f"{count} × {reason}" for reason, count in self.reasons.items())
            out.append(f"failed: refits without a result, left out ({why}).")
        return tuple(out)

    def _interrupted(self) -> list[str]:
        """Return the note on a run that was stopped: how far it came."""
        last = self.table.iloc[-1]
        done = int(last["n"] + last["failed"])
        if done == self.requested and not self.left_out:
            return []
        row = "the last row" if len(self.table) > 1 else "this row"
        rest = f"; not begun: {'; '.join(self.left_out)}" if self.left_out else ""
        return [f"Stopped by an interrupt: {row} has {done} of {self.requested} data sets{rest}."]

    def cells(self) -> pd.DataFrame:
        """Return the table as text, without columns singular and failed if they are 0."""
        shown = self.table.copy()
        for column in ("power", "lower", "upper"):
            shown[column] = [f"{value:.3f}" for value in shown[column]]
        for column in ("singular", "failed"):
            if not shown[column].any():
                del shown[column]
        return shown.astype(str)

    def _tables(self) -> list[Table]:
        cells = self.cells()
        rows = tuple(tuple(row) for row in cells.itertuples(index=False))
        return [Table(f"{self.title}: {self.model}", tuple(cells.columns), rows, 1, self.notes)]

    def __str__(self) -> str:
        how, *notes = self.notes
        table = self.cells().to_string(index=False)
        return "\n".join([self.title, self.model, how, "", table, "", *notes])

    __repr__ = __str__


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion; Wilson (1927), J. Am. Stat. Assoc. 22:209."""
    if n == 0:
        return float("nan"), float("nan")
    z, share = float(ndtri(0.5 + level / 2)), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    lower = 0.0 if successes == 0 else float(middle - half)
    return lower, 1.0 if successes == n else float(middle + half)
