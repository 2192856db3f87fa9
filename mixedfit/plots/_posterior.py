"""Posteriors of parameters and of group effects: densities, intervals and pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.draws.words import parameter_words
from mixedfit.core.arrays import Array
from mixedfit.core.options import check_level
from mixedfit.estimation.labels import NamedDesign, label_of

from ._bootstrap import kernel_density
from ._forest import LONGEST, SMALLEST, in_lines, names_that_fit, write_numbers
from ._parameters import (
    CHAINS,
    chain_legend,
    checked_posterior,
    edges_of,
    font_scale,
    names_to_draw,
    panels,
    title_of,
    with_style,
)
from ._text import points_high
from .style import (
    BLUE,
    PARAMETER_AXES,
    faint,
    finish,
    grey,
    ink,
    new_axes,
    paper,
    pyplot,
    reference_line,
    spread,
    thinned_alpha,
    whole_figure,
)

__all__ = ["density", "intervals", "pairs"]

MOST_PAIRED = 6
"""Largest number of parameters of a figure of pairs unless they are chosen."""

POINTS = 1500
"""Largest number of draws in a panel of pairs."""


def density(
    posterior: PosteriorDraws,
    parameters: str | Iterable[str] | None = None,
    *,
    level: float = 0.95,
    columns: int = 3,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the posterior density of each parameter with its interval, chains overlaid; return the figure, or `ax`.

    The filled curve is a kernel density of all draws, thin lines those of the chains, the vertical line the median, and
    the bar below the interval between quantiles.

    Parameters
    ----------
    posterior : Posterior
    parameters : str or sequence of str, optional
        Names, or "fixed" or "variances" for all of a kind; by default all, at most the first twelve.
    level : float
        Posterior probability inside the interval.
    columns : int
        Panels in a row.
    labels : mapping of str to str, optional
        Texts in place of names of parameters, coefficients, variables, grouping factors and levels.
    ax : matplotlib Axes, optional
        For one parameter.

    Raises
    ------
    ModelError
        If a name is not known, `ax` is given for several parameters, or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
    >>> figure = posterior.plot.density("variances")
    """
    posterior, level = checked_posterior(posterior, "density"), check_level(level)
    found = panels(posterior, parameters, labels, columns=columns, width=3.3, height=2.2, ax=ax)
    for own, name, words in found.each():
        _density(own, posterior[name], edges_of(posterior, name, posterior[name]), level)
        title_of(own, words)
        with_style(own, bare=True)
        own.xaxis.get_major_locator().set_params(nbins=5)
    chain_legend(found, posterior.chains)
    return found.made


def _density(ax: Any, draws: Array, edges: tuple[float, float], level: float) -> None:
    """Draw the densities of one parameter."""
    low, high = edges
    tails = (0.5 - 0.5 * level, 0.5, 0.5 + 0.5 * level)
    lower, median, upper = np.quantile(draws, tails).tolist()
    far = np.quantile(draws, [0.001, 0.999])
    view = (max(low, float(far[0] - 0.15 * np.ptp(far))), min(high, float(far[1] + 0.15 * np.ptp(far))))
    inside = draws[(draws >= view[0]) & (draws <= view[1])]
    top = 1.0
    if np.ptp(draws) > 0.0:
        places, heights = kernel_density(inside, low=low, high=high)
        top = float(heights.max())
        ax.fill_between(places, 0.0, heights, color=faint(), lw=0)
    for c, chain in enumerate(draws):
        own = chain[(chain >= view[0]) & (chain <= view[1])]
        if np.ptp(own) > 0.0:
            places, heights = kernel_density(own, low=low, high=high)
            top = max(top, float(heights.max()))
            ax.plot(places, heights, color=CHAINS[c % len(CHAINS)], lw=1.0)
    ax.axvline(median, color=ink(), lw=1.0)
    ax.plot([lower, upper], [-0.06 * top] * 2, color=ink(), lw=3.0, solid_capstyle="butt")
    ax.set_ylim(-0.12 * top, 1.06 * top)


# -- intervals -------------------------------------------------------------------------------------


