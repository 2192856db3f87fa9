"""Variance and correlation of rows of one group along a variable with a random slope."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError
from mixedfit.design.design import Design, RandomBlock
from mixedfit.design.recipe import Recipe, usable
from mixedfit.estimation.fit import Fit, Fitted, fit_of
from mixedfit.estimation.known_support import refuse_known
from mixedfit.estimation.residual_support import refuse_residual
from mixedfit.prediction.variables import held_frame, held_value, levels_of

from ._names import picture_names
from ._text import level_word, set_categories
from .style import BLUE, check_name, find_block, finish, grey, grid, ink, new_axes, paper, sized, whole_figure

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
        Covariance due to the group's effects, without the residual variance.
    variance : ndarray, shape (m,)
        Variance of a row of weight 1: the diagonal of `covariance` plus σ².
    correlation : ndarray, shape (m, m)
        Correlation of two different rows of one group.
    categories : tuple of str
        `x` as text if the variable is not continuous; else empty.
    held : dict of str to number or label
        Values at which the other variables of the group's effects are held.
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
        """Values of the variables that are held, as text; empty if there are none."""
        held = {n: f"{v:.4g}".replace("-", "−") if isinstance(v, float) else v for n, v in self.held.items()}
        return ", ".join(f"{name} at {level_word(value)}" for name, value in held.items())


def implied_covariance(
    results: Fitted, group: str | None = None, effect: str | None = None, *, points: int = 101
) -> ImpliedCovariance:
    """Return the covariance of rows of one group along a variable with a random slope.

    Cov(y₁, y₂) = z(x₁)ᵀ Ω z(x₂): for an intercept and a slope Ω₁₁ + Ω₁₂(x₁ + x₂) + Ω₂₂x₁x₂. All columns made of the
    variable move with it (x and x², those of a polynomial or of a factor). Other variables of the factor's effects are
    held: numbers at their mean, labels at their first level. Other grouping factors do not contribute.

    Parameters
    ----------
    results : MixedResults
    group : str, optional
        Grouping factor; by default the first with a random slope.
    effect : str, optional
        The variable, or one of the factor's effects made of it; the first slope by default.
    points : int
        Number of values of a numeric variable, at equal steps over the range of the data; of labels all are taken.

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or the fit has no recipe of its columns.

    Examples
    --------
    >>> import mixedfit as mf
    >>> fit = mf.lmm("Reaction ~ Days + (Days | Subject)", mf.load_dataset("sleepstudy")).fit()
    >>> implied = mf.plots.implied_covariance(fit, points=10)
    >>> implied.variable, implied.variance[[0, 9]].round(1).tolist()
    ('Days', [1267.0, 4280.7])
    """
    fit = fit_of(results)
    refuse_residual(fit.design, "pictures of the covariance within groups are", "See fit.residual_cov().")
    refuse_known(
        fit.design, "pictures of the covariance within groups are", "Rows of different groups vary together."
    )
    at = _block_with_slopes(fit, group)
    block = fit.design.blocks[at]
    if _is_one_column(fit.design, at):
        along = _along_column(block, effect, points)
    else:
        along = _along_variable(usable(fit.design.recipe), at, block, effect, points)
    root = fit.sigma * along.z @ fit.lam[at]  # zᵀΩz cancels for a covariate far from 0
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
    """Return whether a fit has no recipe of its columns, and only one column of a block varies."""
    known = design.recipe is not None and not design.recipe.refusal
    return not known and int(np.sum(np.ptp(design.blocks[at].z, axis=0) > 0)) == 1


def _along_column(block: RandomBlock, effect: str | None, points: int) -> _Moved:
    """Return the only column that varies at equal steps, with the other columns."""
    j = int(np.argmax(np.ptp(block.z, axis=0)))
    if effect not in (None, block.effects[j]):
        raise ModelError(f"{effect!r} is not a random slope of {block.name!r} ({block.effects[j]}).")
    z = np.tile(block.z[0], (points, 1))
    z[:, j] = np.linspace(block.z[:, j].min(), block.z[:, j].max(), points)
    return _Moved(block.effects[j], z[:, j], z)


def _along_variable(recipe: Recipe, at: int, block: RandomBlock, effect: str | None, points: int) -> _Moved:
    """Return values of a variable with all columns made of it, other variables held."""
    if any(len(point) > 1 for part in block.structure.parts for point in getattr(part, "points", ())[:1]):
        raise ModelError(
            f"the effects of {block.name!r} are at points with several coordinates, along which no single variable "
            f"moves; their covariance matrix is fit.cov_re[{block.name!r}]."
        )
    name = _name_of(recipe, at, block, effect)
    levels, own = levels_of(recipe, name), recipe.variables[name]
    values = np.linspace(own.low, own.high, points) if levels is None else levels
    z = recipe.effect_rows(at, held_frame(recipe, {name: values}, len(values)))
    held = {other: held_value(recipe, other) for other in recipe.effect_names(at) if other != name}
    return _Moved(name, np.asarray(values), z, () if levels is None else tuple(map(level_word, levels)), held)


def _block_with_slopes(fit: Fit, group: str | None) -> int:
    """Return the position of a grouping factor, by default of the first with a random slope."""
    blocks = fit.design.blocks
    at = find_block(fit, group)
    slopes = [bool(np.any(np.ptp(block.z, axis=0) > 0)) for block in blocks]
    if group is None and any(slopes):
        at = slopes.index(True)
    if not slopes[at]:
        raise ModelError(
            f"{blocks[at].name!r} has no random slope: the correlation of its rows is the same everywhere."
        )
    return at


def _name_of(recipe: Recipe, at: int, block: RandomBlock, effect: str | None) -> str:
    """Return the variable that `effect` names, or of which the column `effect` is made: a number before labels."""
    if effect in recipe.effect_names(at):
        return str(effect)
    slopes = {block.effects[j]: j for j in range(block.k) if np.ptp(block.z[:, j]) > 0}
    if effect is not None:
        effect = {name.replace(" ", ""): name for name in slopes}.get(effect.replace(" ", ""), effect)
        known = list(dict.fromkeys([*slopes, *recipe.effect_names(at)]))
        check_name(effect, known, f"a random slope of {block.name!r}")
    j = next(iter(slopes.values())) if effect is None else slopes[effect]
    names = next(term.variables for term in recipe.effect_terms(at) if j in term.columns)
    return next((name for name in names if levels_of(recipe, name) is None), names[0])


def _labelled(
    results: Fitted, implied: ImpliedCovariance, labels: Mapping[str, str] | None
) -> ImpliedCovariance:
    """Return an implied covariance with labels in place of the names of the group, variables and levels."""
    if not labels:
        return implied
    fit = fit_of(results)
    said = picture_names(fit, labels)
    at = [block.name for block in fit.design.blocks].index(implied.group)
    return replace(
        implied,
        group=said.group(at),
        variable=said.variable(implied.variable),
        categories=tuple(str(said.level(level)) for level in implied.categories),
        held={said.variable(name): said.level(value) for name, value in implied.held.items()},
    )


def within_group_correlation(
    results: Fitted,
    group: str | None = None,
    effect: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the correlation of two rows of one group by their values of the covariate; return the axes.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.
    labels : mapping of str to str, optional
        Texts in place of names of variables, factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    implied = _labelled(results, implied_covariance(results, group, effect), labels)
    ax = new_axes(ax, 5.0, 4.4)
    _map(ax, implied)
    return ax


@whole_figure("within_group_variance and within_group_correlation draw its halves on ax=")
def within_group(
    results: Fitted,
    group: str | None = None,
    effect: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
) -> Any:
    """Draw the variance and correlation that a random slope implies; return the figure. It takes no ``ax=``.

    The first axes, "variation", shows the variance of a row along the covariate, split into variance between groups and
    residual variance; the second, "correlation", maps the correlation of two rows of one group.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.
    labels : mapping of str to str, optional
        Texts in place of names of variables, factors and levels.

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    figure = grid(["variation", "correlation"], 2, width=4.8, height=4.0)
    left, right = figure.axes
    within_group_variance(results, group, effect, labels=labels, ax=left)
    within_group_correlation(results, group, effect, labels=labels, ax=right)
    return figure


