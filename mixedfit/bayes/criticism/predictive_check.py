"""Predictive checks: statistics of replicated responses and of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.counted_rows import on_counted_rows
from mixedfit.bayes.draws.record import PosteriorDraws, factor_position
from mixedfit.bayes.draws.row_density import (
    pieces,
    replicated_residuals,
    row_means,
)
from mixedfit.bayes.draws.scale_draws import ScaleDraws, group_sigmas, new_effects
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.format import join_words, text_columns, wrapped
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_count, check_one_of
from mixedfit.core.seeds import generator
from mixedfit.core.tables import Table
from mixedfit.design.design import Design

__all__ = [
    "PredictiveCheck",
    "Statistic",
    "check",
    "named_statistics",
    "replicate",
    "tail_text",
    "vectorised",
]

HEADS = ["", "observed", "median", "95% of replicates", "P(as large)"]
"""Columns of the printed table."""

Statistic = Callable[[Array], Array]
"""Function of responses, shape (draws, n), that returns one number for each, shape (draws,)."""


def _standardised_moment(y: Array, power: int) -> Array:
    """Return a central moment of each response, divided by the same power of the SD, shape (draws,)."""
    z = y - y.mean(axis=1, keepdims=True)
    return np.asarray(np.mean(z**power, axis=1) / np.mean(z**2, axis=1) ** (power / 2))


STATISTICS: dict[str, Statistic] = {
    "mean": lambda y: np.mean(y, axis=1),
    "median": lambda y: np.median(y, axis=1),
    "sd": lambda y: np.std(y, axis=1, ddof=1),
    "min": lambda y: np.min(y, axis=1),
    "max": lambda y: np.max(y, axis=1),
    "skewness": lambda y: _standardised_moment(y, 3),
    "kurtosis": lambda y: _standardised_moment(y, 4),
}

WIDE = 2.0
"""Width of a prior's range of a location, as a multiple of that of the data, from which it is worth a word."""

LOCATIONS = ("mean", "median", "min", "max")
"""Statistics in the response's own place and unit."""

BY_GROUP = ("within_sd", "between_sd")


def named_statistics(design: Design, statistic: Any, group: str | None) -> dict[str, Statistic]:
    """Return the statistics of an option, by name.

    Parameters
    ----------
    design : Design
    statistic : str, callable, sequence or mapping of them, or None
    group : str or None
        Grouping factor of within_sd and between_sd, by default the first.

    Raises
    ------
    ModelError
        If a name is not known, or the option is not a statistic.
    """
    known = STATISTICS | _by_group(design, group)
    if statistic is None:
        return {
            name: known[name] for name in ("mean", "sd", "min", "max", "skewness", *BY_GROUP) if name in known
        }
    if isinstance(statistic, Mapping):
        return {str(name): _statistic(value, known) for name, value in statistic.items()}
    if isinstance(statistic, str) or callable(statistic):
        statistic = [statistic]
    if not isinstance(statistic, Iterable) or not (values := list(statistic)):
        raise ModelError(
            f"statistic is {statistic!r}; expected names ({', '.join(known)}) or functions of a response."
        )
    return {_name(value, i): _statistic(value, known) for i, value in enumerate(values, 1)}


def _name(value: Any, number: int) -> str:
    """Return the name of a statistic, or its number if it is a lambda."""
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", "<lambda>")
    return f"statistic {number}" if name == "<lambda>" else name


def _statistic(value: Any, known: Mapping[str, Statistic]) -> Statistic:
    """Return a statistic of many responses from a name or a function of one response."""
    if callable(value):
        return vectorised(value)
    if value in BY_GROUP and value not in known:
        raise ModelError(f"{value!r} needs a grouping factor, and the model has none.")
    if value not in known:
        raise ModelError(
            f"{value!r} is not a known statistic ({', '.join(known)}; a function of the response is one too). "
            f"{nearest(str(value), known)}".rstrip()
        )
    return known[value]


def vectorised(function: Callable[[Array], Any]) -> Statistic:
    """Return a function of many responses from a function of one."""

    def statistic(y: Array) -> Array:
        values = [function(row) for row in y]
        try:
            out = np.array(values, dtype=float)
        except (TypeError, ValueError):
            out = np.zeros((0, 0))
        if out.ndim != 1:
            raise ModelError(
                f"the statistic returns {values[0]!r:.60}; expected one number of a response of shape ({y.shape[1]},)."
            )
        return out

    return statistic


def _by_group(design: Design, group: str | None) -> dict[str, Statistic]:
    """Return the SD of rows about their group means, and the SD of group means; empty without grouping factors."""
    position = 0 if group is None else factor_position(design, "group", group)
    if not design.blocks:
        return {}
    block = design.blocks[position]
    codes, sizes = block.codes, np.bincount(block.codes, minlength=block.levels)
    seen = sizes > 0
    free = max(int(design.n - seen.sum()), 1)
    return {
        "within_sd": lambda y: np.sqrt(np.sum((y - _means(y, codes, sizes)[:, codes]) ** 2, axis=1) / free),
        "between_sd": lambda y: np.std(_means(y, codes, sizes)[:, seen], axis=1, ddof=1),
    }


