"""Arrays of the sampler's kernels: cross-products and priors, in units of the response's scale."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mixedfit.bayes.priors import (
    LKJ,
    Decov,
    Exponential,
    HalfCauchy,
    HalfNormal,
    HalfT,
    HuangWand,
    InverseGamma,
    InverseWishart,
    Jeffreys,
    Known,
    LogNormal,
    Prior,
    UniformSD,
)
from mixedfit.bayes.priors.placement import Placement, Unit
from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.linalg import inverse, symmetric
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.design import Design
from mixedfit.kernels.gibbs import variances as kinds

__all__ = [
    "LARGEST_TAIL",
    "Problem",
    "dense_products",
    "fixed_prior",
    "prior_numbers",
    "sampling_order",
    "sampling_problem",
    "sampling_rows",
    "unit_arrays",
]

LARGEST_TAIL = 1500
"""Largest number of columns, of all grouping factors but the largest, that are drawn jointly."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Arguments of `kernels.gibbs.sweep.run_sweeps` that all chains share, in its order."""

    first: tuple[Array, IntArray, IntArray, Array, Array]
    gram: Array
    blocks: Array
    fixed: tuple[Array, Array, float]
    factors: IntArray
    bases: Array
    inverses: Array
    units: IntArray
    hyper: Array
    matrices: Array
    rows: int
    residual: tuple[int, float, float]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """All fields."""
        return tuple(getattr(self, field.name) for field in fields(self))


def sampling_order(design: Design, cross: CrossProducts) -> list[int]:
    """Return the design's blocks in the order of the sampler's factors.

    Raises
    ------
    ModelError
        If a fixed factor with many levels is in the tail.
    """
    if any(place.block < 0 for place in cross.tail):
        raise ModelError(
            f"the fixed factor {design.many[0].grouping.name!r} has too many levels for sampling; make it a grouping "
            "factor, (1 | factor), or leave it out."
        )
    return [] if cross.first_block < 0 else [cross.first_block, *(place.block for place in cross.tail)]


def sampling_problem(design: Design, cross: CrossProducts, placement: Placement) -> tuple[Problem, list[int]]:
    """Return the sampler's arrays, and the design's blocks in the order of its factors."""
    order = sampling_order(design, cross)
    scale, widest = cross.fixed.scale, max((block.k for block in design.blocks), default=1)
    gram = dense_products(cross)
    levels = sum(design.blocks[f].levels for f in order)
    factors, blocks, at = [], np.zeros((levels, widest, widest)), 0
    bases = np.zeros((len(order), widest, widest))
    inverses = np.zeros_like(bases)
    for i, f in enumerate(order):
        block, k = design.blocks[f], design.blocks[f].k
        bases[i, :k, :k], inverses[i, :k, :k] = cross.basis[f], inverse(cross.basis[f])
        offset, products = -1, cross.first.gram
        if f != cross.first_block:
            offset = cross.place(f).offset
            products = _level_blocks(gram, offset, block.levels, k)
        blocks[at : at + block.levels, :k, :k] = products
        factors.append((at, offset, block.levels, k))
        at += block.levels
    units, hyper, matrices = unit_arrays(placement.units, order, widest, scale)
    first = cross.first
    problem = Problem(
        first=(first.gram, first.indptr, first.indices, first.values, first.border),
        gram=gram,
        blocks=blocks,
        fixed=fixed_prior(cross, placement),
        factors=np.array(factors, np.int64).reshape(len(order), 4),
        bases=bases,
        inverses=inverses,
        units=units,
        hyper=hyper,
        matrices=matrices,
        rows=cross.n,
        residual=prior_numbers(placement.sigma, scale),
    )
    return problem, order


def sampling_rows(
    design: Design, cross: CrossProducts, order: list[int]
) -> tuple[IntArray, Array, list[IntArray], list[Array]]:
    """Return the rows of positive weight in the basis of the cross-products, times the root of the weights.

    Returns
    -------
    rows : ndarray of int64, shape (n,)
        Positions of the rows.
    border : ndarray, shape (n, p + 1)
        [X̃ ỹ].
    codes, z : lists of ndarray
        Level of each row, and columns of the effects, of each factor.
    """
    rows = np.flatnonzero(design.counted)
    root = np.ones((design.n, 1)) if design.weights is None else np.sqrt(design.weights)[:, None]
    fixed, everything = cross.fixed, slice(0, design.n)
    X = fixed.columns(design, everything)
    y = (fixed.response(design, everything) - X @ fixed.centre) / fixed.scale
    border = (root * np.column_stack([X @ fixed.transform, y]))[rows]
    blocks = [design.blocks[f] for f in order]
    z = [(root * (block.z @ inverse(cross.basis[f])))[rows] for f, block in zip(order, blocks, strict=True)]
    return rows, border, [block.codes[rows] for block in blocks], z


