"""F tests of the terms of the fixed part, by hypotheses of type I, II or III.

R is the triangular factor of XᵀX. Type I: the rows of R that belong to the term, terms in order (the Doolittle
factor of XᵀX). Type II: the same rows after the columns of the term, and of the terms that contain it, have been moved
to the end. Type III: SAS's general estimable functions, as in lmerTest (Kuznetsova, Brockhoff & Christensen
2017, J. Stat. Softw. 82(13), section 2.4; SAS/STAT, The Four Types of Estimable Functions). With D the indicator
columns of all terms, the term's rows of a basis of D's row space are made orthogonal to the rows of the terms that
contain it. These hypotheses do not depend on the contrasts of the factors. A term contains another if it has all its
variables, further factors, and the same covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mixedfit.core.arrays import Array, IntArray
from mixedfit.core.errors import ModelError
from mixedfit.core.format import format_numbers, format_p_value, text_columns, wrapped, zap_small
from mixedfit.core.lazy import lazy
from mixedfit.core.linalg import triangle
from mixedfit.core.notebook import NotebookTable
from mixedfit.design.recipe import FixedTerm, Recipe, usable
from mixedfit.estimation.fit import Fit
from mixedfit.inference.ddf import Ddf, degrees_of_freedom, unknown_note
from mixedfit.inference.hypotheses.estimable import ColumnSpace
from mixedfit.inference.hypotheses.tests import joint_f_test

from .effect_sizes import partial_effect_sizes
from .indicators import Indicators, indicators

__all__ = ["AnovaTable", "TermContrasts", "term_anova"]


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

    @lazy
    def space(self) -> ColumnSpace:
        """Column space of X."""
        return ColumnSpace(self.fit)

    @lazy
    def kept(self) -> IntArray:
        """Positions of the estimated columns of X."""
        return np.flatnonzero(self.fit.kept[: len(self.fit.design.x_names)])

    def of_type(self, kind: int) -> dict[str, Array]:
        """Return the hypotheses of type 1, 2 or 3 by term: L over all fixed effects, shape (rank, p) each.

        Raises
        ------
        ModelError
            For type 1 or 2 with a factor stored as codes, and if type 3 hypotheses cannot be built.
        """
        p = len(self.fit.design.x_names)
        many = [term for term in self.terms if term.columns and term.columns[0] >= p]
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
            kind = 1  # the same hypothesis as type 3, in lmerTest's form
        found = {1: self._sequential, 2: self._marginal, 3: self._estimable}[kind]()
        return {
            t.name: self._estimated(found[t.name] if t.name in found else self._unit_rows(t))
            for t in self.terms
        }

    def _estimated(self, rows: Array) -> Array:
        """Return rows with 0 for dropped columns, without rows that are then 0."""
        kept = np.where(self.fit.kept, rows, 0.0)
        return np.asarray(kept[kept.any(axis=1)])

    def _unit_rows(self, term: FixedTerm) -> Array:
        """Return unit vectors of the estimated columns of a term."""
        columns = [c for c in term.columns if self.fit.kept[c]]
        out = np.zeros((len(columns), len(self.fit.coefficient_names)))
        out[np.arange(len(columns)), columns] = 1.0
        return out

    def _rows(self, columns: IntArray, places: Sequence[int]) -> Array:
        """Return rows `places` of the triangular factor of some columns, over all fixed effects."""
        R = self.space.triangle[:, columns]
        norms = np.linalg.norm(R, axis=0)
        at = list(places)
        upper = triangle(R / norms)[at] * norms
        out = np.zeros((len(at), len(self.fit.coefficient_names)))
        # unit diagonal as in Doolittle's factor: Satterthwaite's df of the F test depend on the scale of the rows
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
        """Indicator columns of all terms."""
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
    """Return the candidates that are linearly independent of earlier ones, by Gram–Schmidt with R's tolerance."""
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
    """Return values with 0 for those that are rounding errors."""
    return np.where(np.abs(values) < 1e-9 * np.abs(values).max(initial=0.0), 0.0, values)


_ROMAN = {1: "I", 2: "II", 3: "III"}


