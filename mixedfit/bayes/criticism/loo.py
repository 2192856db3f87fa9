"""Leave-one-out cross-validation and WAIC from the draws of one posterior."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from mixedfit.bayes.draws.convergence import ess_mean
from mixedfit.bayes.draws.record import PosteriorDraws
from mixedfit.bayes.draws.row_density import pieces, row_log_density
from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.core.linalg import blas_threads
from mixedfit.core.progress import Progress

from .elpd import ExpectedDensity
from .group_density import group_log_densities
from .psis import khat_threshold, log_sum, smoothed_weights

__all__ = [
    "expected_density",
    "relative_efficiency",
]

Parts = tuple[Array, Array, Array, Array]


LEAST_DRAWS = 100
"""Draws below which k̂ says nothing."""


def relative_efficiency(posterior: PosteriorDraws) -> float:
    """Return the effective draws for each draw, at most 1: the mean over the parameters, as ArviZ takes it."""
    sizes = [ess_mean(posterior[name]) for name in posterior.names]
    known = [size for size in sizes if np.isfinite(size)]
    return float(np.clip(np.mean(known) / posterior.sigma.size, 1e-3, 1.0)) if known else 1.0


def _efficiency(posterior: PosteriorDraws, method: str, given: float | None) -> float:
    """Return the effective draws for each draw that the smoothing reckons with; refuse too few draws."""
    draws = posterior.sigma.size
    if draws < LEAST_DRAWS:
        raise ModelError(
            f"{method} needs at least {LEAST_DRAWS} draws, better 1,000; the posterior has {draws}. "
            "Sample with draws=1000."
        )
    if given is None:
        return relative_efficiency(posterior) if method == "loo" else 1.0
    if not 0.0 < given <= 10.0:
        raise ModelError(f"efficiency is {given!r}; expected effective draws for each draw, such as 0.8.")
    return given


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
    draws = posterior.sigma.size
    efficiency = _efficiency(posterior, method, efficiency)
    index, densities = _units(posterior, by, method)

    def evaluate(some: slice) -> Parts:
        logs = densities(some)
        return _loo(logs, efficiency) if method == "loo" else _waic(logs)

    parts = _evaluate_all(evaluate, list(pieces(len(index), draws)), progress)
    elpd, penalty, khat, variance = (np.concatenate(part) for part in zip(*parts, strict=True))
    variance /= efficiency
    doubtful = np.flatnonzero(khat > khat_threshold(draws)) if refit else np.zeros(0, np.int64)
    with Progress(progress) as shown:
        for done, unit in enumerate(doubtful.tolist()):
            exact, variance[unit] = _refitted(posterior, by, unit)
            penalty[unit] += elpd[unit] - exact
            elpd[unit], khat[unit] = exact, np.nan
            shown.count(done + 1, doubtful.size, "refits")
    design = posterior.design
    out = ExpectedDensity(
        method,
        "row" if by is None else by,
        pd.Series(elpd, index=index, name="elpd"),
        pd.Series(penalty, index=index, name=f"p_{method}"),
        pd.Series(khat, index=index, name="pareto_k"),
        float("nan"),
        draws,
        design.y if design.offset is None else design.y + design.offset,
        tuple(index[doubtful]),
    )
    if method == "loo" and not out.high.size:
        return replace(out, mcse=float(np.sqrt(variance.sum())))
    return out


def _refitted(posterior: PosteriorDraws, by: str | None, unit: int) -> tuple[float, float]:
    """Return the log density of a row or group under the posterior without it, and its Monte-Carlo variance."""
    design = posterior.design
    if posterior.without is None:
        raise ModelError("this posterior cannot be sampled again; use loo() without refit=True.")
    names = [block.name for block in design.blocks]
    rows = np.array([unit]) if by is None else np.flatnonzero(design.blocks[names.index(by)].codes == unit)
    other = posterior.without(rows, unit)
    if not np.array_equal(other.kept, posterior.kept):
        raise ModelError(
            f"without {'row' if by is None else by} {_label(posterior, by, unit)!r} not all coefficients can be "
            "estimated, so that it cannot be predicted; use loo() without refit=True."
        )
    densities = _units(replace(other, design=design), by, "loo")[1]
    logs = densities(slice(unit, unit + 1))
    elpd = float(log_sum(logs)[0] - np.log(logs.size))
    shares = np.expm1(logs[0] - elpd)
    return elpd, float(shares @ shares) / logs.size**2


def _label(posterior: PosteriorDraws, by: str | None, unit: int) -> Any:
    design = posterior.design
    if by is None:
        return design.index[unit]
    return next(block for block in design.blocks if block.name == by).grouping.levels[unit]


def _evaluate_all(
    evaluate: Callable[[slice], Parts], some: list[slice], progress: bool | None
) -> list[Parts]:
    """Return the results of all pieces, computed on threads; after an interrupt, of those that were begun."""
    parts: list[Parts] = []
    with (
        blas_threads(1),
        Progress(progress) as shown,
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
    ):
        try:
            for piece, part in zip(some, pool.map(evaluate, some), strict=True):
                parts.append(part)
                shown.count(piece.stop, some[-1].stop, "densities")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return parts


def _units(
    posterior: PosteriorDraws, by: str | None, method: str
) -> tuple[pd.Index[Any], Callable[[slice], Array]]:
    """Return the labels of the units left out, and a function from units to log densities, (units, draws)."""
    design = posterior.design
    if by is None:
        posterior.require_effects()
        draws = posterior.sigma.size
        return design.index, lambda rows: row_log_density(posterior, rows).reshape(draws, -1).T.copy()
    names = [block.name for block in design.blocks]
    if by not in names:
        raise ModelError(
            f"by={by!r} is not a grouping factor of the model ({', '.join(names) or 'it has none'}). "
            f"{nearest(str(by), names)}".rstrip()
        )
    if posterior.scales is not None:
        told = "; ".join(posterior.scales.shape.differences)
        raise ModelError(
            f"effects of a whole group can be integrated out exactly where all is normal with one σ; this model has "
            f"{told}. Leave out one row at a time: .{method}()."
        )
    if len(names) > 1:
        posterior.require_effects()
    block = design.blocks[names.index(by)]
    return block.grouping.levels, group_log_densities(posterior, names.index(by))


def _loo(logs: Array, efficiency: float) -> Parts:
    """Return elpd, penalty, k̂ and Monte-Carlo variance of each unit; Vehtari et al. (2017), equation 10."""
    weights, khat = smoothed_weights(-logs, efficiency)
    products = weights + logs
    elpd = log_sum(products)
    seen = log_sum(logs) - np.log(logs.shape[1])
    # delta method: Var(log Ê) = Σ w²(p/Ê − 1)²
    products -= elpd[:, None]
    parts = np.exp(products, out=products)
    parts -= np.exp(weights, out=weights)
    return elpd, seen - elpd, khat, np.einsum("us,us->u", parts, parts)


def _waic(logs: Array) -> Parts:
    """Return the same of WAIC, which has neither k̂ nor a Monte-Carlo variance; equations 11 and 12."""
    penalty = np.var(logs, axis=1, ddof=1)
    seen = log_sum(logs) - np.log(logs.shape[1])
    none = np.full(penalty.shape, np.nan)
    return seen - penalty, penalty, none, none
