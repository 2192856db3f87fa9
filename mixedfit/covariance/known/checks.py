"""Checks of a known relationship matrix: labels, symmetry, positive definiteness, size."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import eigvalsh, lapack

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, shown

__all__ = ["LARGEST", "SINGULAR", "cholesky_of", "labels_of", "singular_inverse", "symmetric_values"]

LARGEST = 5000
"""Largest number of levels: the dense matrices of a fit then take about 1 GB."""

ASYMMETRY = 1e-8
"""Largest difference of a matrix from its transpose, as a share of its largest element."""

SINGULAR = 1e-10
"""Reciprocal condition number, at unit diagonal, below which a matrix counts as singular."""


def labels_of(matrix: Any, labels: Sequence[Hashable] | None) -> tuple[pd.Index[Any], Any]:
    """Return the labels of the levels and the matrix without them.

    Raises
    ------
    ModelError
        If there are none, they are duplicated or missing, or those of rows and columns differ.
    """
    if isinstance(matrix, pd.DataFrame):
        own, matrix = _frame_labels(matrix, labels)
    elif labels is None:
        raise ModelError(
            "Known: the matrix has no labels. Give labels= with the level of each row, or a pandas frame with the "
            "levels as its index and columns."
        )
    else:
        own = pd.Index(list(labels))
    shape = np.shape(matrix)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ModelError(f"Known: the matrix has shape {shape}; expected a square one, (levels, levels).")
    if len(own) != shape[0]:
        raise ModelError(f"Known: {len(own)} labels for a matrix of {shape[0]} rows; give one for each row.")
    if own.hasnans:
        raise ModelError("Known: a label is missing (NaN); give each level a label.")
    twice = own[own.duplicated()].unique().tolist()
    if twice:
        listed = ", ".join(map(shown, twice[:10])) + (" …" if len(twice) > 10 else "")
        raise ModelError(f"Known: labels occur more than once: {listed}. Give each level one row.")
    return own, matrix


def _frame_labels(matrix: pd.DataFrame, labels: Any) -> tuple[pd.Index[Any], Any]:
    if labels is not None:
        raise ModelError("Known: the frame has its labels in its index; leave labels= out.")
    index, columns = matrix.index, matrix.columns
    if len(index) == len(columns) and not index.equals(columns):
        strange = [label for label in columns.tolist() if label not in index]
        if strange:
            raise ModelError(
                f"Known: {shown(strange[0])} is a column of the frame but not in its index; expected the same levels "
                "in both. A frame read from a file needs its first column as index: .set_index(...)."
            )
        if not columns.has_duplicates:
            matrix = matrix[index]
    return pd.Index(index.tolist()), matrix.to_numpy()


def symmetric_values(values: Any, labels: pd.Index[Any], keep_sparse: bool) -> Any:
    """Return a matrix of floats, dense or with `keep_sparse` as compressed columns, made exactly symmetric.

    Raises
    ------
    ModelError
        If it is too large, has values that are not finite numbers, or is not symmetric.
    """
    if len(labels) > LARGEST and not keep_sparse:
        raise ModelError(
            f"Known: {len(labels):,} levels; at most {LARGEST:,} are accepted of a dense matrix, because the fit "
            "factorises dense matrices of all levels. Leave out levels without rows, or give the inverse as a scipy "
            "sparse matrix, if it has few nonzero elements."
        )
    try:
        own = (
            sparse.csc_array(values, dtype=float)
            if sparse.issparse(values)
            else np.array(values, dtype=float)
        )
    except (TypeError, ValueError):
        raise ModelError("Known: the matrix must hold numbers.") from None
    data = own.data if sparse.issparse(own) else own
    if not np.all(np.isfinite(data)):
        raise ModelError("Known: the matrix has missing or infinite values; expected finite numbers.")
    change = abs(own - own.T)
    largest = float(change.max())
    if largest > ASYMMETRY * float(abs(own).max()):
        at = change.toarray() if sparse.issparse(change) else change
        i, j = divmod(int(np.argmax(at)), len(labels))
        raise ModelError(
            f"Known: the matrix is not symmetric: {own[i, j]:.6g} for ({shown(labels[i])}, {shown(labels[j])}) and "
            f"{own[j, i]:.6g} for ({shown(labels[j])}, {shown(labels[i])}). Give the same value in both places."
        )
    out = 0.5 * (own + own.T)
    return sparse.csc_array(out) if keep_sparse else out.toarray() if sparse.issparse(out) else out


def cholesky_of(matrix: Array, is_inverse: bool) -> Array:
    """Return the lower Cholesky factor of a matrix.

    Raises
    ------
    ModelError
        If it is not positive definite, or so nearly singular that its inverse has no correct digits.
    """
    diagonal = np.diagonal(matrix)
    if np.all(diagonal > 0):
        size = np.sqrt(diagonal)
        scaled = matrix / np.outer(size, size)
        factor, info = lapack.dpotrf(scaled, lower=1, clean=1)
        if info == 0:
            norm = float(np.abs(scaled).sum(axis=0).max())
            reciprocal, _ = lapack.dpocon(factor, norm, uplo="L")
            if reciprocal > SINGULAR:
                return np.asarray(size[:, None] * factor)
    raise ModelError(_not_positive(matrix, is_inverse))


def _not_positive(matrix: Array, is_inverse: bool) -> str:
    """Return the message for a matrix that is not positive definite."""
    values = eigvalsh(matrix)
    least, largest = float(values[0]), float(values[-1])
    found = f"its smallest eigenvalue is {least:.3g}, its largest {largest:.3g}"
    if least < -1e-8 * largest:
        return (
            f"Known: the matrix is not positive definite ({found}), so that it is no covariance matrix. Check how it "
            "was computed."
        )
    if is_inverse:
        return singular_inverse(found)
    return (
        f"Known: the matrix is positive semi-definite, not positive definite ({found}): some levels are linear "
        "combinations of others, such as clones, or a genomic matrix from fewer markers than levels. Give identical "
        "levels one label, or blend the matrix: 0.99 * A + 0.01 * numpy.eye(len(A))."
    )


def singular_inverse(found: str) -> str:
    """Return the message for an inverse that is singular."""
    return (
        f"Known: the inverse is singular ({found}), as of an intrinsic autoregression. Take a proper one, such as "
        "D − ρW with ρ < 1, or add a small number to the diagonal."
    )