def _means(y: Array, codes: IntArray, sizes: IntArray) -> Array:
    """Return group means of each response, shape (draws, levels)."""
    order = np.argsort(codes, kind="stable")
    present = sizes > 0
    starts = (np.cumsum(sizes) - sizes)[present]
    out = np.zeros((y.shape[0], sizes.size))
    out[:, present] = np.add.reduceat(y[:, order], starts, axis=1) / sizes[present]
    return out


SHOWN = 50
"""Number of replicated responses that are kept for plots."""

EXTREME = 0.025
"""p-values below this, or above one less this, are reported as a misfit."""


@dataclass(frozen=True, eq=False)
class PredictiveCheck(NotebookTable):
    """Statistics of replicated data and of the data.

    `plots.predictive_statistics` and `plots.predictive_responses` draw it.

    Attributes
    ----------
    kind : {"posterior", "prior"}
    table : pandas.DataFrame
        A row for each statistic: observed; mean, median and central 95% interval (lower, upper) of the replicates;
        and p_value = P(T(y_rep) ≥ T(y)), ties counted half. A p-value near 0 or 1 shows a misfit.
    replicated : pandas.DataFrame
        The statistics of each replicated response.
    response : ndarray, shape (n,)
    responses : ndarray, shape (up to 50, n)
        Some of the replicated responses.
    label : str
        Name of the response.
    groups : {"same", "new"}
        Whether replicates have the groups of the data or new groups; empty without groups.
    """

    kind: Literal["posterior", "prior"]
    table: pd.DataFrame
    replicated: pd.DataFrame
    response: Array = field(repr=False)
    responses: Array = field(repr=False)
    label: str
    groups: str

    def _notebook_tables(self) -> list[Table]:
        return [Table(self._title, tuple(HEADS), tuple(map(tuple, self._rows())), 1, tuple(self._misfits()))]

    def _rows(self) -> list[list[str]]:
        return [_cells(str(name), row, len(self.replicated)) for name, row in self.table.iterrows()]

    @property
    def _title(self) -> str:
        title = (
            f"{self.kind.capitalize()} predictive check: {len(self.replicated):,} replicates of {self.label}"
        )
        if self.groups:
            title += f", in {'the same' if self.groups == 'same' else 'new'} groups"
        return title

    def __str__(self) -> str:
        columns = text_columns(HEADS, list(zip(*self._rows(), strict=True)), left=1)
        return "\n".join([self._title, *columns, *wrapped(self._misfits())])

    __repr__ = __str__

    def _misfits(self) -> list[str]:
        """Return sentences on the statistics with extreme p-values, and on how much a prior allows."""
        p = self.table["p_value"]
        prior = self.kind == "prior"
        tails = {"larger": p.index[p < EXTREME], "smaller": p.index[p > 1 - EXTREME]}
        said = [
            f"In the data {join_words(list(map(str, names)))} {'is' if len(names) == 1 else 'are'} {comparison} than "
            f"in nearly all replicates{': the prior has little room for this' if prior else ''}."
            for comparison, names in tails.items()
            if len(names)
        ]
        if prior:
            return [*(said or ["The data lie within what the prior allows in all of these."]), *self._room()]
        return said or ["The data look like the replicates in all of these."]

    def _room(self) -> list[str]:
        """Return how wide the prior's range of a location is beside that of the data, for the widest."""
        here = self.table.loc[[name for name in LOCATIONS if name in self.table.index]]
        spread = float(np.ptp(self.response))
        if here.empty or not spread:
            return []
        widths = here["upper"] - here["lower"]
        name = str(widths.idxmax())
        ratio = float(widths[name]) / spread
        if ratio < WIDE:
            return []
        cells = _cells(name, self.table.loc[name], len(self.replicated))
        return [
            f"The prior's 95% range of the {name}, {cells[3]}, is {ratio:.2g} times as wide as the data's, "
            f"{self.response.min():.5g} to {self.response.max():.5g}: are such values possible?"
        ]


def _cells(name: str, row: Any, draws: int) -> list[str]:
    """Return the printed cells of one statistic, with decimals according to the width of its interval."""
    width, p = row["upper"] - row["lower"], float(row["p_value"])
    decimals = int(np.clip(2 - np.floor(np.log10(width)), 0, 12)) if width > 0 else 3
    observed, median, lower, upper = (
        f"{row[key]:.{decimals}f}" if abs(row[key]) < 1e7 else f"{row[key]:.2e}"
        for key in ("observed", "median", "lower", "upper")
    )
    return [name, observed, median, f"{lower} to {upper}", tail_text(p, draws)]


