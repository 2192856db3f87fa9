"""The criterion of a small model from its rows, where the residual variance is a tiny share of the response's.

From cross-products, PRSS is a difference of numbers as large as yᵀy: a share of 1e-12 has four correct digits left.
Here it comes from a QR factorisation of rows,

    [ ZΛ  X  y ]
    [ I   0  0 ]  =  Q R,

without a difference: √PRSS, the last diagonal element of R, has an error of 1e-16 √(yᵀy). With Q split into its upper
part (n rows) and its lower part, P ZΛ = Q_upper Q_lowerᵀ, P y is the upper part of y's residual, and
∂d/∂λ = 2 Σ_j Z_jᵀ [P Z_jλ − (ν/PRSS) P y u_jᵀ] (under ML with V⁻¹ for P in the first term, from the columns ZΛ alone).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import inverse, triangle
from mixedfit.crossproducts.crossprod import CrossProducts
from mixedfit.design.collected import collected
from mixedfit.design.design import Design

from .criterion import Criterion

__all__ = ["RowCriterion", "RowEvaluation", "Rows", "rows_of"]

LARGEST = 200_000
"""Largest number of elements of the matrix that is factorised, about 10 ms each time."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a model in the basis of its cross-products, times the roots of their weights.

    Attributes
    ----------
    X : ndarray, shape (n, p)
    y : ndarray, shape (n,)
    z : tuple of ndarray, shape (n, k)
        Effects of every block.
    codes : tuple of ndarray of int, shape (n,)
        Level of every row in every block.
    roots : tuple of ndarray or None
        L of every block whose levels have known relationships A = LLᵀ: its effects are Lu ⊗ λ, u independent.
    """

    X: Array
    y: Array
    z: tuple[Array, ...]
    codes: tuple[IntArray, ...]
    roots: tuple[Array | None, ...]

    def levels(self, f: int) -> int:
        """Return the number of levels of a block."""
        root = self.roots[f]
        return int(self.codes[f].max()) + 1 if root is None else len(root)

    def shares(self, f: int) -> Array:
        """Return the share of every level in every row of a block: indicators, times L, shape (n, levels)."""
        root = self.roots[f]
        return (np.eye(self.levels(f)) if root is None else root)[self.codes[f]]

    def effects(self, lams: Sequence[Array]) -> Array:
        """Return ZΛ, shape (n, q), levels in order and effects within levels, block after block."""
        parts = []
        for f, (z, lam) in enumerate(zip(self.z, lams, strict=True)):
            own = self.shares(f)[:, :, None] * (z @ lam)[:, None]
            parts.append(own.reshape(z.shape[0], -1))
        return np.hstack(parts) if parts else np.zeros((self.y.size, 0))

    def sums(self, lams: Sequence[Array], products: Array) -> list[Array]:
        """Return Σ_j Z_jᵀ C_j of every block, shape (k, k), for C with the columns of `effects`."""
        out, at = [], 0
        for f, (z, lam) in enumerate(zip(self.z, lams, strict=True)):
            levels, k = self.levels(f), lam.shape[0]
            own = products[:, at : at + levels * k].reshape(z.shape[0], levels, k)
            out.append(np.asarray(z.T @ np.einsum("nl,nlk->nk", self.shares(f), own)))
            at += levels * k
        return out


def rows_of(design: Design, cross: CrossProducts) -> Rows | None:
    """Return the rows of a design in the basis of its cross-products.

    None with fixed factors of many levels, and if a factorisation would take more than `LARGEST` numbers.
    """
    effects = sum(block.levels * block.k for block in design.blocks)
    if design.absent is not None and design.absent.read is None:
        return None
    if design.many or (design.n + effects) * (effects + cross.p + 1) > LARGEST:
        return None
    if design.absent is not None:
        design = collected(design)
    fixed = cross.fixed
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    counted = root > 0
    X = fixed.columns(design, slice(0, design.n))
    y = (design.y - X @ fixed.centre) / fixed.scale
    return Rows(
        (root[:, None] * (X @ fixed.transform))[counted],
        (root * y)[counted],
        tuple(
            (root[:, None] * (block.z @ inverse(basis)))[counted]
            for block, basis in zip(design.blocks, cross.basis, strict=True)
        ),
        tuple(block.codes[counted] for block in design.blocks),
        tuple(None if block.known is None else block.known.root for block in design.blocks),
    )


@dataclass(frozen=True)
class RowCriterion(Criterion):
    """A `Criterion` in the basis of the cross-products, evaluated by rows.

    Parameters
    ----------
    rows : Rows, optional
    """

    rows: Rows | None = None

    def __call__(self, theta: Array) -> RowEvaluation:  # type: ignore[override]
        """Return the evaluation at θ, shape (n_theta,)."""
        return RowEvaluation(self, np.asarray(theta, dtype=float))


class RowEvaluation:
    """The criterion at one θ by rows; a `Point` of a search.

    Attributes
    ----------
    theta : ndarray, shape (n_theta,)
    value : float
    prss : float
        Penalised residual sum of squares, in the units of the cross-products.
    """

    def __init__(self, criterion: RowCriterion, theta: Array) -> None:
        assert criterion.rows is not None
        self.criterion = criterion
        self.theta = theta
        self.rows = criterion.rows
        self.lams = criterion.factors(theta)
        self.value, self.prss = float("inf"), float("nan")
        if all(np.all(np.isfinite(lam)) for lam in self.lams):
            self._factorise()

    def _factorise(self) -> None:
        c, rows = self.criterion, self.rows
        self.effects = rows.effects(self.lams)
        n, q = self.effects.shape
        p = rows.X.shape[1]
        stacked = np.zeros((n + q, q + p + 1))
        stacked[:n, :q], stacked[:n, q:-1], stacked[:n, -1] = self.effects, rows.X, rows.y
        stacked[n:, :q] = np.eye(q)
        self.Q, upper = np.linalg.qr(stacked)
        diagonal = np.abs(np.diag(upper))
        self.prss = float(diagonal[-1] ** 2)
        if not (self.prss > 0 and np.all(diagonal > 0)):
            return
        value = c.constant + 2.0 * float(np.log(diagonal[:q]).sum())
        if c.reml:
            value += 2.0 * float(np.log(diagonal[q:-1]).sum())
        if c.sigma is None:
            value += c.nu * (1.0 + np.log(2.0 * np.pi * self.prss / c.nu))
        else:
            value += c.nu * np.log(2.0 * np.pi * c.sigma**2) + self.prss / self.variance
        self.value = float(value)
        self.residual = self.Q[:n, -1] * upper[-1, -1]
        self.spherical = -self.Q[n:, -1] * upper[-1, -1]

    @property
    def variance(self) -> float:
        """σ² in the units of the cross-products."""
        c = self.criterion
        return self.prss / c.nu if c.sigma is None else float((c.sigma / c.cross.fixed.scale) ** 2)

    @lazy
    def gradient(self) -> Array:
        """∂d/∂θ, shape (n_theta,)."""
        c, rows = self.criterion, self.rows
        n, q = self.effects.shape
        columns = slice(0, q + rows.X.shape[1] if c.reml else q)
        projected = self.Q[:n, columns] @ self.Q[n:, columns].T
        products = 2.0 * (projected - np.outer(self.residual, self.spherical / self.variance))
        slopes = rows.sums(self.lams, products)
        parts = [np.einsum("aij,ij->a", d, s) for d, s in zip(c.derivatives(self.theta), slopes, strict=True)]
        return np.concatenate(parts) if parts else np.zeros(0)

    @lazy
    def curvature(self) -> Array:
        """∂²d/∂θ², shape (n_theta, n_theta).

        With A_a = Z ∂Λ/∂θ_a, S_a = Q_upperᵀ A_a Q_lower, g_a = A_aᵀP y, and N the residual from Q, the log-determinants
        have 2 tr[N(A_a Q_lower)ᵀ N(A_b Q_lower)] − 2 tr(S_a S_b), and PRSS has 2 N(A_a u; −g_a)ᵀ N(A_b u; −g_b)
        − 2 g_aᵀg_b: all without the differences of large numbers.
        """
        c, rows = self.criterion, self.rows
        n, q = self.effects.shape
        own = self.Q[:, : q + rows.X.shape[1] if c.reml else q]
        mean = self.Q[:, :-1]
        moved = list(self._moved_effects())
        spreads: list[Array] = []
        products: list[Array] = []
        parts: list[Array] = []
        scores: list[Array] = []
        for A in moved:
            K = np.vstack([A @ own[n:], np.zeros((q, own.shape[1]))])
            products.append(own.T @ K)
            spreads.append(K - own @ products[-1])
            scores.append(A.T @ self.residual)
            effect = np.concatenate([A @ self.spherical, -scores[-1]])
            parts.append(effect - mean @ (mean.T @ effect))
        slopes = np.array([-2.0 * score @ self.spherical for score in scores])
        inner = 2.0 * (np.array(parts) @ np.array(parts).T - np.array(scores) @ np.array(scores).T)
        spread, product = np.array(spreads).reshape(len(moved), -1), np.array(products)
        out = 2.0 * (spread @ spread.T - np.einsum("aij,bji->ab", product, product)) + inner / self.variance
        if c.sigma is None:
            out -= np.outer(slopes, slopes) / (self.variance * self.prss)
        return np.asarray(0.5 * (out + out.T))

    @lazy
    def along(self) -> Array:
        """−∂PRSS/∂θ over σ², shape (n_theta,), as of `Evaluation`."""
        slopes = [float(self.residual @ (A @ self.spherical)) for A in self._moved_effects()]
        return np.array(slopes) * (2.0 / self.variance)

    def _moved_effects(self) -> Iterator[Array]:
        """Yield Z ∂Λ/∂θ_a of each θ_a, shape (n, q)."""
        zeros = [np.zeros_like(lam) for lam in self.lams]
        for f, slopes in enumerate(self.criterion.derivatives(self.theta)):
            for slope in slopes:
                yield self.rows.effects([*zeros[:f], slope, *zeros[f + 1 :]])

    @property
    def exact_curvature(self) -> Array:
        """`curvature`, shape (n_theta, n_theta)."""
        return self.curvature

    def tail_factor(self) -> Array:
        """Return L of the tail of the cross-products, shape (m, m), lower triangular with a positive diagonal.

        It is the transposed last block of R, from columns in the order first factor, tail, X, y; see `dense_tail`.
        """
        cross, rows = self.criterion.cross, self.rows
        order = [f for f in (cross.first_block, *(place.block for place in cross.tail)) if f >= 0]
        roots = tuple(rows.roots[f] for f in order)
        levels = [rows.levels(f) for f in order]
        plain = tuple(np.eye(count) for count in levels)
        own = Rows(
            rows.X, rows.y, tuple(rows.z[f] for f in order), tuple(rows.codes[f] for f in order), plain
        )
        lams = [self.lams[f] for f in order]
        effects = own.effects(lams)
        n, q = effects.shape
        stacked = np.zeros((n + q, q + rows.X.shape[1] + 1))
        stacked[:n] = np.column_stack([effects, rows.X, rows.y])
        stacked[n:, :q] = _prior_root(levels, lams, roots)
        upper = triangle(stacked)
        first = int(np.prod(cross.first.gram.shape[:2]))
        lower = upper[first:, first:].T
        return np.ascontiguousarray(lower * np.where(np.diag(lower) < 0, -1.0, 1.0))

    def slope(self, f: int) -> Array:
        """Return ∂d/∂(λλᵀ) of block f, symmetric, shape (k, k); defined at singular λ."""
        n, q = self.effects.shape
        columns = slice(0, q + self.rows.X.shape[1] if self.criterion.reml else q)
        own, z, shares = self.Q[:n, columns], self.rows.z[f], self.rows.shares(f)
        out = np.zeros((z.shape[1], z.shape[1]))
        for level in range(self.rows.levels(f)):
            at = shares[:, level] != 0.0
            mine = z[at] * shares[at, level][:, None]
            projected, score = own[at].T @ mine, mine.T @ self.residual[at]
            out += mine.T @ mine - projected.T @ projected - np.outer(score, score) / self.variance
        return out

    def discard(self) -> None:
        """Do nothing: the matrices are small."""


def _prior_root(levels: Sequence[int], lams: Sequence[Array], roots: Sequence[Array | None]) -> Array:
    """Return R with RᵀR = D of all blocks: the identity, or L⁻¹ ⊗ I with known relationships A = LLᵀ."""
    parts = [
        np.eye(count * len(lam)) if root is None else np.kron(inverse(root), np.eye(len(lam)))
        for count, lam, root in zip(levels, lams, roots, strict=True)
    ]
    ends = np.cumsum([0, *(len(part) for part in parts)])
    out = np.zeros((ends[-1], ends[-1]))
    for part, start in zip(parts, ends[:-1], strict=True):
        out[start : start + len(part), start : start + len(part)] = part
    return out
