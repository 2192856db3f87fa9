"""Adjustments for multiple tests: Tukey's range, Dunnett's maximum, Scheffé, steps, false discoveries; letters.

With s² the residual variance over its expectation, df·s² ~ χ²(df), and z the normal variate common to all tests,

    Tukey    P(Q > q) = ∫ f(s) k ∫ φ(z) [Φ(z)^(k−1) − (Φ(z) − Φ(z − qs))^(k−1)] dz ds
    Dunnett  P(max|T| > t) = 1 − ∫ f(s) ∫ φ(z) Π_i [Φ((ts − λ_i z)/c_i) − Φ((−ts − λ_i z)/c_i)] dz ds

for correlations ρ_ij = λ_iλ_j, c_i² = 1 − λ_i² (Tukey 1953; Dunnett 1955, J. Am. Stat. Assoc. 50:1096). Both are
computed by Gauss–Legendre quadrature. scipy's ``studentized_range`` takes several times as long and has errors of up
to 1e-5 from df = 100,000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, fdtrc, gammaln, ndtr, ndtri

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.distributions import f_probability, f_quantile, t_probability, t_quantile

__all__ = ["Adjust", "Family", "adjusted", "critical", "dunnett_tail", "full_name", "letters", "tukey_tail"]

Adjust: TypeAlias = Literal[
    "tukey",
    "dunnett",
    "mvt",
    "scheffe",
    "holm",
    "hochberg",
    "hommel",
    "bonferroni",
    "sidak",
    "fdr",
    "BH",
    "BY",
    "none",
]
"""Adjustments of p-values and intervals for multiple tests."""

_ELSEWHERE = {
    "benjamini-hochberg": "BH",
    "dunnettx": "dunnett",
    "holm-bonferroni": "holm",
    "no": "none",
    "single-step": "mvt",
    "tukeyhsd": "tukey",
    "unadjusted": "none",
}
"""Names of adjustments in other programs."""


def full_name(adjust: str) -> str:
    """Return the adjustment that a name in any case, its beginning, or another program's name stands for.

    Examples
    --------
    >>> full_name("bonf"), full_name("Tukey"), full_name("bh"), full_name("ho"), full_name("dunnettx")
    ('bonferroni', 'tukey', 'BH', 'ho', 'dunnett')
    """
    text, known = adjust.lower(), get_args(Adjust)
    same = [name for name in known if name.lower() == text]
    begins = [name for name in known if name.lower().startswith(text) and len(text) > 2]
    found = same or ([_ELSEWHERE[text]] if text in _ELSEWHERE else begins)
    return found[0] if len(found) == 1 else adjust


NODES = 192
"""Quadrature nodes in each dimension (three times as many in s for df < 3): errors below 1e-9."""

REACH = 9.0
"""Limit of integration in z: φ is below 1e-18 beyond it."""


@lru_cache(maxsize=4)
def _nodes(count: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


def _interval(low: float, high: float, count: int = NODES) -> tuple[Array, Array]:
    nodes, weights = _nodes(count)
    half = 0.5 * (high - low)
    return low + half * (nodes + 1.0), half * weights


@lru_cache(maxsize=1)
def _normal() -> tuple[Array, Array]:
    """Return quadrature nodes z, and their weights times φ(z)."""
    z, weights = _interval(-REACH, REACH)
    return z, weights * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


@lru_cache(maxsize=256)
def _scales(df: float) -> tuple[Array, Array]:
    """Return quadrature nodes s and their probabilities, in log s, over all but 1e-17 of the distribution."""
    if not np.isfinite(df) or df > 1e9:
        return np.ones(1), np.ones(1)

    def fall(x: float) -> float:
        return float(df * (x + 0.5 - 0.5 * np.exp(2.0 * x)) + 40.0)

    low, high = -1.0, 1.0
    while fall(low) > 0:
        low *= 2.0
    while fall(high) > 0:
        high *= 2.0
    count = NODES if df >= 3 else 3 * NODES
    x, weights = _interval(brentq(fall, low, 0.0), brentq(fall, 0.0, high), count)
    constant = 0.5 * df * np.log(0.5 * df) - gammaln(0.5 * df) + np.log(2.0)
    return np.exp(x), weights * np.exp(constant + df * (x - 0.5 * np.exp(2.0 * x)))


def tukey_tail(statistic: float, means: int, df: float) -> float:
    """Return P(max|T_ij| > statistic) over all pairs of independent means: Tukey's range at √2 times the statistic."""
    s, probability = _scales(float(df))
    z, weights = _normal()
    upper = ndtr(z)
    share = np.minimum(ndtr(z - np.sqrt(2.0) * statistic * s[:, None]) / upper, 1.0 - 1e-16)
    inner = -np.expm1((means - 1) * np.log1p(-share)) * upper ** (means - 1)
    return float(min(1.0, probability @ (means * inner @ weights)))