def within_group_variance(
    results: Fitted,
    group: str | None = None,
    effect: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the variance of a row along a covariate with a random slope, between groups and residual; return the axes.

    Parameters
    ----------
    results : MixedResults
    group, effect : str, optional
        As in `implied_covariance`.
    labels : mapping of str to str, optional
        Texts in place of names of variables, factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If there is no random slope, a name is not known, or matplotlib is not installed.
    """
    implied = _labelled(results, implied_covariance(results, group, effect), labels)
    ax = new_axes(ax, 5.0, 4.2)
    residual = float(fit_of(results).sigma ** 2)
    if implied.categories:
        _bars(ax, implied, residual)
    else:
        ax.fill_between(implied.x, 0.0, residual, color=grey(), alpha=0.35, lw=0)
        ax.fill_between(implied.x, residual, implied.variance, color=BLUE, alpha=0.55, lw=0)
        ax.plot(implied.x, implied.variance, color=ink(), lw=1.2)
        ax.margins(x=0)
    share = 1.0 - residual / implied.variance
    right_side = int(np.argmax(share)) < share.size // 2
    words = (
        f"grey: residual σ² = {residual:.4g}\n"
        f"blue: between levels of {implied.group},\n{_shares(share)} of the variance"
    )
    x, side = (0.97, "right") if right_side else (0.03, "left")
    ax.text(x, 0.97, words, transform=ax.transAxes, ha=side, va="top", fontsize=sized(9))
    ax.set_ylim(0.0, 1.35 * float(implied.variance.max()))
    words = "variance of a row" if fit_of(results).design.weights is None else "variance of a row of weight 1"
    return finish(ax, x=implied.variable, y=words, title=_title("Sources of variation", implied))


def _title(words: str, implied: ImpliedCovariance) -> str:
    """Return a title, with the values at which other variables are held."""
    return textwrap.fill(f"{words}; {implied.held_words}", 44) if implied.held else words


def _bars(ax: Any, implied: ImpliedCovariance, residual: float) -> None:
    """Draw the variance of a row of each category, between groups and residual."""
    places = np.arange(len(implied.categories))
    ax.bar(places, residual, 0.7, color=grey(), alpha=0.35)
    ax.bar(places, implied.variance - residual, 0.7, bottom=residual, color=BLUE, alpha=0.55)
    set_categories(ax, "x", implied.categories)


def _shares(share: Array) -> str:
    """Return the range of shares as text, one number if both ends are printed alike."""
    ends = [_percent(float(v)) for v in (share.min(), share.max())]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _percent(share: float) -> str:
    """Return a share as text that is 0% or 100% only for shares of exactly 0 or 1."""
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
    """Draw the correlation as an image with labelled contours, or for categories with a number in each cell."""
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
        lines = ax.contour(x, x, values, levels=_round_levels(values), colors=ink(), linewidths=0.7)
        ax.clabel(lines, fontsize=sized(8), fmt="%.3g")
    finish(
        ax,
        x=f"{implied.variable} of one row",
        y=f"{implied.variable} of another",
        title=_title(f"Correlation within {implied.group}", implied),
    )


def _cells(ax: Any, implied: ImpliedCovariance) -> None:
    """Label the axes with the categories, and write the correlation in each cell if there is room."""
    set_categories(ax, "x", implied.categories)
    set_categories(ax, "y", implied.categories)
    if len(implied.categories) > 8:
        return
    box = {"facecolor": paper(), "edgecolor": "none", "alpha": 0.6, "pad": 1.0}
    for (i, j), value in np.ndenumerate(implied.correlation):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=sized(9), color=ink(), bbox=box)
