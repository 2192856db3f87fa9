"""Random effects of a fit and of a posterior, beside what each level says alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .levels import NAMED
from .names import level_words
from .style import BLUE, FAINT, GREY, ORANGE, effect_place, find_block, finish, new_axes, reference_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from ..bayes.posterior import Posterior

__all__ = ["effects_of_both"]


def effects_of_both(
    tables: Mapping[str, pd.DataFrame],
    posterior: Posterior,
    group: str | None = None,
    effect: str | None = None,
    *,
    level: float = 0.95,
    ax: Any = None,
) -> Any:
    """Draw each level's BLUP and posterior mean beside what its data say alone; return the axes.

    Open circles are least squares on the level's own rows (less β), dots BLUPs, diamonds posterior means with their
    credible interval; a line leads from alone to the BLUP. Levels are ordered by their BLUP.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Of `Comparison.random_effects`.
    posterior : Posterior
    group, effect : str, optional
        The first by default.
    level : float
        Coverage of the credible intervals.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, there is nothing to show, or matplotlib is not installed.
    """
    names = list(tables)
    name = names[find_block(names, group)]
    draws = posterior.random_effects[name]
    at = effect_place(name, draws.effects, effect)
    table = tables[name].xs(draws.effects[at], level="effect")
    order = np.argsort(table["mode"].to_numpy(), kind="stable")
    alone, mode, mean = (table[c].to_numpy(dtype=float)[order] for c in ("alone", "mode", "mean"))
    tails = [0.5 * (1 - level), 0.5 * (1 + level)]
    low, high = np.quantile(draws.values[:, :, order, at], tails, axis=(0, 1))
    few = mode.size <= NAMED
    ax = new_axes(ax, 6.5, max(2.8, 0.24 * mode.size + 1.3) if few else 6.5)
    places, size = np.arange(mode.size), float(np.clip(1200.0 / mode.size, 3.0, 34.0))
    shift = 0.28 if few else 0.0
    ax.hlines(places, alone, mode, color=GREY if few else FAINT, lw=0.8, zorder=1)
    ax.hlines(
        places - shift,
        low,
        high,
        color=ORANGE,
        lw=float(np.clip(100.0 / mode.size, 0.3, 1.6)),
        alpha=0.6,
        zorder=1,
    )
    ax.scatter(alone, places, s=size, facecolors="white", edgecolors=GREY, linewidths=1.0, zorder=2,
               label="alone (least squares, less β)")  # fmt: skip
    ax.scatter(mode, places, s=size, color=BLUE, linewidths=0, zorder=3, label="BLUP")
    ax.scatter(mean, places - shift, s=0.8 * size, marker="D", color=ORANGE, linewidths=0, zorder=4,
               label=f"posterior mean, {100 * level:g}% interval")  # fmt: skip
    reference_line(ax, x=0.0)
    ax.set_yticks(places if few else [], level_words(table.index[order]) if few else [])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-1, mode.size)
    ax.legend(
        fontsize=9, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2
    )
    words = name if few else f"{mode.size:,} levels of {name}, ordered"
    return finish(ax, x=f"{draws.effects[at]}: difference from the mean", y=words)
