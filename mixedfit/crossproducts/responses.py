"""Cross-products of other responses with the same design.

In the basis of `basis`, ỹ = (y − M levels − X̃c) / scale with c = X̃ᵀW(y − M levels) / n. `levels` are the coefficients
of the design's own response on many-level factors; the tail estimates the difference. c is exact if X̃ᵀWX̃ = n I; a
rounding error in it changes no estimate, because the products are computed with the ỹ that follows from c.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.linalg import inverse, symmetric
from mixedfit.design.design import Design
from mixedfit.kernels.accumulate import sum_levels

from .basis import FixedBasis, check_scale
from .crossprod import CrossProducts, weight_rows
from .level_span import LevelSpan

__all__ = ["Responder", "Responses", "with_response"]

EXACT = 1e-13
"""A response is reproduced by the fixed effects if its residual is below this share of its norm."""


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """Products of several responses with the columns of one design.

    Attributes
    ----------
    cross : CrossProducts
        Cross-products of the design, with any response.
    first : ndarray, shape (replicates, levels, k)
        Z_jᵀỹ for each level of the first factor.
    tail : ndarray, shape (replicates, q)
        Products of the tail with ỹ.
    fixed : ndarray, shape (replicates, p)
        X̃ᵀỹ.
    squared : ndarray, shape (replicates,)
        ỹᵀỹ.
    centre : ndarray, shape (replicates, p)
        Least-squares coefficients of the columns of X.
    scale : ndarray, shape (replicates,)
        Unit of ỹ; 0 if the fixed effects reproduce the response.
    """

    cross: CrossProducts
    first: Array
    tail: Array
    fixed: Array
    squared: Array
    centre: Array
    scale: Array

    def __len__(self) -> int:
        return int(self.scale.size)

    def cross_products(self, r: int) -> CrossProducts:
        """Return the cross-products of response `r`."""
        cross = self.cross
        gram, border = cross.gram.copy(), cross.first.border.copy()
        border[:, :, -1] = self.first[r]
        cross = _with_tail_response(cross, gram, self.tail[r])
        gram[-1, gram.shape[0] - 1 - cross.p : -1] = self.fixed[r]
        gram[-1, -1] = self.squared[r]
        fixed = replace(cross.fixed, centre=self.centre[r], scale=float(self.scale[r]))
        return replace(cross, gram=gram, first=replace(cross.first, border=border), fixed=fixed)


class Responder:
    """Computes the products of responses with the columns of one design.

    Parameters
    ----------
    cross : CrossProducts
        Cross-products of the design, with any response.
    design : Design
    """

    def __init__(self, cross: CrossProducts, design: Design) -> None:
        self.cross = cross
        root = None if design.weights is None else np.sqrt(design.weights)
        everything = slice(0, design.n)
        self.root_weights = root
        self.X = weight_rows(cross.fixed.columns(design, everything) @ cross.fixed.transform, root)
        self.places: list[tuple[IntArray, Array, int, slice]] = []
        for f, block in enumerate(design.blocks):
            z = np.ascontiguousarray(weight_rows(block.z @ inverse(cross.basis[f]), root))
            self.places.append((block.codes, z, block.levels, self._place(f)))
        self.shift: Array | None = None
        span = cross.fixed.span
        if span is not None:
            self.shift = span.times(cross.fixed.levels, everything)
            self._add_many(span, design.n)

    def _add_many(self, span: LevelSpan, n: int) -> None:
        """Add the columns of fixed factors with many levels."""
        ones = np.ones((n, 1)) if self.root_weights is None else self.root_weights[:, None].copy()
        places = [b for b in self.cross.tail if b.block < 0]
        for f, place in zip(span.factors, places, strict=True):
            at = span.places[f]
            codes = np.where(at < 0, -1, at - at.max() + place.levels - 1)[span.codes[f]]
            self.places.append((codes, ones, place.levels, slice(place.offset, place.stop)))

    def _place(self, f: int) -> slice:
        """Return the tail columns of a block; slice(-1, -1) for the first factor."""
        if f == self.cross.first_block:
            return slice(-1, -1)
        place = self.cross.place(f)
        return slice(place.offset, place.stop)

    def products(self, y: Array) -> Responses:
        """Return the products of responses minus offset, shape (replicates, rows)."""
        cross = self.cross
        rest = np.array(y, dtype=float) if self.shift is None else y - self.shift
        if self.root_weights is not None:
            rest *= self.root_weights
        total = np.sqrt(np.einsum("ri,ri->r", rest, rest) / cross.n)
        inner = rest @ self.X / cross.n
        rest -= inner @ self.X.T
        scale = np.sqrt(np.einsum("ri,ri->r", rest, rest) / cross.n)
        scale[~(scale > EXACT * total)] = 0.0
        rest /= np.where(scale > 0.0, scale, 1.0)[:, None]
        first = np.zeros((len(y), *cross.first.gram.shape[:2]))
        tail = np.zeros((len(y), cross.q_tail))
        for codes, z, levels, here in self.places:
            sums = first if here.start < 0 else np.zeros((len(y), levels, z.shape[1]))
            sum_levels(codes, z, rest, sums)
            if here.start >= 0:
                tail[:, here] = sums.reshape(len(y), -1)
        return Responses(
            cross=cross,
            first=first,
            tail=tail,
            fixed=rest @ self.X,
            squared=np.einsum("ri,ri->r", rest, rest),
            centre=inner @ cross.fixed.transform.T,
            scale=scale,
        )


def with_response(cross: CrossProducts, design: Design) -> CrossProducts:
    """Return the cross-products with the response of `design`; only the products with y are computed."""
    root_weights = None if design.weights is None else np.sqrt(design.weights)
    first_column = cross.gram.shape[0] - cross.p - 1
    fixed, X, rest = _recentred(cross, design)
    response = rest / fixed.scale if root_weights is None else root_weights * rest / fixed.scale
    gram = cross.gram.copy()
    gram[-1, :] = 0.0
    gram[-1, first_column:-1] = response @ (weight_rows(X, root_weights) @ fixed.transform)
    gram[-1, -1] = response @ response
    border, tail_response = _effects_and_response(cross, design, response, root_weights)
    cross = _with_tail_response(cross, gram, tail_response)
    return replace(cross, gram=gram, first=replace(cross.first, border=border), fixed=fixed)


def _with_tail_response(cross: CrossProducts, gram: Array, response: Array) -> CrossProducts:
    """Set the products of the tail with y, in `gram` if the tail is in it."""
    own = cross.sparse or cross.pairs
    if own is None:
        gram[-1, : response.size] = response
        return cross
    sides = own.sides.copy()
    sides[:, -1] = response
    if cross.sparse is not None:
        return replace(cross, sparse=replace(cross.sparse, sides=sides))
    assert cross.pairs is not None
    return replace(cross, pairs=replace(cross.pairs, sides=sides))


def _recentred(cross: CrossProducts, design: Design) -> tuple[FixedBasis, Array, Array]:
    """Return the basis with centre and scale of the new response, X₀, and the residual of the response."""
    fixed, everything, width = cross.fixed, slice(0, design.n), cross.p + 1
    if fixed.span is not None:
        fixed = replace(fixed, levels=fixed.span.coefficients(design.y))
    X, y = fixed.columns(design, everything), fixed.response(design, everything)
    weights = np.ones(design.n) if design.weights is None else design.weights
    own = symmetric(cross.gram[-width:-1, -width:-1])
    centre = fixed.transform @ np.linalg.solve(own, fixed.transform.T @ (X.T @ (weights * y)))
    rest = y - X @ centre
    norm = float(np.sqrt(np.sum(weights * rest**2) / cross.n))
    total = float(np.sqrt(np.sum(weights * design.y**2) / cross.n))
    check_scale(design, total, norm)
    return replace(fixed, centre=centre, scale=norm), X, rest


def _effects_and_response(
    cross: CrossProducts, design: Design, response: Array, root_weights: Array | None
) -> tuple[Array, Array]:
    """Return the border of the first factor and the products of the tail with a new response."""
    border = cross.first.border.copy()
    tail_response = np.zeros(cross.q_tail)
    for f, block in enumerate(design.blocks):
        z = weight_rows(block.z, root_weights) @ inverse(cross.basis[f])
        sums = np.stack(
            [np.bincount(block.codes, z[:, a] * response, block.levels) for a in range(block.k)], 1
        )
        if f == cross.first_block:
            border[:, :, -1] = sums
        else:
            place = cross.place(f)
            tail_response[place.offset : place.stop] = sums.reshape(-1)
    fixed_places = [b for b in cross.tail if b.block < 0]
    weighted = response if root_weights is None else response * root_weights
    span = cross.fixed.span
    for f, place in zip(span.factors if span else (), fixed_places, strict=True):
        assert span is not None
        sums = np.bincount(span.codes[f], weighted, span.places[f].size)
        tail_response[place.offset : place.stop] = sums[span.places[f] >= 0]
    return border, tail_response
