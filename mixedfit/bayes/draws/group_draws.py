"""Draws of the random effects of a grouping factor, by level."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.estimation.tables import effect_places

from .draws import listed, summary_table

__all__ = ["GroupDraws", "with_fixed"]


@dataclass(frozen=True, eq=False)
class GroupDraws:
    """Draws of the effects b of one grouping factor.

    Attributes
    ----------
    name : str
    levels : pandas.Index
    effects : tuple of str
    values : ndarray, shape (chains, draws, levels, effects)
        In units of the response per unit of the effect's column.
    """

    name: str
    levels: pd.Index[Any]
    effects: tuple[str, ...]
    values: Array

    @property
    def mean(self) -> pd.DataFrame:
        """Posterior means, levels × effects."""
        return pd.DataFrame(self.values.mean(axis=(0, 1)), index=self.levels, columns=list(self.effects))

    @property
    def sd(self) -> pd.DataFrame:
        """Posterior standard deviations, levels × effects."""
        return pd.DataFrame(
            self.values.std(axis=(0, 1), ddof=1), index=self.levels, columns=list(self.effects)
        )

    def __getitem__(self, level: Any) -> Array:
        """Return the draws of one level, shape (chains, draws), or (chains, draws, effects) for several effects."""
        if not isinstance(level, Hashable) or level not in self.levels:
            levels = self.levels.tolist()
            twin = [own for own in levels if str(own) == str(level)]
            hint = f"It has {listed(list(map(repr, levels)), 10)}."
            if twin:
                hint = f"It has {twin[0]!r} of type {type(twin[0]).__name__}."
            raise ModelError(
                f"{level!r} is not a level of {self.name!r}. {nearest(str(level), [] if twin else levels) or hint}"
            )
        values = self.values[:, :, self.levels.get_loc(level)]
        return values[:, :, 0] if len(self.effects) == 1 else values

    def summary(
        self,
        *,
        quantiles: tuple[float, ...] | None = None,
        interval: str = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return a summary with a row for each level and effect; options as in `Posterior.summary`."""
        index = pd.MultiIndex.from_product([self.levels, list(self.effects)], names=["level", "effect"])
        draws = self.values.reshape(*self.values.shape[:2], -1)
        return summary_table(draws, index, quantiles=quantiles, interval=interval, level=level)

    def __repr__(self) -> str:
        return f"<GroupDraws: {len(self.levels)} levels of {self.name!r}, effects {', '.join(self.effects)}>"


def with_fixed(own: GroupDraws, names: tuple[str, ...], columns: tuple[str, ...], beta: Array) -> GroupDraws:
    """Return the draws of β + b.

    Parameters
    ----------
    own : GroupDraws
        Draws of b.
    names, columns : tuple of str
        The fixed effects of `beta`, and all columns; see `group_columns`.
    beta : ndarray, shape (chains, draws, p)
    """
    values = np.zeros((*own.values.shape[:3], len(columns)))
    values[..., effect_places(names, columns)] = beta[:, :, None, :]
    for effect, column in enumerate(effect_places(own.effects, columns)):
        values[..., column] += own.values[..., effect]
    return GroupDraws(own.name, own.levels, columns, values)
