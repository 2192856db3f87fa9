"""Elimination of the first factor keeps its digits however large the effects' variances are."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedfit.kernels.first_factor import eliminate_first
from mixedfit.kernels.small_levels import eliminate_levels


def products(k: int, seed: int, noise: float) -> tuple[Any, Any, Any]:
    """Return ZᵀZ and Zᵀ[1 y] of levels with one to five rows, weights over six decades, and [1 y]ᵀ[1 y]."""
    rng = np.random.default_rng(seed)
    gram, border, tail = [], [], np.zeros((2, 2))
    for _ in range(6):
        n = int(rng.integers(1, 6))
        z = np.column_stack([np.ones(n), rng.normal(size=(n, k - 1))])
        y = z @ rng.normal(size=k) + noise * rng.normal(size=n)
        root = np.sqrt(10.0 ** rng.uniform(-3.0, 3.0, size=n) * rng.integers(0, 2) + 1.0)[:, None]
        columns = np.column_stack([np.ones(n), y]) * root
        gram.append((z * root).T @ (z * root))
        border.append((z * root).T @ columns)
        tail += columns.T @ columns
    return np.array(gram), np.array(border), tail


def exact_elimination(lam: Any, gram: Any, border: Any, tail: Any) -> Any:
    """Return tail − Σ CᵀΩ(I + AΩ)⁻¹C in rational arithmetic."""
    exact = np.vectorize(Fraction)
    omega = exact(lam) @ exact(lam).T
    out = exact(tail)
    for a, c in zip(gram, border, strict=True):
        system = exact(np.eye(len(lam))) + exact(a) @ omega
        right = exact(c)
        for i in range(len(lam)):
            pivot = next(r for r in range(i, len(lam)) if system[r, i] != 0)
            system[[i, pivot]], right[[i, pivot]] = system[[pivot, i]], right[[pivot, i]]
            right[i], system[i] = right[i] / system[i, i], system[i] / system[i, i]
            for r in range(len(lam)):
                if r != i:
                    right[r] -= system[r, i] * right[i]
                    system[r] = system[r] - system[r, i] * system[i]
        out = out - exact(c).T @ omega @ right
    return out.astype(float)


@pytest.mark.everyday(1)
@pytest.mark.parametrize("way", ["any", "static", "threads"])
@settings(deadline=None)
@given(
    k=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([1.0, 1e2, 1e4, 1e6]),
    full=st.booleans(),
)
def test_products_must_keep_their_digits_whatever_the_variances(
    way: str, k: int, seed: int, size: float, full: bool
) -> None:
    """Digits are lost by nearly collinear effects only; the form CᵀΩ(I + AΩ)⁻¹C loses 1e-16 times `size`² of them."""
    gram, border, tail = products(k, seed, 1e-3)
    rng = np.random.default_rng(seed)
    lam = size * (rng.normal(size=(k, k)) if full else np.tril(rng.normal(size=(k, k))) + 0.1 * np.eye(k))
    expected = exact_elimination(lam, gram, border, tail)
    empty = np.zeros(len(gram) + 1, np.int64), np.zeros(0, np.int64), np.zeros((0, k))
    found = tail.copy()
    if way == "threads":
        eliminate_first(lam, gram, *empty, border, found, 0, len(gram))
    else:
        static = (1,) * k if way == "static" and k < 3 else ()
        eliminate_levels(static, lam, gram, *empty, border, found, 0, len(gram))
    off = np.abs(np.tril(found - expected)) / np.sqrt(np.outer(np.diag(tail), np.diag(tail)))
    assert off.max() < 1e-9
