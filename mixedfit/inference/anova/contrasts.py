"""Hypotheses of type I, II and III about the terms of the fixed part.

An estimable function is aᵀXβ for a vector a in the column space of X. With D the indicator columns of all levels of all
terms, the hypotheses of a term are spaces of such a, which depend neither on the contrasts of the factors nor on which
of several dependent columns were dropped:

* type I: a in the span of the term and of the terms before it, orthogonal to the latter;
* type II: a in the span of the term and of all terms that do not contain it, orthogonal to the latter;
* type III: a orthogonal to all terms that do not contain the term, of which those are taken whose weights of D's
  columns are orthogonal to the weights of the hypotheses of the terms that contain it. These are SAS's (SAS/STAT, The
  Four Types of Estimable Functions; Kuznetsova, Brockhoff & Christensen 2017, J. Stat. Softw. 82(13), section 2.4).

A term contains another if it has all its variables, further factors, and the same covariates. What other terms span of
a term is not tested: nothing is left of a covariate beside a factor that has a level for each of its values.

Satterthwaite's df of an F test also depend on the rows that stand for such a space. They are lmerTest's under treatment
contrasts with the first level as reference, whatever the contrasts of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import inverse, triangle
from mixedfit.design.recipe import FixedTerm, Recipe
from mixedfit.estimation.fit import Fit
from mixedfit.inference.hypotheses.estimable import ColumnSpace

from .indicators import Indicators, indicators

__all__ = ["TermContrasts"]

TOLERANCE = 1e-10
"""What is left of a column counts as 0 below this share of its norm, as when columns of X are dropped."""

NOISE = 1e-9
"""Weights below this share of the largest possible one are rounding errors."""


@dataclass(frozen=True, eq=False)
class TermContrasts:
    """Hypotheses about the terms of a fit.

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

    def of_type(self, kind: int) -> dict[str, Array]:
        """Return the hypotheses of type 1, 2 or 3 by term: L over all fixed effects, shape (rank, p) each.

        Raises
        ------
        ModelError
            For type 1 or 2 with a factor stored as codes, and if type 3 hypotheses cannot be built.
        """
        many = [term for term in self.terms if self._is_many(term)]
        if many and kind != 3:
            raise ModelError(
                f"type {kind} needs the columns of every term, and {many[0].name!r} has too many levels for "
                "that; use type=3."
            )
        if kind == 3:
            self._check_known()
        if len(self.terms) == 1 and not many:
            kind = 1  # the same hypothesis as type 3, in lmerTest's form
        return {
            term.name: self._unit_rows(term) if self._is_many(term) else self._hypotheses(term, kind)
            for term in self.terms
        }

    def partly_spanned(self, term: FixedTerm) -> bool:
        """Return whether terms that neither contain a term nor are parts of it span some of it."""
        if self._is_many(term):
            return False
        own, containing = self._columns[:, self._coded([term])], self._containing(term)
        others = [t for t in self.recipe.terms if t is not term and t not in containing]
        parts = [t for t in others if set(t.factors) < set(term.factors)]
        return len(_independent(own, self._span(others))[1]) < len(_independent(own, self._span(parts))[1])

    def _check_known(self) -> None:
        """Refuse type III where the coding of a term is not known."""
        if self._unknown:
            raise ModelError(
                f"how the columns of {self._unknown[0]!r} come about is not known, so type III hypotheses cannot be "
                "built; use type=1 or type=2."
            )
        if self._indicators is None:
            raise ModelError(
                "the indicators of the terms are not combinations of the columns of X in this formula, so type III "
                "hypotheses cannot be built; use type=1 or type=2, or f_test."
            )

    @lazy
    def _unknown(self) -> list[str]:
        """Terms whose columns cannot be told apart into products of covariates and coded factors."""
        return [t.name for t in self.terms if t.columns and not t.products and not self._is_many(t)]

    def _is_many(self, term: FixedTerm) -> bool:
        return bool(term.columns) and term.columns[0] >= len(self.fit.design.x_names)

    # -- the spaces ----------------------------------------------------------------------------------

    def _hypotheses(self, term: FixedTerm, kind: int) -> Array:
        containing = self._containing(term)
        if kind == 3 or (kind == 2 and not containing):
            return self._estimable(term, containing)
        if kind == 1:
            rest = self.recipe.terms[: self.recipe.terms.index(term)]
        else:
            rest = tuple(t for t in self.recipe.terms if t is not term and t not in containing)
        own = self._coded([term])
        found, kept = _independent(self._columns[:, own], self._span(rest))
        # unit diagonal as in Doolittle's factor of XᵀX
        pivots = np.array([found[:, i] @ self._columns[:, own[c]] for i, c in enumerate(kept)])
        return self._rows(found / pivots)

    def _estimable(self, term: FixedTerm, containing: Sequence[FixedTerm]) -> Array:
        """Return type III hypotheses; weight 1 of one indicator of the term each, 0 of others that R's coding keeps."""
        space = self._free_of_others(term)
        if containing:
            nothing = np.zeros((space.shape[0], 0))
            above = _independent(np.hstack([self._free_of_others(t) for t in containing]), nothing)[0]
            cross = self._weights(space).T @ self._weights(above)
            space = space @ _complement(np.linalg.qr(cross)[0])
        others = self._span(t for t in self.recipe.terms if t is not term and t not in containing)
        coded = self._coded([term])
        pivots = [coded[i] for i in _independent(self._columns[:, coded], others)[1]]
        if len(pivots) == space.shape[1]:
            space = space @ inverse(self._columns[:, pivots].T @ space)
        return self._rows(space)

    def _free_of_others(self, term: FixedTerm) -> Array:
        """Return a basis of the vectors a that are orthogonal to the terms that do not contain a term."""
        inside = [term, *self._containing(term)]
        return _complement(self._span(t for t in self.recipe.terms if t not in inside))

    def _containing(self, term: FixedTerm) -> list[FixedTerm]:
        """Return the terms that contain a term."""
        labels = self._coding.labels
        own = set(term.factors)
        return [
            other
            for other in self.terms
            if own < set(other.factors)
            and {f for f in own if f not in labels} == {f for f in other.factors if f not in labels}
        ]

    def _unit_rows(self, term: FixedTerm) -> Array:
        """Return unit vectors of the estimated columns of a term."""
        columns = [c for c in term.columns if self.fit.kept[c]]
        out = np.zeros((len(columns), len(self.fit.coefficient_names)))
        out[np.arange(len(columns)), columns] = 1.0
        return out

    # -- the columns of D, and weights of the coefficients ------------------------------------------------

    @lazy
    def _indicators(self) -> Indicators | None:
        return indicators(self.recipe)

    @lazy
    def _coding(self) -> Indicators:
        """Indicator columns of all terms, or the columns of X where those cannot be built."""
        if self._indicators is not None and not self._unknown:
            return self._indicators
        p = len(self.recipe.x_names)
        names = {c: term.name for term in self.recipe.terms for c in term.columns}
        labels = frozenset(e for t in self.terms for own in t.products for e, _ in own.labels)
        return Indicators(np.eye(p), tuple(names[c] for c in range(p)), tuple(range(p)), labels)

    @lazy
    def _kept(self) -> IntArray:
        """Positions of the estimated columns of X."""
        return np.flatnonzero(self.fit.kept[: len(self.fit.design.x_names)])

    @lazy
    def _root(self) -> Array:
        """U with UᵀU = XᵀX for the estimated columns of X, less what factors stored as codes explain of them."""
        if self.fit.design.many:  # for type III alone, which depends on no metric
            return inverse(self.fit.cross.fixed.transform)
        kept = ColumnSpace(self.fit).counted[:, self._kept]
        norms = np.linalg.norm(kept, axis=0)
        return np.asarray(triangle(kept / norms) * norms)

    @lazy
    def _columns(self) -> Array:
        """Columns of D in the coordinates of U's rows, shape (rank, d)."""
        space = ColumnSpace(self.fit)
        p = len(self.fit.design.x_names)
        by_kept = np.zeros((self._kept.size, p))
        by_kept[np.arange(self._kept.size), self._kept] = 1.0
        for j, column in enumerate(space.dropped):
            if column < p:
                by_kept[:, column] = -space.null[self._kept, j]
        out = np.asarray(self._root @ by_kept @ self._coding.in_x)
        size = np.linalg.norm(np.abs(self._root) @ np.abs(by_kept) @ np.abs(self._coding.in_x), axis=0)
        out[:, np.linalg.norm(out, axis=0) < TOLERANCE * size] = 0.0  # indicators of empty cells
        return out

    def _coded(self, terms: Iterable[FixedTerm]) -> list[int]:
        """Return the indicators of some terms that R's treatment contrasts keep."""
        names = {term.name for term in terms}
        return [c for c in self._coding.coded if self._coding.term[c] in names]

    def _span(self, terms: Iterable[FixedTerm]) -> Array:
        """Return an orthonormal basis of the columns of some terms, shape (rank of X, their rank)."""
        nothing = np.zeros((self._root.shape[0], 0))
        return _independent(self._columns[:, self._coded(terms)], nothing)[0]

    def _weights(self, space: Array) -> Array:
        """Return the weights of D's coefficients in aᵀXβ, shape (d, number of vectors a)."""
        out = self._columns.T @ space
        small = np.linalg.norm(out, axis=1) <= NOISE * np.linalg.norm(self._columns, axis=0)
        return np.where(small[:, None], 0.0, out)

    def _rows(self, space: Array) -> Array:
        """Return the weights of the fixed effects in aᵀXβ, shape (number of vectors a, p)."""
        own = space.T @ self._root
        largest = np.linalg.norm(space, axis=0)[:, None] * np.linalg.norm(self._root, axis=0)
        out = np.zeros((own.shape[0], len(self.fit.coefficient_names)))
        out[:, self._kept] = np.where(np.abs(own) <= NOISE * largest, 0.0, own)
        return out


def _independent(columns: Array, basis: Array) -> tuple[Array, list[int]]:
    """Return orthonormal vectors that columns add to a basis, by Gram–Schmidt, and which of them add one."""
    own, kept = basis, []
    for c in range(columns.shape[1]):
        rest = columns[:, c] - own @ (own.T @ columns[:, c])
        rest -= own @ (own.T @ rest)
        if np.linalg.norm(rest) > TOLERANCE * max(float(np.linalg.norm(columns[:, c])), 1e-300):
            kept.append(c)
            own = np.column_stack([own, rest / np.linalg.norm(rest)])
    return own[:, basis.shape[1] :], kept


def _complement(basis: Array) -> Array:
    """Return an orthonormal basis of the vectors orthogonal to those of an orthonormal basis."""
    turned = cast(Array, np.linalg.qr(basis, mode="complete")[0])
    return turned[:, basis.shape[1] :]
