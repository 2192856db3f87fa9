"""Where bootstrap data come from: drawn from the fitted model, from its residuals, or from whole groups of rows.

Each source draws a block of replicates at once and hands out their cross-products one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd

from .._types import Array, BoolArray, IntArray
from ..crossprod import CrossProducts, cross_products
from ..design import Design, RandomBlock
from ..errors import ModelError, nearest
from ..fit import Fit
from ..grouping import Grouping
from ..kernels.responses import sum_levels
from ..responses import Responder, Responses
from ..simulate import residual_scale, response_from, simulate_response

__all__ = [
    "LevelSource",
    "ParametricSource",
    "ResidualSource",
    "RowSource",
    "Sample",
    "Source",
    "counted_rows",
    "outermost",
    "source_of",
]

TOO_FEW_LEVELS = "the groups drawn cannot determine all fixed effects"

PIVOT = 1e-12
"""Share of a column's squared norm that earlier columns must leave of it."""


class Sample(Protocol):
    """A block of replicates."""

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one replicate."""
        ...

    def design(self, r: int) -> Design:
        """Return the design of one replicate."""
        ...


class Source(Protocol):
    """Draws replicates."""

    def draw(self, rng: np.random.Generator, count: int) -> Sample:
        """Return a block of `count` replicates."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ResponseSample:
    """New responses on the rows of the fit.

    Attributes
    ----------
    original : Design
    y : ndarray, shape (replicates, rows)
        Responses less offset.
    responses : Responses
    """

    original: Design
    y: Array
    responses: Responses

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one replicate."""
        if self.responses.scale[r] == 0.0:
            raise ModelError("the fixed effects reproduce the drawn response exactly")
        return self.responses.cross_products(r)

    def design(self, r: int) -> Design:
        """Return the fit's design with one replicate's response."""
        return self.original.with_response(self.y[r])


class ParametricSource:
    """y* from the fitted marginal distribution: random effects and residuals drawn, never predicted.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.responder = Responder(fit.cross, fit.design)

    def draw(self, rng: np.random.Generator, count: int) -> ResponseSample:
        """Return a block of responses."""
        y = simulate_response(self.fit, count, rng, offset=False).T
        return ResponseSample(self.fit.design, y, self.responder.products(y))


class ResidualSource:
    """y* from resampled BLUPs and residuals, both reflated to the estimated variances.

    BLUPs vary less than the effects they predict; û* = û A with AᵀSA = Ω̂, S their own covariance, repairs that.
    Carpenter, Goldstein & Rasbash (2003), J. R. Stat. Soc. C 52:431, section 3.2.

    Parameters
    ----------
    fit : Fit
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.responder = Responder(fit.cross, fit.design)
        weights = fit.design.weights
        counted = np.ones(fit.design.n, dtype=bool) if weights is None else weights > 0
        scale = residual_scale(fit)
        residuals = ((fit.response - fit.fitted)[counted]) / scale[counted]
        residuals -= residuals.mean()
        self.scale = scale
        self.residuals = residuals / np.sqrt(np.mean(residuals**2))
        self.effects = [
            reflated(modes[np.unique(block.codes[counted])], omega)
            for block, modes, omega in zip(fit.design.blocks, fit.modes, fit.omega, strict=True)
        ]

    def draw(self, rng: np.random.Generator, count: int) -> ResponseSample:
        """Return a block of responses; replicate by replicate, so that fewer of them are the first of more."""
        effects = [np.empty((count, b.levels, b.k)) for b in self.fit.design.blocks]
        residuals = np.empty((count, self.scale.size))
        for r in range(count):
            for pool, out in zip(self.effects, effects, strict=True):
                out[r] = pool[rng.integers(len(pool), size=out.shape[1])]
            residuals[r] = self.residuals[rng.integers(self.residuals.size, size=self.scale.size)]
        y = response_from(self.fit, effects, residuals * self.scale)
        return ResponseSample(self.fit.design, y, self.responder.products(y))


def reflated(modes: Array, omega: Array) -> Array:
    """Return centred BLUPs, shape (levels, k), turned so that their own covariance is Ω.

    Cholesky factors as in Carpenter et al. (2003), equation 9; eigenvectors where a matrix has no full rank.
    """
    centred = modes - modes.mean(axis=0)
    own = centred.T @ centred / len(centred)
    try:
        left, right = np.linalg.cholesky(own), np.linalg.cholesky(omega)
        if np.all(np.diag(left) > 1e-7 * np.sqrt(np.diag(own))):
            return np.asarray(centred @ np.linalg.solve(left.T, right.T))
    except np.linalg.LinAlgError:
        pass
    rank = min(_rank(own), _rank(omega))
    values, vectors = np.linalg.eigh(own)
    wanted, axes = np.linalg.eigh(omega)
    last = slice(len(values) - rank, None)
    coordinates = centred @ vectors[:, last] / np.sqrt(values[last])
    return np.asarray(coordinates @ (axes[:, last] * np.sqrt(wanted[last])).T)


def _rank(matrix: Array) -> int:
    values = np.linalg.eigvalsh(matrix)
    return int(np.sum(values > 1e-10 * max(float(values[-1]), 1e-300)))


@dataclass(frozen=True, slots=True, eq=False)
class LevelSample:
    """Levels of the only grouping factor, drawn with replacement, as sums of products per level."""

    source: LevelSource
    drawn: IntArray

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of one replicate: levels drawn twice are two levels."""
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
        """Return the fit's own design: its names and structures serve, its rows do not."""
        return self.source.fit.design


