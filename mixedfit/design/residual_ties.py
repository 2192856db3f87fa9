"""Variance parameters that no data of a design can tell apart, in models with a residual structure.

V = Σ_f Z_f Ω_f Z_fᵀ + σ²R(x). If the derivatives of V in the variance parameters are linearly dependent at values
chosen at random, they are so at all values, but for a set of measure 0, and the likelihood has a ridge (Rothenberg
1971, Econometrica 39:577). Independent blocks of rows are added until the derivatives are independent; large blocks are
represented by some of their rows, from which independence, but not dependence, follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.csgraph import connected_components

from mixedfit.core.arrays import Array, BoolArray, IntArray
from mixedfit.covariance import BlockDiagonal, ScaledCorrelation
from mixedfit.covariance.known import Known
from mixedfit.covariance.residual.model import ResidualModel, Tie
from mixedfit.covariance.residual.variances import VarIdentLaw

__all__ = ["tied_parameters", "with_ties"]

DEPENDENT = 1e-9
"""Share of the largest eigenvalue of the scaled Gram matrix of the derivatives below which they are dependent."""

TAKES_PART = 1e-2
"""Element of a null direction, scaled, from which on a parameter takes part in it."""

LARGEST_BLOCK = 150
"""Rows by which an independent block is represented."""

MOST_NUMBERS = 2e7
"""Elements of derivatives that are computed; with more of them no dependence is claimed."""

UNSEEN = 1e-18
"""Share of the largest squared derivative below which V does not depend on a parameter."""

LOST = 1e-200
"""Size of the derivative of a natural parameter below which it is lost in floating-point numbers."""

STEP = 1e-4

SHIFTS = (0.0, 1.5, 3.0, -1.5)
"""Distances from the start at which the derivatives must be dependent: a range may be too short to matter at one."""


class Effects(Protocol):
    """What is needed of a block of random effects."""

    @property
    def z(self) -> Array: ...
    @property
    def codes(self) -> IntArray: ...
    @property
    def known(self) -> Known | None: ...
    @property
    def structure(self) -> BlockDiagonal: ...
    @property
    def name(self) -> str: ...
    @property
    def effects(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, eq=False)
class _Direction:
    tie: Tie
    change: Array


REPRODUCED = 1e-9
"""1 less the leverage of a row below which the fixed effects reproduce it, whatever the response."""


def with_ties(
    model: ResidualModel, blocks: Sequence[Effects], weights: Array | None, X: Array
) -> ResidualModel:
    """Return the model with the parameters that the design does not tell apart.

    REML does not depend on rows with leverage 1: a contrast of the response that is free of the fixed effects has
    coefficient 0 there. If all rows of a visit are such, its variance is not identified.
    """
    tied = tied_parameters(model, blocks, weights, X.shape[0])
    seen = _seen_by_reml(model, X)
    if seen is None:
        return replace(model, tied=tied, tied_reml=tied)
    return replace(model, tied=tied, tied_reml=tied_parameters(model, blocks, weights, X.shape[0], seen))


def _seen_by_reml(model: ResidualModel, X: Array) -> BoolArray | None:
    """Return which rows have a leverage below 1, shape (n,); None where each visit and level has more rows than p."""
    n, p = X.shape
    counts = [np.bincount(law.codes) for law in model.variances if isinstance(law, VarIdentLaw)]
    if model.layout is not None and len(model.layout.labels):
        counts.append(np.bincount(model.layout.place[:, 0].astype(np.int64)))
    if not (p and any(own[own > 0].min(initial=n) <= p for own in counts)):
        return None
    Q, R, _ = linalg.qr(X, mode="economic", pivoting=True)
    size = np.abs(np.diag(R))
    leverage = (Q[:, size > 1e-10 * size.max()] ** 2).sum(axis=1)
    return np.asarray(1.0 - leverage > REPRODUCED)


def tied_parameters(
    model: ResidualModel,
    blocks: Sequence[Effects],
    weights: Array | None,
    n: int,
    seen: BoolArray | None = None,
) -> tuple[tuple[Tie, ...], tuple[Tie, ...]]:
    """Return the parameters that cannot be told apart, with σ estimated and with σ held.

    Parameters
    ----------
    model : ResidualModel
    blocks : sequence of blocks of random effects
    weights : ndarray, shape (n,), or None
    n : int
        Number of rows.
    seen : ndarray of bool, shape (n,), optional
        Rows of which the likelihood depends; all by default.
    """
    found: tuple[tuple[Tie, ...], tuple[Tie, ...]] = ((), ())
    for seed, shift in enumerate(SHIFTS):
        found = _tied_at(model, blocks, weights, n, np.random.default_rng(seed), shift, seen)
        if not found[0]:
            return (), ()
    return found


def _tied_at(
    model: ResidualModel,
    blocks: Sequence[Effects],
    weights: Array | None,
    n: int,
    random: np.random.Generator,
    shift: float,
    seen: BoolArray | None,
) -> tuple[tuple[Tie, ...], tuple[Tie, ...]]:
    """Return the parameters whose derivatives are dependent at values around the start of a search."""
    x = model.start + shift + random.uniform(-0.3, 0.3, model.start.size)
    directions = [d for f, block in enumerate(blocks) for d in _of_block(f, block, random)]
    names = [p.name for p in model.natural(x)]
    natural = _changes_of_natural(model, x)
    ties = [d.tie for d in directions] + [Tie("sigma", "residual variance")]
    ties += [Tie("residual", f"residual {name}", first=i) for i, name in enumerate(names)]
    if len(ties) == 1:
        return (), ()
    gram, used, whole = np.zeros((len(ties), len(ties))), 0.0, True
    for count, (rows, complete) in enumerate(_samples(model, blocks, n), 1):
        rows = rows if seen is None else rows[seen[rows]]
        own = _derivatives(model, blocks, weights, directions, x, natural, rows).reshape(len(ties), -1)
        gram += own @ own.T
        used, whole = used + own.size, whole and complete
        if count & (count - 1) == 0 and not _null(gram).size:
            return (), ()
        if used > MOST_NUMBERS:
            return (), ()
    if not whole:
        return (), ()
    without = np.array([tie.kind != "sigma" for tie in ties])
    held = [tie for tie in ties if tie.kind != "sigma"]
    return _members(gram, ties), _members(gram[np.ix_(without, without)], held)


def _changes_of_natural(model: ResidualModel, x: Array) -> Array:
    """Return changes of x that change one natural parameter each, shape (parameters, natural), in any unit.

    A correlation per unit of time is 0 in floating-point numbers where times are in a long unit: x itself then stands
    for it.
    """
    slopes = model.natural_slopes(x)
    sizes = np.linalg.norm(slopes, axis=1)
    lost = sizes < LOST
    slopes = slopes / np.where(lost, 1.0, sizes)[:, None]
    if lost.any() and slopes.shape[0] == slopes.shape[1]:
        slopes[lost] = np.eye(x.size)[lost]
    changes = np.asarray(np.linalg.pinv(slopes), dtype=np.float64)
    return np.asarray(changes / np.maximum(np.linalg.norm(changes, axis=0), 1e-300))


def _null(gram: Array) -> Array:
    """Return the null directions of a Gram matrix scaled to a unit diagonal, shape (count, parameters)."""
    size = np.sqrt(np.diag(gram))
    gram = np.where(np.logical_or.outer(_unseen(gram), _unseen(gram)), 0.0, gram)
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(gram / np.outer(size, size))
    return np.asarray(vectors[:, values < DEPENDENT * max(float(values[-1]), 1e-300)].T)


def _members(gram: Array, ties: Sequence[Tie]) -> tuple[Tie, ...]:
    """Return the parameters that take part in a null direction."""
    null = _null(gram)
    if not null.size:
        return ()
    part = np.abs(null).max(axis=0) > TAKES_PART
    return tuple(
        replace(tie, unseen=bool(none))
        for tie, own, none in zip(ties, part, _unseen(gram), strict=True)
        if own
    )


def _unseen(gram: Array) -> BoolArray:
    """Return of which parameters the derivatives are 0, to rounding of differences."""
    size = np.diag(gram)
    return np.asarray(size <= UNSEEN * size.max(initial=0.0))


def _of_block(f: int, block: Effects, random: np.random.Generator) -> Iterator[_Direction]:
    """Yield the derivatives of Ω in its parameters at random values."""
    k = len(block.effects)
    for part, t, e in block.structure.slices():
        if isinstance(part, ScaledCorrelation):
            theta = part.start + random.uniform(-0.2, 0.2, part.n_theta)
            words = f"{part.name}(… | {block.name})"
            for position, change in enumerate(part.directions(theta)):
                whole = np.zeros((k, k))
                whole[e, e] = change
                yield _Direction(Tie("structure", words, f, t.start + position), whole)
            continue
        for a in range(e.start, e.stop):
            for b in range(e.start, a + 1):
                if a == b or part.invariance == "linear":
                    whole = np.zeros((k, k))
                    whole[a, b] = whole[b, a] = 1.0
                    words = f"{block.effects[a]} | {block.name}"
                    yield _Direction(Tie("effects", words, f, a, b), whole)


def _samples(model: ResidualModel, blocks: Sequence[Effects], n: int) -> Iterator[tuple[IntArray, bool]]:
    """Yield rows of independent blocks in random order, and whether they are all rows of their block."""
    codes = [block.codes if block.known is None else block.known.families[block.codes] for block in blocks]
    if model.layout is not None:
        codes.append(model.groups)
    if not codes:
        for part in np.array_split(np.random.default_rng(1).permutation(n), n // LARGEST_BLOCK + 1):
            yield part, True
        return
    ends = np.cumsum([0, *(int(c.max()) + 1 for c in codes)])
    columns = np.concatenate([n + start + c for start, c in zip(ends, codes, strict=False)])
    rows = np.tile(np.arange(n), len(codes))
    graph = sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=(n + int(ends[-1]),) * 2)
    labels = connected_components(graph, directed=False)[1][:n]
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    for at in np.random.default_rng(1).permutation(len(parts)):
        part = parts[at]
        if (
            part.size > LARGEST_BLOCK
        ):  # whole groups of the finest factor, so that correlated rows are together
            finest = max(codes, key=lambda c: np.unique(c[part]).size)
            part = part[np.argsort(finest[part], kind="stable")]
        yield part[:LARGEST_BLOCK], part.size <= LARGEST_BLOCK


def _derivatives(
    model: ResidualModel,
    blocks: Sequence[Effects],
    weights: Array | None,
    directions: Sequence[_Direction],
    x: Array,
    natural: Array,
    rows: IntArray,
) -> Array:
    """Return the derivatives of V of some rows, shape (parameters, rows, rows).

    `natural` has the derivatives of x in the natural parameters, shape (parameters, parameters).
    """
    out = []
    for d in directions:
        z, codes = blocks[d.tie.block].z[rows], blocks[d.tie.block].codes[rows]
        known = blocks[d.tie.block].known
        related = codes[:, None] == codes if known is None else known.among(codes, codes)
        out.append(related * (z @ d.change @ z.T))
    root = np.ones(rows.size) if weights is None else 1.0 / np.sqrt(weights[rows])
    scale = np.outer(root, root)
    out.append(scale * model.matrix(x, rows))
    slopes = []
    for a in range(x.size):
        step = STEP * np.eye(x.size)[a]
        slopes.append(scale * (model.matrix(x + step, rows) - model.matrix(x - step, rows)) / (2.0 * STEP))
    if not slopes:
        return np.array(out)
    return np.concatenate([out, np.tensordot(natural, slopes, axes=([0], [0]))])
