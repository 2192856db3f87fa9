"""Chains of models with t or Laplace distributions or residual variances by group: rows are weighted in each sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mixedfit.bayes.distributions import Distribution, Laplace, StudentT
from mixedfit.bayes.model.error_model import Shape
from mixedfit.bayes.priors.variance import Gamma, HalfNormal, VariancePrior
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.kernels.gibbs import mixtures
from mixedfit.kernels.gibbs import variances as kinds
from mixedfit.kernels.gibbs.weighted_sweep import run_scaled_sweeps

from .arrays import Problem, numbers_of_prior
from .chain import Chain, Plan

__all__ = ["Rows", "ScaledChain", "rows_of"]

_run = cast(Callable[..., int], run_scaled_sweeps)

KINDS = {StudentT: mixtures.STUDENT, Laplace: mixtures.LAPLACE}

START_DF = 10.0
"""ν and ν₀ where a chain starts."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Arrays of the rows, which all chains share, in addition to a `Problem`.

    Attributes
    ----------
    rows, mixture : tuple
        As `kernels.gibbs_rows.run_scaled_sweeps` takes them.
    start : ndarray
        ν of residuals and factors, ν0 and σ0 where chains start.
    groups : int
        Groups with a residual variance of their own, 0 for one σ.
    """

    rows: tuple[Array | IntArray, ...]
    mixture: tuple[Any, ...]
    start: Array
    groups: int


def rows_of(design: Design, cross: CrossProducts, shape: Shape, problem: Problem, order: list[int]) -> Rows:
    """Return the rows of positive weight in the basis of the cross-products, and the priors of their scales."""
    kept = slice(None) if design.weights is None else np.flatnonzero(design.weights > 0)
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    fixed, everything = cross.fixed, slice(0, design.n)
    X = fixed.columns(design, everything)
    y = (fixed.response(design, everything) - X @ fixed.centre) / fixed.scale
    border = root[:, None] * np.column_stack([X @ fixed.transform, y])
    blocks = [design.blocks[f] for f in order]
    z = [root[:, None] * (b.z @ inverse(cross.basis[f])) for f, b in zip(order, blocks, strict=True)]
    codes = [b.codes for b in blocks]
    first = (codes[0], z[0]) if blocks else (np.zeros(design.n, np.int64), np.zeros((design.n, 1)))
    tail_codes = np.stack(codes[1:], axis=1) if blocks[1:] else np.zeros((design.n, 0), np.int64)
    tail_z = np.hstack(z[1:]) if blocks[1:] else np.zeros((design.n, 0))
    groups = np.zeros(design.n, np.int64) if shape.groups is None else shape.groups.grouping.codes
    arrays = (*first, tail_codes, tail_z, border, groups)
    own = [np.ascontiguousarray(values[kept]) for values in arrays]
    sizes = np.array([b.k for b in blocks[1:]], np.int64)
    offsets = np.ascontiguousarray(problem.factors[1:, 1])
    levels = 0 if shape.groups is None else len(shape.groups.levels)
    counts = np.bincount(own[-1], minlength=levels).astype(float)
    return Rows(
        rows=(*own[:4], sizes, offsets, *own[4:]),
        mixture=_mixture(shape, problem, order, counts, fixed.scale),
        start=_start(shape, order, fixed.scale),
        groups=levels,
    )


def _mixture(
    shape: Shape, problem: Problem, order: list[int], counts: Array, scale: float
) -> tuple[Any, ...]:
    """Return kinds of distributions, priors of ν and ν0, the prior of σ or σ0, and rows of each group."""
    distributions = _ordered(shape, order)
    priors = np.zeros((len(distributions) + 1, 2))
    for i, distribution in enumerate(distributions):
        if isinstance(distribution, StudentT) and distribution.prior:
            priors[i] = distribution.prior.shape, distribution.prior.rate
    priors[-1] = shape.nu0.shape, shape.nu0.rate
    residual = problem.residual
    if shape.groups is not None:
        residual = _numbers(shape.sigma0, scale)
    own = np.array([KINDS.get(type(d), mixtures.NORMAL) for d in distributions], np.int64)
    return own, priors, residual, counts


def _ordered(shape: Shape, order: list[int]) -> list[Distribution]:
    return [shape.errors, *(shape.effects[f] for f in order)]


def _numbers(prior: VariancePrior | Gamma, scale: float) -> tuple[int, float, float]:
    """Return kind and numbers of σ0's prior, that of its square as a gamma where it is one."""
    if isinstance(prior, Gamma):
        return mixtures.GAMMA, float(prior.shape), float(prior.rate) * scale**2
    if isinstance(prior, HalfNormal):  # σ0² ~ gamma(1/2, 1/(2s²))
        return mixtures.GAMMA, 0.5, 0.5 * (scale / prior.scale) ** 2
    return numbers_of_prior(prior, scale)


def _start(shape: Shape, order: list[int], scale: float) -> Array:
    """Return ν, ν0 and σ0 where a chain starts."""
    out = []
    for distribution in _ordered(shape, order):
        given = distribution.df if isinstance(distribution, StudentT) else None
        out.append(float(given) if isinstance(given, int | float) else START_DF)
    kind, first, second = _numbers(shape.sigma0, scale)
    typical = first if kind == kinds.KNOWN else 0.7
    return np.array([*out, START_DF, min(typical, 0.5 * second) if kind == kinds.UNIFORM else typical])


class ScaledChain(Chain):
    """A chain whose cross-products are its own, taken anew in every sweep."""

    def __init__(self, problem: Problem, plan: Plan, rng: np.random.Generator, rows: Rows) -> None:
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
        """Run one sweep for each of `places`; return how many were run."""
        problem = self.problem
        return _run(
            self.rng,
            *self.products,
            problem.fixed,
            problem.factors,
            problem.bases,
            problem.inverses,
            problem.units,
            problem.hyper,
            problem.matrices,
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
