"""Case bootstrap: levels of a grouping factor drawn with replacement, with all their rows.

Only the levels of the outermost factor are drawn; rows within a level are kept. Van der Leeden, Meijer & Busing (2008),
Handbook of Multilevel Analysis, chapter 11, section 11.4.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError, nearest
from mixedfit.crossproducts.crossprod import CrossProducts, cross_products
from mixedfit.design.design import Design, RandomBlock
from mixedfit.design.grouping import Grouping
from mixedfit.design.residual_rows import bind_to_rows
from mixedfit.estimation.fit import Fit
from mixedfit.kernels.accumulate import sum_levels

__all__ = ["LevelSource", "RowSource", "cases_source", "outermost", "rows_of_design"]

TOO_FEW_LEVELS = "the groups drawn cannot determine all fixed effects"

PIVOT = 1e-12
"""Smallest residual of a column given earlier ones that counts as independent, relative to its squared norm."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelSample:
    """Levels of the only grouping factor drawn with replacement, as cross-products of each level."""

    source: LevelSource
    drawn: IntArray

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one replicate; a level drawn twice counts as two levels."""
        source, cross = self.source, self.source.fit.cross
        levels = self.drawn[r]
        gram = source.products[:, levels].sum(axis=1)
        p = cross.p
        if p and not _full_rank(gram[:p, :p]):
            raise ModelError(TOO_FEW_LEVELS)
        first = replace(
            cross.first,
            gram=cross.first.gram[levels],
            border=cross.first.border[levels],
            indptr=np.zeros(levels.size + 1, np.int64),
        )
        return replace(
            cross,
            n=int(source.counts[levels].sum()),
            gram=gram,
            first=first,
            log_weights=float(source.log_weights[levels].sum()),
        )

    def design(self, r: int) -> Design:
        """Return the design of the fit, for its names and structures."""
        return self.source.fit.design


class LevelSource:
    """Draws of levels of the only grouping factor: replicates are sums of the cross-products of levels.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        design, cross = fit.design, fit.cross
        block = design.blocks[0]
        weights = np.ones(design.n) if design.weights is None else design.weights
        counted = weights > 0
        root = np.sqrt(weights)[:, None]
        fixed = cross.fixed
        X = design.X[:, fixed.kept]
        rest = (design.y - X @ fixed.centre) / fixed.scale
        border = np.ascontiguousarray(np.column_stack([X @ fixed.transform, rest]) * root)
        width = border.shape[1]
        self.products = np.zeros((width, block.levels, width))
        sum_levels(block.codes, border, np.ascontiguousarray(border.T), self.products)
        self.counts = np.bincount(block.codes, counted, block.levels)
        logs = np.log(np.where(counted, weights, 1.0))
        self.log_weights = np.bincount(block.codes, logs, block.levels)
        self.levels = np.flatnonzero(self.counts > 0)

    def draw(self, rng: np.random.Generator, count: int) -> LevelSample:
        """Return a block of draws."""
        return LevelSample(self, self.levels[rng.integers(self.levels.size, size=(count, self.levels.size))])


def _full_rank(gram: Array) -> bool:
    try:
        chol = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return False
    return bool(np.all(np.diag(chol) ** 2 > PIVOT * np.diag(gram)))


