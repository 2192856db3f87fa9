"""Simulation-based calibration: parameters from their prior, data from the model, ranks of the former among draws.

Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788. Priors are drawn here by scipy, not by us.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import mixedfit as mf
from mixedfit.bayes import priors as pr
from mixedfit.bayes.gibbs import gibbs

DRAWS = 99
BINS = 10


def sd_drawer(prior: Any) -> Callable[[np.random.Generator], float]:
    """Return what draws a standard deviation from a prior."""
    match prior:
        case pr.InverseGamma(shape, scale):
            law = stats.invgamma(shape, scale=scale)
            return lambda rng: float(np.sqrt(law.rvs(random_state=rng)))
        case pr.HalfT(df, scale):
            return lambda rng: float(abs(scale * stats.t(df).rvs(random_state=rng)))
        case pr.HalfCauchy(scale):
            return lambda rng: float(stats.halfcauchy(scale=scale).rvs(random_state=rng))
        case pr.HalfNormal(scale):
            return lambda rng: float(stats.halfnorm(scale=scale).rvs(random_state=rng))
        case pr.Exponential(mean):
            return lambda rng: float(rng.exponential(mean))
        case pr.UniformSD(upper):
            return lambda rng: float(rng.uniform(0, upper))
        case pr.Known(sd):
            return lambda rng: sd
    raise AssertionError(prior)


def covariance_drawer(prior: Any, k: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Return what draws a k × k covariance matrix from a prior."""
    match prior:
        case pr.InverseWishart():
            law = stats.invwishart(prior.df, np.asarray(prior.matrix))
            return lambda rng: np.asarray(law.rvs(random_state=rng))
        case pr.HuangWand():
            scales = np.broadcast_to(prior.scale, k)

            def draw(rng: np.random.Generator) -> np.ndarray:
                a = stats.invgamma(0.5, scale=1.0 / scales**2).rvs(random_state=rng)
                return np.asarray(
                    stats.invwishart(prior.df + k - 1, 2 * prior.df * np.diag(1 / a)).rvs(random_state=rng)
                )

            return draw
        case pr.Diagonal():
            drawers = [sd_drawer(p) for p in prior.priors]
            return lambda rng: np.diag([d(rng) ** 2 for d in drawers])
    drawer = sd_drawer(prior)
    return lambda rng: np.array([[drawer(rng) ** 2]])


def frame() -> pd.DataFrame:
    """Return 30 rows in 6 groups, crossed with 5 others, with a covariate."""
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(30),
            "x": rng.standard_normal(30),
            "g": np.repeat(list("abcdef"), 5),
            "h": np.tile(list("vwxyz"), 6),
        }
    )


def ranks(formula: str, priors: dict[str, Any], simulations: int, seed: int) -> pd.DataFrame:
    """Return the rank of every parameter among DRAWS draws, simulations × parameters."""
    design = mf.lmm(formula, frame()).design
    factors = [(block.name, block.k, block.z, block.codes, block.levels) for block in design.blocks]
    drawers = {name: covariance_drawer(priors[name], k) for name, k, *_ in factors}
    sigma_drawer = sd_drawer(priors["sigma"])
    mean, covariance = priors["fixed"].moments(design.X.shape[1])
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(simulations):
        beta = rng.multivariate_normal(mean, covariance)
        sigma = sigma_drawer(rng)
        y = design.X @ beta
        truth = dict(zip(design.x_names, beta, strict=True))
        for name, k, z, codes, levels in factors:
            omega = drawers[name](rng)
            b = rng.multivariate_normal(np.zeros(k), omega, levels, method="cholesky")
            y += np.einsum("ij,ij->i", z, b[codes])
            truth |= {f"b|{name}": b[0, 0], f"omega|{name}": omega[0, 0]}
            if k > 1:
                truth |= {f"omega2|{name}": omega[1, 1], f"cov|{name}": omega[0, 1]}
        y += sigma * rng.standard_normal(y.size)
        truth["sigma"] = sigma
        posterior = gibbs(
            design.with_response(y), priors, draws=DRAWS, tune=300, thin=10, chains=1, n_jobs=1, seed=seed + i
        )
        rows.append({name: int(np.sum(drawn(posterior, name) < value)) for name, value in truth.items()})
    table = pd.DataFrame(rows)
    known = isinstance(priors["sigma"], pr.Known)
    return table.loc[:, [n for n in table if np.ptp(table[n]) > 0 and not (known and n == "sigma")]]


def drawn(posterior: mf.Posterior, name: str) -> np.ndarray:
    """Return the draws of a parameter of `ranks`, shape (draws,)."""
    kind, _, factor = name.partition("|")
    if not factor:
        return posterior[name][0]
    f = [block.name for block in posterior.design.blocks].index(factor)
    if kind == "b":
        return posterior.effects[f][0, :, 0, 0]
    a, b = {"omega": (0, 0), "omega2": (1, 1), "cov": (0, 1)}[kind]
    return posterior.omega[f][0, :, a, b]


def p_values(table: pd.DataFrame) -> pd.Series:
    """Return each parameter's p-value of the chi-square test that ranks are uniform."""
    out = {}
    for name, values in table.items():
        counts = np.bincount(values * BINS // (DRAWS + 1), minlength=BINS)
        out[name] = stats.chisquare(counts).pvalue
    return pd.Series(out)
