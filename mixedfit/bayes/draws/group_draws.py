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

from .draws import Draws, listed, summary_table

__all__ = ["GroupDraws", "LevelDraws", "with_fixed"]


class LevelDraws(np.ndarray[Any, np.dtype[np.float64]]):
    """Draws of one level's effects: an array with a summary.

    Its shape is (chains, draws), or (chains, draws, effects) for several effects. What is computed from it, and parts
    of it, are plain arrays; ``own["Days"]`` is one effect.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy"))
    >>> own = model.gibbs(seed=1).group_coefs["Subject"]["308"]
    >>> own.shape, own["Days"].shape, own.summary().index.tolist()
    ((4, 1000, 2), (4, 1000), ['(Intercept)', 'Days'])
    >>> own.quantities["Days"].probability("> 10").value > 0.9
    True
    """

    _name: str
    _effects: tuple[str, ...]

    @classmethod
    def of(cls, name: str, effects: tuple[str, ...], values: Array) -> LevelDraws:
        """Return draws as those of a level with a name such as ``Subject 308``."""
        out = values.view(cls)
        out._name, out._effects = name, effects
        return out

    @property
    def quantities(self) -> Draws:
        """The effects as `Draws`, with probabilities and arithmetic, by their names."""
        plain = np.asarray(self)
        return Draws(self._effects, plain[:, :, None] if plain.ndim == 2 else plain)

    def summary(self, **options: Any) -> pd.DataFrame:
        """Return a summary with a row for each effect; options as in `Posterior.summary`."""
        return self.quantities.summary(**options)

    def __array_finalize__(self, obj: Any) -> None:
        self._name, self._effects = getattr(obj, "_name", ""), getattr(obj, "_effects", ())

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(value) if isinstance(value, LevelDraws) else value for value in inputs]
        if "out" in options:
            options["out"] = tuple(np.asarray(v) if isinstance(v, LevelDraws) else v for v in options["out"])
        return getattr(ufunc, method)(*plain, **options)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        found = super().__array_function__(func, types, args, kwargs)
        return np.asarray(found) if isinstance(found, LevelDraws) else found

    def __getitem__(self, key: Any) -> Any:
        plain = np.asarray(self)
        if not isinstance(key, str):
            return plain[key]
        if key not in self._effects:
            raise ModelError(
                f"{key!r} is not an effect of {self._name} (known: {', '.join(self._effects)}). "
                f"{nearest(key, self._effects)}".rstrip()
            )
        return plain if plain.ndim == 2 else plain[:, :, self._effects.index(key)]

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __repr__(self) -> str:
        if not self._effects or self.ndim < 2:
            return repr(np.asarray(self))
        return f"{self._name}: {self.quantities}"

    __str__ = __repr__


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

    def __getitem__(self, level: Any) -> LevelDraws:
        """Return the draws of one level, shape (chains, draws), or (chains, draws, effects) for several effects.

        An array with ``summary()``, ``quantities`` and, by its name, one effect: ``[level]["Days"]``.
        """
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
        own = values[:, :, 0] if len(self.effects) == 1 else values
        return LevelDraws.of(f"{self.name} {level}", self.effects, own)

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