@dataclass(frozen=True, slots=True, eq=False)
class RowSample:
    """Levels drawn with replacement, as designs with their rows."""

    source: RowSource
    drawn: IntArray

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one replicate."""
        cross = cross_products(self.design(r))
        if cross.p < self.source.fit.cross.p:
            raise ModelError(TOO_FEW_LEVELS)
        return cross

    def design(self, r: int) -> Design:
        """Return the design of one replicate."""
        return self.source.design(self.drawn[r])


class RowSource:
    """Draws of the rows of levels of one factor, or of single rows.

    A level of a nested factor becomes a new level in each draw of its outer level; levels of crossed factors stay.

    Parameters
    ----------
    fit : Fit
    codes : ndarray of int64, shape (rows,)
        Level of each row.
    """

    def __init__(self, fit: Fit, codes: IntArray) -> None:
        self.fit = fit
        weights = fit.design.weights
        order = np.argsort(codes, kind="stable")
        cuts = np.flatnonzero(np.diff(codes[order])) + 1
        rows = np.split(order, cuts)
        self.rows = [i for i in rows if weights is None or np.any(weights[i] > 0)]
        self.nested = [_is_nested(block.codes, codes) for block in fit.design.blocks]

    def draw(self, rng: np.random.Generator, count: int) -> RowSample:
        """Return a block of draws."""
        return RowSample(self, rng.integers(len(self.rows), size=(count, len(self.rows))))

    def design(self, drawn: IntArray) -> Design:
        """Return the design with the rows of the levels drawn, in the order of drawing."""
        design = self.fit.design
        parts = [self.rows[level] for level in drawn]
        rows = np.concatenate(parts)
        draw = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        blocks = tuple(
            _resampled(block, rows, draw if nested else None)
            for block, nested in zip(design.blocks, self.nested, strict=True)
        )
        weights = None if design.weights is None else design.weights[rows]
        residual = design.residual
        if residual is not None:
            groups = None if residual.layout is None else _drawn_groups(residual.groups[rows], draw)
            residual = bind_to_rows(residual, rows, [b.grouping for b in blocks], weights, groups)
        return replace(
            design,
            y=design.y[rows],
            X=design.X[rows],
            blocks=blocks,
            weights=weights,
            offset=None if design.offset is None else design.offset[rows],
            index=pd.RangeIndex(rows.size),
            residual=residual,
        )


def rows_of_design(design: Design, rows: IntArray) -> Design:
    """Return the design of some rows, residual structure included.

    Raises
    ------
    ModelError
        If the rows do not determine all parameters of the residual structure.
    """
    blocks = tuple(_resampled(block, rows, np.zeros(rows.size, np.int64)) for block in design.blocks)
    weights = None if design.weights is None else design.weights[rows]
    residual = design.residual
    if residual is not None:
        residual = bind_to_rows(residual, rows, [b.grouping for b in blocks], weights)
    return replace(
        design,
        y=design.y[rows],
        X=design.X[rows],
        blocks=blocks,
        weights=weights,
        offset=None if design.offset is None else design.offset[rows],
        index=design.index[rows],
        excluded=None,
        residual=residual,
    )


def _drawn_groups(groups: IntArray, draw: IntArray) -> IntArray:
    """Return groups of correlated rows, those of another draw being other groups."""
    return np.unique(draw * (groups.max() + 1) + groups, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _resampled(block: RandomBlock, rows: IntArray, draw: IntArray | None) -> RandomBlock:
    codes, levels = block.codes[rows], block.grouping.levels
    if draw is not None:
        distinct, codes = np.unique(draw * len(levels) + codes, return_inverse=True)
        levels = pd.RangeIndex(distinct.size)
    grouping = Grouping(block.name, codes.astype(np.int64).reshape(-1), levels)
    return replace(block, grouping=grouping, z=np.ascontiguousarray(block.z[rows]))


def _is_nested(inner: IntArray, outer: IntArray) -> bool:
    """Return whether each level of the inner factor occurs with a single level of the outer one."""
    pairs = np.unique(np.stack([inner, outer], axis=1), axis=0)
    return bool(len(pairs) == np.unique(inner).size)


def cases_source(fit: Fit, resample: str | None, *, rows_wanted: bool) -> LevelSource | RowSource:
    """Return the source of the case bootstrap; arguments as in `sources.source_of`."""
    if fit.design.many:
        raise ModelError(
            f"the fixed factor {fit.design.many[0].grouping.name!r} has many levels, and a draw of groups leaves some "
            "of them out, so that their effects cannot be estimated. Use type='parametric' or 'residual', or make it "
            "random."
        )
    blocks = fit.design.blocks
    residual = fit.design.residual
    if not blocks:
        correlated = residual is not None and residual.layout is not None
        return RowSource(fit, residual.groups if residual and correlated else np.arange(fit.design.n))
    if len(blocks) == 1 and residual is None and resample in (None, blocks[0].name) and not rows_wanted:
        return LevelSource(fit)
    return RowSource(fit, _resampled_factor(blocks, resample).codes)


def outermost(blocks: Sequence[RandomBlock]) -> RandomBlock | None:
    """Return the factor in which all others are nested, or None if there is none."""
    nested_in = (b for b in blocks if all(_is_nested(other.codes, b.codes) for other in blocks))
    return next(nested_in, None)


def _resampled_factor(blocks: Sequence[RandomBlock], resample: str | None) -> RandomBlock:
    names = [block.name for block in blocks]
    if resample is not None:
        if resample not in names:
            raise ModelError(
                f"resample={resample!r} is not a grouping factor of the model ({', '.join(names)}). "
                f"{nearest(str(resample), names)}"
            )
        return blocks[names.index(resample)]
    if (block := outermost(blocks)) is not None:
        return block
    raise ModelError(
        f"the factors {', '.join(names)} are crossed: no factor has independent levels that could be drawn. Use "
        f"type='parametric' or 'residual', or name the factor to draw, such as resample={names[0]!r}; its intervals "
        "are conditional on the levels of the others."
    )
