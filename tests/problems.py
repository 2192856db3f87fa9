"""Random mixed models, each with its formula and frame beside the matrices that they stand for.

The matrices are built here by hand from the frame, and λ from θ, so that a comparison with the package also
covers its reading of the formula, its order of factors and its order of parameters.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from oracles import DenseModel, exactly

from mixedfit import MixedResults, RankWarning, lmm
from mixedfit.crossproducts import sparse_products as sparse_gram
from mixedfit.crossproducts.crossprod import cross_products
from mixedfit.design import model_matrix as matrices
from mixedfit.design.design import Design, build_design
from mixedfit.formula.parse import parse_formula
from mixedfit.likelihood import compiled as small
from mixedfit.likelihood import dense_tail
from mixedfit.likelihood import first_factor as first
from mixedfit.likelihood.criterion import Criterion

FEW = 3
"""Number of levels above which a fixed factor goes by codes in these problems."""


@dataclass(frozen=True)
class Term:
    """One random-effects term: what stands left and right of its bar."""

    group: str
    intercept: bool
    slopes: tuple[str, ...]
    correlated: bool = True

    @property
    def k(self) -> int:
        """Effects per level."""
        return int(self.intercept) + len(self.slopes)

    @property
    def n_theta(self) -> int:
        """Covariance parameters."""
        return self.k * (self.k + 1) // 2 if self.correlated else self.k

    def text(self) -> str:
        """Return the term as a formula writes it."""
        left = " + ".join([str(int(self.intercept)), *self.slopes])
        return f"({left} {'|' if self.correlated else '||'} {self.group})"

    def lam(self, theta: Any) -> Any:
        """Return λ of the term's own θ: the lower triangle column by column, or the diagonal."""
        lam = np.zeros((self.k, self.k), dtype=np.asarray(theta).dtype)
        if lam.dtype == object:
            lam[:] = exactly(0.0)
        if not self.correlated:
            lam[np.diag_indices(self.k)] = theta
            return lam
        columns, rows = np.triu_indices(self.k)
        lam[rows, columns] = theta
        return lam


