"""Tests of linear hypotheses about fixed effects: Lβ = r."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .._types import Array
from ..errors import ModelError, nearest
from ..fit import Fit
from .degrees import Ddf, degrees_of_freedom, f_probability, t_probability, t_quantile

__all__ = ["FTest", "TTest", "f_test", "read_hypotheses", "t_test"]


@dataclass(frozen=True, eq=False)
class TTest:
    """t tests, one a row.

    Attributes
    ----------
    table : pandas.DataFrame
        Columns estimate, std_error, df, statistic, p_value, lower, upper.
    method : str
        Where the degrees of freedom come from.
    level : float
        Coverage of the intervals.
    """

    table: pd.DataFrame
    method: str
    level: float

    def __str__(self) -> str:
        return f"t tests, degrees of freedom: {self.method}\n{self.table.to_string(float_format='{:.6g}'.format)}"

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
    """

    statistic: float
    df_num: int
    df_denom: float
    p_value: float
    method: str

    def __str__(self) -> str:
        return (
            f"F test, degrees of freedom: {self.method}\n"
            f"F({self.df_num}, {self.df_denom:.2f}) = {self.statistic:.4f}, p = {self.p_value:.4g}"
        )

    __repr__ = __str__


def read_hypotheses(fit: Fit, hypotheses: Any) -> tuple[Array, Array, list[str]]:
    """Return L, shape (q, p), r, shape (q,), and a name for each row.

    Parameters
    ----------
    fit : Fit
    hypotheses : str, sequence, mapping or array
        A coefficient's name; text such as ``"Days = 10"`` or ``"recipeB - recipeC"`` (several parted by commas); a
        mapping from coefficients to numbers; several of these; or a matrix with a column for each coefficient.

    Raises
    ------
    ModelError
        If a name is not a coefficient, or the shape is wrong.
    """
    names = list(fit.coefficient_names)
    if isinstance(hypotheses, str):
        parts = [part.strip() for part in _split(hypotheses)]
        rows = [_read_text(part, names) for part in parts]
        return np.array([row for row, _ in rows]), np.array([r for _, r in rows]), parts
    if isinstance(hypotheses, Mapping):
        return _read_mapping(hypotheses, names)[None], np.zeros(1), [_written(hypotheses)]
    if isinstance(hypotheses, Sequence) and all(isinstance(h, str | Mapping) for h in hypotheses):
        read = [read_hypotheses(fit, h) for h in hypotheses]
        return (
            np.concatenate([L for L, _, _ in read]),
            np.concatenate([r for _, r, _ in read]),
            [label for _, _, labels in read for label in labels],
        )
    L = np.atleast_2d(np.asarray(hypotheses, dtype=float))
    if L.ndim != 2 or L.shape[1] != len(names):
        raise ModelError(
            f"a matrix of hypotheses has shape {L.shape}; expected {len(names)} columns: {names}."
        )
    return L, np.zeros(len(L)), [f"row {i + 1}" for i in range(len(L))]


def _split(text: str) -> list[str]:
    """Cut at commas outside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _read_mapping(weights: Mapping[str, float], names: Sequence[str]) -> Array:
    row = np.zeros(len(names))
    for name, weight in weights.items():
        row[_position(str(name), names)] += float(weight)
    return row


def _written(weights: Mapping[str, float]) -> str:
    return " + ".join(f"{weight:g}*{name}" for name, weight in weights.items())


def _position(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ModelError(
            f"{name!r} is not a fixed effect of this fit ({', '.join(names)}). {nearest(name, names)}"
        )
    return list(names).index(name)


def _read_text(text: str, names: Sequence[str]) -> tuple[Array, float]:
    """Return the row and right-hand side of one equation; without ``=`` it is "= 0"."""
    left, _, right = text.partition("=")
    row, constant = _linear(left, names, text)
    other, shift = _linear(right.lstrip("=") or "0", names, text)
    return row - other, shift - constant


def _linear(text: str, names: Sequence[str], whole: str) -> tuple[Array, float]:
    """Return the coefficients and the constant of a linear expression in coefficients' names."""
    for name in sorted(names, key=len, reverse=True):
        pattern = rf"(?<![\w\]:.(]){re.escape(name)}(?![\w\[:.])"
        text = re.sub(pattern, f" _beta{list(names).index(name)}_ ", text)
    try:
        return _evaluate(ast.parse(text.strip(), mode="eval").body, len(names))
    except (SyntaxError, ValueError) as error:
        unknown = [
            w for w in re.findall(r"[^\W\d_][\w.:]*", re.sub(r"_beta\d+_", "", text)) if w not in names
        ]
        hint = (
            f" {unknown[0]!r} is not a fixed effect. {nearest(unknown[0], names)}" if unknown else f" {error}"
        )
        raise ModelError(
            f"the hypothesis {whole!r} is not a linear equation in the fixed effects ({', '.join(names)}).{hint}"
        ) from None


