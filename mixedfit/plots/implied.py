"""What random slopes imply: how rows of one group vary and correlate along a variable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._types import Array
from ..errors import ModelError, nearest
from ..recipe import Recipe, usable
from .names import level_word
from .style import find_block
from .variables import held_frame, held_value, levels_of

if TYPE_CHECKING:
    from ..design import Design, RandomBlock
    from ..results import MixedResults

__all__ = ["ImpliedCovariance", "implied_covariance"]


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
    results: MixedResults, group: str | None = None, effect: str | None = None, *, points: int = 101
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
    fit = results._fit
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


def _block_with_slopes(results: MixedResults, group: str | None) -> int:
    """Return the grouping factor asked for, by default the first with a random slope."""
    blocks = results._fit.design.blocks
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
    """Return the variable asked for, or behind the column asked for: a number before labels."""
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
