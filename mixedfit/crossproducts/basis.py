"""Well-conditioned bases of X, y and Z for cross-products.

Cross-products are computed in a basis that does not depend on the origin and unit of covariates:

* X̃ = XT has orthogonal columns of length √n;
* ỹ is the residual of least squares on X, divided by its scale;
* each unstructured term has Z = Z̃R, where Z̃ has orthogonal columns of length √n, so that λ̃ = Rλ; for other
  structures R is diagonal or a number.

X and y are first projected off fixed factors with many levels. T and R come from QR factorisations of the rows.
Rounding errors in them affect the conditioning only, not the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import DataError, ModelError
from mixedfit.core.linalg import inverse, triangle
from mixedfit.design.design import Design, RandomBlock

from .level_span import LevelSpan, level_span

__all__ = [
    "FixedBasis",
    "basis_of_effects",
    "basis_of_triangle",
    "check_scale",
    "effect_basis",
    "fixed_basis",
    "row_chunks",
]

RANK_TOLERANCE = 1e-10
"""A column is dropped if its residual on earlier columns is shorter than this share of its norm."""

DEPENDENT = 1e-12
"""Share of a random effect's column below which earlier columns of its term span it. A covariate shifted by 1e8 times
its SD has 1e-8 of its norm left, and is not spanned."""

CHUNK = 32768
"""Rows that are processed at a time."""


def row_chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Yield slices that cover n rows."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


@dataclass(frozen=True, slots=True, eq=False)
class FixedBasis:
    """The basis of X and y: X̃ = X₀T and ỹ = (y − M levels − X₀ centre) / scale with X₀ = X[:, kept] − M within.

    Attributes
    ----------
    kept : ndarray of int64, shape (p,)
        Linearly independent columns of X.
    transform : ndarray, shape (p, p)
        T, upper triangular.
    centre : ndarray, shape (p,)
        Least-squares coefficients of y − M levels on X₀.
    scale : float
        Root of the mean squared residual, in units of y.
    span : LevelSpan or None
        M, the columns of the fixed factors with many levels.
    within : ndarray, shape (columns of M, p)
        Least-squares coefficients of X[:, kept] on M.
    levels : ndarray, shape (columns of M,)
        Least-squares coefficients of y on M.
    """

    kept: IntArray
    transform: Array
    centre: Array
    scale: float
    span: LevelSpan | None
    within: Array
    levels: Array

    def columns(self, design: Design, rows: slice) -> Array:
        """Return X₀ = X[:, kept] − M within for some rows."""
        X = design.X[rows]
        if self.kept.size < X.shape[1]:
            X = X[:, self.kept]
        return X if self.span is None else X - self.span.times(self.within, rows)

    def response(self, design: Design, rows: slice) -> Array:
        """Return y − M levels for some rows."""
        y = design.y[rows]
        return y if self.span is None else y - self.span.times(self.levels, rows)


def fixed_basis(design: Design, root_weights: Array | None) -> FixedBasis:
    """Return the basis of X and y, from a QR factorisation of [X y].

    Parameters
    ----------
    design : Design
    root_weights : ndarray, shape (n,), or None
        Square roots of the weights.

    Raises
    ------
    ModelError
        If there are not more rows than fixed effects, or the fixed effects reproduce the response exactly.
    DataError
        If the numbers are too large or too small for their squares.
    """
    span = level_span(design) if design.many else None
    means = _span_coefficients(design, span)
    upper, norms = _triangle(design, span, means, root_weights)
    count = design.n if root_weights is None else int(np.count_nonzero(root_weights))
    return basis_of_triangle(design, upper, norms, count, span, means)


def basis_of_triangle(
    design: Design, upper: Array, norms: Array, count: int, span: LevelSpan | None, means: Array
) -> FixedBasis:
    """Return the basis of X and y from R of a QR factorisation.

    Parameters
    ----------
    design : Design
    upper : ndarray, shape (any, p + 1)
        R of [X y], after projection off the many-level factors.
    norms : ndarray, shape (p + 1,)
        Norms of the columns of [X y].
    count : int
        Number of rows with a positive weight.
    span : LevelSpan or None
    means : ndarray, shape (columns of M, p + 1)
        Coefficients of [X y] on the many-level factors.

    Raises
    ------
    ModelError, DataError
        As `fixed_basis`.
    """
    p = norms.size - 1
    kept = independent_columns(upper[:, :p], norms[:p])
    reduced = triangle(upper[:, [*kept, p]]) if kept.size < p else upper
    size = kept.size
    root = reduced[:size, :size]
    centre = np.asarray(np.linalg.solve(root, reduced[:size, size]) if size else np.zeros(0), dtype=float)
    with np.errstate(over="ignore"):
        rest = float(np.linalg.norm(reduced[size:, size]))
    total = size + (0 if span is None else span.columns)
    if count <= total:
        raise ModelError(
            f"{count} rows cannot determine {total} fixed effects and a residual variance; simplify the formula or "
            "use more data."
        )
    largest = float(max(np.abs(reduced).max(), norms.max()))
    check_scale(design, largest if largest > 1e100 else float(norms[p]), rest)
    scale = max(rest, 1e-300) / np.sqrt(count)
    transform = inverse(root) * np.sqrt(count) if size else np.zeros((0, 0))
    return FixedBasis(kept, np.triu(transform), centre, scale, span, means[:, kept], means[:, p])


def _span_coefficients(design: Design, span: LevelSpan | None) -> Array:
    """Return the coefficients of [X y] on the many-level factors, shape (columns, p + 1); 0 for the intercept."""
    p = design.X.shape[1]
    if span is None:
        return np.zeros((0, p + 1))
    means = np.zeros((span.columns, p + 1))
    for j in range(p + 1):
        if j == p or span.base < 0 or design.x_names[j] != "(Intercept)":
            means[:, j] = span.coefficients(design.y if j == p else design.X[:, j])
    span.release()
    return means


def _triangle(
    design: Design, span: LevelSpan | None, means: Array, root_weights: Array | None
) -> tuple[Array, Array]:
    """Return R of [X y] after projection off the many-level factors, and the norms of the columns of [X y]."""
    p = design.X.shape[1]
    upper = np.zeros((0, p + 1))
    squares = np.zeros(p + 1)
    for rows in row_chunks(design.n):
        block = np.empty((rows.stop - rows.start, p + 1))
        block[:, :p] = design.X[rows]
        block[:, p] = design.y[rows]
        if root_weights is not None:
            block *= root_weights[rows, None]
        if span is not None:
            squares += np.einsum("ij,ij->j", block, block)
            own = span.times(means, rows)
            block -= own if root_weights is None else root_weights[rows, None] * own
        upper = triangle(np.concatenate([upper, block]) if upper.size else block)
    with np.errstate(over="ignore"):
        return upper, np.linalg.norm(upper, axis=0) if span is None else np.sqrt(squares)


def check_scale(design: Design, norm: float, rest: float) -> None:
    """Raise an error if squares leave the range of floats, or the fixed effects reproduce the response exactly.

    Parameters
    ----------
    design : Design
    norm, rest : float
        Norms of the response and of its residual on the fixed effects.
    """
    if not 1e-100 < norm < 1e100 and norm != 0.0:
        raise DataError(
            f"the numbers are of size {norm:.1g}, and their squares cannot be computed; rescale the response and the "
            "predictors."
        )
    if rest <= 1e-13 * norm:
        raise ModelError(
            f"the fixed effects reproduce the response {design.formula.response!r} exactly (or it is constant): there "
            "is no variance to estimate. Check for a predictor computed from the response."
        )


def independent_columns(upper: Array, norms: Array) -> IntArray:
    """Return the columns of an upper-triangular factor that are linearly independent of earlier ones.

    Parameters
    ----------
    upper : ndarray, shape (rows, p)
    norms : ndarray, shape (p,)
        Norms relative to which a residual counts as 0; see `RANK_TOLERANCE`.
    """
    diagonal = np.abs(np.diag(upper))
    if diagonal.size == norms.size and bool(np.all(diagonal > RANK_TOLERANCE * norms)):
        return np.arange(norms.size, dtype=np.int64)
    kept: list[int] = []
    basis = np.zeros((upper.shape[0], 0))
    for j in range(upper.shape[1]):
        column = upper[:, j]
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > RANK_TOLERANCE * norms[j] and norms[j] > 0:
            kept.append(j)
            basis = np.column_stack([basis, rest / length])
    return np.array(kept, dtype=np.int64)


def effect_basis(design: Design, block: RandomBlock, fixed: FixedBasis, root_weights: Array | None) -> Array:
    """Return R of Z = Z̃R for one grouping factor, shape (k, k), block diagonal over its terms."""
    count = design.n if root_weights is None else int(np.count_nonzero(root_weights))
    if block.structure.invariance == "linear" and block.z is design.X and fixed.kept.size == block.k:
        return inverse(fixed.transform)
    if block.k == 1 and root_weights is None and block.effects == ("(Intercept)",):
        return np.ones((1, 1))
    upper = np.zeros((0, block.k))
    for rows in row_chunks(design.n):
        part = block.z[rows] if root_weights is None else block.z[rows] * root_weights[rows, None]
        upper = triangle(np.concatenate([upper, part]) if upper.size else part)
    return basis_of_effects(block, upper, count)


def basis_of_effects(block: RandomBlock, upper: Array, count: int) -> Array:
    """Return R of Z = Z̃R for one grouping factor from R of a QR factorisation of Z, shape (any, k)."""
    basis = np.zeros((block.k, block.k))
    at = 0
    for structure in block.structure.parts:
        here = slice(at, at + structure.k)
        own = _term_basis(upper[:, here], structure.invariance == "linear", count)
        basis[here, here] = np.eye(structure.k) * own[0, 0] if structure.invariance == "scale" else own
        at += structure.k
    return basis


def _term_basis(upper: Array, linear: bool, count: int) -> Array:
    """Return R of one term: triangular for an unstructured covariance (`linear`), otherwise diagonal."""
    norms = np.linalg.norm(upper, axis=0)
    norms = np.where(norms > 0, norms, np.sqrt(count))
    if linear and norms.size > 1:
        root = triangle(upper)
        diagonal = np.diag(root)
        if root.shape[0] == norms.size and bool(np.all(np.abs(diagonal) > DEPENDENT * norms)):
            return np.asarray(root * np.sign(diagonal)[:, None] / np.sqrt(count))
    return np.asarray(np.diag(norms / np.sqrt(count)))
