"""The population's mean along a number, with credible and predictive bands of a posterior."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from mixedfit.bayes.posterior import Posterior
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.core.format import without_quotes
from mixedfit.core.options import check_level
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fit
from mixedfit.prediction.variables import is_labels, levels_of, values_of

from ._cells import DASHES, colour_of
from .style import check_name, finish, new_axes, sized, thinned_alpha

__all__ = ["credible_bands"]

PLACES = 41
"""Number of places along the variable."""


def credible_bands(
    posterior: Posterior,
    x: str,
    *,
    by: str | None = None,
    at: Mapping[str, Any] | None = None,
    level: float = 0.95,
    predictive: bool = True,
    weights: float | None = None,
    points: bool = True,
    seed: object = None,
    ax: Any = None,
) -> Any:
    """Draw the mean of the population along a number with credible and predictive bands; return the axes.

    The line is the posterior mean of Xβ and the dark band its credible interval. The pale band has a new observation
    of a new group, whose effects and residual are drawn from the model. Bands are pointwise. Other variables are held
    at their mean or first level, which the title says.

    Parameters
    ----------
    posterior : Posterior
    x : str
        A number of the fixed part.
    by : str, optional
        A factor or two-valued number of the fixed part, with a line for each level.
    at : mapping, optional
        Values of other variables.
    level : float
        Probability inside the bands.
    predictive : bool
        Whether to draw the pale band.
    weights : float, optional
        Weight of a new observation; needed for the pale band if the model has weights.
    points : bool
        Whether to draw the data.
    seed : int, SeedSequence, Generator or None
        For the pale band.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not a variable of the fixed part, `x` is not a number, `by` has no levels, weights are missing,
        or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("distance ~ age * Sex + (age | Subject)", mf.load_dataset("Orthodont"))
    >>> ax = mf.plots.credible_bands(model.gibbs(seed=1), "age", by="Sex", seed=1)
    >>> ax.get_xlabel()
    'age'
    """
    recipe = usable(posterior.design.recipe)
    for name in [x, *([] if by is None else [by]), *(at or {})]:
        check_name(name, recipe.fixed_names, "a variable of the fixed part")
    if is_labels(recipe, x):
        raise ModelError(f"{x!r} is a factor; bands need a number along the axis. Give it as by=.")
    keys = [None] if by is None else levels_of(recipe, by)
    if keys is None or by == x:
        raise ModelError(f"by={by!r} has no levels; give a factor, and one value of other numbers by at=.")
    tails = [0.5 * (1 - check_level(level)), 0.5 * (1 + level)]
    ax = new_axes(ax, 6.4, 4.4)
    held = _held(recipe, {x, by}, at or {})
    for s, key in enumerate(keys):
        rows = _rows(recipe, x, held | ({} if by is None else {by: key}))
        colour, line = colour_of(s), DASHES[s % len(DASHES)]
        if predictive:
            drawn = posterior.predict(rows, weights=weights, offset=_offset(recipe), seed=seed).values
            _band(ax, rows[x], np.quantile(drawn, tails, axis=(0, 1)), colour, 0.13)
        means = _population(posterior, recipe, rows)
        _band(ax, rows[x], np.quantile(means, tails, axis=(0, 1)), colour, 0.35)
        label = "mean" if by is None else str(key)
        ax.plot(rows[x], means.mean(axis=(0, 1)), color=colour, ls=line, lw=2.2, label=label, zorder=3)
        if points:
            _data(ax, posterior, x, by, key, colour)
    if by is not None:
        ax.legend(title=without_quotes(by), fontsize=sized(9), title_fontsize=sized(9), frameon=False)
    bands = "credible (dark) and predictive (pale)" if predictive else "credible"
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in held.items() if k in recipe.fixed_names}
    notes = f"; {', '.join(f'{name} = {value}' for name, value in shown.items())}" if shown else ""
    title = textwrap.fill(f"{100 * level:g}% bands, {bands}{notes}", 62)
    return finish(ax, x=x, y=without_quotes(posterior.design.formula.response), title=title)


def _held(recipe: Recipe, shown: set[str | None], at: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value of each variable that is not shown: its mean, its first level, or that of `at`."""
    held = {}
    for name, variable in recipe.variables.items():
        if name not in shown:
            levels = levels_of(recipe, name)
            held[name] = at.get(name, float(variable.mean) if levels is None else levels[0])
    return held


def _rows(recipe: Recipe, x: str, values: Mapping[str, Any]) -> pd.DataFrame:
    """Return rows along x, all of one new group."""
    places = np.linspace(recipe.variables[x].low, recipe.variables[x].high, PLACES)
    columns: dict[str, Any] = {x: places, **{name: [value] * PLACES for name, value in values.items()}}
    for column in (name for group in recipe.groups for name in group.columns):
        columns.setdefault(column, ["new"] * PLACES)
    if isinstance(recipe.offset, str):
        columns[recipe.offset] = np.zeros(PLACES)
    return pd.DataFrame(columns)


def _offset(recipe: Recipe) -> float | None:
    """Return an offset of 0 for a model whose offset was an array."""
    return 0.0 if recipe.offset is True else None


def _population(posterior: Posterior, recipe: Recipe, rows: pd.DataFrame) -> Array:
    """Return Xβ of every draw, shape (chains, draws, rows)."""
    offset = np.zeros(len(rows)) if recipe.offset is True else None
    X = recipe.rows(rows, levels_of=(), effects_of=(), offset=offset).X
    return np.asarray(posterior.beta @ X[:, posterior.kept].T)


def _band(ax: Any, x: Any, limits: Array, colour: str, alpha: float) -> None:
    ax.fill_between(x, limits[0], limits[1], color=colour, alpha=alpha, lw=0, zorder=2)


def _data(ax: Any, posterior: Posterior, x: str, by: str | None, key: Any, colour: str) -> None:
    """Draw the rows of one level of `by`, if their variables can be told from the design."""
    design = posterior.design
    places = values_of(cast(Fit, posterior), x)  # reads the design only
    series = None if by is None else values_of(cast(Fit, posterior), by)
    if places is None or (by is not None and series is None):
        return
    own = np.ones(design.n, dtype=bool) if series is None else (series == key).to_numpy()
    y = design.observed - (0.0 if design.offset is None else design.offset)
    alpha = thinned_alpha(design.n)
    ax.scatter(
        places.to_numpy(dtype=float)[own], y[own], s=12, color=colour, alpha=alpha, linewidths=0, zorder=1
    )