def intervals(
    posterior: PosteriorDraws,
    parameters: str | Iterable[str] | None = None,
    *,
    intercept: bool = False,
    levels: tuple[float, float] = (0.5, 0.95),
    numbers: bool | None = None,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw posterior medians with two intervals each, and write them beside; return the axes.

    The thick bar is the inner interval, the thin one the outer, both between quantiles.

    Parameters
    ----------
    posterior : Posterior
    parameters : str or sequence of str, optional
        Names, or "fixed" or "variances" for all of a kind; by default the fixed effects, or the other parameters if
        there are none.
    intercept : bool
        Whether to draw the intercept, if `parameters` does not say which are drawn.
    levels : (float, float)
        Posterior probabilities inside the inner and the outer interval.
    numbers : bool, optional
        Whether to write medians and outer intervals on the right; by default if the figure has a layout engine, which
        makes room for them.
    labels : mapping of str to str, optional
        As in `density`, and of the response.
    ax : matplotlib Axes, optional

    Raises
    ------
    ModelError
        If a name is not known, a level is not valid, or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> model = mf.lmm("SeedlingWeight ~ Genotype + (1 | Tray)", mf.load_dataset("seedling_weight"))
    >>> ax = model.gibbs(seed=1).plot.intervals()
    """
    posterior = checked_posterior(posterior, "intervals")
    inner, outer = sorted(check_level(level) for level in levels)
    names = _interval_names(posterior, parameters, intercept)
    words = parameter_words(posterior, labels)
    table = _interval_table(posterior, names, inner, outer)
    return _bars(
        table,
        [words[name] for name in names],
        f"{100 * inner:g}% and {100 * outer:g}% intervals",
        _axis_words(posterior, names, labels),
        numbers=numbers,
        ax=ax,
    )


def _interval_names(
    posterior: PosteriorDraws, parameters: str | Iterable[str] | None, intercept: bool
) -> list[str]:
    """Return the parameters to draw: by default fixed effects without the intercept."""
    if parameters is not None:
        return names_to_draw(posterior, parameters)[0]
    fixed = [posterior.design.x_names[i] for i in posterior.kept]
    names = [name for name in fixed if intercept or name != "(Intercept)"]
    return names or [name for name in posterior.names if name not in fixed] or fixed


def _interval_table(posterior: PosteriorDraws, names: list[str], inner: float, outer: float) -> pd.DataFrame:
    """Return medians, sd and the limits of both intervals, a row for each parameter."""
    tails = [0.5 - 0.5 * outer, 0.5 - 0.5 * inner, 0.5, 0.5 + 0.5 * inner, 0.5 + 0.5 * outer]
    rows = [(*np.quantile(posterior[name], tails), posterior[name].std(ddof=1)) for name in names]
    columns = ["lower", "inner_lower", "estimate", "inner_upper", "upper", "std_error"]
    return pd.DataFrame(rows, index=pd.Index(names), columns=columns)


def _axis_words(posterior: PosteriorDraws, names: list[str], labels: Mapping[str, str] | None) -> str:
    """Return the name of the horizontal axis."""
    fixed = {posterior.design.x_names[i] for i in posterior.kept} - {"(Intercept)"}
    if not set(names) <= fixed:
        return "value"
    response = NamedDesign(posterior.design).formula.split("~", 1)[0].strip()
    return f"difference in {label_of(response, labels)}"


def _bars(table: pd.DataFrame, words: list[str], title: str, x: str, *, numbers: bool | None, ax: Any) -> Any:
    """Draw rows of medians with two intervals, the first at the top."""
    scale = font_scale()
    most = max(len(in_lines(word, LONGEST + 10)) for word in words)
    ax = new_axes(ax, 7.0 * scale, scale * (1.2 + (0.12 + 0.2 * most) * max(len(words), 2)))
    places = np.arange(len(table))[::-1]
    if float(table["lower"].min()) <= 0.0 <= float(table["upper"].max()):
        reference_line(ax, x=0.0)
    ax.hlines(places, table["lower"], table["upper"], color=BLUE, lw=1.4)
    ax.hlines(places, table["inner_lower"], table["inner_upper"], color=BLUE, lw=4.5)
    ax.scatter(table["estimate"], places, s=34, color=paper(), edgecolors=ink(), zorder=3)
    spacing = points_high(ax) / (len(words) + 1)
    size = float(np.clip(0.8 * spacing, 5.5, 9.0 * scale))
    named = spacing >= SMALLEST
    ax.set_yticks(places if named else [], names_that_fit(words, spacing) if named else [])
    ax.set_ylim(-0.6, len(table) - 0.4)
    if named and (numbers if numbers is not None else ax.figure.get_layout_engine() is not None):
        write_numbers(ax, table, places, size)
    finish(ax)
    ax.set_title(title, loc="left", fontsize="medium", color=ink())
    ax.tick_params(axis="x", labelsize="small")
    ax.set_xlabel(x, color=ink())
    if not named:
        ax.set_ylabel(f"{len(words)} parameters", color=ink())
    ax.tick_params(axis="y", length=0, labelsize=size)
    return ax


# -- pairs -----------------------------------------------------------------------------------------


@whole_figure(PARAMETER_AXES)
def pairs(
    posterior: PosteriorDraws,
    parameters: str | Iterable[str] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
) -> Any:
    """Draw the draws of each pair of parameters against each other; return the figure.

    Histograms are on the diagonal, correlations above it. Each axes is labelled with its parameters, "y|x" below the
    diagonal.

    Parameters
    ----------
    posterior : Posterior
    parameters : str or sequence of str, optional
        Names, or "fixed" or "variances" for all of a kind; by default all, at most the first six.
    labels : mapping of str to str, optional
        As in `density`.

    Raises
    ------
    ModelError
        If a name is not known, or matplotlib is not installed.

    Examples
    --------
    >>> import mixedfit as mf
    >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
    >>> figure = posterior.plot.pairs()
    """
    posterior = checked_posterior(posterior, "pairs")
    names, note = names_to_draw(posterior, parameters, MOST_PAIRED)
    words = parameter_words(posterior, labels)
    draws = np.stack([posterior[name].ravel() for name in names])
    side = font_scale() * max(1.6, 3.4 / len(names))
    figure, axes = pyplot().subplots(
        len(names), len(names), figsize=(0.6 + side * len(names), 0.6 + side * len(names)), squeeze=False,
        layout="constrained", sharex="col",
    )  # fmt: skip
    kept = spread(draws.shape[1], POINTS)
    with np.errstate(invalid="ignore"):
        correlation = np.atleast_2d(np.corrcoef(draws))
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            if j > i:
                _correlation_text(ax, float(correlation[i, j]))
                continue
            ax.set_label(names[i] if i == j else f"{names[i]}|{names[j]}")
            if i == j:
                ax.hist(draws[i], 30, color=BLUE, alpha=0.35, lw=0)
            else:
                ax.scatter(
                    draws[j, kept], draws[i, kept], s=4, color=BLUE, alpha=thinned_alpha(len(kept)),
                    linewidths=0, rasterized=True,
                )  # fmt: skip
            with_style(ax, bare=i == j)
            ax.xaxis.get_major_locator().set_params(nbins=3)
            if i != j:
                ax.yaxis.get_major_locator().set_params(nbins=3)
            ax.tick_params(labelbottom=i == len(names) - 1, labelleft=j == 0 and i > 0)
            if i == len(names) - 1:
                ax.set_xlabel(_lines(words[names[j]], side), color=ink(), fontsize="small")
            if j == 0:
                ax.set_ylabel(_lines(words[names[i]], side), color=ink(), fontsize="small")
    if note:
        figure.suptitle(f"{note}; parameters= chooses others", fontsize="small", color=grey())
    return figure


def _lines(words: str, side: float) -> str:
    """Return a name in lines as long as the side of a panel, in inches."""
    return "\n".join(in_lines(words, max(8, int(72.0 * 0.9 * side / (0.5 * font_scale() * 10.0)))))


def _correlation_text(ax: Any, value: float) -> None:
    ax.axis("off")
    text = f"{round(value, 2) + 0.0:.2f}".replace("-", "−") if np.isfinite(value) else "–"
    ax.text(
        0.5,
        0.5,
        f"r = {text}",
        ha="center",
        va="center",
        transform=ax.transAxes,
        fontsize="small",
        color=ink(),
    )