def dunnett_tail(statistic: float, correlations: Array, df: float) -> float:
    """Return P(max|T_i| > statistic) of tests with these correlations, shape (m, m).

    If the correlations are not products λ_iλ_j, quasi-Monte Carlo with a fixed seed gives it to about 1e-5.
    """
    loadings = _loadings(correlations)
    if loadings is None:
        return _directional_tail(statistic, correlations, df)
    s, probability = _scales(float(df))
    z, weights = _normal()
    rest = np.sqrt(1.0 - loadings**2)
    reach, shift = statistic * s[:, None], loadings[:, None, None] * z
    inside = np.prod(
        ndtr((reach - shift) / rest[:, None, None]) - ndtr((-reach - shift) / rest[:, None, None]), axis=0
    )
    return float(np.clip(1.0 - probability @ (inside @ weights), 0.0, 1.0))


def _loadings(correlations: Array) -> Array | None:
    """Return λ with ρ_ij = λ_iλ_j, or None if there is none."""
    m = len(correlations)
    if m == 1:
        return np.zeros(1)
    above = np.triu_indices(m, 1)
    values = correlations[above]
    if np.abs(values).max() < 1e-12:
        return np.zeros(m)
    if m == 2:
        size = np.sqrt(np.abs(values[0]))
        return np.array([size, np.copysign(size, values[0])]) if size < 1 else None
    if values.min() <= 0:
        return None
    rows = np.zeros((values.size, m))
    rows[np.arange(values.size), above[0]] = rows[np.arange(values.size), above[1]] = 1.0
    loadings = np.asarray(np.exp(np.linalg.lstsq(rows, np.log(values))[0]))
    exact = np.abs(np.outer(loadings, loadings)[above] - values).max() < 1e-7
    return loadings if exact and loadings.max() < 1.0 - 1e-9 else None


DIRECTIONS = 2**15
"""Directions over which the tail of correlated tests is averaged: errors of about 1e-5 of the probability."""


def _directional_tail(statistic: float, correlations: Array, df: float) -> float:
    """Return P(max|T_i| > statistic) for any correlations, of full rank r or not.

    With T = Lz/s, LLᵀ the correlations, z = |z|v, and |z|²/(r s²) ~ F(r, df) independent of the direction v, it is the
    mean over v of P(F > t²/(r max_i (Lv)_i²)). Directions are a Sobol sequence with a fixed seed, or equally spaced
    angles for r = 2.
    """
    values, vectors = np.linalg.eigh(correlations)
    kept = values > 1e-10 * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    rank = root.shape[1]
    largest = np.square(root @ _directions(rank)).max(axis=0)
    bounds = statistic**2 / (rank * largest)
    return float(np.mean(fdtrc(rank, df, bounds) if np.isfinite(df) else chdtrc(rank, rank * bounds)))


@lru_cache(maxsize=4)
def _directions(rank: int) -> Array:
    """Return unit vectors spread evenly over the sphere, shape (rank, DIRECTIONS)."""
    if rank == 1:
        return np.ones((1, 1))
    if rank == 2:
        angles = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
        return np.stack([np.cos(angles), np.sin(angles)])
    from scipy.stats import qmc  # scipy.stats takes a third of a second to import

    points = qmc.Sobol(rank, seed=1).random(DIRECTIONS)
    normal = ndtri(np.clip(points, 1e-12, 1.0 - 1e-12)).T
    return np.asarray(normal / np.linalg.norm(normal, axis=0))


@dataclass(frozen=True, eq=False, slots=True)
class Family:
    """A family of tests that are adjusted together.

    Attributes
    ----------
    means : int
        Number of means.
    correlations : ndarray, shape (m, m)
        Correlations of the estimable contrasts.
    """

    means: int
    correlations: Array

    @property
    def rank(self) -> int:
        """Dimension of the space of the contrasts."""
        return int(np.linalg.matrix_rank(self.correlations, tol=1e-7)) if len(self.correlations) else 0


def _holm(p: Array) -> Array:
    """Holm (1979), Scand. J. Stat. 6:65."""
    order, m = np.argsort(p), p.size
    out = np.empty(m)
    out[order] = np.minimum(1.0, np.maximum.accumulate((m - np.arange(m)) * p[order]))
    return out


def _hochberg(p: Array) -> Array:
    """Hochberg (1988), Biometrika 75:800."""
    order = np.argsort(-p)
    out = np.empty(p.size)
    out[order] = np.minimum(1.0, np.minimum.accumulate((1.0 + np.arange(p.size)) * p[order]))
    return out


def _hommel(p: Array) -> Array:
    """Hommel (1988), Biometrika 75:383: the largest p-value of Simes' test over all subsets that hold the hypothesis.

    A subset of j that holds the i-th smallest p-value has its largest Simes p-value if the others are the largest ones.
    """
    order, m = np.argsort(p), p.size
    ordered, best = p[order], np.zeros(m)
    for j in range(1, m + 1):
        last = ordered[m - j + 1 :]  # the j − 1 largest
        simes = j * last / np.arange(2, j + 1)
        least = float(simes.min(initial=1.0))
        own = np.minimum(j * ordered, least)
        inside = np.arange(m) >= m - j + 1  # those among the largest: the subset is the j largest
        whole = float((j * ordered[m - j :] / np.arange(1, j + 1)).min())
        best = np.maximum(best, np.where(inside, whole, own))
    out = np.empty(m)
    out[order] = np.minimum(1.0, np.maximum(best, ordered))
    return out


