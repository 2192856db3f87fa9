"""Posteriors of group effects: a median with an interval for each level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mixedfit.core.options import check_level
from mixedfit.estimation.labels import NamedDesign, labels_for

from ._caterpillar import draw_levels
from ._names import PictureNames
from ._parameters import checked_posterior
from .style import effect_place, find_group

__all__ = ["group_effects"]


def group_effects(
    posterior: Any,
    group: str | None = None,
    effect: str | None = None,
    *,
    level: float = 0.95,
    sort: bool = True,
    names: int = 8,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the posterior median and interval of each level's random effect; return the axes.

    Intervals are between quantiles. Those that do not cover 0 are blue. `caterpillar` is the picture of a fit.

    Parameters
    ----------
    posterior : Posterior
    group : str, optional
        Grouping factor; the first by default.
    effect : str, optional
        Which of its effects; the first by default.
    level : float
        Posterior probability inside each interval.
    sort : bool
        Whether levels are ordered by their effect; otherwise by their own order.
    names : int
        Number of levels to name, the lowest and the highest, if there is no room for all names.
    labels : mapping of str to str, optional
        Texts in place of names of random effects, grouping factors and levels.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, the draws of the effects were not kept, or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
    >>> ax = posterior.plot.group_effects()
    """
    posterior = checked_posterior(posterior, "group_effects")
    posterior.require_effects()
    named, level = NamedDesign(posterior.design), check_level(level)
    said = PictureNames(named, labels_for(named, labels))
    at = find_group((block.name for block in posterior.design.blocks), group)
    block = posterior.design.blocks[at]
    j = effect_place(block.name, block.effects, effect)
    tails = (0.5 - 0.5 * level, 0.5, 0.5 + 0.5 * level)
    lower, median, upper = np.quantile(posterior.effects[at][..., j], tails, axis=(0, 1))
    return draw_levels(
        ax,
        median,
        lower,
        upper,
        said.levels(block.grouping.levels),
        said.group(at),
        sort=sort,
        names=names,
        x=f"{said.effect(at, j)}: difference from the mean",
        title=f"{100 * level:g}% intervals (blue: those without 0)",
    )
