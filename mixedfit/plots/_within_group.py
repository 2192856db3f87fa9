"""Variances and correlations within groups that random slopes imply."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.design.design import Design, RandomBlock
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fitted, fit_of

from ._text import level_word, set_categories
from ._variables import held_frame, held_value, levels_of
from .style import BLUE, GREY, INK, find_block, finish, grid, new_axes, whole_figure

__all__ = [
    "ImpliedCovariance",
    "implied_covariance",
    "within_group",
    "within_group_correlation",
    "within_group_variance",
]


@dataclass(frozen=True, eq=False)
class ImpliedCovariance:
    """Covariance of two rows of one group at values x₁, x₂ of a variable: z(x₁)ᵀ Ω z(x₂), z(x) the effects' columns.

    Attributes
    ----------
    group, variable : str
    x : ndarray, shape (m,)
        Values of the variable: numbers at equal steps, or labels.
    covariance : ndarray, shape (m, m)
        Of the group's own effects; residuals come on top of each row's variance.
    variance : ndarray, shape (m,)
        Of a row of weight 1: its diagonal plus σ².
    correlation : ndarray, shape (m, m)
        Of two different rows of one group.
    categories : tuple of str
        What x holds, as text, if the variable is not continuous; else empty.
    held : dict of str to number or label
        The other variables of the group's effects, and where they are held.
    """

    group: str
    variable: str
    x: Array
    covariance: Array
    variance: Array
    correlation: Array
    categories: tuple[str, ...] = ()
    held: dict[str, Any] = field(default_factory=dict)

    @property
    def held_words(self) -> str:
        """Where other variables are held, as text; empty if there are none."""
        held = {n: f"{v:.4g}".replace("-", "−") if isinstance(v, float) else v for n, v in self.held.items()}
        return ", ".join(f"{name} at {level_word(value)}" for name, value in held.items())


def implied_covariance(
    results: Fitted, group: str | None = None, effect: str | None = None, *, points: int = 101
) -> ImpliedCovariance:
    """Return how rows of one group vary and correlate along a variable with a random slope.

    Cov(y₁, y₂) = z(x₁)ᵀ Ω z(x₂): for an intercept and a slope Ω₁₁ + Ω₁₂(x₁ + x₂) + Ω₂₂x₁x₂. All columns made of the
    variable move with it (x and x², a polynomial's, a factor's). Other variables of the factor's effects are held:
    numbers at their mean, labels at their first level. Other grouping factors are not counted.

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; by default the first with a random slope.
    effect : str, optional
        The variable, or one of the factor's effects that is made of it; the first slope by default.
    points : int
        Values of a number, at equal steps over the range of the data; of labels all are taken.

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or the fit does not know how its columns were made.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> implied = mf.plots.implied_covariance(fit, points=10)
    >>> implied.variable, implied.variance[[0, 9]].round(1).tolist()
    ('Days', [1267.0, 4280.7])
    """
    fit = fit_of(results)
    at = _block_with_slopes(results, group)
    block = fit.design.blocks[at]
    if _is_one_column(fit.design, at):
        along = _along_column(block, effect, points)
    else:
        along = _along_variable(usable(fit.design.recipe), at, block, effect, points)
    root = fit.sigma * along.z @ fit.lam[at]  # Ω of a covariate far from 0 has no digits left for zᵀΩz
    covariance = root @ root.T
    variance = np.diag(covariance) + fit.sigma**2
    correlation = covariance / np.sqrt(np.outer(variance, variance))
    return ImpliedCovariance(
        block.name, along.variable, along.x, covariance, variance, correlation, along.categories, along.held
    )


@dataclass(frozen=True, eq=False)
class _Moved:
    """A variable that moves, and the columns of a group's effects at its values, shape (m, k)."""

    variable: str
    x: Array
    z: Array
    categories: tuple[str, ...] = ()
    held: dict[str, Any] = field(default_factory=dict)


def _is_one_column(design: Design, at: int) -> bool:
    """Whether a copy of a fit does not know how its columns were made, and only one column of a block varies."""
    known = design.recipe is not None and not design.recipe.refusal
    return not known and int(np.sum(np.ptp(design.blocks[at].z, axis=0) > 0)) == 1


