"""Leave-one-out cross-validation by importance sampling, and WAIC."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.convergence import ess_mean
from mixedfit.bayes.draws.counted_rows import on_counted_rows
from mixedfit.bayes.draws.record import PosteriorDraws, factor_position
from mixedfit.bayes.draws.row_density import pieces, row_log_density
from mixedfit.bayes.draws.structured_residuals import refuse_structure
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, SamplingWarning, shown, warn
from mixedfit.core.linalg import blas_threads
from mixedfit.core.progress import Progress

from .elpd import ExpectedDensity
from .group_density import group_log_densities
from .psis import khat_threshold, log_mean, log_sum, smoothed_weights

__all__ = ["expected_density", "predictive_densities", "relative_efficiency"]

Pointwise = tuple[Array, Array, Array, Array]
"""elpd, penalty, k̂ and Monte-Carlo variance of each unit."""

LEAST_DRAWS = 100
"""Smallest number of draws; with fewer k̂ is not informative."""


def relative_efficiency(posterior: PosteriorDraws) -> float:
    """Return the effective draws for each draw, at most 1: the mean over the parameters, as in ArviZ."""
    sizes = [ess_mean(posterior[name]) for name in posterior.names]
    known = [size for size in sizes if np.isfinite(size)]
    return float(np.clip(np.mean(known) / posterior.sigma.size, 1e-3, 1.0)) if known else 1.0


def _efficiency(posterior: PosteriorDraws, method: str, efficiency: float | None) -> float:
    """Return the option, or by default the relative efficiency; raise if there are too few draws."""
    draws = posterior.sigma.size
    if draws < LEAST_DRAWS:
        raise ModelError(
            f"{method} needs at least {LEAST_DRAWS} draws, better 1,000; the posterior has {draws}. "
            "Sample with draws=1000."
        )
    if efficiency is None:
        return relative_efficiency(posterior) if method == "loo" else 1.0
    if not 0.0 < efficiency <= 10.0:
        raise ModelError(
            f"efficiency is {efficiency!r}; expected effective draws for each draw, such as 0.8."
        )
    return efficiency


def expected_density(
    posterior: PosteriorDraws,
    method: Literal["loo", "waic"],
    *,
    by: str | None,
    efficiency: float | None = None,
    refit: bool = False,
    progress: bool | None = None,
) -> ExpectedDensity:
    """Return an estimate of elpd; see `Posterior.loo` and `Posterior.waic`."""
    posterior = on_counted_rows(posterior)
    draws = posterior.sigma.size
    if method == "waic":
        refuse_structure(
            posterior.design, "waic() is", "Its rows are not independent given the parameters; use .loo()."
        )
    efficiency = _efficiency(posterior, method, efficiency)
    index, densities = predictive_densities(posterior, by, method)

    def estimate(some: slice) -> Pointwise:
        logs = densities(some)
        return _loo(logs, efficiency) if method == "loo" else _waic(logs)

    parts = _in_parallel(estimate, list(pieces(len(index), draws)), progress)
    elpd, penalty, khat, variance = (np.concatenate(part) for part in zip(*parts, strict=True))
    variance /= efficiency
    refitted = np.flatnonzero(khat > khat_threshold(draws)) if refit else np.zeros(0, np.int64)
    exact, variances = _refits(posterior, by, refitted, index, progress)
    refitted = refitted[: exact.size]
    penalty[refitted] += elpd[refitted] - exact
    elpd[refitted], khat[refitted], variance[refitted] = exact, np.nan, variances
    out = ExpectedDensity(
        method,
        "row" if by is None else by,
        pd.Series(elpd, index=index, name="elpd"),
        pd.Series(penalty, index=index, name=f"p_{method}"),
        pd.Series(khat, index=index, name="pareto_k"),
        float("nan"),
        draws,
        posterior.design.observed,
        tuple(index[refitted]),
    )
    if method == "loo" and not out.high.size:
        return replace(out, mcse=float(np.sqrt(variance.sum())))
    return out


def _refits(
    posterior: PosteriorDraws, by: str | None, units: IntArray, index: pd.Index[Any], progress: bool | None
) -> tuple[Array, Array]:
    """Return the exact log density of each unit and its variance; after an interrupt those of the first units."""
    found: list[tuple[float, float]] = []
    with Progress(progress) as shown:
        try:
            for done, unit in enumerate(units.tolist()):
                found.append(_refit(posterior, by, unit, index[unit]))
                shown.count(done + 1, units.size, "refits")
        except KeyboardInterrupt:
            warn(
                f"stopped after {len(found)} of {units.size} refits, which are kept; the other "
                f"{'rows' if by is None else f'levels of {by}'} have their importance-sampling estimates.",
                SamplingWarning,
            )
    values = np.array(found, dtype=float).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def _refit(posterior: PosteriorDraws, by: str | None, unit: int, label: Any) -> tuple[float, float]:
    """Return the log density of a row or group under the posterior without it, and its Monte-Carlo variance."""
    design = posterior.design
    if posterior.without is None:
        raise ModelError("this posterior cannot be sampled again; use loo() without refit=True.")
    rows = np.array([unit])
    if by is not None:
        rows = np.flatnonzero(design.blocks[factor_position(design, "by", by)].codes == unit)
    other = posterior.without(rows, unit)
    if not np.array_equal(other.kept, posterior.kept):
        raise ModelError(
            f"without {'row' if by is None else by} {shown(label)} not all coefficients can be "
            "estimated, so that it cannot be predicted; use loo() without refit=True."
        )
    densities = predictive_densities(replace(other, design=design), by, "loo")[1]
    logs = densities(slice(unit, unit + 1))
    elpd = float(log_mean(logs)[0])
    deviations = np.expm1(logs[0] - elpd)
    return elpd, float(deviations @ deviations) / logs.size**2


def _in_parallel(
    estimate: Callable[[slice], Pointwise], some: list[slice], progress: bool | None
) -> list[Pointwise]:
    """Return the estimates of all pieces, computed on threads; an interrupt cancels the pieces not begun."""
    parts: list[Pointwise] = []
    with (
        blas_threads(1),
        Progress(progress) as shown,
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
    ):
        try:
            for piece, part in zip(some, pool.map(estimate, some), strict=True):
                parts.append(part)
                shown.count(piece.stop, some[-1].stop, "densities")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return parts


def predictive_densities(
    posterior: PosteriorDraws, by: str | None, method: str
) -> tuple[pd.Index[Any], Callable[[slice], Array]]:
    """Return the labels of the units, and a function that returns log densities of some, shape (units, draws)."""
    design = posterior.design
    if by is None:
        posterior.require_effects()
        draws = posterior.sigma.size
        return design.index, lambda rows: row_log_density(posterior, rows).reshape(draws, -1).T.copy()
    block = factor_position(design, "by", by)
    refuse_structure(design, f"{method}(by={by!r}) is", f"Leave out one row at a time: .{method}().")
    if posterior.scales is not None:
        raise ModelError(
            f"effects of a whole group can be integrated out exactly where all is normal with one σ; this model has "
            f"{'; '.join(posterior.scales.error_model.differences)}. Leave out one row at a time: .{method}()."
        )
    if len(design.blocks) > 1:
        posterior.require_effects()
    return design.blocks[block].grouping.levels, group_log_densities(posterior, block)


def _loo(logs: Array, efficiency: float) -> Pointwise:
    """Return the leave-one-out estimates of each unit; Vehtari et al. (2017), equation 10."""
    weights, khat = smoothed_weights(-logs, efficiency)
    products = weights + logs
    elpd = log_sum(products)
    seen = log_mean(logs)
    # delta method: Var(log Ê) = Σ w²(p/Ê − 1)²
    products -= elpd[:, None]
    parts = np.exp(products, out=products)
    parts -= np.exp(weights, out=weights)
    return elpd, seen - elpd, khat, np.einsum("us,us->u", parts, parts)


def _waic(logs: Array) -> Pointwise:
    """Return WAIC of each unit, without k̂ and Monte-Carlo variance; Vehtari et al. (2017), equations 11 and 12."""
    penalty = np.var(logs, axis=1, ddof=1)
    seen = log_mean(logs)
    none = np.full(penalty.shape, np.nan)
    return seen - penalty, penalty, none, none