@dataclass(frozen=True, eq=False)
class Problem:
    """A random model: frame and formula, and the matrices that they stand for.

    Attributes
    ----------
    frame : pandas.DataFrame
    fixed : str
        Fixed part of the formula.
    terms : tuple of Term
    weights : ndarray, shape (n,), or None
    scales : mapping of str to (scale, shift)
        What a column's standard normal numbers were multiplied by and shifted by (before the scale).
    """

    frame: pd.DataFrame
    fixed: str
    terms: tuple[Term, ...]
    weights: Any = None
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __repr__(self) -> str:
        weights = None if self.weights is None else self.weights.tolist()
        return f"Problem({self.formula!r}, weights={weights}, data={self.frame.to_dict('list')})"

    @property
    def formula(self) -> str:
        """The model's formula."""
        return " + ".join([f"y ~ {self.fixed}", *(term.text() for term in self.terms)])

    @property
    def y(self) -> Any:
        """The response, shape (n,)."""
        return self.frame["y"].to_numpy()

    @property
    def X(self) -> Any:  # noqa: N802
        """Columns of the fixed part, indicators of the many-level factor last, shape (n, p)."""
        return fixed_columns(self.fixed, self.frame)

    def groups(self) -> list[str]:
        """Return the grouping factors by decreasing number of levels, ties in the formula's order."""
        names = list(dict.fromkeys(term.group for term in self.terms))
        return sorted(names, key=lambda name: -(self.codes(name).max() + 1))

    def codes(self, group: str) -> Any:
        """Return the level of each row, levels in sorted order (the first of two factors varying slowest)."""
        codes = np.zeros(len(self.frame), dtype=int)
        for name in group.split(":"):
            own = np.unique(self.frame[name].astype(str), return_inverse=True)[1]
            codes = codes * len(self.frame) + own
        return np.unique(codes, return_inverse=True)[1]

    def z(self, group: str) -> Any:
        """Return the columns of all effects of a grouping factor, shape (n, k)."""
        one = np.ones(len(self.frame))
        return np.column_stack(
            [
                column
                for term in self.terms
                if term.group == group
                for column in [one] * term.intercept + [self.frame[x].to_numpy() for x in term.slopes]
            ]
        )

    @property
    def n_theta(self) -> int:
        """Number of covariance parameters."""
        return sum(term.n_theta for term in self.terms)

    def lams(self, theta: Any) -> list[Any]:
        """Return λ of every grouping factor at θ, in the order of `groups`."""
        theta, at, out = np.asarray(theta), 0, []
        for group in self.groups():
            blocks = []
            for term in (t for t in self.terms if t.group == group):
                blocks.append(term.lam(theta[at : at + term.n_theta]))
                at += term.n_theta
            out.append(block_diagonal(blocks))
        return out

    def dense(self, *, exact: bool = True) -> DenseModel:
        """Return the model as the oracle takes it."""
        groups = [(self.codes(g), self.z(g)) for g in self.groups()]
        return DenseModel(self.y, self.X, groups, self.weights, exact)

    def units(self) -> Any:
        """Return what one unit of each θ is where effects matter as much as the residual, shape (n_theta,)."""
        out = []
        for group in self.groups():
            for term in (t for t in self.terms if t.group == group):
                scale, shift = self.scales_of(term).T
                units = 1.0 / (scale * np.maximum(1.0, np.abs(shift)))
                out.append(units[np.triu_indices(term.k)[1]] if term.correlated else units)
        return np.concatenate(out)

    def scales_of(self, term: Term) -> Any:
        """Return scale and shift of each effect of a term, shape (k, 2)."""
        names = ["1"] * term.intercept + list(term.slopes)
        return np.array([self.scales.get(name, (1.0, 0.0)) for name in names])

    def saturated(self) -> bool:
        """Return whether fixed and random effects leave fewer than three rows to the residual."""
        rows = self.dense().rows
        columns = [self.X]
        for group in self.groups():
            indicators = np.eye(self.codes(group).max() + 1)[self.codes(group)]
            columns.append((indicators[:, :, None] * self.z(group)[:, None, :]).reshape(len(self.y), -1))
        matrix = np.column_stack(columns)[rows]
        matrix /= np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
        return bool(np.linalg.matrix_rank(matrix, tol=1e-9) > len(rows) - 3)

    def design(self) -> Design:
        """Return the package's design of formula and frame."""
        return build_design(parse_formula(self.formula), self.frame, weights=self.weights)

    def fit(self, **options: Any) -> MixedResults:
        """Return the package's fit; that columns of X were dropped goes without a warning here."""
        return self.fit_to(self.frame, **options)

    def fit_to(self, data: Any, **options: Any) -> MixedResults:
        """Return the package's fit to data in another container."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RankWarning)
            return lmm(self.formula, data, weights=self.weights).fit(**options)

    def criterion(self, *, reml: bool, sigma: float | None = None) -> Criterion:
        """Return the package's criterion."""
        design = self.design()
        structures = tuple(block.structure for block in design.blocks)
        return Criterion(cross_products(design), structures, reml, sigma)

    def with_columns(self, **columns: Any) -> Problem:
        """Return the problem with some columns of its frame replaced."""
        return replace(self, frame=self.frame.assign(**columns))


LARGE = (small, "SMALL_COLUMNS", 0)
"""No model counts as small."""

WAYS: dict[str, tuple[tuple[Any, str, float], ...]] = {
    "compiled": (),
    "dense": (LARGE,),
    "frugal": (LARGE, (dense_tail, "LARGE_TAIL", 0)),
    "sparse": ((sparse_gram, "SMALLEST", 0), (sparse_gram, "DENSE_SHARE", 1e9)),
    "threads": (LARGE, (first, "LEVELS_PER_THREAD", 1)),
}
"""Ways to compute the same numbers, which the size of the data chooses: constants to force each on small data."""


@contextmanager
def computing(way: str) -> Iterator[None]:
    """Let small data go one of the `WAYS` of large ones, and fixed factors with a few levels go by codes."""
    with ExitStack() as stack:
        for module, name, value in (*WAYS[way], (matrices, "MANY_LEVELS", FEW)):
            stack.enter_context(patch.object(module, name, value))
        yield


def block_diagonal(blocks: list[Any]) -> Any:
    """Return square matrices side by side on the diagonal, whatever their numbers are."""
    size = sum(len(block) for block in blocks)
    out = np.zeros((size, size), dtype=blocks[0].dtype)
    if out.dtype == object:
        out[:] = exactly(0.0)
    at = 0
    for block in blocks:
        out[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return out


def fixed_columns(fixed: str, frame: pd.DataFrame) -> Any:
    """Return X of a fixed part, indicators of the factor m last."""
    parts = fixed.split(" + ")
    columns = [np.ones(len(frame))] if parts[0] == "1" else []
    for part in [p for p in parts[1:] if p != "m"] + [p for p in parts[1:] if p == "m"]:
        if part in frame and part not in ("f", "m"):
            columns.append(frame[part].to_numpy())
            continue
        reference = int(parts[0] == "1")
        columns += [(frame[part] == level).to_numpy() * 1.0 for level in sorted(set(frame[part]))[reference:]]
    return np.column_stack(columns) if columns else np.zeros((len(frame), 0))
