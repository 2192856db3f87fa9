"""Weights of the usual families of contrasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from .._types import Array
from ..errors import ModelError

__all__ = ["Method", "contrast_weights"]

Method: TypeAlias = Literal["pairwise", "trt.vs.ctrl", "poly"] | Mapping[str, Sequence[float]]
"""A family of contrasts, or names with weights."""

_METHODS = ("pairwise", "trt.vs.ctrl", "poly")
_DEGREES = ("linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6")


def contrast_weights(method: Any, labels: Sequence[str], *, reverse: bool) -> tuple[list[str], Array]:
    """Return names and weights, shape (contrasts, means).

    Raises
    ------
    ModelError
        If the method is not known, there is nothing to compare, or weights do not fit.
    """
    k = len(labels)
    if isinstance(method, Mapping):
        return _own(method, labels)
    if method not in _METHODS:
        raise ModelError(
            f"method={method!r} is not known; expected one of {', '.join(map(repr, _METHODS))}, or a mapping of "
            "names to weights."
        )
    if k < 2:
        raise ModelError(f"there is one mean ({labels[0]}); contrasts need at least two.")
    if method == "poly":
        names, weights = list(_DEGREES[: k - 1]), polynomials(k)[:6]
        return names, -weights if reverse else weights
    unit = np.eye(k)
    if method == "pairwise":
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        if reverse:
            pairs = [(j, i) for j in range(k) for i in range(j)]
    else:
        control = k - 1 if reverse else 0
        pairs = [(i, control) for i in range(k) if i != control]
    return [f"{labels[i]} - {labels[j]}" for i, j in pairs], np.array([unit[i] - unit[j] for i, j in pairs])


def _own(method: Mapping[str, Sequence[float]], labels: Sequence[str]) -> tuple[list[str], Array]:
    for name, weights in method.items():
        if len(weights) != len(labels):
            raise ModelError(
                f"contrast {name!r} has {len(weights)} weights for {len(labels)} means ({', '.join(labels)}); give "
                "one for each."
            )
    return [str(name) for name in method], np.array([list(w) for w in method.values()], dtype=np.float64)


def polynomials(k: int) -> Array:
    """Return orthogonal polynomials on k equally spaced points as whole numbers, shape (k − 1, k), lowest first."""
    x = np.arange(k) - 0.5 * (k - 1)
    basis = np.linalg.qr(np.vander(x, k, increasing=True))[0].T
    out = []
    for row in basis[1:]:
        row = row * np.sign(row[-1])
        positive = row[row > 1e-8]
        scaled = row / positive.min()
        while np.abs(scaled - np.round(scaled)).max() > 0.05:
            scaled = scaled / np.abs(scaled - np.round(scaled)).max()
        out.append(np.round(scaled))
    return np.array(out)
