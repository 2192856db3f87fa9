"""A chain for t or Laplace distributions or a residual variance by group: rows are weighted anew in each sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mixedfit.bayes.distributions import Distribution, Laplace, StudentT
from mixedfit.bayes.model.error_model import ErrorModel
from mixedfit.bayes.priors.variance import Gamma, HalfNormal, VariancePrior
from mixedfit.core.arrays import Array, IntArray
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.kernels.gibbs import mixtures
from mixedfit.kernels.gibbs import variances as kinds
from mixedfit.kernels.gibbs.weighted_sweep import run_scaled_sweeps

from .arrays import Problem, prior_numbers, sampling_rows
from .chain import Chain, Plan

__all__ = ["WeightedChain", "WeightedRows", "weighted_rows"]

_run = cast(Callable[..., int], run_scaled_sweeps)

KINDS = {StudentT: mixtures.STUDENT, Laplace: mixtures.LAPLACE}

INITIAL_DF = 10.0
"""Initial value of ν and ν₀."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightedRows:
    """Arguments of the kernel beside a `Problem`, which all chains share.

    Attributes
    ----------
    rows, mixture : tuple
        As `kernels.gibbs.weighted_sweep.run_scaled_sweeps` takes them.
    start : ndarray
        Initial values of ν of residuals and factors, ν₀ and σ₀.
    groups : int
        Number of groups with separate residual variances, 0 for one σ.
    """

    rows: tuple[Array | IntArray, ...]
    mixture: tuple[Any, ...]
    start: Array
    groups: int


def weighted_rows(
    design: Design, cross: CrossProducts, error_model: ErrorModel, problem: Problem, order: list[int]
) -> WeightedRows:
    """Return the rows of positive weight in the basis of the cross-products, and the priors of their scales."""
    rows, border, codes, z = sampling_rows(design, cross, order)
    n, groups, levels = rows.size, np.zeros(rows.size, np.int64), 0
    if error_model.groups is not None:
        groups, levels = error_model.groups.grouping.codes[rows], len(error_model.groups.levels)
    first = (codes[0], z[0]) if order else (np.zeros(n, np.int64), np.zeros((n, 1)))
    tail_codes = np.stack(codes[1:], axis=1) if codes[1:] else np.zeros((n, 0), np.int64)
    tail_z = np.hstack(z[1:]) if z[1:] else np.zeros((n, 0))
    sizes = np.array([own.shape[1] for own in z[1:]], np.int64)
    offsets = np.ascontiguousarray(problem.factors[1:, 1])
    counts = np.bincount(groups, minlength=levels).astype(float)
    return WeightedRows(
        rows=(*first, tail_codes, tail_z, sizes, offsets, border, groups),
        mixture=_mixture(error_model, problem, order, counts, cross.fixed.scale),
        start=_initial_scales(error_model, order, cross.fixed.scale),
        groups=levels,
    )


def _mixture(
    error_model: ErrorModel, problem: Problem, order: list[int], counts: Array, scale: float
) -> tuple[Any, ...]:
    """Return kinds of distributions, priors of ν and ν₀, the prior of σ or σ₀, and the rows of each group."""
    distributions = _distributions(error_model, order)
    priors = np.zeros((len(distributions) + 1, 2))
    for i, distribution in enumerate(distributions):
        if isinstance(distribution, StudentT) and distribution.prior:
            priors[i] = distribution.prior.shape, distribution.prior.rate
    priors[-1] = error_model.nu0.shape, error_model.nu0.rate
    residual = problem.residual if error_model.groups is None else _sigma0_numbers(error_model.sigma0, scale)
    own = np.array([KINDS.get(type(d), mixtures.NORMAL) for d in distributions], np.int64)
    return own, priors, residual, counts


def _distributions(error_model: ErrorModel, order: list[int]) -> list[Distribution]:
    """Return the distributions of the residuals and of the effects, these in the sampler's order."""
    return [error_model.errors, *(error_model.effects[f] for f in order)]


def _sigma0_numbers(prior: VariancePrior | Gamma, scale: float) -> tuple[int, float, float]:
    """Return kind and numbers of the prior of σ₀, or of σ₀² where that is a gamma distribution."""
    if isinstance(prior, Gamma):
        return mixtures.GAMMA, float(prior.shape), float(prior.rate) * scale**2
    if isinstance(prior, HalfNormal):  # σ₀² ~ gamma(1/2, 1/(2s²))
        return mixtures.GAMMA, 0.5, 0.5 * (scale / prior.scale) ** 2
    return prior_numbers(prior, scale)


def _initial_scales(error_model: ErrorModel, order: list[int], scale: float) -> Array:
    """Return the initial values of ν, ν₀ and σ₀."""
    known = [d.df if isinstance(d, StudentT) else None for d in _distributions(error_model, order)]
    nu = [float(df) if isinstance(df, int | float) else INITIAL_DF for df in known]
    kind, first, second = _sigma0_numbers(error_model.sigma0, scale)
    sigma0 = first if kind == kinds.KNOWN else 0.7
    return np.array([*nu, INITIAL_DF, min(sigma0, 0.5 * second) if kind == kinds.UNIFORM else sigma0])


class WeightedChain(Chain):
    """A chain with its own copy of the cross-products, computed anew in each sweep."""

    def __init__(self, problem: Problem, plan: Plan, rng: np.random.Generator, rows: WeightedRows) -> None:
        super().__init__(problem, plan, rng)
        self.rows = rows
        n, m = rows.rows[6].shape[0], rows.groups
        gram, indptr, indices, values, border = problem.first
        self.products = (
            (gram.copy(), indptr, indices, values.copy(), border.copy()),
            problem.gram.copy(),
            problem.blocks.copy(),
        )
        self.room = tuple(np.zeros_like(rows.rows[i]) for i in (1, 3, 6))
        self.out = (*self.out, np.empty((plan.draws, rows.start.size + m)))
        variances = np.empty(m)
        precisions = np.ones(n)
        if m:
            self.state[1][0] = 1.0
            variances[:] = 0.5 * np.exp(0.5 * rng.standard_normal())
            precisions[:] = 1.0 / variances[rows.rows[7]]
        levels = problem.blocks.shape[0]
        self.scales = (rows.start.copy(), np.ones(n), np.ones(levels), variances, precisions)

    def sweep(self, places: IntArray) -> int:
        return _run(
            self.rng,
            *self.products,
            *self.problem.arguments[3:10],  # fixed … matrices
            self.rows.rows,
            self.rows.mixture,
            self.room,
            self.state,
            self.scales,
            self.out,
            places,
            self.walk,
            self.tune,
        )