@dataclass(frozen=True, eq=False)
class AnovaTable(NotebookTable):
    """F tests of the terms of the fixed part, a row for each term.

    Attributes
    ----------
    table : pandas.DataFrame
        Index: terms. Columns sum_sq, mean_sq (σ² times F before any scaling), df_num, df_denom, statistic, p_value.
    type : int
        1, 2 or 3.
    method : str
        Method for the denominator degrees of freedom.
    notes : tuple of str
        Terms that are not estimable, and other remarks.
    """

    table: pd.DataFrame
    type: int
    method: str
    notes: tuple[str, ...] = ()

    @property
    def _caption(self) -> str:
        return f"Type {_ROMAN[self.type]} tests of the terms of the fixed part"

    def effect_sizes(self) -> pd.DataFrame:
        """Return partial η², ω² and ε² of every term, from F and its degrees of freedom.

        Columns partial_eta_sq, partial_omega_sq, partial_epsilon_sq; see `partial_effect_sizes`.

        Examples
        --------
        >>> import mixedfit as mf
        >>> fit = mf.lmm("angle ~ recipe + temp + (1 | recipe:replicate)", mf.load_dataset("cake")).fit()
        >>> fit.anova().effect_sizes()["partial_eta_sq"].round(3).to_dict()
        {'recipe': 0.012, 'temp': 0.298}
        """
        return partial_effect_sizes(self.table)

    def __str__(self) -> str:
        known = {"Satterthwaite": "Satterthwaite's method", "normal": "the normal distribution (chi-square)"}
        by = known.get(self.method, f"{self.method} degrees of freedom")
        if self.method.startswith("Kenward-Roger"):
            by = "Kenward-Roger's method" + ("" if "expected" in self.method else ", observed information")
        head = f"Type {_ROMAN[self.type]} Analysis of Variance Table with {by}"
        if self.table.empty:
            return "\n".join([head, "(no terms but the intercept)"])
        t = self.table
        squares = zap_small([*t["sum_sq"], *t["mean_sq"]], 6)
        denominators = format_numbers(t["df_denom"].round(2).tolist(), 6)
        cells = [
            [str(name) for name in t.index],
            format_numbers(squares[: len(t)], 7),
            format_numbers(squares[len(t) :], 7),
            [str(int(v)) for v in t["df_num"]],
            ["Inf" if np.isinf(v) else text for v, text in zip(t["df_denom"], denominators, strict=True)],
            format_numbers(t["statistic"].round(4).tolist(), 9),
            [format_p_value(v, 4) for v in t["p_value"]],
        ]
        heads = ["", "Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]
        return "\n".join([head, *text_columns(heads, cells, left=1), *wrapped(self.notes)])

    __repr__ = __str__


def term_anova(fit: Fit, *, type: Literal[1, 2, 3] = 3, ddf: Ddf | None = None) -> AnovaTable:
    """Return F tests of the terms of the fixed part; see `TermContrasts` for the hypotheses.

    Raises
    ------
    ModelError
        If the type is unknown, or the terms of the fit are unknown.
    """
    text = str(type).strip().upper()
    number = next((n for n, roman in _ROMAN.items() if text in (str(n), roman)), None)
    if number is None:
        raise ModelError(f"type={type!r} is not known; expected 1, 2 or 3 (or 'I', 'II', 'III').")
    contrasts = TermContrasts(fit, usable(fit.design.recipe))
    degrees = degrees_of_freedom(fit, ddf)
    rows, names, notes = [], [], []
    for name, L in contrasts.of_type(number).items():
        names.append(name)
        if not len(L):
            rows.append((np.nan, np.nan, 0, np.nan, np.nan, np.nan))
            notes.append(f"{name}: not estimable, since other columns span its own.")
            continue
        test = joint_f_test(degrees, L, np.zeros(len(L)))
        total = test.mean_square * test.df_num
        rows.append((total, test.mean_square, test.df_num, test.df_denom, test.statistic, test.p_value))
    columns = ["sum_sq", "mean_sq", "df_num", "df_denom", "statistic", "p_value"]
    table = pd.DataFrame(rows, index=pd.Index(names, name="term"), columns=columns)
    if fit.design.many and (table["statistic"].notna() & table["df_denom"].isna()).any():
        notes.append(unknown_note(fit))
    if not fit.kept.all() and number == 3:
        notes.append("Some cells are empty or columns redundant: interpret type III hypotheses with care.")
    return AnovaTable(table, number, degrees.name, tuple(notes))
