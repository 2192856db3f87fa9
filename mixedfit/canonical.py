"""Well-conditioned bases: the columns of X, y and Z in which the criterion is computed.

Shifting or scaling a covariate changes the numbers of a model, not the model. Cross-products are taken in
a basis where this has been undone: X = X̃ T⁻¹ with orthonormal columns (times √n), y less its
least-squares fit and divided by its scale, and each unstructured term's Z = Z̃ R with orthonormal columns
(times √n), so that λ̃ = Rλ. The bases come from a QR factorisation of the rows; an error in them would
change the conditioning only, never the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ._linalg import inverse, triangle
from ._types import Array, IntArray
from .design import Design, RandomBlock
from .errors import DataError, ModelError

__all__ = ["FixedBasis", "check_scale", "effect_basis", "fixed_basis", "row_chunks"]

RANK_TOLERANCE = 1e-10
"""A column is dropped when what earlier columns leave of it is below this share of its norm."""

CHUNK = 32768


def row_chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Yield slices that cover n rows."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


@dataclass(frozen=True, slots=True, eq=False)
class FixedBasis:
    """The basis of X and y.

    Attributes
    ----------
    kept : ndarray of int64, shape (p,)
        Columns of X of full rank.
    transform : ndarray, shape (p, p)
        T, upper triangular: X̃ = X[:, kept] T.
    centre : ndarray, shape (p,)
        Least-squares coefficients; ỹ = (y − X centre) / scale.
    scale : float
    """

    kept: IntArray
    transform: Array
    centre: Array
    scale: float


def fixed_basis(design: Design, root_weights: Array | None) -> FixedBasis:
    """Return the basis of the fixed part from one QR pass over [X y].

    Parameters
    ----------
    design : Design
    root_weights : ndarray, shape (n,), or None
    """
    X, y = design.X, design.y
    n, p = X.shape
    upper = np.zeros((0, p + 1))
    for rows in row_chunks(n):
        block = np.empty((rows.stop - rows.start, p + 1))
        block[:, :p] = X[rows]
        block[:, p] = y[rows]
        if root_weights is not None:
            block *= root_weights[rows, None]
        upper = triangle(np.concatenate([upper, block]) if upper.size else block)
    kept = independent_columns(upper[:, :p])
    if design.many:
        kept = kept[_within_levels(design, kept, root_weights)]
    reduced = triangle(upper[:, [*kept, p]]) if kept.size < p else upper
    size = kept.size
    root = reduced[:size, :size]
    centre = np.asarray(np.linalg.solve(root, reduced[:size, size]) if size else np.zeros(0), dtype=float)
    count = n if root_weights is None else int(np.count_nonzero(root_weights))
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(reduced[:, size])) if reduced.size else 0.0
        rest = float(np.linalg.norm(reduced[size:, size]))
    total = size + sum(len(factor.names) for factor in design.many)
    if count <= total:
        raise ModelError(
            f"{count} rows cannot determine {total} fixed effects and a residual variance; simplify the formula or "
            "use more data."
        )
    largest = float(np.abs(reduced).max())
    check_scale(design, largest if largest > 1e100 else norm, rest)
    scale = max(rest, 1e-300) / np.sqrt(count)
    transform = inverse(root) * np.sqrt(count) if size else np.zeros((0, 0))
    return FixedBasis(kept, np.triu(transform), centre, scale)


def check_scale(design: Design, norm: float, rest: float) -> None:
    """Refuse numbers whose squares leave the range of floats, and responses without anything left to explain."""
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


def independent_columns(upper: Array) -> IntArray:
    """Return the columns of an upper-triangular factor that earlier ones do not span."""
    norms = np.linalg.norm(upper, axis=0)
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


def _within_levels(design: Design, kept: IntArray, root_weights: Array | None) -> IntArray:
    """Return the positions in `kept` that a many-level fixed factor does not span; intercepts stay."""
    weights = np.ones(design.n) if root_weights is None else root_weights**2
    residual = np.array(design.X[:, kept])
    for factor in design.many:
        codes = factor.grouping.codes
        levels = len(factor.grouping.levels)
        total = np.maximum(np.bincount(codes, weights, levels), 1e-300)
        for j in range(residual.shape[1]):
            residual[:, j] -= (np.bincount(codes, weights * residual[:, j], levels) / total)[codes]
    full = np.linalg.norm(design.X[:, kept], axis=0)
    left = np.linalg.norm(residual, axis=0)
    constant = np.ptp(design.X[:, kept], axis=0) == 0
    intercept = constant & bool(any(factor.first for factor in design.many))
    varying = np.flatnonzero((left > RANK_TOLERANCE * full) & ~intercept)
    upper = triangle(residual[:, varying])
    return np.sort(np.concatenate([np.flatnonzero(intercept), varying[independent_columns(upper)]]))


def effect_basis(design: Design, block: RandomBlock, fixed: FixedBasis, root_weights: Array | None) -> Array:
    """Return R, shape (k, k), with Z = Z̃ R for one grouping factor; block diagonal over its terms."""
    k = block.k
    count = design.n if root_weights is None else int(np.count_nonzero(root_weights))
    if block.structure.invariance == "linear" and block.z is design.X and fixed.kept.size == k:
        return inverse(fixed.transform)
    if k == 1 and root_weights is None and block.effects == ("(Intercept)",):
        return np.ones((1, 1))
    upper = np.zeros((0, k))
    for rows in row_chunks(design.n):
        part = block.z[rows] if root_weights is None else block.z[rows] * root_weights[rows, None]
        upper = triangle(np.concatenate([upper, part]) if upper.size else part)
    basis = np.zeros((k, k))
    at = 0
    for structure in block.structure.parts:
        here = slice(at, at + structure.k)
        basis[here, here] = _term_basis(upper[:, here], structure.invariance == "linear", count)
        at += structure.k
    return basis


def _term_basis(upper: Array, linear: bool, count: int) -> Array:
    """Return one term's R: triangular where its covariance absorbs any change of basis, else diagonal."""
    norms = np.linalg.norm(upper, axis=0)
    norms = np.where(norms > 0, norms, np.sqrt(count))
    if linear and norms.size > 1:
        root = triangle(upper)
        diagonal = np.diag(root)
        if root.shape[0] == norms.size and bool(np.all(np.abs(diagonal) > 1e-8 * norms)):
            return np.asarray(root * np.sign(diagonal)[:, None] / np.sqrt(count))
    return np.asarray(np.diag(norms / np.sqrt(count)))
