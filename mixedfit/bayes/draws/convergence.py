"""Convergence of chains: R̂, effective sample sizes, Monte-Carlo standard errors, and shortest intervals.

Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16:667: rank-normalised split R̂, bulk and tail
effective sample sizes, standard errors of means and quantiles. Draws have shape (chains, draws).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import fft, special

from mixedfit.core.arrays import Array
from mixedfit.core.distributions import shortest_interval

__all__ = [
    "RELIABLE",
    "Mixing",
    "advice",
    "autocorrelation",
    "convergence_warnings",
    "draws_needed",
    "ess_bulk",
    "ess_mean",
    "ess_quantile",
    "ess_tail",
    "hpd",
    "is_stuck",
    "mcse_mean",
    "mcse_quantile",
    "rhat",
]

MIXED = 1.01
"""R̂ up to which chains have mixed; Vehtari et al. (2021)."""

ENOUGH = 100
"""Effective draws for each chain below which estimates of R̂ and quantiles are not reliable; Vehtari et al. (2021)."""

RELIABLE = 400
"""Draws of each chain below which R̂ exceeds `MIXED` by chance even of independent draws."""

FAR = 1.1
"""R̂ above which chains have not mixed, however few the draws; Gelman & Rubin's (1992) limit."""


@dataclass(frozen=True, slots=True)
class Mixing:
    """The parameter with the fewest effective draws.

    Attributes
    ----------
    name : str
    ess : float
        The smaller of its bulk and tail effective sample sizes.
    rhat : float
        Largest R̂ of all parameters.
    """

    name: str
    ess: float
    rhat: float

    @classmethod
    def worst(cls, sizes: Mapping[str, float], rhat: float) -> Mixing:
        """Return the parameter with the smallest of `sizes`, those that are NaN left out."""
        known = {name: size for name, size in sizes.items() if np.isfinite(size)}
        name = min(known, key=known.__getitem__, default="")
        return cls(name, known.get(name, float("inf")), rhat)


