"""The term of the formula that each column of the random effects comes from."""

from __future__ import annotations

import numpy as np
import pytest

import mixedfit as mf


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ("0 + a + b", ("a", "a", "a", "b")),
        ("0 + b + a", ("b", "b", "a", "a")),
        ("a + b", ("1", "a", "a", "b")),
        ("0 + x + a + b", ("x", "a", "a", "a", "b")),
    ],
)
def test_first_factor_must_have_the_column_of_the_missing_intercept(
    effects: str, expected: tuple[str, ...]
) -> None:
    """Three levels of a and two of b. The rival gives the column to the last factor."""
    rng = np.random.default_rng(1)
    frame = {
        "y": rng.normal(size=72),
        "x": rng.normal(size=72),
        "a": np.tile(list("pqr"), 24),
        "b": np.tile(np.repeat(list("uv"), 3), 12),
        "g": np.repeat(np.arange(6), 12),
    }
    block = mf.lmm(f"y ~ 1 + ({effects} | g)", frame).design.blocks[0]
    assert tuple(block.sources) == expected
