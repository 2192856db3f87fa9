"""Draws of one quantity, or of one group's effects, with what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._types import Array
from ..errors import ModelError
from ..labels import check_level
from . import convergence
from .expressions import evaluate

__all__ = [
    "Draws",
    "GroupDraws",
    "Probability",
    "check_interval",
    "format_summary",
    "probability_of",
    "row_names",
    "summarise",
]


def summarise(draws: Array, quantiles: tuple[float, ...], interval: str, level: float) -> dict[str, float]:
    """Return one row of a summary of draws, shape (chains, draws)."""
    row = {
        "mean": float(np.mean(draws)),
        "sd": float(np.std(draws, ddof=1)),
        "mcse": convergence.mcse_mean(draws),
    }
    if interval == "hpd":
        row["hpd_lower"], row["hpd_upper"] = convergence.hpd(draws, level)
    else:
        row |= {f"{100 * p:.4g}%": float(np.quantile(draws, p)) for p in quantiles}
    row["rhat"] = convergence.rhat(draws)
    row["ess_bulk"], row["ess_tail"] = convergence.ess_bulk(draws), convergence.ess_tail(draws)
    return row


@dataclass(frozen=True, slots=True)
class Probability:
    """A posterior probability with its Monte-Carlo standard error.

    Attributes
    ----------
    event : str
    value, mcse : float
    """

    event: str
    value: float
    mcse: float

    def __str__(self) -> str:
        return f"P({self.event} | y) = {self.value:.4f} (Monte-Carlo error {self.mcse:.4f})"

    __repr__ = __str__

    def __float__(self) -> float:
        return self.value


def probability_of(event: str, happened: Array) -> Probability:
    """Return the share of draws, shape (chains, draws), in which something happened, with its error.

    Where it happened in all draws or in none, the error is that of one draw more: 1/(draws + 2).
    """
    values = happened.astype(float)
    if np.ptp(values) == 0.0:
        return Probability(event, float(values.flat[0]), 1.0 / (values.size + 2))
    return Probability(event, float(values.mean()), convergence.mcse_mean(values))


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of one or several quantities, such as functions of parameters or predictions.

    Attributes
    ----------
    names : tuple of str
        One for each quantity.
    values : ndarray, shape (chains, draws, quantities)
    """

    names: tuple[str, ...]
    values: Array

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, which: str | int) -> Draws:
        """Return one quantity, by name or position."""
        if isinstance(which, str):
            if which not in self.names:
                raise ModelError(f"{which!r} is not among the draws ({', '.join(self.names[:20])}).")
            which = self.names.index(which)
        return Draws((self.names[which],), self.values[:, :, [which]])

    def __sub__(self, other: Draws) -> Draws:
        """Return differences, draw by draw."""
        return self._joined(other, "−", self.values - other.values)

    def __add__(self, other: Draws) -> Draws:
        """Return sums, draw by draw."""
        return self._joined(other, "+", self.values + other.values)

    def _joined(self, other: Draws, sign: str, values: Array) -> Draws:
        first, second = (x.names * (values.shape[2] if len(x.names) == 1 else 1) for x in (self, other))
        return Draws(tuple(f"{a} {sign} {b}" for a, b in zip(first, second, strict=True)), values)

    def summary(
        self,
        *,
        quantiles: tuple[float, ...] = (0.025, 0.5, 0.975),
        interval: str = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return mean, SD, Monte-Carlo error, quantiles (or the shortest interval, "hpd"), R̂ and ESS of each."""
        check_interval(interval, quantiles)
        check_level(level)
        rows = [summarise(self.values[:, :, i], quantiles, interval, level) for i in range(len(self.names))]
        return pd.DataFrame(rows, index=pd.Index(self.names))

    def quantiles(self, probabilities: Sequence[float] = (0.025, 0.5, 0.975)) -> pd.DataFrame:
        """Return quantiles with their Monte-Carlo standard errors, columns quantile and mcse.

        Rows are the probabilities, under the quantities' names where there are several.

        Examples
        --------
        >>> import mixedfit as mf
        >>> model = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff"))
        >>> mean = model.gibbs(seed=1).derive("(Intercept)")
        >>> bool((mean.quantiles()["mcse"] < 3).all())
        True
        """
        check_interval("quantiles", tuple(probabilities))
        columns = {name: self.values[:, :, i] for i, name in enumerate(self.names)}
        rows = [
            (float(np.quantile(values, p)), convergence.mcse_quantile(values, p))
            for values in columns.values()
            for p in probabilities
        ]
        index: pd.Index[Any] = pd.Index(probabilities, name="probability")
        if len(self.names) > 1:
            index = pd.MultiIndex.from_product([self.names, probabilities], names=["quantity", "probability"])
        return pd.DataFrame(rows, index=index, columns=["quantile", "mcse"])

    def probability(self, event: str = "> 0") -> Probability:
        """Return the probability that a quantity satisfies a comparison, such as ``"> 0"``."""
        if len(self.names) != 1:
            raise ModelError("there are several quantities; choose one, such as draws[0].probability('> 0').")
        happened = evaluate(f"_x {event}", ["_x"], lambda _: self.values[:, :, 0])
        if np.asarray(happened).dtype != bool:
            raise ModelError(f"{event!r} is not a comparison; expected such as '> 0'.")
        return probability_of(f"{self.names[0]} {event}", happened)

    def __str__(self) -> str:
        chains, draws, _ = self.values.shape
        return f"{chains} chain{'s' if chains > 1 else ''} of {draws} draws\n{format_summary(self.summary())}"

    __repr__ = __str__


def check_interval(interval: str, quantiles: tuple[float, ...]) -> None:
    """Refuse what is not known of a summary's options."""
    if interval not in ("quantiles", "hpd"):
        raise ModelError(f"interval={interval!r} is not known; expected 'quantiles' or 'hpd'.")
    if not all(isinstance(p, int | float) and 0.0 <= p <= 1.0 for p in quantiles):
        raise ModelError(f"quantiles are {quantiles!r}; expected numbers from 0 to 1.")


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
        if level not in self.levels:
            raise ModelError(f"{level!r} is not a level of {self.name!r}.")
        values = self.values[:, :, self.levels.get_loc(level)]
        return values[:, :, 0] if len(self.effects) == 1 else values

    def summary(
        self,
        *,
        quantiles: tuple[float, ...] = (0.025, 0.5, 0.975),
        interval: str = "quantiles",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return a summary with a row for each level and effect; options as in `Posterior.summary`."""
        check_interval(interval, quantiles)
        check_level(level)
        index = pd.MultiIndex.from_product([self.levels, list(self.effects)], names=["level", "effect"])
        rows = [
            summarise(self.values[:, :, j, a], quantiles, interval, level)
            for j in range(len(self.levels))
            for a in range(len(self.effects))
        ]
        return pd.DataFrame(rows, index=index)

    def __repr__(self) -> str:
        return f"<GroupDraws: {len(self.levels)} levels of {self.name!r}, effects {', '.join(self.effects)}>"


def row_names(index: pd.Index[Any]) -> tuple[str, ...]:
    """Return names of rows: their labels, or "row 3" where these are numbers."""
    return tuple(label if isinstance(label, str) else f"row {label}" for label in index)


SHOWN = 8
"""Residual standard deviations of groups that a printout lists; there may be thousands."""


def format_summary(table: pd.DataFrame) -> str:
    """Return a summary as text, with digits that the Monte-Carlo error supports; long lists of σ_g are cut."""
    left_out = [name for name in table.index if str(name).startswith("sigma[")][SHOWN:]
    table = table.drop(index=left_out)
    numbers = [c for c in table.columns if c not in ("rhat", "ess_bulk", "ess_tail")]
    text = pd.DataFrame(index=table.index)
    decimals = np.clip(1 - np.floor(np.log10(table["mcse"].fillna(1.0).clip(lower=1e-12))), 0, 12).astype(int)
    for column in numbers:
        text[column] = [f"{v:.{d}f}" for v, d in zip(table[column], decimals, strict=True)]
    text["rhat"] = [f"{v:.3f}" for v in table["rhat"]]
    for column in ("ess_bulk", "ess_tail"):
        text[column] = [f"{v:.0f}" for v in table[column]]
    rest = f"\n… and {len(left_out)} more of sigma[…]: summary() has them all" if left_out else ""
    return text.to_string() + rest
