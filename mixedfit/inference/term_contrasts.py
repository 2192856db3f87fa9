"""The hypotheses that an analysis of variance tests for each term: types I, II and III.

R is the triangular factor of XᵀX. Type I: the rows of R that belong to the term, terms in order (the Doolittle
factor of XᵀX). Type II: the same after the columns of the term, and of those that contain it, were moved to the
end. Type III: SAS's general estimable functions, as lmerTest computes them (Kuznetsova, Brockhoff & Christensen
2017, J. Stat. Softw. 82(13), section 2.4; SAS/STAT, The Four Types of Estimable Functions): in the columns D of all
indicators of all terms, rows of D's row space are made orthogonal to those of the terms that contain theirs. They
are the same whatever the contrasts of the factors. A term contains another if it has all its variables, further
labels, and the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._lazy import lazy
from .._types import Array, IntArray
from ..errors import ModelError
from ..fit import Fit
from ..recipe import FixedTerm, Recipe
from .codings import Indicators, indicators
from .estimable import ColumnSpace

__all__ = ["TermContrasts"]


@dataclass(frozen=True, eq=False)
class TermContrasts:
    """The hypotheses of a fit's terms.

    Parameters
    ----------
    fit : Fit
    recipe : Recipe
    """

    fit: Fit
    recipe: Recipe

    @lazy
    def terms(self) -> tuple[FixedTerm, ...]:
        """Terms other than the intercept."""
        return tuple(term for term in self.recipe.terms if term.variables)

    @lazy
    def space(self) -> ColumnSpace:
        """Columns of X."""
        return ColumnSpace(self.fit)

    @lazy
    def kept(self) -> IntArray:
        """Columns of X that are estimated."""
        return np.flatnonzero(self.fit.kept[: len(self.fit.design.x_names)])

    def of_type(self, kind: int) -> dict[str, Array]:
        """Return the hypotheses of type 1, 2 or 3 by term: shape (rank, p) each, over all fixed effects.

        Raises
        ------
        ModelError
            If type 1 or 2 is asked for with a many-level fixed factor, or type 3 cannot be built.
        """
        own = len(self.fit.design.x_names)
        many = [term for term in self.terms if term.columns and term.columns[0] >= own]
        if many and kind != 3:
            raise ModelError(
                f"type {kind} needs the columns of every term, and {many[0].name!r} has too many levels for "
                "that; use type=3."
            )
        unknown = [t.name for t in self.terms if t.columns and not t.products and t not in many]
        if unknown and kind == 3:
            raise ModelError(
                f"how the columns of {unknown[0]!r} come about is not known, so type III hypotheses cannot be "
                "built; use type=1 or type=2."
            )
        if len(self.terms) == 1 and not many:
            kind = 1  # the same hypothesis, in the form in which lmerTest gives it
        found = {1: self._sequential, 2: self._marginal, 3: self._estimable}[kind]()
        own_rows = {t.name: found[t.name] if t.name in found else self._own(t) for t in self.terms}
        return {name: self._estimated(rows) for name, rows in own_rows.items()}

    def _estimated(self, rows: Array) -> Array:
        """Return rows over the estimated columns, without those that are 0 there."""
        own = np.where(self.fit.kept.astype(bool), rows, 0.0)
        return np.asarray(own[np.abs(own).max(axis=1, initial=0.0) > 0])

    def _own(self, term: FixedTerm) -> Array:
        """Return a row for every estimated column of a term."""
        columns = [c for c in term.columns if self.fit.kept[c]]
        out = np.zeros((len(columns), len(self.fit.coefficient_names)))
        out[np.arange(len(columns)), columns] = 1.0
        return out

    def _rows(self, columns: IntArray, places: Sequence[int]) -> Array:
        """Return rows `places` of the triangular factor of these columns, over all fixed effects."""
        R = self.space.triangle[:, columns]
        norms = np.linalg.norm(R, axis=0)
        at = list(places)
        upper = np.asarray(np.linalg.qr(R / norms, mode="r"))[at] * norms
        out = np.zeros((len(at), len(self.fit.coefficient_names)))
        # rows of unit diagonal, as of Doolittle's factor: Satterthwaite's joint df depend on their scale
        out[:, columns] = upper / upper[np.arange(len(at)), at][:, None]
        return out

    def _sequential(self) -> dict[str, Array]:
        position = {int(column): i for i, column in enumerate(self.kept)}
        return {
            term.name: self._rows(self.kept, [position[c] for c in term.columns if c in position])
            for term in self.terms
        }

    def _marginal(self) -> dict[str, Array]:
        out = {}
        for term in self.terms:
            own = [c for c in self.kept if c in term.columns]
            above = [c for other in self._containing(term) for c in other.columns]
            if not above:
                continue
            last = [c for c in self.kept if c in above]
            first = [c for c in self.kept if c not in own and c not in above]
            order = np.array([*first, *own, *last], dtype=np.int64)
            out[term.name] = self._rows(order, range(len(first), len(first) + len(own)))
        return out

    def _containing(self, term: FixedTerm) -> list[FixedTerm]:
        """Return the terms that contain a term."""
        labels = self.indicators.labels
        own = set(term.factors)
        return [
            other
            for other in self.terms
            if own < set(other.factors)
            and {f for f in own if f not in labels} == {f for f in other.factors if f not in labels}
        ]

    @lazy
    def indicators(self) -> Indicators:
        """The columns of all indicators."""
        return indicators(self.recipe)

    def _estimable(self) -> dict[str, Array]:
        """Return type III hypotheses; see `lmerTest:::extract_contrasts_type3`."""
        D = self.indicators
        full = self.space.triangle @ D.in_x
        size = np.linalg.norm(np.abs(self.space.triangle) @ np.abs(D.in_x), axis=0)
        full[:, np.linalg.norm(full, axis=0) < 1e-10 * size] = 0.0  # indicators of empty cells
        columns = _independent(full, D.coded)
        L = _solve(full[:, columns], full).T
        place = {
            t.name: [i for i, c in enumerate(columns) if D.term[c] == t.name]
            for t in self.terms
            if t.products
        }
        for term in sorted(self.terms, key=lambda term: -len(term.factors)):
            own = place.get(term.name, [])
            above = [i for other in self._containing(term) for i in place.get(other.name, [])]
            if own and above:
                basis = L[:, above]
                L[:, own] -= basis @ np.linalg.lstsq(basis, L[:, own])[0]
        chosen = _without_noise(L[columns])
        turn = _without_noise(_solve(full[:, columns], self.space.triangle[:, self.kept]))
        out = {}
        for term in self.terms:
            if term.name not in place:
                continue
            rows = np.zeros((len(place[term.name]), len(self.fit.coefficient_names)))
            rows[:, self.kept] = _without_noise(chosen[:, place[term.name]].T @ turn)
            out[term.name] = rows
        return out


def _solve(A: Array, B: Array) -> Array:
    """Return the least-squares solution of AX = B for A of full rank, columns scaled first."""
    norms = np.linalg.norm(A, axis=0)
    return np.asarray(np.linalg.lstsq(A / norms, B)[0] / norms[:, None])


def _independent(columns: Array, candidates: Sequence[int]) -> list[int]:
    """Return the candidates that no earlier ones span, by Gram and Schmidt with R's tolerance."""
    basis = np.zeros((columns.shape[0], 0))
    kept = []
    for c in candidates:
        column = columns[:, c]
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)
        if np.linalg.norm(rest) > 1e-7 * max(float(np.linalg.norm(column)), 1e-300):
            kept.append(c)
            basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    return kept


def _without_noise(values: Array) -> Array:
    return np.where(np.abs(values) < 1e-9 * np.abs(values).max(initial=0.0), 0.0, values)