def _split(draws: Array) -> Array:
    """Return the first and the last half of each chain, without the middle draw of an odd number."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, draws.shape[1] - half :]])


def _rank_normalised(draws: Array) -> Array:
    """Return normal scores of the ranks, z = Φ⁻¹((r − 3/8)/(S + 1/4)); ties have the mean of their ranks."""
    values = draws.reshape(-1)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - 0.5 * (counts - 1))[inverse]
    return np.asarray(special.ndtri((ranks - 0.375) / (values.size + 0.25))).reshape(draws.shape)


def _basic_rhat(chains: Array) -> float:
    """Return √((W (n − 1)/n + B/n)/W) of split chains."""
    n = chains.shape[1]
    between = float(np.var(chains.mean(axis=1), ddof=1))
    within = float(np.mean(np.var(chains, axis=1, ddof=1)))
    if within == 0.0:
        return float("nan") if between == 0.0 else float("inf")
    return float(np.sqrt((n - 1) / n + between / within))


def rhat(draws: Array) -> float:
    """Return rank-normalised split R̂, the larger of R̂ of the draws and of their distances from the median.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).standard_normal((4, 1000))
    >>> bool(rhat(draws) < 1.01), bool(rhat(draws + np.arange(4)[:, None]) > 1.5)
    (True, True)
    """
    folded = np.abs(draws - np.median(_split(draws)))
    values = [_basic_rhat(_rank_normalised(_split(part))) for part in (draws, folded)]
    return float("nan") if np.isnan(values[0]) else float(np.nanmax(values))


def is_stuck(draws: Array) -> bool:
    """Return whether all draws of a chain are equal, which R̂ does not show.

    Examples
    --------
    >>> is_stuck(np.array([[1.0, 2.0, 1.5], [3.0, 3.0, 3.0]])), is_stuck(np.array([[1.0, 2.0, 1.5]]))
    (True, False)
    """
    return bool(np.any(np.ptp(draws, axis=1) == 0.0))


def draws_needed(draws: int, ess: float, wanted: float) -> int:
    """Return a number of draws with which a parameter has `wanted` effective draws with a probability of about 97%.

    The estimated autocorrelation time τ̂ has a relative SD of about √(2(2M + 1)/n), with a window M ≈ 5τ of n draws;
    Sokal (1997), Monte Carlo methods in statistical mechanics, section 3. With ess = n/τ this is √(20/ess), and the
    result allows for two of these.

    Parameters
    ----------
    draws : int
        Draws of each chain.
    ess : float
        Effective draws in these.
    wanted : float

    Examples
    --------
    >>> draws_needed(1000, 200, 400)
    3300
    """
    margin = 1.0 + 2.0 * np.sqrt(20.0 / max(ess, 1.0))
    needed = draws * margin * wanted / max(ess, 1.0)
    unit = 10.0 ** np.floor(np.log10(needed) - 1.0)
    return int(np.ceil(needed / unit) * unit)


def advice(name: str, needed: str, share: float, names: Sequence[str]) -> str:
    """Return advice for a parameter that has only a share of the effective draws needed.

    Examples
    --------
    >>> advice("Days", "draws=9000", 0.19, ["Days", "sigma"])
    'take draws=9000'
    """
    text = f"take {needed}"
    group = name[name.find("|") :]
    if share < 0.25 and "|" in name and any(n.startswith("cor_") and n.endswith(group) for n in names):
        text += ". Correlated effects of little variance mix slowly, and better without correlations: Diagonal(...)"
    return text


def convergence_warnings(
    table: pd.DataFrame, stuck: str, chains: int, draws: int, ess: float | None = None
) -> tuple[str, ...]:
    """Return warnings about parameters that did not move, high R̂, and too few effective draws.

    Parameters
    ----------
    table : pandas.DataFrame
        With columns rhat, ess_bulk and ess_tail.
    stuck : str
        Warning about parameters that did not move, empty if there are none.
    chains, draws : int
        Number of chains, and of the draws of each.
    ess : float, optional
        Effective draws that the user asked for, by default 100 for each chain.
    """
    out = [stuck] if stuck else []
    least, wanted = table[["ess_bulk", "ess_tail"]].min(axis=1), ess or ENOUGH * chains
    few = bool(least.min() < wanted)
    largest = float(table["rhat"].max())
    if largest > MIXED:
        where = f"R̂ up to {_above(largest, MIXED)}, of {table['rhat'].idxmax()}"
        if draws < RELIABLE and largest <= FAR:
            out.append(
                f"{draws} draws of each chain are too few to tell whether the chains have mixed ({where})."
            )
        else:
            more = "" if few else f", such as draws={2 * draws}"
            prior = ", or give a stronger prior" if draws >= RELIABLE else ""
            out.append(f"the chains have not mixed ({where}); draw more{more}{prior}.")
    if few:
        name, size = str(least.idxmin()), float(least.min())
        needed = draws_needed(draws, size, wanted)
        options = f"draws={needed}, or ess={wanted:g}, which draws until there are enough"
        if ess is not None:
            options = f"max_draws={needed}, and enough max_seconds if you give them"
        out.append(
            f"{name} has {size:.0f} effective draws, fewer than {wanted:g}; "
            f"{advice(name, options, size / wanted, [str(n) for n in table.index])}."
        )
    return tuple(out)


def _above(value: float, limit: float) -> str:
    """Return a number above a limit with three decimals, or as many as show that it is above."""
    texts = (f"{value:.{decimals}f}" for decimals in range(3, 16))
    return next((text for text in texts if float(text) > limit), repr(value))


def _autocovariance(chains: Array) -> Array:
    """Return autocovariances of every chain at all lags, shape (chains, n), divided by n."""
    n = chains.shape[1]
    centred = chains - chains.mean(axis=1, keepdims=True)
    size = fft.next_fast_len(2 * n)
    spectrum = np.abs(fft.rfft(centred, size, axis=1)) ** 2
    return np.asarray(fft.irfft(spectrum, size, axis=1)[:, :n] / n)


def autocorrelation(draws: Array) -> Array:
    """Return autocorrelations of each chain at lags 0, 1, …, shape (chains, draws); NaN for a chain that is constant.

    Examples
    --------
    >>> autocorrelation(np.array([[1.0, -1.0, 1.0, -1.0]])).round(6).tolist()
    [[1.0, -0.75, 0.5, -0.25]]
    """
    covariance = _autocovariance(draws)
    constant = np.ptp(draws, axis=1) == 0.0
    return np.where(
        constant[:, None], np.nan, covariance / np.where(constant, 1.0, covariance[:, 0])[:, None]
    )


def _ess(chains: Array) -> float:
    """Return the effective sample size of split chains, by Geyer's initial monotone sequence."""
    m, n = chains.shape
    if n < 3 or not np.all(np.isfinite(chains)) or np.ptp(chains) == 0.0:
        return float("nan")
    covariance = _autocovariance(chains)
    within = float(np.mean(covariance[:, 0])) * n / (n - 1)
    total = within * (n - 1) / n
    if m > 1:
        total += float(np.var(chains.mean(axis=1), ddof=1))
    rho = 1.0 - (within - covariance.mean(axis=0)) / total
    rho[0] = 1.0
    tau = _integrated_time(rho)
    return float(m * n / max(tau, 1.0 / np.log10(m * n)))