def _along_column(block: RandomBlock, effect: str | None, points: int) -> _Moved:
    """Move the one column that varies."""
    j = int(np.argmax(np.ptp(block.z, axis=0)))
    if effect not in (None, block.effects[j]):
        raise ModelError(f"{effect!r} is not a random slope of {block.name!r} ({block.effects[j]}).")
    z = np.tile(block.z[0], (points, 1))
    z[:, j] = np.linspace(block.z[:, j].min(), block.z[:, j].max(), points)
    return _Moved(block.effects[j], z[:, j], z)


def _along_variable(recipe: Recipe, at: int, block: RandomBlock, effect: str | None, points: int) -> _Moved:
    """Move a variable with all columns made of it, others held."""
    name = _name_of(recipe, at, block, effect)
    levels, own = levels_of(recipe, name), recipe.variables[name]
    values = np.linspace(own.low, own.high, points) if levels is None else levels
    z = recipe.effect_rows(at, held_frame(recipe, {name: values}, len(values)))
    held = {other: held_value(recipe, other) for other in recipe.effect_names(at) if other != name}
    return _Moved(name, np.asarray(values), z, () if levels is None else tuple(map(level_word, levels)), held)


def _block_with_slopes(results: Fitted, group: str | None) -> int:
    """Return the chosen grouping factor, by default the first with a random slope."""
    blocks = fit_of(results).design.blocks
    at = find_block([block.name for block in blocks], group)
    slopes = [bool(np.any(np.ptp(block.z, axis=0) > 0)) for block in blocks]
    if group is None and any(slopes):
        at = slopes.index(True)
    if not slopes[at]:
        raise ModelError(
            f"{blocks[at].name!r} has no random slope: the correlation of its rows is the same everywhere."
        )
    return at


def _name_of(recipe: Recipe, at: int, block: RandomBlock, effect: str | None) -> str:
    """Return the chosen variable, or the variable of the chosen column; numbers before labels."""
    if effect in recipe.effect_names(at):
        return str(effect)
    slopes = {block.effects[j]: j for j in range(block.k) if np.ptp(block.z[:, j]) > 0}
    if effect is not None:
        effect = {name.replace(" ", ""): name for name in slopes}.get(effect.replace(" ", ""), effect)
    if effect is not None and effect not in slopes:
        known = list(dict.fromkeys([*slopes, *recipe.effect_names(at)]))
        raise ModelError(
            f"{effect!r} is not a random slope of {block.name!r} ({', '.join(known)}). "
            f"{nearest(effect, known)}".rstrip()
        )
    j = slopes[effect] if effect is not None else next(iter(slopes.values()))
    names = next(term.variables for term in recipe.effect_terms(at) if j in term.columns)
    return next((name for name in names if levels_of(recipe, name) is None), names[0])


def within_group_correlation(
    results: Fitted, group: str | None = None, effect: str | None = None, *, ax: Any = None
) -> Any:
    """Draw the correlation of two rows of one group as a map of their values of the covariate; return the axes.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    implied = implied_covariance(results, group, effect)
    ax = new_axes(ax, 5.0, 4.4)
    _map(ax, implied)
    return ax


@whole_figure("within_group_variance and within_group_correlation draw its halves on ax=")
def within_group(results: Fitted, group: str | None = None, effect: str | None = None) -> Any:
    """Draw what a random slope implies, and return the figure; it takes no ``ax=``.

    The first axes, "variation", shows the variance of a row along the covariate, split into that between groups and
    the residuals'; the second, "correlation", maps the correlation of two rows of one group.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    figure = grid(["variation", "correlation"], 2, width=4.8, height=4.0)
    left, right = figure.axes
    within_group_variance(results, group, effect, ax=left)
    within_group_correlation(results, group, effect, ax=right)
    return figure


