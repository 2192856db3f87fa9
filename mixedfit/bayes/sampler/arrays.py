"""Arrays for the kernel of the sampler: cross-products and priors, in units of the scale of the response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedfit.bayes.priors import (
    Exponential,
    HalfCauchy,
    HalfNormal,
    HalfT,
    HuangWand,
    InverseGamma,
    InverseWishart,
    Jeffreys,
    Known,
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
    "numbers_of_prior",
    "sampling_order",
    "sampling_problem",
    "unit_arrays",
]

LARGEST_TAIL = 1500
"""Columns of all grouping factors but the largest that are drawn jointly."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """The arrays that `kernels.gibbs.run_sweeps` takes, in its order, the same for every chain."""

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
        """All of them."""
        return (
            self.first,
            self.gram,
            self.blocks,
            self.fixed,
            self.factors,
            self.bases,
            self.inverses,
            self.units,
            self.hyper,
            self.matrices,
            self.rows,
            self.residual,
        )


def sampling_order(design: Design, cross: CrossProducts) -> list[int]:
    """Return the design's blocks in the order of the sampler's factors.

    Raises
    ------
    ModelError
        If a fixed factor is among the tail.
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
    sizes = [design.blocks[f].levels for f in order]
    factors, blocks, at = [], np.zeros((sum(sizes), widest, widest)), 0
    for f in order:
        block = design.blocks[f]
        place = next((b for b in cross.tail if b.block == f), None)
        factors.append((at, -1 if place is None else place.offset, block.levels, block.k))
        own = blocks[at : at + block.levels, : block.k, : block.k]
        own[:] = (
            cross.first.gram if place is None else _level_blocks(gram, place.offset, block.levels, block.k)
        )
        at += block.levels
    bases = np.zeros((len(order), widest, widest))
    inverses = np.zeros_like(bases)
    for i, f in enumerate(order):
        k = design.blocks[f].k
        bases[i, :k, :k], inverses[i, :k, :k] = cross.basis[f], inverse(cross.basis[f])
    units, hyper, matrices = unit_arrays(placement.units, order, widest, scale)
    kind, first, second = numbers_of_prior(placement.sigma, scale)
    first_arrays = cross.first
    problem = Problem(
        first=(
            first_arrays.gram,
            first_arrays.indptr,
            first_arrays.indices,
            first_arrays.values,
            first_arrays.border,
        ),
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
        residual=(kind, first, second),
    )
    return problem, order


def dense_products(cross: CrossProducts) -> Array:
    """Return the symmetric products of [tail, X, y]."""
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
    """Return places and kinds, numbers and matrices of the variances' priors, in units of the response's scale."""
    rows, hyper, matrices = [], [], np.zeros((len(units), widest, widest))
    for v, unit in enumerate(sorted(units, key=lambda u: (order.index(u.block), u.start))):
        kind, first, second = numbers_of_prior(unit.prior, scale)
        rows.append((order.index(unit.block), unit.start, unit.size, kind))
        hyper.append((first, second))
        if isinstance(unit.prior, InverseWishart):
            matrices[v, : unit.size, : unit.size] = np.asarray(unit.prior.matrix, dtype=float) / scale**2
        elif isinstance(unit.prior, HuangWand):
            scales = np.broadcast_to(np.asarray(unit.prior.scale, dtype=float), unit.size) / scale
            matrices[v, range(unit.size), range(unit.size)] = scales
    # a unit of one effect has a prior of numbers, so that matrices of several effects alone are read
    return (
        np.array(rows, np.int64).reshape(len(units), 4),
        np.array(hyper, dtype=float).reshape(len(units), 2),
        matrices,
    )


def numbers_of_prior(prior: Prior, scale: float) -> tuple[int, float, float]:
    """Return a prior's kind and two numbers, in units of the response's scale."""
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
        case Jeffreys():
            return kinds.JEFFREYS, 0.0, 0.0
        case InverseWishart():
            return kinds.INVERSE_WISHART, float(prior.df), 0.0
        case HuangWand():
            return kinds.HUANG_WAND, float(prior.df), 0.0
    raise AssertionError(f"{prior} is about fixed effects")