def _integrated_time(rho: Array) -> float:
    """Return −1 + 2 Σ of the sums of pairs of autocorrelations, truncated at the first negative sum, made monotone."""
    n = rho.size
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(axis=1)
    limit = max((n - 3) // 2, 1)
    negative = np.flatnonzero(pairs[:limit] < 0.0)
    stop = int(negative[0]) if negative.size else limit
    sums = np.minimum.accumulate(pairs[:stop])
    rest = max(float(rho[2 * stop]), 0.0) if 2 * stop < n else 0.0
    return float(-1.0 + 2.0 * np.sum(sums) + rest)


def ess_bulk(draws: Array) -> float:
    """Return the bulk effective sample size, that of rank-normalised split chains."""
    return _ess(_rank_normalised(_split(draws)))


def ess_mean(draws: Array) -> float:
    """Return the effective sample size for the mean, that of split chains."""
    return _ess(_split(draws))


def ess_quantile(draws: Array, probability: float) -> float:
    """Return the effective sample size for a quantile, that of the indicator of lying below it."""
    return _ess(_split((draws <= np.quantile(draws, probability)).astype(float)))


def ess_tail(draws: Array) -> float:
    """Return the tail effective sample size, the smaller of those for the 5% and 95% quantiles."""
    return min(ess_quantile(draws, 0.05), ess_quantile(draws, 0.95))


def mcse_mean(draws: Array) -> float:
    """Return the Monte-Carlo standard error of the mean."""
    return float(np.std(draws, ddof=1) / np.sqrt(ess_mean(draws)))


def mcse_quantile(draws: Array, probability: float) -> float:
    """Return the Monte-Carlo standard error of a quantile, from the binomial spread of its order statistic."""
    ess = ess_quantile(draws, probability)
    if not np.isfinite(ess):
        return float("nan")
    a, b = ess * probability + 1.0, ess * (1.0 - probability) + 1.0
    low, high = special.betaincinv(a, b, [special.ndtr(-1.0), special.ndtr(1.0)])
    ordered = np.sort(draws, axis=None)
    size = ordered.size
    first = int(np.clip(np.floor(low * size), 1, size)) - 1
    last = int(np.clip(np.ceil(high * size), 1, size)) - 1
    return float((ordered[last] - ordered[first]) / 2.0)


def hpd(draws: Array, level: float) -> tuple[float, float]:
    """Return the shortest interval with a share of the draws; Chen & Shao (1999), J. Comput. Graph. Stat. 8:69.

    Examples
    --------
    >>> hpd(np.array([[0.0, 1.0, 2.0, 3.0, 10.0]]), 0.6)
    (0.0, 3.0)
    """
    return shortest_interval(draws, int(np.floor(level * draws.size)) + 1)