def dense_products(cross: CrossProducts) -> Array:
    """Return the symmetric products of [tail, X, y]."""
    if cross.pairs is not None:
        raise ModelError(
            f"the crossed factors have {cross.q_tail:,} effects beside the largest factor's, for which the sampler "
            "would need a dense matrix. Leave out a factor, or sample from fewer levels."
        )
    if cross.sparse is None:
        return symmetric(cross.gram)
    q, width = cross.q_tail, cross.p + 1
    gram = np.zeros((q + width, q + width))
    indptr, indices, source = cross.sparse.layout
    rows = np.repeat(np.arange(q), np.diff(indptr))
    gram[rows, indices] = cross.sparse.blocks[source]
    gram[:q, q:], gram[q:, :q] = cross.sparse.sides, cross.sparse.sides.T
    gram[q:, q:] = symmetric(cross.gram)
    return gram


def _level_blocks(gram: Array, offset: int, levels: int, k: int) -> Array:
    """Return the diagonal blocks of one factor's levels, shape (levels, k, k)."""
    at = offset + np.arange(levels)[:, None] * k + np.arange(k)
    return np.asarray(gram[at[:, :, None], at[:, None, :]])


def fixed_prior(cross: CrossProducts, placement: Placement) -> tuple[Array, Array, float]:
    """Return the prior of β̃, where β = centre + scale T β̃: precision, precision × mean, meanᵀ precision mean."""
    fixed = cross.fixed
    half = fixed.scale * fixed.transform
    precision = half.T @ placement.precision @ half
    mean = np.linalg.solve(half, placement.mean - fixed.centre) if half.size else np.zeros(0)
    linear = precision @ mean
    return np.ascontiguousarray(precision), linear, float(mean @ linear)


def unit_arrays(
    units: tuple[Unit, ...], order: list[int], widest: int, scale: float
) -> tuple[IntArray, Array, Array]:
    """Return positions and kinds, numbers and matrices of the variances' priors, in units of the response's scale.

    The third number of a prior in units of σ is its scale; see `kernels.gibbs.relative`.
    """
    rows, hyper, matrices = [], [], np.zeros((len(units), widest, max(widest, 3)))
    for v, unit in enumerate(sorted(units, key=lambda u: (order.index(u.block), u.start))):
        kind, first, second = prior_numbers(unit.prior, scale)
        relative = unit.prior.scale if isinstance(unit.prior, Decov) else 0.0
        if isinstance(unit.prior, Decov) and unit.size > 1:
            kind, matrices[v, 0, 0] = kinds.DECOV, relative
        rows.append((order.index(unit.block), unit.start, unit.size, kind))
        hyper.append((first, second, relative))
        if isinstance(unit.prior, InverseWishart):
            matrices[v, : unit.size, : unit.size] = np.asarray(unit.prior.matrix, dtype=float) / scale**2
        elif isinstance(unit.prior, HuangWand):
            scales = np.broadcast_to(np.asarray(unit.prior.scale, dtype=float), unit.size) / scale
            matrices[v, range(unit.size), range(unit.size)] = scales
        elif isinstance(unit.prior, LKJ):
            matrices[v, : unit.size, :3] = [prior_numbers(sd, scale) for sd in unit.prior.sds]
    # kernels read the matrices of units with several effects only
    return (
        np.array(rows, np.int64).reshape(len(units), 4),
        np.array(hyper, dtype=float).reshape(len(units), 3),
        matrices,
    )


def prior_numbers(prior: Prior, scale: float) -> tuple[int, float, float]:
    """Return a prior's kind and two numbers, in units of the response's scale.

    The numbers are floats whatever the user wrote: the sampler is compiled once more for integers.
    """
    kind, first, second = _kind_and_numbers(prior, scale)
    return kind, float(first), float(second)


def _kind_and_numbers(prior: Prior, scale: float) -> tuple[int, float, float]:
    match prior:
        case Known(sd):
            return kinds.KNOWN, sd / scale, 0.0
        case InverseGamma(shape, rate):
            return kinds.INVERSE_GAMMA, shape, rate / scale**2
        case HalfT(df, size):
            return kinds.HALF_T, df, size / scale
        case HalfCauchy(size):
            return kinds.HALF_T, 1.0, size / scale
        case UniformSD(upper):
            return kinds.UNIFORM, 0.0, upper / scale
        case HalfNormal(size):
            return kinds.HALF_NORMAL, 0.0, size / scale
        case Exponential(mean):
            return kinds.EXPONENTIAL, 0.0, mean / scale
        case LogNormal(median, log_sd):
            return kinds.LOG_NORMAL, log_sd, median / scale
        case Jeffreys():
            return kinds.JEFFREYS, 0.0, 0.0
        case InverseWishart():
            return kinds.INVERSE_WISHART, prior.df, 0.0
        case HuangWand():
            return kinds.HUANG_WAND, prior.df, 0.0
        case LKJ():
            return kinds.LKJ, prior.eta, 0.0
        case Decov(eta, size):  # at σ = 1, of a single standard deviation
            return kinds.EXPONENTIAL, eta, size
    raise AssertionError(f"{prior} is a prior of fixed effects")
