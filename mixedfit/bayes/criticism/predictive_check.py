"""Predictive checks: statistics of the response beside those of replicated responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from textwrap import fill
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.draws.row_density import pieces, residual_draws, row_means, row_scale
from mixedfit.bayes.draws.scale_draws import ScaleDraws
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.format import text_columns
from mixedfit.core.seeds import generator
from mixedfit.design.design import Design

__all__ = ["PredictiveCheck", "Statistic", "check", "named_statistics", "replicate"]

Statistic = Callable[[Array], Array]
"""Takes responses, shape (draws, n), and returns one number of each, shape (draws,)."""


def _skewness(y: Array) -> Array:
    z = y - y.mean(axis=1, keepdims=True)
    return np.asarray(np.mean(z**3, axis=1) / np.mean(z**2, axis=1) ** 1.5)


def _kurtosis(y: Array) -> Array:
    z = y - y.mean(axis=1, keepdims=True)
    return np.asarray(np.mean(z**4, axis=1) / np.mean(z**2, axis=1) ** 2)


PLAIN: dict[str, Statistic] = {
    "mean": lambda y: np.mean(y, axis=1),
    "median": lambda y: np.median(y, axis=1),
    "sd": lambda y: np.std(y, axis=1, ddof=1),
    "min": lambda y: np.min(y, axis=1),
    "max": lambda y: np.max(y, axis=1),
    "skewness": _skewness,
    "kurtosis": _kurtosis,
}

BY_GROUP = ("within_sd", "between_sd")


def named_statistics(design: Design, asked: Any, group: str | None) -> dict[str, Statistic]:
    """Return the chosen statistics, by name.

    Parameters
    ----------
    design : Design
    asked : str, callable, sequence or mapping of them, or None
    group : str or None
        Grouping factor of within_sd and between_sd, by default the first.

    Raises
    ------
    ModelError
        If a name is not known, or what was given is no statistic.
    """
    known = PLAIN | _by_group(design, group)
    if asked is None:
        return {
            name: known[name] for name in ("mean", "sd", "min", "max", "skewness", *BY_GROUP) if name in known
        }
    if isinstance(asked, Mapping):
        return {str(name): _statistic(value, design, known) for name, value in asked.items()}
    if isinstance(asked, str) or callable(asked):
        asked = [asked]
    if not isinstance(asked, Iterable) or not (listed := list(asked)):
        raise ModelError(
            f"statistic is {asked!r}; expected names ({', '.join(known)}) or functions of a response."
        )
    return {_name(value, i): _statistic(value, design, known) for i, value in enumerate(listed, 1)}


def _name(value: Any, number: int) -> str:
    if isinstance(value, str):
        return value
    name = getattr(value, "__name__", "<lambda>")
    return f"statistic {number}" if name == "<lambda>" else name


def _statistic(value: Any, design: Design, known: Mapping[str, Statistic]) -> Statistic:
    if callable(value):
        return _each(value)
    if value in BY_GROUP and value not in known:
        raise ModelError(f"{value!r} needs a grouping factor, and the model has none.")
    if value not in known:
        raise ModelError(
            f"{value!r} is not a known statistic ({', '.join(known)}; a function of the response is one too). "
            f"{nearest(str(value), known)}".rstrip()
        )
    return known[value]


def _each(function: Callable[[Array], Any]) -> Statistic:
    """Return a function of one response as one of many."""

    def of_all(y: Array) -> Array:
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

    return of_all


def _by_group(design: Design, group: str | None) -> dict[str, Statistic]:
    """Return the SDs of one-way analysis of variance: of group means, and of rows about them."""
    names = [block.name for block in design.blocks]
    if group is not None and group not in names:
        raise ModelError(
            f"group={group!r} is not a grouping factor of the model ({', '.join(names) or 'it has none'}). "
            f"{nearest(str(group), names)}".rstrip()
        )
    if not names:
        return {}
    block = design.blocks[0 if group is None else names.index(group)]
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
"""Replicated responses that are kept for pictures."""

EXTREME = 0.025
"""Share of replicates beyond the data from which it is worth a word."""

WIDTH = 88
"""Columns that printed sentences fill."""


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """Statistics of replicated data beside those of the data.

    `plots.predictive_statistics` and `plots.predictive_responses` draw it.

    Attributes
    ----------
    kind : {"posterior", "prior"}
    table : pandas.DataFrame
        A row for each statistic: observed, then mean, median and central 95% (lower, upper) of the replicated ones,
        and p_value = P(T(y_rep) ≥ T(y)), ties counted half. Near 0 or 1 the model does not produce such data.
    replicated : pandas.DataFrame
        The statistics of every replicated response.
    response : ndarray, shape (n,)
    responses : ndarray, shape (up to 50, n)
        Some of the replicated responses.
    label : str
        Name of the response.
    groups : {"same", "new"}
        Whether replicates were of the groups of the data, or of new ones; empty without groups.
    """

    kind: Literal["posterior", "prior"]
    table: pd.DataFrame
    replicated: pd.DataFrame
    response: Array = field(repr=False)
    responses: Array = field(repr=False)
    label: str
    groups: str

    def __str__(self) -> str:
        table = self.table
        digits = [_decimals(row["upper"] - row["lower"]) for _, row in table.iterrows()]
        shown = [
            [_number(row["observed"], d) for (_, row), d in zip(table.iterrows(), digits, strict=True)],
            [_number(row["median"], d) for (_, row), d in zip(table.iterrows(), digits, strict=True)],
            [
                f"{_number(row['lower'], d)} to {_number(row['upper'], d)}"
                for (_, row), d in zip(table.iterrows(), digits, strict=True)
            ],
            [_share(float(p), len(self.replicated)) for p in table["p_value"]],
        ]
        heads = ["", "observed", "median", "95% of replicates", "P(as large)"]
        of = "the same" if self.groups == "same" else "new"
        title = (
            f"{self.kind.capitalize()} predictive check: {len(self.replicated):,} replicates of {self.label}"
        )
        groups = f", in {of} groups" if self.groups else ""
        lines = text_columns(heads, [[str(name) for name in table.index], *shown], left=1)
        return "\n".join([f"{title}{groups}", *lines, *(fill(text, WIDTH) for text in self._verdict())])

    __repr__ = __str__

    def _verdict(self) -> Iterator[str]:
        """Yield a sentence for each statistic that replicated data do not reproduce."""
        p = self.table["p_value"]
        small = [str(name) for name in p.index[p < EXTREME]]
        large = [str(name) for name in p.index[p > 1 - EXTREME]]
        for names, what in ((small, "larger"), (large, "smaller")):
            if names:
                listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
                verb = "is" if len(names) == 1 else "are"
                yield f"In the data {listed} {verb} {what} than in nearly all replicates."
        if not small and not large:
            yield "The data look like the replicates in all of these."


def _share(p: float, draws: int) -> str:
    if p <= 0.0:
        return f"< {1 / draws:.2g}"
    return f"> {1 - 1 / draws:.4g}" if p >= 1.0 else f"{p:.3f}"


def _number(value: float, decimals: int) -> str:
    """Return a number with decimals, or in powers of ten where that would be long."""
    return f"{value:.{decimals}f}" if abs(value) < 1e7 else f"{value:.2e}"


def _decimals(width: float) -> int:
    return int(np.clip(2 - np.floor(np.log10(width)), 0, 12)) if width > 0 else 3


def check(
    posterior: PosteriorDraws,
    kind: Literal["posterior", "prior"],
    statistic: Any,
    *,
    group: str | None,
    groups: str,
    draws: int,
    seed: object,
) -> PredictiveCheck:
    """Return a predictive check; see `Posterior.check`."""
    design = posterior.design
    statistics = named_statistics(design, statistic, group)
    chosen = _spread(posterior, draws)
    response = design.y if design.offset is None else design.y + design.offset
    observed = {name: float(function(response[None, :])[0]) for name, function in statistics.items()}
    values: dict[str, list[Array]] = {name: [] for name in statistics}
    kept: list[Array] = []
    for y in _replicates(posterior, chosen, groups, seed):
        for name, function in statistics.items():
            values[name].append(function(y))
        kept.append(y[: max(0, SHOWN - sum(part.shape[0] for part in kept))])
    replicated = pd.DataFrame({name: np.concatenate(parts) for name, parts in values.items()})
    return PredictiveCheck(
        kind,
        _table(observed, replicated),
        replicated,
        response,
        np.concatenate(kept),
        design.formula.response,
        groups if design.blocks and kind == "posterior" else "",
    )


def _table(observed: dict[str, float], replicated: pd.DataFrame) -> pd.DataFrame:
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
    return np.concatenate(list(_replicates(posterior, _spread(posterior, draws), groups, seed)))


def _spread(posterior: PosteriorDraws, draws: int) -> IntArray:
    """Return which draws are used: so many, evenly spread over all chains."""
    total = posterior.sigma.size
    whole = isinstance(draws, int | np.integer) and not isinstance(draws, bool)
    if not whole or draws < 1:
        raise ModelError(f"draws is {draws!r}; expected a whole number of at least 1.")
    return np.unique(np.linspace(0, total - 1, min(int(draws), total)).round().astype(np.int64))


def _replicates(posterior: PosteriorDraws, chosen: IntArray, groups: str, seed: object) -> Iterator[Array]:
    """Yield replicated responses of some draws at a time, shape (draws, n)."""
    if groups not in ("same", "new"):
        raise ModelError(f"groups={groups!r} is not known; expected 'same' (those of the data) or 'new'.")
    if groups == "same":
        posterior.require_effects()
    rng, design = generator(seed), posterior.design
    for some in pieces(chosen.size, design.n):
        part = _chosen(posterior, chosen[some])
        effects, scales = part.effects, part.scales
        if groups == "new":
            effects, scales = _new_effects(part, rng), _new_scales(part, rng)
        means = row_means(design, part.kept, part.beta, effects)
        scale = row_scale(design, part.sigma, scales)
        yield (means + residual_draws(means.shape, scale, rng, scales))[0]


def _new_effects(posterior: PosteriorDraws, rng: np.random.Generator) -> tuple[Array, ...]:
    """Return effects of as many new groups, b ~ N(0, Ω) or its t or Laplace counterpart, of every draw."""
    out = []
    for f, (block, omega) in enumerate(zip(posterior.design.blocks, posterior.omega, strict=True)):
        noise = rng.standard_normal((*omega.shape[:2], block.levels, block.k))
        if posterior.scales is not None:
            noise *= posterior.scales.effect_scale(f, block.levels, rng)[:, :, :, None]
        out.append(noise @ np.linalg.cholesky(omega).swapaxes(-1, -2))
    return tuple(out)


def _new_scales(posterior: PosteriorDraws, rng: np.random.Generator) -> ScaleDraws | None:
    """Return the scales with new residual SDs where these are of the levels of a grouping factor."""
    scales = posterior.scales
    if scales is None or scales.shape.groups is None:
        return scales
    if scales.shape.groups.name not in [block.name for block in posterior.design.blocks]:
        return scales
    half = np.broadcast_to(0.5 * scales.nu0[:, :, None], scales.sigmas.shape)
    sigmas = scales.sigma0[:, :, None] * np.sqrt(half / rng.standard_gamma(half))
    return replace(scales, sigmas=sigmas)


def _chosen(posterior: PosteriorDraws, chosen: IntArray) -> PosteriorDraws:
    """Return a posterior of one chain with some of the draws."""
    shape = posterior.sigma.shape

    def picked(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.shape[:2] == shape:
            return value.reshape(shape[0] * shape[1], *value.shape[2:])[chosen][None]
        if isinstance(value, tuple):
            return tuple(picked(part) for part in value)
        if is_dataclass(value) and not isinstance(value, type):
            own = [f.name for f in fields(value) if f.name != "shape"]
            return replace(value, **{name: picked(getattr(value, name)) for name in own})
        return value

    drawn = [f.name for f in fields(posterior) if f.name not in ("design", "kept", "priors")]
    return replace(posterior, **{name: picked(getattr(posterior, name)) for name in drawn})
