"""Posterior quantities under several mappings of priors, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.draws import listed
from mixedfit.bayes.draws.expressions import compared_sides, evaluate
from mixedfit.bayes.posterior import Posterior
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, a_type
from mixedfit.core.format import format_by_error, wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level
from mixedfit.core.tables import Table, text_table

__all__ = ["Sensitivity", "prior_sensitivity", "quantity_draws"]


@dataclass(frozen=True, eq=False)
class Sensitivity(NotebookTable):
    """Quantities of a posterior under several variants of the priors.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each variant and quantity: mean, sd, lower and upper of the quantity, or of left side − right side of
        a hypothesis; probability of a hypothesis (NaN of a quantity) with its Monte-Carlo error (mcse); rhat and ess of
        the worst parameter of the posterior (ess: bulk or tail).
    posteriors : dict of str to Posterior
    level : float
        Probability inside the interval.
    """

    table: pd.DataFrame
    posteriors: dict[str, Posterior] = field(repr=False)
    level: float

    @property
    def _head(self) -> str:
        only = self.table.attrs.get("quantity")
        return f"Sensitivity to the priors{f' of {only}' if only else ''}, {self.level:.0%} intervals"

    def _cells(self) -> tuple[pd.DataFrame, list[str]]:
        table = self.table
        labels = [label if isinstance(label, str) else " · ".join(label) for label in table.index]
        cells = pd.DataFrame(index=labels)
        errors = table["sd"] / np.sqrt(table["ess"])
        for name in ("mean", "sd", "lower", "upper"):
            cells[name] = format_by_error(table[name].tolist(), errors)
        if table["probability"].notna().any():
            cells["probability"] = format_by_error(
                table["probability"].tolist(), np.maximum(table["mcse"], 1e-4).tolist(), missing=""
            )
        cells["rhat"] = [f"{value:.3f}" for value in table["rhat"]]
        cells["ess"] = [f"{value:.0f}" for value in table["ess"]]
        return cells, self._notes()

    def _notes(self) -> list[str]:
        notes = [
            f"{name}: {'; '.join(p.given) or 'the default priors'}." for name, p in self.posteriors.items()
        ]
        differences = self._differences()
        if differences:
            notes.append(f"mean, sd, lower and upper are those of the difference {listed(differences, 5)}.")
        for name, posterior in self.posteriors.items():
            notes += [f"Warning, {name}: {text}" for text in posterior.warnings]
        return notes

    def _differences(self) -> list[str]:
        """Return the differences of sides of the hypotheses whose right side is not 0."""
        only, names = self.table.attrs.get("quantity"), next(iter(self.posteriors.values())).names
        quantities = [only] if only else self.table.index.get_level_values("quantity").unique()
        sides = [compared_sides(q, names) for q in quantities if _is_event(q)]
        return [f"{left.strip()} − {right.strip()}" for left, right in sides if right.strip() != "0"]

    def _tables(self) -> list[Table]:
        cells, notes = self._cells()
        return [text_table(self._head, cells, notes)]

    def __str__(self) -> str:
        cells, notes = self._cells()
        return "\n".join([self._head, cells.to_string(), "", *wrapped([f"* {note}" for note in notes])])

    __repr__ = __str__


def prior_sensitivity(
    sample: Callable[[Mapping[str, Any] | None], Posterior],
    variants: Mapping[str, Mapping[str, Any] | None],
    quantities: Sequence[str],
    level: float,
) -> Sensitivity:
    """Return quantities under several mappings of priors; see `LinearMixedModel.sensitivity`.

    Parameters
    ----------
    sample : callable
        Takes a mapping of priors and returns the posterior.
    variants : mapping of str to mapping
    quantities : sequence of str
    level : float
    """
    check_level(level)
    if not isinstance(variants, Mapping) or not variants:
        raise ModelError(
            "variants must be a mapping of names to mappings of priors, such as "
            "{'default': {}, 'narrow': {'x': mf.priors.Normal(0, 1)}}."
        )
    for name, priors in variants.items():
        if priors is not None and not isinstance(priors, Mapping):
            raise ModelError(
                f"the variant {name!r} is {a_type(priors)}; expected a mapping of priors, such as "
                "{'sigma': mf.priors.HalfCauchy(1)}, or None for the default."
            )
    if not quantities:
        raise ModelError("no quantity is given; expected such as 'x', 'x / sigma' or 'x > 0'.")
    posteriors = {str(name): sample(priors) for name, priors in variants.items()}
    rows, index = [], []
    for name, posterior in posteriors.items():
        table = posterior.summary(quantiles=())
        free = [n for n in posterior.names if n not in posterior.held]
        worst = {
            "rhat": float(table.loc[free, "rhat"].max()),
            "ess": float(table.loc[free, ["ess_bulk", "ess_tail"]].min().min()),
        }
        for quantity in quantities:
            index.append((name, quantity))
            rows.append(_row(posterior, quantity, level) | worst)
    labels = pd.MultiIndex.from_tuples(index, names=["variant", "quantity"])
    frame = pd.DataFrame(rows, index=labels)
    if len(quantities) == 1:
        frame = frame.droplevel("quantity")
        frame.attrs["quantity"] = quantities[0]
    return Sensitivity(frame, posteriors, level)


def quantity_draws(posterior: Posterior, quantity: str) -> tuple[Array, bool]:
    """Return the draws of an expression, or of left side − right side of a comparison, and whether it is one."""
    if not isinstance(quantity, str):
        raise ModelError(f"the quantity is {quantity!r}; expected text such as 'x' or 'x > 0'.")
    event = _is_event(quantity)
    sides = compared_sides(quantity, posterior.names) if event else (quantity, "0")
    left, right = (
        np.asarray(evaluate(s, posterior.names, posterior.__getitem__), dtype=float) for s in sides
    )
    return np.broadcast_to(left - right, posterior.sigma.shape), event


def _is_event(quantity: str) -> bool:
    return any(sign in quantity for sign in "<>")


def _row(posterior: Posterior, quantity: str, level: float) -> dict[str, float]:
    """Return mean, SD, limits and probability of one quantity."""
    values, event = quantity_draws(posterior, quantity)
    lower, upper = np.quantile(values, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    happened = posterior.probability(quantity) if event else None
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        "lower": float(lower),
        "upper": float(upper),
        "probability": happened.value if happened else np.nan,
        "mcse": happened.mcse if happened else np.nan,
    }
