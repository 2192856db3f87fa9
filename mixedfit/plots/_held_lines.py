"""Lines of groups along a variable with the other variables held in each group.

Fitted values of a group's rows go up and down with whatever differs between the rows. Their line along one variable
needs the others held: numbers at the group's mean, labels at its most frequent value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.design.recipe import Recipe
from mixedfit.estimation.fit import Fit
from mixedfit.prediction.variables import CLOSE, fixed_part_of, goes_along, in_offset, is_labels, values_of

from ._x_axis import PLACES, Along

__all__ = ["HeldLines", "held_lines"]


@dataclass(frozen=True, eq=False)
class HeldLines:
    """What the lines of one grouping factor are computed from.

    Attributes
    ----------
    fit : Fit
    recipe : Recipe
    block : int
    along : Along
    others : pandas.DataFrame
        Values of the other variables on the rows of the fit.
    varying : tuple of str
        Those that vary within groups.
    """

    fit: Fit
    recipe: Recipe
    block: int
    along: Along
    others: pd.DataFrame
    varying: tuple[str, ...]

    @property
    def note(self) -> str:
        """What is held where, for a title."""
        numbers = [name for name in self.varying if not is_labels(self.recipe, name)]
        labels = [name for name in self.varying if name not in numbers]
        parts = [f"{', '.join(numbers)} at the mean"] if numbers else []
        parts += [f"{', '.join(labels)} at the most frequent value"] if labels else []
        return f"{' and '.join(parts)} of each level"

    def line(self, rows: IntArray) -> tuple[Array, Array, Array]:
        """Return the places of a level's line, its fitted values there, and those without random effects.

        Parameters
        ----------
        rows : ndarray of int
            The rows of the level. Effects of other grouping factors enter by their mean over them.
        """
        fit, own = self.fit, self.fit.design.blocks[self.block]
        places = np.unique(self.along.values[rows])
        if places.size > PLACES:
            places = np.linspace(places[0], places[-1], PLACES)
        moved = [self.along.levels[int(p)] for p in places] if self.along.labels else places
        held: dict[Any, Any] = {str(name): self._held(str(name), rows) for name in self.others}
        data = pd.DataFrame({self.along.variable: pd.Series(list(moved)), **held}, index=range(places.size))
        offset = 0.0 if fit.design.offset is None else float(fit.design.offset[rows].mean())
        population = fixed_part_of(fit, data) + offset
        modes = fit.modes[self.block]
        effects = self.recipe.effect_rows(self.block, data) @ modes[own.codes[rows[0]]]
        inside = np.einsum("ik,ik->i", own.z[rows], modes[own.codes[rows]])
        others = float(np.mean(fit.fitted[rows] - fit.fixed_part[rows] - inside))
        return places, population + effects + others, population

    def _held(self, name: str, rows: IntArray) -> Any:
        """Return the value at which a variable is held: the mean of numbers, the most frequent label."""
        values = self.others[name].iloc[rows]
        return values.mode().iloc[0] if is_labels(self.recipe, name) else float(values.mean())


def held_lines(fit: Fit, block: int, along: Along) -> HeldLines | None:
    """Return the lines of a grouping factor along a variable; None if fitted values need no others held.

    That is so if no other variable varies within the levels. It is None too if the variables cannot be recovered from
    the columns of the design, or one goes along with `along`, so that it cannot be held.
    """
    recipe = fit.design.recipe
    if along.variable is None or recipe is None or recipe.refusal or in_offset(recipe, along.variable):
        return None
    names = dict.fromkeys([*recipe.fixed_names, *recipe.effect_names(block)])
    read = {name: values_of(fit, name) for name in names if name != along.variable}
    own = values_of(fit, along.variable)
    if own is None or any(values is None or goes_along(values, own) for values in read.values()):
        return None
    others = pd.DataFrame(read, index=range(fit.design.n))
    codes = fit.design.blocks[block].codes
    varying = tuple(str(name) for name in others if others[name].groupby(codes).nunique().max() > 1)
    if not varying:
        return None
    offset = 0.0 if fit.design.offset is None else fit.design.offset
    here = fixed_part_of(fit, others.assign(**{along.variable: own}))
    if not np.allclose(here, fit.fixed_part - offset, rtol=CLOSE, atol=CLOSE * fit.sigma):
        return None
    return HeldLines(fit, recipe, block, along, others, varying)
