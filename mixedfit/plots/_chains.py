"""Chains of a posterior: traces, rank histograms and autocorrelations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from mixedfit.bayes.draws.convergence import autocorrelation, ess_bulk, ess_tail, rhat
from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.options import check_count

from ._parameters import CHAINS, chain_legend, checked_posterior, panels, title_of, with_style
from .style import faint, ink, paper, reference_line

__all__ = ["chain_autocorrelation", "rank", "rank_counts", "trace"]

STEP = 2.2
"""Distance of the histograms of two chains, in heights of uniform bars."""

DENSE = 2000
"""Points of a panel from which lines are drawn as an image in vector files."""


def trace(
    posterior: PosteriorDraws,
    parameters: str | Iterable[str] | None = None,
    *,
    columns: int = 2,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw the chains of each parameter over the draws; return the figure, or `ax`.

    Chains that have mixed look alike and have no trend. The titles have R̂ and the effective sample sizes, those of
    `Posterior.summary`.

    Parameters
    ----------
    posterior : Posterior
    parameters : str or sequence of str, optional
        Names, or "fixed" or "variances" for all of a kind; by default all, at most the first twelve.
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
    >>> figure = posterior.plot.trace("variances")
    """
    posterior = checked_posterior(posterior, "trace")
    found = panels(posterior, parameters, labels, columns=columns, width=4.4, height=2.1, ax=ax)
    for own, name, words in found.each():
        draws = posterior[name]
        places = np.arange(1, posterior.draws + 1)
        for c, chain in enumerate(draws):
            own.plot(
                places,
                chain,
                color=CHAINS[c % len(CHAINS)],
                lw=0.6,
                alpha=0.75,
                rasterized=draws.size > DENSE,
            )
        own.set_xlim(1, posterior.draws)
        own.xaxis.get_major_locator().set_params(integer=True)
        title_of(own, words, _convergence(draws))
        with_style(own, x="draw")
    if found.figure is not None:
        for own in found.axes[: max(0, len(found.axes) - min(columns, len(found.axes)))]:
            own.set_xlabel("")
    chain_legend(found, posterior.chains)
    return found.made


def _convergence(draws: Array) -> str:
    """Return R̂ and effective sample sizes as text."""
    if np.ptp(draws) == 0.0:
        return f"constant: {float(draws.flat[0]):.4g}"
    return f"R̂ {rhat(draws):.3f}, ess {ess_bulk(draws):,.0f} bulk, {ess_tail(draws):,.0f} tail"


def rank_counts(draws: Array, bins: int) -> IntArray:
    """Return the number of draws of each chain in each part of the ranks among all draws, shape (chains, bins).

    Ties have the mean of their ranks.
    """
    ranks = rankdata(draws.ravel()).reshape(draws.shape)
    parts = np.minimum(((ranks - 0.5) * bins / draws.size).astype(int), bins - 1)
    return np.stack([np.bincount(own, minlength=bins) for own in parts])


def rank(
    posterior: PosteriorDraws,
    parameters: str | Iterable[str] | None = None,
    *,
    bins: int = 20,
    columns: int = 3,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw rank histograms of each parameter by chain; return the figure, or `ax`.

    Each draw is ranked among the draws of all chains. If the chains have the same distribution, the ranks of each are
    uniform: its bars end near its line. Vehtari et al. (2021), Bayesian Analysis 16:667, section 4.2.

    Parameters
    ----------
    posterior : Posterior
    parameters : str or sequence of str, optional
        As in `trace`.
    bins : int
        Bars of each chain.
    columns : int
        Panels in a row.
    labels : mapping of str to str, optional
        As in `trace`.
    ax : matplotlib Axes, optional
        For one parameter.

    Raises
    ------
    ModelError
        As `trace`, or if there is only one chain.

    Examples
    --------
    >>> import mixedfit as mf
    >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
    >>> figure = posterior.plot.rank("variances")
    """
    posterior = checked_posterior(posterior, "rank")
    check_count("bins", bins, 2)
    if posterior.chains < 2:
        raise ModelError(
            "rank histograms compare chains, and there is one. Sample several: gibbs(chains=4); plots.trace draws one."
        )
    height = 0.9 + 0.4 * posterior.chains
    found = panels(posterior, parameters, labels, columns=columns, width=3.3, height=height, ax=ax)
    edges = np.linspace(0.0, posterior.sigma.size, bins + 1)
    for own, name, words in found.each():
        shares = rank_counts(posterior[name], bins) * bins / posterior.draws  # 1 where ranks are uniform
        rows = -STEP * np.arange(posterior.chains)
        for c, row in enumerate(rows):
            own.bar(
                edges[:-1], np.minimum(shares[c], STEP - 0.1), np.diff(edges), bottom=row, align="edge",
                color=CHAINS[c % len(CHAINS)], alpha=0.55, edgecolor=paper(), lw=0.3,
            )  # fmt: skip
            own.axhline(row + 1.0, color=ink(), lw=0.8)
        own.set_ylim(rows[-1], STEP)
        own.set_xlim(edges[0], edges[-1])
        title_of(own, words)
        with_style(own, x="rank among all draws")
        own.set_yticks(rows + 1.0, [f"chain {c + 1}" for c in range(posterior.chains)])
        own.tick_params(axis="y", length=0)
    return found.made


def chain_autocorrelation(
    posterior: PosteriorDraws,
    parameters: str | Iterable[str] | None = None,
    *,
    lags: int = 40,
    columns: int = 3,
    labels: Mapping[str, str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw autocorrelations of the draws of each chain by lag; return the figure, or `ax`.

    The faster they fall to 0, the more effective draws a chain has; the titles have their number, ess_bulk of
    `Posterior.summary`. The grey band has 95% of the autocorrelations of independent draws.

    Parameters
    ----------
    posterior : Posterior
    parameters : str or sequence of str, optional
        As in `trace`.
    lags : int
        Largest lag, in draws that were kept.
    columns : int
        Panels in a row.
    labels : mapping of str to str, optional
        As in `trace`.
    ax : matplotlib Axes, optional
        For one parameter.

    Raises
    ------
    ModelError
        As `trace`.

    Examples
    --------
    >>> import mixedfit as mf
    >>> posterior = mf.lmm("Yield ~ 1 + (1 | Batch)", mf.load_dataset("Dyestuff")).gibbs(seed=1)
    >>> figure = posterior.plot.chain_autocorrelation("variances")
    """
    posterior = checked_posterior(posterior, "chain_autocorrelation")
    check_count("lags", lags, 1)
    lags = min(lags, posterior.draws - 1)
    found = panels(posterior, parameters, labels, columns=columns, width=3.3, height=2.1, ax=ax)
    limit = 1.96 / np.sqrt(posterior.draws)
    for own, name, words in found.each():
        draws = posterior[name]
        own.axhspan(-limit, limit, color=faint(), lw=0, zorder=0.4)
        reference_line(own, y=0.0)
        for c, values in enumerate(autocorrelation(draws)[:, : lags + 1]):
            own.plot(np.arange(lags + 1), values, color=CHAINS[c % len(CHAINS)], lw=1.2)
        own.set_xlim(0, lags)
        own.set_ylim(top=1.02)
        own.xaxis.get_major_locator().set_params(integer=True)
        size = ess_bulk(draws)
        title_of(own, words, f"ess {size:,.0f} of {draws.size:,}" if np.isfinite(size) else "constant")
        with_style(own, x="lag")
    found.axes[0].set_ylabel("autocorrelation", color=ink(), fontsize="small")
    chain_legend(found, posterior.chains)
    return found.made
