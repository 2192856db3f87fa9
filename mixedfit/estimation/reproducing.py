"""Directions of random effects that reproduce the response while ranks are left over: likelihoods without a bound.

Let S be a subspace of each term's effects, of effects left out for independent ones, and U = [Z_t (I ⊗ S_t)]. As σ → 0
at a fixed covariance matrix of effects in S, and with those outside S of the size of σ, the criterion changes by
−2 (n − r) log(1/σ) if y is in the span of [X U], with r = rank U, or r = rank [X U] under REML. So it has no minimum if
such an S with r < n exists. Either any S of its dimensions will do, whatever the response is, or y is only in the span
for some S, the solutions of y = Xβ + Σ_t Z_t (S_t ⊗ b_t), which is bilinear: a subspace of dimension d of k effects has
d (k − d) coordinates, and n − r equations remain. The rank may also be lower for an S that gives no effect to a level
with few rows, so that subspaces without the row space of such levels are looked at too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, pairwise, product

import numpy as np
from scipy.optimize import least_squares

from mixedfit.core.arrays import Array
from mixedfit.covariance import BlockDiagonal
from mixedfit.likelihood.by_rows import RowCriterion, RowEvaluation, Rows
from mixedfit.likelihood.criterion import Criterion

__all__ = ["could_nearly_reproduce", "could_reproduce", "nearly_reproducing", "reproducing_roots"]

EXACT = 1e-11
"""Norm of a residual, as a share of the response's, below which the response counts as reproduced."""

RANK = 1e-9
"""Singular value, as a share of the largest, below which columns of unit norm count as dependent."""

STARTS = 12
"""Random subspaces from which the bilinear equations are solved."""

FEW_ROWS = 60
"""Rows up to which subspaces that depend on the response or on single levels are looked for: 10 ms to 1 s."""

SIZES = tuple(10.0 ** np.arange(1.0, 10.0))
"""Relative SDs at which effects start in directions that nearly reproduce the response."""

MOST_KINDS = 200
"""Largest number of combinations of kinds of subspaces that are looked at."""

