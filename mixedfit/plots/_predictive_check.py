"""Predictive checks: distributions and statistics of replicated responses and of the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixedfit.bayes.criticism.predictive_check import PredictiveCheck, tail_text
from mixedfit.core.arrays import Array
from mixedfit.core.options import check_one_of

from ._bootstrap import kernel_density
from .style import BLUE, SKY, chosen_names, finish, grey, grid, ink, new_axes, sized

__all__ = ["predictive_responses", "predictive_statistics"]

FAR = 5.0
"""Distance beyond the quartiles, in interquartile ranges, from which replicates are only counted."""


def predictive_responses(check: PredictiveCheck, *, kind: str = "density", ax: Any = None) -> Any:
    """Draw the distributions of the response and of replicated responses; return the axes.

    Parameters
    ----------
    check : PredictiveCheck
        From `Posterior.check` or from the check of a prior.
    kind : {"density", "ecdf"}
        Kernel densities, or empirical distribution functions, which are not smoothed.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If `kind` is not known, or matplotlib is not installed.
    """
    check_one_of("kind", kind, ("density", "ecdf"))
    ax = new_axes(ax, 6.5, 4.0)
    alpha = float(np.clip(15.0 / len(check.responses), 0.3, 0.6))
    for i, replicated in enumerate(check.responses):
        label = f"{len(check.responses)} replicated from the {check.kind}" if i == 0 else None
        ax.plot(*_curve(replicated, kind), color=SKY, lw=0.9, alpha=alpha, label=label, zorder=1)
    ax.plot(*_curve(check.response, kind), color=ink(), lw=2.0, label="data", zorder=3)
    _set_limits(ax, np.concatenate([check.response, np.quantile(check.responses, [0.005, 0.995])]))
    ax.set_ylim(bottom=0.0)
    legend = ax.legend(fontsize=sized(9), frameon=False, loc="best")
    for line in legend.get_lines():
        line.set_alpha(1.0)
    if kind == "density":
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    return finish(ax, x=check.label, y="density" if kind == "density" else "share of rows below")


def _curve(values: Array, kind: str) -> tuple[Array, Array]:
    """Return the density or the distribution function of values, as points of a line."""
    if kind == "density":
        return kernel_density(values)
    places = np.repeat(np.sort(values), 2)
    steps = np.arange(values.size + 1) / values.size
    return places, np.repeat(steps, 2)[1:-1]


def _set_limits(ax: Any, shown: Array) -> None:
    """Set the horizontal limits so that all values shown lie within."""
    low, high = float(shown.min()), float(shown.max())
    margin = 0.08 * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)


def _bulk(values: Array) -> Array:
    """Return the values within `FAR` interquartile ranges of the quartiles."""
    first, third = np.quantile(values, [0.25, 0.75])
    far = FAR * (third - first)
    return np.asarray(values[(values >= first - far) & (values <= third + far)])


def predictive_statistics(
    check: PredictiveCheck, statistics: Sequence[str] | None = None, *, columns: int = 4
) -> Any:
    """Draw a histogram of each replicated statistic, with a line at the statistic of the data; return the figure.

    Each statistic has an axes, labelled with its name. P is the share of replicates that are at least as large as in
    the data. Replicates far out are counted, not drawn.

    Parameters
    ----------
    check : PredictiveCheck
    statistics : sequence of str, optional
        All by default.
    columns : int
        Panels in a row.

    Raises
    ------
    ModelError
        If a statistic is not in the check, or matplotlib is not installed.
    """
    known = [str(name) for name in check.table.index]
    names = chosen_names(statistics, known, "in the check")
    figure = grid(names, min(columns, len(names)), width=2.8, height=2.3)
    for ax, name in zip(figure.axes, names, strict=True):
        values, at = check.replicated[name].to_numpy(), known.index(name)
        observed, share = (float(check.table[c].iloc[at]) for c in ("observed", "p_value"))
        _set_limits(ax, np.append(_bulk(values), observed))
        low, high = ax.get_xlim()
        ax.hist(values, np.linspace(low, high, 41), color=BLUE, alpha=0.35, lw=0)
        beyond = int(np.sum((values < low) | (values > high)))
        ax.axvline(observed, color=ink(), lw=2.0)
        ax.set_yticks([])
        finish(ax, x=name.replace("_", " "))
        far, text = f"{beyond:,} beyond; " if beyond else "", tail_text(share, len(check.replicated))
        ax.set_title(
            f"{far}P {text if text[0] in '<>' else f'= {text}'}", loc="right", fontsize=sized(9), color=grey()
        )
        ax.spines["left"].set_visible(False)
    first = figure.axes[0]
    first.set_ylabel("replicates", color=ink())
    first.annotate("data", (float(check.table["observed"].iloc[known.index(names[0])]), 1.0), xytext=(0, 3),
                   xycoords=("data", "axes fraction"), textcoords="offset points", ha="center",
                   fontsize=sized(9))  # fmt: skip
    return figure