def _evaluate(node: ast.expr, p: int) -> tuple[Array, float]:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return np.zeros(p), float(node.value)
    if isinstance(node, ast.Name) and re.fullmatch(r"_beta\d+_", node.id):
        return np.eye(p)[int(node.id[5:-1])], 0.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        row, constant = _evaluate(node.operand, p)
        sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
        return sign * row, sign * constant
    if isinstance(node, ast.BinOp):
        (row, constant), (other, number) = _evaluate(node.left, p), _evaluate(node.right, p)
        if isinstance(node.op, ast.Add):
            return row + other, constant + number
        if isinstance(node.op, ast.Sub):
            return row - other, constant - number
        if isinstance(node.op, ast.Mult) and not (row.any() and other.any()):
            return row * number + other * constant, constant * number
        if isinstance(node.op, ast.Div) and not other.any() and number != 0:
            return row / number, constant / number
    raise ValueError("only sums, differences and multiples of coefficients can be tested.")


def t_test(
    fit: Fit,
    hypotheses: Any,
    *,
    ddf: Ddf | None = None,
    level: float = 0.95,
) -> TTest:
    """Return t tests of contrasts, one by one; see `read_hypotheses` for how to write them."""
    L, r, labels = read_hypotheses(fit, hypotheses)
    degrees = degrees_of_freedom(fit, ddf)
    beta = np.nan_to_num(fit.beta)
    rows = []
    for row, right in zip(L, r, strict=True):
        error, df = _error(row, degrees.covariance, fit.kept), degrees.df(row)
        estimate = float(row @ beta) if np.isfinite(error) else float("nan")
        statistic = (estimate - right) / error
        half = t_quantile(0.5 + level / 2, df) * error
        p_value = t_probability(statistic, df)
        rows.append((estimate, error, df, statistic, p_value, estimate - half, estimate + half))
    columns = ["estimate", "std_error", "df", "statistic", "p_value", "lower", "upper"]
    return TTest(pd.DataFrame(rows, index=labels, columns=columns), degrees.name, level)


def _error(row: Array, covariance: Array, kept: Array) -> float:
    used = row != 0
    if np.any(used & ~kept.astype(bool)):
        return float("nan")
    return float(np.sqrt(row[used] @ covariance[np.ix_(used, used)] @ row[used]))


def f_test(fit: Fit, hypotheses: Any, *, ddf: Ddf | None = None) -> FTest:
    """Return the F test of contrasts together; rows that follow from others are left out.

    Raises
    ------
    ModelError
        If the hypotheses involve a coefficient that was dropped, or are all 0.
    """
    L, r, _ = read_hypotheses(fit, hypotheses)
    kept = fit.kept.astype(bool)
    if np.any(L[:, ~kept] != 0):
        raise ModelError(
            "the hypotheses involve a coefficient that was dropped for rank; it cannot be tested."
        )
    L, r = _full_rank(L, r)
    degrees = degrees_of_freedom(fit, ddf)
    df, scaling = degrees.f_df(L)
    gap = L[:, kept] @ fit.beta[kept] - r
    middle = L[:, kept] @ degrees.covariance[np.ix_(kept, kept)] @ L[:, kept].T
    statistic = scaling * float(gap @ np.linalg.solve(middle, gap)) / len(L)
    return FTest(statistic, len(L), df, f_probability(statistic, len(L), df), degrees.name)


def _full_rank(L: Array, r: Array) -> tuple[Array, Array]:
    keep: list[int] = []
    for i in range(len(L)):
        if np.linalg.matrix_rank(L[[*keep, i]]) > len(keep):
            keep.append(i)
    if not keep:
        raise ModelError("the hypotheses are all 0; give at least one coefficient a weight.")
    return L[keep], r[keep]
