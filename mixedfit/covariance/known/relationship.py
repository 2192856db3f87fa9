"""`Known`: a known covariance matrix A between the levels of a grouping factor, b ~ N(0, Ω ⊗ A).

It is stored as the user gives it: as A, or as its inverse Q = A⁻¹. With LLᵀ = A, effects are drawn as Lu, u ~ N(0, I).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.linalg import cho_solve, solve_triangular
from scipy.sparse.csgraph import connected_components

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy

from .checks import LARGEST, cholesky_of, labels_of, symmetric_values
from .pedigree import pedigree_inverse
from .sparse_factor import SparseFactor

__all__ = ["Known"]

CHUNK = 256
"""Columns that are solved for at a time."""


class Known:
    """A known relationship (covariance) matrix A between the levels of a grouping factor.

    For ``mixedfit.lmm(..., known={"animal": Known(A)})``: the random effects of the factor are b ~ N(0, Ω ⊗ A), with A
    in place of the identity. A pedigree's or genomic relationships, shared branch lengths of a phylogeny, a spatial
    covariance.

    Parameters
    ----------
    matrix : pandas.DataFrame, array or scipy sparse array, shape (levels, levels)
        A, symmetric and positive definite; a frame has the levels as its index and columns.
    labels : sequence, optional
        Labels of the levels, for a matrix without them. Levels that have no row in the data get BLUPs too.
    inverse : bool
        Whether `matrix` is A⁻¹, such as the precision matrix of a conditional autoregression (CAR).

    Attributes
    ----------
    labels : pandas.Index
    is_inverse : bool
        Whether A⁻¹ was given.
    given : ndarray or sparse array, shape (levels, levels)
        The matrix given, in the order of `labels`.
    inbreeding : pandas.Series or None
        Coefficients of inbreeding of the levels, of matrices from a pedigree.

    Raises
    ------
    ModelError
        If the matrix is not square, symmetric and positive definite, or its labels are missing, duplicated or of
        another number.

    Notes
    -----
    The variance reported is that of a level with A_jj = 1. With A, or a dense inverse, the fit factorises dense
    matrices of all levels: time grows with levels³, and at most 5,000 levels are accepted. With a sparse inverse, as of
    a pedigree, it uses sparse matrices from about 1,000 levels on.

    Examples
    --------
    >>> import mixedfit as mf
    >>> A = mf.Known([[1.0, 0.5], [0.5, 1.0]], labels=["father", "son"])
    >>> A
    <Known: relationships of 2 levels>
    >>> A.covariance.loc["father", "son"]
    np.float64(0.5)
    """

    def __init__(
        self, matrix: Any, labels: Sequence[Hashable] | None = None, *, inverse: bool = False
    ) -> None:
        if isinstance(matrix, Known):
            raise ModelError("Known was given a Known; expected a matrix.")
        self.labels, values = labels_of(matrix, labels)
        self.is_inverse = bool(inverse)
        self.given = symmetric_values(values, self.labels, sparse.issparse(values) and self.is_inverse)
        self.inbreeding: pd.Series[float] | None = None
        _ = self._sparse_factor if self.is_sparse else self._factor  # refuse what is not positive definite

    @classmethod
    def from_pedigree(
        cls, pedigree: Any, *, animal: str = "animal", sire: str = "sire", dam: str = "dam"
    ) -> Known:
        """Return the additive relationships of a pedigree, as the sparse inverse of their matrix.

        A_ij is twice the coefficient of kinship of i and j, so that A_ii = 1 + F_i with F the inbreeding. The inverse
        follows from the rules of Henderson (1976), Biometrics 32:69, with inbreeding; F by the algorithm of Meuwissen
        & Luo (1992), Genet. Sel. Evol. 24:305.

        Parameters
        ----------
        pedigree : frame or mapping of columns
            One row for each animal, in any order.
        animal, sire, dam : str
            Columns of the animal and its parents. A parent is unknown where it is missing, 0 or "". Parents without a
            row of their own are added as founders, before the others.

        Returns
        -------
        Known
            With `inbreeding`.

        Raises
        ------
        DataError
            If a column is missing, an animal has no label or two rows, or is its own ancestor.

        Examples
        --------
        >>> import mixedfit as mf
        >>> pedigree = {"animal": [3, 4, 5], "sire": [1, 1, 4], "dam": [2, 0, 3]}
        >>> mf.Known.from_pedigree(pedigree).inbreeding.to_dict()
        {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.125}
        """
        labels, inverse, coefficients = pedigree_inverse(pedigree, animal, sire, dam)
        out = cls(inverse, labels.tolist(), inverse=True)
        out.inbreeding = pd.Series(coefficients, index=labels, name="inbreeding")
        return out

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle and copies, without factors, which are computed anew."""
        return {name: self.__dict__[name] for name in ("labels", "is_inverse", "given", "inbreeding")}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Known) and self.equals(other)

    def __hash__(self) -> int:
        return hash(len(self))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        how = ", by their inverse" if self.is_inverse else ""
        return f"<Known: relationships of {len(self)} levels{how}>"

    @property
    def is_sparse(self) -> bool:
        """Whether A⁻¹ was given as a sparse matrix: fits of many levels then use sparse matrices too."""
        return bool(self.is_inverse and sparse.issparse(self.given))

    @lazy
    def _dense(self) -> Array:
        """The matrix given, dense."""
        if len(self) > LARGEST:
            raise ModelError(
                f"Known: a dense matrix of {len(self):,} levels is too large; at most {LARGEST:,} are computed. "
                "`given` has the sparse inverse."
            )
        return np.asarray(self.given.toarray() if sparse.issparse(self.given) else self.given, dtype=float)

    @lazy
    def _factor(self) -> Array:
        """Lower Cholesky factor of the matrix given."""
        return cholesky_of(self._dense, self.is_inverse)

    @lazy
    def _sparse_factor(self) -> SparseFactor:
        """Factor of a sparse inverse."""
        return SparseFactor.of(self.given)

    @lazy
    def _other(self) -> Array:
        """The inverse of the matrix given."""
        out = cho_solve((self._factor, True), np.eye(len(self)))
        return np.asarray(0.5 * (out + out.T))

    @property
    def values(self) -> Array:
        """A in the order of `labels`, shape (levels, levels)."""
        return self._other if self.is_inverse else self._dense

    @property
    def precision(self) -> Array:
        """A⁻¹ in the order of `labels`, shape (levels, levels)."""
        return self._dense if self.is_inverse else self._other

    @property
    def covariance(self) -> pd.DataFrame:
        """A with its labels."""
        return pd.DataFrame(self.values, index=self.labels, columns=self.labels)

    @lazy
    def log_determinant(self) -> float:
        """log|A|."""
        if self.is_sparse:
            return -self._sparse_factor.log_determinant
        value = 2.0 * float(np.log(np.diag(self._factor)).sum())
        return -value if self.is_inverse else value

    @lazy
    def diagonal(self) -> Array:
        """A_jj, shape (levels,)."""
        if self.inbreeding is not None:
            return np.asarray(1.0 + self.inbreeding.to_numpy(), dtype=np.float64)
        if not self.is_sparse:
            return np.asarray(np.diagonal(self.values))
        out, unit = np.empty(len(self)), np.eye(len(self), CHUNK)
        for start in range(0, len(self), CHUNK):
            solved = self.times(np.roll(unit, start, axis=0))
            here = np.arange(start, min(start + CHUNK, len(self)))
            out[here] = solved[here, here - start]
        return out

    def among(self, levels: IntArray, others: IntArray) -> Array:
        """Return A of some levels with others, shape (levels, others); both may repeat."""
        if not self.is_sparse or len(self) <= LARGEST:
            return np.asarray(self.values[np.ix_(levels, others)])
        distinct, where = np.unique(others, return_inverse=True)
        unit = np.zeros((len(self), distinct.size))
        unit[distinct, np.arange(distinct.size)] = 1.0
        return np.asarray(self.times(unit)[np.ix_(levels, where.reshape(-1))])

    @lazy
    def families(self) -> IntArray:
        """Number of the set of related levels that each level is in, shape (levels,); 0 in A between sets."""
        return np.asarray(
            connected_components(sparse.csr_array(self.given), directed=False)[1], dtype=np.int64
        )

    def times(self, values: Array) -> Array:
        """Return A times values of the levels, shape (levels, …)."""
        if not self.is_sparse:
            return np.tensordot(self.values, values, axes=1)
        flat = np.asarray(values).reshape(len(self), -1)
        return self._sparse_factor.solve(flat).reshape(np.shape(values))

    def root_times(self, values: Array) -> Array:
        """Return L times values of the levels, shape (levels, …), with LLᵀ = A."""
        if not self.is_sparse:
            return np.tensordot(self.root, values, axes=1)
        flat = np.asarray(values).reshape(len(self), -1)
        return self._sparse_factor.root_times(flat).reshape(np.shape(values))

    @lazy
    def root(self) -> Array:
        """L with LLᵀ = A, shape (levels, levels)."""
        if self.is_sparse:
            return self.root_times(np.eye(len(self)))
        if not self.is_inverse:
            return self._factor
        return np.asarray(solve_triangular(self._factor, np.eye(len(self)), lower=True, trans=1))

    def codes_of(self, name: str, levels: pd.Index[Any]) -> IntArray:
        """Return the places of the levels of a factor among the labels.

        Raises
        ------
        ModelError
            If a level is not among the labels.
        """
        places = self.labels.get_indexer(levels)
        lost = levels[places < 0].tolist()
        if lost:
            raise ModelError(_not_in_the_matrix(name, lost, self.labels))
        return places.astype(np.int64)

    def equals(self, other: Known | None) -> bool:
        """Return whether another matrix has the same levels and values, to rounding."""
        if other is None or len(other) != len(self):
            return False
        if other is self:
            return True
        places = other.labels.get_indexer(self.labels)
        if np.any(places < 0):
            return False
        if self.is_sparse and other.is_sparse:
            change = abs(other.given[places][:, places] - self.given).max()
            return bool(change <= 1e-8 * abs(self.given).max())
        return bool(np.allclose(other.values[np.ix_(places, places)], self.values, rtol=1e-8, atol=1e-10))


def _not_in_the_matrix(name: str, lost: Sequence[Any], labels: pd.Index[Any]) -> str:
    """Return the message for levels of the data that are not among the labels of the matrix."""
    listed = ", ".join(map(repr, lost[:10])) + (f", … ({len(lost)} in all)" if len(lost) > 10 else "")
    texts = {str(label): label for label in labels.tolist()}
    twin = texts.get(str(lost[0]))
    if twin is not None:
        return (
            f"known: the labels of the matrix of {name!r} are of type {type(twin).__name__}, such as {twin!r}; the "
            f"levels of the data are of type {type(lost[0]).__name__}: {listed}. Convert one of them."
        )
    verb = "is" if len(lost) == 1 else "are"
    return (
        f"known: {listed} of {name!r} {verb} in the data but not in the matrix, which has {len(labels)} levels, such "
        f"as {labels[0]!r}. Add them to the matrix, or leave their rows out."
    )
