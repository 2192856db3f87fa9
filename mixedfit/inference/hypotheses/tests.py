"""Tests of linear hypotheses about fixed effects: Lβ = r."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import qr

from mixedfit.core.arrays import Array, BoolArray
from mixedfit.core.distributions import f_probability, t_probability, t_quantile
from mixedfit.core.errors import ModelError
from mixedfit.core.format import format_by_error, format_fixed, format_p_value, text_columns, wrapped
from mixedfit.core.options import check_level
from mixedfit.estimation.fit import Fit
from mixedfit.inference.ddf import Ddf, Degrees, degrees_of_freedom, unknown_note

from .estimable import ColumnSpace
from .parse import read_hypotheses

__all__ = [
    "FTest",
    "TTest",
    "WaldTest",
    "f_test",
    "joint",
    "read_hypotheses",
    "t_rows",
    "t_test",
    "wald_test",
]


@dataclass(frozen=True, eq=False)
class TTest:
    """t tests, one a row.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns estimate, std_error, df, statistic, p_value, lower, upper; NaN where a contrast is not estimable.
    method : str
        Where the degrees of freedom come from.
    level : float
        Coverage of the intervals.
    notes : tuple of str
        Which contrasts are not estimable.
    """

    table: pd.DataFrame
    method: str
    level: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        t = self.table
        columns = [
            format_by_error(t["estimate"].tolist(), t["std_error"]),
            format_by_error(t["std_error"].tolist(), t["std_error"]),
            format_fixed(t["df"].tolist(), 2, whole=True),
            format_fixed(t["statistic"].tolist(), 3),
            [format_p_value(p, 4) for p in t["p_value"]],
            *(format_by_error(t[side].tolist(), t["std_error"]) for side in ("lower", "upper")),
        ]
        lines = text_columns(["", *t.columns], [[*map(str, t.index)], *columns], left=1)
        return "\n".join([f"t tests, degrees of freedom: {self.method}", *lines, *wrapped(self.notes)])

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class FTest:
    """One F test of several hypotheses together.

    Attributes
    ----------
    statistic : float
    df_num, df_denom : float
        Numerator degrees of freedom: the rank of the hypotheses.
    p_value : float
    method : str
    mean_square : float
        The statistic before Kenward and Roger's scaling, times σ².
    """

    statistic: float
    df_num: int
    df_denom: float
    p_value: float
    method: str
    mean_square: float = float("nan")

    def __str__(self) -> str:
        return (
            f"F test, degrees of freedom: {self.method}\n"
            f"F({self.df_num}, {self.df_denom:.2f}) = {self.statistic:.4f}, p = {self.p_value:.4g}"
        )

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class WaldTest:
    """One joint test of several hypotheses, by F or chi-square.

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
        Where the denominator degrees of freedom come from.
    """

    statistic: float
    p_value: float
    df: int
    df_denom: float
    distribution: str
    method: str

    def __str__(self) -> str:
        if self.distribution == "chi2":
            return f"Wald test: chi2({self.df}) = {self.statistic:.4f}, p = {self.p_value:.4g}"
        return (
            f"Wald test, degrees of freedom: {self.method}\n"
            f"F({self.df}, {self.df_denom:.2f}) = {self.statistic:.4f}, p = {self.p_value:.4g}"
        )

    __repr__ = __str__


def t_test(
    fit: Fit,
    hypotheses: Any,
    *,
    ddf: Ddf | None = None,
    level: float = 0.95,
) -> TTest:
    """Return t tests of contrasts, one by one; see `read_hypotheses` for how to write them.

    A contrast that the data do not determine is NaN and named in the notes. A single coefficient of the fit has the
    value that the summary gives it, with dropped coefficients at 0.
    """
    check_level(level)
    L, r, labels = read_hypotheses(fit, hypotheses)
    estimable = ColumnSpace(fit).estimable(L)
    kept = fit.kept.astype(bool)
    single = (np.count_nonzero(L, axis=1) == 1) & ~np.any(L[:, ~kept] != 0, axis=1)
    notes = _notes(
        fit, [name for name, ok, own in zip(labels, estimable, single, strict=True) if not (ok or own)]
    )
    conditional = [name for name, ok, own in zip(labels, estimable, single, strict=True) if own and not ok]
    if conditional:
        notes += (f"With dropped coefficients at 0: {', '.join(conditional)}.",)
    degrees = degrees_of_freedom(fit, ddf)
    rows = t_rows(degrees, L, r, estimable | single, level=level)
    if (rows["estimate"].notna() & rows["df"].isna()).any() and fit.design.many:
        notes += (unknown_note(fit),)
    return TTest(rows.set_axis(labels), degrees.name, level, notes)


def _notes(fit: Fit, names: list[str]) -> tuple[str, ...]:
    dropped = [name for name, kept in zip(fit.coefficient_names, fit.kept, strict=True) if not kept]
    if not names:
        return ()
    columns = ", ".join(dropped[:5]) + (" …" if len(dropped) > 5 else "")
    return (f"Not estimable (columns dropped for rank: {columns}): {'; '.join(names)}.",)


def t_rows(degrees: Degrees, L: Array, r: Array, estimable: BoolArray, *, level: float) -> pd.DataFrame:
    """Return estimate, std_error, df, statistic, p_value, lower, upper of contrasts L, shape (q, p)."""
    kept = degrees.fit.kept.astype(bool)
    beta = np.nan_to_num(degrees.fit.beta)
    rows = []
    for row, right, ok in zip(L, r, estimable, strict=True):
        if not ok:
            rows.append((float("nan"),) * 7)
            continue
        own = np.where(kept, row, 0.0)
        error, df = float(np.sqrt(degrees.covariance_of(own[None])[0, 0])), degrees.df(own)
        estimate = float(own @ beta)
        statistic = (estimate - right) / error if error > 0 else float("nan")
        half = t_quantile(0.5 + level / 2, df) * error
        p_value = t_probability(statistic, df)
        rows.append((estimate, error, df, statistic, p_value, estimate - half, estimate + half))
    columns = ["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def f_test(fit: Fit, hypotheses: Any, *, ddf: Ddf | None = None) -> FTest:
    """Return the F test of contrasts together; rows that follow from others are left out.

    Raises
    ------
    ModelError
        If the hypotheses are not estimable, contradict each other, or are all 0.
    """
    L, r, labels = read_hypotheses(fit, hypotheses)
    estimable = ColumnSpace(fit).estimable(L)
    if not estimable.all():
        wrong = [name for name, ok in zip(labels, estimable, strict=True) if not ok]
        raise ModelError(
            f"{_notes(fit, wrong)[0]} Test functions that the data determine, such as differences of cells that "
            "occur."
        )
    return joint(degrees_of_freedom(fit, ddf), L, r)


def joint(degrees: Degrees, L: Array, r: Array) -> FTest:
    """Return the F test of estimable hypotheses Lβ = r, shapes (q, p) and (q,)."""
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
    plain = float(gap @ np.linalg.solve(degrees.inner_covariance_of(rows.T), gap)) / len(L)
    statistic = scaling * plain
    p_value = f_probability(statistic, len(L), df)
    return FTest(statistic, len(L), df, p_value, degrees.name, plain * fit.sigma**2)


def wald_test(fit: Fit, hypotheses: Any, *, use_f: bool | None = None, ddf: Ddf | None = None) -> WaldTest:
    """Return the joint test of contrasts by F, or by chi-square.

    Raises
    ------
    ModelError
        As `f_test`.
    """
    degrees = degrees_of_freedom(fit, "normal" if ddf is None and use_f is False else ddf)
    test = f_test(fit, hypotheses, ddf=degrees.method)
    if use_f is None:
        use_f = degrees.method != "normal"
    if use_f:
        return WaldTest(test.statistic, test.p_value, test.df_num, test.df_denom, "F", test.method)
    chi2 = test.statistic * test.df_num
    p_value = f_probability(test.statistic, test.df_num, float("inf"))
    return WaldTest(chi2, p_value, test.df_num, float("inf"), "chi2", test.method)


def _full_rank(fit: Fit, L: Array, r: Array) -> tuple[Array, Array]:
    """Return independent hypotheses.

    Raises
    ------
    ModelError
        If there are none, or one that follows from the others has another right-hand side.
    """
    inner = fit.inner_contrasts(L)
    size = np.linalg.norm(inner, axis=1)
    if not size.any():
        raise ModelError("the hypotheses are all 0; give at least one coefficient a weight.")
    scale = np.where(size > 0, size, 1.0)
    rows, right = inner / scale[:, None], r / scale
    _, upper, order = qr(rows.T, mode="economic", pivoting=True)
    diagonal = np.abs(np.diag(upper))
    keep = np.sort(order[: int(np.sum(diagonal > 1e-9 * diagonal[0]))])
    implied = np.linalg.lstsq(rows[keep].T, rows.T)[0].T @ right[keep]
    if np.abs(implied - right).max() > 1e-7 * max(float(np.abs(right).max()), 1.0):
        raise ModelError("the hypotheses contradict each other: no coefficients fulfil all of them.")
    return L[keep], r[keep]