class LevelSource:
    """Whole levels of the only grouping factor: replicates are sums over levels, and no row is touched.

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
    """Rows of the levels drawn, put together as a new design."""

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
    """Whole levels of one factor (or single rows), drawn with replacement as rows.

    Levels of factors nested in it are distinct in each draw; levels of factors crossed with it keep their identity.

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
        """Return the design of the levels drawn, in the order of drawing."""
        design = self.fit.design
        parts = [self.rows[level] for level in drawn]
        rows = np.concatenate(parts)
        draw = np.repeat(np.arange(len(parts)), [part.size for part in parts])
        blocks = tuple(
            _resampled(block, rows, draw if nested else None)
            for block, nested in zip(design.blocks, self.nested, strict=True)
        )
        return replace(
            design,
            y=design.y[rows],
            X=design.X[rows],
            blocks=blocks,
            weights=None if design.weights is None else design.weights[rows],
            offset=None if design.offset is None else design.offset[rows],
            index=pd.RangeIndex(rows.size),
        )


def _resampled(block: RandomBlock, rows: IntArray, draw: IntArray | None) -> RandomBlock:
    codes, levels = block.codes[rows], block.grouping.levels
    if draw is not None:
        distinct, codes = np.unique(draw * len(levels) + codes, return_inverse=True)
        levels = pd.RangeIndex(distinct.size)
    grouping = Grouping(block.name, codes.astype(np.int64).reshape(-1), levels)
    return replace(block, grouping=grouping, z=np.ascontiguousarray(block.z[rows]))


def _is_nested(inner: IntArray, outer: IntArray) -> bool:
    """Whether every level of one factor occurs with a single level of another."""
    pairs = np.unique(np.stack([inner, outer], axis=1), axis=0)
    return bool(len(pairs) == np.unique(inner).size)


def source_of(fit: Fit, kind: str, resample: str | None, *, rows_wanted: bool) -> Source:
    """Return the source of a type of bootstrap.

    Parameters
    ----------
    fit : Fit
    kind : {"parametric", "residual", "cases"}
    resample : str or None
        Grouping factor whose levels are drawn by "cases"; by default the outermost.
    rows_wanted : bool
        Whether replicates must be complete designs, with rows.

    Raises
    ------
    ModelError
        If `kind` or `resample` is not known, or no factor contains the others.
    """
    known = ("parametric", "residual", "cases")
    if kind not in known:
        raise ModelError(
            f"type={kind!r} is not a bootstrap; expected one of {', '.join(map(repr, known))}. "
            f"{nearest(str(kind), known)}"
        )
    if resample is not None and kind != "cases":
        raise ModelError(
            f"resample={resample!r} names the groups that type='cases' draws; it has no use here."
        )
    if kind == "parametric":
        return ParametricSource(fit)
    if kind == "residual":
        return ResidualSource(fit)
    if fit.design.many:
        raise ModelError(
            f"the fixed factor {fit.design.many[0].grouping.name!r} has many levels, and a draw of groups leaves some "
            "of them out, so that their effects cannot be estimated. Use type='parametric' or 'residual', or make it "
            "random."
        )
    blocks = fit.design.blocks
    if not blocks:
        return RowSource(fit, np.arange(fit.design.n))
    if len(blocks) == 1 and resample in (None, blocks[0].name) and not rows_wanted:
        return LevelSource(fit)
    return RowSource(fit, _factor_to_draw(blocks, resample).codes)


def outermost(blocks: Sequence[RandomBlock]) -> RandomBlock | None:
    """Return the factor in whose levels those of all others are nested, or None where factors are crossed."""
    for block in blocks:
        if all(_is_nested(other.codes, block.codes) for other in blocks):
            return block
    return None


def _factor_to_draw(blocks: Sequence[RandomBlock], resample: str | None) -> RandomBlock:
    names = [block.name for block in blocks]
    if resample is not None:
        if resample not in names:
            raise ModelError(
                f"resample={resample!r} is not a grouping factor of the model ({', '.join(names)}). "
                f"{nearest(str(resample), names)}"
            )
        return blocks[names.index(resample)]
    block = outermost(blocks)
    if block is not None:
        return block
    raise ModelError(
        f"the factors {', '.join(names)} are crossed: no factor's levels are independent pieces of the data that "
        "could be drawn. Use type='parametric' or 'residual', or name the factor to draw, resample="
        f"{names[0]!r}, whose intervals then take the levels of the others as given."
    )


def counted_rows(design: Design) -> BoolArray:
    """Return which rows count, shape (rows,)."""
    return np.ones(design.n, dtype=bool) if design.weights is None else np.asarray(design.weights > 0)
