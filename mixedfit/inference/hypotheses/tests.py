"""t, F and Wald tests of linear hypotheses Lβ = r about the fixed effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import qr

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.distributions import f_probability, t_probability, t_quantile
from mixedfit.core.errors import ModelError
from mixedfit.core.format import (
    equals_p,
    format_by_error,
    format_fixed,
    format_p_value,
    format_p_values,
    text_columns,
    wrapped,
)
from mixedfit.core.names import plain_name, same_effect
from mixedfit.core.notebook import NotebookTable
from mixedfit.core.options import check_level
from mixedfit.core.tables import Table, one_row
from mixedfit.design.recipe import usable
from mixedfit.estimation.fit import Fit
from mixedfit.estimation.labels import FitNames, names_of
from mixedfit.inference.ddf import Ddf, Degrees, degrees_of_freedom, failed_note, failed_notes, unknown_note

from .estimable import ColumnSpace
from .parse import find_term, read_hypotheses, term_coefficients

__all__ = [
    "FTest",
    "TTest",
    "WaldTest",
    "f_test",
    "joint_f_test",
    "t_rows",
    "t_statistic",
    "t_test",
    "wald_test",
]


@dataclass(frozen=True, eq=False)
class TTest(NotebookTable):
    """t tests, a row for each hypothesis.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns estimate, std_error, df, statistic, p_value, lower, upper; NaN where a contrast is not estimable.
    method : str
        Method for the degrees of freedom.
    level : float
        Coverage of the intervals.
    notes : tuple of str
        Contrasts that are not estimable, and other remarks.
    """

    table: pd.DataFrame
    method: str
    level: float
    notes: tuple[str, ...] = ()
    _names: FitNames | None = field(default=None, repr=False)

    def __str__(self) -> str:
        t = self.table
        columns = [
            format_by_error(t["estimate"].tolist(), t["std_error"]),
            format_by_error(t["std_error"].tolist(), t["std_error"]),
            format_fixed(t["df"].tolist(), 2, whole=True),
            format_fixed(t["statistic"].tolist(), 3),
            format_p_values(t["p_value"].tolist(), "NA"),
            *(format_by_error(t[side].tolist(), t["std_error"]) for side in ("lower", "upper")),
        ]
        lines = text_columns(["", *t.columns], [[*map(str, t.index)], *columns], left=1)
        return "\n".join([f"t tests, degrees of freedom: {self.method}", *lines, *wrapped(self.notes)])

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class FTest(NotebookTable):
    """A joint F test of several hypotheses.

    Attributes
    ----------
    statistic : float
    df_num, df_denom : float
        Degrees of freedom; the numerator's are the rank of the hypotheses.
    p_value : float
    method : str
        Method for the degrees of freedom.
    mean_square : float
        The statistic before the Kenward–Roger scaling, times σ².
    notes : tuple of str
        The coefficients of a term that was named; why the statistic is NaN, if so.
    """

    statistic: float
    df_num: int
    df_denom: float
    p_value: float
    method: str
    mean_square: float = float("nan")
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"F test, degrees of freedom: {self.method}",
            _f_line(self, self.df_num),
            *wrapped(self.notes),
        ]
        return "\n".join(lines)

    def _tables(self) -> list[Table]:
        return [
            one_row(
                "F test", _f_cells(self, self.df_num), [f"Degrees of freedom: {self.method}.", *self.notes]
            )
        ]

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class WaldTest(NotebookTable):
    """A joint Wald test of several hypotheses, by F or chi-square.

    Attributes
    ----------
    statistic : float
        F, or chi-square.
    p_value : float
    df : int
        Number of independent hypotheses.
    df_denom : float
        Denominator degrees of freedom of F; infinite for chi-square.
    distribution : str
        "F" or "chi2".
    method : str
        Method for the denominator degrees of freedom.
    notes : tuple of str
        The coefficients of a term that was named; why the statistic is NaN, if so.
    """

    statistic: float
    p_value: float
    df: int
    df_denom: float
    distribution: str
    method: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.distribution == "chi2":
            line = f"Wald test: chi2({self.df}) = {self.statistic:.3f}, {equals_p(self.p_value)}"
        else:
            line = f"Wald test, degrees of freedom: {self.method}\n" + _f_line(self, self.df)
        return "\n".join([line, *wrapped(self.notes)])

    def _tables(self) -> list[Table]:
        if self.distribution != "chi2":
            return [
                one_row(
                    "Wald test", _f_cells(self, self.df), [f"Degrees of freedom: {self.method}.", *self.notes]
                )
            ]
        cells = {"χ²": f"{self.statistic:.3f}", "df": f"{self.df}", "p": format_p_value(self.p_value)}
        return [one_row("Wald test", cells, self.notes)]

    __repr__ = __str__


def _f_line(test: FTest | WaldTest, df_num: int) -> str:
    df = format_fixed([test.df_denom], 2, whole=True)[0]
    return f"F({df_num}, {df}) = {test.statistic:.3f}, {equals_p(test.p_value)}"


def _f_cells(test: FTest | WaldTest, df_num: int) -> dict[str, str]:
    return {
        "F": f"{test.statistic:.3f}",
        "Num. df": f"{df_num}",
        "Den. df": format_fixed([test.df_denom], 2, whole=True, infinite="∞")[0],
        "p": format_p_value(test.p_value),
    }


def t_test(
    fit: Fit,
    hypotheses: Any,
    *,
    ddf: Ddf | None = None,
    level: float = 0.95,
) -> TTest:
    """Return a t test of each contrast; see `read_hypotheses` for the notation.

    A contrast that is not estimable is NaN and named in the notes. A single kept coefficient is always tested, with
    its value in the summary, where dropped coefficients are 0.
    """
    check_level(level)
    L, r, labels = read_hypotheses(fit, hypotheses)
    estimable = ColumnSpace(fit).estimable(L)
    single = (np.count_nonzero(L, axis=1) == 1) & ~np.any(L[:, fit.kept == 0] != 0, axis=1)
    notes = []
    if not np.all(estimable | single):
        notes.append(_not_estimable(fit, labels, estimable | single))
    if np.any(single & ~estimable):
        conditional = [labels[i] for i in np.flatnonzero(single & ~estimable)]
        notes.append(f"With dropped coefficients at 0: {', '.join(conditional)}.")
    degrees = degrees_of_freedom(fit, ddf)
    rows = t_rows(degrees, L, r, estimable | single, level=level)
    if (rows["estimate"].notna() & rows["df"].isna()).any() and fit.design.many:
        notes.append(unknown_note(fit))
    empty = ~L.any(axis=1)
    if empty.any():
        notes.append(
            f"No coefficient has a weight in {'; '.join(np.array(labels)[empty])}: nothing is tested."
        )
    notes += failed_notes(degrees, rows["std_error"], labels, estimable | single)
    return TTest(rows.set_axis(labels), degrees.name, level, tuple(notes), names_of(fit))


def _not_estimable(fit: Fit, labels: Sequence[str], known: BoolArray) -> str:
    """Return the note that lists the hypotheses that are not known to be estimable."""
    dropped = [name for name, kept in zip(fit.coefficient_names, fit.kept, strict=True) if not kept]
    columns = ", ".join(dropped[:5]) + (" …" if len(dropped) > 5 else "")
    names = "; ".join(label for label, ok in zip(labels, known, strict=True) if not ok)
    return f"Not estimable (columns dropped for rank: {columns}): {names}."


def t_rows(degrees: Degrees, L: Array, r: Array, estimable: BoolArray, *, level: float) -> pd.DataFrame:
    """Return estimate, std_error, df, statistic, p_value, lower, upper of contrasts L, shape (q, p)."""
    rows = []
    for row, right, ok in zip(L, r, estimable, strict=True):
        if not ok:
            rows.append((float("nan"),) * 7)
            continue
        estimate, error, df, statistic, p_value = t_statistic(degrees, row, float(right))
        half = t_quantile(0.5 + level / 2, df) * error
        rows.append((estimate, error, df, statistic, p_value, estimate - half, estimate + half))
    columns = ["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def t_statistic(degrees: Degrees, contrast: Array, right: float) -> tuple[float, float, float, float, float]:
    """Return estimate, standard error, degrees of freedom, t and p-value of ℓᵀβ = r for ℓ of shape (p,)."""
    fit = degrees.fit
    own = np.where(fit.kept, contrast, 0.0)
    used = np.flatnonzero(own)
    estimate = float(own[used] @ fit.beta[used])
    variance = float(degrees.covariance_of(own[None])[0, 0])
    df = degrees.df(own) if variance >= 0 else float("nan")
    error = float(np.sqrt(variance)) if variance >= 0 else float("nan")
    statistic = (estimate - right) / error if error > 0 else float("nan")
    return estimate, error, df, statistic, t_probability(statistic, df)


def f_test(fit: Fit, hypotheses: Any, *, ddf: Ddf | None = None) -> FTest:
    """Return the joint F test of contrasts; linearly dependent ones are left out.

    Raises
    ------
    ModelError
        If the hypotheses are not estimable, contradict each other, or are all 0.
    """
    L, r, labels = read_hypotheses(fit, hypotheses)
    estimable = ColumnSpace(fit).estimable(L)
    if not estimable.all():
        raise ModelError(
            f"{_not_estimable(fit, labels, estimable)} Test functions that the data determine, such as differences of "
            "cells that occur."
        )
    test = joint_f_test(degrees_of_freedom(fit, ddf), L, r)
    return replace(test, notes=(*test.notes, *_term_note(fit, hypotheses)))


def _term_note(fit: Fit, hypotheses: Any) -> list[str]:
    """Return the note on the test of a term that is a part of others: its hypothesis depends on the coding."""
    own = term_coefficients(fit, hypotheses) if isinstance(hypotheses, str) else []
    if not own:
        return []
    term = find_term(fit, hypotheses)
    wanted = set(same_effect(hypotheses.strip() if term is None else term.name))
    larger = [
        plain_name(t.name) for t in usable(fit.design.recipe).terms if wanted < set(same_effect(t.name))
    ]
    tested = f"{hypotheses.strip()}: tests that {', '.join(own)} {'is' if len(own) == 1 else 'are'} 0"
    if not larger:
        return [f"{tested}."]
    return [f"{tested}, which depends on the coding of {', '.join(larger)}; see anova()."]


def joint_f_test(degrees: Degrees, L: Array, r: Array) -> FTest:
    """Return the joint F test of estimable hypotheses Lβ = r, shapes (q, p) and (q,)."""
    fit = degrees.fit
    kept = fit.kept.astype(bool)
    L, r = _full_rank(fit, np.where(kept, L, 0.0), r)
    df, scaling = degrees.f_df(L)
    inner = fit.inner_contrasts(L)
    size = np.linalg.norm(inner, axis=1)
    rows, upper = np.linalg.qr(
        (inner / size[:, None]).T
    )  # far from a covariate's origin L's are nearly parallel
    gap = np.linalg.solve(upper.T, (L[:, kept] @ fit.beta[kept] - r) / size)
    covariance = degrees.inner_covariance_of(rows.T)
    if np.isnan(scaling) or not _is_positive(covariance):
        nan = float("nan")
        return FTest(nan, len(L), nan, nan, degrees.name, notes=(failed_note(degrees.name, ["this test"]),))
    unscaled = float(gap @ np.linalg.solve(covariance, gap)) / len(L)
    statistic = scaling * unscaled
    p_value = f_probability(statistic, len(L), df)
    return FTest(statistic, len(L), df, p_value, degrees.name, unscaled * fit.sigma**2)


def _is_positive(covariance: Array) -> bool:
    """Return whether a covariance matrix is finite and positive definite."""
    return bool(np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance)[0] > 0)


def wald_test(fit: Fit, hypotheses: Any, *, use_f: bool | None = None, ddf: Ddf | None = None) -> WaldTest:
    """Return the joint Wald test of contrasts, by F or by chi-square; raises as `f_test`."""
    degrees = degrees_of_freedom(fit, "normal" if ddf is None and use_f is False else ddf)
    test = f_test(fit, hypotheses, ddf=degrees.method)
    if use_f is None:
        use_f = degrees.method != "normal"
    if use_f:
        return WaldTest(
            test.statistic, test.p_value, test.df_num, test.df_denom, "F", test.method, test.notes
        )
    chi2 = test.statistic * test.df_num
    p_value = f_probability(test.statistic, test.df_num, float("inf"))
    return WaldTest(chi2, p_value, test.df_num, float("inf"), "chi2", test.method, test.notes)


def _full_rank(fit: Fit, L: Array, r: Array) -> tuple[Array, Array]:
    """Return linearly independent hypotheses.

    Raises
    ------
    ModelError
        If all rows are 0, or a linearly dependent row contradicts the others.
    """
    inner = fit.inner_contrasts(L)
    size = np.linalg.norm(inner, axis=1)
    if not size.any():
        raise ModelError(
            "the hypotheses are all 0: no coefficient has a weight, so that they say nothing about the fixed effects. "
            "Give at least one coefficient a weight."
        )
    scale = np.where(size > 0, size, 1.0)
    rows, right = inner / scale[:, None], r / scale
    _, upper, order = qr(rows.T, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(upper))
    keep = np.sort(order[: int(np.sum(diagonal > 1e-9 * diagonal[0]))])
    implied = np.linalg.lstsq(rows[keep].T, rows.T)[0].T @ right[keep]
    if np.abs(implied - right).max() > 1e-7 * max(float(np.abs(right).max()), 1.0):
        raise ModelError("the hypotheses contradict each other: no coefficients fulfil all of them.")
    return L[keep], r[keep]