MOST_FRAMES = 25
"""Largest number of spaces that give no effect to some levels, for each term."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The rows of one term.

    Attributes
    ----------
    z : ndarray, shape (n, k)
    shares : ndarray, shape (n, levels)
        Indicators of the levels, or L of known relationships A = LLᵀ.
    block : int
    effects : slice
        Place of its effects in the block.
    turns : bool
        Whether the covariance matrix is unstructured; else the effects are independent.
    """

    z: Array
    shares: Array
    block: int
    effects: slice
    turns: bool

    def columns(self, basis: Array) -> Array:
        """Return Z (I ⊗ S), shape (n, levels d)."""
        return np.asarray((self.shares[:, :, None] * (self.z @ basis)[:, None]).reshape(len(self.z), -1))


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Subspaces of dimension d between two spaces.

    Attributes
    ----------
    frame : ndarray, shape (k, m)
        Orthonormal basis of the larger space; its first columns are one of the smaller space.
    held : int
        Dimension of the smaller space.
    d : int
    turns : bool
        Whether there are others than the one of the first d columns.
    """

    frame: Array
    held: int
    d: int
    turns: bool

    @property
    def coordinates(self) -> int:
        """Number of coordinates of such a subspace."""
        return (self.d - self.held) * (self.frame.shape[1] - self.d) if self.turns else 0

    def turned(self, rng: np.random.Generator) -> _Kind:
        """Return the kind with a random basis between the spaces."""
        m = self.frame.shape[1] - self.held
        if not self.turns or m == 0:
            return self
        turn = np.linalg.qr(rng.normal(size=(m, m)))[0]
        return replace(self, frame=np.hstack([self.frame[:, : self.held], self.frame[:, self.held :] @ turn]))

    def basis(self, coordinates: Array) -> Array:
        """Return a basis of the subspace with given coordinates, row by row, shape (k, d)."""
        out = self.frame[:, : self.d].copy()
        if self.coordinates:
            out[:, self.held :] += self.frame[:, self.d :] @ coordinates.reshape(-1, self.d - self.held)
        return out


def could_reproduce(criterion: Criterion) -> bool:
    """Return whether there are enough effects, and coordinates of subspaces, for a likelihood without a bound."""
    cross = criterion.cross
    levels, k = cross.first.gram.shape[:2]
    effects = cross.p_total + levels * k + cross.q_random
    turns = criterion.n_theta // 2  # at least d (k − d), of which the most is k² / 4
    return criterion.sigma is None and bool(effects + turns >= cross.n)


def could_nearly_reproduce(criterion: Criterion, share: float) -> bool:
    """Return whether a small model with correlated effects leaves less than a share of the residual variance."""
    if criterion.cross.n > FEW_ROWS or criterion.sigma is not None:
        return False
    if not any(p.invariance == "linear" and p.k > 1 for s in criterion.structures for p, _, _ in s.slices()):
        return False
    theta = np.concatenate([structure.start for structure in criterion.structures])
    tail = criterion(1e6 * theta).tail
    return bool(tail.ok and tail.prss < share * criterion.cross.n)


def nearly_reproducing(criterion: RowCriterion, share: float) -> list[RowEvaluation]:
    """Return points whose effects vary in the directions that reproduce the response best, the lowest first.

    Parameters
    ----------
    criterion : RowCriterion
        In the basis of the cross-products.
    share : float
        Largest share of the least-squares residual variance that is left by the directions.
    """
    assert criterion.rows is not None
    rows, rng = criterion.rows, np.random.default_rng(1)
    parts = _parts(criterion.structures, rows)
    out = []
    for kinds in islice(product(*(list(_plain_kinds(part)) for part in parts)), MOST_KINDS):
        if not any(kind.coordinates for kind in kinds):
            continue
        for _ in range(STARTS // 2):
            bases = _nearest(rows, parts, [kind.turned(rng) for kind in kinds])
            residual = _projected(rows, parts, bases)[0]
            if residual @ residual < share * rows.y.size:
                roots = _roots(criterion.structures, parts, bases)
                out.append(min((_point(criterion, roots, size) for size in SIZES), key=lambda p: p.value))
    return sorted(out, key=lambda point: point.value)


def _point(criterion: RowCriterion, roots: Sequence[Array], size: float) -> RowEvaluation:
    pairs = zip(criterion.structures, roots, strict=True)
    return criterion(np.concatenate([structure.theta_from_root(size * root) for structure, root in pairs]))


def reproducing_roots(criterion: Criterion, rows: Rows) -> list[Array] | None:
    """Return roots Λ of each block such that the criterion of sΛ falls without a bound as s grows, if any are found.

    Parameters
    ----------
    criterion : Criterion
        In the basis of the cross-products.
    rows : Rows

    Returns
    -------
    list of ndarray, shape (k, k), or None
    """
    rng = np.random.default_rng(0)
    parts = _parts(criterion.structures, rows)
    for kinds in islice(_combinations(parts), MOST_KINDS):
        bases = _reproducing(criterion.reml, rows, parts, kinds, rng)
        if bases is not None:
            return _roots(criterion.structures, parts, bases)
    return None


def _parts(structures: Sequence[BlockDiagonal], rows: Rows) -> list[_Part]:
    return [
        _Part(rows.z[f][:, e], rows.shares(f), f, e, part.invariance == "linear")
        for f, structure in enumerate(structures)
        for part, _, e in structure.slices()
    ]


def _combinations(parts: Sequence[_Part]) -> Iterator[tuple[_Kind, ...]]:
    """Yield a kind of subspace for each term: all dimensions, then those of at most one term that hide some levels."""
    plain = [list(_plain_kinds(part)) for part in parts]
    yield from product(*plain)
    if len(parts[0].z) > FEW_ROWS:
        return
    for at, part in enumerate(parts):
        yield from product(*plain[:at], list(_hiding_kinds(part)), *plain[at + 1 :])


def _plain_kinds(part: _Part) -> Iterator[_Kind]:
    k = part.z.shape[1]
    if part.turns:
        yield from (_Kind(np.eye(k), 0, d, True) for d in range(k, -1, -1))
        return
    for chosen in product((True, False), repeat=k) if k <= 4 else [(True,) * k]:
        yield _Kind(np.eye(k)[:, np.array(chosen)], 0, sum(chosen), False)


def _hiding_kinds(part: _Part) -> Iterator[_Kind]:
    """Yield subspaces within or around those that have no effect on levels with fewer rows than effects.

    Such levels have a lower rank than with other subspaces.
    """
    k = part.z.shape[1]
    if not part.turns or k < 2:
        return
    spans = [_orthonormal(part.z[own].T) for own in (part.shares != 0).T]
    spans = [span for span in spans if 0 < span.shape[1] < k]
    chosen = list(islice((own for r in range(1, k) for own in combinations(spans, r)), MOST_FRAMES))
    for own in chosen:
        within = _complement(np.hstack(own))
        m = within.shape[1]
        yield from (_Kind(within, 0, d, True) for d in range(m, 0, -1))
    for own in chosen:
        held = _orthonormal(np.hstack([_complement(span) for span in own]))
        c = held.shape[1]
        frame = np.hstack([held, _complement(held)])
        yield from (_Kind(frame, c, d, True) for d in range(k - 1, c - (len(own) > 1), -1))


def _complement(columns: Array) -> Array:
    """Return an orthonormal basis of what is orthogonal to the columns."""
    own = _orthonormal(columns)
    return np.asarray(np.linalg.svd(own)[0][:, own.shape[1] :])


def _reproducing(
    reml: bool, rows: Rows, parts: Sequence[_Part], kinds: Sequence[_Kind], rng: np.random.Generator
) -> list[Array] | None:
    """Return bases of subspaces of given kinds that reproduce the response with ranks left over, or None."""
    n, p = rows.X.shape
    free = sum(kind.coordinates for kind in kinds)
    if p + free + sum(part.shares.shape[1] * kind.d for part, kind in zip(parts, kinds, strict=True)) < n:
        return None
    bases = [kind.turned(rng).frame[:, : kind.d] for kind in kinds]
    if not _ranks_left(reml, rows, parts, bases):
        return None
    residual, Q, _ = _projected(rows, parts, bases)
    if _is_exact(residual, rows):
        return bases
    if n > FEW_ROWS or n - Q.shape[1] > free:
        return None
    for _ in range(STARTS):
        bases = _nearest(rows, parts, [kind.turned(rng) for kind in kinds])
        if _is_exact(_projected(rows, parts, bases)[0], rows) and _ranks_left(reml, rows, parts, bases):
            return bases
    return None


def _ranks_left(reml: bool, rows: Rows, parts: Sequence[_Part], bases: Sequence[Array]) -> bool:
    columns = _columns(parts, bases)
    basis = _orthonormal(np.hstack([rows.X, columns]) if reml else columns)
    return int(basis.shape[1]) < int(rows.y.size)


def _is_exact(residual: Array, rows: Rows) -> bool:
    return bool(np.linalg.norm(residual) <= EXACT * np.linalg.norm(rows.y))


def _nearest(rows: Rows, parts: Sequence[_Part], kinds: Sequence[_Kind]) -> list[Array]:
    """Return bases of subspaces at a minimum of the least-squares residual, by Levenberg and Marquardt's method.

    The residual y − P y, P the projection on [X U], has ∂/∂a ≈ −(I − P) ∂U/∂a b near 0: Kaufman (1975), BIT 15:49.
    """
    ends = np.cumsum([kind.coordinates for kind in kinds])

    def bases(a: Array) -> list[Array]:
        return [kind.basis(own) for kind, own in zip(kinds, np.split(a, ends[:-1]), strict=True)]

    def slopes(a: Array) -> Array:
        _, Q, b = _projected(rows, parts, bases(a))
        moved = np.column_stack(list(_moved(parts, kinds, b)))
        return np.asarray(Q @ (Q.T @ moved) - moved)

    found = least_squares(
        lambda a: _projected(rows, parts, bases(a))[0],
        np.zeros(ends[-1]),
        slopes,
        method="lm" if ends[-1] <= rows.y.size else "trf",
        xtol=1e-15,
        ftol=1e-8,
        gtol=1e-15,
        max_nfev=60,
    )
    return [np.linalg.qr(own)[0] if own.size else own for own in bases(found.x)]


def _moved(parts: Sequence[_Part], kinds: Sequence[_Kind], b: Array) -> Iterator[Array]:
    """Yield ∂U/∂a b of each coordinate a, shape (n,)."""
    ends = np.cumsum([0, *(part.shares.shape[1] * kind.d for part, kind in zip(parts, kinds, strict=True))])
    for part, kind, (start, stop) in zip(parts, kinds, pairwise(ends), strict=True):
        if kind.coordinates:
            effects = part.shares @ b[start:stop].reshape(-1, kind.d)[:, kind.held :]
            along = part.z @ kind.frame[:, kind.d :]
            yield from (along[:, i] * effects[:, j] for i, j in np.ndindex(along.shape[1], effects.shape[1]))


def _projected(rows: Rows, parts: Sequence[_Part], bases: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Return the residual of y on [X U], an orthonormal basis of [X U], and the coefficients of U."""
    matrix = np.hstack([rows.X, _columns(parts, bases)])
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    own = values > RANK * values.max(initial=0.0)
    Q = left[:, own]
    inner = Q.T @ rows.y
    residual = rows.y - Q @ inner
    b = right[own].T @ (inner / values[own])
    return residual - Q @ (Q.T @ residual), Q, b[rows.X.shape[1] :]


def _columns(parts: Sequence[_Part], bases: Sequence[Array]) -> Array:
    """Return U, shape (n, q)."""
    return np.hstack([part.columns(basis) for part, basis in zip(parts, bases, strict=True)])


def _orthonormal(columns: Array) -> Array:
    """Return an orthonormal basis of the columns, those that vanish left out."""
    norms = np.linalg.norm(columns, axis=0)
    kept = norms > 1e-12 * norms.max(initial=0.0)
    left, values, _ = np.linalg.svd(columns[:, kept] / norms[kept], full_matrices=False)
    return np.asarray(left[:, values > RANK * values.max(initial=0.0)])


def _roots(
    structures: Sequence[BlockDiagonal], parts: Sequence[_Part], bases: Sequence[Array]
) -> list[Array]:
    roots = [np.zeros((structure.k, structure.k)) for structure in structures]
    for part, basis in zip(parts, bases, strict=True):
        start = part.effects.start
        if part.turns:
            roots[part.block][part.effects, start : start + basis.shape[1]] = basis
        else:
            roots[part.block][part.effects, part.effects] = np.diag(basis.sum(axis=1))
    return roots