def false_discovery(p: Array, method: str) -> Array:
    """Return p-values adjusted for the false discovery rate: by "bh" (Benjamini & Hochberg 1995) or "by"."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p, method=method))


_BY_P_VALUE: dict[str, Callable[[Array], Array]] = {
    "holm": _holm,
    "hochberg": _hochberg,
    "hommel": _hommel,
    "fdr": lambda p: false_discovery(p, "bh"),
    "BH": lambda p: false_discovery(p, "bh"),
    "BY": lambda p: false_discovery(p, "by"),
}
"""Adjustments that depend on the p-values alone; their intervals are Bonferroni's."""


FEWEST = 1e-3
"""Degrees of freedom below which no statistic is significant: where none are, a p-value is 1."""


def adjusted(statistics: Array, dfs: Array, adjust: Adjust, family: Family) -> Array:
    """Return adjusted two-sided p-values of a family of tests, shape (m,)."""
    raw = np.array([t_probability(t, df) for t, df in zip(statistics, dfs, strict=True)])
    m = raw.size
    if adjust == "none" or m == 0:
        return raw
    if adjust == "bonferroni":
        return np.asarray(np.minimum(1.0, m * raw))
    if adjust == "sidak":
        return np.asarray(-np.expm1(m * np.log1p(-np.minimum(raw, 1.0 - 1e-16))))
    if adjust in _BY_P_VALUE:
        known = np.isfinite(raw)
        out = np.full(m, np.nan)
        out[known] = _BY_P_VALUE[adjust](raw[known]) if known.any() else np.nan
        return out
    tail = _tail(adjust, family)
    return np.array(
        [
            np.nan if not np.isfinite(t) else 1.0 if df < FEWEST else tail(abs(t), df)
            for t, df in zip(statistics, dfs, strict=True)
        ]
    )


def critical(df: float, level: float, adjust: Adjust, family: Family) -> float:
    """Return the factor of the standard error in simultaneous intervals.

    It is Bonferroni's for the methods that order p-values (Holm's and its like, false discovery rates).
    """
    if np.isnan(df):
        return float("nan")
    alpha, m = 1.0 - level, max(len(family.correlations), 1)
    if adjust == "none" or m == 1:
        return t_quantile(1.0 - alpha / 2, df)
    bonferroni = t_quantile(1.0 - alpha / (2 * m), df)
    if adjust == "bonferroni" or adjust in _BY_P_VALUE:
        return bonferroni
    if adjust == "scheffe":
        return float(np.sqrt(family.rank * f_quantile(level, family.rank, df)))
    if adjust == "sidak":
        return t_quantile(0.5 + 0.5 * level ** (1.0 / m), df)
    if df < FEWEST:
        return float("inf")
    tail = _tail(adjust, family)
    high = bonferroni
    while tail(high, df) > alpha:
        high *= 1.5
    return float(brentq(lambda t: tail(t, df) - alpha, 0.0, high, xtol=1e-11, rtol=1e-12))


def _tail(adjust: Adjust, family: Family) -> Callable[[float, float], float]:
    if adjust == "scheffe":
        return lambda t, df: f_probability(t * t / family.rank, family.rank, df)
    if adjust == "tukey":
        return lambda t, df: tukey_tail(t, family.means, df)
    return lambda t, df: dunnett_tail(t, family.correlations, df)


def letters(estimates: Array, differ: BoolArray) -> list[str]:
    """Return a compact letter display: two means share a letter if and only if they do not differ.

    Parameters
    ----------
    estimates : ndarray, shape (k,)
        The lowest estimate has the first letter.
    differ : ndarray of bool, shape (k(k − 1)/2,)
        Whether the pairs (0, 1), (0, 2), …, (k − 2, k − 1) differ.
    """
    k = len(estimates)
    groups = [frozenset(range(k))]
    for (i, j), apart in zip(combinations(range(k), 2), differ, strict=True):
        if not apart:
            continue
        split = []
        for group in groups:
            split += [group - {i}, group - {j}] if {i, j} <= group else [group]
        distinct = list(dict.fromkeys(split))
        groups = [g for g in distinct if not any(g < other for other in distinct)]
    rank = np.argsort(np.argsort(estimates))
    groups.sort(key=lambda group: sorted(rank[list(group)]))
    names = [chr(ord("a") + n) if n < 26 else f"({n + 1})" for n in range(len(groups))]
    return ["".join(name for name, group in zip(names, groups, strict=True) if i in group) for i in range(k)]
