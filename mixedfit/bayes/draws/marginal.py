"""Draws of marginal means, averages of the fixed part over a reference grid, and of their contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.design.recipe import usable
from mixedfit.inference.emmeans.averages import check_weights
from mixedfit.inference.emmeans.contrasts import cell_names
from mixedfit.inference.emmeans.emmeans import grid_notes
from mixedfit.inference.emmeans.families import Method, contrast_weights
from mixedfit.inference.emmeans.reference_grid import GridOptions, reference_grid
from mixedfit.inference.emmeans.specs import read_specs

from .draws import Draws
from .record import PosteriorDraws

__all__ = ["MarginalDraws", "marginal_draws"]


@dataclass(frozen=True, eq=False)
class MarginalDraws(Draws):
    """Draws of marginal means, one quantity for each cell; see `Draws` for summaries and arithmetic.

    Attributes
    ----------
    cells : pandas.DataFrame
        Variables of each cell.
    families : tuple of ndarray
        Cells of each combination of `by`, within which contrasts are taken.
    specs, by : tuple of str
    """

    cells: pd.DataFrame = None  # type: ignore[assignment]
    families: tuple[IntArray, ...] = ()
    specs: tuple[str, ...] = ()
    by: tuple[str, ...] = ()

    def contrasts(self, method: Method = "pairwise", *, reverse: bool = False, ref: Any = None) -> Draws:
        """Return draws of contrasts of the means within each combination of `by`.

        Parameters
        ----------
        method : str or mapping of names to weights
            "pairwise", "trt.vs.ctrl" and others, as in `MarginalMeans.contrasts`.
        reverse : bool
        ref : optional
            The mean that others are compared with, for "trt.vs.ctrl".

        Raises
        ------
        ModelError
            If the method or the reference is unknown, or there is only one mean.
        """
        names: list[str] = []
        values: list[Array] = []
        for rows in self.families:
            labels, weights = contrast_weights(
                method, cell_names(self.cells[list(self.specs)].iloc[rows]), reverse=reverse, ref=ref
            )
            names += [label + _within(self.cells, self.by, int(rows[0])) for label in labels]
            values.append(np.asarray(self.values[:, :, rows] @ weights.T))
        return Draws(tuple(names), np.concatenate(values, axis=2), notes=self.notes)


def _within(cells: pd.DataFrame, by: Sequence[str], row: int) -> str:
    """Return the values of the variables `by` in a row, such as ", temp = 175"."""
    return "".join(f", {name} = {cells[name].iloc[row]}" for name in by)


def marginal_draws(
    posterior: PosteriorDraws, specs: str | Sequence[str], by: str | Sequence[str], options: GridOptions
) -> MarginalDraws:
    """Return draws of marginal means; see `Posterior.emmeans`."""
    recipe = usable(posterior.design.recipe)
    chosen, within = read_specs(specs, by, recipe.fixed_names)
    check_weights(options.weights)
    grid = reference_grid(recipe, chosen, within, options)
    bad = grid.empty | ~_estimable(posterior, grid.L)
    if bad.any():
        name = cell_names(grid.cells)[int(np.argmax(bad))]
        raise ModelError(
            f"the mean of {name!r} is not estimable, since the data lack cells that it needs; choose others by specs "
            "or at."
        )
    labels = cell_names(grid.cells[list(grid.specs)])
    names = [label + _within(grid.cells, grid.by, row) for row, label in enumerate(labels)]
    values = np.asarray(posterior.beta @ grid.L[:, posterior.kept].T)
    notes = grid_notes(recipe, grid, options.weights)
    if posterior.design.offset is not None:
        notes.append("The offset is taken as 0.")
    return MarginalDraws(
        tuple(names),
        values,
        notes=tuple(notes),
        cells=grid.cells,
        families=grid.families,
        specs=grid.specs,
        by=grid.by,
    )


def _estimable(posterior: PosteriorDraws, L: Array) -> BoolArray:
    """Return whether each row of weights is in the row space of X."""
    if not posterior.dropped:
        return np.ones(len(L), dtype=bool)
    X = posterior.design.X[posterior.design.counted]
    size = np.sqrt(np.sum(X**2, axis=0))
    size[size == 0.0] = 1.0
    values, vectors = np.linalg.eigh((X / size).T @ (X / size))
    null = vectors[:, values <= 1e-10 * values[-1]]
    scaled = L / size
    return np.asarray(np.abs(scaled @ null).max(axis=1, initial=0.0) <= 1e-6 * np.abs(scaled).max(axis=1))
