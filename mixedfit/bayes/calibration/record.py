"""The result of simulation-based calibration: ranks, a test for each parameter, a verdict in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.format import join_words
from mixedfit.core.lazy import lazy
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.pictures import picture
from mixedfit.core.tables import Table

from .uniformity import ecdf_band, uniformity_p_value

__all__ = ["Calibration"]

SIGNIFICANT = 0.05
"""Adjusted p-value below which ranks are called not uniform."""

WIDTH = 88
"""Columns that the printed verdict fills."""


@dataclass(frozen=True, eq=False)
class Calibration(NotebookTable):
    """Ranks of true parameters among posterior draws of simulated data. Made by `LinearMixedModel.calibration`.

    Attributes
    ----------
    ranks : pandas.DataFrame
        A row for each simulation, a column for each parameter: how many of `draws` draws are below the true value,
        0 to `draws`; uniform if priors, model and sampler agree.
    true : pandas.DataFrame
        The parameters that were drawn from the priors.
    draws : int
        Nearly independent posterior draws of each simulation.
    formula : str
    priors : tuple of str
        Statements of the priors.
    requested : int
        Requested number of simulations; fewer were done if the run was stopped or some failed.
    seed
        Seed that reproduces the simulations.
    reasons : mapping of str to int
        Reasons of simulations that failed, with their counts.
    correlated : int
        Simulations with fewer than `draws` effective draws of some parameter within the largest number of draws.
    """

    ranks: pd.DataFrame
    true: pd.DataFrame
    draws: int
    formula: str
    priors: tuple[str, ...]
    requested: int
    seed: Any
    reasons: Mapping[str, int]
    correlated: int

    @property
    def simulations(self) -> int:
        """Number of simulations that were done."""
        return len(self.ranks)

    @lazy
    def table(self) -> pd.DataFrame:
        """A row for each parameter.

        mean_rank (as a share of the draws, 0.5 if uniform), p_value (of uniform ranks, by the largest deviation of
        their distribution function; Säilynoja, Bürkner & Vehtari 2022), adjusted (by Holm's method for the number of
        parameters), and deviation: what the ranks say of the draws where they are not uniform.
        """
        p_values = [
            uniformity_p_value(self.ranks[name].to_numpy(dtype=np.int64), self.draws) for name in self.ranks
        ]
        adjusted = _holm(np.array(p_values))
        shares = (self.ranks.to_numpy(dtype=float) + 0.5) / (self.draws + 1)
        words = [
            _deviation(shares[:, i], self.draws) if p < SIGNIFICANT else "" for i, p in enumerate(adjusted)
        ]
        columns = {
            "mean_rank": shares.mean(axis=0),
            "p_value": p_values,
            "adjusted": adjusted,
            "deviation": words,
        }
        return pd.DataFrame(columns, index=pd.Index(self.ranks.columns, name="parameter"))

    @property
    def verdict(self) -> str:
        """Whether the ranks are uniform, in words."""
        bad = self.table[self.table["adjusted"] < SIGNIFICANT]
        low, high = ecdf_band(self.simulations, self.draws, 1.0 - SIGNIFICANT)
        reach = 100 * float(np.max(high - low)) / 2
        if bad.empty:
            return (
                f"The ranks are uniform as far as {self.simulations} simulations show: there is no sign that the draws "
                f"are not from the posterior. Errors that move probabilities by less than about {reach:.0f} percentage "
                "points would not be seen; more simulations find smaller ones."
            )
        told = [f"{name} ({row['deviation']})" for name, row in bad.iterrows()]
        return (
            f"The ranks of {join_words(told)} are not uniform: the draws are not from the posterior of these priors "
            "and this model, or this is one of the 5% of correct runs that are called so by chance. Repeat it with "
            "another seed and more simulations; look at .plot(), and at the mixing of the chains (tune=, max_draws=)."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The verdict, and what was left out."""
        out = [self.verdict]
        failed = sum(self.reasons.values())
        if self.simulations + failed < self.requested:
            out.append(
                f"Stopped by an interrupt: {self.simulations + failed} of {self.requested} simulations."
            )
        if failed:
            why = "; ".join(f"{count} × {reason}" for reason, count in self.reasons.items())
            out.append(
                f"{failed} simulation{'s' * (failed > 1)} failed and {'are' if failed > 1 else 'is'} left out: {why}."
            )
        if self.correlated:
            out.append(
                f"In {self.correlated} simulations some parameter had fewer than {self.draws} effective draws; ranks "
                "of correlated draws are too often 0 or the largest. Give a larger max_draws."
            )
        return tuple(out)

    def plot(
        self,
        parameters: str | Iterable[str] | None = None,
        *,
        level: float = 0.95,
        columns: int = 3,
        labels: Mapping[str, str] | None = None,
        ax: Any = None,
    ) -> Any:
        """Draw the distribution function of each parameter's ranks less the uniform one, with a simultaneous band.

        A line that leaves the band shows ranks that are not uniform. Above 0 at small ranks: draws too high. Below: too
        low. Above on the left and below on the right: too narrow; the reverse: too wide.

        Parameters
        ----------
        parameters : str or sequence of str, optional
            Columns of `ranks`; by default all.
        level : float
            Probability with which all of a line of uniform ranks is within the band.
        columns : int
            Panels in a row.
        labels : mapping of str to str, optional
            Texts in place of names of parameters.
        ax : matplotlib Axes, optional
            For one parameter.

        Returns
        -------
        matplotlib Figure, or `ax`
            Its axes are labelled with the parameters' names.

        Raises
        ------
        ModelError
            If a parameter is not known, `ax` is given for several, or matplotlib is not installed.
        """
        return picture("calibration")(self, parameters, level=level, columns=columns, labels=labels, ax=ax)

    def _cells(self) -> pd.DataFrame:
        table = self.table
        return pd.DataFrame(
            {
                "mean rank": [f"{v:.3f}" for v in table["mean_rank"]],
                "P": [f"{v:.4f}" for v in table["p_value"]],
                "adjusted": [f"{v:.4f}" for v in table["adjusted"]],
                **({"deviation": table["deviation"]} if table["deviation"].any() else {}),
            },
            index=table.index,
        )

    @property
    def _title(self) -> str:
        return (
            f"Simulation-based calibration: {self.simulations} simulation{'s' * (self.simulations != 1)}, ranks among "
            f"{self.draws} draws"
        )

    def _tables(self) -> list[Table]:
        cells = self._cells()
        rows = tuple(
            (str(name), *map(str, row)) for name, row in zip(cells.index, cells.to_numpy(), strict=True)
        )
        return [Table(f"{self._title}: {self.formula}", ("", *cells.columns), rows, 1, self.notes)]

    def __str__(self) -> str:
        head = [
            self._title,
            f"Formula: {self.formula}",
            "Priors:",
            *(f"  {text}" for text in self.priors),
            "",
        ]
        cells = self._cells()
        cells.index.name = None
        return "\n".join([*head, cells.to_string(), "", *(fill(note, WIDTH) for note in self.notes)])

    __repr__ = __str__


def _holm(p_values: Array) -> Array:
    """Return p-values adjusted by Holm's method (1979, Scand. J. Stat. 6:65)."""
    order = np.argsort(p_values)
    steps = np.maximum.accumulate(p_values[order] * (p_values.size - np.arange(p_values.size)))
    out = np.empty_like(p_values)
    out[order] = np.minimum(steps, 1.0)
    return out


def _deviation(shares: Array, draws: int) -> str:
    """Return what ranks that are not uniform say of the draws, by their mean and variance.

    Of N uniform ranks the mean has variance σ²/N and the variance has σ⁴ · 0.8/N, with σ² = (1 − 1/(L + 1)²)/12.
    """
    variance = (1.0 - 1.0 / (draws + 1) ** 2) / 12.0
    mean = (shares.mean() - 0.5) / np.sqrt(variance / shares.size)
    spread = (shares.var() / variance - 1.0) / np.sqrt(0.8 / shares.size)
    if max(abs(mean), abs(spread)) < 2.0:
        return "draws of another shape"
    if abs(mean) >= abs(spread):
        return "draws too low" if mean > 0 else "draws too high"
    return "draws too narrow" if spread > 0 else "draws too wide"