def within_group_variance(
    results: Fitted, group: str | None = None, effect: str | None = None, *, ax: Any = None
) -> Any:
    """Draw the variance of a row along a covariate with a random slope, between groups and residual; return the axes.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    implied = implied_covariance(results, group, effect)
    ax = new_axes(ax, 5.0, 4.2)
    residual = float(fit_of(results).sigma ** 2)
    if implied.categories:
        _bars(ax, implied, residual)
    else:
        ax.fill_between(implied.x, 0.0, residual, color=GREY, alpha=0.35, lw=0)
        ax.fill_between(implied.x, residual, implied.variance, color=BLUE, alpha=0.55, lw=0)
        ax.plot(implied.x, implied.variance, color=INK, lw=1.2)
        ax.margins(x=0)
    share = 1.0 - residual / implied.variance
    right_side = int(np.argmax(share)) < share.size // 2
    words = (
        f"grey: residual σ² = {residual:.4g}\n"
        f"blue: between levels of {implied.group},\n{_shares(share)} of the variance"
    )
    ax.text(
        0.97 if right_side else 0.03,
        0.97,
        words,
        transform=ax.transAxes,
        ha="right" if right_side else "left",
        va="top",
        fontsize=9,
    )
    ax.set_ylim(0.0, 1.35 * float(implied.variance.max()))
    words = "variance of a row" if fit_of(results).design.weights is None else "variance of a row of weight 1"
    return finish(ax, x=implied.variable, y=words, title=_title("Sources of variation", implied))


def _title(words: str, implied: ImpliedCovariance) -> str:
    """Return a title, with a line on the values at which other variables are held."""
    return textwrap.fill(f"{words}; {implied.held_words}", 44) if implied.held else words


def _bars(ax: Any, implied: ImpliedCovariance, residual: float) -> None:
    """Draw the variance of a row of each category, split in two."""
    places = np.arange(len(implied.categories))
    ax.bar(places, residual, 0.7, color=GREY, alpha=0.35)
    ax.bar(places, implied.variance - residual, 0.7, bottom=residual, color=BLUE, alpha=0.55)
    set_categories(ax, "x", implied.categories)


def _shares(share: Array) -> str:
    """Return the range of shares, one number if the ends read the same."""
    ends = [_percent(float(v)) for v in (share.min(), share.max())]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _percent(share: float) -> str:
    """Return a share as text, with 0% and 100% for exactly these only."""
    if 0.0 < share < 0.005 or 0.995 < share < 1.0:
        return f"{100.0 * np.clip(share, 0.0001, 0.9999):.2f}%"
    return f"{100.0 * max(share, 0.0):.0f}%"


def _round_levels(values: Array) -> Array:
    """Return about six round values within the range of an array."""
    span = float(np.ptp(values))
    unit = 10.0 ** np.floor(np.log10(span / 6.0))
    step = unit * next(m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if unit * m >= span / 7.0)
    return np.asarray(np.arange(np.ceil(values.min() / step), np.floor(values.max() / step) + 1) * step)


def _map(ax: Any, implied: ImpliedCovariance) -> None:
    """Draw the correlation as an image of greys with labelled contours; of categories with a number in each cell."""
    x, values = implied.x, implied.correlation
    reach = max(float(np.abs(values).max()), 1e-6)
    low = -reach if values.min() < 0 else 0.0
    few = bool(implied.categories)
    ends = (-0.5, len(x) - 0.5) if few else (x[0], x[-1])
    ax.imshow(
        values,
        origin="lower",
        extent=(*ends, *ends),
        aspect="auto",
        cmap="PuOr_r" if low < 0 else "Blues",
        vmin=low,
        vmax=reach * (1.0 if low < 0 else 1.25),
        interpolation="nearest" if few else "bilinear",
    )
    if few:
        _cells(ax, implied)
    elif np.ptp(values) > 1e-6:
        lines = ax.contour(x, x, values, levels=_round_levels(values), colors=INK, linewidths=0.7)
        ax.clabel(lines, fontsize=8, fmt="%.3g")
    finish(
        ax,
        x=f"{implied.variable} of one row",
        y=f"{implied.variable} of another",
        title=_title(f"Correlation within {implied.group}", implied),
    )


def _cells(ax: Any, implied: ImpliedCovariance) -> None:
    """Write each category's name at the axes, and the correlation in each cell while there is room."""
    set_categories(ax, "x", implied.categories)
    set_categories(ax, "y", implied.categories)
    if len(implied.categories) > 8:
        return
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 1.0}
    for (i, j), value in np.ndenumerate(implied.correlation):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color=INK, bbox=box)
