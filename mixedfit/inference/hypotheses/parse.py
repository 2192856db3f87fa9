"""Parser of linear hypotheses Lβ = r about fixed effects, written as text, mappings or matrices."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixedfit.core.arrays import Array
from mixedfit.core.errors import ModelError, nearest
from mixedfit.estimation.fit import Fit

__all__ = ["read_hypotheses"]


def read_hypotheses(fit: Fit, hypotheses: Any) -> tuple[Array, Array, list[str]]:
    """Return L, shape (q, p), r, shape (q,), and a name for each row.

    Parameters
    ----------
    fit : Fit
    hypotheses : str, sequence, mapping or array
        The name of a coefficient; text such as ``"Days = 10"`` or ``"recipeB - recipeC"`` (several separated by
        commas); a mapping from coefficients to weights; a sequence of these; or a matrix with a column for each
        coefficient.

    Raises
    ------
    ModelError
        If a name is not a coefficient, a text is no linear equation, or a matrix has the wrong shape.
    """
    names = list(fit.coefficient_names)
    if isinstance(hypotheses, str):
        parts = [part.strip() for part in _split(hypotheses)]
        rows = [_read_text(part, names) for part in parts]
        return np.array([row for row, _ in rows]), np.array([r for _, r in rows]), parts
    if isinstance(hypotheses, Mapping):
        return _read_mapping(hypotheses, names)[None], np.zeros(1), [_text(hypotheses)]
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
    return L, np.zeros(len(L)), [_row_label(i, row, names) for i, row in enumerate(L, start=1)]


def _split(text: str) -> list[str]:
    """Return the parts of a text between commas outside parentheses."""
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


def _text(weights: Mapping[str, float]) -> str:
    """Return a linear combination of coefficients as text, such as ``A - 2*B``."""
    text = ""
    for name, weight in weights.items():
        size = abs(float(weight))
        term = str(name) if size == 1 else f"{size:g}*{name}"
        text += (" - " if text else "-") + term if weight < 0 else (" + " if text else "") + term
    return text


def _row_label(number: int, row: Array, names: Sequence[str]) -> str:
    """Return the label of a row of a matrix: its only coefficient, or the number of the row."""
    at = np.flatnonzero(row)
    return _text({names[at[0]]: row[at[0]]}) if at.size == 1 else f"row {number}"


def _position(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ModelError(
            f"{name!r} is not a fixed effect of this fit ({', '.join(names)}). {nearest(name, names)}"
        )
    return list(names).index(name)


def _read_text(text: str, names: Sequence[str]) -> tuple[Array, float]:
    """Return the row of L and the right-hand side of one equation; a text without ``=`` stands for "= 0"."""
    left, _, right = text.partition("=")
    row, constant = _linear(left, names, text)
    other, shift = _linear(right.lstrip("=") or "0", names, text)
    return row - other, shift - constant


def _linear(text: str, names: Sequence[str], whole: str) -> tuple[Array, float]:
    """Return the weights, shape (p,), and the constant of a linear expression in the names of coefficients."""
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
    """Return the weights, shape (p,), and the constant of a syntax tree."""
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