def tail_text(share: float, draws: int) -> str:
    """Return a share of replicates, with a bound in place of 0 and 1.

    Examples
    --------
    >>> tail_text(0.4, 1000), tail_text(0.0, 1000), tail_text(1.0, 1000)
    ('0.400', '< 0.001', '> 0.999')
    """
    if 0.0 < share < 1.0:
        return f"{share:.3f}"
    return f"< {1 / draws:.2g}" if share <= 0.0 else f"> {1 - 1 / draws:.4g}"


def check(
    posterior: PosteriorDraws,
    statistic: Any,
    *,
    group: str | None,
    groups: str,
    draws: int,
    seed: object,
) -> PredictiveCheck:
    """Return a predictive check; see `Posterior.check`."""
    posterior = on_counted_rows(posterior)
    design = posterior.design
    statistics = named_statistics(design, statistic, group)
    response = design.observed
    observed = {name: float(function(response[None, :])[0]) for name, function in statistics.items()}
    values: dict[str, list[Array]] = {name: [] for name in statistics}
    kept: list[Array] = []
    for y in _replicates(posterior, draws, groups, seed):
        for name, function in statistics.items():
            values[name].append(function(y))
        kept.append(y[: max(0, SHOWN - sum(part.shape[0] for part in kept))])
    replicated = pd.DataFrame({name: np.concatenate(parts) for name, parts in values.items()})
    return PredictiveCheck(
        posterior.kind,
        _table(observed, replicated),
        replicated,
        response,
        np.concatenate(kept),
        design.formula.response,
        groups if design.blocks and posterior.kind == "posterior" else "",
    )


def _table(observed: dict[str, float], replicated: pd.DataFrame) -> pd.DataFrame:
    """Return the table of a check."""
    rows = {}
    for name, value in observed.items():
        drawn = replicated[name].to_numpy()
        if not (np.isfinite(value) and np.isfinite(drawn).all()):
            raise ModelError(
                f"the statistic {name!r} is not a finite number of "
                f"{'all replicated responses' if np.isfinite(value) else 'the data'}; choose another."
            )
        lower, upper = np.quantile(drawn, [0.025, 0.975])
        beyond = float(np.mean(drawn > value) + 0.5 * np.mean(drawn == value))
        rows[name] = (value, float(drawn.mean()), float(np.median(drawn)), float(lower), float(upper), beyond)
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["observed", "mean", "median", "lower", "upper", "p_value"]
    )


def replicate(posterior: PosteriorDraws, draws: int, groups: str, seed: object) -> Array:
    """Return replicated responses, shape (draws, n); see `Posterior.replicate`."""
    return np.concatenate(list(_replicates(on_counted_rows(posterior), draws, groups, seed)))


def _replicates(posterior: PosteriorDraws, draws: int, groups: str, seed: object) -> Iterator[Array]:
    """Yield replicated responses of draws spread evenly over all chains, some at a time, shape (draws, n)."""
    check_count("draws", draws, 1)
    check_one_of("groups", groups, ("same", "new"))
    if groups == "same":
        posterior.require_effects()
    total = posterior.sigma.size
    chosen = np.unique(np.linspace(0, total - 1, min(draws, total)).round().astype(np.int64))
    rng, design = generator(seed), posterior.design
    for some in pieces(chosen.size, design.n):
        part = _subset(posterior, chosen[some])
        effects, scales = part.effects, part.scales
        if groups == "new":
            effects = tuple(
                new_effects(omega, f, block.levels, rng, scales)
                for f, (block, omega) in enumerate(zip(design.blocks, part.omega, strict=True))
            )
            scales = _new_scales(part, rng)
        means = row_means(design, part.kept, part.beta, effects)
        yield (means + replicated_residuals(part, means.shape, rng, scales))[0]


def _new_scales(posterior: PosteriorDraws, rng: np.random.Generator) -> ScaleDraws | None:
    """Return the scales, with new draws of σ_g if the residual groups are the levels of a grouping factor."""
    scales = posterior.scales
    if scales is None or scales.error_model.groups is None:
        return scales
    if scales.error_model.groups.name not in [block.name for block in posterior.design.blocks]:
        return scales
    return replace(scales, sigmas=group_sigmas(scales.nu0, scales.sigma0, scales.sigmas.shape[2], rng))


def _subset(posterior: PosteriorDraws, chosen: IntArray) -> PosteriorDraws:
    """Return the chosen draws of a posterior, as one chain."""

    def subset(draws: Array) -> Array:
        return draws.reshape(posterior.sigma.size, *draws.shape[2:])[chosen][None]

    scales = posterior.scales
    if scales is not None:
        scales = ScaleDraws(
            scales.error_model,
            tuple(map(subset, scales.nu)),
            *map(subset, (scales.nu0, scales.sigma0, scales.sigmas)),
        )
    structure = posterior.structure
    if structure is not None:
        structure = replace(structure, x=subset(structure.x), values=subset(structure.values))
    return replace(
        posterior,
        beta=subset(posterior.beta),
        sigma=subset(posterior.sigma),
        omega=tuple(map(subset, posterior.omega)),
        effects=tuple(map(subset, posterior.effects)),
        scales=scales,
        structure=structure,
    )
