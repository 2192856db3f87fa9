"""A posterior on the rows of positive weight: rows of weight 0 have no residual variance, density or replicate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from mixedfit.core.arrays import IntArray
from mixedfit.design.design import Design, RandomBlock

from .record import PosteriorDraws
from .scale_draws import ScaleDraws

__all__ = ["on_counted_rows"]

_P = TypeVar("_P", bound=PosteriorDraws)


def on_counted_rows(posterior: _P) -> _P:
    """Return the posterior with the rows of positive weight only, and the levels that occur in them.

    Parameters are the same. Without rows of weight 0 the argument itself is returned.
    """
    design = posterior.design
    rows = np.flatnonzero(design.counted)
    if rows.size == design.n:
        return posterior
    used = [np.unique(block.codes[rows]) for block in design.blocks]
    without = posterior.without
    return replace(
        posterior,
        design=_design_of(design, rows, used),
        effects=tuple(values[:, :, own] for values, own in zip(posterior.effects, used, strict=False)),
        scales=_scales_of(posterior.scales, rows),
        without=None if without is None else partial(_without, without, rows, used),
    )


def _design_of(design: Design, rows: IntArray, used: list[IntArray]) -> Design:
    """Return the design of some rows, with the levels in `used` of each block."""
    return replace(
        design,
        y=design.y[rows],
        X=design.X[rows],
        weights=None if design.weights is None else design.weights[rows],
        offset=None if design.offset is None else design.offset[rows],
        index=design.index[rows],
        blocks=tuple(_block_of(block, rows, own) for block, own in zip(design.blocks, used, strict=True)),
    )


def _block_of(block: RandomBlock, rows: IntArray, used: IntArray) -> RandomBlock:
    """Return the block of some rows, whose levels are `used`."""
    own = block.grouping
    grouping = replace(
        own,
        codes=np.searchsorted(used, own.codes[rows]).astype(np.int64),
        levels=own.levels[used],
        parts=tuple(part[used] for part in own.parts),
    )
    return replace(block, grouping=grouping, z=block.z[rows])


def _scales_of(scales: ScaleDraws | None, rows: IntArray) -> ScaleDraws | None:
    """Return the draws of scales with the residual groups of some rows; all levels keep their σ."""
    if scales is None or (groups := scales.error_model.groups) is None:
        return scales
    grouping = replace(groups.grouping, codes=groups.grouping.codes[rows])
    return replace(scales, error_model=replace(scales.error_model, groups=replace(groups, grouping=grouping)))


def _without(
    without: Callable[[IntArray, object], PosteriorDraws],
    rows: IntArray,
    used: list[IntArray],
    chosen: IntArray,
    seed: object,
) -> PosteriorDraws:
    """Return the posterior without the counted rows `chosen`, with the effects of the levels in `used`."""
    other = without(rows[chosen], seed)
    effects = tuple(values[:, :, own] for values, own in zip(other.effects, used, strict=False))
    return replace(other, effects=effects)
